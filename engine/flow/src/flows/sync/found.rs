//! Pairs that the ledger does not have, and that the two sides tell of.
//!
//! Stamps tell: what either way placed carries what it was made of. They are read as long as no pass has seen all of both
//! sides, because then the ledger may be new while the two sides are not. Where two files claim one asset, or two assets
//! one file, nobody is believed.
//!
//! A place tells, too: programs and people save by removing a file and making another one in its place. That one has
//! another id, and is the same piece of work to everybody. So it takes the part of the file that is gone, with bytes that
//! are new to the flow, and whoever decides about changed bytes decides about it.
//!
//! The way in records such a pair, by a step that moves nothing, before the way out does anything about it.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{
    Action, Asset, AssetId, AssetPath, ContentHash, Correlation, Digests, Draft, Evidence, Holding,
    Placed, Placement, Result, Revision, Scope, Source, Stamp,
};

use super::Sync;
use super::pair::{Pair, SLOT, nothing_told};
use super::scene::{Item, Scene};
use super::verdict::AssetNow;
use crate::delivery::delivery_id;
use crate::plan::{PlannedStep, Work};

/// What a side tells of its own things.
#[derive(Debug, Default)]
struct Told {
    stamps: BTreeMap<AssetId, Stamp>,
    /// Those whose bytes are somebody else's by now.
    touched: BTreeSet<AssetId>,
}

/// A file and the asset that one of them names the other as.
type Claim = (AssetId, AssetId);

impl Sync {
    /// Brings together what has no pair and carries a stamp of one.
    pub(super) async fn meet_again(&self, scene: &mut Scene) -> Result<()> {
        if scene.new_files.is_empty() || scene.new_assets.is_empty() {
            return Ok(());
        }
        let files = told(self.files().as_ref(), &self.options.root).await?;
        let assets = told(self.assets.as_ref(), &self.options.query.collection).await?;
        for (file, asset) in undisputed(self.claims(scene, &files, &assets)) {
            let (Some(file), Some(held)) = (
                scene.files.get(&file),
                scene.new_assets.get(&asset).cloned(),
            ) else {
                continue;
            };
            let inward = assets.stamps.get(&asset);
            let is_touched = assets.touched.contains(&asset);
            let inward = inward.and_then(|stamp| self.came_in(stamp, file, &held, is_touched));
            let outward = files.stamps.get(&file.id);
            let outward = outward.and_then(|stamp| self.came_out(stamp, file, &held));
            let reason = match (&inward, &outward) {
                (_, Some(_)) => format!("its stamp names {asset}"),
                (Some(_), None) => format!("{asset} carries its stamp"),
                (None, None) => continue,
            };
            let pair = Pair { inward, outward };
            let mut item = Item::of(pair, Some(file.clone()), Some(held))?;
            item.found = Some(reason);
            scene.new_files.remove(&file.id);
            scene.new_assets.remove(&asset);
            scene.items.push(item);
        }
        Ok(())
    }

    /// Which file and asset name each other, or one the other.
    fn claims(&self, scene: &Scene, files: &Told, assets: &Told) -> BTreeSet<Claim> {
        let mut claims = BTreeSet::new();
        let mut by_origin: BTreeMap<String, AssetId> = BTreeMap::new();
        for (id, held) in &scene.new_assets {
            let mark = self.mark_out(id, &held.asset.revision);
            by_origin.extend(mark.origin().map(|origin| (origin.to_owned(), id.clone())));
        }
        for id in &scene.new_files {
            let origin = files.stamps.get(id).and_then(Stamp::origin);
            let asset = origin.and_then(|origin| by_origin.get(origin));
            claims.extend(asset.map(|asset| (id.clone(), asset.clone())));
        }
        by_origin.clear();
        for file in scene.new_files.iter().filter_map(|id| scene.files.get(id)) {
            let mark = self.mark_in(file);
            let origin = mark.origin().map(str::to_owned);
            by_origin.extend(origin.map(|origin| (origin, file.id.clone())));
        }
        for id in scene.new_assets.keys() {
            let origin = assets.stamps.get(id).and_then(Stamp::origin);
            let file = origin.and_then(|origin| by_origin.get(origin));
            claims.extend(file.map(|file| (file.clone(), id.clone())));
        }
        claims
    }

