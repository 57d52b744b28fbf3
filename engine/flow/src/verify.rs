//! Verify: both sides held beside the ledger, file by file.
//!
//! The sink is listed into scratch space; the source is planned anew with every rule asked; what the ledger knows is
//! the third witness. Every file of the source, every placement whose source is gone and everything else at the sink
//! gets exactly one name ([`Standing`]). They are counted apart from the names, so what has none shows as unexplained.
//! Memory stays flat: listings lie beside the ledger, answers go out page by page.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, TryStreamExt, stream};
use windlass_core::{
    Action, Asset, AssetId, AssetPath, Change, Cursor, Kind, Ledger, Placement, Readable, Result,
    Scope, Source, Spool, SpoolEntry, SpoolOrder,
};
use windlass_transfer::Engine;

use crate::audit::{Audit, AuditWriter, AuditedFile, ReadBack, Standing, Telling, read_back};
use crate::flows::ingest::{Ingest, is_suspected_fork};
use crate::plan::{PlanWriter, PlannedStep};

/// How many files are looked at together.
const BATCH: usize = 256;

/// How many assets that the listing did not show are asked for at once.
const LOOKUPS_AT_ONCE: usize = 16;

/// An audit of one flow.
#[derive(Debug)]
pub struct Verify<'a> {
    /// The flow.
    pub ingest: &'a Ingest,
    /// Its sink, to read from.
    pub sink_reader: Arc<dyn Source>,
    /// The part of the sink that is listed. What was placed elsewhere is asked for one by one.
    pub within: AssetPath,
    /// Reads everything back that looks right, and hashes it.
    pub deep: Option<&'a Engine>,
    /// How many are read back at the same time.
    pub at_once: usize,
}

impl Verify<'_> {
    /// Audits. Writes nothing anywhere but to `writer`.
    ///
    /// Errors: what prevents looking; never what is found.
    pub async fn run(&self, writer: &mut dyn AuditWriter) -> Result<Audit> {
        let ledger = self.ingest.ledger.as_ref();
        let mut sink = ledger.spool().await?;
        let at_sink = self.list_sink(sink.as_mut()).await?;
        let mut auditor = Auditor {
            verify: self,
            sink,
            seen: ledger.spool().await?,
            telling: Telling::new(writer, self.ingest.observer.as_ref()),
            matched: 0,
        };
        let plan = self.ingest.decide_arrived(&mut auditor).await?;
        let planned: u64 = plan.totals().values().map(|(assets, _)| assets).sum();
        let gone = auditor.whose_source_is_gone().await?;
        auditor.only_at_sink().await?;
        let counted = planned + gone + (at_sink - auditor.matched.min(at_sink));
        Ok(auditor.telling.finish(counted, planned, at_sink))
    }

    /// Lists the sink into scratch space; how many assets there are. A folder that is not there holds none.
    async fn list_sink(&self, spool: &mut dyn Spool) -> Result<u64> {
        let scope = Scope {
            root: self.within.clone(),
        };
        let mut cursor: Option<Cursor> = None;
        loop {
            let page = match self.sink_reader.changes(&scope, cursor.as_ref()).await {
                Ok(page) => page,
                Err(error) if error.kind() == Kind::NotFound && cursor.is_none() => break,
                Err(error) => return Err(error),
            };
            let mut removed = Vec::new();
            let mut put = Vec::new();
            for change in page.changes {
                match change {
                    Change::Asset(asset) => put.push(by_id(asset)),
                    // Listed from nothing, a removal is of what moved while it was listed.
                    Change::Removed(path) => removed.push(path),
                    Change::Folder(_) => {}
                }
            }
            spool.apply(put).await?;
            for path in removed {
                forget_below(spool, &path).await?;
            }
            cursor = Some(page.cursor);
            if !page.more {
                break;
            }
        }
        spool.kept().await
    }

    /// What the flow placed of each asset.
    async fn placements(&self, assets: &[Asset]) -> Result<Vec<Option<Placement>>> {
        let ids: Vec<AssetId> = assets.iter().map(|asset| asset.id.clone()).collect();
        let (flow, source) = (&self.ingest.options.flow, self.ingest.source.name());
        self.ingest.ledger.placements(flow, source, &ids).await
    }

    /// What the sink has in place of what was placed.
    fn compare(&self, placement: &Placement, there: Option<Asset>) -> AtSink {
        let placed = &placement.placed;
        let Some(there) = there else {
            return AtSink::Gone;
        };
        let hashes = placement.digests.content_hash.zip(there.content_hash);
        let same_bytes = there.size == placement.digests.size
            && hashes.is_none_or(|(ours, theirs)| ours == theirs);
        match there.revision == placed.revision || hashes.is_some() {
            true if same_bytes => AtSink::AsPlaced(there),
            _ if there.size != placement.digests.size => AtSink::Differs(format!(
                "it has {} bytes at the sink instead of {}",
                there.size, placement.digests.size
            )),
            true => AtSink::Differs("its bytes are others at the sink".to_owned()),
            false => AtSink::Differs("it has another revision at the sink".to_owned()),
        }
    }

    /// Reads back what looks right, where that is wanted.
    async fn read_back(&self, placement: &Placement, at_sink: AtSink) -> Result<(AtSink, u64)> {
        let (Some(engine), AtSink::AsPlaced(there)) = (self.deep, &at_sink) else {
            return Ok((at_sink, 0));
        };
        let read = read_back(
            engine,
            self.sink_reader.as_ref(),
            there,
            placement.digests.blake3,
        );
        Ok(match read.await? {
            ReadBack::Same(bytes) => (at_sink, bytes),
            ReadBack::Differs(bytes, why) => (AtSink::Differs(why), bytes),
            ReadBack::Unreadable(why) => (AtSink::Unreadable(why), 0),
        })
    }
}

