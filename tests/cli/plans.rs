//! Plan files on the command line: saved, reviewed, signed, carried out, and refused where they must be.

use std::fs;
use std::path::Path;

use crate::program::{Finished, run};

/// Two folders of this machine, and a flow from one to the other.
pub(crate) fn folders(dir: &Path, more: &str) {
    for folder in ["nas", "out"] {
        fs::create_dir_all(dir.join(folder)).unwrap();
    }
    for name in ["a", "b", "c"] {
        fs::write(dir.join(format!("nas/{name}.tif")), name.repeat(1000)).unwrap();
    }
    configure(dir, more, "");
}

fn configure(dir: &Path, of_flow: &str, more: &str) {
    let text = format!(
        r#"
[endpoint.nas]
kind = "local"
root = "nas"
[endpoint.out]
kind = "local"
root = "out"
[flow.move]
kind = "ingest"
from = "nas"
to = "out"
collection = ""
{of_flow}
{more}
"#
    );
    fs::write(dir.join("windlass.toml"), text).unwrap();
}

fn new_key(dir: &Path, file: &str) -> String {
    run(dir, &["key", "new", file])
        .expect(0)
        .stdout
        .trim()
        .to_owned()
}

fn placed(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir.join("out"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

/// Ends with 2, says this, and has placed nothing.
fn refused(dir: &Path, finished: Finished, part: &str) {
    let finished = finished.expect(2);
    assert!(
        finished.stderr.contains(part),
        "{part} in {}",
        finished.stderr
    );
    assert!(finished.stderr.contains("hint:"), "{}", finished.stderr);
    assert_eq!(placed(dir), Vec::<String>::new());
}

#[test]
fn a_plan_that_two_people_signed_is_carried_out_as_it_was_reviewed() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "");
    let keys = [new_key(dir, "lead.pem"), new_key(dir, "legal.pem")];
    let signers = format!(
        "[signers]\nbrand-lead = \"{}\"\nlegal = \"{}\"\n",
        keys[0], keys[1]
    );
    configure(dir, "signatures = 2", &signers);
    refused(
        dir,
        run(dir, &["run", "move"]),
        "runs only by plans with 2 signatures",
    );

    let saved = run(
        dir,
        &["plan", "move", "--save", "p.plan", "--sign", "lead.pem"],
    )
    .expect(0);
    assert!(saved.stdout.contains("saved to p.plan"), "{}", saved.stdout);
    refused(
        dir,
        run(dir, &["run", "--plan", "p.plan"]),
        "has 1 of the 2 signatures",
    );
    run(dir, &["sign", "p.plan", "--key", "legal.pem"]).expect(0);
    let shown = run(dir, &["plan", "--show", "p.plan", "--steps"])
        .expect(0)
        .stdout;
    for part in ["/a.tif", "not placed before", &keys[0], &keys[1], "3"] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let done = run(dir, &["run", "--plan", "p.plan", "--json"]).expect(0);
    assert_eq!(placed(dir), ["a.tif", "b.tif", "c.tif"]);
    let digest = run(dir, &["plan", "--show", "p.plan", "--json"]).expect(0);
    let digest = digest.records("seal").remove(0)["digest"].clone();
    assert_eq!(done.records("run")[0]["origin"]["plan"], digest);
    // Once more: everything in it was done.
    let again = run(dir, &["run", "--plan", "p.plan", "--json"]).expect(0);
    assert_eq!(again.records("difference"), Vec::<serde_json::Value>::new());
}

#[test]
fn a_plan_is_refused_when_the_world_moved_beyond_the_tolerance() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "");
    run(dir, &["plan", "move", "--save", "p.plan"]).expect(0);
    fs::write(dir.join("nas/new.tif"), "new").unwrap();
    fs::write(dir.join("nas/a.tif"), "other bytes").unwrap();
    let against = run(dir, &["plan", "move", "--against", "p.plan"])
        .expect(1)
        .stdout;
    for part in [
        "2 of 3 steps differ",
        "added",
        "/new.tif",
        "changed",
        "/a.tif",
    ] {
        assert!(against.contains(part), "{part} in {against}");
    }
    let strict = run(dir, &["run", "--plan", "p.plan"]);
    assert!(strict.stdout.contains("/new.tif"), "{}", strict.stdout);
    refused(dir, strict, "the world has moved on: 2 steps differ");
    run(dir, &["run", "--plan", "p.plan", "--tolerance", "2"]).expect(0);
    assert_eq!(
        placed(dir),
        ["b.tif", "c.tif"],
        "nothing that was not reviewed"
    );
    // What was left out is for the next plan.
    run(dir, &["run", "move"]).expect(0);
    assert_eq!(placed(dir), ["a.tif", "b.tif", "c.tif", "new.tif"]);
}

