use super::*;

const MIB4: usize = 4 << 20;

async fn start(rig: &Rig, arg: Value) -> String {
    let started = rig
        .send_bytes("files/upload_session/start", arg, "")
        .await
        .ok();
    let id = started["session_id"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), "pid_upload_session:".len() + 50);
    id
}

async fn append(rig: &Rig, id: &str, offset: usize, bytes: Vec<u8>, close: bool) -> Answer {
    let arg = json!({"cursor": {"session_id": id, "offset": offset}, "close": close});
    rig.send_bytes("files/upload_session/append_v2", arg, bytes)
        .await
}

async fn finish(rig: &Rig, id: &str, offset: usize, path: &str) -> Answer {
    let arg = json!({"cursor": {"session_id": id, "offset": offset}, "commit": {"path": path}});
    rig.send_bytes("files/upload_session/finish", arg, "").await
}

#[tokio::test]
async fn a_sequential_session_takes_bytes_in_order_at_every_stage() {
    let rig = Rig::new();
    let started = rig
        .send_bytes("files/upload_session/start", json!({}), "abc")
        .await
        .ok();
    let id = started["session_id"].as_str().unwrap();
    let appended = append(&rig, id, 3, b"def".to_vec(), false).await;
    assert_eq!(&appended.body[..], b"null");
    for offset in [0, 3, 5, 7] {
        let wrong = append(&rig, id, offset, b"x".to_vec(), false).await;
        assert_eq!(wrong.status, 409);
        assert_eq!(
            wrong.text(),
            r#"{"error":{".tag":"incorrect_offset","correct_offset":6},"error_summary":"incorrect_offset/"}"#
        );
    }
    let arg = json!({"cursor": {"session_id": id, "offset": 6}, "commit": {"path": "/a"}});
    let file = rig
        .send_bytes("files/upload_session/finish", arg, "ghi")
        .await
        .ok();
    assert_eq!(file["size"], 9);
    assert_eq!(&rig.download("/a", &[]).await.body[..], b"abcdefghi");
    assert_eq!(
        finish(&rig, id, 9, "/a").await.refused(),
        "lookup_failed/not_found/"
    );
}

#[tokio::test]
async fn the_hash_of_a_session_is_right_whether_or_not_its_pieces_are_aligned() {
    let rig = Rig::new();
    let bytes: Vec<u8> = (0..8_400_953u32).map(|i| (i % 251) as u8).collect();
    for (path, step) in [("/aligned", MIB4), ("/ragged", 3_000_001)] {
        let id = start(&rig, json!({})).await;
        let mut offset = 0;
        for piece in bytes.chunks(step) {
            assert_eq!(
                append(&rig, &id, offset, piece.to_vec(), false)
                    .await
                    .status,
                200
            );
            offset += piece.len();
        }
        let file = finish(&rig, &id, offset, path).await.ok();
        assert_eq!(
            file["content_hash"],
            "1e4187d74c09ac5ecba418360e3aff8c86fed9e00ece62a4b8383a72b85f2cee"
        );
    }
}

#[tokio::test]
async fn a_closed_session_takes_no_more_and_a_wrong_hash_changes_nothing() {
    let rig = Rig::new();
    let id = start(&rig, json!({})).await;
    let arg = json!({
        "cursor": {"session_id": id, "offset": 0}, "content_hash": "0".repeat(64),
    });
    let answer = rig
        .send_bytes("files/upload_session/append_v2", arg, "bad bytes")
        .await;
    assert_eq!(answer.refused(), "content_hash_mismatch/");
    assert_eq!(
        append(&rig, &id, 0, b"good".to_vec(), true).await.status,
        200
    );
    assert_eq!(
        append(&rig, &id, 4, b"x".to_vec(), false).await.refused(),
        "closed/"
    );
    let early = finish(&rig, &id, 3, "/a").await;
    assert_eq!(early.json()["error"]["lookup_failed"]["correct_offset"], 4);
    assert_eq!(early.refused(), "lookup_failed/incorrect_offset/");
    finish(&rig, &id, 4, "/a").await.ok();
    assert_eq!(&rig.download("/a", &[]).await.body[..], b"good");
    assert_eq!(
        append(&rig, "nope", 0, vec![], false).await.refused(),
        "not_found/"
    );
}

