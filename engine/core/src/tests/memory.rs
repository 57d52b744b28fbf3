use std::collections::BTreeSet;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;

use crate::memory::{Disturbance, MemoryEndpoint, MemoryLibrary, Operation};
use crate::*;

/// Runs a future that never waits: nothing in memory does.
fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a memory implementation waited"),
    }
}

fn scope(root: &str) -> Scope {
    Scope {
        root: AssetPath::new(root),
    }
}

/// Follows a listing or a delta to its end.
fn follow(source: &MemoryEndpoint, root: &str, cursor: Option<Cursor>) -> (Vec<Change>, Cursor) {
    let mut changes = Vec::new();
    let mut cursor = cursor;
    loop {
        let page = now(source.changes(&scope(root), cursor.as_ref())).unwrap();
        changes.extend(page.changes);
        if !page.more {
            return (changes, page.cursor);
        }
        cursor = Some(page.cursor);
    }
}

fn paths(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Asset(asset) => asset.path.to_string(),
            Change::Folder(folder) => format!("{}/", folder.path),
            Change::Removed(path) => format!("-{path}"),
        })
        .collect()
}

fn draft(path: &str) -> Draft {
    let path = AssetPath::new(path);
    Draft {
        name: path.name().to_owned(),
        file_name: path.name().to_owned(),
        collection: path.parent(),
        asset_type: None,
        fields: Vec::new(),
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    }
}

fn field(name: &str, value: &str) -> Assigned {
    Assigned {
        field: name.to_owned(),
        value: Value::Text(value.to_owned()),
        rule: "test".to_owned(),
    }
}

fn digests(bytes: &[u8]) -> Digests {
    Digests {
        size: bytes.len() as u64,
        blake3: Blake3::of(bytes),
        content_hash: Some(ContentHash::of(bytes)),
    }
}

fn mark() -> Correlation {
    Correlation::derive("flow", "source", "asset", "revision")
}

fn upload(sink: &MemoryEndpoint, to: Destination, bytes: &'static [u8]) -> Result<Placed> {
    let session = now(sink.begin(&to, bytes.len() as u64, &mark()))?;
    now(session.append(Chunk::new(0, Bytes::from_static(bytes))))?;
    now(session.commit(&digests(bytes)))
}

#[test]
fn a_listing_comes_in_pages_and_its_cursor_tells_only_what_changed_since() {
    let endpoint = MemoryEndpoint::new("memory");
    endpoint.set_page_entries(2);
    for path in ["/in/a.tif", "/in/b.tif", "/in/deep/c.tif", "/out/d.tif"] {
        endpoint.put(path, "bytes").unwrap();
    }
    let (listed, cursor) = follow(&endpoint, "/IN", None);
    assert_eq!(
        paths(&listed),
        ["/in/a.tif", "/in/b.tif", "/in/deep/", "/in/deep/c.tif"]
    );

    let (nothing, cursor) = follow(&endpoint, "/in", Some(cursor));
    assert_eq!(nothing, []);

    endpoint.put("/in/a.tif", "other").unwrap();
    endpoint.put("/out/e.tif", "elsewhere").unwrap();
    endpoint.rename("/in/b.tif", "/in/deep/b.tif").unwrap();
    endpoint.delete("/in/deep");
    let (changed, _) = follow(&endpoint, "/in", Some(cursor));
    assert_eq!(
        paths(&changed),
        ["/in/a.tif", "-/in/b.tif", "/in/deep/b.tif", "-/in/deep"]
    );
}

#[test]
fn what_changes_while_a_listing_is_read_is_told_afterwards() {
    let endpoint = MemoryEndpoint::new("memory");
    endpoint.set_page_entries(1);
    for path in ["/a", "/b", "/c"] {
        endpoint.put(path, "bytes").unwrap();
    }
    let first = now(endpoint.changes(&scope("/"), None)).unwrap();
    assert_eq!(paths(&first.changes), ["/a"]);
    endpoint.delete("/a");
    endpoint.delete("/b");
    let (rest, _) = follow(&endpoint, "/", Some(first.cursor));
    assert_eq!(paths(&rest), ["/c", "-/a", "-/b"]);
}

#[test]
fn a_cursor_of_another_scope_or_time_is_reset() {
    let endpoint = MemoryEndpoint::new("memory");
    endpoint.put("/in/a", "bytes").unwrap();
    let (_, cursor) = follow(&endpoint, "/in", None);
    let kind = |root: &str, cursor: &Cursor| {
        now(endpoint.changes(&scope(root), Some(cursor)))
            .map(drop)
            .map_err(|error| error.kind())
    };
    assert_eq!(kind("/in", &cursor), Ok(()));
    assert_eq!(kind("/", &cursor), Err(Kind::CursorReset));
    assert_eq!(kind("/in", &Cursor::new("what?")), Err(Kind::CursorReset));
    assert_eq!(kind("/nowhere", &cursor), Err(Kind::NotFound));
    endpoint.reset_cursors();
    assert_eq!(kind("/in", &cursor), Err(Kind::CursorReset));
}

