//! Filters one by one, composition, order, inclusions, and the lag of the index.

use super::*;

/// A tenant whose index keeps up, with four assets that differ in everything that filters look at.
async fn library(profile: &str) -> (Bed, [u64; 4]) {
    let bed = Bed::with(&format!(
        "indexLag = 0\npreviewFailurePercent = 0\n{profile}"
    ));
    let client = bed.collection("Clients/Alpine Dairy");
    let first = bed.upload("hall-7.tif", b"one").await;
    let values = vec![
        bed.value("clientCode", "TEXT", json!("ALP-1")),
        bed.value(
            "campaignName",
            "LOCALIZED_TEXT",
            json!({"en": "Spring fair", "de": "Frühling"}),
        ),
        bed.value("year", "NUMBER", json!(2025)),
        bed.value("duration", "DOUBLE", json!(1.5)),
        bed.value("rightsCleared", "BOOLEAN", json!(true)),
        bed.value(
            "rightsNote",
            "LOCALIZED_TEXT_AREA",
            json!({"en": "print only"}),
        ),
        bed.value("shootDate", "DATE", json!("2025-05-01T00:00:00Z")),
        bed.value("approval", "DROPDOWN", json!(1)),
        bed.value("client", "COLLECTION_REFERENCE", json!([client])),
        bed.value("keywords", "TAG_REFERENCE", json!([21, 22])),
        bed.value("description", "TEXT_AREA", json!("a hall in Linz")),
    ];
    let mut wish = bed.wish(Some(&first), values);
    wish["name"] = "Hall seven".into();
    let a = bed.post("/assets", wish).await.ok()["id"].as_u64().unwrap();
    bed.clock.advance(3600);
    let b = bed.asset("film.MP4", b"two two").await;
    bed.clock.advance(3600);
    let c = bed.asset("notes", b"three").await;
    let place = json!({"name": "Placeholder nine", "parentId": bed.collection("Drop Zone")});
    let d = bed.post("/assets", place).await.ok()["id"]
        .as_u64()
        .unwrap();
    let window =
        json!({"type": "DATED", "from": "2026-01-01T00:00:00Z", "to": "2026-02-01T00:00:00Z"});
    bed.patch(&format!("/assets/{b}"), json!({"availability": window}))
        .await
        .ok();
    let off = json!({"type": "DIRECT", "available": false});
    bed.patch(&format!("/assets/{c}"), json!({"availability": off}))
        .await
        .ok();
    bed.clock.advance(3600);
    bed.patch(&format!("/assets/{c}"), json!({"name": "Notes"}))
        .await
        .ok();
    (bed, [a, b, c, d])
}

/// Each filter with the ids it is to find.
async fn check(bed: &Bed, cases: &[(Value, Vec<u64>)]) {
    for (filter, expected) in cases {
        assert_eq!(&bed.find(filter.clone()).await, expected, "{filter}");
    }
}

