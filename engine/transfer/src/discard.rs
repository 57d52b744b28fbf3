//! A sink that keeps nothing: reading an asset only to know its digests.

use async_trait::async_trait;
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use windlass_core::{
    AssetId, Capabilities, CheckItem, Correlation, Destination, Digests, Draft, Endpoint, Evidence,
    Expected, Fault, Placed, Result, Revision, Sink, UploadOrder, UploadSession,
};

/// Takes every chunk in any order, and forgets it.
#[derive(Debug)]
pub(crate) struct Discard {
    capabilities: Capabilities,
}

impl Discard {
    pub(crate) fn new(chunk_bytes_max: u64) -> Self {
        Discard {
            capabilities: Capabilities {
                range_reads: false,
                lists_content_hash: false,
                tags: false,
                metadata: false,
                upload_order: UploadOrder::Any,
                chunk_multiple: 1,
                chunk_bytes_max,
                asset_bytes_max: None,
                name_units_max: usize::MAX,
                folds_names: false,
                states_content_hash: false,
            },
        }
    }
}

#[async_trait]
impl Endpoint for Discard {
    fn name(&self) -> &str {
        "nowhere"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl Sink for Discard {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        Ok(vec![Vec::new(); drafts.len()])
    }

    async fn begin(
        &self,
        _destination: &Destination,
        _size: u64,
        _correlation: &Correlation,
    ) -> Result<Box<dyn UploadSession>> {
        Ok(Box::new(Forgotten::default()))
    }

    async fn find(
        &self,
        _destination: &Destination,
        _correlation: &Correlation,
        _expected: &Expected,
    ) -> Result<Option<Placed>> {
        Ok(None)
    }

    async fn set_metadata(&self, _asset: &AssetId, _draft: &Draft) -> Result<()> {
        Ok(())
    }

    async fn remove(&self, _placed: &Placed) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Forgotten {
    taken: AtomicU64,
}

#[async_trait]
impl UploadSession for Forgotten {
    async fn append(&self, _offset: u64, chunk: Bytes) -> Result<()> {
        self.taken.fetch_add(chunk.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    fn acknowledged_end(&self) -> u64 {
        self.taken.load(Ordering::Relaxed)
    }

    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed> {
        Ok(Placed {
            asset: AssetId::new(""),
            revision: Revision::new(""),
            size: digests.size,
            content_hash: None,
            evidence: Evidence::E0,
        })
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
