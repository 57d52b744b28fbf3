//! Names of collections that fields refer to, by id: a tenant tells them only for the first references of an asset.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use windlass_core::Result;

use crate::client::{Api, PAGE_SIZE};
use crate::wire::{self, Localised};

/// How long a name is believed: people rename collections, and rights may hang on it.
const AGE_MAX: Duration = Duration::from_secs(10 * 60);

/// As many ids as a careful caller puts into one request.
const IDS_MAX: usize = 100;

/// Names by id, as far as anybody asked.
#[derive(Debug, Default)]
pub(crate) struct Names(Mutex<HashMap<i64, (Instant, Localised)>>);

impl Names {
    /// The names of these collections; those that are gone or hidden are left out.
    pub(crate) async fn of(
        &self,
        api: &Api,
        wanted: &BTreeSet<i64>,
    ) -> Result<BTreeMap<i64, Localised>> {
        let mut known = self.0.lock().await;
        known.retain(|_, (at, _)| at.elapsed() < AGE_MAX);
        let unknown: Vec<i64> = wanted
            .iter()
            .copied()
            .filter(|id| !known.contains_key(id))
            .collect();
        for ids in unknown.chunks(IDS_MAX) {
            for collection in api.collections_named(ids).await? {
                known.insert(collection.id, (Instant::now(), collection.name));
            }
        }
        let named = wanted.iter().filter_map(|id| {
            let (_, names) = known.get(id)?;
            Some((*id, names.clone()))
        });
        Ok(named.collect())
    }

    /// Forgets all of them.
    pub(crate) async fn forget(&self) {
        self.0.lock().await.clear();
    }
}

impl Api {
    /// The collections of these ids, at most [`PAGE_SIZE`] of them, in any order.
    async fn collections_named(&self, ids: &[i64]) -> Result<Vec<wire::Collection>> {
        let mut query = vec![("size", PAGE_SIZE.to_string())];
        query.extend(ids.iter().map(|id| ("ids", id.to_string())));
        let page: wire::Page<wire::Collection> = self
            .get("collections?ids", "collections", &query)
            .await?
            .or_refused("reading the names of collections")?;
        Ok(page.content)
    }
}
