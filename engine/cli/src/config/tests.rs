use std::path::{Path, PathBuf};

use windlass_core::{ByteSize, Kind, Value};

use super::layers::parse;
use super::*;

const GOOD: &str = r#"
[limits]
memory = "512MiB"

[endpoint.agencies]
kind = "dropbox"
app_key = "key"
refresh_token = { env = "TOKEN" }

[endpoint.dam]
kind = "celum"
api_root = "https://dam.example/content-api/v1"
api_key = { file = "key.txt" }

[flow.approved]
kind = "ingest"
from = "agencies"
to = "dam"
collection = "/Inbox"
availability = { from = "2026-01-01T00:00:00Z" }

[flow.approved.set]
approval = "Approved"
year = 2026
shot = 2026-03-01
cleared = true
title = { de = "Halle", en = "Hall" }
keywords = ["fair", "hall"]
"#;

fn load_text(text: &str, flags: &[&str], environment: &[(&str, &str)]) -> Result<Layered> {
    let overlay = Overlay {
        flags: flags.iter().map(ToString::to_string).collect(),
        environment: environment
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
    };
    parse(text, Path::new("windlass.toml"), PathBuf::new(), &overlay)
}

/// The sentence and the hint of a configuration that must be refused.
fn refused(text: &str) -> String {
    let error = load_text(text, &[], &[]).expect_err("the configuration is refused");
    format!("{error} | {}", error.hint().unwrap_or("no hint"))
}

#[test]
fn a_full_configuration_is_understood() {
    let layered = load_text(GOOD, &[], &[]).unwrap();
    let flow = layered.config.ingest("approved").unwrap();
    assert_eq!(layered.config.limits.memory, ByteSize::mib(512));
    let value = |name: &str| field_value(name, &flow.set[name]).unwrap();
    assert_eq!(value("approval"), Value::Text("Approved".into()));
    assert_eq!(value("year"), Value::Number(2026));
    assert_eq!(value("shot"), Value::Date("2026-03-01".parse().unwrap()));
    assert_eq!(value("cleared"), Value::Boolean(true));
    assert_eq!(
        value("keywords"),
        Value::Keywords(vec!["fair".into(), "hall".into()])
    );
    assert!(matches!(value("title"), Value::LocalizedText(texts) if texts["de"] == "Halle"));
    assert!(matches!(
        flow.availability,
        Some(AvailabilityConfig::Dated {
            from: Some(_),
            to: None
        })
    ));
}

#[test]
fn a_flag_beats_the_environment_beats_the_file_beats_the_default() {
    let environment = [
        ("WINDLASS__LIMITS__MEMORY", "1GiB"),
        ("WINDLASS__LIMITS__TRANSFERS", "4"),
    ];
    let layered = load_text(GOOD, &["limits.memory=2GiB"], &environment).unwrap();
    assert_eq!(layered.config.limits.memory, ByteSize(2 << 30));
    assert_eq!(layered.config.limits.transfers, 4);
    let origins: BTreeMap<String, String> = layered
        .lines()
        .unwrap()
        .into_iter()
        .map(|(key, _, origin)| (key, origin.to_string()))
        .collect();
    assert_eq!(origins["limits.memory"], "--set");
    assert_eq!(origins["limits.transfers"], "$WINDLASS__LIMITS__TRANSFERS");
    assert_eq!(origins["endpoint.agencies.app_key"], "windlass.toml");
    assert_eq!(origins["limits.tries"], "default");
}