/// A file with what is known of it.
struct Case {
    /// At the source, if it is there.
    asset: Option<Asset>,
    /// What a run would do, and why; `None` where it would do nothing.
    planned: Option<(Action, String)>,
    placement: Option<Placement>,
}

/// What the sink has of what was placed.
enum AtSink {
    AsPlaced(Asset),
    Differs(String),
    Unreadable(String),
    Gone,
}

struct Auditor<'a> {
    verify: &'a Verify<'a>,
    /// What the sink showed and nothing was matched to, by id.
    sink: Box<dyn Spool>,
    /// What the source showed, by id.
    seen: Box<dyn Spool>,
    telling: Telling<'a>,
    /// How many of the sink's listing were matched to a placement.
    matched: u64,
}

impl fmt::Debug for Auditor<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auditor")
            .field("telling", &self.telling)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl PlanWriter for Auditor<'_> {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        let planned = steps
            .into_iter()
            .map(|step| (step.asset, Some((step.action, step.reason))));
        self.planned(planned.collect()).await
    }

    fn wants_unchanged(&self) -> bool {
        true
    }

    async fn unchanged(&mut self, assets: Vec<Asset>) -> Result<()> {
        self.planned(assets.into_iter().map(|asset| (asset, None)).collect())
            .await
    }
}

