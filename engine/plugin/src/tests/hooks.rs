//! The three hooks, what they are granted, and answers that are kept.

use serde_json::json;
use windlass_core::{Decision, HookKind, Hooks, Kind, Market, Origin, Release, Statement, Value};

use super::*;

fn release(path: &str, at: &str) -> Release {
    Release {
        asset: asset(path),
        audience: "agencies".to_owned(),
        market: None,
        channel: None,
        at: at.parse().unwrap(),
    }
}

fn markets() -> Vec<Market> {
    vec![Market {
        code: "DE".to_owned(),
        languages: vec!["de".to_owned()],
        channels: vec!["web".to_owned()],
    }]
}

/// Decides on `paths`, of which only the one that contains `word` may not be allowed.
async fn only_the_guilty_stays(word: &str, rule: &str) {
    let plugin = load(misbehaving(), json!({})).unwrap();
    let guilty = format!("/b/{word}.tif");
    let paths = ["/a/1.tif", &guilty, "/c/3.tif"];
    let releases = paths.map(|path| release(path, "2026-03-04T12:00:00Z"));
    let rulings = plugin.decide(&releases).await.unwrap();
    let decisions: Vec<_> = rulings.iter().map(|ruling| ruling.decision).collect();
    assert_eq!(
        decisions,
        [Decision::Allow, Decision::Hold, Decision::Allow],
        "{word}"
    );
    assert!(rulings[1].rule.contains(rule), "{word}: {:?}", rulings[1]);
}

#[tokio::test]
async fn rights_fail_closed_whatever_fails() {
    for (word, rule) in [
        ("trap", "plugin trapped"),
        ("spin", "limit: work"),
        ("recurse", "plugin trapped"),
        ("hoard", "limit: memory"),
        ("pester", "limit: "),
        ("missing", "contract: one answer an asset"),
        ("extra", "contract: one answer an asset"),
        ("garbage", "contract: values"),
        ("past", "contract: values"),
    ] {
        only_the_guilty_stays(word, rule).await;
    }
}

#[tokio::test]
async fn rights_that_cannot_be_asked_are_an_error_and_no_permission() {
    let shipped = component("folder-metadata");
    let config = json!({"templates": ["/{client}/**"]});
    let plugin = load(&shipped, config).unwrap();
    assert_eq!(plugin.kinds(), [HookKind::Metadata]);
    let error = plugin
        .decide(&[release("/a/1.tif", "2026-03-04T12:00:00Z")])
        .await;
    let error = error.unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    assert!(error.to_string().contains("has no rights hook"), "{error}");
}

#[tokio::test]
async fn a_placement_that_cannot_be_holds_its_asset() {
    let plugin = load(misbehaving(), json!({})).unwrap();
    let paths = [
        "/a/1.tif",
        "/a/nowhere.tif",
        "/a/garbage.tif",
        "/a/trap.tif",
    ];
    let routed = plugin.route(&assets(&paths), &markets()).await.unwrap();
    let Verdict::Ready(routing) = &routed[0] else {
        panic!("{:?}", routed[0]);
    };
    assert_eq!(routing.appearances[0].folder.as_str(), "/DE");
    let reasons: Vec<&str> = routed[1..]
        .iter()
        .map(|routed| match routed {
            Verdict::Held { reason, .. } => reason.as_str(),
            Verdict::Ready(routing) => panic!("not held: {routing:?}"),
        })
        .collect();
    assert!(reasons[0].contains("no market \"Atlantis\""), "{reasons:?}");
    assert!(reasons[1].contains("has a part \"..\""), "{reasons:?}");
    assert!(reasons[2].contains("told to trap"), "{reasons:?}");
}

