//! What the ledger tells about the past, and the scratch space it lends.
#![allow(missing_docs, reason = "each is named after the fact it checks")]

use super::*;

/// By what a run was decided.
pub fn origin() -> RunOrigin {
    RunOrigin {
        windlass: "1.2.3".to_owned(),
        source: "agency".to_owned(),
        sink: "dam".to_owned(),
        hook: Some(HookIdentity {
            name: "by-folder".to_owned(),
            version: "2.0.0".to_owned(),
            digest: Blake3::of(b"component"),
            config_digest: Blake3::of(b"configuration"),
        }),
        rules: Blake3::of(b"rules"),
        plan: Some(Blake3::of(b"plan")),
    }
}

const EVERYTHING: FactsWanted = FactsWanted {
    reasons: 10,
    slowest: 10,
    slices: 4,
};

pub async fn a_ledger_keeps_its_name(ledger: &dyn Ledger, _clock: &ManualClock) {
    let id = ledger.id().await.unwrap();
    assert_eq!(id.len(), 32, "{id}");
    assert_eq!(ledger.id().await.unwrap(), id);
}

pub async fn custody_tells_every_attempt_in_order(ledger: &dyn Ledger, clock: &ManualClock) {
    let run = running(ledger, 3).await;
    let other = running(ledger, 1).await;
    let worker = WorkerId::fresh();
    let taken = take(ledger, run, &worker, 2).await;
    let retry = Outcome::Retry {
        after: Duration::ZERO,
        message: "later".to_owned(),
    };
    ledger
        .finish(&[
            report(&taken[0], done(placement(1))),
            report(&taken[1], retry),
        ])
        .await
        .unwrap();
    clock.advance(Duration::from_secs(1));
    let taken = take(ledger, run, &worker, 1).await;
    let failed = Outcome::Failed {
        kind: Kind::Integrity,
        message: "two digests".to_owned(),
        hint: None,
    };
    ledger.finish(&[report(&taken[0], failed)]).await.unwrap();
    let lost = take(ledger, other, &worker, 1).await;
    clock.advance(TTL * 2);
    assert_eq!(ledger.reap(other).await.unwrap(), 1);

    let all = ledger.custody(None, None, 100).await.unwrap();
    let events: Vec<CustodyEvent> = all.iter().map(|record| record.event).collect();
    use CustodyEvent::{Done, Failed, Lost, Retry};
    assert_eq!(events, [Done, Retry, Failed, Lost]);
    assert!(all.is_sorted_by_key(|record| record.id));
    let first = &all[0];
    assert_eq!((first.run, first.attempt), (run, 1));
    assert_eq!(first.worker.as_deref(), Some(&*worker.0));
    assert_eq!(first.reason, step(1).reason);
    assert_eq!(first.path, step(1).path);
    assert_eq!(first.took_ms, Some(20));
    assert_eq!(first.bytes_moved, 8);
    let placed = placement(1);
    assert_eq!(first.blake3, Some(placed.digests.blake3));
    assert_eq!(first.content_hash, placed.digests.content_hash);
    assert_eq!(first.evidence, Some(Evidence::E1));
    assert_eq!(first.sink.as_deref(), Some("dam"));
    assert_eq!(first.sink_asset.as_ref(), Some(&placed.placed.asset));
    assert_eq!(first.sink_revision.as_ref(), Some(&placed.placed.revision));
    assert_eq!(first.draft_digest, Some(placed.draft_digest));
    assert_eq!(all[1].message.as_deref(), Some("later"));
    assert_eq!(all[2].message.as_deref(), Some("two digests"));
    assert_eq!((all[3].run, all[3].step), (other, lost[0].id));
    assert_eq!(all[3].took_ms, None);

    let of_run = ledger.custody(Some(run), None, 100).await.unwrap();
    assert_eq!(of_run, all[..3]);
    let page = ledger.custody(None, Some(all[0].id), 2).await.unwrap();
    assert_eq!(page, all[1..3]);
    let none = ledger.custody(Some(RunId::fresh()), None, 9).await.unwrap();
    assert_eq!(none, []);
    assert_eq!(ledger.attempts(all[0].step).await.unwrap(), all[..1]);
    // Tried, and failed when it was tried again.
    assert_eq!(all[1].step, all[2].step);
    assert_eq!(ledger.attempts(all[1].step).await.unwrap(), all[1..3]);
}

