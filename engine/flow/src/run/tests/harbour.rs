//! An endpoint in memory that takes its time, fails, hangs and is held back when a test says so, and that knows
//! which bytes it was given twice.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use windlass_core::memory::{MemoryEndpoint, Operation};
use windlass_core::{
    Asset, AssetId, AssetStream, Capabilities, ChangePage, CheckItem, Chunk, Correlation, Cursor,
    Destination, Digests, Draft, Endpoint, Error, Expected, Fault, HeldBack, Kind, Placed, Ranges,
    Result, Scope, Sink, Source, Status, UploadSession,
};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mishap {
    /// It fails before anything was done.
    Fails(Kind),
    /// The same, with another status than its kind usually has.
    FailsAs(Kind, Status),
    /// It never answers.
    Hangs,
    /// It reads one byte wrong.
    Spoils,
}

#[derive(Debug, Default)]
struct Script {
    takes: BTreeMap<Operation, Duration>,
    mishaps: BTreeMap<(Operation, u64), Mishap>,
    calls: BTreeMap<Operation, u64>,
    held_back: Option<String>,
    acknowledged: BTreeMap<Correlation, Ranges>,
    appended_twice: u64,
    appended: u64,
    /// Open uploads now and at most: of contents up to 4 MiB, and of larger ones.
    uploads: [(u64, u64); 2],
}

/// See the module. Clones are the same one.
#[derive(Clone, Debug)]
pub(super) struct Harbour {
    pub(super) inner: MemoryEndpoint,
    script: Arc<Mutex<Script>>,
}

impl Harbour {
    pub(super) fn new(name: &str, change: impl FnOnce(&mut Capabilities)) -> Self {
        let mut sheet = MemoryEndpoint::new(name).capabilities().clone();
        change(&mut sheet);
        Harbour {
            inner: MemoryEndpoint::with_capabilities(name, sheet),
            script: Arc::default(),
        }
    }

    /// How long each call of an operation takes.
    pub(super) fn takes(&self, operation: Operation, time: Duration) {
        self.script().takes.insert(operation, time);
    }

    /// What happens to the `call`th call of an operation from now on, counted from 1.
    pub(super) fn mishap(&self, operation: Operation, call: u64, what: Mishap) {
        let mut script = self.script();
        let call = script.calls.get(&operation).copied().unwrap_or(0) + call;
        script.mishaps.insert((operation, call), what);
    }

    /// What the next `calls` calls of an operation meet.
    pub(super) fn mishaps(&self, operation: Operation, calls: u64, what: Mishap) {
        (1..=calls).for_each(|call| self.mishap(operation, call, what));
    }

    pub(super) fn hold_back(&self, why: Option<&str>) {
        self.script().held_back = why.map(str::to_owned);
    }

    pub(super) fn calls(&self, operation: Operation) -> u64 {
        self.script().calls.get(&operation).copied().unwrap_or(0)
    }

    /// Bytes that were acknowledged, those that were acknowledged before not included.
    pub(super) fn appended(&self) -> u64 {
        self.script().appended
    }

    /// Bytes that were appended although they had been acknowledged.
    pub(super) fn appended_twice(&self) -> u64 {
        self.script().appended_twice
    }

    /// The most uploads that were open at once: of small contents, of large ones.
    pub(super) fn uploads_at_once(&self) -> (u64, u64) {
        let uploads = self.script().uploads;
        (uploads[0].1, uploads[1].1)
    }

    async fn enter(&self, operation: Operation) -> Result<bool> {
        let (mishap, takes) = {
            let mut script = self.script();
            let calls = script.calls.entry(operation).or_default();
            *calls += 1;
            let call = *calls;
            let mishap = script.mishaps.remove(&(operation, call));
            (mishap, script.takes.get(&operation).copied())
        };
        if let Some(takes) = takes {
            tokio::time::sleep(takes).await;
        }
        match mishap {
            None => Ok(false),
            Some(Mishap::Spoils) => Ok(true),
            Some(Mishap::Hangs) => std::future::pending().await,
            Some(Mishap::Fails(kind)) => Err(self.failure(operation, kind)),
            Some(Mishap::FailsAs(kind, status)) => {
                Err(self.failure(operation, kind).with_status(status))
            }
        }
    }

    fn failure(&self, operation: Operation, kind: Kind) -> Error {
        Error::new(kind, format!("{operation:?} fails")).with_context("endpoint", self.inner.name())
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap()
    }
}

