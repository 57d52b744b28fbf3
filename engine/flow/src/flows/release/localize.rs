//! Localize: a campaign's assets appear in regional folders, by market, language and channel, as a localization hook says.
//!
//! The hook says where each asset could serve. Who serves where, and what nothing serves, is decided where all of them are
//! seen (`core/coverage.rs`); an asset that rights keep back leaves its place blocked, and nobody stands in for it silently.

use std::collections::{BTreeMap, BTreeSet};

use async_trait::async_trait;
use serde::Serialize;
use windlass_core::{
    Appearance, AssetId, AssetPath, AssetView, Coverage, Error, Finding, Gap, HookKind, Kind,
    Market, Placement, Result, Routing, Verdict,
};

use super::{BATCH, Closed, ReleaseFlow, ReleaseKind, Routed, Scene, any_use, original, rules_of};
use crate::coverage::{CoverageMap, CoverageRow, Filled};
use crate::delivery::Delivery;
use crate::plan::PlanSummary;
use crate::rights::{Passage, Use, view};

/// What a localize flow is told.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LocalizeOptions {
    /// The markets that the operator serves.
    pub markets: Vec<Market>,
    /// The folder of each market; none has all of them below the flow's root.
    pub folders: BTreeMap<String, AssetPath>,
    /// A manifest is written into each market's folder.
    pub manifests: bool,
}

/// One place that a delivery serves.
#[derive(Clone, Debug)]
struct Served {
    piece: String,
    market: String,
    language: String,
    channel: String,
    fallback: u32,
    rule: String,
}

/// What the coverage map is filled with.
#[derive(Debug, Default)]
pub(crate) struct Places {
    map: CoverageMap,
    served: BTreeMap<AssetId, Vec<Served>>,
}

#[async_trait]
impl ReleaseKind for LocalizeOptions {
    fn name(&self) -> &'static str {
        "localize"
    }

    fn rules(&self) -> Result<serde_json::Value> {
        rules_of(self)
    }

    async fn deliveries(&self, flow: &ReleaseFlow, scene: &mut Scene) -> Result<Routed> {
        let mut routed = Routed::default();
        let mut coverage = Coverage::of(&self.markets);
        self.ask(flow, scene, &mut coverage, &mut routed).await?;
        let covered = coverage.settle();
        let mut places = Places {
            map: CoverageMap::of(&self.markets),
            served: BTreeMap::new(),
        };
        for gap in &covered.gaps {
            places.map.add(missing(gap));
        }
        let mut by_id: BTreeMap<AssetId, Delivery> = BTreeMap::new();
        for (asset, appearance) in covered.chosen {
            let Some(folder) = self.folder_of(&flow.options.root, &appearance) else {
                places.map.add(homeless(&appearance, &flow.options.flow));
                continue;
            };
            let delivery = by_id_entry(&mut by_id, &asset, &appearance, &folder);
            let served = places.served.entry(delivery.id()).or_default();
            served.push(Served {
                piece: appearance.piece,
                market: appearance.market,
                language: appearance.language,
                channel: appearance.channel,
                fallback: appearance.fallback,
                rule: appearance.rule,
            });
        }
        routed.findings.extend(folderless(self, &flow.options.flow));
        routed.deliveries = by_id.into_values().collect();
        routed.places = Some(places);
        Ok(routed)
    }

    fn folders(&self, root: &AssetPath) -> BTreeSet<AssetPath> {
        match self.folders.is_empty() {
            true => BTreeSet::from([root.clone()]),
            false => self.folders.values().cloned().collect(),
        }
    }

    /// Of a flow whose markets have folders, those of its market.
    fn uses_of(&self, placement: &Placement) -> Vec<Use> {
        let below = format!("{}/", placement.collection.key());
        let is_inside = |folder: &AssetPath| below.starts_with(&format!("{}/", folder.key()));
        let markets = self.markets.iter().filter(|market| {
            let folder = self.folders.get(&market.code);
            folder.is_some_and(is_inside)
        });
        let uses = markets.flat_map(|market| {
            market.channels.iter().map(|channel| Use {
                market: Some(market.code.clone()),
                channel: Some(channel.clone()),
            })
        });
        let uses: Vec<Use> = uses.collect();
        match uses.is_empty() {
            true => any_use(),
            false => uses,
        }
    }

    async fn close(
        &self,
        flow: &ReleaseFlow,
        plan: &PlanSummary,
        has_withdrawn: bool,
        closed: &mut Closed,
    ) -> Result<()> {
        if !self.manifests {
            return Ok(());
        }
        let whole = match flow.options.sweep {
            false => plan.coverage.clone(),
            // A sweep sees only what is there; what its packages are without what went takes a look at all.
            true if has_withdrawn => flow.as_whole().plan().await?.summary.coverage,
            true => None,
        };
        match whole {
            Some(coverage) => flow.write_packages(&coverage, closed).await,
            None => Ok(()),
        }
    }

    async fn papers(
        &self,
        flow: &ReleaseFlow,
        _: &BTreeMap<AssetId, Placement>,
    ) -> Result<Vec<AssetPath>> {
        Ok(flow.packages().await?.into_iter().collect())
    }
}

