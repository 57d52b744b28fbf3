//! Rights on the command line: the shipped plugin decides, `sweep` takes back, and the report names who had it.

use super::*;

fn flow() -> String {
    press(&format!(
        r#"rights = {{ audience = "press", plugin = "rights" }}

[plugin.rights]
source = {:?}
grants = ["source"]
[plugin.rights.config]
trust = ["source"]
time_zone = "Europe/Berlin"
[plugin.rights.config.valid]
until = "licenceUntil"
[plugin.rights.config.status]
field = "approval"
allowed = ["Approved"]
restricted = ["Rejected"]
"#,
        shipped("rights-window")
    ))
}

fn day(year: i16) -> serde_json::Value {
    json!(format!("{year}-06-30T00:00:00Z"))
}

#[test]
fn the_shipped_rights_plugin_decides_and_what_it_denies_is_swept_away() {
    let bed = Bed::new(&flow());
    let hero = bed.asset("hero.jpg", b"hero", &[("licenceUntil", day(2099))]);
    bed.asset("logo.jpg", b"logo", &[("licenceUntil", day(2099))]);
    bed.asset("old.jpg", b"old", &[("licenceUntil", day(2020))]);
    bed.asset("unknown.jpg", b"unknown", &[]);

    let planned = bed.run(&["plan", "press", "--json"]).expect(0);
    let steps: Vec<String> = planned
        .records("step")
        .iter()
        .map(|step| {
            let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            let path = text(&step["asset"]["path"]);
            let name = path.rsplit('/').next().unwrap();
            format!(
                "{} {name}: {}",
                text(&step["action"]),
                text(&step["reason"])
            )
        })
        .collect();
    insta::assert_snapshot!(steps.join("\n"));
    bed.run(&["run", "press"]).expect(0);
    assert_eq!(
        bed.files(),
        ["/Press/CMP-2041/hero.jpg", "/Press/CMP-2041/logo.jpg"]
    );
    let none = bed.run(&["plan", "press"]).expect(0);
    assert!(none.stdout.contains("unchanged"), "{}", none.stdout);

    let links = bed.dropbox().links().into_iter();
    let mut links = links.filter(|link| link.path.ends_with("hero.jpg"));
    let url = links.next().unwrap().url;
    bed.celum()
        .set_field(hero, "licenceUntil", &day(2021))
        .unwrap();
    let swept = bed.run(&["sweep", "press"]).expect(0);
    let absent = "looked for 1 file that was withdrawn: none is where people look";
    assert!(swept.stdout.contains(absent), "{}", swept.stdout);
    let ended = "withdrawn: 1 file, 1 link ended";
    assert!(swept.stdout.contains(ended), "{}", swept.stdout);
    assert_eq!(
        bed.files(),
        [
            "/Press/CMP-2041/hero.jpg - withdrawn.txt",
            "/Press/CMP-2041/logo.jpg",
            "/Quarantine/Press/CMP-2041/hero.jpg",
        ]
    );
    assert!(bed.dropbox().links().iter().all(|link| link.url != url));
    assert_eq!(bed.celum().external_references(hero).unwrap(), []);

    let report = bed.run(&["report", "--format", "json"]).expect(0);
    let run = report.records("run").remove(0);
    let withdrawn = &run["withdrawn"];
    assert_eq!(withdrawn["files"], 1);
    assert_eq!(withdrawn["links"], 1);
    let recipients = withdrawn["recipients"].as_array().unwrap();
    assert!(recipients.contains(&json!("ada@press.example")), "{run}");
    let first = &withdrawn["first"][0];
    assert_eq!(first["links"], json!([url]));
    assert_eq!(first["kept"], "/Quarantine/Press/CMP-2041/hero.jpg");
}

#[test]
fn a_sweep_that_finds_nothing_says_so_and_places_nothing_new() {
    let bed = Bed::new(&press("rights = { audience = \"press\" }"));
    bed.asset("hero.jpg", b"hero", &[]);
    bed.run(&["run", "press"]).expect(0);
    bed.asset("new.jpg", b"new", &[]);
    let swept = bed.run(&["sweep", "press", "--json"]).expect(0);
    assert_eq!(swept.records("closed"), Vec::<serde_json::Value>::new());
    assert_eq!(bed.files(), ["/Press/CMP-2041/hero.jpg"]);
    bed.run(&["run", "press"]).expect(0);
    assert_eq!(bed.files().len(), 2);
}