#[test]
fn what_is_shown_reads_back_as_the_same_configuration() {
    let layered = load_text(GOOD, &[], &[]).unwrap();
    let text = toml::to_string(&layered.config).unwrap();
    let again = load_text(&text, &[], &[]).unwrap();
    assert_eq!(toml::to_string(&again.config).unwrap(), text);
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_known_one() {
    assert_eq!(
        refused("[limits]\nmemry = \"1GiB\""),
        "unknown key \"memry\" in [limits] of the configuration (from: windlass.toml) | did you mean \"memory\"?"
    );
    assert_eq!(
        refused("[ledgr]\nfile = \"x\""),
        "unknown key \"ledgr\" at the top level of the configuration (from: windlass.toml) | did you mean \"ledger\"?"
    );
    let inside = refused(&GOOD.replace("app_key", "app_kee"));
    assert!(inside.contains("unknown key \"app_kee\""), "{inside}");
    assert!(inside.contains("did you mean \"app_key\"?"), "{inside}");
}

#[test]
fn an_unknown_kind_is_refused_with_the_nearest_known_one() {
    let text = refused(&GOOD.replace("\"dropbox\"", "\"dropbx\""));
    assert!(text.contains("unknown value \"dropbx\""), "{text}");
    assert!(text.contains("did you mean \"dropbox\"?"), "{text}");
}

#[test]
fn a_wrong_type_names_the_key_and_what_it_takes() {
    let text = refused("[limits]\ntransfers = \"many\"");
    assert!(
        text.starts_with("limits.transfers: invalid type: string \"many\", expected"),
        "{text}"
    );
    let text = refused("[limits]\nmemory = \"lots\"");
    assert!(
        text.starts_with("limits.memory: \"lots\" is not a size"),
        "{text}"
    );
}

#[test]
fn a_secret_in_the_open_is_refused() {
    let text = refused(&GOOD.replace("{ env = \"TOKEN\" }", "\"sl.abc\""));
    assert!(
        text.contains("a reference such as { env = \"NAME\" }"),
        "{text}"
    );
    assert!(
        !text.contains("sl.abc"),
        "the secret is not repeated: {text}"
    );
}

#[test]
fn broken_toml_names_its_line() {
    let text = refused("[limits]\nmemory = \n");
    assert!(
        text.contains("is not TOML") && text.contains("line: 2"),
        "{text}"
    );
}

#[test]
fn limits_that_do_not_fit_each_other_show_the_arithmetic() {
    let text = refused("[limits]\nmemory = \"32MiB\"\ntransfers = 8\nchunk = \"8MiB\"");
    assert!(
        text.contains("8 transfers × 8 MiB a chunk = 64 MiB"),
        "{text}"
    );
    let text = refused("[limits]\nchunk = \"5MiB\"");
    assert!(text.contains("power of two"), "{text}");
    let text = refused("[limits]\nwindow = \"4MiB\"");
    assert!(
        text.contains("limits.window of 4 MiB is below limits.chunk of 8 MiB"),
        "{text}"
    );
}

#[test]
fn a_name_that_refers_to_nothing_is_refused() {
    let text = refused(&GOOD.replace("to = \"dam\"", "to = \"damm\""));
    assert!(
        text.contains("there is no endpoint named \"damm\""),
        "{text}"
    );
    assert!(text.contains("did you mean \"dam\"?"), "{text}");
    let layered = load_text(GOOD, &[], &[]).unwrap();
    let error = layered.config.flow("aproved").unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert_eq!(error.hint(), Some("did you mean \"approved\"?"));
}

#[test]
fn a_plugin_names_exactly_one_of_file_and_source() {
    let with = |plugin: &str| refused(&format!("[plugin.p]\n{plugin}"));
    assert!(with("digest = \"00\"").contains("neither a file nor a source folder"));
    assert!(with("file = \"a\"\nsource = \"b\"").contains("both a file and a source folder"));
    assert!(with("file = \"a\"\ndigest = \"00\"").contains("not a digest of 64 hex digits"));
}

#[test]
fn a_missing_secret_says_which_variable_to_set() {
    let reference = SecretRef::Env("WINDLASS_TEST_NO_SUCH_VARIABLE".into());
    let error = reference
        .read("endpoint.a.api_key", Path::new(""))
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unauthenticated);
    assert!(error.to_string().contains("endpoint.a.api_key"));
    assert!(
        error
            .hint()
            .unwrap()
            .contains("export WINDLASS_TEST_NO_SUCH_VARIABLE=")
    );
}

#[test]
fn what_watch_is_told_is_understood_flow_by_flow() {
    let text = r#"
[watch]
time_zone = "Europe/Vienna"
windows = ["20:00-06:00 at most 200 Mbit/s", "06:00-20:00 off"]
sweep = 5
[watch.flow.approved]
schedule = ["0 20 * * 1-5", "0 6 * * 6 America/New_York"]
priority = "high"
poll = 2
"#;
    let layered = load_text(&format!("{GOOD}{text}"), &[], &[]).unwrap();
    let watch = &layered.config.watch;
    assert_eq!(watch.schedule_of("approved").unwrap().len(), 2);
    assert!(watch.schedule_of("other").unwrap().is_empty());
    assert_eq!(watch.poll_of("approved").as_secs(), 2);
    assert_eq!(watch.poll_of("other").as_secs(), 15);
    assert_eq!(watch.sweep_of("approved").as_secs(), 300);
    assert!(watch.own_windows("approved").is_none());
    let noon = "2026-07-01T10:00:00Z".parse().unwrap();
    let allowance = watch.windows_of("approved").unwrap().at(noon);
    assert_eq!(allowance.rate, windlass_flow::daemon::Rate::Off);
    assert_eq!(
        allowance.until,
        Some("2026-07-01T18:00:00Z".parse().unwrap())
    );
}

#[test]
fn what_watch_cannot_be_told_is_refused_with_the_key() {
    for (text, expected) in [
        (
            "[watch.flow.aproved]",
            "watch.flow.aproved: there is no flow named \"aproved\"; did you mean \"approved\"?",
        ),
        (
            "[watch.flow.approved]\nschedule = [\"0 20 * *\"]",
            "watch.flow.approved.schedule: \"0 20 * *\" is no schedule",
        ),
        (
            "[watch.flow.approved]\nwindows = [\"20:00-6 off\"]",
            "watch.flow.approved.windows: \"20:00-6 off\" is no window: \"6\" is not a time",
        ),
        (
            "[watch]\ntime_zone = \"Europe/Wien\"",
            "watch.time_zone: there is no time zone \"Europe/Wien\"",
        ),
        (
            "[watch]\ndrain = 90",
            "watch.drain is 90; it must be from 1 to 60",
        ),
        (
            "[watch]\nat_once = 0",
            "watch.at_once is 0; it must be from 1 to 64",
        ),
        (
            "[watch.flow.approved]\npoll = 0",
            "watch.flow.approved.poll is 0",
        ),
        (
            "[watch]\ndropbox_hooks = { agences = { env = \"S\" } }",
            "watch.dropbox_hooks.agences: there is no endpoint",
        ),
        (
            "[watch]\ncelum_hooks = { dam = \"geheim\" }",
            "a secret is never written here",
        ),
        ("[watch]\nlisten = \"8787\"", "watch.listen"),
        (
            "[watch.flow.approved]\nprio = \"high\"",
            "unknown key \"prio\"",
        ),
    ] {
        let said = refused(&format!("{GOOD}\n{text}")).replace(" | ", "; ");
        assert!(said.contains(expected), "{text}: {said}");
        assert!(!said.contains("geheim"));
    }
}
