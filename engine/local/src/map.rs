//! A window of a file as memory: the one place of this crate with unsafe code.
//!
//! A mapped page that is beyond the file's end by the time somebody looks at it ends the whole process with a signal,
//! which nothing can catch well. So only folders are mapped of which the operator says that nobody else writes to
//! them (`LocalOptions::exclusive`), and even there it is only done for windows of files that were just seen to be
//! long enough.
#![allow(unsafe_code)]

use std::fs::File;
use std::io;

use memmap2::{Advice, Mmap, MmapOptions};

/// Maps `length` bytes from `offset` on, to be read once from front to back.
///
/// The caller has seen that the file is that long, and the operator has said that nobody else writes to it.
pub(crate) fn window(file: &File, offset: u64, length: usize) -> io::Result<Mmap> {
    // SAFETY: a mapping is sound as long as nobody changes the bytes or the length of the file while it lives. That
    // cannot be proved here; it is what the operator promised with `exclusive`, which is off by default, and what its
    // documentation says ends the process when it is not kept. Nobody in this process writes to a file that it
    // hashes: uploads go to hidden files, which are never mapped, and appear by a rename.
    let map = unsafe { MmapOptions::new().offset(offset).len(length).map(file)? };
    // Only advice: without it the same bytes are there a little later.
    if let Err(error) = map.advise(Advice::Sequential) {
        tracing::trace!(%error, "the kernel takes no advice");
    }
    Ok(map)
}
