//! The profile file: what is accepted, what is refused and how that is said.

use crate::{Algorithm, CelumProfile, Checksum, ChecksumRule, Encoding, UploadAuth, UploadMode};
use windlass_core::digest::ChecksumHasher;

#[test]
fn an_empty_profile_is_the_careful_default() {
    let profile = CelumProfile::parse("").unwrap();
    assert_eq!(profile, CelumProfile::default());
    assert_eq!(profile.checksum, ChecksumRule::Uncalibrated);
    assert_eq!(profile.upload_mode, UploadMode::PostRaw);
    assert_eq!(profile.upload_auth, UploadAuth::None);
    assert_eq!((profile.api_calls, profile.transfers), (8, 8));
    assert_eq!(profile.index_lag, 30);
    assert!(profile.auto_activate && !profile.range && !profile.tag_create);
}

#[test]
fn every_key_can_be_set() {
    let text = r#"
        checksum = { algorithm = "sha256", encoding = "base64" }
        uploadMode = "post-multipart"
        uploadAuth = "apiKey"
        maxBytes = 5000000000
        correlationField = "windlassMark"
        autoActivate = false
        indexLag = 5
        range = true
        apiCalls = 5
        transfers = 3
        apiKeyPrefix = "Bearer"
        locales = ["de"]
        createCollections = false
        tagCreate = true
    "#;
    let profile = CelumProfile::parse(text).unwrap();
    let checksum = Checksum {
        algorithm: Algorithm::Sha256,
        encoding: Encoding::Base64,
    };
    assert_eq!(profile.checksum, ChecksumRule::Known(checksum));
    assert_eq!(profile.upload_mode, UploadMode::PostMultipart);
    assert_eq!(profile.upload_auth, UploadAuth::ApiKey);
    assert_eq!(profile.correlation_field.as_deref(), Some("windlassMark"));
    assert!(profile.tag_create && profile.range && !profile.auto_activate);
    // What was written can be read again: a calibrated profile is stored by the caller.
    let written = toml::to_string(&profile).unwrap();
    assert_eq!(CelumProfile::parse(&written).unwrap(), profile);
}

#[test]
fn an_unknown_key_is_named_and_the_nearest_one_suggested() {
    let error = CelumProfile::parse("correlationFeild = \"x\"").unwrap_err();
    assert_eq!(error.kind(), windlass_core::Kind::Config);
    assert!(error.message().contains("correlationFeild"), "{error:?}");
    assert!(
        error.hint().unwrap().contains("\"correlationField\""),
        "{error:?}"
    );
}

#[test]
fn a_wrong_type_names_its_key() {
    let error = CelumProfile::parse("apiCalls = \"many\"").unwrap_err();
    assert!(error.chain().contains("apiCalls"), "{error:?}");
    for zero in ["apiCalls = 0", "transfers = 0", "locales = []"] {
        let key = zero.split(' ').next().unwrap();
        let error = CelumProfile::parse(zero).unwrap_err();
        assert!(error.message().contains(key), "{error:?}");
    }
}

#[test]
fn keys_that_only_steer_an_emulated_tenant_are_accepted() {
    let shared =
        "missingStatus = 404\nhandleTtl = 60\ndownloadTtl = 5\nlock = { othersStatus = 423 }";
    assert_eq!(
        CelumProfile::parse(shared).unwrap(),
        CelumProfile::default()
    );
}

#[test]
fn a_checksum_is_recognised_in_any_spelling_and_nothing_else_is() {
    for rule in Checksum::candidates() {
        assert_eq!(Checksum::recognise(b"abc", &rule.of(b"abc")), Some(rule));
    }
    assert_eq!(Checksum::recognise(b"abc", "352441c2"), None);
    let md5 = Checksum::recognise(b"abc", "900150983cd24fb0d6963f7d28e17f72").unwrap();
    assert_eq!(md5.algorithm, Algorithm::Md5);
    let sha1 = Checksum::recognise(b"abc", "A9993E364706816ABA3E25717850C26C9CD0D89D").unwrap();
    assert_eq!(
        (sha1.algorithm, sha1.encoding),
        (Algorithm::Sha1, Encoding::HexUpper)
    );
}

#[test]
fn a_running_checksum_does_not_depend_on_the_cut() {
    let mut running = ChecksumHasher::new(Algorithm::Sha256);
    for piece in b"all the bytes of a content".chunks(5) {
        running.update(piece);
    }
    let rule = Checksum {
        algorithm: Algorithm::Sha256,
        encoding: Encoding::HexLower,
    };
    assert_eq!(
        Encoding::HexLower.write(&running.finalize()),
        rule.of(b"all the bytes of a content")
    );
}
