//! What appears, under which name, in which form, and what people's own changes do to it.

use windlass_core::memory::Operation;
use windlass_core::{Handing, LinkTerms, Member, StepState};

use super::*;
use crate::{RenditionRule, Shared};

#[tokio::test]
async fn approved_assets_appear_once_and_the_next_plan_is_empty() {
    let world = World::new();
    world.asset("/Brand/Spring/hero.jpg", b"hero");
    let draft = world.asset("/Brand/Spring/draft.jpg", b"draft");
    world
        .library
        .set_field(&draft, "approval", Value::Text("In review".into()));
    world.asset("/Other/else.jpg", b"else");
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        ["create /Brand/Spring/hero.jpg: for press; not placed before"]
    );
    assert_eq!(world.visible(), ["/Press/Spring/hero.jpg"]);
    assert_eq!(world.bytes("/Press/Spring/hero.jpg"), b"hero");
    let (again, _) = world.pass().await;
    assert!(again.is_empty() && again.steps.is_empty());
    assert_eq!(again.summary.unchanged.assets, 1);
}

#[tokio::test]
async fn a_newer_version_replaces_just_the_revision_that_was_placed() {
    let world = World::new();
    world.asset("/Brand/hero.jpg", b"one");
    world.pass().await;
    let before = world.outlet.asset_at("/Press/Brand/hero.jpg").unwrap();
    world.asset("/Brand/hero.jpg", b"two");
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::NewVersion]);
    let after = world.outlet.asset_at("/Press/Brand/hero.jpg").unwrap();
    assert_eq!(
        (after.id, world.bytes("/Press/Brand/hero.jpg")),
        (before.id, b"two".to_vec())
    );
}

#[tokio::test]
async fn a_copy_that_people_edited_is_a_conflict_and_stays() {
    let world = World::new();
    world.asset("/Brand/hero.jpg", b"one");
    world.pass().await;
    world
        .outlet
        .edit("/Press/Brand/hero.jpg", &b"theirs"[..])
        .unwrap();
    world.asset("/Brand/hero.jpg", b"two");
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        [
            "conflict /Brand/hero.jpg: its copy /Press/Brand/hero.jpg was changed by people; both are kept"
        ]
    );
    assert_eq!(world.bytes("/Press/Brand/hero.jpg"), b"theirs");
}

#[tokio::test]
async fn an_edit_between_plan_and_run_is_not_overwritten() {
    let world = World::new();
    world.asset("/Brand/hero.jpg", b"one");
    world.pass().await;
    world.asset("/Brand/hero.jpg", b"two");
    let flow = world.flow();
    let plan = flow.plan().await.unwrap();
    world
        .outlet
        .edit("/Press/Brand/hero.jpg", &b"theirs"[..])
        .unwrap();
    let runner = world.runner(&flow);
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    assert_eq!(world.bytes("/Press/Brand/hero.jpg"), b"theirs");
    assert_eq!(world.steps().await[0].state, StepState::Held);
}

#[tokio::test]
async fn what_rights_stop_between_plan_and_commit_never_appears() {
    let world = World::new();
    let off = world.asset("/Brand/a.jpg", b"a");
    let locked = world.asset("/Brand/b.jpg", b"b");
    let gone = world.asset("/Brand/c.jpg", b"c");
    let denied = world.asset("/Brand/d.jpg", b"d");
    let rejected = world.asset("/Brand/e.jpg", b"e");
    let flow = world.flow();
    let plan = flow.plan().await.unwrap();
    assert_eq!(plan.steps.len(), 5);
    world.switch_off(&off);
    world.library.lock_asset(&locked, Some("retouching"));
    world.library.hide(&gone, true);
    world.rules.deny(&denied, None);
    world
        .library
        .set_field(&rejected, "approval", Value::Text("Rejected".into()));
    let runner = world.runner(&flow);
    let run = runner.record(&plan).await.unwrap();
    runner.work(run, &CancellationToken::new()).await.unwrap();
    assert_eq!(world.visible(), Vec::<String>::new());
    let steps = world.steps().await;
    let told: Vec<_> = steps
        .iter()
        .map(|step| step.message.clone().unwrap())
        .collect();
    assert_eq!(
        told,
        [
            "blocked by rights: it is switched off",
            "blocked by rights: somebody works on it: retouching",
            "blocked by rights: it is gone from dam, or hidden",
            "blocked by rights: the licence excludes it (licence)",
            "blocked by rights: its approval is \"Rejected\", not \"approved\"",
        ]
    );
    assert!(steps.iter().all(|step| step.state == StepState::Held));
    // Nothing of it is remembered: once rights allow it, it leaves.
    world.switch_on(&off);
    world.pass().await;
    assert_eq!(world.visible(), ["/Press/Brand/a.jpg"]);
}

