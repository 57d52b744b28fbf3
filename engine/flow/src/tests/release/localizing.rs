//! Who gets what in which region, what is missing and why, and what one file costs that many regions get.

use windlass_core::memory::Operation;
use windlass_core::{Appearance, AssetView, Market, Routing, StepState, Verdict};

use super::*;
use crate::{Filled, LocalizeOptions};

/// Reads `piece_language.ext`; English stands in for everything.
#[derive(Debug)]
struct ByName(HookIdentity);

impl ByName {
    fn new() -> Arc<Self> {
        Arc::new(ByName(HookIdentity {
            name: "by-name".into(),
            version: "1.0.0".into(),
            digest: Blake3::of(b"by-name"),
            config_digest: Blake3::of(b""),
        }))
    }

    fn one(asset: &AssetView, markets: &[Market]) -> Verdict<Routing> {
        let name = asset.path.name();
        let (stem, extension) = name.rsplit_once('.').unwrap();
        let Some((piece, of)) = stem.rsplit_once('_') else {
            return Verdict::Held {
                reason: "its name has no language".into(),
                rule: "name".into(),
            };
        };
        let mut appearances = Vec::new();
        for market in markets {
            for language in &market.languages {
                let fallback = match (of == language, of) {
                    (true, _) => 0,
                    (false, "en") => 1,
                    (false, _) => continue,
                };
                for channel in &market.channels {
                    appearances.push(Appearance {
                        market: market.code.clone(),
                        language: language.clone(),
                        channel: channel.clone(),
                        folder: AssetPath::new(&format!("/{}/{channel}", market.code)),
                        file_name: format!("{piece}_{language}.{extension}"),
                        rendition: None,
                        piece: piece.to_owned(),
                        fallback,
                        rule: format!("{of} for {language}"),
                    });
                }
            }
        }
        Verdict::Ready(Routing {
            appearances,
            findings: Vec::new(),
        })
    }
}

#[async_trait]
impl Hooks for ByName {
    fn identity(&self) -> &HookIdentity {
        &self.0
    }

    fn kinds(&self) -> &[HookKind] {
        &[HookKind::Localization]
    }

    async fn route(
        &self,
        assets: &[AssetView],
        markets: &[Market],
    ) -> Result<Vec<Verdict<Routing>>> {
        Ok(assets
            .iter()
            .map(|asset| Self::one(asset, markets))
            .collect())
    }
}

pub(super) fn market(code: &str, languages: &[&str]) -> Market {
    Market {
        code: code.to_owned(),
        languages: languages.iter().map(|one| (*one).to_owned()).collect(),
        channels: vec!["web".to_owned()],
    }
}

pub(super) fn world(markets: Vec<Market>) -> World {
    let mut world = World::new();
    world.localization = Some(ByName::new());
    world.options.root = AssetPath::new("/Regions");
    world.options.kind = localize(markets, &[]);
    world
}

/// Serves these markets, those with a folder of their own in it.
fn localize(markets: Vec<Market>, folders: &[(&str, &str)]) -> Arc<LocalizeOptions> {
    let folders = folders.iter();
    let folders = folders.map(|(code, folder)| ((*code).to_owned(), AssetPath::new(folder)));
    Arc::new(LocalizeOptions {
        markets,
        folders: folders.collect(),
        manifests: true,
    })
}

fn rows(plan: &Plan) -> Vec<String> {
    let coverage = plan.summary.coverage.as_ref().unwrap();
    let rows = coverage.rows.iter();
    rows.map(|row| {
        format!(
            "{} {} {}: {} ({})",
            row.piece,
            row.market,
            row.language,
            row.filled.word(),
            row.why
        )
    })
    .collect()
}

