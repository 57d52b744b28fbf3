//! Names what lies in a flow's folders beside its deliveries: what Windlass wrote itself, what other flows placed, and
//! what is nobody's.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{Asset, AssetId, AssetPath, Placed, Result};

use super::super::BATCH;
use super::{Seen, VerifyRelease, count, wrong};
use crate::audit::{AuditedFile, Standing, Telling};
use crate::documents::{Written, is_touched};

/// What is said of documents that people changed.
const EDITED: &str = "people changed what Windlass wrote; it is left as it is";

/// A document, or what is left of it.
#[derive(Debug)]
pub(super) struct Paper {
    path: AssetPath,
    written: Written,
}

impl VerifyRelease<'_> {
    /// The documents that are known by what the flow is and has.
    pub(super) async fn papers(&self, seen: &Seen) -> Result<Vec<Paper>> {
        let flow = self.flow;
        let mut papers = Vec::new();
        for path in flow.options.kind.papers(flow, &seen.placed).await? {
            if let Some(written) = flow.documents().written(&path).await? {
                papers.push(Paper { path, written });
            }
        }
        Ok(papers)
    }

    /// Names documents.
    pub(super) async fn documents<'s>(
        &self,
        seen: &'s Seen,
        papers: &'s [Paper],
        claimed: &mut BTreeSet<&'s AssetId>,
        telling: &mut Telling<'_>,
    ) -> Result<()> {
        for batch in papers.chunks(BATCH) {
            let mut files = Vec::with_capacity(batch.len());
            for Paper { path, written } in batch {
                claimed.insert(&written.placed.asset);
                files.push(match seen.there.asset(&written.placed.asset) {
                    Some(there) => self.document(there, written, telling).await?,
                    None => lost(path, written, seen.is_sealed),
                });
            }
            telling.tell(files).await?;
        }
        Ok(())
    }

    async fn document(
        &self,
        there: &Asset,
        written: &Written,
        telling: &mut Telling<'_>,
    ) -> Result<AuditedFile> {
        let (standing, why) = match is_touched(&written.placed, there) {
            true => (Standing::Edited, Some(EDITED.to_owned())),
            false => {
                let read = self.again(there, written.blake3).await?;
                count(read.as_ref(), telling);
                match read.as_ref().and_then(wrong) {
                    Some((standing, why)) => (standing, Some(why)),
                    None => (Standing::Document, None),
                }
            }
        };
        Ok(at_sink(standing, why, there))
    }

    /// Names what lies in the folders and is of none of the flow's deliveries.
    pub(super) async fn rest(
        &self,
        seen: &Seen,
        rest: Vec<&Asset>,
        telling: &mut Telling<'_>,
    ) -> Result<()> {
        let notes = seen.withdrawn.values().filter_map(|one| one.note.as_ref());
        let notes: BTreeMap<&AssetId, &Placed> = notes.map(|note| (&note.asset, note)).collect();
        let flow = self.flow;
        for batch in rest.chunks(BATCH) {
            let ids: Vec<AssetId> = batch.iter().map(|asset| asset.id.clone()).collect();
            let placed = flow.ledger.placed_as(flow.outlet.name(), &ids).await?;
            let mut files = Vec::with_capacity(batch.len());
            for (asset, placed) in batch.iter().zip(placed) {
                let written = flow.documents().written(&asset.path).await?;
                let written = written.filter(|one| one.placed.asset == asset.id);
                let note = notes.get(&asset.id);
                files.push(match (written, note, placed.first()) {
                    (Some(written), _, _) => self.document(asset, &written, telling).await?,
                    (None, Some(note), _) => noted(asset, note),
                    (None, None, Some(placement)) => {
                        let why = format!("placed by flow {:?}", placement.flow);
                        at_sink(Standing::OfAnotherFlow, Some(why), asset)
                    }
                    (None, None, None) => at_sink(Standing::Extra, None, asset),
                });
            }
            telling.tell(files).await?;
        }
        Ok(())
    }
}

fn at_sink(standing: Standing, why: Option<String>, there: &Asset) -> AuditedFile {
    AuditedFile {
        standing,
        path: there.path.clone(),
        size: there.size,
        why,
        source_asset: None,
        sink_asset: Some(there.id.clone()),
    }
}

/// A note in the place of what was withdrawn.
fn noted(there: &Asset, note: &Placed) -> AuditedFile {
    let (standing, why) = match is_touched(note, there) {
        true => (Standing::Edited, EDITED),
        false => (
            Standing::Document,
            "a note in the place of what was withdrawn",
        ),
    };
    at_sink(standing, Some(why.to_owned()), there)
}

/// A document that is not there any more.
fn lost(path: &AssetPath, written: &Written, is_sealed: bool) -> AuditedFile {
    let why = match is_sealed {
        true => "somebody removed a paper of the archive, so it cannot prove itself",
        false => "somebody removed what Windlass wrote; the next run writes it again",
    };
    AuditedFile {
        standing: Standing::Missing,
        path: path.clone(),
        size: written.placed.size,
        why: Some(why.to_owned()),
        source_asset: None,
        sink_asset: Some(written.placed.asset.clone()),
    }
}
