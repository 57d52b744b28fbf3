//! Cases in files, run against components: what differs is shown, what is blessed is written.

use std::fs;

use super::*;
use crate::{CaseOutcome, TestedFile, case_files};

/// Writes a file of cases and runs it against the guest that answers with the path, or misbehaves.
async fn test(folder: &Path, text: &str, bless: bool) -> TestedFile {
    fs::write(folder.join("cases.toml"), text).unwrap();
    let files = case_files(folder).unwrap();
    let host = PluginHost::new(small()).unwrap();
    let mut tested = host.test(misbehaving(), &files, bless).await.unwrap();
    assert_eq!(tested.len(), 1);
    tested.remove(0)
}

fn outcomes(tested: &TestedFile) -> Vec<&CaseOutcome> {
    assert_eq!(tested.problem, None);
    tested.cases.iter().map(|case| &case.outcome).collect()
}

fn differs(lines: &str) -> CaseOutcome {
    let difference = lines.to_owned();
    CaseOutcome::Differs { difference }
}

#[tokio::test]
async fn every_case_of_the_shipped_plugins_holds() {
    let host = PluginHost::new(small()).unwrap();
    for (name, cases_min) in [
        ("folder-metadata", 15),
        ("rights-window", 20),
        ("market-router", 20),
    ] {
        let files = case_files(&plugin_crate(name).join("cases")).unwrap();
        let tested = host.test(&component(name), &files, false).await.unwrap();
        let mut held = 0;
        for file in &tested {
            for outcome in outcomes(file) {
                assert_eq!(*outcome, CaseOutcome::Holds, "{file:?}");
                held += 1;
            }
        }
        assert!(held >= cases_min, "only {held} cases of {name} ran");
    }
}

#[tokio::test]
async fn what_differs_is_shown_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
        [[case]]
        name = "another value and another name"
        path = "/a"
        expect = { name = "b", fields = { path = "/b", "odd.key" = 1 } }
        [[case]]
        name = "a hold that does not come"
        path = "/b"
        expect.hold = "unknown"
        [[case]]
        name = "a failure that is what it says"
        path = "/bad-date"
        expect.hold = "which is no day"
        [[case]]
        name = "rules are compared where they are given"
        path = "/c"
        expect = { fields = { path = "/c" }, rules = { path = "as I like" } }
        [[case]]
        name = "the same"
        path = "/d"
        expect = { fields = { path = "/d" }, rules = { path = "as told" }, findings = [] }
        [[case]]
        name = "a day as TOML writes it"
        path = "/today"
        expect.fields.day = 2026-01-01
    "#;
    let tested = test(folder.path(), text, false).await;
    let wanted = [
        differs(
            "- name = \"b\"\n- fields.\"odd.key\" = 1\n- fields.path = \"/b\"\n+ fields.path = \"/a\"\n",
        ),
        differs("- hold = \"unknown\"\n+ fields.path = \"/b\"\n"),
        differs(
            "- hold = \"which is no day\"\n\
             + hold = 'the plugin answered nonsense: field \"date\" is 2025-02-30, which is no day'\n  \
             # the plugin failed (contract: values), which no case can expect\n",
        ),
        differs(
            "  fields.path = \"/c\"\n- rules.path = \"as I like\"\n+ rules.path = \"as told\"\n",
        ),
        CaseOutcome::Holds,
        CaseOutcome::Holds,
    ];
    assert_eq!(outcomes(&tested), wanted.iter().collect::<Vec<_>>());
}

#[tokio::test]
async fn blessing_writes_what_came_and_leaves_the_rest_as_its_author_wrote_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"# Kept: what the file is about.
today = 2026-05-06

[[case]]
name = "expects nothing yet" # kept
path = "/a"

[[case]]
name = "expects it in one line"
path = "/b"
expect.fields = { path = "/other" } # kept

[[case]]   # kept
name = "expects it in a line more"
path = "/b2"
# kept
expect = { fields = { path = "/other" }, findings = [] } # kept

[[case]]
name = "has a table of its own"
path = "/c"
# kept
[case.expect] # kept
name = "no such name" # goes with what it was about
findings = [
  # kept
]
# kept
[case.expect.fields]
path = "/other" # kept
[case.expect.rules]
path = 'as told' # kept

[[case]]
name = "expects a mapping that does not come"
path = "/empty"
expect.hold = "something"

