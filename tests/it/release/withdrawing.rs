//! What may not be there any more goes: its links end, people do not find it, its receipt is gone, and all of it is proved.

use std::time::Instant;

use jiff::Timestamp;
use windlass_core::Action;
use windlass_flow::{Report, Stale};

use super::*;

/// Ways in which a right to use an asset ends in the tenant.
fn ends(world: &World, id: u64, how: &str) {
    let celum = world.celum();
    match how {
        "switched off" => world.switch(id, false),
        "dated" => {
            let now = Timestamp::now();
            let hour = jiff::SignedDuration::from_hours(1);
            let ended = Availability::Dated {
                from: Some(now - hour * 2),
                to: Some(now - hour),
            };
            celum.set_availability(id, &ended).unwrap();
        }
        "rejected" => celum.set_field(id, "approval", &json!(2)).unwrap(),
        "deleted" => celum.delete_asset(id).unwrap(),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_ends_a_right_a_sweep_takes_the_file_back_and_proves_it() {
    let mut world = World::new().await;
    world.options.taking_back.notes = true;
    let all = ["switched off", "dated", "rejected", "deleted"];
    let mut ids = Vec::new();
    for how in all {
        ids.push(world.asset(&format!("{how}.jpg"), how.as_bytes()).await);
    }
    world.asset("stays.jpg", b"stays").await;
    world.pass().await;
    assert_eq!(world.links_below("/Press").len(), 5);
    let kept_link = world
        .dropbox()
        .links()
        .into_iter()
        .find(|link| link.path.ends_with("stays.jpg"));
    for (id, how) in ids.iter().zip(all) {
        ends(&world, *id, how);
    }

    let passed = world.sweep().await;
    assert_eq!(
        passed.told(),
        [
            format!("withdraw dated.jpg: {}", reason_of_end(&passed)),
            "withdraw deleted.jpg: it is gone from dam, or hidden".to_owned(),
            "withdraw rejected.jpg: its approval is \"Rejected\", not \"Approved\"".to_owned(),
            "withdraw switched off.jpg: rights do not allow it any more: it is switched off"
                .to_owned(),
        ]
    );
    let notes = ["dated", "deleted", "rejected"]
        .map(|how| format!("/Press/CMP-2041/{how}.jpg - withdrawn.txt"));
    let mut visible = notes.to_vec();
    visible.push("/Press/CMP-2041/stays.jpg".to_owned());
    visible.push("/Press/CMP-2041/switched off.jpg - withdrawn.txt".to_owned());
    assert_eq!(world.below("/Press"), visible);
    let note = String::from_utf8(world.bytes(&visible[4])).unwrap();
    assert!(note.contains("it is switched off"), "{note}");
    assert_eq!(world.below("/Quarantine").len(), 4);
    assert_eq!(
        world.bytes("/Quarantine/Press/CMP-2041/switched off.jpg"),
        b"switched off"
    );
    // The links are gone, and not only the files behind them.
    let links: Vec<_> = world.dropbox().links();
    assert_eq!(links, Vec::from_iter(kept_link));
    for id in &ids[..3] {
        assert_eq!(world.celum().external_references(*id).unwrap(), []);
    }
    assert_eq!(passed.closed.proved_absent, 4);
    assert_eq!(passed.closed.still_there, Vec::<AssetPath>::new());

    let run = world.ledger.runs(None, 1).await.unwrap()[0].id;
    let report = Report::of(world.ledger.as_ref(), Some(run), None)
        .await
        .unwrap();
    assert_eq!((report.withdrawn.files, report.withdrawn.links), (4, 4));
    let recipients: Vec<&str> = report
        .withdrawn
        .recipients
        .iter()
        .map(String::as_str)
        .collect();
    assert_eq!(recipients, ["ada@press.example", "ben@agency.example"]);
    let again = world.sweep().await;
    assert!(again.plan.is_empty(), "{:?}", again.told());
    world.end().await;
}

fn reason_of_end(passed: &Passed) -> String {
    let step = &passed.plan.steps[0];
    let begins = "rights do not allow it any more: its availability ended on ";
    assert!(step.reason.starts_with(begins), "{}", step.reason);
    step.reason.clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_allowed_again_leaves_again_and_its_note_goes() {
    let mut world = World::new().await;
    world.options.taking_back.notes = true;
    let hero = world.asset("hero.jpg", b"hero").await;
    world.pass().await;
    world.switch(hero, false);
    let passed = world.pass().await;
    assert_eq!(passed.closed.proved_absent, 1);
    world.switch(hero, true);
    world.pass().await;
    assert_eq!(world.below("/Press"), ["/Press/CMP-2041/hero.jpg"]);
    assert_eq!(world.links_below("/Press").len(), 1);
    assert_eq!(world.celum().external_references(hero).unwrap().len(), 1);
    assert!(world.pass().await.plan.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_people_moved_or_renamed_is_taken_back_where_it_is() {
    for moves_change_ids in [false, true] {
        let mut options = sandbox_options(7);
        options.dropbox.moves_change_ids = moves_change_ids;
        let mut world = World::with(options).await;
        let hero = world.asset("hero.jpg", b"hero").await;
        world.pass().await;
        let to = "/Press/Old/hero of spring.jpg";
        world.dropbox().put_folder("/Press/Old").unwrap();
        world
            .dropbox()
            .rename("/Press/CMP-2041/hero.jpg", to)
            .unwrap();
        world.switch(hero, false);
        world.sweep().await;
        assert_eq!(world.below("/Press"), Vec::<String>::new());
        assert_eq!(world.below("/Quarantine").len(), 1);
        world.end().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_index_that_lags_shows_no_restricted_file_longer_than_one_sweep() {
    let mut options = sandbox_options(7);
    options.celum_profile.index_lag = 3;
    let mut world = World::with(options).await;
    let hero = world.asset("hero.jpg", b"hero").await;
    let logo = world.asset("logo.jpg", b"logo").await;
    tokio::time::sleep(Duration::from_millis(3_200)).await;
    world.pass().await;
    assert_eq!(world.below("/Press").len(), 2);
    let switched = Instant::now();
    world.switch(hero, false);
    world
        .celum()
        .set_field(logo, "approval", &json!(2))
        .unwrap();
    world.sweep().await;
    assert_eq!(world.below("/Press"), Vec::<String>::new());
    let took = switched.elapsed();
    assert!(
        took < Duration::from_secs(3),
        "the index was waited for: {took:?}"
    );
    // Nor does a whole run believe the index, which still lists both.
    let passed = world.pass().await;
    assert_eq!(world.below("/Press"), Vec::<String>::new());
    let actions = passed.plan.steps.iter().map(|step| step.action);
    assert!(!actions.into_iter().any(|action| action == Action::Create));
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_only_not_selected_any_more_may_stay_until_rights_end() {
    let mut world = World::new().await;
    world.options.taking_back.stale = Stale::Keep;
    let hero = world.asset("hero.jpg", b"hero").await;
    world.pass().await;
    world
        .celum()
        .set_field(hero, "approval", &json!(2))
        .unwrap();
    world.pass().await;
    assert_eq!(world.below("/Press").len(), 1);
    world.switch(hero, false);
    world.pass().await;
    assert_eq!(world.below("/Press"), Vec::<String>::new());
    world.end().await;
}
