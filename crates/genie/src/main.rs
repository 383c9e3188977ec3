//! The genie binary.
fn main() {}