#[tokio::test]
async fn assets_are_found_by_what_they_are_and_where() {
    let (bed, [a, b, c, d]) = library("").await;
    let checksum = bed.celum.assets()[0].checksum.clone();
    let (inbox, library) = (
        bed.collection(crate::celum::INBOX),
        bed.collection("Brand Library"),
    );
    let cases = [
        (
            json!({"type": "ASSET_ID_RANGE", "from": 0}),
            vec![a, b, c, d],
        ),
        (
            json!({"type": "ASSET_ID_RANGE", "from": b, "to": c}),
            vec![b, c],
        ),
        (
            json!({"type": "ASSET_ID", "values": [a, d, 999]}),
            vec![a, d],
        ),
        (
            json!({"type": "ASSET_TYPE_ID", "values": [bed.campaign_type()]}),
            vec![a, b, c],
        ),
        (
            json!({"type": "ASSET_COLLECTION_TYPE_ID", "values": [1]}),
            vec![a, b, c, d],
        ),
        (
            json!({"type": "ASSET_CREATION_USER_ID", "values": [2]}),
            vec![a, b, c, d],
        ),
        (
            json!({"type": "ASSET_MODIFICATION_USER_ID", "values": [2]}),
            vec![c],
        ),
        (
            json!({"type": "ASSET_VERSIONED_USER_ID", "values": [3]}),
            vec![],
        ),
        (
            json!({"type": "ASSET_FILE_EXTENSION", "values": ["TIF", "mp4"]}),
            vec![a, b],
        ),
        (
            json!({"type": "ASSET_FILE_CATEGORY", "values": ["VIDEO", "PLACEHOLDER"]}),
            vec![b, d],
        ),
        (
            json!({"type": "ASSET_CHECKSUM", "values": [checksum, "none"]}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_PARENT_ID", "values": [inbox]}),
            vec![a, b, c],
        ),
        (
            json!({"type": "ASSET_PARENT_ID", "values": [library]}),
            vec![],
        ),
        (
            json!({"type": "ASSET_PARENT_ID", "values": [library], "recursive": true}),
            vec![a, b, c],
        ),
        (
            json!({"type": "ASSET_PARENT_ID", "values": [inbox, 4]}),
            vec![],
        ),
        (
            json!({"type": "ASSET_PARENT_ID", "values": [inbox, 4], "matcher": "ANY"}),
            vec![a, b, c, d],
        ),
        (json!({"type": "ASSET_FILE_EXTENSION_EMPTY"}), vec![c, d]),
    ];
    check(&bed, &cases).await;
}

#[tokio::test]
async fn assets_are_found_by_dates_and_availability() {
    let (bed, [a, b, c, d]) = library("").await;
    let cases = [
        (
            json!({"type": "ASSET_CREATION_DATE_RANGE", "from": "2026-03-01T11:00:00Z"}),
            vec![b, c, d],
        ),
        (
            json!({"type": "ASSET_CREATION_DATE_RANGE", "to": "2026-03-01T11:00:00Z"}),
            vec![a, b],
        ),
        (
            json!({"type": "ASSET_CREATION_DATE_EQUALITY", "value": "2026-03-01T10:00:00Z"}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_MODIFICATION_DATE_RANGE", "from": 0}),
            vec![c],
        ),
        (
            json!({"type": "ASSET_MODIFICATION_DATE_EQUALITY", "value": "2026-03-01T13:00:00Z"}),
            vec![c],
        ),
        (
            json!({"type": "ASSET_VERSIONED_DATE_RANGE", "from": "2026-03-01T12:00:00Z"}),
            vec![c, d],
        ),
        (
            json!({"type": "ASSET_VERSIONED_DATE_EQUALITY", "value": "2026-03-01T11:00:00Z"}),
            vec![b],
        ),
        (
            json!({"type": "ASSET_EXPIRATION_DATE_RANGE", "to": "2026-02-01T00:00:00Z"}),
            vec![b],
        ),
        (
            json!({"type": "ASSET_AVAILABILITY", "active": true}),
            vec![a, d],
        ),
        (
            json!({"type": "ASSET_AVAILABILITY", "active": false}),
            vec![b, c],
        ),
        (
            json!({"type": "ASSET_AVAILABILITY_DATE_RANGE", "from": "2026-01-15T00:00:00Z",
                "to": "2026-01-16T00:00:00Z", "active": true}),
            vec![a, b, d],
        ),
    ];
    check(&bed, &cases).await;
}

#[tokio::test]
async fn assets_are_found_by_words() {
    let (bed, [a, b, _, _]) = library("").await;
    let cases = [
        (json!({"type": "ASSET_NAME", "text": "SEVEN"}), vec![a]),
        (
            json!({"type": "ASSET_NAME", "text": "sev", "searchType": "termsStartingWith"}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_NAME", "text": "ven", "searchType": "termsEndingWith"}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_NAME", "text": "seven hall", "searchType": "terms"}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_NAME", "text": "seven hall", "searchType": "phrase"}),
            vec![],
        ),
        (
            json!({"type": "ASSET_FILE_NAME", "text": "hall-7.tif", "searchType": "phrase"}),
            vec![a],
        ),
        (json!({"type": "ASSET_FULLTEXT", "text": "linz"}), vec![a]),
        (
            json!({"type": "ASSET_FULLTEXT", "text": "linz film", "searchOperator": "or"}),
            vec![a, b],
        ),
        (
            json!({"type": "ASSET_FULLTEXT", "text": "linz film"}),
            vec![],
        ),
    ];
    check(&bed, &cases).await;
}

#[tokio::test]
async fn assets_are_found_by_text_fields_and_empty_ones() {
    let (bed, [a, b, c, d]) = library("").await;
    let f = |name: &str| bed.field(name);
    let cases = [
        (
            json!({"type": "ASSET_TEXT_INFORMATION_FIELD", "informationFieldId": f("clientCode"),
                "text": "ALP-1", "searchType": "phrase", "inheritedValueExcluded": true}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_TEXT_AREA_INFORMATION_FIELD",
                "informationFieldId": f("description"), "text": "hall"}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_LOCALIZED_TEXT_INFORMATION_FIELD",
                "informationFieldId": f("campaignName"), "text": "frühling", "locale": "de"}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_LOCALIZED_TEXT_INFORMATION_FIELD",
                "informationFieldId": f("campaignName"), "text": "frühling", "locale": "en"}),
            vec![],
        ),
        (
            json!({"type": "ASSET_LOCALIZED_TEXT_AREA_INFORMATION_FIELD",
                "informationFieldId": f("rightsNote"), "text": "print"}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_INFORMATION_FIELD_EMPTY", "informationFieldId": f("year")}),
            vec![b, c, d],
        ),
        (
            json!({"type": "ASSET_INFORMATION_FIELD_EMPTY",
                "informationFieldId": f("campaignName"), "empty": false, "locale": "fr"}),
            vec![],
        ),
    ];
    check(&bed, &cases).await;
}