    /// What an asset is marked with that was made of a file as it is now.
    fn mark_in(&self, file: &Asset) -> Correlation {
        let seen = self.seen();
        let revision = file.revision.as_str();
        Correlation::derive(seen.way_in, seen.files, file.id.as_str(), revision)
    }

    /// What a file is marked with that was made of a version of an asset.
    fn mark_out(&self, asset: &AssetId, version: &Revision) -> Correlation {
        let seen = self.seen();
        let delivery = delivery_id(asset, SLOT);
        Correlation::derive(
            seen.way_out,
            seen.library,
            delivery.as_str(),
            version.as_str(),
        )
    }

    /// What the way in placed, by the asset's stamp. A side that is not as it was then has no revision there.
    fn came_in(
        &self,
        stamp: &Stamp,
        file: &Asset,
        held: &Holding,
        is_touched: bool,
    ) -> Option<Placement> {
        let seen = self.seen();
        let mark = self.mark_in(file);
        if stamp.origin() != mark.origin() {
            return None;
        }
        let content = stamp.content_hash();
        let is_file = stamp.is_of(&mark) || is_content(content, file);
        let is_asset = !is_touched && (!is_file || held.asset.size == file.size);
        Some(Placement {
            flow: seen.way_in.to_owned(),
            source: seen.files.to_owned(),
            source_asset: file.id.clone(),
            source_revision: where_same(is_file, &file.revision),
            source_path: file.path.clone(),
            sink: seen.library.to_owned(),
            placed: Placed {
                asset: held.asset.id.clone(),
                revision: where_same(is_asset, &held.asset.revision),
                size: held.asset.size,
                content_hash: None,
                evidence: Evidence::E0,
            },
            digests: Digests {
                blake3: stamp.blake3()?,
                content_hash: content.or(file.content_hash.filter(|_| is_file)),
                size: match is_file {
                    true => file.size,
                    false => held.asset.size,
                },
            },
            draft_digest: nothing_told(),
            collection: held.asset.path.parent(),
            linked: false,
        })
    }

    /// What the way out placed, by the file's stamp.
    fn came_out(&self, stamp: &Stamp, file: &Asset, held: &Holding) -> Option<Placement> {
        let seen = self.seen();
        let mark = self.mark_out(&held.asset.id, &held.asset.revision);
        if stamp.origin() != mark.origin() {
            return None;
        }
        let content = stamp.content_hash();
        let is_file = is_content(content, file);
        Some(Placement {
            flow: seen.way_out.to_owned(),
            source: seen.library.to_owned(),
            source_asset: delivery_id(&held.asset.id, SLOT),
            source_revision: where_same(stamp.is_of(&mark), &held.asset.revision),
            source_path: held.asset.path.clone(),
            sink: seen.files.to_owned(),
            placed: Placed {
                asset: file.id.clone(),
                revision: where_same(is_file, &file.revision),
                size: file.size,
                content_hash: content,
                evidence: Evidence::E0,
            },
            digests: Digests {
                blake3: stamp.blake3()?,
                content_hash: content,
                size: file.size,
            },
            draft_digest: nothing_told(),
            collection: file.path.parent(),
            linked: false,
        })
    }

