//! The formats: each turns a size and what the file says about itself into pieces of exactly that size.
//!
//! Pictures are small and real; what is missing to the size is noise where the format has room for it
//! that every reader passes over (a private chunk, comments, a resource, samples of a strip).

pub(super) mod jpeg;
pub(super) mod mp4;
pub(super) mod pdf;
pub(super) mod png;
pub(super) mod psd;
pub(super) mod tiff;

use std::io;

use image::RgbImage;

/// A small picture that differs from file to file: a gradient with a moving disc.
pub(super) fn picture(seed: u64, width: u32, height: u32) -> RgbImage {
    let tint = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_le_bytes();
    let (cx, cy) = (
        u32::from(tint[0]) * width / 255,
        u32::from(tint[1]) * height / 255,
    );
    RgbImage::from_fn(width, height, |x, y| {
        let (dx, dy) = (x.abs_diff(cx), y.abs_diff(cy));
        if dx * dx + dy * dy < height * height / 16 {
            image::Rgb([tint[2], tint[3], tint[4]])
        } else {
            // Both quotients are below 256.
            image::Rgb([(x * 255 / width) as u8, (y * 255 / height) as u8, tint[5]])
        }
    })
}

/// A size that a format's fixed parts alone exceed.
pub(super) fn too_small(what: &str, wanted: u64, least: u64) -> io::Error {
    io::Error::other(format!(
        "a {what} of {wanted} bytes is below the {least} that it needs"
    ))
}

#[cfg(test)]
mod tests;
