//! Choices about conflicts that are made while another process writes the ledger.
//!
//! They are lines in a file beside the ledger, and whoever writes it takes them over before it looks at a flow that has
//! conflicts. A lock on the file keeps those who leave a choice and the one who takes them apart. What a crash leaves is
//! choices that are taken once more, which changes nothing: each is about just two revisions.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use windlass_core::{Error, Kind, Ledger, NewConflict, Resolution, Result};

/// One choice.
#[derive(Debug, Serialize, Deserialize)]
struct Left {
    found: NewConflict,
    resolution: Option<Resolution>,
}

/// Where choices are left beside this ledger.
pub(super) fn beside(ledger: &Path) -> PathBuf {
    let mut name = ledger.as_os_str().to_owned();
    name.push(".choices");
    PathBuf::from(name)
}

/// Leaves a choice for whoever writes the ledger.
pub(super) fn leave(
    file: &Path,
    found: &NewConflict,
    resolution: Option<Resolution>,
) -> Result<()> {
    let left = Left {
        found: found.clone(),
        resolution,
    };
    let mut line = serde_json::to_vec(&left).map_err(|error| {
        Error::new(Kind::Unexpected, "the choice cannot be written").with_source(error)
    })?;
    line.push(b'\n');
    let written = || {
        let mut open = OpenOptions::new().create(true).append(true).open(file)?;
        open.lock()?;
        open.write_all(&line)?;
        open.sync_data()
    };
    written().map_err(|error| failed(file, error))
}

/// Takes over what was left, and forgets it. Answers how many choices counted: those about other revisions by now do not.
pub(super) async fn take(file: &Path, ledger: &dyn Ledger) -> Result<u64> {
    let open = match OpenOptions::new().read(true).write(true).open(file) {
        Ok(open) => open,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(failed(file, error)),
    };
    open.lock().map_err(|error| failed(file, error))?;
    let mut counted = 0;
    for left in read(&open, file)? {
        let noted = ledger
            .resolve_conflict(&left.found, left.resolution)
            .await?;
        counted += u64::from(noted);
    }
    open.set_len(0).map_err(|error| failed(file, error))?;
    Ok(counted)
}

fn read(open: &File, file: &Path) -> Result<Vec<Left>> {
    let mut all = Vec::new();
    for line in BufReader::new(open).lines() {
        let line = line.map_err(|error| failed(file, error))?;
        match serde_json::from_str(&line) {
            Ok(left) => all.push(left),
            // A line that a power cut left half-written is one that nobody was told of as noted.
            Err(error) => tracing::warn!(file = %file.display(), %error, "a choice cannot be read"),
        }
    }
    Ok(all)
}

fn failed(file: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Config, "the file of choices cannot be used")
        .with_context("path", file.display())
        .with_source(error)
        .with_hint("look whether its folder can be written")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use windlass_core::memory::MemoryLedger;
    use windlass_core::{AssetId, AssetPath, ConflictSide, Question, Revision, SystemClock};

    use super::*;

    fn conflict(revision: &str) -> NewConflict {
        let side = |endpoint: &str| ConflictSide {
            endpoint: endpoint.to_owned(),
            asset: AssetId::new("1"),
            path: AssetPath::new("/a.jpg"),
            revision: Some(Revision::new(revision)),
            size: 1,
        };
        NewConflict {
            flow: "brand".to_owned(),
            subject: AssetId::new("id:1"),
            question: Question::Proposed,
            reason: "it changed".to_owned(),
            file: side("files"),
            asset: side("dam"),
        }
    }

    #[tokio::test]
    async fn a_choice_that_was_left_is_taken_once_and_only_about_its_revisions() {
        let dir = tempfile::tempdir().unwrap();
        let file = beside(&dir.path().join("windlass.db"));
        let ledger = MemoryLedger::new(Arc::new(SystemClock));
        assert_eq!(take(&file, &ledger).await.unwrap(), 0);
        ledger.note_conflicts(&[conflict("2")]).await.unwrap();
        leave(&file, &conflict("1"), Some(Resolution::TakeAsset)).unwrap();
        leave(&file, &conflict("2"), Some(Resolution::TakeFile)).unwrap();
        assert_eq!(take(&file, &ledger).await.unwrap(), 1);
        let noted = ledger.conflicts(None, None, 9).await.unwrap();
        assert_eq!(noted[0].resolution, Some(Resolution::TakeFile));
        assert_eq!(take(&file, &ledger).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn a_line_that_was_cut_short_costs_no_other_choice() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("choices");
        std::fs::write(&file, b"{\"found\":{\n").unwrap();
        let ledger = MemoryLedger::new(Arc::new(SystemClock));
        ledger.note_conflicts(&[conflict("2")]).await.unwrap();
        leave(&file, &conflict("2"), Some(Resolution::KeepBoth)).unwrap();
        assert_eq!(take(&file, &ledger).await.unwrap(), 1);
    }
}