#[tokio::test]
async fn a_plugin_sees_only_statements_that_it_is_granted() {
    let stated = |origin, name: &str| Statement {
        origin,
        name: name.to_owned(),
        value: Value::Boolean(true),
    };
    let mut asset = asset("/a/stated.tif");
    asset.statements = vec![
        stated(Origin::Source, "secret"),
        stated(Origin::Sheet, "Title"),
        stated(Origin::Embedded, "dc:title"),
    ];
    let host = PluginHost::new(small()).unwrap();
    let granted = |granted| LoadOptions {
        granted,
        ..load_options()
    };
    let mut digests = Vec::new();
    for (grants, seen) in [
        (None, vec!["Title", "dc:title"]),
        (Some(vec![Origin::Sheet]), vec!["Title"]),
        (Some(vec![]), vec![]),
    ] {
        let plugin = host.load(misbehaving(), granted(grants)).unwrap();
        let verdicts = plugin.describe(std::slice::from_ref(&asset)).await.unwrap();
        let seen = seen.into_iter().map(str::to_owned).collect();
        assert_eq!(ready(&verdicts[0]).fields[0].value, Value::Keywords(seen));
        digests.push(plugin.identity().config_digest);
    }
    assert!(digests[0] != digests[1] && digests[1] != digests[2]);
    let surplus = host.load(misbehaving(), granted(Some(vec![Origin::Source])));
    let error = surplus.unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(error.to_string().contains("granted \"source\""), "{error}");
    assert_eq!(error.hint(), Some("it asks for sheet, embedded"));
}

#[tokio::test]
async fn a_kept_ruling_stands_until_its_end_and_no_longer_than_its_day() {
    let plugin = load(misbehaving(), json!({})).unwrap();
    let reason = async |path: &str, at: &str| {
        let rulings = plugin.decide(&[release(path, at)]).await.unwrap();
        rulings[0].reason.clone()
    };
    assert_eq!(
        reason("/a/hour.tif", "2026-03-04T12:00:00Z").await,
        "told at 2026-03-04T12:00:00Z"
    );
    // Kept, and it still stands.
    assert_eq!(
        reason("/a/hour.tif", "2026-03-04T12:59:59Z").await,
        "told at 2026-03-04T12:00:00Z"
    );
    // An earlier moment than the one that it was given for.
    assert_eq!(
        reason("/a/hour.tif", "2026-03-04T11:00:00Z").await,
        "told at 2026-03-04T11:00:00Z"
    );
    // Given for ever, but asked about on another day.
    assert_eq!(
        reason("/a/1.tif", "2026-03-04T12:00:00Z").await,
        "told at 2026-03-04T12:00:00Z"
    );
    assert_eq!(
        reason("/a/1.tif", "2026-03-05T00:00:00Z").await,
        "told at 2026-03-05T00:00:00Z"
    );
}

#[tokio::test]
async fn what_was_asked_before_is_not_asked_again() {
    let plugin = load(misbehaving(), json!({})).unwrap();
    let batch = assets(&["/a/1.tif", "/b/trap.tif", "/c/3.tif"]);
    let first = plugin.describe(&batch).await.unwrap();
    let mixed = assets(&["/c/3.tif", "/d/new.tif", "/b/trap.tif", "/a/1.tif"]);
    let again = plugin.describe(&mixed).await.unwrap();
    assert_eq!(
        [&again[0], &again[2], &again[3]],
        [&first[2], &first[1], &first[0]]
    );
    assert_eq!(
        ready(&again[1]).fields[0].value,
        Value::Text("/d/new.tif".to_owned())
    );
}

#[tokio::test]
async fn a_plugin_that_is_replaced_meanwhile_stays_what_it_was_until_it_is_loaded_again() {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("plugin.wasm");
    std::fs::copy(misbehaving(), &file).unwrap();
    let plugin = load(&file, json!({})).unwrap();
    let pinned = LoadOptions {
        pinned_digest: Some(plugin.digest()),
        ..load_options()
    };
    std::fs::copy(component("folder-metadata"), &file).unwrap();
    let verdicts = plugin.describe(&assets(&["/a/1.tif"])).await.unwrap();
    assert_eq!(
        ready(&verdicts[0]).fields[0].value,
        Value::Text("/a/1.tif".to_owned())
    );
    let host = PluginHost::new(small()).unwrap();
    let error = host.load(&file, pinned).unwrap_err();
    assert_eq!(error.kind(), Kind::Integrity);
    let next = load(&file, json!({"templates": ["/{client}/**"]})).unwrap();
    assert_eq!(next.identity().name, "folder-metadata");
}