pub async fn facts_of_a_run_are_counted_where_its_steps_are(
    ledger: &dyn Ledger,
    clock: &ManualClock,
) {
    let run = RunId::fresh();
    ledger.begin_run(run, "ingest").await.unwrap();
    let skip = |n: u64, reason: &str| NewStep {
        state: StepState::Skipped,
        action: Action::Skip,
        reason: reason.to_owned(),
        ..step(n)
    };
    let mut steps = vec![skip(1, "noise"), skip(2, "a draft"), skip(3, "noise")];
    steps.extend((4..=7).map(step));
    ledger.add_steps(run, &steps).await.unwrap();
    ledger.set_run_state(run, RunState::Running).await.unwrap();
    let empty = ledger.facts(run, EVERYTHING).await.unwrap();
    assert_eq!((empty.slices.len(), empty.slice_ms), (0, 1));
    let taken = take(ledger, run, &WorkerId::fresh(), 4).await;
    let took = |index: usize, ms: u64, outcome: Outcome| StepReport {
        took: Duration::from_millis(ms),
        ..report(&taken[index], outcome)
    };
    let failed = Outcome::Failed {
        kind: Kind::Capacity,
        message: "no room".to_owned(),
        hint: Some("make room".to_owned()),
    };
    clock.advance(Duration::from_millis(100));
    let first = [
        took(0, 5, done(placement(4))),
        took(1, 90, done(placement(5))),
        took(3, 7, failed),
    ];
    ledger.finish(&first).await.unwrap();
    clock.advance(Duration::from_millis(299));
    let last = [took(2, 40, done(placement(6)))];
    ledger.finish(&last).await.unwrap();

    let facts = ledger.facts(run, EVERYTHING).await.unwrap();
    assert_eq!(facts.proved, [(Evidence::E1, 3)].into());
    let slowest: Vec<_> = facts.slowest.iter().map(|step| step.took_ms).collect();
    assert_eq!(slowest, [Some(90), Some(40), Some(5)]);
    assert_eq!(facts.slowest[0].path, step(5).path);
    assert_eq!(facts.slice_ms, 100);
    let slice = |from_ms, steps| windlass_core::Slice {
        from_ms,
        steps,
        bytes_moved: 8 * steps,
    };
    assert_eq!(facts.slices, [slice(100, 2), slice(300, 1)]);
    let reasons: Vec<_> = facts
        .reasons
        .iter()
        .map(|count| (count.state, count.reason.as_str(), count.steps, count.bytes))
        .collect();
    assert_eq!(
        reasons,
        [
            (StepState::Skipped, "noise", 2, 4),
            (StepState::Failed, "no room", 1, 7),
            (StepState::Skipped, "a draft", 1, 2),
        ]
    );
    assert_eq!(facts.reasons[0].example, step(1).path);
    assert_eq!(facts.reasons[1].hint.as_deref(), Some("make room"));
    assert_eq!(
        facts.reasons[1].error.as_deref(),
        Some(Kind::Capacity.code())
    );
    assert_eq!(facts.more_reasons, 0);

    let little = FactsWanted {
        reasons: 1,
        slowest: 1,
        slices: 1,
    };
    let facts = ledger.facts(run, little).await.unwrap();
    assert_eq!((facts.reasons.len(), facts.more_reasons), (1, 2));
    assert_eq!(facts.slowest.len(), 1);
    assert_eq!((facts.slices.len(), facts.slice_ms), (1, 400));
    let error = ledger.facts(RunId::fresh(), EVERYTHING).await.unwrap_err();
    assert_eq!(error.kind(), Kind::NotFound);
}

pub async fn steps_about_a_path_are_found_with_what_they_were_to_do(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = running(ledger, 3).await;
    running(ledger, 3).await;
    let found = ledger.steps_at(run, &step(2).path).await.unwrap();
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0.asset, step(2).asset);
    assert_eq!(found[0].1, step(2).payload);
    let nowhere = AssetPath::new("/in/nowhere.tif");
    assert_eq!(ledger.steps_at(run, &nowhere).await.unwrap(), []);
}

