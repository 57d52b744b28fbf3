//! Archive: everything that belongs to a closed campaign becomes a sealed folder.
//!
//! Which files there are is decided here; `seal.rs` writes the papers once all of them are there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use windlass_archive::{
    XmpMap, document_path, original_path, rendition_path, unique_names, version_path,
};
use windlass_core::sign::SigningKey;
use windlass_core::{
    Asset, AssetId, AssetPath, Finding, Holding, Kind, Placement, Related, Result, Retirement,
    Revision,
};

use super::{
    BATCH, Closed, Needs, ReleaseFlow, ReleaseKind, RenditionRule, Routed, Scene, any_use, rules_of,
};
use crate::delivery::Delivery;
use crate::plan::PlanSummary;

/// How many related documents an archive has at most: beyond that relations are followed that do not mean "belongs to".
const DOCUMENTS_MAX: usize = 100_000;

/// Which relations lead to what belongs to an asset.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Relations {
    /// The technical names of their types; none is all.
    pub kinds: Vec<String>,
    /// How many of them in a row are followed; 0 follows none.
    pub depth: u32,
}

/// What an archive flow is told.
#[derive(Clone, Debug, Serialize)]
pub struct ArchiveOptions {
    /// What people call the campaign.
    pub campaign: String,
    /// What is followed to sources and supporting documents.
    pub relations: Relations,
    /// Older versions are archived as well.
    pub versions: bool,
    /// Renditions that are archived beside originals; every rule that fits counts.
    pub renditions: Vec<RenditionRule>,
    /// A list of ASC MHL is written.
    pub mhl: bool,
    /// What becomes of the assets afterwards; `None` leaves them.
    pub afterwards: Option<Retirement>,
    /// Which XMP properties fields stand for.
    #[serde(skip)]
    pub xmp: XmpMap,
    /// Who signs it.
    #[serde(skip)]
    pub keys: Keys,
}

/// Keys that sign; never shown.
#[derive(Clone, Default)]
pub struct Keys(pub Arc<Vec<SigningKey>>);

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} keys", self.0.len())
    }
}

/// What the slots of an archive's deliveries begin with.
pub(super) const DOCUMENT: &str = "document";
pub(super) const ORIGINAL: &str = "original";
pub(super) const RENDITION: &str = "rendition ";
pub(super) const VERSION: &str = "version ";

/// A related asset that was reached, and over which assets.
struct Reached {
    id: AssetId,
    way: Vec<AssetId>,
}

#[async_trait]
impl ReleaseKind for ArchiveOptions {
    fn name(&self) -> &'static str {
        "archive"
    }

    fn rules(&self) -> Result<serde_json::Value> {
        rules_of(self)
    }

    fn needs(&self) -> Option<Needs<'_>> {
        Some(Needs {
            fields: Vec::new(),
            renditions: &self.renditions,
        })
    }

    async fn deliveries(&self, flow: &ReleaseFlow, scene: &mut Scene) -> Result<Routed> {
        flow.archive(self, scene).await
    }

    /// What belongs to a campaign need not be in its collection.
    fn is_bound_by_query(&self) -> bool {
        false
    }

    /// An archive only grows.
    fn takes_back(&self) -> bool {
        false
    }

    /// An archive is a folder as it was sealed.
    fn may_be_moved(&self) -> bool {
        false
    }

    async fn is_over(&self, flow: &ReleaseFlow) -> Result<Option<Finding>> {
        flow.sealed().await
    }

    async fn close(
        &self,
        flow: &ReleaseFlow,
        plan: &PlanSummary,
        _: bool,
        closed: &mut Closed,
    ) -> Result<()> {
        match flow.options.sweep {
            true => Ok(()),
            false => flow.seal(self, plan, closed).await,
        }
    }

    async fn papers(
        &self,
        flow: &ReleaseFlow,
        placed: &BTreeMap<AssetId, Placement>,
    ) -> Result<Vec<AssetPath>> {
        flow.papers(self, placed.keys()).await
    }
}

