//! Where a flow asks whether what it would take is ready: after selection, before anybody is asked what becomes of it.

use std::sync::Arc;

use windlass_core::{Action, Asset, Error, Kind, PackageReader, Result, Source, Verdict};

use super::Wait;
use super::lookout::{Lookout, Unit};
use super::manifest::{self, MANIFEST_BYTES_MAX};
use super::package::missing;
use super::quiet::Sightings;
use crate::discover::Sorted;
use crate::flows::ingest::{BATCH, Ingest, Whole};
use crate::flows::no_work;
use crate::plan::PlannedStep;

/// How many assets are looked at at once.
const PAGE: usize = 2_048;

impl Ingest {
    /// What a pass knows before it lists.
    pub(crate) async fn lookout(&self) -> Result<Lookout> {
        let began = self.arrivals.clock.now();
        let kept = self.ledger.cursor(&self.sightings_key()).await?;
        let seen = Sightings::read(kept.as_ref()).or_else(|error| match error.kind() {
            // What is lost by it is a quiet period.
            Kind::Corrupt => {
                tracing::warn!("everything is seen anew: {}", error.chain());
                Ok(Sightings::default())
            }
            _ => Err(error),
        })?;
        Lookout::new(&self.options.ready, self.reader().is_some(), seen, began)
    }

    /// Looks, once everything was listed, at what is in units and not ready.
    pub(crate) async fn watch(&self, undecided: &mut Sorted, whole: &mut Whole) -> Result<()> {
        let Some(lookout) = &mut whole.lookout else {
            return Ok(());
        };
        lookout.complete(self.arrivals.clock.now());
        if !lookout.has_units() {
            return Ok(());
        }
        loop {
            let page = undecided.next(PAGE).await?;
            if page.is_empty() {
                undecided.rewind();
                return Ok(());
            }
            let mut waiting = Vec::new();
            for asset in page {
                if lookout.units_of(&asset.path).is_empty() {
                    continue;
                }
                let wait = lookout.unfinished(&asset);
                if let Some(wait) = wait.or_else(|| lookout.own_wait(&asset)) {
                    waiting.push((asset, wait));
                }
            }
            let placed = self
                .placed_as_is(waiting.iter().map(|(asset, _)| asset))
                .await?;
            for ((asset, wait), placed) in waiting.iter().zip(placed) {
                match placed {
                    true => lookout.forget(asset),
                    false => lookout.watch(asset, wait),
                }
            }
        }
    }

    /// Leaves out what is not ready.
    pub(crate) async fn hold_back(
        &self,
        picked: Vec<(Asset, String)>,
        whole: &mut Whole,
        steps: &mut Vec<PlannedStep>,
    ) -> Result<Vec<(Asset, String)>> {
        let Some(lookout) = &mut whole.lookout else {
            return Ok(picked);
        };
        let mut waits: Vec<Option<Wait>> = Vec::with_capacity(picked.len());
        for (asset, _) in &picked {
            waits.push(lookout.own_wait(asset).or_else(|| lookout.unit_wait(asset)));
        }
        let is_asked = |(asset, wait): (&Asset, &Option<Wait>), lookout: &Lookout| {
            wait.is_some() || !lookout.units_of(&asset.path).is_empty()
        };
        let asked: Vec<usize> = (0..picked.len())
            .filter(|at| is_asked((&picked[*at].0, &waits[*at]), lookout))
            .collect();
        let placed = self
            .placed_as_is(asked.iter().map(|at| &picked[*at].0))
            .await?;
        for (at, placed) in asked.into_iter().zip(placed) {
            let asset = &picked[at].0;
            if placed {
                // At most its metadata changes, which reads nothing of it.
                lookout.forget(asset);
                waits[at] = None;
            } else if waits[at].is_none() {
                for key in lookout.units_of(&asset.path) {
                    self.judge(lookout, &key).await?;
                }
                waits[at] = lookout.unit_wait(asset);
            }
        }
        let mut ready = Vec::with_capacity(picked.len());
        for ((asset, approved_by), wait) in picked.into_iter().zip(waits) {
            match wait {
                None => ready.push((asset, approved_by)),
                Some(wait) => {
                    whole.summary.wait(&asset, wait.until);
                    steps.push(no_work(Action::Skip, wait.reason, asset));
                }
            }
        }
        Ok(ready)
    }

    /// Keeps, for the next pass, what was seen. Writes nothing where that is what is kept already.
    pub(crate) async fn remember(&self, lookout: Lookout) -> Result<()> {
        let (seen, ready) = lookout.into_sightings();
        match seen.into_kept(ready)? {
            None => Ok(()),
            Some(kept) => {
                let key = self.sightings_key();
                self.ledger.set_cursor(&key, kept.as_ref()).await
            }
        }
    }

    fn sightings_key(&self) -> String {
        format!("sightings of {}", self.options.flow)
    }

