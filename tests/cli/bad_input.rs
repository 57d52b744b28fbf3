//! What people get wrong, and what breaks: one clear sentence, a hint, the right exit status.

use std::fs;
use std::path::Path;

use crate::program::{Finished, Served, run, windlass};

/// A configuration against a served sandbox; `{…}` of `more` are filled in like the rest.
pub(crate) fn config(served: &Served, more: &str) -> String {
    let at = |name: &str| served.endpoints[name].as_str().unwrap().to_owned();
    format!(
        r#"
[endpoint.agencies]
kind = "dropbox"
app_key = "{app_key}"
app_secret = {{ env = "DROPBOX_APP_SECRET" }}
refresh_token = {{ env = "DROPBOX_REFRESH_TOKEN" }}
api_url = "{api}"
content_url = "{content}"
notify_url = "{notify}"

[endpoint.dam]
kind = "celum"
api_root = "{api_root}"
api_key = {{ env = "CELUM_API_KEY" }}
correlation_field = "windlassCorrelation"

[flow.in]
kind = "ingest"
from = "agencies"
to = "dam"
root = "/Agencies"
collection = "/Drop Zone"
asset_type = "document"
{more}
"#,
        app_key = at("dropbox_app_key"),
        api = at("dropbox_api"),
        content = at("dropbox_content"),
        notify = at("dropbox_notify"),
        api_root = at("celum_api_root"),
    )
}

/// Runs with the sandbox's credentials in the environment.
pub(crate) fn run_on(served: &Served, dir: &Path, args: &[&str]) -> Finished {
    let at = |name: &str| served.endpoints[name].as_str().unwrap().to_owned();
    crate::program::finish(
        windlass(dir)
            .args(args)
            .env("DROPBOX_APP_SECRET", at("dropbox_app_secret"))
            .env("DROPBOX_REFRESH_TOKEN", at("dropbox_refresh_token"))
            .env("CELUM_API_KEY", at("celum_api_key")),
    )
}

fn write(dir: &Path, text: &str) {
    fs::write(dir.join("windlass.toml"), text).unwrap();
}

/// What the program says on stderr when it refuses to run.
fn refused(dir: &Path, args: &[&str]) -> String {
    let finished = run(dir, args).expect(2);
    assert_eq!(
        finished.stdout, "",
        "nothing is on stdout when it cannot run"
    );
    finished.stderr
}

#[test]
fn no_configuration_says_how_to_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let said = refused(dir.path(), &["run", "in"]);
    insta::assert_snapshot!(said);
}

#[test]
fn a_mistyped_key_is_answered_with_the_nearest_one() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "[limits]\nmemroy = \"1GiB\"\n");
    insta::assert_snapshot!(refused(dir.path(), &["config", "check"]));
}

#[test]
fn a_wrong_type_names_the_key() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "[limits]\ntransfers = \"many\"\n");
    insta::assert_snapshot!(refused(dir.path(), &["config", "check"]));
}

#[test]
fn a_flow_that_is_not_there_is_answered_with_those_that_are() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        "[endpoint.a]\nkind = \"local\"\nroot = \".\"\n[endpoint.b]\nkind = \"local\"\nroot = \".\"\n\
         [flow.masters]\nkind = \"ingest\"\nfrom = \"a\"\nto = \"b\"\ncollection = \"/x\"\n",
    );
    insta::assert_snapshot!(refused(dir.path(), &["plan", "mastres"]));
}

#[test]
fn a_missing_credential_names_the_variable() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    write(dir.path(), &config(&served, ""));
    let said = refused(dir.path(), &["plan", "in"]);
    insta::assert_snapshot!(said);
}

#[test]
fn a_wrong_credential_ends_the_command_and_is_not_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    write(dir.path(), &config(&served, ""));
    let at = |name: &str| served.endpoints[name].as_str().unwrap().to_owned();
    let finished = crate::program::finish(
        windlass(dir.path())
            .args(["plan", "in"])
            .env("DROPBOX_APP_SECRET", at("dropbox_app_secret"))
            .env("DROPBOX_REFRESH_TOKEN", "revoked-by-its-owner")
            .env("CELUM_API_KEY", at("celum_api_key")),
    )
    .expect(2);
    assert!(finished.stderr.contains("hint:"), "{}", finished.stderr);
    assert!(
        !finished.stderr.contains("revoked-by-its-owner"),
        "{}",
        finished.stderr
    );
}

