//! The checker: what must be true of the world once windlass has nothing left to do.

use std::collections::{BTreeMap, BTreeSet};

use windlass_core::{Blake3, ContentHash, Ledger};
use windlass_flow::Rebuilt;

use crate::story::Way;
use crate::world::{World, noise};

/// Both sides agree, nothing is there twice, nothing half, the ledger is settled.
pub(crate) async fn at_rest(world: &World) {
    match world.story.way {
        Way::NasToDropbox => dropbox_holds(world),
        Way::NasToCelum | Way::DropboxToCelum | Way::Both => celum_holds(world),
    }
    assert_eq!(world.tenant.leaked_credentials(), 0);
    ledger_is_settled(&world.ledger).await;
}

/// Every step of every run has ended.
pub(crate) async fn ledger_is_settled(ledger: &dyn Ledger) {
    for run in ledger.runs(None, u32::MAX).await.unwrap() {
        for (state, action, tally) in ledger.tally(run.id).await.unwrap() {
            let open = !state.is_terminal() && tally.steps > 0;
            assert!(
                !open || !run.state.gives_steps(),
                "{state:?} {action:?} is left"
            );
        }
    }
}

/// Whatever the ledger learnt again from the files, it knows of each file that it is at the sink. Files that are linked to
/// another one's asset may not show it: they are linked once more.
pub(crate) fn nothing_would_come_twice(world: &World, rebuilt: &Rebuilt) {
    let links = world.story.links && world.story.way != Way::NasToDropbox;
    assert!(links || rebuilt.missing.files == 0, "{rebuilt:?}");
    assert_eq!(rebuilt.copies, 0, "{rebuilt:?}");
}

/// What the story may take back that Dropbox has acknowledged, or keep from windlass that it did.
const FORGETFUL: [&str; 4] = ["reset-after", "503-after", "truncate", "partial"];

fn dropbox_holds(world: &World) {
    let story = &world.story;
    let tells_all = !FORGETFUL
        .iter()
        .any(|fault| story.dropbox_faults.contains(fault));
    if tells_all && story.crashes.is_empty() {
        let again = world.account.bytes_received_again();
        assert_eq!(again, 0, "acknowledged bytes were sent again");
    }
    let mut there = BTreeMap::new();
    for entry in world.account.tree() {
        let Some(file) = entry.file else { continue };
        let path = entry.path_display.clone();
        let twin = there.insert(path, (file.size, file.content_hash));
        assert_eq!(twin, None, "{} is there twice", entry.path_display);
    }
    let wanted: BTreeMap<_, _> = world
        .contents
        .iter()
        .map(|(name, (size, seed))| {
            let bytes = noise(*size, *seed);
            let known = (bytes.len() as u64, ContentHash::of(&bytes));
            (format!("/Out/Campaign/{name}"), known)
        })
        .collect();
    assert_eq!(there, wanted);
}

fn celum_holds(world: &World) {
    if world.story.links {
        return celum_holds_each_content_once(world);
    }
    let mut there = BTreeMap::new();
    for asset in world.tenant.assets() {
        let bytes = world.tenant.read_content(asset.id, 0..asset.size).unwrap();
        let known = (bytes.len() as u64, Blake3::of(&bytes));
        let twin = there.insert(asset.filename.clone(), known);
        assert_eq!(twin, None, "{} came twice", asset.filename);
        assert_eq!(asset.parents, ["Brand Library/Inbox/Harvest"]);
    }
    let wanted: BTreeMap<_, _> = world
        .contents
        .iter()
        .map(|(name, (size, seed))| {
            let bytes = noise(*size, *seed);
            (name.clone(), (bytes.len() as u64, Blake3::of(&bytes)))
        })
        .collect();
    assert_eq!(there, wanted);
}

/// Files of the same bytes are one asset, whichever of them brought it, and no asset stands for no file.
fn celum_holds_each_content_once(world: &World) {
    let mut there = BTreeMap::new();
    for asset in world.tenant.assets() {
        let bytes = world.tenant.read_content(asset.id, 0..asset.size).unwrap();
        let twin = there.insert(Blake3::of(&bytes), asset.filename.clone());
        assert_eq!(
            twin, None,
            "the content of {} is there twice",
            asset.filename
        );
        assert_eq!(asset.parents, ["Brand Library/Inbox/Harvest"]);
    }
    let wanted = world.contents.values();
    let wanted: BTreeSet<Blake3> = wanted
        .map(|(size, seed)| Blake3::of(&noise(*size, *seed)))
        .collect();
    assert_eq!(there.into_keys().collect::<BTreeSet<_>>(), wanted);
}