#[tokio::test]
async fn assets_are_found_by_other_fields() {
    let (bed, [a, _, _, _]) = library("").await;
    let f = |name: &str| bed.field(name);
    let cases = [
        (
            json!({"type": "ASSET_DATE_INFORMATION_FIELD_RANGE",
                "informationFieldId": f("shootDate"), "from": "2025-01-01T00:00:00Z"}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_DATE_INFORMATION_FIELD_EQUALITY",
                "informationFieldId": f("shootDate"), "value": "2025-05-01T00:00:00Z"}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_NUMBER_INFORMATION_FIELD_EQUALITY",
                "informationFieldId": f("year"), "value": 2025}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_NUMBER_INFORMATION_FIELD_RANGE",
                "informationFieldId": f("year"), "from": 2026}),
            vec![],
        ),
        (
            json!({"type": "ASSET_DOUBLE_INFORMATION_FIELD_RANGE",
                "informationFieldId": f("duration"), "to": 1.5}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_DOUBLE_INFORMATION_FIELD_EQUALITY",
                "informationFieldId": f("duration"), "value": 1.25}),
            vec![],
        ),
        (
            json!({"type": "ASSET_BOOLEAN_INFORMATION_FIELD",
                "informationFieldId": f("rightsCleared"), "value": true}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_DROPDOWN_INFORMATION_FIELD_EQUALITY",
                "informationFieldId": f("approval"), "value": 1}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_COLLECTION_REFERENCE_INFORMATION_FIELD_EQUALITY",
                "informationFieldId": f("client"), "value": 3, "recursive": true}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_COLLECTION_REFERENCE_INFORMATION_FIELD_EQUALITY",
                "informationFieldId": f("client"), "value": 3}),
            vec![],
        ),
        (
            json!({"type": "ASSET_TAG_REFERENCE_INFORMATION_FIELD_EQUALITY",
                "informationFieldId": f("keywords"), "value": 22}),
            vec![a],
        ),
        (
            json!({"type": "ASSET_TAG_REFERENCE_INFORMATION_FIELD_NAMES",
                "informationFieldId": f("keywords"), "values": {"de": "druck"}}),
            vec![a],
        ),
    ];
    check(&bed, &cases).await;
}

#[tokio::test]
async fn filters_compose() {
    let (bed, [a, b, _, _]) = library("").await;
    let named = json!({"type": "ASSET_NAME", "text": "hall"});
    let video = json!({"type": "ASSET_FILE_CATEGORY", "values": ["VIDEO"]});
    let either = json!({"type": "ASSET_LOGICAL", "operator": "OR", "filters": [named, video]});
    assert_eq!(bed.find(either.clone()).await, [a, b]);
    let not_video = json!({"type": "ASSET_NEGATION", "filter": video});
    let both = json!({"type": "ASSET_LOGICAL", "filters": [either, not_video]});
    assert_eq!(bed.find(both).await, [a]);
}

