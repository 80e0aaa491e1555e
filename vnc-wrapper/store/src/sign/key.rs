//! Keys and signatures, and their text.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::Signer as _;
use serde::{Deserialize, Serialize};

const PUBLIC: &str = "ff-ed25519:";
const SECRET: &str = "ff-ed25519-secret:";

/// Why a text is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// It does not look like one.
    #[error("a key is written as {prefix} and 64 hexadecimal digits")]
    Form {
        /// What it has to begin with.
        prefix: &'static str,
    },
    /// It looks like one, but no honest key is like that: a signature of it could be made by anybody.
    #[error("it is not a point on the curve, or one of the few that anybody can sign for")]
    Weak,
}

/// A public key: who made something. Its bytes were checked when it was made from them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// The key of these bytes.
    ///
    /// # Errors
    /// [`BadKey::Weak`] when there is none.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<Self, BadKey> {
        match ed25519_dalek::VerifyingKey::from_bytes(bytes) {
            Ok(key) if !key.is_weak() => Ok(Self(*bytes)),
            _ => Err(BadKey::Weak),
        }
    }

    /// Its 32 bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether the owner of this key signed `message`. Strict: there is one signature of a message by a key, and no other
    /// bytes pass for it.
    pub fn verify(&self, message: &[u8], signature: &Signature) -> bool {
        let signature = ed25519_dalek::Signature::from_bytes(&signature.0);
        ed25519_dalek::VerifyingKey::from_bytes(&self.0).is_ok_and(|key| key.verify_strict(message, &signature).is_ok())
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PUBLIC}{}", hex(self.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PublicKey {
    type Err = BadKey;
    fn from_str(text: &str) -> Result<Self, BadKey> {
        Self::from_bytes(&bytes(PUBLIC, text)?)
    }
}

impl TryFrom<String> for PublicKey {
    type Error = BadKey;
    fn try_from(text: String) -> Result<Self, BadKey> {
        text.parse()
    }
}

impl From<PublicKey> for String {
    fn from(key: PublicKey) -> Self {
        key.to_string()
    }
}

/// 64 bytes that say that a message is its signer's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature(pub [u8; 64]);

/// A secret key. It is wiped from memory when it is dropped, and never printed.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new key from the system's random numbers.
    pub(crate) fn generate() -> std::io::Result<Self> {
        use rand::TryRng as _;
        let mut seed = [0; 32];
        rand::rngs::SysRng.try_fill_bytes(&mut seed).map_err(std::io::Error::other)?;
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&seed)))
    }

    /// The key of `text`, as [`SigningKey::secret_text`] wrote it.
    pub(super) fn from_secret_text(text: &str) -> Result<Self, BadKey> {
        Ok(Self(ed25519_dalek::SigningKey::from_bytes(&bytes(SECRET, text)?)))
    }

    pub(super) fn secret_text(&self) -> String {
        format!("{SECRET}{}", hex(self.0.as_bytes()))
    }

    /// Its public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key().to_bytes())
    }

    /// Signs `message`.
    pub fn sign(&self, message: &[u8]) -> Signature {
        Signature(self.0.sign(message).to_bytes())
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the secret key of {}", self.public())
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The 32 bytes behind `prefix`. One text for one key: digits are lower case.
fn bytes(prefix: &'static str, text: &str) -> Result<[u8; 32], BadKey> {
    let digits = text.strip_prefix(prefix).map(str::as_bytes).unwrap_or_default();
    let mut bytes = [0; 32];
    if digits.len() != 2 * bytes.len() {
        return Err(BadKey::Form { prefix });
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |c: u8| match c {
            b'0'..=b'9' => Ok(c - b'0'),
            b'a'..=b'f' => Ok(c - b'a' + 10),
            _ => Err(BadKey::Form { prefix }),
        };
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_key_and_one_message() {
        let (ann, bob) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
        let signature = ann.sign(b"a message");
        assert!(ann.public().verify(b"a message", &signature));
        assert!(!ann.public().verify(b"a messagf", &signature));
        assert!(!bob.public().verify(b"a message", &signature));
        for bit in 0..512 {
            let mut other = signature;
            other.0[bit / 8] ^= 1 << (bit % 8);
            assert!(!ann.public().verify(b"a message", &other), "bit {bit}");
        }
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_in_no_other_way() {
        let key = SigningKey::generate().unwrap();
        let text = key.public().to_string();
        assert_eq!(text.parse::<PublicKey>().unwrap(), key.public());
        let again = SigningKey::from_secret_text(&key.secret_text()).unwrap();
        assert_eq!(again.public(), key.public());
        assert!(!format!("{key:?}").contains(&key.secret_text()[SECRET.len()..]));
        let digits = &text[PUBLIC.len()..];
        for bad in
            ["", PUBLIC, digits, &text[..text.len() - 1], &format!("{text}0"), &format!("{PUBLIC}{}", "é".repeat(32))]
        {
            assert_eq!(bad.parse::<PublicKey>(), Err(BadKey::Form { prefix: PUBLIC }), "{bad}");
        }
        assert!(
            format!("{PUBLIC}{}", "ABCDEF01".repeat(8)).parse::<PublicKey>().is_err(),
            "upper case is another text"
        );
        // The neutral element and other points of small order.
        assert_eq!(format!("{PUBLIC}01{}", "00".repeat(31)).parse::<PublicKey>(), Err(BadKey::Weak));
        assert_eq!(format!("{PUBLIC}{}", "00".repeat(32)).parse::<PublicKey>(), Err(BadKey::Weak));
    }

    #[test]
    fn the_first_test_of_rfc_8032() {
        let text = format!("{SECRET}9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
        let key = SigningKey::from_secret_text(&text).unwrap();
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        assert_eq!(key.public().to_string(), format!("{PUBLIC}{public}"));
        assert_eq!(hex(&key.sign(b"").0[..8]), "e5564300c360ac72");
    }
}
