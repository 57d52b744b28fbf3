//! Uploads: what is visible when, what a crash leaves, what is never overwritten.

#![allow(
    clippy::single_range_in_vec_init,
    reason = "a list of one range is meant, not its numbers"
)]

use std::fs;
use std::io::Write;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rustix::io::Errno;
use windlass_core::{
    AssetId, Chunk, Correlation, Destination, DraftPart, Endpoint, Evidence, Expected, Kind,
    Placed, Sink,
};

use super::{Folder, append, digests, folder, mark, new, noise, open};
use crate::part;

async fn place(folder: &Folder, path: &str, bytes: &[u8]) -> Placed {
    let size = bytes.len() as u64;
    let session = folder
        .endpoint
        .begin(&new(path), size, &mark())
        .await
        .unwrap();
    append(&*session, 0, bytes).await;
    session.commit(&digests(bytes)).await.unwrap()
}

fn folder_of(folder: &Folder) -> OwnedFd {
    fs::File::open(folder.dir.path()).unwrap().into()
}

#[tokio::test]
async fn nothing_is_visible_before_commit_and_nothing_stays_after_giving_up() {
    let folder = folder();
    let session = folder
        .endpoint
        .begin(&new("/out/a"), 6, &mark())
        .await
        .unwrap();
    session
        .append(Chunk::new(3, Bytes::from_static(b"def")))
        .await
        .unwrap();
    assert_eq!(session.acknowledged(), [3..6]);
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await
        .unwrap();
    assert_eq!(session.acknowledged(), [0..6]);
    assert!(folder.list().await.is_empty());
    session.abort().await.unwrap();
    assert_eq!(
        fs::read_dir(folder.dir.path().join("out")).unwrap().count(),
        0
    );
}

#[tokio::test]
async fn an_incomplete_file_is_never_committed() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 6, &mark()).await.unwrap();
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await
        .unwrap();
    let error = session.commit(&digests(b"abcdef")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(folder.list().await.is_empty());
}

#[tokio::test]
async fn a_file_that_is_there_is_not_overwritten_and_a_lost_commit_is_found() {
    let folder = folder();
    folder.write("a", b"theirs");
    let session = folder.endpoint.begin(&new("/a"), 4, &mark()).await.unwrap();
    session
        .append(Chunk::new(0, Bytes::from_static(b"ours")))
        .await
        .unwrap();
    let error = session.commit(&digests(b"ours")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert_eq!(fs::read(folder.dir.path().join("a")).unwrap(), b"theirs");

    let expected = |bytes: &[u8]| Expected::from(&digests(bytes));
    let found = folder
        .endpoint
        .find(&new("/a"), &mark(), &expected(b"theirs"))
        .await
        .unwrap();
    assert_eq!(found.unwrap().size, 6);
    let other = folder
        .endpoint
        .find(&new("/a"), &mark(), &expected(b"thears"))
        .await
        .unwrap();
    assert!(other.is_none());
}

#[tokio::test]
async fn only_an_unchanged_file_is_removed_again() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 4, &mark()).await.unwrap();
    session
        .append(Chunk::new(0, Bytes::from_static(b"ours")))
        .await
        .unwrap();
    let placed = session.commit(&digests(b"ours")).await.unwrap();
    folder.write("a", b"edited");
    folder.endpoint.remove(&placed).await.unwrap();
    assert_eq!(folder.list().await, ["/a"]);
}

#[tokio::test]
async fn a_later_process_goes_on_with_what_an_earlier_one_wrote() {
    let folder = folder();
    let destination = new("/out/a");
    let session = folder
        .endpoint
        .begin(&destination, 6, &mark())
        .await
        .unwrap();
    let note = note(&folder, "out");
    session
        .append(Chunk::new(3, Bytes::from_static(b"def")))
        .await
        .unwrap();
    drop(session);
    assert!(folder.list().await.is_empty(), "half a file is visible");

    let resume = async |note: &str, acknowledged: std::ops::Range<u64>| {
        let acknowledged = [acknowledged];
        folder
            .endpoint
            .resume(&destination, 6, &mark(), note, &acknowledged)
            .await
            .unwrap()
    };
    assert!(resume("another boot", 3..6).await.is_none());
    assert!(
        resume(&note, 3..9).await.is_none(),
        "shorter than acknowledged"
    );
    let session = resume(&note, 3..6).await.expect("it is there");
    assert_eq!(session.acknowledged(), [3..6]);
    session
        .append(Chunk::new(0, Bytes::from_static(b"abc")))
        .await
        .unwrap();
    let placed = session.commit(&digests(b"abcdef")).await.unwrap();
    assert_eq!(placed.size, 6);
    assert_eq!(
        fs::read(folder.dir.path().join("out/a")).unwrap(),
        b"abcdef"
    );
    assert!(resume(&note, 0..6).await.is_none(), "it was committed");
}

