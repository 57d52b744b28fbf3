use std::fs;
use std::os::unix::fs::symlink;

use proptest::prelude::*;
use unicode_normalization::UnicodeNormalization;
use windlass_core::{AssetId, Kind};

use super::make::{archive, at, files, header, key};
use crate::*;

const ORIGINAL: &str = "originals/Größe.jpg";

#[test]
fn an_archive_that_nobody_touched_is_intact() {
    let made = archive();
    let verified = made.verified();
    assert!(verified.is_intact(), "{:?}", verified.sentences());
    assert_eq!(verified.sentences(), Vec::<String>::new());
    let total = verified.sums.total();
    assert_eq!(
        (verified.intact, verified.bytes_read),
        (total.files, total.bytes)
    );
    assert_eq!((total.files, verified.sums.assets()), (14, 3));
    assert_eq!(verified.header, header());
    assert_eq!(verified.signed, Signed::ByOthers(vec![key(1).public()]));
    assert_eq!(verify(made.path(), &[]).unwrap(), verified);
}

#[test]
fn who_must_have_signed_is_asked_for_by_key() {
    let made = archive();
    let by = |seed: u8| verify(made.path(), &[key(seed).public()]).unwrap();
    assert!(by(1).is_intact());
    assert_eq!(by(1).signed, Signed::By(vec![key(1).public()]));
    assert!(!by(2).is_intact());
    assert!(by(2).sentences()[0].ends_with("which nobody here trusts"));
    made.seal(&[], |_| {});
    assert!(!by(1).is_intact());
    assert_eq!(by(1).sentences(), ["nobody signed it"]);
    assert!(made.verified().is_intact());
    assert_eq!(
        read(made.path(), &[key(1).public()]).unwrap_err().kind(),
        Kind::Denied
    );
}

#[test]
fn a_file_that_is_missing_is_named() {
    let made = archive();
    fs::remove_file(made.at(ORIGINAL)).unwrap();
    assert_eq!(made.said(), [format!("{ORIGINAL:?} is missing")]);
    assert!(!made.verified().is_intact());
}

#[test]
fn a_file_of_another_size_or_content_is_named() {
    let made = archive();
    made.write(ORIGINAL, b"The original!");
    made.write("documents/contract.txt", b"we agreed");
    assert_eq!(
        made.said(),
        [
            "\"documents/contract.txt\" has 9 bytes and was archived with 8".to_owned(),
            format!("{ORIGINAL:?} has other content than when it was archived"),
        ]
    );
}

#[test]
fn a_file_under_another_name_is_found_by_its_content() {
    let made = archive();
    fs::rename(made.at(ORIGINAL), made.at("best.jpg")).unwrap();
    assert_eq!(
        made.said(),
        [format!(
            "{ORIGINAL:?} is missing, and \"best.jpg\" has its content"
        )]
    );
    assert!(!made.verified().is_intact());
}

#[test]
fn a_name_in_another_normal_form_or_case_is_a_remark() {
    let made = archive();
    let decomposed: String = ORIGINAL.nfd().collect();
    fs::rename(made.at(ORIGINAL), made.at(&decomposed)).unwrap();
    fs::rename(made.at("documents"), made.at("Documents")).unwrap();
    let verified = made.verified();
    assert!(verified.is_intact(), "{:?}", verified.sentences());
    assert_eq!(verified.count(TroubleKind::Respelled), 2);
    assert_eq!(verified.intact, verified.sums.total().files);
    // The bytes are looked at all the same.
    made.write(&decomposed, b"The original!");
    assert_eq!(made.verified().count(TroubleKind::Changed), 1);
    // Beside the right one it is a file that nobody archived.
    made.write(ORIGINAL, b"the original!");
    made.write("documents/contract.txt", b"we agree");
    let verified = made.verified();
    assert_eq!(
        verified.count(TroubleKind::Extra),
        2,
        "{:?}",
        verified.sentences()
    );
}

