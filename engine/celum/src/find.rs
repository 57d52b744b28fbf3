//! Whether a commit whose answer was lost did happen.
//!
//! Where a mark was written with the asset, the mark tells. Where none could be, an asset is ours only if its
//! file name, size, creator and date can be, no other commit made it, and its bytes have the checksum that was
//! computed while they were sent or, read back, the hash that is expected: an older version of the same size
//! must never pass for the new one. A record alone proves nothing; one without its file is no placement.
//!
//! Whoever finds a commit ends it as the commit itself would have: a version that was added and is not current
//! yet is activated, and an asset with our mark whose bytes are not ours is taken away again.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;
use windlass_core::digest::ContentHasher;
use windlass_core::{
    AssetPath, ContentHash, Correlation, Destination, DraftPart, Error, Evidence, Expected, Kind,
    Placed, Result,
};

use crate::attempts::Attempt;
use crate::endpoint::Shared;
use crate::filter::{Filter, Matcher, Operator, Order, SearchType};
use crate::lock::Holder;
use crate::sink::{id_of, placed};
use crate::tree::Reached;
use crate::wire;

/// How soon a search that found nothing is asked again; doubled each time.
const FIRST_LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How often reading an asset back begins again when the download breaks off.
const READ_TRIES: u32 = 3;

/// What is looked for.
struct Wanted<'a> {
    destination: &'a Destination,
    correlation: &'a Correlation,
    expected: &'a Expected,
    /// The mark that our asset carries, where it can carry one.
    mark: Option<wire::FieldEntry>,
    /// Whom our asset was made by.
    me: i64,
    /// What this process knows of the commit; nothing after a crash.
    attempt: Attempt,
    /// Versions whose bytes are others, not read again.
    refuted: Vec<(i64, i64)>,
}

impl Wanted<'_> {
    /// Whether an asset carries our mark.
    fn marks(&self, asset: &wire::Asset) -> bool {
        // What follows the mark is what became of the bytes.
        let first = |text: &serde_json::Value| Some(text.as_str()?.split(' ').next()?.to_owned());
        let mark = self.mark.as_ref();
        mark.is_some_and(|mark| asset.value(mark.id).and_then(first) == first(&mark.value))
    }

    /// The evidence that a version of an asset with our mark has our bytes; `None` when it has not.
    fn holds(&self, version: &wire::Version) -> Option<Evidence> {
        if version.is_placeholder() || version.filesize != self.expected.size {
            return None;
        }
        match self.attempt.has_bytes(version) {
            None => Some(Evidence::E0),
            Some(true) => Some(Evidence::E2),
            Some(false) => None,
        }
    }

    /// Whether a version without our mark looks like what we would have made. Tenants may hide who made what.
    fn resembles(&self, asset: i64, made_by: Option<i64>, version: &wire::Version) -> bool {
        version.filesize == self.expected.size
            && version.filename == self.destination.draft().file_name
            && !version.is_placeholder()
            && made_by.is_none_or(|by| by == self.me)
            && self.attempt.may_have_made(version)
            && !self.refuted.contains(&(asset, version.id))
    }
}

impl Shared {
    pub(crate) fn index_lag(&self) -> Duration {
        Duration::from_secs(self.profile.index_lag)
    }