#[tokio::test]
async fn chunks_in_any_order_and_several_at_once_make_the_file() {
    let folder = folder();
    let bytes = noise(1_000_003);
    let size = bytes.len() as u64;
    let session = folder
        .endpoint
        .begin(&new("/a"), size, &mark())
        .await
        .unwrap();
    let mut chunks: Vec<_> = bytes.chunks(70_001).enumerate().collect();
    // Neither forwards nor backwards.
    chunks.sort_by_key(|(index, _)| (index * 7) % 15);
    let session: std::sync::Arc<dyn windlass_core::UploadSession> = session.into();
    let mut under_way = tokio::task::JoinSet::new();
    for (index, chunk) in chunks {
        let (session, chunk) = (
            std::sync::Arc::clone(&session),
            Bytes::copy_from_slice(chunk),
        );
        let chunk = Chunk::new(index as u64 * 70_001, chunk);
        under_way.spawn(async move { session.append(chunk).await });
    }
    while let Some(appended) = under_way.join_next().await {
        appended.unwrap().unwrap();
    }
    assert_eq!(session.acknowledged(), [0..size]);
    drop(session);
    let resumed = resume(&folder, "/a", size, &[0..size]).await;
    let placed = resumed.unwrap().commit(&digests(&bytes)).await.unwrap();
    assert_eq!(placed.size, size);
    assert!(fs::read(folder.at("a")).unwrap() == bytes);
    assert_eq!(folder.names(""), ["a"]);
}

/// The note of the upload whose hidden file lies in a folder, also where it is too small to be noted.
fn note(folder: &Folder, below: &str) -> String {
    let names = folder.names(below);
    let hidden = names.iter().find(|name| name.starts_with(".windlass-"));
    let hidden = format!("{below}/{}", hidden.expect("an upload"));
    let file = fs::File::open(folder.at(&hidden)).unwrap();
    crate::session::checkpoint(&file).expect("the system names its boots")
}

/// Goes on with what a session left, as a process with a right note would.
async fn resume(
    folder: &Folder,
    path: &str,
    size: u64,
    acknowledged: &[Range<u64>],
) -> Option<Box<dyn windlass_core::UploadSession>> {
    let note = note(folder, "");
    folder
        .endpoint
        .resume(&new(path), size, &mark(), &note, acknowledged)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_chunk_beyond_the_announced_size_is_refused() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 6, &mark()).await.unwrap();
    let chunk = Chunk::new(4, Bytes::from_static(b"abc"));
    assert_eq!(
        session.append(chunk).await.unwrap_err().kind(),
        Kind::InvalidInput
    );
    assert!(session.acknowledged().is_empty());
}

#[tokio::test]
async fn a_gap_is_never_committed_however_the_chunks_came() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 9, &mark()).await.unwrap();
    append(&*session, 6, b"ghi").await;
    append(&*session, 0, b"abc").await;
    let error = session.commit(&digests(b"abcdefghi")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(folder.names("").is_empty(), "{:?}", folder.names(""));
}

#[tokio::test]
async fn a_resumed_file_that_somebody_touched_is_not_placed() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 6, &mark()).await.unwrap();
    append(&*session, 0, b"abc").await;
    drop(session);
    let hidden = folder.names("").remove(0);
    folder.write(&hidden, b"abX");
    let session = resume(&folder, "/a", 6, &[0..3])
        .await
        .expect("it is long enough");
    append(&*session, 3, b"def").await;
    let error = session.commit(&digests(b"abcdef")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    assert!(folder.names("").is_empty(), "{:?}", folder.names(""));
}

#[tokio::test]
async fn a_resumed_file_is_read_back_and_says_so() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 6, &mark()).await.unwrap();
    append(&*session, 0, b"abc").await;
    drop(session);
    let session = resume(&folder, "/a", 6, &[0..3]).await.unwrap();
    append(&*session, 3, b"def").await;
    let placed = session.commit(&digests(b"abcdef")).await.unwrap();
    assert_eq!(placed.evidence, Evidence::E3);
    assert_eq!(placed.content_hash, digests(b"abcdef").content_hash);
}

