//! A pair: one file and the one asset that it is, with what both were when they agreed last.
//!
//! Either half of a two-way flow writes a placement when it has brought something over: the way in knows which revision
//! of the file became which version of the asset, the way out which version became which revision. Each is a point at
//! which both agreed. A file's revisions never come back, so the point that names the revision which is there now is the
//! newest one; where neither does, people changed the file.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{
    Asset, AssetId, AssetPath, Blake3, Digests, Evidence, Holding, Placed, Placement, Revision,
};

use crate::delivery::{asset_of, delivery_id};

/// What tells the delivery to its file from an asset's other deliveries.
pub(super) const SLOT: &str = "pair";

/// What the ledger knows of a pair.
#[derive(Clone, Debug, Default)]
pub(super) struct Pair {
    /// The file became the asset.
    pub(super) inward: Option<Placement>,
    /// The asset became the file.
    pub(super) outward: Option<Placement>,
}

/// Where both agreed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Point {
    revision: Revision,
    pub(super) digests: Digests,
    version: Revision,
}

/// What has changed since both agreed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// The file has other bytes.
    pub(super) file: bool,
    /// The asset has another version.
    pub(super) asset: bool,
}

impl Pair {
    /// The file's id.
    pub(super) fn file(&self) -> Option<&AssetId> {
        let inward = self.inward.as_ref().map(|inward| &inward.source_asset);
        inward.or_else(|| self.outward.as_ref().map(|outward| &outward.placed.asset))
    }

    /// The asset's id.
    pub(super) fn asset(&self) -> Option<AssetId> {
        let inward = self.inward.as_ref().map(|one| one.placed.asset.clone());
        inward.or_else(|| self.outward.as_ref().map(|one| asset_of(&one.source_asset)))
    }

    fn points(&self) -> Vec<Point> {
        let inward = self.inward.as_ref().map(|one| Point {
            revision: one.source_revision.clone(),
            digests: one.digests,
            version: one.placed.revision.clone(),
        });
        let outward = self.outward.as_ref().map(|one| Point {
            revision: one.placed.revision.clone(),
            digests: Digests {
                content_hash: one.placed.content_hash.or(one.digests.content_hash),
                ..one.digests
            },
            version: one.source_revision.clone(),
        });
        inward.into_iter().chain(outward).collect()
    }

    /// The newest version at any point, to compare: later versions have higher numbers.
    fn newest(&self) -> (usize, String) {
        let versions = self.points().into_iter();
        let versions = versions.map(|point| point.version.to_string());
        let newest = versions.map(|version| (version.len(), version)).max();
        newest.unwrap_or_default()
    }

    /// What of both is not as it was when they agreed last.
    pub(super) fn changed(&self, file: &Asset, version: &Revision) -> Changed {
        let points = self.points();
        let is_known = |point: &&Point| is_revision(point, file);
        if points
            .iter()
            .filter(is_known)
            .any(|point| point.version == *version)
        {
            return Changed::default();
        }
        let file_is_known = points.iter().any(|point| is_known(&point));
        // A version may come back, because somebody made an older one the current one again: only beside the file's own
        // point is it what both agreed on.
        let asset_is_known = !file_is_known && points.iter().any(|one| one.version == *version);
        Changed {
            file: !file_is_known,
            asset: !asset_is_known,
        }
    }

    /// The point at which both are now, if they agree.
    pub(super) fn agreed(&self, file: &Asset, version: &Revision) -> Option<Point> {
        let mut points = self.points().into_iter();
        points.find(|point| is_revision(point, file) && point.version == *version)
    }

    /// Whether the asset has another version than at any point: for files that are gone.
    pub(super) fn is_new_version(&self, version: &Revision) -> bool {
        self.points().iter().all(|point| point.version != *version)
    }

    /// Whether the file has other bytes than at any point: for assets that are gone.
    pub(super) fn is_edited(&self, file: &Asset) -> bool {
        !self.points().iter().any(|point| is_revision(point, file))
    }

    /// Whether what the file is now was put there by the flow.
    pub(super) fn is_ours(&self, file: &Asset) -> bool {
        let outward = self.outward.as_ref();
        outward.is_some_and(|outward| outward.placed.revision == file.revision)
    }

    /// Whether the way out has told the file anything, even if only its bytes.
    pub(super) fn is_told(&self) -> bool {
        let outward = self.outward.as_ref();
        outward.is_some_and(|outward| outward.draft_digest != nothing_told())
    }

