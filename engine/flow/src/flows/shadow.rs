//! A shadow planning: another plugin is asked about everything that a flow takes, beside the one in use, and what
//! would differ is counted by field. Nothing is planned and nothing is written.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use windlass_core::{
    Asset, AssetPath, Draft, Error, HookIdentity, HookKind, Hooks, Kind, Mapping, Result, Stated,
    Value, Verdict,
};

use super::ingest::{BATCH, DECIDED_AT_ONCE, Ingest, Whole};
use crate::plan::PlanSummary;
use crate::select::Selector;

/// Assets that are named for each thing that differs.
const NAMED_MAX: usize = 3;

/// Things that differ that are counted each for itself; beyond, only the assets are.
const THINGS_MAX: usize = 1_000;

/// How two plugins' answers about the same assets compare.
#[derive(Clone, Debug, Serialize)]
pub struct Shadow {
    /// The plugin in use; `None` if the flow has none.
    pub before: Option<HookIdentity>,
    /// The other one.
    pub after: HookIdentity,
    /// Assets that were asked about: all that the flow takes.
    pub assets: u64,
    /// Of those, how many are placed already.
    pub placed: u64,
    /// Assets about which both say the same.
    pub same: u64,
    /// Assets about which they differ.
    pub differ: u64,
    /// Of those, how many are placed already: what an activation would change at the sink.
    pub placed_differ: u64,
    /// What differs, by thing: `field client`, `name`, `collection`, `asset type`, `availability`, `held`,
    /// `no longer held`.
    pub things: BTreeMap<String, Changed>,
    /// Whether there were more things than are counted here.
    pub more_things: bool,
}

/// One thing that differs.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Changed {
    /// Assets whose value becomes another.
    pub changed: u64,
    /// Assets that had none.
    pub added: u64,
    /// Assets that have none any more.
    pub removed: u64,
    /// The first of them.
    pub first: Vec<Example>,
}

/// One asset about which two plugins differ.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The asset.
    pub path: AssetPath,
    /// What the plugin in use says, as people read it.
    pub before: Option<String>,
    /// What the other one says.
    pub after: Option<String>,
}

impl Ingest {
    /// Asks `candidate` beside the flow's own plugin about all that the flow takes, placed or not, and compares
    /// what assets would become: values that the configuration overrules are no difference.
    ///
    /// Fails with `Unsupported` if the candidate maps no metadata.
    pub async fn shadow(&self, candidate: Arc<dyn Hooks>) -> Result<Shadow> {
        if !candidate.kinds().contains(&HookKind::Metadata) {
            return Err(candidate.cannot(HookKind::Metadata));
        }
        let selector = Selector::new(&self.options.selection)?;
        let summary = PlanSummary::new(self.options.flow.clone(), self.origin()?);
        let mut whole = Whole::new(self, summary, None);
        let mut listed = self.list(false, &mut whole).await?;
        let mut granted = candidate.granted().to_vec();
        granted.extend(self.hooks.iter().flat_map(|hooks| hooks.granted()));
        let sidecars = self.has_sidecars_for(&granted);
        let mut shadow = Shadow {
            before: self.hooks.as_ref().map(|hooks| hooks.identity().clone()),
            after: candidate.identity().clone(),
            assets: 0,
            placed: 0,
            same: 0,
            differ: 0,
            placed_differ: 0,
            things: BTreeMap::new(),
            more_things: false,
        };
        loop {
            let page = listed.next(DECIDED_AT_ONCE).await?;
            if page.is_empty() {
                return Ok(shadow);
            }
            // Who is left out is left out by the flow's configuration, whatever a plugin says.
            let mut left_out = Vec::new();
            let page = self.without_sidecars(page, sidecars, &mut left_out);
            let picked = self.select(&selector, page, &mut left_out).await?;
            for batch in picked.chunks(BATCH) {
                // Read once for both; a plugin is shown only what it is granted itself.
                let stated = self.stated(&granted, batch, &mut listed).await?;
                self.compare(batch, candidate.as_ref(), &stated, &mut shadow)
                    .await?;
            }
        }
    }

