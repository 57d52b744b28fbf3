use futures_util::StreamExt;

use super::*;

fn stores() -> (tempfile::TempDir, [BlobStore; 2]) {
    let dir = tempfile::tempdir().unwrap();
    let disk = BlobStore::open(dir.path()).unwrap();
    (dir, [BlobStore::memory(), disk])
}

#[test]
fn pieces_may_arrive_in_any_order_and_ranges_cross_them() {
    let (_dir, stores) = stores();
    for store in stores {
        let mut writer = store.writer().unwrap();
        writer.write_at(6, Bytes::from_static(b"ghij")).unwrap();
        writer.write_at(0, Bytes::from_static(b"abc")).unwrap();
        writer.write_at(3, Bytes::from_static(b"def")).unwrap();
        let id = writer.finish().unwrap();
        assert_eq!(store.len(id).unwrap(), 10);
        assert_eq!(&store.read(id, 0..10).unwrap()[..], b"abcdefghij");
        assert_eq!(&store.read(id, 2..8).unwrap()[..], b"cdefgh");
        assert_eq!(&store.read(id, 9..10).unwrap()[..], b"j");
        assert!(store.read(id, 5..5).unwrap().is_empty());
        let error = store.read(id, 8..11).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    }
}

#[test]
fn a_place_written_twice_holds_what_came_last() {
    let (_dir, stores) = stores();
    for store in stores {
        let mut writer = store.writer().unwrap();
        writer
            .write_at(0, Bytes::from_static(b"aaaaaaaaaa"))
            .unwrap();
        writer.write_at(2, Bytes::from_static(b"bbb")).unwrap();
        writer.write_at(4, Bytes::from_static(b"cc")).unwrap();
        writer.truncate(8).unwrap();
        let id = writer.finish().unwrap();
        assert_eq!(&store.read(id, 0..8).unwrap()[..], b"aabbccaa");
        assert_eq!(store.len(id).unwrap(), 8);
    }
}

#[test]
fn a_removed_blob_is_gone_and_an_empty_one_exists() {
    let (_dir, stores) = stores();
    for store in stores {
        let id = store.put(Bytes::new()).unwrap();
        assert_eq!(store.len(id).unwrap(), 0);
        store.remove(id).unwrap();
        assert_eq!(store.len(id).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(store.remove(id).is_err());
    }
}

#[test]
fn an_unfinished_blob_leaves_nothing_but_a_lasting_one_can_be_resumed() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    drop(store.writer().unwrap());
    assert!(list(dir.path()).unwrap().is_empty());

    let mut writer = store.lasting_writer().unwrap();
    writer.write_at(0, Bytes::from_static(b"first ")).unwrap();
    let id = writer.id();
    drop(writer);
    let store = BlobStore::open(dir.path()).unwrap();
    let mut writer = store.resume(id).unwrap();
    assert_eq!(writer.len(), 6);
    writer.write_at(6, Bytes::from_static(b"second")).unwrap();
    assert_eq!(writer.finish().unwrap(), id);
    assert_eq!(&store.read(id, 0..12).unwrap()[..], b"first second");

    store.lasting_writer().unwrap().discard();
    assert_eq!(list(dir.path()).unwrap().len(), 1);
}

#[test]
fn a_reopened_store_keeps_ids_apart_and_sweeps_what_nobody_claims() {
    let dir = tempfile::tempdir().unwrap();
    let store = BlobStore::open(dir.path()).unwrap();
    let kept = store.put(Bytes::from_static(b"kept")).unwrap();
    let lost = store.put(Bytes::from_static(b"lost")).unwrap();
    drop(store);
    let store = BlobStore::open(dir.path()).unwrap();
    assert_eq!(store.sweep(|id| id == kept).unwrap(), 1);
    assert!(store.len(lost).is_err());
    let new = store.put(Bytes::from_static(b"new")).unwrap();
    assert!(new > kept);
    assert_eq!(&store.read(kept, 0..4).unwrap()[..], b"kept");
}

#[test]
fn the_content_hash_of_a_blob_matches_the_published_vectors() {
    let (_dir, stores) = stores();
    for store in stores {
        let hash = |bytes: Vec<u8>| {
            let id = store.put(bytes.into()).unwrap();
            store.content_hash(id).unwrap().to_hex()
        };
        assert_eq!(
            hash(Vec::new()),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(
            hash(vec![b'A'; 4_194_305]),
            "8f553da8d00d0bf509d8470e242888be33019c20c0544811f5b2b89e98360b92"
        );
        assert_eq!(
            hash((0..8_400_953u32).map(|i| (i % 251) as u8).collect()),
            "1e4187d74c09ac5ecba418360e3aff8c86fed9e00ece62a4b8383a72b85f2cee"
        );
    }
}

#[tokio::test]
async fn a_stream_gives_the_range_in_bounded_pieces() {
    let (_dir, stores) = stores();
    for store in stores {
        let bytes: Vec<u8> = (0..700_000u32).map(|i| i as u8).collect();
        let id = store.put(bytes.clone().into()).unwrap();
        let pieces: Vec<Bytes> = store
            .stream(id, 10..600_000)
            .map(|piece| piece.unwrap())
            .collect()
            .await;
        assert_eq!(pieces.len(), 3);
        assert!(pieces.iter().all(|p| p.len() as u64 <= READ_PIECE_BYTES));
        assert_eq!(pieces.concat(), &bytes[10..600_000]);
    }
}

#[test]
fn a_forgetful_store_knows_lengths_and_reads_only_what_was_placed() {
    let store = BlobStore::forgetful();
    let mut writer = store.writer().unwrap();
    writer.write_at(4, Bytes::from_static(b"efgh")).unwrap();
    writer.write_at(0, Bytes::from_static(b"abcd")).unwrap();
    assert!(writer.content_hash().is_err());
    let id = writer.finish().unwrap();
    assert_eq!(store.len(id).unwrap(), 8);
    let error = store.read(id, 0..8).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::Unsupported);
    let placed = store.put(Bytes::from_static(b"kept")).unwrap();
    assert_eq!(&store.read(placed, 0..4).unwrap()[..], b"kept");
}

#[test]
fn noise_is_the_same_for_a_seed_however_it_is_read() {
    let store = BlobStore::forgetful();
    let len = 20 << 20;
    let one = store.put_noise(1, len).unwrap();
    let whole = store.read(one, 0..len).unwrap();
    assert_eq!(whole.len() as u64, len);
    for range in [0..1, 8_388_600..8_388_700, len - 70_000..len] {
        let part = store.read(one, range.clone()).unwrap();
        assert_eq!(&part[..], &whole[range.start as usize..range.end as usize]);
    }
    assert!(store.read(one, len..len + 1).is_err());
    let blocks: std::collections::BTreeSet<&[u8]> = whole.chunks(4 << 20).collect();
    assert_eq!(blocks.len(), 5, "blocks differ");
    let other = store.put_noise(2, len).unwrap();
    assert_ne!(
        store.content_hash(one).unwrap(),
        store.content_hash(other).unwrap()
    );
}
