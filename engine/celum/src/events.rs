//! What CELUM says when it rings: an event, and the assets that it is about.
//!
//! Events are hints: they may be lost, doubled, late or forged, so whoever gets one asks for the asset and believes that.
//! Two senders are read: the callbacks that the Content API declares (`{"type":"ASSET_UPDATED","entity":{"id":55},…}`,
//! where some have `asset` or `assetId` in place of `entity`), and the event dispatcher that sites on their own
//! servers run (`{"eventType":"AssetCreatedEvent","id":55,…}`). What is not known hints at nothing.

use serde_json::{Map, Value};
use windlass_core::{AssetId, Error, Kind, Result};

/// The longest body that is read: an event carries one asset with its fields, twice at most.
pub const BODY_BYTES_MAX: usize = 1 << 20;

/// The longest name of an event that is kept, in characters: it goes into logs.
const KIND_CHARS_MAX: usize = 100;

/// The events whose `entity` is an asset, or that name one in another way.
const OF_ASSETS: [&str; 12] = [
    "ASSET_CREATED",
    "ASSET_DELETED",
    "ASSET_RELEASED",
    "ASSET_UPDATED",
    "ASSET_ADDED",
    "ASSET_REMOVED",
    "ASSET_VERSION_ADDED",
    "ASSET_VERSION_ACTIVATED",
    "ASSET_VERSION_DELETED",
    "PREVIEW_CONVERSION",
    "EXTERNAL_REFERENCE_ADDED",
    "EXTERNAL_REFERENCE_DELETED",
];

/// The events whose `entity` is a relation between two assets.
const OF_RELATIONS: [&str; 2] = ["RELATION_CREATED", "RELATION_DELETED"];

/// What the event dispatcher's events about assets begin with.
const DISPATCHED: &str = "Asset";

/// Something that happened at the tenant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What, in the sender's word: `ASSET_UPDATED`, `AssetMetadataUpdatedEvent`.
    pub kind: String,
    /// The assets that it hints at, each once; none for what is not about assets, or not known.
    pub assets: Vec<AssetId>,
}

/// Reads an event.
///
/// Errors: `InvalidInput` for what is too long or no event.
pub fn read(body: &[u8]) -> Result<Event> {
    if body.len() > BODY_BYTES_MAX {
        return Err(refused(format!(
            "an event has at most {BODY_BYTES_MAX} bytes"
        )));
    }
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| refused("the event cannot be read").with_source(error))?;
    let Value::Object(event) = value else {
        return Err(refused("the event is no object"));
    };
    let named = |member: &str| event.get(member).and_then(Value::as_str);
    let (kind, assets) = match (named("type"), named("eventType")) {
        (Some(kind), _) => (kind, declared(kind, &event)),
        (None, Some(kind)) => (kind, dispatched(kind, &event)),
        (None, None) => return Err(refused("the event does not say what happened")),
    };
    let mut ids: Vec<i64> = assets.into_iter().flatten().filter(|id| *id > 0).collect();
    ids.sort_unstable();
    ids.dedup();
    Ok(Event {
        kind: kind.chars().take(KIND_CHARS_MAX).collect(),
        assets: ids
            .into_iter()
            .map(|id| AssetId::new(id.to_string()))
            .collect(),
    })
}

/// The assets of an event that the API declares.
fn declared(kind: &str, event: &Map<String, Value>) -> Vec<Option<i64>> {
    if OF_ASSETS.contains(&kind) {
        // Which of them carries the asset differs from event to event, and may from release to release.
        let whole = ["entity", "asset"].map(|member| id_in(event.get(member)));
        let alone = number(event.get("assetId"));
        return whole.into_iter().chain([alone]).collect();
    }
    let relation = event.get("entity").filter(|_| OF_RELATIONS.contains(&kind));
    let ends = ["sourceAsset", "targetAsset"].into_iter();
    ends.map(|end| id_in(relation?.get(end))).collect()
}

/// The asset of an event that the dispatcher sends.
fn dispatched(kind: &str, event: &Map<String, Value>) -> Vec<Option<i64>> {
    match kind.starts_with(DISPATCHED) {
        true => vec![number(event.get("id"))],
        false => Vec::new(),
    }
}

fn id_in(entity: Option<&Value>) -> Option<i64> {
    number(entity?.get("id"))
}

