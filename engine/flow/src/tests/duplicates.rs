//! Bytes that need not move do not move, and what need not be the same stays apart.

use windlass_core::memory::MemoryEndpoint;
use windlass_core::{Capabilities, Endpoint, Reuse};

use super::*;

fn sheet(reuse: Option<Reuse>) -> Capabilities {
    Capabilities {
        reuse,
        ..MemoryEndpoint::new("any").capabilities().clone()
    }
}

/// A world whose sink copies or links.
fn world(reuse: Reuse) -> World {
    World {
        sink: MemoryEndpoint::with_capabilities("dam", sheet(Some(reuse))),
        duplicates: Some(Duplicates::Reuse),
        ..World::new()
    }
}

/// A source such as a folder: it states no hashes and computes them in place.
fn folder() -> MemoryEndpoint {
    let sheet = Capabilities {
        lists_content_hash: false,
        digests_in_place: true,
        ..sheet(None)
    };
    MemoryEndpoint::with_capabilities("agency", sheet)
}

fn actions(plan: &Plan) -> Vec<(&str, Action)> {
    let steps = plan.steps.iter();
    steps
        .map(|step| (step.asset.path.name(), step.action))
        .collect()
}

fn sent(world: &World) -> u64 {
    world.sink.calls(Operation::Begin)
}

#[tokio::test]
async fn one_content_for_forty_folders_is_sent_once_and_copied_for_the_others() {
    for slots in [1, 4] {
        let world = World {
            transfers: slots,
            ..world(Reuse::Copy)
        };
        for region in 0..40 {
            world.file(&format!("/In/R{region:02}/Approved/film.mov"), b"the film");
        }
        world.file("/In/R00/Approved/other.mov", b"another film");
        let plan = world.plan().await;
        assert_eq!(plan.totals()[&Action::Create], (2, 20));
        assert_eq!(plan.totals()[&Action::Copy], (39, 39 * 8));
        assert_eq!(plan.summary.reused(), (39, 39 * 8));
        let report = world.run().await;
        assert_eq!((sent(&world), world.sink.calls(Operation::Reuse)), (2, 39));
        assert_eq!((report.bytes_moved, report.saved.linked_assets), (20, 39));
        assert_eq!(report.saved.linked_bytes, 39 * 8);
        // Each is an asset of its own with what its own folder says.
        assert_eq!(world.sink.assets().len(), 41);
        for region in ["R00", "R17", "R39"] {
            let there = world.sink.asset_at(&format!("/Library/{region}/film.mov"));
            let draft = world.sink.draft(&there.unwrap().id).unwrap();
            let client = draft.fields.iter().find(|field| field.field == "client");
            assert_eq!(client.unwrap().value, Value::Text(region.into()));
        }
        assert!(world.plan().await.is_empty());
    }
}

#[tokio::test]
async fn a_second_copy_of_a_tree_under_other_names_sends_nothing() {
    for source in [MemoryEndpoint::new("agency"), folder()] {
        let world = World {
            source,
            ..world(Reuse::Copy)
        };
        for n in 0..300 {
            let bytes = format!("content number {n}");
            world.file(&format!("/In/A/Approved/{n}.tif"), bytes.as_bytes());
        }
        world.run().await;
        let before = sent(&world);
        for n in 0..300 {
            let bytes = format!("content number {n}");
            world.file(&format!("/In/B/Approved/copy of {n}.tif"), bytes.as_bytes());
        }
        let report = world.run().await;
        assert_eq!((sent(&world), report.bytes_moved), (before, 0));
        assert_eq!(report.saved.linked_assets, 300);
        assert_eq!(world.sink.assets().len(), 600);
        assert!(world.plan().await.is_empty());
    }
}

