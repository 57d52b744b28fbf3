//! Handing out from memory: links, shared folders and taking back, and the handles by which a test looks at them or
//! acts as another person.

use std::collections::btree_map::Entry;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::endpoint::{MemoryEndpoint, Operation};
use super::sink::placed;
use super::store::{File, Store, gone};
use crate::asset::{Asset, AssetPath};
use crate::clock::Clock;
use crate::digest::ContentHash;
use crate::error::{Error, Kind, Result};
use crate::names::fold_key;
use crate::outlet::{LinkTerms, Member, Outlet, SharedFolder, SharedLink, Taken};
use crate::ports::{Endpoint, Placed};

/// How many names are tried where what is kept has the name of something else.
const NAMES_MAX: u32 = 100;

impl MemoryEndpoint {
    /// The links by which people get the asset at a path.
    pub fn links_of(&self, path: &str) -> Vec<SharedLink> {
        let store = self.lock();
        let file = store.at(&AssetPath::new(path));
        file.and_then(|file| file.shared.clone())
            .into_iter()
            .collect()
    }

    /// The members of a shared folder, in the order in which they were invited; nobody's where it is not shared.
    pub fn members_of(&self, folder: &str) -> Vec<Member> {
        let store = self.lock();
        let members = store.members.get(&store.key(&AssetPath::new(folder)));
        members.cloned().unwrap_or_default()
    }

    /// Lets another person change an asset: a new revision of it.
    ///
    /// Errors: `NotFound` where nothing is.
    pub fn edit(&self, path: &str, bytes: impl Into<Bytes>) -> Result<Asset> {
        let path = AssetPath::new(path);
        let mut store = self.lock();
        let id = store.at(&path).map(|file| file.asset.id.clone());
        let nothing = || Error::new(Kind::NotFound, "nothing is there").with_context("path", &path);
        let file = store.new_version(&id.ok_or_else(nothing)?, bytes.into())?;
        Ok(file.asset.clone())
    }

    /// Refuses to invite an address from now on.
    pub fn refuse_member(&self, email: &str, message: &str) {
        let (email, message) = (fold_key(email), message.to_owned());
        self.lock().uninvitable.insert(email, message);
    }

    /// The time of day by which links end; the machine's unless a test says otherwise.
    pub fn set_clock(&self, clock: Arc<dyn Clock>) {
        self.lock().clock = clock;
    }
}

#[async_trait]
impl Outlet for MemoryEndpoint {
    async fn take_back(&self, placed: &Placed, keep: Option<&AssetPath>) -> Result<Taken> {
        let mut store = self.enter(Operation::TakeBack)?;
        let Some(file) = store.file(&placed.asset) else {
            return Ok(Taken::Absent);
        };
        if !is_as_placed(file, placed) {
            return Ok(Taken::Changed {
                revision: file.asset.revision.clone(),
                path: file.asset.path.clone(),
            });
        }
        let recipients = recipients(&store, &file.asset.path);
        let kept = match keep {
            Some(keep) => Some(put_away(&mut store, placed, keep)?),
            None => None,
        };
        let file = store
            .file_mut(&placed.asset)
            .ok_or_else(|| gone(&placed.asset))?;
        let links = file.shared.take().map(|link| link.url);
        if kept.is_none() {
            store.remove_file(&placed.asset);
        }
        Ok(Taken::Back {
            kept,
            links: links.into_iter().collect(),
            recipients,
        })
    }

    async fn move_to(&self, placed_before: &Placed, to: &AssetPath) -> Result<Option<Placed>> {
        let mut store = self.enter(Operation::MoveTo)?;
        let file = store.file(&placed_before.asset);
        if !file.is_some_and(|file| is_as_placed(file, placed_before)) {
            return Ok(None);
        }
        store.move_file(&placed_before.asset, to)?;
        let file = store.file(&placed_before.asset);
        Ok(file.map(|file| placed(file, self.capabilities())))
    }

    async fn link(&self, placed: &Placed, terms: &LinkTerms) -> Result<SharedLink> {
        let mut store = self.enter(Operation::Link)?;
        let now = store.clock.now();
        let expires = terms.ends(now);
        let file = store
            .file_mut(&placed.asset)
            .ok_or_else(|| gone(&placed.asset))?;
        let url = format!("memory://{}", file.asset.id);
        let link = file.shared.get_or_insert(SharedLink { url, expires });
        // Days are counted from when it was made: it is not moved on, unless it has ended.
        let is_other = match (link.expires, expires) {
            (Some(there), Some(wanted)) => there > wanted || there <= now || terms.days.is_none(),
            (there, wanted) => there != wanted,
        };
        if is_other {
            link.expires = expires;
        }
        Ok(link.clone())
    }

    async fn share(&self, folder: &AssetPath, members: &[Member]) -> Result<SharedFolder> {
        let mut guard = self.enter(Operation::Share)?;
        let store = &mut *guard;
        store.add_folder(folder)?;
        let mut shared = SharedFolder::default();
        let key = store.key(folder);
        let there = match store.members.entry(key) {
            Entry::Occupied(entry) => entry.into_mut(),
            Entry::Vacant(entry) => {
                shared.is_new = true;
                entry.insert(Vec::new())
            }
        };
        for member in members {
            let email = fold_key(&member.email);
            if there.iter().any(|known| fold_key(&known.email) == email) {
                continue;
            }
            match store.uninvitable.get(&email) {
                Some(why) => shared.refused.push((member.email.clone(), why.clone())),
                None => {
                    there.push(member.clone());
                    shared.invited.push(member.email.clone());
                }
            }
        }
        Ok(shared)
    }

    fn address(&self, path: &AssetPath) -> String {
        format!("memory://{}{}", self.name(), path.as_str())
    }
}

/// Whether nobody changed it since; where it is does not matter.
fn is_as_placed(file: &File, placed: &Placed) -> bool {
    file.asset.revision == placed.revision
        || (file.asset.size == placed.size
            && placed
                .content_hash
                .is_some_and(|hash| hash == ContentHash::of(&file.bytes)))
}

/// Moves it to where it is kept, under a number where something else has the name. What lies there already stays.
fn put_away(store: &mut Store, placed: &Placed, keep: &AssetPath) -> Result<AssetPath> {
    for name in keep.numbered().take(NAMES_MAX as usize) {
        let is_ours = store
            .at(&name)
            .is_some_and(|there| there.asset.id == placed.asset);
        let is_free = store.at(&name).is_none() && !store.is_folder(&name);
        if is_ours || is_free {
            store.move_file(&placed.asset, &name)?;
            return Ok(name);
        }
    }
    Err(
        Error::new(Kind::Conflict, "too many things of that name are kept")
            .with_context("path", keep),
    )
}

/// The members of all shared folders that hold a path.
fn recipients(store: &Store, path: &AssetPath) -> Vec<String> {
    let mut folder = path.parent();
    let mut emails = Vec::new();
    loop {
        let members = store.members.get(&store.key(&folder));
        emails.extend(
            members
                .into_iter()
                .flatten()
                .map(|member| member.email.clone()),
        );
        if folder.as_str().is_empty() {
            return emails;
        }
        folder = folder.parent();
    }
}