    async fn compare(
        &self,
        batch: &[(Asset, String)],
        candidate: &dyn Hooks,
        stated: &[Verdict<Stated>],
        shadow: &mut Shadow,
    ) -> Result<()> {
        let before = self.describe(self.hooks.as_deref(), batch, stated).await?;
        let after = self.describe(Some(candidate), batch, stated).await?;
        let ids: Vec<_> = batch.iter().map(|(asset, _)| asset.id.clone()).collect();
        let (flow, source) = (&self.options.flow, self.source.name());
        let placements = self.ledger.placements(flow, source, &ids).await?;
        let answers = before.into_iter().zip(after).zip(placements);
        for ((asset, _), ((before, after), placement)) in batch.iter().zip(answers) {
            let (before, after) = (self.seen(asset, before)?, self.seen(asset, after)?);
            let placed = u64::from(placement.is_some());
            let differences = differences(&before, &after);
            shadow.assets += 1;
            shadow.placed += placed;
            match differences.is_empty() {
                true => shadow.same += 1,
                false => {
                    shadow.differ += 1;
                    shadow.placed_differ += placed;
                }
            }
            for (thing, before, after) in differences {
                shadow.note(asset, thing, before, after);
            }
        }
        Ok(())
    }

    /// What a verdict makes of an asset, thing by thing.
    fn seen(&self, asset: &Asset, verdict: Verdict<Mapping>) -> Result<BTreeMap<String, String>> {
        let mapping = match verdict {
            Verdict::Held { reason, .. } => {
                return Ok(BTreeMap::from([("held".to_owned(), reason)]));
            }
            Verdict::Ready(mapping) => mapping,
        };
        let Draft {
            name,
            file_name: _,
            collection,
            asset_type,
            fields,
            availability,
            handing: _,
            yields: _,
        } = self.draft(asset, mapping);
        let mut seen = BTreeMap::from([
            ("name".to_owned(), name),
            ("collection".to_owned(), collection.to_string()),
        ]);
        seen.extend(asset_type.map(|name| ("asset type".to_owned(), name)));
        if let Some(availability) = availability {
            seen.insert("availability".to_owned(), text(&availability)?);
        }
        for assigned in fields {
            let value = match assigned.value {
                Value::Text(text) => text,
                other => text(&other)?,
            };
            seen.insert(format!("field {}", assigned.field), value);
        }
        Ok(seen)
    }
}

impl Shadow {
    fn note(
        &mut self,
        asset: &Asset,
        thing: String,
        before: Option<String>,
        after: Option<String>,
    ) {
        if self.things.len() >= THINGS_MAX && !self.things.contains_key(&thing) {
            self.more_things = true;
            return;
        }
        let changed = self.things.entry(thing).or_default();
        match (&before, &after) {
            (Some(_), Some(_)) => changed.changed += 1,
            (None, _) => changed.added += 1,
            (_, None) => changed.removed += 1,
        }
        if changed.first.len() < NAMED_MAX {
            changed.first.push(Example {
                path: asset.path.clone(),
                before,
                after,
            });
        }
    }
}

type Difference = (String, Option<String>, Option<String>);

/// What differs. An asset that one of the two holds differs in that alone: what it would become is not known.
fn differences(
    before: &BTreeMap<String, String>,
    after: &BTreeMap<String, String>,
) -> Vec<Difference> {
    let held = |seen: &BTreeMap<String, String>| seen.get("held").cloned();
    match (held(before), held(after)) {
        (None, None) => {}
        (Some(before), Some(after)) if before == after => return Vec::new(),
        (Some(reason), None) => return vec![("no longer held".to_owned(), Some(reason), None)],
        (before, after) => return vec![("held".to_owned(), before, after)],
    }
    let names = before
        .keys()
        .chain(after.keys().filter(|name| !before.contains_key(*name)));
    let differing = names.filter(|name| before.get(*name) != after.get(*name));
    differing
        .map(|name| {
            (
                name.clone(),
                before.get(name).cloned(),
                after.get(name).cloned(),
            )
        })
        .collect()
}

fn text<T: Serialize>(value: &T) -> Result<String> {
    // The type beside the value says nothing that the field's name does not.
    let written = serde_json::to_value(value).map_err(|error| {
        Error::new(Kind::Unexpected, "a value cannot be written as JSON").with_source(error)
    })?;
    let inner = written.get("value").cloned().unwrap_or(written);
    Ok(match inner {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}