#[tokio::test]
async fn only_files_whose_size_something_else_has_are_hashed_in_place() {
    let world = World {
        source: folder(),
        ..world(Reuse::Copy)
    };
    for (name, bytes) in [("a", "12"), ("b", "12"), ("c", "34"), ("d", "alone")] {
        world.file(&format!("/In/A/Approved/{name}.tif"), bytes.as_bytes());
    }
    let plan = world.plan().await;
    let hashed: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.asset.content_hash.is_some())
        .map(|step| step.asset.path.name())
        .collect();
    assert_eq!(hashed, ["a.tif", "b.tif", "c.tif"]);
    let (create, copy) = (Action::Create, Action::Copy);
    assert_eq!(
        actions(&plan),
        [
            ("a.tif", create),
            ("b.tif", copy),
            ("c.tif", create),
            ("d.tif", create)
        ]
    );
    world.run().await;
    // What the sink has counts as well, though it is listed nowhere any more.
    world.source.delete("/In/A/Approved/d.tif");
    world.file("/In/A/Approved/e.tif", b"alone");
    assert_eq!(actions(&world.plan().await), [("e.tif", copy)]);
    let before = sent(&world);
    world.run().await;
    assert_eq!(sent(&world), before);
}

#[tokio::test]
async fn large_files_of_one_size_are_hashed_only_where_their_ends_agree() {
    let world = World {
        source: folder(),
        ..world(Reuse::Copy)
    };
    // As the pictures of one camera: all of one size.
    let picture = |first: u8, middle: u8| {
        let mut bytes = vec![middle; 1 << 20];
        (bytes[0], bytes[(1 << 20) - 1]) = (first, 0);
        bytes
    };
    for n in 0..6 {
        world.file(&format!("/In/A/Approved/{n}.raw"), &picture(n, 0));
    }
    world.file("/In/A/Approved/copy of 3.raw", &picture(3, 0));
    world.file("/In/A/Approved/looks like 5.raw", &picture(5, 1));
    let plan = world.plan().await;
    let mut hashed: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| step.asset.content_hash.is_some())
        .map(|step| step.asset.path.name())
        .collect();
    hashed.sort_unstable();
    assert_eq!(
        hashed,
        ["3.raw", "5.raw", "copy of 3.raw", "looks like 5.raw"]
    );
    assert_eq!(plan.totals()[&Action::Copy].0, 1);
    let (groups, sums) = duplicates_of(&world).await;
    assert_eq!(
        (groups.len(), sums.spare_files, sums.not_compared),
        (1, 1, 0)
    );
    world.run().await;
    // What the sink has cannot be compared by its ends.
    world.file("/In/B/Approved/late copy of 4.raw", &picture(4, 0));
    assert_eq!(
        actions(&world.plan().await),
        [("late copy of 4.raw", Action::Copy)]
    );
}

#[tokio::test]
async fn a_file_that_changed_since_it_was_hashed_is_not_taken_for_what_it_was() {
    let world = World {
        source: folder(),
        ..world(Reuse::Copy)
    };
    world.file("/In/A/Approved/a.tif", b"12");
    world.file("/In/A/Approved/b.tif", b"12");
    world.run().await;
    world.file("/In/A/Approved/b.tif", b"34");
    let report = world.run().await;
    assert_eq!(report.bytes_moved, 2);
    let there = world.sink.asset_at("/Library/A/b.tif").unwrap();
    assert_eq!(world.sink.bytes(&there.id).unwrap().as_ref(), b"34");
    assert!(world.plan().await.is_empty());
}

#[tokio::test]
async fn nothing_is_a_duplicate_of_nothing() {
    let world = world(Reuse::Copy);
    world.file("/In/A/Approved/a.tif", b"");
    world.file("/In/A/Approved/b.tif", b"");
    let plan = world.plan().await;
    assert!(plan.steps.iter().all(|step| step.action == Action::Hold));
}

#[tokio::test]
async fn what_the_sink_has_is_proved_before_it_is_reused() {
    for reuse in [Reuse::Copy, Reuse::Link] {
        for spoil in ["changed", "gone", "unreadable"] {
            let world = world(reuse);
            world.file("/In/A/Approved/a.tif", b"bytes");
            world.run().await;
            match spoil {
                "changed" => drop(world.sink.put("/Library/A/a.tif", b"other".to_vec())),
                "gone" => drop(world.sink.delete("/Library/A/a.tif")),
                _ => world
                    .sink
                    .set_readable("/Library/A/a.tif", Readable::Restricted)
                    .unwrap(),
            }
            world.file("/In/B/Approved/b.tif", b"bytes");
            let plan = world.plan().await;
            let planned = step(&plan, "/In/B/Approved/b.tif");
            assert_eq!(
                planned.0 == Action::Copy,
                reuse == Reuse::Copy,
                "{planned:?}"
            );
            let report = world.run().await;
            assert_eq!(report.bytes_moved, 5, "{reuse:?} {spoil}");
            let there = world.sink.asset_at("/Library/B/b.tif").unwrap();
            assert_eq!(world.sink.bytes(&there.id).unwrap().as_ref(), b"bytes");
            assert!(world.plan().await.is_empty(), "{reuse:?} {spoil}");
        }
    }
}