/// A number, also where it is written as a text, as query strings and old senders do.
fn number(value: Option<&Value>) -> Option<i64> {
    match value? {
        Value::String(text) => text.trim().parse().ok(),
        other => other.as_i64(),
    }
}

fn refused(message: impl Into<String>) -> Error {
    Error::new(Kind::InvalidInput, message.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn hints(event: Value) -> Vec<String> {
        let event = read(event.to_string().as_bytes()).unwrap();
        let ids = event.assets.iter();
        ids.map(|id| id.as_str().to_owned()).collect()
    }

    #[test]
    fn each_event_about_an_asset_hints_at_it_wherever_it_names_it() {
        for kind in OF_ASSETS {
            let base = json!({"type": kind, "userId": 2, "date": "2026-03-01T08:00:00Z"});
            for (member, value) in [
                ("entity", json!({"id": 55, "name": "Hall 7"})),
                ("asset", json!({"id": 55})),
                ("assetId", json!(55)),
                ("assetId", json!("55")),
            ] {
                let mut event = base.clone();
                event[member] = value;
                assert_eq!(hints(event), ["55"], "{kind} {member}");
            }
        }
    }

    #[test]
    fn a_relation_hints_at_both_its_ends_and_a_collection_at_nothing() {
        for kind in OF_RELATIONS {
            let relation =
                json!({"id": 3, "sourceAsset": {"id": 9, "name": "x"}, "targetAsset": {"id": 7}});
            assert_eq!(hints(json!({"type": kind, "entity": relation})), ["7", "9"]);
        }
        for kind in [
            "COLLECTION_CREATED",
            "COLLECTION_DELETED",
            "COLLECTION_UPDATED",
            "COLLECTION_MOVED",
            "ASSET_TURNED_BLUE",
            "",
        ] {
            let event = json!({"type": kind, "entity": {"id": 55}});
            assert!(hints(event).is_empty(), "{kind}");
        }
    }

    #[test]
    fn the_event_dispatcher_is_understood() {
        let updated = json!({"eventType": "AssetMetadataUpdatedEvent", "id": "55", "name": "Hall 7",
            "fileName": "hall-7.tif"});
        assert_eq!(hints(updated), ["55"]);
        let available = json!({"eventType": "AssetStatusAvailable", "id": 55});
        assert_eq!(hints(available), ["55"]);
        let node = json!({"eventType": "NodeCreatedEvent", "id": 55});
        assert!(hints(node).is_empty());
    }

    #[test]
    fn ids_that_no_asset_has_are_left_out() {
        for id in [json!(0), json!(-4), json!(1.5), json!(null), json!([55])] {
            let event = json!({"type": "ASSET_UPDATED", "entity": {"id": id}});
            assert!(hints(event).is_empty(), "{id}");
        }
    }

    #[test]
    fn what_is_no_event_or_too_long_is_refused() {
        let long = vec![b' '; BODY_BYTES_MAX + 1];
        for body in [
            &b""[..],
            b"{",
            b"[]",
            b"{}",
            br#"{"type":7}"#,
            br#"{"kind":"ASSET_UPDATED"}"#,
            b"\xff\xfe",
            &long,
        ] {
            assert_eq!(read(body).unwrap_err().kind(), Kind::InvalidInput);
        }
        let name = "x".repeat(5_000);
        let event = read(json!({"type": name}).to_string().as_bytes()).unwrap();
        assert_eq!(event.kind.len(), KIND_CHARS_MAX);
    }

    proptest! {
        #[test]
        fn no_body_stops_it(body: Vec<u8>) {
            let kind = read(&body).map(drop).map_err(|error| error.kind());
            prop_assert!(matches!(kind, Ok(()) | Err(Kind::InvalidInput)));
        }

        #[test]
        fn a_broken_event_never_hints_at_an_asset_that_was_not_named(at in 0_usize..70, byte: u8) {
            let whole = br#"{"type":"ASSET_VERSION_ADDED","asset":{"id":55},"assetBefore":{"id":55}}"#;
            let mut body = whole.to_vec();
            body[at] = byte;
            for body in [&body[..], &whole[..at]] {
                let hinted = read(body).map_or(0, |event| event.assets.len());
                prop_assert!(hinted <= 1);
            }
        }
    }
}