pub async fn steps_that_have_not_ended_are_read_in_order_with_what_they_are_to_do(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = running(ledger, 4).await;
    running(ledger, 4).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 2).await;
    place(ledger, &taken[..1], &[placement(1)]).await;
    let left = ledger.unended(run, None, 10).await.unwrap();
    let found: Vec<_> = left.iter().map(|(_, payload)| payload.clone()).collect();
    assert_eq!(found, [2, 3, 4].map(|number| step(number).payload));
    assert_eq!(left[0].0.state, StepState::Leased);
    let after_first = Some(left[0].0.id);
    assert_eq!(
        ledger.unended(run, after_first, 1).await.unwrap(),
        left[1..2]
    );
    let last = Some(left[2].0.id);
    assert_eq!(ledger.unended(run, last, 10).await.unwrap(), []);
}

/// Ends leased steps with a placement each.
async fn place(ledger: &dyn Ledger, taken: &[LeasedStep], placements: &[Placement]) {
    let reports: Vec<StepReport> = taken
        .iter()
        .zip(placements)
        .map(|(step, placement)| report(step, done(placement.clone())))
        .collect();
    ledger.finish(&reports).await.unwrap();
}

pub async fn placements_are_read_in_order_and_found_by_what_they_became(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = running(ledger, 5).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 5).await;
    let mut placements: Vec<Placement> = (1..=5).map(placement).collect();
    // Another flow and another source have their own; two assets may have become one.
    placements[3].flow = "archive".to_owned();
    placements[4].placed.asset = placements[0].placed.asset.clone();
    place(ledger, &taken, &placements).await;

    let page = |after: Option<AssetId>, limit| async move {
        let page = ledger
            .placements_after("ingest", "agency", after.as_ref(), limit)
            .await
            .unwrap();
        page.into_iter().map(|p| p.source_asset).collect::<Vec<_>>()
    };
    let ids: Vec<AssetId> = [1, 2, 3, 5].map(|n| step(n).asset).into();
    assert_eq!(page(None, 10).await, ids);
    assert_eq!(page(None, 2).await, ids[..2]);
    assert_eq!(page(Some(ids[1].clone()), 10).await, ids[2..]);
    assert_eq!(page(Some(ids[3].clone()), 10).await, []);

    let asked = [
        AssetId::new("9"),
        placements[0].placed.asset.clone(),
        placements[3].placed.asset.clone(),
    ];
    let found = ledger.placed_as("dam", &asked).await.unwrap();
    let sources: Vec<Vec<AssetId>> = found
        .iter()
        .map(|of| of.iter().map(|p| p.source_asset.clone()).collect())
        .collect();
    assert_eq!(
        sources,
        [
            vec![],
            vec![step(1).asset, step(5).asset],
            vec![step(4).asset]
        ]
    );
    assert_eq!(
        ledger.placed_as("agency", &asked).await.unwrap(),
        [[], [], []]
    );
}

pub async fn contents_are_found_where_they_were_placed_last(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = running(ledger, 4).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 4).await;
    let mut placements: Vec<Placement> = (1..=4).map(placement).collect();
    let content = placements[0].digests;
    // The third is the same content placed later; the fourth is at another sink, and has no hash.
    placements[2].digests = content;
    placements[3].sink = "studio".to_owned();
    placements[3].digests.content_hash = None;
    place(ledger, &taken, &placements).await;

    let hash = |placement: &Placement| placement.digests.content_hash.unwrap();
    let asked = [
        (8, ContentHash::of(b"unknown")),
        (8, hash(&placements[1])),
        (8, hash(&placements[0])),
        // The same hash and another size is another content.
        (9, hash(&placements[0])),
    ];
    let found = ledger.holding("dam", &asked).await.unwrap();
    assert_eq!(
        found,
        [
            None,
            Some(placements[1].clone()),
            Some(placements[2].clone()),
            None
        ]
    );
    let elsewhere = ledger.holding("studio", &asked).await.unwrap();
    assert_eq!(elsewhere, [None, None, None, None]);
    assert_eq!(ledger.holding("dam", &[]).await.unwrap(), []);
    let sizes = ledger.holds_size("dam", &[7, 8, 9]).await.unwrap();
    assert_eq!(sizes, [false, true, false]);
    let sizes = ledger.holds_size("studio", &[8]).await.unwrap();
    assert_eq!(sizes, [true]);
    assert_eq!(ledger.holds_size("nowhere", &[8]).await.unwrap(), [false]);
}

