//! What was put away is kept, and after some days it is said that people may delete it.

use super::*;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn found(plan: &Plan) -> Vec<String> {
    let findings = plan.summary.findings.iter();
    findings
        .map(|one| format!("{}: {}", one.subject, one.message))
        .collect()
}

/// A world in which one asset and two files were put away.
async fn put_away() -> World {
    let mut world = World::new();
    world.options.removing = removing();
    if let Some(removing) = &mut world.options.removing {
        removing.days = Some(30);
    }
    world.files.put("/Work/Final/a.jpg", "one").unwrap();
    world.library.put("/Brand/b.jpg", "three").unwrap();
    world.library.put("/Brand/c.jpg", "four").unwrap();
    world.pass().await;
    world.files.delete("/Work/Final/a.jpg");
    world.dam.delete("/Brand/b.jpg");
    world.dam.delete("/Brand/c.jpg");
    world.pass().await;
    assert_eq!(
        (world.file_paths().len(), world.asset_paths().len()),
        (2, 1)
    );
    world
}

#[tokio::test]
async fn what_was_put_away_long_ago_is_named_and_stays() {
    let world = put_away().await;
    world.clock.advance(29 * DAY);
    let passed = world.pass().await;
    assert_eq!(found(&passed.inward), Vec::<String>::new());
    assert_eq!(found(&passed.outward), Vec::<String>::new());
    world.clock.advance(2 * DAY);
    let passed = world.pass().await;
    let since = world.asset_paths()[0]["/Removed/".len()..][..10].to_owned();
    let kept =
        "nothing there is deleted by itself: whoever does not need it any more may delete it";
    assert_eq!(
        found(&passed.inward),
        [format!(
            "/Removed: 1 asset was put away more than 30 days ago (3 B, since {since}); {kept}"
        )]
    );
    assert_eq!(
        found(&passed.outward),
        [format!(
            "/Removed: 2 files were put away more than 30 days ago (9 B, since {since}); {kept}"
        )]
    );
    assert_eq!(
        (world.file_paths().len(), world.asset_paths().len()),
        (2, 1)
    );
    world.assert_at_rest().await;
}

#[tokio::test]
async fn what_people_took_or_keep_there_themselves_is_not_counted() {
    let world = put_away().await;
    let kept = world.file_paths();
    world.files.rename(&kept[0], "/Removed/mine.jpg").unwrap();
    world.files.delete(&kept[1]);
    let (folder, _) = kept[1].rsplit_once('/').unwrap();
    world
        .files
        .put(&format!("{folder}/theirs.jpg"), "x")
        .unwrap();
    let asset = world.asset_paths()[0].clone();
    world.dam.rename(&asset, "/Removed/mine.jpg").unwrap();
    world.clock.advance(60 * DAY);
    let passed = world.pass().await;
    assert_eq!(found(&passed.inward), Vec::<String>::new());
    assert_eq!(found(&passed.outward), Vec::<String>::new());
}
