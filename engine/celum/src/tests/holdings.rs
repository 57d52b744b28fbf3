//! What a library says of assets that tenants describe in their own ways, and what it asks them for.

use serde_json::{Value, json};
use windlass_core::{
    AssetId, AssetPath, Cursor, Finding, Holding, Kind, Library, Query, Usable, Value as FieldValue,
};

use super::{
    Tenant, asset, asset_type, collection, connect, ok, page, profile, refusal, with_values,
};
use crate::CelumProfile;

fn more(mut page: Value) -> Value {
    page["hasNext"] = json!(true);
    page
}

/// An asset with values whose fields come with names and types, as reads of one asset have them.
fn governed(values: &[(i64, &str, &str, Value)]) -> Value {
    let values: Vec<Value> = values
        .iter()
        .map(|(id, name, kind, value)| {
            json!({"type": kind, "field": {"id": id, "name": name, "type": kind}, "value": value})
        })
        .collect();
    let mut asset = asset(55, 1, "hall-7.tif", b"abc");
    asset["informationFieldValueSets"] = json!([{"id": 1, "informationFieldValues": values}]);
    asset
}

async fn consulted(tenant: &std::sync::Arc<Tenant>, profile: CelumProfile) -> Holding {
    let endpoint = connect(tenant, profile).await;
    let found = endpoint.consult(&[AssetId::new("55")]).await.unwrap();
    found.into_iter().next().unwrap().unwrap()
}

async fn told(asset: Value) -> Holding {
    let tenant = Tenant::new();
    tenant.on("GET assets/55", [ok(asset)]);
    consulted(&tenant, profile()).await
}

#[tokio::test]
async fn a_collection_that_nobody_sees_is_among_those_that_hold_an_asset() {
    let mut asset = asset(55, 1, "hall-7.tif", b"abc");
    let seen = told(asset.clone()).await.collections;
    let ids = asset["parentIds"].as_array_mut().unwrap();
    ids.push(json!(987));
    let hidden = AssetPath::new("/collection 987");
    assert!(!seen.is_empty() && !seen.contains(&hidden));
    assert_eq!(told(asset).await.collections, [seen, vec![hidden]].concat());
}

#[tokio::test]
async fn a_query_becomes_one_filter_and_asks_for_all_fields() {
    let tenant = Tenant::new();
    let mut second = asset_type();
    second["id"] = json!(13);
    second["name"] = json!("film");
    // Another field of the same name, of another type.
    second["informationFieldSets"] = json!([{"id": 3, "informationFields": [
        {"id": 743, "name": "sku", "type": "TEXT_AREA", "labels": {}},
        {"id": 651, "name": "pages", "type": "NUMBER", "labels": {}},
    ]}]);
    let listed = json!([{"id": 12, "name": "packshot"}, {"id": 13, "name": "film"}]);
    tenant
        .on("GET asset-types", [ok(listed)])
        .on("GET asset-types/13", [ok(second)])
        .on("POST assets/search", [ok(page(Vec::new()))]);
    let endpoint = connect(&tenant, profile()).await;
    let text = |text: &str| FieldValue::Text(text.to_owned());
    let query = Query {
        collection: AssetPath::new("/Brand"),
        asset_types: vec!["packshot".to_owned(), "film".to_owned()],
        fields: vec![
            ("sku".to_owned(), text("SKU-1")),
            ("pages".to_owned(), FieldValue::Number(8)),
            ("channel".to_owned(), text("druck")),
            ("title".to_owned(), text("Halle")),
            (
                "shot".to_owned(),
                FieldValue::Date("2026-03-01".parse().unwrap()),
            ),
            (
                "themes".to_owned(),
                FieldValue::References(vec!["Spring/Beach".to_owned()]),
            ),
        ],
    };
    endpoint.holdings(&query, None).await.unwrap();
    let asked = tenant.sent("POST assets/search")[0].json();
    let all = json!([{"type": "ALL_ASSET_INFORMATION_FIELDS"}]);
    assert_eq!(asked["inclusions"], all);
    let sku = json!({"type": "ASSET_LOGICAL", "operator": "OR", "filters": [
        {"type": "ASSET_TEXT_INFORMATION_FIELD", "informationFieldId": 643, "text": "SKU-1",
            "searchType": "phrase"},
        {"type": "ASSET_TEXT_AREA_INFORMATION_FIELD", "informationFieldId": 743,
            "text": "SKU-1", "searchType": "phrase"},
    ]});
    let wanted = json!({"type": "ASSET_LOGICAL", "operator": "AND", "filters": [
        {"type": "ASSET_PARENT_ID", "values": [4711], "recursive": true, "matcher": "ANY"},
        {"type": "ASSET_ID_RANGE", "from": 0},
        {"type": "ASSET_TYPE_ID", "values": [12, 13]},
        sku,
        {"type": "ASSET_NUMBER_INFORMATION_FIELD_EQUALITY", "informationFieldId": 651, "value": 8},
        {"type": "ASSET_DROPDOWN_INFORMATION_FIELD_EQUALITY", "informationFieldId": 655,
            "value": 0},
        {"type": "ASSET_DATE_INFORMATION_FIELD_RANGE", "informationFieldId": 661,
            "from": "2026-02-28T00:00:00Z", "to": "2026-03-03T00:00:00Z"},
        {"type": "ASSET_COLLECTION_REFERENCE_INFORMATION_FIELD_EQUALITY",
            "informationFieldId": 660, "value": 9004},
    ]});
    assert_eq!(asked["filter"], wanted);
}

