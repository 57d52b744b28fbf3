//! Names that nobody can guess: upload handles, and download and preview URLs.
//!
//! A download link carries what it opens and until when, sealed with the seed. So links need no memory,
//! survive a restart, and expire by themselves.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// What a link opens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) asset: u64,
    pub(super) version: u64,
    /// None: the original. Else a picture with this edge in pixels.
    pub(super) edge: Option<u32>,
    /// Shown in a page rather than saved.
    pub(super) preview: bool,
    pub(super) expires: Timestamp,
}

/// Hex digits that only the holder of the seed can derive.
pub(super) fn secret_name(seed: u64, purpose: &str, number: u64) -> String {
    seal(seed, &format!("{purpose}/{number}"))
}

impl Link {
    /// The opaque part of a URL.
    pub(super) fn token(self, seed: u64) -> String {
        let text = format!(
            "{}.{}.{}.{}.{}",
            self.asset,
            self.version,
            self.edge.unwrap_or(0),
            u8::from(self.preview),
            self.expires.as_millisecond(),
        );
        let seal = seal(seed, &text);
        URL_SAFE_NO_PAD.encode(format!("{text}.{seal}"))
    }

    /// Reads a token back. None if it was not made with this seed.
    pub(super) fn open(token: &str, seed: u64) -> Option<Self> {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (text, given) = text.rsplit_once('.')?;
        if seal(seed, text) != given {
            return None;
        }
        let mut parts = text.split('.');
        let mut number = || parts.next()?.parse::<i64>().ok();
        let (asset, version, edge) = (number()?, number()?, number()?);
        let (preview, expires) = (number()? == 1, number()?);
        Some(Link {
            asset: u64::try_from(asset).ok()?,
            version: u64::try_from(version).ok()?,
            edge: u32::try_from(edge).ok().filter(|edge| *edge > 0),
            preview,
            expires: Timestamp::from_millisecond(expires).ok()?,
        })
    }
}

fn seal(seed: u64, text: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(seed.to_le_bytes());
    hasher.update(text.as_bytes());
    hasher.update(seed.to_be_bytes());
    hex::encode(&hasher.finalize()[..16])
}

/// A number that only depends on the seed and on what it is for.
pub(super) fn lot(seed: u64, purpose: &str, number: u64) -> u64 {
    let name = seal(seed, &format!("{purpose}/{number}"));
    // A seal is 32 hex digits.
    u64::from_str_radix(&name[..16], 16).unwrap_or_default()
}