#[tokio::test]
async fn a_copy_whose_answer_was_lost_is_found_and_not_made_twice() {
    let world = world(Reuse::Copy);
    world.file("/In/A/Approved/a.tif", b"bytes");
    world.run().await;
    world.file("/In/B/Approved/b.tif", b"bytes");
    world.sink.inject(Operation::ReuseAnswer, Kind::Ambiguous);
    world.run().await;
    assert_eq!(world.sink.assets().len(), 2);
    assert_eq!((sent(&world), world.sink.calls(Operation::Reuse)), (1, 1));
}

#[tokio::test]
async fn when_the_first_cannot_be_sent_another_one_is() {
    for (kind, sent_in_all) in [(Kind::Denied, 2), (Kind::Unavailable, 2)] {
        let world = world(Reuse::Copy);
        for name in ["a", "b", "c"] {
            world.file(&format!("/In/A/Approved/{name}.tif"), b"bytes");
        }
        world.sink.inject(Operation::Commit, kind);
        let plan = world.plan().await;
        let runner = world.runner();
        let run = runner.record(&plan).await.unwrap();
        runner.work(run, &CancellationToken::new()).await.unwrap();
        assert_eq!(sent(&world), sent_in_all, "{kind:?}");
        let there = if kind == Kind::Denied { 2 } else { 3 };
        assert_eq!(world.sink.assets().len(), there, "{kind:?}");
    }
}

#[tokio::test]
async fn what_is_linked_is_one_asset_in_several_collections() {
    let world = world(Reuse::Link);
    world.file("/In/A/Approved/a.tif", b"logo");
    world.file("/In/B/Approved/b.tif", b"logo");
    let plan = world.plan().await;
    let (action, reason) = step(&plan, "/In/B/Approved/b.tif");
    assert_eq!(action, Action::Link);
    assert!(
        reason.contains("another file of this plan has the same bytes"),
        "{reason}"
    );
    let report = world.run().await;
    assert_eq!((report.bytes_moved, report.saved.linked_bytes), (4, 4));
    let [logo] = &world.sink.assets()[..] else {
        panic!("{:?}", world.sink.assets());
    };
    assert_eq!(world.sink.links(&logo.id), [AssetPath::new("/Library/B")]);
    // Its metadata stays that of the file that brought it, and every later plan finds all of it as it should be.
    assert!(world.plan().await.is_empty());
    assert_eq!(world.run().await.saved.unchanged_assets, 2);
}

#[tokio::test]
async fn a_file_of_a_shared_asset_that_changes_becomes_an_asset_of_its_own() {
    // Whichever of the two it is: nobody's content changes because another file did.
    for (changed, left) in [("A/Approved/a", "B"), ("B/Approved/b", "A")] {
        let world = world(Reuse::Link);
        world.file("/In/A/Approved/a.tif", b"logo");
        world.file("/In/B/Approved/b.tif", b"logo");
        world.run().await;
        let logo = world.sink.assets()[0].id.clone();
        world.file(&format!("/In/{changed}.tif"), b"new logo");
        let plan = world.plan().await;
        let planned = step(&plan, &format!("/In/{changed}.tif"));
        assert_eq!(planned.0, Action::NewVersion);
        world.run().await;
        assert_eq!(world.sink.assets().len(), 2);
        assert_eq!(world.sink.bytes(&logo).unwrap().as_ref(), b"logo");
        if left == "A" {
            // It was only linked there, and another asset has that place now.
            assert_eq!(world.sink.links(&logo), []);
        }
        let after = world.plan().await;
        match left {
            "A" => assert!(after.is_empty(), "{:?}", actions(&after)),
            // The asset stands for the linked file alone now, and becomes what that one's folder says.
            _ => {
                assert_eq!(actions(&after), [("b.tif", Action::UpdateMetadata)]);
                world.run().await;
                let draft = world.sink.draft(&logo).unwrap();
                assert_eq!(draft.collection, AssetPath::new("/Library/B"));
                assert!(world.plan().await.is_empty());
            }
        }
    }
}

