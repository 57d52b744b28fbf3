use std::collections::BTreeSet;

use super::*;

/// What is written: how many bytes, and the largest piece.
fn streamed(file: &AgencyFile) -> (u64, usize) {
    let (mut bytes, mut largest) = (0, 0);
    file.write(&mut |piece| {
        bytes += piece.len() as u64;
        largest = largest.max(piece.len());
        Ok(())
    })
    .unwrap_or_else(|error| panic!("{}: {error}", file.path));
    (bytes, largest)
}

#[test]
fn every_seed_gives_a_demo_between_one_point_zero_five_and_one_point_three_gib() {
    for seed in 0..200 {
        let demo = plan(AgencySize::Demo, seed);
        let mib = demo.iter().map(|file| file.bytes).sum::<u64>() >> 20;
        assert!((1_076..=1_330).contains(&mib), "seed {seed}: {mib} MiB");
        assert!((300..=450).contains(&demo.len()), "{} files", demo.len());
        let within = |low: u64, high: u64| {
            let range = low << 20..=high << 20;
            demo.iter()
                .filter(|file| range.contains(&file.bytes))
                .count()
        };
        assert_eq!((within(280, 320), within(64, 200)), (1, 3), "seed {seed}");
    }
}

#[test]
fn a_demo_file_of_each_kind_and_the_largest_film_have_their_planned_sizes() {
    let demo = plan(AgencySize::Demo, 3);
    let mut samples: Vec<&AgencyFile> = Vec::new();
    for file in demo.iter().filter(|file| file.bytes < 64 << 20) {
        if !samples.iter().any(|sample| sample.kind == file.kind) {
            samples.push(file);
        }
    }
    assert!(samples.len() >= 10, "{} kinds", samples.len());
    samples.extend(demo.iter().max_by_key(|file| file.bytes));
    for file in samples {
        let (bytes, largest) = streamed(file);
        assert_eq!(bytes, file.bytes, "{}", file.path);
        assert!(largest <= 1 << 20, "{}: a piece of {largest}", file.path);
    }
}

#[test]
fn a_draft_shorter_than_its_first_bytes_is_refused() {
    let tree = plan(AgencySize::Small, 1);
    let draft = tree.iter().find(|file| file.path.ends_with(".docx"));
    let short = AgencyFile {
        bytes: 3,
        ..draft.unwrap().clone()
    };
    assert!(short.write(&mut |_| Ok(())).is_err());
}

#[test]
fn a_refusal_of_the_receiver_ends_the_writing() {
    let tree = plan(AgencySize::Demo, 1);
    let film = tree.iter().max_by_key(|file| file.bytes).unwrap();
    let mut calls = 0;
    let ended = film.write(&mut |_| {
        calls += 1;
        Err(io::Error::from(io::ErrorKind::StorageFull))
    });
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::StorageFull);
    assert_eq!(calls, 1);
}

#[test]
fn both_trees_hold_what_is_to_be_skipped_or_held() {
    for size in [AgencySize::Demo, AgencySize::Small] {
        let tree = plan(size, 9);
        let ending = |end: &str| tree.iter().filter(|file| file.path.ends_with(end)).count();
        for name in ["/~$Brief.docx", "/Approved/._hero.tif", "/export.tmp"] {
            assert_eq!(ending(name), 1, "{name}");
        }
        let empty = |end: &str| {
            tree.iter().any(|file| {
                file.bytes == 0 && file.path.contains("/Approved/") && file.path.ends_with(end)
            })
        };
        assert!(empty(".otf") && empty(".txt"));
        let restricted: Vec<_> = tree.iter().filter(|file| file.restricted).collect();
        assert_eq!(restricted.len(), 1);
        assert!(restricted[0].path.contains("/Approved/"));
        for part in [
            "/NORD/Misc deliveries 2026/",
            "/ZZZZ/CMP-2099-",
            "/Photos/de/",
            "/Photos/en/",
        ] {
            assert!(tree.iter().any(|file| file.path.contains(part)), "{part}");
        }
        assert!(tree.iter().any(|file| file.path.starts_with("/Admin/")));
        let tagged = |file: &&AgencyFile| file.tags.iter().any(|tag| tag == "approved");
        assert!(tree.iter().any(|file| tagged(&file)));
        assert!(
            tree.iter()
                .filter(tagged)
                .all(|file| file.path.contains("/Finals/"))
        );
        assert!(tree.is_sorted_by(|a, b| a.path < b.path));
    }
}

#[test]
fn every_name_is_one_that_dropbox_accepts() {
    let refused = BTreeSet::from([
        "desktop.ini",
        "thumbs.db",
        ".ds_store",
        "icon\r",
        ".dropbox",
        ".dropbox.attr",
        ".dropbox.cache",
    ]);
    for file in plan(AgencySize::Demo, 1) {
        for name in file.path.split('/').skip(1) {
            assert!(!name.is_empty() && name.encode_utf16().count() <= 255);
            assert!(!refused.contains(name.to_lowercase().as_str()), "{name}");
            assert!(!name.contains('\\') && !name.chars().any(char::is_control));
            assert_eq!(name.trim_end(), name);
        }
    }
}
