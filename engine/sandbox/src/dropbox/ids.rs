//! Opaque identifiers of the shapes the service uses, all drawn from the seed and a number, so that the
//! same calls give the same ids; and the keyed digests that make tokens and cursors tamper-proof.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// Derives every identifier of one emulated account.
#[derive(Clone, Debug, Default)]
pub(super) struct Ids {
    seed: u64,
}

impl Ids {
    pub(super) fn new(seed: u64) -> Self {
        Ids { seed }
    }

    fn digest(&self, purpose: &str, of: &[u8]) -> [u8; 32] {
        let mut inner = Sha256::new();
        inner.update(self.seed.to_le_bytes());
        inner.update([purpose.len() as u8]);
        inner.update(purpose);
        inner.update(of);
        // Hashing twice keeps the digest from being extended.
        Sha256::digest(inner.finalize()).into()
    }

    /// A secret text that only this seed gives.
    pub(super) fn secret(&self, purpose: &str, n: u64) -> String {
        URL_SAFE_NO_PAD.encode(self.digest(purpose, &n.to_be_bytes()))
    }

    /// `dbid:` and 35 characters.
    pub(super) fn account(&self) -> String {
        let digest = self.digest("account", b"");
        format!("dbid:{}", URL_SAFE_NO_PAD.encode(&digest[..26]))
    }

    /// `id:` and 22 characters, without the prefix.
    pub(super) fn item(&self, n: u64) -> String {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.digest("item", b"")[..8]);
        bytes[8..].copy_from_slice(&n.to_be_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The number in what follows `id:`; None if it is not one of ours.
    pub(super) fn item_number(&self, text: &str) -> Option<u64> {
        let bytes: [u8; 16] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        let n = u64::from_be_bytes(bytes[8..].try_into().ok()?);
        (self.item(n) == text).then_some(n)
    }

    /// 31 lower-case hex digits that grow with the number.
    pub(super) fn rev(&self, n: u64) -> String {
        let tail = hex::encode(&self.digest("rev", &n.to_be_bytes())[..8]);
        format!("016{n:012x}{tail}")
    }

    /// The number in a revision; None if it is not one of ours.
    pub(super) fn rev_number(&self, text: &str) -> Option<u64> {
        let n = u64::from_str_radix(text.get(3..15)?, 16).ok()?;
        (self.rev(n) == text).then_some(n)
    }

    /// `pid_upload_session:` and 50 characters.
    pub(super) fn session(&self, n: u64) -> String {
        let mut bytes = [0; 37];
        bytes[..32].copy_from_slice(&self.digest("session", &n.to_be_bytes()));
        bytes[32..].copy_from_slice(&n.to_be_bytes()[3..]);
        format!("pid_upload_session:{}", URL_SAFE_NO_PAD.encode(bytes))
    }

    /// `ptid:` and a text.
    pub(super) fn template(&self, n: u64) -> String {
        let digest = self.digest("template", &n.to_be_bytes());
        format!("ptid:{}", URL_SAFE_NO_PAD.encode(&digest[..16]))
    }

    /// Packs a payload with a proof that we packed it.
    pub(super) fn seal(&self, purpose: &str, payload: &[u8]) -> String {
        let mut bytes = self.digest(purpose, payload)[..16].to_vec();
        bytes.extend_from_slice(payload);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The payload of a sealed text; None if it was not sealed for this purpose, or was altered.
    pub(super) fn open(&self, purpose: &str, text: &str) -> Option<Vec<u8>> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (proof, payload) = bytes.split_at_checked(16)?;
        (self.digest(purpose, payload)[..16] == *proof).then(|| payload.to_vec())
    }
}
