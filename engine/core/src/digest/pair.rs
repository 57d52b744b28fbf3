//! SHA-256 of two inputs at a time.
//!
//! One SHA-256 is a chain: each round waits for the one before, and the processor's SHA unit idles half of the
//! time. Two independent chains, one round of each in turn, fill it: 3.5 GB/s a thread instead of 1.8 where this was
//! measured (`benches/micro/digest.rs`). Blocks of a content hash are independent. Without the instructions, each
//! input is hashed by itself.

use sha2::block_api::compress256;

/// What SHA-256 begins with (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// What one round of compression takes.
const CHUNK: usize = 64;

/// One SHA-256 under way.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    state: [u32; 8],
    /// The begin of the next chunk: `len % CHUNK` bytes.
    rest: [u8; CHUNK],
    len: u64,
}

impl Lane {
    /// A hasher that has seen nothing.
    pub(super) fn new() -> Self {
        Lane {
            state: INITIAL,
            rest: [0; CHUNK],
            len: 0,
        }
    }

    /// How many bytes it has seen.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Takes the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        let (whole, rest) = self.fill(bytes).as_chunks();
        compress256(&mut self.state, whole);
        self.keep(rest);
    }

    /// The digest of everything that was given.
    pub(super) fn finalize(mut self) -> [u8; 32] {
        // A one, zeroes, and the length in bits at the end of a chunk.
        let bits = (self.len * 8).to_be_bytes();
        let filled = self.filled();
        let zeroes = (2 * CHUNK - 8 - 1 - filled) % CHUNK;
        let mut padding = [0; 2 * CHUNK];
        padding[0] = 0x80;
        padding[1 + zeroes..1 + zeroes + 8].copy_from_slice(&bits);
        self.update(&padding[..1 + zeroes + 8]);
        let mut digest = [0; 32];
        for (bytes, word) in digest.as_chunks_mut().0.iter_mut().zip(self.state) {
            *bytes = word.to_be_bytes();
        }
        digest
    }

    /// Completes the chunk that was begun, if the bytes suffice; what is left of them.
    fn fill<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let filled = self.filled();
        self.len += bytes.len() as u64;
        if filled == 0 {
            return bytes;
        }
        let (now, later) = bytes.split_at(bytes.len().min(CHUNK - filled));
        self.rest[filled..filled + now.len()].copy_from_slice(now);
        if filled + now.len() == CHUNK {
            compress256(&mut self.state, std::slice::from_ref(&self.rest));
        }
        later
    }

    /// Keeps the begin of a chunk. Nothing to keep may mean that one is kept already.
    fn keep(&mut self, rest: &[u8]) {
        self.rest[..rest.len()].copy_from_slice(rest);
    }

    fn filled(&self) -> usize {
        // Below 64, so it fits.
        (self.len % CHUNK as u64) as usize
    }
}

/// Gives both lanes their next bytes, equally many, in the time that one takes alone.
pub(super) fn update_both(lanes: &mut [Lane; 2], inputs: [&[u8]; 2]) {
    assert_eq!(inputs[0].len(), inputs[1].len(), "lanes go side by side");
    let [a, b] = lanes;
    let (a_whole, a_rest) = a.fill(inputs[0]).as_chunks();
    let (b_whole, b_rest) = b.fill(inputs[1]).as_chunks();
    let both = a_whole.len().min(b_whole.len());
    let mut states = [a.state, b.state];
    compress_pair(&mut states, [&a_whole[..both], &b_whole[..both]]);
    [a.state, b.state] = states;
    // Lanes that were begun apart may differ by a chunk.
    compress256(&mut a.state, &a_whole[both..]);
    compress256(&mut b.state, &b_whole[both..]);
    a.keep(a_rest);
    b.keep(b_rest);
}

/// Compresses chunks of both inputs, equally many, into their states.
fn compress_pair(states: &mut [[u32; 8]; 2], chunks: [&[[u8; CHUNK]]; 2]) {
    #[cfg(target_arch = "x86_64")]
    if x86::is_here() {
        return x86::compress_pair(states, chunks);
    }
    compress_apart(states, chunks);
}

