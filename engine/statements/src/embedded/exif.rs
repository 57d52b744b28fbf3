//! EXIF: the few entries that say something about the picture rather than the camera.

use windlass_core::Value;

use super::Ends;
use super::tiff::{Entry, Tiff};
use crate::stated::Collector;

const EXIF_DIRECTORY: u16 = 34665;
const GPS_DIRECTORY: u16 = 34853;
const USER_COMMENT: u16 = 37510;

/// How an entry is read.
#[derive(Clone, Copy)]
enum As {
    Text,
    Moment,
    Number,
    Comment,
}

/// Tag, name, reading, and what XMP calls it where that is another name.
const FIRST: &[(u16, &str, As, &str)] = &[
    (270, "tiff:ImageDescription", As::Text, "dc:description"),
    (271, "tiff:Make", As::Text, ""),
    (272, "tiff:Model", As::Text, ""),
    (274, "tiff:Orientation", As::Number, ""),
    (315, "tiff:Artist", As::Text, "dc:creator"),
    (33432, "tiff:Copyright", As::Text, "dc:rights"),
];
const EXIF: &[(u16, &str, As, &str)] = &[
    (36867, "exif:DateTimeOriginal", As::Moment, ""),
    (36881, "exif:OffsetTimeOriginal", As::Text, ""),
    (USER_COMMENT, "exif:UserComment", As::Comment, ""),
    (40962, "exif:PixelXDimension", As::Number, ""),
    (40963, "exif:PixelYDimension", As::Number, ""),
];

pub(super) fn read(structure: &Ends<'_>, into: &mut Collector<'_>) {
    let Some((tiff, first)) = Tiff::open(structure) else {
        into.remark("its EXIF is damaged or lies beyond the parts that are read");
        return;
    };
    state(&tiff, &first, FIRST, into);
    if let Some(exif) = below(&tiff, &first, EXIF_DIRECTORY, into) {
        state(&tiff, &exif, EXIF, into);
    }
    if let Some(gps) = below(&tiff, &first, GPS_DIRECTORY, into) {
        coordinate(&tiff, &gps, (1, 2), "exif:GPSLatitude", 90.0, into);
        coordinate(&tiff, &gps, (3, 4), "exif:GPSLongitude", 180.0, into);
    }
}

/// The directory to which an entry points.
fn below<'a>(
    tiff: &Tiff<'a>,
    entries: &[Entry<'a>],
    tag: u16,
    into: &mut Collector<'_>,
) -> Option<Vec<Entry<'a>>> {
    let offset = tiff.number(find(entries, tag)?.data?);
    let directory = tiff.directory(offset);
    if directory.is_none() {
        into.remark("part of its EXIF is damaged or lies beyond the parts that are read");
    }
    directory
}

fn find<'e, 'a>(entries: &'e [Entry<'a>], tag: u16) -> Option<&'e Entry<'a>> {
    entries.iter().find(|entry| entry.tag == tag)
}

fn state(
    tiff: &Tiff<'_>,
    entries: &[Entry<'_>],
    wanted: &[(u16, &str, As, &str)],
    into: &mut Collector<'_>,
) {
    for &(tag, name, reading, in_xmp) in wanted {
        let Some(entry) = find(entries, tag) else {
            continue;
        };
        if into.has(name) || into.has(in_xmp) {
            continue;
        }
        match value(tiff, entry, reading) {
            Ok(Some(value)) => into.state(name, value),
            Ok(None) => {}
            Err(why) => into.left_out(name, why),
        }
    }
}

fn value(tiff: &Tiff<'_>, entry: &Entry<'_>, reading: As) -> Result<Option<Value>, &'static str> {
    let data = entry.data.ok_or("it lies beyond the parts that are read")?;
    let text = match reading {
        As::Number if matches!(entry.kind, 3 | 4) && !data.is_empty() => {
            let unit = if entry.kind == 3 { 2 } else { 4 };
            let number = tiff.number(data.get(..unit).unwrap_or(data));
            return Ok(Some(Value::Number(number as i64)));
        }
        As::Number => return Err("it is not a number"),
        As::Comment => comment(tiff, data)?,
        As::Text | As::Moment => text(data)?,
    };
    // An unknown moment is written in blanks or zeros.
    let unknown = matches!(reading, As::Moment) && !text.contains(|c| ('1'..='9').contains(&c));
    Ok((!unknown).then_some(Value::Text(text)))
}

