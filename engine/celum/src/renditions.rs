//! The forms in which the tenant hands out its assets besides the original, by the keys of its download formats.
//!
//! A rendition's revision is that of its version, a plus, and the key: `3+web`. Jobs, which the API has for slow
//! conversions, name no version, so they could convert another one than was asked for; here a download URL is asked
//! for until there is one, or the version's pictures are done and there still is none.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use http::StatusCode;
use http::header::CONTENT_RANGE;
use tokio::sync::Mutex;
use tokio::time::Instant;
use windlass_core::{Asset, Error, Kind, Rendition, Result, Revision};
use windlass_http::Response;

use crate::client::{Got, is_stale_link};
use crate::endpoint::Shared;
use crate::errors::Refusal;
use crate::resolve::suggestion;
use crate::sink::id_of;
use crate::source::{announced_length, gone};
use crate::wire::{DownloadFormat, Version};

/// How long a rendition may be in the making: films take minutes.
const WAIT_MAX: Duration = Duration::from_secs(10 * 60);

/// How soon one that is not made yet is asked for again; doubled each time up to the second.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(15));

/// How many fresh download URLs may be refused.
const STALE_MAX: u32 = 3;

/// A revision taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pinned<'a> {
    /// The version's id.
    pub(crate) version: &'a str,
    /// The key of the download format; `None` for the original.
    pub(crate) rendition: Option<&'a str>,
}

impl<'a> Pinned<'a> {
    pub(crate) fn of(revision: &'a Revision) -> Self {
        match revision.as_str().split_once('+') {
            Some((version, rendition)) => Pinned {
                version,
                rendition: Some(rendition),
            },
            None => Pinned {
                version: revision.as_str(),
                rendition: None,
            },
        }
    }
}

/// The tenant's download formats; read once, and again for a key that is not among them.
#[derive(Debug, Default)]
pub(crate) struct Formats(Mutex<Option<Arc<Vec<DownloadFormat>>>>);

impl Formats {
    /// Forgets them.
    pub(crate) async fn forget(&self) {
        *self.0.lock().await = None;
    }
}

/// What became of asking for a rendition.
enum Made {
    /// It is ready, with so many bytes.
    Ready(u64),
    /// It is being made.
    Waiting,
    /// A fresh download URL was refused.
    Stale(StatusCode),
}

impl Shared {
    /// What the tenant can make of assets, besides the original.
    pub(crate) async fn renditions(&self) -> Result<Vec<Rendition>> {
        self.formats.forget().await;
        let formats = self.other_formats().await?;
        let listed = formats.iter().map(|format| Rendition {
            name: format.key.clone(),
            label: self
                .profile
                .name_in(&format.name)
                .unwrap_or(&format.key)
                .to_owned(),
        });
        Ok(listed.collect())
    }

    async fn other_formats(&self) -> Result<Arc<Vec<DownloadFormat>>> {
        let original = self.original().await?;
        let mut slot = self.formats.0.lock().await;
        if let Some(formats) = &*slot {
            return Ok(Arc::clone(formats));
        }
        let mut formats = self.api.download_formats().await?;
        formats.retain(|format| {
            format.original != Some(true) && format.id != original && !format.key.is_empty()
        });
        let formats = Arc::new(formats);
        *slot = Some(Arc::clone(&formats));
        Ok(formats)
    }

    /// The id of the download format of a key.
    pub(crate) async fn rendition(&self, key: &str) -> Result<Option<i64>> {
        let find = |formats: &[DownloadFormat]| {
            let mut formats = formats.iter();
            formats.find(|format| format.key == key).map(|one| one.id)
        };
        if let Some(id) = find(&self.other_formats().await?) {
            return Ok(Some(id));
        }
        self.formats.forget().await;
        Ok(find(&self.other_formats().await?))
    }

    /// Waits until a rendition of a version can be read, and says how many bytes it has.
    pub(crate) async fn render(&self, asset: &Asset, key: &str) -> Result<Asset> {
        let Some(format) = self.rendition(key).await? else {
            return Err(self.no_rendition(key).await?);
        };
        let version = Pinned::of(&asset.revision).version;
        let rendition = Asset {
            revision: Revision::new(format!("{version}+{key}")),
            content_hash: None,
            ..asset.clone()
        };
        let deadline = Instant::now() + WAIT_MAX;
        let (mut pause, mut stale) = (LOOK_AGAIN.0, 0);
        loop {
            match self.try_render(&rendition, format).await? {
                Made::Ready(size) => return Ok(Asset { size, ..rendition }),
                Made::Stale(status) if stale == STALE_MAX => {
                    return Err(
                        Error::new(Kind::Unavailable, "fresh download URLs are refused")
                            .with_context("path", &asset.path)
                            .with_context("status", status.as_u16()),
                    );
                }
                Made::Stale(_) => stale += 1,
                Made::Waiting => {}
            }
            let now = Instant::now();
            if now >= deadline {
                let message = format!("the rendition {key:?} is still being made");
                return Err(
                    Error::new(Kind::Unavailable, message).with_context("path", &asset.path)
                );
            }
            tokio::time::sleep(pause.min(deadline - now)).await;
            pause = (pause * 2).min(LOOK_AGAIN.1);
        }
    }

