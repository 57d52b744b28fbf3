//! Sealed documents: lines of canonical JSON, then a seal with the digest of all bytes before it, then signatures of
//! that digest. Whatever is changed in one afterwards shows.
//!
//! Canonical means RFC 8785 (keys sorted, no blanks), so that equal documents have equal digests. They are written and
//! read line by line: a document of a million lines takes the memory of one.

use std::io::{BufRead, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::digest::Blake3;
use crate::error::{Error, Kind, Result};
use crate::sign::{PublicKey, Signature, SigningKey};

/// The longest line that is read: far above any step, far below what memory holds.
const LINE_BYTES_MAX: u64 = 16 << 20;

/// One line behind the content.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "record", rename_all = "kebab-case")]
enum Tail {
    Seal {
        /// Which kind of document it is.
        document: String,
        /// The digest of all bytes before this line.
        blake3: Blake3,
        /// How many lines come before.
        lines: u64,
    },
    Signature {
        key: PublicKey,
        signature: Signature,
    },
}

/// The record of a line.
#[derive(Deserialize)]
struct Tag<'a> {
    #[serde(borrow)]
    record: std::borrow::Cow<'a, str>,
}

/// What a document's end says: the digest of its content, and who signed it. Each signature was verified; whose keys
/// they are is for others to know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seal {
    /// The digest of the content.
    pub digest: Blake3,
    /// How many lines the content has.
    pub lines: u64,
    /// The keys that signed it, each once, in the order of their signatures.
    pub signed_by: Vec<PublicKey>,
}

/// Writes a document.
#[derive(Debug)]
pub struct SealedWriter<W> {
    out: W,
    document: &'static str,
    hasher: blake3::Hasher,
    lines: u64,
}

impl<W: Write> SealedWriter<W> {
    /// An empty document of this kind.
    pub fn new(document: &'static str, out: W) -> Self {
        SealedWriter {
            out,
            document,
            hasher: blake3::Hasher::new(),
            lines: 0,
        }
    }

    /// Adds a line: a JSON object whose `record` says what it is.
    pub fn line<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let line = canonical(value)?;
        self.hasher.update(&line);
        self.lines += 1;
        self.out.write_all(&line).map_err(unwritten)
    }

    /// Ends the document and signs it. Answers what was written to, and the seal.
    pub fn seal(mut self, keys: &[SigningKey]) -> Result<(W, Seal)> {
        let digest = Blake3(*self.hasher.finalize().as_bytes());
        let seal = Tail::Seal {
            document: self.document.to_owned(),
            blake3: digest,
            lines: self.lines,
        };
        self.out.write_all(&canonical(&seal)?).map_err(unwritten)?;
        let mut signed_by = Vec::new();
        for key in keys {
            if signed_by.contains(&key.public()) {
                continue;
            }
            signed_by.push(key.public());
            self.out
                .write_all(&signature_line(self.document, &digest, key)?)
                .map_err(unwritten)?;
        }
        self.out.flush().map_err(unwritten)?;
        let seal = Seal {
            digest,
            lines: self.lines,
            signed_by,
        };
        Ok((self.out, seal))
    }
}

/// The line that adds a signature to a sealed document.
pub fn signature_line(document: &str, digest: &Blake3, key: &SigningKey) -> Result<Vec<u8>> {
    canonical(&Tail::Signature {
        key: key.public(),
        signature: key.sign(document, digest),
    })
}

/// Reads a document.
#[derive(Debug)]
pub struct SealedReader<R> {
    input: R,
    /// The kind that it must be; any where it is not known before.
    wanted: Option<&'static str>,
    hasher: blake3::Hasher,
    lines: u64,
    line: Vec<u8>,
    seal: Option<(Seal, String)>,
}

impl<R: BufRead> SealedReader<R> {
    /// A document of this kind, from its beginning.
    pub fn new(document: &'static str, input: R) -> Self {
        SealedReader {
            wanted: Some(document),
            ..Self::of_any_kind(input)
        }
    }

    /// A document of any kind, from its beginning.
    pub fn of_any_kind(input: R) -> Self {
        SealedReader {
            input,
            wanted: None,
            hasher: blake3::Hasher::new(),
            lines: 0,
            line: Vec::new(),
            seal: None,
        }
    }

    /// The next line of the content; `None` once the seal and all signatures were read and found true, and only
    /// then is anything of what was read before to be believed.
    ///
    /// Errors: `Integrity` for a document that was changed or cut short or bears a false signature, `InvalidInput` for
    /// what is no such document.
    pub fn line(&mut self) -> Result<Option<&str>> {
        if self.seal.is_some() {
            return Ok(None);
        }
        if !self.read()? {
            return Err(match self.lines {
                0 => not_sealed("it is empty"),
                _ => changed("it ends before its seal"),
            });
        }
        if record(&self.line)? != "seal" {
            self.hasher.update(&self.line);
            self.lines += 1;
            return text(&self.line).map(Some);
        }
        self.check_seal()?;
        Ok(None)
    }

