//! Uploads, commits whose answers are lost, and taking back what was placed.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};
use windlass_core::digest::BLOCK_BYTES;
use windlass_core::{
    AssetId, AssetPath, Assigned, Availability, Blake3, Chunk, ContentHash, Correlation,
    Destination, Digests, Draft, DraftPart, Endpoint, Evidence, Expected, Kind, Placed, Revision,
    Sink, Status, UploadOrder, UploadSession, Value as FieldValue,
};

use super::{Act, ID, REV, Script, conflict, connect, file, json_ok, options, shared, tagged_file};
use crate::{DropboxEndpoint, DropboxOptions};

const START: &str = "content.dropboxapi.com/2/files/upload_session/start";
const APPEND: &str = "content.dropboxapi.com/2/files/upload_session/append_v2";
const FINISH: &str = "content.dropboxapi.com/2/files/upload_session/finish";
const UPLOAD: &str = "content.dropboxapi.com/2/files/upload";
const METADATA: &str = "api.dropboxapi.com/2/files/get_metadata";
const DELETE: &str = "api.dropboxapi.com/2/files/delete_v2";
const REVISIONS: &str = "api.dropboxapi.com/2/files/list_revisions";
const RESTORE: &str = "api.dropboxapi.com/2/files/restore";
const MOVE: &str = "api.dropboxapi.com/2/files/move_v2";
const TEMPLATES: &str = "api.dropboxapi.com/2/file_properties/templates/list_for_user";

fn draft(collection: &str, file_name: &str) -> Draft {
    Draft {
        name: file_name.to_owned(),
        file_name: file_name.to_owned(),
        collection: AssetPath::new(collection),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    }
}

fn new() -> Destination {
    Destination::New {
        draft: draft("/Out", "a.tif"),
    }
}

fn version() -> Destination {
    Destination::Version {
        asset: AssetId::new(ID),
        draft: draft("/Out", "a.tif"),
        replaces: None,
    }
}

fn mark() -> Correlation {
    Correlation::derive("flow", "source", "asset", "rev")
}

fn digests(bytes: &[u8]) -> Digests {
    Digests {
        size: bytes.len() as u64,
        blake3: Blake3::of(bytes),
        content_hash: Some(ContentHash::of(bytes)),
    }
}

/// One byte more than travels in one call.
fn large() -> Bytes {
    Bytes::from(vec![7; BLOCK_BYTES + 1])
}

fn started() -> (&'static str, Act) {
    (START, json_ok(json!({"session_id":"pid_upload_session:A"})))
}

fn appended() -> (&'static str, Act) {
    (APPEND, json_ok(Value::Null))
}

fn session_error(error: Value) -> (&'static str, Act) {
    (APPEND, conflict(error))
}

async fn session(
    script: &std::sync::Arc<Script>,
    to: &Destination,
    size: u64,
) -> Box<dyn UploadSession> {
    connect(script)
        .await
        .begin(to, size, &mark())
        .await
        .unwrap()
}

/// Uploads `large()` by a session that takes its chunks in order.
async fn upload_in_order(script: &std::sync::Arc<Script>) -> windlass_core::Result<Placed> {
    let options = DropboxOptions {
        concurrent_sessions: false,
        ..options()
    };
    let dropbox = DropboxEndpoint::connect(shared(script), options).await?;
    assert_eq!(dropbox.capabilities().upload_order, UploadOrder::InOrder);
    let bytes = large();
    let session = dropbox.begin(&new(), bytes.len() as u64, &mark()).await?;
    send_large(session, &bytes).await
}

/// Uploads `large()` in two chunks and commits it.
async fn upload_large(
    script: &std::sync::Arc<Script>,
    to: &Destination,
) -> windlass_core::Result<Placed> {
    let bytes = large();
    let session = session(script, to, bytes.len() as u64).await;
    send_large(session, &bytes).await
}