[[case]]
name = "holds"
path = "/today"
expect = { fields = { day = "2026-05-06" } }
"#;
    let wanted = text
        .replace(
            "path = \"/a\"\n",
            "path = \"/a\"\nexpect.fields.path = \"/a\"\n",
        )
        .replace("{ path = \"/other\" } # kept", "{ path = \"/b\" } # kept")
        .replace("{ path = \"/other\" }, ", "{ path = \"/b2\" }, ")
        .replace(
            "name = \"no such name\" # goes with what it was about\n",
            "",
        )
        .replace("path = \"/other\" # kept", "path = \"/c\" # kept")
        .replace(
            "expect.hold = \"something\"",
            "expect.fields.path = \"/empty\"",
        );
    for (before, after) in [
        (text.to_owned(), wanted.clone()),
        (text.replace('\n', "\r\n"), wanted.replace('\n', "\r\n")),
        (format!("\u{feff}{text}"), format!("\u{feff}{wanted}")),
    ] {
        let tested = test(folder.path(), &before, true).await;
        let [changed @ .., last] = &*outcomes(&tested) else {
            panic!("{tested:?}");
        };
        for outcome in changed {
            assert!(
                matches!(outcome, CaseOutcome::Blessed { .. }),
                "{outcome:?}"
            );
        }
        assert_eq!(**last, CaseOutcome::Holds);
        let written = fs::read_to_string(folder.path().join("cases.toml")).unwrap();
        assert_eq!(written, after);
        let again = test(folder.path(), &written, true).await;
        assert_eq!(outcomes(&again), [&CaseOutcome::Holds; 6]);
        let untouched = fs::read_to_string(folder.path().join("cases.toml")).unwrap();
        assert_eq!(untouched, written);
    }
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[tokio::test]
async fn a_mapping_that_assigns_nothing_is_blessed_as_one_and_findings_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"[config]
templates = ['/{client}']
[config.capture.client]
table = "clients"
unknown = "leave-out"
[tables.clients]
ACME = "Acme"

[[case]]
name = "was held"
path = "/X/a.tif"
expect.hold = "something"
"#;
    let file = folder.path().join("cases.toml");
    fs::write(&file, text).unwrap();
    let host = PluginHost::new(small()).unwrap();
    let component = component("folder-metadata");
    let files = [file.clone()];
    host.test(&component, &files, true).await.unwrap();
    let written = fs::read_to_string(&file).unwrap();
    let wanted = "expect.findings = ['{client}: the code \"X\" is not in the table clients']";
    assert!(written.contains(wanted), "{written}");
    // Now without a finding to expect: what is left is an empty mapping.
    let known = written
        .replace("/X/a", "/ACME/a")
        .replace(wanted, "expect.name = \"other\"");
    fs::write(&file, known).unwrap();
    host.test(&component, &files, true).await.unwrap();
    let written = fs::read_to_string(&file).unwrap();
    assert!(written.ends_with("expect = {}\n"), "{written}");
    let tested = host.test(&component, &files, false).await.unwrap();
    assert_eq!(outcomes(&tested[0]), [&CaseOutcome::Holds]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_blessed_file_stays_a_link_keeps_its_permissions_and_is_not_written_if_it_may_not_be() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let (folder, real) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (link, file) = (folder.path().join("cases.toml"), real.path().join("real"));
    let text = "[[case]]\nname = 'a'\npath = '/a'\n";
    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    symlink(&file, &link).unwrap();
    let tested = test(folder.path(), text, true).await;
    assert!(matches!(outcomes(&tested)[0], CaseOutcome::Blessed { .. }));
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    assert!(
        fs::read_to_string(&file)
            .unwrap()
            .ends_with("expect.fields.path = \"/a\"\n")
    );
    assert_eq!(
        fs::metadata(&file).unwrap().permissions().mode() & 0o777,
        0o640
    );

    fs::write(&file, text).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
    let host = PluginHost::new(small()).unwrap();
    let tested = host.test(misbehaving(), &[link], true).await.unwrap();
    let problem = tested[0].problem.as_deref();
    assert_eq!(problem, Some("it cannot be written: it is read-only"));
    let [case] = tested[0].cases.as_slice() else {
        panic!("{tested:?}");
    };
    assert!(matches!(case.outcome, CaseOutcome::Differs { .. }));
    assert_eq!(fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn what_cannot_be_blessed_is_shown_and_left() {
    let folder = tempfile::tempdir().unwrap();
    for (text, part) in [
        (
            "case = [{ name = 'a', path = '/a' }]",
            "as [[case]] to have them blessed",
        ),
        (
            "[[case]]\r\nname = 'a'\npath = '/a'\n",
            "its lines end in two ways",
        ),
    ] {
        let tested = test(folder.path(), text, true).await;
        let problem = tested.problem.as_deref().unwrap_or_default();
        assert!(problem.contains(part), "{tested:?}");
        assert!(matches!(
            tested.cases[0].outcome,
            CaseOutcome::Differs { .. }
        ));
        let kept = fs::read_to_string(folder.path().join("cases.toml")).unwrap();
        assert_eq!(kept, text);
    }
}

#[tokio::test]
async fn the_failure_of_a_plugin_is_never_what_was_expected_and_never_blessed() {
    let folder = tempfile::tempdir().unwrap();
    let text = ["trap", "spin", "twice"]
        .map(|how| {
            format!("[[case]]\nname = \"{how}\"\npath = \"/{how}\"\nexpect.hold = \"plugin\"\n")
        })
        .concat();
    let tested = test(folder.path(), &text, true).await;
    for outcome in outcomes(&tested) {
        assert!(
            matches!(outcome, CaseOutcome::Differs { .. }),
            "{outcome:?}"
        );
    }
    let written = fs::read_to_string(folder.path().join("cases.toml")).unwrap();
    assert_eq!(written, text);
}

#[tokio::test]
async fn a_file_that_cannot_be_run_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let case = "[[case]]\nname = 'a'\npath = '/a'\n";
    for (text, part) in [
        ("", "it has no [[case]]"),
        ("[[case]]\nname = 'a'", "missing field `path`"),
        (
            "[[case]]\nname = 'a'\npath = 'a'",
            "\"a\" is no path of a file",
        ),
        (
            "[[case]]\nname = 'a'\npath = '/a/'",
            "\"/a/\" is no path of a file",
        ),
        (&format!("{case}{case}"), "two cases are called \"a\""),
        (
            &format!("{case}modified = 'noon'"),
            "case \"a\": modified = \"noon\" is no time",
        ),
        (
            &format!("today = 12:00:00\n{case}"),
            "today = 12:00:00 is no day",
        ),
        (&format!("{case}expects = 1"), "unknown field `expects`"),
        (
            &format!("{case}expect.feilds = {{}}"),
            "unknown field `feilds`",
        ),
        (
            &format!("{case}expect = {{ hold = 'x', name = 'y' }}"),
            "case \"a\": a hold has no mapping to expect as well",
        ),
        (
            &format!("config = {{ a = nan }}\n{case}"),
            "key \"a\" is NaN, which no plugin can be told",
        ),
        (
            &format!("config = {{ configure = 'refuse' }}\n{case}"),
            "refuses its configuration: key \"configure\": told to refuse",
        ),
        (
            &format!("config = {{ configure = 'trap' }}\n{case}"),
            "told to trap while configured",
        ),
        (
            "[[case]]\nname = \"a\\nb\"\npath = '/a'",
            "its name is not one line",
        ),
        (
            &format!("{case}expect.hold = ' '"),
            "is part of every reason",
        ),
        (
            &format!("today = 2026-03-04T10:00:00\n{case}"),
            "today = 2026-03-04T10:00:00 is no day",
        ),
    ] {
        let tested = test(folder.path(), text, true).await;
        let problem = tested.problem.as_deref().unwrap_or_default();
        assert!(problem.contains(part), "{text}\n{tested:?}");
        assert!(tested.cases.is_empty());
        let kept = fs::read_to_string(folder.path().join("cases.toml")).unwrap();
        assert_eq!(kept, text);
    }
}

#[tokio::test]
async fn a_folder_without_cases_or_a_component_that_is_none_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    for folder in [folder.path(), &folder.path().join("missing")] {
        let error = case_files(folder).unwrap_err();
        assert_eq!(error.kind(), windlass_core::Kind::NotFound);
    }
    let file = folder.path().join("cases.toml");
    fs::write(&file, "[[case]]\nname = 'a'\npath = '/a'\n").unwrap();
    let host = PluginHost::new(small()).unwrap();
    let error = host
        .test(&file, std::slice::from_ref(&file), false)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), windlass_core::Kind::InvalidInput);
}

