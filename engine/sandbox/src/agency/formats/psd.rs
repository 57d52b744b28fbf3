//! PSD: header, XMP in image resource 1060, noise in a plug-in's resource, and raw merged pixels.

use std::io;

use super::super::pieces::{Piece, total};
use super::super::xmp::{Said, packet};
use super::{picture, too_small};

const WIDTH: u32 = 128;
const HEIGHT: u32 = 96;

/// The first of the resources that plug-ins may use as they like.
const PLUGIN_RESOURCE: u16 = 4_000;

pub(in super::super) fn pieces(size: u64, seed: u64, said: &Said) -> io::Result<Vec<Piece>> {
    let mut xmp = Vec::new();
    let packet = packet(said);
    resource_head(&mut xmp, 1_060, packet.len() as u32);
    xmp.extend_from_slice(&packet);
    if packet.len() % 2 == 1 {
        xmp.push(0);
    }
    let mut header = b"8BPS\0\x01\0\0\0\0\0\0\0\x03".to_vec();
    header.extend_from_slice(&HEIGHT.to_be_bytes());
    header.extend_from_slice(&WIDTH.to_be_bytes());
    // Eight bits a channel, RGB, no colour table.
    header.extend_from_slice(&[0, 8, 0, 3, 0, 0, 0, 0]);
    let mut noise_head = Vec::new();
    resource_head(&mut noise_head, PLUGIN_RESOURCE, 0);
    // No layers; then the merged picture, uncompressed, channel by channel.
    let mut tail = 0_u32.to_be_bytes().to_vec();
    tail.extend_from_slice(&[0, 0]);
    let image = picture(seed, WIDTH, HEIGHT);
    for channel in 0..3 {
        tail.extend(image.pixels().map(|pixel| pixel.0[channel]));
    }
    let fixed = (header.len() + 4 + xmp.len() + noise_head.len() + tail.len()) as u64;
    let rest = size
        .checked_sub(fixed)
        .ok_or_else(|| too_small("PSD", size, fixed))?;
    // Resources have an even length; an odd byte goes behind the picture.
    let noise = rest & !1;
    let noise_field = u32::try_from(noise).map_err(io::Error::other)?;
    noise_head.clear();
    resource_head(&mut noise_head, PLUGIN_RESOURCE, noise_field);
    let resources = (xmp.len() + noise_head.len()) as u64 + noise;
    let resources = u32::try_from(resources).map_err(io::Error::other)?;
    header.extend_from_slice(&resources.to_be_bytes());
    header.extend_from_slice(&xmp);
    header.extend_from_slice(&noise_head);
    let pieces = vec![
        Piece::Known(header),
        Piece::Noise(noise),
        Piece::Known(tail),
        Piece::Noise(rest - noise),
    ];
    debug_assert_eq!(total(&pieces), size);
    Ok(pieces)
}

fn resource_head(to: &mut Vec<u8>, id: u16, length: u32) {
    to.extend_from_slice(b"8BIM");
    to.extend_from_slice(&id.to_be_bytes());
    // An empty name, padded.
    to.extend_from_slice(&[0, 0]);
    to.extend_from_slice(&length.to_be_bytes());
}
