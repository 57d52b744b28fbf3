use super::write::{SCRIPTS, iim, jpeg, titled};
use super::{list, messages, stated, text, value};
use windlass_core::Stated;

fn of_block(datasets: &[(u8, u8, &[u8])]) -> Stated {
    stated(&jpeg(None, None, Some(&iim(datasets))))
}

#[test]
fn declared_utf_8_is_taken_in_every_script() {
    for script in SCRIPTS {
        let stated = of_block(&[
            (1, 90, b"\x1b%G"),
            (2, 25, script.as_bytes()),
            (2, 25, b"second"),
            (2, 105, script.as_bytes()),
        ]);
        assert_eq!(
            value(&stated, "iptc:Keywords"),
            Some(&list(&[script, "second"]))
        );
        assert_eq!(value(&stated, "iptc:Headline"), Some(&text(script)));
        assert_eq!(messages(&stated), [""; 0]);
    }
}

/// A reader that stops at the first strange byte loses every keyword after it.
#[test]
fn values_after_the_first_that_is_not_ascii_are_not_lost() {
    let stated = of_block(&[
        (2, 25, b"first"),
        (2, 25, b"caf\xe9"),
        (2, 25, b"third"),
        (2, 90, b"K\xf6ln"),
        (2, 101, b"Austria"),
    ]);
    assert_eq!(
        value(&stated, "iptc:Keywords"),
        Some(&list(&["first", "third"]))
    );
    assert_eq!(value(&stated, "iptc:City"), None);
    assert_eq!(
        value(&stated, "iptc:Country-PrimaryLocationName"),
        Some(&text("Austria"))
    );
    let why = "it is not plain ASCII, and the character set is not declared (dataset 1:90)";
    assert_eq!(
        messages(&stated),
        [
            format!("an entry of iptc:Keywords is left out: {why}"),
            format!("iptc:City is left out: {why}")
        ]
    );
}

#[test]
fn undeclared_text_is_utf_8_if_the_whole_block_looks_like_it() {
    let stated = of_block(&[
        (2, 25, "café".as_bytes()),
        (2, 90, "Köln".as_bytes()),
        (2, 202, b"\xff\xfe preview"),
    ]);
    assert_eq!(value(&stated, "iptc:City"), Some(&text("Köln")));
    assert_eq!(messages(&stated).len(), 1);
    assert!(messages(&stated)[0].ends_with("looks like: iptc:Keywords, iptc:City"));

    // One value that is not shows that the others may not be either.
    let mixed = of_block(&[(2, 25, "café".as_bytes()), (2, 90, b"K\xf6ln")]);
    assert_eq!(mixed.statements, []);
}

#[test]
fn of_another_declared_character_set_only_ascii_is_taken() {
    let stated = of_block(&[
        (1, 90, b"\x1b.A"),
        (2, 90, "Köln".as_bytes()),
        (2, 95, b"NRW"),
    ]);
    assert_eq!(value(&stated, "iptc:City"), None);
    assert_eq!(value(&stated, "iptc:Province-State"), Some(&text("NRW")));
    assert_eq!(messages(&stated).len(), 1);
}

#[test]
fn what_is_declared_as_utf_8_and_is_not_is_held_back() {
    let stated = of_block(&[(1, 90, b"\x1b%G"), (2, 90, b"K\xf6ln"), (2, 25, b"kept")]);
    assert_eq!(value(&stated, "iptc:Keywords"), Some(&list(&["kept"])));
    assert!(messages(&stated)[0].starts_with("iptc:City is left out"));
}

#[test]
fn what_xmp_states_is_not_taken_from_iim_again() {
    let block = iim(&[(2, 5, b"K\xf6ln"), (2, 25, b"IIM"), (2, 90, b"Graz")]);
    let stated = stated(&jpeg(Some(&titled("XMP")), None, Some(&block)));
    let names: Vec<&str> = stated
        .statements
        .iter()
        .map(|one| one.name.as_str())
        .collect();
    assert_eq!(names, ["dc:title", "dc:subject", "iptc:City"]);
    assert_eq!(messages(&stated), [""; 0]);
}

#[test]
fn a_long_value_says_how_long_its_length_is() {
    let mut block = vec![0x1c, 2, 120, 0x80, 4, 0, 0, 0x90, 0];
    block.extend([b'x'; 0x9000]);
    let stated = stated(&jpeg(None, None, Some(&block)));
    assert!(value(&stated, "iptc:Caption-Abstract").is_some());
}
