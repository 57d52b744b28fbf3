//! A ledger that counts its calls, and takes its time for them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use windlass_core::memory::MemoryLedger;
use windlass_core::{
    Action, Asset, AssetId, AssetPath, CallCount, ContentHash, ContentRecord, Cursor,
    CustodyRecord, FactsWanted, Hold, LeasedStep, Ledger, NewStep, Note, Noted, Placement, Result,
    RunFacts, RunId, RunOrigin, RunRecord, RunState, Spool, StepId, StepRecord, StepReport,
    StepState, Tally, Unfinished, WorkerId,
};

/// See the module.
#[derive(Debug)]
pub(super) struct CountedLedger {
    pub(super) inner: MemoryLedger,
    /// How long a call takes that writes.
    pub(super) takes: Duration,
    calls: Mutex<BTreeMap<&'static str, u64>>,
    notes: Mutex<Vec<Note>>,
}

impl CountedLedger {
    pub(super) fn new(inner: MemoryLedger) -> Self {
        CountedLedger {
            inner,
            takes: Duration::ZERO,
            calls: Mutex::default(),
            notes: Mutex::default(),
        }
    }

    /// How often a call was made.
    pub(super) fn calls(&self, name: &str) -> u64 {
        self.calls.lock().unwrap().get(name).copied().unwrap_or(0)
    }

    /// The notes that were handed over, jots not among them.
    pub(super) fn notes(&self) -> Vec<Note> {
        self.notes.lock().unwrap().clone()
    }

    pub(super) fn intents(&self) -> usize {
        let notes = self.notes();
        let intents = notes.iter();
        intents
            .filter(|note| matches!(note.what, Noted::Intent(_)))
            .count()
    }

    fn count(&self, name: &'static str) {
        *self.calls.lock().unwrap().entry(name).or_default() += 1;
    }

    async fn write(&self, name: &'static str) {
        self.count(name);
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
    }
}

#[async_trait]
impl Ledger for CountedLedger {
    async fn begin_run(&self, run: RunId, flow: &str) -> Result<()> {
        self.inner.begin_run(run, flow).await
    }

    async fn add_steps(&self, run: RunId, steps: &[NewStep]) -> Result<()> {
        self.inner.add_steps(run, steps).await
    }

    async fn set_run_state(&self, run: RunId, state: RunState) -> Result<()> {
        self.inner.set_run_state(run, state).await
    }

    async fn set_planned(&self, run: RunId, unchanged: Tally, origin: &RunOrigin) -> Result<()> {
        self.inner.set_planned(run, unchanged, origin).await
    }

    async fn run(&self, run: RunId) -> Result<Option<RunRecord>> {
        self.inner.run(run).await
    }

    async fn id(&self) -> Result<String> {
        self.inner.id().await
    }

    async fn spool(&self) -> Result<Box<dyn Spool>> {
        self.inner.spool().await
    }

    async fn steps_at(&self, run: RunId, path: &AssetPath) -> Result<Vec<(StepRecord, String)>> {
        self.inner.steps_at(run, path).await
    }

    async fn unended(
        &self,
        run: RunId,
        after: Option<StepId>,
        limit: u32,
    ) -> Result<Vec<(StepRecord, String)>> {
        self.inner.unended(run, after, limit).await
    }

    async fn facts(&self, run: RunId, wanted: FactsWanted) -> Result<RunFacts> {
        self.inner.facts(run, wanted).await
    }

    async fn custody(
        &self,
        run: Option<RunId>,
        after: Option<i64>,
        limit: u32,
    ) -> Result<Vec<CustodyRecord>> {
        self.inner.custody(run, after, limit).await
    }

    async fn attempts(&self, step: StepId) -> Result<Vec<CustodyRecord>> {
        self.inner.attempts(step).await
    }

    async fn placements_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<Placement>> {
        self.inner
            .placements_after(flow, source, after, limit)
            .await
    }

