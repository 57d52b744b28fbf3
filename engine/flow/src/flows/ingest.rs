//! Ingest: approved files from designated folders become governed assets.
//!
//! Folder names, client codes and campaign ids become fields through the metadata hook; what every
//! asset of the flow gets (approval status, rights, availability) comes from the configuration. The
//! sink is asked what it would refuse before any byte moves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use windlass_core::{
    Action, Asset, AssetPath, AssetView, Assigned, Availability, Capabilities, Correlation,
    Destination, Draft, Finding, Hold, Hooks, Ledger, Mapping, Placement, Readable, Result, Scope,
    Sink, Source, Value, Verdict, preflight_name,
};

use crate::discover;
use crate::observe::{Event, Observer};
use crate::plan::{Plan, PlannedStep, Work, draft_digest};
use crate::select::{Pick, Selection, Selector};

/// How many assets a hook, a ledger or a sink is asked about at once.
const BATCH: usize = 256;

/// What the configuration says about an ingest flow.
#[derive(Clone, Debug)]
pub struct IngestOptions {
    /// The flow's name.
    pub flow: String,
    /// The folder that is listed, with everything below.
    pub root: AssetPath,
    /// Which assets are taken.
    pub selection: Selection,
    /// The collection for assets whose hook names none.
    pub collection: AssetPath,
    /// The asset type for assets whose hook names none.
    pub asset_type: Option<String>,
    /// Fields that every asset gets. They win over what a hook assigns.
    pub set: BTreeMap<String, Value>,
    /// The availability that every asset gets.
    pub availability: Option<Availability>,
    /// Tries again what an earlier run held, although nothing about it changed.
    pub retry_held: bool,
}

/// One configured ingest flow with everything it speaks to.
#[derive(Debug)]
pub struct Ingest {
    /// What the configuration says.
    pub options: IngestOptions,
    /// Where assets come from.
    pub source: Arc<dyn Source>,
    /// Where they go.
    pub sink: Arc<dyn Sink>,
    /// The customer's rules, where configured.
    pub hooks: Option<Arc<dyn Hooks>>,
    /// What was placed before.
    pub ledger: Arc<dyn Ledger>,
    /// Who watches.
    pub observer: Arc<dyn Observer>,
}

/// An asset on its way to a step.
struct Candidate {
    asset: Asset,
    approved_by: String,
    placement: Option<Placement>,
    hold: Option<Hold>,
}