#[tokio::test]
async fn what_nobody_allows_is_closed() {
    let world = World::new();
    let unstated = world.asset("/Brand/a.jpg", b"a");
    let odd = world.asset("/Brand/b.jpg", b"b");
    let later = world.asset("/Brand/c.jpg", b"c");
    world.library.set_usable(&unstated, Usable::Unstated);
    world
        .library
        .set_usable(&odd, Usable::Unreadable("WEEKLY".into()));
    let from = world.now() + jiff::SignedDuration::from_hours(1);
    let dated = Availability::Dated {
        from: Some(from),
        to: None,
    };
    world.library.set_usable(&later, Usable::Stated(dated));
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        [
            "hold /Brand/a.jpg: blocked by rights: nothing says whether it may be used",
            "hold /Brand/b.jpg: blocked by rights: its availability cannot be understood: WEEKLY",
            &format!("skip /Brand/c.jpg: blocked by rights: it is available from {from}"),
        ]
    );
    // The flow says itself when it is worth looking again.
    assert_eq!(world.flow().due().await.unwrap(), Some(from));
    world.clock.advance(Duration::from_secs(3601));
    world.pass().await;
    assert_eq!(world.visible(), ["/Press/Brand/c.jpg"]);
}

#[tokio::test]
async fn a_failing_plugin_lets_nothing_out() {
    let world = World::new();
    world.asset("/Brand/a.jpg", b"a");
    *world.rules.broken.lock().unwrap() = true;
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Hold]);
    assert!(plan.steps[0].reason.contains("the plugin trapped"));
    assert!(world.visible().is_empty());
}

#[tokio::test]
async fn two_assets_with_one_target_name_are_held_and_the_one_that_is_there_keeps_it() {
    let world = World::new();
    world.asset("/Brand/A/hero.jpg", b"a");
    world.pass().await;
    world.asset("/Brand/B/A/HERO.jpg", b"b");
    world.asset("/Brand/C/x.jpg", b"1");
    world.asset("/Brand/D/C/X.jpg", b"2");
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        [
            "hold /Brand/B/A/HERO.jpg: /Press/A/HERO.jpg is the name of /Brand/A/hero.jpg as well; rename one",
            "hold /Brand/C/x.jpg: /Press/C/x.jpg is the name of /Brand/D/C/X.jpg as well; rename one",
            "hold /Brand/D/C/X.jpg: /Press/C/X.jpg is the name of /Brand/C/x.jpg as well; rename one",
        ]
    );
    assert_eq!(world.visible(), ["/Press/A/hero.jpg"]);
}

#[tokio::test]
async fn an_asset_without_what_a_template_needs_is_held_and_the_rest_goes_on() {
    let mut world = World::new();
    world.publish(|options| options.folder = "{field:client}".parse().unwrap());
    let one = world.asset("/Brand/a.jpg", b"a");
    world.asset("/Brand/b.jpg", b"b");
    world
        .library
        .set_field(&one, "client", Value::Text("ACME".into()));
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        [
            "create /Brand/a.jpg: for press; not placed before",
            "hold /Brand/b.jpg: its field \"client\" is empty, and {field:client} needs it",
        ]
    );
    assert_eq!(world.visible(), ["/Press/ACME/a.jpg"]);
}

#[tokio::test]
async fn a_rendition_leaves_under_its_own_extension_and_one_that_cannot_be_made_is_held() {
    let mut world = World::new();
    world.publish(|options| {
        options.renditions = vec![RenditionRule {
            extensions: vec!["tif".into()],
            rendition: "web".into(),
            extension: Some("png".into()),
        }];
    });
    world.library.offer("web");
    world.asset("/Brand/hero.tif", b"hero");
    world.asset("/Brand/logo.svg", b"logo");
    let broken = world.asset("/Brand/odd.tif", b"odd");
    world.library.break_renditions(&broken);
    world.pass().await;
    assert_eq!(
        world.visible(),
        ["/Press/Brand/hero.png", "/Press/Brand/logo.svg"]
    );
    assert_eq!(world.bytes("/Press/Brand/hero.png"), b"webhero");
    let steps = world.steps().await;
    let held = steps
        .iter()
        .find(|step| step.state == StepState::Held)
        .unwrap();
    assert_eq!(held.message.as_deref(), Some("no web can be made of it"));
    // It is not tried again by itself, and nothing else is done.
    let (again, _) = world.pass().await;
    assert_eq!(
        told(&again),
        ["hold /Brand/odd.tif: no web can be made of it"]
    );
}