impl ReleaseFlow {
    pub(super) async fn archive(
        &self,
        options: &ArchiveOptions,
        scene: &mut Scene,
    ) -> Result<Routed> {
        let mut routed = Routed::default();
        // Assets without a file are not missing: there is nothing to keep but what is known of them.
        let mut originals: Vec<Holding> = scene.selected.values().cloned().collect();
        originals.retain(|held| held.has_file);
        let documents = self.documents_of(options, scene, &mut routed).await?;
        self.originals(&originals, &mut routed);
        self.renditions(options, &originals, &mut routed);
        if options.versions {
            self.versions(&originals, &mut routed).await?;
        }
        let named = named(&documents);
        for (held, name) in documents.iter().zip(named) {
            let delivery =
                self.delivery(&held.asset.id, DOCUMENT.to_owned(), &document_path(&name));
            routed.deliveries.push(delivery);
        }
        for held in documents {
            scene.selected.insert(held.asset.id.clone(), held);
        }
        Ok(routed)
    }

    fn originals(&self, originals: &[Holding], routed: &mut Routed) {
        for (held, name) in originals.iter().zip(named(originals)) {
            let path = original_path(&name);
            let delivery = self.delivery(&held.asset.id, ORIGINAL.to_owned(), &path);
            routed.deliveries.push(delivery);
        }
    }

    fn renditions(&self, options: &ArchiveOptions, originals: &[Holding], routed: &mut Routed) {
        let mut by_rendition: BTreeMap<&str, Vec<(AssetId, String)>> = BTreeMap::new();
        for held in originals {
            let file = held.asset.path.name();
            let extension = held.asset.path.extension();
            for rule in &options.renditions {
                let fits = RenditionRule::of(std::slice::from_ref(rule), &extension);
                if fits.is_some() {
                    let name = with_extension(file, rule.extension.as_deref());
                    let of = by_rendition.entry(&rule.rendition).or_default();
                    of.push((held.asset.id.clone(), name));
                }
            }
        }
        for (rendition, files) in by_rendition {
            for ((id, _), name) in files.iter().zip(unique_names(&files)) {
                let slot = format!("{RENDITION}{rendition}");
                let mut delivery = self.delivery(id, slot, &rendition_path(rendition, &name));
                delivery.rendition = Some(rendition.to_owned());
                routed.deliveries.push(delivery);
            }
        }
    }

    async fn versions(&self, originals: &[Holding], routed: &mut Routed) -> Result<()> {
        for held in originals {
            let id = &held.asset.id;
            let versions = match self.gate.library.versions(id).await {
                Ok(versions) => versions,
                // It went since it was listed; the gate says so.
                Err(error) if error.kind() == Kind::NotFound => continue,
                Err(error) => return Err(error),
            };
            let older = versions.into_iter();
            for version in older.filter(|version| version.revision != held.asset.revision) {
                routed.deliveries.push(self.version(id, version));
            }
        }
        Ok(())
    }

    fn version(&self, id: &AssetId, version: Asset) -> Delivery {
        let path = version_path(id, &version.revision, version.path.name());
        let slot = format!("{VERSION}{}", version.revision);
        Delivery {
            version: Some(version),
            ..self.delivery(id, slot, &path)
        }
    }

    fn delivery(&self, id: &AssetId, slot: String, path: &str) -> Delivery {
        let path = AssetPath::new(path);
        let parent = path.parent();
        let folder = parent.segments();
        Delivery {
            asset: id.clone(),
            slot,
            version: None,
            rendition: None,
            folder: folder.fold(self.options.root.clone(), |at, name| at.join(name)),
            file_name: path.name().to_owned(),
            uses: any_use(),
            why: "for the archive".to_owned(),
            stays: false,
            fields: Vec::new(),
        }
    }

