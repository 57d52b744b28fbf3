//! How many calls a plan takes at the tenant, where nothing has to be repeated.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{AssetPath, Calls, Load, Result};

use crate::endpoint::Shared;
use crate::tree::Reached;

/// A place for the upload, the upload, and the asset that is made of it.
const CREATE: u64 = 3;
/// The same for a version: the asset is read before and after, and then gets its fields.
const VERSION: u64 = 6;
/// What is said of a copy is read before it is changed.
const RECEIPT: u64 = 2;
/// What only changes is read first.
const CHANGE: u64 = 2;

impl Shared {
    pub(crate) async fn calls_to_write(&self, load: &Load) -> Result<Calls> {
        let contents = load.small + load.large;
        let created = contents - load.versions.min(contents);
        let mut all = CREATE * created + VERSION * load.versions;
        all += load.with_availability + CHANGE * (load.reused + load.updates);
        all += self.calls_to_make(&load.collections).await?;
        if contents > 0 && self.calibration.known().is_none() {
            // An asset is looked for whose checksum tells how they are computed.
            all += 1;
        }
        Ok(Calls { all, metered: 0 })
    }

    /// A call for each collection that is missing, and one to see that nothing is in it where another is to be made
    /// below it.
    async fn calls_to_make(&self, collections: &BTreeSet<AssetPath>) -> Result<u64> {
        let mut parent_of_missing = BTreeMap::new();
        for path in collections {
            let mut path = path.clone();
            while !path.as_str().is_empty() && !parent_of_missing.contains_key(&path.key()) {
                if let Reached::Whole(_) = self.tree.find(&self.api, &path).await? {
                    break;
                }
                let parent = path.parent();
                parent_of_missing.insert(path.key(), parent.key());
                path = parent;
            }
        }
        let parents: BTreeSet<&String> = parent_of_missing.values().collect();
        let listed = parents
            .into_iter()
            .filter(|parent| parent_of_missing.contains_key(*parent));
        Ok((parent_of_missing.len() + listed.count()) as u64)
    }
}

/// An address for each content, a call for each part of it, and what is asked and told about copies.
pub(crate) fn calls_to_read(load: &Load) -> Calls {
    let addresses = load.small + load.large;
    Calls {
        all: addresses
            + load.small
            + load.large_chunks
            + load.released
            + RECEIPT * (load.receipts + load.taken_back),
        metered: 0,
    }
}
