//! The text for a person who opens an archive in ten years, with and without this program.

use crate::manifest::ManifestHeader;

/// The text, with `{…}` for what differs. Not a source file, because it names services.
const TEXT: &str = include_str!("readme.txt");

/// The README of an archive.
pub fn readme(header: &ManifestHeader) -> String {
    let collection = header.query.collection.to_string();
    let values = [
        ("{campaign}", header.campaign.as_str()),
        ("{archive}", &header.archive),
        ("{source}", &header.source),
        ("{collection}", &collection),
        ("{created}", &header.created.to_string()),
        ("{windlass}", &header.windlass),
        ("{format}", &header.format.to_string()),
        ("{namespace}", crate::NAMESPACE),
    ];
    let mut text = String::with_capacity(TEXT.len() + 256);
    let mut rest = TEXT;
    // In one pass, so that a campaign whose name has braces in it is not filled in.
    while let Some(at) = rest.find('{') {
        text.push_str(&rest[..at]);
        rest = &rest[at..];
        match values.iter().find(|(name, _)| rest.starts_with(name)) {
            Some((name, value)) => {
                text.push_str(value);
                rest = &rest[name.len()..];
            }
            None => {
                text.push('{');
                rest = &rest[1..];
            }
        }
    }
    text.push_str(rest);
    text
}