    /// What the selected assets are related to, and what that is related to. An asset is reached once, however many
    /// relations lead to it; relations that lead back to where they came from are told.
    async fn documents_of(
        &self,
        options: &ArchiveOptions,
        scene: &Scene,
        routed: &mut Routed,
    ) -> Result<Vec<Holding>> {
        let mut seen: BTreeSet<AssetId> = scene.selected.keys().cloned().collect();
        let mut reached: Vec<Reached> = seen
            .iter()
            .map(|id| Reached {
                id: id.clone(),
                way: Vec::new(),
            })
            .collect();
        let mut found = Vec::new();
        for _ in 0..options.relations.depth {
            let mut next = Vec::new();
            for from in reached {
                for to in self.followed(options, &from.id).await? {
                    if let Some(finding) = cycle(&from, &to) {
                        routed.findings.push(finding);
                    }
                    if seen.insert(to.clone()) {
                        let mut way = from.way.clone();
                        way.push(from.id.clone());
                        found.push(to.clone());
                        next.push(Reached { id: to, way });
                    }
                }
            }
            if found.len() > DOCUMENTS_MAX {
                routed.findings.push(Finding {
                    subject: "relations".to_owned(),
                    message: format!(
                        "they lead to more than {DOCUMENTS_MAX} assets; only the first are archived: name the kinds that count"
                    ),
                });
                found.truncate(DOCUMENTS_MAX);
                break;
            }
            reached = next;
        }
        self.consulted(&found, routed).await
    }

    async fn followed(&self, options: &ArchiveOptions, from: &AssetId) -> Result<Vec<AssetId>> {
        let related = match self.gate.library.related(from).await {
            Ok(related) => related,
            Err(error) if error.kind() == Kind::NotFound => Vec::new(),
            Err(error) => return Err(error),
        };
        let kinds = &options.relations.kinds;
        let counts =
            |one: &Related| one.is_outgoing && (kinds.is_empty() || kinds.contains(&one.kind));
        let followed = related.into_iter().filter(counts);
        Ok(followed.map(|one| one.asset).collect())
    }

    async fn consulted(&self, ids: &[AssetId], routed: &mut Routed) -> Result<Vec<Holding>> {
        let mut documents = Vec::with_capacity(ids.len());
        for batch in ids.chunks(BATCH) {
            let held = self.gate.library.consult(batch).await?;
            for (id, held) in batch.iter().zip(held) {
                match held {
                    Some(held) if held.has_file => documents.push(held),
                    Some(_) => {}
                    None => routed.findings.push(Finding {
                        subject: format!("asset {id}"),
                        message: format!("a relation leads to it, and {}", self.gate.gone()),
                    }),
                }
            }
        }
        Ok(documents)
    }
}

/// What is said where a relation leads back to where it came from.
fn cycle(from: &Reached, to: &AssetId) -> Option<Finding> {
    let start = from.way.iter().position(|id| id == to);
    let way = match (start, from.id == *to) {
        (_, true) => vec![to],
        (Some(start), false) => {
            let way = from.way[start..].iter();
            way.chain([&from.id]).collect()
        }
        (None, false) => return None,
    };
    let way: Vec<String> = way
        .into_iter()
        .chain([to])
        .map(ToString::to_string)
        .collect();
    Some(Finding {
        subject: format!("asset {to}"),
        message: format!("its relations lead back to it: {}", way.join(" → ")),
    })
}

/// Unique names of the files of some assets, in the same order.
fn named(held: &[Holding]) -> Vec<String> {
    let files: Vec<(AssetId, String)> = held
        .iter()
        .map(|held| (held.asset.id.clone(), held.asset.path.name().to_owned()))
        .collect();
    unique_names(&files)
}

fn with_extension(file: &str, extension: Option<&str>) -> String {
    let stem = file.rsplit_once('.').filter(|(stem, _)| !stem.is_empty());
    match (extension, stem) {
        (None, _) => file.to_owned(),
        (Some(extension), Some((stem, _))) => format!("{stem}.{extension}"),
        (Some(extension), None) => format!("{file}.{extension}"),
    }
}

/// The version that a slot is of, where it is one of an older version.
pub(super) fn version_of(slot: &str) -> Option<Revision> {
    slot.strip_prefix(VERSION).map(Revision::new)
}