#[tokio::test]
async fn a_filter_that_is_not_understood_is_refused() {
    let (bed, _) = library("searchCaps = { values = 3, depth = 2 }").await;
    let year = bed.field("year");
    let all = json!({"type": "ASSET_ID_RANGE", "from": 0});
    let negated = json!({"type": "ASSET_NEGATION", "filter": all});
    let bad = [
        json!({"type": "ASSET_COLOUR", "values": ["red"]}),
        json!({"type": "COLLECTION_ID", "values": [1]}),
        json!({"type": "ASSET_CONTENT", "text": "x"}),
        json!({"values": [1]}),
        json!("everything"),
        json!({"type": "ASSET_ID", "values": [0]}),
        json!({"type": "ASSET_ID", "values": []}),
        json!({"type": "ASSET_ID", "values": [1, 2, 3, 4]}),
        json!({"type": "ASSET_ID", "value": 1}),
        json!({"type": "ASSET_ID", "values": [1], "operator": "AND"}),
        json!({"type": "ASSET_ID_RANGE"}),
        json!({"type": "ASSET_CREATION_DATE_RANGE"}),
        json!({"type": "ASSET_CREATION_DATE_RANGE", "from": "yesterday"}),
        json!({"type": "ASSET_EXPIRATION_DATE_RANGE", "from": "2026-01-01T00:00:00Z"}),
        json!({"type": "ASSET_FILE_CATEGORY", "values": ["PICTURE"]}),
        json!({"type": "ASSET_NAME", "text": "…"}),
        json!({"type": "ASSET_NAME", "text": "x", "searchType": "exact"}),
        json!({"type": "ASSET_PARENT_ID", "values": [1], "matcher": "SOME"}),
        json!({"type": "ASSET_LOGICAL", "operator": "XOR", "filters": []}),
        json!({"type": "ASSET_NEGATION", "filter": negated}),
        json!({"type": "ASSET_TEXT_INFORMATION_FIELD", "informationFieldId": year, "text": "x"}),
        json!({"type": "ASSET_TEXT_INFORMATION_FIELD", "informationFieldId": 999, "text": "x"}),
        json!({"type": "ASSET_NUMBER_INFORMATION_FIELD_RANGE", "informationFieldId": year}),
        json!({"type": "ASSET_NUMBER_INFORMATION_FIELD", "informationFieldId": year, "value": 1}),
    ];
    for filter in bad {
        let answer = bed.post("/assets/search", json!({"filter": filter})).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{filter}");
    }
    for body in [
        json!({}),
        json!({"filter": all, "page": 0}),
        json!({"filter": all, "sorting": [{"field": "colour"}]}),
        json!({"filter": all, "sorting": [{"field": "name", "order": "UP"}]}),
        json!({"filter": all, "inclusions": [{"type": "EVERYTHING"}]}),
        json!({"filter": all, "inclusions": [{"type": "DOWNLOAD_FORMATS", "values": [1]}]}),
    ] {
        let answer = bed.post("/assets/search", body.clone()).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{body}");
    }
}

#[tokio::test]
async fn unknown_top_level_members_are_ignored_where_the_profile_says_so() {
    let bed = Bed::with("ignoreUnknownSearchMembers = true");
    let body = json!({"filter": {"type": "ASSET_ID_RANGE", "from": 0}, "page": 0});
    bed.post("/assets/search", body).await.ok();
}

#[tokio::test]
async fn date_ranges_may_leave_their_bounds_out_but_id_ranges_never_do() {
    let (bed, [a, b, c, d]) = library("rangeInclusive = false").await;
    let range = json!({"type": "ASSET_CREATION_DATE_RANGE", "from": "2026-03-01T10:00:00Z",
        "to": "2026-03-01T12:00:00Z"});
    assert_eq!(bed.find(range).await, [b]);
    let ids = json!({"type": "ASSET_ID_RANGE", "from": a, "to": d});
    assert_eq!(bed.find(ids).await, [a, b, c, d]);
}

