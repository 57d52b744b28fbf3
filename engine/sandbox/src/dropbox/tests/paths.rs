use super::*;
use crate::dropbox::paths::{Alias, NameError, Parts, PathArg, conflicted, fold, numbered};

#[test]
fn a_key_is_nfc_and_lower_case_character_by_character() {
    let key = |path: &str| Parts::of(path, true).unwrap().key();
    assert_eq!(key("/E\u{301}te\u{301}"), "/été");
    assert_eq!(key("/ΣΑΣ"), "/σασ");
    assert_eq!(fold("İX"), "ix");
    assert_eq!(fold("straße ẞ"), "straße ß");
}

#[test]
fn names_are_refused_as_malformed_or_disallowed() {
    for bad in [
        "/a//b", "/a/", "/a/b ", "/a\\b", "/a\u{7f}", "/a\nb", "/..", "/./a",
    ] {
        assert_eq!(Parts::of(bad, true), Err(NameError::Malformed), "{bad:?}");
    }
    let long = |c: &str, n: usize| Parts::of(&format!("/{}", c.repeat(n)), true);
    assert!(long("é", 255).is_ok());
    assert!(long("é", 256).is_err());
    assert!(long("😀", 127).is_ok());
    assert!(long("😀", 128).is_err());
    assert!(Parts::of("/😀", false).is_err());
    for bad in ["/Desktop.ini", "/a/.DS_Store", "/Icon\r", "/.dropbox/a"] {
        let parts = Parts::of(bad, true).unwrap();
        assert_eq!(parts.storable(), Err(NameError::Disallowed), "{bad:?}");
    }
    assert!(Parts::of("/a<b>:|?*.", true).unwrap().storable().is_ok());
}

#[test]
fn each_alias_takes_its_own_forms() {
    use Alias::{Plain, Read, RootOrId, Write, WriteOrId};
    for (text, fits) in [
        ("/a", &[Write, WriteOrId, RootOrId, Read, Plain][..]),
        ("", &[RootOrId]),
        ("/", &[]),
        ("a", &[]),
        ("id:abc", &[WriteOrId, RootOrId, Read]),
        ("id:abc/x", &[WriteOrId, RootOrId, Read]),
        ("ns:12", &[Write, WriteOrId, RootOrId, Read]),
        ("ns:12/a", &[Write, WriteOrId, RootOrId, Read]),
        ("ns:x/a", &[]),
        ("rev:0123456789", &[Read]),
        ("rev:01234567", &[]),
        ("rev:0123456789A", &[]),
    ] {
        for alias in [Write, WriteOrId, RootOrId, Read, Plain] {
            let parsed = PathArg::parse(text, alias).is_ok();
            assert_eq!(parsed, fits.contains(&alias), "{text:?} as {alias:?}");
        }
    }
}

#[test]
fn autorename_keeps_the_extension() {
    assert_eq!(numbered("a.b.txt", 2), "a.b (2).txt");
    assert_eq!(numbered(".hidden", 1), ".hidden (1)");
    assert_eq!(conflicted("a.txt", 1), "a (conflicted copy).txt");
}

#[tokio::test]
async fn the_root_has_no_metadata_and_is_never_a_slash() {
    let rig = Rig::new();
    for (path, detail) in [
        ("", "request body: path: The root folder is unsupported."),
        (
            "/",
            "Specify the root folder as an empty string rather than as \"/\".",
        ),
        ("a", "conforming to regex"),
    ] {
        let answer = rig.rpc("files/get_metadata", json!({ "path": path })).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text().contains(detail), "{}", answer.text());
    }
}

#[tokio::test]
async fn paths_ignore_case_and_keep_the_casing_that_was_there_first() {
    let rig = Rig::new();
    rig.upload("/Campaign/Hero.tif", "1").await;
    let second = rig.upload("/CAMPAIGN/E\u{301}te\u{301}.tif", "2").await;
    assert_eq!(second["path_display"], "/Campaign/Été.tif");
    assert_eq!(second["path_lower"], "/campaign/été.tif");
    let found = rig
        .rpc("files/get_metadata", json!({"path": "/campaign/HERO.TIF"}))
        .await;
    assert_eq!(found.ok()["path_display"], "/Campaign/Hero.tif");
}

#[tokio::test]
async fn bad_names_are_named_on_write_and_on_lookup() {
    let rig = Rig::new();
    let up = |path: &'static str| rig.send_bytes("files/upload", json!({ "path": path }), "x");
    assert_eq!(up("/x/Thumbs.db").await.refused(), "path/disallowed_name/");
    let answer = up("/a\\b").await;
    let error = &answer.json()["error"];
    assert_eq!(
        error["reason"],
        json!({".tag": "malformed_path", "malformed_path": null})
    );
    let lookup = rig
        .rpc("files/get_metadata", json!({"path": "/a\\b"}))
        .await;
    assert_eq!(lookup.refused(), "path/malformed_path/");
}
