//! An InDesign document: two pages of 4 KiB say how many pages its database has; behind them are objects, each between
//! two markers, and one of those is the XMP packet (XMP specification, part 3, "InDesign").

use super::names::from_xmp;
use super::{Found, Parts, Trouble, number};

/// What a document begins with.
const GUID: &[u8] = &[
    0x06, 0x06, 0xed, 0xf5, 0xd8, 0x1d, 0x46, 0xe5, 0xbd, 0x31, 0xef, 0xe7, 0xfe, 0x74, 0xb7, 0x1d,
];

/// What an object behind the database begins with.
const HEADER: &[u8] = &[
    0xde, 0x39, 0x39, 0x79, 0x51, 0x88, 0x4b, 0x6c, 0x8e, 0x63, 0xee, 0xf8, 0xae, 0xe0, 0xdd, 0x38,
];

const PAGE: u64 = 4096;

/// Where a master page says how often it was written, and how many pages there are.
const SEQUENCE_AT: usize = 264;
const PAGES_AT: usize = 280;

/// The length of a marker, and where a header says how long the stream behind it is.
const MARKER: u64 = 32;
const STREAM_LENGTH_AT: usize = 24;

/// How many objects are looked at. Documents have one, at most a few.
const OBJECTS_MAX: usize = 64;

/// The longest packet that is read: a manifest of some ten thousand links.
const PACKET_BYTES_MAX: u64 = 32 << 20;

/// The bytes of a stream by which a packet is known; its length comes first.
const PEEK: u64 = 64;

/// The names in a document; none where it has no packet.
pub(super) async fn read(parts: &Parts<'_>) -> Result<Found, Trouble> {
    let masters = parts.read(0..2 * PAGE).await?;
    let (first, second) = masters.split_at(PAGE as usize);
    if !first.starts_with(GUID) {
        return Err("it does not begin as an InDesign document does".into());
    }
    let sequence = |page: &[u8]| number::<8>(page, SEQUENCE_AT);
    let is_newer = second.starts_with(GUID) && sequence(second) > sequence(first);
    let newest = if is_newer { second } else { first };
    let mut at = number::<4>(newest, PAGES_AT).unwrap_or(0) * PAGE;
    if at > parts.len() {
        return Err("it is shorter than it says".into());
    }
    for _ in 0..OBJECTS_MAX {
        if parts.len() - at < MARKER {
            break;
        }
        let peek = parts.read(at..parts.len().min(at + MARKER + PEEK)).await?;
        if !peek.starts_with(HEADER) {
            break;
        }
        let length = number::<4>(&peek, STREAM_LENGTH_AT).unwrap_or(0);
        let (begins, ends) = (at + MARKER, at + MARKER + length);
        if ends > parts.len() {
            return Err("it ends within an object".into());
        }
        if is_packet(&peek[MARKER as usize..]) {
            if length > PACKET_BYTES_MAX {
                return Err("its XMP is larger than 32 MiB".into());
            }
            return from_xmp(&parts.read(begins..ends).await?);
        }
        at = (ends + MARKER).min(parts.len());
    }
    Ok(Found::default())
}

fn is_packet(stream: &[u8]) -> bool {
    let begins = |mark: &[u8]| stream.windows(mark.len()).any(|window| window == mark);
    begins(b"<?xpacket") || begins(b"<x:xmpmeta")
}
