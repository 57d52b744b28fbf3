//! MP4: one video track of Motion-JPEG frames, XMP in a `uuid` box, all boxes with true sizes.

use std::io;

use super::super::pieces::{Piece, total};
use super::super::xmp::{Said, packet};
use super::{jpeg, too_small};

const WIDTH: u16 = 320;
const HEIGHT: u16 = 180;
const FRAMES_PER_SECOND: u32 = 25;

/// The bytes of one frame where the film is long enough.
const FRAME_BYTES: u64 = 192 << 10;

/// Under which XMP is found in a film.
const XMP_UUID: [u8; 16] = [
    0xBE, 0x7A, 0xCF, 0xCB, 0x97, 0xA9, 0x42, 0xE8, 0x9C, 0x71, 0x99, 0x94, 0x91, 0xE3, 0xAF, 0xAC,
];

pub(in super::super) fn pieces(size: u64, seed: u64, said: &Said) -> io::Result<Vec<Piece>> {
    let pictures = (0..3)
        .map(|index| {
            jpeg::encode(
                seed.wrapping_add(index),
                u32::from(WIDTH),
                u32::from(HEIGHT),
            )
        })
        .collect::<io::Result<Vec<_>>>()?;
    let mut head = Vec::new();
    boxed(&mut head, *b"ftyp", |b| {
        b.extend_from_slice(b"isom\0\0\x02\0isomiso2mp41")
    });
    boxed(&mut head, *b"uuid", |b| {
        b.extend_from_slice(&XMP_UUID);
        b.extend_from_slice(&packet(said));
    });
    // The sample table names where the frames are, and where that is depends on its own length: its
    // length does not depend on the values, so it is made twice.
    let fixed = (head.len() + moov(1, 0, 0).len() + 8 + 8) as u64;
    let least = fixed + 32 * 1024;
    let room = size.checked_sub(fixed).filter(|room| *room >= 32 * 1024);
    let room = room.ok_or_else(|| too_small("film", size, least))?;
    let frame = FRAME_BYTES.min(room);
    let frames = u32::try_from(room / frame).map_err(io::Error::other)?;
    let media = u64::from(frames) * frame;
    let first = head.len() + moov(frames, frame, 0).len() + 8;
    head.extend_from_slice(&moov(frames, frame, first as u32));
    let mdat = u32::try_from(media + 8).map_err(io::Error::other)?;
    head.extend_from_slice(&mdat.to_be_bytes());
    head.extend_from_slice(b"mdat");
    let mut pieces = vec![Piece::Known(head)];
    for index in 0..frames as usize {
        pieces.extend(jpeg::frame(frame, &pictures[index % pictures.len()])?);
    }
    let rest = size - total(&pieces);
    let free = u32::try_from(rest).map_err(io::Error::other)?;
    pieces.push(Piece::Known([&free.to_be_bytes()[..], b"free"].concat()));
    pieces.push(Piece::Noise(rest - 8));
    Ok(pieces)
}

/// The film's description: frames of one size, one after the other, in one chunk.
fn moov(frames: u32, frame_bytes: u64, first: u32) -> Vec<u8> {
    let mut out = Vec::new();
    let matrix: Vec<u8> = [0x1_0000_u32, 0, 0, 0, 0x1_0000, 0, 0, 0, 0x4000_0000]
        .iter()
        .flat_map(|value| value.to_be_bytes())
        .collect();
    boxed(&mut out, *b"moov", |moov| {
        boxed(moov, *b"mvhd", |b| {
            b.extend_from_slice(&[0; 12]);
            words(b, &[FRAMES_PER_SECOND, frames, 0x1_0000]);
            b.extend_from_slice(&[1, 0]);
            b.extend_from_slice(&[0; 10]);
            b.extend_from_slice(&matrix);
            b.extend_from_slice(&[0; 24]);
            words(b, &[2]);
        });
        boxed(moov, *b"trak", |trak| {
            boxed(trak, *b"tkhd", |b| {
                words(b, &[7, 0, 0, 1, 0, frames]);
                b.extend_from_slice(&[0; 16]);
                b.extend_from_slice(&matrix);
                words(b, &[u32::from(WIDTH) << 16, u32::from(HEIGHT) << 16]);
            });
            boxed(trak, *b"mdia", |mdia| {
                boxed(mdia, *b"mdhd", |b| {
                    words(b, &[0, 0, 0, FRAMES_PER_SECOND, frames, 0x55C4_0000])
                });
                boxed(mdia, *b"hdlr", |b| {
                    words(b, &[0, 0]);
                    b.extend_from_slice(b"vide");
                    b.extend_from_slice(&[0; 12]);
                    b.extend_from_slice(b"video\0");
                });
                boxed(mdia, *b"minf", |minf| {
                    boxed(minf, *b"vmhd", |b| words(b, &[1, 0, 0]));
                    boxed(minf, *b"dinf", |dinf| {
                        boxed(dinf, *b"dref", |b| {
                            words(b, &[0, 1]);
                            boxed(b, *b"url ", |url| words(url, &[1]));
                        });
                    });
                    boxed(minf, *b"stbl", |stbl| {
                        sample_table(stbl, frames, frame_bytes, first)
                    });
                });
            });
        });
    });
    out
}

fn sample_table(stbl: &mut Vec<u8>, frames: u32, frame_bytes: u64, first: u32) {
    boxed(stbl, *b"stsd", |b| {
        words(b, &[0, 1]);
        boxed(b, *b"mp4v", |entry| {
            entry.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0, 1]);
            entry.extend_from_slice(&[0; 16]);
            entry.extend_from_slice(&WIDTH.to_be_bytes());
            entry.extend_from_slice(&HEIGHT.to_be_bytes());
            // 72 dots an inch, one frame a sample, no name, 24 bits.
            words(entry, &[0x48_0000, 0x48_0000, 0]);
            entry.extend_from_slice(&[0, 1]);
            entry.extend_from_slice(&[0; 32]);
            entry.extend_from_slice(&[0, 24, 0xFF, 0xFF]);
            boxed(entry, *b"esds", |esds| {
                words(esds, &[0]);
                // Elementary stream 1, decoder of object type 0x6C (JPEG), a visual stream.
                esds.extend_from_slice(&[0x03, 21, 0, 1, 0, 0x04, 13, 0x6C, 0x11]);
                esds.extend_from_slice(&[0; 11]);
                esds.extend_from_slice(&[0x06, 1, 2]);
            });
        });
    });
    boxed(stbl, *b"stts", |b| words(b, &[0, 1, frames, 1]));
    boxed(stbl, *b"stsc", |b| words(b, &[0, 1, 1, frames, 1]));
    // Frames are at most 192 KiB.
    boxed(stbl, *b"stsz", |b| {
        words(b, &[0, frame_bytes as u32, frames])
    });
    boxed(stbl, *b"stco", |b| words(b, &[0, 1, first]));
}

fn words(to: &mut Vec<u8>, values: &[u32]) {
    for value in values {
        to.extend_from_slice(&value.to_be_bytes());
    }
}

/// A box: its size, its name, what is in it. Boxes made here are far below 4 GiB.
fn boxed(to: &mut Vec<u8>, name: [u8; 4], fill: impl FnOnce(&mut Vec<u8>)) {
    let start = to.len();
    to.extend_from_slice(&[0; 4]);
    to.extend_from_slice(&name);
    fill(to);
    let size = (to.len() - start) as u32;
    to[start..start + 4].copy_from_slice(&size.to_be_bytes());
}
