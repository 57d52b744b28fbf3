//! What of all that was placed still stands at the sink, and what people made of the rest.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{
    Asset, AssetId, AssetPath, Change, Kind, Placement, Readable, Result, Revision, Scope, Source,
};

use super::ReleaseFlow;

/// How something that was placed stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stands {
    /// As it was placed, perhaps elsewhere.
    AsPlaced {
        /// Where it is.
        path: AssetPath,
        /// The revision that it has now: some services give a file that was only moved another one.
        revision: Revision,
    },
    /// Somebody changed it.
    Edited {
        /// Where it is.
        path: AssetPath,
    },
    /// It is not there, though its folder is.
    Gone,
    /// Neither it nor its folder is there.
    GoneWithFolder,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Standing {
    there: BTreeMap<AssetId, Asset>,
    /// What is at each folded path.
    by_path: BTreeMap<String, AssetId>,
    folders: BTreeSet<String>,
}

impl Standing {
    /// Lists the flow's folders at the sink, and asks for what was placed and is not in them.
    pub(crate) async fn look(
        flow: &ReleaseFlow,
        placed: &BTreeMap<AssetId, Placement>,
    ) -> Result<Self> {
        let mut standing = Standing::default();
        for root in flow.roots() {
            standing.list(flow.reader.as_ref(), root).await?;
        }
        for placement in placed.values() {
            let id = &placement.placed.asset;
            if !standing.there.contains_key(id)
                && let Some(asset) = flow.reader.stat(id).await?
            {
                standing.there.insert(id.clone(), asset);
            }
        }
        Ok(standing)
    }

    /// What is in the flow's folders at this moment.
    pub(crate) async fn listed(flow: &ReleaseFlow) -> Result<Self> {
        let mut standing = Standing::default();
        for root in flow.roots() {
            standing.list(flow.reader.as_ref(), root).await?;
        }
        Ok(standing)
    }

    /// An asset of the sink, if it is there.
    pub(crate) fn asset(&self, asset: &AssetId) -> Option<&Asset> {
        self.there.get(asset)
    }

    /// Everything that is in these folders.
    pub(crate) fn below(&self, folders: &BTreeSet<AssetPath>) -> Vec<&Asset> {
        let there = self.there.values();
        there
            .filter(|asset| is_below(&asset.path, folders))
            .collect()
    }

    /// Which of the flow's folders are there, and nothing of what is in them: a page of each tells.
    pub(crate) async fn of_roots(flow: &ReleaseFlow) -> Result<Self> {
        let mut standing = Standing::default();
        for root in flow.roots() {
            let scope = Scope { root };
            match flow.reader.changes(&scope, None).await {
                Ok(_) => drop(standing.folders.insert(scope.root.key())),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(standing)
    }

    /// Where an asset of the sink is, if it is there.
    pub(crate) fn path_of(&self, asset: &AssetId) -> Option<&AssetPath> {
        self.there.get(asset).map(|asset| &asset.path)
    }

    /// Whether a folder is there.
    pub(crate) fn has_folder(&self, folder: &AssetPath) -> bool {
        self.folders.contains(&folder.key())
    }

    /// Whether something is at a path.
    pub(crate) fn is_taken(&self, path: &AssetPath) -> bool {
        self.by_path.contains_key(&path.key())
    }

    async fn list(&mut self, reader: &dyn Source, root: AssetPath) -> Result<()> {
        let scope = Scope { root };
        let mut cursor = None;
        loop {
            let page = match reader.changes(&scope, cursor.as_ref()).await {
                Ok(page) => page,
                // Nothing was placed there yet, or somebody took all of it away.
                Err(error) if error.kind() == Kind::NotFound => return Ok(()),
                Err(error) => return Err(error),
            };
            self.folders.insert(scope.root.key());
            for change in page.changes {
                self.take(change);
            }
            match page.more {
                true => cursor = Some(page.cursor),
                false => return Ok(()),
            }
        }
    }

    fn take(&mut self, change: Change) {
        match change {
            Change::Asset(asset) => {
                let mut folder = asset.path.parent();
                while !folder.as_str().is_empty() && self.folders.insert(folder.key()) {
                    folder = folder.parent();
                }
                let path = asset.path.key();
                let before = self.there.insert(asset.id.clone(), asset.clone());
                if let Some(before) = before.filter(|before| before.path.key() != path) {
                    self.by_path.remove(&before.path.key());
                }
                self.by_path.insert(path, asset.id);
            }
            Change::Folder(folder) => {
                self.folders.insert(folder.path.key());
            }
            Change::Removed(path) => {
                let below = format!("{}/", path.key());
                let is_gone = |key: &String| *key == path.key() || key.starts_with(&below);
                self.folders.retain(|key| !is_gone(key));
                self.by_path.retain(|key, _| !is_gone(key));
                self.there.retain(|_, asset| !is_gone(&asset.path.key()));
            }
        }
    }

    /// How a placement stands.
    pub(crate) fn of(&self, placement: &Placement) -> Stands {
        let placed = &placement.placed;
        let Some(there) = self.there.get(&placed.asset) else {
            let folder = placement.collection.key();
            return match folder.is_empty() || self.folders.contains(&folder) {
                true => Stands::Gone,
                false => Stands::GoneWithFolder,
            };
        };
        let same_hash = there.content_hash.is_some() && there.content_hash == placed.content_hash;
        let is_readable = there.readable == Readable::Yes;
        match there.revision == placed.revision || same_hash || !is_readable {
            true => Stands::AsPlaced {
                path: there.path.clone(),
                revision: there.revision.clone(),
            },
            false => Stands::Edited {
                path: there.path.clone(),
            },
        }
    }
}

/// Whether a file is in one of these folders, or below it.
pub(crate) fn is_below(path: &AssetPath, folders: &BTreeSet<AssetPath>) -> bool {
    let key = path.key();
    folders.iter().any(|folder| {
        let folder = folder.key();
        folder.is_empty() || key.starts_with(&format!("{folder}/"))
    })
}