#[test]
fn an_id_survives_a_rename_and_a_revision_new_bytes_do_not() {
    let endpoint = MemoryEndpoint::new("memory");
    let before = endpoint.put("/a.tif", "bytes").unwrap();
    endpoint.rename("/a.tif", "/new/B.tif").unwrap();
    let moved = endpoint.asset_at("/new/b.tif").unwrap();
    assert_eq!((&moved.id, &moved.revision), (&before.id, &before.revision));
    let after = endpoint.put("/NEW/b.tif", "others").unwrap();
    assert_eq!(after.id, before.id);
    assert_ne!(after.revision, before.revision);
    let error = now(endpoint.read(&before, 0..5, &mut Vec::new())).unwrap_err();
    assert_eq!(error.kind(), Kind::SourceChanged);
    assert!(error.message().contains("grew"), "{error}");
}

#[test]
fn reads_append_exactly_the_range_of_the_pinned_revision() {
    let endpoint = MemoryEndpoint::new("memory");
    let asset = endpoint.put("/a", "0123456789").unwrap();
    let mut into = b"x".to_vec();
    now(endpoint.read(&asset, 2..5, &mut into)).unwrap();
    assert_eq!(into, b"x234");
    let error = now(endpoint.read(&asset, 5..11, &mut into)).unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    endpoint.set_readable("/a", Readable::Restricted).unwrap();
    let error = now(endpoint.read(&asset, 0..1, &mut into)).unwrap_err();
    assert_eq!(error.kind(), Kind::Restricted);
}

#[test]
fn an_asset_can_change_shrink_grow_and_vanish_between_two_reads() {
    for (what, word) in [
        (Disturbance::Change, "changed"),
        (Disturbance::Shrink, "shrank"),
        (Disturbance::Grow, "grew"),
        (Disturbance::Vanish, "vanished"),
    ] {
        let endpoint = MemoryEndpoint::new("memory");
        let asset = endpoint.put("/a", "0123456789").unwrap();
        endpoint.disturb(&asset.id, 1, what);
        now(endpoint.read(&asset, 0..5, &mut Vec::new())).unwrap();
        let error = now(endpoint.read(&asset, 5..10, &mut Vec::new())).unwrap_err();
        assert_eq!(error.kind(), Kind::SourceChanged, "{what:?}");
        assert!(error.message().contains(word), "{error}");
        assert_eq!(
            now(endpoint.stat(&asset.id)).unwrap().is_none(),
            what == Disturbance::Vanish
        );
    }
}

#[test]
fn tags_are_lower_cased_and_asked_for_apart_from_the_listing() {
    let endpoint = MemoryEndpoint::new("memory");
    let asset = endpoint.put("/a", "bytes").unwrap();
    endpoint.set_tags("/a", &["Approved", "FINAL"]).unwrap();
    assert!(endpoint.asset_at("/a").unwrap().tags.is_empty());
    assert_eq!(
        now(endpoint.tags(&[asset])).unwrap(),
        [["approved", "final"]]
    );
    assert_eq!(
        endpoint.set_tags("/b", &[]).unwrap_err().kind(),
        Kind::NotFound
    );
}

#[test]
fn an_upload_appears_at_its_commit_with_everything_the_draft_says() {
    let sink = MemoryEndpoint::new("memory");
    let mut wanted = draft("/Brand/Logos/a.svg");
    wanted.fields.push(field("client", "Acme"));
    let to = Destination::New {
        draft: wanted.clone(),
    };
    let session = now(sink.begin(&to, 10, &mark())).unwrap();
    now(session.append(Chunk::new(4, Bytes::from_static(b"456789")))).unwrap();
    assert_eq!(session.acknowledged(), [4..10]);
    now(session.append(Chunk::new(0, Bytes::from_static(b"0123")))).unwrap();
    assert_eq!(session.acknowledged(), [0..10]);
    assert!(sink.assets().is_empty());
    let placed = now(session.commit(&digests(b"0123456789"))).unwrap();
    assert_eq!(placed.evidence, Evidence::E2);
    assert_eq!(placed.content_hash, Some(ContentHash::of(b"0123456789")));
    assert_eq!(sink.bytes(&placed.asset).unwrap(), &b"0123456789"[..]);
    assert_eq!(sink.draft(&placed.asset), Some(wanted));
    assert_eq!(
        sink.folders(),
        [AssetPath::new("/Brand"), AssetPath::new("/Brand/Logos")]
    );
}

