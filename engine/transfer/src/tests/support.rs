//! Endpoints in memory whose timing and faults a test chooses.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;
use windlass_core::{
    Asset, AssetId, AssetPath, AssetStream, ByteSize, Capabilities, ChangePage, CheckItem, Chunk,
    ContentHash, Correlation, Cursor, Destination, Digests, Draft, Endpoint, Error, Evidence,
    Expected, Fault, HeldBack, Kind, Placed, Ranges, Readable, Result, Revision, Scope, Sink,
    Source, UploadOrder, UploadSession,
};

use crate::{Engine, EngineOptions, Progress, TransferRequest, Transferred};

pub(super) const MIB: usize = 1 << 20;

/// Bytes that differ everywhere, so that a swap of two chunks shows.
pub(super) fn content(len: usize) -> Vec<u8> {
    let mut state = len as u64 ^ 0x9E37_79B9_7F4A_7C15;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

pub(super) fn sheet() -> Capabilities {
    Capabilities {
        range_reads: true,
        lists_content_hash: true,
        tags: false,
        metadata: false,
        upload_order: UploadOrder::InOrder,
        chunk_multiple: 1,
        chunk_bytes_max: u64::MAX,
        asset_bytes_max: None,
        name_units_max: 255,
        folds_names: false,
        states_content_hash: true,
        wants_chunk_hash: false,
        resumes: false,
        together: None,
        digests_in_place: false,
        reuse: None,
        rings: false,
    }
}

/// How long each call takes: call `n` takes entry `n`, again from the start when they run out.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    pub(super) yields: Vec<usize>,
    pub(super) millis: Vec<u64>,
}

impl Pace {
    async fn wait(&self, call: usize) {
        if !self.yields.is_empty() {
            Yields(self.yields[call % self.yields.len()]).await;
        }
        if !self.millis.is_empty() {
            let millis = self.millis[call % self.millis.len()];
            tokio::time::sleep(Duration::from_millis(millis)).await;
        }
    }
}

/// Pending this many times.
pub(super) struct Yields(pub(super) usize);

impl Future for Yields {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.0 == 0 {
            return Poll::Ready(());
        }
        self.0 -= 1;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// What a read does instead of what it should, by the number of the read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReadFault {
    Short(usize),
    Long(usize),
    Fails(usize, Kind),
    Panics(usize),
    Hangs(usize),
    HangsFrom(usize),
    Flips(usize),
    FlipsAlways,
}

#[derive(Debug)]
pub(super) struct FakeSource {
    pub(super) sheet: Capabilities,
    pub(super) asset: Asset,
    pub(super) now: Option<Asset>,
    pub(super) content: Vec<u8>,
    pub(super) pace: Pace,
    pub(super) fault: Option<ReadFault>,
    pub(super) reads: AtomicUsize,
    pub(super) opens: AtomicUsize,
    pub(super) held_back: Mutex<Option<HeldBack>>,
}

impl FakeSource {
    pub(super) fn new(content: Vec<u8>) -> Self {
        let asset = Asset {
            id: AssetId::new("id:1"),
            path: AssetPath::new("/brand/hero.psd"),
            revision: Revision::new("r1"),
            size: content.len() as u64,
            modified: None,
            content_hash: Some(ContentHash::of(&content)),
            tags: Vec::new(),
            readable: Readable::Yes,
        };
        FakeSource {
            sheet: sheet(),
            now: Some(asset.clone()),
            asset,
            content,
            pace: Pace::default(),
            fault: None,
            reads: AtomicUsize::new(0),
            opens: AtomicUsize::new(0),
            held_back: Mutex::default(),
        }
    }

    pub(super) fn with_fault(mut self, fault: ReadFault) -> Self {
        self.fault = Some(fault);
        self
    }
}

#[async_trait]
impl Endpoint for FakeSource {
    fn name(&self) -> &str {
        "fake source"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.sheet
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        Ok(Vec::new())
    }