pub async fn a_link_is_unchanged_while_its_asset_stands_for_another(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let run = running(ledger, 3).await;
    let taken = take(ledger, run, &WorkerId::fresh(), 3).await;
    let mut placements: Vec<Placement> = (1..=2).map(placement).collect();
    placements[1].placed.asset = placements[0].placed.asset.clone();
    placements[1].linked = true;
    placements[1].collection = AssetPath::new("/further");
    place(ledger, &taken, &placements).await;
    let assets: Vec<Asset> = placements.iter().map(asset_of).collect();
    let ids: Vec<AssetId> = assets.iter().map(|asset| asset.id.clone()).collect();
    let kept = ledger.placements("ingest", "agency", &ids).await.unwrap();
    assert_eq!(kept[1].as_ref(), Some(&placements[1]));
    let unchanged = ledger.unchanged("ingest", "agency", &assets).await.unwrap();
    assert_eq!(unchanged, [true, true]);
    let asset = placements[0].placed.asset.clone();
    let nobodys = AssetId::new("nobody's");
    let sharing = ledger.sharing("dam", &[nobodys, asset]).await.unwrap();
    assert_eq!(sharing[0], windlass_core::Sharing::default());
    let both = windlass_core::Sharing {
        files: 2,
        is_owned: true,
        first: placements[0].sort_key(),
        collections: [("/further".to_owned(), 1), ("/library".to_owned(), 1)].into(),
    };
    assert_eq!(sharing[1], both);
    // The first becomes an asset of its own, and the link is all that is left of the other one.
    placements[0].placed.asset = AssetId::new("of its own");
    let moved = report(&taken[2], done(placements[0].clone()));
    ledger.finish(&[moved]).await.unwrap();
    let unchanged = ledger.unchanged("ingest", "agency", &assets).await.unwrap();
    assert_eq!(unchanged, [true, false]);
}

pub async fn scratch_space_remembers_contents(ledger: &dyn Ledger, _clock: &ManualClock) {
    let mut spool = ledger.spool().await.unwrap();
    let of = |n: u32| ContentHash::of(&n.to_le_bytes());
    let seen = spool.seen(&[of(1), of(2), of(1)]).await.unwrap();
    assert_eq!(seen, [false, false, true]);
    let many: Vec<ContentHash> = (0..2_500).chain(1_000..1_010).map(of).collect();
    let seen = spool.seen(&many).await.unwrap();
    let known: Vec<usize> = (0..seen.len()).filter(|at| seen[*at]).collect();
    assert_eq!(
        known,
        [1, 2].into_iter().chain(2_500..2_510).collect::<Vec<_>>()
    );
    assert!(spool.seen(&[]).await.unwrap().is_empty());
    assert_eq!(spool.kept().await.unwrap(), 0);
}

fn spooled(path: &str, id: &str) -> SpoolEntry {
    let path = AssetPath::new(path);
    SpoolEntry::Put {
        key: path.key(),
        asset: Asset {
            id: AssetId::new(id),
            path,
            revision: Revision::new("1"),
            size: 1,
            modified: None,
            content_hash: None,
            tags: Vec::new(),
            readable: windlass_core::Readable::Yes,
        },
    }
}

async fn shown(spool: &mut dyn Spool) -> Vec<(String, String)> {
    let all = spool.page(None, 100).await.unwrap();
    assert_eq!(spool.kept().await.unwrap(), all.len() as u64);
    all.iter()
        .map(|asset| (asset.path.to_string(), asset.id.to_string()))
        .collect()
}

