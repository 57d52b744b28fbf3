//! Rebuild: what a lost ledger knew of placements, learnt again from the files themselves.
//!
//! The sink is listed with what is stamped on its files; the source is planned anew. A file about which the ledger knows
//! nothing is adopted where the sink has an asset with its stamp, whatever that is called and wherever it is by now. Files
//! that carry none, as copies do, are adopted where they have just the bytes that they should have, in just the place;
//! linked assets where they show in the collection. All of it becomes steps of a run, so that the record says how the
//! ledger learnt of each.
//!
//! What only the ledger knew stays lost: who did what before, and files whose source is gone. Memory stays flat: listings
//! lie beside the ledger.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::Serialize;
use tokio_util::sync::CancellationToken;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, Blake3, Change, Correlation, Cursor, Digests, Draft, Error,
    Evidence, Kind, Placed, Placement, Result, Reuse, Revision, Scope, Source, Spool, SpoolEntry,
    SpoolOrder, Stamp, StampedPage,
};
use windlass_transfer::Engine;

use crate::audit::Sum;
use crate::duplicates::Duplicates;
use crate::flows::ingest::Ingest;
use crate::plan::{PlanSummary, PlanWriter, PlannedStep, Work};
use crate::verify::{by_id, forget_below};

/// How many files are looked at together.
const BATCH: usize = 256;

/// How many copies are named one by one.
const COPIES_NAMED: usize = 20;

/// A revision that nothing has: of a source's file that changed since its stamp was made, and of an asset whose bytes are
/// somebody else's by now.
const NONE: &str = "";

/// How the tags of an asset in scratch space tell that its bytes are somebody else's.
const TOUCHED: &str = "touched";

/// What became of a file when its rules could not say what it is to become: no draft has this digest.
const NOTHING_KNOWN: Blake3 = Blake3([0; 32]);

/// What a rebuild found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Rebuilt {
    /// Assets that the sink listed.
    pub at_sink: u64,
    /// Files of the source that the ledger knew already.
    pub known: u64,
    /// Files that are adopted by their stamps.
    pub by_stamp: Sum,
    /// Files that are adopted because their bytes are where they belong.
    pub by_place: Sum,
    /// Files that are adopted because they are linked to another file's asset.
    pub by_link: Sum,
    /// How many of those that are adopted changed at the source since they were placed: the next run follows.
    pub changed: u64,
    /// How many of those that are adopted have other bytes at the sink by now: an audit tells which.
    pub touched: u64,
    /// Files that were read because their stamps do not say of which bytes they are.
    pub read: Sum,
    /// Files that the flow takes and the sink does not have.
    pub missing: Sum,
    /// Stamped assets that belong to other flows, to files that are not at the source any more, or to what a file was before
    /// it became an asset of its own.
    pub of_others: u64,
    /// Assets that carry the same stamp as another one: people copied what was placed. They are left alone.
    pub copies: u64,
    /// The first of them.
    pub copies_named: Vec<AssetPath>,
}

impl Rebuilt {
    /// Everything that is adopted.
    pub fn adopted(&self) -> Sum {
        let all = [self.by_stamp, self.by_place, self.by_link];
        all.into_iter().fold(Sum::default(), |sum, one| Sum {
            files: sum.files + one.files,
            bytes: sum.bytes + one.bytes,
        })
    }
}

/// A rebuild of what one flow placed.
#[derive(Debug)]
pub struct Rebuild<'a> {
    /// The flow. Its ledger may know something already, and that stays as it is.
    pub ingest: &'a Ingest,
    /// Its sink, to read from.
    pub sink_reader: Arc<dyn Source>,
    /// The part of the sink that is looked at; see [`Rebuild::within`].
    pub within: AssetPath,
    /// Reads files of the source whose stamps do not say of which bytes they are.
    pub engine: &'a Engine,
}

