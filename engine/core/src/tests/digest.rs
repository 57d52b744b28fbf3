use bytes::Bytes;
use proptest::prelude::*;
use sha2::{Digest, Sha256};

use crate::digest::{BLOCK_BYTES, BlockHasher, ContentHasher, block_digests, two_digests};
use crate::{Blake3, ContentHash};

/// The input of the published BLAKE3 test set: bytes that count to 250 and start over.
fn counting(len: usize) -> Vec<u8> {
    (0..len).map(|i| (i % 251) as u8).collect()
}

/// `hash` of the published BLAKE3 test vectors, first 32 bytes, by input length.
const BLAKE3_VECTORS: &[(usize, &str)] = &[
    (
        0,
        "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
    ),
    (
        1,
        "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213",
    ),
    (
        1023,
        "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11",
    ),
    (
        1024,
        "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7",
    ),
    (
        1025,
        "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444",
    ),
    (
        2048,
        "e776b6028c7cd22a4d0ba182a8bf62205d2ef576467e838ed6f2529b85fba24a",
    ),
    (
        2049,
        "5f4d72f40d7a5f82b15ca2b2e44b1de3c2ef86c426c95c1af0b6879522563030",
    ),
    (
        3072,
        "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2",
    ),
    (
        3073,
        "7124b49501012f81cc7f11ca069ec9226cecb8a2c850cfe644e327d22d3e1cd3",
    ),
    (
        4096,
        "015094013f57a5277b59d8475c0501042c0b642e531b0a1c8f58d2163229e969",
    ),
    (
        4097,
        "9b4052b38f1c5fc8b1f9ff7ac7b27cd242487b3d890d15c96a1c25b8aa0fb995",
    ),
    (
        5120,
        "9cadc15fed8b5d854562b26a9536d9707cadeda9b143978f319ab34230535833",
    ),
    (
        5121,
        "628bd2cb2004694adaab7bbd778a25df25c47b9d4155a55f8fbd79f2fe154cff",
    ),
    (
        6144,
        "3e2e5b74e048f3add6d21faab3f83aa44d3b2278afb83b80b3c35164ebeca205",
    ),
    (
        6145,
        "f1323a8631446cc50536a9f705ee5cb619424d46887f3c376c695b70e0f0507f",
    ),
    (
        7168,
        "61da957ec2499a95d6b8023e2b0e604ec7f6b50e80a9678b89d2628e99ada77a",
    ),
    (
        7169,
        "a003fc7a51754a9b3c7fae0367ab3d782dccf28855a03d435f8cfe74605e7817",
    ),
    (
        8192,
        "aae792484c8efe4f19e2ca7d371d8c467ffb10748d8a5a1ae579948f718a2a63",
    ),
    (
        8193,
        "bab6c09cb8ce8cf459261398d2e7aef35700bf488116ceb94a36d0f5f1b7bc3b",
    ),
    (
        16384,
        "f875d6646de28985646f34ee13be9a576fd515f76b5b0a26bb324735041ddde4",
    ),
    (
        31744,
        "62b6960e1a44bcc1eb1a611a8d6235b6b4b78f32e7abc4fb4c6cdcce94895c47",
    ),
    (
        102400,
        "bc3e3d41a1146b069abffad3c0d44860cf664390afce4d9661f7902e7943e085",
    ),
];

/// The vectors of the Dropbox contract for contents of one repeated letter, by length.
const LETTER_VECTORS: &[(usize, &str)] = &[
    (
        0,
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    ),
    (
        1,
        "1cd6ef71e6e0ff46ad2609d403dc3fee244417089aa4461245a4e4fe23a55e42",
    ),
    (
        4096,
        "8620913d33852befe09f16fff8fd75f77a83160d29f76f07e0276e9690903035",
    ),
    (
        4194303,
        "647c8627d70f7a7d13ce96b1e7710a771a55d41a62c3da490d92e56044d311fa",
    ),
    (
        4194304,
        "d4d63bac5b866c71620185392a8a6218ac1092454a2d16f820363b69852befa3",
    ),
    (
        4194305,
        "8f553da8d00d0bf509d8470e242888be33019c20c0544811f5b2b89e98360b92",
    ),
    (
        8388607,
        "83b30cf4fb5195b04a937727ae379cf3d06673bf8f77947f6a92858536e8369c",
    ),
    (
        8388608,
        "e08b3ba1f538804075c5f939accdeaa9efc7b5c01865c94a41e78ca6550a88e7",
    ),
    (
        8388609,
        "02c8a4aefc2bfc9036f89a7098001865885938ca580e5c9e5db672385edd303c",
    ),
];

/// The vectors of the Dropbox contract for counting bytes, by length.
const COUNTING_VECTORS: &[(usize, &str)] = &[
    (
        1024,
        "0b7db34d6857ac6d1a3e99833ca692a1112eb0d97ba041c8311cc3e265377ffc",
    ),
    (
        8_400_953,
        "1e4187d74c09ac5ecba418360e3aff8c86fed9e00ece62a4b8383a72b85f2cee",
    ),
];

