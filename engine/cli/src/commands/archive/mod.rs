//! `windlass archive`: the archive of a closed campaign, proved from its folder alone, and restored.

pub(super) mod restore;

use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_archive::{Progress, Verified, verify_watched};
use windlass_core::sign::PublicKey;
use windlass_core::{Error, Kind, Result};

use super::{Ended, seal};
use crate::args::ArchiveVerifyArgs;
use crate::out::Out;
use crate::{interrupt, progress, text};

/// Proves an archive.
pub(crate) async fn verify(args: &ArchiveVerifyArgs, out: Out) -> Result<Ended> {
    let signers = signers(&args.signer)?;
    let cancel = interrupt::watch(out);
    let verified = prove(&args.dir, &signers, &cancel, out).await?;
    if signers.is_empty() && !verified.seal.signed_by.is_empty() {
        out.say("whose keys these are was not checked: name those you expect with --signer");
    }
    print(&verified, out)?;
    Ok(match verified.is_intact() {
        true => Ended::Done,
        false => Ended::WithFailures,
    })
}

/// Reads all of an archive, until it is stopped.
async fn prove(
    dir: &Path,
    signers: &[PublicKey],
    cancel: &CancellationToken,
    out: Out,
) -> Result<Arc<Verified>> {
    let (dir, signers, cancel) = (dir.to_owned(), signers.to_vec(), cancel.clone());
    blocking(move || {
        let reading = progress::Reading::new(out);
        let watch = |progress: Progress| {
            let Progress {
                files,
                files_total,
                bytes,
                bytes_total,
            } = progress;
            reading.show([files, files_total], [bytes, bytes_total]);
            !cancel.is_cancelled()
        };
        verify_watched(&dir, &signers, &watch).map(Arc::new)
    })
    .await
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| {
        Error::new(Kind::Unexpected, "reading the archive ended abnormally").with_source(error)
    })?
}

/// Public keys, given as such or in files that hold a public or a secret one.
fn signers(given: &[String]) -> Result<Vec<PublicKey>> {
    given.iter().map(|given| signer(given)).collect()
}

fn signer(given: &str) -> Result<PublicKey> {
    if let Ok(key) = given.parse() {
        return Ok(key);
    }
    let file = Path::new(given);
    if let Ok(text) = std::fs::read_to_string(file)
        && let Ok(key) = text.trim().parse()
    {
        return Ok(key);
    }
    let secret = seal::read_key(file).map_err(|error| {
        error.with_hint("a signer is a public key such as ed25519:…, or a file that holds a key")
    })?;
    Ok(secret.public())
}

/// Prints what was found: with --json a record of the archive and one for each trouble that is listed.
fn print(verified: &Verified, out: Out) -> Result<()> {
    if !out.json {
        return out.data(&text::archive(verified));
    }
    for (kind, listed) in &verified.troubles {
        for trouble in &listed.first {
            out.record(
                "trouble",
                &serde_json::json!({
                    "kind": kind.word(),
                    "harmless": kind.is_harmless(),
                    "path": trouble.path(),
                    "message": trouble.to_string(),
                }),
            )?;
        }
    }
    let troubles = verified.troubles.iter();
    let troubles: serde_json::Map<String, serde_json::Value> = troubles
        .map(|(kind, listed)| (kind.word().to_owned(), listed.total.into()))
        .collect();
    out.record(
        "archive",
        &serde_json::json!({
            "archive": verified.header.archive,
            "format": verified.header.format,
            "campaign": verified.header.campaign,
            "source": verified.header.source,
            "created": verified.header.created,
            "windlass": verified.header.windlass,
            "intact": verified.is_intact(),
            "files": verified.sums.total().files,
            "files_intact": verified.intact,
            "bytes_read": verified.bytes_read,
            "roles": verified.sums.roles,
            "troubles": troubles,
            "digest": verified.seal.digest,
            "signed_by": verified.seal.signed_by,
            "signed_as_wanted": verified.is_signed(),
        }),
    )
}
