//! What the program says about itself.

use crate::program::run;

#[test]
fn help_is_grouped_by_subject_and_names_the_exit_statuses() {
    let dir = tempfile::tempdir().unwrap();
    let help = run(dir.path(), &["--help"]).expect(0);
    insta::assert_snapshot!(help.stdout);
    assert_eq!(help.stderr, "");
}

#[test]
fn a_mistyped_command_is_refused_with_the_nearest_one() {
    let dir = tempfile::tempdir().unwrap();
    let refused = run(dir.path(), &["docter"]).expect(2);
    assert!(
        refused
            .stderr
            .contains("a similar subcommand exists: 'doctor'"),
        "{}",
        refused.stderr
    );
    assert_eq!(refused.stdout, "");
}

#[test]
fn the_schema_of_the_configuration_is_json_and_names_every_table() {
    let dir = tempfile::tempdir().unwrap();
    let schema = run(dir.path(), &["config", "schema"]).expect(0);
    let schema: serde_json::Value = serde_json::from_str(&schema.stdout).unwrap();
    for table in ["ledger", "limits", "endpoint", "plugin", "flow"] {
        assert!(schema["properties"][table].is_object(), "{table}");
    }
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::Stdio;
    let dir = tempfile::tempdir().unwrap();
    let mut child = crate::program::windlass(dir.path())
        .args(["config", "schema"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}