pub async fn scratch_space_applies_entries_in_order(ledger: &dyn Ledger, _clock: &ManualClock) {
    let mut spool = ledger.spool().await.unwrap();
    let pair = |path: &str, id: &str| (path.to_owned(), id.to_owned());
    let first = vec![
        spooled("/a/B", "1"),
        spooled("/a/c", "2"),
        spooled("/a!", "3"),
        spooled("/x/y/z", "4"),
        spooled("/x-y", "5"),
    ];
    spool.apply(first).await.unwrap();
    assert_eq!(
        shown(spool.as_mut()).await,
        [
            pair("/a!", "3"),
            pair("/a/B", "1"),
            pair("/a/c", "2"),
            pair("/x-y", "5"),
            pair("/x/y/z", "4")
        ]
    );
    // A move, a replacement, a removal of a tree and something under a name that is free again.
    let second = vec![
        spooled("/moved", "1"),
        spooled("/A/C", "6"),
        SpoolEntry::ClearTree("/x".to_owned()),
        spooled("/x/new", "4"),
        SpoolEntry::Drop {
            key: "/elsewhere".to_owned(),
            id: AssetId::new("3"),
        },
        SpoolEntry::Clear("/x/new".to_owned()),
        spooled("/x/new", "7"),
    ];
    spool.apply(second).await.unwrap();
    assert_eq!(
        shown(spool.as_mut()).await,
        [
            pair("/A/C", "6"),
            pair("/moved", "1"),
            pair("/x-y", "5"),
            pair("/x/new", "7")
        ]
    );
    // Forgotten and put in one go, none about the other.
    let third = vec![
        SpoolEntry::Drop {
            key: "/moved".to_owned(),
            id: AssetId::new("unknown"),
        },
        spooled("/b", "8"),
        SpoolEntry::Drop {
            key: "/unknown".to_owned(),
            id: AssetId::new("5"),
        },
    ];
    spool.apply(third).await.unwrap();
    assert_eq!(
        shown(spool.as_mut()).await,
        [pair("/A/C", "6"), pair("/b", "8"), pair("/x/new", "7")]
    );
    let keys = ["/b", "/nowhere", "/a/c"].map(str::to_owned);
    let got = spool.get(&keys).await.unwrap();
    let ids = got
        .iter()
        .map(|asset| asset.as_ref().map(|asset| asset.id.as_str()));
    assert_eq!(ids.collect::<Vec<_>>(), [Some("8"), None, Some("6")]);
    let after = SpoolOrder::of(got[2].as_ref().unwrap());
    let rest = spool.page(Some(&after), 1).await.unwrap();
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].id.as_str(), "8");
}

pub async fn scratch_space_keeps_assets_of_one_path_under_keys_of_their_own(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let mut spool = ledger.spool().await.unwrap();
    let by_id = |id: &str| match spooled("/twins.tif", id) {
        SpoolEntry::Put { asset, .. } => SpoolEntry::Put {
            key: id.to_owned(),
            asset,
        },
        other => other,
    };
    spool.apply(vec![by_id("1"), by_id("2")]).await.unwrap();
    assert_eq!(shown(spool.as_mut()).await.len(), 2);
    let first = spool.page(None, 1).await.unwrap();
    let rest = spool
        .page(Some(&SpoolOrder::of(&first[0])), 10)
        .await
        .unwrap();
    assert_eq!((rest.len(), rest[0].id.as_str()), (1, "2"));
}

pub async fn scratch_spaces_are_apart_and_hold_thousands(
    ledger: &dyn Ledger,
    _clock: &ManualClock,
) {
    let mut one = ledger.spool().await.unwrap();
    let mut other = ledger.spool().await.unwrap();
    let many = (0..2_500).map(|n| spooled(&format!("/{n:05}"), &n.to_string()));
    one.apply(many.collect()).await.unwrap();
    other.apply(vec![spooled("/only", "1")]).await.unwrap();
    assert_eq!(one.kept().await.unwrap(), 2_500);
    assert_eq!(other.kept().await.unwrap(), 1);
    let half = (0..2_500).step_by(2).map(|n: u32| SpoolEntry::Drop {
        key: format!("/{n:05}"),
        id: AssetId::new(n.to_string()),
    });
    one.apply(half.collect()).await.unwrap();
    let left = one.page(None, 5_000).await.unwrap();
    assert_eq!(left.len(), 1_250);
    assert!(left.is_sorted_by(|a, b| a.path < b.path));
}
