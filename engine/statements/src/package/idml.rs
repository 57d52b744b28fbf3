//! An IDML document: a zip whose spreads and stories name what is placed in them. The directory is at the end and
//! says where each member is, so of a large document only those are read.

use std::io::Read;

use flate2::read::DeflateDecoder;

use super::names::from_idml;
use super::{Found, Parts, Trouble, number};

const END: &[u8] = b"PK\x05\x06";
const ENTRY: &[u8] = b"PK\x01\x02";
const MEMBER: &[u8] = b"PK\x03\x04";

/// The directory's end with the longest comment.
const END_BYTES_MAX: u64 = 22 + 65_535;

/// The largest directory that is read: some ten thousand members.
const DIRECTORY_BYTES_MAX: u64 = 8 << 20;

/// The most that all members of one document may come to, packed or not: what claims more is no layout.
const MEMBERS_BYTES_MAX: u64 = 256 << 20;

/// The folders whose members name what is placed.
const FOLDERS: &[&str] = &["Spreads/", "MasterSpreads/", "Stories/"];

struct Entry {
    stored: bool,
    packed: u64,
    at: u64,
}

/// The names in a document.
pub(super) async fn read(parts: &Parts<'_>) -> Result<Found, Trouble> {
    let mut found = Found::default();
    let mut left = MEMBERS_BYTES_MAX;
    for entry in entries(parts).await? {
        if entry.packed > left {
            return Err("its members are larger than a document's".into());
        }
        let head = parts.read(entry.at..entry.at + 30).await?;
        if !head.starts_with(MEMBER) {
            return Err("a member of it is not where its directory says".into());
        }
        let skipped = |at| number::<2>(&head, at).unwrap_or(0);
        let begins = entry.at + 30 + skipped(26) + skipped(28);
        let packed = parts.read(begins..begins + entry.packed).await?;
        let text = match entry.stored {
            true => packed,
            false => inflate(&packed, left)?,
        };
        left = left.saturating_sub(text.len() as u64);
        from_idml(&text, &mut found)?;
    }
    Ok(found)
}

fn inflate(packed: &[u8], max: u64) -> Result<Vec<u8>, Trouble> {
    let mut text = Vec::new();
    let unpacked = DeflateDecoder::new(packed).take(max).read_to_end(&mut text);
    match unpacked {
        Ok(bytes) if bytes as u64 == max => Err("its members are larger than a document's".into()),
        Ok(_) => Ok(text),
        Err(_) => Err("a member of it cannot be unpacked".into()),
    }
}

/// The members that name what is placed.
async fn entries(parts: &Parts<'_>) -> Result<Vec<Entry>, Trouble> {
    let tail_at = parts.len().saturating_sub(END_BYTES_MAX);
    let tail = parts.read(tail_at..parts.len()).await?;
    let end = tail.windows(END.len()).rposition(|window| window == END);
    let end = end.ok_or("its directory is not there")?;
    let of_end = |at| number::<4>(&tail, end + at).ok_or("its directory is cut");
    let (length, at) = (of_end(12)?, of_end(16)?);
    if length > DIRECTORY_BYTES_MAX {
        return Err("its directory is larger than a document's".into());
    }
    let directory = parts.read(at..at + length).await?;
    let mut entries = Vec::new();
    let mut rest = directory.as_slice();
    while !rest.is_empty() {
        let (name, entry, next) = entry(rest).ok_or("its directory is damaged")?;
        let is_one = FOLDERS
            .iter()
            .any(|folder| name.starts_with(folder.as_bytes()));
        if is_one && name.ends_with(b".xml") {
            entries.push(entry.ok_or("a member of it is packed in a way that is not read")?);
        }
        rest = next;
    }
    match entries.is_empty() {
        true => Err("it has no spreads".into()),
        false => Ok(entries),
    }
}

/// The next entry: its name, where it is if it can be read, and what follows.
fn entry(directory: &[u8]) -> Option<(&[u8], Option<Entry>, &[u8])> {
    if !directory.starts_with(ENTRY) {
        return None;
    }
    let method = number::<2>(directory, 10)?;
    let packed = number::<4>(directory, 20)?;
    let at = number::<4>(directory, 42)?;
    let lengths = [28, 30, 32].map(|at| number::<2>(directory, at));
    let [Some(name), Some(extra), Some(comment)] = lengths else {
        return None;
    };
    let name_ends = 46 + name as usize;
    let next = directory.get(name_ends + (extra + comment) as usize..)?;
    let entry = matches!(method, 0 | 8).then_some(Entry {
        stored: method == 0,
        packed,
        at,
    });
    Some((directory.get(46..name_ends)?, entry, next))
}
