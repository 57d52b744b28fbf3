//! Plans as files: what was reviewed is what is done, and what moved meanwhile is told.

use std::io::BufReader;

use jiff::Timestamp;
use windlass_core::memory::MemoryLedger;
use windlass_core::sign::SigningKey;

use super::passes::run_and_settle;
use super::*;
use crate::{
    Comparison, Difference, Differs, Forecast, Pace, PlanFileReader, PlanFileWriter, PlanHeader,
    PlanSummary, PlanWriter, PlannedStep, ReadPlan, RemovalCap, Removals, Tolerance,
};

fn header(ingest: &Ingest, ledger: String) -> PlanHeader {
    PlanHeader {
        ledger,
        flow: "approved".into(),
        made: Timestamp::UNIX_EPOCH,
        origin: ingest.origin().unwrap(),
        endpoints: Blake3::of(b"both"),
        retry_held: false,
    }
}

/// The plan of a world, as a file.
async fn saved(world: &World) -> Vec<u8> {
    let ingest = world.ingest();
    let header = header(&ingest, world.ledger.id().await.unwrap());
    let mut writer = PlanFileWriter::begin(Vec::new(), &header).unwrap();
    let summary = ingest.decide(&mut writer).await.unwrap();
    let key = SigningKey::from_seed(&[7; 32]);
    let forecast = Forecast {
        calls: BTreeMap::from([("dam".into(), 12)]),
        seconds: Some(3),
    };
    writer.end(&summary, &forecast, &[key]).unwrap().0
}

fn read(file: &[u8]) -> Result<ReadPlan> {
    PlanFileReader::open(BufReader::new(file)).and_then(PlanFileReader::finish)
}

/// Plans anew beside a file: what is to be done, and what differs.
async fn against(world: &World, file: &[u8]) -> (Vec<PlannedStep>, Difference) {
    let mut then: Vec<PlannedStep> = Vec::new();
    let reader = PlanFileReader::open(BufReader::new(file)).unwrap();
    let mut comparison = Comparison::begin(reader, world.ledger.as_ref(), &mut then).unwrap();
    world.ingest().decide(&mut comparison).await.unwrap();
    let (difference, _) = comparison.finish().await.unwrap();
    (then, difference)
}

fn acting(steps: &[PlannedStep]) -> Vec<&str> {
    let acting = steps.iter().filter(|step| step.action.acts());
    acting.map(|step| step.asset.path.name()).collect()
}

/// Three files to place, one to skip, one to hold.
fn world() -> World {
    let world = World::new();
    for name in ["a", "b", "c"] {
        world.file(&format!("/In/ACME/Approved/{name}.tif"), name.as_bytes());
    }
    world.file("/In/ACME/Drafts/d.tif", b"draft");
    world.file("/In/Nobody/Approved/n.tif", b"nobody's");
    world
}

#[tokio::test]
async fn a_plan_file_says_what_the_plan_said() {
    let world = world();
    let plan = world.plan().await;
    let file = saved(&world).await;
    let back = read(&file).unwrap();
    assert_eq!(back.summary, plan.summary);
    assert_eq!(back.header.flow, "approved");
    assert_eq!(back.forecast.calls["dam"], 12);
    assert_eq!(
        back.seal.signed_by,
        [SigningKey::from_seed(&[7; 32]).public()]
    );
    // A value: the same plan made again is the same file.
    assert_eq!(saved(&world).await, file);
    let lines = String::from_utf8(file).unwrap();
    for word in ["samples", "removals", "reasons", "forecast", "totals"] {
        assert!(lines.contains(&format!("\"{word}\":")), "{word}");
    }
}

#[tokio::test]
async fn a_plan_file_edited_by_hand_is_refused() {
    let file = String::from_utf8(saved(&world()).await).unwrap();
    for (what, by) in [
        ("ACME/Approved/a.tif", "ACME/Approved/x.tif"),
        ("\"create\"", "\"skip\""),
        ("\"steps\":3", "\"steps\":2"),
    ] {
        assert!(file.contains(what), "{what}");
        let error = read(file.replacen(what, by, 1).as_bytes()).unwrap_err();
        assert_eq!(error.kind(), Kind::Integrity, "{what}");
    }
}

