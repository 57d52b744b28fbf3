//! Whether a commit whose answer was lost did happen.
//!
//! Where a mark was written with the asset, the mark tells. Where none could be, an asset is ours only if
//! its file name, size and creator are, and its bytes, read back, have the hash that is expected: an
//! older version of the same size must never pass for the new one.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::time::Instant;
use windlass_core::digest::ContentHasher;
use windlass_core::{
    AssetPath, ContentHash, Correlation, Destination, Error, Evidence, Expected, Kind, Placed,
    Result,
};

use crate::endpoint::Shared;
use crate::filter::{Filter, SearchType};
use crate::sink::{id_of, placed};
use crate::tree::Reached;
use crate::wire;

/// How soon a search that found nothing is asked again; doubled each time.
const FIRST_LOOK_AGAIN: Duration = Duration::from_millis(500);

/// How often reading an asset back begins again when the download breaks off.
const READ_TRIES: u32 = 3;

impl Shared {
    pub(crate) fn index_lag(&self) -> Duration {
        Duration::from_secs(self.profile.index_lag)
    }

    /// Looks until something is found, or until lists had the time to know of it.
    pub(crate) async fn find(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        let deadline = Instant::now() + self.index_lag();
        let mut pause = FIRST_LOOK_AGAIN;
        let mut seen = Vec::new();
        loop {
            let found = self
                .look(destination, correlation, expected, &mut seen)
                .await?;
            let now = Instant::now();
            let settled = matches!(destination, Destination::Version { .. }) || now >= deadline;
            if found.is_some() || settled {
                return Ok(found);
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause *= 2;
        }
    }

    /// Looks once. `refuted`: versions whose bytes were read and are others, not read again.
    async fn look(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
        refuted: &mut Vec<(i64, i64)>,
    ) -> Result<Option<Placed>> {
        let draft = destination.draft();
        let mark = self.mark(draft, correlation).await?;
        let is_new = matches!(destination, Destination::New { .. });
        let candidates = match destination {
            // By id, so the index does not matter.
            Destination::Version { asset, .. } => {
                Vec::from_iter(self.api.asset(id_of(asset)?).await?)
            }
            Destination::New { .. } => self.candidates(&draft.collection, mark.as_ref()).await?,
        };
        let me = self.me().await?;
        for asset in candidates {
            let version = &asset.current_version;
            if version.filesize != expected.size || version.filename != draft.file_name {
                continue;
            }
            match &mark {
                Some(mark) if asset.value(mark.id) == Some(&mark.value) => {
                    return Ok(Some(placed(&asset, Evidence::E0)));
                }
                // A new asset is created with its mark: without it, it is not this one.
                Some(_) if is_new => continue,
                // A version gets its mark in a second call, which may not have happened.
                _ => {}
            }
            let ours = version.creation.user_id.or(asset.creation.user_id) == Some(me);
            if !ours || refuted.contains(&(asset.id, version.id)) {
                continue;
            }
            let Some(wanted) = expected.content_hash else {
                tracing::info!(
                    asset = asset.id,
                    "an asset of the same name and size is not taken for ours: nothing tells whose bytes it has"
                );
                continue;
            };
            match self.read_back(&asset).await? {
                Some(found) if found == wanted => return Ok(Some(placed(&asset, Evidence::E3))),
                _ => refuted.push((asset.id, version.id)),
            }
        }
        Ok(None)
    }

    /// Assets that may be the one: the newest in the collection, and, because there may be many, what
    /// a search for the mark knows.
    async fn candidates(
        &self,
        collection: &AssetPath,
        mark: Option<&wire::FieldEntry>,
    ) -> Result<Vec<wire::Asset>> {
        let Reached::Whole(known) = self.tree.find(&self.api, collection).await? else {
            return Ok(Vec::new());
        };
        let mut candidates = self.api.newest_in(known.id).await?;
        let Some(mark) = mark else {
            return Ok(candidates);
        };
        let filter = Filter::TextField {
            information_field_id: mark.id,
            text: mark.value.as_str().unwrap_or_default().to_owned(),
            search_type: SearchType::Phrase,
        };
        for hit in self.api.search(&filter).await?.content {
            // A search result leaves fields out, and its index may be old.
            candidates.extend(self.api.asset(hit.id).await?);
        }
        Ok(candidates)
    }

    /// The hash of an asset's current bytes; `None` when they cannot be read any more.
    async fn read_back(&self, asset: &wire::Asset) -> Result<Option<ContentHash>> {
        let shown = self.shown(asset, &AssetPath::new(""));
        if shown.size == 0 {
            return Ok(Some(ContentHash::of(b"")));
        }
        let mut broken = None;
        for _ in 0..READ_TRIES {
            let mut response = match self.download(&shown, &(0..shown.size)).await {
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
