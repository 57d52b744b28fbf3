use std::io::BufReader;

use serde_json::json;

use crate::error::Kind;
use crate::sealed::{Seal, SealedReader, SealedWriter, signature_line};
use crate::sign::{PublicKey, SigningKey};
use crate::{Error, Result};

fn key(seed: u8) -> SigningKey {
    SigningKey::from_seed(&[seed; 32])
}

fn document(keys: &[SigningKey]) -> Vec<u8> {
    let mut writer = SealedWriter::new("test 1", Vec::new());
    writer
        .line(&json!({"record": "a", "z": 1, "b": "ü"}))
        .unwrap();
    writer.line(&json!({"record": "a", "z": 2})).unwrap();
    writer.seal(keys).unwrap().0
}

fn read(bytes: &[u8]) -> Result<(Vec<String>, Seal)> {
    let mut reader = SealedReader::new("test 1", BufReader::new(bytes));
    let mut lines = Vec::new();
    while let Some(line) = reader.line()? {
        lines.push(line.to_owned());
    }
    Ok((lines, reader.into_seal()?.0))
}

fn refused(bytes: &[u8]) -> Error {
    read(bytes).unwrap_err()
}

#[test]
fn a_document_says_what_was_written_canonically_and_who_signed_it() {
    let keys = [key(1), key(2)];
    let (lines, seal) = read(&document(&keys)).unwrap();
    assert_eq!(lines[0], r#"{"b":"ü","record":"a","z":1}"#);
    assert_eq!((lines.len(), seal.lines), (2, 2));
    assert_eq!(seal.signed_by, [key(1).public(), key(2).public()]);
    let (_, unsigned) = read(&document(&[])).unwrap();
    assert_eq!(unsigned.digest, seal.digest);
    assert_eq!(unsigned.signed_by, []);
}

#[test]
fn a_signature_can_be_added_later() {
    let mut bytes = document(&[key(1)]);
    let digest = read(&bytes).unwrap().1.digest;
    bytes.extend(signature_line("test 1", &digest, &key(2)).unwrap());
    // The same one twice is one.
    bytes.extend(signature_line("test 1", &digest, &key(2)).unwrap());
    let (_, seal) = read(&bytes).unwrap();
    assert_eq!(seal.signed_by, [key(1).public(), key(2).public()]);
}

#[test]
fn no_byte_can_be_changed_or_taken_away_unnoticed() {
    let bytes = document(&[key(1)]);
    // The sixth bit is the case of letters.
    for (at, bit) in (0..bytes.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
        let mut changed = bytes.clone();
        changed[at] ^= 1 << bit;
        let error = refused(&changed);
        let kinds = [Kind::Integrity, Kind::InvalidInput];
        assert!(kinds.contains(&error.kind()), "{at}: {error:?}");
    }
    let ends: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] == b'\n').collect();
    let signed_at = ends[2] + 1;
    for length in 0..bytes.len() {
        match read(&bytes[..length]) {
            // Without its signature it is the document that nobody signed.
            Ok((_, seal)) => assert_eq!((length, seal.signed_by), (signed_at, Vec::new())),
            Err(error) => assert_ne!(error.kind(), Kind::Unexpected, "{length}: {error:?}"),
        }
    }
}

#[test]
fn a_line_can_neither_be_moved_nor_added() {
    let bytes = document(&[]);
    let lines: Vec<&[u8]> = bytes.split_inclusive(|byte| *byte == b'\n').collect();
    for order in [
        vec![1, 0, 2],
        vec![0, 0, 1, 2],
        vec![0, 2],
        vec![0, 1, 2, 1],
    ] {
        let moved: Vec<u8> = order.iter().flat_map(|at| lines[*at].to_vec()).collect();
        assert_eq!(refused(&moved).kind(), Kind::Integrity, "{order:?}");
    }
}

#[test]
fn a_signature_of_another_content_or_kind_of_document_is_false() {
    let bytes = document(&[]);
    let digest = read(&bytes).unwrap().1.digest;
    for (document, digest) in [
        ("test 1", crate::Blake3::of(b"another")),
        ("another kind", digest),
    ] {
        let mut signed = bytes.clone();
        signed.extend(signature_line(document, &digest, &key(1)).unwrap());
        assert_eq!(refused(&signed).kind(), Kind::Integrity);
    }
}

#[test]
fn a_number_that_json_would_round_is_refused() {
    let mut writer = SealedWriter::new("test 1", Vec::new());
    for number in [(1_i64 << 53) - 1, -((1_i64 << 53) - 1)] {
        writer.line(&json!({"record": "a", "n": number})).unwrap();
    }
    for number in [1_i64 << 53, i64::MAX, i64::MIN] {
        let error = writer
            .line(&json!({"record": "a", "n": [number]}))
            .unwrap_err();
        assert_eq!(error.kind(), Kind::InvalidInput);
    }
}

#[test]
fn a_key_signs_once() {
    let mut writer = SealedWriter::new("test 1", Vec::new());
    writer.line(&json!({"record": "a"})).unwrap();
    let (bytes, seal) = writer.seal(&[key(1), key(1)]).unwrap();
    assert_eq!(seal.signed_by, [key(1).public()]);
    assert_eq!(bytes.iter().filter(|byte| **byte == b'\n').count(), 3);
}

#[test]
fn a_document_of_another_kind_is_named() {
    let bytes = SealedWriter::new("custody 1", Vec::new())
        .seal(&[])
        .unwrap()
        .0;
    let error = refused(&bytes);
    assert_eq!(error.kind(), Kind::InvalidInput);
    assert!(error.message().contains("custody 1"), "{error:?}");
}

#[test]
fn what_was_never_sealed_is_refused_in_a_sentence() {
    for bytes in [
        &b""[..],
        b"\n",
        b"hello\n",
        b"{}\n",
        b"{\"record\":1}\n",
        b"\xff\xfe\n",
        b"PK\x03\x04",
    ] {
        let error = refused(bytes);
        assert_eq!(error.kind(), Kind::InvalidInput, "{bytes:?}");
        assert!(
            error
                .message()
                .starts_with("this is not a file that Windlass sealed")
        );
    }
}

#[test]
fn keys_have_the_forms_that_other_tools_read() {
    // RFC 8410, section 10.3: a private key and its public one.
    let pem = "-----BEGIN PRIVATE KEY-----\n\
               MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n\
               -----END PRIVATE KEY-----\n";
    let public = "ed25519:19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
    let key = SigningKey::from_pem(pem).unwrap();
    assert_eq!(key.public().to_string(), public);
    assert_eq!(public.parse::<PublicKey>().unwrap(), key.public());
    let again = SigningKey::from_pem(key.to_pem().unwrap().expose()).unwrap();
    assert_eq!(again.public(), key.public());
    assert_eq!(
        key.to_pem().unwrap().expose(),
        pem,
        "byte by byte as openssl has it"
    );
    assert!(!format!("{key:?}").contains("d4ee72"));
    for wrong in [
        "",
        "ed25519:",
        "rsa:00",
        &public[..70],
        &public.replace(':', ";"),
    ] {
        assert!(wrong.parse::<PublicKey>().is_err(), "{wrong}");
    }
    // A key of small order accepts signatures that anybody can make.
    let weak = format!("ed25519:01{}", "00".repeat(31));
    assert!(weak.parse::<PublicKey>().is_err());
    assert_eq!(
        SigningKey::from_pem("no key").unwrap_err().kind(),
        Kind::InvalidInput
    );
}