async fn send_large(
    session: Box<dyn UploadSession>,
    bytes: &Bytes,
) -> windlass_core::Result<Placed> {
    let block = BLOCK_BYTES as u64;
    session
        .append(Chunk::new(0, bytes.slice(..BLOCK_BYTES)))
        .await?;
    assert_eq!(session.acknowledged(), [0..block]);
    session
        .append(Chunk::new(block, bytes.slice(BLOCK_BYTES..)))
        .await?;
    assert_eq!(session.acknowledged(), [0..block + 1]);
    session.commit(&digests(bytes)).await
}

#[tokio::test(start_paused = true)]
async fn a_small_file_travels_in_one_call() {
    let script = Script::new([(UPLOAD, json_ok(file("/Out/a.tif", REV, b"abc")))]);
    let session = session(&script, &new(), 3).await;
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await
        .unwrap();
    assert_eq!(session.acknowledged(), [], "Dropbox has seen nothing yet");
    assert_eq!(session.checkpoint(), None);
    let placed = session.commit(&digests(b"abc")).await.unwrap();
    assert_eq!(placed.evidence, Evidence::E2);
    assert_eq!((placed.asset.as_str(), placed.revision.as_str()), (ID, REV));
    let seen = script.seen(0);
    assert_eq!(seen.body, "abc");
    assert_eq!(seen.headers["content-type"], "application/octet-stream");
    assert_eq!(
        seen.header_arg(),
        json!({"path":"/Out/a.tif","mode":{".tag":"add"},"mute":true,"strict_conflict":true,
            "content_hash":ContentHash::of(b"abc").to_hex()})
    );
}

#[tokio::test(start_paused = true)]
async fn an_empty_file_is_a_file() {
    let script = Script::new([(UPLOAD, json_ok(file("/Out/a.tif", REV, b"")))]);
    let session = session(&script, &new(), 0).await;
    let placed = session.commit(&digests(b"")).await.unwrap();
    assert_eq!((placed.size, placed.evidence), (0, Evidence::E2));
    let seen = script.seen(0);
    assert_eq!(seen.headers["content-type"], "application/octet-stream");
}

#[tokio::test(start_paused = true)]
async fn a_large_file_travels_in_a_session() {
    let bytes = large();
    let script = Script::new([
        started(),
        appended(),
        appended(),
        (FINISH, json_ok(file("/Out/a.tif", REV, &bytes))),
    ]);
    let placed = upload_large(&script, &new()).await.unwrap();
    assert_eq!(placed.evidence, Evidence::E2);
    assert_eq!(
        script.seen(0).header_arg(),
        json!({"session_type":{".tag":"concurrent"}})
    );
    assert_eq!(
        script.seen(2).header_arg(),
        json!({"cursor":{"session_id":"pid_upload_session:A","offset":BLOCK_BYTES},
            "close":true,
            "content_hash":ContentHash::of(&bytes[BLOCK_BYTES..]).to_hex()}),
        "the hash is that of the call's own bytes"
    );
    let finish = script.seen(3);
    assert!(finish.body.is_empty());
    assert_eq!(finish.headers["content-type"], "application/octet-stream");
    assert_eq!(
        finish.header_arg(),
        json!({"cursor":{"session_id":"pid_upload_session:A","offset":bytes.len()},
            "commit":{"path":"/Out/a.tif","mode":{".tag":"add"},"mute":true,"strict_conflict":true}})
    );
    script.done();
}

#[tokio::test(start_paused = true)]
async fn an_append_that_had_landed_counts_as_done() {
    let bytes = large();
    let script = Script::new([
        started(),
        (APPEND, Act::Lost),
        session_error(json!({".tag":"incorrect_offset","correct_offset":BLOCK_BYTES})),
        appended(),
        (FINISH, json_ok(file("/Out/a.tif", REV, &bytes))),
    ]);
    upload_large(&script, &new()).await.unwrap();
    script.done();
}

