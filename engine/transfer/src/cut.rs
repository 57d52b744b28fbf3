//! How large the chunks of one file are.
//!
//! A small file is one chunk of exactly its size. A larger one falls into the largest chunks, a power of two between
//! the options' `chunk` and `chunk_max` and within the sink's sheet, for which
//!
//! - the window still holds `parts_in_flight` of them, so that as many connections are busy, and
//! - the file still falls into [`PARTS`] of them, so that the last ones do not leave most connections idle for long.
//!
//! With a window of 256 MiB and 16 parts in flight:
//!
//! | file | window / 16 | file / 128 | chunk | calls | in flight |
//! |---|---|---|---|---|---|
//! | 100 MiB | 16 MiB | 800 KiB | 8 MiB, the least | 13 | 13 |
//! | 1 GiB | 16 MiB | 8 MiB | 8 MiB | 128 | 32 |
//! | 2 GiB | 16 MiB | 16 MiB | 16 MiB | 128 | 16 |
//! | 16 GiB | 16 MiB | 128 MiB | 16 MiB | 1024 | 16 |
//!
//! A path of 1 GB/s at 80 ms a call has 80 MB on the way; the window also holds what is being read and hashed, one or
//! two chunks a core. So 128 MiB, the default, keeps it busy, with 16 chunks of 8 MiB. A connection that gives 25 MB/s
//! moves 8 MiB in 335 ms, so a call's 80 ms cost it a fifth: 16 of them give some 320 MB/s.
//!
//! Where somebody counts calls (`saves_calls`), chunks are as large as leaves two of them in the window, one that is
//! read while the other is sent.

use windlass_core::{Capabilities, Error, Kind, Result, Sink, Unfinished};

use crate::engine::Shared;
use crate::layout::{ChunkLayout, LEAF_BYTES};
use crate::resume::SessionNote;

/// Into how many chunks a file should fall, at the least. With 16 in flight the last round is then an eighth of the
/// whole at worst, and its idle part half of that; the closing chunk, which some services want last, is a small part of it.
pub const PARTS: u64 = 128;

/// The chunks that both sides and the digests can work with.
pub(crate) fn cut(engine: &Shared, sink: &dyn Sink, size: u64) -> Result<ChunkLayout> {
    let sheet = sink.capabilities();
    let max = engine.chunk_bytes_max.min(sheet.chunk_bytes_max);
    let whole = engine.chunk_bytes.min(max);
    if size <= whole {
        return ChunkLayout::new(size, whole).map_err(|error| unfit(error.to_string()));
    }
    if max < LEAF_BYTES {
        return Err(unfit(format!(
            "{} takes at most {max} bytes at once, below the least that can be hashed apart, {LEAF_BYTES}",
            sink.name()
        )));
    }
    let most = power_of_two_below(max);
    let wanted = match engine.saves_calls {
        true => engine.window_bytes / 2,
        false => (engine.window_bytes / engine.parts_in_flight).min(size / PARTS),
    };
    let chunk = power_of_two_below(wanted.max(1)).clamp(engine.chunk_bytes.min(most), most);
    let multiple = sheet.chunk_multiple.max(1);
    if !u64::is_multiple_of(chunk, multiple) {
        return Err(unfit(format!(
            "{} takes multiples of {multiple} bytes, and a chunk of {chunk} is {} times that and {} over",
            sink.name(),
            chunk / multiple,
            chunk % multiple
        )));
    }
    ChunkLayout::new(size, chunk).map_err(|error| unfit(error.to_string()))
}

/// The cut of a session that an earlier attempt opened, where it still is within all limits.
pub(crate) fn resumed_layout(
    engine: &Shared,
    sheet: &Capabilities,
    size: u64,
    unfinished: &Unfinished,
) -> Option<ChunkLayout> {
    let chunk = SessionNote::read(unfinished.session.as_deref()?)?.chunk;
    let fits = chunk >= LEAF_BYTES
        && chunk <= engine.window_bytes.min(sheet.chunk_bytes_max)
        && chunk.is_multiple_of(sheet.chunk_multiple.max(1))
        && size > chunk;
    // A chunk that is no power of two is refused here.
    ChunkLayout::new(size, chunk).ok().filter(|_| fits)
}

fn power_of_two_below(number: u64) -> u64 {
    1 << number.ilog2()
}

fn unfit(message: String) -> Error {
    Error::new(Kind::Unsupported, message)
        .with_hint("transfer.chunk sets the size of a chunk, within what both endpoints allow")
}