#[tokio::test]
async fn a_concurrent_session_takes_aligned_pieces_in_any_order() {
    let rig = Rig::new();
    let bytes: Vec<u8> = (0..8_400_953u32).map(|i| (i % 251) as u8).collect();
    let id = start(&rig, json!({"session_type": "concurrent"})).await;
    let piece = |n: usize| bytes[n * MIB4..bytes.len().min((n + 1) * MIB4)].to_vec();
    let odd = append(&rig, &id, 5, piece(0), false).await;
    assert_eq!(odd.refused(), "concurrent_session_invalid_offset/");
    let short = append(&rig, &id, 0, vec![0; 9], false).await;
    assert_eq!(short.refused(), "concurrent_session_invalid_data_size/");
    let open = finish(&rig, &id, bytes.len(), "/a").await;
    assert_eq!(open.refused(), "concurrent_session_not_closed/");
    assert_eq!(append(&rig, &id, MIB4, piece(1), false).await.status, 200);
    assert_eq!(append(&rig, &id, 0, piece(0), false).await.status, 200);
    // A repeated append is taken again, and changes nothing.
    assert_eq!(append(&rig, &id, 0, vec![7; MIB4], false).await.status, 200);
    assert_eq!(
        append(&rig, &id, 2 * MIB4, piece(2), true).await.status,
        200
    );
    assert_eq!(
        append(&rig, &id, 0, piece(0), false).await.refused(),
        "closed/"
    );
    let wrong = finish(&rig, &id, 2 * MIB4, "/a").await;
    assert_eq!(wrong.refused(), "lookup_failed/incorrect_offset/");
    let arg = json!({
        "cursor": {"session_id": id, "offset": bytes.len()}, "commit": {"path": "/a"},
    });
    let data = rig
        .send_bytes("files/upload_session/finish", arg, "x")
        .await;
    assert_eq!(data.refused(), "concurrent_session_data_not_allowed/");
    let file = finish(&rig, &id, bytes.len(), "/a").await.ok();
    assert_eq!(
        file["content_hash"],
        "1e4187d74c09ac5ecba418360e3aff8c86fed9e00ece62a4b8383a72b85f2cee"
    );
}

#[tokio::test]
async fn a_concurrent_session_with_a_hole_is_not_a_file_and_starts_bare() {
    let rig = Rig::new();
    let concurrent = json!({"session_type": {".tag": "concurrent"}});
    let data = rig
        .send_bytes("files/upload_session/start", concurrent.clone(), "x")
        .await;
    assert_eq!(data.refused(), "concurrent_session_data_not_allowed/");
    let close = json!({"session_type": "concurrent", "close": true});
    let close = rig
        .send_bytes("files/upload_session/start", close, "")
        .await;
    assert_eq!(close.refused(), "concurrent_session_close_not_allowed/");
    let id = start(&rig, concurrent).await;
    append(&rig, &id, MIB4, vec![1; MIB4], false).await.ok();
    append(&rig, &id, 2 * MIB4, vec![], true).await.ok();
    let holed = finish(&rig, &id, 2 * MIB4, "/a").await;
    assert_eq!(holed.refused(), "concurrent_session_missing_data/");
}

#[tokio::test]
async fn batches_start_append_and_finish_many_files() {
    let rig = Rig::new();
    let started = rig
        .rpc(
            "files/upload_session/start_batch",
            json!({"num_sessions": 3}),
        )
        .await;
    let ids: Vec<Value> = started.ok()["session_ids"].as_array().unwrap().clone();
    let entry = |n: usize, offset: u64, length: u64| json!({"cursor": {"session_id": ids[n], "offset": offset}, "length": length, "close": true});
    let batch = |entries: Vec<Value>| json!({ "entries": entries });
    let route = "files/upload_session/append_batch";
    let arg = batch(vec![entry(0, 0, 3), entry(1, 0, 4)]);
    assert_eq!(
        rig.send_bytes(route, arg, "abcdefgh").await.refused(),
        "length_mismatch/"
    );
    let mut arg = batch(vec![entry(0, 0, 3)]);
    arg["content_hash"] = "0".repeat(64).into();
    assert_eq!(
        rig.send_bytes(route, arg, "abc").await.refused(),
        "content_hash_mismatch/"
    );
    let arg = batch(vec![
        entry(0, 0, 3),
        entry(1, 5, 2),
        entry(1, 0, 3),
        entry(0, 3, 0),
    ]);
    let appended = rig.send_bytes(route, arg, "abcXXdef").await;
    assert_eq!(
        appended.text(),
        concat!(
            r#"{"entries":[{".tag":"success"},"#,
            r#"{".tag":"failure","failure":{".tag":"incorrect_offset","correct_offset":0}},"#,
            r#"{".tag":"success"},{".tag":"failure","failure":{".tag":"closed"}}]}"#
        )
    );
    let commit = |n: usize, offset: u64, path: &str| json!({"cursor": {"session_id": ids[n], "offset": offset}, "commit": {"path": path}});
    let entries = [
        commit(0, 3, "/out/a.txt"),
        commit(1, 3, "/out/a.txt"),
        commit(2, 0, "/c"),
    ];
    let finished = rig
        .rpc(
            "files/upload_session/finish_batch_v2",
            json!({ "entries": entries }),
        )
        .await
        .ok();
    let entries = finished["entries"].as_array().unwrap();
    assert_eq!(
        (&entries[0][".tag"], &entries[0]["name"]),
        (&json!("success"), &json!("a.txt"))
    );
    let conflict =
        json!({".tag": "path", "path": {".tag": "conflict", "conflict": {".tag": "file"}}});
    assert_eq!(entries[1], json!({".tag": "failure", "failure": conflict}));
    let open = json!({".tag": "lookup_failed", "lookup_failed": {".tag": "not_closed"}});
    assert_eq!(entries[2]["failure"], open);
    assert_eq!(rig.paths(), ["/out/", "/out/a.txt"]);
    // The bytes of a refused commit are still there.
    let again = json!({"entries": [commit(1, 3, "/out/b.txt")]});
    let again = rig
        .rpc("files/upload_session/finish_batch_v2", again)
        .await
        .ok();
    assert_eq!(again["entries"][0]["size"], 3);
    assert_eq!(&rig.download("/out/b.txt", &[]).await.body[..], b"def");
}