impl Ingest {
    /// Decides what a run would do. Writes nothing anywhere.
    pub async fn plan(&self) -> Result<Plan> {
        let selector = Selector::new(&self.options.selection)?;
        let scope = Scope {
            root: self.options.root.clone(),
        };
        let listed = discover::list(self.source.as_ref(), &scope, self.observer.as_ref()).await?;
        self.observer.observe(Event::Deciding {
            assets: listed.len() as u64,
        });
        let spelled_alike = alike(&listed);

        let mut steps = Vec::with_capacity(listed.len());
        let picked = self.select(&selector, listed, &mut steps).await?;
        let picked = self.preflight(picked, &spelled_alike, &mut steps);
        let mut findings = BTreeSet::new();
        let mut picked = picked.into_iter();
        loop {
            let batch: Vec<(Asset, String)> = picked.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                break;
            }
            self.decide_batch(batch, &mut steps, &mut findings).await?;
        }
        steps.sort_by(|a, b| (&a.asset.path, &a.asset.id).cmp(&(&b.asset.path, &b.asset.id)));
        Ok(Plan {
            flow: self.options.flow.clone(),
            source: self.source.name().to_owned(),
            sink: self.sink.name().to_owned(),
            hook: self.hooks.as_ref().map(|hooks| hooks.identity().clone()),
            steps,
            findings: findings.into_iter().collect(),
        })
    }

    /// Splits the listing into assets that are in, with what approved them, and skips.
    async fn select(
        &self,
        selector: &Selector,
        listed: Vec<Asset>,
        steps: &mut Vec<PlannedStep>,
    ) -> Result<Vec<(Asset, String)>> {
        let mut picked = Vec::new();
        let mut untold = Vec::new();
        for asset in listed {
            match selector.pick(&asset) {
                Pick::In(by) => picked.push((asset, by)),
                Pick::Out(reason) => steps.push(no_work(Action::Skip, reason, asset)),
                Pick::InIfTagged => untold.push(asset),
            }
        }
        // Only these are asked for, because tags cost calls.
        let tags = match untold.is_empty() {
            true => Vec::new(),
            false => self.source.tags(&untold).await?,
        };
        for (mut asset, tags) in untold.into_iter().zip(tags) {
            asset.tags = tags;
            match selector.settle(&asset.tags) {
                Pick::In(by) => picked.push((asset, by)),
                Pick::Out(reason) => steps.push(no_work(Action::Skip, reason, asset)),
                Pick::InIfTagged => {
                    steps.push(no_work(
                        Action::Skip,
                        "its tags are not known".to_owned(),
                        asset,
                    ));
                }
            }
        }
        Ok(picked)
    }

    /// Holds what could only fail later: nothing to read, a name the sink refuses, a spelling twin.
    fn preflight(
        &self,
        picked: Vec<(Asset, String)>,
        spelled_alike: &BTreeMap<String, Vec<AssetPath>>,
        steps: &mut Vec<PlannedStep>,
    ) -> Vec<(Asset, String)> {
        let sink = self.sink.capabilities();
        let mut fit = Vec::with_capacity(picked.len());
        for (asset, by) in picked {
            let twins = spelled_alike
                .get(&asset.path.key())
                .map_or(&[][..], Vec::as_slice);
            match obstacle(&asset, sink, twins) {
                Some(reason) => steps.push(no_work(Action::Hold, reason, asset)),
                None => fit.push((asset, by)),
            }
        }
        fit
    }

    /// One batch through ledger, hook and sink.
    async fn decide_batch(
        &self,
        batch: Vec<(Asset, String)>,
        steps: &mut Vec<PlannedStep>,
        findings: &mut BTreeSet<Finding>,
    ) -> Result<()> {
        let ids: Vec<_> = batch.iter().map(|(asset, _)| asset.id.clone()).collect();
        let placements = self
            .ledger
            .placements(&self.options.flow, self.source.name(), &ids)
            .await?;
        let holds = match self.options.retry_held {
            true => vec![None; ids.len()],
            false => {
                self.ledger
                    .holds(&self.options.flow, self.source.name(), &ids)
                    .await?
            }
        };
        let mappings = self.describe(&batch).await?;
        let mut open = Vec::new();
        for ((((asset, approved_by), placement), hold), mapping) in
            batch.into_iter().zip(placements).zip(holds).zip(mappings)
        {
            let mapping = match mapping {
                Verdict::Ready(mapping) => mapping,
                Verdict::Held { reason, rule } => {
                    let reason = format!("the plugin holds it ({rule}): {reason}");
                    steps.push(no_work(Action::Hold, reason, asset));
                    continue;
                }
            };
            findings.extend(mapping.findings.iter().cloned());
            let draft = self.draft(&asset, mapping);
            let candidate = Candidate {
                asset,
                approved_by,
                placement,
                hold,
            };
            match settled(&candidate, &draft)? {
                Some((action, reason)) => steps.push(no_work(action, reason, candidate.asset)),
                None => open.push((candidate, draft)),
            }
        }
        if open.is_empty() {
            return Ok(());
        }
        let drafts: Vec<Draft> = open.iter().map(|(_, draft)| draft.clone()).collect();
        let faults = self.sink.check_drafts(&drafts).await?;
        for ((candidate, draft), faults) in open.into_iter().zip(faults) {
            steps.push(match faults.as_slice() {
                [] => self.step(candidate, draft)?,
                faults => {
                    let reasons: Vec<String> = faults.iter().map(ToString::to_string).collect();
                    let reason = format!(
                        "{} would refuse it: {}",
                        self.sink.name(),
                        reasons.join("; ")
                    );
                    no_work(Action::Hold, reason, candidate.asset)
                }
            });
        }
        Ok(())
    }

    async fn describe(&self, batch: &[(Asset, String)]) -> Result<Vec<Verdict<Mapping>>> {
        let Some(hooks) = &self.hooks else {
            return Ok(batch
                .iter()
                .map(|_| Verdict::Ready(Mapping::default()))
                .collect());
        };
        let views: Vec<AssetView> = batch.iter().map(|(asset, _)| view(asset)).collect();
        hooks.describe(&views).await
    }

    /// What the asset shall be: the hook's mapping, completed and overruled by the configuration.
    fn draft(&self, asset: &Asset, mapping: Mapping) -> Draft {
        let options = &self.options;
        let mut fields: BTreeMap<String, Assigned> = BTreeMap::new();
        for assigned in mapping.fields {
            fields.insert(assigned.field.clone(), assigned);
        }
        for (field, value) in &options.set {
            let rule = format!("flow {}, set", options.flow);
            fields.insert(
                field.clone(),
                Assigned {
                    field: field.clone(),
                    value: value.clone(),
                    rule,
                },
            );
        }
        let file_name = asset.path.name().to_owned();
        Draft {
            name: mapping.name.unwrap_or_else(|| file_name.clone()),
            file_name,
            collection: mapping
                .collection
                .unwrap_or_else(|| options.collection.clone()),
            asset_type: mapping.asset_type.or_else(|| options.asset_type.clone()),
            fields: fields.into_values().collect(),
            availability: options.availability.clone(),
        }
    }

    /// The step of an asset that is in, that no one refuses, and that is not what was placed.
    fn step(&self, candidate: Candidate, draft: Draft) -> Result<PlannedStep> {
        let Candidate {
            asset,
            approved_by,
            placement,
            ..
        } = candidate;
        let (action, reason, work) = match placement {
            None => {
                let destination = Destination::New { draft };
                (
                    Action::Create,
                    format!("{approved_by}, not placed before"),
                    self.place(&asset, destination),
                )
            }
            Some(placement) if same_bytes(&asset, &placement) => {
                let reason = format!(
                    "its metadata changed since it became {}",
                    placement.placed.asset
                );
                let work = Work::Update {
                    placement: Box::new(placement),
                    asset: asset.clone(),
                    draft,
                };
                (Action::UpdateMetadata, reason, work)
            }
            Some(placement) => {
                let reason = format!(
                    "its bytes changed since it became {}",
                    placement.placed.asset
                );
                let destination = Destination::Version {
                    asset: placement.placed.asset,
                    draft,
                };
                (Action::NewVersion, reason, self.place(&asset, destination))
            }
        };
        Ok(PlannedStep {
            action,
            reason,
            asset,
            work: Some(work),
        })
    }

    fn place(&self, asset: &Asset, destination: Destination) -> Work {
        let correlation = Correlation::derive(
            &self.options.flow,
            self.source.name(),
            asset.id.as_str(),
            asset.revision.as_str(),
        );
        Work::Place {
            asset: asset.clone(),
            destination,
            correlation,
        }
    }
}

