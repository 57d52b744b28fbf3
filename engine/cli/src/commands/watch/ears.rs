//! Listeners: each waits until something below a folder, or in a library, may have changed, and rings.
//!
//! A ring says nothing but "look". Where waiting fails, it is begun again after a pause, and meanwhile the flows are looked
//! at every so often. Where a listener stands is kept, so that what happened while nobody listened rings at the next
//! start.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use windlass_core::{
    AssetId, AssetPath, Cursor, Kind, Ledger, Library, Query, Result, Revision, Scope, Source,
};
use windlass_flow::Since;

use super::daemon::Event;
use super::notes;
use crate::config::{Config, Heard, Layered};
use crate::out::Out;
use crate::wiring::{Shared, Wiring};

/// How long one wait takes at most: what services let live without a word.
const LONGEST: Duration = Duration::from_secs(240);

/// The first pause after a failure; doubled up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_secs(2);
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// What is listened to.
#[derive(Clone, Debug, PartialEq)]
enum What {
    /// What is below a folder.
    Scope(Scope),
    /// What of a library is asked for, looked at so often.
    Query(Box<Query>, Duration),
}

/// One listener.
#[derive(Clone)]
pub(super) struct Ear {
    endpoint: String,
    what: What,
    /// For whom it rings.
    flows: Vec<String>,
}

/// What listeners need.
#[derive(Clone)]
pub(super) struct Room {
    pub(super) layered: Arc<Layered>,
    pub(super) shared: Arc<Shared>,
    pub(super) ledger: Arc<dyn Ledger>,
    pub(super) events: mpsc::Sender<Event>,
    pub(super) out: Out,
}

/// The listeners that flows need: one for each folder, whoever brings something in from there, and one for each query.
pub(super) fn ears(flows: &[String], config: &Config) -> Result<Vec<Ear>> {
    let mut ears: Vec<Ear> = Vec::new();
    for name in flows {
        let flow = config.flow(name)?;
        let what = match flow.heard(name) {
            Heard::Folder { root, .. } => What::Scope(Scope {
                root: AssetPath::new(root),
            }),
            Heard::Library(release) if super::rules::rules(name, config)?.on_ring.is_some() => {
                let query = release.common().query(name)?;
                What::Query(Box::new(query), config.watch.poll_of(config.whole(name)))
            }
            Heard::Library(_) => continue,
        };
        let endpoint = flow.hears_of(name);
        let is_same = |ear: &&mut Ear| ear.endpoint == endpoint && ear.what == what;
        match ears.iter_mut().find(is_same) {
            Some(ear) => ear.flows.push(name.clone()),
            None => ears.push(Ear {
                endpoint: endpoint.to_owned(),
                what,
                flows: vec![name.clone()],
            }),
        }
    }
    Ok(ears)
}

impl Ear {
    /// Listens until it is dropped.
    pub(super) async fn listen(self, room: Room) {
        let mut pause = PAUSE_MIN;
        loop {
            let began = tokio::time::Instant::now();
            let Err(error) = self.attend(&room).await;
            self.tell(&room, Event::Deaf).await;
            if error.kind() == Kind::Unsupported {
                // Nobody rings there, and looking every so often is all there is.
                return;
            }
            let endpoint = &self.endpoint;
            tracing::warn!(endpoint, error = %error.chain(), "changes are not heard of for a while");
            if began.elapsed() > PAUSE_MAX {
                pause = PAUSE_MIN;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn attend(&self, room: &Room) -> Result<Infallible> {
        let wiring = Wiring::beside(&room.layered, room.out, Arc::clone(&room.shared));
        let connected = wiring
            .endpoint(&self.endpoint, Some(room.ledger.as_ref()))
            .await?;
        match (&self.what, connected.library) {
            (What::Scope(scope), _) => self.wait(room, scope, connected.source.as_ref()).await,
            (What::Query(query, every), Some(library)) => {
                self.look(room, library.as_ref(), query, *every).await
            }
            (What::Query(..), None) => Err(unsupported()),
        }
    }

    /// Waits at a source that can be waited for.
    async fn wait(&self, room: &Room, scope: &Scope, source: &dyn Source) -> Result<Infallible> {
        if !source.capabilities().rings {
            return Err(unsupported());
        }
        let kept = notes::heard(room.ledger.as_ref(), &self.endpoint, scope).await?;
        let mut cursor = match kept {
            Some(cursor) => cursor,
            None => self.catch_up(room, scope, source).await?,
        };
        self.tell(room, Event::Heard).await;
        loop {
            let stay_away = match source.wait(scope, &cursor, LONGEST).await {
                Ok(waited) => {
                    if waited.changed {
                        cursor = self.catch_up(room, scope, source).await?;
                    }
                    waited.stay_away
                }
                Err(error) if error.kind() == Kind::CursorReset => {
                    cursor = self.catch_up(room, scope, source).await?;
                    None
                }
                Err(error) => return Err(error),
            };
            if let Some(stay_away) = stay_away {
                tokio::time::sleep(stay_away).await;
            }
        }
    }

    /// Takes note of where the listing stands, and rings. In this order: whoever looks now sees all that was before.
    async fn catch_up(&self, room: &Room, scope: &Scope, source: &dyn Source) -> Result<Cursor> {
        let cursor = source.latest(scope).await?;
        notes::hear(room.ledger.as_ref(), &self.endpoint, scope, &cursor).await?;
        self.tell(room, Event::Ring).await;
        Ok(cursor)
    }

    /// Looks at a library every so often, and rings when what changed lately is not what it was.
    async fn look(
        &self,
        room: &Room,
        library: &dyn Library,
        query: &Query,
        every: Duration,
    ) -> Result<Infallible> {
        let mut since = Since::new(Timestamp::now());
        let mut known = changed(library, query, since.look()).await?;
        self.tell(room, Event::Heard).await;
        loop {
            since.saw(known.values().filter_map(|(changed, _)| *changed).max());
            tokio::time::sleep(every).await;
            let from = since.look();
            let now = changed(library, query, from).await?;
            known.retain(|_, (changed, _)| changed.is_none_or(|changed| changed >= from));
            if now != known {
                self.tell(room, Event::Ring).await;
            }
            known = now;
        }
    }

    async fn tell(&self, room: &Room, event: impl Fn(String) -> Event) {
        for flow in &self.flows {
            // Nobody takes events any more where the daemon ends.
            drop(room.events.send(event(flow.clone())).await);
        }
    }
}

type Changed = BTreeMap<AssetId, (Option<Timestamp>, Revision)>;

async fn changed(library: &dyn Library, query: &Query, since: Timestamp) -> Result<Changed> {
    let mut all = BTreeMap::new();
    let mut cursor = None;
    loop {
        let page = library.changed(query, since, cursor.as_ref()).await?;
        for held in page.holdings {
            all.insert(held.asset.id, (held.changed, held.asset.revision));
        }
        match page.next {
            Some(next) => cursor = Some(next),
            None => return Ok(all),
        }
    }
}

fn unsupported() -> windlass_core::Error {
    windlass_core::Error::new(Kind::Unsupported, "nobody rings there")
}