/// ASCII by the standard, and UTF-8 in practice. What is after a zero byte is a second part, as of a copyright
/// (photographer, then editor), or was left behind by the camera.
fn text(data: &[u8]) -> Result<String, &'static str> {
    let mut parts = data.split(|&byte| byte == 0);
    let first = parts.find(|part| !part.trim_ascii().is_empty());
    let text = std::str::from_utf8(first.unwrap_or_default())
        .map_err(|_| "it is neither ASCII nor UTF-8, and EXIF has no way to say what it is")?;
    Ok(text.trim_end().to_owned())
}

/// A comment says in eight bytes what it is written in.
fn comment(tiff: &Tiff<'_>, data: &[u8]) -> Result<String, &'static str> {
    let Some((code, rest)) = data.split_at_checked(8) else {
        return Ok(String::new());
    };
    match code {
        b"ASCII\0\0\0" => text(rest),
        b"UNICODE\0" => wide(rest, tiff.big_endian),
        _ if rest.iter().all(|byte| matches!(byte, 0 | b' ')) => Ok(String::new()),
        _ => Err("it does not say what it is written in"),
    }
}

/// UTF-16 in the structure's byte order, unless a mark says otherwise.
fn wide(data: &[u8], big_endian: bool) -> Result<String, &'static str> {
    let (data, big_endian) = match data {
        [0xfe, 0xff, rest @ ..] => (rest, true),
        [0xff, 0xfe, rest @ ..] => (rest, false),
        _ => (data, big_endian),
    };
    let units = data
        .as_chunks::<2>()
        .0
        .iter()
        .map(|&unit| match big_endian {
            true => u16::from_be_bytes(unit),
            false => u16::from_le_bytes(unit),
        });
    let text: Result<String, _> = char::decode_utf16(units.take_while(|&unit| unit != 0)).collect();
    text.map(|text| text.trim_end().to_owned())
        .map_err(|_| "it says that it is Unicode and is not")
}

/// States a coordinate in degrees, north and east being positive.
fn coordinate(
    tiff: &Tiff<'_>,
    gps: &[Entry<'_>],
    (side, parts): (u16, u16),
    name: &str,
    bound: f64,
    into: &mut Collector<'_>,
) {
    let data = |tag| find(gps, tag).and_then(|entry| entry.data);
    let (Some(side), Some(parts)) = (data(side), data(parts)) else {
        return;
    };
    if into.has(name) {
        return;
    }
    match degrees(tiff, parts) {
        Some(degrees) if degrees <= bound => {
            let sign = if matches!(side, [b'S' | b'W', ..]) {
                -1.0
            } else {
                1.0
            };
            into.state(name, Value::Decimal(sign * degrees));
        }
        // A camera without a fix writes 0/0.
        None => {}
        Some(_) => into.left_out(name, format!("it is more than {bound} degrees")),
    }
}

fn degrees(tiff: &Tiff<'_>, parts: &[u8]) -> Option<f64> {
    let mut degrees = 0.0;
    for (part, unit) in parts.as_chunks::<8>().0.iter().zip([1.0, 60.0, 3600.0]) {
        let (number, divisor) = (tiff.number(&part[..4]), tiff.number(&part[4..]));
        if divisor == 0 {
            return None;
        }
        degrees += number as f64 / divisor as f64 / unit;
    }
    (parts.len() >= 24).then_some(degrees)
}
