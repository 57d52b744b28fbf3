//! The manifest: every file of an archive with its digests, as a sealed document (see [`windlass_core::sealed`]).
//!
//! A header that says of what campaign, a line for each file in any order, and an end with sums, which are counted anew
//! when it is read. Both ways take the memory of one line.

use std::collections::BTreeMap;
use std::io::{BufRead, Write};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use windlass_core::sealed::{Seal, SealedReader, SealedWriter};
use windlass_core::sign::SigningKey;
use windlass_core::{AssetId, Blake3, Error, Kind, Query, Result, Revision};

use crate::digest::FileDigests;
use crate::layout::check_path;

/// The kind of sealed document that a manifest is.
pub const ARCHIVE_DOCUMENT: &str = "archive 1";

/// The format that is written here, and the newest that is read.
pub const FORMAT: u32 = 1;

/// Of what an archive is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ManifestHeader {
    /// The format of the archive.
    pub format: u32,
    /// Its id, which each of its metadata documents names: see [`archive_id`].
    pub archive: String,
    /// What people call the campaign.
    pub campaign: String,
    /// The endpoint that held the assets, by its name in the configuration.
    pub source: String,
    /// Which assets were asked for.
    pub query: Query,
    /// When it was made.
    pub created: Timestamp,
    /// The version of the program that made it.
    pub windlass: String,
}

/// The id of an archive, from the flow that makes it, the campaign and the moment: an interrupted run that goes on with
/// the same three derives the same one.
pub fn archive_id(flow: &str, campaign: &str, created: Timestamp) -> String {
    let mut text = Vec::new();
    for part in [flow, campaign, &created.to_string()] {
        text.extend_from_slice(&(part.len() as u64).to_le_bytes());
        text.extend_from_slice(part.as_bytes());
    }
    Blake3::of(&text).to_hex()[..32].to_owned()
}

/// What a file is to its archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// The current original of an asset.
    Original,
    /// An older version of an asset.
    Version,
    /// A rendition of an asset.
    Rendition,
    /// What an asset is related to.
    Document,
    /// What is known of an asset, as JSON.
    Metadata,
    /// What is known of an asset, as XMP.
    Sidecar,
    /// The text for people.
    Readme,
    /// An MHL generation, or their chain.
    Mhl,
}

/// A file of an archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its path in the archive.
    pub path: String,
    /// What it is there.
    pub role: Role,
    /// The asset that it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asset: Option<AssetId>,
    /// The version of the asset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Revision>,
    /// The technical name of the rendition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rendition: Option<String>,
    /// Its size and digests.
    #[serde(flatten)]
    pub digests: FileDigests,
}

/// How many files, and how many bytes they have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sum {
    /// Files.
    pub files: u64,
    /// Bytes of them all.
    pub bytes: u64,
}

/// What the entries of a manifest add up to, by role. There is one file of metadata an asset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sums {
    /// Roles that some file has.
    pub roles: BTreeMap<Role, Sum>,
}

impl Sums {
    fn count(&mut self, entry: &Entry) {
        let sum = self.roles.entry(entry.role).or_default();
        sum.files += 1;
        sum.bytes = sum.bytes.saturating_add(entry.digests.size);
    }

    /// Over all roles.
    pub fn total(&self) -> Sum {
        let mut total = Sum::default();
        for sum in self.roles.values() {
            total.files += sum.files;
            total.bytes = total.bytes.saturating_add(sum.bytes);
        }
        total
    }

