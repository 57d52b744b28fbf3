//! What a plan says that it will cost in calls is what running it costs, as the services count.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_core::{AssetPath, Availability, ByteSize, Sink, Source, Value};
use windlass_flow::{CallForecast, Duplicates, IngestOptions, PlanCalls};
use windlass_sandbox::Sandbox;
use windlass_transfer::{Engine, EngineOptions};

use crate::duplicates::{Flow, everything, nas, write};
use crate::support::{self, noise, sandbox_options, tenant_profile};

/// What a process of its own would do: connects, plans, and says what a run takes.
async fn predict(flow: &Flow) -> PlanCalls {
    let mut counted = CallForecast::new(flow.runner.engine.clone());
    let sink = flow.ingest.sink.as_ref();
    for step in flow.plan().await.steps {
        counted.add(&step, sink);
    }
    let source = flow.ingest.source.as_ref();
    counted.finish(source, sink).await.unwrap()
}

/// All calls that the services counted, at Dropbox and at CELUM.
fn counted(sandbox: &Sandbox) -> (u64, u64) {
    let dropbox = sandbox.dropbox().call_counts();
    let celum = sandbox.celum().counters();
    (
        dropbox.iter().map(|one| one.calls).sum(),
        celum.values().map(|one| one.calls).sum(),
    )
}

/// Within two of a hundred; of a few calls, within three.
fn agree(what: &str, predicted: u64, actual: u64) {
    let off = predicted.abs_diff(actual);
    assert!(
        off <= 3 || off * 50 <= actual,
        "{what}: {predicted} calls were predicted, {actual} were made"
    );
}

fn to_celum() -> IngestOptions {
    IngestOptions {
        asset_type: Some("campaignAsset".to_owned()),
        availability: Some(Availability::Direct { available: true }),
        set: BTreeMap::from([
            ("campaignId".to_owned(), Value::Text("CMP-2041".to_owned())),
            ("approval".to_owned(), Value::Text("Approved".to_owned())),
        ]),
        ..everything("/Brand Library/Inbox/Harvest")
    }
}

/// Small files in folders of two levels, and two large ones.
fn fill(put: impl Fn(&str, Vec<u8>)) {
    for n in 0..400_usize {
        let bytes = noise(2_000 + n * 370, n as u64);
        put(&format!("{}/{}/{n}.tif", n % 7, n % 3), bytes);
    }
    put("film.mov", noise(33 << 20, 500));
    put("0/second film.mov", noise(17 << 20, 501));
}