#[test]
fn a_lost_commit_answer_can_be_looked_up_and_is_not_repeated() {
    let sink = MemoryEndpoint::new("memory");
    let to = Destination::New { draft: draft("/a") };
    let expected = Expected::from(&digests(b"bytes"));
    assert_eq!(now(sink.find(&to, &mark(), &expected)).unwrap(), None);
    sink.inject(Operation::CommitAnswer, Kind::Ambiguous);
    assert_eq!(
        upload(&sink, to.clone(), b"bytes").unwrap_err().kind(),
        Kind::Ambiguous
    );
    let placed = now(sink.find(&to, &mark(), &expected)).unwrap().unwrap();
    assert_eq!(sink.asset_at("/a").unwrap().id, placed.asset);
    assert_eq!(
        upload(&sink, to.clone(), b"bytes").unwrap_err().kind(),
        Kind::Conflict
    );
    let other = Correlation::derive("flow", "source", "asset", "another");
    assert_eq!(now(sink.find(&to, &other, &expected)).unwrap(), None);
    assert_eq!(sink.calls(Operation::Commit), 2);
}

#[test]
fn bytes_that_arrive_otherwise_than_sent_are_not_placed() {
    let sink = MemoryEndpoint::new("memory");
    let to = Destination::New { draft: draft("/a") };
    let session = now(sink.begin(&to, 5, &mark())).unwrap();
    now(session.append(Chunk::new(0, Bytes::from_static(b"bytez")))).unwrap();
    let error = now(session.commit(&digests(b"bytes"))).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    let session = now(sink.begin(&to, 5, &mark())).unwrap();
    now(session.append(Chunk::new(0, Bytes::from_static(b"byte")))).unwrap();
    let error = now(session.commit(&digests(b"bytes"))).unwrap_err();
    assert_eq!(error.message(), "4 of 5 bytes were appended");
    assert!(sink.assets().is_empty());
}

#[test]
fn chunks_obey_the_capability_sheet() {
    let mut sheet = MemoryEndpoint::new("any").capabilities().clone();
    sheet.upload_order = UploadOrder::InOrder;
    sheet.chunk_multiple = 4;
    sheet.chunk_bytes_max = 8;
    let sink = MemoryEndpoint::with_capabilities("strict", sheet);
    let to = Destination::New { draft: draft("/a") };
    let session = now(sink.begin(&to, 18, &mark())).unwrap();
    let append = |offset, length| {
        now(session.append(Chunk::new(offset, Bytes::from(vec![0; length]))))
            .map_err(|error| error.message().to_owned())
    };
    assert!(append(0, 6).unwrap_err().contains("multiple"));
    assert!(append(0, 12).unwrap_err().contains("larger"));
    assert!(append(4, 4).unwrap_err().contains("out of order"));
    append(0, 8).unwrap();
    append(0, 8).unwrap();
    assert!(append(4, 8).unwrap_err().contains("overlaps"));
    append(8, 8).unwrap();
    assert!(append(16, 3).unwrap_err().contains("behind"));
    append(16, 2).unwrap();
    assert_eq!(session.acknowledged(), [0..18]);
}

#[test]
fn a_version_that_is_taken_back_restores_what_was_before() {
    let sink = MemoryEndpoint::new("memory");
    let first = upload(&sink, Destination::New { draft: draft("/a") }, b"first").unwrap();
    let to = Destination::Version {
        asset: first.asset.clone(),
        draft: draft("/a"),
        replaces: None,
    };
    let second = upload(&sink, to, b"second").unwrap();
    assert_eq!(second.asset, first.asset);
    // Somebody else's revision is left alone.
    now(sink.remove(&first)).unwrap();
    assert_eq!(sink.bytes(&first.asset).unwrap(), "second");
    now(sink.remove(&second)).unwrap();
    assert_eq!(sink.bytes(&first.asset).unwrap(), "first");
    now(sink.remove(&first)).unwrap();
    now(sink.remove(&first)).unwrap();
    assert!(sink.assets().is_empty());
}

#[test]
fn metadata_keeps_what_the_draft_does_not_name() {
    let sink = MemoryEndpoint::new("memory");
    let mut one = draft("/a");
    one.asset_type = Some("image".to_owned());
    one.fields = vec![field("client", "Acme"), field("year", "2025")];
    let placed = upload(&sink, Destination::New { draft: one }, b"bytes").unwrap();
    let mut two = draft("/moved/b");
    two.fields = vec![field("year", "2026")];
    now(sink.set_metadata(&placed.asset, &two)).unwrap();
    let now_is = sink.draft(&placed.asset).unwrap();
    assert_eq!(
        now_is.fields,
        [field("client", "Acme"), field("year", "2026")]
    );
    assert_eq!(now_is.asset_type.as_deref(), Some("image"));
    let asset = sink.asset_at("/moved/b").unwrap();
    assert_eq!((asset.id, asset.revision), (placed.asset, placed.revision));
}

