//! `windlass key` and `windlass sign`: who stands for a sealed document.

use std::fs::{File, OpenOptions};
use std::io::{self, BufReader, Write};
use std::path::Path;

use windlass_core::sealed::{Seal, SealedReader, signature_line};
use windlass_core::sign::SigningKey;
use windlass_core::{Error, Kind, Result};

use super::Ended;
use crate::args::SignArgs;
use crate::out::Out;

/// Makes a key pair: the secret key goes to a file that only its owner may read, the public one is printed.
pub(crate) fn new_key(file: &Path, out: Out) -> Result<Ended> {
    let key = SigningKey::from_seed(&rand::random());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let pem = key.to_pem()?;
    let mut to = options.open(file).map_err(|error| unwritten(file, error))?;
    let written = to
        .write_all(pem.expose().as_bytes())
        .and_then(|()| to.sync_all());
    if let Err(error) = written {
        // Half a key is none.
        drop(std::fs::remove_file(file));
        return Err(unwritten(file, error));
    }
    show(&key, out)
}

/// Prints the public key of a secret one.
pub(crate) fn show_key(file: &Path, out: Out) -> Result<Ended> {
    show(&read_key(file)?, out)
}

fn show(key: &SigningKey, out: Out) -> Result<Ended> {
    let public = key.public();
    match out.json {
        true => out.line(&serde_json::json!({ "record": "key", "public": public }))?,
        false => out.data(&public.to_string())?,
    }
    Ok(Ended::Done)
}

/// Reads a secret key.
pub(crate) fn read_key(file: &Path) -> Result<SigningKey> {
    let pem = std::fs::read_to_string(file).map_err(|error| {
        Error::new(kind_of(&error), "the key cannot be read")
            .with_context("file", file.display())
            .with_source(error)
    })?;
    SigningKey::from_pem(&pem).map_err(|error| error.with_context("file", file.display()))
}

/// Adds a signature to a sealed file, once every line of it was found as it was sealed.
pub(crate) fn sign(args: &SignArgs, out: Out) -> Result<Ended> {
    let key = read_key(&args.key)?;
    let mut reader = SealedReader::of_any_kind(open(&args.file)?);
    while reader.line()?.is_some() {}
    let (seal, document) = reader.into_seal()?;
    if seal.signed_by.contains(&key.public()) {
        out.say("this key has signed it before");
    } else {
        append(&args.file, &signature_line(&document, &seal.digest, &key)?)?;
    }
    match out.json {
        true => out.line(&serde_json::json!({
            "record": "signature", "document": document, "digest": seal.digest, "key": key.public(),
        }))?,
        false => out.data(&format!(
            "{document} {} signed by {}",
            seal.digest,
            key.public()
        ))?,
    }
    Ok(Ended::Done)
}

/// Adds a line, or leaves the file as it was.
fn append(file: &Path, line: &[u8]) -> Result<()> {
    let appended = OpenOptions::new()
        .append(true)
        .open(file)
        .and_then(|mut to| {
            let length = to.metadata()?.len();
            let written = to.write_all(line).and_then(|()| to.sync_all());
            if written.is_err() {
                to.set_len(length)?;
            }
            written
        });
    appended.map_err(|error| unwritten(file, error))
}

/// Opens a file to read.
pub(crate) fn open(file: &Path) -> Result<BufReader<File>> {
    let opened = File::open(file).map_err(|error| {
        Error::new(kind_of(&error), "the file cannot be read")
            .with_context("file", file.display())
            .with_source(error)
    })?;
    Ok(BufReader::with_capacity(1 << 20, opened))
}

/// Lets a file be written that does not exist yet. It appears under its name when it is whole and on the disk; until
/// then, and if that fails, there is only a part that the next attempt begins anew.
pub(crate) async fn create<T>(
    file: &Path,
    write: impl AsyncFnOnce(io::BufWriter<File>) -> Result<(io::BufWriter<File>, T)>,
) -> Result<T> {
    let is_free = || match file.try_exists() {
        Ok(false) => Ok(()),
        Ok(true) => Err(io::Error::from(io::ErrorKind::AlreadyExists)),
        Err(error) => Err(error),
    };
    let told = |error| unwritten(file, error);
    // Before anybody spends an hour on what goes into it.
    is_free().map_err(told)?;
    let mut part = file.as_os_str().to_owned();
    part.push(".part");
    let part = Path::new(&part);
    let created = File::create(part).map_err(told)?;
    let written = async {
        let (out, value) = write(io::BufWriter::with_capacity(1 << 20, created)).await?;
        let kept = out
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|written| written.sync_all())
            .and_then(|()| is_free())
            .and_then(|()| std::fs::rename(part, file));
        kept.map_err(told)?;
        Ok(value)
    };
    let written = written.await;
    if written.is_err() {
        // The first error is the one to tell of.
        drop(std::fs::remove_file(part));
    }
    written
}

fn unwritten(file: &Path, error: io::Error) -> Error {
    let failure = match error.kind() {
        io::ErrorKind::AlreadyExists => Error::new(
            Kind::Conflict,
            "the file is there already, and stays as it is",
        )
        .with_hint("name another one, or move that one away"),
        _ => Error::new(Kind::Capacity, "the file cannot be written"),
    };
    failure
        .with_context("file", file.display())
        .with_source(error)
}

fn kind_of(error: &io::Error) -> Kind {
    match error.kind() {
        io::ErrorKind::NotFound => Kind::NotFound,
        io::ErrorKind::PermissionDenied => Kind::Denied,
        _ => Kind::Unavailable,
    }
}

/// A seal in a line or two.
pub(crate) fn seal_text(document: &str, seal: &Seal) -> String {
    let mut text = format!("{document} digest {}", seal.digest);
    for key in &seal.signed_by {
        text.push_str(&format!("\nsigned by {key}"));
    }
    if seal.signed_by.is_empty() {
        text.push_str(", not signed");
    }
    text
}