impl Auditor<'_> {
    fn ledger(&self) -> &dyn Ledger {
        self.verify.ingest.ledger.as_ref()
    }

    /// Files of the source, with what a run would do about them.
    async fn planned(&mut self, planned: Vec<(Asset, Option<(Action, String)>)>) -> Result<()> {
        let mut planned = planned.into_iter();
        loop {
            let batch: Vec<_> = planned.by_ref().take(BATCH).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let assets: Vec<Asset> = batch.iter().map(|(asset, _)| asset.clone()).collect();
            let placements = self.verify.placements(&assets).await?;
            self.seen
                .apply(assets.into_iter().map(by_id).collect())
                .await?;
            let cases = batch.into_iter().zip(placements);
            let cases = cases.map(|((asset, planned), placement)| Case {
                asset: Some(asset),
                planned,
                placement,
            });
            self.judge(cases.collect()).await?;
        }
    }

    /// Placements whose source is not listed any more; how many there are.
    async fn whose_source_is_gone(&mut self) -> Result<u64> {
        let ingest = self.verify.ingest;
        let (flow, source) = (&ingest.options.flow, ingest.source.name());
        let mut gone = 0;
        let mut after: Option<AssetId> = None;
        loop {
            let page = self
                .ledger()
                .placements_after(flow, source, after.as_ref(), BATCH as u32)
                .await?;
            let Some(last) = page.last() else {
                return Ok(gone);
            };
            after = Some(last.source_asset.clone());
            let keys: Vec<String> = page
                .iter()
                .map(|one| one.source_asset.to_string())
                .collect();
            let seen = self.seen.get(&keys).await?;
            let cases: Vec<Case> = page
                .into_iter()
                .zip(seen)
                .filter(|(_, seen)| seen.is_none())
                .map(|(placement, _)| Case {
                    asset: None,
                    planned: None,
                    placement: Some(placement),
                })
                .collect();
            gone += cases.len() as u64;
            self.judge(cases).await?;
        }
    }

    /// What the sink shows and this flow did not place.
    async fn only_at_sink(&mut self) -> Result<()> {
        let mut after: Option<SpoolOrder> = None;
        loop {
            let page = self.sink.page(after.as_ref(), BATCH).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(SpoolOrder::of(last));
            let ids: Vec<AssetId> = page.iter().map(|asset| asset.id.clone()).collect();
            let sink = self.verify.sink_reader.name();
            let placed = self.ledger().placed_as(sink, &ids).await?;
            let files = page.into_iter().zip(placed).map(|(asset, placed)| {
                let (standing, why) = match placed.first() {
                    None => (Standing::Extra, None),
                    Some(placement) => (
                        Standing::OfAnotherFlow,
                        Some(format!("placed by flow {:?}", placement.flow)),
                    ),
                };
                AuditedFile {
                    standing,
                    path: asset.path,
                    size: asset.size,
                    why,
                    source_asset: None,
                    sink_asset: Some(asset.id),
                }
            });
            self.telling.tell(files.collect()).await?;
        }
    }

    /// Names files.
    async fn judge(&mut self, cases: Vec<Case>) -> Result<()> {
        let verify = self.verify;
        let at_sink = self.at_sink(&cases).await?;
        let looked = cases.into_iter().zip(at_sink);
        let looked =
            stream::iter(
                looked.map(async |(case, at_sink)| match (&case.placement, at_sink) {
                    (Some(placement), Some(at_sink)) => {
                        let (at_sink, read) = verify.read_back(placement, at_sink).await?;
                        Result::Ok((case, Some(at_sink), read))
                    }
                    (_, at_sink) => Ok((case, at_sink, 0)),
                }),
            );
        let at_once = verify.at_once.max(1);
        let looked: Vec<_> = looked.buffered(at_once).try_collect().await?;
        let mut files = Vec::with_capacity(looked.len());
        for (case, at_sink, read) in looked {
            if read > 0 {
                self.telling.read_back(read);
            }
            files.push(name(case, at_sink));
        }
        self.telling.tell(files).await
    }

    /// What the sink has of each placement.
    async fn at_sink(&mut self, cases: &[Case]) -> Result<Vec<Option<AtSink>>> {
        let verify = self.verify;
        let sink = verify.sink_reader.name();
        let placed = |case: &Case| {
            let placement = case.placement.as_ref()?;
            (placement.sink == sink).then(|| placement.placed.asset.clone())
        };
        let ids: Vec<Option<AssetId>> = cases.iter().map(placed).collect();
        let keys: Vec<String> = ids
            .iter()
            .map(|id| id.as_ref().map(ToString::to_string).unwrap_or_default())
            .collect();
        let listed = self.sink.get(&keys).await?;
        let found: Vec<SpoolEntry> = listed
            .iter()
            .flatten()
            .map(|asset| SpoolEntry::Drop {
                key: asset.id.to_string(),
                id: asset.id.clone(),
            })
            .collect();
        // The same asset may have been placed for two files.
        let distinct: BTreeSet<&AssetId> = listed.iter().flatten().map(|asset| &asset.id).collect();
        self.matched += distinct.len() as u64;
        self.sink.apply(found).await?;
        // The listing does not show what lies elsewhere, or was placed a moment ago.
        let there = ids.into_iter().zip(listed);
        let there = stream::iter(there.map(async |(id, listed)| match (id, listed) {
            (Some(id), None) => verify.sink_reader.stat(&id).await,
            (_, listed) => Ok(listed),
        }));
        let there: Vec<Option<Asset>> = there.buffered(LOOKUPS_AT_ONCE).try_collect().await?;
        let at_sink = cases.iter().zip(there).map(|(case, there)| {
            let placement = case.placement.as_ref()?;
            Some(match placement.sink == sink {
                true => verify.compare(placement, there),
                false => AtSink::Differs(format!(
                    "it was placed at {:?}, where the flow does not lead any more",
                    placement.sink
                )),
            })
        });
        Ok(at_sink.collect())
    }
}

