use std::collections::BTreeMap;
use std::path::Path;

use super::*;
use crate::serve::SandboxOptions;

const SEED: u64 = 11;

async fn sandbox(dir: Option<&Path>) -> Sandbox {
    let options = SandboxOptions {
        dir: dir.map(Path::to_owned),
        ..SandboxOptions::default()
    };
    Sandbox::start(options).await.unwrap()
}

fn fill(sandbox: &Sandbox) -> Filled {
    sandbox
        .fill_agency(AgencySize::Small, SEED, |_, _| {})
        .unwrap()
}

/// What the account holds, in a form that two accounts can be compared by: size, digest and tags of each
/// file.
fn contents(sandbox: &Sandbox) -> BTreeMap<String, (u64, String, Vec<String>)> {
    let entries = sandbox.dropbox().tree().into_iter();
    entries
        .filter_map(|entry| {
            let file = entry.file?;
            let digest = file.content_hash.to_string();
            Some((entry.path_display, (file.size, digest, entry.tags)))
        })
        .collect()
}

fn revisions(sandbox: &Sandbox) -> BTreeMap<String, String> {
    let entries = sandbox.dropbox().tree().into_iter();
    entries
        .filter_map(|entry| Some((entry.path_display, entry.file?.rev)))
        .collect()
}

/// One planned file that is tagged, and the one that is blocked.
fn marked() -> (AgencyFile, AgencyFile) {
    let tree = agency::plan(AgencySize::Small, SEED);
    let one = |wanted: fn(&AgencyFile) -> bool| tree.iter().find(|file| wanted(file)).cloned();
    (
        one(|file| !file.tags.is_empty()).expect("some file is tagged"),
        one(|file| file.restricted).expect("some file is blocked"),
    )
}

/// Status and body of a download, through the service's own door.
async fn download(sandbox: &Sandbox, path: &str) -> (u16, String) {
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    let token = sandbox.dropbox().access_token();
    let request = http::Request::post("/2/files/download")
        .header("authorization", format!("Bearer {}", token.expose()))
        .header(
            "dropbox-api-arg",
            serde_json::json!({ "path": path }).to_string(),
        )
        .body(axum::body::Body::empty())
        .unwrap();
    let answer = sandbox.dropbox().router_content().oneshot(request).await;
    let answer = answer.unwrap();
    let status = answer.status().as_u16();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    (status, String::from_utf8_lossy(&body).into_owned())
}

#[tokio::test]
async fn the_account_holds_the_planned_files_with_their_tags() {
    let sandbox = sandbox(None).await;
    let filled = fill(&sandbox);
    let plan = agency::plan(AgencySize::Small, SEED);
    let held = contents(&sandbox);
    assert_eq!(held.len(), plan.len());
    for file in &plan {
        let (size, _, tags) = &held[&file.path];
        let mut planned = file.tags.clone();
        planned.sort();
        assert_eq!((*size, tags), (file.bytes, &planned), "{}", file.path);
    }
    let bytes = plan.iter().map(|file| file.bytes).sum();
    let files = plan.len() as u64;
    let expected = Filled {
        files,
        bytes,
        made: files,
    };
    assert_eq!(filled, expected);
}

#[tokio::test]
async fn a_blocked_file_is_refused_and_others_are_served() {
    let sandbox = sandbox(None).await;
    fill(&sandbox);
    let (open, blocked) = marked();
    let (status, body) = download(&sandbox, &blocked.path).await;
    assert_eq!(status, 409, "{body}");
    assert!(body.contains("restricted_content"), "{body}");
    assert_eq!(download(&sandbox, &open.path).await.0, 200);
}

#[tokio::test]
async fn a_second_fill_over_the_same_folder_adds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = sandbox(Some(dir.path())).await;
    assert!(fill(&first).made > 0);
    let (held, revs) = (contents(&first), revisions(&first));
    first.shutdown().await;

    let second = sandbox(Some(dir.path())).await;
    assert_eq!(fill(&second).made, 0);
    assert_eq!(contents(&second), held);
    assert_eq!(revisions(&second), revs, "no file got a new revision");
    second.shutdown().await;
}

#[tokio::test]
async fn what_somebody_changed_is_left_as_it_is() {
    let sandbox = sandbox(None).await;
    fill(&sandbox);
    let (tagged, blocked) = marked();
    let dropbox = sandbox.dropbox();
    for tag in &tagged.tags {
        dropbox.remove_tag(&tagged.path, tag).unwrap();
    }
    dropbox.set_restricted(&blocked.path, false).unwrap();
    dropbox
        .put_file(&tagged.path, "other bytes".into(), None)
        .unwrap();
    assert_eq!(fill(&sandbox).made, 0);
    let (size, _, tags) = &contents(&sandbox)[&tagged.path];
    assert_eq!((*size, tags.len()), (11, 0));
    assert_eq!(download(&sandbox, &blocked.path).await.0, 200);
}

#[tokio::test]
async fn a_file_that_was_removed_comes_back_with_its_tags() {
    let sandbox = sandbox(None).await;
    fill(&sandbox);
    let held = contents(&sandbox);
    let (tagged, blocked) = marked();
    sandbox.dropbox().remove(&tagged.path).unwrap();
    sandbox.dropbox().remove(&blocked.path).unwrap();
    assert_eq!(fill(&sandbox).made, 2);
    assert_eq!(contents(&sandbox), held);
    assert_eq!(download(&sandbox, &blocked.path).await.0, 409);
}

#[tokio::test]
async fn a_fill_that_was_killed_before_it_tagged_a_file_is_finished_by_the_next() {
    let undisturbed = sandbox(None).await;
    fill(&undisturbed);

    let sandbox = sandbox(None).await;
    // What a kill leaves: bytes in place, nothing said about them yet.
    let (tagged, blocked) = marked();
    put(sandbox.dropbox(), &tagged).unwrap();
    put(sandbox.dropbox(), &blocked).unwrap();
    let filled = fill(&sandbox);
    assert_eq!(filled.made, filled.files - 2);
    assert_eq!(contents(&sandbox), contents(&undisturbed));
    assert_eq!(download(&sandbox, &blocked.path).await.0, 409);
}

#[tokio::test]
async fn names_that_differ_in_case_only_are_the_same_file() {
    let sandbox = sandbox(None).await;
    let (tagged, _) = marked();
    let shouted = tagged.path.to_uppercase();
    sandbox
        .dropbox()
        .put_file(&shouted, "mine".into(), None)
        .unwrap();
    let filled = fill(&sandbox);
    assert_eq!(filled.made, filled.files - 1);
    let held = contents(&sandbox);
    let (size, _, _) = &held[&shouted];
    assert_eq!((held.len() as u64, *size), (filled.files, 4));
}

#[tokio::test]
async fn progress_grows_with_every_file_and_ends_at_the_whole() {
    let sandbox = sandbox(None).await;
    let seen = Mutex::new(Vec::new());
    let filled = sandbox
        .fill_agency(AgencySize::Small, SEED, |files, bytes| {
            lock(&seen).push((files, bytes));
        })
        .unwrap();
    let seen = lock(&seen);
    assert!(seen.is_sorted_by(|a, b| a.0 + 1 == b.0 && a.1 <= b.1));
    assert_eq!(seen.last(), Some(&(filled.files, filled.bytes)));
}

#[tokio::test]
async fn clients_of_the_folders_are_entries_of_the_tenants_taxonomy() {
    let sandbox = sandbox(None).await;
    fill(&sandbox);
    for client in CLIENTS {
        let path = format!("Clients/{client}");
        assert!(sandbox.celum().collection_id(&path).is_some(), "{client}");
    }
}
