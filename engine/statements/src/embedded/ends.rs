//! The parts of a file that are looked at, and numbers in them.

/// How much of each end of a file is looked at: 1 MiB. Cameras and programs write what they state before the
/// picture or after all of it. Files of up to twice as much are given whole.
pub const END_BYTES: u64 = 1 << 20;

/// Both ends of a file.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// The first bytes, [`END_BYTES`] or the whole file.
    pub head: &'a [u8],
    /// The last bytes; empty where `head` is the whole file.
    pub tail: &'a [u8],
    /// Number of bytes of the file.
    pub size: u64,
}

impl<'a> Ends<'a> {
    /// A file of which all bytes are here.
    pub fn whole(bytes: &'a [u8]) -> Self {
        Ends {
            head: bytes,
            tail: &[],
            size: bytes.len() as u64,
        }
    }

    /// The bytes of a range of the file, if all of it was read.
    pub(super) fn at(&self, offset: u64, len: u64) -> Option<&'a [u8]> {
        let end = offset.checked_add(len)?;
        if let Some(bytes) = slice(self.head, offset, end) {
            return Some(bytes);
        }
        let start = self.size.checked_sub(self.tail.len() as u64)?;
        slice(
            self.tail,
            offset.checked_sub(start)?,
            end.checked_sub(start)?,
        )
    }
}

fn slice(bytes: &[u8], start: u64, end: u64) -> Option<&[u8]> {
    bytes.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
}

/// The number at the start of the bytes, big-endian; of eight bytes at most.
pub(super) fn be(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// The same, little-endian.
pub(super) fn le(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .rev()
        .fold(0, |number, &byte| number << 8 | u64::from(byte))
}

/// Takes bytes off the front, if there are as many.
pub(super) fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(taken)
}