#[async_trait]
impl Endpoint for Harbour {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        self.inner.check().await
    }

    fn held_back(&self) -> Option<HeldBack> {
        let why = self.script().held_back.clone()?;
        Some(HeldBack { why, left: None })
    }
}

#[async_trait]
impl Source for Harbour {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        self.enter(Operation::Changes).await?;
        self.inner.changes(scope, cursor).await
    }

    async fn stat(&self, asset: &AssetId) -> Result<Option<Asset>> {
        self.enter(Operation::Stat).await?;
        self.inner.stat(asset).await
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        self.inner.tags(assets).await
    }

    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let spoils = self.enter(Operation::Read).await?;
        let from = into.len();
        self.inner.read(asset, range, into).await?;
        if let Some(byte) = into.get_mut(from).filter(|_| spoils) {
            *byte ^= 1;
        }
        Ok(())
    }

    async fn open(&self, asset: &Asset) -> Result<Box<dyn AssetStream>> {
        self.enter(Operation::Open).await?;
        self.inner.open(asset).await
    }
}

#[async_trait]
impl Sink for Harbour {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        self.inner.check_drafts(drafts).await
    }

    async fn begin(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
    ) -> Result<Box<dyn UploadSession>> {
        self.enter(Operation::Begin).await?;
        let session = self.inner.begin(destination, size, correlation).await?;
        Ok(Box::new(Berth::new(self, session, size, correlation)))
    }

    async fn resume(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
        session: &str,
        acknowledged: &[Range<u64>],
    ) -> Result<Option<Box<dyn UploadSession>>> {
        self.enter(Operation::Resume).await?;
        let session = self
            .inner
            .resume(destination, size, correlation, session, acknowledged)
            .await?;
        Ok(session.map(|session| {
            Box::new(Berth::new(self, session, size, correlation)) as Box<dyn UploadSession>
        }))
    }

    async fn find(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        self.enter(Operation::Find).await?;
        self.inner.find(destination, correlation, expected).await
    }

    async fn set_metadata(&self, asset: &AssetId, draft: &Draft) -> Result<()> {
        self.enter(Operation::SetMetadata).await?;
        self.inner.set_metadata(asset, draft).await
    }

    async fn remove(&self, placed: &Placed) -> Result<()> {
        self.enter(Operation::Remove).await?;
        self.inner.remove(placed).await
    }
}

/// An upload at a harbour.
#[derive(Debug)]
struct Berth {
    harbour: Harbour,
    session: Option<Box<dyn UploadSession>>,
    correlation: Correlation,
    is_large: usize,
}

impl Berth {
    fn new(
        harbour: &Harbour,
        session: Box<dyn UploadSession>,
        size: u64,
        correlation: &Correlation,
    ) -> Self {
        let is_large = usize::from(size > 4 << 20);
        let mut script = harbour.script();
        let (now, most) = &mut script.uploads[is_large];
        *now += 1;
        *most = (*now).max(*most);
        drop(script);
        Berth {
            harbour: harbour.clone(),
            session: Some(session),
            correlation: correlation.clone(),
            is_large,
        }
    }

    fn session(&self) -> &dyn UploadSession {
        self.session.as_deref().expect("an open session")
    }
}

impl Drop for Berth {
    fn drop(&mut self) {
        self.harbour.script().uploads[self.is_large].0 -= 1;
    }
}

#[async_trait]
impl UploadSession for Berth {
    async fn append(&self, chunk: Chunk) -> Result<()> {
        self.harbour.enter(Operation::Append).await?;
        let range = chunk.range();
        self.session().append(chunk).await?;
        let mut script = self.harbour.script();
        let acknowledged = script
            .acknowledged
            .entry(self.correlation.clone())
            .or_default();
        let before = acknowledged.bytes();
        acknowledged.insert(range.clone());
        let fresh = acknowledged.bytes() - before;
        script.appended += fresh;
        script.appended_twice += range.end - range.start - fresh;
        Ok(())
    }

    fn acknowledged(&self) -> Vec<Range<u64>> {
        self.session().acknowledged()
    }

    fn checkpoint(&self) -> Option<String> {
        self.session().checkpoint()
    }

    async fn commit(mut self: Box<Self>, digests: &Digests) -> Result<Placed> {
        self.harbour.enter(Operation::Commit).await?;
        let session = self.session.take().expect("an open session");
        let placed = session.commit(digests).await?;
        self.harbour.enter(Operation::CommitAnswer).await?;
        Ok(placed)
    }

    async fn abort(mut self: Box<Self>) -> Result<()> {
        match self.session.take() {
            Some(session) => session.abort().await,
            None => Ok(()),
        }
    }
}
