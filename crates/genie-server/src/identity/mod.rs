//! People, by the tokens of an OpenID Connect provider.
//!
//! The provider is found by its issuer (OpenID Connect Discovery 1.0), its
//! keys are fetched where its document says (RFC 7517) and fetched again when
//! a token names one that is not known. A token counts where issuer, audience,
//! times and signature are right and its algorithm is one of those configured
//! (RFC 7519, RFC 8725).
//!
//! What must not happen: a token whose algorithm decides what its key is; a
//! fetch from an address that a token names; a fetch for each bad token; a
//! provider that is down and therefore accepts or refuses what it should not.

mod address;
mod crypto;
mod keys;
mod provider;
mod settings;
mod token;

pub use self::provider::{Fetch, FetchError, IdentityProvider};
pub use self::settings::{Grant, IdentityError, IdentitySettings};
pub(crate) use self::token::looks_like_token;
