//! The main job, end to end, through the real binary: the demo on a small tree.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::program::{Finished, run, windlass};

fn demo(dir: &Path, more: &[&str]) -> Finished {
    let mut args = vec!["demo", "--size", "small", "--json", "--dir", "state"];
    args.extend(more);
    run(dir, &args)
}

fn in_state<'a>(finished: &'a [serde_json::Value], state: &str) -> Vec<&'a serde_json::Value> {
    finished
        .iter()
        .filter(|asset| asset["state"] == state)
        .collect()
}

#[test]
fn a_demo_moves_what_is_approved_says_why_not_the_rest_and_a_second_one_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let first = demo(dir.path(), &[]).expect(0);
    let ingest = first.chapter("approved-masters");
    let assets = ingest.records("asset");
    let run_record = ingest.records("run").remove(0);
    assert_eq!(run_record["state"], "finished");

    let done = in_state(&assets, "done");
    assert!(done.len() >= 10, "{} placed", done.len());
    for asset in &done {
        assert_eq!(asset["placed"]["size"], asset["size"], "{asset}");
        assert_eq!(asset["bytes_moved"], asset["size"], "{asset}");
        let path = asset["path"].as_str().unwrap();
        let by_folder = path.contains("/Approved/");
        assert!(
            by_folder || path.contains("/Finals/"),
            "{path} is not approved"
        );
    }
    let skipped = in_state(&assets, "skipped");
    assert!(
        skipped
            .iter()
            .any(|a| a["reason"].as_str().unwrap().contains("not approved"))
    );
    assert!(
        skipped
            .iter()
            .any(|a| a["reason"].as_str().unwrap().contains("office lock file"))
    );
    let held = in_state(&assets, "held");
    let reason = |part: &str| {
        held.iter().any(|asset| {
            let of = |key: &str| asset[key].as_str().is_some_and(|text| text.contains(part));
            of("reason") || of("message")
        })
    };
    for part in [
        "it has no bytes",
        "the plugin holds it",
        "blocks the content",
    ] {
        assert!(reason(part), "nothing is held because {part:?}: {held:?}");
    }
    assert!(in_state(&assets, "failed").is_empty());

    let second = demo(dir.path(), &[]).expect(0);
    let ingest = second.chapter("approved-masters");
    let again = ingest.records("asset");
    // What is placed and unchanged is a sum, not a line each.
    assert_eq!(again.len() + done.len(), assets.len());
    let skipped = &ingest.records("run")[0]["skipped"];
    let unchanged = skipped.as_array().unwrap().iter();
    let unchanged: Vec<_> = unchanged
        .filter(|line| line["reason"] == "already placed and unchanged")
        .map(|line| line["assets"].as_u64().unwrap())
        .collect();
    assert_eq!(unchanged, [done.len() as u64]);
    assert_eq!(
        in_state(&again, "done").len(),
        0,
        "a second demo does nothing"
    );
    for run in second.records("run") {
        assert_eq!(run["bytes_moved"], 0, "{run}");
        let done = run["tallies"].as_array().unwrap().iter();
        assert_eq!(
            done.filter(|line| line["state"] == "done").count(),
            0,
            "{run}"
        );
    }

    let config = ["--config", "state/windlass.toml"];
    let status = run(
        dir.path(),
        &[&config[..], &["status", "--json", "--limit", "20"]].concat(),
    )
    .expect(0);
    assert_eq!(status.records("run").len(), 12, "six chapters, twice");
    let report = ["report", "--flow", "approved-masters", "--json"];
    let newest_first = run(dir.path(), &[&config[..], &report].concat()).expect(0);
    assert_eq!(newest_first.records("asset").len(), again.len());
}

