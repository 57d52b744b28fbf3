//! A source that people write to while it is listed and read: time passes with every call, and what is due happens.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use windlass_core::memory::{ManualClock, MemoryEndpoint};
use windlass_core::{
    Asset, AssetId, AssetStream, Capabilities, ChangePage, CheckItem, Cursor, Endpoint, HeldBack,
    Result, Revision, Scope, Source,
};

/// Numbers that follow from a seed (splitmix64).
#[derive(Clone, Debug)]
pub(super) struct Dice(pub(super) u64);

impl Dice {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub(super) fn within(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(super) fn shuffle<T>(&mut self, list: &mut [T]) {
        for at in (1..list.len()).rev() {
            list.swap(at, self.within(0, at as u64) as usize);
        }
    }
}

/// What somebody does, at one moment.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// A file has these bytes now.
    Write(String, Vec<u8>),
    /// A file gets another name; what has it is replaced.
    Rename(String, String),
    /// A file goes.
    Delete(String),
    /// These files are whole: what they have now may be taken.
    Finish(Vec<(String, Vec<u8>)>),
}

#[derive(Debug)]
struct State {
    /// What is to happen, by the millisecond.
    script: VecDeque<(u64, Act)>,
    now: u64,
    dice: Dice,
    /// How much time a call takes at most.
    call_ms: u64,
    finished: BTreeSet<(String, Vec<u8>)>,
    wanted: BTreeMap<String, Vec<u8>>,
    bytes_of: BTreeMap<(AssetId, Revision), Vec<u8>>,
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Stage {
    endpoint: MemoryEndpoint,
    clock: Arc<ManualClock>,
    state: Arc<Mutex<State>>,
}

impl Stage {
    pub(super) fn new(mut script: Vec<(u64, Act)>, dice: Dice, clock: Arc<ManualClock>) -> Self {
        // Stable: what one writer does at one moment stays in order.
        script.sort_by_key(|(at, _)| *at);
        let endpoint = MemoryEndpoint::new("agency");
        endpoint.create_folder("/In").unwrap();
        endpoint.set_page_entries(3);
        let state = State {
            script: script.into(),
            now: 0,
            dice,
            call_ms: 4_000,
            finished: BTreeSet::new(),
            wanted: BTreeMap::new(),
            bytes_of: BTreeMap::new(),
        };
        Stage {
            endpoint,
            clock,
            state: Arc::new(Mutex::new(state)),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Lets time pass, and what is due happen at its moment.
    pub(super) fn pass(&self, ms: u64) {
        let mut state = self.state();
        let until = state.now + ms;
        while state.script.front().is_some_and(|(at, _)| *at <= until) {
            let (at, act) = state.script.pop_front().unwrap();
            self.move_to(&mut state, at);
            self.act(&mut state, act);
        }
        self.move_to(&mut state, until);
    }

    fn move_to(&self, state: &mut State, at: u64) {
        let at = at.max(state.now);
        self.clock.advance(Duration::from_millis(at - state.now));
        state.now = at;
    }

    fn act(&self, state: &mut State, act: Act) {
        match act {
            Act::Write(path, bytes) => self.write(state, &path, bytes),
            Act::Rename(from, to) => match self.endpoint.asset_at(&to) {
                None => self.endpoint.rename(&from, &to).unwrap(),
                Some(_) => {
                    let id = self.endpoint.asset_at(&from).unwrap().id;
                    let bytes = self.endpoint.bytes(&id).unwrap().to_vec();
                    self.write(state, &to, bytes);
                    assert!(self.endpoint.delete(&from));
                }
            },
            Act::Delete(path) => assert!(self.endpoint.delete(&path), "{path}"),
            Act::Finish(files) => {
                state.wanted.extend(files.iter().cloned());
                state.finished.extend(files);
            }
        }
    }

    fn write(&self, state: &mut State, path: &str, bytes: Vec<u8>) {
        let asset = self.endpoint.put(path, bytes.clone()).unwrap();
        state.bytes_of.insert((asset.id, asset.revision), bytes);
    }

    /// Whether everybody has stopped.
    pub(super) fn is_over(&self) -> bool {
        self.state().script.is_empty()
    }

    /// The bytes of a revision, if they are what somebody declared whole by now.
    pub(super) fn is_finished(&self, asset: &Asset) -> bool {
        let state = self.state();
        let revision = (asset.id.clone(), asset.revision.clone());
        let bytes = state.bytes_of.get(&revision);
        bytes.is_some_and(|bytes| {
            let told = (asset.path.to_string(), bytes.clone());
            state.finished.contains(&told)
        })
    }

    /// What must be placed in the end.
    pub(super) fn wanted(&self) -> BTreeMap<String, Vec<u8>> {
        self.state().wanted.clone()
    }

    /// What is said of a revision in a failure.
    pub(super) fn told(&self, asset: &Asset) -> String {
        let state = self.state();
        let revision = (asset.id.clone(), asset.revision.clone());
        let bytes = state.bytes_of.get(&revision).cloned().unwrap_or_default();
        format!(
            "at {} ms: {} with {:?}",
            state.now,
            asset.path,
            String::from_utf8_lossy(&bytes)
        )
    }

    /// A call takes its time.
    fn take_time(&self) {
        let ms = {
            let mut state = self.state();
            let most = state.call_ms;
            state.dice.within(0, most)
        };
        self.pass(ms);
    }
}

#[async_trait]
impl Endpoint for Stage {
    fn name(&self) -> &str {
        self.endpoint.name()
    }

    fn capabilities(&self) -> &Capabilities {
        self.endpoint.capabilities()
    }

    async fn check(&self) -> Result<Vec<CheckItem>> {
        self.endpoint.check().await
    }

    fn held_back(&self) -> Option<HeldBack> {
        None
    }
}

#[async_trait]
impl Source for Stage {
    async fn changes(&self, scope: &Scope, cursor: Option<&Cursor>) -> Result<ChangePage> {
        self.take_time();
        self.endpoint.changes(scope, cursor).await
    }

    async fn stat(&self, asset: &AssetId) -> Result<Option<Asset>> {
        self.take_time();
        self.endpoint.stat(asset).await
    }

    async fn tags(&self, assets: &[Asset]) -> Result<Vec<Vec<String>>> {
        self.take_time();
        self.endpoint.tags(assets).await
    }

    async fn read(&self, asset: &Asset, range: Range<u64>, into: &mut Vec<u8>) -> Result<()> {
        self.take_time();
        self.endpoint.read(asset, range, into).await
    }

    async fn open(&self, asset: &Asset) -> Result<Box<dyn AssetStream>> {
        self.endpoint.open(asset).await
    }
}
