//! No schedule of edits, faults and crashes keeps a restricted file visible for longer than one sweep.
//!
//! A seed is a schedule: people change rights, versions, folders and copies at both sides while passes are made, interrupted
//! in the middle, or meet errors. After each pass that ends, nothing is visible that was restricted before it began.

use std::collections::BTreeSet;

use windlass_core::memory::Operation;

use super::*;
use crate::tests::dice::Dice;

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// What somebody does while nobody looks.
fn disturb(world: &World, assets: &[AssetId], dice: &mut Dice, edited: &mut BTreeSet<AssetId>) {
    let which = dice.roll(assets.len() as u64) as usize;
    let (id, name) = (&assets[which], NAMES[which]);
    match dice.roll(12) {
        0 | 1 => world.switch_off(id),
        2 | 3 => world.switch_on(id),
        4 => world.library.hide(id, dice.roll(2) == 0),
        5 => world.rules.denied.lock().unwrap().clear(),
        6 => world.rules.deny(id, None),
        7 => {
            let version = format!("{name} {}", dice.roll(1_000));
            world
                .library
                .put(&format!("/Brand/{name}.jpg"), version.into_bytes())
                .unwrap();
        }
        8 => {
            let moved = format!("/Press/Moved/{name} {}.jpg", dice.roll(1_000));
            drop(
                world
                    .outlet
                    .rename(&format!("/Press/Brand/{name}.jpg"), &moved),
            );
        }
        9 => drop(world.outlet.delete(&format!("/Press/Brand/{name}.jpg"))),
        10 => {
            let path = format!("/Press/Brand/{name}.jpg");
            if let Ok(asset) = world
                .outlet
                .edit(&path, format!("theirs {}", dice.roll(1_000)).into_bytes())
            {
                edited.insert(asset.id);
            }
        }
        _ => {
            let faults = [
                Operation::Begin,
                Operation::Append,
                Operation::Commit,
                Operation::CommitAnswer,
                Operation::TakeBack,
                Operation::MoveTo,
                Operation::Find,
                Operation::Read,
            ];
            let fault = faults[dice.roll(faults.len() as u64) as usize];
            let kind = match fault {
                Operation::CommitAnswer => Kind::Ambiguous,
                _ => Kind::Unavailable,
            };
            world.outlet.inject(fault, kind);
        }
    }
}

/// Which assets may not be seen at this moment.
fn restricted(world: &World, assets: &[AssetId]) -> BTreeSet<AssetId> {
    let denied = world.rules.denied.lock().unwrap();
    let library = &world.library;
    let is_restricted = |id: &&AssetId| {
        let held = futures_util::FutureExt::now_or_never(windlass_core::Library::consult(
            library,
            std::slice::from_ref(*id),
        ));
        let held = held.unwrap().unwrap().remove(0);
        let is_off = held.is_none_or(|held| {
            held.usable != Usable::Stated(Availability::Direct { available: true })
        });
        is_off || denied.iter().any(|(asset, _)| asset == *id)
    };
    assets.iter().filter(is_restricted).cloned().collect()
}

/// Copies of restricted assets that people see and that nobody edited.
fn leaked(
    world: &World,
    restricted: &BTreeSet<AssetId>,
    edited: &BTreeSet<AssetId>,
) -> Vec<String> {
    let names: Vec<String> = restricted
        .iter()
        .filter_map(|id| {
            world
                .library
                .endpoint()
                .assets()
                .into_iter()
                .find(|one| one.id == *id)
        })
        .map(|asset| asset.path.name().trim_end_matches(".jpg").to_owned())
        .collect();
    let seen = world.outlet.assets().into_iter().filter(|asset| {
        let path = asset.path.as_str();
        let bytes = world.outlet.bytes(&asset.id).unwrap();
        path.starts_with("/Press")
            && !edited.contains(&asset.id)
            && names
                .iter()
                .any(|name| bytes.starts_with(format!("{name} ").as_bytes()))
    });
    seen.map(|asset| asset.path.to_string()).collect()
}

async fn schedule(seed: u64) {
    let world = World::new();
    let mut dice = Dice::of(seed);
    let assets: Vec<AssetId> = NAMES
        .iter()
        .map(|name| {
            world.asset(
                &format!("/Brand/{name}.jpg"),
                format!("{name} 0").as_bytes(),
            )
        })
        .collect();
    let mut edited = BTreeSet::new();
    for round in 0..12 {
        for _ in 0..dice.roll(4) {
            disturb(&world, &assets, &mut dice, &mut edited);
        }
        if dice.roll(3) == 0 {
            crash(&world, &mut dice).await;
            continue;
        }
        // What is restricted now may not be seen after the sweep that begins now.
        let before = restricted(&world, &assets);
        let (plan, _) = world.pass().await;
        let leaked = leaked(&world, &before, &edited);
        assert!(
            leaked.is_empty(),
            "seed {seed}, round {round}: {leaked:?} {:?}",
            told(&plan)
        );
    }
}

/// A run that ends in the middle: its tasks are dropped between two awaits.
async fn crash(world: &World, dice: &mut Dice) {
    let flow = world.flow();
    let runner = world.runner(&flow);
    // Whoever begins anew takes up first what was interrupted before.
    let interrupted = next_run_to_resume(world.ledger.as_ref(), "out").await;
    let run = match interrupted.unwrap() {
        Some(run) => run,
        None => {
            let plan = flow.plan().await.unwrap();
            runner.record(&plan).await.unwrap()
        }
    };
    let never = CancellationToken::new();
    let mut work = Box::pin(runner.work(run, &never));
    for _ in 0..dice.roll(12) {
        if futures_util::FutureExt::now_or_never(&mut work).is_some() {
            return;
        }
        tokio::task::yield_now().await;
    }
    drop(work);
    // Whoever opens a ledger takes the leases of the dead.
    world.running.advance(120);
    world.ledger.reap(run).await.unwrap();
}

#[tokio::test]
async fn no_schedule_keeps_a_restricted_file_visible_for_longer_than_one_sweep() {
    for seed in 0..400 {
        schedule(seed).await;
    }
}