#[tokio::test]
async fn another_file_of_the_same_name_is_not_gone_on_with() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 6, &mark()).await.unwrap();
    let note = note(&folder, "");
    append(&*session, 0, b"abc").await;
    drop(session);
    let hidden = folder.names("").remove(0);
    folder.write("copy", b"abc");
    fs::rename(folder.at("copy"), folder.at(&hidden)).unwrap();
    let resumed = folder
        .endpoint
        .resume(&new("/a"), 6, &mark(), &note, &[0..3])
        .await;
    assert!(resumed.unwrap().is_none());
}

#[tokio::test]
async fn one_asset_goes_under_two_names_into_one_folder() {
    let folder = folder();
    let first = folder.endpoint.begin(&new("/a"), 1, &mark()).await.unwrap();
    let second = folder.endpoint.begin(&new("/b"), 1, &mark()).await.unwrap();
    append(&*first, 0, b"1").await;
    append(&*second, 0, b"2").await;
    first.commit(&digests(b"1")).await.unwrap();
    second.commit(&digests(b"2")).await.unwrap();
    assert_eq!(fs::read(folder.at("a")).unwrap(), b"1");
    assert_eq!(fs::read(folder.at("b")).unwrap(), b"2");
}

#[tokio::test]
async fn two_processes_do_not_write_one_file() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 3, &mark()).await.unwrap();
    append(&*session, 0, b"abc").await;
    let other = open(folder.dir.path(), false);
    let error = other.begin(&new("/a"), 3, &mark()).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Conflict);
    assert!(error.is_temporary(), "{error}");
    session.commit(&digests(b"abc")).await.unwrap();
    assert_eq!(fs::read(folder.at("a")).unwrap(), b"abc");
}

#[tokio::test]
async fn beginning_again_empties_what_an_earlier_attempt_wrote() {
    let folder = folder();
    let session = folder.endpoint.begin(&new("/a"), 6, &mark()).await.unwrap();
    append(&*session, 0, b"XXXXXX").await;
    drop(session);
    let session = folder.endpoint.begin(&new("/a"), 3, &mark()).await.unwrap();
    append(&*session, 0, b"abc").await;
    session.commit(&digests(b"abc")).await.unwrap();
    assert_eq!(fs::read(folder.at("a")).unwrap(), b"abc");
    assert_eq!(folder.names(""), ["a"]);
}

#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_known_without_a_digest_until_somebody_edits_it() {
    let folder = folder();
    let placed = place(&folder, "/a", b"ours").await;
    let expected = Expected {
        size: 4,
        content_hash: None,
        blake3: None,
    };
    let find = async |mark: &Correlation| {
        let found = folder.endpoint.find(&new("/a"), mark, &expected).await;
        found.unwrap().map(|found| found.revision)
    };
    assert_eq!(find(&mark()).await, Some(placed.revision));
    let other = Correlation::derive("flow", "source", "asset", "another revision");
    assert_eq!(find(&other).await, None);
    folder.write("a", b"edit");
    assert_eq!(find(&mark()).await, None);
}

#[tokio::test]
async fn a_new_version_replaces_the_file_in_one_step() {
    let folder = folder();
    let placed = place(&folder, "/a", b"old").await;
    let destination = Destination::Version {
        asset: AssetId::new("/a"),
        draft: new("/a").draft().clone(),
        replaces: None,
    };
    let session = folder
        .endpoint
        .begin(&destination, 5, &mark())
        .await
        .unwrap();
    append(&*session, 0, b"newer").await;
    assert_eq!(fs::read(folder.at("a")).unwrap(), b"old");
    let replaced = session.commit(&digests(b"newer")).await.unwrap();
    assert_ne!(replaced.revision, placed.revision);
    assert_eq!(fs::read(folder.at("a")).unwrap(), b"newer");
    assert_eq!(folder.names(""), ["a"]);
}

