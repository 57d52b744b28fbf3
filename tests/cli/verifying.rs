//! `windlass verify` of a flow out of a library, through the real binary: what people and rights did meanwhile is named,
//! and the exit status says whether somebody has to look.

use std::path::Path;

use windlass_sandbox::celum::{Availability, Profile};
use windlass_sandbox::{Sandbox, SandboxOptions};

use crate::program::{Finished, run};

/// The names of files with how they stand, and the audit.
fn verify(dir: &Path, more: &[&str], code: i32) -> (Vec<(String, String)>, serde_json::Value) {
    let all = [&["verify", "press", "--json"], more].concat();
    let said: Finished = run(dir, &all).expect(code);
    let text = |file: &serde_json::Value, key: &str| file[key].as_str().unwrap().to_owned();
    let files = said.records("file");
    let mut named: Vec<_> = files
        .iter()
        .map(|file| (text(file, "path"), text(file, "standing")))
        .collect();
    named.sort();
    (named, said.records("audit").remove(0))
}

fn configure(dir: &Path, sandbox: &Sandbox) {
    let at = sandbox.endpoints();
    std::fs::write(dir.join("profile.toml"), "indexLag = 0\nrange = true\n").unwrap();
    std::fs::write(dir.join("key"), &at.celum_api_key).unwrap();
    let text = format!(
        r#"
[endpoint.nas]
kind = "local"
root = "nas"

[endpoint.share]
kind = "local"
root = "share"

[endpoint.dam]
kind = "celum"
api_root = "{}"
api_key = {{ file = "key" }}
profile = "profile.toml"

[flow.in]
kind = "ingest"
from = "nas"
to = "dam"
root = "/"
collection = "/Brand Library/Alpine"
asset_type = "campaignAsset"
availability = true
set = {{ campaignId = "CMP-2041", approval = "Approved" }}

[flow.press]
kind = "publish"
from = "dam"
to = "share"
root = "/Press"
collection = "/Brand Library/Alpine"
where = {{ approval = "Approved" }}
rights = {{ audience = "press" }}
withdraw = {{ quarantine = "/Kept", notes = true }}
"#,
        at.celum_api_root
    );
    std::fs::write(dir.join("windlass.toml"), text).unwrap();
    std::fs::create_dir_all(dir.join("nas")).unwrap();
    std::fs::create_dir_all(dir.join("share")).unwrap();
    for name in ["edited", "off", "same"] {
        std::fs::write(dir.join(format!("nas/{name}.jpg")), name).unwrap();
    }
}

fn is(named: &[(String, String)], expected: &[(&str, &str)]) {
    let named: Vec<(&str, &str)> = named
        .iter()
        .map(|(path, standing)| (path.as_str(), standing.as_str()))
        .collect();
    assert_eq!(named, expected);
}

#[test]
fn a_publish_flow_is_verified_by_what_rights_and_people_made_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let options = SandboxOptions {
        celum_profile: Profile {
            index_lag: 0,
            preview_delay: 0,
            range: true,
            ..Profile::default()
        },
        ..SandboxOptions::default()
    };
    let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
    let dir = dir.path();
    configure(dir, &sandbox);
    sandbox
        .celum()
        .ensure_collection("Brand Library/Alpine")
        .unwrap();
    run(dir, &["run", "in"]).expect(0);
    let (named, audit) = verify(dir, &[], 0);
    is(
        &named,
        &[
            ("/Press/edited.jpg", "pending"),
            ("/Press/off.jpg", "pending"),
            ("/Press/same.jpg", "pending"),
        ],
    );
    assert_eq!(audit["at_source"], 3);
    run(dir, &["run", "press"]).expect(0);
    let (_, audit) = verify(dir, &["--deep"], 0);
    assert_eq!(audit["standings"]["same"]["files"], 3);
    assert_eq!(audit["read_back"]["files"], 3);

    // Rights end: it is visible until a run has taken it back.
    let assets = sandbox.celum().assets();
    let off = assets
        .iter()
        .find(|asset| asset.filename == "off.jpg")
        .unwrap();
    let ended = Availability::Direct(false);
    sandbox.celum().set_availability(off.id, &ended).unwrap();
    let (named, _) = verify(dir, &[], 1);
    assert_eq!(named[1], ("/Press/off.jpg".into(), "overdue".into()));
    run(dir, &["run", "press"]).expect(0);
    std::fs::write(dir.join("share/Press/edited.jpg"), "by somebody else").unwrap();
    std::fs::write(dir.join("share/Press/theirs.txt"), "theirs").unwrap();
    let (named, audit) = verify(dir, &[], 1);
    is(
        &named,
        &[
            ("/Press/edited.jpg", "edited"),
            ("/Press/off.jpg", "withdrawn"),
            ("/Press/off.jpg - withdrawn.txt", "document"),
            ("/Press/same.jpg", "same"),
            ("/Press/theirs.txt", "extra"),
        ],
    );
    assert_eq!(audit["unexplained"], 0);
    let said = run(dir, &["verify", "press"]).expect(1);
    for part in [
        "3 files to be delivered, 4 at the sink",
        "edited: its copy /Press/edited.jpg was changed by people; both are kept",
        "withdrawn: rights do not allow it any more: it is switched off",
        "every file has one name",
    ] {
        assert!(said.stdout.contains(part), "{part:?}:\n{}", said.stdout);
    }
    let refused = run(dir, &["verify", "press", "--within", "/Press"]);
    assert!(
        refused
            .stderr
            .contains("--within is for flows that bring something in")
    );
    runtime.block_on(sandbox.shutdown());
}