    fn held_back(&self) -> Option<HeldBack> {
        self.held_back.lock().unwrap().clone()
    }
}

#[async_trait]
impl Source for FakeSource {
    async fn changes(&self, _: &Scope, _: Option<&Cursor>) -> Result<ChangePage> {
        Err(Error::new(Kind::Unsupported, "transfers do not list"))
    }

    async fn stat(&self, _: &AssetId) -> Result<Option<Asset>> {
        Ok(self.now.clone())
    }

    async fn tags(&self, _: &[Asset]) -> Result<Vec<Vec<String>>> {
        Err(Error::new(Kind::Unsupported, "transfers read no tags"))
    }

    async fn read(&self, _: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        let call = self.reads.fetch_add(1, Ordering::Relaxed);
        let range = range.start as usize..range.end as usize;
        let half = range.start + range.len() / 2;
        // Half before the wait, so that a failure leaves half a chunk behind.
        into.extend_from_slice(&self.content[range.start..half]);
        self.pace.wait(call).await;
        match self.fault {
            Some(ReadFault::Short(n)) if n == call => return Ok(()),
            Some(ReadFault::Fails(n, kind)) if n == call => {
                return Err(Error::new(kind, "the fake source was told to fail"));
            }
            Some(ReadFault::Panics(n)) if n == call => panic!("the fake source was told to panic"),
            Some(ReadFault::Hangs(n)) if n == call => std::future::pending().await,
            Some(ReadFault::HangsFrom(n)) if n <= call => std::future::pending().await,
            _ => {}
        }
        into.extend_from_slice(&self.content[half..range.end]);
        match self.fault {
            Some(ReadFault::Long(n)) if n == call => into.push(0),
            Some(ReadFault::Flips(n)) if n == call => *into.last_mut().unwrap() ^= 1,
            Some(ReadFault::FlipsAlways) => *into.last_mut().unwrap() ^= 1,
            _ => {}
        }
        Ok(())
    }

    async fn open(&self, _: &Asset) -> Result<Box<dyn AssetStream>> {
        if self.sheet.range_reads {
            let message = "the fake source reads ranges";
            return Err(Error::new(Kind::Unsupported, message));
        }
        self.opens.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(FakeStream {
            content: self.content.clone(),
            at: 0,
            pace: self.pace.clone(),
            call: 0,
            fault: self.fault,
        }))
    }
}

/// Obeys `Short`, `Long` and `HangsFrom`.
#[derive(Debug)]
struct FakeStream {
    content: Vec<u8>,
    at: usize,
    pace: Pace,
    call: usize,
    fault: Option<ReadFault>,
}

#[async_trait]
impl AssetStream for FakeStream {
    async fn next(&mut self, bytes: u64, into: &mut Vec<u8>) -> Result<()> {
        let call = self.call;
        self.call += 1;
        self.pace.wait(call).await;
        let end = self.at + bytes as usize;
        match self.fault {
            Some(ReadFault::Short(n)) if n == call => {
                into.extend_from_slice(&self.content[self.at..end - 1]);
                return Err(Error::new(Kind::Integrity, "the stream ends early"));
            }
            Some(ReadFault::HangsFrom(n)) if n <= call => std::future::pending().await,
            _ => {}
        }
        into.extend_from_slice(&self.content[self.at..end]);
        self.at = end;
        Ok(())
    }

    async fn end(&mut self) -> Result<()> {
        assert_eq!(self.at, self.content.len(), "all was read");
        match self.fault {
            Some(ReadFault::Long(_)) => Err(Error::new(Kind::Integrity, "the stream does not end")),
            _ => Ok(()),
        }
    }
}

pub(super) fn held_back(why: &str) -> HeldBack {
    HeldBack {
        why: why.to_owned(),
        left: None,
    }
}

/// What the sink does instead of what it should.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SinkFault {
    BeginFails,
    AppendFails(usize),
    AppendHangs(usize),
    AppendHangsFrom(usize),
    BeginHangs,
    CommitHangs,
    CommitAnswerHangs,
    AnswerLost,
    RequestLost,
    LookingFails,
    FindsOtherBytes,
    Refuses,
    StatesOtherHash { times: usize },
    StatesOtherSize,
    Disagrees { times: usize },
}

