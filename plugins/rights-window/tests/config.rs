//! The example configuration is right, and the messages of wrong ones name the key.

use rights_window::RightsWindow;
use windlass_sdk::{Origin, Plugin, TestHost};

fn configure(text: &str, granted: &[Origin]) -> Result<RightsWindow, String> {
    let config: toml::Table = toml::from_str(text).expect("the test's own TOML is right");
    let config = serde_json::to_string(&config).expect("TOML fits JSON");
    RightsWindow::configure(&config, granted, &TestHost::default())
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
fn what_is_trusted_must_be_granted() {
    let status = "[status]\nfield = 'a'\nallowed = ['b']\n";
    for (trust, granted, part) in [
        (
            "",
            &[][..],
            "set grants = [\"source\"], grants = [\"sheet\"] or both",
        ),
        (
            "trust = ['source']",
            &[Origin::Sheet],
            "key \"trust\": what the source states is not granted: set grants = [\"source\"]",
        ),
        (
            "trust = ['sheet', 'source']",
            &[Origin::Source],
            "take \"sheet\" out",
        ),
        ("trust = []", BOTH, "key \"trust\": name \"source\""),
        (
            "trust = ['sheet', 'sheet']",
            BOTH,
            "\"sheet\" is there twice",
        ),
        ("trust = ['embedded']", BOTH, "unknown variant `embedded`"),
    ] {
        let error = configure(&format!("{trust}\n{status}"), granted).expect_err(trust);
        assert!(error.contains(part), "{trust}\n{error}");
    }
    for granted in [&[Origin::Source][..], &[Origin::Sheet], BOTH] {
        configure(status, granted).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn a_configuration_that_checks_nothing_is_refused() {
    for text in ["", "time_zone = 'UTC'", "consent = []"] {
        let error = configure(text, BOTH).expect_err(text);
        assert!(error.contains("everything would leave"), "{error}");
    }
    let error = configure("time_zone = 'UTC'\n[valid]", BOTH).expect_err("names no day");
    assert!(error.contains("key \"valid\": it names none of"), "{error}");
}

#[test]
fn a_wrong_configuration_is_refused_with_its_key() {
    for (text, part) in [
        (
            "[valid]\nuntil = 'u'",
            "key \"time_zone\": days begin and end",
        ),
        (
            "time_zone = 'X'\n[valid]\nuntil = 'u'",
            "there is no time zone \"X\"",
        ),
        ("time_zome = 'X'", "unknown field `time_zome`"),
        (
            "time_zone = 'UTC'\n[valid]\nuntil = ''",
            "key \"valid.until\": name 1 to 8 fields",
        ),
        (
            "time_zone = 'UTC'\n[valid]\nuntil = []",
            "key \"valid.until\": name 1 to 8 fields",
        ),
        (
            "time_zone = 'UTC'\n[valid]\nuntil = 'u'\nrequired = ['from']",
            "key \"valid.required\": \"from\" is required, but \"valid.from\" names no field",
        ),
        (
            "date_formats = ['MM.YYYY']",
            "key \"date_formats\": the format \"MM.YYYY\" needs DD",
        ),
        (
            "warn_days = 3\n[status]\nfield = 'a'\nallowed = ['b']",
            "key \"warn_days\": no field",
        ),
        (
            "[territories]\nfield = 'a'\nexcept = 'b'",
            "key \"territories.except\": write \"territories.known\", the list of all markets",
        ),
        (
            "[territories]\nfield = 'a'\ngroups = { A = ['B'], B = ['C'] }",
            "key \"territories.groups\": \"b\" is a group and a member",
        ),
        (
            "[territories]\nfield = 'a'\ngroups = { A = ['B'], ' a' = ['C'] }",
            "it is there twice",
        ),
        (
            "[territories]\nfield = 'a'\ngroups = { A = [] }",
            "key \"territories.groups.A\": a group has",
        ),
        (
            "[channels]\nfield = 'a'\nany = ['all']\nknown = ['ALL']",
            "key \"channels\": \"all\" means every channel",
        ),
        (
            "[channels]\nfield = 'a'\nany = [' ']",
            "key \"channels.any\": an entry is empty",
        ),
        (
            "[status]\nfield = 'a'\nallowed = ['b']\nrestricted = ['B']",
            "key \"status\": \"b\" is in \"allowed\" and in \"restricted\"",
        ),
        (
            "[status]\nfield = 'a'\nallowed = []",
            "key \"status.allowed\": it is empty",
        ),
        ("[status]\nallowed = ['a']", "missing field `field`"),
        (
            "[[consent]]\nname = 'm'\nstate = 's'\ngranted = ['g']\nyes = ['no']",
            "\"no\" is in \"yes\" and in \"no\"",
        ),
        (
            "[[consent]]\nname = ' '\nstate = 's'\ngranted = ['g']",
            "key \"consent\": \"\" is no name",
        ),
        (
            "[[consent]]\nname = 'm'\nstate = ' '\ngranted = ['g']",
            "key \"consent.m.state\": name 1 to 8",
        ),
        (
            "[[consent]]\nname = 'm'\nstate = 's'\ngranted = ['g']\nexpires = 'e'",
            "key \"time_zone\"",
        ),
        (
            "[audiences]\nfield = 'a'\nallowed = { A = ['b'], a = ['c'] }",
            "it is there twice",
        ),
    ] {
        let error = configure(text, BOTH).expect_err(text);
        assert!(error.contains(part), "{text}\n{error}");
    }
}