impl LocalizeOptions {
    /// Asks the hook about all assets.
    async fn ask(
        &self,
        flow: &ReleaseFlow,
        scene: &Scene,
        coverage: &mut Coverage,
        routed: &mut Routed,
    ) -> Result<()> {
        let Some(hooks) = &flow.localization else {
            return Err(Error::new(
                Kind::Config,
                format!("flow.{} has no localization plugin", flow.options.flow),
            ));
        };
        if !hooks.kinds().contains(&HookKind::Localization) {
            return Err(hooks.cannot(HookKind::Localization));
        }
        let views: Vec<AssetView> = scene
            .selected
            .values()
            .map(|held| view(hooks.as_ref(), held))
            .collect();
        for batch in views.chunks(BATCH) {
            let verdicts = match hooks.route(batch, &self.markets).await {
                Ok(verdicts) if verdicts.len() == batch.len() => verdicts,
                // What is there must be looked at all the same.
                Ok(_) => unanswered(batch, "it answered another number of questions"),
                Err(error) => unanswered(batch, &error.chain()),
            };
            for (asset, verdict) in batch.iter().zip(verdicts) {
                match verdict {
                    Verdict::Ready(routing) => {
                        routed.findings.extend(routing.findings.iter().cloned());
                        coverage.add(&asset.id, &routing);
                    }
                    Verdict::Held { reason, rule } => {
                        let reason = format!("the plugin holds it ({rule}): {reason}");
                        routed.held.push((asset.id.clone(), reason));
                    }
                }
            }
        }
        Ok(())
    }

    /// Where an appearance is; `None` for a market that has no folder.
    fn folder_of(&self, root: &AssetPath, appearance: &Appearance) -> Option<AssetPath> {
        let root = match self.folders.is_empty() {
            true => Some(root),
            false => self.folders.get(&appearance.market),
        };
        let below = appearance.folder.segments();
        root.map(|root| below.fold(root.clone(), |at, name| at.join(name)))
    }
}

/// The verdicts of rules that cannot be asked.
fn unanswered(batch: &[AssetView], why: &str) -> Vec<Verdict<Routing>> {
    let held = || Verdict::Held {
        reason: format!("the routing rules cannot be asked: {why}"),
        rule: "host".to_owned(),
    };
    batch.iter().map(|_| held()).collect()
}

/// The delivery of an appearance. One file may serve several places; another name for the same asset in the same folder is
/// the same delivery under a new name only where it is the only one there.
fn by_id_entry<'a>(
    by_id: &'a mut BTreeMap<AssetId, Delivery>,
    asset: &AssetId,
    appearance: &Appearance,
    folder: &AssetPath,
) -> &'a Delivery {
    let form = appearance.rendition.as_deref().unwrap_or("original");
    let slot = |number: u32| match number {
        1 => format!("{form}@{}", folder.key()),
        _ => format!("{form}@{}@{number}", folder.key()),
    };
    let mut number = 1;
    let id = loop {
        let id = crate::delivery::delivery_id(asset, &slot(number));
        match by_id.get(&id) {
            Some(taken) if taken.file_name != appearance.file_name => number += 1,
            _ => break id,
        }
    };
    let delivery = by_id.entry(id).or_insert_with(|| Delivery {
        asset: asset.clone(),
        slot: slot(number),
        version: None,
        rendition: appearance.rendition.clone(),
        folder: folder.clone(),
        file_name: appearance.file_name.clone(),
        uses: Vec::new(),
        why: format!("for {} {}", appearance.market, appearance.language),
        stays: false,
        fields: Vec::new(),
    });
    let one = Use {
        market: Some(appearance.market.clone()),
        channel: Some(appearance.channel.clone()),
    };
    if !delivery.uses.contains(&one) {
        delivery.uses.push(one);
    }
    delivery
}