#[tokio::test]
async fn the_coverage_map_says_of_each_place_what_fills_it_or_why_not() {
    let markets = vec![
        market("CH", &["de", "fr"]),
        market("DE", &["de"]),
        market("JP", &["ja"]),
    ];
    let mut world = world(Vec::new());
    world.options.kind = localize(markets, &[("CH", "/Schweiz"), ("DE", "/Germany")]);
    world.asset("/Brand/poster_de.jpg", b"de");
    world.asset("/Brand/flyer_en.jpg", b"flyer");
    let denied = world.asset("/Brand/poster_fr.jpg", b"fr");
    world.asset("/Brand/untold.jpg", b"untold");
    world.rules.deny(&denied, Some("CH"));
    let (plan, closed) = world.pass().await;
    assert_eq!(
        rows(&plan),
        [
            "flyer CH de: fallback (it stands in: en for de)",
            "flyer CH fr: fallback (it stands in: en for fr)",
            "flyer DE de: fallback (it stands in: en for de)",
            "flyer JP ja: held (market JP has no folder in flow.out.folders)",
            "poster CH de: present (de for de)",
            "poster CH fr: blocked (the licence excludes it (licence))",
            "poster DE de: present (de for de)",
            "poster JP ja: missing (no version of it is made for this, and none may stand in)",
        ]
    );
    let coverage = plan.summary.coverage.as_ref().unwrap();
    assert_eq!(coverage.total[&Filled::Fallback], 3);
    assert_eq!(coverage.by_market["CH"][&Filled::Blocked], 1);
    let told: Vec<_> = plan
        .summary
        .findings
        .iter()
        .map(|one| one.message.as_str())
        .collect();
    assert_eq!(
        told,
        ["it has no folder in flow.out.folders, so nothing is placed for it"]
    );
    assert_eq!(
        world.visible(),
        [
            "/Germany/DE/web/flyer_de.jpg",
            "/Germany/DE/web/package-DE.json",
            "/Germany/DE/web/poster_de.jpg",
            "/Schweiz/CH/web/flyer_de.jpg",
            "/Schweiz/CH/web/flyer_fr.jpg",
            "/Schweiz/CH/web/package-CH.json",
            "/Schweiz/CH/web/poster_de.jpg",
        ]
    );
    assert_eq!(closed.written.len(), 2);
    let manifest = world.bytes("/Schweiz/CH/web/package-CH.json");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["files"][0]["path"], "flyer_de.jpg");
    assert_eq!(manifest["files"][0]["stands_in"], true);
    assert_eq!(manifest["not_here"][0]["state"], "blocked");

    // Nothing changes, so nothing is written.
    let (again, closed) = world.pass().await;
    assert!(again.is_empty() && closed.written.is_empty());
}

#[tokio::test]
async fn one_file_for_many_regions_is_uploaded_once_and_copied() {
    let codes: Vec<String> = (0..40).map(|number| format!("M{number:02}")).collect();
    let mut markets: Vec<Market> = codes.iter().map(|code| market(code, &["en"])).collect();
    let world = world(markets.clone());
    world.asset("/Brand/film_en.mp4", &[7; 10_000]);
    let (plan, _) = world.pass().await;
    let creates = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Create);
    assert_eq!((creates.count(), plan.steps.len()), (1, 40));
    assert_eq!(world.outlet.calls(Operation::Reuse), 39);
    let moved: u64 = world
        .steps()
        .await
        .iter()
        .map(|step| step.bytes_moved)
        .sum();
    assert_eq!(moved, 10_000);
    assert!(world.plan().await.is_empty());

    // One region more later takes it from there as well.
    let mut world = world;
    markets.push(market("ZZ", &["en"]));
    world.options.kind = localize(markets, &[]);
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Copy]);
    let moved: u64 = world
        .steps()
        .await
        .iter()
        .map(|step| step.bytes_moved)
        .sum();
    assert_eq!(moved, 0);
}

#[tokio::test]
async fn if_the_upload_fails_another_region_makes_it() {
    let world = world(vec![
        market("AT", &["en"]),
        market("DE", &["en"]),
        market("FR", &["en"]),
    ]);
    world.asset("/Brand/film_en.mp4", b"film");
    world.outlet.inject(Operation::Commit, Kind::Denied);
    world.pass().await;
    let steps = world.steps().await;
    let failed = steps.iter().filter(|step| step.state == StepState::Failed);
    assert_eq!(failed.count(), 1);
    assert_eq!(
        world
            .outlet
            .assets()
            .iter()
            .filter(|one| one.path.name() == "film_en.mp4")
            .count(),
        2
    );
    world.pass().await;
    assert_eq!(
        world
            .outlet
            .assets()
            .iter()
            .filter(|one| one.path.name() == "film_en.mp4")
            .count(),
        3
    );
}

