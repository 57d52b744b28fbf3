//! What people and accounts do to shared folders, and to assets between a plan and its run: one sentence each, and the rest
//! goes on.

use windlass_core::StepState;

use super::*;

async fn two_folders() -> World {
    let mut world = World::new().await;
    world.options.kind = Arc::new(PublishOptions {
        folder: "{field:description}".parse().unwrap(),
        name: "{title}.{ext}".parse().unwrap(),
        renditions: Vec::new(),
    });
    for (name, folder) in [("a.jpg", "A"), ("b.jpg", "B")] {
        let id = world.asset(name, name.as_bytes()).await;
        let celum = world.celum();
        celum.set_field(id, "description", &json!(folder)).unwrap();
    }
    world
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_a_person_renamed_keeps_its_files_and_new_ones_go_on() {
    let world = two_folders().await;
    world.pass().await;
    world.dropbox().rename("/Press/A", "/Press/Mine").unwrap();
    let id = world.asset("c.jpg", b"c").await;
    let celum = world.celum();
    celum.set_field(id, "description", &json!("B")).unwrap();
    world.pass().await;
    assert_eq!(
        world.below("/Press"),
        ["/Press/B/b.jpg", "/Press/B/c.jpg", "/Press/Mine/a.jpg"]
    );
    assert!(world.pass().await.plan.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_a_person_removed_is_not_made_again_unless_somebody_says_so() {
    let mut world = two_folders().await;
    world.pass().await;
    world.dropbox().remove("/Press/A").unwrap();
    let passed = world.pass().await;
    assert_eq!(
        passed.told(),
        [
            "hold a.jpg: /Press/A is gone: somebody removed, renamed or left it, or shares it no more; --retry-held makes it anew"
        ]
    );
    assert_eq!(world.below("/Press"), ["/Press/B/b.jpg"]);
    world.options.retry_held = true;
    world.pass().await;
    assert_eq!(world.below("/Press"), ["/Press/A/a.jpg", "/Press/B/b.jpg"]);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_a_person_unshared_is_shared_again_with_the_members() {
    let world = two_folders().await;
    world.pass().await;
    world.dropbox().unshare("/Press").unwrap();
    world.pass().await;
    assert_eq!(world.dropbox().members_of("/Press").unwrap().len(), 2);
    assert_eq!(world.below("/Press").len(), 2);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_folder_that_the_account_lost_is_told_and_its_files_are_not_placed_again() {
    for how in ["unmounted", "expelled"] {
        let world = two_folders().await;
        world.pass().await;
        match how {
            "unmounted" => drop(world.dropbox().unmount("/Press").unwrap()),
            _ => world.dropbox().expel("/Press").unwrap(),
        }
        let id = world.asset("c.jpg", b"c").await;
        let celum = world.celum();
        celum.set_field(id, "description", &json!("C")).unwrap();
        world.found();
        let passed = world.pass().await;
        let told = passed.told();
        assert!(told[0].contains("/Press/A is gone"), "{how}: {told:?}");
        assert!(told[1].contains("/Press/B is gone"), "{how}: {told:?}");
        // Nor does anything new go into a folder of that name that nobody shares.
        assert!(told[2].contains("/Press/C is gone"), "{how}: {told:?}");
        let found = world.found();
        assert!(
            found[0].starts_with("/Press: it is gone"),
            "{how}: {found:?}"
        );
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_person_who_cannot_be_invited_is_named_and_the_files_appear() {
    let world = two_folders().await;
    let dropbox = world.dropbox();
    dropbox.refuse_member("ada@press.example", "banned_member");
    world.pass().await;
    let found = world.found();
    assert_eq!(found.len(), 1, "{found:?}");
    let begins = "/Press: ada@press.example could not be invited: ";
    assert!(found[0].starts_with(begins), "{found:?}");
    assert_eq!(world.below("/Press").len(), 2);
    let members = world.dropbox().members_of("/Press").unwrap();
    assert_eq!(members.len(), 1);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_to_assets_between_plan_and_run_holds_them_and_the_rest_goes_on() {
    let world = World::new().await;
    let locked = world.asset("a locked.jpg", b"1").await;
    let gone = world.asset("b deleted.jpg", b"2").await;
    let newer = world.asset("c newer.jpg", b"3").await;
    let rejected = world.asset("d rejected.jpg", b"4").await;
    world.asset("e fine.jpg", b"5").await;
    let flow = world.flow();
    let plan = flow.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 5);
    world.celum().lock_asset(locked, "being retouched").unwrap();
    world.celum().delete_asset(gone).unwrap();
    world.version(newer, "c newer.jpg", b"3 again").await;
    world
        .celum()
        .set_field(rejected, "approval", &json!(2))
        .unwrap();
    let runner = world.runner(&flow);
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    assert_eq!(world.below("/Press"), ["/Press/CMP-2041/e fine.jpg"]);
    let steps = world.ledger.steps(run, None, 10).await.unwrap();
    let states: Vec<StepState> = steps.iter().map(|step| step.state).collect();
    let messages: Vec<String> = steps
        .iter()
        .map(|step| step.message.clone().unwrap_or_default())
        .collect();
    let (last, held) = states.split_last().unwrap();
    assert!(
        held.iter().all(|state| *state == StepState::Held),
        "{states:?}"
    );
    assert_eq!(*last, StepState::Done);
    for (message, part) in messages.iter().zip([
        "being retouched",
        "the asset vanished at the source",
        "newer version",
        "\"Rejected\"",
        "",
    ]) {
        assert!(message.contains(part), "{part} in {messages:?}");
    }
    // Nothing of it is remembered.
    world.pass().await;
    assert_eq!(world.bytes("/Press/CMP-2041/c newer.jpg"), b"3 again");
    world.end().await;
}
