//! A campaign in three regions by the shipped plugin: who gets what, what one file costs that many get, and what is missing.

use super::*;

fn flow(market: &str, more: &str) -> String {
    format!(
        r#"
[flow.regions]
kind = "localize"
from = "dam"
to = "share"
root = "/Regions"
collection = "/Brand Library"
where = {{ approval = "Approved" }}
rights = {{ audience = "agencies" }}
localization = "router"
{more}
{market}

[plugin.router]
source = {:?}
grants = ["source"]
[plugin.router.config]
trust = ["source"]
folder = "/{{market}}/{{channel}}"
file_name = "{{piece}}_{{language}}.{{file.extension}}"
language = {{ field = "languages" }}
channel = {{ default = "web" }}
piece = {{ field = "motif" }}
[plugin.router.config.fallback]
"*" = ["en"]
"#,
        shipped("market-router")
    )
}

fn markets(markets: &[(&str, &[&str])]) -> String {
    let rows = markets.iter().map(|(code, languages)| {
        format!(
            "[[flow.regions.market]]\ncode = \"{code}\"\nlanguages = {languages:?}\nchannels = [\"web\"]\n"
        )
    });
    rows.collect()
}

fn three() -> String {
    markets(&[("AT", &["de"]), ("DE", &["de"]), ("FR", &["fr"])])
}

const FOLDERS: &str = "folders = { AT = \"/Austria\", DE = \"/Germany\", FR = \"/France\" }\n";

fn piece(motif: &str, language: &str) -> Vec<(&'static str, serde_json::Value)> {
    vec![("motif", json!(motif)), ("languages", json!(language))]
}

/// The places of a coverage map, a line each.
fn rows(coverage: &serde_json::Value) -> String {
    let rows = coverage["rows"].as_array().unwrap().iter();
    let text = |value: &serde_json::Value| value.as_str().unwrap_or("-").to_owned();
    let lines = rows.map(|row| {
        let words = ["piece", "market", "language", "channel", "filled"];
        let words = words.map(|word| text(&row[word])).join(" ");
        format!("{words}: {} ({})", text(&row["file"]), text(&row["why"]))
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn one_upload_serves_every_region_and_packages_and_coverage_say_who_has_what() {
    let bed = Bed::new(&flow(&three(), FOLDERS));
    bed.asset("poster-de.jpg", b"poster de", &piece("poster", "de"));
    bed.asset("flyer-en.jpg", b"flyer en", &piece("flyer", "en"));
    let off = bed.asset("poster-fr.jpg", b"poster fr", &piece("poster", "fr"));
    bed.switch(off, false);

    let planned = bed.run(&["plan", "regions", "--json"]).expect(0);
    let coverage = planned.records("plan")[0]["coverage"].clone();
    assert_eq!(bed.files(), Vec::<String>::new(), "a plan places nothing");
    insta::assert_snapshot!(rows(&coverage));

    let before = bed.dropbox().bytes_received();
    bed.run(&["run", "regions"]).expect(0);
    let all = bed.files();
    insta::assert_snapshot!(all.join("\n"));
    for path in all.iter().filter(|path| path.contains("flyer")) {
        assert_eq!(bed.bytes(path), b"flyer en");
    }
    // Two contents were brought, three times they were copied there.
    let copies: u64 = ["files/copy_v2", "files/copy_batch_v2"]
        .iter()
        .map(|route| bed.dropbox().calls(route))
        .sum();
    assert!((1..=3).contains(&copies), "{copies}");
    let contents = (b"poster de".len() + b"flyer en".len()) as u64;
    let manifests: u64 = all
        .iter()
        .filter(|path| path.ends_with(".json"))
        .map(|path| bed.bytes(path).len() as u64)
        .sum();
    assert_eq!(
        bed.dropbox().bytes_received() - before,
        contents + manifests
    );

    let package = String::from_utf8(bed.bytes("/Austria/AT/web/package-AT.json"));
    let package: serde_json::Value = serde_json::from_str(&package.unwrap()).unwrap();
    let paths: Vec<_> = package["files"]
        .as_array()
        .unwrap()
        .iter()
        .map(|file| (file["path"].clone(), file["stands_in"].clone()))
        .collect();
    assert_eq!(
        paths,
        [
            (json!("flyer_de.jpg"), json!(true)),
            (json!("poster_de.jpg"), json!(false))
        ]
    );

    let report = bed.run(&["report", "--format", "json"]).expect(0);
    let reported = &report.records("run")[0]["coverage"];
    assert_eq!(*reported, coverage);
    let shown = bed.run(&["report"]).expect(0).stdout;
    let map = &shown[shown.find("coverage\n").unwrap()..];
    let map = &map[..map.find("\nskipped").unwrap()];
    insta::assert_snapshot!(map);

    let again = bed.run(&["plan", "regions", "--json"]).expect(0);
    assert_eq!(again.records("plan")[0]["unchanged"]["assets"], 5);
    assert_eq!(bed.run(&["run", "regions"]).expect(0).code, Some(0));
    assert_eq!(bed.files(), all);
}

#[test]
fn a_market_without_a_folder_and_two_assets_with_one_name_are_told_and_the_rest_goes_on() {
    let two = "folders = { AT = \"/Austria\", DE = \"/Germany\" }\n";
    let bed = Bed::new(&flow(&three(), two));
    bed.asset("poster-de.jpg", b"poster de", &piece("poster", "de"));
    bed.asset("flyer-en.jpg", b"flyer", &piece("flyer", "en"));
    // Another piece, whose name would become the same.
    bed.asset("flyer.jpg", b"other flyer", &piece("Flyer", "en"));
    bed.run(&["run", "regions"]).expect(0);
    let files = bed.files();
    assert!(
        files
            .iter()
            .any(|path| path == "/Austria/AT/web/poster_de.jpg"),
        "{files:?}"
    );
    assert!(!files.iter().any(|path| path.contains("FR")), "{files:?}");
    assert!(
        !files
            .iter()
            .any(|path| path.to_lowercase().contains("flyer")),
        "{files:?}"
    );
    let report = bed.run(&["report", "--format", "json"]).expect(0);
    insta::assert_snapshot!(rows(&report.records("run")[0]["coverage"]));
}

#[test]
fn two_thousand_markets_are_planned() {
    let codes: Vec<String> = (0..2_000).map(|index| format!("M{index:04}")).collect();
    let languages: &[&str] = &["de"];
    let all: Vec<(&str, &[&str])> = codes
        .iter()
        .map(|code| (code.as_str(), languages))
        .collect();
    let bed = Bed::new(&flow(&markets(&all), ""));
    bed.asset("poster-de.jpg", b"poster de", &piece("poster", "de"));
    let planned = bed.run(&["plan", "regions", "--json"]).expect(0);
    let steps = planned.records("step");
    assert_eq!(steps.len(), 2_000, "{}", steps[0]);
    let created = steps.iter().filter(|step| step["action"] == "create");
    assert_eq!(created.count(), 1, "the others are copies");
    let plan = &planned.records("plan")[0];
    assert_eq!(
        plan["coverage"]["total"]["present"], 2_000,
        "{}",
        plan["coverage"]["total"]
    );
}
