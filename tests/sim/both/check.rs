//! What must be true of a two-way world: always, and once people rest and nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{AssetId, AssetPath, Ledger, Placement, fold_key};
use windlass_flow::BytesAuthority;
use windlass_sandbox::celum::{AssetSnapshot, Availability};
use windlass_sandbox::dropbox::TreeEntry;

use super::{COLLECTION, REMOVED, REMOVED_ASSETS, ROOT, WAY_IN, WAY_OUT, World};
use crate::check::ledger_is_settled;

/// What somebody saved and nobody brought over is still what a file or an asset is, and nothing became an asset twice.
pub(super) async fn nothing_is_lost(world: &World) {
    let placed = placed(world).await;
    // A pass may bring one thing over after the other, so what placements say by now is not all.
    let saved = world.book.borrow().contents();
    let known = world.ledger.contents(&saved).await.expect("contents");
    let mut book = world.book.borrow_mut();
    let known = known.into_iter().flatten().map(|one| one.blake3);
    book.known.extend(known);
    let current = book.current(world);
    let visible = book.visible(world);
    for (index, save) in book.saves.iter().enumerate() {
        let (files, assets) = current.get(&index).copied().unwrap_or_default();
        let was_overtaken = save.is_again && book.known.contains(&save.blake3);
        let is_free = save.is_ended || was_overtaken;
        assert!(is_free || files + assets > 0, "content {index} is lost");
        assert!(
            assets <= save.assets_max,
            "content {index} is {assets} assets"
        );
        let visible = visible.get(&index).copied().unwrap_or_default();
        assert!(
            visible <= save.files_max,
            "content {index} is {visible} files"
        );
    }
    let again = book.written_again(world);
    assert!(again.is_empty(), "written again: {again:?}");
    if world.plot.bytes == BytesAuthority::Propose {
        let unasked = book.unasked(world);
        assert!(unasked.is_empty(), "nobody chose what {unasked:?} are");
    }
    let assets = world.tenant.asset_count() + book.deleted;
    let made = book.made;
    assert!(assets <= made, "{assets} assets of {made} things");
    drop(book);
    no_file_changes_its_asset(world, &placed);
    little_is_put_away(world);
}

/// A file that an asset was placed as does not become another asset while that one is there.
fn no_file_changes_its_asset(world: &World, placed: &[Placement]) {
    let there: BTreeSet<String> = world
        .tenant
        .assets()
        .iter()
        .map(|asset| asset.id.to_string())
        .collect();
    let (inward, outward): (Vec<_>, Vec<_>) = placed.iter().partition(|one| one.flow == WAY_IN);
    let outward: BTreeMap<String, String> = outward
        .into_iter()
        .map(both_ids)
        .map(|[asset, file]| (file, asset))
        .collect();
    for [file, asset] in inward.into_iter().map(both_ids) {
        let before = outward.get(&file).filter(|before| there.contains(*before));
        let is_other = before.is_some_and(|before| *before != asset);
        assert!(!is_other, "{file} was {before:?} and became {asset}");
    }
}

/// What was put away is in one folder for each pass, and no pass puts away more than the cap says, or anything where removals
/// are not carried out.
fn little_is_put_away(world: &World) {
    let cap = match (world.plot.removing, world.plot.cap) {
        (false, _) => 0,
        (true, cap) => cap.unwrap_or(u64::MAX),
    };
    let files = world.account.tree().into_iter();
    let files = files.filter(|entry| entry.file.is_some());
    let files = files.map(|entry| entry.path_display);
    let assets = world.tenant.assets().into_iter();
    let assets = assets.flat_map(|asset| asset.parents);
    let mut passes: BTreeMap<String, u64> = BTreeMap::new();
    let kept = files.map(|path| (path, REMOVED));
    let kept = kept.chain(assets.map(|path| (format!("/{path}"), REMOVED_ASSETS)));
    for (path, folder) in kept {
        let Some(rest) = path.strip_prefix(&format!("{folder}/")) else {
            continue;
        };
        let moment = rest.split('/').next().unwrap_or_default();
        *passes.entry(format!("{folder}/{moment}")).or_default() += 1;
    }
    for (pass, count) in passes {
        assert!(count <= cap, "{count} are put away in {pass}, of {cap}");
    }
}

async fn placed(world: &World) -> Vec<Placement> {
    let mut placed = Vec::new();
    for (flow, source) in [(WAY_IN, "studio"), (WAY_OUT, "dam")] {
        let page = world.ledger.placements_after(flow, source, None, 10_000);
        placed.extend(page.await.expect("placements"));
    }
    placed
}