#[test]
fn a_plan_edited_cut_short_of_another_ledger_or_signed_by_a_stranger_is_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "");
    let known = new_key(dir, "known.pem");
    new_key(dir, "stranger.pem");
    run(dir, &["plan", "move", "--save", "p.plan"]).expect(0);
    let text = fs::read_to_string(dir.join("p.plan")).unwrap();

    fs::write(dir.join("edited.plan"), text.replace("/b.tif", "/x.tif")).unwrap();
    refused(
        dir,
        run(dir, &["run", "--plan", "edited.plan"]),
        "changed after it was sealed",
    );
    fs::write(dir.join("short.plan"), &text[..text.len() / 2]).unwrap();
    refused(
        dir,
        run(dir, &["run", "--plan", "short.plan"]),
        "changed after it was sealed",
    );
    fs::write(dir.join("odd.plan"), "hello\n").unwrap();
    let odd = run(dir, &["run", "--plan", "odd.plan"]).expect(2);
    assert!(
        odd.stderr.contains("not a file that Windlass sealed"),
        "{}",
        odd.stderr
    );
    let missing = run(dir, &["run", "--plan", "no.plan"]).expect(2);
    assert!(
        missing.stderr.contains("cannot be read"),
        "{}",
        missing.stderr
    );

    configure(dir, "", &format!("[signers]\nlead = \"{known}\"\n"));
    fs::copy(dir.join("p.plan"), dir.join("strange.plan")).unwrap();
    run(dir, &["sign", "strange.plan", "--key", "stranger.pem"]).expect(0);
    refused(
        dir,
        run(dir, &["run", "--plan", "strange.plan"]),
        "signed by a key that is not among [signers]",
    );
    for file in fs::read_dir(dir).unwrap() {
        let file = file.unwrap().path();
        if file
            .file_name()
            .unwrap()
            .to_string_lossy()
            .starts_with("windlass.db")
        {
            fs::remove_file(file).unwrap();
        }
    }
    refused(
        dir,
        run(dir, &["run", "--plan", "p.plan"]),
        "made with another ledger",
    );
}

#[test]
fn a_run_that_would_replace_more_than_the_cap_stops_and_shows_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "max_removals = { count = 1 }");
    run(dir, &["run", "move"]).expect(0);
    for name in ["a", "b"] {
        fs::write(dir.join(format!("nas/{name}.tif")), "new master").unwrap();
    }
    let stopped = run(dir, &["run", "move"]).expect(2);
    let sentence = "would replace or withdraw 2 of 3 placed assets; the cap is 1";
    assert!(stopped.stderr.contains(sentence), "{}", stopped.stderr);
    let saved = run(dir, &["plan", "move", "--save", "p.plan"])
        .expect(0)
        .stdout;
    assert!(
        saved.contains("replaces or withdraws 2 of 3 placed assets"),
        "{saved}"
    );
    run(dir, &["run", "--plan", "p.plan"]).expect(0);
    assert_eq!(fs::read(dir.join("out/a.tif")).unwrap(), b"new master");
}

