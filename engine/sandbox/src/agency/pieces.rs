//! A file as pieces: bytes that are known, and noise that is made while it is written.

use std::io;

use bytes::{Bytes, BytesMut};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// How much is handed over at once.
const PIECE_BYTES: usize = 1 << 20;

/// The longest comment segment of a JPEG: its length field counts itself and has two bytes.
const COMMENT_BYTES_MAX: u64 = 65_533;

/// The shortest comment segment: marker and length.
pub(super) const COMMENT_BYTES_MIN: u64 = 4;

/// One part of a file.
#[derive(Clone, Debug)]
pub(super) enum Piece {
    /// Bytes that are known.
    Known(Vec<u8>),
    /// So many bytes that no compressor makes smaller.
    Noise(u64),
    /// JPEG comment segments of so many bytes in all, markers included; 0 or at least 4.
    Comments(u64),
    /// A PNG chunk of this type with so many bytes of noise, and its checksum.
    PngNoise([u8; 4], u32),
}

impl Piece {
    /// How many bytes it becomes.
    pub(super) fn length(&self) -> u64 {
        match self {
            Piece::Known(bytes) => bytes.len() as u64,
            Piece::Noise(length) | Piece::Comments(length) => *length,
            Piece::PngNoise(_, length) => u64::from(*length) + 12,
        }
    }
}

/// How many bytes pieces become.
pub(super) fn total(pieces: &[Piece]) -> u64 {
    pieces.iter().map(Piece::length).sum()
}

/// Makes pieces into bytes, in order.
pub(super) struct Stream<'a> {
    out: &'a mut dyn FnMut(Bytes) -> io::Result<()>,
    buffer: BytesMut,
    noise: ChaCha8Rng,
}

impl<'a> Stream<'a> {
    pub(super) fn new(seed: u64, out: &'a mut dyn FnMut(Bytes) -> io::Result<()>) -> Self {
        Stream {
            out,
            buffer: BytesMut::new(),
            noise: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    pub(super) fn write(&mut self, pieces: &[Piece]) -> io::Result<()> {
        for piece in pieces {
            match piece {
                Piece::Known(bytes) => self.known(bytes)?,
                Piece::Noise(length) => self.noise(*length, |_| {})?,
                Piece::Comments(length) => self.comments(*length)?,
                Piece::PngNoise(name, length) => self.png_noise(*name, *length)?,
            }
        }
        Ok(())
    }

    /// Hands over what is left.
    pub(super) fn finish(mut self) -> io::Result<()> {
        self.flush()
    }

    fn known(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(PIECE_BYTES) {
            self.buffer.extend_from_slice(part);
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn noise(&mut self, length: u64, mut seen: impl FnMut(&[u8])) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            // At most the piece, which is a usize.
            let take = left.min(PIECE_BYTES as u64) as usize;
            let start = self.buffer.len();
            self.buffer.resize(start + take, 0);
            self.noise.fill_bytes(&mut self.buffer[start..]);
            seen(&self.buffer[start..]);
            left -= take as u64;
            self.flush_if_full()?;
        }
        Ok(())
    }

    fn comments(&mut self, length: u64) -> io::Result<()> {
        let mut left = length;
        while left > 0 {
            let mut segment = left.min(COMMENT_BYTES_MAX + 2);
            // The rest must still hold a segment.
            if left > segment && left - segment < COMMENT_BYTES_MIN {
                segment -= COMMENT_BYTES_MIN;
            }
            let stated = u16::try_from(segment - 2).map_err(io::Error::other)?;
            let [high, low] = stated.to_be_bytes();
            self.known(&[0xFF, 0xFE, high, low])?;
            self.noise(segment - 4, |_| {})?;
            left -= segment;
        }
        Ok(())
    }

    fn png_noise(&mut self, name: [u8; 4], length: u32) -> io::Result<()> {
        self.known(&length.to_be_bytes())?;
        self.known(&name)?;
        let mut crc = Crc::new();
        crc.update(&name);
        self.noise(u64::from(length), |bytes| crc.update(bytes))?;
        self.known(&crc.finish().to_be_bytes())
    }

    fn flush_if_full(&mut self) -> io::Result<()> {
        if self.buffer.len() >= PIECE_BYTES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.buffer.is_empty() {
            let take = self.buffer.len().min(PIECE_BYTES);
            (self.out)(self.buffer.split_to(take).freeze())?;
        }
        Ok(())
    }
}

/// The checksum of a PNG chunk.
#[derive(Debug)]
pub(super) struct Crc(crc32fast::Hasher);

impl Crc {
    pub(super) fn new() -> Self {
        Crc(crc32fast::Hasher::new())
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    pub(super) fn finish(self) -> u32 {
        self.0.finalize()
    }
}
