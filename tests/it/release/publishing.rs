//! What appears, for whom, with what beside it, and what people's own changes do to it.

use jiff::{SignedDuration, Timestamp};
use windlass_core::Action;
use windlass_flow::RenditionRule;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn approved_assets_appear_in_a_shared_folder_with_a_link_and_a_receipt_each() {
    let world = World::new().await;
    let hero = world.asset("hero.jpg", b"hero").await;
    world.asset("logo.eps", b"logo").await;
    world.put(draft("draft.jpg"), b"draft").await;
    let off = world.asset("off.jpg", b"off").await;
    world.switch(off, false);

    let passed = world.pass().await;
    assert_eq!(
        passed.told(),
        [
            "create hero.jpg: for press; not placed before",
            "create logo.eps: for press; not placed before",
            "skip off.jpg: blocked by rights: it is switched off",
        ]
    );
    assert_eq!(
        world.below("/Press"),
        ["/Press/CMP-2041/hero.jpg", "/Press/CMP-2041/logo.eps"]
    );
    assert_eq!(world.bytes("/Press/CMP-2041/hero.jpg"), b"hero");
    let members = world.dropbox().members_of("/Press").unwrap();
    let members: Vec<_> = members
        .iter()
        .map(|member| (member.email.as_str(), member.level.as_str()))
        .collect();
    assert_eq!(
        members,
        [
            ("ada@press.example", "viewer"),
            ("ben@agency.example", "editor")
        ]
    );

    let links = world.dropbox().links();
    assert_eq!(links.len(), 2);
    for link in &links {
        let left = link.expires.unwrap().duration_since(Timestamp::now());
        assert!(left > SignedDuration::from_hours(29 * 24), "{link:?}");
        assert!(left <= SignedDuration::from_hours(30 * 24), "{link:?}");
    }
    let receipts = world.celum().external_references(hero).unwrap();
    assert_eq!(receipts.len(), 1);
    let link = links.iter().find(|link| link.path.ends_with("hero.jpg"));
    assert!(receipts[0].url.starts_with(&link.unwrap().url));
    assert_eq!(world.found(), Vec::<String>::new());

    let again = world.pass().await;
    assert!(again.plan.is_empty(), "{:?}", again.told());
    assert_eq!(again.plan.summary.unchanged.assets, 2);
    assert_eq!(world.dropbox().links(), links);
    assert_eq!(world.celum().external_references(hero).unwrap(), receipts);
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_version_takes_the_place_of_the_revision_that_was_placed() {
    let world = World::new().await;
    let hero = world.asset("hero.jpg", b"one").await;
    world.pass().await;
    let before = world.files();
    let links = world.links_below("/Press");
    world.version(hero, "hero.jpg", b"two").await;
    let passed = world.pass().await;
    assert_eq!(
        passed.told(),
        ["new-version hero.jpg: for press; a newer version than /Press/CMP-2041/hero.jpg"]
    );
    let after = world.files();
    assert_eq!(after.len(), 1);
    assert_eq!(after[0].id, before[0].id, "the same file");
    assert_eq!(world.bytes("/Press/CMP-2041/hero.jpg"), b"two");
    assert_eq!(world.links_below("/Press"), links, "by the same link");
    assert_eq!(world.celum().external_references(hero).unwrap().len(), 1);
    assert!(world.pass().await.plan.is_empty());
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_person_edited_stays_as_a_conflict_before_and_after_the_plan() {
    let world = World::new().await;
    let one = world.asset("one.jpg", b"one").await;
    let two = world.asset("two.jpg", b"two").await;
    world.pass().await;
    let edit = |name: &str| {
        let path = format!("/Press/CMP-2041/{name}");
        let theirs = Bytes::from_static(b"theirs");
        world.dropbox().put_file(&path, theirs, None).unwrap();
    };
    edit("one.jpg");
    world.version(one, "one.jpg", b"newer one").await;
    world.version(two, "two.jpg", b"newer two").await;

    let flow = world.flow();
    let plan = flow.plan().await.unwrap();
    assert_eq!(
        told(&plan),
        [
            "conflict one.jpg: its copy /Press/CMP-2041/one.jpg was changed by people; both are kept",
            "new-version two.jpg: for press; a newer version than /Press/CMP-2041/two.jpg",
        ]
    );
    edit("two.jpg");
    let runner = world.runner(&flow);
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    for name in ["one.jpg", "two.jpg"] {
        assert_eq!(world.bytes(&format!("/Press/CMP-2041/{name}")), b"theirs");
    }
    assert_eq!(world.files().len(), 2, "nothing was put beside it");
    world.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn renditions_leave_and_what_cannot_be_rendered_is_held_while_the_rest_goes_on() {
    let mut world = World::new().await;
    let rule = |extension: &str, rendition: &str| RenditionRule {
        extensions: vec![extension.to_owned()],
        rendition: rendition.to_owned(),
        extension: Some("png".to_owned()),
    };
    world.options.kind = Arc::new(PublishOptions {
        folder: "{rendition}".parse().unwrap(),
        name: "{stem}.{ext}".parse().unwrap(),
        renditions: vec![rule("tif", "web"), rule("indd", "prvw")],
    });
    world.asset("hero.tif", b"a master").await;
    world.asset("page.indd", b"a layout").await;
    world.asset("unrenderable.indd", b"an odd layout").await;
    let passed = world.pass().await;
    assert_eq!(
        world.below("/Press"),
        ["/Press/prvw/page.png", "/Press/web/hero.png"]
    );
    assert_ne!(world.bytes("/Press/web/hero.png"), b"a master");
    assert!(world.bytes("/Press/web/hero.png").starts_with(b"\x89PNG"));
    let held: Vec<_> = passed
        .steps
        .iter()
        .filter(|step| step.placed.is_none())
        .map(|step| (step.path.name(), step.message.clone().unwrap_or_default()))
        .collect();
    assert_eq!(held.len(), 1, "{held:?}");
    assert_eq!(held[0].0, "unrenderable.indd");
    assert!(held[0].1.contains("rendition"), "{held:?}");

    let again = world.pass().await;
    let actions: Vec<Action> = again.plan.steps.iter().map(|step| step.action).collect();
    assert_eq!(actions, [Action::Hold], "{:?}", again.told());
    world.end().await;
}