    /// Lets new files take the part of those that are gone, and in whose place they are.
    pub(super) fn succeed(&self, scene: &mut Scene) -> Result<()> {
        let new = scene.new_files.iter().filter_map(|id| scene.files.get(id));
        let mut by_place: BTreeMap<String, AssetId> =
            new.map(|file| (file.path.key(), file.id.clone())).collect();
        if by_place.is_empty() {
            return Ok(());
        }
        for item in &mut scene.items {
            if !self.is_bereft(item, &scene.taken) {
                continue;
            }
            let places = item.pair.file_places(|_, _| true);
            let there = places
                .iter()
                .find_map(|place| by_place.remove(&place.key()));
            let file = there.and_then(|id| scene.files.get(&id));
            let (Some(file), Some(held)) = (file, &item.held) else {
                continue;
            };
            let Some(pair) = item.pair.succeeded(&self.seen(), file, held) else {
                continue;
            };
            scene.new_files.remove(&file.id);
            let mut follows = Item::of(pair, Some(file.clone()), item.held.take())?;
            follows.objection = item.objection.take();
            follows.found = Some("it is in the place of its file, which is gone".to_owned());
            *item = follows;
        }
        Ok(())
    }

    /// Whether the asset of a pair is there and its file is not, though the flow did not take it.
    fn is_bereft(&self, item: &Item, taken: &BTreeSet<AssetId>) -> bool {
        let is_taken = item.pair.asset().is_some_and(|id| taken.contains(&id));
        let is_there = matches!(self.asset_now(item), AssetNow::There(_) | AssetNow::Kept(_));
        item.file.is_none() && is_there && !is_taken
    }

    /// The steps that record pairs which were found. What the ingest brings over anyway is recorded by that.
    pub(super) fn adopting(&self, scene: &Scene, steps: &[PlannedStep]) -> Vec<PlannedStep> {
        let placed: BTreeSet<&AssetId> = steps
            .iter()
            .filter(|step| step.work.is_some())
            .map(|step| &step.asset.id)
            .collect();
        let items = scene.items.iter();
        items
            .filter_map(|item| {
                let (Some(found), Some(file)) = (&item.found, &item.file) else {
                    return None;
                };
                let placement = item.pair.recorded(file, item.version()?)?;
                (!placed.contains(&file.id)).then(|| adopting(found, file, placement))
            })
            .collect()
    }
}

fn adopting(found: &str, file: &Asset, placement: Placement) -> PlannedStep {
    let draft = Draft {
        name: file.path.name().to_owned(),
        file_name: file.path.name().to_owned(),
        collection: placement.collection.clone(),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    };
    PlannedStep {
        action: Action::Adopt,
        reason: found.to_owned(),
        asset: file.clone(),
        work: Some(Work::Adopt {
            placement: Box::new(placement),
            asset: file.clone(),
            draft,
        }),
    }
}

/// Everything that carries a stamp.
async fn told(source: &dyn Source, root: &AssetPath) -> Result<Told> {
    let scope = Scope { root: root.clone() };
    let mut told = Told::default();
    let mut cursor = None;
    loop {
        let listed = source.stamped(&scope, cursor.as_ref()).await?;
        told.stamps.extend(listed.stamps);
        told.touched.extend(listed.touched);
        match listed.page.more {
            true => cursor = Some(listed.page.cursor),
            false => return Ok(told),
        }
    }
}

/// Claims of which neither side has another one.
fn undisputed(claims: BTreeSet<Claim>) -> Vec<Claim> {
    let mut files: BTreeMap<&AssetId, u32> = BTreeMap::new();
    let mut assets: BTreeMap<&AssetId, u32> = BTreeMap::new();
    for (file, asset) in &claims {
        *files.entry(file).or_default() += 1;
        *assets.entry(asset).or_default() += 1;
    }
    let is_one =
        |(file, asset): &&Claim| files.get(file) == Some(&1) && assets.get(asset) == Some(&1);
    claims.iter().filter(is_one).cloned().collect()
}

fn is_content(content: Option<ContentHash>, file: &Asset) -> bool {
    content.is_some() && content == file.content_hash
}

/// What something is now, where it is what it was; else the revision that nothing has.
fn where_same(is_same: bool, revision: &Revision) -> Revision {
    match is_same {
        true => revision.clone(),
        false => Revision::new(""),
    }
}
