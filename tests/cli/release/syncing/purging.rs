//! What was put away is deleted for good after its days, where the configuration says so, and nothing that somebody touched.

use super::*;

/// For so many days what was put away is kept.
fn purging(days: u32) -> String {
    format!(
        r#"removing = {{ files = "/Removed", assets = "/Brand Library/Removed", days = {days}, purge = true }}"#
    )
}

impl Bed {
    /// Where a file of this name is kept.
    fn kept(&self, name: &str) -> String {
        let files = self.files().into_iter();
        let mut kept = files.filter(|path| path.starts_with("/Removed/") && path.ends_with(name));
        kept.next().expect(name)
    }

    /// The id and the collections of the asset of a file of this name.
    fn asset_of(&self, name: &str) -> Option<(u64, Vec<String>)> {
        let mut assets = self.celum().assets().into_iter();
        let asset = assets.find(|asset| asset.filename == name)?;
        Some((asset.id, asset.parents))
    }

    fn has_file(&self, path: &str) -> bool {
        self.files().iter().any(|file| file == path)
    }

    /// The newest run of a flow that did something.
    fn newest_of(&self, flow: &str) -> String {
        let runs = self.run(&["--json", "status", "--limit", "20"]).expect(0);
        let runs = runs.records("run");
        let run = runs.iter().find(|run| run["flow"] == flow);
        run.unwrap()["run"].as_str().unwrap().to_owned()
    }

    /// Three assets lost their file and three files their asset, and all are put away.
    fn with_removals(days: u32) -> Self {
        let bed = Bed::syncing(&purging(days));
        for name in ["a1", "a2", "a3", "b1", "b2", "b3"] {
            bed.save(&format!("/Studio/Final/{name}.jpg"), name);
        }
        bed.sync();
        for name in ["a1", "a2", "a3"] {
            let path = format!("/Studio/Final/{name}.jpg");
            bed.dropbox().remove(&path).unwrap();
        }
        for name in ["b1.jpg", "b2.jpg", "b3.jpg"] {
            let (id, _) = bed.asset_of(name).unwrap();
            bed.celum().delete_asset(id).unwrap();
        }
        bed.sync();
        // Folders are called after seconds, and what is not older than one is not old.
        std::thread::sleep(std::time::Duration::from_millis(1_100));
        bed
    }
}

#[test]
fn what_was_put_away_is_deleted_after_its_days_and_what_somebody_touched_is_kept() {
    let bed = Bed::with_removals(30);
    let (touched, _) = bed.asset_of("a2.jpg").unwrap();
    let newer = Bytes::from_static(b"newer");
    bed.celum().add_version(touched, "a2.jpg", newer).unwrap();
    let (moved, collections) = bed.asset_of("a3.jpg").unwrap();
    let elsewhere = "Brand Library/Elsewhere";
    let from = collections[0].as_str();
    bed.celum().move_asset(moved, from, elsewhere).unwrap();
    let edited = bed.kept("b2.jpg");
    bed.save(&edited, "edited where it is kept");
    let from = bed.kept("b3.jpg");
    bed.dropbox().rename(&from, "/Elsewhere/b3.jpg").unwrap();
    bed.sync();
    let (old, (asset, _)) = (bed.kept("b1.jpg"), bed.asset_of("a1.jpg").unwrap());

    bed.configure(&studio(&purging(0)));
    let plan = bed.run(&["plan", "studio", "--steps"]).expect(0).stdout;
    let plan = plan.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        plan.contains(&format!("its asset {asset} is deleted")),
        "{plan}"
    );
    assert!(
        plan.contains(&format!("its file {old} is deleted")),
        "{plan}"
    );
    assert_eq!(plan.matches(" is deleted").count(), 2, "{plan}");
    bed.sync();
    assert_eq!(bed.asset_of("a1.jpg"), None);
    assert!(!bed.has_file(&old));
    assert_eq!(bed.content(touched), b"newer");
    assert_eq!(bed.asset_of("a3.jpg").unwrap().1, [elsewhere]);
    assert_eq!(bed.bytes(&edited), b"edited where it is kept");
    assert_eq!(bed.bytes("/Elsewhere/b3.jpg"), b"b3");

    let plan = bed.run(&["plan", "studio", "--json"]).expect(0).stdout;
    assert!(!plan.contains("\"withdraw\""), "{plan}");
    let verified = bed.run(&["verify", "studio", "--json"]).expect(0);
    let files = verified.records("file").into_iter();
    let ended = files.filter(|file| file["why"].to_string().contains("was deleted for good"));
    let ended: Vec<_> = ended.map(|file| file["standing"].clone()).collect();
    assert_eq!(ended, ["withdrawn", "withdrawn"]);
    let explained = bed.run(&["explain", "/Studio/Final/a1.jpg"]).expect(0);
    let explained = explained.stdout;
    assert!(explained.contains("nothing of it is kept"), "{explained}");
    let report = bed.run(&["report", &bed.newest_of("studio.in")]).expect(0);
    assert!(report.stdout.contains("withdrawn"), "{}", report.stdout);
}

#[test]
fn what_was_deleted_is_found_where_undo_says_and_is_new_when_it_comes_back() {
    let bed = Bed::with_removals(30);
    let (old, (asset, _)) = (bed.kept("b1.jpg"), bed.asset_of("a1.jpg").unwrap());
    bed.configure(&studio(&purging(0)));
    bed.sync();
    let undone = bed.run(&["undo", &bed.newest_of("studio.in"), "--dry-run"]);
    let told = undone.expect(0).stdout.replace('\n', " ");
    assert!(told.contains("it was deleted for good"), "{told}");
    assert!(
        told.contains(&format!("may restore asset {asset}")),
        "{told}"
    );
    let undone = bed.run(&["--json", "undo", &bed.newest_of("studio.out"), "--dry-run"]);
    let items = undone.expect(0).records("undo");
    let item = items.iter().find(|item| item["path"] == old.as_str());
    let hint = item.unwrap()["hint"].as_str().unwrap().to_owned();
    let (before, revision) = hint.rsplit_once(" there, revision ").unwrap();
    assert!(before.ends_with(&format!("restore {old}")), "{hint}");

    bed.dropbox().restore_file(&old, revision).unwrap();
    assert_eq!(bed.bytes(&old), b"b1");
    bed.sync();
    assert!(bed.has_file(&old), "whoever restores something keeps it");
    bed.dropbox().rename(&old, "/Studio/Final/b1.jpg").unwrap();
    bed.sync();
    let (_, collections) = bed.asset_of("b1.jpg").unwrap();
    assert_eq!(collections, ["Brand Library/Studio/Final"]);
    bed.sync();
    assert_eq!(bed.bytes("/Studio/Final/b1.jpg"), b"b1");
    assert_eq!(bed.studio().len(), 1);
}