/// Both sides agree about every pair that nothing keeps apart, and everything is settled.
pub(super) async fn at_rest(world: &World) {
    nothing_is_lost(world).await;
    ledger_is_settled(&world.ledger).await;
    assert_eq!(world.tenant.leaked_credentials(), 0);
    let sides = Sides::of(world).await;
    sides.are_of_people(world);
    for (file, asset) in &sides.pairs {
        sides.agree(world, file, *asset);
    }
    sides.are_whole();
    sides.keep_to_rights(world).await;
}

/// Both sides at one moment.
struct Sides {
    files: BTreeMap<String, TreeEntry>,
    assets: BTreeMap<u64, AssetSnapshot>,
    /// Files and what they are, by ids.
    pairs: BTreeSet<(String, u64)>,
    /// Files and assets that the ledger knows of.
    known: BTreeSet<String>,
    /// Subjects of conflicts.
    disputed: BTreeSet<AssetId>,
}

impl Sides {
    async fn of(world: &World) -> Sides {
        let tree = world.account.tree().into_iter();
        let files = tree.filter(|entry| entry.file.is_some());
        let assets = world.tenant.assets().into_iter();
        let conflicts = world.conflicts().await;
        let placed = placed(world).await;
        let both = |one: &windlass_core::Conflict| {
            [one.found.subject.clone(), one.found.asset.asset.clone()]
        };
        Sides {
            files: files.map(|entry| (entry.id.clone(), entry)).collect(),
            assets: assets.map(|asset| (asset.id, asset)).collect(),
            pairs: pairs(&placed),
            known: placed.iter().flat_map(both_ids).collect(),
            disputed: conflicts.iter().flat_map(both).collect(),
        }
    }

    /// Nobody finds what nobody saved, in part or damaged.
    fn are_of_people(&self, world: &World) {
        let mut book = world.book.borrow_mut();
        for file in self.files.values() {
            let content = book.content_of_file(world, &file.path_display);
            assert!(content.is_some(), "{} is of nobody", file.path_display);
        }
        for asset in self.assets.values() {
            let content = book.content_of_asset(world, asset.id);
            assert!(content.is_some(), "asset {} is of nobody", asset.id);
        }
    }

    /// What is approved became an asset, and what may be used became a file: nothing is left over but what waits for a
    /// choice, or for its place.
    fn are_whole(&self) {
        let is_disputed = |id: &str| self.disputed.contains(&AssetId::new(id));
        for file in self.files.values() {
            let is_wanted = below(&file.path_display, ROOT).is_some() && is_approved(file);
            let is_done = self.known.contains(&file.id) || is_disputed(&file.id);
            assert!(!is_wanted || is_done, "{file:?} was left over");
        }
        for asset in self.assets.values() {
            let may_be_used = asset.availability != Some(Availability::Direct(false));
            let is_wanted = !folders(asset).is_empty() && may_be_used;
            let id = asset.id.to_string();
            let is_done = self.known.contains(&id) || is_disputed(&id) || self.has_no_place(asset);
            assert!(!is_wanted || is_done, "{asset:?} was left over");
        }
    }

    /// No file that the way out placed, and that nobody changed since, shows an asset that may not be used.
    async fn keep_to_rights(&self, world: &World) {
        let placed = placed(world).await.into_iter();
        for one in placed.filter(|one| one.flow == WAY_OUT) {
            let [asset, file] = both_ids(&one);
            let asset = asset.parse().ok().and_then(|id: u64| self.assets.get(&id));
            let may_not =
                asset.is_some_and(|asset| asset.availability == Some(Availability::Direct(false)));
            let file = self.files.get(&file).filter(|file| {
                let revision = file.file.as_ref().map(|file| file.rev.as_str());
                revision == Some(one.placed.revision.as_str())
                    && below(&file.path_display, ROOT).is_some()
            });
            assert!(
                !may_not || file.is_none(),
                "{file:?} may not be there: {asset:?}"
            );
        }
    }

    /// Whether another asset or another file is where the file of this one would be.
    fn has_no_place(&self, asset: &AssetSnapshot) -> bool {
        let is_there = |file: &TreeEntry| is_in_one_place(file, asset);
        let others = self.assets.values().filter(|other| other.id != asset.id);
        let mut others = others.filter(|other| title(other) == title(asset));
        let is_twin = |other: &AssetSnapshot| {
            let there = folders(other);
            folders(asset).iter().any(|folder| there.contains(folder))
        };
        self.files.values().any(is_there) || others.any(is_twin)
    }