#[tokio::test(start_paused = true)]
async fn an_append_that_landed_in_part_is_completed() {
    let bytes = large();
    let script = Script::new([
        started(),
        session_error(json!({".tag":"incorrect_offset","correct_offset":1000})),
        appended(),
        appended(),
        (FINISH, json_ok(file("/Out/a.tif", REV, &bytes))),
    ]);
    upload_in_order(&script).await.unwrap();
    assert_eq!(script.seen(0).header_arg(), json!({}));
    let tail = script.seen(2);
    assert_eq!(tail.header_arg()["cursor"]["offset"], 1000);
    assert_eq!(tail.body.len(), BLOCK_BYTES - 1000);
    assert_eq!(
        tail.header_arg()["content_hash"],
        ContentHash::of(&bytes[1000..BLOCK_BYTES]).to_hex()
    );
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_damaged_append_is_sent_again_but_not_for_ever() {
    let damaged = || session_error(json!({".tag":"content_hash_mismatch"}));
    let bytes = large();
    let script = Script::new([
        started(),
        damaged(),
        appended(),
        appended(),
        (FINISH, json_ok(file("/Out/a.tif", REV, &bytes))),
    ]);
    upload_large(&script, &new()).await.unwrap();
    script.done();

    let script = Script::new([started()].into_iter().chain((0..5).map(|_| damaged())));
    let error = upload_large(&script, &new()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::Integrity, Status::Persistent)
    );
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_session_elsewhere_or_gone_is_started_over_by_the_caller() {
    for error in [
        json!({".tag":"not_found"}),
        json!({".tag":"incorrect_offset","correct_offset":99_999_999}),
    ] {
        let script = Script::new([started(), session_error(error)]);
        let error = upload_large(&script, &new()).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.status()),
            (Kind::Unavailable, Status::Temporary)
        );
    }
}

fn nothing_there() -> (&'static str, Act) {
    (
        METADATA,
        conflict(json!({".tag":"path","path":{".tag":"not_found"}})),
    )
}

