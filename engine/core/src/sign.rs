//! Signatures over digests: who stands for a document.
//!
//! Ed25519 keys in the forms that other tools read: secret ones as PKCS #8 in PEM, as `openssl genpkey -algorithm
//! ed25519` writes them, public ones in one line of text that fits into a configuration.

use std::fmt;
use std::str::FromStr;

use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey, KeypairBytes};
use ed25519_dalek::{Signer, VerifyingKey};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::digest::Blake3;
use crate::error::{Error, Kind, Result};
use crate::secret::Secret;

/// What public keys begin with in text.
const SCHEME: &str = "ed25519:";

/// Signs.
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// The key of a seed: 32 bytes that nobody else can know.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads PKCS #8 in PEM. Errors: `InvalidInput` for anything else.
    pub fn from_pem(pem: &str) -> Result<Self> {
        let key = ed25519_dalek::SigningKey::from_pkcs8_pem(pem);
        // The cause may quote the file, which holds a secret.
        key.map(SigningKey).map_err(|_| {
            Error::new(
                Kind::InvalidInput,
                "this is not an Ed25519 key (PKCS #8 in PEM)",
            )
            .with_hint("`windlass key new FILE` makes one")
        })
    }

    /// The key as PKCS #8 in PEM.
    pub fn to_pem(&self) -> Result<Secret> {
        // Without the public half, which is in the newer form alone: not every openssl reads that one.
        let bytes = KeypairBytes {
            secret_key: self.0.to_bytes(),
            public_key: None,
        };
        let pem = bytes.to_pkcs8_pem(LineEnding::LF);
        let pem = pem.map_err(|error| {
            Error::new(Kind::Unexpected, "a key cannot be written as PEM").with_source(error)
        })?;
        Ok(Secret::new(pem.as_str()))
    }

    /// What others know it by.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs the digest of a document of this kind. A signature of one kind of document is none of another.
    pub fn sign(&self, document: &str, digest: &Blake3) -> Signature {
        Signature(self.0.sign(&message(document, digest)))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public())
    }
}

/// Tells whether a signature is that of its secret key. In text `ed25519:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Whether this is its signature of the digest of a document of this kind.
    pub fn verifies(&self, document: &str, digest: &Blake3, signature: &Signature) -> bool {
        self.0
            .verify_strict(&message(document, digest), &signature.0)
            .is_ok()
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}", hex::encode(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not a key or a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is not {0}")]
pub struct ParseKeyError(&'static str);

impl FromStr for PublicKey {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = ParseKeyError("a public key: ed25519: and 64 hexadecimal digits");
        let digits = text.strip_prefix(SCHEME).ok_or(error)?;
        let mut bytes = [0; 32];
        hex::decode_to_slice(digits, &mut bytes).map_err(|_| error)?;
        VerifyingKey::from_bytes(&bytes)
            .ok()
            // Anybody can make signatures that such a key accepts.
            .filter(|key| !key.is_weak())
            .map(PublicKey)
            .ok_or(error)
    }
}

/// A signature. In text 128 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Signature(ed25519_dalek::Signature);

impl fmt::Display for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0.to_bytes()))
    }
}

impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Signature {
    type Err = ParseKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes)
            .map_err(|_| ParseKeyError("a signature: 128 hexadecimal digits"))?;
        Ok(Signature(ed25519_dalek::Signature::from_bytes(&bytes)))
    }
}

macro_rules! as_text {
    ($name:ident) => {
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

as_text!(PublicKey);
as_text!(Signature);

fn message(document: &str, digest: &Blake3) -> Vec<u8> {
    let mut message = format!("windlass {document}\n").into_bytes();
    message.extend(digest.as_bytes());
    message
}
