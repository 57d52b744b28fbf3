//! A ledger that is lost is made again from what is stamped on the files, and what follows is as if it had not been lost.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use windlass_celum::CelumProfile;
use windlass_core::memory::MemoryEndpoint;
use windlass_core::{Action, AssetPath, Correlation, Ledger, Placement, RunState, Source, Value};
use windlass_flow::{
    AuditedFile, Duplicates, IngestOptions, PlannedStep, Rebuild, Rebuilt, Recorder, RunOutcome,
    Standing, Verify,
};
use windlass_sandbox::Sandbox;

use crate::duplicates::{Flow, everything, nas, uploads, write};
use crate::support::{self, noise, sandbox_options, tenant_profile};

/// Makes the ledger of a flow again, as the program does it.
async fn rebuild(flow: &Flow, sink_reader: Arc<dyn Source>) -> Rebuilt {
    let ledger = flow.ledger.as_ref();
    let source = flow.ingest.source.name();
    let name = &flow.ingest.options.flow;
    let mut recorder = Recorder::begin(ledger, name, source).await.unwrap();
    let rebuild = Rebuild {
        ingest: &flow.ingest,
        sink_reader,
        within: Rebuild::within(&flow.ingest),
        engine: &flow.runner.engine,
    };
    let (summary, rebuilt) = rebuild.decide(&mut recorder).await.unwrap();
    let run = recorder.complete(&summary).await.unwrap();
    let worked = flow.runner.work(run, &CancellationToken::new()).await;
    assert_eq!(worked.unwrap(), RunOutcome::Finished);
    assert_eq!(
        ledger.run(run).await.unwrap().unwrap().state,
        RunState::Finished
    );
    let items = flow.ledger.check().await.unwrap();
    assert!(items.iter().all(|item| item.ok), "{items:?}");
    rebuilt
}

async fn standings(flow: &Flow, sink_reader: Arc<dyn Source>) -> BTreeMap<Standing, u64> {
    let verify = Verify {
        ingest: &flow.ingest,
        sink_reader,
        within: flow.ingest.options.collection.clone(),
        deep: None,
        at_once: 4,
    };
    let mut files: Vec<AuditedFile> = Vec::new();
    let audit = verify.run(&mut files).await.unwrap();
    assert_eq!(audit.unexplained, 0);
    let counted = audit.standings.into_iter();
    counted
        .map(|(standing, sum)| (standing, sum.files))
        .collect()
}

fn into_celum(duplicates: Option<Duplicates>) -> IngestOptions {
    IngestOptions {
        root: AssetPath::new("/In"),
        asset_type: Some("campaignAsset".to_owned()),
        set: BTreeMap::from([
            ("campaignId".to_owned(), Value::Text("CMP-2041".to_owned())),
            ("approval".to_owned(), Value::Text("Approved".to_owned())),
        ]),
        ready: windlass_flow::Readiness::default(),
        duplicates,
        ..everything("/Brand Library/Inbox/Harvest")
    }
}

fn marked() -> CelumProfile {
    CelumProfile {
        correlation_field: Some("windlassCorrelation".to_owned()),
        ..tenant_profile()
    }
}