    /// Where the file was when both were in one place. `is_one` says of a folder of files and the path of an asset whether
    /// they are: what was brought over while they were not is no agreement about places.
    pub(super) fn file_places(
        &self,
        is_one: impl Fn(&AssetPath, &AssetPath) -> bool,
    ) -> Vec<AssetPath> {
        let inward = self.inward.as_ref().map(|one| one.source_path.clone());
        let outward = self.outward.as_ref();
        let outward = outward.filter(|one| is_one(&one.collection, &one.source_path));
        let outward = outward.map(|one| one.collection.join(one.source_path.name()));
        inward.into_iter().chain(outward).collect()
    }

    /// The point that the file's bytes are of, the one of this version where several are; `None` where people changed them.
    fn point_of(&self, file: &Asset, version: &Revision) -> Option<Point> {
        let points = self.points().into_iter();
        let known = points.filter(|point| is_revision(point, file));
        known.max_by_key(|point| point.version == *version)
    }

    /// The version that the file's bytes are of; no version's name where people changed them.
    fn version_of(&self, file: &Asset, held: Option<&Holding>) -> Revision {
        let nothing = Revision::new("");
        let now = held.map_or(&nothing, |held| &held.asset.revision);
        self.point_of(file, now)
            .map_or(nothing.clone(), |point| point.version)
    }

    /// The same pair with another file in the place of the one that is gone. The asset was placed as it, and its bytes are
    /// those of no revision of it.
    pub(super) fn succeeded(&self, flow: &Seen<'_>, file: &Asset, held: &Holding) -> Option<Pair> {
        let version = &held.asset.revision;
        let points = self.points().into_iter();
        let point =
            points.max_by_key(|point| (is_revision(point, file), point.version == *version))?;
        let known = self.as_outward(flow, file, Some(held))?;
        let evidence = known.placed.evidence;
        Some(Pair {
            inward: None,
            outward: Some(Placement {
                source_revision: point.version,
                source_path: held.asset.path.parent().join(file.path.name()),
                placed: Placed {
                    asset: file.id.clone(),
                    revision: point.revision,
                    size: point.digests.size,
                    content_hash: point.digests.content_hash,
                    evidence,
                },
                digests: point.digests,
                draft_digest: nothing_told(),
                ..known
            }),
        })
    }

    /// What of it the ledger is to have where it has nothing: the half that tells most about how both stand.
    pub(super) fn recorded(&self, file: &Asset, version: &Revision) -> Option<Placement> {
        let halves = [&self.inward, &self.outward].into_iter().flatten();
        let told = |half: &&Placement| {
            let half = (*half).clone();
            let alone = match half.source_asset == file.id {
                true => Pair {
                    inward: Some(half),
                    outward: None,
                },
                false => Pair {
                    inward: None,
                    outward: Some(half),
                },
            };
            let changed = alone.changed(file, version);
            (
                alone.agreed(file, version).is_some(),
                !changed.file,
                !changed.asset,
            )
        };
        halves.max_by_key(told).cloned()
    }

    /// The pair as the way in sees it: a file that was placed as the asset. `replaces` is the version that a changed file
    /// would follow.
    pub(super) fn as_inward(
        &self,
        flow: &Seen<'_>,
        file: &Asset,
        replaces: &Revision,
    ) -> Option<Placement> {
        let mut placement = match (&self.inward, &self.outward) {
            (Some(inward), _) => inward.clone(),
            (None, Some(outward)) => Placement {
                flow: flow.way_in.to_owned(),
                source: flow.files.to_owned(),
                source_asset: outward.placed.asset.clone(),
                source_revision: outward.placed.revision.clone(),
                source_path: file.path.clone(),
                sink: flow.library.to_owned(),
                placed: Placed {
                    asset: asset_of(&outward.source_asset),
                    revision: outward.source_revision.clone(),
                    size: outward.digests.size,
                    content_hash: None,
                    evidence: outward.placed.evidence,
                },
                digests: outward.digests,
                draft_digest: nothing_told(),
                collection: AssetPath::new(""),
                linked: false,
            },
            (None, None) => return None,
        };
        placement.placed.revision = replaces.clone();
        if let Some(point) = self.point_of(file, replaces) {
            // The bytes that are there are known, by whichever way they came, and so is the version that they are.
            placement.source_revision = file.revision.clone();
            placement.digests = point.digests;
            placement.placed.revision = point.version;
        }
        placement.linked = false;
        Some(placement)
    }

