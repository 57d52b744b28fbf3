//! The events that the tenant POSTs: what a change was, and the asset with all that is known of it.
//!
//! Of the declared events those about assets are sent: created, updated, added, removed, deleted, and versions added,
//! activated and deleted. Each is a request of its own, in the order of the changes. How an address is registered
//! and whether it is asked first is nobody's promise, so it is not.

use axum::http::{Request, header};
use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use url::Url;
use windlass_core::{Error, Kind, Result};

use super::Celum;
use super::assets::whole;
use super::model::Asset;
use super::render::Render;
use super::state::{Event, State};
use crate::bell::{Bell, DEBOUNCE, Deliver};
use crate::blob::lock;

/// What fault rules call it.
const ROUTE: &str = "event";

/// Somebody who is told.
#[derive(Debug)]
pub(super) struct Listener {
    /// Bounded by the changes that are made while the address does not answer.
    events: UnboundedSender<Value>,
    _ringing: AbortOnDropHandle<()>,
}

impl Celum {
    /// Registers an address for events, as an administrator does. They are sent from a task of their own until the tenant
    /// is dropped.
    ///
    /// Errors: `InvalidInput` for an address that no request can go to.
    pub fn register_events(&self, url: &Url, deliver: Deliver) -> Result<()> {
        if let Err(error) = request(url.as_str(), &Value::Null) {
            let message = format!("events cannot be sent to {url}");
            return Err(Error::new(Kind::InvalidInput, message).with_source(error));
        }
        let (events, received) = unbounded_channel();
        let bell = Bell::new(deliver, self.faults.clone(), ROUTE);
        let ringing = tokio::spawn(ring(bell, url.clone(), received));
        lock(&self.listeners).push(Listener {
            events,
            _ringing: AbortOnDropHandle::new(ringing),
        });
        Ok(())
    }

    /// Tells all listeners of a change that is about to be made.
    pub(super) fn tell(&self, state: &State, event: &Event) {
        let mut listeners = lock(&self.listeners);
        listeners.retain(|listener| !listener.events.is_closed());
        if listeners.is_empty() {
            return;
        }
        for event in self.events_of(state, event) {
            for listener in &*listeners {
                if listener.events.send(event.clone()).is_err() {
                    tracing::debug!("a listener for events is gone");
                }
            }
        }
    }

    fn events_of(&self, state: &State, event: &Event) -> Vec<Value> {
        let users = state.tenant.as_ref().map(|tenant| &tenant.users);
        let Some(user) = users.and_then(|users| users.first()) else {
            return Vec::new();
        };
        let render = Render {
            celum: self,
            state,
            user,
            now: self.now(),
        };
        let shown = |asset: &Asset| render.asset(asset, &whole());
        match event {
            Event::AssetRemoved { id } => {
                let gone = state.assets.get(id).map(|asset| shown(asset));
                let gone = gone.map(|asset| json!({"type": "ASSET_DELETED", "entity": asset}));
                self.dated(gone.into_iter().collect(), 0)
            }
            Event::Asset { asset, .. } => {
                let events = match state.assets.get(&asset.id) {
                    None => vec![json!({"type": "ASSET_CREATED", "entity": shown(asset)})],
                    Some(before) => differences(before, asset, &shown),
                };
                let trail = asset.modification.as_ref().unwrap_or(&asset.creation);
                self.dated(events, trail.user)
            }
            _ => Vec::new(),
        }
    }

    /// The members that all events have.
    fn dated(&self, mut events: Vec<Value>, user: u64) -> Vec<Value> {
        for event in &mut events {
            event["date"] = json!(self.now().to_string());
            event["userId"] = json!(user);
        }
        events
    }
}

/// What happened to an asset, one event a kind of change.
fn differences(before: &Asset, now: &Asset, shown: &impl Fn(&Asset) -> Value) -> Vec<Value> {
    let mut events = Vec::new();
    for to in now.parents.iter().filter(|id| !before.parents.contains(id)) {
        events.push(json!({"type": "ASSET_ADDED", "entity": shown(now), "toCollectionId": to}));
    }
    for from in before.parents.iter().filter(|id| !now.parents.contains(id)) {
        events
            .push(json!({"type": "ASSET_REMOVED", "entity": shown(now), "fromCollectionId": from}));
    }
    let is_new = |id: u64| before.version(id).is_none();
    if now.versions.iter().any(|version| is_new(version.id)) {
        events.push(json!({"type": "ASSET_VERSION_ADDED", "asset": shown(now),
            "assetBefore": shown(before)}));
    }
    let is_gone = |id: u64| now.version(id).is_none();
    if before.versions.iter().any(|version| is_gone(version.id)) {
        events.push(json!({"type": "ASSET_VERSION_DELETED", "asset": shown(now)}));
    }
    if before.current != now.current {
        events.push(
            json!({"type": "ASSET_VERSION_ACTIVATED", "asset": shown(now),
            "oldVersionId": before.current, "newVersionId": now.current}),
        );
    }
    events.extend(updated(before, now, shown));
    events
}

/// The event of an edit, if there was one.
fn updated(before: &Asset, now: &Asset, shown: &impl Fn(&Asset) -> Value) -> Option<Value> {
    let comment = |asset: &Asset| asset.lock.as_ref().map(|lock| lock.comment.clone());
    let changed = [
        ("name", before.name != now.name),
        ("typeId", before.type_id != now.type_id),
        ("availability", before.availability != now.availability),
        ("lock", comment(before) != comment(now)),
    ];
    let changed = changed.into_iter().filter(|(_, is)| *is);
    let members: Vec<&str> = changed.map(|(member, _)| member).collect();
    let ids = before.values.keys().chain(now.values.keys());
    let mut fields: Vec<u64> = ids
        .filter(|id| before.values.get(id) != now.values.get(id))
        .copied()
        .collect();
    fields.sort_unstable();
    fields.dedup();
    if members.is_empty() && fields.is_empty() {
        return None;
    }
    Some(json!({
        "type": "ASSET_UPDATED", "entity": shown(now), "entityBeforeUpdate": shown(before),
        "updatedFields": members, "updatedInformationFields": fields,
        "updatedFileProperties": [],
    }))
}

async fn ring(mut bell: Bell, url: Url, mut events: UnboundedReceiver<Value>) {
    while let Some(event) = events.recv().await {
        sleep(DEBOUNCE).await;
        let mut waiting = vec![event];
        while let Ok(event) = events.try_recv() {
            waiting.push(event);
        }
        for event in waiting {
            // The address was tried when it was registered.
            if let Ok(request) = request(url.as_str(), &event) {
                bell.ring(request).await;
            }
        }
    }
}

fn request(url: &str, event: &Value) -> axum::http::Result<Request<Bytes>> {
    Request::post(url)
        .header(header::CONTENT_TYPE, "application/json")
        .body(event.to_string().into())
}