#[tokio::test]
async fn a_move_takes_no_name_that_is_taken() {
    let folder = folder();
    place(&folder, "/in/a", b"ours").await;
    folder.write("out/b", b"theirs");
    let to = |path: &str| new(path).draft().clone();
    let asset = AssetId::new("/in/a");
    let refused = folder.endpoint.set_metadata(&asset, &to("/out/b")).await;
    assert_eq!(refused.unwrap_err().kind(), Kind::Conflict);
    assert_eq!(fs::read(folder.at("out/b")).unwrap(), b"theirs");
    folder
        .endpoint
        .set_metadata(&asset, &to("/made/c"))
        .await
        .unwrap();
    assert_eq!(fs::read(folder.at("made/c")).unwrap(), b"ours");
    assert!(folder.names("in").is_empty());
    let mut yields = to("/out/b");
    yields.yields = [DraftPart::Name, DraftPart::Collection].into();
    let made = AssetId::new("/made/c");
    folder.endpoint.set_metadata(&made, &yields).await.unwrap();
    yields.yields = [DraftPart::Name].into();
    folder.endpoint.set_metadata(&made, &yields).await.unwrap();
    assert_eq!(fs::read(folder.at("out/c")).unwrap(), b"ours");
    yields.yields = [DraftPart::Collection].into();
    yields.file_name = "d".to_owned();
    let out = AssetId::new("/out/c");
    folder.endpoint.set_metadata(&out, &yields).await.unwrap();
    assert_eq!(fs::read(folder.at("out/d")).unwrap(), b"ours");
}

#[test]
fn where_a_rename_cannot_keep_files_a_second_name_does() {
    let folder = folder();
    folder.write("ours", b"ours");
    folder.write("theirs", b"theirs");
    let at = folder_of(&folder);
    assert_eq!(part::link(&at, "ours", &at, "theirs"), Err(Errno::EXIST));
    assert_eq!(fs::read(folder.at("theirs")).unwrap(), b"theirs");
    part::link(&at, "ours", &at, "placed").unwrap();
    assert_eq!(fs::read(folder.at("placed")).unwrap(), b"ours");
    assert!(!folder.at("ours").exists());
}

#[tokio::test]
async fn abandoned_uploads_are_removed_and_living_ones_are_not() {
    let folder = folder();
    folder.write(".windlass-notes.txt", b"somebody's own");
    let living = folder
        .endpoint
        .begin(&new("/in/a"), 3, &mark())
        .await
        .unwrap();
    let abandoned = folder
        .endpoint
        .begin(&new("/in/b"), 3, &mark())
        .await
        .unwrap();
    append(&*abandoned, 0, b"ab").await;
    drop(abandoned);
    let young = folder
        .endpoint
        .clear_unfinished(Duration::from_secs(3600))
        .unwrap();
    assert_eq!((young.files, young.failed), (0, 0));
    let cleared = folder.endpoint.clear_unfinished(Duration::ZERO).unwrap();
    assert_eq!((cleared.files, cleared.bytes, cleared.failed), (1, 2, 0));
    append(&*living, 0, b"abc").await;
    living.commit(&digests(b"abc")).await.unwrap();
    assert_eq!(folder.names("in"), ["a"]);
    assert!(folder.at(".windlass-notes.txt").exists());
}

#[tokio::test]
async fn what_was_abandoned_in_a_folder_goes_when_the_next_upload_comes() {
    let folder = folder();
    let abandoned = folder.endpoint.begin(&new("/b"), 3, &mark()).await.unwrap();
    drop(abandoned);
    assert_eq!(folder.names("").len(), 1);
    part::tidy(folder_of(&folder), Duration::ZERO);
    assert!(folder.names("").is_empty());
}

#[tokio::test]
async fn a_full_disk_is_known_before_the_first_byte() {
    let folder = folder();
    // More than any disk has, and more than a file may have on most of them.
    let error = folder
        .endpoint
        .begin(&new("/a"), 1 << 60, &mark())
        .await
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Capacity, "{error}");
    assert!(folder.names("").is_empty(), "{:?}", folder.names(""));
}

#[tokio::test]
async fn room_that_was_reserved_is_not_part_of_the_file() {
    let folder = folder();
    let session = folder
        .endpoint
        .begin(&new("/a"), 8 << 20, &mark())
        .await
        .unwrap();
    append(&*session, 0, b"abc").await;
    let hidden = folder.names("").remove(0);
    assert_eq!(fs::metadata(folder.at(&hidden)).unwrap().len(), 3);
    session.abort().await.unwrap();
}

#[tokio::test]
async fn the_sheet_says_that_uploads_survive() {
    let folder = folder();
    assert!(folder.endpoint.capabilities().resumes);
    assert!(!folder.endpoint.capabilities().folds_names);
}