#[tokio::test]
async fn results_are_ordered_by_every_sortable_field() {
    let (bed, [a, b, c, d]) = library("").await;
    let year = format!("informationField.{}", bed.field("year"));
    let german = format!("informationField.{}.de", bed.field("campaignName"));
    let cases = [
        ("id", "DESC", [d, c, b, a]),
        ("name", "ASC", [b, a, c, d]),
        ("currentVersion.filesize", "DESC", [b, c, a, d]),
        ("currentVersion.filename", "ASC", [b, a, c, d]),
        ("currentVersion.fileExtension", "DESC", [a, b, c, d]),
        ("currentVersion.fileCategory", "ASC", [a, d, c, b]),
        ("creation.date", "DESC", [c, d, b, a]),
        ("creation.userId", "ASC", [a, b, c, d]),
        ("modification.date", "DESC", [c, a, b, d]),
        ("modification.userId", "ASC", [a, b, d, c]),
        (&year, "DESC", [a, b, c, d]),
        (&german, "ASC", [b, c, d, a]),
    ];
    for (field, order, expected) in cases {
        let body = json!({
            "filter": {"type": "ASSET_ID_RANGE", "from": 0},
            "sorting": [{"field": field, "order": order}],
        });
        let found = ids(&bed.post("/assets/search", body).await.ok());
        assert_eq!(found, expected, "{field} {order}");
        let listed = ids(&bed.get(&format!("/assets?sort={field},{order}")).await.ok());
        assert_eq!(listed, expected, "{field} {order}");
    }
    let paged = bed.get("/assets?sort=id,DESC&size=3&page=2").await.ok();
    assert_eq!((ids(&paged), &paged["totalElements"]), (vec![a], &json!(4)));
}

#[tokio::test]
async fn lists_narrow_by_parent_and_text() {
    let (bed, [a, b, c, d]) = library("").await;
    let list = async |query: String| ids(&bed.get(&format!("/assets?{query}")).await.ok());
    assert_eq!(list("parentId=11".into()).await, [a, b, c]);
    assert_eq!(list("parentId=1".into()).await, Vec::<u64>::new());
    assert_eq!(list("parentId=1&recursive=true".into()).await, [a, b, c]);
    assert_eq!(list("searchText=hall&searchType=phrase".into()).await, [a]);
    assert_eq!(
        list("searchText=nine+film&searchOperator=or".into()).await,
        [b, d]
    );
    bed.get("/assets?parentId=99").await.refused(403);
    bed.get("/assets?searchText=x&searchType=exact")
        .await
        .refused(400);
}

#[tokio::test]
async fn a_search_shows_only_what_it_includes() {
    let (bed, [a, ..]) = library("").await;
    let search = async |inclusions: Value| {
        let body = json!({"filter": {"type": "ASSET_ID", "values": [a]}, "inclusions": inclusions});
        bed.post("/assets/search", body).await.ok()["content"][0].clone()
    };
    assert!(
        search(json!([]))
            .await
            .get("informationFieldValueSets")
            .is_none()
    );
    let year = bed.field("year");
    let one = search(json!([{"type": "ASSET_INFORMATION_FIELDS", "ids": [year]}])).await;
    assert_eq!(shown(&one, year), Some(json!(2025)));
    assert_eq!(shown(&one, bed.field("approval")), None);
    let all = search(json!([
        {"type": "ALL_ASSET_INFORMATION_FIELDS"},
        {"type": "ALL_FILE_PROPERTIES"},
        {"type": "ALL_EXTERNAL_REFERENCES"},
        {"type": "DOWNLOAD_FORMATS", "ids": [1]},
        {"type": "ASSET_PERMISSIONS"},
    ]))
    .await;
    assert_eq!(shown(&all, bed.field("approval")), Some(json!(1)));
    assert_eq!(all["downloadFormats"].as_array().unwrap().len(), 1);
    assert_eq!(all["permissions"]["delete"], true);
}

#[tokio::test]
async fn the_index_lags_behind_writes_and_deletes() {
    let bed = Bed::with("indexLag = 10");
    let id = bed.asset("a.txt", b"a").await;
    let all = || json!({"type": "ASSET_ID_RANGE", "from": 0});
    assert_eq!(bed.find(all()).await, Vec::<u64>::new());
    assert_eq!(ids(&bed.get("/assets").await.ok()), Vec::<u64>::new());
    bed.clock.advance(10);
    assert_eq!(bed.find(all()).await, [id]);
    bed.patch(&format!("/assets/{id}"), json!({"name": "Renamed"}))
        .await
        .ok();
    let renamed = json!({"type": "ASSET_NAME", "text": "renamed"});
    assert_eq!(bed.find(renamed.clone()).await, Vec::<u64>::new());
    bed.clock.advance(10);
    assert_eq!(bed.find(renamed).await, [id]);
    bed.delete(&format!("/assets/{id}")).await.ok();
    assert_eq!(
        bed.find(all()).await,
        Vec::<u64>::new(),
        "what is gone cannot be shown"
    );
}
