//! Digests by parts equal digests of the whole.

use bytes::Bytes;
use proptest::prelude::*;
use windlass_core::{Blake3, ContentHash};

use super::support::{MIB, content};
use crate::hash::{ContentDigester, Hashing, digest_bytes, digest_reader};
use crate::lane::{HashLane, HashPool};
use crate::{ChunkLayout, LayoutError};

fn by_chunks(bytes: &[u8], chunk: u64, in_pool: bool) -> windlass_core::Digests {
    let layout = ChunkLayout::new(bytes.len() as u64, chunk).unwrap();
    let hashing = Hashing::new(layout, true);
    let mut digester = ContentDigester::new(hashing);
    for index in 0..layout.count() {
        let range = layout.range(index);
        let piece = &bytes[range.start as usize..range.end as usize];
        digester.take_bytes(piece);
        digester.take(if in_pool {
            hashing.chunk_in_pool(index, piece)
        } else {
            hashing.chunk(index, piece)
        });
    }
    digester.finish().unwrap()
}

fn assert_whole(bytes: &[u8], digests: windlass_core::Digests) {
    assert_eq!(digests.size, bytes.len() as u64);
    assert_eq!(digests.blake3, Blake3::of(bytes));
    assert_eq!(digests.content_hash, Some(ContentHash::of(bytes)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn chunk_digests_merge_to_the_whole_digest(len in 0usize..200_000, power in 10u32..18) {
        let bytes = content(len);
        assert_whole(&bytes, by_chunks(&bytes, 1 << power, false));
    }
}

#[test]
fn exact_multiples_and_their_neighbours_merge_right() {
    for chunks in 1..=17usize {
        for len in [chunks * 1024 - 1, chunks * 1024, chunks * 1024 + 1] {
            let bytes = content(len);
            assert_whole(&bytes, by_chunks(&bytes, 1024, false));
        }
    }
}

#[test]
fn empty_and_one_byte_have_their_digests() {
    for len in [0, 1] {
        let bytes = content(len);
        assert_whole(&bytes, by_chunks(&bytes, 4096, false));
        assert_whole(&bytes, digest_bytes(&bytes, true));
        assert_whole(&bytes, digest_reader(&*bytes, true).unwrap());
    }
}

#[test]
fn blocks_that_chunks_bring_along_give_the_content_hash() {
    for len in [4 * MIB, 4 * MIB + 1, 8 * MIB, 17 * MIB + 5] {
        let bytes = content(len);
        for chunk in [4 * MIB, 8 * MIB, 32 * MIB] {
            assert_whole(&bytes, by_chunks(&bytes, chunk as u64, false));
            assert_whole(&bytes, by_chunks(&bytes, chunk as u64, true));
        }
        assert_whole(&bytes, digest_bytes(&bytes, true));
        assert_whole(&bytes, digest_reader(&*bytes, true).unwrap());
    }
}

#[test]
fn digests_are_not_given_before_every_chunk_was_taken() {
    let bytes = content(3000);
    let layout = ChunkLayout::new(3000, 1024).unwrap();
    let hashing = Hashing::new(layout, false);
    let mut digester = ContentDigester::new(hashing);
    digester.take(hashing.chunk(0, &bytes[..1024]));
    assert_eq!(digester.taken(), 1);
    assert_eq!(digester.finish(), None);
}

#[test]
fn contents_are_not_cut_where_blake3_cannot_be() {
    assert_eq!(
        ChunkLayout::new(5000, 3000),
        Err(LayoutError::NotASubtree { chunk_bytes: 3000 })
    );
    assert_eq!(
        ChunkLayout::new(5000, 512),
        Err(LayoutError::NotASubtree { chunk_bytes: 512 })
    );
    let whole = ChunkLayout::new(3000, 3000).unwrap();
    assert_eq!((whole.count(), whole.range(0)), (1, 0..3000));
}

#[tokio::test]
async fn the_lane_returns_digests_in_order_whatever_the_order_they_came_in() {
    let bytes = Bytes::from(content(4 * MIB + 77));
    let chunk = 512 << 10;
    let layout = ChunkLayout::new(bytes.len() as u64, chunk).unwrap();
    let hashing = Hashing::new(layout, false);
    for threads in [0, 2] {
        let pool = HashPool::new(threads).unwrap();
        let mut lane = HashLane::new(std::sync::Arc::clone(&pool), hashing, layout.count());
        let mut digester = ContentDigester::new(hashing);
        let mut inline = 0;
        for index in (0..layout.count()).rev() {
            let range = layout.range(index);
            let piece = bytes.slice(range.start as usize..range.end as usize);
            inline += u64::from(lane.submit(index, piece).unwrap());
        }
        // The tail of 77 bytes is not worth the trip.
        assert_eq!(inline, if threads == 0 { layout.count() } else { 1 });
        while let Some(finished) = lane.finished().await {
            finished.unwrap();
        }
        while let Some(digest) = lane.pop() {
            digester.take(digest);
        }
        assert_eq!(digester.finish().unwrap().blake3, Blake3::of(&bytes));
        assert_eq!(pool.jobs(), 0);
    }
}

#[test]
fn a_chunk_that_comes_twice_or_too_early_is_an_error() {
    let hashing = Hashing::new(ChunkLayout::new(8192, 1024).unwrap(), false);
    let mut lane = HashLane::new(HashPool::new(0).unwrap(), hashing, 2);
    assert!(lane.reaches(1) && !lane.reaches(2));
    let piece = Bytes::from(content(1024));
    assert!(lane.submit(0, piece.clone()).unwrap());
    assert!(lane.submit(0, piece.clone()).is_err());
    assert!(lane.submit(2, piece).is_err());
}
