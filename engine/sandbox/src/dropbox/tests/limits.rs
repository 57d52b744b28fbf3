use super::*;

#[tokio::test(start_paused = true)]
async fn the_rate_model_refuses_what_overruns_its_bucket_and_refills() {
    let rig = Rig::with(DropboxOptions {
        rate: Some(RateModel {
            calls_per_second: 2.0,
            burst: 3.0,
            ..RateModel::default()
        }),
        ..DropboxOptions::default()
    });
    for _ in 0..3 {
        rig.rpc("check/user", json!({})).await.ok();
    }
    let limited = rig.rpc("check/user", json!({})).await;
    assert_eq!(limited.status, 429);
    let wait: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=15).contains(&wait));
    tokio::time::sleep(Duration::from_secs(1)).await;
    rig.rpc("check/user", json!({})).await.ok();
    for _ in 0..12 {
        rig.rpc("check/user", json!({})).await;
    }
    let penalty = rig.rpc("check/user", json!({})).await;
    assert_eq!(penalty.header("retry-after"), "300");
}

fn locking(whole_share: f64) -> Rig {
    Rig::with(DropboxOptions {
        lock: Some(LockModel {
            single_ms: (1000, 1000),
            batch_ms: 1000,
            whole_share,
            ..LockModel::default()
        }),
        ..DropboxOptions::default()
    })
}

#[tokio::test(start_paused = true)]
async fn a_second_writer_to_a_namespace_is_told_to_wait_in_one_of_two_forms() {
    let rig = locking(0.5);
    let shared = rig.dropbox.add_namespace("other").unwrap();
    let folder = |path: String| rig.rpc("files/create_folder_v2", json!({ "path": path }));
    let mut forms = std::collections::BTreeSet::new();
    for n in 0..20 {
        let (first, second, elsewhere) = tokio::join!(
            folder(format!("/a{n}")),
            folder(format!("/b{n}")),
            folder(format!("ns:{shared}/c{n}")),
        );
        assert_eq!((first.status, elsewhere.status), (200, 200));
        forms.insert(second.status);
        let summary = second.json()["error_summary"].as_str().unwrap().to_owned();
        assert!(summary.contains("too_many_write_operations"), "{summary}");
        assert_eq!(
            second.status == 429,
            !second.header("retry-after").is_empty()
        );
    }
    assert_eq!(forms.into_iter().collect::<Vec<_>>(), [409, 429]);
}

#[tokio::test(start_paused = true)]
async fn a_locked_batch_fails_entry_by_entry_or_as_a_whole_and_keeps_its_bytes() {
    for (whole_share, status) in [(0.0, 200), (1.0, 429)] {
        let rig = locking(whole_share);
        let arg = json!({"close": true});
        let started = rig
            .send_bytes("files/upload_session/start", arg, "abc")
            .await
            .ok();
        let entry = json!({
            "cursor": {"session_id": started["session_id"], "offset": 3},
            "commit": {"path": "/f"},
        });
        let batch = json!({ "entries": [entry] });
        let route = "files/upload_session/finish_batch_v2";
        let arg = json!({"path": "/x"});
        let (_, locked) = tokio::join!(
            rig.rpc("files/create_folder_v2", arg),
            rig.rpc(route, batch.clone())
        );
        assert_eq!(locked.status, status);
        if status == 200 {
            let failure = json!({".tag": "path", "path": {".tag": "too_many_write_operations"}});
            assert_eq!(locked.json()["entries"][0]["failure"], failure);
        }
        let again = rig.rpc(route, batch).await.ok();
        assert_eq!(again["entries"][0][".tag"], "success");
    }
}

#[tokio::test]
async fn a_fault_rule_can_ask_for_the_lock() {
    let rig = Rig::with(DropboxOptions {
        faults: "route=files/delete_v2,nth=1,do=service:lock"
            .parse()
            .unwrap(),
        ..DropboxOptions::default()
    });
    rig.upload("/a", "x").await;
    let arg = json!({"path": "/a"});
    let locked = rig.rpc("files/delete_v2", arg.clone()).await;
    assert_eq!(locked.refused(), "too_many_write_operations/");
    rig.rpc("files/delete_v2", arg).await.ok();
}

#[tokio::test]
async fn a_lost_answer_still_acted() {
    let rig = Rig::with(DropboxOptions {
        faults: "route=files/upload,nth=1,do=reset-after".parse().unwrap(),
        ..DropboxOptions::default()
    });
    let arg = crate::dropbox::wire::header_safe(r#"{"path":"/a"}"#);
    let request = rig
        .request("files/upload")
        .header("content-type", "application/octet-stream")
        .header("dropbox-api-arg", arg);
    let request = request.body(Body::from("x")).unwrap();
    let response = rig.dropbox.router_all().oneshot(request).await.unwrap();
    let reset = response.extensions().get::<crate::fault::ConnectionReset>();
    assert!(reset.is_some());
    assert!(
        axum::body::to_bytes(response.into_body(), 10)
            .await
            .is_err()
    );
    assert_eq!(rig.paths(), ["/a"]);
}
