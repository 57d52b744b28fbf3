//! Collections by path of names: found once, created once, however many uploads ask at the same time.
//!
//! A collection has a name per locale; a path segment matches any of them, case and Unicode form apart.
//! One task at a time looks or creates; all others find its result in the cache.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex as Cache, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::Instant;
use windlass_core::{AssetPath, Error, Kind, Result, fold_key};

use crate::client::{Api, Got};
use crate::wire;

/// What is known of one collection.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: i64,
    /// The type, or that of the nearest collection above that has one.
    pub(crate) type_id: Option<i64>,
    /// Whether assets in it must be complete.
    pub(crate) strict: bool,
}

/// Where a path ends.
#[derive(Clone, Debug)]
pub(crate) enum Reached {
    /// It is there.
    Whole(Known),
    /// The collection above the first name that is not there, and that name.
    Partly(Known, String),
    /// Not even its root is there.
    Nothing {
        /// The roots that are there, for the message.
        roots: Vec<String>,
    },
    /// Several collections have this name at this place.
    Ambiguous(String),
}

/// The collections of one tenant, as far as anybody asked.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    found: Cache<HashMap<String, Known>>,
    /// Children by parent, and the one task that may look or create.
    children: Mutex<HashMap<Option<i64>, Children>>,
}

/// The collections directly below one, by every name they have.
#[derive(Debug)]
struct Children {
    by_name: BTreeMap<String, Vec<Known>>,
    listed: Instant,
}

/// How long a list is good enough to create by: people create collections, too.
const LIST_AGE_MAX: Duration = Duration::from_secs(60);

impl Children {
    fn add(&mut self, name: &str, known: Known) {
        self.by_name.entry(fold_key(name)).or_default().push(known);
    }
}

impl Tree {
    /// Follows a path without creating anything.
    pub(crate) async fn find(&self, api: &Api, path: &AssetPath) -> Result<Reached> {
        if let Some(known) = self.cached(path) {
            return Ok(Reached::Whole(known));
        }
        let mut children = self.children.lock().await;
        let reached = follow(api, &mut children, path).await?;
        if let Reached::Whole(known) = &reached {
            self.remember(path, known);
        }
        Ok(reached)
    }

    /// Follows a path and creates what is missing below its root. After a lost answer, a list is
    /// believed to say that nothing was created only once `index_lag` is over.
    pub(crate) async fn find_or_create(
        &self,
        api: &Api,
        path: &AssetPath,
        locale: &str,
        may_create: bool,
        index_lag: Duration,
    ) -> Result<Known> {
        if let Some(known) = self.cached(path) {
            return Ok(known);
        }
        // Held across requests on purpose: whoever waits here needs this very result.
        let mut children = self.children.lock().await;
        loop {
            match follow(api, &mut children, path).await? {
                Reached::Whole(known) => {
                    self.remember(path, &known);
                    return Ok(known);
                }
                // A list that is too young again could lag behind what was created by the old one.
                Reached::Partly(above, _)
                    if may_create
                        && children.get(&Some(above.id)).is_none_or(|list| {
                            list.listed.elapsed() > LIST_AGE_MAX + index_lag
                        }) =>
                {
                    let listed = list(api, Some(&above)).await?;
                    children.insert(Some(above.id), listed);
                }
                Reached::Partly(above, name) if may_create => {
                    match create(api, &above, locale, &name).await? {
                        // What was listed before is right but for this one; a fresh list may lag.
                        Some(created) => {
                            if let Some(list) = children.get_mut(&Some(above.id)) {
                                list.add(&name, created);
                            }
                        }
                        None => {
                            let listed = await_child(api, &above, &name, index_lag).await?;
                            children.insert(Some(above.id), listed);
                        }
                    }
                }
                other => return Err(missing(path, &other)),
            }
        }
    }

    /// Forgets everything: something that was known turned out not to be there any more.
    pub(crate) async fn forget(&self) {
        self.children.lock().await.clear();
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }

    fn cached(&self, path: &AssetPath) -> Option<Known> {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&path.key())
            .cloned()
    }

    fn remember(&self, path: &AssetPath, known: &Known) {
        self.found
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(path.key(), known.clone());
    }
}

