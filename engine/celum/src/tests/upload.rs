//! From bytes to an asset or a version: what goes where, and what is taken back.

use bytes::Bytes;
use serde_json::{Value, json};
use windlass_core::{
    Availability, Chunk, Destination, Endpoint, Error, Evidence, Kind, Placed, Result, Sink,
    Status, Value as FieldValue,
};

use super::{
    Act, Tenant, asset, asset_type, assigned, bytes, collection, connect, digests, draft, mark,
    marked, new_asset, ok, page, profile, refusal, stamp,
};
use crate::{CelumEndpoint, CelumProfile, ChecksumRule, UploadAuth, UploadMode};

pub(super) const CONTENT: &[u8] = b"all the bytes of a picture";

pub(super) async fn upload(endpoint: &CelumEndpoint, destination: &Destination) -> Result<Placed> {
    let session = endpoint
        .begin(destination, CONTENT.len() as u64, &mark())
        .await?;
    for (index, piece) in CONTENT.chunks(10).enumerate() {
        session
            .append(Chunk::new(index as u64 * 10, Bytes::from_static(piece)))
            .await?;
        assert_eq!(
            session.acknowledged(),
            [],
            "only whole files are acknowledged"
        );
    }
    session.commit(&digests(CONTENT)).await
}

pub(super) async fn refused(
    tenant: &std::sync::Arc<Tenant>,
    profile: CelumProfile,
    destination: &Destination,
) -> Error {
    let endpoint = connect(tenant, profile).await;
    upload(&endpoint, destination).await.unwrap_err()
}

