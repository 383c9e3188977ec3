//! One suite for both databases: every test gets a [`Place`] and holds on a
//! SQLite file and on a PostgreSQL server alike.
//!
//! The server is the one that `GENIE_TEST_POSTGRES` names by URL; without it
//! that half is skipped with a line that says so.

#![allow(
    clippy::expect_used,
    reason = "tests fail by panicking, in the functions that they share too"
)]

mod audit;
mod conversations;
mod crash;
mod erasure;
mod files;
mod jobs;
mod keys;
mod place;
mod removal;
mod usage;
mod workspaces;

/// The same test on both databases.
macro_rules! both {
    ($($name:ident),* $(,)?) => {$(
        mod $name {
            #[test]
            fn sqlite() {
                $crate::place::on_sqlite(super::cases::$name);
            }

            #[test]
            fn postgres() {
                $crate::place::on_postgres(stringify!($name), super::cases::$name);
            }
        }
    )*};
}
pub(crate) use both;
