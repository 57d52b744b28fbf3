//! IPTC-IIM: the oldest of the three, in which the character set is seldom declared and often wrong.

use windlass_core::Value;

use super::ends::{be, take};
use crate::stated::Collector;

/// The declaration of UTF-8: an escape sequence of ISO 2022.
const UTF_8: &[u8] = b"\x1b%G";
const UNDECLARED: &str =
    "it is not plain ASCII, and the character set is not declared (dataset 1:90)";
const OTHER: &str =
    "it is not plain ASCII, and the declared character set (dataset 1:90) is not UTF-8";
const NOT_UTF_8: &str = "the character set is declared as UTF-8, and it is not";

/// Number in record 2, name, whether it may be repeated, and what XMP calls it.
const DATASETS: &[(u8, &str, bool, &str)] = &[
    (5, "iptc:ObjectName", false, "dc:title"),
    (10, "iptc:Urgency", false, "photoshop:Urgency"),
    (15, "iptc:Category", false, "photoshop:Category"),
    (
        20,
        "iptc:SupplementalCategories",
        true,
        "photoshop:SupplementalCategories",
    ),
    (25, "iptc:Keywords", true, "dc:subject"),
    (
        40,
        "iptc:SpecialInstructions",
        false,
        "photoshop:Instructions",
    ),
    (55, "iptc:DateCreated", false, "photoshop:DateCreated"),
    (60, "iptc:TimeCreated", false, "photoshop:DateCreated"),
    (80, "iptc:By-line", true, "dc:creator"),
    (85, "iptc:By-lineTitle", true, "photoshop:AuthorsPosition"),
    (90, "iptc:City", false, "photoshop:City"),
    (92, "iptc:Sub-location", false, "Iptc4xmpCore:Location"),
    (95, "iptc:Province-State", false, "photoshop:State"),
    (
        100,
        "iptc:Country-PrimaryLocationCode",
        false,
        "Iptc4xmpCore:CountryCode",
    ),
    (
        101,
        "iptc:Country-PrimaryLocationName",
        false,
        "photoshop:Country",
    ),
    (
        103,
        "iptc:OriginalTransmissionReference",
        false,
        "photoshop:TransmissionReference",
    ),
    (105, "iptc:Headline", false, "photoshop:Headline"),
    (110, "iptc:Credit", false, "photoshop:Credit"),
    (115, "iptc:Source", false, "photoshop:Source"),
    (116, "iptc:CopyrightNotice", false, "dc:rights"),
    (120, "iptc:Caption-Abstract", false, "dc:description"),
    (122, "iptc:Writer-Editor", true, "photoshop:CaptionWriter"),
];

/// In what the values of a block are written.
#[derive(Clone, Copy, PartialEq)]
enum Charset {
    Utf8,
    /// Not declared, but everything in the block is valid UTF-8, which Latin-1 text hardly ever is.
    Utf8ByLook,
    Ascii(&'static str),
}

pub(super) fn read(block: &[u8], into: &mut Collector<'_>) {
    let datasets = datasets(block);
    let charset = charset(&datasets);
    let mut by_look = Vec::new();
    for &(number, name, repeats, in_xmp) in DATASETS {
        if into.has(in_xmp) {
            continue;
        }
        let stored = datasets.iter().filter(|dataset| dataset.0 == (2, number));
        let mut texts = Vec::new();
        for &(_, value) in stored {
            match text(value, charset) {
                Ok(text) => texts.push(text),
                Err(why) if repeats => into.left_out(&format!("an entry of {name}"), why),
                Err(why) => into.left_out(name, why),
            }
        }
        if charset == Charset::Utf8ByLook && texts.iter().any(|text| !text.is_ascii()) {
            by_look.push(name);
        }
        if repeats {
            into.state(name, Value::Keywords(texts));
        } else if let Some(text) = texts.into_iter().next() {
            into.state(name, Value::Text(text));
        }
    }
    if !by_look.is_empty() {
        let names = by_look.join(", ");
        into.remark(format!(
            "the character set of its IPTC is not declared (dataset 1:90); read as UTF-8, which it looks like: {names}"
        ));
    }
}

type Dataset<'a> = ((u8, u8), &'a [u8]);

/// All of record 1 and 2, in order, as far as the block is whole.
fn datasets(block: &[u8]) -> Vec<Dataset<'_>> {
    let mut rest = block;
    let mut found = Vec::new();
    while let Some(dataset) = dataset(&mut rest) {
        if matches!(dataset.0.0, 1 | 2) {
            found.push(dataset);
        }
    }
    found
}

fn dataset<'a>(rest: &mut &'a [u8]) -> Option<Dataset<'a>> {
    let [0x1c, record, number] = *take(rest, 3)? else {
        return None;
    };
    let mut len = be(take(rest, 2)?) as usize;
    // The length is so great that its own length is given.
    if len & 0x8000 != 0 {
        let digits = take(rest, len & 0x7fff)?;
        len = usize::try_from((digits.len() <= 8).then(|| be(digits))?).ok()?;
    }
    Some(((record, number), take(rest, len)?))
}

fn charset(datasets: &[Dataset<'_>]) -> Charset {
    match datasets.iter().find(|dataset| dataset.0 == (1, 90)) {
        Some((_, UTF_8)) => Charset::Utf8,
        Some(_) => Charset::Ascii(OTHER),
        None => {
            // Others, such as previews, are not text.
            let is_text = |dataset: &&Dataset<'_>| {
                dataset.0.0 == 2 && DATASETS.iter().any(|known| known.0 == dataset.0.1)
            };
            let mut texts = datasets.iter().filter(is_text);
            match texts.all(|(_, value)| std::str::from_utf8(value).is_ok()) {
                true => Charset::Utf8ByLook,
                false => Charset::Ascii(UNDECLARED),
            }
        }
    }
}

fn text(value: &[u8], charset: Charset) -> Result<String, &'static str> {
    let why = match charset {
        Charset::Ascii(why) if !value.is_ascii() => return Err(why),
        _ => NOT_UTF_8,
    };
    let text = std::str::from_utf8(value).map_err(|_| why)?;
    Ok(text.trim_end_matches('\0').to_owned())
}
