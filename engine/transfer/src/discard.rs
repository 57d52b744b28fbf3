//! A sink that keeps nothing: reading an asset only to know its digests.

use std::ops::Range;

use async_trait::async_trait;
use windlass_core::{
    AssetId, Capabilities, CheckItem, Chunk, Correlation, Destination, Digests, Draft, Endpoint,
    Evidence, Expected, Fault, HeldBack, Placed, Result, Revision, Sink, UploadOrder,
    UploadSession,
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
                wants_chunk_hash: false,
                resumes: false,
                together: None,
                digests_in_place: false,
                reuse: None,
                rings: false,
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

    fn held_back(&self) -> Option<HeldBack> {
        None
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
        Ok(Box::new(Forgotten))
    }

    async fn resume(
        &self,
        _destination: &Destination,
        _size: u64,
        _correlation: &Correlation,
        _session: &str,
        _acknowledged: &[Range<u64>],
    ) -> Result<Option<Box<dyn UploadSession>>> {
        Ok(None)
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

#[derive(Debug)]
struct Forgotten;

#[async_trait]
impl UploadSession for Forgotten {
    async fn append(&self, _chunk: Chunk) -> Result<()> {
        Ok(())
    }

    fn acknowledged(&self) -> Vec<Range<u64>> {
        Vec::new()
    }

    fn checkpoint(&self) -> Option<String> {
        None
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
