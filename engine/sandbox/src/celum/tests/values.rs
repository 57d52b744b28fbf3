//! Information field values on create and on change, type by type.

use super::*;

/// Creates with one value and answers the fault's code, or None if it was taken.
async fn create(bed: &Bed, field: &str, kind: &str, value: Value) -> Option<String> {
    let wish = bed.wish(None, vec![bed.value(field, kind, value)]);
    code(bed, field, bed.post("/assets", wish).await)
}

/// Changes one value and answers the fault's code, or None if it was taken.
async fn change(bed: &Bed, id: u64, field: &str, kind: &str, value: Value) -> Option<String> {
    let wish = json!({"informationFieldValues": [bed.value(field, kind, value)]});
    code(bed, field, bed.patch(&format!("/assets/{id}"), wish).await)
}

#[track_caller]
fn code(bed: &Bed, field: &str, answer: Answer) -> Option<String> {
    if answer.status.is_success() {
        return None;
    }
    let fault = answer.refused(400);
    assert_eq!(fault["type"], "INFORMATION_FIELD");
    assert_eq!(fault["informationFieldId"], bed.field(field));
    Some(fault["code"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn each_type_takes_its_plain_value_on_create_and_no_other() {
    let bed = Bed::new();
    let print = bed.collection("Keywords/Print");
    let client = bed.collection("Clients/Alpine Dairy");
    let good = [
        ("clientCode", "TEXT", json!("ALP")),
        ("description", "TEXT_AREA", json!("two\nlines")),
        (
            "campaignName",
            "LOCALIZED_TEXT",
            json!({"en": "Spring", "de": "Frühling"}),
        ),
        ("year", "NUMBER", json!(2026)),
        ("duration", "DOUBLE", json!(1.5)),
        ("duration", "DOUBLE", json!(2)),
        ("rightsCleared", "BOOLEAN", json!(false)),
        ("shootDate", "DATE", json!("2026-01-02T00:00:00Z")),
        ("shootDate", "DATE", json!("2026-01-02T01:00:00+01:00")),
        ("shootDate", "DATE", json!(1_767_312_000_000_i64)),
        ("approval", "DROPDOWN", json!(2)),
        ("client", "COLLECTION_REFERENCE", json!([client])),
        ("keywords", "TAG_REFERENCE", json!([print])),
    ];
    for (field, kind, value) in good {
        assert_eq!(
            create(&bed, field, kind, value.clone()).await,
            None,
            "{field} {value}"
        );
    }
    let bad = [
        ("clientCode", "TEXT", json!(7), "TYPE"),
        ("clientCode", "TEXT", json!(null), "TYPE"),
        ("clientCode", "TEXT_AREA", json!("x"), "TYPE"),
        ("campaignName", "LOCALIZED_TEXT", json!("Spring"), "TYPE"),
        (
            "campaignName",
            "LOCALIZED_TEXT",
            json!({"xx": "Spring"}),
            "LOCALE",
        ),
        (
            "campaignName",
            "LOCALIZED_TEXT",
            json!({"de_CH": "Spring"}),
            "LOCALE",
        ),
        ("year", "NUMBER", json!(2026.0), "TYPE"),
        ("year", "NUMBER", json!("2026"), "TYPE"),
        ("duration", "DOUBLE", json!("1.5"), "TYPE"),
        ("rightsCleared", "BOOLEAN", json!("true"), "TYPE"),
        ("shootDate", "DATE", json!("2026-01-02"), "TYPE"),
        ("shootDate", "DATE", json!("yesterday"), "TYPE"),
        ("approval", "DROPDOWN", json!("Approved"), "TYPE"),
        ("approval", "DROPDOWN", json!(3), "OPTION"),
        ("approval", "DROPDOWN", json!(-1), "OPTION"),
        ("client", "COLLECTION_REFERENCE", json!(client), "TYPE"),
        (
            "client",
            "COLLECTION_REFERENCE",
            json!(["Alpine Dairy"]),
            "TYPE",
        ),
        ("keywords", "TAG_REFERENCE", json!([0]), "TYPE"),
    ];
    for (field, kind, value, code) in bad {
        let refused = create(&bed, field, kind, value.clone()).await;
        assert_eq!(refused.as_deref(), Some(code), "{field} {value}");
    }
}

#[tokio::test]
async fn texts_keep_their_length_and_the_whole_pattern() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    let set = |text: &str| json!({"op": "SET", "value": text});
    let long = "x".repeat(33);
    assert_eq!(
        create(&bed, "clientCode", "TEXT", json!(long))
            .await
            .unwrap(),
        "MAX_LENGTH"
    );
    let refusal = async |text: &str| change(&bed, id, "campaignId", "TEXT", set(text)).await;
    assert_eq!(refusal("CMP-1").await.unwrap(), "MIN_LENGTH");
    assert_eq!(refusal("CMP-01234567890123").await.unwrap(), "MAX_LENGTH");
    assert_eq!(refusal("XCMP-0142").await.unwrap(), "PATTERN");
    assert_eq!(refusal("CMP-0142 ").await.unwrap(), "PATTERN");
    assert_eq!(refusal("CMP-01420").await, None);
}

#[tokio::test]
async fn references_lie_below_their_root_and_are_not_too_many() {
    let bed = Bed::new();
    let root = bed.collection("Clients");
    let alpine = bed.collection("Clients/Alpine Dairy");
    let harbour = bed.collection("Clients/Harbour Optics");
    let inbox = bed.collection(crate::celum::INBOX);
    let kind = "COLLECTION_REFERENCE";
    let refusal = async |ids: Value| create(&bed, "client", kind, ids).await;
    assert_eq!(
        refusal(json!([alpine, harbour])).await.unwrap(),
        "MAX_SELECTIONS"
    );
    assert_eq!(refusal(json!([inbox])).await.unwrap(), "REFERENCE");
    assert_eq!(refusal(json!([root])).await.unwrap(), "REFERENCE");
    assert_eq!(refusal(json!([4711])).await.unwrap(), "REFERENCE");
    let twice = create(&bed, "keywords", "TAG_REFERENCE", json!([21, 21])).await;
    assert_eq!(twice.unwrap(), "REPEATED");
    let deep = bed
        .celum
        .ensure_collection("Clients/Alpine Dairy/Cheese")
        .unwrap();
    assert_eq!(refusal(json!([deep])).await, None);
}

#[tokio::test]
async fn change_objects_are_refused_on_create_unless_tolerated() {
    let wrapped = json!({"op": "SET", "value": "ALP"});
    let bed = Bed::new();
    let refused = create(&bed, "clientCode", "TEXT", wrapped.clone()).await;
    assert_eq!(refused.unwrap(), "OP_ON_CREATE");
    let lenient = Bed::with("lenientCreateValues = true");
    assert_eq!(create(&lenient, "clientCode", "TEXT", wrapped).await, None);
    let clear = create(&lenient, "clientCode", "TEXT", json!({"op": "CLEAR"})).await;
    assert_eq!(clear.unwrap(), "OP_ON_CREATE");
}

#[tokio::test]
async fn plain_values_are_refused_on_change() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    for (field, kind, value) in [
        ("clientCode", "TEXT", json!("ALP")),
        ("campaignName", "LOCALIZED_TEXT", json!({"en": "Spring"})),
        ("year", "NUMBER", json!(2026)),
        ("keywords", "TAG_REFERENCE", json!([21])),
    ] {
        let refused = change(&bed, id, field, kind, value).await;
        assert_eq!(refused.as_deref(), Some("OP_MISSING"), "{field}");
    }
}

#[tokio::test]
async fn each_type_knows_its_own_operations() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    let refused = async |field: &str, kind: &str, value: Value| {
        change(&bed, id, field, kind, value).await.unwrap()
    };
    let set_texts = json!({"op": "SET", "value": {"en": "Spring"}});
    assert_eq!(
        refused("campaignName", "LOCALIZED_TEXT", set_texts).await,
        "OP_NOT_SUPPORTED"
    );
    let modify = json!({"op": "MODIFY", "add": [1]});
    assert_eq!(
        refused("year", "NUMBER", modify.clone()).await,
        "OP_NOT_SUPPORTED"
    );
    assert_eq!(
        refused("campaignName", "LOCALIZED_TEXT", modify).await,
        "OP"
    );
    let set_locales = json!({"op": "MODIFY", "set": {"en": "x"}});
    assert_eq!(
        refused("keywords", "TAG_REFERENCE", set_locales).await,
        "OP"
    );
    for odd in [
        json!({"op": "DROP"}),
        json!({"op": "SET"}),
        json!({"op": "CLEAR", "value": 1}),
        json!({"op": "SET", "value": 1, "also": 2}),
    ] {
        assert_eq!(refused("year", "NUMBER", odd.clone()).await, "OP", "{odd}");
    }
}

