//! An archive that was made once and is kept: what was sealed then must verify for ever.

use std::path::Path;

use super::make::{archive, files, key};
use crate::*;

fn golden() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/1")
}

#[test]
fn an_archive_of_format_1_stays_verifiable() {
    let verified = verify(&golden(), &[key(1).public()]).unwrap();
    assert!(verified.is_intact(), "{:?}", verified.sentences());
    assert_eq!(verified.sums.assets(), 3);
    let archive = read(&golden(), &[key(1).public()]).unwrap();
    assert_eq!(archive.assets().unwrap().filter(Result::is_ok).count(), 3);
}

/// What is the format of a file: all of it, but for what is said to people and the digests of that.
fn format_of(path: &str, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let follows = ["readme\"", "mhl\"", "sums\"", "seal\"", "signature\""];
    match path {
        README_PATH => String::new(),
        path if path.starts_with("ascmhl/") => String::new(),
        MANIFEST_PATH => {
            let is_format = |line: &&str| {
                let said = |what: &&str| {
                    line.contains(&format!("\"role\":\"{what}"))
                        || line.contains(&format!("\"record\":\"{what}"))
                };
                !follows.iter().any(said)
            };
            text.lines().filter(is_format).collect()
        }
        _ => text,
    }
}

/// Where this fails the format changed: that needs a new number, and a golden archive of its own beside this one.
#[test]
fn what_is_written_today_is_format_1_to_the_byte() {
    let made = archive();
    let (written, kept) = (files(made.path()), files(&golden()));
    assert!(written.keys().eq(kept.keys()));
    for (path, bytes) in &written {
        let kept = &kept[path];
        assert_eq!(format_of(path, bytes), format_of(path, kept), "{path}");
    }
}

#[test]
fn c4_ids_are_those_of_the_standard() {
    use windlass_core::digest::{ChecksumAlgorithm, ChecksumHasher};
    let empty = ChecksumHasher::new(ChecksumAlgorithm::Sha512).finalize();
    assert_eq!(
        crate::mhl::c4_id(&empty),
        "c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQstpDuni4Hirj75GEmTc1sFT"
    );
}