fn put(sandbox: &Sandbox, path: &str, bytes: &[u8]) {
    let put = sandbox
        .dropbox()
        .put_file(path, bytes.to_vec().into(), None);
    put.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ledger_of_celum_is_made_again_and_nothing_is_left_to_do() {
    let sandbox = support::start(sandbox_options(1)).await;
    for n in 0..30 {
        put(
            &sandbox,
            &format!("/In/{}/shot {n}.tif", n % 3),
            &noise(2_000 + n, n as u64),
        );
    }
    let source = support::dropbox(&sandbox).await;
    let sink = support::celum(&sandbox, marked()).await;
    let flow = Flow::new(source, Arc::clone(&sink) as _, into_celum(None)).await;
    flow.run().await;
    let flow = flow.with_lost_ledger().await;
    let lost = flow.plan().await;
    assert_eq!(
        lost.totals()[&Action::Create].0,
        30,
        "without it everything would come twice"
    );
    let rebuilt = rebuild(&flow, Arc::clone(&sink) as _).await;
    assert_eq!((rebuilt.by_stamp.files, rebuilt.at_sink), (30, 30));
    assert_eq!(
        (rebuilt.missing.files, rebuilt.changed, rebuilt.of_others),
        (0, 0, 0)
    );
    let plan = flow.plan().await;
    assert!(plan.is_empty(), "{:?}", plan.steps);
    assert_eq!(plan.summary.unchanged.assets, 30);
    let found = standings(&flow, sink).await;
    assert_eq!(found, BTreeMap::from([(Standing::Same, 30)]));
    let adopted = flow.ledger.custody(None, None, 99).await.unwrap();
    assert!(
        adopted
            .iter()
            .all(|record| record.action == Action::Adopt && record.bytes_moved == 0)
    );
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happened_while_the_ledger_was_lost_is_what_the_next_run_follows() {
    let sandbox = support::start(sandbox_options(2)).await;
    for n in 0..8 {
        put(
            &sandbox,
            &format!("/In/shot {n}.tif"),
            &noise(2_000 + n, n as u64),
        );
    }
    let source = support::dropbox(&sandbox).await;
    let sink = support::celum(&sandbox, marked()).await;
    let mut options = into_celum(None);
    let flow = Flow::new(
        Arc::clone(&source) as _,
        Arc::clone(&sink) as _,
        options.clone(),
    )
    .await;
    flow.run().await;
    let before: BTreeMap<String, u64> = names(&sandbox);
    // One changed, one is new, one is gone, and the rules give another value.
    put(&sandbox, "/In/shot 1.tif", &noise(9_000, 99));
    put(&sandbox, "/In/shot 8.tif", &noise(3_000, 98));
    sandbox.dropbox().remove("/In/shot 2.tif").unwrap();
    options
        .set
        .insert("campaignId".to_owned(), Value::Text("CMP-2042".to_owned()));
    let lost = flow.with_lost_ledger().await;
    let flow = Flow::new(source, Arc::clone(&sink) as _, options).await;
    drop(lost);
    let rebuilt = rebuild(&flow, Arc::clone(&sink) as _).await;
    assert_eq!((rebuilt.by_stamp.files, rebuilt.changed), (7, 1));
    assert_eq!((rebuilt.missing.files, rebuilt.of_others), (1, 1));
    let totals = flow.plan().await.totals();
    let of = |action| totals.get(&action).map_or(0, |(steps, _)| *steps);
    assert_eq!(of(Action::NewVersion), 1);
    assert_eq!(of(Action::Create), 1);
    assert_eq!(of(Action::UpdateMetadata), 6);
    flow.run().await;
    // A new version of the asset that was there, and no asset twice.
    let after = names(&sandbox);
    assert_eq!(after.len(), 9);
    assert!(before.iter().all(|(name, id)| after[name] == *id));
    assert!(flow.plan().await.is_empty());
    sandbox.shutdown().await;
}

/// The id of each asset of CELUM, by file name. No name is there twice.
fn names(sandbox: &Sandbox) -> BTreeMap<String, u64> {
    let assets = sandbox.celum().assets();
    let names: BTreeMap<_, _> = assets
        .iter()
        .map(|one| (one.filename.clone(), one.id))
        .collect();
    assert_eq!(names.len(), assets.len());
    names
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_linked_to_one_asset_are_found_linked() {
    let sandbox = support::start(sandbox_options(3)).await;
    for n in 0..6 {
        for name in ["first", "second", "third"] {
            put(
                &sandbox,
                &format!("/In/{name}/{name} {n}.tif"),
                &noise(2_000 + n, n as u64),
            );
        }
    }
    let source = support::dropbox(&sandbox).await;
    let sink = support::celum(&sandbox, marked()).await;
    let options = into_celum(Some(Duplicates::Reuse));
    let flow = Flow::new(source, Arc::clone(&sink) as _, options).await;
    flow.run().await;
    assert_eq!(sandbox.celum().asset_count(), 6);
    let flow = flow.with_lost_ledger().await;
    let rebuilt = rebuild(&flow, Arc::clone(&sink) as _).await;
    assert_eq!((rebuilt.by_stamp.files, rebuilt.by_link.files), (6, 12));
    let plan = flow.plan().await;
    assert!(plan.is_empty(), "{:?}", plan.steps);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ledger_of_dropbox_is_made_again_whatever_people_renamed() {
    let sandbox = support::start(sandbox_options(4)).await;
    let folder = tempfile::tempdir().unwrap();
    for n in 0..40 {
        write(
            folder.path(),
            &format!("{}/shot {n}.tif", n % 4),
            &noise(1_000 + n * 37, n as u64),
        );
    }
    // One content in three places: one file is uploaded and stamped, two are copies and carry nothing.
    for name in ["a", "b", "c"] {
        write(
            folder.path(),
            &format!("{name}/film.mov"),
            &noise(9 << 20, 500),
        );
    }
    let sink = support::dropbox(&sandbox).await;
    let flow = Flow::new(
        nas(folder.path()),
        Arc::clone(&sink) as _,
        everything("/Out"),
    )
    .await;
    flow.run().await;
    let sent = uploads(&sandbox);
    sandbox
        .dropbox()
        .rename("/Out/0/shot 0.tif", "/Out/finals/cover.tif")
        .unwrap();
    sandbox.dropbox().rename("/Out/1", "/Out/one").unwrap();
    sandbox
        .dropbox()
        .rename("/Out/3/shot 3.tif", "/Elsewhere/kept.tif")
        .unwrap();
    put(&sandbox, "/Out/notes of people.txt", b"not ours");
    // Edited by somebody: one has another size now, one has not.
    put(&sandbox, "/Out/2/shot 2.tif", b"edited by somebody");
    put(&sandbox, "/Out/2/shot 6.tif", &noise(1_000 + 6 * 37, 600));
    let flow = flow.with_lost_ledger().await;
    let rebuilt = rebuild(&flow, Arc::clone(&sink) as _).await;
    assert_eq!((rebuilt.by_stamp.files, rebuilt.by_place.files), (41, 2));
    assert_eq!(
        (rebuilt.at_sink, rebuilt.missing.files, rebuilt.copies),
        (44, 0, 0)
    );
    assert_eq!(rebuilt.touched, 2);
    let plan = flow.plan().await;
    assert!(plan.is_empty(), "{:?}", plan.steps);
    // The audit tells what people did since, as it would have with the old ledger.
    let found = standings(&flow, sink).await;
    assert_eq!(
        found,
        BTreeMap::from([
            (Standing::Same, 41),
            (Standing::Extra, 1),
            (Standing::Differs, 2)
        ])
    );
    assert_eq!(uploads(&sandbox), sent);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_whose_original_has_other_bytes_by_now_is_found_in_its_place() {
    let sandbox = support::start(sandbox_options(8)).await;
    let source = MemoryEndpoint::new("archive");
    let sink = support::dropbox(&sandbox).await;
    let flow = Flow::new(
        Arc::new(source.clone()),
        Arc::clone(&sink) as _,
        everything("/Out"),
    )
    .await;
    // The second is copied from the first, which then is edited: nothing with these bytes carries a stamp any more.
    source.put("/first.mov", noise(20_000, 1)).unwrap();
    flow.run().await;
    source.put("/second.mov", noise(20_000, 1)).unwrap();
    flow.run().await;
    source.put("/first.mov", noise(20_000, 2)).unwrap();
    flow.run().await;
    let flow = flow.with_lost_ledger().await;
    let rebuilt = rebuild(&flow, sink).await;
    assert_eq!((rebuilt.by_stamp.files, rebuilt.by_place.files), (1, 1));
    assert_eq!((rebuilt.missing.files, rebuilt.read.files), (0, 1));
    let plan = flow.plan().await;
    assert!(plan.is_empty(), "{:?}", plan.steps);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_twin_that_was_never_placed_is_not_taken_for_a_link() {
    let sandbox = support::start(sandbox_options(7)).await;
    put(&sandbox, "/In/first.tif", &noise(2_000, 1));
    let source = support::dropbox(&sandbox).await;
    let sink = support::celum(&sandbox, marked()).await;
    // A flow that makes an asset of each file, whatever its bytes.
    let flow = Flow::new(source, Arc::clone(&sink) as _, into_celum(None)).await;
    flow.run().await;
    put(&sandbox, "/In/second.tif", &noise(2_000, 1));
    let flow = flow.with_lost_ledger().await;
    let rebuilt = rebuild(&flow, Arc::clone(&sink) as _).await;
    assert_eq!((rebuilt.by_stamp.files, rebuilt.by_link.files), (1, 0));
    assert_eq!(rebuilt.missing.files, 1);
    flow.run().await;
    assert_eq!(names(&sandbox).len(), 2);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_left_a_shared_asset_does_not_get_it_back() {
    let sandbox = support::start(sandbox_options(8)).await;
    put(&sandbox, "/In/a/first.tif", &noise(2_000, 1));
    put(&sandbox, "/In/b/second.tif", &noise(2_000, 1));
    let source = support::dropbox(&sandbox).await;
    let sink = support::celum(&sandbox, marked()).await;
    let options = into_celum(Some(Duplicates::Reuse));
    let flow = Flow::new(source, Arc::clone(&sink) as _, options).await;
    flow.run().await;
    // The first one changes: it becomes an asset of its own, and the shared one stays for the second.
    put(&sandbox, "/In/a/first.tif", &noise(3_000, 2));
    flow.run().await;
    let before = sandbox.celum().assets();
    assert_eq!(before.len(), 2);
    let flow = flow.with_lost_ledger().await;
    let rebuilt = rebuild(&flow, Arc::clone(&sink) as _).await;
    assert_eq!((rebuilt.by_stamp.files, rebuilt.copies), (1, 0));
    // The second is still the shared one, whose stamp names the first.
    assert_eq!((rebuilt.by_link.files, rebuilt.missing.files), (1, 0));
    flow.run().await;
    assert_eq!(sandbox.celum().assets().len(), 2);
    for asset in &before {
        let after = sandbox.celum().assets();
        let now = after.iter().find(|now| now.id == asset.id).unwrap();
        assert_eq!(now.size, asset.size, "{} has other bytes", asset.id);
    }
    let plan = flow.plan().await;
    assert!(plan.is_empty(), "{:?}", plan.steps);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn marks_alone_are_known_by_reading_the_files() {
    let sandbox = support::start(sandbox_options(9)).await;
    for n in 0..5 {
        put(
            &sandbox,
            &format!("/In/shot {n}.tif"),
            &noise(2_000 + n, n as u64),
        );
    }
    let source = support::dropbox(&sandbox).await;
    let sink = support::celum(&sandbox, marked()).await;
    let flow = Flow::new(source, Arc::clone(&sink) as _, into_celum(None)).await;
    flow.run().await;
    // As older versions left them, which knew no more than a mark.
    let placed = flow
        .ledger
        .placements_after("everything", "studio", None, 99)
        .await
        .unwrap();
    for placement in &placed {
        let mark = Correlation::derive(
            "everything",
            "studio",
            placement.source_asset.as_str(),
            placement.source_revision.as_str(),
        );
        set_field(&sandbox, placement.placed.asset.as_str(), mark.as_str()).await;
    }
    let flow = flow.with_lost_ledger().await;
    let rebuilt = rebuild(&flow, Arc::clone(&sink) as _).await;
    assert_eq!((rebuilt.by_stamp.files, rebuilt.read.files), (5, 5));
    let again = flow
        .ledger
        .placements_after("everything", "studio", None, 99)
        .await
        .unwrap();
    let digests = |placements: &[Placement]| -> Vec<_> {
        placements
            .iter()
            .map(|one| (one.source_asset.clone(), one.digests))
            .collect()
    };
    assert_eq!(digests(&again), digests(&placed));
    // What they became is not known, so it is made sure of; nothing comes twice.
    let totals = flow.plan().await.totals();
    assert_eq!(
        totals.get(&Action::UpdateMetadata).map(|sums| sums.0),
        Some(5)
    );
    assert_eq!(totals.get(&Action::Create), None);
    sandbox.shutdown().await;
}

/// Somebody writes into the correlation field of an asset.
async fn set_field(sandbox: &Sandbox, asset: &str, text: &str) {
    let field = sandbox.celum().field_id("windlassCorrelation").unwrap();
    let at = sandbox.endpoints();
    let url = format!("{}/assets/{asset}", at.celum_api_root);
    let value = serde_json::json!({ "op": "SET", "value": text });
    let values = serde_json::json!([{ "id": field, "type": "TEXT", "value": value }]);
    let body = serde_json::json!({ "informationFieldValues": values }).to_string();
    let request = windlass_http::Request {
        method: http::Method::PATCH,
        url: url.parse().unwrap(),
        headers: [
            ("x-api-key", at.celum_api_key.as_str()),
            ("content-type", "application/json"),
        ]
        .into_iter()
        .map(|(name, value)| {
            let name = http::HeaderName::from_static(name);
            (name, http::HeaderValue::from_str(value).unwrap())
        })
        .collect(),
        body: windlass_http::Body::Bytes(body.into()),
        answer_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
    };
    let answer = support::network().send(request).await.unwrap();
    assert!(answer.status.is_success(), "{}", answer.status);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_ledger_of_a_folder_is_made_again_from_the_bytes() {
    let (from, to) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for n in 0..20 {
        write(
            from.path(),
            &format!("{}/shot {n}.tif", n % 4),
            &noise(1_000 + n * 37, n as u64),
        );
    }
    let sink = nas(to.path());
    let flow = Flow::new(nas(from.path()), Arc::clone(&sink) as _, everything("/Out")).await;
    flow.run().await;
    write(to.path(), "Out/3/shot 3.tif", &noise(1_000 + 3 * 37, 77));
    let flow = flow.with_lost_ledger().await;
    let rebuilt = rebuild(&flow, Arc::clone(&sink) as _).await;
    // The one with other bytes in its place is not taken for ours, though it has their size.
    assert_eq!((rebuilt.by_place.files, rebuilt.missing.files), (19, 1));
    let plan = flow.plan().await;
    assert_eq!(plan.summary.unchanged.assets, 19);
    let acting: Vec<&PlannedStep> = plan
        .steps
        .iter()
        .filter(|step| step.action.acts())
        .collect();
    assert_eq!(acting.len(), 1);
    assert_eq!(acting[0].asset.path.as_str(), "/3/shot 3.tif");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_ledger_knows_stays_and_a_second_rebuild_finds_nothing() {
    let sandbox = support::start(sandbox_options(6)).await;
    let folder = tempfile::tempdir().unwrap();
    for n in 0..12 {
        write(
            folder.path(),
            &format!("shot {n}.tif"),
            &noise(1_000 + n * 37, n as u64),
        );
    }
    let sink = support::dropbox(&sandbox).await;
    let flow = Flow::new(
        nas(folder.path()),
        Arc::clone(&sink) as _,
        everything("/Out"),
    )
    .await;
    flow.run().await;
    for _ in 0..2 {
        let rebuilt = rebuild(&flow, Arc::clone(&sink) as _).await;
        assert_eq!((rebuilt.known, rebuilt.adopted().files), (12, 0));
    }
    let flow = flow.with_lost_ledger().await;
    let first = rebuild(&flow, Arc::clone(&sink) as _).await;
    let second = rebuild(&flow, Arc::clone(&sink) as _).await;
    assert_eq!((first.adopted().files, second.adopted().files), (12, 0));
    assert_eq!(second.known, 12);
    sandbox.shutdown().await;
}