#[tokio::test]
async fn changes_set_modify_and_clear_what_is_there() {
    let bed = Bed::new();
    let id = bed.asset("a.txt", b"a").await;
    let steps = [
        (
            "campaignName",
            "LOCALIZED_TEXT",
            json!({"op": "MODIFY", "set": {"en": "A", "de": "B"}}),
        ),
        (
            "campaignName",
            "LOCALIZED_TEXT",
            json!({"op": "MODIFY", "set": {"en": "C"}, "clear": ["de"]}),
        ),
        (
            "keywords",
            "TAG_REFERENCE",
            json!({"op": "SET", "value": [21, 22]}),
        ),
        (
            "keywords",
            "TAG_REFERENCE",
            json!({"op": "MODIFY", "add": [23, 22], "remove": [21]}),
        ),
        ("year", "NUMBER", json!({"op": "SET", "value": 2025})),
        ("year", "NUMBER", json!({"op": "CLEAR"})),
        ("approval", "DROPDOWN", json!({"op": "SET", "value": 1})),
    ];
    for (field, kind, value) in steps {
        assert_eq!(change(&bed, id, field, kind, value).await, None, "{field}");
    }
    let asset = bed.get(&format!("/assets/{id}")).await.ok();
    let shown = |field: &str| super::shown(&asset, bed.field(field));
    assert_eq!(shown("campaignName"), Some(json!({"en": "C"})));
    let tags = json!([{"id": 22, "name": "Social"}, {"id": 23, "name": "Photography"}]);
    assert_eq!(shown("keywords"), Some(tags));
    assert_eq!(shown("year"), None);
    assert_eq!(shown("approval"), Some(json!(1)));
    let snapshot = &bed.celum.assets()[0];
    assert_eq!(
        snapshot.fields["keywords"],
        json!(["Social", "Photography"])
    );
    assert_eq!(snapshot.fields["approval"], "Approved");
}