#[derive(Debug, Default)]
pub(super) struct SinkState {
    pub(super) placed: Vec<(Placed, Vec<u8>)>,
    pub(super) begun: usize,
    pub(super) appends: usize,
    pub(super) commits: usize,
    pub(super) aborts: usize,
    pub(super) finds: usize,
    pub(super) removed: usize,
    pub(super) appending: usize,
    pub(super) appending_max: usize,
    pub(super) sessions: usize,
    pub(super) held_back: Option<HeldBack>,
}

#[derive(Debug)]
pub(super) struct FakeSink {
    inner: Arc<SinkInner>,
}

#[derive(Debug)]
struct SinkInner {
    sheet: Capabilities,
    pace: Pace,
    fault: Option<SinkFault>,
    state: Mutex<SinkState>,
}

impl FakeSink {
    pub(super) fn new(sheet: Capabilities, pace: Pace, fault: Option<SinkFault>) -> Self {
        FakeSink {
            inner: Arc::new(SinkInner {
                sheet,
                pace,
                fault,
                state: Mutex::default(),
            }),
        }
    }

    pub(super) fn plain() -> Self {
        FakeSink::new(sheet(), Pace::default(), None)
    }

    pub(super) fn faulty(fault: SinkFault) -> Self {
        FakeSink::new(sheet(), Pace::default(), Some(fault))
    }

    pub(super) fn look<T>(&self, look: impl FnOnce(&SinkState) -> T) -> T {
        look(&self.inner.state.lock().unwrap())
    }

    pub(super) fn hold_back(&self, why: Option<&str>) {
        self.inner.state.lock().unwrap().held_back = why.map(held_back);
    }

    /// The one content that is visible.
    pub(super) fn only_content(&self) -> Vec<u8> {
        self.look(|state| {
            assert_eq!(state.placed.len(), 1);
            state.placed[0].1.clone()
        })
    }
}

#[async_trait]
impl Endpoint for FakeSink {
    fn name(&self) -> &str {
        "fake sink"
    }

    fn capabilities(&self) -> &Capabilities {
        &self.inner.sheet
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        Ok(Vec::new())
    }

    fn held_back(&self) -> Option<HeldBack> {
        self.look(|state| state.held_back.clone())
    }
}

#[async_trait]
impl Sink for FakeSink {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        Ok(vec![Vec::new(); drafts.len()])
    }

    async fn begin(
        &self,
        _: &Destination,
        size: u64,
        _: &Correlation,
    ) -> Result<Box<dyn UploadSession>> {
        self.inner.pace.wait(0).await;
        match self.inner.fault {
            Some(SinkFault::BeginFails) => {
                return Err(Error::new(Kind::Denied, "the fake sink was told to refuse"));
            }
            Some(SinkFault::BeginHangs) => std::future::pending().await,
            _ => {}
        }
        let mut state = self.inner.state.lock().unwrap();
        state.begun += 1;
        state.sessions += 1;
        Ok(Box::new(FakeSession {
            sink: Arc::clone(&self.inner),
            size,
            pieces: Mutex::default(),
        }))
    }

    async fn resume(
        &self,
        _: &Destination,
        _: u64,
        _: &Correlation,
        _: &str,
        _: &[Range<u64>],
    ) -> Result<Option<Box<dyn UploadSession>>> {
        Err(Error::new(
            Kind::Unsupported,
            "sessions of the fake sink end with it",
        ))
    }

    async fn find(
        &self,
        _: &Destination,
        _: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        self.inner.pace.wait(0).await;
        let mut state = self.inner.state.lock().unwrap();
        state.finds += 1;
        if self.inner.fault == Some(SinkFault::LookingFails) {
            return Err(Error::new(Kind::Unavailable, "the fake sink is away"));
        }
        let found = state.placed.last().map(|(placed, _)| placed.clone());
        if self.inner.fault == Some(SinkFault::FindsOtherBytes) {
            return Ok(found.map(|placed| Placed {
                size: placed.size + 1,
                ..placed
            }));
        }
        Ok(found.filter(|placed| placed.size == expected.size))
    }

    async fn set_metadata(&self, _: &AssetId, _: &Draft) -> Result<()> {
        Err(Error::new(Kind::Unsupported, "transfers set no metadata"))
    }

    async fn remove(&self, placed: &Placed) -> Result<()> {
        let mut state = self.inner.state.lock().unwrap();
        state.removed += 1;
        state.placed.retain(|(held, _)| held.asset != placed.asset);
        Ok(())
    }
}