    /// The pair as the way out sees it: an asset that was placed as the file. What the file is now counts as what was
    /// placed, because whoever asks has decided that already.
    pub(super) fn as_outward(
        &self,
        flow: &Seen<'_>,
        file: &Asset,
        held: Option<&Holding>,
    ) -> Option<Placement> {
        let asset = self.asset()?;
        let known = self.outward.as_ref();
        // Of a file that people changed nobody knows the bytes; what stood there last is as good as anything.
        let points = self.points();
        let point = points.iter().find(|point| is_revision(point, file));
        let digests = point
            .map(|point| point.digests)
            .or(known.map(|one| one.digests))
            .or(self.inward.as_ref().map(|one| one.digests));
        let source_path = held.map(|held| held.asset.path.clone());
        Some(Placement {
            flow: flow.way_out.to_owned(),
            source: flow.library.to_owned(),
            source_asset: delivery_id(&asset, SLOT),
            source_revision: self.version_of(file, held),
            source_path: source_path
                .or_else(|| known.map(|one| one.source_path.clone()))
                .unwrap_or_else(|| file.path.clone()),
            sink: flow.files.to_owned(),
            placed: Placed {
                asset: file.id.clone(),
                revision: file.revision.clone(),
                size: file.size,
                content_hash: file.content_hash,
                evidence: known.map_or(Evidence::E0, |one| one.placed.evidence),
            },
            digests: digests.unwrap_or(Digests {
                blake3: Blake3::of(b""),
                content_hash: file.content_hash,
                size: file.size,
            }),
            draft_digest: known.map_or_else(nothing_told, |one| one.draft_digest),
            collection: file.path.parent(),
            linked: false,
        })
    }
}

/// The names under which a flow keeps what it knows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// The way in.
    pub(super) way_in: &'a str,
    /// The way out.
    pub(super) way_out: &'a str,
    /// Where the files are.
    pub(super) files: &'a str,
    /// Where the assets are.
    pub(super) library: &'a str,
}

/// The digest of no draft: nobody knows what one side was told of the other.
pub(super) fn nothing_told() -> Blake3 {
    Blake3::of(b"")
}

/// Whether the file has the bytes that it had then.
fn is_revision(point: &Point, file: &Asset) -> bool {
    let Digests {
        content_hash, size, ..
    } = point.digests;
    let same_hash = content_hash.is_some() && content_hash == file.content_hash;
    point.revision == file.revision || (same_hash && size == file.size)
}

/// Whether the file is there, the newest version, whether the way out placed it.
type Rank = (bool, (usize, String), bool);

/// The pairs that placements of both ways make, by file. An asset stands for one file: of several that it was placed as, the
/// one that is there, then the one that has its newest version, then the one that the way out placed.
pub(super) fn pairs_of(
    inward: Vec<Placement>,
    outward: Vec<Placement>,
    is_there: impl Fn(&AssetId) -> bool,
) -> Vec<Pair> {
    let mut pairs: Vec<Pair> = Vec::with_capacity(inward.len());
    let mut by_file = BTreeMap::new();
    for placement in inward {
        by_file.insert(placement.source_asset.clone(), pairs.len());
        pairs.push(Pair {
            inward: Some(placement),
            outward: None,
        });
    }
    for placement in outward {
        let of_file = by_file.get(&placement.placed.asset);
        let asset = asset_of(&placement.source_asset);
        match of_file.and_then(|index| pairs.get_mut(*index)) {
            Some(pair) if pair.asset() == Some(asset) => pair.outward = Some(placement),
            // Its asset was gone, and somebody chose that the file becomes another one.
            Some(_) => {}
            None => pairs.push(Pair {
                inward: None,
                outward: Some(placement),
            }),
        }
    }
    let mut of_asset: BTreeMap<AssetId, (Rank, usize)> = BTreeMap::new();
    for (index, pair) in pairs.iter().enumerate() {
        let Some(asset) = pair.asset() else { continue };
        let rank = (
            pair.file().is_some_and(&is_there),
            pair.newest(),
            pair.outward.is_some(),
        );
        let best = of_asset.get(&asset);
        if best.is_none_or(|(best, _)| *best < rank) {
            of_asset.insert(asset, (rank, index));
        }
    }
    let kept: BTreeSet<usize> = of_asset.into_values().map(|(_, index)| index).collect();
    let all = pairs.into_iter().enumerate();
    all.filter(|(index, _)| kept.contains(index))
        .map(|(_, pair)| pair)
        .collect()
}

#[cfg(test)]
pub(super) mod tests {
    use windlass_core::{ContentHash, Readable};

    use super::*;

    pub(in super::super) fn file(revision: &str) -> Asset {
        Asset {
            id: AssetId::new("id:1"),
            path: AssetPath::new("/Work/hero.jpg"),
            revision: Revision::new(revision),
            size: 3,
            modified: None,
            content_hash: None,
            tags: Vec::new(),
            readable: Readable::Yes,
        }
    }