#[tokio::test]
async fn sums_that_are_not_those_of_the_steps_are_refused_even_when_they_were_sealed() {
    let ingest = world().ingest();
    let header = header(&ingest, "l".into());
    let mut writer = PlanFileWriter::begin(Vec::new(), &header).unwrap();
    ingest.decide(&mut writer).await.unwrap();
    let lies = PlanSummary::new("approved".into(), header.origin.clone());
    let (file, _) = writer.end(&lies, &Forecast::default(), &[]).unwrap();
    assert_eq!(read(&file).unwrap_err().kind(), Kind::Integrity);

    let plan = world().plan().await;
    let mut writer = PlanFileWriter::begin(Vec::new(), &header).unwrap();
    let backwards: Vec<PlannedStep> = plan.steps.iter().rev().cloned().collect();
    writer.steps(backwards).await.unwrap();
    let (file, _) = writer
        .end(&plan.summary, &Forecast::default(), &[])
        .unwrap();
    let error = read(&file).unwrap_err();
    assert!(error.message().contains("not in order"), "{error:?}");
}

#[tokio::test]
async fn in_a_world_that_stood_still_everything_reviewed_is_done() {
    let world = world();
    let (steps, difference) = against(&world, &saved(&world).await).await;
    assert_eq!(difference.count(), 0);
    assert_eq!(difference.reviewed, 3);
    assert_eq!(steps, world.plan().await.steps);
}

#[tokio::test]
async fn only_what_was_reviewed_is_done_and_every_difference_is_named() {
    let world = world();
    let file = saved(&world).await;
    world.file("/In/ACME/Approved/a.tif", b"other bytes");
    assert!(world.source.delete("/In/ACME/Approved/b.tif"));
    world.file("/In/ACME/Approved/new.tif", b"new");
    world
        .source
        .set_readable("/In/ACME/Approved/c.tif", Readable::Restricted)
        .unwrap();
    let (steps, difference) = against(&world, &file).await;
    assert_eq!(acting(&steps), Vec::<&str>::new());
    let named: Vec<(Differs, &str)> = difference
        .steps
        .iter()
        .map(|step| (step.differs, step.path.name()))
        .collect();
    for expected in [
        (Differs::Changed, "a.tif"),
        (Differs::Gone, "b.tif"),
        (Differs::Stopped, "c.tif"),
        (Differs::Added, "new.tif"),
    ] {
        assert!(named.contains(&expected), "{expected:?} in {named:?}");
    }
    assert_eq!(difference.count(), 4);
    // What is not done is accounted for.
    let skipped = steps
        .iter()
        .find(|step| step.asset.path.name() == "new.tif");
    let skipped = skipped.unwrap();
    assert_eq!(skipped.action, Action::Skip);
    assert_eq!(skipped.reason, "not in the reviewed plan");
    assert!(!Tolerance::default().bears(&difference));
    assert!(!Tolerance::Steps(3).bears(&difference));
    assert!(Tolerance::Steps(4).bears(&difference));
}

#[tokio::test]
async fn other_metadata_is_a_difference() {
    let mut world = world();
    let file = saved(&world).await;
    world.hooks = hooks("other ");
    let (steps, difference) = against(&world, &file).await;
    assert_eq!(difference.counts, BTreeMap::from([(Differs::Changed, 3)]));
    assert_eq!(acting(&steps), Vec::<&str>::new());
}

#[tokio::test]
async fn what_was_carried_out_already_is_no_difference() {
    let world = world();
    let file = saved(&world).await;
    world.run().await;
    let (steps, difference) = against(&world, &file).await;
    assert_eq!((difference.count(), difference.already_done), (0, 3));
    assert_eq!(acting(&steps), Vec::<&str>::new());
}

#[tokio::test]
async fn nothing_is_believed_of_a_file_whose_end_is_false() {
    let world = world();
    let mut file = saved(&world).await;
    let last = file.len() - 20;
    file[last] ^= 1;
    let mut then: Vec<PlannedStep> = Vec::new();
    let reader = PlanFileReader::open(BufReader::new(&file[..])).unwrap();
    let mut comparison = Comparison::begin(reader, world.ledger.as_ref(), &mut then).unwrap();
    let ingest = world.ingest();
    let decided = ingest.decide(&mut comparison).await;
    let finished = match decided {
        Ok(_) => comparison.finish().await.map(|_| ()),
        Err(error) => Err(error),
    };
    assert_eq!(finished.unwrap_err().kind(), Kind::Integrity);
}

#[test]
fn a_tolerance_is_a_number_of_steps_or_a_share() {
    assert_eq!("5".parse(), Ok(Tolerance::Steps(5)));
    assert_eq!("0.5%".parse(), Ok(Tolerance::Share(0.005)));
    for wrong in ["", "-1", "5 steps", "101%", "-1%", "NaN%", "%"] {
        assert!(wrong.parse::<Tolerance>().is_err(), "{wrong}");
    }
    let difference = Difference {
        counts: BTreeMap::from([(Differs::Gone, 5)]),
        reviewed: 1_000,
        ..Difference::default()
    };
    assert!(Tolerance::Share(0.005).bears(&difference));
    assert!(!Tolerance::Share(0.0049).bears(&difference));
}