    /// The next line as a value; `None` as for [`SealedReader::line`].
    ///
    /// Errors: those of [`SealedReader::line`]; `InvalidInput` for a line that is whole and says something else.
    pub fn value<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let value = serde_json::from_str(line).map_err(|error| {
            Error::new(
                Kind::InvalidInput,
                "a line of the file is none that this version knows",
            )
            .with_source(error)
            .with_hint("was it made by another version of windlass? use that one, or make it anew")
        });
        value.map(Some).map_err(|error| self.explain(error))
    }

    /// The error to tell of where the content is not as Windlass writes it; see [`SealedReader::explain`].
    pub fn odd(&mut self, how: &str) -> Error {
        self.explain(Error::new(
            Kind::Integrity,
            format!("the file is not as Windlass writes them: {how}"),
        ))
    }

    /// The error to tell of where the content is not as it should be: that the document was changed or cut short, which
    /// explains it, or else `found`.
    pub fn explain(&mut self, found: Error) -> Error {
        loop {
            match self.line() {
                Ok(Some(_)) => {}
                Ok(None) => return found,
                Err(error) => return error,
            }
        }
    }

    /// What the end of the document said, and its kind, once [`SealedReader::line`] has answered `None`.
    pub fn into_seal(self) -> Result<(Seal, String)> {
        self.seal
            .ok_or_else(|| Error::new(Kind::Unexpected, "a document was not read to its end"))
    }

    fn check_seal(&mut self) -> Result<()> {
        let Tail::Seal {
            document,
            blake3,
            lines,
        } = tail(&self.line)?
        else {
            return Err(not_sealed("its seal cannot be read"));
        };
        let digest = Blake3(*self.hasher.finalize().as_bytes());
        if digest != blake3 || lines != self.lines {
            return Err(changed("its digest is not the one it was sealed with")
                .with_context("sealed with", blake3)
                .with_context("is", digest));
        }
        if let Some(wanted) = self.wanted.filter(|wanted| *wanted != document) {
            return Err(Error::new(
                Kind::InvalidInput,
                format!("this file is a {document:?}, not a {wanted:?}"),
            ));
        }
        let mut signed_by = Vec::new();
        while self.read()? {
            let Tail::Signature { key, signature } = tail(&self.line)? else {
                return Err(changed("something that is no signature follows its seal"));
            };
            if !key.verifies(&document, &digest, &signature) {
                return Err(changed("a signature in it is not of this content")
                    .with_context("said to be by", key));
            }
            if !signed_by.contains(&key) {
                signed_by.push(key);
            }
        }
        let seal = Seal {
            digest,
            lines,
            signed_by,
        };
        self.seal = Some((seal, document));
        Ok(())
    }

    /// Reads a line with its end into `line`; false at the end of the input.
    fn read(&mut self) -> Result<bool> {
        self.line.clear();
        let mut bounded = self.input.by_ref().take(LINE_BYTES_MAX);
        let read = bounded.read_until(b'\n', &mut self.line).map_err(|error| {
            Error::new(Kind::Unavailable, "the file cannot be read").with_source(error)
        })?;
        if read == 0 {
            return Ok(false);
        }
        match self.line.last() {
            Some(b'\n') => Ok(true),
            _ if read as u64 == LINE_BYTES_MAX => Err(not_sealed("a line of it is too long")),
            _ if self.lines == 0 => Err(not_sealed("it has no whole line")),
            _ => Err(changed("its last line is cut short")),
        }
    }
}

/// The largest whole number that JSON's numbers, which RFC 8785 takes for 64-bit floats, hold exactly.
const WHOLE_MAX: u64 = (1 << 53) - 1;

/// A value as canonical JSON (RFC 8785), with the end of a line. Equal values give equal bytes.
///
/// Errors: `InvalidInput` for a whole number of more than 53 bits, which would become another one.
pub fn canonical<T: Serialize>(value: &T) -> Result<Vec<u8>> {
    let told = |error| {
        Error::new(Kind::Unexpected, "a value cannot be written as JSON").with_source(error)
    };
    let value = serde_json::to_value(value).map_err(told)?;
    if let Some(number) = inexact(&value) {
        return Err(Error::new(
            Kind::InvalidInput,
            format!("{number} has more digits than a number in JSON keeps"),
        )
        .with_hint("have the plugin or the configuration give it as a text"));
    }
    let mut line = serde_json_canonicalizer::to_vec(&value).map_err(told)?;
    line.push(b'\n');
    Ok(line)
}

/// A whole number in a value that a float does not hold exactly.
fn inexact(value: &serde_json::Value) -> Option<&serde_json::Number> {
    use serde_json::Value;
    match value {
        Value::Null | Value::Bool(_) | Value::String(_) => None,
        Value::Array(values) => values.iter().find_map(inexact),
        Value::Object(members) => members.values().find_map(inexact),
        Value::Number(number) => {
            let magnitude = number
                .as_u64()
                .or_else(|| number.as_i64().map(i64::unsigned_abs));
            magnitude
                .is_some_and(|magnitude| magnitude > WHOLE_MAX)
                .then_some(number)
        }
    }
}

fn text(line: &[u8]) -> Result<&str> {
    std::str::from_utf8(line)
        .map(str::trim_end)
        .map_err(|_| not_sealed("it is not UTF-8"))
}

fn record(line: &[u8]) -> Result<std::borrow::Cow<'_, str>> {
    let tag: Tag<'_> = serde_json::from_str(text(line)?)
        .map_err(|_| not_sealed("a line of it is not a record"))?;
    Ok(tag.record)
}

fn tail(line: &[u8]) -> Result<Tail> {
    let tail = serde_json::from_str(text(line)?).map_err(|error| {
        changed("what follows its content is neither seal nor signature").with_source(error)
    })?;
    // Digests cover none of these lines, and digits may be of either case: another spelling is a change as well.
    match canonical(&tail)? == line {
        true => Ok(tail),
        false => Err(changed("its seal or a signature is not as it was written")),
    }
}

fn not_sealed(why: &str) -> Error {
    Error::new(
        Kind::InvalidInput,
        format!("this is not a file that Windlass sealed: {why}"),
    )
}

fn changed(how: &str) -> Error {
    Error::new(
        Kind::Integrity,
        format!("the file was changed after it was sealed: {how}"),
    )
    .with_hint("nothing of it is believed; make it anew, or take the copy that was reviewed")
}

fn unwritten(error: std::io::Error) -> Error {
    Error::new(Kind::Capacity, "the file cannot be written").with_source(error)
}
