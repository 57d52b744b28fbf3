//! Profiles: defaults, alternatives, and what is refused.

use super::super::{Algorithm, Checksum, Encoding};
use super::*;

#[test]
fn an_empty_profile_is_the_conservative_one() {
    let profile = Profile::from_toml("").unwrap();
    assert_eq!(profile, Profile::default());
    assert_eq!((profile.missing_status, profile.empty_status), (403, 204));
    assert_eq!(
        (profile.handle_ttl, profile.index_lag, profile.download_ttl),
        (3600, 30, 300)
    );
    assert!(profile.auto_activate && profile.range_inclusive);
    assert!(!profile.range && !profile.lenient_create_values);
}

#[test]
fn keys_for_clients_are_accepted_and_others_are_refused_by_name() {
    let shared = "apiCalls = 4\nupload = { retry = 3 }\nmissingStatus = 404";
    assert_eq!(Profile::from_toml(shared).unwrap().missing_status, 404);
    for (text, named) in [
        ("indexLags = 1", "indexLags"),
        ("missingStatus = 500", "missingStatus"),
        ("emptyStatus = 201", "emptyStatus"),
        ("expiredStatus = 401", "expiredStatus"),
        ("lock = { othersStatus = 400 }", "othersStatus"),
        ("checksum = \"crc32\"", "crc32"),
        ("checksum = \"md5:octal\"", "octal"),
        ("uploadMode = \"patch\"", "patch"),
        ("locales = []", "locales"),
        ("previewFailurePercent = 101", "previewFailurePercent"),
    ] {
        let error = Profile::from_toml(text).unwrap_err();
        assert!(error.to_string().contains(named), "{text}: {error}");
    }
}

#[tokio::test]
async fn checksums_come_in_every_algorithm_and_encoding() {
    let cases = [
        ("md5", "900150983cd24fb0d6963f7d28e17f72"),
        ("md5:base64", "kAFQmDzST7DWlj99KOF/cg=="),
        ("sha1:hex-upper", "A9993E364706816ABA3E25717850C26C9CD0D89D"),
        (
            "sha256",
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        ),
    ];
    for (checksum, expected) in cases {
        let bed = Bed::with(&format!("checksum = {checksum:?}"));
        let id = bed.asset("a.txt", b"abc").await;
        let asset = bed.get(&format!("/assets/{id}")).await.ok();
        assert_eq!(
            asset["currentVersion"]["fileChecksum"], expected,
            "{checksum}"
        );
    }
    let long = "sha512-hex-upper".parse();
    let wanted = Checksum {
        algorithm: Some(Algorithm::Sha512),
        encoding: Encoding::HexUpper,
    };
    assert_eq!(long, Ok(wanted));
    let pair = r#"checksum = { algorithm = "sha512", encoding = "hex-upper" }"#;
    assert_eq!(Profile::from_toml(pair).unwrap().checksum, wanted);
    let unknown = Profile::from_toml(r#"checksum = "uncalibrated""#).unwrap();
    assert_eq!(unknown, Profile::default());
}

#[tokio::test]
async fn dates_and_modifications_follow_the_profile() {
    let bed = Bed::with("datePrecision = \"seconds\"\nmodBumps = \"all\"");
    *lock(&bed.clock.0) = "2026-03-01T10:00:00.987654Z".parse().unwrap();
    let id = bed.asset("a.txt", b"abc").await;
    let off = json!({"availability": {"type": "DIRECT", "available": false}});
    let asset = bed.patch(&format!("/assets/{id}"), off).await.ok();
    assert_eq!(asset["modification"]["date"], "2026-03-01T10:00:00Z");

    let precise = Bed::new();
    *lock(&precise.clock.0) = "2026-03-01T10:00:00.987654Z".parse().unwrap();
    let id = precise.asset("a.txt", b"abc").await;
    let asset = precise.get(&format!("/assets/{id}")).await.ok();
    assert_eq!(asset["creation"]["date"], "2026-03-01T10:00:00.987Z");
}

#[tokio::test(start_paused = true)]
async fn the_default_clock_moves_with_a_paused_runtime() {
    let clock = super::super::RuntimeClock::new();
    let before = clock.now();
    tokio::time::sleep(Duration::from_secs(90)).await;
    assert_eq!(clock.now().duration_since(before).as_secs(), 90);
}