    /// How many assets there are.
    pub fn assets(&self) -> u64 {
        self.roles.get(&Role::Metadata).map_or(0, |sum| sum.files)
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Line {
    Archive(Box<ManifestHeader>),
    File(Box<Entry>),
    Sums(Sums),
}

/// Writes a manifest as files are archived.
#[derive(Debug)]
pub struct ManifestWriter<W> {
    lines: SealedWriter<W>,
    sums: Sums,
}

impl<W: Write> ManifestWriter<W> {
    /// A manifest without files. Errors: `InvalidInput` for a query with a number that JSON does not hold.
    pub fn begin(out: W, header: &ManifestHeader) -> Result<Self> {
        let mut lines = SealedWriter::new(ARCHIVE_DOCUMENT, out);
        lines.line(&Line::Archive(Box::new(header.clone())))?;
        Ok(ManifestWriter {
            lines,
            sums: Sums::default(),
        })
    }

    /// Adds a file. No two may have one path; that is for the caller to see to.
    ///
    /// Errors: `InvalidInput` for a path that no archive may have.
    pub fn file(&mut self, entry: &Entry) -> Result<()> {
        check_path(&entry.path).map_err(|why| {
            Error::new(
                Kind::InvalidInput,
                format!("{:?} cannot be a path in an archive: {why}", entry.path),
            )
        })?;
        self.sums.count(entry);
        self.lines.line(&Line::File(Box::new(entry.clone())))
    }

    /// Completes, seals and signs it. Answers what was written to, the sums and the seal.
    pub fn finish(mut self, keys: &[SigningKey]) -> Result<(W, Sums, Seal)> {
        self.lines.line(&Line::Sums(self.sums.clone()))?;
        let (out, seal) = self.lines.seal(keys)?;
        Ok((out, self.sums, seal))
    }
}

/// A manifest that was read to its end and found as it was sealed.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// Of what it is.
    pub header: ManifestHeader,
    /// What its entries add up to.
    pub sums: Sums,
    /// Its digest, and who signed it.
    pub seal: Seal,
}

/// Reads a manifest, file by file.
#[derive(Debug)]
pub struct ManifestReader<R> {
    lines: SealedReader<R>,
    header: ManifestHeader,
    sums: Sums,
    end: Option<Sums>,
}

/// What the first line of every format has.
#[derive(Debug, Deserialize)]
struct Start {
    record: String,
    format: Option<u32>,
}

impl<R: BufRead> ManifestReader<R> {
    /// Reads the header.
    ///
    /// Errors: `InvalidInput` for what is no manifest, `Unsupported` for one of a newer format, `Integrity` for one that
    /// was changed.
    pub fn open(input: R) -> Result<Self> {
        let mut lines = SealedReader::of_any_kind(input);
        let Some(first) = lines.line()?.map(str::to_owned) else {
            return Err(lines.odd("it is empty"));
        };
        let start: Option<Start> = serde_json::from_str(&first).ok();
        let format = match start {
            Some(start) if start.record == "archive" => start.format.unwrap_or_default(),
            _ => return Err(no_manifest(lines)),
        };
        if format > FORMAT {
            return Err(lines.explain(newer(format)));
        }
        let Ok(Line::Archive(header)) = serde_json::from_str(&first) else {
            return Err(lines.odd("its header is not one of an archive"));
        };
        Ok(ManifestReader {
            lines,
            header: *header,
            sums: Sums::default(),
            end: None,
        })
    }

    /// Of what it says it is. To be believed once [`ManifestReader::finish`] says so.
    pub fn header(&self) -> &ManifestHeader {
        &self.header
    }

    /// The next file; `None` behind the last. To be believed once [`ManifestReader::finish`] says so, but for its path:
    /// one that could lead out of the archive is an error at once.
    pub fn entry(&mut self) -> Result<Option<Entry>> {
        if self.end.is_some() {
            return Ok(None);
        }
        match self.lines.value::<Line>()? {
            Some(Line::File(entry)) => {
                if let Err(why) = check_path(&entry.path) {
                    return Err(self.refused(&entry.path, why));
                }
                self.sums.count(&entry);
                Ok(Some(*entry))
            }
            Some(Line::Sums(sums)) => {
                self.end = Some(sums);
                Ok(None)
            }
            Some(Line::Archive(_)) => Err(self.lines.odd("it has two headers")),
            None => Err(self.lines.odd("it does not end with its sums")),
        }
    }

    /// Reads what is left and proves it all. Errors: `Integrity` when anything was changed or does not add up.
    pub fn finish(mut self) -> Result<Manifest> {
        while self.entry()?.is_some() {}
        if self.lines.value::<Line>()?.is_some() {
            return Err(self.lines.odd("something follows its sums"));
        }
        if self.end.as_ref() != Some(&self.sums) {
            return Err(self.lines.odd("its sums are not those of its files"));
        }
        let (seal, document) = self.lines.into_seal()?;
        if document != ARCHIVE_DOCUMENT {
            return Err(other_kind(&document));
        }
        Ok(Manifest {
            header: self.header,
            sums: self.sums,
            seal,
        })
    }

    /// The error to tell of where the content is not as it should be.
    pub(crate) fn odd(&mut self, how: &str) -> Error {
        self.lines.odd(how)
    }

    fn refused(&mut self, path: &str, why: &str) -> Error {
        let refused = Error::new(
            Kind::InvalidInput,
            format!("the manifest names {path:?}, which is refused: {why}"),
        );
        self.lines.explain(refused)
    }
}

/// The error of a sealed document that is something else, or of what is none.
fn no_manifest<R: BufRead>(mut lines: SealedReader<R>) -> Error {
    loop {
        match lines.line() {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(error) => return error,
        }
    }
    match lines.into_seal() {
        Ok((_, document)) => other_kind(&document),
        Err(error) => error,
    }
}

fn other_kind(document: &str) -> Error {
    Error::new(
        Kind::InvalidInput,
        format!("this file is a {document:?}, not the manifest of an archive"),
    )
}

/// The error of a format that nobody here knows.
pub(crate) fn newer(format: u32) -> Error {
    Error::new(
        Kind::Unsupported,
        format!("the archive is of format {format}, and this version knows formats up to {FORMAT}"),
    )
    .with_hint("use a newer version of windlass, or follow README.txt in the archive")
}