#[test]
fn what_comes_in_goes_out_is_taken_back_and_is_archived() {
    let dir = tempfile::tempdir().unwrap();
    let told = demo(dir.path(), &[]).expect(0);
    let done = |flow: &str| in_state(&told.chapter(flow).records("asset"), "done").len();
    assert_eq!((done("press"), done("regions"), done("archive")), (9, 6, 9));
    let regions = told.chapter("regions").records("closed").remove(0);
    assert_eq!(regions["coverage"]["by_market"]["FR"]["fallback"], 2);
    assert_eq!(regions["coverage"]["total"]["present"], 2);
    let sealed = told.chapter("archive").records("closed").remove(0);
    assert_eq!(sealed["sealed"].as_str().unwrap().len(), 64);

    let config = ["--config", "state/windlass.toml"];
    for (flow, links) in [("press", 3), ("regions", 0)] {
        let report = ["report", "--flow", flow, "--json"];
        let report = run(dir.path(), &[&config[..], &report].concat()).expect(0);
        let withdrawn = report.records("run").remove(0)["withdrawn"].clone();
        assert_eq!(
            (&withdrawn["files"], &withdrawn["links"]),
            (&3.into(), &links.into())
        );
        let why = withdrawn["first"][0]["reason"].as_str().unwrap();
        assert!(
            why.ends_with("the licence ended on 2026-01-31 (valid.until)"),
            "{why}"
        );
    }
    for page in ["press", "press-withdrawn", "regions", "archive"] {
        let page = dir.path().join(format!("state/reports/{page}.html"));
        assert!(
            std::fs::read_to_string(page)
                .unwrap()
                .ends_with("</html>\n")
        );
    }
}

#[test]
fn a_demo_in_plain_words_ends_with_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let said = run(dir.path(), &["demo", "--size", "small", "--dir", "state"]).expect(0);
    for part in [
        "run ",
        "of flow \"approved-masters\": finished",
        "done (create)",
        "moved ",
        "not approved",
    ] {
        assert!(
            said.stdout.contains(part),
            "{part:?} is missing in:\n{}",
            said.stdout
        );
    }
    assert!(
        said.stderr
            .contains("run the demo again and it finds nothing to do"),
        "{}",
        said.stderr
    );
}

#[test]
fn a_killed_demo_goes_on_and_no_asset_is_there_twice() {
    let whole = tempfile::tempdir().unwrap();
    let reference = demo(whole.path(), &[])
        .expect(0)
        .chapter("approved-masters");
    let reference = in_state(&reference.records("asset"), "done").len();

    let dir = tempfile::tempdir().unwrap();
    // Slow enough that kills fall into the middle of the run.
    let slow = ["--latency", "30"];
    for delay_ms in [2500, 1500, 1900] {
        let mut child = windlass(dir.path())
            .args([
                "demo", "--size", "small", "--json", "--quiet", "--dir", "state",
            ])
            .args(slow)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let until = Instant::now() + Duration::from_millis(delay_ms);
        while Instant::now() < until && child.try_wait().unwrap().is_none() {
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let last = demo(dir.path(), &[]).expect(0);
    assert!(
        last.records("run")
            .iter()
            .all(|run| run["state"] == "finished")
    );
    // Whatever the kills interrupted: each approved file is one asset now.
    let placed = placements(&dir.path().join("state"));
    assert_eq!(placed.len(), reference, "{placed:?}");
    let duplicates = duplicates_in_celum(&dir.path().join("state"));
    assert_eq!(duplicates, Vec::<String>::new());
}

/// Source paths that the demo's reports name as placed, over all runs.
fn placements(state: &Path) -> std::collections::BTreeSet<String> {
    let dir = state.parent().unwrap();
    let config = "state/windlass.toml";
    let status = run(
        dir,
        &["--config", config, "status", "--json", "--limit", "100"],
    )
    .expect(0);
    let mut placed = std::collections::BTreeSet::new();
    for record in status.records("run") {
        if record["flow"] != "approved-masters" {
            continue;
        }
        let id = record["run"].as_str().unwrap();
        let report = run(dir, &["--config", config, "report", id, "--json"]);
        for asset in report.records("asset") {
            if asset["state"] == "done" {
                placed.insert(asset["path"].as_str().unwrap().to_owned());
            }
        }
    }
    placed
}

/// Correlation marks that more than one asset of the emulated tenant carries.
fn duplicates_in_celum(state: &Path) -> Vec<String> {
    let options = windlass_sandbox::celum::CelumOptions {
        dir: Some(state.join("sandbox/celum")),
        ..Default::default()
    };
    let tenant = windlass_sandbox::celum::Celum::open(options).unwrap();
    let mut marks = std::collections::BTreeMap::new();
    for asset in tenant.assets() {
        let mark = asset.fields["windlassCorrelation"]
            .as_str()
            .unwrap()
            .to_owned();
        *marks.entry(mark).or_insert(0) += 1;
    }
    assert!(!marks.is_empty(), "assets carry marks");
    marks
        .into_iter()
        .filter(|(_, assets)| *assets > 1)
        .map(|(mark, _)| mark)
        .collect()
}
