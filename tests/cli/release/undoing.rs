//! Undoing on the command line: what a run took away is put back, and what rights took away is not.

use super::*;

impl Bed {
    fn reject(&self, id: u64) {
        self.celum().set_field(id, "approval", &json!(2)).unwrap();
    }

    /// The id of the newest run.
    fn newest(&self) -> String {
        let runs = self.run(&["--json", "status", "--limit", "1"]).expect(0);
        runs.records("run")[0]["run"].as_str().unwrap().to_owned()
    }
}

#[test]
fn what_a_run_took_away_is_put_back_and_what_rights_took_away_is_not() {
    let bed = Bed::new(&press("rights = { audience = \"press\" }"));
    let hero = bed.asset("hero.jpg", b"hero", &[]);
    let logo = bed.asset("logo.jpg", b"logo", &[]);
    bed.asset("map.jpg", b"map", &[]);
    bed.run(&["run", "press"]).expect(0);
    bed.reject(hero);
    bed.switch(logo, false);
    bed.run(&["run", "press", "--over-cap"]).expect(0);
    let run = bed.newest();
    let away = bed.files();
    assert!(away.contains(&"/Quarantine/Press/CMP-2041/hero.jpg".to_owned()));

    let looked = bed.run(&["undo", &run, "--dry-run"]).expect(0);
    let without_links = |text: &str| {
        let lines = text
            .lines()
            .filter(|line| !line.contains("links that ended"));
        steady(&lines.collect::<Vec<_>>().join("\n"))
    };
    insta::assert_snapshot!("looked", without_links(&looked.stdout));
    assert_eq!(bed.files(), away);
    let undone = bed.run(&["undo", &run]).expect(0);
    insta::assert_snapshot!("undone", without_links(&undone.stdout));
    let back = [
        "/Press/CMP-2041/hero.jpg",
        "/Press/CMP-2041/logo.jpg - withdrawn.txt",
        "/Press/CMP-2041/map.jpg",
        "/Quarantine/Press/CMP-2041/logo.jpg",
    ];
    assert_eq!(bed.files(), back);
    assert_eq!(bed.celum().external_references(hero).unwrap().len(), 1);

    // The reason lasts, and does not count again.
    bed.run(&["run", "press"]).expect(0);
    bed.run(&["verify", "press"]).expect(0);
    assert_eq!(bed.files(), back);
    let again = bed.run(&["--json", "undo", &run]).expect(0);
    let sums = &again.records("undone")[0];
    assert_eq!((&sums["undone"], &sums["left"]), (&json!(0), &json!(2)));
    bed.switch(hero, false);
    bed.run(&["sweep", "press"]).expect(0);
    assert!(!bed.files().contains(&back[0].to_owned()));
    let unknown = bed
        .run(&["undo", "01890a5d-ac96-774b-bcce-b302099a8057"])
        .expect(2);
    assert!(
        unknown.stderr.contains("windlass status"),
        "{}",
        unknown.stderr
    );
}