#[test]
fn a_refused_field_is_told_early_or_only_at_the_commit() {
    let sink = MemoryEndpoint::new("memory");
    sink.refuse_field("rights", "unknown value");
    sink.refuse_field_late("market", "not for this type");
    let mut wanted = draft("/a");
    wanted.fields = vec![field("rights", "x"), field("market", "y")];
    let faults = now(sink.check_drafts(&[wanted.clone(), draft(&"n".repeat(256))])).unwrap();
    assert_eq!(faults[0].len(), 1);
    assert_eq!(faults[0][0].to_string(), "field \"rights\": unknown value");
    assert_eq!(
        faults[1][0].message,
        "the name has 256 characters; 255 are allowed"
    );
    wanted.fields.remove(0);
    let error = upload(&sink, Destination::New { draft: wanted }, b"bytes").unwrap_err();
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert_eq!(error.message(), "field \"market\": not for this type");
    assert!(sink.assets().is_empty());
}

#[test]
fn equal_histories_give_equal_ids_and_revisions() {
    let make = || {
        let endpoint = MemoryEndpoint::new("memory");
        endpoint.put("/x/a", "1").unwrap();
        endpoint.put("/x/b", "2").unwrap();
        endpoint.put("/x/a", "3").unwrap();
        endpoint.assets()
    };
    assert_eq!(make(), make());
}

proptest! {
    #[test]
    fn a_mirror_kept_by_cursor_always_equals_a_fresh_listing(
        moves in prop::collection::vec((0..4_u8, 0..6_u8, 0..6_u8, any::<bool>()), 1..60),
    ) {
        let endpoint = MemoryEndpoint::new("memory");
        endpoint.set_page_entries(3);
        let name = |n: u8| format!("/d{}/{}f{n}", n % 2, if n > 3 { "sub/" } else { "" });
        let mut mirror = std::collections::BTreeMap::new();
        let mut cursor = None;
        for (what, one, other, look) in moves {
            match what {
                0 => drop(endpoint.put(&name(one), vec![other])),
                1 => drop(endpoint.rename(&name(one), &name(other))),
                2 => drop(endpoint.delete(&name(one))),
                _ => drop(endpoint.delete(&format!("/d{}/sub", one % 2))),
            }
            if look {
                let (changes, next) = follow(&endpoint, "/", cursor.take());
                apply(&mut mirror, changes);
                cursor = Some(next);
            }
        }
        let (changes, _) = follow(&endpoint, "/", cursor);
        apply(&mut mirror, changes);
        let mut fresh = std::collections::BTreeMap::new();
        apply(&mut fresh, follow(&endpoint, "/", None).0);
        prop_assert_eq!(mirror, fresh);
    }
}

fn apply(mirror: &mut std::collections::BTreeMap<String, Option<Asset>>, changes: Vec<Change>) {
    for change in changes {
        match change {
            Change::Asset(asset) => {
                mirror.insert(asset.path.key(), Some(asset));
            }
            Change::Folder(folder) => {
                mirror.insert(folder.path.key(), None);
            }
            Change::Removed(path) => {
                let (key, below) = (path.key(), format!("{}/", path.key()));
                mirror.retain(|other, _| *other != key && !other.starts_with(&below));
            }
        }
    }
}

#[test]
fn a_library_in_memory_says_when_an_asset_changed_and_what_did_since() {
    let library = MemoryLibrary::new(MemoryEndpoint::new("dam"));
    let one = library.put("/Brand/one.tif", "1").unwrap();
    let two = library.put("/Brand/two.tif", "1").unwrap();
    let query = Query::default();
    let page = now(library.holdings(&query, None)).unwrap();
    assert!(page.holdings.iter().all(|held| held.changed.is_some()));
    let since = library.now() + jiff::SignedDuration::from_secs(1);
    let changed = || {
        let page = now(library.changed(&query, since, None)).unwrap();
        let held = page.holdings.into_iter();
        held.map(|held| held.asset.id).collect::<Vec<_>>()
    };
    assert!(changed().is_empty());
    library.set_field(&two, "sku", Value::Number(1));
    assert_eq!(changed(), std::slice::from_ref(&two));
    // Whatever its files are changed by.
    let endpoint = library.endpoint();
    endpoint.rename("/Brand/one.tif", "/Brand/uno.tif").unwrap();
    assert_eq!(changed(), [one, two]);
}
