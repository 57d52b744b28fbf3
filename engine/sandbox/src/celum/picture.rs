//! Pictures of assets: how large one is, and smaller ones of it.
//!
//! What cannot be decoded here gets a plain tile whose colour comes from the content, so that every
//! preview that is promised can be fetched and two contents rarely look alike.

use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};

use bytes::Bytes;
use image::{DynamicImage, ImageFormat, ImageReader, Limits, Rgb, RgbImage};

use crate::blob::{BlobId, BlobStore};

/// Largest picture that is decoded; beyond it the tile is shown. Bounds the memory of a preview.
const DECODE_BYTES_MAX: u64 = 64 << 20;

/// Edge of a tile in pixels; larger previews of it would only be larger.
const TILE_EDGE_MAX: u32 = 512;

/// Width and height in pixels. None if the content is no picture that can be read here.
pub(super) fn dimensions(blobs: &BlobStore, blob: BlobId) -> Option<(u32, u32)> {
    let reader = BlobReader::new(blobs, blob).ok()?;
    let reader = ImageReader::new(BufReader::new(reader))
        .with_guessed_format()
        .ok()?;
    reader.into_dimensions().ok()
}

/// A PNG of a content that fits into a square. `key` chooses the colour of a tile.
pub(super) fn render(
    blobs: &BlobStore,
    blob: Option<BlobId>,
    key: u64,
    edge: u32,
) -> io::Result<Bytes> {
    let picture = match blob.and_then(|blob| decode(blobs, blob)) {
        Some(picture) => picture.thumbnail(edge, edge),
        None => tile(key, edge.min(TILE_EDGE_MAX)),
    };
    let mut png = Cursor::new(Vec::new());
    // PNG has no picture with 32-bit channels.
    let plain = DynamicImage::ImageRgba8(picture.to_rgba8());
    plain
        .write_to(&mut png, ImageFormat::Png)
        .map_err(io::Error::other)?;
    Ok(png.into_inner().into())
}

fn decode(blobs: &BlobStore, blob: BlobId) -> Option<DynamicImage> {
    let reader = BlobReader::new(blobs, blob).ok()?;
    if reader.len > DECODE_BYTES_MAX {
        return None;
    }
    let mut reader = ImageReader::new(BufReader::new(reader))
        .with_guessed_format()
        .ok()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(4 * DECODE_BYTES_MAX);
    reader.limits(limits);
    reader.decode().ok()
}

fn tile(key: u64, edge: u32) -> DynamicImage {
    let [red, green, blue, ..] = key.to_be_bytes();
    RgbImage::from_pixel(edge, edge, Rgb([red, green, blue])).into()
}

/// A blob as a file.
struct BlobReader<'a> {
    blobs: &'a BlobStore,
    blob: BlobId,
    at: u64,
    len: u64,
}

impl<'a> BlobReader<'a> {
    fn new(blobs: &'a BlobStore, blob: BlobId) -> io::Result<Self> {
        let len = blobs.len(blob)?;
        Ok(BlobReader {
            blobs,
            blob,
            at: 0,
            len,
        })
    }
}

impl Read for BlobReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let end = self.len.min(self.at.saturating_add(buffer.len() as u64));
        if self.at >= end {
            return Ok(0);
        }
        let bytes = self.blobs.read(self.blob, self.at..end)?;
        buffer[..bytes.len()].copy_from_slice(&bytes);
        self.at = end;
        Ok(bytes.len())
    }
}

impl Seek for BlobReader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (base, by) = match to {
            SeekFrom::Start(at) => (at, 0),
            SeekFrom::Current(by) => (self.at, by),
            SeekFrom::End(by) => (self.len, by),
        };
        let before_start = || io::Error::new(io::ErrorKind::InvalidInput, "before the start");
        self.at = base.checked_add_signed(by).ok_or_else(before_start)?;
        Ok(self.at)
    }
}
