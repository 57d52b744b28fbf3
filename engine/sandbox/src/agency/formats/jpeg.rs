//! JPEG: real pixels, EXIF and XMP in `APP1`, and noise in comment segments.

use std::io;

use image::{ExtendedColorType, ImageEncoder, codecs::jpeg::JpegEncoder};

use super::super::pieces::{COMMENT_BYTES_MIN, Piece, total};
use super::super::xmp::{Said, exif, packet};
use super::{picture, too_small};

pub(in super::super) fn pieces(size: u64, seed: u64, said: &Said) -> io::Result<Vec<Piece>> {
    let encoded = encode(seed, 160, 120)?;
    let mut head = encoded[..2].to_vec();
    let mut block = b"Exif\0\0".to_vec();
    block.extend_from_slice(&exif());
    segment(&mut head, &block)?;
    let mut block = b"http://ns.adobe.com/xap/1.0/\0".to_vec();
    block.extend_from_slice(&packet(said));
    segment(&mut head, &block)?;
    padded("JPEG", size, head, encoded[2..].to_vec())
}

/// One frame of a film: a JPEG of exactly `size` bytes.
pub(super) fn frame(size: u64, encoded: &[u8]) -> io::Result<Vec<Piece>> {
    padded(
        "film frame",
        size,
        encoded[..2].to_vec(),
        encoded[2..].to_vec(),
    )
}

/// A picture as a JPEG, beginning with its start marker.
pub(super) fn encode(seed: u64, width: u32, height: u32) -> io::Result<Vec<u8>> {
    let mut encoded = Vec::new();
    let image = picture(seed, width, height);
    JpegEncoder::new_with_quality(&mut encoded, 80)
        .write_image(image.as_raw(), width, height, ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    Ok(encoded)
}

fn padded(what: &str, size: u64, head: Vec<u8>, tail: Vec<u8>) -> io::Result<Vec<Piece>> {
    let mut pieces = vec![Piece::Known(head), Piece::Known(tail)];
    let least = total(&pieces) + COMMENT_BYTES_MIN;
    let comments = size
        .checked_sub(total(&pieces))
        .filter(|rest| *rest >= COMMENT_BYTES_MIN);
    let comments = comments.ok_or_else(|| too_small(what, size, least))?;
    pieces.insert(1, Piece::Comments(comments));
    Ok(pieces)
}

fn segment(to: &mut Vec<u8>, data: &[u8]) -> io::Result<()> {
    let length = u16::try_from(data.len() + 2).map_err(io::Error::other)?;
    to.extend_from_slice(&[0xFF, 0xE1]);
    to.extend_from_slice(&length.to_be_bytes());
    to.extend_from_slice(data);
    Ok(())
}