    async fn withdrawals(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<windlass_core::Withdrawal>>> {
        self.inner.withdrawals(flow, source, assets).await
    }

    async fn withdrawals_after(
        &self,
        flow: &str,
        source: &str,
        after: Option<&AssetId>,
        limit: u32,
    ) -> Result<Vec<windlass_core::Withdrawal>> {
        self.inner
            .withdrawals_after(flow, source, after, limit)
            .await
    }

    async fn note_conflicts(&self, conflicts: &[windlass_core::NewConflict]) -> Result<()> {
        self.inner.note_conflicts(conflicts).await
    }

    async fn conflicts(
        &self,
        flow: Option<&str>,
        after: Option<(&str, &AssetId)>,
        limit: u32,
    ) -> Result<Vec<windlass_core::Conflict>> {
        self.inner.conflicts(flow, after, limit).await
    }

    async fn resolve_conflict(
        &self,
        conflict: &windlass_core::NewConflict,
        resolution: Option<windlass_core::Resolution>,
    ) -> Result<bool> {
        self.inner.resolve_conflict(conflict, resolution).await
    }

    async fn end_conflicts(&self, flow: &str, subjects: &[AssetId]) -> Result<()> {
        self.inner.end_conflicts(flow, subjects).await
    }

    async fn placed_as(&self, sink: &str, assets: &[AssetId]) -> Result<Vec<Vec<Placement>>> {
        self.inner.placed_as(sink, assets).await
    }

    async fn sharing(&self, sink: &str, assets: &[AssetId]) -> Result<Vec<windlass_core::Sharing>> {
        self.inner.sharing(sink, assets).await
    }

    async fn holding(
        &self,
        sink: &str,
        contents: &[(u64, ContentHash)],
    ) -> Result<Vec<Option<Placement>>> {
        self.inner.holding(sink, contents).await
    }

    async fn holds_size(&self, sink: &str, sizes: &[u64]) -> Result<Vec<bool>> {
        self.inner.holds_size(sink, sizes).await
    }

    async fn runs(&self, flow: Option<&str>, limit: u32) -> Result<Vec<RunRecord>> {
        self.inner.runs(flow, limit).await
    }

    async fn lease(
        &self,
        run: RunId,
        worker: &WorkerId,
        limit: u32,
        ttl: Duration,
    ) -> Result<Vec<LeasedStep>> {
        self.write("lease").await;
        self.inner.lease(run, worker, limit, ttl).await
    }

    async fn renew(&self, worker: &WorkerId, ttl: Duration) -> Result<()> {
        self.write("renew").await;
        self.inner.renew(worker, ttl).await
    }

    async fn reap(&self, run: RunId) -> Result<u64> {
        self.write("reap").await;
        self.inner.reap(run).await
    }

    async fn release(&self, worker: &WorkerId) -> Result<u64> {
        self.write("release").await;
        self.inner.release(worker).await
    }

    async fn finish(&self, reports: &[StepReport]) -> Result<Vec<bool>> {
        self.write("finish").await;
        self.inner.finish(reports).await
    }

    async fn note(&self, notes: &[Note]) -> Result<Vec<bool>> {
        self.write("note").await;
        self.notes.lock().unwrap().extend_from_slice(notes);
        self.inner.note(notes).await
    }

    fn jot(&self, note: &Note) -> Result<()> {
        self.count("jot");
        self.inner.jot(note)
    }

    async fn unfinished(&self, steps: &[StepId]) -> Result<Vec<Unfinished>> {
        self.count("unfinished");
        self.inner.unfinished(steps).await
    }

    async fn count_calls(&self, counts: &[CallCount]) -> Result<Vec<u64>> {
        self.inner.count_calls(counts).await
    }

    async fn next_due(&self, run: RunId) -> Result<Option<Duration>> {
        self.count("next_due");
        self.inner.next_due(run).await
    }

    async fn steps(
        &self,
        run: RunId,
        after: Option<StepId>,
        limit: u32,
    ) -> Result<Vec<StepRecord>> {
        self.inner.steps(run, after, limit).await
    }

    async fn tally(&self, run: RunId) -> Result<Vec<(StepState, Action, Tally)>> {
        self.inner.tally(run).await
    }

    async fn contents(&self, hashes: &[ContentHash]) -> Result<Vec<Option<ContentRecord>>> {
        self.inner.contents(hashes).await
    }

    async fn placements(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Placement>>> {
        self.inner.placements(flow, source, assets).await
    }

    async fn unchanged(&self, flow: &str, source: &str, assets: &[Asset]) -> Result<Vec<bool>> {
        self.inner.unchanged(flow, source, assets).await
    }

    async fn holds(
        &self,
        flow: &str,
        source: &str,
        assets: &[AssetId],
    ) -> Result<Vec<Option<Hold>>> {
        self.inner.holds(flow, source, assets).await
    }

    async fn cursor(&self, name: &str) -> Result<Option<Cursor>> {
        self.inner.cursor(name).await
    }

    async fn set_cursor(&self, name: &str, cursor: Option<&Cursor>) -> Result<()> {
        self.inner.set_cursor(name, cursor).await
    }

    async fn close(&self) -> Result<()> {
        self.inner.close().await
    }
}