#[test]
fn nothing_is_overwritten_and_keys_are_for_their_owner() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "");
    let public = new_key(dir, "k.pem");
    assert_eq!(
        run(dir, &["key", "show", "k.pem"]).expect(0).stdout.trim(),
        public
    );
    let again = run(dir, &["key", "new", "k.pem"]).expect(2);
    assert!(again.stderr.contains("there already"), "{}", again.stderr);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = fs::metadata(dir.join("k.pem"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
    run(dir, &["plan", "move", "--save", "p.plan"]).expect(0);
    let again = run(dir, &["plan", "move", "--save", "p.plan"]).expect(2);
    assert!(again.stderr.contains("there already"), "{}", again.stderr);
    let wrong = run(
        dir,
        &[
            "plan",
            "move",
            "--save",
            "q.plan",
            "--sign",
            "windlass.toml",
        ],
    )
    .expect(2);
    assert!(
        wrong.stderr.contains("not an Ed25519 key"),
        "{}",
        wrong.stderr
    );
    assert!(!dir.join("q.plan").exists());
}

#[test]
fn a_custody_export_is_checked_without_ledger_and_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    folders(at, "");
    let public = new_key(at, "k.pem");
    run(at, &["run", "move"]).expect(0);
    let export = ["custody", "export", "first.custody", "--sign", "k.pem"];
    run(at, &export).expect(0);
    fs::write(at.join("nas/later.tif"), "later").unwrap();
    run(at, &["run", "move"]).expect(0);
    let export = [
        "custody",
        "export",
        "second.custody",
        "--after",
        "first.custody",
    ];
    run(at, &export).expect(0);

    let auditor = tempfile::tempdir().unwrap();
    let auditor = auditor.path();
    for file in ["first.custody", "second.custody"] {
        fs::copy(at.join(file), auditor.join(file)).unwrap();
    }
    let verify = |args: &[&str]| run(auditor, &[&["custody", "verify"], args].concat());
    let first = verify(&["first.custody", "--key", &public])
        .expect(0)
        .stdout;
    assert!(first.contains("3 records"), "{first}");
    let second = verify(&["second.custody", "--after", "first.custody", "--json"]).expect(0);
    assert_eq!(second.records("custody")[0]["sums"]["records"], 1);
    let unsigned = verify(&["second.custody", "--key", &public]).expect(2);
    assert!(
        unsigned.stderr.contains("not signed by this key"),
        "{}",
        unsigned.stderr
    );
    let reversed = verify(&["first.custody", "--after", "second.custody"]).expect(2);
    assert!(
        reversed.stderr.contains("does not begin where"),
        "{}",
        reversed.stderr
    );
    let text = fs::read_to_string(auditor.join("first.custody")).unwrap();
    fs::write(auditor.join("edited"), text.replace("/b.tif", "/x.tif")).unwrap();
    let edited = verify(&["edited"]).expect(2);
    assert!(edited.stderr.contains("error: "), "{}", edited.stderr);
    let unknown = [
        "custody",
        "export",
        "x.custody",
        "--run",
        "01890000-0000-7000-8000-000000000000",
    ];
    let unknown = run(at, &unknown).expect(2);
    assert!(unknown.stderr.contains("has no run"), "{}", unknown.stderr);
}

#[test]
fn beside_a_reviewed_plan_no_other_run_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "");
    // More than an orderly stop lets end.
    for index in 0..200 {
        fs::write(dir.join(format!("nas/{index}.tif")), "bytes").unwrap();
    }
    run(dir, &["plan", "move", "--save", "p.plan"]).expect(0);
    run(dir, &["run", "move", "--stop-after", "0s"]).expect(1);
    let before = placed(dir);
    let other = run(dir, &["run", "--plan", "p.plan"]).expect(2);
    let sentence = "was interrupted, and it is not one of this plan";
    assert!(other.stderr.contains(sentence), "{}", other.stderr);
    assert_eq!(placed(dir), before);
    let stopped = ["run", "--plan", "p.plan", "--abandon", "--stop-after", "0s"];
    let stopped = run(dir, &stopped).expect(1);
    assert!(stopped.stderr.contains("is given up"), "{}", stopped.stderr);
    let again = "`windlass run --plan p.plan` goes on from here";
    assert!(stopped.stderr.contains(again), "{}", stopped.stderr);
    assert!(placed(dir).len() < 203, "the stop came before the end");
    let planned = run(dir, &["plan", "move"]).expect(0);
    let sentence = "`windlass run --plan` with its plan finishes it";
    assert!(planned.stderr.contains(sentence), "{}", planned.stderr);
    // A new file is nothing to the plan's own run, which goes on.
    fs::write(dir.join("nas/new.tif"), "new").unwrap();
    run(dir, &["run", "--plan", "p.plan"]).expect(0);
    let placed = placed(dir);
    assert_eq!(placed.len(), 203);
    assert!(!placed.contains(&"new.tif".to_owned()));
}

#[test]
fn a_plan_is_refused_where_the_same_names_lead_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "");
    run(dir, &["plan", "move", "--save", "p.plan"]).expect(0);
    let file = dir.join("windlass.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::create_dir(dir.join("elsewhere")).unwrap();
    fs::write(
        &file,
        text.replace("root = \"out\"", "root = \"elsewhere\""),
    )
    .unwrap();
    let moved = run(dir, &["run", "--plan", "p.plan"]);
    refused(
        dir,
        moved,
        "is configured otherwise than when the plan was made",
    );
    let second =
        "[flow.second]\nkind = \"ingest\"\nfrom = \"nas\"\nto = \"out\"\ncollection = \"/x\"\n";
    configure(dir, "", second);
    for args in [
        ["plan", "second", "--against", "p.plan"],
        ["run", "second", "--plan", "p.plan"],
    ] {
        let other = run(dir, &args).expect(2);
        assert!(
            other.stderr.contains("the plan is one of flow"),
            "{}",
            other.stderr
        );
    }
}