#[tokio::test]
async fn an_asset_that_lost_the_file_it_stood_for_is_noticed_in_a_settled_pass() {
    let world = world(Reuse::Link);
    world.file("/In/A/Approved/a.tif", b"logo");
    world.file("/In/B/Approved/b.tif", b"logo");
    let plan = world.plan().await;
    let runner = world.runner();
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    world
        .ingest()
        .settle(&plan.summary, Some(run))
        .await
        .unwrap();
    assert!(world.plan().await.is_empty());
    world.file("/In/A/Approved/a.tif", b"new logo");
    world.run().await;
    assert_eq!(
        actions(&world.plan().await),
        [("b.tif", Action::UpdateMetadata)]
    );
}

#[tokio::test]
async fn duplicates_are_left_out_where_the_flow_says_so() {
    for duplicates in [Duplicates::Skip, Duplicates::Place] {
        let world = World {
            duplicates: Some(duplicates),
            ..world(Reuse::Copy)
        };
        world.file("/In/A/Approved/a.tif", b"logo");
        world.file("/In/B/Approved/b.tif", b"logo");
        let first = world.plan().await;
        world.run().await;
        world.file("/In/C/Approved/c.tif", b"logo");
        let second = world.plan().await;
        let of = |plan: &Plan, path: &str| step(plan, path).0;
        match duplicates {
            Duplicates::Skip => {
                assert_eq!(of(&first, "/In/B/Approved/b.tif"), Action::Skip);
                let (action, reason) = step(&second, "/In/C/Approved/c.tif");
                assert_eq!(action, Action::Skip);
                assert_eq!(reason, "a duplicate of what is at dam already");
            }
            _ => {
                assert_eq!(of(&first, "/In/B/Approved/b.tif"), Action::Create);
                assert_eq!(of(&second, "/In/C/Approved/c.tif"), Action::Create);
            }
        }
    }
}

#[tokio::test]
async fn a_sink_that_links_links_nothing_unless_it_is_told_to() {
    let world = World {
        duplicates: None,
        ..world(Reuse::Link)
    };
    world.file("/In/A/Approved/a.tif", b"logo");
    world.file("/In/B/Approved/b.tif", b"logo");
    assert_eq!(world.plan().await.totals()[&Action::Create], (2, 8));
}

#[tokio::test]
async fn a_run_that_stops_while_copies_wait_goes_on_and_still_sends_once() {
    let world = world(Reuse::Copy);
    for name in 0..20 {
        world.file(&format!("/In/A/Approved/{name}.tif"), b"bytes");
    }
    let plan = world.plan().await;
    let mut runner = world.runner();
    let run = runner.record(&plan).await.unwrap();
    runner.options.stop_now = CancellationToken::new();
    runner.options.stop_now.cancel();
    let outcome = runner.work(run, &CancellationToken::new()).await.unwrap();
    assert_eq!(outcome, RunOutcome::Stopped);
    let runner = world.runner();
    let outcome = runner.work(run, &CancellationToken::new()).await.unwrap();
    assert_eq!(outcome, RunOutcome::Finished);
    assert_eq!((sent(&world), world.sink.assets().len()), (1, 20));
}

#[tokio::test]
async fn of_files_that_leave_an_asset_together_the_last_one_keeps_it() {
    let world = world(Reuse::Link);
    let names = ["A/Approved/a", "B/Approved/b", "C/Approved/c"];
    for name in names {
        world.file(&format!("/In/{name}.tif"), b"logo");
    }
    world.run().await;
    let logo = world.sink.assets()[0].id.clone();
    assert_eq!(world.sink.assets().len(), 1);
    for (n, name) in names.iter().enumerate() {
        world.file(&format!("/In/{name}.tif"), format!("logo {n}").as_bytes());
    }
    assert_eq!(world.plan().await.totals()[&Action::NewVersion].0, 3);
    world.run().await;
    // No asset is left that stands for nothing.
    assert_eq!(world.sink.assets().len(), 3);
    assert!(world.sink.assets().iter().any(|asset| asset.id == logo));
    for (n, collection) in ["/Library/A", "/Library/B", "/Library/C"]
        .iter()
        .enumerate()
    {
        let assets = world.sink.assets();
        let there = assets
            .iter()
            .find(|asset| asset.path.parent().as_str() == *collection);
        let bytes = world.sink.bytes(&there.unwrap().id).unwrap();
        assert_eq!(bytes, format!("logo {n}").as_bytes());
        assert_eq!(world.sink.links(&there.unwrap().id), []);
    }
    let after = world.plan().await;
    assert!(after.is_empty(), "{:?}", actions(&after));
}