    pub(in super::super) fn placement(source: (&str, &str), placed: (&str, &str)) -> Placement {
        Placement {
            flow: "pair".into(),
            source: "from".into(),
            source_asset: AssetId::new(source.0),
            source_revision: Revision::new(source.1),
            source_path: AssetPath::new("/Work/hero.jpg"),
            sink: "to".into(),
            placed: Placed {
                asset: AssetId::new(placed.0),
                revision: Revision::new(placed.1),
                size: 3,
                content_hash: None,
                evidence: Evidence::E2,
            },
            digests: Digests {
                blake3: Blake3::of(b"abc"),
                content_hash: None,
                size: 3,
            },
            draft_digest: Blake3::of(b""),
            collection: AssetPath::new("/Work"),
            linked: false,
        }
    }

    /// The file went in as `r1` and version 1, and version 2 came out as `r2`.
    fn pair() -> Pair {
        Pair {
            inward: Some(placement(("id:1", "r1"), ("7", "1"))),
            outward: Some(placement(("7#pair", "2"), ("id:1", "r2"))),
        }
    }

    fn changed(revision: &str, version: &str) -> (bool, bool) {
        let changed = pair().changed(&file(revision), &Revision::new(version));
        (changed.file, changed.asset)
    }

    #[test]
    fn both_agree_at_each_point_and_nowhere_else() {
        assert_eq!(changed("r1", "1"), (false, false));
        assert_eq!(changed("r2", "2"), (false, false));
        assert_eq!(changed("r3", "2"), (true, false));
        assert_eq!(changed("r2", "3"), (false, true));
        assert_eq!(changed("r3", "3"), (true, true));
    }

    #[test]
    fn either_half_knows_the_bytes_that_are_there_by_whichever_way_they_came() {
        let mut pair = pair();
        let came_in = Digests {
            blake3: Blake3::of(b"longer"),
            content_hash: None,
            size: 6,
        };
        if let Some(inward) = &mut pair.inward {
            inward.digests = came_in;
        }
        let flow = Seen {
            way_in: "in",
            way_out: "out",
            files: "work",
            library: "dam",
        };
        let came_out = pair.outward.as_ref().map(|one| one.digests);
        let outward = |revision| pair.as_outward(&flow, &file(revision), None).unwrap();
        let inward = |revision| {
            let replaces = Revision::new("1");
            pair.as_inward(&flow, &file(revision), &replaces).unwrap()
        };
        assert_eq!(outward("r1").digests, came_in);
        assert_eq!(Some(outward("r2").digests), came_out);
        assert_eq!(inward("r1").digests, came_in);
        assert_eq!(Some(inward("r2").digests), came_out);
    }

    #[test]
    fn an_older_version_that_is_made_current_again_is_a_change_of_the_asset() {
        assert_eq!(changed("r2", "1"), (false, true));
    }

    #[test]
    fn the_same_bytes_under_another_revision_are_no_change() {
        let hash = ContentHash::of(b"abc");
        let mut pair = pair();
        if let Some(outward) = &mut pair.outward {
            outward.placed.content_hash = Some(hash);
        }
        let touched = Asset {
            content_hash: Some(hash),
            ..file("r9")
        };
        assert_eq!(
            pair.changed(&touched, &Revision::new("2")),
            Changed::default()
        );
    }

    #[test]
    fn a_file_that_is_brought_back_as_it_was_is_of_the_version_that_it_was() {
        let seen = Seen {
            way_in: "in",
            way_out: "out",
            files: "work",
            library: "dam",
        };
        let placement = |revision: &str| {
            let placement = pair().as_inward(&seen, &file(revision), &Revision::new("2"));
            placement.unwrap().placed.revision
        };
        assert_eq!(placement("r1"), Revision::new("1"));
        assert_eq!(placement("r2"), Revision::new("2"));
        assert_eq!(placement("r9"), Revision::new("2"));
    }

    #[test]
    fn a_file_that_became_another_asset_is_no_pair_of_the_one_before() {
        let inward = vec![placement(("id:1", "r3"), ("8", "1"))];
        let outward = vec![placement(("7#pair", "2"), ("id:1", "r2"))];
        let pairs = pairs_of(inward, outward, |_| false);
        let assets: Vec<_> = pairs.iter().filter_map(Pair::asset).collect();
        assert_eq!(assets, [AssetId::new("8")]);
    }

    #[test]
    fn an_asset_is_the_pair_of_the_file_that_it_was_placed_as_last() {
        let inward = vec![
            placement(("id:1", "r1"), ("7", "1")),
            placement(("id:2", "r1"), ("8", "1")),
        ];
        // Its file was removed, and it was published again as another one.
        let outward = vec![placement(("7#pair", "1"), ("id:3", "r1"))];
        let pairs = pairs_of(inward, outward, |_| false);
        let files: Vec<_> = pairs.iter().filter_map(Pair::file).collect();
        assert_eq!(files, [&AssetId::new("id:2"), &AssetId::new("id:3")]);
    }
}
