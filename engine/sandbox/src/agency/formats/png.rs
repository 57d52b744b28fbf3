//! PNG: real pixels, XMP in `iTXt`, EXIF in `eXIf`, and noise in a private chunk.

use std::io;

use image::{ExtendedColorType, ImageEncoder, codecs::png::PngEncoder};

use super::super::pieces::{Crc, Piece, total};
use super::super::xmp::{Said, exif, packet};
use super::{picture, too_small};

/// Ancillary, private, safe to copy: readers pass over it.
const NOISE: [u8; 4] = *b"noIz";

/// Signature and header chunk: what comes before everything else.
const HEAD_BYTES: usize = 8 + 25;

/// The closing chunk.
const END_BYTES: usize = 12;

pub(in super::super) fn pieces(size: u64, seed: u64, said: &Said) -> io::Result<Vec<Piece>> {
    let mut encoded = Vec::new();
    let image = picture(seed, 96, 64);
    PngEncoder::new(&mut encoded)
        .write_image(image.as_raw(), 96, 64, ExtendedColorType::Rgb8)
        .map_err(io::Error::other)?;
    let mut text = b"XML:com.adobe.xmp\0\0\0\0\0".to_vec();
    text.extend_from_slice(&packet(said));
    let mut head = encoded[..HEAD_BYTES].to_vec();
    chunk(&mut head, *b"iTXt", &text);
    chunk(&mut head, *b"eXIf", &exif());
    let mut pieces = vec![
        Piece::Known(head),
        Piece::Known(encoded[HEAD_BYTES..encoded.len() - END_BYTES].to_vec()),
        Piece::Known(encoded[encoded.len() - END_BYTES..].to_vec()),
    ];
    let least = total(&pieces);
    let rest = size
        .checked_sub(least)
        .ok_or_else(|| too_small("PNG", size, least))?;
    if rest > 0 {
        let noise = rest
            .checked_sub(12)
            .ok_or_else(|| too_small("PNG", size, least + 12))?;
        let noise = u32::try_from(noise).map_err(io::Error::other)?;
        pieces.insert(2, Piece::PngNoise(NOISE, noise));
    }
    Ok(pieces)
}

fn chunk(to: &mut Vec<u8>, name: [u8; 4], data: &[u8]) {
    // Packets and EXIF blocks are a few KiB.
    to.extend_from_slice(&(data.len() as u32).to_be_bytes());
    to.extend_from_slice(&name);
    to.extend_from_slice(data);
    let mut crc = Crc::new();
    crc.update(&name);
    crc.update(data);
    to.extend_from_slice(&crc.finish().to_be_bytes());
}