#[tokio::test]
async fn holdings_go_on_after_the_last_id() {
    let tenant = Tenant::new();
    let placeholder = {
        let mut asset = asset(4, 1, "later.tif", b"");
        asset["currentVersion"]["fileCategory"] = json!("PLACEHOLDER");
        asset
    };
    tenant.on(
        "POST assets/search",
        [
            ok(more(page(vec![asset(3, 1, "a.tif", b"a"), placeholder]))),
            ok(page(vec![
                asset(4, 1, "later.tif", b""),
                asset(9, 1, "b.tif", b"b"),
            ])),
            ok(page(vec![
                asset(9, 1, "b.tif", b"b"),
                asset(5, 1, "c.tif", b"c"),
            ])),
        ],
    );
    let endpoint = connect(&tenant, profile()).await;
    let query = Query::default();
    let first = endpoint.holdings(&query, None).await.unwrap();
    let files: Vec<bool> = first.holdings.iter().map(|one| one.has_file).collect();
    assert_eq!(files, [true, false]);
    assert_eq!(first.next, Some(Cursor::new("4")));
    let second = endpoint
        .holdings(&query, first.next.as_ref())
        .await
        .unwrap();
    assert_eq!(second.holdings.len(), 1);
    assert_eq!(second.next, None);
    let asked = tenant.sent("POST assets/search")[1].json();
    assert_eq!(
        asked["filter"],
        json!({"type": "ASSET_ID_RANGE", "from": 4})
    );
    let error = endpoint.holdings(&query, None).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Unexpected);
}

#[tokio::test]
async fn what_changed_is_searched_by_all_dates_and_walked_by_id() {
    let tenant = Tenant::new();
    let mut edited = asset(4, 2, "b.tif", b"b");
    edited["modification"] = json!({"date": "2026-03-02T08:00:00Z", "userId": 2});
    edited["currentVersion"]["creation"] = json!({"date": "2026-03-01T09:00:00Z"});
    let mut versioned = asset(9, 2, "c.tif", b"c");
    versioned["modification"] = json!(null);
    versioned["currentVersion"]["creation"] = json!({"date": "2026-03-03T09:00:00Z"});
    tenant.on(
        "POST assets/search",
        [ok(more(page(vec![edited]))), ok(page(vec![versioned]))],
    );
    let endpoint = connect(&tenant, profile()).await;
    let query = Query {
        collection: AssetPath::new("/Brand"),
        ..Query::default()
    };
    let since = "2026-03-01T08:00:00Z".parse().unwrap();
    let first = endpoint.changed(&query, since, None).await.unwrap();
    let second = endpoint
        .changed(&query, since, first.next.as_ref())
        .await
        .unwrap();
    assert_eq!(second.next, None);
    let dates = [&first, &second].map(|page| page.holdings[0].changed.unwrap().to_string());
    assert_eq!(dates, ["2026-03-02T08:00:00Z", "2026-03-03T09:00:00Z"]);
    let from = "2026-03-01T08:00:00Z";
    let changed = json!({"type": "ASSET_LOGICAL", "operator": "OR", "filters": [
        {"type": "ASSET_MODIFICATION_DATE_RANGE", "from": from},
        {"type": "ASSET_VERSIONED_DATE_RANGE", "from": from},
        {"type": "ASSET_CREATION_DATE_RANGE", "from": from},
    ]});
    for (seen, id) in tenant.sent("POST assets/search").iter().zip([0, 4]) {
        let asked = seen.json();
        assert_eq!(asked["sorting"], json!([{"field": "id", "order": "ASC"}]));
        assert_eq!(asked["pagination"]["page"], 1);
        let below = json!({"type": "ASSET_PARENT_ID", "values": [4711], "recursive": true,
            "matcher": "ANY"});
        let after = json!({"type": "ASSET_ID_RANGE", "from": id});
        assert_eq!(
            asked["filter"],
            json!({"type": "ASSET_LOGICAL", "operator": "AND",
                "filters": [below, after, changed]})
        );
    }
}