    /// Looks until something is found, or until lists had the time to know of it. Versions are read by id,
    /// where nothing lags; but a proxy that gave up on the tenant answers before the tenant is done, so they are
    /// waited for as long.
    pub(crate) async fn find(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        let known = self.attempts.of(correlation);
        // A process that crashed waited for no answer: what it sent may take effect yet, and then lag.
        let lags = if known.is_some() { 1 } else { 2 };
        let deadline = Instant::now() + self.index_lag() * lags;
        let mut wanted = Wanted {
            destination,
            correlation,
            expected,
            mark: self.mark_of(destination, correlation).await?,
            me: self.me().await?,
            attempt: known.unwrap_or_default(),
            refuted: Vec::new(),
        };
        let mut pause = FIRST_LOOK_AGAIN;
        loop {
            let found = match destination {
                Destination::New { .. } => self.look(&mut wanted).await?,
                Destination::Version { asset, .. } => {
                    let asset = id_of(asset)?;
                    let found = self.look_at_versions(asset, &mut wanted).await?;
                    if let (Some(_), Some(mark)) = (&found, &wanted.mark) {
                        let asset = self.reread(asset).await?;
                        // It got the version and not the mark, which must not go on saying that it has the old bytes.
                        if !wanted.marks(&asset) {
                            self.mark_as(&asset, mark).await?;
                        }
                    }
                    found
                }
            };
            let now = Instant::now();
            if found.is_some() || now >= deadline {
                self.unlock_left(destination).await?;
                return Ok(found);
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause *= 2;
        }
    }

    /// The mark that our asset carries, where it can carry one.
    async fn mark_of(
        &self,
        destination: &Destination,
        correlation: &Correlation,
    ) -> Result<Option<wire::FieldEntry>> {
        let draft = destination.draft();
        let mut asset_type = draft.asset_type.clone();
        if let Destination::Version { asset, .. } = destination
            && draft.yields.contains(&DraftPart::AssetType)
            && let Some(asset) = self.api.asset(id_of(asset)?).await?
        {
            asset_type = self.type_of(&asset).await?;
        }
        self.mark(draft, asset_type.as_deref(), correlation).await
    }

    /// Lifts the lock that a version of ours which was broken off may have left.
    async fn unlock_left(&self, destination: &Destination) -> Result<()> {
        let Destination::Version {
            asset,
            replaces: Some(_),
            ..
        } = destination
        else {
            return Ok(());
        };
        let Some(asset) = self.api.asset(id_of(asset)?).await? else {
            return Ok(());
        };
        match self.holder(&asset).await? {
            Holder::Ours => self.unlock(asset.id).await,
            Holder::Nobody | Holder::Other(_) => Ok(()),
        }
    }

    /// Looks once for a new asset.
    async fn look(&self, wanted: &mut Wanted<'_>) -> Result<Option<Placed>> {
        for asset in self.candidates(wanted).await? {
            let found = if wanted.mark.is_none() {
                self.look_at_likeness(&asset, wanted).await?
            } else if wanted.marks(&asset) {
                self.look_at_marked(&asset, wanted).await?
            } else {
                // A new asset is created with its mark: without it, it is not this one.
                None
            };
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// Assets that may be the one: the newest in the collection, and, because there may be many, what a
    /// search for the mark or for the likeness knows.
    async fn candidates(&self, wanted: &Wanted<'_>) -> Result<Vec<wire::Asset>> {
        let draft = wanted.destination.draft();
        let Reached::Whole(known) = self.tree.find(&self.api, &draft.collection).await? else {
            return Ok(Vec::new());
        };
        let mut candidates = self.api.newest_in(known.id).await?;
        let filter = match &wanted.mark {
            Some(mark) => Filter::TextField {
                information_field_id: mark.id,
                text: mark.value.as_str().unwrap_or_default().to_owned(),
                // The mark is the first word of several, whether or not the tenant takes the text apart.
                search_type: SearchType::TermsStartingWith,
            },
            None => Filter::Logical {
                operator: Operator::And,
                filters: vec![
                    Filter::Parent {
                        values: vec![known.id],
                        recursive: false,
                        matcher: Matcher::Any,
                    },
                    self.likeness(wanted),
                ],
            },
        };
        for hit in self.api.search(&filter, Order::Desc).await?.content {
            if candidates.iter().any(|listed| listed.id == hit.id) {
                continue;
            }
            match &wanted.mark {
                // A search result leaves fields out, and its index may be old.
                Some(_) => candidates.extend(self.api.asset(hit.id).await?),
                None => candidates.push(hit),
            }
        }
        Ok(candidates)
    }

    fn likeness(&self, wanted: &Wanted<'_>) -> Filter {
        match &wanted.attempt.checksum {
            Some(checksum) => Filter::Checksum {
                values: vec![checksum.clone()],
            },
            None => Filter::FileName {
                text: wanted.destination.draft().file_name.clone(),
                search_type: SearchType::Phrase,
            },
        }
    }

    /// A new asset without marks, if it is ours.
    async fn look_at_likeness(
        &self,
        asset: &wire::Asset,
        wanted: &mut Wanted<'_>,
    ) -> Result<Option<Placed>> {
        if self.attempts.is_anothers(asset.id, wanted.correlation) {
            return Ok(None);
        }
        let proof = self.prove(asset, &asset.current_version, wanted).await?;
        Ok(proof.map(|evidence| placed(asset, &asset.current_version, evidence)))
    }

    /// The version of an asset with our mark that has our bytes. People may have added others since.
    async fn look_at_marked(
        &self,
        asset: &wire::Asset,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Placed>> {
        let current = &asset.current_version;
        if let Some(evidence) = wanted.holds(current) {
            return Ok(Some(placed(asset, current, evidence)));
        }
        let Some(page) = self.api.versions(asset.id).await? else {
            // Hidden, or gone by now and still listed.
            return Ok(None);
        };
        let mut held = page
            .content
            .iter()
            .filter_map(|version| Some((version, wanted.holds(version)?)))
            .collect::<Vec<_>>();
        held.sort_by_key(|(version, _)| version.id);
        if let Some((version, evidence)) = held.pop() {
            return Ok(Some(placed(asset, version, evidence)));
        }
        let is_whole = matches!(wanted.destination, Destination::New { .. });
        let only = matches!(page.content.as_slice(), [version] if version.id == current.id);
        if is_whole && only && !page.has_next && asset.creation.user_id == Some(wanted.me) {
            // What a commit cannot vouch for is taken away by whoever learns of it.
            tracing::warn!(
                asset = asset.id,
                size = current.filesize,
                "removing an asset that carries our mark and has other bytes"
            );
            self.remove_asset(asset.id).await?;
            return Ok(None);
        }
        if !is_whole {
            return Ok(None);
        }
        Err(Error::new(
            Kind::Conflict,
            "the asset that carries our mark has no version with our bytes",
        )
        .with_context("asset", asset.id)
        .with_hint("somebody may have removed its first version: remove the asset, or its mark"))
    }

    /// The version of a known asset that is ours: current, or added and not current yet.
    async fn look_at_versions(
        &self,
        asset: i64,
        wanted: &mut Wanted<'_>,
    ) -> Result<Option<Placed>> {
        let Some(asset) = &self.api.asset(asset).await? else {
            return Ok(None);
        };
        // A version gets its mark in a second call, which may not have happened.
        if wanted.marks(asset)
            && let Some(found) = self.look_at_marked(asset, wanted).await?
        {
            return Ok(Some(found));
        }
        let current = &asset.current_version;
        if let Some(evidence) = self.prove(asset, current, wanted).await? {
            return Ok(Some(placed(asset, current, evidence)));
        }
        let Some(page) = self.api.versions(asset.id).await? else {
            return Ok(None);
        };
        for version in page.content.iter().filter(|other| other.id > current.id) {
            if let Some(evidence) = self.prove(asset, version, wanted).await? {
                let body = serde_json::json!({ "currentVersion": version.id });
                self.patch(asset.id, &body, "activating the version")
                    .await?;
                return Ok(Some(placed(asset, version, evidence)));
            }
        }
        Ok(None)
    }

    /// The evidence that a version without a mark is ours.
    async fn prove(
        &self,
        asset: &wire::Asset,
        version: &wire::Version,
        wanted: &mut Wanted<'_>,
    ) -> Result<Option<Evidence>> {
        let is_current = version.id == asset.current_version.id;
        let asset_by = asset.creation.user_id.filter(|_| is_current);
        let made_by = version.creation.user_id.or(asset_by);
        if !wanted.resembles(asset.id, made_by, version) {
            return Ok(None);
        }
        match wanted.attempt.has_bytes(version) {
            Some(true) => return Ok(Some(Evidence::E2)),
            Some(false) => return Ok(None),
            None => {}
        }
        let Some(hash) = wanted.expected.content_hash else {
            tracing::info!(
                asset = asset.id,
                "an asset of the same name and size is not taken for ours: nothing tells whose bytes it has"
            );
            return Ok(None);
        };
        if self.read_back(asset, version).await? == Some(hash) {
            return Ok(Some(Evidence::E3));
        }
        wanted.refuted.push((asset.id, version.id));
        Ok(None)
    }

    /// The hash of a version's bytes; `None` when they cannot be read any more.
    async fn read_back(
        &self,
        asset: &wire::Asset,
        version: &wire::Version,
    ) -> Result<Option<ContentHash>> {
        let version = wire::Asset {
            current_version: version.clone(),
            ..asset.clone()
        };
        let shown = self.shown(&version, &AssetPath::new(""));
        if shown.size == 0 {
            return Ok(Some(ContentHash::of(b"")));
        }
        let mut broken = None;
        for _ in 0..READ_TRIES {
            let mut response = match self.download(&shown, None).await {
                Ok(response) => response,
                Err(error) if error.kind() == Kind::SourceChanged => return Ok(None),
                Err(error) => return Err(error),
            };
            let mut hasher = ContentHasher::new();
            let mut read = 0_u64;
            loop {
                match response.body.next().await {
                    Some(Ok(piece)) => {
                        read += piece.len() as u64;
                        hasher.update(&piece);
                    }
                    Some(Err(error)) => {
                        broken = Some(error);
                        break;
                    }
                    None if read == shown.size => return Ok(Some(hasher.finalize())),
                    None => break,
                }
            }
        }
        let error = Error::new(Kind::Unavailable, "reading an asset back broke off")
            .with_context("asset", asset.id);
        Err(match broken {
            Some(cause) => error.with_source(cause),
            None => error,
        })
    }
}