#[tokio::test]
async fn of_several_that_are_linked_one_takes_over_what_the_first_has_left() {
    let world = world(Reuse::Link);
    for name in ["A/Approved/a", "B/Approved/b", "C/Approved/c"] {
        world.file(&format!("/In/{name}.tif"), b"logo");
    }
    world.run().await;
    let logo = world.sink.assets()[0].id.clone();
    world.file("/In/A/Approved/a.tif", b"new logo");
    world.run().await;
    let plan = world.plan().await;
    let [step] = &plan.steps[..] else {
        panic!("{:?}", actions(&plan));
    };
    assert_eq!(step.action, Action::UpdateMetadata);
    world.run().await;
    assert!(world.plan().await.is_empty());
    let draft = world.sink.draft(&logo).unwrap();
    assert_eq!(Some(&draft), step.work.as_ref().map(crate::Work::draft));
}

#[derive(Default)]
struct Found(Vec<crate::DuplicateGroup>);

#[async_trait]
impl crate::GroupWriter for Found {
    async fn group(&mut self, group: crate::DuplicateGroup) -> Result<()> {
        self.0.push(group);
        Ok(())
    }
}

async fn duplicates_of(world: &World) -> (Vec<crate::DuplicateGroup>, crate::DuplicateSums) {
    let mut found = Found::default();
    let engine = world.runner().engine;
    let sums = world.ingest().find_duplicates(&engine, &mut found).await;
    let mut groups = found.0;
    groups.sort_by(|a, b| a.paths.cmp(&b.paths));
    (groups, sums.unwrap())
}

#[tokio::test]
async fn what_a_flow_would_bring_twice_is_told_before_anything_moves() {
    for source in [MemoryEndpoint::new("agency"), folder()] {
        let world = World {
            source,
            ..world(Reuse::Copy)
        };
        for path in [
            "/In/B/Approved/Logo.tif",
            "/In/A/Approved/logo.tif",
            "/In/C/Approved/l.tif",
        ] {
            world.file(path, b"logo");
        }
        world.file("/In/A/Approved/single.tif", b"single one");
        world.file("/In/A/Approved/same size", b"ogol");
        world.file("/In/A/Approved/empty 1.tif", b"");
        world.file("/In/A/Approved/empty 2.tif", b"");
        // Not of the flow, though it has the same bytes.
        world.file("/In/A/Drafts/logo.tif", b"logo");
        world.file("/In/A/Approved/film 1.mov", &[7; 1000]);
        world.file("/In/A/Approved/film 2.mov", &[7; 1000]);
        let (groups, sums) = duplicates_of(&world).await;
        let told: Vec<(u64, u64, Vec<&str>)> = groups
            .iter()
            .map(|group| {
                let paths = group.paths.iter().map(AssetPath::as_str);
                (group.files, group.spare_bytes(), paths.collect())
            })
            .collect();
        assert_eq!(
            told,
            [
                (
                    2,
                    1000,
                    vec!["/In/A/Approved/film 1.mov", "/In/A/Approved/film 2.mov"]
                ),
                (
                    3,
                    8,
                    vec![
                        "/In/A/Approved/logo.tif",
                        "/In/B/Approved/Logo.tif",
                        "/In/C/Approved/l.tif"
                    ]
                ),
            ]
        );
        assert_eq!((sums.files, sums.groups), (7, 2));
        assert_eq!((sums.spare_files, sums.spare_bytes), (3, 1008));
        assert_eq!(sent(&world), 0);
        // What a plan makes of it is the same.
        let plan = world.plan().await;
        assert_eq!(plan.summary.reused(), (3, 1008));
        // What is there is no news; what is new and there already is.
        world.run().await;
        world.file("/In/D/Approved/new.tif", b"logo");
        let (groups, sums) = duplicates_of(&world).await;
        assert_eq!((sums.files, sums.spare_files, sums.spare_bytes), (1, 1, 4));
        assert!(groups[0].at_sink.is_some());
    }
}