#[test]
fn blake3_equals_its_published_vectors() {
    for (len, expected) in BLAKE3_VECTORS {
        assert_eq!(Blake3::of(&counting(*len)).to_hex(), *expected, "{len}");
    }
}

#[test]
fn the_content_hash_equals_the_vectors_of_its_contract() {
    let letters = LETTER_VECTORS
        .iter()
        .map(|(len, hash)| (vec![b'A'; *len], hash));
    let counted = COUNTING_VECTORS
        .iter()
        .map(|(len, hash)| (counting(*len), hash));
    for (content, expected) in letters.chain(counted) {
        assert_eq!(
            ContentHash::of(&content).to_hex(),
            *expected,
            "{}",
            content.len()
        );
        let mut hasher = ContentHasher::new();
        // An awkward piece length, so that blocks end within pieces.
        for piece in content.chunks(1_000_003) {
            hasher.update(piece);
        }
        assert_eq!(
            hasher.finalize().to_hex(),
            *expected,
            "{} in pieces",
            content.len()
        );
    }
}

/// Each block by itself, by the library alone.
fn blocks_one_by_one(content: &[u8]) -> Vec<[u8; 32]> {
    let blocks = content.chunks(BLOCK_BYTES);
    blocks.map(|block| Sha256::digest(block).into()).collect()
}

#[test]
fn blocks_hashed_two_at_a_time_are_what_each_is_alone() {
    for len in [
        0,
        1,
        BLOCK_BYTES - 1,
        BLOCK_BYTES,
        BLOCK_BYTES + 1,
        2 * BLOCK_BYTES - 1,
        2 * BLOCK_BYTES,
        3 * BLOCK_BYTES + 70,
        5 * BLOCK_BYTES - 64,
    ] {
        let content = counting(len);
        let expected = blocks_one_by_one(&content);
        assert_eq!(block_digests(&content), expected, "{len}");
        assert_eq!(
            ContentHash::of(&content),
            ContentHash::from_blocks(expected.iter().copied())
        );
        for piece_len in [1_000_003, BLOCK_BYTES, 16_368, 3 * BLOCK_BYTES - 5] {
            let mut hasher = BlockHasher::default();
            for piece in content.chunks(piece_len) {
                hasher.update(Bytes::copy_from_slice(piece));
            }
            assert_eq!(hasher.finish(), expected, "{len} in pieces of {piece_len}");
        }
    }
}

#[test]
fn two_contents_side_by_side_are_what_each_is_alone() {
    let pieces = |len: usize, piece: usize| -> Vec<Bytes> {
        let content = counting(len);
        content.chunks(piece).map(Bytes::copy_from_slice).collect()
    };
    let contents = [
        pieces(0, 1),
        pieces(63, 10),
        pieces(64, 64),
        pieces(100 << 10, 16_368),
        pieces(70_001, 7),
    ];
    for first in &contents {
        for second in &contents {
            let alone: [[u8; 32]; 2] =
                [first, second].map(|pieces| Sha256::digest(pieces.concat()).into());
            assert_eq!(two_digests([first, second]), alone);
        }
    }
}

#[test]
fn a_digest_is_written_as_64_hex_digits_and_nothing_else_is_read() {
    let digest = Blake3::of(b"windlass");
    let text = digest.to_string();
    assert_eq!(text.len(), 64);
    assert_eq!(text.parse(), Ok(digest));
    assert_eq!(text.to_uppercase().parse(), Ok(digest));
    assert_eq!(
        serde_json::to_string(&digest).unwrap(),
        format!("\"{text}\"")
    );
    assert_eq!(
        serde_json::from_str::<Blake3>(&format!("\"{text}\"")).unwrap(),
        digest
    );
    for bad in [
        "",
        "00",
        &text[1..],
        &format!("{text}0"),
        &text.replace(|c: char| c.is_ascii_digit(), "g"),
    ] {
        let error = bad.parse::<ContentHash>().expect_err(bad);
        assert_eq!(
            error.to_string(),
            format!("{bad:?} is not a digest of 64 hex digits")
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    #[test]
    fn the_cutting_of_a_content_does_not_change_its_hash(
        len in 0..300_000_usize,
        cuts in prop::collection::vec(1..70_000_usize, 1..20),
    ) {
        // Lengths around a block boundary are where cutting could matter.
        let content = counting(BLOCK_BYTES - 150_000 + len);
        let mut hasher = ContentHasher::new();
        let mut rest = content.as_slice();
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (now, later) = rest.split_at((*cut).min(rest.len()));
            hasher.update(now);
            rest = later;
        }
        prop_assert_eq!(hasher.finalize(), ContentHash::of(&content));
    }
}
