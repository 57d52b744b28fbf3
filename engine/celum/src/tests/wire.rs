//! The published examples, and the ways in which tenants may differ from them.

use serde_json::{Value, json};

use super::{asset, with_values};
use crate::changes::changes;
use crate::filter::{Filter, Matcher, Operator, SearchType};
use crate::wire::{
    Asset, AssetType, Availability, Collection, ErrorBody, FieldEntry, FieldKind, Page,
    StatedAvailability, read_instant,
};

fn read<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).unwrap()
}

#[test]
fn an_asset_is_read_with_all_its_parts() {
    let value = with_values(
        asset(55, 3, "hall-7.tif", b"abc"),
        &[(650, "LOCALIZED_TEXT", json!({"de": "Halle"}))],
    );
    let asset: Asset = read(value);
    assert_eq!(
        (asset.id, asset.type_id, asset.current_version.id),
        (55, Some(12), 3)
    );
    assert_eq!(asset.value(650).unwrap()["de"], "Halle");
    assert_eq!(asset.value(1), None);
    assert_eq!(
        asset.parent_paths[0].path_segments[0].collection_name["de"],
        "Marke"
    );
    assert!(asset.creation.date.is_some() && asset.current_version.creation.date.is_some());
}

#[test]
fn explicit_nulls_mean_absent() {
    let mut value = asset(55, 3, "x.tif", b"");
    for member in [
        "name",
        "creation",
        "availability",
        "parentIds",
        "parentPaths",
        "informationFieldValueSets",
        "typeId",
    ] {
        value[member] = Value::Null;
    }
    for member in [
        "filename",
        "filesize",
        "fileChecksum",
        "fileCategory",
        "creation",
    ] {
        value["currentVersion"][member] = Value::Null;
    }
    let asset: Asset = read(value);
    assert!(asset.name.is_empty() && asset.parent_ids.is_empty());
    let page: Page<Collection> = read(
        json!({"hasNext": null, "content": [{"id": 1, "name": null, "validationLevel": null}]}),
    );
    assert!(!page.has_next && page.content[0].name.is_empty());
    let empty: Page<Collection> = read(json!({"content": null}));
    assert!(empty.content.is_empty());
}

#[test]
fn unknown_members_and_enum_values_lose_nothing_else() {
    let mut value = asset(55, 3, "x.tif", b"abc");
    value["sparkle"] = json!({"a": [1]});
    value["releaseStatus"] = json!("HALF_RELEASED");
    value["availability"] = json!({"type": "LUNAR", "phase": 3});
    value["currentVersion"]["fileCategory"] = json!("SMELL");
    let asset: Asset = read(value.clone());
    assert_eq!(asset.id, 55);
    assert_eq!(
        asset.availability,
        Some(StatedAvailability::Other(value["availability"].clone()))
    );
    let kind: AssetType = read(super::asset_type());
    let fields = &kind.information_field_sets[0].information_fields;
    assert_eq!(fields.last().unwrap().kind, FieldKind::Other);
}

#[test]
fn availability_is_read_and_written_as_an_object() {
    let dated =
        json!({"type": "DATED", "from": "2026-01-01T00:00:00Z", "to": "2026-12-31T23:59:59Z"});
    let known: Availability = read(dated.clone());
    assert_eq!(serde_json::to_value(&known).unwrap(), dated);
    let direct = Availability::Direct { available: true };
    assert_eq!(
        serde_json::to_value(direct).unwrap(),
        json!({"type": "DIRECT", "available": true})
    );
}

#[test]
fn dates_are_read_as_text_with_or_without_zone_and_as_milliseconds() {
    let expected = "2026-03-01T08:30:00Z".parse().unwrap();
    for spelled in [
        json!("2026-03-01T08:30:00Z"),
        json!("2026-03-01T09:30:00+01:00"),
        json!("2026-03-01T08:30:00"),
        json!(1_772_353_800_000_i64),
    ] {
        assert_eq!(read_instant(&spelled), Some(expected), "{spelled}");
    }
    assert_eq!(read_instant(&json!("soon")), None);
    let mut value = asset(55, 3, "x.tif", b"abc");
    value["creation"]["date"] = json!("soon");
    let asset: Asset = read(value);
    assert_eq!(
        (asset.creation.date, asset.creation.user_id),
        (None, Some(super::ME))
    );
}

#[test]
fn negative_bounds_bound_nothing() {
    let kind: AssetType = read(
        json!({"id": 1, "name": "t", "informationFieldSets": [{"informationFields":
        [{"id": 2, "name": "f", "type": "TEXT", "maxLength": -1, "minLength": 0, "maxSelections": null}]}]}),
    );
    let field = &kind.information_field_sets[0].information_fields[0];
    assert_eq!(
        (field.min_length, field.max_length, field.max_selections),
        (Some(0), None, None)
    );
}