    fn agree(&self, world: &World, file: &str, asset: u64) {
        let (Some(file), Some(asset)) = (self.files.get(file), self.assets.get(&asset)) else {
            return;
        };
        if self.is_apart(file, asset) {
            return;
        }
        let mut book = world.book.borrow_mut();
        let of_file = book.content_of_file(world, &file.path_display);
        let of_asset = book.content_of_asset(world, asset.id);
        let both = format!("{} and {} {:?}", file.path_display, asset.id, asset);
        assert_eq!(of_file, of_asset, "{both}");
        assert!(is_in_one_place(file, asset), "{both} are in two places");
    }

    /// Whether something keeps the two from being one: a removal, a question, a missing approval, a right, a taken place.
    fn is_apart(&self, file: &TreeEntry, asset: &AssetSnapshot) -> bool {
        let is_elsewhere = below(&file.path_display, ROOT).is_none() || folders(asset).is_empty();
        let waits = !is_approved(file) || asset.availability == Some(Availability::Direct(false));
        let ids = [
            AssetId::new(file.id.as_str()),
            AssetId::new(asset.id.to_string()),
        ];
        let is_disputed = ids.iter().any(|id| self.disputed.contains(id));
        let others = self.assets.values().filter(|other| other.id != asset.id);
        let other_asset = others.into_iter().any(|other| is_in_one_place(file, other));
        let others = self.files.values().filter(|other| other.id != file.id);
        let other_file = others
            .into_iter()
            .any(|other| is_in_one_place(other, asset));
        is_elsewhere || waits || is_disputed || other_asset || other_file
    }
}

/// The file and the asset of a placement.
fn both_ids(one: &Placement) -> [String; 2] {
    let source = one.source_asset.as_str();
    let source = source.rsplit_once('#').map_or(source, |(asset, _)| asset);
    [source.to_owned(), one.placed.asset.to_string()]
}

/// The pairs that placements make. An asset stands for one file: the one that it was placed as last.
fn pairs(placed: &[Placement]) -> BTreeSet<(String, u64)> {
    let number = |text: &str| text.parse::<u64>().expect("an asset's id");
    let mut by_asset: BTreeMap<u64, Vec<String>> = BTreeMap::new();
    let (inward, outward): (Vec<_>, Vec<_>) = placed.iter().partition(|one| one.flow == WAY_IN);
    for one in outward {
        let (asset, _) = one.source_asset.as_str().rsplit_once('#').expect("a slot");
        let file = one.placed.asset.to_string();
        by_asset.insert(number(asset), vec![file]);
    }
    let taken: BTreeSet<u64> = by_asset.keys().copied().collect();
    for one in inward {
        let asset = number(one.placed.asset.as_str());
        if !taken.contains(&asset) {
            let files = by_asset.entry(asset).or_default();
            files.push(one.source_asset.to_string());
        }
    }
    let pairs = by_asset.into_iter();
    pairs
        .flat_map(|(asset, files)| files.into_iter().map(move |file| (file, asset)))
        .collect()
}

fn is_approved(file: &TreeEntry) -> bool {
    let is_tagged = file.tags.iter().any(|tag| tag == "final");
    is_tagged || fold_key(&file.path_display).contains("/final/")
}

/// A path below another one, folded.
fn below(path: &str, root: &str) -> Option<String> {
    let (path, root) = (fold_key(path), fold_key(root));
    let rest = path.strip_prefix(&root)?;
    (rest.is_empty() || rest.starts_with('/')).then(|| rest.to_owned())
}

/// Where an asset is below the flow's collection.
fn folders(asset: &AssetSnapshot) -> Vec<String> {
    let parents = asset.parents.iter();
    parents
        .filter_map(|parent| below(parent, COLLECTION))
        .collect()
}

/// What an asset is called, without an ending.
fn title(asset: &AssetSnapshot) -> String {
    let name = fold_key(&asset.name);
    let stem = name.rsplit_once('.').map(|(stem, _)| stem.to_owned());
    stem.unwrap_or(name)
}

/// Whether a file is where its asset is, and is called what it is called.
fn is_in_one_place(file: &TreeEntry, asset: &AssetSnapshot) -> bool {
    let path = AssetPath::new(&file.path_display);
    let folder = below(path.parent().as_str(), ROOT);
    let is_there = folder.is_some_and(|folder| folders(asset).contains(&folder));
    let name = fold_key(path.name());
    let stem = name.rsplit_once('.').map_or(&*name, |(stem, _)| stem);
    let title = fold_key(&asset.name);
    is_there && (title == name || title == stem)
}