#[tokio::test]
async fn what_a_former_plan_placed_and_this_one_does_not_is_withdrawn() {
    let mut world = world(vec![market("DE", &["de"]), market("FR", &["fr"])]);
    world.asset("/Brand/poster_en.jpg", b"en");
    world.pass().await;
    assert_eq!(world.visible().len(), 4);
    // A version of its own takes the place of what stood in, and a market is served no more.
    world.asset("/Brand/poster_de.jpg", b"de");
    world.options.kind = localize(vec![market("DE", &["de"])], &[]);
    world.pass().await;
    world.pass().await;
    assert_eq!(
        world.visible(),
        [
            "/Regions/DE/web/package-DE.json",
            "/Regions/DE/web/poster_de.jpg"
        ]
    );
    assert_eq!(world.bytes("/Regions/DE/web/poster_de.jpg"), b"de");
}

#[tokio::test]
async fn two_thousand_regions_are_planned_at_once() {
    let codes: Vec<String> = (0..2_000).map(|number| format!("M{number:04}")).collect();
    let markets = codes.iter().map(|code| market(code, &["en"])).collect();
    let world = world(markets);
    for piece in ["a", "b", "c"] {
        world.asset(&format!("/Brand/{piece}_en.jpg"), piece.as_bytes());
    }
    let plan = world.plan().await;
    assert_eq!(plan.steps.len(), 6_000);
    assert_eq!(
        plan.summary.coverage.unwrap().total[&Filled::Present],
        6_000
    );
}

#[tokio::test]
async fn without_a_routing_plugin_nothing_is_guessed() {
    let mut world = world(vec![market("DE", &["de"])]);
    world.localization = None;
    world.asset("/Brand/poster_de.jpg", b"de");
    let error = world.flow().plan().await.unwrap_err();
    assert_eq!(error.to_string(), "flow.out has no localization plugin");
}

/// Rules that cannot be asked.
#[derive(Debug)]
struct Broken(HookIdentity);

#[async_trait]
impl Hooks for Broken {
    fn identity(&self) -> &HookIdentity {
        &self.0
    }

    fn kinds(&self) -> &[HookKind] {
        &[HookKind::Localization]
    }

    async fn route(&self, _: &[AssetView], _: &[Market]) -> Result<Vec<Verdict<Routing>>> {
        Err(Error::new(Kind::Plugin, "the plugin trapped"))
    }
}

#[tokio::test]
async fn routing_that_cannot_be_asked_keeps_nothing_from_being_taken_back() {
    let mut world = world(Vec::new());
    world.options.kind = localize(
        vec![market("DE", &["de"]), market("FR", &["fr"])],
        &[("DE", "/Germany"), ("FR", "/France")],
    );
    let off = world.asset("/Brand/poster_de.jpg", b"de");
    let denied = world.asset("/Brand/flyer_en.jpg", b"en");
    world.asset("/Brand/card_fr.jpg", b"fr");
    world.pass().await;
    world.localization = Some(Arc::new(Broken(ByName::new().0.clone())));
    world.switch_off(&off);
    // What is placed is asked about for the market whose folder it is in.
    world.rules.deny(&denied, Some("FR"));
    let (plan, _) = world.pass().await;
    let goes: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| step.action == Action::Withdraw)
        .map(|step| step.asset.path.name())
        .collect();
    assert_eq!(goes, ["flyer_en.jpg", "poster_de.jpg"]);
    let files: Vec<_> = world.visible();
    let files: Vec<_> = files
        .iter()
        .filter(|path| !path.contains("package"))
        .collect();
    assert_eq!(
        files,
        ["/France/FR/web/card_fr.jpg", "/Germany/DE/web/flyer_de.jpg"]
    );
}
