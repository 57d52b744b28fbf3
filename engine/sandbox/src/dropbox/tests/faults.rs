//! What only this service can do wrong, and the limits of a plan.

use windlass_core::ContentHash;

use super::*;

const BLOCK: usize = 4 << 20;

fn with_fault(profile: &str) -> Rig {
    Rig::with(DropboxOptions {
        faults: profile.parse().unwrap(),
        ..DropboxOptions::default()
    })
}

async fn started(rig: &Rig, kind: &str, count: u64) -> Vec<Value> {
    let arg = json!({"num_sessions": count, "session_type": kind});
    let answer = rig.rpc("files/upload_session/start_batch", arg).await;
    answer.ok()["session_ids"].as_array().unwrap().clone()
}

async fn append(rig: &Rig, id: &Value, offset: usize, bytes: Vec<u8>, close: bool) -> Answer {
    let arg = json!({"cursor": {"session_id": id, "offset": offset}, "close": close});
    rig.send_bytes("files/upload_session/append_v2", arg, bytes)
        .await
}

async fn append_batch(rig: &Rig, ids: &[Value], body: &'static str) -> Answer {
    let length = body.len() / ids.len();
    let entry =
        |id| json!({"cursor": {"session_id": id, "offset": 0}, "length": length, "close": true});
    let entries: Vec<Value> = ids.iter().map(entry).collect();
    let arg = json!({ "entries": entries });
    rig.send_bytes("files/upload_session/append_batch", arg, body)
        .await
}

async fn finish_batch(rig: &Rig, ids: &[Value], length: usize) -> Vec<Value> {
    let entry = |(n, id)| json!({"cursor": {"session_id": id, "offset": length}, "commit": {"path": format!("/{n}")}});
    let entries: Vec<Value> = ids.iter().enumerate().map(entry).collect();
    let arg = json!({ "entries": entries });
    let answer = rig.rpc("files/upload_session/finish_batch_v2", arg).await;
    answer.ok()["entries"].as_array().unwrap().clone()
}

fn tags(entries: &[Value]) -> Vec<String> {
    let tag = |entry: &Value| match entry[".tag"].as_str() {
        Some("failure") => error::summary(&entry["failure"]),
        tag => tag.unwrap_or_default().to_owned(),
    };
    entries.iter().map(tag).collect()
}

#[tokio::test]
async fn half_of_a_broken_append_stays_and_the_next_offset_is_told() {
    let rig = with_fault("route=files/upload_session/append_v2,nth=1,do=service:partial");
    let ids = started(&rig, "sequential", 1).await;
    let broken = append(&rig, &ids[0], 0, b"abcdef".to_vec(), true).await;
    assert_eq!(broken.status, 0);
    let again = append(&rig, &ids[0], 0, b"abcdef".to_vec(), true).await;
    assert_eq!(again.json()["error"]["correct_offset"], 3);
    append(&rig, &ids[0], 3, b"def".to_vec(), true).await.ok();
    assert_eq!(tags(&finish_batch(&rig, &ids, 6).await), ["success"]);
    assert_eq!(&rig.download("/0", &[]).await.body[..], b"abcdef");
    assert_eq!(rig.dropbox.bytes_received_again(), 0);
}

#[tokio::test]
async fn a_concurrent_session_keeps_the_whole_blocks_of_a_broken_append() {
    let rig = with_fault("route=files/upload_session/append_v2,nth=1,do=service:partial");
    let ids = started(&rig, "concurrent", 1).await;
    let bytes: Vec<u8> = (0..3 * BLOCK).map(|n| (n / 7) as u8).collect();
    append(&rig, &ids[0], 0, bytes.clone(), true).await;
    append(&rig, &ids[0], 0, bytes.clone(), true).await.ok();
    // What had stayed came a second time, and is counted.
    let again = rig.dropbox.bytes_received_again();
    assert_eq!(again, BLOCK as u64);
    assert_eq!(
        tags(&finish_batch(&rig, &ids, bytes.len()).await),
        ["success"]
    );
    assert!(rig.download("/0", &[]).await.body == bytes);
}

#[tokio::test]
async fn every_other_entry_of_a_batch_is_refused() {
    let rig = with_fault(
        "route=files/upload_session/*,nth=2,do=service:entries;route=files/upload_session/*,nth=4,do=service:entries",
    );
    let ids = started(&rig, "sequential", 3).await;
    let appended = append_batch(&rig, &ids, "aabbcc").await.ok();
    let entries = appended["entries"].as_array().unwrap();
    assert_eq!(tags(entries), ["success", "not_found/", "success"]);
    append_batch(&rig, &ids[1..2], "bb").await.ok();
    let locked = "path/too_many_write_operations/";
    let finished = finish_batch(&rig, &ids, 2).await;
    assert_eq!(tags(&finished), ["success", locked, "success"]);
    assert_eq!(
        tags(&finish_batch(&rig, &ids[1..2], 2).await),
        ["path/conflict/file/"]
    );
    assert_eq!(rig.paths(), ["/0", "/2"]);
}