fn missing(gap: &Gap) -> CoverageRow {
    CoverageRow {
        piece: gap.piece.clone(),
        market: gap.market.clone(),
        language: gap.language.clone(),
        channel: gap.channel.clone(),
        filled: Filled::Missing,
        file: None,
        asset: None,
        delivery: None,
        why: "no version of it is made for this, and none may stand in".to_owned(),
    }
}

fn homeless(appearance: &Appearance, flow: &str) -> CoverageRow {
    CoverageRow {
        piece: appearance.piece.clone(),
        market: appearance.market.clone(),
        language: appearance.language.clone(),
        channel: appearance.channel.clone(),
        filled: Filled::Held,
        file: None,
        asset: None,
        delivery: None,
        why: format!(
            "market {} has no folder in flow.{flow}.folders",
            appearance.market
        ),
    }
}

/// Markets that have no folder although others have one, and folders of markets that there are not.
fn folderless(options: &LocalizeOptions, flow: &str) -> Vec<Finding> {
    if options.folders.is_empty() {
        return Vec::new();
    }
    let markets: BTreeSet<&String> = options.markets.iter().map(|market| &market.code).collect();
    let lost = markets
        .iter()
        .filter(|code| !options.folders.contains_key(**code));
    let lost = lost.map(|code| Finding {
        subject: format!("market {code}"),
        message: format!("it has no folder in flow.{flow}.folders, so nothing is placed for it"),
    });
    let unknown = options
        .folders
        .keys()
        .filter(|code| !markets.contains(code));
    let unknown = unknown.map(|code| Finding {
        subject: format!("market {code}"),
        message: format!("flow.{flow}.folders has a folder for it, and no market has this code"),
    });
    lost.chain(unknown).collect()
}

impl Places {
    /// A delivery that has to wait for a person.
    pub(super) fn hold(&mut self, delivery: &Delivery, reason: &str) {
        for served in self.served.remove(&delivery.id()).unwrap_or_default() {
            self.map
                .add(served.row(Filled::Held, None, None, reason.to_owned()));
        }
    }

    pub(super) fn begin(self) -> Filling {
        Filling(self)
    }
}

/// A coverage map that is being filled.
#[derive(Debug)]
pub(super) struct Filling(Places);

impl Filling {
    /// What the gate said of a delivery.
    pub(super) fn fill(&mut self, scene: &Scene, delivery: &Delivery, passage: &Passage) {
        let asset = original(scene, delivery).map(|asset| asset.path.clone());
        for served in self.0.served.remove(&delivery.id()).unwrap_or_default() {
            let row = match passage {
                Passage::Open { .. } => {
                    let (filled, why) = match served.fallback {
                        0 => (Filled::Present, served.rule.clone()),
                        _ => (Filled::Fallback, format!("it stands in: {}", served.rule)),
                    };
                    let row = served.row(filled, Some(delivery.path()), asset.clone(), why);
                    CoverageRow {
                        delivery: Some(delivery.id()),
                        ..row
                    }
                }
                Passage::Shut {
                    reason, is_denied, ..
                } => {
                    let filled = match is_denied {
                        true => Filled::Blocked,
                        false => Filled::Held,
                    };
                    served.row(filled, None, asset.clone(), reason.clone())
                }
            };
            self.0.map.add(row);
        }
    }

    pub(super) fn end(mut self) -> CoverageMap {
        self.0.map.rows.sort();
        self.0.map
    }
}

impl Served {
    fn row(
        &self,
        filled: Filled,
        file: Option<AssetPath>,
        asset: Option<AssetPath>,
        why: String,
    ) -> CoverageRow {
        CoverageRow {
            piece: self.piece.clone(),
            market: self.market.clone(),
            language: self.language.clone(),
            channel: self.channel.clone(),
            filled,
            file,
            asset,
            why,
            delivery: None,
        }
    }
}
