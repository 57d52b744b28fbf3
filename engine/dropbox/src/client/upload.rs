//! The routes that carry bytes up and make files of them.

use bytes::Bytes;
use serde_json::Value;
use windlass_core::{ContentHash, Error, Kind};
use windlass_http::{Body, Call, Client, Pieces, Repeat, Whole};

use super::{ANSWER_BYTES_MAX, Api, Routed, decode};
use crate::errors::{
    AppendBatchError, Explain, Failure, FinishError, NoError, SessionError, StartError, UploadError,
};
use crate::judge::call_error;
use crate::wire::{
    AppendArg, AppendBatchArg, AppendEntry, BatchResult, CommitInfo, Entry, FileMetadata,
    FinishArg, FinishBatchArg, Ignored, SessionCursor, SessionType, StartArg, StartBatchArg,
    Started, StartedBatch, UploadArg,
};

const APPEND_BATCH: &str = "files/upload_session/append_batch";

/// Why a batch of appends did nothing.
#[derive(Debug)]
pub(crate) enum BatchFailure {
    /// The service does not know the route.
    UnknownRoute,
    /// The service, or something before it, takes no request of that size.
    TooMuch(Error),
    /// Anything else.
    Failed(Failure<AppendBatchError>),
}

impl Api {
    /// A lane for calls that take the lock of one namespace: one at a time, and a lock on one namespace
    /// holds back no other.
    pub(crate) fn write_lane(&self) -> Client {
        self.commits.lane(1)
    }

    /// Uploads and commits a small file at once.
    pub(crate) async fn upload(
        &self,
        lane: &Client,
        commit: &CommitInfo,
        bytes: Bytes,
        content_hash: ContentHash,
    ) -> Routed<FileMetadata, UploadError> {
        let arg = UploadArg {
            commit,
            content_hash,
        };
        self.content(lane, "files/upload", &arg, bytes, Repeat::OnlyIfUnsent)
            .await
    }

    /// Starts a session without bytes.
    pub(crate) async fn start(&self, session_type: SessionType) -> Routed<Started, StartError> {
        let arg = StartArg {
            session_type,
            ..StartArg::default()
        };
        self.start_with(&arg, Bytes::new()).await
    }

    /// Starts a sequential session that holds these bytes and is closed.
    pub(crate) async fn start_closed(
        &self,
        bytes: Bytes,
        content_hash: ContentHash,
    ) -> Routed<Started, StartError> {
        let arg = StartArg {
            close: true,
            content_hash: Some(content_hash),
            ..StartArg::default()
        };
        self.start_with(&arg, bytes).await
    }

    async fn start_with(&self, arg: &StartArg, bytes: Bytes) -> Routed<Started, StartError> {
        // A session that nobody uses expires by itself.
        let (route, repeat) = ("files/upload_session/start", Repeat::Idempotent);
        self.content(&self.uploads, route, arg, bytes, repeat).await
    }

    /// Starts several sessions without bytes, 1 to 1,000.
    pub(crate) async fn start_batch(
        &self,
        session_type: SessionType,
        num_sessions: usize,
    ) -> Routed<StartedBatch, NoError> {
        let arg = StartBatchArg {
            session_type,
            num_sessions,
        };
        let route = "files/upload_session/start_batch";
        self.rpc(&self.uploads, route, &arg, Repeat::Idempotent)
            .await
    }

    /// Appends to one session. The hash is that of these bytes alone.
    pub(crate) async fn append(
        &self,
        cursor: SessionCursor<'_>,
        close: bool,
        bytes: Bytes,
        content_hash: ContentHash,
    ) -> Routed<Ignored, SessionError> {
        let arg = AppendArg {
            cursor,
            close,
            content_hash,
        };
        // The offset tells a second arrival from a first.
        let (route, repeat) = ("files/upload_session/append_v2", Repeat::Idempotent);
        self.content(&self.uploads, route, &arg, bytes, repeat)
            .await
    }