#[tokio::test]
async fn a_small_upload_is_not_worth_a_note() {
    let folder = folder();
    let (at, small, large) = (new("/a"), (4 << 20) - 1, 4 << 20);
    let session = folder.endpoint.begin(&at, small, &mark()).await.unwrap();
    assert_eq!(session.checkpoint(), None);
    session.abort().await.unwrap();
    let session = folder.endpoint.begin(&at, large, &mark()).await.unwrap();
    assert_eq!(session.checkpoint(), Some(note(&folder, "")));
}

/// The upload of the process that is killed.
const KILLED_BYTES: usize = 5 << 20;

/// Where the part begins that it writes.
const KILLED_FROM: usize = 2 << 20;

/// What the killed process does: half an upload, a note of it, and then nothing for ever. It is run by the next
/// test in a process of its own, and does nothing else.
#[tokio::test]
#[ignore = "run by a_killed_process_leaves_nothing_visible_and_is_gone_on_with"]
async fn half_an_upload_and_then_nothing() {
    let root = std::env::var("WINDLASS_TEST_ROOT").expect("run by another test");
    let endpoint = open(root.as_ref(), false);
    let (at, size) = (new("/a"), KILLED_BYTES as u64);
    let session = endpoint.begin(&at, size, &mark()).await.unwrap();
    append(
        &*session,
        KILLED_FROM as u64,
        &noise(KILLED_BYTES)[KILLED_FROM..],
    )
    .await;
    let note = session.checkpoint().unwrap();
    let mut file = fs::File::create(format!("{root}/note.tmp")).unwrap();
    file.write_all(note.as_bytes()).unwrap();
    fs::rename(format!("{root}/note.tmp"), format!("{root}/note")).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

#[tokio::test]
async fn a_killed_process_leaves_nothing_visible_and_is_gone_on_with() {
    let folder = folder();
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "--ignored",
            "tests::sink::half_an_upload_and_then_nothing",
        ])
        .env("WINDLASS_TEST_ROOT", folder.dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while !folder.at("note").exists() {
        assert!(Instant::now() < deadline, "it never wrote its note");
        std::thread::sleep(Duration::from_millis(10));
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let note = fs::read_to_string(folder.at("note")).unwrap();
    fs::remove_file(folder.at("note")).unwrap();
    assert!(folder.list().await.is_empty(), "half a file is visible");

    let bytes = noise(KILLED_BYTES);
    let acknowledged = [KILLED_FROM as u64..KILLED_BYTES as u64];
    let session = folder
        .endpoint
        .resume(
            &new("/a"),
            KILLED_BYTES as u64,
            &mark(),
            &note,
            &acknowledged,
        )
        .await
        .unwrap()
        .expect("what was acknowledged is there");
    append(&*session, 0, &bytes[..KILLED_FROM]).await;
    session.commit(&digests(&bytes)).await.unwrap();
    assert!(fs::read(folder.at("a")).unwrap() == bytes);
    assert_eq!(folder.names(""), ["a"]);
}

/// The bytes, so many behind a page.
fn behind_a_page(by: usize, bytes: &[u8]) -> Bytes {
    let mut all: Vec<u8> = Vec::with_capacity(bytes.len() + 8192);
    let start = all.as_ptr().align_offset(4096) + by;
    all.resize(start, 0);
    all.extend_from_slice(bytes);
    Bytes::from(all).slice(start..)
}

#[tokio::test]
async fn a_large_file_is_whole_wherever_its_chunks_lie_in_memory() {
    let folder = folder();
    let chunk = 4 << 20;
    // Not a multiple of anything, so that its end is written the usual way.
    let whole = noise((64 << 20) + 4_097);
    let size = whole.len() as u64;
    let session = folder
        .endpoint
        .begin(&new("/film"), size, &mark())
        .await
        .unwrap();
    for (index, part) in whole.chunks(chunk).enumerate().rev() {
        let bytes = behind_a_page(index % 2, part);
        let chunk = Chunk::new((index * chunk) as u64, bytes);
        session.append(chunk).await.unwrap();
    }
    let placed = session.commit(&digests(&whole)).await.unwrap();
    assert_eq!(placed.size, size);
    let written = fs::read(folder.dir.path().join("film")).unwrap();
    assert!(written == whole);
}