#[test]
fn caps_count_what_is_replaced_by_number_share_and_bytes() {
    let removals = |steps, of| Removals {
        steps,
        bytes: steps << 20,
        of,
    };
    let share = RemovalCap {
        share: Some(0.2),
        ..RemovalCap::default()
    };
    // One of two files is no accident yet.
    assert_eq!(share.exceeded_by(&removals(1, 2)), None);
    assert_eq!(share.exceeded_by(&removals(20, 20)), None);
    assert_eq!(share.exceeded_by(&removals(200, 1_000)), None);
    let exceeded = share.exceeded_by(&removals(201, 1_000)).unwrap();
    assert!(
        exceeded.contains("201 of 1000 placed assets, 20.1 %"),
        "{exceeded}"
    );
    let count = RemovalCap {
        count: Some(0),
        ..RemovalCap::default()
    };
    assert!(count.exceeded_by(&removals(1, 1_000)).is_some());
    assert_eq!(count.exceeded_by(&removals(0, 1_000)), None);
    let bytes = RemovalCap {
        bytes: Some(ByteSize::mib(4)),
        ..RemovalCap::default()
    };
    assert_eq!(bytes.exceeded_by(&removals(4, 1_000)), None);
    assert!(bytes.exceeded_by(&removals(5, 1_000)).is_some());
}

#[tokio::test]
async fn a_plan_counts_what_it_replaces_of_what_is_placed() {
    let world = world();
    world.run().await;
    world.file("/In/ACME/Approved/a.tif", b"other bytes");
    let plan = world.plan().await;
    let removals = Removals::of(&plan.summary);
    assert_eq!((removals.steps, removals.of, removals.bytes), (1, 3, 11));
}

#[tokio::test]
async fn the_pace_of_the_last_run_that_moved_anything_is_known() {
    let world = world();
    let ledger: &MemoryLedger = world.ledger.as_ref();
    assert_eq!(Pace::of_last_run(ledger, "approved").await.unwrap(), None);
    world.run().await;
    let first = Pace::of_last_run(ledger, "approved").await.unwrap();
    // Nothing is moved by a second one, which tells nothing of speed.
    world.run().await;
    let second = Pace::of_last_run(ledger, "approved").await.unwrap();
    assert_eq!(first, second);
    if let Some(pace) = first {
        world.file("/In/ACME/Approved/e.tif", b"more");
        let plan = world.plan().await;
        assert!(pace.seconds_for(&plan.summary) >= 1);
    }
}

#[tokio::test]
async fn metadata_that_was_never_updated_does_not_count_as_done() {
    let mut world = world();
    world.run().await;
    world.hooks = hooks("other ");
    let file = saved(&world).await;
    // The rule is taken back before the plan is run.
    world.hooks = hooks("");
    let (steps, difference) = against(&world, &file).await;
    assert_eq!(acting(&steps), Vec::<&str>::new());
    assert_eq!(difference.already_done, 0);
    assert_eq!(difference.counts, BTreeMap::from([(Differs::Gone, 3)]));
}

#[tokio::test]
async fn what_was_tried_and_is_held_is_no_difference_when_the_plan_is_run_again() {
    let world = world();
    let file = saved(&world).await;
    world.sink.refuse_field_late("client", "not today");
    let report = world.run().await;
    assert_eq!(report.total(StepState::Held).steps, 4, "three and nobody's");
    let (_, difference) = against(&world, &file).await;
    assert_eq!((difference.count(), difference.already_done), (0, 3));
}

#[tokio::test]
async fn rules_that_were_left_half_applied_are_settled_no_more() {
    let mut world = world();
    run_and_settle(&world).await;
    let ingest = world.ingest();
    let settled = ingest.origin().unwrap().rules;
    // By the same rules nothing is forgotten.
    ingest.unsettle(&settled).await.unwrap();
    world.hooks = hooks("other ");
    let other = world.ingest();
    other
        .unsettle(&other.origin().unwrap().rules)
        .await
        .unwrap();
    world.run().await;
    // Back to the old rules, which must be asked about everything again.
    world.hooks = hooks("");
    let updates = world.plan().await.totals()[&Action::UpdateMetadata].0;
    assert_eq!(updates, 3);
}