#[tokio::test]
async fn fields_of_another_type_unknown_ones_and_repeated_ones_are_refused() {
    let bed = Bed::new();
    let refused = create(&bed, "code", "TEXT", json!("x")).await;
    assert_eq!(refused.unwrap(), "NOT_IN_TYPE");
    let mut wish = bed.wish(None, Vec::new());
    wish["informationFieldValues"][0]["id"] = 9999.into();
    assert_eq!(
        bed.post("/assets", wish).await.refused(400)["code"],
        "UNKNOWN"
    );
    let code = bed.value("clientCode", "TEXT", json!("x"));
    let twice = bed.wish(None, vec![code.clone(), code.clone()]);
    assert_eq!(
        bed.post("/assets", twice).await.refused(400)["code"],
        "REPEATED"
    );
    let untyped = json!({
        "parentId": bed.collection("Drop Zone"),
        "informationFieldValues": [code],
    });
    assert_eq!(
        bed.post("/assets", untyped).await.refused(400)["code"],
        "NOT_IN_TYPE"
    );
}

#[tokio::test]
async fn a_dependent_field_needs_its_switch_on() {
    let bed = Bed::new();
    let note = || {
        bed.value(
            "rightsNote",
            "LOCALIZED_TEXT_AREA",
            json!({"en": "worldwide"}),
        )
    };
    let switch = |on: bool| bed.value("rightsCleared", "BOOLEAN", json!(on));
    let alone = bed.post("/assets", bed.wish(None, vec![note()])).await;
    assert_eq!(alone.refused(400)["code"], "DEPENDENCY");
    let off = bed
        .post("/assets", bed.wish(None, vec![note(), switch(false)]))
        .await;
    assert_eq!(off.refused(400)["code"], "DEPENDENCY");
    let on = bed
        .post("/assets", bed.wish(None, vec![note(), switch(true)]))
        .await
        .ok();
    assert!(shown(&on, bed.field("rightsNote")).is_some());

    let id = on["id"].as_u64().unwrap();
    let off = json!({"op": "SET", "value": false});
    assert_eq!(
        change(&bed, id, "rightsCleared", "BOOLEAN", off).await,
        None
    );
    let hidden = bed.get(&format!("/assets/{id}")).await.ok();
    assert_eq!(shown(&hidden, bed.field("rightsNote")), None);
}

