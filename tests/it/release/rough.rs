//! A bad day of a release: runs that are cut off, accounts that are full, services that fail, rights that end while bytes
//! are on their way.

use std::sync::atomic::{AtomicUsize, Ordering};

use windlass_core::StepState;

use super::*;
use crate::support::{faults, noise};

const FILES: usize = 24;

async fn many(world: &World, files: usize) -> Vec<u64> {
    let mut ids = Vec::new();
    for index in 0..files {
        let name = format!("piece-{index:03}.jpg");
        ids.push(world.asset(&name, &noise(20_000, index as u64)).await);
    }
    ids
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_bad_day_every_approved_asset_appears_once_and_goes_once() {
    let day = "p=0.02,do=503;p=0.02,do=reset-after;p=0.002,do=429:0";
    let mut world = World::with(SandboxOptions {
        dropbox_faults: faults(day),
        celum_faults: faults("route=GET *,p=0.03,do=503"),
        ..sandbox_options(11)
    })
    .await;
    let ids = many(&world, FILES).await;
    patient(&world).await;
    patient(&world).await;
    assert_eq!(world.below("/Press").len(), FILES);
    for id in &ids {
        world.switch(*id, false);
    }
    world.options.sweep = true;
    patient(&world).await;
    patient(&world).await;
    assert_eq!(world.below("/Press"), Vec::<String>::new());
    assert_eq!(world.below("/Quarantine").len(), FILES);
    assert_eq!(world.dropbox().links(), []);
    world.end().await;
}

/// A pass that a bad network may spoil a few times.
async fn patient(world: &World) {
    for _ in 0..10 {
        match world.try_pass().await {
            Ok(_) => return,
            Err(error) if error.is_temporary() => {}
            Err(error) => panic!("{error:?}"),
        }
    }
    panic!("ten passes were spoiled");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_cut_off_goes_on_without_a_second_copy_of_anything() {
    let mut world = World::with(SandboxOptions {
        dropbox_faults: faults("latency=15"),
        ..sandbox_options(12)
    })
    .await;
    let ids = many(&world, FILES).await;
    for cut_after in [1, 5, 9] {
        let flow = world.flow();
        let runner = world.runner(&flow);
        let run = match next_run_to_resume(world.ledger.as_ref(), FLOW)
            .await
            .unwrap()
        {
            Some(run) => run,
            None => runner.record(&flow.plan().await.unwrap()).await.unwrap(),
        };
        flow.open_folders().await.unwrap();
        let ended = Arc::new(AtomicUsize::new(0));
        let enough = CancellationToken::new();
        let (counted, told) = (Arc::clone(&ended), enough.clone());
        world.at(move |event| {
            if matches!(event, Event::StepEnded { .. })
                && counted.fetch_add(1, Ordering::Relaxed) + 1 >= cut_after
            {
                told.cancel();
            }
        });
        // Dropped in the middle of everything, as a process that is killed leaves it.
        let never = CancellationToken::new();
        tokio::select! {
            worked = runner.work(run, &never) => panic!("it ended before it was cut off: {worked:?}"),
            () = enough.cancelled() => {}
        }
        drop((runner, flow));
        reopen(&mut world).await;
    }
    world.at(|_| {});
    world.pass().await;
    let files = world.files();
    assert_eq!(files.len(), FILES);
    for (index, entry) in files.iter().enumerate() {
        let path = format!("/Press/CMP-2041/piece-{index:03}.jpg");
        assert_eq!(entry.path_display, path);
        assert_eq!(world.bytes(&path), noise(20_000, index as u64));
    }
    assert_eq!(world.dropbox().links().len(), FILES);
    for id in ids {
        assert_eq!(world.celum().external_references(id).unwrap().len(), 1);
    }
    assert!(world.pass().await.plan.is_empty());
    world.end().await;
}

/// Opens the ledger anew, and connects anew, as the next process does.
async fn reopen(world: &mut World) {
    world.ledger.close().await.unwrap();
    world.ledger = ledger(&world.folder).await;
    world.outlet = support::dropbox(&world.sandbox).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_withdrawal_that_is_cut_off_is_finished_by_the_next_run() {
    let mut world = World::with(SandboxOptions {
        dropbox_faults: faults("latency=15"),
        ..sandbox_options(13)
    })
    .await;
    world.options.taking_back.notes = true;
    let ids = many(&world, 10).await;
    world.pass().await;
    for id in &ids {
        world.switch(*id, false);
    }
    let flow = world.flow();
    let runner = world.runner(&flow);
    let run = runner.record(&flow.plan().await.unwrap()).await.unwrap();
    let calls = world.dropbox().calls("files/move_v2");
    let account = Arc::clone(world.dropbox());
    let never = CancellationToken::new();
    let first_move = async move {
        while account.calls("files/move_v2") == calls {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::select! {
        worked = runner.work(run, &never) => panic!("it ended before it was cut off: {worked:?}"),
        () = first_move => {}
    }
    drop((runner, flow));
    reopen(&mut world).await;
    world.pass().await;
    let notes = world.below("/Press");
    assert_eq!(notes.len(), 10, "{notes:?}");
    assert!(notes.iter().all(|path| path.ends_with("withdrawn.txt")));
    assert_eq!(world.below("/Quarantine").len(), 10);
    assert_eq!(world.dropbox().links(), []);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_account_ends_the_run_and_it_goes_on_when_there_is_room() {
    let mut options = sandbox_options(14);
    options.dropbox.quota_bytes = FILES as u64 * 20_000 + 50_000;
    let world = World::with(options).await;
    many(&world, FILES).await;
    // Something old that can go later.
    let old = noise(300_000, 99);
    world
        .dropbox()
        .put_file("/old.bin", old.into(), None)
        .unwrap();
    let error = match world.try_pass().await {
        Err(error) => error,
        Ok(passed) => panic!("{:?}", passed.closed),
    };
    assert_eq!(error.kind(), windlass_core::Kind::Capacity, "{error:?}");
    let so_far = world.below("/Press").len();
    assert!((1..FILES).contains(&so_far), "{so_far}");
    let waiting = next_run_to_resume(world.ledger.as_ref(), FLOW)
        .await
        .unwrap();
    let run = waiting.expect("it can go on");
    let steps = world.ledger.steps(run, None, 100).await.unwrap();
    let failed = steps.iter().filter(|step| step.state == StepState::Failed);
    assert_eq!(failed.count(), 0, "a full account is nobody's failure");

    world.dropbox().remove("/old.bin").unwrap();
    world.pass().await;
    assert_eq!(world.below("/Press").len(), FILES);
    assert_eq!(world.files().len(), FILES);
    assert_eq!(world.dropbox().links().len(), FILES);
    assert!(world.pass().await.plan.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_ends_while_bytes_are_on_their_way_shows_nothing() {
    // A small file and one of several parts; every call with content takes its time.
    for (size, seed) in [(3_000, 15), (12 << 20, 16)] {
        let world = World::with(SandboxOptions {
            dropbox_faults: faults("route=files/upload_session/append*,do=stall:300"),
            ..sandbox_options(seed)
        })
        .await;
        let hero = world.asset("hero.jpg", &noise(size, seed)).await;
        let celum = Arc::clone(world.celum());
        world.at(move |event| {
            if matches!(event, Event::StepStarted { .. }) {
                let off = Availability::Direct(false);
                celum.set_availability(hero, &off).unwrap();
            }
        });
        let passed = world.pass().await;
        assert_eq!(passed.steps.len(), 1);
        assert_eq!(passed.steps[0].state, StepState::Held, "{:?}", passed.steps);
        let message = passed.steps[0].message.as_deref();
        assert_eq!(message, Some("blocked by rights: it is switched off"));
        assert_eq!(world.files(), []);
        assert_eq!(world.dropbox().links(), []);
        assert_eq!(world.celum().external_references(hero).unwrap(), []);
        assert!(
            world
                .ledger
                .placements_after(FLOW, "dam", None, 10)
                .await
                .unwrap()
                .is_empty()
        );
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_right_that_ends_while_a_commit_is_put_off_is_withdrawn_by_the_next_sweep() {
    let mut world = World::with(SandboxOptions {
        dropbox_faults: faults("route=files/upload_session/finish*,times=1,do=stall:500;route=files/upload,times=1,do=stall:500"),
        ..sandbox_options(17)
    })
    .await;
    let hero = world.asset("hero.jpg", b"hero").await;
    let (celum, dropbox) = (Arc::clone(world.celum()), Arc::clone(world.dropbox()));
    let meanwhile = async {
        let commits = [
            "files/upload_session/finish",
            "files/upload_session/finish_batch_v2",
            "files/upload",
        ];
        while commits
            .iter()
            .map(|route| dropbox.calls(route))
            .sum::<u64>()
            == 0
        {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let off = Availability::Direct(false);
        celum.set_availability(hero, &off).unwrap();
    };
    let (passed, ()) = tokio::join!(world.pass(), meanwhile);
    assert_eq!(passed.steps.len(), 1);
    world.sweep().await;
    assert_eq!(world.below("/Press"), Vec::<String>::new());
    assert_eq!(world.dropbox().links(), []);
    world.end().await;
}
