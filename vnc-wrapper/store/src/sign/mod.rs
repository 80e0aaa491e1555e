//! The user's key, and the keys of others that the user trusts. Exports are signed with it (Ed25519, RFC 8032).
//!
//! ```text
//! keys/                  0700
//! keys/signing.key       0600   the secret key; made on first use
//! keys/signing.pub              its public half, for giving away
//! keys/trusted                  public keys of others, one a line, each with a name
//! ```
//!
//! All three are text, and begin with a line that says what they are and in which format:
//!
//! ```text
//! freezeframe signing key 1         freezeframe public key 1       freezeframe trusted keys 1
//! ff-ed25519-secret:<64 hex>        ff-ed25519:<64 hex>            ff-ed25519:<64 hex> Ann's laptop
//! ```
//!
//! A secret key that others can read is refused: it may be in other hands by now, so the user has to know. A key is made
//! in a file of another name and then linked to its own, which succeeds for one of several processes; all others read the
//! key of that one. What is signed always begins with words that say what it is, so that no signature fits elsewhere.
//!
//! Deliberately absent: passphrases (the key guards no secret, it says who made a file), expiry and revocation (take the
//! line out of `keys/trusted`).

mod files;
mod key;
mod trusted;

pub use key::{BadKey, PublicKey, Signature, SigningKey};
pub use trusted::Trusted;

use std::path::PathBuf;

use crate::error::Result;
use crate::layout::Store;

impl Store {
    pub(crate) fn keys(&self) -> PathBuf {
        self.root().join("keys")
    }

    /// The user's key; made now if there is none yet.
    ///
    /// # Errors
    /// [`crate::Error::Exposed`] when others can read it, [`crate::Error::Damaged`] when it is no key of ours.
    pub fn signing_key(&self) -> Result<SigningKey> {
        files::open_or_make(&self.keys())
    }

    /// Whether a trusted key may have that name.
    ///
    /// # Errors
    /// [`crate::Error::BadName`] when it does not fit on a line.
    pub fn check_key_name(name: &str) -> Result<()> {
        trusted::check_name(name).map(drop)
    }

    /// The keys that the user trusts besides the own one.
    ///
    /// # Errors
    /// [`crate::Error::Damaged`] names the line.
    pub fn trusted_keys(&self) -> Result<Vec<Trusted>> {
        trusted::list(&self.keys())
    }

    /// Trusts `key` from now on, under `name`; a key that is trusted already gets the new name.
    ///
    /// # Errors
    /// When `name` does not fit on a line, or the list cannot be read or written.
    pub fn trust_key(&self, key: &PublicKey, name: &str) -> Result<()> {
        trusted::add(&self.keys(), key, name)
    }

    /// Trusts `key` no more; says whether it was trusted.
    ///
    /// # Errors
    /// When the list cannot be read or written.
    pub fn distrust_key(&self, key: &PublicKey) -> Result<bool> {
        trusted::remove(&self.keys(), key)
    }

    /// Whether `key` is the user's own or a trusted one.
    ///
    /// # Errors
    /// When the keys cannot be read.
    pub fn trusts(&self, key: &PublicKey) -> Result<bool> {
        let own = files::open(&self.keys())?.is_some_and(|own| own.public() == *key);
        Ok(own || self.trusted_keys()?.iter().any(|t| t.key == *key))
    }
}