#[tokio::test]
async fn bytes_become_an_asset_with_plain_values_and_a_stamp() {
    let tenant = Tenant::new();
    tenant.on(
        "POST assets",
        [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
    );
    let endpoint = connect(&tenant, marked()).await;
    let mut draft = draft();
    draft.fields.push(assigned(
        "themes",
        FieldValue::References(vec!["Spring".to_owned()]),
    ));
    draft.fields.push(assigned(
        "shot",
        FieldValue::Date("2026-02-28".parse().unwrap()),
    ));
    let stamp = stamp(CONTENT, &draft);
    let placed = upload(&endpoint, &Destination::New { draft })
        .await
        .unwrap();
    assert_eq!(
        (placed.asset.as_str(), placed.revision.as_str()),
        ("55", "1")
    );
    assert_eq!(
        (placed.size, placed.evidence),
        (CONTENT.len() as u64, Evidence::E2)
    );
    assert_eq!(
        tenant.writes(),
        ["POST upload", "POST https://up.example/9f", "POST assets"]
    );
    let ticket = tenant.sent("POST upload")[0].json();
    assert_eq!(
        ticket,
        json!({"filename": "hall-7.tif", "filesize": CONTENT.len()})
    );
    assert_eq!(
        tenant.sent("POST assets")[0].json(),
        json!({
            "name": "Hall 7", "parentId": 4711, "typeId": 12, "uploadHandle": "h-5c1e",
            "informationFieldValues": [
                {"id": 643, "type": "TEXT", "value": "SKU-1"},
                {"id": 660, "type": "COLLECTION_REFERENCE", "value": [9001]},
                {"id": 661, "type": "DATE", "value": "2026-02-28T00:00:00Z"},
                {"id": 644, "type": "TEXT", "value": stamp},
            ],
        })
    );
}

#[tokio::test]
async fn a_field_that_is_too_short_for_a_stamp_gets_the_mark_alone() {
    let tenant = Tenant::new();
    let mut kind = asset_type();
    kind["informationFieldSets"][0]["informationFields"][1]["maxLength"] = json!(64);
    tenant.on("GET asset-types/12", [ok(kind)]).on(
        "POST assets",
        [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
    );
    let endpoint = connect(&tenant, marked()).await;
    upload(&endpoint, &new_asset()).await.unwrap();
    let values = tenant.sent("POST assets")[0].json()["informationFieldValues"].clone();
    assert_eq!(values[1]["value"], mark().as_str());
}

#[tokio::test]
async fn an_upload_url_elsewhere_sees_the_bytes_and_no_credentials() {
    let tenant = Tenant::new();
    tenant.on(
        "POST assets",
        [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
    );
    upload(&*connect(&tenant, profile()).await, &new_asset())
        .await
        .unwrap();
    let sent = &tenant.sent("POST https://up.example/9f")[0];
    assert_eq!(sent.body, CONTENT);
    assert_eq!(sent.headers["content-type"], "application/octet-stream");
    assert!(!sent.headers.contains_key("x-api-key") && !sent.headers.contains_key("authorization"));
    assert_eq!(tenant.sent("POST assets")[0].headers["x-api-key"], "key-1");
}

#[tokio::test]
async fn an_upload_url_of_the_same_origin_or_an_asking_tenant_gets_them() {
    let tenant = Tenant::new();
    tenant
        .on(
            "POST upload",
            [ok(
                json!({"url": "https://dam.example/up/1", "handle": "h"}),
            )],
        )
        .on("POST https://dam.example/up/1", [bytes(204, b"")])
        .on(
            "POST assets",
            [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
        );
    upload(&*connect(&tenant, profile()).await, &new_asset())
        .await
        .unwrap();
    assert_eq!(
        tenant.sent("POST https://dam.example/up/1")[0].headers["x-api-key"],
        "key-1"
    );
    let tenant = Tenant::new();
    tenant.on(
        "POST assets",
        [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
    );
    let asking = CelumProfile {
        upload_auth: UploadAuth::ApiKey,
        ..profile()
    };
    upload(&*connect(&tenant, asking).await, &new_asset())
        .await
        .unwrap();
    assert_eq!(
        tenant.sent("POST https://up.example/9f")[0].headers["x-api-key"],
        "key-1"
    );
}

#[tokio::test]
async fn forms_and_puts_carry_the_same_bytes() {
    let tenant = Tenant::new();
    tenant.on(
        "POST assets",
        [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
    );
    let forms = CelumProfile {
        upload_mode: UploadMode::PostMultipart,
        ..profile()
    };
    let mut draft = draft();
    draft.file_name = "a \"quoted\" name.tif".to_owned();
    let _placed = upload(&*connect(&tenant, forms).await, &Destination::New { draft })
        .await
        .unwrap();
    let sent = &tenant.sent("POST https://up.example/9f")[0];
    let kind = sent.headers["content-type"].to_str().unwrap();
    let boundary = kind.strip_prefix("multipart/form-data; boundary=").unwrap();
    let text = String::from_utf8(sent.body.to_vec()).unwrap();
    assert_eq!(
        text,
        format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a \\\"quoted\\\" name.tif\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n{}\r\n--{boundary}--\r\n",
            std::str::from_utf8(CONTENT).unwrap()
        )
    );
    let tenant = Tenant::new();
    tenant
        .on("PUT https://up.example/9f", [bytes(200, b"")])
        .on(
            "POST assets",
            [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
        );
    let puts = CelumProfile {
        upload_mode: UploadMode::Put,
        ..profile()
    };
    upload(&*connect(&tenant, puts).await, &new_asset())
        .await
        .unwrap();
    assert_eq!(tenant.sent("PUT https://up.example/9f")[0].body, CONTENT);
}

#[tokio::test]
async fn no_handle_is_asked_for_before_bytes_come_but_an_empty_file_is_one() {
    let tenant = Tenant::new();
    tenant.on(
        "POST assets",
        [refusal(201, asset(55, 1, "hall-7.tif", b""))],
    );
    let endpoint = connect(&tenant, profile()).await;
    let session = endpoint.begin(&new_asset(), 0, &mark()).await.unwrap();
    assert!(tenant.writes().is_empty());
    let placed = session.commit(&digests(b"")).await.unwrap();
    assert_eq!(placed.size, 0);
    assert_eq!(tenant.sent("POST https://up.example/9f")[0].body.len(), 0);
    // What is given up before it began asks for nothing either.
    let asked = tenant.writes().len();
    endpoint
        .begin(&new_asset(), 5, &mark())
        .await
        .unwrap()
        .abort()
        .await
        .unwrap();
    let short = endpoint.begin(&new_asset(), 5, &mark()).await.unwrap();
    assert_eq!(
        short.commit(&digests(b"12345")).await.unwrap_err().kind(),
        Kind::Integrity
    );
    assert_eq!(tenant.writes().len(), asked);
}

#[tokio::test]
async fn chunks_must_continue_each_other() {
    let tenant = Tenant::new();
    let endpoint = connect(&tenant, profile()).await;
    let session = endpoint.begin(&new_asset(), 10, &mark()).await.unwrap();
    session
        .append(Chunk::new(0, Bytes::from_static(b"12345")))
        .await
        .unwrap();
    assert!(
        session
            .append(Chunk::new(6, Bytes::from_static(b"7890")))
            .await
            .is_err()
    );
    let after = session
        .append(Chunk::new(5, Bytes::from_static(b"67890")))
        .await;
    assert!(after.is_err(), "a broken session stays broken");
    assert!(session.commit(&digests(b"1234567890")).await.is_err());
    assert!(tenant.sent("POST assets").is_empty());
}

#[tokio::test]
async fn large_chunks_have_the_same_checksum_as_small_ones() {
    let content: Vec<u8> = (0..600_000_u32).map(|n| (n % 251) as u8).collect();
    let tenant = Tenant::new();
    tenant.on(
        "POST assets",
        [refusal(201, asset(55, 1, "hall-7.tif", &content))],
    );
    let endpoint = connect(&tenant, profile()).await;
    let session = endpoint
        .begin(&new_asset(), content.len() as u64, &mark())
        .await
        .unwrap();
    for (index, piece) in content.chunks(250_000).enumerate() {
        session
            .append(Chunk::new(
                index as u64 * 250_000,
                Bytes::copy_from_slice(piece),
            ))
            .await
            .unwrap();
    }
    let placed = session.commit(&digests(&content)).await.unwrap();
    assert_eq!(placed.evidence, Evidence::E2);
}

#[tokio::test]
async fn an_upload_that_is_refused_or_breaks_off_is_tried_again_as_a_whole() {
    for act in [Act::Lost, bytes(404, b"gone"), bytes(500, b"")] {
        let tenant = Tenant::new();
        tenant.on("POST https://up.example/9f", [act]);
        let error = refused(&tenant, profile(), &new_asset()).await;
        assert_eq!(
            (error.kind(), error.status()),
            (Kind::Unavailable, Status::Temporary),
            "{error:?}"
        );
        assert!(tenant.sent("POST assets").is_empty());
    }
    let tenant = Tenant::new();
    tenant.on("POST https://up.example/9f", [bytes(413, b"too much")]);
    let error = refused(&tenant, profile(), &new_asset()).await;
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::Capacity, Status::Permanent)
    );
}

#[tokio::test]
async fn a_handle_that_expired_before_the_asset_was_made_is_no_fault_of_the_asset() {
    let tenant = Tenant::new();
    tenant.on("POST assets", [refusal(400, json!({"code": "VALIDATION", "message": "Validation failed", "faults":
        [{"type": "ARGUMENT", "code": "HANDLE", "message": "the handle has expired", "argument": "uploadHandle"}]}))]);
    let error = refused(&tenant, profile(), &new_asset()).await;
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::Unavailable, Status::Temporary)
    );
}

fn unavailable(retry_after: bool, body: &'static [u8]) -> Act {
    Act::Answer {
        status: 503,
        headers: Vec::from_iter(retry_after.then(|| ("retry-after", "3".to_owned()))),
        body: body.into(),
    }
}

/// What the application itself says in its maintenance.
const MAINTENANCE: &[u8] = br#"{"code":"MAINTENANCE","message":"Back soon"}"#;

#[tokio::test]
async fn an_answer_to_create_that_may_be_a_proxys_is_ambiguous_and_sent_once() {
    let page = b"<html>try later</html>";
    let answers = [
        Act::Lost,
        bytes(408, b""),
        bytes(500, b""),
        bytes(502, b"<html>"),
        bytes(504, MAINTENANCE),
        bytes(524, b""),
        unavailable(false, b""),
        unavailable(false, MAINTENANCE),
        unavailable(true, page),
        unavailable(true, b"{}"),
        bytes(200, b"<html>Welcome</html>"),
        bytes(204, b""),
    ];
    for answer in answers {
        let tenant = Tenant::new();
        tenant.on("POST assets", [answer]);
        let error = refused(&tenant, profile(), &new_asset()).await;
        assert_eq!(error.kind(), Kind::Ambiguous, "{error:?}");
        assert_eq!(error.status(), Status::Temporary);
        assert_eq!(tenant.sent("POST assets").len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn only_the_application_itself_can_say_that_a_create_has_not_begun() {
    let tenant = Tenant::new();
    tenant.on(
        "POST assets",
        [
            unavailable(true, MAINTENANCE),
            refusal(201, asset(55, 1, "hall-7.tif", CONTENT)),
        ],
    );
    let endpoint = connect(&tenant, profile()).await;
    let begun = tokio::time::Instant::now();
    upload(&endpoint, &new_asset()).await.unwrap();
    assert_eq!(tenant.sent("POST assets").len(), 2);
    assert!(begun.elapsed() >= std::time::Duration::from_secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_may_be_repeated_waits_for_whoever_names_a_time() {
    let tenant = Tenant::new();
    let ticket = ok(json!({"url": "https://up.example/9f", "handle": "h"}));
    tenant
        .on("POST upload", [unavailable(true, b"<html>"), ticket])
        .on(
            "POST assets",
            [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
        );
    let endpoint = connect(&tenant, profile()).await;
    upload(&endpoint, &new_asset()).await.unwrap();
    assert_eq!(tenant.sent("POST upload").len(), 2);
}

#[tokio::test]
async fn what_a_change_is_answered_with_does_not_matter_if_it_succeeded() {
    let tenant = Tenant::new();
    tenant
        .on(
            "POST assets",
            [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
        )
        .on("PATCH assets/55", [bytes(204, b"")]);
    let mut draft = draft();
    draft.availability = Some(Availability::Direct { available: true });
    let endpoint = connect(&tenant, profile()).await;
    upload(&endpoint, &Destination::New { draft })
        .await
        .unwrap();
}

#[tokio::test]
async fn an_append_that_is_given_up_ends_the_session() {
    let tenant = Tenant::new();
    let endpoint = connect(&tenant, profile()).await;
    let session = endpoint.begin(&new_asset(), 10, &mark()).await.unwrap();
    let chunk = || Chunk::new(0, Bytes::from_static(b"12345"));
    {
        let appending = session.append(chunk());
        futures_util::pin_mut!(appending);
        assert!(futures_util::poll!(appending).is_pending());
    }
    assert!(session.append(chunk()).await.is_err());
    assert!(session.commit(&digests(b"1234567890")).await.is_err());
    assert!(tenant.sent("POST assets").is_empty());
}

#[tokio::test]
async fn no_session_can_be_gone_on_with() {
    let endpoint = connect(&Tenant::new(), profile()).await;
    assert!(!endpoint.capabilities().resumes);
    let session = endpoint.begin(&new_asset(), 10, &mark()).await.unwrap();
    assert_eq!(session.checkpoint(), None);
    let resumed = endpoint
        .resume(&new_asset(), 10, &mark(), "words", &[])
        .await
        .unwrap();
    assert!(resumed.is_none());
}

#[tokio::test]
async fn faults_are_told_with_the_field_by_name() {
    let tenant = Tenant::new();
    tenant.on("POST assets", [refusal(400, json!({"code": "VALIDATION", "message": "Validation failed", "faults": [
        {"type": "INFORMATION_FIELD", "code": "REQUIRED", "message": "Value missing", "informationFieldId": 650},
        {"type": "LOCALIZED_ARGUMENT", "code": "LENGTH", "message": "Too long", "argument": "name", "locale": "de"},
    ]}))]);
    let error = refused(&tenant, profile(), &new_asset()).await;
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(
        error.message().contains("field \"title\": Value missing"),
        "{error:?}"
    );
    assert!(
        error.message().contains("name in de: Too long"),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_collection_that_is_gone_by_now_is_looked_up_again() {
    let tenant = Tenant::new();
    tenant.on(
        "POST assets",
        [
            refusal(
                403,
                json!({"code": "ENTITY", "message": "no", "entity": "Collection(4711)"}),
            ),
            refusal(201, asset(55, 1, "hall-7.tif", CONTENT)),
        ],
    );
    let endpoint = connect(&tenant, profile()).await;
    let error = upload(&endpoint, &new_asset()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::NotFound, Status::Temporary)
    );
    tenant.on(
        "GET collections",
        [ok(page(vec![collection(4712, None, "Brand")]))],
    );
    upload(&endpoint, &new_asset()).await.unwrap();
    assert_eq!(tenant.sent("POST assets")[1].json()["parentId"], 4712);
}

#[tokio::test]
async fn a_new_asset_with_other_bytes_is_removed_again() {
    let mut wrong_size = asset(55, 1, "hall-7.tif", CONTENT);
    wrong_size["currentVersion"]["filesize"] = json!(7);
    let mut wrong_sum = asset(55, 1, "hall-7.tif", CONTENT);
    wrong_sum["currentVersion"]["fileChecksum"] = json!("00000000000000000000000000000000");
    for (answer, told) in [
        (wrong_size, "reports 7 bytes; 26 were sent"),
        (wrong_sum, "the checksum 0000"),
    ] {
        let tenant = Tenant::new();
        tenant
            .on("POST assets", [refusal(201, answer)])
            .on("DELETE assets/55", [bytes(204, b"")]);
        let mut draft = draft();
        draft.availability = Some(Availability::Direct { available: true });
        let error = refused(&tenant, profile(), &Destination::New { draft }).await;
        assert_eq!(error.kind(), Kind::Integrity);
        assert!(error.message().contains(told), "{error:?}");
        assert_eq!(tenant.writes().last().unwrap(), "DELETE assets/55");
        assert!(
            tenant.sent("PATCH assets/55").is_empty(),
            "wrong bytes are never made available"
        );
    }
}

#[tokio::test]
async fn availability_follows_once_the_bytes_are_right() {
    let tenant = Tenant::new();
    tenant
        .on(
            "POST assets",
            [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
        )
        .on("PATCH assets/55", [ok(asset(55, 1, "hall-7.tif", CONTENT))]);
    let mut draft = draft();
    draft.availability = Some(Availability::Dated {
        from: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        to: None,
    });
    upload(
        &*connect(&tenant, profile()).await,
        &Destination::New {
            draft: draft.clone(),
        },
    )
    .await
    .unwrap();
    let expected = json!({"availability": {"type": "DATED", "from": "2026-01-01T00:00:00Z"}});
    assert_eq!(tenant.sent("PATCH assets/55")[0].json(), expected);
    // Refused for good, nothing half done stays; unreachable, whoever finds the asset completes it.
    tenant
        .on(
            "PATCH assets/55",
            [refusal(403, json!({"code": "NO", "message": "no"}))],
        )
        .on("DELETE assets/55", [bytes(200, b"")]);
    let endpoint = connect(&tenant, profile()).await;
    let error = upload(
        &endpoint,
        &Destination::New {
            draft: draft.clone(),
        },
    )
    .await
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Denied);
    assert_eq!(tenant.sent("DELETE assets/55").len(), 1);
    tenant.on("PATCH assets/55", [Act::Lost]);
    let error = upload(&endpoint, &Destination::New { draft })
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
    assert_eq!(
        tenant.sent("DELETE assets/55").len(),
        1,
        "right bytes are not removed"
    );
}

#[tokio::test]
async fn an_unknown_checksum_is_learned_from_the_first_small_upload() {
    let tenant = Tenant::new();
    tenant.on("POST assets/search", [ok(page(vec![]))]).on(
        "POST assets",
        [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
    );
    let unknown = CelumProfile {
        checksum: ChecksumRule::Uncalibrated,
        ..profile()
    };
    let endpoint = connect(&tenant, unknown).await;
    let placed = upload(&endpoint, &new_asset()).await.unwrap();
    assert_eq!(placed.evidence, Evidence::E2);
    assert_eq!(endpoint.calibrate().await.unwrap(), Some(super::MD5));
    upload(&endpoint, &new_asset()).await.unwrap();
    assert_eq!(
        tenant.sent("POST assets/search").len(),
        1,
        "it is searched for once"
    );
}

#[tokio::test]
async fn an_upload_goes_on_when_its_checksum_cannot_be_found_out() {
    let tenant = Tenant::new();
    let mut bare = asset(55, 1, "hall-7.tif", CONTENT);
    bare["currentVersion"]["fileChecksum"] = Value::Null;
    tenant
        .on(
            "POST assets/search",
            [refusal(
                403,
                json!({"code": "NO", "message": "no search for you"}),
            )],
        )
        .on("POST assets", [refusal(201, bare)]);
    let unknown = CelumProfile {
        checksum: ChecksumRule::Uncalibrated,
        ..profile()
    };
    let placed = upload(&*connect(&tenant, unknown).await, &new_asset())
        .await
        .unwrap();
    assert_eq!(placed.evidence, Evidence::E0);
}

#[tokio::test]
async fn new_keywords_are_created_once_and_referred_to() {
    let tenant = Tenant::new();
    tenant
        .on(
            "POST collections",
            [refusal(201, collection(9100, Some(9000), "Nightlife"))],
        )
        .on(
            "POST assets",
            [refusal(201, asset(55, 1, "hall-7.tif", CONTENT))],
        );
    let endpoint = connect(
        &tenant,
        CelumProfile {
            tag_create: true,
            ..profile()
        },
    )
    .await;
    let mut draft = draft();
    let keywords = vec![
        "Nightlife".to_owned(),
        "spring".to_owned(),
        "NIGHTLIFE".to_owned(),
    ];
    draft
        .fields
        .push(assigned("keywords", FieldValue::Keywords(keywords)));
    let destination = Destination::New { draft };
    for _ in 0..2 {
        upload(&endpoint, &destination).await.unwrap();
    }
    let created = tenant.sent("POST collections");
    assert_eq!(created.len(), 1);
    assert_eq!(
        created[0].json(),
        json!({"name": {"en": "Nightlife"}, "parentId": 9000})
    );
    for sent in tenant.sent("POST assets") {
        assert_eq!(
            sent.json()["informationFieldValues"][1]["value"],
            json!([9100, 9001])
        );
    }
}