    async fn no_rendition(&self, key: &str) -> Result<Error> {
        let formats = self.other_formats().await?;
        let message = format!("there is no rendition {key:?}");
        let error = Error::new(Kind::NotFound, message);
        let known = formats.iter().map(|format| format.key.as_str());
        Ok(match suggestion(key, known) {
            Some(hint) => error.with_hint(hint),
            None => error,
        })
    }

    async fn try_render(&self, rendition: &Asset, format: i64) -> Result<Made> {
        let id = id_of(&rendition.id)?;
        let version = Some(Pinned::of(&rendition.revision).version);
        let url = match self.api.download_link(id, format, version).await? {
            Got::Value(download) => download.url,
            Got::Refused(refusal) => return self.why_not(rendition, refusal).await,
        };
        let range = self.profile.range.then_some(0..1);
        let response = match self.api.download(url.clone(), range.clone()).await? {
            Ok(response) if response.status == StatusCode::ACCEPTED => return Ok(Made::Waiting),
            Ok(response) => response,
            Err(reply) if is_stale_link(reply.status) => return Ok(Made::Stale(reply.status)),
            Err(reply) => {
                return Err(Refusal::of(&reply).into_error("the download", |_| None));
            }
        };
        if response.status != StatusCode::PARTIAL_CONTENT {
            return length(rendition, response).await.map(Made::Ready);
        }
        if let Some(total) = total(&response) {
            return Ok(Made::Ready(total));
        }
        // A part of nobody knows how much: only the whole tells.
        match self.api.download(url, None).await? {
            Ok(response) => length(rendition, response).await.map(Made::Ready),
            Err(reply) => Ok(Made::Stale(reply.status)),
        }
    }

    /// What a refused download URL means: that it is being made, or why it cannot be.
    async fn why_not(&self, rendition: &Asset, refusal: Refusal) -> Result<Made> {
        let is_absent = refusal.is_absent();
        let error = refusal.into_error("asking for its download URL", |_| None);
        let may_be_early = matches!(
            error.kind(),
            Kind::InvalidInput | Kind::Conflict | Kind::Unsupported
        );
        if !is_absent && !may_be_early {
            return Err(error);
        }
        let pinned = Pinned::of(&rendition.revision);
        let key = pinned.rendition.unwrap_or_default();
        match self.version(rendition, pinned.version).await? {
            None => Err(gone(rendition)),
            Some(_) if is_absent => {
                let message = format!("there is no rendition {key:?} of this asset");
                Err(Error::new(Kind::NotFound, message)
                    .with_context("path", &rendition.path)
                    .with_source(error))
            }
            Some(version) if version.is_being_rendered() => Ok(Made::Waiting),
            Some(_) => {
                let told = error.message();
                let message = format!("no rendition {key:?} can be made of this asset: {told}");
                Err(Error::new(Kind::InvalidInput, message)
                    .with_context("path", &rendition.path)
                    .with_source(error))
            }
        }
    }

    /// A version of an asset as it is now.
    async fn version(&self, asset: &Asset, version: &str) -> Result<Option<Version>> {
        let id = id_of(&asset.id)?;
        let Some(now) = self.api.asset(id).await? else {
            return Ok(None);
        };
        if now.current_version.id.to_string() == version {
            return Ok(Some(now.current_version));
        }
        let versions = self.all_versions(id).await?.unwrap_or_default();
        let mut versions = versions.into_iter();
        Ok(versions.find(|known| known.id.to_string() == version))
    }
}

/// How many bytes there are of which a part came, if it says so.
fn total(response: &Response) -> Option<u64> {
    let stated = response.headers.get(CONTENT_RANGE)?.to_str().ok()?;
    stated.rsplit_once('/')?.1.trim().parse().ok()
}

/// How many bytes an answer has: as it announces, else as many as come.
async fn length(rendition: &Asset, mut response: Response) -> Result<u64> {
    if let Some(bytes) = announced_length(&response) {
        return Ok(bytes);
    }
    let mut bytes = 0;
    while let Some(piece) = response.body.next().await {
        let piece = piece.map_err(|error| {
            Error::new(Kind::Unavailable, "the download broke off")
                .with_context("path", &rendition.path)
                .with_source(error)
        })?;
        bytes += piece.len() as u64;
    }
    Ok(bytes)
}
