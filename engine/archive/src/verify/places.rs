//! What the manifest names, in forty bytes a file: enough to know what is not in it and what contradicts it.

use std::collections::HashMap;

use windlass_core::{AssetId, Blake3, fold_key};

use super::trouble::{Trouble, Troubles};
use crate::manifest::{Entry, Role};

/// A digest long enough that no two names meet by chance or on purpose.
type Key = u128;

/// What is to be at a path.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// A digest of the path as it is written.
    spelling: u64,
    /// A digest of which asset's file it is, with which bytes.
    claim: u64,
}

/// Everything that the manifest names.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// By the digest of the folded path.
    by_path: HashMap<Key, Place>,
    /// Of each asset whether it has metadata.
    assets: HashMap<Key, bool>,
}

/// How a path of the folder is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Not at all.
    No,
    /// In another case or normal form.
    Respelled,
    /// As it is.
    Yes,
}

impl Places {
    /// Takes an entry; false if its path was taken already.
    pub(super) fn add(&mut self, entry: &Entry) -> bool {
        if let Some(asset) = &entry.asset {
            let has_metadata = self.assets.entry(key(asset.as_str())).or_default();
            *has_metadata |= entry.role == Role::Metadata;
        }
        let place = Place {
            spelling: short(entry.path.as_bytes()),
            claim: claim(
                entry.asset.as_ref(),
                entry.digests.size,
                &entry.digests.blake3,
            ),
        };
        self.by_path.insert(folded(&entry.path), place).is_none()
    }

    /// How a path of the folder is known.
    pub(super) fn knows(&self, path: &str) -> Known {
        match self.by_path.get(&folded(path)) {
            None => Known::No,
            Some(place) if place.spelling == short(path.as_bytes()) => Known::Yes,
            Some(_) => Known::Respelled,
        }
    }

    /// Whether the manifest says the same of a file as an asset's metadata do; `None` where it does not name it.
    pub(super) fn agrees(
        &self,
        path: &str,
        asset: &AssetId,
        size: u64,
        blake3: &Blake3,
    ) -> Option<bool> {
        let place = self.by_path.get(&folded(path))?;
        let is_same = place.spelling == short(path.as_bytes());
        is_same.then(|| place.claim == claim(Some(asset), size, blake3))
    }

    /// Says that assets have files of which nothing is known.
    pub(super) fn without_metadata(&self, troubles: &mut Troubles) {
        let count = self.assets.values().filter(|has| !**has).count() as u64;
        if count > 0 {
            troubles.add(Trouble::Undescribed { assets: count });
        }
    }
}

/// The key of a path, whatever its case and normal form.
pub(super) fn folded(path: &str) -> Key {
    key(&fold_key(path))
}

fn key(text: &str) -> Key {
    let digest = Blake3::of(text.as_bytes());
    let (first, _) = digest
        .as_bytes()
        .split_first_chunk()
        .unwrap_or((&[0; 16], &[]));
    u128::from_le_bytes(*first)
}

fn short(bytes: &[u8]) -> u64 {
    let digest = Blake3::of(bytes);
    let (first, _) = digest
        .as_bytes()
        .split_first_chunk()
        .unwrap_or((&[0; 8], &[]));
    u64::from_le_bytes(*first)
}

fn claim(asset: Option<&AssetId>, size: u64, blake3: &Blake3) -> u64 {
    let mut text = size.to_le_bytes().to_vec();
    text.extend_from_slice(blake3.as_bytes());
    text.extend_from_slice(asset.map_or("", AssetId::as_str).as_bytes());
    short(&text)
}
