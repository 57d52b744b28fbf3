//! What operators get wrong about release flows: one sentence before anything happens, and a hint.

use super::*;

const NAS: &str = "[endpoint.nas]\nkind = \"local\"\nroot = \"nas\"\n";

fn refused(bed: &Bed, args: &[&str]) -> String {
    let finished = bed.run(args).expect(2);
    assert_eq!(bed.files(), Vec::<String>::new());
    finished.stderr
}

#[test]
fn mistakes_in_a_configuration_are_refused_before_anything_happens() {
    let rights = "rights = { audience = \"press\" }\n";
    let bed = Bed::new("");
    fs::create_dir(bed.dir.path().join("nas")).unwrap();
    bed.asset("hero.jpg", b"hero", &[]);
    let plugin = format!(
        "rights = {{ audience = \"press\", plugin = \"rights\" }}\n[plugin.rights]\nsource = {:?}\n\
         grants = [\"source\", \"sheet\"]\n[plugin.rights.config]\ntime_zone = \"UTC\"\n\
         valid = {{ until = \"licenceUntil\" }}\n",
        shipped("rights-window")
    );
    let flows = [
        press(&format!("{rights}name = \"{{headline}}.{{ext}}\"")),
        press(rights).replace("approval = \"Approved\"", "aproval = \"Approved\""),
        press(rights).replace("\"Approved\"", "\"Aproved\""),
        press(rights).replace("\"/Quarantine\"", "\"/Press/Quarantine\""),
        press("rights = { audience = \" \" }"),
        press("rights = { audience = \"press\", plugin = \"none\" }"),
        press(&plugin),
        press(rights).replace("from = \"dam\"", "from = \"nas\"") + NAS,
        press(rights).replace("days = 14", "until = 2027-01-01"),
        press(rights).replace("\"/Brand Library\"", "\"/Brand Libary\""),
    ];
    let mut said = String::new();
    for flow in flows {
        bed.configure(&flow);
        let finished = bed.run(&["run", "press"]);
        assert_eq!(bed.files(), Vec::<String>::new());
        let finished = finished.expect(2);
        said.push_str(&format!("{}{}\n", finished.stdout, finished.stderr));
    }
    insta::assert_snapshot!(steady(&said));
}

#[test]
fn a_field_that_an_asset_lacks_holds_that_asset_and_the_rest_goes_on() {
    let flow = press("rights = { audience = \"press\" }");
    let bed = Bed::new(&flow.replace("field:campaignId", "field:clientCode"));
    bed.asset("hero.jpg", b"hero", &[("clientCode", json!("ALP"))]);
    bed.asset("logo.jpg", b"logo", &[]);
    let done = bed.run(&["run", "press", "--json"]).expect(0);
    let assets = done.records("asset");
    assert_eq!(bed.files(), ["/Press/ALP/hero.jpg"]);
    let held: Vec<_> = assets
        .iter()
        .filter(|asset| asset["state"] == "held")
        .collect();
    assert_eq!(held.len(), 1);
    assert!(
        held[0]["reason"].as_str().unwrap().contains("clientCode"),
        "{}",
        held[0]
    );
}

#[test]
fn an_asset_that_changed_after_a_plan_was_saved_is_not_run_by_it() {
    let bed = Bed::new(&press("rights = { audience = \"press\" }"));
    let locked = bed.asset("a.jpg", b"a", &[]);
    let gone = bed.asset("b.jpg", b"b", &[]);
    bed.asset("c.jpg", b"c", &[]);
    bed.run(&["plan", "press", "--save", "p.plan"]).expect(0);
    bed.celum().lock_asset(locked, "being retouched").unwrap();
    bed.celum().delete_asset(gone).unwrap();
    let strict = refused(&bed, &["run", "--plan", "p.plan"]);
    assert!(
        strict.contains("the world has moved on: 2 steps differ"),
        "{strict}"
    );
    bed.run(&["run", "--plan", "p.plan", "--tolerance", "2"])
        .expect(0);
    assert_eq!(bed.files(), ["/Press/CMP-2041/c.jpg"]);
}

#[test]
fn more_than_the_cap_is_not_taken_back_unseen_unless_rights_say_so() {
    let flow = press("max_removals = { count = 1 }\nrights = { audience = \"press\" }");
    let bed = Bed::new(&flow);
    let ids: Vec<u64> = (0..4)
        .map(|index| bed.asset(&format!("{index}.jpg"), &[index], &[]))
        .collect();
    bed.run(&["run", "press"]).expect(0);
    for id in &ids[..3] {
        bed.celum().set_field(*id, "approval", &json!(2)).unwrap();
    }
    bed.switch(ids[3], false);
    bed.run(&["run", "press"]).expect(0);
    let visible = bed
        .files()
        .into_iter()
        .filter(|path| path.starts_with("/Press/") && path.ends_with(".jpg"));
    assert_eq!(visible.count(), 3, "only what rights forbid went");
    bed.run(&["run", "press", "--over-cap"]).expect(0);
    let visible = bed
        .files()
        .into_iter()
        .filter(|path| path.starts_with("/Press/") && path.ends_with(".jpg"));
    assert_eq!(visible.count(), 0);
}