    /// Who reads documents, if they can be read at this source.
    fn reader(&self) -> Option<&Arc<dyn PackageReader>> {
        let reads = self.options.ready.packages && self.source.capabilities().range_reads;
        self.arrivals.packages.as_ref().filter(|_| reads)
    }

    /// Whether the bytes of each are placed at this very revision, in order.
    async fn placed_as_is(&self, assets: impl Iterator<Item = &Asset>) -> Result<Vec<bool>> {
        let (flow, source) = (&self.options.flow, self.source.name());
        let assets: Vec<&Asset> = assets.collect();
        let mut placed = Vec::with_capacity(assets.len());
        for assets in assets.chunks(BATCH) {
            let ids: Vec<_> = assets.iter().map(|asset| asset.id.clone()).collect();
            let placements = self.ledger.placements(flow, source, &ids).await?;
            placed.extend(assets.iter().zip(placements).map(|(asset, placement)| {
                placement.is_some_and(|placement| placement.source_revision == asset.revision)
            }));
        }
        Ok(placed)
    }

    /// Looks whether a unit is whole, once a pass.
    async fn judge(&self, lookout: &mut Lookout, key: &str) -> Result<()> {
        let Some(unit) = lookout.unjudged(key) else {
            return Ok(());
        };
        let mut waits = self.by_manifests(lookout, &unit).await?;
        if waits.is_none() {
            waits = self.by_documents(lookout, &unit).await?;
        }
        lookout.judge(key, waits);
        Ok(())
    }

    async fn by_manifests(&self, lookout: &mut Lookout, unit: &Unit) -> Result<Option<Wait>> {
        for manifest in &unit.manifests {
            let read = match self.text_of(manifest).await? {
                Ok(bytes) => manifest::read(manifest.path.name(), &bytes),
                Err(why) => Err(why),
            };
            let entries = match read {
                Ok(entries) => entries,
                Err(why) => {
                    let why = format!("cannot be used: {why}");
                    return Ok(Some(lookout.stuck(unit, manifest, &why)));
                }
            };
            let mut lacking = Vec::new();
            for entry in entries {
                let segments = entry.path.segments();
                let path = segments.fold(unit.root.clone(), |at, name| at.join(name));
                if !lookout.is_there(&path, entry.size) {
                    let name = entry.path.as_str().trim_start_matches('/').to_owned();
                    lacking.push(match lookout.is_there(&path, None) {
                        true => format!("{name} with another size"),
                        false => name,
                    });
                }
            }
            if !lacking.is_empty() {
                return Ok(Some(lookout.lacks(unit, manifest, &lacking)));
            }
        }
        Ok(None)
    }

    async fn by_documents(&self, lookout: &mut Lookout, unit: &Unit) -> Result<Option<Wait>> {
        if let (true, Some(evidence)) = (unit.documents.is_empty(), &unit.evidence) {
            let why = "has no InDesign document to go with yet";
            return Ok(Some(lookout.stuck(unit, evidence, why)));
        }
        let Some(reader) = self.reader() else {
            return Ok(None);
        };
        for document in &unit.documents {
            let named = match reader.named(self.source.as_ref(), document).await? {
                Verdict::Ready(named) => named,
                Verdict::Held { reason, .. } => {
                    let why = format!("cannot be read: {reason}");
                    return Ok(Some(lookout.stuck(unit, document, &why)));
                }
            };
            let lacking = missing(&unit.root, &named, |path| lookout.is_there(path, None));
            if !lacking.is_empty() {
                return Ok(Some(lookout.lacks(unit, document, &lacking)));
            }
        }
        Ok(None)
    }

    /// A small file whole. The inner error is about this file alone, the outer one about the source.
    async fn text_of(&self, asset: &Asset) -> Result<Result<Vec<u8>, String>> {
        if asset.size > MANIFEST_BYTES_MAX {
            let mib = MANIFEST_BYTES_MAX >> 20;
            return Ok(Err(format!("it is larger than {mib} MiB")));
        }
        match read(self.source.as_ref(), asset).await {
            Ok(bytes) => Ok(Ok(bytes)),
            Err(error) if is_about_the_file(&error) => Ok(Err(error.message().to_owned())),
            Err(error) => Err(error.with_context("asset", &asset.path)),
        }
    }
}

async fn read(source: &dyn Source, asset: &Asset) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if source.capabilities().range_reads {
        source.read(asset, 0..asset.size, &mut bytes).await?;
        return Ok(bytes);
    }
    let mut stream = source.open(asset).await?;
    stream.next(asset.size, &mut bytes).await?;
    stream.end().await?;
    Ok(bytes)
}

fn is_about_the_file(error: &Error) -> bool {
    use Kind::{Denied, Integrity, NotFound, Restricted, SourceChanged};
    let kinds = [SourceChanged, NotFound, Restricted, Denied, Integrity];
    kinds.contains(&error.kind())
}
