//! What the ingest has to know of pairs: which files it is to look at, what became of them, and what of their drafts counts.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{Asset, AssetId, AssetPath, Draft, DraftPart, Placement};

use super::scene::{Item, Scene};
use super::verdict::Verdict;
use super::{Authority, Sync};
use crate::flows::ingest::Partners;

/// See the module.
#[derive(Debug)]
pub(super) struct Book {
    authority: Authority,
    mirrors: bool,
    /// Files that are to be looked at, each with what it was placed as.
    concerned: BTreeMap<AssetId, Entry>,
}

#[derive(Debug, Default)]
struct Entry {
    placement: Option<Placement>,
    proposes: bool,
    /// The asset was placed as this file, and so it stands for no other one.
    is_alone: bool,
    /// The file's place counts.
    moves: bool,
    /// Where the asset is because the file was there.
    leaves: Vec<AssetPath>,
}

impl Book {
    /// What the way in is about: new files, and those whose asset is to follow them.
    pub(super) fn of(sync: &Sync, scene: &Scene) -> Self {
        let new = scene.new_files.iter();
        let mut concerned: BTreeMap<AssetId, Entry> =
            new.map(|id| (id.clone(), Entry::default())).collect();
        for item in &scene.items {
            let Some(file) = &item.file else { continue };
            if let Some(entry) = entry(sync, item, file) {
                concerned.insert(file.id.clone(), entry);
            }
        }
        Book {
            authority: sync.options.authority.clone(),
            mirrors: sync.options.mirrors,
            concerned,
        }
    }
}

fn entry(sync: &Sync, item: &Item, file: &Asset) -> Option<Entry> {
    match &item.verdict {
        Verdict::BeginAnew => Some(Entry::default()),
        Verdict::Inward { proposes, moves } => Some(Entry {
            placement: item
                .version()
                .and_then(|version| item.pair.as_inward(&sync.seen(), file, version)),
            proposes: *proposes,
            is_alone: item.pair.outward.is_some(),
            moves: *moves,
            leaves: match moves {
                true => sync.left_behind(item),
                false => Vec::new(),
            },
        }),
        _ => None,
    }
}

impl Partners for Book {
    fn concerns(&self, file: &Asset) -> bool {
        self.concerned.contains_key(&file.id)
    }

    fn placement(&self, file: &AssetId) -> Option<Placement> {
        self.concerned.get(file)?.placement.clone()
    }

    fn proposes(&self, file: &AssetId) -> bool {
        let entry = self.concerned.get(file);
        entry.is_some_and(|entry| entry.proposes)
    }

    fn is_alone(&self, file: &AssetId) -> bool {
        let entry = self.concerned.get(file);
        entry.is_some_and(|entry| entry.is_alone)
    }

    fn mirrors(&self) -> bool {
        self.mirrors
    }

    fn leaves(&self, file: &AssetId) -> Vec<AssetPath> {
        let entry = self.concerned.get(file);
        entry.map_or_else(Vec::new, |entry| entry.leaves.clone())
    }

    fn yields(&self, file: &AssetId, draft: &Draft) -> BTreeSet<DraftPart> {
        let fields = draft.fields.iter().map(|assigned| &assigned.field);
        let governed = fields.filter(|field| !self.authority.fields.contains(*field));
        let mut yields: BTreeSet<DraftPart> = governed
            .map(|field| DraftPart::Field(field.clone()))
            .collect();
        yields.insert(DraftPart::AssetType);
        if !self.authority.availability {
            yields.insert(DraftPart::Availability);
        }
        let moves = self.concerned.get(file).is_none_or(|entry| entry.moves);
        if !moves {
            yields.extend([DraftPart::Name, DraftPart::Collection]);
        }
        yields
    }
}