#[test]
fn a_folder_that_does_not_exist_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    write(dir.path(), &config(&served, ""));
    let finished = run_on(&served, dir.path(), &["plan", "in"]).expect(2);
    assert!(finished.stderr.contains("/Agencies"), "{}", finished.stderr);
}

#[test]
fn a_field_that_the_tenant_does_not_have_holds_the_asset_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--fill", "small"]);
    let flow = "[flow.in.select]\nextensions = [\"pdf\"]\n[flow.in.set]\nyeer = 2026\n";
    write(dir.path(), &config(&served, flow));
    let plan = run_on(&served, dir.path(), &["plan", "in", "--json"]).expect(0);
    let held: Vec<_> = plan
        .records("step")
        .into_iter()
        .filter(|step| step["action"] == "hold")
        .collect();
    assert!(!held.is_empty(), "{}", plan.stdout);
    let reason = held
        .iter()
        .filter_map(|step| step["reason"].as_str())
        .find(|r| r.contains("yeer"));
    assert!(
        reason.is_some_and(|r| r.contains("there is no such field")),
        "{held:?}"
    );
}

#[test]
fn an_option_that_the_tenant_does_not_have_is_named_with_its_field() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--fill", "small"]);
    let text = config(
        &served,
        "[flow.in.select]\nextensions = [\"pdf\"]\n[flow.in.set]\napproval = \"Aproved\"\n",
    )
    .replace(
        "asset_type = \"document\"",
        "asset_type = \"campaignAsset\"",
    );
    write(dir.path(), &text);
    let plan = run_on(&served, dir.path(), &["plan", "in"]).expect(0);
    assert!(
        plan.stdout
            .contains("field \"approval\": there is no option \"Aproved\""),
        "{}",
        plan.stdout
    );
}

#[test]
fn a_plugin_that_is_no_component_is_refused_before_anything_moves() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--fill", "small"]);
    fs::write(dir.path().join("rules.wasm"), b"this is no component").unwrap();
    let text = config(
        &served,
        "plugin = \"rules\"\n[plugin.rules]\nfile = \"rules.wasm\"\n",
    );
    write(dir.path(), &text);
    let finished = run_on(&served, dir.path(), &["run", "in"]).expect(2);
    assert!(finished.stderr.contains("component"), "{}", finished.stderr);
    let inspected = run(dir.path(), &["plugin-inspect", "rules.wasm"]);
    assert_ne!(inspected.code, Some(0));
}

#[test]
fn a_corrupted_ledger_is_refused_and_left_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    write(dir.path(), &config(&served, ""));
    let garbage = vec![0x5a_u8; 64 << 10];
    fs::write(dir.path().join("windlass.db"), &garbage).unwrap();
    for command in [["status"].as_slice(), &["run", "in"]] {
        let finished = run_on(&served, dir.path(), command).expect(2);
        assert!(
            finished.stderr.contains("windlass.db"),
            "{}",
            finished.stderr
        );
        assert!(finished.stderr.contains("hint:"), "{}", finished.stderr);
    }
    assert!(fs::read(dir.path().join("windlass.db")).unwrap() == garbage);
}

#[test]
fn a_report_on_an_unknown_run_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "");
    drop(run(dir.path(), &["status"]));
    let said = run(dir.path(), &["report", "not-an-id"]).expect(2).stderr;
    insta::assert_snapshot!(said);
}

#[test]
fn a_sandbox_fault_that_nobody_knows_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let said = refused(dir.path(), &["sandbox", "--dropbox-faults", "do=explode"]);
    assert!(
        said.contains("--dropbox-faults") && said.contains("explode"),
        "{said}"
    );
}
