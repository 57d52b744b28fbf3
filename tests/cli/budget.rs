//! A team's monthly calls: forecast, counted over runs, and never exceeded.

use std::fs;
use std::path::Path;

use crate::bad_input::run_on;
use crate::program::{Finished, Served};

/// A flow of local files into Dropbox whose team has so many calls a month.
fn config(served: &Served, calls: u64) -> String {
    let at = |name: &str| served.endpoints[name].as_str().unwrap().to_owned();
    format!(
        r#"
[endpoint.disk]
kind = "local"
root = "files"

[endpoint.team]
kind = "dropbox"
app_key = "{app_key}"
app_secret = {{ env = "DROPBOX_APP_SECRET" }}
refresh_token = {{ env = "DROPBOX_REFRESH_TOKEN" }}
monthly_calls = {calls}
api_url = "{api}"
content_url = "{content}"
notify_url = "{notify}"

[limits]
memory = "64MiB"
window = "16MiB"
transfers = 1

[flow.out]
kind = "ingest"
from = "disk"
to = "team"
root = ""
collection = "/Out"
keep_folders = true
"#,
        app_key = at("dropbox_app_key"),
        api = at("dropbox_api"),
        content = at("dropbox_content"),
        notify = at("dropbox_notify"),
    )
}

fn flow(served: &Served, dir: &Path, calls: u64, args: &[&str]) -> Finished {
    fs::write(dir.join("windlass.toml"), config(served, calls)).unwrap();
    run_on(served, dir, args)
}

/// How many files are placed, by the report of the run that was finished or, without one to finish, begun.
fn placed(finished: &Finished) -> u64 {
    let run = finished.records("run").swap_remove(0);
    let tallies = run["tallies"].as_array().unwrap();
    tallies
        .iter()
        .filter(|tally| tally["state"] == "done")
        .map(|tally| tally["steps"].as_u64().unwrap())
        .sum()
}

#[test]
fn a_months_calls_are_forecast_counted_over_runs_and_never_exceeded() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &[]);
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    for index in 0..3_u8 {
        fs::write(files.join(format!("film-{index}")), vec![index; 9 << 20]).unwrap();
    }
    // Two chunks of 8 MiB each, two calls that open sessions, and one a file that finishes it.
    let planned = flow(&served, dir.path(), 100, &["--json", "plan", "out"]).expect(0);
    let plan = planned.records("plan").pop().unwrap();
    assert_eq!(
        plan["calls"],
        "team: about 11 of the 100 calls that are left of this month's 100"
    );

    let refused = flow(&served, dir.path(), 5, &["run", "out"]).expect(2);
    let said = &refused.stderr;
    assert!(
        said.contains("the month's calls do not suffice: team: about 11 of the 5"),
        "{said}"
    );
    assert!(said.contains("--over-budget"), "{said}");

    let args = ["--json", "run", "out", "--over-budget"];
    let spent = flow(&served, dir.path(), 5, &args).expect(2);
    let said = &spent.stderr;
    assert!(
        said.contains("the month's calls to team are spent: 5 of 5"),
        "{said}"
    );
    assert!(placed(&spent) < 3, "{}", spent.stdout);

    // Another process knows what the first one spent.
    let again = flow(&served, dir.path(), 5, &args).expect(2);
    assert!(again.stderr.contains("5 of 5"), "{}", again.stderr);
    assert_eq!(placed(&again), placed(&spent), "not one call more");

    // With more calls the same run ends; what was counted stays counted.
    let rest = flow(&served, dir.path(), 100, &args).expect(0);
    assert_eq!(placed(&rest), 3, "{}", rest.stdout);
    let planned = flow(&served, dir.path(), 100, &["--json", "plan", "out"]).expect(0);
    let plan = planned.records("plan").pop().unwrap();
    let left = plan["calls"].as_str().unwrap();
    assert!(
        left.starts_with("team: about 0 of the 8") || left.starts_with("team: about 0 of the 9"),
        "{left}"
    );
}

#[test]
fn calls_that_the_plan_has_not_end_the_run_in_order_although_nobody_configured_them() {
    let dir = tempfile::tempdir().unwrap();
    let served = Served::start(dir.path(), &["--monthly-calls", "3"]);
    let files = dir.path().join("files");
    fs::create_dir(&files).unwrap();
    for index in 0..3_u8 {
        fs::write(files.join(format!("film-{index}")), vec![index; 9 << 20]).unwrap();
    }
    let args = ["--json", "run", "out"];
    for _ in 0..2 {
        let refused = flow(&served, dir.path(), 100, &args).expect(2);
        let said = &refused.stderr;
        assert!(
            said.contains("the team's plan has no upload calls left for this month"),
            "{said}"
        );
        assert!(said.contains("`monthly_calls`"), "{said}");
        // Nothing failed: what is left waits for the next month.
        let run = refused.records("run").swap_remove(0);
        let tallies = run["tallies"].as_array().unwrap();
        assert!(
            tallies.iter().all(|tally| tally["state"] != "failed"),
            "{tallies:?}"
        );
    }
}