#[test]
fn files_that_were_not_archived_are_named_and_litter_is_a_remark() {
    let made = archive();
    made.write("originals/.DS_Store", b"x");
    assert!(made.verified().is_intact());
    assert_eq!(
        made.said(),
        ["\"originals/.DS_Store\" was left behind by a file manager"]
    );
    made.write("new/one.txt", b"x");
    let verified = made.verified();
    assert!(!verified.is_intact());
    assert_eq!(verified.sentences()[0], "\"new/one.txt\" was not archived");
}

#[test]
fn links_are_named_and_never_followed() {
    let made = archive();
    let outside = tempfile::TempDir::new().unwrap();
    fs::write(outside.path().join("Größe.jpg"), b"the original!").unwrap();
    fs::remove_file(made.at(ORIGINAL)).unwrap();
    symlink(outside.path().join("Größe.jpg"), made.at(ORIGINAL)).unwrap();
    symlink("../documents", made.at("originals/inside")).unwrap();
    symlink("../../etc", made.at("originals/outside")).unwrap();
    fs::rename(made.at("renditions"), outside.path().join("renditions")).unwrap();
    symlink(outside.path().join("renditions"), made.at("renditions")).unwrap();
    let said = made.said();
    let outside = outside.path().join("renditions");
    assert_eq!(
        said,
        [
            format!("{ORIGINAL:?} is a link now, which was not followed"),
            "\"renditions/preview/Größe.jpg\" cannot be read: renditions is a link, which is not followed"
                .to_owned(),
            format!(
                "\"renditions\" is a link to {:?} outside the archive, which was not followed",
                outside.to_str().unwrap()
            ),
            "\"originals/inside\" is a link to \"../documents\", which was not followed".to_owned(),
            "\"originals/outside\" is a link to \"../../etc\" outside the archive, which was not followed"
                .to_owned(),
        ]
    );
}

#[test]
fn what_is_no_file_is_named_and_never_waited_for() {
    let made = archive();
    fs::remove_file(made.at(ORIGINAL)).unwrap();
    fs::create_dir(made.at(ORIGINAL)).unwrap();
    let pipe = std::process::Command::new("mkfifo")
        .arg(made.at("pipe"))
        .status();
    assert!(pipe.unwrap().success());
    assert_eq!(
        made.said(),
        [
            format!("{ORIGINAL:?} is no file"),
            "\"pipe\" is no file".to_owned()
        ]
    );
}

#[test]
fn metadata_that_contradict_the_manifest_are_named() {
    let made = archive();
    let contract = |entry: &&mut Entry| entry.path == "documents/contract.txt";
    // Sealed wrongly from the start: the manifest gives the document to another asset, or does not name it.
    made.seal(&[], |entries| {
        entries.iter_mut().find(contract).unwrap().asset = Some(AssetId::new("8"));
    });
    assert_eq!(
        made.said(),
        [
            "\"metadata/7.json\" contradicts the manifest: it says something else of documents/contract.txt"
        ]
    );
    made.seal(&[], |entries| {
        entries.retain(|entry| entry.path != "documents/contract.txt")
    });
    assert_eq!(
        made.said(),
        [
            "\"metadata/7.json\" contradicts the manifest: it names documents/contract.txt, which the manifest does not",
            "\"documents/contract.txt\" was not archived",
        ]
    );
    made.seal(&[], |entries| {
        entries.retain(|entry| entry.role != Role::Metadata)
    });
    assert_eq!(made.said()[0], "3 assets have files and no metadata");
    let metadata = |entry: &&mut Entry| entry.path == "metadata/7.json";
    made.seal(&[], |entries| {
        entries.iter_mut().find(metadata).unwrap().asset = Some(AssetId::new("8"));
    });
    assert_eq!(
        made.said(),
        [
            "\"metadata/7.json\" contradicts the manifest: it is of the asset 7",
            "an asset has files and no metadata",
        ]
    );
    made.write("metadata/7.json", b"{}");
    made.seal(&[], |entries| {
        entries.iter_mut().find(metadata).unwrap().digests = FileDigests::of(b"{}");
    });
    assert_eq!(
        made.said(),
        [
            "\"metadata/7.json\" contradicts the manifest: the file does not hold the metadata of an asset"
        ]
    );
}

