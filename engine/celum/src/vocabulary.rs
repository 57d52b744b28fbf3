//! Entries of taxonomies and keyword trees, by name or path below a field's root; loaded once a root.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use windlass_core::{Error, Kind, Result, fold_key};

use crate::client::Api;
use crate::wire::Collection;

/// The vocabularies of one tenant, as far as anybody asked.
#[derive(Debug)]
pub(crate) struct Vocabularies {
    /// How long lists may lag behind what was created.
    index_lag: Duration,
    by_root: Mutex<HashMap<i64, Arc<Vocabulary>>>,
}

/// How soon a list that does not have a new entry is asked for again; doubled each time.
const FIRST_LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How deep a path below a root is followed; what is nested deeper, or in a circle, has its name only.
const DEPTH_MAX: usize = 64;

/// The entries below one root.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vocabulary {
    /// Ids by folded name and by folded path below the root.
    entries: BTreeMap<String, Vec<i64>>,
    /// A display name for each folded name.
    names: BTreeMap<String, String>,
}

/// What a name stands for.
pub(crate) enum Entry {
    One(i64),
    Several,
    /// Nothing; perhaps a name that is close.
    Unknown(Option<String>),
}

impl Vocabularies {
    /// None yet; `index_lag` is how long lists may lag behind writes.
    pub(crate) fn new(index_lag: Duration) -> Self {
        Vocabularies {
            index_lag,
            by_root: Mutex::default(),
        }
    }

    /// The entries below a root. Only one task loads it; the others wait for that.
    pub(crate) async fn below(&self, api: &Api, root: i64) -> Result<Arc<Vocabulary>> {
        let mut by_root = self.by_root.lock().await;
        if let Some(vocabulary) = by_root.get(&root) {
            return Ok(Arc::clone(vocabulary));
        }
        let vocabulary = Arc::new(Vocabulary::of(
            root,
            &api.collections(Some(root), true).await?,
        ));
        by_root.insert(root, Arc::clone(&vocabulary));
        Ok(vocabulary)
    }

    /// The id of an entry directly below a root, created where it is not there. However many ask at
    /// the same time, it is created once.
    ///
    /// Errors: `Unavailable` when the answer was lost and lists, once they had their time, do not know it.
    pub(crate) async fn ensure(
        &self,
        api: &Api,
        root: i64,
        locale: &str,
        name: &str,
    ) -> Result<i64> {
        let mut by_root = self.by_root.lock().await;
        let mut vocabulary = by_root.get(&root).map(Arc::clone).unwrap_or_default();
        if let Entry::One(id) = vocabulary.find(name) {
            return Ok(id);
        }
        let created = match api.create_collection(root, locale, name).await {
            Ok(got) => got.or_refused(&format!("creating the keyword {name:?}"))?,
            Err(error) if error.kind() == Kind::Ambiguous => {
                tracing::debug!(name, error = %error.chain(), "looking whether a keyword was created");
                let vocabulary = Arc::new(self.await_entry(api, root, name).await?);
                let found = vocabulary.find(name);
                by_root.insert(root, vocabulary);
                return match found {
                    Entry::One(id) => Ok(id),
                    // Lists had their time, so nothing was created: the next try may.
                    _ => {
                        let message = format!("creating the keyword {name:?} had no answer");
                        Err(Error::new(Kind::Unavailable, message).with_source(error))
                    }
                };
            }
            Err(error) => return Err(error),
        };
        let grown = Arc::make_mut(&mut vocabulary);
        let key = fold_key(name);
        grown.add(&key, created.id);
        grown.names.insert(key, name.to_owned());
        by_root.insert(root, vocabulary);
        Ok(created.id)
    }

    /// The entries below a root, once the one asked for is among them or the lag is over.
    async fn await_entry(&self, api: &Api, root: i64, name: &str) -> Result<Vocabulary> {
        let deadline = Instant::now() + self.index_lag;
        let mut pause = FIRST_LOOK_AGAIN;
        loop {
            let vocabulary = Vocabulary::of(root, &api.collections(Some(root), true).await?);
            let now = Instant::now();
            if !matches!(vocabulary.find(name), Entry::Unknown(_)) || now >= deadline {
                return Ok(vocabulary);
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause *= 2;
        }
    }

    /// Forgets all entries; they are read again when needed.
    pub(crate) async fn forget(&self) {
        self.by_root.lock().await.clear();
    }
}

impl Vocabulary {
    fn of(root: i64, collections: &[Collection]) -> Self {
        let by_id: HashMap<i64, &Collection> = collections.iter().map(|c| (c.id, c)).collect();
        let mut vocabulary = Vocabulary::default();
        for collection in collections {
            for (locale, name) in &collection.name {
                let key = fold_key(name);
                vocabulary.add(&key, collection.id);
                vocabulary
                    .names
                    .entry(key.clone())
                    .or_insert_with(|| name.clone());
                // The path in the same locale, as far as the collections above have it.
                let mut path = key;
                let mut at = collection.parent_id;
                for _ in 0..DEPTH_MAX {
                    let Some(above) = at.filter(|id| *id != root).and_then(|id| by_id.get(&id))
                    else {
                        break;
                    };
                    let name = above
                        .name
                        .get(locale)
                        .or_else(|| above.name.values().next());
                    path = format!("{}/{path}", fold_key(name.map_or("", String::as_str)));
                    at = above.parent_id;
                    vocabulary.add(&path, collection.id);
                }
            }
        }
        vocabulary
    }

    /// The names of all entries.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.names.values().map(String::as_str)
    }

    fn add(&mut self, key: &str, id: i64) {
        let ids = self.entries.entry(key.to_owned()).or_default();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }

    /// What a name, or a `/`-separated path, stands for.
    pub(crate) fn find(&self, name: &str) -> Entry {
        match self
            .entries
            .get(&fold_key(name.trim_matches('/')))
            .map(Vec::as_slice)
        {
            Some([id]) => Entry::One(*id),
            Some([_, ..]) => Entry::Several,
            Some([]) | None => {
                Entry::Unknown(nearest(name, self.names.values().map(String::as_str)))
            }
        }
    }
}

/// The candidate that a mistyped name is closest to, if any is close.
pub(crate) fn nearest<'a>(name: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    let folded = fold_key(name);
    candidates
        .map(|candidate| {
            (
                strsim::damerau_levenshtein(&folded, &fold_key(candidate)),
                candidate,
            )
        })
        .filter(|(distance, candidate)| {
            *distance <= 1 + candidate.chars().count().min(name.chars().count()) / 4
        })
        .min()
        .map(|(_, candidate)| candidate.to_owned())
}