#[tokio::test]
async fn a_changed_template_moves_what_is_there_and_what_people_moved_stays() {
    let mut world = World::new();
    world.asset("/Brand/Spring/a.jpg", b"a");
    world.asset("/Brand/Spring/b.jpg", b"b");
    world.pass().await;
    world
        .outlet
        .rename("/Press/Spring/b.jpg", "/Press/Elsewhere/b.jpg")
        .unwrap();
    let (plan, _) = world.pass().await;
    assert!(plan.steps.is_empty(), "{:?}", told(&plan));
    // What goes with it is made anew where it is.
    world.options.handing = Some(Handing {
        link: Some(LinkTerms::default()),
        receipt: false,
    });
    let (plan, _) = world.pass().await;
    assert_eq!(
        actions(&plan),
        [Action::UpdateMetadata, Action::UpdateMetadata]
    );
    assert_eq!(world.outlet.links_of("/Press/Elsewhere/b.jpg").len(), 1);
    assert!(world.plan().await.steps.is_empty());
    world.publish(|options| options.folder = "{collection}/Final".parse().unwrap());
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Relocate, Action::Relocate]);
    assert_eq!(
        world.visible(),
        ["/Press/Spring/Final/a.jpg", "/Press/Spring/Final/b.jpg"]
    );
    assert_eq!(world.outlet.calls(Operation::Begin), 2);
    assert!(world.plan().await.steps.is_empty());
}

#[tokio::test]
async fn a_removed_copy_comes_back_and_a_removed_folder_is_asked_about() {
    let mut world = World::new();
    world.asset("/Brand/Spring/a.jpg", b"a");
    world.asset("/Brand/Spring/b.jpg", b"b");
    world.pass().await;
    world.outlet.delete("/Press/Spring/a.jpg");
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        ["create /Brand/Spring/a.jpg: for press; somebody removed its copy"]
    );
    world.outlet.delete("/Press/Spring");
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Hold, Action::Hold]);
    assert!(
        plan.steps[0].reason.starts_with("/Press/Spring is gone"),
        "{:?}",
        told(&plan)
    );
    world.options.retry_held = true;
    world.pass().await;
    assert_eq!(
        world.visible(),
        ["/Press/Spring/a.jpg", "/Press/Spring/b.jpg"]
    );
}

#[tokio::test]
async fn links_and_receipts_go_with_a_file_and_what_could_not_be_done_is_tried_again() {
    let mut world = World::new();
    world.options.handing = Some(Handing {
        link: Some(LinkTerms {
            days: Some(30),
            until: None,
            team_only: false,
        }),
        receipt: true,
    });
    let id = world.asset("/Brand/a.jpg", b"a");
    world.outlet.inject(Operation::Link, Kind::Denied);
    world.pass().await;
    assert_eq!(world.visible(), ["/Press/Brand/a.jpg"]);
    assert!(world.library.usages(&id).is_empty());
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::UpdateMetadata]);
    assert_eq!(world.outlet.links_of("/Press/Brand/a.jpg").len(), 1);
    let usages = world.library.usages(&id);
    let url = &usages["out/original"];
    assert!(
        url.starts_with("memory://") && url.contains("#version=rev-"),
        "{url}"
    );
    assert!(
        url.contains("&evidence=E2&at=2026-01-01T00:00:00Z"),
        "{url}"
    );
    assert!(world.plan().await.steps.is_empty());
}

#[tokio::test]
async fn folders_are_shared_before_and_a_member_who_cannot_be_invited_is_told() {
    let mut world = World::new();
    let member = |email: &str| Member {
        email: email.into(),
        may_edit: false,
    };
    world.options.shared = vec![Shared {
        folder: AssetPath::new("/Press"),
        members: vec![member("desk@paper.example"), member("lost@paper.example")],
    }];
    world
        .outlet
        .refuse_member("lost@paper.example", "no such account");
    let findings = world.flow().open_folders().await.unwrap();
    assert_eq!(
        world.outlet.members_of("/Press"),
        [member("desk@paper.example")]
    );
    assert_eq!(
        findings[0].message,
        "lost@paper.example could not be invited: no such account"
    );
}

#[tokio::test]
async fn names_that_the_sink_refuses_are_held_before_any_byte_moves() {
    let world = World::new();
    world.asset("/Brand/ok.jpg", b"ok");
    let long = "x".repeat(300);
    world.asset(&format!("/Brand/{long}.jpg"), b"long");
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Create, Action::Hold]);
    assert!(plan.steps[1].reason.contains("255"), "{:?}", told(&plan));
}

