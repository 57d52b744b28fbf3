//! `windlass duplicates`: for people, spreadsheets and programs.

use std::fs;

use crate::plans::folders;
use crate::program::run;

#[test]
fn duplicates_are_told_for_people_spreadsheets_and_programs() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "");
    for name in ["a again", "a, once more", "=a"] {
        fs::write(dir.join(format!("nas/{name}.tif")), "a".repeat(1000)).unwrap();
    }
    let shown = run(dir, &["duplicates", "move", "--rate", "10"]).expect(0);
    assert_eq!(
        shown.stdout,
        "flow \"move\": 6 files to bring, 5.9 KiB\n\n\
         to spare    each  files\n 2.9 KiB  1000 B      4  /=a.tif and 3 more\n\n\
         3 files in 1 group need not move: 2.9 KiB, 300 s\n"
    );
    let rows = run(dir, &["duplicates", "move", "--csv"]).expect(0);
    let lines: Vec<&str> = rows.stdout.lines().collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[0], "\u{feff}content_hash,size,files,path,at_sink");
    assert!(
        lines[3].ends_with(",1000,4,\"/a, once more.tif\","),
        "{}",
        lines[3]
    );
    let told = run(dir, &["--json", "duplicates", "move"]).expect(0);
    let groups = told.records("group");
    assert_eq!((groups.len(), &groups[0]["files"]), (1, &4.into()));
    let sums = told.records("duplicates").pop().unwrap();
    assert_eq!(
        (&sums["spare_bytes"], &sums["groups"]),
        (&3000.into(), &1.into())
    );
    assert_eq!(sums["spare_hours"], serde_json::Value::Null);
    assert!(fs::read_dir(dir.join("out")).unwrap().next().is_none());
    let refused = run(dir, &["duplicates", "move", "--rate", "0"]).expect(2);
    assert!(
        refused.stderr.contains("a rate of no bytes"),
        "{}",
        refused.stderr
    );
}

#[test]
fn duplicates_are_left_out_between_folders_where_the_flow_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    folders(dir, "duplicates = \"skip\"");
    fs::write(dir.join("nas/a again.tif"), "a".repeat(1000)).unwrap();
    let planned = run(dir, &["--json", "plan", "move"]).expect(0);
    let steps: Vec<(String, String)> = planned
        .records("step")
        .iter()
        .map(|step| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            (text(&step["asset"]["path"]), text(&step["action"]))
        })
        .collect();
    let step = |path: &str, action: &str| (path.to_owned(), action.to_owned());
    assert_eq!(
        steps,
        [
            step("/a again.tif", "create"),
            step("/a.tif", "skip"),
            step("/b.tif", "create"),
            step("/c.tif", "create"),
        ]
    );
    run(dir, &["run", "move"]).expect(0);
    assert_eq!(fs::read_dir(dir.join("out")).unwrap().count(), 3);
}