#[tokio::test]
async fn the_first_half_of_a_broken_batch_stays() {
    let rig = with_fault("route=files/upload_session/append_batch,nth=1,do=service:partial");
    let ids = started(&rig, "sequential", 4).await;
    let broken = append_batch(&rig, &ids, "aabbccdd").await;
    assert_eq!(broken.status, 0);
    let again = append_batch(&rig, &ids, "aabbccdd").await.ok();
    let entries = again["entries"].as_array().unwrap();
    assert_eq!(tags(entries), ["closed/", "closed/", "success", "success"]);
}

#[tokio::test]
async fn a_session_may_expire_under_any_call_that_names_it() {
    for route in ["append_v2", "append_batch", "finish_batch_v2"] {
        let fault = format!("route=files/upload_session/{route},nth=1,do=service:session-gone");
        let rig = with_fault(&fault);
        let ids = started(&rig, "sequential", 1).await;
        let seen = match route {
            "append_v2" => append(&rig, &ids[0], 0, b"aa".to_vec(), true)
                .await
                .refused(),
            "append_batch" => {
                let answer = append_batch(&rig, &ids, "aa").await.ok();
                tags(answer["entries"].as_array().unwrap())[0].clone()
            }
            _ => {
                append(&rig, &ids[0], 0, b"aa".to_vec(), true).await.ok();
                tags(&finish_batch(&rig, &ids, 2).await)[0].clone()
            }
        };
        assert!(seen.ends_with("not_found/"), "{route}: {seen}");
        assert_eq!(rig.dropbox.upload_sessions_open(), 0, "{route}");
    }
}

#[tokio::test]
async fn the_life_of_a_session_is_an_option() {
    let clock = TestClock::start();
    let rig = Rig::with(DropboxOptions {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        session_lifetime: Duration::from_secs(60),
        ..DropboxOptions::default()
    });
    let ids = started(&rig, "sequential", 1).await;
    clock.advance(61);
    let late = append(&rig, &ids[0], 0, b"aa".to_vec(), true).await;
    assert_eq!(late.refused(), "not_found/");
}

#[tokio::test]
async fn an_older_service_has_no_append_batch() {
    let rig = Rig::with(DropboxOptions {
        append_batch: false,
        ..DropboxOptions::default()
    });
    let ids = started(&rig, "sequential", 1).await;
    let answer = append_batch(&rig, &ids, "aa").await;
    assert_eq!(answer.status, 404);
    assert!(answer.text().starts_with("Unknown API function"));
}

#[tokio::test]
async fn upload_calls_beyond_the_plan_are_refused_until_the_next_month() {
    let clock = TestClock::start();
    let mut rig = Rig::with(DropboxOptions {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        monthly_calls: Some(2),
        ..DropboxOptions::default()
    });
    rig.upload("/a", "a").await;
    started(&rig, "sequential", 1).await;
    let arg = json!({"path": "/b"});
    let refused = rig.send_bytes("files/upload", arg, "b").await;
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.json()["error_summary"],
        "invalid_account_type/feature/"
    );
    assert!(refused.json()["user_message"]["text"].is_string());
    // What moves no bytes in is not counted.
    rig.rpc("files/get_metadata", json!({"path": "/a"}))
        .await
        .ok();
    clock.advance(31 * 86_400);
    rig.token = rig.dropbox.access_token().expose().to_owned();
    rig.upload("/b", "b").await;
}

#[tokio::test]
async fn what_was_just_made_may_not_be_there_yet_for_who_moves_it() {
    let rig = with_fault("route=files/move_v2,nth=1,do=service:not-yet-there");
    rig.upload("/a", "a").await;
    let arg = json!({"from_path": "/a", "to_path": "/b"});
    let early = rig.rpc("files/move_v2", arg.clone()).await;
    assert_eq!(early.refused(), "from_lookup/not_found/");
    rig.rpc("files/move_v2", arg).await.ok();
    assert_eq!(rig.paths(), ["/b"]);
}

#[tokio::test]
async fn a_content_that_flips_a_bit_on_its_way_is_not_what_was_stated() {
    let rig = with_fault("route=files/upload,nth=1,do=corrupt");
    let hash = ContentHash::of(b"abc").to_hex();
    let arg = json!({"path": "/a", "content_hash": hash});
    let refused = rig.send_bytes("files/upload", arg.clone(), "abc").await;
    assert_eq!(refused.refused(), "content_hash_mismatch/");
    rig.send_bytes("files/upload", arg, "abc").await.ok();
}