#[tokio::test]
async fn a_newer_version_under_another_name_is_one_step() {
    let mut world = World::new();
    world.publish(|options| options.name = "{stem}-{version}.{ext}".parse().unwrap());
    world.asset("/Brand/hero.jpg", b"one");
    world.pass().await;
    let before = world.outlet.assets().remove(0);
    world.asset("/Brand/hero.jpg", b"two");
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::NewVersion]);
    let after = world.outlet.assets().remove(0);
    assert_eq!(
        (after.id == before.id, after.path == before.path),
        (true, false)
    );
    assert_eq!(world.bytes(after.path.as_str()), b"two");
    assert!(world.plan().await.steps.is_empty());
}

#[tokio::test]
async fn what_somebody_else_put_at_a_place_is_left_there_and_told() {
    let world = World::new();
    world
        .outlet
        .put("/Press/Brand/a.jpg", &b"theirs"[..])
        .unwrap();
    world
        .outlet
        .put("/Press/Brand/b.jpg", &b"theirs"[..])
        .unwrap();
    world.asset("/Brand/a.jpg", b"a");
    let off = world.asset("/Brand/b.jpg", b"b");
    world.switch_off(&off);
    let (plan, _) = world.pass().await;
    assert_eq!(
        told(&plan),
        [
            "hold /Brand/a.jpg: something that the flow did not place is at /Press/Brand/a.jpg; remove or rename it",
            "conflict /Brand/b.jpg: blocked by rights, and something that the flow did not place is at /Press/Brand/b.jpg; look what it is: it is switched off",
        ]
    );
    assert_eq!(world.outlet.calls(Operation::Begin), 0);
}

#[tokio::test]
async fn a_version_that_cannot_move_to_its_new_name_is_known_and_moves_later() {
    let mut world = World::new();
    world.publish(|options| options.name = "{stem}-{version}.{ext}".parse().unwrap());
    let id = world.asset("/Brand/hero.jpg", b"one");
    world.pass().await;
    world.asset("/Brand/hero.jpg", b"two");
    world.outlet.inject(Operation::MoveTo, Kind::Conflict);
    world.pass().await;
    // What is left to do is one step, whichever; then it is as it shall be.
    let (plan, _) = world.pass().await;
    assert_eq!(plan.steps.len(), 1);
    assert!(world.plan().await.steps.is_empty());
    world.switch_off(&id);
    world.pass().await;
    assert!(world.visible().is_empty());
}

#[tokio::test]
async fn a_shared_folder_that_is_lost_gets_nothing_new_and_is_not_made_anew() {
    let mut world = World::new();
    world.options.shared = vec![Shared {
        folder: AssetPath::new("/Press"),
        members: Vec::new(),
    }];
    world.asset("/Brand/a.jpg", b"a");
    world.flow().open_folders().await.unwrap();
    world.pass().await;
    world.outlet.delete("/Press");
    world.asset("/Brand/new.jpg", b"new");
    let (plan, _) = world.pass().await;
    assert_eq!(actions(&plan), [Action::Hold, Action::Hold]);
    let findings = world.flow().open_folders().await.unwrap();
    assert!(
        findings[0].message.starts_with("it is gone"),
        "{findings:?}"
    );
    assert!(world.outlet.folders().is_empty());
    world.options.retry_held = true;
    assert!(world.flow().open_folders().await.unwrap().is_empty());
    world.pass().await;
    assert_eq!(
        world.visible(),
        ["/Press/Brand/a.jpg", "/Press/Brand/new.jpg"]
    );
}

#[tokio::test]
async fn fields_and_renditions_that_there_are_not_are_refused_before_anything_is_planned() {
    let mut world = World::new();
    world.asset("/Brand/a.jpg", b"a");
    world.library.lack_field("cliemt");
    world.publish(|options| options.folder = "{field:cliemt}".parse().unwrap());
    let error = world.flow().plan().await.unwrap_err();
    assert_eq!(error.message(), "there is no field \"cliemt\"");
    world.publish(|options| {
        options.folder = "x".parse().unwrap();
        options.renditions = vec![RenditionRule {
            extensions: Vec::new(),
            rendition: "huge".into(),
            extension: None,
        }];
    });
    world.library.offer("web");
    let error = world.flow().plan().await.unwrap_err();
    assert_eq!(error.message(), "dam has no rendition \"huge\"");
    assert_eq!(error.hint(), Some("there is web"));
    // What is there is swept all the same.
    world.options.sweep = true;
    world.flow().plan().await.unwrap();
}