impl Rebuild<'_> {
    /// Where something of a flow may be by now: anywhere, since stamps are known wherever people put their files. Folders have
    /// no stamps, so there it is where the flow puts it, if rules of the customer's have no say.
    pub fn within(ingest: &Ingest) -> AssetPath {
        match (&ingest.hooks, ingest.sink.capabilities().digests_in_place) {
            (None, true) => ingest.options.collection.clone(),
            _ => AssetPath::new(""),
        }
    }

    /// Decides what is adopted and hands it to `writer` as steps. Writes nothing anywhere itself.
    ///
    /// Errors: what prevents looking.
    pub async fn decide(&self, writer: &mut dyn PlanWriter) -> Result<(PlanSummary, Rebuilt)> {
        let ledger = self.ingest.ledger.as_ref();
        let mut rebuilt = Rebuilt::default();
        let mut listed = ledger.spool().await?;
        rebuilt.at_sink = self.list(listed.as_mut()).await?;
        let summary = PlanSummary::new(self.ingest.options.flow.clone(), self.ingest.origin()?);
        let mut matcher = Matcher {
            rebuild: self,
            by_mark: ledger.spool().await?,
            by_origin: ledger.spool().await?,
            copies_by_place: ledger.spool().await?,
            by_place: ledger.spool().await?,
            by_content: ledger.spool().await?,
            by_size: ledger.spool().await?,
            by_digest: ledger.spool().await?,
            origins: ledger.spool().await?,
            rest: ledger.spool().await?,
            stamped: 0,
            writer,
            summary,
            rebuilt,
        };
        matcher.sort(listed).await?;
        let plan = self.ingest.decide_arrived(&mut matcher).await?;
        matcher.rebuilt.known += plan.unchanged.assets;
        matcher.match_rest().await?;
        let Matcher {
            summary,
            mut rebuilt,
            stamped,
            ..
        } = matcher;
        rebuilt.of_others = stamped.saturating_sub(rebuilt.by_stamp.files);
        Ok((summary, rebuilt))
    }

    /// Lists the sink into scratch space, stamps and collections as tags; how many assets there are.
    async fn list(&self, spool: &mut dyn Spool) -> Result<u64> {
        let scope = Scope {
            root: self.within.clone(),
        };
        let mut cursor: Option<Cursor> = None;
        loop {
            let listed = match self.sink_reader.stamped(&scope, cursor.as_ref()).await {
                Ok(listed) => listed,
                Err(error) if error.kind() == Kind::NotFound && cursor.is_none() => break,
                Err(error) => return Err(error),
            };
            let StampedPage {
                page,
                mut stamps,
                mut collections,
                touched,
            } = listed;
            let mut put = Vec::new();
            let mut removed = Vec::new();
            for change in page.changes {
                match change {
                    Change::Asset(asset) => {
                        let stamp = stamps.remove(&asset.id);
                        let collections = collections.remove(&asset.id).unwrap_or_default();
                        let there = There {
                            touched: touched.contains(&asset.id),
                            collections: collections.iter().map(AssetPath::key).collect(),
                            asset,
                            stamp,
                        };
                        put.push(by_id(there.kept()));
                    }
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

    fn correlation(&self, asset: &Asset) -> Correlation {
        Correlation::derive(
            &self.ingest.options.flow,
            self.ingest.source.name(),
            asset.id.as_str(),
            asset.revision.as_str(),
        )
    }

    /// What the ledger is to know of a file.
    fn placement(&self, asset: &Asset, draft: &Draft, there: &There, found: Found) -> Placement {
        Placement {
            flow: self.ingest.options.flow.clone(),
            source: self.ingest.source.name().to_owned(),
            source_asset: asset.id.clone(),
            source_revision: found.revision,
            source_path: asset.path.clone(),
            sink: self.ingest.sink.name().to_owned(),
            placed: Placed {
                asset: there.asset.id.clone(),
                revision: match found.touched {
                    true => Revision::new(NONE),
                    false => there.asset.revision.clone(),
                },
                size: found.digests.size,
                content_hash: match found.touched {
                    true => None,
                    false => there.asset.content_hash,
                },
                evidence: found.evidence,
            },
            digests: found.digests,
            draft_digest: found.draft_digest,
            collection: draft.collection.clone(),
            linked: found.linked,
        }
    }

    fn adopting(
        &self,
        reason: String,
        asset: &Asset,
        draft: &Draft,
        there: &There,
        found: Found,
    ) -> PlannedStep {
        PlannedStep {
            action: Action::Adopt,
            reason,
            asset: asset.clone(),
            work: Some(Work::Adopt {
                placement: Box::new(self.placement(asset, draft, there, found)),
                asset: asset.clone(),
                draft: draft.clone(),
            }),
        }
    }
}

/// What was found out about a file and its asset.
struct Found {
    revision: Revision,
    digests: Digests,
    draft_digest: Blake3,
    evidence: Evidence,
    linked: bool,
    /// The asset has other bytes by now.
    touched: bool,
}

/// An asset at the sink with what it says of itself. Scratch space keeps assets, so the rest travels in their tags.
struct There {
    asset: Asset,
    stamp: Option<Stamp>,
    /// Its bytes are known to be somebody else's.
    touched: bool,
    /// All that it is in, folded, or none where its path says it.
    collections: Vec<String>,
}

impl There {
    fn kept(self) -> Asset {
        let stamp = self.stamp.as_ref().map(Stamp::to_string);
        let touched = if self.touched { TOUCHED } else { "" };
        let mut tags = vec![stamp.unwrap_or_default(), touched.to_owned()];
        tags.extend(self.collections);
        Asset { tags, ..self.asset }
    }

    fn read(mut asset: Asset) -> Self {
        let mut tags = std::mem::take(&mut asset.tags).into_iter();
        let stamp = tags.next().and_then(|text| text.parse().ok());
        let touched = tags.next().is_some_and(|text| text == TOUCHED);
        There {
            asset,
            stamp,
            touched,
            collections: tags.collect(),
        }
    }

    /// Whether it shows in a collection.
    fn is_in(&self, collection: &AssetPath) -> bool {
        let key = collection.key();
        match self.collections.is_empty() {
            true => self.asset.path.parent().key() == key,
            false => self.collections.contains(&key),
        }
    }
}

/// A file of the source about which nothing is known, with what it is to become.
struct Unplaced {
    asset: Asset,
    /// `None` where its rules do not say.
    draft: Option<Draft>,
}

impl Unplaced {
    fn kept(mut self) -> Result<Asset> {
        let text = serde_json::to_string(&self.draft).map_err(|error| {
            Error::new(Kind::Unexpected, "a draft cannot be written as JSON").with_source(error)
        })?;
        self.asset.tags = vec![text];
        Ok(self.asset)
    }

    fn read(mut asset: Asset) -> Result<Self> {
        let text = asset.tags.pop().unwrap_or_default();
        let draft = serde_json::from_str(&text).map_err(|error| {
            Error::new(Kind::Corrupt, "scratch space gave back something else").with_source(error)
        })?;
        Ok(Unplaced { asset, draft })
    }
}

struct Matcher<'a> {
    rebuild: &'a Rebuild<'a>,
    /// What carries a stamp, by its mark.
    by_mark: Box<dyn Spool>,
    /// The last that was made of each source asset, by the name that stamps have for it.
    by_origin: Box<dyn Spool>,
    /// Assets that carry the same mark as another one, with those, by folded path.
    copies_by_place: Box<dyn Spool>,
    /// What carries none, by folded path.
    by_place: Box<dyn Spool>,
    /// What was adopted by its stamp, by content hash.
    by_content: Box<dyn Spool>,
    /// What carries a stamp, by its size, and by the digest that the stamp says.
    by_size: Box<dyn Spool>,
    by_digest: Box<dyn Spool>,
    /// What stamps call the files of the source.
    origins: Box<dyn Spool>,
    /// Files of the source that no stamp names.
    rest: Box<dyn Spool>,
    /// How many marks there are.
    stamped: u64,
    writer: &'a mut dyn PlanWriter,
    summary: PlanSummary,
    rebuilt: Rebuilt,
}

impl fmt::Debug for Matcher<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Matcher")
            .field("rebuilt", &self.rebuilt)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl PlanWriter for Matcher<'_> {
    async fn steps(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        for steps in steps.chunks(BATCH) {
            let ingest = self.rebuild.ingest;
            let ids: Vec<AssetId> = steps.iter().map(|step| step.asset.id.clone()).collect();
            let (flow, source) = (&ingest.options.flow, ingest.source.name());
            let placements = ingest.ledger.placements(flow, source, &ids).await?;
            let mut unplaced = Vec::new();
            for (step, placement) in steps.iter().zip(placements) {
                if placement.is_some() {
                    self.rebuilt.known += 1;
                    continue;
                }
                unplaced.push(Unplaced {
                    asset: step.asset.clone(),
                    draft: step.work.as_ref().map(|work| work.draft().clone()),
                });
            }
            self.match_stamps(unplaced).await?;
        }
        Ok(())
    }
}

impl Matcher<'_> {
    /// Sorts what the sink has by what it can be found by.
    async fn sort(&mut self, mut listed: Box<dyn Spool>) -> Result<()> {
        let mut after: Option<SpoolOrder> = None;
        loop {
            let page = listed.page(after.as_ref(), BATCH).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(SpoolOrder::of(last));
            for asset in page {
                let there = There::read(asset);
                match there.stamp.clone() {
                    Some(stamp) => self.keep_stamped(&stamp, there).await?,
                    None => {
                        let key = there.asset.path.key();
                        let asset = there.kept();
                        self.by_place
                            .apply(vec![SpoolEntry::Put { key, asset }])
                            .await?;
                    }
                }
            }
        }
    }

    /// Of several with one mark the first that was made is the one that was placed: a copy came later. Of several marks of one
    /// file the last is what it is now: before that it shared an asset with others, and left it to them.
    async fn keep_stamped(&mut self, stamp: &Stamp, there: There) -> Result<()> {
        let mark = stamp.mark().to_owned();
        let known = one(&mut self.by_mark, &mark).await?;
        let kept = match known {
            None => {
                self.stamped += 1;
                there.kept()
            }
            Some(known) => {
                self.rebuilt.copies += 1;
                let (first, copy) = match age(&known.asset.id) <= age(&there.asset.id) {
                    true => (known, there),
                    false => (there, known),
                };
                if self.rebuilt.copies_named.len() < COPIES_NAMED {
                    self.rebuilt.copies_named.push(copy.asset.path.clone());
                }
                let (first, copy) = (first.kept(), copy.kept());
                put(&mut self.copies_by_place, copy.path.key(), copy).await?;
                put(&mut self.copies_by_place, first.path.key(), first.clone()).await?;
                first
            }
        };
        if let Some(blake3) = stamp.blake3() {
            put(&mut self.by_size, kept.size.to_string(), kept.clone()).await?;
            put(&mut self.by_digest, blake3.to_hex(), kept.clone()).await?;
        }
        if let Some(origin) = stamp.origin() {
            let last = one(&mut self.by_origin, origin).await?;
            let is_last = last.is_none_or(|last| {
                let same = last.stamp.is_some_and(|stamp| stamp.mark() == mark);
                same || age(&last.asset.id) < age(&kept.id)
            });
            if is_last {
                put(&mut self.by_origin, origin.to_owned(), kept.clone()).await?;
            }
        }
        put(&mut self.by_mark, mark, kept).await
    }

    /// Adopts what carries the stamps of files, and keeps the others for later.
    async fn match_stamps(&mut self, unplaced: Vec<Unplaced>) -> Result<()> {
        let marks: Vec<Correlation> = unplaced
            .iter()
            .map(|one| self.rebuild.correlation(&one.asset))
            .collect();
        let keys: Vec<String> = marks.iter().map(|mark| mark.as_str().to_owned()).collect();
        let of_revision = self.by_mark.get(&keys).await?;
        let origins: Vec<String> = marks
            .iter()
            .map(|mark| mark.origin().unwrap_or_default().to_owned())
            .collect();
        let of_asset = self.by_origin.get(&origins).await?;
        let assets = unplaced.iter().map(|one| one.asset.clone());
        let named = origins.into_iter().zip(assets);
        let named = named.map(|(key, asset)| SpoolEntry::Put { key, asset });
        self.origins.apply(named.collect()).await?;
        let (mut steps, mut rest) = (Vec::new(), Vec::new());
        let found = of_revision.into_iter().zip(of_asset);
        for ((unplaced, mark), (of_revision, of_asset)) in
            unplaced.into_iter().zip(&marks).zip(found)
        {
            let there = of_revision.or(of_asset).map(There::read);
            let there = self.where_it_belongs(there, &unplaced).await?;
            let Some((there, stamp)) = there.and_then(|there| {
                let stamp = there.stamp.clone()?;
                Some((there, stamp))
            }) else {
                if unplaced.draft.is_some() {
                    rest.push(by_id(unplaced.kept()?));
                }
                continue;
            };
            let Some(blake3) = self.bytes_of(&unplaced.asset, mark, &stamp).await? else {
                self.rebuilt.missing.add(unplaced.asset.size);
                continue;
            };
            let (step, is_whole) = self.by_stamp(unplaced, mark, &there, (&stamp, blake3))?;
            if let Some(Work::Adopt { placement, .. }) = &step.work
                && let (Some(content), true) = (placement.digests.content_hash, is_whole)
            {
                put(&mut self.by_content, content.to_hex(), there.kept()).await?;
            }
            steps.push(step);
        }
        self.rest.apply(rest).await?;
        self.adopt(steps).await
    }

    /// Of several copies the one that is where the file belongs, if one is.
    async fn where_it_belongs(
        &mut self,
        found: Option<There>,
        unplaced: &Unplaced,
    ) -> Result<Option<There>> {
        let (Some(there), Some(draft), 1..) = (&found, &unplaced.draft, self.rebuilt.copies) else {
            return Ok(found);
        };
        let place = draft.collection.join(&draft.file_name).key();
        let in_place = one(&mut self.copies_by_place, &place).await?;
        let mark = |there: &There| there.stamp.as_ref().map(|stamp| stamp.mark().to_owned());
        let wanted = mark(there);
        Ok(in_place
            .filter(|in_place| mark(in_place) == wanted)
            .or(found))
    }

    /// The digest of the bytes that a stamp is about; the file is read where the stamp does not say it. `None` where it
    /// cannot be read, or is not of this revision.
    async fn bytes_of(
        &mut self,
        asset: &Asset,
        mark: &Correlation,
        stamp: &Stamp,
    ) -> Result<Option<Blake3>> {
        if let Some(blake3) = stamp.blake3() {
            return Ok(Some(blake3));
        }
        if !stamp.is_of(mark) {
            return Ok(None);
        }
        Ok(self.read(asset).await?.map(|digests| digests.blake3))
    }

    /// The digests of a file, by reading it. `None` where it cannot be read, or is another one by now.
    async fn read(&mut self, asset: &Asset) -> Result<Option<Digests>> {
        let source = self.rebuild.ingest.source.as_ref();
        let never = CancellationToken::new();
        match self.rebuild.engine.digest(source, asset, &never).await {
            Ok(digests) => {
                self.rebuilt.read.add(digests.size);
                Ok(Some(digests))
            }
            Err(error) => match error.kind() {
                Kind::Restricted | Kind::SourceChanged | Kind::Integrity | Kind::NotFound => {
                    Ok(None)
                }
                _ => Err(error),
            },
        }
    }

    /// Adopts a file by its stamp; whether its asset has just the stamped bytes, as far as anybody can tell.
    fn by_stamp(
        &mut self,
        one: Unplaced,
        mark: &Correlation,
        there: &There,
        (stamp, blake3): (&Stamp, Blake3),
    ) -> Result<(PlannedStep, bool)> {
        let Unplaced { asset, draft } = one;
        let is_same = stamp.is_of(mark);
        // Only what belongs to the stamped bytes stands beside their digest: the source's word is of the same revision, the
        // sink's is of whatever it has by now.
        let of_source = asset.content_hash.filter(|_| is_same);
        let content = stamp.content_hash().or(of_source);
        let hashes = content.zip(there.asset.content_hash);
        let touched = there.touched
            || hashes.is_some_and(|(ours, theirs)| ours != theirs)
            || (is_same && there.asset.size != asset.size);
        let digests = Digests {
            size: match is_same {
                true => asset.size,
                false => there.asset.size,
            },
            blake3,
            // Without its size it says nothing.
            content_hash: content.filter(|_| is_same || !touched),
        };
        let found = Found {
            revision: match is_same {
                true => asset.revision.clone(),
                false => Revision::new(NONE),
            },
            digests,
            draft_digest: match &draft {
                Some(draft) => {
                    let digest = draft.digest()?;
                    match stamp.became(&digest) {
                        true => digest,
                        false => NOTHING_KNOWN,
                    }
                }
                None => NOTHING_KNOWN,
            },
            evidence: match hashes {
                Some(_) if !touched => Evidence::E2,
                _ => Evidence::E0,
            },
            linked: false,
            touched,
        };
        self.rebuilt.by_stamp.add(asset.size);
        self.rebuilt.changed += u64::from(!is_same);
        self.rebuilt.touched += u64::from(touched);
        let draft = draft.unwrap_or_else(|| as_it_is(&there.asset));
        let reason = format!("{} carries its stamp", there.asset.id);
        let step = self.rebuild.adopting(reason, &asset, &draft, there, found);
        Ok((step, !touched))
    }

    /// Looks for what carries no stamp.
    async fn match_rest(&mut self) -> Result<()> {
        let mut after: Option<SpoolOrder> = None;
        loop {
            let page = self.rest.page(after.as_ref(), BATCH).await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = Some(SpoolOrder::of(last));
            let mut steps = Vec::new();
            for asset in page {
                let one = Unplaced::read(asset)?;
                let Some(draft) = one.draft else { continue };
                let step = match self.in_its_place(&one.asset, &draft).await? {
                    Some(step) => Some(step),
                    None => self.linked(&one.asset, &draft).await?,
                };
                match step {
                    Some(step) => steps.push(step),
                    None => self.rebuilt.missing.add(one.asset.size),
                }
            }
            self.adopt(steps).await?;
        }
    }

    /// A file whose bytes are where they belong, if they are and that can be proved.
    async fn in_its_place(&mut self, asset: &Asset, draft: &Draft) -> Result<Option<PlannedStep>> {
        let place = draft.collection.join(&draft.file_name).key();
        let Some(there) = one(&mut self.by_place, &place).await? else {
            return Ok(None);
        };
        if there.asset.size != asset.size {
            return Ok(None);
        }
        let Some(digests) = self.same_bytes(asset, &there.asset).await? else {
            return Ok(None);
        };
        // It stands for one file, and nobody else's.
        let (ledger, sink) = (&self.rebuild.ingest.ledger, self.rebuild.ingest.sink.name());
        let placed = ledger
            .placed_as(sink, std::slice::from_ref(&there.asset.id))
            .await?;
        if placed.iter().any(|placements| !placements.is_empty()) {
            return Ok(None);
        }
        let taken = SpoolEntry::Drop {
            key: place,
            id: there.asset.id.clone(),
        };
        self.by_place.apply(vec![taken]).await?;
        self.rebuilt.by_place.add(asset.size);
        let found = Found {
            revision: asset.revision.clone(),
            digests,
            // It is where it belongs under its name, which is all that a sink without metadata can show.
            draft_digest: match self.rebuild.ingest.sink.capabilities().metadata {
                true => NOTHING_KNOWN,
                false => draft.digest()?,
            },
            evidence: Evidence::E2,
            linked: false,
            touched: false,
        };
        let reason = format!("its bytes are where it belongs, as {}", there.asset.id);
        Ok(Some(
            self.rebuild.adopting(reason, asset, draft, &there, found),
        ))
    }

    /// The digests of two files that have the same bytes. `None` where they have not, or nobody can tell.
    async fn same_bytes(&mut self, asset: &Asset, there: &Asset) -> Result<Option<Digests>> {
        let (source, sink) = (&self.rebuild.ingest.source, &self.rebuild.sink_reader);
        let ours = match source.capabilities().digests_in_place {
            true => one_of(source.digests(std::slice::from_ref(asset)).await?),
            false => None,
        };
        let theirs = match sink.capabilities().digests_in_place {
            true => one_of(sink.digests(std::slice::from_ref(there)).await?),
            false => None,
        };
        if let (Some(ours), Some(theirs)) = (&ours, &theirs) {
            return Ok((ours.blake3 == theirs.blake3).then_some(*ours));
        }
        let hash_of = |digests: &Option<Digests>, stated| {
            digests
                .as_ref()
                .and_then(|digests| digests.content_hash)
                .or(stated)
        };
        let our_hash = hash_of(&ours, asset.content_hash);
        let their_hash = hash_of(&theirs, there.content_hash);
        let Some(hash) = our_hash.filter(|hash| Some(*hash) == their_hash) else {
            return Ok(None);
        };
        if let Some(known) = ours.or(theirs) {
            return Ok(Some(known));
        }
        // It is a copy, which carries no stamp. What it was copied from does, unless that has other bytes by now.
        let twin = one(&mut self.by_content, &hash.to_hex()).await?;
        let blake3 = match twin.and_then(|twin| twin.stamp?.blake3()) {
            Some(blake3) => Some(blake3),
            None => self.read(asset).await?.map(|digests| digests.blake3),
        };
        Ok(blake3.map(|blake3| Digests {
            size: asset.size,
            blake3,
            content_hash: Some(hash),
        }))
    }

    /// A file that is linked to another one's asset, if it is.
    async fn linked(&mut self, asset: &Asset, draft: &Draft) -> Result<Option<PlannedStep>> {
        let ingest = self.rebuild.ingest;
        let links = ingest.sink.capabilities().reuse == Some(Reuse::Link)
            && ingest.duplicates() == Duplicates::Reuse;
        if !links {
            return Ok(None);
        }
        let twin = match asset.content_hash {
            Some(hash) => one(&mut self.by_content, &hash.to_hex()).await?,
            None => None,
        };
        let twin = twin.filter(|there| there.is_in(&draft.collection));
        let twin = match twin {
            Some(there) => Some(there),
            None => self.left_behind(asset, draft).await?,
        };
        let Some((there, blake3)) = twin.and_then(|there| {
            let blake3 = there.stamp.as_ref()?.blake3()?;
            Some((there, blake3))
        }) else {
            return Ok(None);
        };
        self.rebuilt.by_link.add(asset.size);
        let found = Found {
            revision: asset.revision.clone(),
            digests: Digests {
                size: asset.size,
                blake3,
                content_hash: asset.content_hash,
            },
            draft_digest: draft.digest()?,
            evidence: Evidence::E0,
            linked: true,
            touched: false,
        };
        let reason = format!("it is linked to {}, which has its bytes", there.asset.id);
        Ok(Some(
            self.rebuild.adopting(reason, asset, draft, &there, found),
        ))
    }

    /// An asset with just these bytes that another file of the flow left to those which shared it, when it got bytes of its
    /// own. Its stamp still names that file. The bytes are read where something stamped has their size.
    async fn left_behind(&mut self, asset: &Asset, draft: &Draft) -> Result<Option<There>> {
        let same_size = one(&mut self.by_size, &asset.size.to_string()).await?;
        if same_size.is_none() {
            return Ok(None);
        }
        let Some(digests) = self.read(asset).await? else {
            return Ok(None);
        };
        let found = one(&mut self.by_digest, &digests.blake3.to_hex()).await?;
        let Some(there) = found.filter(|there| !there.touched && there.is_in(&draft.collection))
        else {
            return Ok(None);
        };
        let origin = there.stamp.as_ref().and_then(Stamp::origin);
        let is_ours = match origin {
            Some(origin) => one(&mut self.origins, origin).await?.is_some(),
            None => false,
        };
        Ok(Some(there).filter(|_| is_ours))
    }

    async fn adopt(&mut self, steps: Vec<PlannedStep>) -> Result<()> {
        steps.iter().for_each(|step| self.summary.count(step));
        self.writer.steps(steps).await
    }
}

/// What is kept under one key.
async fn one(spool: &mut Box<dyn Spool>, key: &str) -> Result<Option<There>> {
    let found = spool.get(&[key.to_owned()]).await?;
    Ok(found.into_iter().next().flatten().map(There::read))
}

async fn put(spool: &mut Box<dyn Spool>, key: String, asset: Asset) -> Result<()> {
    spool.apply(vec![SpoolEntry::Put { key, asset }]).await
}

fn one_of(digests: Vec<Option<Digests>>) -> Option<Digests> {
    digests.into_iter().next().flatten()
}

/// An asset as a draft, as far as its place tells.
fn as_it_is(there: &Asset) -> Draft {
    let name = there.path.name().to_owned();
    Draft {
        name: name.clone(),
        file_name: name,
        collection: there.path.parent(),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    }
}

/// Ids that are numbers grow with time; others sort somehow, and always the same way.
fn age(id: &AssetId) -> (usize, &str) {
    (id.as_str().len(), id.as_str())
}