    /// Appends to many sessions, at most 1,000; the body is their bytes one after the other, and the hash
    /// is that of the body. Results are in the order of the entries, and as many.
    pub(crate) async fn append_batch(
        &self,
        entries: &[AppendEntry<'_>],
        body: Pieces,
        content_hash: ContentHash,
    ) -> Result<Vec<Entry<Ignored, SessionError>>, BatchFailure> {
        let failed = |error| BatchFailure::Failed(Failure::Call(error));
        let arg = AppendBatchArg {
            entries,
            content_hash,
        };
        let request = self.upload_request(APPEND_BATCH, &arg, Body::Pieces(body));
        let call = Call {
            route: APPEND_BATCH,
            request: request.map_err(failed)?,
            // As with single appends: what is there already says so.
            repeat: Repeat::Idempotent,
            authorize: true,
        };
        let lane = self.uploads.counted(true);
        let answer = lane.call_whole(call, ANSWER_BYTES_MAX).await;
        let reply = match answer.map_err(failed)? {
            Whole::Success(reply) => reply,
            Whole::Refused(reply) => {
                let unknown = String::from_utf8_lossy(&reply.body).contains("Unknown API function");
                let status = reply.status.as_u16();
                if status == 404 || (status == 400 && unknown) {
                    return Err(BatchFailure::UnknownRoute);
                }
                // A missing scope also comes as 400; it is no matter of size.
                let error = call_error(&self.name, APPEND_BATCH, &reply)
                    .filter(|error| error.kind() == Kind::InvalidInput);
                return Err(match error {
                    Some(error) => BatchFailure::TooMuch(error),
                    None => BatchFailure::Failed(self.refused(APPEND_BATCH, reply)),
                });
            }
        };
        let result: BatchResult = decode(APPEND_BATCH, &reply).map_err(failed)?;
        entries_of(APPEND_BATCH, result, entries.len()).map_err(failed)
    }

    /// Makes a file of a session.
    pub(crate) async fn finish(
        &self,
        lane: &Client,
        cursor: SessionCursor<'_>,
        commit: &CommitInfo,
    ) -> Routed<FileMetadata, FinishError> {
        let arg = FinishArg { cursor, commit };
        let (route, repeat) = ("files/upload_session/finish", Repeat::OnlyIfUnsent);
        self.content(lane, route, &arg, Bytes::new(), repeat).await
    }

    /// Makes files of closed sessions, at most 1,000. Results are in the order of the entries, and as
    /// many.
    pub(crate) async fn finish_batch(
        &self,
        lane: &Client,
        entries: Vec<FinishArg<'_>>,
    ) -> Routed<Vec<Entry<FileMetadata, FinishError>>, NoError> {
        let route = "files/upload_session/finish_batch_v2";
        let asked = entries.len();
        let arg = FinishBatchArg { entries };
        let result = self.rpc(lane, route, &arg, Repeat::OnlyIfUnsent).await?;
        // An answer that cannot be read is as good as lost: the commits may have happened.
        entries_of(route, result, asked).map_err(|error| {
            Failure::Call(
                Error::new(Kind::Ambiguous, "the answer cannot be read")
                    .with_context("route", route)
                    .with_source(error),
            )
        })
    }
}

/// The results of a batch, one for each entry that was asked for.
fn entries_of<T: serde::de::DeserializeOwned, E: Explain>(
    route: &'static str,
    result: BatchResult,
    asked: usize,
) -> Result<Vec<Entry<T, E>>, Error> {
    if result.entries.len() != asked {
        return Err(Error::new(
            Kind::Unexpected,
            "Dropbox answered another number of entries",
        )
        .with_context("route", route)
        .with_context("asked", asked)
        .with_context("answered", result.entries.len()));
    }
    let entries = result.entries.into_iter().map(|entry: Value| {
        Entry::decode(entry).map_err(|error| {
            Error::new(
                Kind::Unexpected,
                "an entry of Dropbox's answer cannot be read",
            )
            .with_context("route", route)
            .with_source(error)
        })
    });
    entries.collect()
}
