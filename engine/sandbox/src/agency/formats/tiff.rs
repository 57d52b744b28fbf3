//! TIFF: uncompressed samples in one strip, XMP in tag 700.

use std::io;

use super::super::pieces::Piece;
use super::super::xmp::{Said, entry, packet};
use super::too_small;

const ENTRIES: u32 = 14;

/// No picture is wider than a camera makes it.
const WIDTH_MAX: u64 = 6_000;

pub(in super::super) fn pieces(size: u64, said: &Said) -> io::Result<Vec<Piece>> {
    let xmp = packet(said);
    let directory = 8;
    let beyond = directory + 2 + ENTRIES * 12 + 4;
    let bits = beyond;
    let resolution = bits + 6;
    let xmp_at = resolution + 16;
    // What a directory points at begins at an even offset.
    let strip = (xmp_at + xmp.len() as u32).next_multiple_of(2);
    let least = u64::from(strip) + 3;
    let samples = size
        .checked_sub(u64::from(strip))
        .ok_or_else(|| too_small("TIFF", size, least))?;
    // About four to three; a large picture grows in height only.
    let width = (samples * 4 / 9).isqrt().clamp(1, WIDTH_MAX) as u32;
    let height = u32::try_from(samples / 3 / u64::from(width)).map_err(io::Error::other)?;
    let strip_bytes = u64::from(width) * u64::from(height) * 3;
    let strip_field = u32::try_from(strip_bytes).map_err(io::Error::other)?;
    if height == 0 {
        return Err(too_small("TIFF", size, least));
    }
    let mut head = b"II*\0".to_vec();
    head.extend_from_slice(&directory.to_le_bytes());
    head.extend_from_slice(&(ENTRIES as u16).to_le_bytes());
    entry(&mut head, 256, 4, 1, width);
    entry(&mut head, 257, 4, 1, height);
    entry(&mut head, 258, 3, 3, bits);
    entry(&mut head, 259, 3, 1, 1);
    entry(&mut head, 262, 3, 1, 2);
    entry(&mut head, 273, 4, 1, strip);
    entry(&mut head, 277, 3, 1, 3);
    entry(&mut head, 278, 4, 1, height);
    entry(&mut head, 279, 4, 1, strip_field);
    entry(&mut head, 282, 5, 1, resolution);
    entry(&mut head, 283, 5, 1, resolution + 8);
    entry(&mut head, 284, 3, 1, 1);
    entry(&mut head, 296, 3, 1, 2);
    entry(&mut head, 700, 1, xmp.len() as u32, xmp_at);
    head.extend_from_slice(&0_u32.to_le_bytes());
    for bits in [8_u16; 3] {
        head.extend_from_slice(&bits.to_le_bytes());
    }
    // 300 dots an inch, both ways.
    for part in [300_u32, 1, 300, 1] {
        head.extend_from_slice(&part.to_le_bytes());
    }
    head.extend_from_slice(&xmp);
    head.resize(strip as usize, 0);
    // Less than one row may be left over; nothing refers to it.
    Ok(vec![Piece::Known(head), Piece::Noise(samples)])
}