#[test]
fn a_digest_that_the_manifest_states_wrongly_is_named() {
    let made = archive();
    made.seal(&[], |entries| {
        let entry = entries
            .iter_mut()
            .find(|entry| entry.path == ORIGINAL)
            .unwrap();
        entry.digests.sha256 = Sha256([0; 32]);
        entry.digests.xxh64 = Xxh64([0; 8]);
    });
    assert_eq!(
        made.said(),
        [format!(
            "{ORIGINAL:?} has the archived BLAKE3, and the manifest states another SHA-256 and XXH64"
        )]
    );
}

#[test]
fn a_manifest_of_another_archive_is_one_sentence() {
    let made = archive();
    let mut other = header();
    other.archive = archive_id("close", "Autumn", at("2026-11-29T12:00:00Z"));
    made.seal_as(&other, &[], |_| {});
    let error = verify(made.path(), &[]).unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (
            Kind::Integrity,
            "the manifest is of another archive than the files beside it"
        )
    );
}

#[test]
fn lists_are_bounded_and_the_rest_is_counted() {
    let made = archive();
    for number in 0..150 {
        made.write(&format!("new/{number:03}.txt"), b"x");
    }
    let verified = made.verified();
    let extra = &verified.troubles[&TroubleKind::Extra];
    assert_eq!(
        (extra.total, extra.first.len(), extra.more()),
        (150, LISTED_MAX, 50)
    );
    let sentences = verified.sentences();
    assert_eq!(sentences[0], "\"new/000.txt\" was not archived");
    assert_eq!(sentences[100], "50 more files were not archived");
}

#[test]
fn whoever_watches_sees_it_end_and_may_stop_it() {
    let made = archive();
    let last = std::sync::Mutex::new((0, 0));
    let verified = verify_watched(made.path(), &[], &|progress| {
        let mut last = last.lock().unwrap();
        *last = ((last.0).max(progress.files), (last.1).max(progress.bytes));
        true
    });
    let total = verified.unwrap().sums.total();
    assert_eq!(*last.lock().unwrap(), (total.files, total.bytes));
    let error = verify_watched(made.path(), &[], &|_| false).unwrap_err();
    assert_eq!(error.kind(), Kind::Cancelled);
}

#[test]
fn all_digests_are_those_that_others_compute_in_pieces_of_any_length() {
    let digests = FileDigests::of(b"the original!");
    assert_eq!(FileDigests::of(b"").xxh64.to_string(), "ef46db3751d8e999");
    assert_eq!(
        FileDigests::of(b"abc").sha256.to_string(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
    assert_eq!(
        digests.content_hash,
        windlass_core::ContentHash::of(b"the original!")
    );
    let long: Vec<u8> = (0..9_000_000u32).map(|n| (n % 251) as u8).collect();
    let mut pieces = Digesting::default();
    let read = pieces
        .read_all(&mut &long[..], &mut vec![0; 77_777])
        .unwrap();
    assert_eq!(read, 9_000_000);
    assert_eq!(pieces.finish(), FileDigests::of(&long));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn whichever_bit_of_whichever_file_is_changed_it_is_found(file: prop::sample::Index, byte: prop::sample::Index, bit in 0..8u8) {
        let made = archive();
        let mut files = files(made.path());
        files.retain(|_, bytes| !bytes.is_empty());
        let path = files.keys().nth(file.index(files.len())).unwrap().clone();
        let mut bytes = files.remove(&path).unwrap();
        let at = byte.index(bytes.len());
        bytes[at] ^= 1 << bit;
        made.write(&path, &bytes);
        if let Ok(verified) = verify(made.path(), &[]) {
            prop_assert!(path != MANIFEST_PATH, "byte {at}");
            prop_assert!(!verified.is_intact(), "{path} byte {at}");
            prop_assert_eq!(verified.intact + 1, verified.sums.total().files);
        }
    }
}