#[tokio::test]
async fn all_faults_of_a_request_are_reported_together() {
    let bed = Bed::new();
    let wish = bed.wish(
        None,
        vec![
            bed.value("year", "NUMBER", json!("x")),
            bed.value("approval", "DROPDOWN", json!(9)),
        ],
    );
    let refused = bed.post("/assets", wish).await;
    refused.refused(400);
    assert_eq!(refused.json()["faults"].as_array().unwrap().len(), 2);
}

#[tokio::test]
async fn a_strict_collection_wants_a_type_and_required_fields_and_a_tolerant_one_does_not() {
    let bed = Bed::new();
    let inbox = bed.collection(crate::celum::INBOX);
    let untyped = bed.post("/assets", json!({"parentId": inbox})).await;
    assert_eq!(untyped.refused(400)["argument"], "typeId");
    let typed = json!({"parentId": inbox, "typeId": bed.campaign_type()});
    let incomplete = bed.post("/assets", typed).await.refused(400);
    assert_eq!(incomplete["code"], "REQUIRED");
    assert_eq!(incomplete["informationFieldId"], bed.field("campaignId"));

    let loose = json!({"parentId": bed.collection("Drop Zone"), "typeId": bed.campaign_type()});
    let loose = bed.post("/assets", loose).await.ok();
    assert_eq!(loose["validationLevel"], "TOLERANT");
    assert_eq!(loose["validationStatus"]["requiredFieldsValid"], false);
    let id = loose["id"].as_u64().unwrap();
    let moved = json!({"parentIds": {"op": "MODIFY", "add": [inbox]}});
    let refused = bed
        .patch(&format!("/assets/{id}"), moved)
        .await
        .refused(400);
    assert_eq!(refused["code"], "REQUIRED");

    let strict = bed.asset("a.txt", b"a").await;
    let cleared = change(&bed, strict, "campaignId", "TEXT", json!({"op": "CLEAR"})).await;
    assert_eq!(cleared.unwrap(), "REQUIRED");
}

#[tokio::test]
async fn names_of_references_beyond_the_tenants_limit_are_left_out() {
    let bed = Bed::with("maxReferenceNames = 1");
    let tags = bed.value("keywords", "TAG_REFERENCE", json!([21, 22]));
    let made = bed.post("/assets", bed.wish(None, vec![tags])).await.ok();
    let shown = shown(&made, bed.field("keywords"));
    assert_eq!(
        shown,
        Some(json!([{"id": 21, "name": "Print"}, {"id": 22}]))
    );
}