#[tokio::test]
async fn batch_sizes_are_bounded() {
    let rig = Rig::new();
    for n in [0, 1001] {
        let arg = json!({ "num_sessions": n });
        let answer = rig.rpc("files/upload_session/start_batch", arg).await;
        assert_eq!(answer.status, 400);
    }
    let entry = json!({"cursor": {"session_id": "s", "offset": 0}, "commit": {"path": "/a"}});
    let arg = json!({"entries": vec![entry; 1001]});
    let answer = rig.rpc("files/upload_session/finish_batch_v2", arg).await;
    assert_eq!(answer.status, 400);
    let finish = json!({"entries": [{
        "cursor": {"session_id": "s", "offset": 0}, "commit": {"path": "/a", "content_hash": "x"},
    }]});
    assert_eq!(
        rig.rpc("files/upload_session/finish_batch_v2", finish)
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn a_session_lives_seven_days() {
    let clock = TestClock::start();
    let mut rig = Rig::with(DropboxOptions {
        clock: Arc::clone(&clock) as Arc<dyn Clock>,
        ..DropboxOptions::default()
    });
    let id = start(&rig, json!({})).await;
    clock.advance(7 * 86_400);
    rig.token = rig.dropbox.access_token().expose().to_owned();
    append(&rig, &id, 0, b"in time".to_vec(), false).await.ok();
    clock.advance(1);
    assert_eq!(
        append(&rig, &id, 7, b"late".to_vec(), false)
            .await
            .refused(),
        "not_found/"
    );
    assert_eq!(rig.dropbox.upload_sessions_open(), 0);
}

#[tokio::test]
async fn two_appends_at_one_offset_never_mix() {
    let rig = Rig::new();
    let id = start(&rig, json!({})).await;
    // Bodies that arrive in turns, so that both appends would write if they were let.
    let body = |byte: u8| {
        let piece = Bytes::from(vec![byte; 300_000]);
        let pieces = futures_util::stream::iter(std::iter::repeat_n(piece, 4));
        Body::from_stream(futures_util::StreamExt::then(pieces, |piece| async {
            tokio::task::yield_now().await;
            Ok::<_, io::Error>(piece)
        }))
    };
    let arg = json!({"cursor": {"session_id": id, "offset": 0}});
    let route = "files/upload_session/append_v2";
    let (one, two) = tokio::join!(
        rig.send_bytes(route, arg.clone(), body(1)),
        rig.send_bytes(route, arg.clone(), body(2)),
    );
    assert_eq!(one.status, 200);
    assert_eq!(two.refused(), "incorrect_offset/");
    let file = finish(&rig, &id, 1_200_000, "/a").await.ok();
    let stored = rig.download("/a", &[]).await.body;
    assert!(stored.iter().all(|b| *b == 1));
    assert_eq!(
        file["content_hash"],
        windlass_core::ContentHash::of(&stored).to_hex()
    );
}

#[tokio::test]
async fn an_append_that_overlaps_what_is_here_keeps_what_came_first() {
    let rig = Rig::new();
    let id = start(&rig, json!({"session_type": "concurrent"})).await;
    append(&rig, &id, 0, vec![1; MIB4], false).await.ok();
    append(&rig, &id, 0, vec![2; 2 * MIB4], false).await.ok();
    append(&rig, &id, 2 * MIB4, vec![], true).await.ok();
    let file = finish(&rig, &id, 2 * MIB4, "/a").await.ok();
    let stored = rig.download("/a", &[]).await.body;
    assert!(stored[..MIB4].iter().all(|b| *b == 1) && stored[MIB4..].iter().all(|b| *b == 2));
    assert_eq!(
        file["content_hash"],
        windlass_core::ContentHash::of(&stored).to_hex()
    );
}
