//! How the tenant computes checksums: told by its profile, or found out by itself.
//!
//! Nothing public states the algorithm. It is recognised when the checksum that the tenant states of
//! bytes that are known here equals one of the candidates: of one small asset that is downloaded once,
//! or of the first small content that is uploaded.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use futures_util::StreamExt;
use tokio::sync::OnceCell;
use windlass_core::{AssetId, Error, Kind, Result};

use crate::endpoint::Shared;
use crate::filter::{Filter, Operator, Order};
use crate::profile::{Checksum, ChecksumRule};
use crate::wire;

/// The largest asset that calibration downloads, and the largest upload that is kept to learn from.
pub(crate) const LEARN_BYTES_MAX: u64 = 1 << 20;

/// How many checksums one search asks for: a few more than a page would be, if all of them are found.
const CHECKSUMS_A_SEARCH: usize = 100;

/// What is known of the tenant's checksums.
#[derive(Debug)]
pub(crate) struct Calibration {
    known: Mutex<Option<Checksum>>,
    /// Filled once an upload has tried to find out.
    tried: OnceCell<()>,
}

impl Calibration {
    pub(crate) fn new(rule: ChecksumRule) -> Self {
        Calibration {
            known: Mutex::new(match rule {
                ChecksumRule::Known(checksum) => Some(checksum),
                ChecksumRule::Uncalibrated => None,
            }),
            tried: OnceCell::new(),
        }
    }

    /// How the tenant computes checksums, where known.
    pub(crate) fn known(&self) -> Option<Checksum> {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Learns it from bytes that are known and what the tenant stated of them.
    pub(crate) fn learn(&self, bytes: &[u8], stated: &str) {
        if bytes.is_empty() || self.known().is_some() {
            return;
        }
        if let Some(found) = Checksum::recognise(bytes, stated) {
            tracing::info!(?found, "the tenant's checksum is known now");
            *self.known.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        }
    }
}

impl Shared {
    /// Finds out from an asset that is there, as far as one will do.
    pub(crate) async fn calibrate(&self) -> Result<Option<Checksum>> {
        if let Some(known) = self.calibration.known() {
            return Ok(Some(known));
        }
        let any = Filter::IdRange { from: 0 };
        let page = self.api.search(&any, Order::Asc).await?;
        let small = |asset: &&wire::Asset| {
            let version = &asset.current_version;
            version.file_checksum.is_some() && (1..=LEARN_BYTES_MAX).contains(&version.filesize)
        };
        let smallest = page
            .content
            .iter()
            .filter(small)
            .min_by_key(|asset| asset.current_version.filesize);
        if let Some(asset) = smallest
            && let Some(stated) = &asset.current_version.file_checksum
            && let Some(bytes) = self.small_original(asset.id).await?
        {
            self.calibration.learn(&bytes, stated);
        }
        Ok(self.calibration.known())
    }

    /// Finds out before the first upload. One that cannot is still a good upload: its size is compared.
    pub(crate) async fn calibrate_once(&self) -> Option<Checksum> {
        let attempt = || async {
            if let Err(error) = self.calibrate().await {
                tracing::debug!(error = %error.chain(), "the tenant's checksum was not found out");
            }
        };
        self.calibration.tried.get_or_init(attempt).await;
        self.calibration.known()
    }

    /// Assets whose current version has each content. Whoever put them there, their bytes are the same.
    pub(crate) async fn recognise(
        &self,
        contents: &[(u64, Vec<u8>)],
    ) -> Result<Vec<Option<AssetId>>> {
        let Some(rule) = self.calibration.known() else {
            return Ok(vec![None; contents.len()]);
        };
        let mut known = Vec::with_capacity(contents.len());
        for contents in contents.chunks(CHECKSUMS_A_SEARCH) {
            let stated = contents.iter().map(|(_, sum)| rule.encoding.write(sum));
            let stated: Vec<String> = stated.collect();
            let found = self.with_checksums(&stated).await?;
            let of = |((size, _), stated): (&(u64, Vec<u8>), &String)| {
                let asset = found.get(&(stated.as_str(), *size))?;
                Some(AssetId::new(asset.to_string()))
            };
            known.extend(contents.iter().zip(&stated).map(of));
        }
        Ok(known)
    }

    /// The oldest asset of each checksum and size.
    async fn with_checksums<'s>(
        &self,
        stated: &'s [String],
    ) -> Result<BTreeMap<(&'s str, u64), i64>> {
        let mut found = BTreeMap::new();
        let mut last = 0;
        loop {
            let filter = Filter::Logical {
                operator: Operator::And,
                filters: vec![
                    Filter::Checksum {
                        values: stated.to_vec(),
                    },
                    Filter::IdRange { from: last },
                ],
            };
            let page = self.api.search(&filter, Order::Asc).await?;
            let before = last;
            for asset in &page.content {
                last = last.max(asset.id);
                let version = &asset.current_version;
                let theirs = version.file_checksum.as_deref();
                if let Some(ours) = stated.iter().find(|ours| theirs == Some(ours.as_str())) {
                    let key = (ours.as_str(), version.filesize);
                    found.entry(key).or_insert(asset.id);
                }
            }
            // The next page begins with the last one again; one that brought nothing new is the end.
            if !page.has_next || last == before || found.len() == stated.len() {
                return Ok(found);
            }
        }
    }

    /// The current original of an asset; `None` when it cannot be read or is not small.
    async fn small_original(&self, asset: i64) -> Result<Option<Vec<u8>>> {
        let original = self.original().await?;
        let Some(url) = self.api.download_url(asset, original, None).await? else {
            return Ok(None);
        };
        let Ok(mut response) = self.api.download(url, None).await? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        while let Some(piece) = response.body.next().await {
            let piece = piece.map_err(|error| {
                Error::new(Kind::Unavailable, "a download broke off").with_source(error)
            })?;
            if (bytes.len() + piece.len()) as u64 > LEARN_BYTES_MAX {
                return Ok(None);
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Some(bytes))
    }
}