#[tokio::test]
async fn files_that_cannot_be_compared_are_counted() {
    let world = world(Reuse::Copy);
    world.file("/In/A/Approved/a.tif", b"logo");
    world.file("/In/A/Approved/b.tif", b"logo");
    world
        .source
        .set_readable("/In/A/Approved/b.tif", Readable::Restricted)
        .unwrap();
    let (groups, sums) = duplicates_of(&world).await;
    assert_eq!((groups.len(), sums.files, sums.not_compared), (0, 2, 1));
}

/// What is in a collection at a sink that links: under which name which bytes.
fn shown(world: &World, collection: &str) -> Vec<String> {
    let collection = AssetPath::new(collection);
    let mut shown: Vec<String> = world
        .sink
        .assets()
        .into_iter()
        .filter(|asset| {
            asset.path.parent() == collection || world.sink.links(&asset.id).contains(&collection)
        })
        .map(|asset| String::from_utf8(world.sink.bytes(&asset.id).unwrap().to_vec()).unwrap())
        .collect();
    shown.sort();
    shown
}

#[tokio::test]
async fn who_links_to_an_asset_is_not_shown_what_its_file_becomes_in_the_same_run() {
    for slots in [1, 4] {
        let world = World {
            transfers: slots,
            ..world(Reuse::Link)
        };
        world.file("/In/B/Approved/b.tif", b"old");
        world.run().await;
        // Somebody keeps the old one under another name and goes on with the first.
        world.file("/In/A/Approved/a-old.tif", b"old");
        world.file("/In/B/Approved/b.tif", b"new");
        let plan = world.plan().await;
        assert_eq!(
            actions(&plan),
            [("a-old.tif", Action::Link), ("b.tif", Action::NewVersion)]
        );
        world.run().await;
        for _ in 0..2 {
            assert_eq!(shown(&world, "/Library/A"), ["old"]);
            assert_eq!(shown(&world, "/Library/B"), ["new"]);
            // The next run takes metadata over, where that is needed, and changes no content.
            world.run().await;
        }
        assert!(world.plan().await.is_empty());
    }
}

#[tokio::test]
async fn a_linked_file_that_was_touched_stays_where_it_is() {
    let world = World {
        source: folder(),
        ..world(Reuse::Link)
    };
    world.file("/In/A/Approved/a.tif", b"logo");
    world.file("/In/B/Approved/b.tif", b"logo");
    world.run().await;
    world.file("/In/B/Approved/b.tif", b"logo");
    world.run().await;
    assert_eq!(shown(&world, "/Library/B"), ["logo"]);
    assert_eq!(world.sink.assets().len(), 1);
    let after = world.plan().await;
    assert!(after.is_empty(), "{:?}", actions(&after));
}

#[tokio::test]
async fn a_collection_that_another_file_comes_into_meanwhile_is_not_left() {
    // As it was, and edited: the old one goes on under another name in the same collection.
    let world = world(Reuse::Link);
    world.file("/In/A/Approved/a.tif", b"logo");
    world.file("/In/C/Approved/c.tif", b"logo");
    world.run().await;
    world.file("/In/A/Approved/as it was.tif", b"logo");
    world.file("/In/A/Approved/a.tif", b"new logo");
    for _ in 0..3 {
        world.run().await;
        assert_eq!(shown(&world, "/Library/A"), ["logo", "new logo"]);
        assert_eq!(shown(&world, "/Library/C"), ["logo"]);
    }
    assert!(world.plan().await.is_empty());
}

