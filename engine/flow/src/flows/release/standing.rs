//! What of all that was placed still stands at the sink, and what people made of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

/// See the module. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    there: Arc<BTreeMap<AssetId, Asset>>,
    /// What was asked for because it is in none of the flow's folders.
    elsewhere: BTreeMap<AssetId, Asset>,
    /// What is at each folded path.
    by_path: Arc<BTreeMap<String, AssetId>>,
    folders: Arc<BTreeSet<String>>,
}

impl Standing {
    /// What somebody listed a moment ago: the assets below the flow's folders, which of them is at each folded path, and
    /// the folded folders.
    pub(crate) fn listed_by(
        there: Arc<BTreeMap<AssetId, Asset>>,
        by_path: Arc<BTreeMap<String, AssetId>>,
        folders: Arc<BTreeSet<String>>,
    ) -> Self {
        Standing {
            there,
            elsewhere: BTreeMap::new(),
            by_path,
            folders,
        }
    }

    /// Lists the flow's folders at the sink, unless its kind has, and asks for what was placed and is not in them.
    pub(crate) async fn look(
        flow: &ReleaseFlow,
        placed: &BTreeMap<AssetId, Placement>,
    ) -> Result<Self> {
        let mut standing = match flow.options.kind.sight() {
            Some(sight) => sight.standing.clone(),
            None => Standing::listed(flow).await?,
        };
        for placement in placed.values() {
            let id = &placement.placed.asset;
            if !standing.there.contains_key(id)
                && let Some(asset) = flow.reader.stat(id).await?
            {
                standing.elsewhere.insert(id.clone(), asset);
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
        self.there.get(asset).or_else(|| self.elsewhere.get(asset))
    }

    /// Everything that is in these folders.
    pub(crate) fn below(&self, folders: &BTreeSet<AssetPath>) -> Vec<&Asset> {
        let there = self.there.values().chain(self.elsewhere.values());
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
                Ok(_) => drop(Arc::make_mut(&mut standing.folders).insert(scope.root.key())),
                Err(error) if error.kind() == Kind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(standing)
    }

    /// Where an asset of the sink is, if it is there.
    pub(crate) fn path_of(&self, asset: &AssetId) -> Option<&AssetPath> {
        self.asset(asset).map(|asset| &asset.path)
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
            Arc::make_mut(&mut self.folders).insert(scope.root.key());
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
        let there = Arc::make_mut(&mut self.there);
        let by_path = Arc::make_mut(&mut self.by_path);
        let folders = Arc::make_mut(&mut self.folders);
        match change {
            Change::Asset(asset) => {
                take_folders(folders, &asset.path);
                let path = asset.path.key();
                let before = there.insert(asset.id.clone(), asset.clone());
                if let Some(before) = before.filter(|before| before.path.key() != path) {
                    by_path.remove(&before.path.key());
                }
                by_path.insert(path, asset.id);
            }
            Change::Folder(folder) => {
                folders.insert(folder.path.key());
            }
            Change::Removed(path) => {
                let below = format!("{}/", path.key());
                let is_gone = |key: &String| *key == path.key() || key.starts_with(&below);
                folders.retain(|key| !is_gone(key));
                by_path.retain(|key, _| !is_gone(key));
                there.retain(|_, asset| !is_gone(&asset.path.key()));
            }
        }
    }

    /// How a placement stands.
    pub(crate) fn of(&self, placement: &Placement) -> Stands {
        let placed = &placement.placed;
        let Some(there) = self.asset(&placed.asset) else {
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

/// Adds the folders that a file is in, folded.
pub(crate) fn take_folders(folders: &mut BTreeSet<String>, file: &AssetPath) {
    let mut folder = file.parent();
    while !folder.as_str().is_empty() && folders.insert(folder.key()) {
        folder = folder.parent();
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