#[test]
fn error_bodies_are_read_whatever_their_faults_are() {
    let body: ErrorBody = read(
        json!({"code": "VALIDATION", "message": null, "entity": {"id": 5}, "faults": [
            {"type": "INFORMATION_FIELD", "code": "REQUIRED", "message": "Value missing", "informationFieldId": 643},
            {"type": "LOCALIZED_ARGUMENT", "code": "LENGTH", "message": "Too long", "argument": "name", "locale": "de"},
            {"type": "WEATHER", "code": "RAIN", "message": "It rains"},
        ]}),
    );
    assert_eq!(body.faults.len(), 3);
    assert_eq!(body.faults[0].information_field_id, Some(643));
    assert_eq!(body.faults[1].locale.as_deref(), Some("de"));
}

#[test]
fn filters_are_written_as_the_api_names_them() {
    let filter = Filter::Logical {
        operator: Operator::And,
        filters: vec![
            Filter::Parent {
                values: vec![4711],
                recursive: true,
                matcher: Matcher::Any,
            },
            Filter::IdRange { from: 0 },
            Filter::TextField {
                information_field_id: 643,
                text: "SKU-1".to_owned(),
                search_type: SearchType::Phrase,
            },
        ],
    };
    let expected = json!({"type": "ASSET_LOGICAL", "operator": "AND", "filters": [
        {"type": "ASSET_PARENT_ID", "values": [4711], "recursive": true, "matcher": "ANY"},
        {"type": "ASSET_ID_RANGE", "from": 0},
        {"type": "ASSET_TEXT_INFORMATION_FIELD", "informationFieldId": 643, "text": "SKU-1", "searchType": "phrase"},
    ]});
    assert_eq!(serde_json::to_value(filter).unwrap(), expected);
}

fn entry(kind: FieldKind, value: Value) -> FieldEntry {
    FieldEntry { id: 1, kind, value }
}

#[test]
fn each_type_changes_by_its_own_operation() {
    use FieldKind as K;
    let set = |value: Value| json!({"op": "SET", "value": value});
    let cases = [
        (K::Text, json!("SKU-2"), set(json!("SKU-2"))),
        (K::TextArea, json!("a\nb"), set(json!("a\nb"))),
        (
            K::LocalizedText,
            json!({"de": "Halle 7"}),
            json!({"op": "MODIFY", "set": {"de": "Halle 7"}}),
        ),
        (
            K::LocalizedTextArea,
            json!({"en": "x"}),
            json!({"op": "MODIFY", "set": {"en": "x"}}),
        ),
        (K::Number, json!(3), set(json!(3))),
        (K::Double, json!(1.5), set(json!(1.5))),
        (K::Boolean, json!(false), set(json!(false))),
        (
            K::Date,
            json!("2026-01-01T00:00:00Z"),
            set(json!("2026-01-01T00:00:00Z")),
        ),
        (K::Dropdown, json!(2), set(json!(2))),
        (K::CollectionReference, json!([9001]), set(json!([9001]))),
        (K::TagReference, json!([9002]), set(json!([9002]))),
    ];
    for (kind, wanted, change) in cases {
        let changed = changes(&[entry(kind, wanted)], |_| None);
        assert_eq!(changed[0].value, change, "{kind:?}");
    }
}

#[test]
fn what_is_already_so_is_no_change() {
    use FieldKind as K;
    let cases = [
        (K::Text, json!("a"), json!("a")),
        // A language that the draft does not name stays as it is.
        (
            K::LocalizedText,
            json!({"de": "Halle"}),
            json!({"de": "Halle", "fr": "Salle"}),
        ),
        (K::Number, json!(3), json!(3.0)),
        (
            K::Date,
            json!("2026-01-01T00:00:00Z"),
            json!("2026-01-01T13:37:00.000+00:00"),
        ),
        (
            K::Date,
            json!("2026-03-01T00:00:00Z"),
            json!(1_772_353_800_000_i64),
        ),
        (
            K::CollectionReference,
            json!([9002, 9001]),
            json!([{"id": 9001, "name": {"en": "Spring"}}, {"id": 9002}]),
        ),
        (K::TagReference, json!([]), Value::Null),
        (K::Dropdown, json!(1), json!(1)),
    ];
    for (kind, wanted, now) in cases {
        let changed = changes(&[entry(kind, wanted)], |_| Some(now.clone()));
        assert!(changed.is_empty(), "{kind:?}: {changed:?}");
    }
    let other = changes(
        &[entry(K::Number, json!(9_007_199_254_740_993_i64))],
        |_| Some(json!(9_007_199_254_740_992_i64)),
    );
    assert_eq!(other.len(), 1, "large whole numbers are compared exactly");
}