#[tokio::test]
async fn files_of_one_collection_that_leave_an_asset_together_take_it_out() {
    let world = world(Reuse::Link);
    for path in [
        "/In/A/Approved/a.tif",
        "/In/A/Approved/b.tif",
        "/In/C/Approved/c.tif",
    ] {
        world.file(path, b"logo");
    }
    world.run().await;
    world.file("/In/A/Approved/a.tif", b"new a");
    world.file("/In/A/Approved/b.tif", b"new b");
    world.run().await;
    assert_eq!(shown(&world, "/Library/A"), ["new a", "new b"]);
    assert_eq!(shown(&world, "/Library/C"), ["logo"]);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_place_stays_so_although_the_old_one_cannot_be_taken_out() {
    let world = world(Reuse::Link);
    world.file("/In/A/Approved/a.tif", b"logo");
    world.file("/In/B/Approved/b.tif", b"logo");
    world.run().await;
    world.file("/In/B/Approved/b.tif", b"new logo");
    world.sink.inject(Operation::Unlink, Kind::Denied);
    let report = world.run().await;
    assert_eq!(report.total(StepState::Done).steps, 1);
    assert_eq!(world.sink.assets().len(), 2);
    // Another run makes no third one.
    world.run().await;
    assert_eq!(world.sink.assets().len(), 2);
    world.file("/In/B/Approved/b.tif", b"newer logo");
    world.sink.inject(Operation::Unlink, Kind::Unavailable);
    world.run().await;
    assert_eq!(world.sink.assets().len(), 2);
}

#[tokio::test]
async fn when_what_the_sink_had_is_gone_one_of_many_moves_it_and_the_others_copy() {
    let world = world(Reuse::Copy);
    world.file("/In/A/Approved/a.tif", b"bytes");
    world.run().await;
    world.sink.delete("/Library/A/a.tif");
    for n in 0..50 {
        world.file(&format!("/In/B/Approved/{n}.tif"), b"bytes");
    }
    world.run().await;
    assert_eq!(world.sink.assets().len(), 50);
    assert_eq!(sent(&world), 2);
}

#[tokio::test]
async fn a_copy_that_came_after_it_was_looked_for_is_ours_all_the_same() {
    let world = world(Reuse::Copy);
    world.file("/In/A/Approved/a.tif", b"bytes");
    world.run().await;
    world.file("/In/B/Approved/b.tif", b"bytes");
    // The answer is lost and nothing is found yet; the next attempt finds its place taken, by its own copy.
    world.sink.inject(Operation::ReuseAnswer, Kind::Ambiguous);
    world.sink.inject(Operation::Find, Kind::Unavailable);
    world.run().await;
    assert_eq!(world.sink.assets().len(), 2);
    assert!(world.plan().await.is_empty());
}

#[tokio::test]
async fn tens_of_thousands_that_wait_for_one_do_not_keep_it_from_its_turn() {
    let world = world(Reuse::Copy);
    for n in 0..16_000 {
        world.file(&format!("/In/A/Approved/{n:05}.tif"), b"bytes");
    }
    // The one that moves it is put off once.
    world.sink.inject(Operation::Begin, Kind::Unavailable);
    world.run().await;
    assert_eq!(world.sink.assets().len(), 16_000);
    assert_eq!(sent(&world), 2);
}

#[tokio::test]
async fn thousands_of_one_content_that_all_fail_do_not_fail_one_after_the_other() {
    let world = world(Reuse::Copy);
    for n in 0..3_000 {
        world.file(&format!("/In/A/Approved/{n:04}.tif"), b"bytes");
        world.sink.inject(Operation::Begin, Kind::Denied);
    }
    let report = world.run().await;
    assert_eq!(report.total(StepState::Failed).steps, 3_000);
    assert!(world.sink.assets().is_empty());
    // All of them once more, and now it works.
    let report = world.run().await;
    assert_eq!(report.total(StepState::Done).steps, 3_000);
    assert_eq!(sent(&world), 3_001);
}

#[tokio::test]
async fn a_link_that_belongs_elsewhere_and_whose_asset_is_gone_brings_its_bytes() {
    let mut world = world(Reuse::Link);
    world.file("/In/A/Approved/a.tif", b"logo");
    world.file("/In/B/Approved/b.tif", b"logo");
    world.run().await;
    // Somebody gives the asset other bytes, and the file goes to another folder.
    world
        .sink
        .put("/Library/A/a.tif", b"another".to_vec())
        .unwrap();
    world
        .source
        .rename("/In/B/Approved/b.tif", "/In/C/Approved/b.tif")
        .unwrap();
    world.transfers = 1;
    let plan = world.plan().await;
    assert_eq!(actions(&plan), [("b.tif", Action::Link)]);
    let run = tokio::time::timeout(Duration::from_secs(20), world.run());
    let report = run.await.expect("it is not tried for ever");
    assert_eq!(report.bytes_moved, 4);
    assert_eq!(shown(&world, "/Library/C"), ["logo"]);
}
