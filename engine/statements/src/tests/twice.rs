use super::write::{SCRIPTS, jpeg, titled};
use super::{messages, stated, text, value};
use crate::twice::undone;

/// Encodes once more, as a program does that takes UTF-8 for Windows-1252.
fn again(text: &str) -> String {
    let shown = |byte: u8| match byte {
        0x80..0xa0 => {
            let all = "€\u{81}‚ƒ„…†‡ˆ‰Š‹Œ\u{8d}Ž\u{8f}\u{90}‘’“”•–—˜™š›œ\u{9d}žŸ";
            all.chars().nth(usize::from(byte - 0x80)).unwrap()
        }
        _ => char::from(byte),
    };
    text.bytes().map(shown).collect()
}

#[test]
fn text_that_was_encoded_twice_or_thrice_is_read_as_it_was_meant() {
    let words = [
        "ö",
        "schön",
        "Österreich",
        "KÖLN",
        "voilà",
        "Łódź",
        "Привет",
        "“quoted”",
        "l’été",
        "£5",
        "žluťoučký kůň",
    ];
    for meant in SCRIPTS.into_iter().chain(words) {
        assert_eq!(undone(&again(meant)).as_deref(), Some(meant));
        assert_eq!(undone(&again(&again(meant))).as_deref(), Some(meant));
    }
    assert_eq!(undone("ÃƒÂ¶").as_deref(), Some("ö"));
}

#[test]
fn text_that_only_looks_like_it_is_left_alone() {
    let words = [
        "",
        "Ã",
        "SÃO PAULO",
        "AMANHÃ…",
        "AVELÃ®",
        "NESCAFÉ®",
        "NESCAFÉ™ Gold",
        "ROSÉ…",
        "CAFÉ\u{a0}: LA CARTE",
        "« voilà »",
        "Nescafé®…",
        "Größe – GrÃ¶ÃŸe",
        "naïve façade",
        "Ångström",
        "ÀÉÎÕÜ",
        "20 °C ± 2 °C",
        "TÊTE-À-TÊTE",
        "É», dit-il",
    ];
    for word in words.into_iter().chain(SCRIPTS) {
        assert_eq!(undone(word), None, "{word}");
    }
}

#[test]
fn a_repair_is_said_with_what_was_stored() {
    let stated = stated(&jpeg(Some(&titled("schÃ¶n")), None, None));
    assert_eq!(value(&stated, "dc:title"), Some(&text("schön")));
    assert_eq!(
        messages(&stated)[0],
        "dc:title is encoded twice: read \"schÃ¶n\" as \"schön\""
    );
}