#[derive(Debug)]
struct FakeSession {
    sink: Arc<SinkInner>,
    size: u64,
    pieces: Mutex<BTreeMap<u64, Vec<u8>>>,
}

/// Counts an append for as long as it runs.
struct Appending<'a>(&'a SinkInner);

impl Drop for Appending<'_> {
    fn drop(&mut self) {
        self.0.state.lock().unwrap().appending -= 1;
    }
}

impl Drop for FakeSession {
    fn drop(&mut self) {
        self.sink.state.lock().unwrap().sessions -= 1;
    }
}

impl FakeSession {
    fn check_piece(&self, offset: u64, len: u64) {
        let sheet = &self.sink.sheet;
        assert!(len > 0 && len <= sheet.chunk_bytes_max);
        assert!(offset + len <= self.size);
        assert!(offset + len == self.size || len.is_multiple_of(sheet.chunk_multiple));
        if sheet.upload_order == UploadOrder::InOrder {
            let end = self.acknowledged().first().map_or(0, |range| range.end);
            assert_eq!(offset, end);
        }
    }

    fn whole(&self) -> Vec<u8> {
        let pieces = std::mem::take(&mut *self.pieces.lock().unwrap());
        let mut whole = Vec::new();
        for (offset, piece) in pieces {
            assert_eq!(
                offset,
                whole.len() as u64,
                "pieces neither overlap nor gape"
            );
            whole.extend(piece);
        }
        assert_eq!(whole.len() as u64, self.size, "a commit needs every byte");
        whole
    }
}

#[async_trait]
impl UploadSession for FakeSession {
    async fn append(&self, chunk: Chunk) -> Result<()> {
        let (offset, chunk) = (chunk.offset, chunk.bytes);
        self.check_piece(offset, chunk.len() as u64);
        let call = {
            let mut state = self.sink.state.lock().unwrap();
            state.appends += 1;
            state.appending += 1;
            state.appending_max = state.appending_max.max(state.appending);
            state.appends - 1
        };
        let _appending = Appending(&self.sink);
        self.sink.pace.wait(call).await;
        match self.sink.fault {
            Some(SinkFault::AppendFails(n)) if n == call => {
                return Err(Error::new(
                    Kind::Unavailable,
                    "the fake sink was told to fail",
                ));
            }
            Some(SinkFault::AppendHangs(n)) if n == call => std::future::pending().await,
            Some(SinkFault::AppendHangsFrom(n)) if n <= call => std::future::pending().await,
            _ => {}
        }
        let mut pieces = self.pieces.lock().unwrap();
        assert!(pieces.insert(offset, chunk.to_vec()).is_none());
        Ok(())
    }

    fn acknowledged(&self) -> Vec<Range<u64>> {
        let pieces = self.pieces.lock().unwrap();
        let ranges = pieces
            .iter()
            .map(|(offset, piece)| *offset..offset + piece.len() as u64);
        ranges.collect::<Ranges>().to_vec()
    }

    fn checkpoint(&self) -> Option<String> {
        None
    }