/// The same without instructions for it.
fn compress_apart(states: &mut [[u32; 8]; 2], chunks: [&[[u8; CHUNK]]; 2]) {
    for (state, chunks) in states.iter_mut().zip(chunks) {
        compress256(state, chunks);
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    //! The one place of this crate with unsafe code: instructions that not every processor has.
    #![allow(unsafe_code)]

    use std::arch::asm;
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_set_epi64x, _mm_setzero_si128,
        _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32,
    };

    use super::CHUNK;

    /// The round constants (FIPS 180-4, 4.2.2), four to a step.
    const ROUND: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// Whether this processor has what is needed; asked once, then remembered by the library.
    pub(super) fn is_here() -> bool {
        is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1")
    }

    /// See the function above that chooses. To be called only where [`is_here`].
    pub(super) fn compress_pair(states: &mut [[u32; 8]; 2], chunks: [&[[u8; CHUNK]]; 2]) {
        debug_assert!(is_here());
        // SAFETY: the caller has seen that the processor knows these instructions; nothing else is asked of it.
        unsafe { compress(states, chunks) }
    }

    /// A chain's eight words as the instructions want them: a, b, e, f and c, d, g, h, the first in the highest place.
    #[derive(Clone, Copy)]
    struct State {
        abef: __m128i,
        cdgh: __m128i,
    }

    fn load<T: Copy>(words: &T) -> __m128i {
        const { assert!(size_of::<T>() == size_of::<__m128i>()) };
        // SAFETY: the sizes are equal, and every pattern of bits is a value of the vector.
        unsafe { std::mem::transmute_copy(words) }
    }

    fn store(vector: __m128i) -> [u32; 4] {
        // SAFETY: both are sixteen bytes without padding, and every pattern is a value of either.
        unsafe { std::mem::transmute(vector) }
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn unpack(words: &[u32; 8]) -> State {
        let [a, b, c, d, e, f, g, h] = *words;
        State {
            abef: load(&[f, e, b, a]),
            cdgh: load(&[h, g, d, c]),
        }
    }

    fn pack(state: State) -> [u32; 8] {
        let [f, e, b, a] = store(state.abef);
        let [h, g, d, c] = store(state.cdgh);
        [a, b, c, d, e, f, g, h]
    }

    /// Four rounds.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn rounds(state: &mut State, words: __m128i, step: usize) {
        let keyed = _mm_add_epi32(words, load(&ROUND[step]));
        state.cdgh = _mm_sha256rnds2_epu32(state.cdgh, state.abef, keyed);
        let keyed = _mm_shuffle_epi32(keyed, 0x0e);
        state.abef = _mm_sha256rnds2_epu32(state.abef, state.cdgh, keyed);
        // No instruction, but the compiler keeps these in order: left alone it sorts all rounds of one chain before
        // those of the other, which the processor then sees too far apart (2.6 GB/s instead of 3.6).
        // SAFETY: nothing is done.
        unsafe {
            asm!("/* {0} */", inout(xmm_reg) state.abef, options(nomem, nostack, preserves_flags));
        }
    }

    /// The next four words of the schedule, from the sixteen before.
    #[inline]
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn schedule(w0: __m128i, w1: __m128i, w2: __m128i, w3: __m128i) -> __m128i {
        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8(w3, w2, 4));
        _mm_sha256msg2_epu32(sum, w3)
    }

    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    fn compress(states: &mut [[u32; 8]; 2], chunks: [&[[u8; CHUNK]]; 2]) {
        let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let mut now = [unpack(&states[0]), unpack(&states[1])];
        for pair in chunks[0].iter().zip(chunks[1]) {
            let pair = [pair.0, pair.1];
            let before = now;
            let mut w = [[_mm_setzero_si128(); 4]; 2];
            // One round of each chain in turn, written out: a loop over steps would keep the words in memory.
            macro_rules! first {
                ($($step:literal)*) => { $(
                    for lane in 0..2 {
                        let bytes: &[u8; 16] = &pair[lane].as_chunks().0[$step];
                        w[lane][$step] = _mm_shuffle_epi8(load(bytes), big_endian);
                        rounds(&mut now[lane], w[lane][$step], $step);
                    }
                )* };
            }
            macro_rules! next {
                ($($step:literal)*) => { $(
                    for lane in 0..2 {
                        let w = &mut w[lane];
                        w[$step % 4] = schedule(
                            w[$step % 4],
                            w[($step + 1) % 4],
                            w[($step + 2) % 4],
                            w[($step + 3) % 4],
                        );
                        rounds(&mut now[lane], w[$step % 4], $step);
                    }
                )* };
            }
            first!(0 1 2 3);
            next!(4 5 6 7 8 9 10 11 12 13 14 15);
            for (now, before) in now.iter_mut().zip(before) {
                now.abef = _mm_add_epi32(now.abef, before.abef);
                now.cdgh = _mm_add_epi32(now.cdgh, before.cdgh);
            }
        }
        *states = now.map(pack);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sha2::{Digest, Sha256};

    use super::{INITIAL, Lane, compress_apart, compress_pair, update_both};

    #[test]
    fn both_ways_compress_alike() {
        let bytes: Vec<u8> = (0..64 * 22).map(|i: usize| (i * i / 7) as u8).collect();
        let (chunks, _) = bytes.as_chunks();
        let (mut fast, mut plain) = ([INITIAL; 2], [INITIAL; 2]);
        compress_pair(&mut fast, [&chunks[..11], &chunks[11..]]);
        compress_apart(&mut plain, [&chunks[..11], &chunks[11..]]);
        assert_eq!(fast, plain);
        assert_ne!(fast[0], fast[1]);
    }

    proptest! {
        #[test]
        fn lanes_that_go_together_and_apart_agree_with_the_library(
            seed in any::<[u8; 32]>(),
            alone in [0_usize..200, 0_usize..200],
            together in prop::collection::vec(0_usize..300, 0..6),
            after in [0_usize..200, 0_usize..200],
        ) {
            let both: usize = together.iter().sum();
            let inputs = [0, 1].map(|lane| {
                let mut bytes = vec![0; alone[lane] + both + after[lane]];
                let mut reader = blake3::Hasher::new_keyed(&seed).update(&[lane as u8]).finalize_xof();
                reader.fill(&mut bytes);
                bytes
            });
            let mut lanes = [Lane::new(), Lane::new()];
            let mut at = [0, 0];
            let mut next = |lane: usize, len: usize| {
                at[lane] += len;
                &inputs[lane][at[lane] - len..at[lane]]
            };
            for lane in 0..2 {
                lanes[lane].update(next(lane, alone[lane]));
            }
            for len in together {
                update_both(&mut lanes, [next(0, len), next(1, len)]);
            }
            for lane in 0..2 {
                lanes[lane].update(next(lane, after[lane]));
            }
            for (lane, input) in lanes.into_iter().zip(&inputs) {
                prop_assert_eq!(lane.len(), input.len() as u64);
                prop_assert_eq!(lane.finalize(), <[u8; 32]>::from(Sha256::digest(input)));
            }
        }
    }
}
