//! Copies inside Dropbox: many in one call, which may go on as a job that is asked after.

use std::time::Duration;

use tokio::time::Instant;
use windlass_core::{Error, Kind};

use super::{Came, Job, Lane, Refused, Work, called};
use crate::errors::{
    Circumstances, CopyEntryError, Failure, LookupError, RelocationError, WriteError,
};
use crate::shared_error::copy_of;
use crate::target::is_file;
use crate::wire::{Entry, Launched, RelocationArg, copied};

const ROUTE: &str = "files/copy_batch_v2";

/// How long the first wait for a job is, and the longest.
const POLL: Duration = Duration::from_millis(500);
const POLL_MAX: Duration = Duration::from_secs(10);

/// For every so many entries the wait may grow by one second.
const ENTRIES_A_SECOND: u32 = 100;

impl Lane {
    /// Copies all of them. One malformed entry refuses the whole call, so a call that is refused as such is halved
    /// until only that entry is left out.
    pub(super) async fn copy(&self, jobs: &[Job]) -> Vec<Came> {
        let mut came = Vec::with_capacity(jobs.len());
        let mut waiting = vec![jobs];
        while let Some(jobs) = waiting.pop() {
            match self.copy_once(jobs).await {
                Ok(entries) => came.extend(entries.into_iter().map(|entry| entry_of(entry, jobs))),
                Err(error) if error.kind() == Kind::InvalidInput && jobs.len() > 1 => {
                    let (first, second) = jobs.split_at(jobs.len() / 2);
                    waiting.extend([second, first]);
                }
                Err(error) => came.extend(jobs.iter().map(|_| called(copy_of(&error)))),
            }
        }
        came
    }

    async fn copy_once(
        &self,
        jobs: &[Job],
    ) -> Result<Vec<Entry<crate::wire::FileMetadata, CopyEntryError>>, Error> {
        let entries: Vec<RelocationArg<'_>> = jobs
            .iter()
            .filter_map(|job| match &job.order.work {
                Work::Copy { from } => Some(RelocationArg {
                    from_path: from,
                    to_path: &job.order.commit.path,
                }),
                Work::Finish { .. } | Work::Upload { .. } => None,
            })
            .collect();
        let launched = self.api.copy_batch(&self.client, &entries).await;
        let answered = self.completed(launched.map_err(Error::from)?, jobs.len());
        let answered = answered.await?;
        if answered.len() != jobs.len() {
            return Err(lost("Dropbox answered another number of entries")
                .with_context("asked", jobs.len())
                .with_context("answered", answered.len()));
        }
        let entries = answered.iter().map(copied).collect::<Result<_, _>>();
        entries.map_err(|error| lost("the answer cannot be read").with_source(error))
    }

    /// Waits for a job to end. What cannot be learnt of one that was begun is as good as lost.
    async fn completed(
        &self,
        mut launched: Launched,
        entries: usize,
    ) -> Result<Vec<serde_json::Value>, Error> {
        let mut wait = POLL;
        let slow = Duration::from_secs(1) * (entries as u32).div_ceil(ENTRIES_A_SECOND);
        let mut job = None;
        let until = Instant::now() + self.rules.patience;
        loop {
            match launched {
                Launched::Complete(entries) => return Ok(entries),
                Launched::Job(name) => job = Some(name),
                Launched::InProgress => {}
            }
            let Some(name) = &job else {
                return Err(lost("Dropbox goes on with a batch that it does not name"));
            };
            if Instant::now() >= until {
                return Err(lost("a batch of copies does not end").with_context("job", name));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(slow).clamp(POLL, POLL_MAX);
            launched = self.api.copy_batch_check(name).await.map_err(|failure| {
                lost("Dropbox does not say what became of a batch of copies")
                    .with_source(Error::from(failure))
            })?;
        }
    }
}

fn lost(message: &'static str) -> Error {
    Error::new(Kind::Ambiguous, message).with_context("route", ROUTE)
}

fn entry_of(entry: Entry<crate::wire::FileMetadata, CopyEntryError>, together: &[Job]) -> Came {
    let reason = match entry {
        Entry::Success(file) => return Came::Done(file),
        Entry::Failure(reason) => reason,
    };
    let circumstances = Circumstances {
        route: ROUTE,
        ..Circumstances::default()
    };
    let error = Error::from(Failure::Route(reason.clone(), circumstances));
    match reason {
        CopyEntryError::TooManyWriteOperations
        | CopyEntryError::Relocation(RelocationError::To(WriteError::TooManyWriteOperations)) => {
            Came::Locked(error)
        }
        CopyEntryError::Relocation(RelocationError::To(reason)) if is_file(&reason) => {
            Came::Refused(Refused::Conflict(error))
        }
        CopyEntryError::Relocation(RelocationError::FromLookup(LookupError::NotFound)) => {
            Came::Early(error)
        }
        CopyEntryError::Relocation(RelocationError::DuplicatedOrNestedPaths)
            if together.len() > 1 =>
        {
            Came::Alone(error)
        }
        // It failed somewhere on its way.
        CopyEntryError::InternalError
        | CopyEntryError::Relocation(RelocationError::InternalError) => Came::Lost(error),
        _ => Came::Refused(Refused::Other(error)),
    }
}