/// Why a path cannot be used, as a message and a hint.
pub(crate) fn why_missing(path: &AssetPath, reached: &Reached) -> (String, Option<String>) {
    match reached {
        Reached::Whole(_) => (format!("the collection {path} is there"), None),
        Reached::Partly(_, name) => (
            format!("the collection {path} does not exist: {name:?} is missing"),
            Some("create it, or set createCollections in the tenant's profile".to_owned()),
        ),
        Reached::Nothing { roots } => (
            format!("the collection {path} does not exist, and its root is not there either"),
            Some(match roots.as_slice() {
                [] => "this user sees no root collection".to_owned(),
                roots => format!("this user sees {}", roots.join(", ")),
            }),
        ),
        Reached::Ambiguous(name) => (
            format!("several collections are named {name:?} on the way to {path}"),
            Some("rename all but one".to_owned()),
        ),
    }
}

pub(crate) fn missing(path: &AssetPath, reached: &Reached) -> Error {
    let (message, hint) = why_missing(path, reached);
    let error = Error::new(Kind::NotFound, message);
    match hint {
        Some(hint) => error.with_hint(hint),
        None => error,
    }
}

async fn follow(
    api: &Api,
    children: &mut HashMap<Option<i64>, Children>,
    path: &AssetPath,
) -> Result<Reached> {
    let mut at: Option<Known> = None;
    for segment in path.segments() {
        let parent = at.as_ref().map(|known| known.id);
        if let std::collections::hash_map::Entry::Vacant(slot) = children.entry(parent) {
            slot.insert(list(api, at.as_ref()).await?);
        }
        let here = &children[&parent].by_name;
        match (here.get(&fold_key(segment)).map(Vec::as_slice), at) {
            (Some([one]), _) => at = Some(one.clone()),
            (Some([_, _, ..]), _) => return Ok(Reached::Ambiguous(segment.to_owned())),
            (Some([]) | None, Some(above)) => {
                return Ok(Reached::Partly(above, segment.to_owned()));
            }
            (Some([]) | None, None) => {
                let roots = here.keys().map(|name| format!("/{name}")).collect();
                return Ok(Reached::Nothing { roots });
            }
        }
    }
    Ok(match at {
        Some(known) => Reached::Whole(known),
        None => Reached::Nothing { roots: Vec::new() },
    })
}

/// The collections directly below one, or the roots.
async fn list(api: &Api, parent: Option<&Known>) -> Result<Children> {
    let mut children = Children {
        by_name: BTreeMap::new(),
        listed: Instant::now(),
    };
    for collection in api.collections(parent.map(|known| known.id), false).await? {
        // Without a parent the API may list more than the roots.
        if collection.parent_id.is_some() && parent.is_none() {
            continue;
        }
        let known = known(&collection, parent);
        let mut names: Vec<String> = collection
            .name
            .values()
            .map(|name| fold_key(name))
            .collect();
        names.sort();
        names.dedup();
        for name in names {
            children.add(&name, known.clone());
        }
    }
    Ok(children)
}

fn known(collection: &wire::Collection, parent: Option<&Known>) -> Known {
    Known {
        id: collection.id,
        type_id: collection
            .type_id
            .or_else(|| parent.and_then(|parent| parent.type_id)),
        strict: match collection.validation_level.as_deref() {
            Some(level) => level != "TOLERANT",
            None => parent.is_none_or(|parent| parent.strict),
        },
    }
}

/// The children of a collection, once the one asked for is among them or the lag is over.
async fn await_child(
    api: &Api,
    above: &Known,
    name: &str,
    index_lag: Duration,
) -> Result<Children> {
    let deadline = Instant::now() + index_lag;
    let mut pause = Duration::from_millis(500);
    loop {
        let listed = list(api, Some(above)).await?;
        let now = Instant::now();
        if listed.by_name.contains_key(&fold_key(name)) || now >= deadline {
            return Ok(listed);
        }
        tokio::time::sleep(pause.min(deadline - now)).await;
        pause *= 2;
    }
}

/// Creates one collection. `None`: the answer was lost, so look again.
async fn create(api: &Api, above: &Known, locale: &str, name: &str) -> Result<Option<Known>> {
    match api.create_collection(above.id, locale, name).await {
        Ok(Got::Value(collection)) => Ok(Some(known(&collection, Some(above)))),
        Ok(Got::Refused(refusal)) => {
            Err(refusal.into_error(&format!("creating the collection {name:?}"), |_| None))
        }
        Err(error) if error.kind() == Kind::Ambiguous => {
            tracing::debug!(name, error = %error.chain(), "looking whether a collection was created");
            Ok(None)
        }
        Err(error) => Err(error),
    }
}