fn uploaded() -> [(&'static str, Act); 3] {
    [started(), appended(), appended()]
}

#[tokio::test(start_paused = true)]
async fn a_lost_commit_answer_is_adopted_not_repeated() {
    let bytes = large();
    let there = (METADATA, json_ok(tagged_file("/Out/a.tif", REV, &bytes)));
    let script = Script::new(uploaded().into_iter().chain([(FINISH, Act::Lost), there]));
    let placed = upload_large(&script, &new()).await.unwrap();
    assert_eq!(
        (placed.revision.as_str(), placed.evidence),
        (REV, Evidence::E2)
    );
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_did_not_happen_is_sent_again_without_the_bytes() {
    let bytes = large();
    let script = Script::new(uploaded().into_iter().chain([
        (FINISH, Act::Lost),
        nothing_there(),
        (FINISH, json_ok(file("/Out/a.tif", REV, &bytes))),
    ]));
    upload_large(&script, &new()).await.unwrap();
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_commit_that_happened_late_is_adopted_when_the_session_is_gone() {
    let bytes = large();
    let gone = || conflict(json!({".tag":"lookup_failed","lookup_failed":{".tag":"not_found"}}));
    let script = Script::new(uploaded().into_iter().chain([
        (FINISH, Act::Lost),
        nothing_there(),
        (FINISH, gone()),
        (METADATA, json_ok(tagged_file("/Out/a.tif", REV, &bytes))),
    ]));
    let placed = upload_large(&script, &new()).await.unwrap();
    assert_eq!(placed.revision.as_str(), REV);
    script.done();

    let script = Script::new(uploaded().into_iter().chain([
        (FINISH, Act::Lost),
        nothing_there(),
        (FINISH, gone()),
        nothing_there(),
    ]));
    let error = upload_large(&script, &new()).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.status()),
        (Kind::Unavailable, Status::Temporary)
    );
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_commit_of_which_nothing_can_be_learned_is_ambiguous() {
    // Without a hash nothing can be compared.
    let script = Script::new([(UPLOAD, Act::Lost)]);
    let session = session(&script, &new(), 0).await;
    let unhashed = Digests {
        content_hash: None,
        ..digests(b"")
    };
    let error = session.commit(&unhashed).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Ambiguous);
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_small_file_whose_answer_is_lost_is_adopted_too() {
    let taken = conflict(
        json!({".tag":"path","reason":{".tag":"conflict","conflict":{".tag":"file"}},
        "upload_session_id":"pid_upload_session:B"}),
    );
    let script = Script::new([
        (UPLOAD, Act::Lost),
        nothing_there(),
        (UPLOAD, taken),
        (METADATA, json_ok(tagged_file("/Out/a.tif", REV, b"abc"))),
    ]);
    let session = session(&script, &new(), 3).await;
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await
        .unwrap();
    let placed = session.commit(&digests(b"abc")).await.unwrap();
    assert_eq!(placed.revision.as_str(), REV);
    assert_eq!(script.seen(2).body, "abc");
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_locked_folder_is_waited_for() {
    let bytes = large();
    let locked = || {
        (
            FINISH,
            conflict(json!({".tag":"path","path":{".tag":"too_many_write_operations"}})),
        )
    };
    let script = Script::new(
        [started(), appended(), appended()]
            .into_iter()
            .chain((0..20).map(|_| locked()))
            .chain([(FINISH, json_ok(file("/Out/a.tif", REV, &bytes)))]),
    );
    upload_large(&script, &new()).await.unwrap();
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_file_in_the_way_is_a_conflict_even_with_the_same_bytes() {
    let script = Script::new([(
        UPLOAD,
        conflict(
            json!({".tag":"path","reason":{".tag":"conflict","conflict":{".tag":"file"}},
            "upload_session_id":"pid_upload_session:B"}),
        ),
    )]);
    let session = session(&script, &new(), 0).await;
    let error = session.commit(&digests(b"")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_version_replaces_only_the_revision_that_was_there() {
    let bytes = large();
    let current = || {
        (
            METADATA,
            json_ok(tagged_file("/Out/a.tif", "0164old00", b"old")),
        )
    };
    let script = Script::new([
        current(),
        started(),
        appended(),
        appended(),
        (FINISH, json_ok(file("/Out/a.tif", REV, &bytes))),
    ]);
    upload_large(&script, &version()).await.unwrap();
    let commit = &script.seen(4).header_arg()["commit"];
    assert_eq!(commit["path"], ID);
    assert_eq!(
        commit["mode"],
        json!({".tag":"update","update":"0164old00"})
    );

    let taken = || {
        (
            FINISH,
            conflict(json!({".tag":"path","path":{".tag":"conflict","conflict":{".tag":"file"}}})),
        )
    };
    // Somebody else wrote other bytes meanwhile.
    let script = Script::new([
        current(),
        started(),
        appended(),
        appended(),
        taken(),
        (
            METADATA,
            json_ok(tagged_file("/Out/a.tif", "0166other", b"theirs")),
        ),
    ]);
    let error = upload_large(&script, &version()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    script.done();
    // The bytes were there already: strictness calls it a conflict, we do not.
    let script = Script::new([
        current(),
        started(),
        appended(),
        appended(),
        taken(),
        (
            METADATA,
            json_ok(tagged_file("/Out/a.tif", "0164old00", &bytes)),
        ),
    ]);
    let placed = upload_large(&script, &version()).await.unwrap();
    assert_eq!(placed.revision.as_str(), "0164old00");
}

#[tokio::test(start_paused = true)]
async fn a_version_of_nothing_is_not_begun() {
    let gone = conflict(json!({".tag":"path","path":{".tag":"not_found"}}));
    let script = Script::new([(METADATA, gone)]);
    let begun = connect(&script).await.begin(&version(), 1, &mark()).await;
    assert_eq!(begun.err().unwrap().kind(), Kind::NotFound);
}

#[tokio::test(start_paused = true)]
async fn other_bytes_than_were_sent_are_taken_back() {
    let script = Script::new([
        (UPLOAD, json_ok(file("/Out/a.tif", REV, b"xyz"))),
        (
            DELETE,
            json_ok(json!({"metadata":tagged_file("/Out/a.tif", REV, b"xyz")})),
        ),
    ]);
    let session = session(&script, &new(), 3).await;
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await
        .unwrap();
    let error = session.commit(&digests(b"abc")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(error.to_string().contains("removed again"), "{error}");
    assert_eq!(script.seen(1).arg(), json!({"path":ID,"parent_rev":REV}));
    script.done();
}

#[tokio::test(start_paused = true)]
async fn an_incomplete_upload_is_not_committed() {
    let script = Script::new([]);
    let session = session(&script, &new(), 3).await;
    for (at, bytes) in [(0, "ab"), (1, "bc"), (0, "abcd")] {
        let part = session.append(Chunk::new(at, Bytes::from(bytes))).await;
        assert_eq!(part.unwrap_err().kind(), Kind::InvalidInput, "{at} {bytes}");
    }
    let error = session.commit(&digests(b"abc")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_found_again_only_by_its_bytes() {
    let expected = |bytes: &[u8]| Expected::from(&digests(bytes));
    let script = Script::new([
        (METADATA, json_ok(tagged_file("/Out/a.tif", REV, b"abc"))),
        (METADATA, json_ok(tagged_file("/Out/a.tif", REV, b"xyz"))),
        (
            METADATA,
            conflict(json!({".tag":"path","path":{".tag":"not_found"}})),
        ),
    ]);
    let dropbox = connect(&script).await;
    let found = dropbox
        .find(&new(), &mark(), &expected(b"abc"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (found.revision.as_str(), found.evidence),
        (REV, Evidence::E2)
    );
    for _ in 0..2 {
        let found = dropbox
            .find(&new(), &mark(), &expected(b"abc"))
            .await
            .unwrap();
        assert_eq!(found, None);
    }
    let unread = Expected {
        size: 3,
        content_hash: None,
        blake3: None,
    };
    assert_eq!(dropbox.find(&new(), &mark(), &unread).await.unwrap(), None);
    assert_eq!(script.seen(0).arg(), json!({"path":"/Out/a.tif"}));
    script.done();
}

fn mine() -> Placed {
    Placed {
        asset: AssetId::new(ID),
        revision: Revision::new(REV),
        size: 3,
        content_hash: None,
        evidence: Evidence::E2,
    }
}

fn revisions(is_deleted: bool, revs: &[&str]) -> (&'static str, Act) {
    let entries: Vec<_> = revs
        .iter()
        .map(|rev| file("/Out/a.tif", rev, b"abc"))
        .collect();
    let answer = json!({"is_deleted":is_deleted,"entries":entries,"has_more":false});
    (REVISIONS, json_ok(answer))
}

#[tokio::test(start_paused = true)]
async fn a_new_file_is_removed_and_a_version_undone() {
    let script = Script::new([
        revisions(false, &[REV]),
        (
            DELETE,
            json_ok(json!({"metadata":tagged_file("/Out/a.tif", REV, b"abc")})),
        ),
        revisions(false, &[REV, "0164old00"]),
        (RESTORE, json_ok(file("/Out/a.tif", "0167new00", b"old"))),
    ]);
    let dropbox = connect(&script).await;
    dropbox.remove(&mine()).await.unwrap();
    dropbox.remove(&mine()).await.unwrap();
    assert_eq!(
        script.seen(0).arg(),
        json!({"path":ID,"mode":"id","limit":2})
    );
    assert_eq!(script.seen(1).arg(), json!({"path":ID,"parent_rev":REV}));
    assert_eq!(
        script.seen(3).arg(),
        json!({"path":"/out/a.tif","rev":"0164old00"})
    );
    script.done();
}

#[tokio::test(start_paused = true)]
async fn what_is_gone_or_changed_is_left_alone() {
    let lookup =
        |reason: &str| conflict(json!({".tag":"path_lookup","path_lookup":{".tag":reason}}));
    let changed =
        json!({".tag":"path_write","path_write":{".tag":"conflict","conflict":{".tag":"file"}}});
    let script = Script::new([
        (
            REVISIONS,
            conflict(json!({".tag":"path","path":{".tag":"not_found"}})),
        ),
        revisions(true, &[REV]),
        revisions(false, &["0168newer", REV]),
        revisions(false, &[REV]),
        (DELETE, lookup("not_found")),
        revisions(false, &[REV]),
        (DELETE, conflict(changed)),
    ]);
    let dropbox = connect(&script).await;
    for _ in 0..5 {
        dropbox.remove(&mine()).await.unwrap();
    }
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_draft_that_names_another_place_moves_the_file() {
    let there = |path| (METADATA, json_ok(tagged_file(path, REV, b"abc")));
    let script = Script::new([
        there("/In/a.tif"),
        (
            MOVE,
            json_ok(json!({"metadata":tagged_file("/Out/a.tif", REV, b"abc")})),
        ),
        there("/out/A.tif"),
        there("/In/a.tif"),
        (MOVE, Act::Lost),
        there("/Out/a.tif"),
    ]);
    let dropbox = connect(&script).await;
    let id = AssetId::new(ID);
    dropbox
        .set_metadata(&id, &draft("/Out", "a.tif"))
        .await
        .unwrap();
    assert_eq!(
        script.seen(1).arg(),
        json!({"from_path":ID,"to_path":"/Out/a.tif"})
    );
    // Another spelling of the same name: Dropbox does not move it.
    dropbox
        .set_metadata(&id, &draft("/Out", "a.tif"))
        .await
        .unwrap();
    // A lost answer is looked up.
    dropbox
        .set_metadata(&id, &draft("/Out", "a.tif"))
        .await
        .unwrap();
    script.done();
}

#[tokio::test(start_paused = true)]
async fn a_file_whose_name_or_folder_yields_keeps_it() {
    let moved = || {
        let metadata = tagged_file("/Out/a.tif", REV, b"1");
        (MOVE, json_ok(json!({ "metadata": metadata })))
    };
    let there = || {
        let metadata = tagged_file("/Theirs/kept.tif", REV, b"1");
        (METADATA, json_ok(metadata))
    };
    // Where both yield, all that may be left to say are fields, of which there are none.
    let templates = (TEMPLATES, json_ok(json!({ "template_ids": [] })));
    let script = Script::new([there(), moved(), there(), moved(), templates, there()]);
    let dropbox = connect(&script).await;
    for yields in [
        vec![DraftPart::Name],
        vec![DraftPart::Collection],
        vec![DraftPart::Name, DraftPart::Collection],
    ] {
        let mut draft = draft("/Out", "a.tif");
        draft.yields = yields.into_iter().collect();
        dropbox
            .set_metadata(&AssetId::new(ID), &draft)
            .await
            .unwrap();
    }
    assert_eq!(script.seen(1).arg()["to_path"], "/Out/kept.tif");
    assert_eq!(script.seen(3).arg()["to_path"], "/Theirs/a.tif");
    script.done();
}

#[tokio::test(start_paused = true)]
async fn drafts_that_dropbox_cannot_hold_are_refused_before_bytes_move() {
    let dropbox = connect(&Script::new([])).await;
    let mut rich = draft("/Out", "a.tif");
    rich.asset_type = Some("photo".into());
    rich.availability = Some(Availability::Direct { available: true });
    rich.fields.push(Assigned {
        field: "sku".into(),
        value: FieldValue::Text("1".into()),
        rule: "template 1".into(),
    });
    let long = "é".repeat(256);
    let drafts = [
        draft("/Out", "fine 😀.tif"),
        draft("/Out", "Desktop.INI"),
        draft("/Out", "icon\r"),
        draft("/Out", &long),
        draft("/Out", "blank "),
        draft("/Out", "a/b"),
        draft("/Out", "a\\b"),
        draft("/Thumbs.db", "a.tif"),
        draft("/Out", ""),
        rich,
    ];
    let faults = dropbox.check_drafts(&drafts).await.unwrap();
    let counts: Vec<_> = faults.iter().map(Vec::len).collect();
    assert_eq!(counts, [0, 1, 1, 1, 1, 1, 1, 1, 1, 2], "{faults:?}");
    assert_eq!(faults[9][1].field.as_deref(), Some("sku"));
    let id = AssetId::new(ID);
    let error = dropbox.set_metadata(&id, &drafts[9]).await.unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
}
