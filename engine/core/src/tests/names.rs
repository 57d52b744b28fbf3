use proptest::prelude::*;

use crate::{AssetPath, NameProblem, Noise, classify_noise, fold_key, preflight_name};

#[test]
fn spellings_that_differ_in_case_or_normal_form_have_one_key() {
    for (one, other) in [
        ("Straße.PSD", "straße.psd"),
        // é as one character and as e with a combining accent.
        ("caf\u{e9}.tif", "CAFE\u{301}.TIF"),
        // Hangul as one syllable and as its letters.
        ("\u{d55c}", "\u{1112}\u{1161}\u{11ab}"),
        // Å the letter, Å the unit, and A with a ring.
        ("\u{c5}", "\u{212b}"),
        ("\u{c5}", "A\u{30a}"),
        ("ΟΔΟΣ", "οδοσ"),
    ] {
        assert_eq!(fold_key(one), fold_key(other), "{one} and {other}");
    }
}

#[test]
fn folding_is_not_more_than_lower_case() {
    // Lower case character by character keeps these apart, and so do the services.
    for (one, other) in [
        ("STRASSE", "straße"),
        // The final sigma is a letter of its own.
        ("οδος", "οδοσ"),
        ("ﬁ", "fi"),
        ("a b", "a  b"),
    ] {
        assert_ne!(fold_key(one), fold_key(other), "{one} and {other}");
    }
}

#[test]
fn litter_is_told_from_content_by_its_name() {
    for (name, noise) in [
        (".DS_Store", Noise::SystemFile),
        ("Icon\r", Noise::SystemFile),
        ("DESKTOP.INI", Noise::SystemFile),
        ("Thumbs.db", Noise::SystemFile),
        (".dropbox", Noise::SystemFile),
        ("._hero.psd", Noise::ResourceFork),
        ("~$deck.pptx", Noise::LockFile),
        (".~lock.brief.odt#", Noise::LockFile),
        (".#brief.md", Noise::LockFile),
        ("~brochure~3crrb.idlk", Noise::LockFile),
        ("film.mov.filepart", Noise::Temporary),
        (".~brief", Noise::Temporary),
        ("film.mov.part", Noise::Temporary),
        ("film.CRDOWNLOAD", Noise::Temporary),
        ("x.tmp", Noise::Temporary),
    ] {
        assert_eq!(classify_noise(name), Some(noise), "{name:?}");
        assert!(!noise.reason().is_empty());
    }
    for name in [
        "hero.psd",
        "Icon",
        "icons",
        "DS_Store",
        "part.tif",
        "tmp",
        "~hero.psd",
        "$1.tif",
        ".htaccess",
        "Thumbs.db.tif",
        "département.pdf",
    ] {
        assert_eq!(classify_noise(name), None, "{name:?}");
    }
}

#[test]
fn names_are_measured_in_utf16_units_before_bytes_move() {
    assert_eq!(preflight_name(&"a".repeat(255), 255), Ok(()));
    assert_eq!(
        preflight_name(&"a".repeat(256), 255),
        Err(NameProblem::TooLong {
            length: 256,
            limit: 255
        })
    );
    // One emoji is two units.
    assert_eq!(preflight_name("🎬", 2), Ok(()));
    assert_eq!(
        preflight_name("🎬", 1).unwrap_err().to_string(),
        "the name has 2 characters; 1 are allowed"
    );
}

#[test]
fn names_that_no_sink_stores_are_refused_with_the_reason() {
    assert_eq!(preflight_name("a/b", 255), Err(NameProblem::Character('/')));
    assert_eq!(
        preflight_name("a\\b", 255),
        Err(NameProblem::Character('\\'))
    );
    assert_eq!(
        preflight_name("a\u{0}b", 255),
        Err(NameProblem::Character('\0'))
    );
    for name in ["", ".", "..", " ", ". ."] {
        assert_eq!(
            preflight_name(name, 255),
            Err(NameProblem::Empty),
            "{name:?}"
        );
    }
    assert_eq!(preflight_name(".gitignore", 255), Ok(()));
}

#[test]
fn a_path_is_absolute_and_knows_its_parts() {
    let path = AssetPath::new("Clients/Acme/Hero.Final.PSD/");
    assert_eq!(path.as_str(), "/Clients/Acme/Hero.Final.PSD");
    assert_eq!(path.name(), "Hero.Final.PSD");
    assert_eq!(path.extension(), "psd");
    assert_eq!(path.parent(), AssetPath::new("/Clients/Acme"));
    assert_eq!(
        path.segments().collect::<Vec<_>>(),
        ["Clients", "Acme", "Hero.Final.PSD"]
    );
    assert_eq!(path.parent().join("x.tif").as_str(), "/Clients/Acme/x.tif");
    assert_eq!(path.key(), "/clients/acme/hero.final.psd");
}

#[test]
fn the_root_is_the_empty_path() {
    for text in ["", "/", "//"] {
        let root = AssetPath::new(text);
        assert_eq!(root.as_str(), "");
        assert_eq!(root.to_string(), "/");
        assert_eq!(root.name(), "");
        assert_eq!(root.parent(), root);
        assert_eq!(root.segments().count(), 0);
        assert_eq!(root.join("a").as_str(), "/a");
    }
    assert_eq!(AssetPath::new("/a").parent(), AssetPath::new(""));
}

#[test]
fn a_dot_file_has_no_extension() {
    assert_eq!(AssetPath::new("/.gitignore").extension(), "");
    assert_eq!(AssetPath::new("/archive.d/readme").extension(), "");
    assert_eq!(AssetPath::new("/a.").extension(), "");
}

proptest! {
    #[test]
    fn folding_twice_changes_nothing(text in "\\PC{0,24}") {
        let once = fold_key(&text);
        prop_assert_eq!(fold_key(&once), once);
    }

    #[test]
    fn a_path_is_its_parent_and_its_name(parts in prop::collection::vec("[^/]{1,8}", 1..6)) {
        let path = AssetPath::new(&parts.join("/"));
        prop_assert_eq!(path.parent().join(path.name()), path);
    }
}
