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
async fn every_case_of_the_shipped_plugin_holds() {
    let files = case_files(&plugin_crate("folder-metadata").join("cases")).unwrap();
    let host = PluginHost::new(small()).unwrap();
    let component = component("folder-metadata");
    let tested = host.test(&component, &files, false).await.unwrap();
    let mut held = 0;
    for file in &tested {
        for outcome in outcomes(file) {
            assert_eq!(*outcome, CaseOutcome::Holds, "{file:?}");
            held += 1;
        }
    }
    assert!(held >= 15, "only {held} cases ran");
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
        name = "a hold that nobody expects"
        path = "/bad-date"
        expect.fields.date = "2025-02-30"
        [[case]]
        name = "rules are compared where they are given"
        path = "/c"
        expect = { fields = { path = "/c" }, rules = { path = "as I like" } }
        [[case]]
        name = "the same"
        path = "/d"
        expect = { fields = { path = "/d" }, rules = { path = "as told" }, findings = [] }
        [[case]]
        name = "part of a hold's reason"
        path = "/nan"
        expect.hold = "is NaN, which is no number"
    "#;
    let tested = test(folder.path(), text, false).await;
    let wanted = [
        differs(
            "- name = \"b\"\n- fields.\"odd.key\" = 1\n- fields.path = \"/b\"\n+ fields.path = \"/a\"\n",
        ),
        differs("- hold = \"unknown\"\n+ fields.path = \"/b\"\n"),
        differs(
            "- fields.date = \"2025-02-30\"\n\
             + hold = 'the plugin answered nonsense: field \"date\" is 2025-02-30, which is no day'\n  \
             # held by: contract: values\n",
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
expect.fields = { path = "/other" } # goes with what it was about

[[case]]   # kept as well
name = "has a table of its own"
path = "/c"
[case.expect]
name = "no such name"
[case.expect.fields]
path = "/other"
[case.expect.rules]
path = "other"

[[case]]
name = "holds"
path = "/today"
expect = { fields = { day = "2026-05-06" } }
"#;
    let tested = test(folder.path(), text, true).await;
    for outcome in &outcomes(&tested)[..3] {
        assert!(
            matches!(outcome, CaseOutcome::Blessed { .. }),
            "{outcome:?}"
        );
    }
    assert_eq!(*outcomes(&tested)[3], CaseOutcome::Holds);
    let written = fs::read_to_string(folder.path().join("cases.toml")).unwrap();
    let wanted = r#"# Kept: what the file is about.
today = 2026-05-06

[[case]]
name = "expects nothing yet" # kept
path = "/a"
expect.fields.path = "/a"

[[case]]
name = "expects it in one line"
path = "/b"
expect.fields.path = "/b"

[[case]]   # kept as well
name = "has a table of its own"
path = "/c"
[case.expect]
[case.expect.fields]
path = "/c"
[case.expect.rules]
path = "as told"

[[case]]
name = "holds"
path = "/today"
expect = { fields = { day = "2026-05-06" } }
"#;
    assert_eq!(written, wanted);
    let left: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
    assert_eq!(left.len(), 1, "{left:?}");
    let again = test(folder.path(), &written, false).await;
    assert_eq!(outcomes(&again), [&CaseOutcome::Holds; 4]);
}

#[tokio::test]
async fn the_failure_of_a_plugin_is_never_blessed() {
    let folder = tempfile::tempdir().unwrap();
    let text = ["trap", "spin", "twice"]
        .map(|how| format!("[[case]]\nname = \"{how}\"\npath = \"/{how}\"\n"))
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
            &format!("config = {{ configure = 'refuse' }}\n{case}"),
            "refuses its configuration: key \"configure\": told to refuse",
        ),
        (
            &format!("config = {{ configure = 'trap' }}\n{case}"),
            "told to trap while configured",
        ),
        (
            "case = [{ name = 'a', path = '/a' }]",
            "as [[case]] to have them blessed",
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
