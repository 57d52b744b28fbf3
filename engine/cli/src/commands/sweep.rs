//! `windlass sweep`: takes back what may not be seen any more, once or for as long as it runs.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio_util::sync::CancellationToken;
use windlass_core::{Error, Kind, Result};
use windlass_flow::{Flow, Tolerance};

use super::Ended;
use super::run::{Asked, Manner, close};
use crate::args::{RunArgs, SweepArgs};
use crate::config::Layered;
use crate::flows::Way;
use crate::out::Out;
use crate::wiring::{Wired, Wiring};
use crate::{interrupt, progress};

/// The shortest wait between two sweeps, whenever something is due.
const WAIT_MIN: Duration = Duration::from_secs(1);

/// Sweeps a flow.
pub(crate) async fn run(args: &SweepArgs, layered: &Layered, out: Out) -> Result<Ended> {
    if matches!(layered.config.flow(&args.flow)?.way(), Way::In(_)) {
        return Err(Error::new(
            Kind::Unsupported,
            format!(
                "flow {:?} hands nothing out, so nothing can be taken back",
                args.flow
            ),
        ));
    }
    let as_run = RunArgs {
        stop_after: None,
        over_budget: true,
        flow: Some(args.flow.clone()),
        plan: None,
        tolerance: Tolerance::default(),
        abandon: false,
        over_cap: args.over_cap,
        retry_held: false,
    };
    let asked = Asked {
        args: &as_run,
        flow: &args.flow,
        layered,
        reviewed: None,
        out,
        manner: Manner::Asked,
    };
    let observer = progress::observer(out);
    let mut wired = Wiring::new(layered, out)
        .flow(&args.flow, false, Arc::clone(&observer))
        .await?;
    asked.cap(&mut wired);
    if let Flow::Release(release) = &mut wired.flow {
        release.options.sweep = true;
    }
    let cancel = interrupt::watch(out);
    let swept = sweep(&asked, &wired, args.every, &cancel).await;
    let closed = close(wired, observer).await;
    let failures = swept?;
    closed?;
    Ok(match failures {
        true => Ended::WithFailures,
        false => Ended::Done,
    })
}

/// Sweeps until it is enough; whether anything failed.
async fn sweep(
    asked: &Asked<'_>,
    wired: &Wired,
    every: Option<Duration>,
    cancel: &CancellationToken,
) -> Result<bool> {
    let mut failures = false;
    loop {
        let done = asked.resume_plan_and_work(wired, cancel).await?;
        failures |= done.failures;
        let Some(every) = every.filter(|_| !done.stopped) else {
            return Ok(failures);
        };
        tokio::select! {
            () = cancel.cancelled() => return Ok(failures),
            () = tokio::time::sleep(until_next(wired, every).await?) => {}
        }
    }
}

/// How long to wait: the usual time, or less where a right was said to end before.
async fn until_next(wired: &Wired, every: Duration) -> Result<Duration> {
    let Flow::Release(release) = &wired.flow else {
        return Ok(every);
    };
    let due = release.due().await?;
    let left = due.and_then(|due| Duration::try_from(due.duration_since(Timestamp::now())).ok());
    Ok(left.map_or(every, |left| every.min(left).max(WAIT_MIN)))
}