    async fn commit(self: Box<Self>, digests: &Digests) -> Result<Placed> {
        self.sink.pace.wait(0).await;
        let whole = self.whole();
        assert_eq!(digests.size, self.size);
        let lost = || Error::new(Kind::Ambiguous, "the connection was reset after the commit");
        if self.sink.fault == Some(SinkFault::CommitHangs) {
            std::future::pending::<()>().await;
        }
        let answer_hangs = self.sink.fault == Some(SinkFault::CommitAnswerHangs);
        let placed = self.place(whole, lost);
        if answer_hangs {
            std::future::pending::<()>().await;
        }
        placed
    }

    async fn abort(self: Box<Self>) -> Result<()> {
        self.sink.state.lock().unwrap().aborts += 1;
        Ok(())
    }
}

impl FakeSession {
    fn place(&self, whole: Vec<u8>, lost: impl Fn() -> Error) -> Result<Placed> {
        let mut state = self.sink.state.lock().unwrap();
        state.commits += 1;
        let mut placed = Placed {
            asset: AssetId::new(format!("placed:{}", state.commits)),
            revision: Revision::new("p1"),
            size: self.size,
            content_hash: Some(ContentHash::of(&whole)),
            evidence: Evidence::E2,
        };
        match self.sink.fault {
            Some(SinkFault::RequestLost) => return Err(lost()),
            Some(SinkFault::Refuses) => {
                return Err(Error::new(
                    Kind::InvalidInput,
                    "field \"client\" was refused",
                ));
            }
            Some(SinkFault::Disagrees { times }) if state.commits <= times => {
                return Err(Error::new(Kind::Integrity, "the fake sink got other bytes"));
            }
            Some(SinkFault::StatesOtherHash { times }) if state.commits <= times => {
                placed.content_hash = Some(ContentHash([7; 32]));
            }
            Some(SinkFault::StatesOtherSize) => placed.size += 1,
            _ => {}
        }
        state.placed.push((placed.clone(), whole));
        match self.sink.fault {
            Some(SinkFault::AnswerLost | SinkFault::LookingFails | SinkFault::FindsOtherBytes) => {
                Err(lost())
            }
            _ => Ok(placed),
        }
    }
}

/// An engine with chunks of 4 MiB.
pub(super) fn engine(budget_chunks: u64, window_chunks: u64, hash_threads: usize) -> Engine {
    Engine::new(EngineOptions {
        budget: ByteSize::mib(4 * budget_chunks),
        chunk: ByteSize::mib(4),
        chunk_max: ByteSize::mib(4),
        window: ByteSize::mib(4 * window_chunks),
        hash_threads,
        ..EngineOptions::default()
    })
    .unwrap()
}

pub(super) fn request(source: &FakeSource) -> TransferRequest {
    TransferRequest {
        asset: source.asset.clone(),
        destination: Destination::New {
            draft: Draft {
                name: "hero".to_owned(),
                file_name: "hero.psd".to_owned(),
                collection: AssetPath::new("/campaigns"),
                asset_type: None,
                fields: Vec::new(),
                availability: None,
                handing: None,
                yields: BTreeSet::new(),
            },
        },
        correlation: Correlation::derive("flow", "source", "id:1", "r1"),
        want_content_hash: false,
        progress: Arc::new(Progress::new()),
        journal: None,
        gate: None,
    }
}

pub(super) async fn run(
    engine: &Engine,
    source: &FakeSource,
    sink: &FakeSink,
) -> Result<Transferred> {
    let request = request(source);
    let outcome = engine
        .transfer(source, sink, &request, &CancellationToken::new())
        .await;
    rest(engine).await;
    sink.look(|state| assert_eq!((state.sessions, state.appending), (0, 0)));
    outcome
}

/// Waits until hash threads have let go of what they had, and asserts that nothing is held.
pub(super) async fn rest(engine: &Engine) {
    // In real time: threads do not know the runtime's clock.
    for _ in 0..2_000 {
        if engine.gauges().at_rest() {
            return;
        }
        tokio::task::yield_now().await;
        std::thread::sleep(Duration::from_millis(1));
    }
    panic!("not at rest: {:?}", engine.gauges());
}