async fn flow(source: Arc<dyn Source>, sink: Arc<dyn Sink>, options: IngestOptions) -> Flow {
    Flow::new(source, sink, options).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_to_celum_costs_the_calls_that_its_plan_says() {
    let sandbox = support::start(sandbox_options(1)).await;
    let folder = tempfile::tempdir().unwrap();
    fill(|path, bytes| write(folder.path(), path, &bytes));
    let celum = || support::celum(&sandbox, tenant_profile());
    let planned = flow(nas(folder.path()), celum().await, to_celum()).await;
    let predicted = predict(&planned).await;
    assert_eq!(predicted.source.all, 0);
    let before = counted(&sandbox).1;
    let running = flow(nas(folder.path()), celum().await, to_celum()).await;
    running.run().await;
    agree("new", predicted.sink.all, counted(&sandbox).1 - before);

    // The next day: some are new, some have other bytes, one folder more.
    for n in 0..60 {
        write(
            folder.path(),
            &format!("1/1/new {n}.tif"),
            &noise(3_000, 900 + n),
        );
        write(
            folder.path(),
            &format!("8/9/{n}.tif"),
            &noise(3_000, 1_900 + n),
        );
    }
    for n in [10, 31, 52] {
        write(
            folder.path(),
            &format!("{}/{}/{n}.tif", n % 7, n % 3),
            b"other bytes",
        );
    }
    let sink = celum().await;
    let next_day = running.with_sink(sink).await;
    let predicted = predict(&next_day).await;
    let next_day = next_day.with_sink(celum().await).await;
    let before = counted(&sandbox).1 - next_day.ingest.sink.calls_made();
    next_day.run().await;
    agree("next day", predicted.sink.all, counted(&sandbox).1 - before);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropbox_to_celum_costs_the_calls_that_its_plan_says_on_both_sides() {
    let sandbox = support::start(sandbox_options(2)).await;
    fill(|path, bytes| {
        let path = format!("/In/{path}");
        let put = sandbox.dropbox().put_file(&path, bytes.into(), None);
        put.unwrap();
    });
    let options = IngestOptions {
        root: AssetPath::new("/In"),
        ..to_celum()
    };
    let dropbox = || support::dropbox(&sandbox);
    let celum = || support::celum(&sandbox, tenant_profile());
    let planned = flow(dropbox().await, celum().await, options.clone()).await;
    let predicted = predict(&planned).await;
    let before = counted(&sandbox);
    let running = flow(dropbox().await, celum().await, options).await;
    running.run().await;
    let after = counted(&sandbox);
    agree("Dropbox", predicted.source.all, after.0 - before.0);
    agree("CELUM", predicted.sink.all, after.1 - before.1);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_cost_the_calls_that_their_plan_says() {
    let sandbox = support::start(sandbox_options(3)).await;
    let folder = tempfile::tempdir().unwrap();
    for n in 0..120 {
        let bytes = noise(2_000, n % 40);
        write(folder.path(), &format!("{}/{n}.tif", n % 7), &bytes);
    }
    let options = IngestOptions {
        ready: windlass_flow::Readiness::default(),
        duplicates: Some(Duplicates::Reuse),
        ..to_celum()
    };
    let celum = || support::celum(&sandbox, tenant_profile());
    let planned = flow(nas(folder.path()), celum().await, options.clone()).await;
    let predicted = predict(&planned).await;
    let before = counted(&sandbox).1;
    let running = flow(nas(folder.path()), celum().await, options).await;
    running.run().await;
    agree("links", predicted.sink.all, counted(&sandbox).1 - before);
    sandbox.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_to_dropbox_costs_the_calls_that_its_plan_says() {
    for (name, small, large, twins) in [
        ("small", 3_000, 0, 0),
        ("large", 0, 12, 0),
        ("mixed", 900, 4, 500),
    ] {
        let sandbox = support::start(sandbox_options(4)).await;
        let folder = tempfile::tempdir().unwrap();
        for n in 0..small {
            let bytes = noise(1_500 + n * 7, n as u64);
            write(folder.path(), &format!("{}/{n}.tif", n % 7), &bytes);
        }
        for n in 0..large {
            let bytes = noise((17 + n) << 20, 5_000 + n as u64);
            write(folder.path(), &format!("film {n}.mov"), &bytes);
        }
        for n in 0..twins {
            let bytes = noise(1_500 + n * 7, n as u64);
            write(folder.path(), &format!("again/{}/{n}.tif", n % 7), &bytes);
        }
        let dropbox = || support::dropbox(&sandbox);
        let planned = flow(nas(folder.path()), dropbox().await, everything("/Out")).await;
        let predicted = predict(&planned).await;
        let before = counted(&sandbox).0;
        let running = flow(nas(folder.path()), dropbox().await, everything("/Out")).await;
        running.run().await;
        let made = counted(&sandbox).0 - before;
        // How full the calls are that small files share depends on when they come, and on how busy the machine is: none has
        // fewer than some hundred.
        let shared = predicted.sink.all.abs_diff(made) <= small as u64 / 200;
        if !shared {
            agree(name, predicted.sink.all, made);
        }
        sandbox.shutdown().await;
    }
}

#[test]
fn large_files_are_counted_by_the_chunks_that_the_engine_cuts() {
    let engine = Engine::new(EngineOptions {
        chunk: ByteSize::mib(8),
        ..EngineOptions::default()
    })
    .unwrap();
    let sink = windlass_core::memory::MemoryEndpoint::new("memory");
    let chunks = |size: u64| engine.layout(&sink, size).unwrap().count();
    assert_eq!(chunks(1), 1);
    assert_eq!(chunks(8 << 20), 1);
    assert_eq!(chunks((8 << 20) + 1), 2);
    assert_eq!(chunks(1 << 30), 128);
}
