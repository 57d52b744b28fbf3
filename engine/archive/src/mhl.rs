//! One generation of ASC MHL 2.0, the hash lists of film post production, so that their tools can verify an archive.
//!
//! It lists what is in the archive with XXH64, which all of those tools compute, and a chain file beside it states the C4
//! id of the list: SHA-512 in base 58. Hashes of folders are left out, as the standard allows. The manifest comes after
//! the list and is named among what it ignores.

use std::io::{self, Write};

use jiff::Timestamp;
use windlass_core::Result;
use windlass_core::digest::{ChecksumAlgorithm, ChecksumHasher};

use crate::digest::Xxh64;
use crate::layout::MANIFEST_PATH;
use crate::xml::{Xml, unwritten};

/// What tools pass over: the defaults of the standard, and what is written after the list.
const IGNORED: &[&str] = &[".DS_Store", "ascmhl", "ascmhl/", MANIFEST_PATH];

/// The digits of C4 ids.
const BASE_58: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";

/// How many digits SHA-512 has in base 58.
const C4_DIGITS: usize = 88;

/// Who made a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MhlInfo {
    /// When.
    pub created: Timestamp,
    /// The machine, or whatever names the installation.
    pub host: String,
    /// The version of the program.
    pub windlass: String,
    /// A sentence for people.
    pub comment: Option<String>,
}

/// Writes a list as files are archived.
#[derive(Debug)]
pub struct MhlWriter<W: Write> {
    xml: Xml<Hashed<W>>,
    hashed_at: String,
}

impl<W: Write> MhlWriter<W> {
    /// A list without files.
    pub fn begin(out: W, info: &MhlInfo) -> Result<Self> {
        let mut xml = Xml::new(Hashed {
            out,
            sha512: ChecksumHasher::new(ChecksumAlgorithm::Sha512),
        });
        let created = info.created.to_string();
        xml.declare()?;
        let attributes = [("version", "2.0"), ("xmlns", "urn:ASC:MHL:v2.0")];
        xml.start("hashlist", &attributes)?;
        xml.start("creatorinfo", &[])?;
        xml.text("creationdate", &[], &created)?;
        xml.text("hostname", &[], &info.host)?;
        xml.text("tool", &[("version", &info.windlass)], "windlass")?;
        if let Some(comment) = &info.comment {
            xml.text("comment", &[], comment)?;
        }
        xml.end("creatorinfo")?;
        xml.start("processinfo", &[])?;
        xml.text("process", &[], "transfer")?;
        xml.start("ignore", &[])?;
        for pattern in IGNORED {
            xml.text("pattern", &[], pattern)?;
        }
        xml.end("ignore")?;
        xml.end("processinfo")?;
        xml.start("hashes", &[])?;
        Ok(MhlWriter {
            xml,
            hashed_at: created,
        })
    }

    /// Adds a file by its path in the archive.
    pub fn file(&mut self, path: &str, size: u64, xxh64: Xxh64) -> Result<()> {
        self.xml.start("hash", &[])?;
        self.xml
            .text("path", &[("size", &size.to_string())], path)?;
        let attributes = [("action", "original"), ("hashdate", &*self.hashed_at)];
        self.xml.text("xxh64", &attributes, &xxh64.to_string())?;
        self.xml.end("hash")
    }

    /// Completes it. Answers what was written to, and the C4 id of all that was written.
    pub fn finish(mut self) -> Result<(W, String)> {
        self.xml.end("hashes")?;
        self.xml.end("hashlist")?;
        self.xml.raw("\n")?;
        let Hashed { mut out, sha512 } = self.xml.into_inner();
        out.flush().map_err(unwritten)?;
        Ok((out, c4_id(&sha512.finalize())))
    }
}

/// The chain file of one list: its path in the archive, and its C4 id.
pub fn mhl_chain(path: &str, c4: &str) -> Result<Vec<u8>> {
    let mut xml = Xml::new(Vec::new());
    let name = path.rsplit('/').next().unwrap_or(path);
    xml.declare()?;
    xml.start(
        "ascmhldirectory",
        &[("xmlns", "urn:ASC:MHL:DIRECTORY:v2.0")],
    )?;
    xml.start("hashlist", &[("sequencenr", "1")])?;
    xml.text("path", &[], name)?;
    xml.text("c4", &[], c4)?;
    xml.end("hashlist")?;
    xml.end("ascmhldirectory")?;
    xml.raw("\n")?;
    Ok(xml.into_inner())
}

/// A digest as a C4 id.
pub(crate) fn c4_id(sha512: &[u8]) -> String {
    let mut digits = [0u8; C4_DIGITS];
    for &byte in sha512 {
        let mut carry = u32::from(byte);
        for digit in digits.iter_mut().rev() {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
    }
    let digits = digits
        .iter()
        .map(|&digit| char::from(BASE_58[usize::from(digit)]));
    "c4".chars().chain(digits).collect()
}

/// What is written, and the digest of it.
#[derive(Debug)]
struct Hashed<W> {
    out: W,
    sha512: ChecksumHasher,
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.sha512.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