#[tokio::test]
async fn names_that_the_tenant_left_out_are_asked_for_once() {
    let tenant = Tenant::new();
    let entries =
        json!([{"id": 9001, "name": {"en": "Spring"}}, {"id": 9002}, {"id": 9003, "name": null}]);
    tenant
        .on(
            "GET assets/55",
            [ok(governed(&[
                (660, "themes", "COLLECTION_REFERENCE", entries),
                (
                    665,
                    "keywords",
                    "TAG_REFERENCE",
                    json!([{"id": 9001, "name": "Spring"}, {"id": 9404}]),
                ),
            ]))],
        )
        .on(
            "GET collections?ids=9002",
            [ok(page(vec![
                collection(9002, Some(9000), "Summer"),
                collection(9003, Some(9002), "Beach"),
            ]))],
        )
        .on("GET collections?ids=9404", [ok(page(Vec::new()))]);
    let endpoint = connect(&tenant, profile()).await;
    for _ in 0..2 {
        let id = AssetId::new("55");
        let found = endpoint.consult(&[id]).await.unwrap().remove(0).unwrap();
        let names = ["Spring", "Summer", "Beach"].map(str::to_owned).to_vec();
        assert_eq!(found.value("themes"), Some(&FieldValue::References(names)));
        // Half of the keywords would be other keywords.
        assert_eq!(found.value("keywords"), None);
        assert_eq!(found.findings.len(), 1);
        assert_eq!(found.findings[0].subject, "keywords");
        assert!(found.findings[0].message.contains("9404"));
    }
    let asked: Vec<String> = tenant
        .sent("GET collections")
        .into_iter()
        .map(|seen| seen.query)
        .filter(|query| query.contains("ids="))
        .collect();
    let both = ["size=200&ids=9002&ids=9003&ids=9404", "size=200&ids=9404"];
    assert_eq!(asked, both);
}

#[tokio::test]
async fn every_type_of_value_becomes_a_statement() {
    let options =
        json!({"de": [{"index": 0, "label": "Druck"}], "en": [{"index": 1, "label": "Online"}]});
    let mut asset = governed(&[
        (643, "sku", "TEXT", json!("SKU-1")),
        (644, "mark", "TEXT", json!("")),
        (
            650,
            "title",
            "LOCALIZED_TEXT",
            json!({"de": "Halle", "en": null}),
        ),
        (651, "pages", "NUMBER", json!(8.0)),
        (652, "price", "DOUBLE", json!(2)),
        (655, "channel", "DROPDOWN", json!(0)),
        (661, "shot", "DATE", json!("2026-03-01T23:30:00+05:00")),
        (670, "licensed", "BOOLEAN", json!(false)),
        (671, "licence", "TEXT", Value::Null),
    ]);
    // What comes with a value is newer than what was read of the types.
    asset["informationFieldValueSets"][0]["informationFieldValues"][5]["field"]["options"] =
        options;
    let found = told(asset).await;
    let value = |name: &str| found.value(name).cloned();
    let text = |text: &str| Some(FieldValue::Text(text.to_owned()));
    assert_eq!(value("sku"), text("SKU-1"));
    assert_eq!((value("mark"), value("licence")), (None, None));
    let title = [("de".to_owned(), "Halle".to_owned())].into();
    assert_eq!(value("title"), Some(FieldValue::LocalizedText(title)));
    assert_eq!(value("pages"), Some(FieldValue::Number(8)));
    assert_eq!(value("price"), Some(FieldValue::Decimal(2.0)));
    let label = FieldValue::References(vec!["Druck".to_owned()]);
    assert_eq!(value("channel"), Some(label));
    let day = FieldValue::Date("2026-03-01".parse().unwrap());
    assert_eq!(value("shot"), Some(day));
    assert_eq!(value("licensed"), Some(FieldValue::Boolean(false)));
    assert_eq!(found.findings, []);
}