fn no_work(action: Action, reason: String, asset: Asset) -> PlannedStep {
    PlannedStep {
        action,
        reason,
        asset,
        work: None,
    }
}

fn view(asset: &Asset) -> AssetView {
    AssetView {
        id: asset.id.clone(),
        path: asset.path.clone(),
        revision: asset.revision.clone(),
        size: asset.size,
        modified: asset.modified,
        tags: asset.tags.clone(),
        content_hash: asset.content_hash,
    }
}

/// Equal revisions mean equal bytes; a touched file with the same content hash does too.
fn same_bytes(asset: &Asset, placement: &Placement) -> bool {
    asset.revision == placement.source_revision
        || (asset.size == placement.digests.size
            && asset.content_hash.is_some()
            && asset.content_hash == placement.digests.content_hash)
}

/// Why nothing is to be done about an asset: it is placed as it would be placed again, or an earlier
/// run could not place it and nothing changed since.
fn settled(candidate: &Candidate, draft: &Draft) -> Result<Option<(Action, String)>> {
    let asset = &candidate.asset;
    let digest = draft_digest(draft)?;
    if let Some(hold) = &candidate.hold
        && hold.source_revision == asset.revision
        && hold.draft_digest == digest
    {
        return Ok(Some((Action::Hold, hold.reason.clone())));
    }
    let same = candidate
        .placement
        .as_ref()
        .is_some_and(|placement| same_bytes(asset, placement) && placement.draft_digest == digest);
    Ok(same.then(|| (Action::Skip, "already placed and unchanged".to_owned())))
}

/// Paths that differ only in case or Unicode normal form, by folded path; only where there are several.
fn alike(listed: &[Asset]) -> BTreeMap<String, Vec<AssetPath>> {
    let mut by_key: BTreeMap<String, Vec<AssetPath>> = BTreeMap::new();
    for asset in listed {
        by_key
            .entry(asset.path.key())
            .or_default()
            .push(asset.path.clone());
    }
    by_key.retain(|_, paths| paths.len() > 1);
    by_key
}

/// Why an asset must not be tried, found without asking anybody.
fn obstacle(asset: &Asset, sink: &Capabilities, twins: &[AssetPath]) -> Option<String> {
    match asset.readable {
        Readable::Yes => {}
        Readable::NeedsExport => {
            return Some(
                "it is a cloud document that can only be exported, not read as it is".into(),
            );
        }
        Readable::Restricted => {
            return Some("the source blocks its bytes (restricted content); ask its owner".into());
        }
    }
    if asset.size == 0 {
        return Some(match asset.path.extension().as_str() {
            "otf" | "ttf" | "ttc" | "dfont" | "suit" | "textclipping" | "" => {
                "it has no bytes: suspected lost resource fork; deliver it again in a zip".into()
            }
            _ => "it has no bytes; deliver it again".into(),
        });
    }
    if let Err(problem) = preflight_name(asset.path.name(), sink.name_units_max) {
        return Some(problem.to_string());
    }
    if let Some(max) = sink.asset_bytes_max.filter(|max| asset.size > *max) {
        return Some(format!("it has {} bytes; the sink takes {max}", asset.size));
    }
    let other = twins.iter().find(|path| **path != asset.path)?;
    Some(format!(
        "its name differs only in case or accents' encoding from {other}; rename one"
    ))
}