/// The one name of a file.
fn name(case: Case, at_sink: Option<AtSink>) -> AuditedFile {
    let Case {
        asset,
        planned,
        placement,
    } = case;
    let acts = |action: Action| action.acts();
    let (standing, why) = match (at_sink, planned) {
        (Some(AtSink::Gone), _) if asset.is_none() => (
            Standing::Missing,
            Some("it is gone from both sides".to_owned()),
        ),
        (Some(AtSink::Gone), _) => (Standing::Missing, None),
        (Some(AtSink::Differs(why)), _) => (Standing::Differs, Some(why)),
        (Some(AtSink::Unreadable(why)), _) => (Standing::Unreadable, Some(why)),
        (Some(AtSink::AsPlaced(_)), _) if asset.is_none() => (Standing::SourceGone, None),
        (Some(AtSink::AsPlaced(_)), None) => (Standing::Same, None),
        (Some(AtSink::AsPlaced(_)), Some((action, why))) => match acts(action) {
            true => (Standing::Changed, Some(why)),
            false => (Standing::Kept, Some(why)),
        },
        (None, Some((action, why))) => match (&asset, action) {
            (_, Action::Skip) => (Standing::NotSelected, Some(why)),
            (_, Action::Conflict) => (Standing::Conflict, Some(why)),
            (Some(asset), Action::Hold) => (held(asset), Some(why)),
            (None, Action::Hold) => (Standing::Held, Some(why)),
            _ => (Standing::Pending, Some(why)),
        },
        (None, None) => (Standing::Pending, None),
    };
    let of_placement = |placement: &Placement| {
        (
            placement.source_path.clone(),
            placement.digests.size,
            placement.source_asset.clone(),
        )
    };
    let shown = match (&asset, &placement) {
        (Some(asset), _) => Some((asset.path.clone(), asset.size, asset.id.clone())),
        (None, placement) => placement.as_ref().map(of_placement),
    };
    let (path, size, source_asset) = match shown {
        Some((path, size, id)) => (path, size, Some(id)),
        None => (AssetPath::new(""), 0, None),
    };
    AuditedFile {
        standing,
        path,
        size,
        why,
        source_asset,
        sink_asset: placement.map(|placement| placement.placed.asset),
    }
}

/// Why a file is held, by what it is.
fn held(asset: &Asset) -> Standing {
    match asset.readable {
        Readable::Restricted => Standing::Restricted,
        Readable::NeedsExport => Standing::UnsupportedKind,
        Readable::Yes if is_suspected_fork(asset) => Standing::SuspectedFork,
        Readable::Yes if asset.size == 0 => Standing::Empty,
        Readable::Yes => Standing::Held,
    }
}

/// An asset kept under its id: two may be at one path.
pub(crate) fn by_id(asset: Asset) -> SpoolEntry {
    SpoolEntry::Put {
        key: asset.id.to_string(),
        asset,
    }
}

/// Forgets what is at a path and below it, where assets are kept by id.
pub(crate) async fn forget_below(spool: &mut dyn Spool, path: &AssetPath) -> Result<()> {
    let at = path.key();
    let below = format!("{at}/");
    let mut after: Option<SpoolOrder> = None;
    loop {
        let page = spool.page(after.as_ref(), BATCH).await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(SpoolOrder::of(last));
        let gone = page.into_iter().filter(|asset| {
            let key = asset.path.key();
            key == at || key.starts_with(&below)
        });
        let gone = gone.map(|asset| SpoolEntry::Drop {
            key: asset.id.to_string(),
            id: asset.id,
        });
        spool.apply(gone.collect()).await?;
    }
}