#[tokio::test]
async fn a_label_is_told_in_the_first_locale_that_has_one() {
    for (locales, label) in [
        (["de", "en"], "Druck"),
        (["fr", "en"], "Print"),
        (["fr", "it"], "Druck"),
    ] {
        let tenant = Tenant::new();
        let asset = governed(&[(655, "channel", "DROPDOWN", json!(0))]);
        tenant.on("GET assets/55", [ok(asset)]);
        let profile = CelumProfile {
            locales: locales.map(str::to_owned).to_vec(),
            ..profile()
        };
        let found = consulted(&tenant, profile).await;
        let wanted = FieldValue::References(vec![label.to_owned()]);
        assert_eq!(found.value("channel"), Some(&wanted), "{locales:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_a_finding_and_no_statement() {
    let found = told(governed(&[
        (643, "sku", "TEXT", json!(7)),
        (651, "pages", "NUMBER", json!(8.5)),
        (655, "channel", "DROPDOWN", json!(9)),
        (661, "shot", "DATE", json!("next week")),
        (690, "hologram", "HOLOGRAM", json!({"x": 1})),
        (660, "themes", "COLLECTION_REFERENCE", json!("Spring")),
    ]))
    .await;
    assert_eq!(found.statements, []);
    let subjects: Vec<&str> = found
        .findings
        .iter()
        .map(|one| one.subject.as_str())
        .collect();
    let all = ["sku", "pages", "channel", "shot", "hologram", "themes"];
    assert_eq!(subjects, all);
    let date = Finding {
        subject: "shot".to_owned(),
        message: "its value \"next week\" cannot be read as a date".to_owned(),
    };
    assert!(found.findings.contains(&date), "{:?}", found.findings);
}

#[tokio::test]
async fn what_nobody_understands_of_an_asset_is_as_good_as_no() {
    let mut odd = asset(55, 1, "hall-7.tif", b"abc");
    odd["availability"] = json!({"type": "LUNAR", "phase": 3});
    odd["releaseStatus"] = json!("PERHAPS");
    odd["lock"] = json!({"temporary": true});
    odd["typeId"] = json!(77);
    let found = told(odd).await;
    let Usable::Unreadable(text) = found.usable else {
        panic!("{:?}", found.usable);
    };
    assert!(text.contains("LUNAR"));
    assert!(!found.is_released);
    assert_eq!(found.locked.as_deref(), Some("nobody said why"));
    assert_eq!(found.asset_type, None);
    assert_eq!(found.findings[0].subject, "asset type 77");
    let mut halves = asset(55, 1, "hall-7.tif", b"abc");
    halves["availability"] = json!({"type": "DIRECT"});
    assert!(matches!(told(halves).await.usable, Usable::Unreadable(_)));
}

#[tokio::test]
async fn a_field_without_a_name_is_known_by_its_id() {
    let values = [(643, "TEXT", json!("SKU-1"))];
    let mut asset = with_values(asset(55, 1, "hall-7.tif", b"abc"), &values);
    let field = &mut asset["informationFieldValueSets"][0]["informationFieldValues"][0]["field"];
    *field = json!({"id": 643, "name": 5});
    let found = told(asset).await;
    let sku = FieldValue::Text("SKU-1".to_owned());
    assert_eq!(found.value("sku"), Some(&sku));
}

#[tokio::test]
async fn an_asset_that_is_hidden_is_none_and_one_that_is_denied_an_error() {
    let tenant = Tenant::new();
    tenant
        .on(
            "GET assets/54",
            [refusal(403, json!({"code": "X", "entity": "Asset(54)"}))],
        )
        .on("GET assets/55", [ok(asset(55, 1, "hall-7.tif", b"abc"))])
        .on("GET assets/56", [refusal(404, json!({}))])
        .on(
            "GET assets/57",
            [refusal(403, json!({"code": "FORBIDDEN", "message": "no"}))],
        );
    let endpoint = connect(&tenant, profile()).await;
    let ids = ["54", "55", "56"].map(AssetId::new);
    let found = endpoint.consult(&ids).await.unwrap();
    let there: Vec<bool> = found.iter().map(Option::is_some).collect();
    assert_eq!(there, [false, true, false]);
    let query = &tenant.sent("GET assets/55")[0].query;
    assert_eq!(query, "inclusions=informationFields");
    let error = endpoint.consult(&[AssetId::new("57")]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert!(tenant.sent("POST assets/search").is_empty());
}

#[tokio::test]
async fn versions_are_listed_over_all_pages_with_the_newest_first() {
    let tenant = Tenant::new();
    let version = |id: i64, name: &str| asset(55, id, name, b"abc")["currentVersion"].clone();
    let mut placeholder = version(1, "hall.tif");
    placeholder["fileCategory"] = json!("PLACEHOLDER");
    tenant
        .on("GET assets/55", [ok(asset(55, 4, "hall-7.tif", b"abc"))])
        .on(
            "GET assets/55/versions?page=1",
            [ok(more(page(vec![placeholder, version(2, "hall.tif")])))],
        )
        .on(
            "GET assets/55/versions?page=2",
            [ok(more(page(vec![
                version(2, "hall.tif"),
                version(3, "hall.tif"),
            ])))],
        )
        .on(
            "GET assets/55/versions?page=3",
            [ok(page(vec![version(4, "hall-7.tif")]))],
        );
    let endpoint = connect(&tenant, profile()).await;
    let versions = endpoint.versions(&AssetId::new("55")).await.unwrap();
    let listed: Vec<(&str, &str)> = versions
        .iter()
        .map(|one| (one.revision.as_str(), one.path.as_str()))
        .collect();
    let wanted = [
        ("4", "/Brand/hall-7.tif"),
        ("3", "/Brand/hall.tif"),
        ("2", "/Brand/hall.tif"),
    ];
    assert_eq!(listed, wanted);
}
