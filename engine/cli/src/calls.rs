//! What the ledger keeps about calls to an account: how many a team's plan has left for the month, and how fast they
//! may be made.
//!
//! A budget lives in this process; the ledger adds up what all runs spent. What a process spent is written every
//! [`EVERY`] and at the end, so one that is killed leaves at most so much uncounted. With it goes the pace that the
//! account's governor found, so that the next run begins there instead of finding it anew.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::task::AbortOnDropHandle;
use windlass_core::{Blake3, CallCount, Cursor, Error, Kind, Ledger, Result};
use windlass_http::{CallBudget, Governor, GovernorState, MonthlyBudget};

/// How often what was spent is written down.
const EVERY: Duration = Duration::from_secs(10);

/// A budget, and the endpoint that it is for.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) endpoint: String,
    pub(crate) budget: Arc<MonthlyBudget>,
}

/// Writes what budgets were spent into the ledger, as long as it lives.
#[derive(Debug)]
pub(crate) struct CallRecorder {
    kept: Kept,
    ledger: Arc<dyn Ledger>,
    _task: Option<AbortOnDropHandle<()>>,
}

/// What is written down.
#[derive(Clone, Debug)]
struct Kept {
    counted: Vec<Counted>,
    /// The governor of each account.
    paced: BTreeMap<Blake3, Governor>,
}

impl CallRecorder {
    /// Asks the ledger what the month has cost so far, and goes on writing.
    pub(crate) async fn start(
        counted: Vec<Counted>,
        paced: BTreeMap<Blake3, Governor>,
        ledger: Arc<dyn Ledger>,
    ) -> Result<Self> {
        for one in &counted {
            let asked = one.budget.asking();
            record(&one.budget, ledger.as_ref(), vec![asked]).await?;
        }
        let kept = Kept { counted, paced };
        let task = (!kept.paced.is_empty()).then(|| {
            let (kept, ledger) = (kept.clone(), Arc::clone(&ledger));
            AbortOnDropHandle::new(tokio::spawn(async move {
                loop {
                    tokio::time::sleep(EVERY).await;
                    if let Err(error) = kept.write(ledger.as_ref()).await {
                        // It is tried again, and the last time its error counts.
                        tracing::warn!(error = %error.chain(), "calls cannot be counted in the ledger");
                    }
                }
            }))
        });
        Ok(CallRecorder {
            kept,
            ledger,
            _task: task,
        })
    }

    /// Writes what was spent since the last time.
    pub(crate) async fn finish(self) -> Result<()> {
        let CallRecorder {
            kept,
            ledger,
            _task,
        } = self;
        drop(_task);
        kept.write(ledger.as_ref()).await
    }

    /// What becomes of a month in which an endpoint's uploads take so many calls: one sentence, and whether they fit.
    /// `None` where nobody counts.
    pub(crate) fn forecast(&self, endpoint: &str, calls: u64) -> Option<(String, bool)> {
        let mut counted = self.kept.counted.iter();
        let one = counted.find(|one| one.endpoint == endpoint)?;
        let forecast = one.budget.forecast(calls);
        let standing = forecast.standing;
        let text = format!(
            "{endpoint}: about {calls} of the {} calls that are left of this month's {}",
            standing.left(),
            standing.quota
        );
        Some((text, forecast.over == 0))
    }
}

impl Kept {
    async fn write(&self, ledger: &dyn Ledger) -> Result<()> {
        for one in &self.counted {
            let counts = one.budget.take_unrecorded();
            record(&one.budget, ledger, counts).await?;
        }
        for (account, governor) in &self.paced {
            let Some(learnt) = governor.state() else {
                continue;
            };
            let text = serde_json::to_string(&learnt).map_err(|error| {
                Error::new(Kind::Unexpected, "an account's pace cannot be written")
                    .with_source(error)
            })?;
            let pace = Cursor::new(text);
            ledger.set_cursor(&pace_of(account), Some(&pace)).await?;
        }
        Ok(())
    }
}

/// The pace that an earlier run found for an account. What cannot be read is found anew.
pub(crate) async fn learnt(ledger: &dyn Ledger, account: &Blake3) -> Result<Option<GovernorState>> {
    let kept = ledger.cursor(&pace_of(account)).await?;
    Ok(kept.and_then(|pace| serde_json::from_str(pace.as_str()).ok()))
}

/// Where a pace is kept. The name tells an account apart, and nothing of its credentials.
fn pace_of(account: &Blake3) -> String {
    format!("pace of {}", &account.to_hex()[..16])
}

async fn record(budget: &MonthlyBudget, ledger: &dyn Ledger, counts: Vec<CallCount>) -> Result<()> {
    if counts.is_empty() {
        return Ok(());
    }
    match ledger.count_calls(&counts).await {
        Ok(totals) => {
            for (count, total) in counts.iter().zip(totals) {
                budget.recorded(&count.month, total);
            }
            Ok(())
        }
        Err(error) => {
            budget.not_recorded(counts);
            Err(error)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_next_run_begins_with_the_pace_that_this_one_found() {
        let (account, other) = (Blake3::of(b"an account"), Blake3::of(b"another"));
        let clock = Arc::new(windlass_core::SystemClock);
        let ledger: Arc<dyn Ledger> = Arc::new(windlass_core::memory::MemoryLedger::new(clock));
        assert_eq!(learnt(ledger.as_ref(), &account).await.unwrap(), None);
        let found = GovernorState {
            ceiling: 12.5,
            burst: Some(60.0),
            pause: 3.0,
        };
        let governor = Governor::with_state(windlass_http::GovernorOptions::default(), &found);
        let paced = BTreeMap::from([
            (account, governor),
            // Nothing was learnt, so nothing is kept.
            (other, Governor::default()),
        ]);
        let recorder = CallRecorder::start(Vec::new(), paced, Arc::clone(&ledger));
        recorder.await.unwrap().finish().await.unwrap();
        let kept = learnt(ledger.as_ref(), &account).await.unwrap();
        assert_eq!(kept, Some(found));
        assert_eq!(learnt(ledger.as_ref(), &other).await.unwrap(), None);
    }

    #[tokio::test]
    async fn a_pace_that_cannot_be_read_is_found_anew() {
        let account = Blake3::of(b"an account");
        let clock = Arc::new(windlass_core::SystemClock);
        let ledger = windlass_core::memory::MemoryLedger::new(clock);
        let odd = Cursor::new("12 calls a second".to_owned());
        ledger
            .set_cursor(&pace_of(&account), Some(&odd))
            .await
            .unwrap();
        assert_eq!(learnt(&ledger, &account).await.unwrap(), None);
    }
}