#[tokio::test]
async fn what_no_case_of_a_localization_plugin_fills_can_be_expected() {
    let folder = tempfile::tempdir().unwrap();
    let file = |gaps: &str| {
        format!(
            "hook = 'localization'\ngaps = [{gaps}]\n[[markets]]\ncode = 'CH'\n\
             languages = ['de', 'fr']\nchannels = ['web']\n[[case]]\nname = 'a'\npath = '/a.tif'\n\
             expect.appears = ['CH de web /CH/a.tif']\n"
        )
    };
    let tested = test(folder.path(), &file("'a: CH fr web'"), false).await;
    assert_eq!(outcomes(&tested), [&CaseOutcome::Holds]);
    let tested = test(folder.path(), &file(""), false).await;
    let problem = tested.problem.unwrap();
    assert!(
        problem.contains("its gaps are [\"a: CH fr web\"]"),
        "{problem}"
    );
}

#[tokio::test]
async fn cases_of_rights_compare_decision_reason_and_end() {
    let folder = tempfile::tempdir().unwrap();
    let text = r#"
        hook = "rights"
        today = 2026-03-04
        [[case]]
        name = "at midnight of today"
        path = "/a.tif"
        expect.allow = "told at 2026-03-04T00:00:00Z"
        [[case]]
        name = "with an end"
        path = "/hour.tif"
        at = 2026-03-04T12:00:00Z
        expect.allow = "told"
        expect.until = "2026-03-04T13:00:00Z"
        [[case]]
        name = "denied, somebody hoped"
        path = "/b.tif"
        expect.deny = "told"
        [[case]]
        name = "a trap is a hold that nobody may expect"
        path = "/trap.tif"
        expect.hold = "told to trap"
    "#;
    let tested = test(folder.path(), text, false).await;
    let outcomes = outcomes(&tested);
    let holds: Vec<bool> = outcomes.iter().map(|o| **o == CaseOutcome::Holds).collect();
    assert_eq!(holds, [true, true, false, false], "{outcomes:?}");
    let wrong = "[[case]]\nname = 'a'\npath = '/a'\naudience = 'all'\n";
    let tested = test(folder.path(), wrong, false).await;
    assert!(
        tested
            .problem
            .unwrap()
            .contains("what only a rights plugin is told")
    );
}
