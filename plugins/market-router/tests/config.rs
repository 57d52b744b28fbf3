//! The example configuration is right, and the messages of wrong ones name the key.

use std::collections::BTreeMap;

use market_router::MarketRouter;
use windlass_sdk::{Origin, Plugin, TestHost};

fn configure(text: &str, granted: &[Origin]) -> Result<MarketRouter, String> {
    let config: toml::Table = toml::from_str(text).expect("the test's own TOML is right");
    let config = serde_json::to_string(&config).expect("TOML fits JSON");
    let host = TestHost {
        tables: BTreeMap::from([("languages".to_owned(), BTreeMap::new())]),
        ..TestHost::default()
    };
    MarketRouter::configure(&config, granted, &host)
}

const BOTH: &[Origin] = &[Origin::Source, Origin::Sheet];

#[test]
fn the_example_configuration_is_right() {
    let text = include_str!("../example.toml");
    configure(text, BOTH).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn the_cases_of_the_example_have_its_configuration() {
    let cases: toml::Table = toml::from_str(include_str!("../cases/example.toml")).unwrap();
    let example: toml::Table = toml::from_str(include_str!("../example.toml")).unwrap();
    assert_eq!(cases["config"], toml::Value::Table(example));
}

#[test]
fn what_is_read_from_fields_must_be_granted() {
    let field = "[language]\nfield = 'a'\n";
    for (text, granted, part) in [
        (
            field.to_owned(),
            &[][..],
            "key \"language.field\": what the source or the sheet states is not granted: set grants = [\"source\"]",
        ),
        (
            format!("trust = ['source']\n{field}"),
            &[Origin::Sheet],
            "key \"trust\": what the source states is not granted: set grants = [\"source\"]",
        ),
        (
            format!("trust = ['sheet', 'source']\n{field}"),
            &[Origin::Source],
            "take \"sheet\" out",
        ),
        ("trust = []".to_owned(), BOTH, "key \"trust\": name"),
    ] {
        let error = configure(&text, granted).expect_err(&text);
        assert!(error.contains(part), "{text}\n{error}");
    }
    for granted in [&[Origin::Source][..], &[Origin::Sheet], BOTH] {
        configure(field, granted).unwrap_or_else(|error| panic!("{error}"));
    }
    // What needs no statements needs no grant.
    configure("", &[]).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_table_of_the_host_will_do() {
    let text = "[language]\nfield = 'a'\ntable = 'languages'";
    configure(text, BOTH).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_wrong_configuration_is_refused_with_its_key() {
    for (text, part) in [
        ("foldr = '/'", "unknown field `foldr`"),
        ("folder = 'a'", "key \"folder\": a folder starts with \"/\""),
        ("folder = '/a//b'", "key \"folder\": the name \"\" is empty"),
        (
            "folder = '/a/..'",
            "key \"folder\": the name \"..\" is empty",
        ),
        ("folder = '/{markt}'", "key \"folder\": there is no {markt}"),
        (
            "file_name = 'a:b'",
            "key \"file_name\": ':' cannot be in a name",
        ),
        (
            "file_name = 'a/b'",
            "key \"file_name\": '/' cannot be in a name",
        ),
        (
            "file_name = '{piece}'",
            "key \"file_name\": {piece} needs a [piece] section",
        ),
        (
            "[normalise]\ncampaign = ['lower']",
            "key \"normalise\": there is no {campaign}",
        ),
        ("[normalise]\nmarket = ['shout']", "unknown variant `shout`"),
        ("[[pattern]]\nregex = '('", "key \"pattern\", no. 1: "),
        (
            "[[pattern]]\nregex = '(a)'",
            "key \"pattern\", no. 1: no group has a name",
        ),
        (
            "[[pattern]]\non = 'folder'\nregex = 'a'",
            "unknown variant `folder`",
        ),
        (
            "[language]\nunknown = 'hold'",
            "key \"language\": it needs \"field\" or \"value\"",
        ),
        (
            "[language]\nvalue = '{x}'",
            "key \"language.value\": there is no {x}",
        ),
        (
            "[market]\nfield = []",
            "key \"market.field\": write 1 to 8 texts",
        ),
        (
            "[market]\nfield = 'a'\ntable = 'markets'",
            "key \"market.table\": there is no table \"markets\", here or at the host",
        ),
        ("[piece]\nfield = 'a'\ntable = 'b'", "unknown field `table`"),
        (
            "[fallback]\nde = ['DE']",
            "key \"fallback\": \"DE\" cannot stand in for \"de\"",
        ),
        (
            "[fallback]\nde = 'en'",
            "invalid type: string \"en\", expected a sequence",
        ),
        (
            "[language]\nfield = 'a'\nneutral_fallback = 5\n[fallback]\n'*' = ['en']",
            "key \"language.neutral_fallback\": 5 would stand among",
        ),
        ("[rendition]\nweb = ''", "key \"rendition.web\""),
        ("[rendition]\nweb = 'a'\nWEB = 'b'", "it is there twice"),
        (
            "[rendition]\nweb = { name = 'a', extension = '.' }",
            "key \"rendition.web\"",
        ),
    ] {
        let error = configure(text, BOTH).expect_err(text);
        assert!(error.contains(part), "{text}\n{error}");
    }
}
