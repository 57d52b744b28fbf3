//! Everything on both sides, listed page by page: at once, or beside looks at what changed.
//!
//! Of a hundred thousand pairs that takes minutes, in which nobody would decide about what people do. So whoever remembers what
//! it saw lists beside its looks, begins the looks after that from the list, and asks from when it began.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, timeout};
use tokio_util::task::AbortOnDropHandle;
use windlass_core::{AssetPath, Cursor, Error, Kind, Library, Query, Result, Scope, Source};

use super::Sync;
use super::seen::{Asked, Files, Seen, newest};
use crate::observe::{Event, Observer, Silent};
use crate::plan::PlanSummary;
use crate::since::Since;

/// How long a look waits for a list that has just begun. What is small is listed by then.
const AT_ONCE: Duration = Duration::from_secs(1);

/// How soon somebody looks whether a list is there.
const LOOKS_EVERY: SignedDuration = SignedDuration::from_secs(15);

/// Lists both sides of a flow.
#[derive(Clone, Debug)]
pub(super) struct Lister {
    files: Arc<dyn Source>,
    library: Arc<dyn Library>,
    root: AssetPath,
    query: Query,
    observer: Arc<dyn Observer>,
}

/// A list that is under way. Dropped, it ends.
#[derive(Debug)]
pub(super) struct Listing(AbortOnDropHandle<Result<Seen>>);

impl Sync {
    pub(super) fn lister(&self) -> Lister {
        Lister {
            files: Arc::clone(self.files()),
            library: Arc::clone(&self.library),
            root: self.options.root.clone(),
            query: self.options.query.clone(),
            observer: Arc::clone(&self.ingest.observer),
        }
    }

    /// Sees to it that a list that is under way is looked at once it is there, whoever rings.
    pub(super) fn wait_for_list(&self, summary: &mut PlanSummary) {
        if self.remembered.is_listing() {
            let soon = self.clock.now() + LOOKS_EVERY;
            summary.due = Some(summary.due.map_or(soon, |due| due.min(soon)));
        }
    }
}

impl Listing {
    /// Begins one, which nobody watches.
    pub(super) fn begin(lister: Lister, now: Timestamp, since: Since) -> Self {
        let lister = Lister {
            observer: Arc::new(Silent),
            ..lister
        };
        let listing = async move { lister.all(now, since).await };
        Listing(AbortOnDropHandle::new(tokio::spawn(listing)))
    }

    /// The list, if it is there at once.
    pub(super) async fn at_once(&mut self) -> Option<Result<Seen>> {
        let ended = timeout(AT_ONCE, &mut self.0).await.ok()?;
        Some(ended.unwrap_or_else(|error| Err(broken(error))))
    }

    /// The list, if it is there.
    pub(super) async fn ended(&mut self) -> Option<Result<Seen>> {
        match self.0.is_finished() {
            true => self.at_once().await,
            false => None,
        }
    }

    /// The list, once it is there.
    pub(super) async fn wait(self) -> Result<Seen> {
        self.0.await.unwrap_or_else(|error| Err(broken(error)))
    }
}

fn broken(error: tokio::task::JoinError) -> Error {
    Error::new(Kind::Unexpected, "a list ended abnormally").with_source(error)
}

impl Lister {
    /// Everything. `since`: up to when the library was known before.
    pub(super) async fn all(&self, now: Timestamp, mut since: Since) -> Result<Seen> {
        let began = Instant::now();
        since.look();
        let mut files = Files::new(self.files.capabilities().folds_names);
        let cursor = self.changes(&self.root, &mut files, None).await?;
        let (mut held, mut after) = (BTreeMap::new(), None);
        loop {
            let page = self.library.holdings(&self.query, after.as_ref()).await?;
            for one in page.holdings {
                if self.query.objection(&one).is_none() {
                    held.insert(one.asset.id.clone(), Arc::new(one));
                }
            }
            match page.next {
                Some(next) => after = Some(next),
                None => break,
            }
        }
        since.listed(newest(held.values().map(Arc::as_ref)), began.elapsed());
        Ok(Seen {
            files,
            cursor,
            since,
            held,
            whole_at: now,
            touched: None,
            asked: Asked::default(),
        })
    }

    /// Reads what a folder's list says, and answers where it stands then. A folder that is not there is no empty one: all
    /// its files would look removed.
    pub(super) async fn changes(
        &self,
        root: &AssetPath,
        files: &mut Files,
        from: Option<Cursor>,
    ) -> Result<Cursor> {
        let scope = Scope { root: root.clone() };
        let mut cursor = from;
        loop {
            let page = self.files.changes(&scope, cursor.as_ref()).await?;
            files.take(root, page.changes);
            self.observer.observe(Event::Listed {
                assets: files.by_id.len() as u64,
            });
            match page.more {
                true => cursor = Some(page.cursor),
                false => return Ok(page.cursor),
            }
        }
    }
}
