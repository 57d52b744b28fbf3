//! Two-way sync on the command line: what goes in, what comes back, and what waits for somebody.

mod purging;

use super::*;

/// A flow between a studio's folder and a collection.
fn studio(more: &str) -> String {
    format!(
        r#"
[flow.studio]
kind = "sync"
from = "share"
to = "dam"
root = "/Studio"
collection = "/Brand Library/Studio"
asset_type = "campaignAsset"
availability = true
select = {{ approval = {{ folder = "Final", tag = "final" }} }}
set = {{ campaignId = "CMP-2041", approval = "Approved" }}
rights = {{ audience = "studio" }}
withdraw = {{ quarantine = "/Quarantine" }}
{more}
"#
    )
}

impl Bed {
    /// A bed whose tenant has the flow's collection and lets others be made.
    fn syncing(more: &str) -> Self {
        let bed = Bed::new(&studio(more));
        let profile = "indexLag = 0\nrange = true\ncreateCollections = true\n\
                       correlationField = \"windlassCorrelation\"\n";
        fs::write(bed.dir.path().join("tenant.toml"), profile).unwrap();
        bed.celum()
            .ensure_collection("Brand Library/Studio")
            .unwrap();
        bed
    }

    fn save(&self, path: &str, bytes: &str) {
        let bytes = Bytes::copy_from_slice(bytes.as_bytes());
        self.dropbox().put_file(path, bytes, None).unwrap();
    }

    /// Ids, file names and collections of the flow's assets.
    fn studio(&self) -> Vec<(u64, String, Vec<String>)> {
        let assets = self.celum().assets().into_iter();
        assets
            .filter(|asset| {
                let mut collections = asset.parents.iter();
                collections.any(|one| one.starts_with("Brand Library/Studio"))
            })
            .map(|asset| (asset.id, asset.name, asset.parents))
            .collect()
    }

    fn content(&self, asset: u64) -> Vec<u8> {
        let size = self
            .celum()
            .assets()
            .into_iter()
            .find(|one| one.id == asset);
        let size = size.unwrap().size;
        self.celum().read_content(asset, 0..size).unwrap().to_vec()
    }

    fn sync(&self) -> String {
        let done = self.run(&["run", "studio"]);
        assert_eq!(done.code, Some(0), "{}{}", done.stdout, done.stderr);
        done.stdout
    }
}

#[test]
fn finals_go_in_and_newer_masters_come_back_and_nothing_else_is_done() {
    let bed = Bed::syncing("");
    bed.save("/Studio/Spring/Final/hero.jpg", "one");
    bed.save("/Studio/Spring/draft.psd", "a draft");
    bed.sync();
    let assets = bed.studio();
    assert_eq!(assets.len(), 1, "{assets:?}");
    let (asset, _, collections) = assets[0].clone();
    assert_eq!(collections, ["Brand Library/Studio/Spring/Final"]);
    let plan = bed.run(&["plan", "studio", "--json"]);
    assert!(!plan.stdout.contains("\"create\""), "{}", plan.stdout);
    bed.celum()
        .add_version(asset, "hero.jpg", Bytes::from_static(b"two, retouched"))
        .unwrap();
    bed.sync();
    assert_eq!(
        bed.bytes("/Studio/Spring/Final/hero.jpg"),
        b"two, retouched"
    );
    let calls = bed.dropbox().bytes_received();
    bed.sync();
    assert_eq!(bed.dropbox().bytes_received(), calls, "nothing moves twice");
    assert_eq!(bed.studio().len(), 1);
    bed.dropbox()
        .rename(
            "/Studio/Spring/Final/hero.jpg",
            "/Studio/Summer/Final/hero v2.jpg",
        )
        .unwrap();
    bed.sync();
    let assets = bed.studio();
    assert_eq!((assets.len(), assets[0].0), (1, asset));
    assert_eq!(assets[0].2, ["Brand Library/Studio/Summer/Final"]);
    assert_eq!(assets[0].1, "hero v2.jpg");
}

#[test]
fn an_edit_waits_in_the_queue_until_somebody_chooses() {
    let bed = Bed::syncing("");
    bed.save("/Studio/Final/hero.jpg", "one");
    bed.sync();
    let asset = bed.studio()[0].0;
    bed.save("/Studio/Final/hero.jpg", "edited by the studio");
    let told = bed.sync();
    assert!(told.contains("`windlass conflicts list studio`"), "{told}");
    assert_eq!(bed.content(asset), b"one");
    let check = bed.run(&["conflicts", "list", "studio", "--check"]);
    assert_eq!(check.code, Some(1));
    assert!(
        check.stdout.contains("/Studio/Final/hero.jpg"),
        "{}",
        check.stdout
    );
    let shown = bed.run(&["conflicts", "show", "studio", "/Studio/Final/hero.jpg"]);
    assert!(shown.stdout.contains("--take-file"), "{}", shown.stdout);
    let resolve = [
        "conflicts",
        "resolve",
        "studio",
        "/Studio/Final/hero.jpg",
        "--take-file",
    ];
    assert_eq!(bed.run(&resolve).code, Some(0));
    bed.sync();
    assert_eq!(bed.content(asset), b"edited by the studio");
    bed.sync();
    let check = bed.run(&["conflicts", "list", "studio", "--check"]);
    assert_eq!(check.code, Some(0), "{}", check.stdout);
    assert_eq!(bed.studio().len(), 1);
}

#[test]
fn without_its_ledger_a_flow_finds_its_pairs_by_what_both_services_keep_of_them() {
    let bed = Bed::syncing("");
    bed.save("/Studio/Final/in.jpg", "one");
    bed.save("/Studio/Final/both.jpg", "two");
    bed.sync();
    let both = bed.studio();
    let both = both.iter().find(|(_, name, _)| name == "both.jpg").unwrap();
    let newer = Bytes::from_static(b"two, retouched");
    bed.celum().add_version(both.0, "both.jpg", newer).unwrap();
    bed.sync();
    let assets = bed.studio();
    for end in ["", "-wal", "-shm", "-lock"] {
        fs::remove_file(bed.dir.path().join(format!("windlass.db{end}"))).ok();
    }
    let versions = |bed: &Bed| -> usize {
        let assets = bed.celum().assets();
        assets.iter().map(|asset| asset.versions).sum()
    };
    let before = (bed.dropbox().bytes_received(), bed.files(), versions(&bed));
    let told = bed.sync();
    assert_eq!(bed.studio(), assets, "{told}");
    let after = (bed.dropbox().bytes_received(), bed.files(), versions(&bed));
    assert_eq!(after, before, "{told}");
    let check = bed.run(&["conflicts", "list", "studio", "--check"]);
    assert_eq!(check.code, Some(0), "{}", check.stdout);
    bed.save("/Studio/Final/in.jpg", "edited");
    bed.save("/Studio/Final/both.jpg", "edited, too");
    bed.sync();
    let check = bed.run(&["conflicts", "list", "studio", "--check"]);
    assert_eq!(check.code, Some(1), "{}", check.stdout);
    assert_eq!(bed.studio(), assets);
}

#[test]
fn removals_count_where_the_configuration_says_so_and_what_is_kept_comes_back() {
    let removing = r#"removing = { files = "/Removed", assets = "/Brand Library/Removed" }"#;
    let bed = Bed::syncing(removing);
    bed.save("/Studio/Final/hero.jpg", "one");
    bed.save("/Studio/Final/stays.jpg", "two");
    bed.sync();
    bed.dropbox().remove("/Studio/Final/hero.jpg").unwrap();
    bed.sync();
    let assets = bed.studio();
    assert_eq!(assets.len(), 1, "{assets:?}");
    let removed = bed
        .celum()
        .assets()
        .into_iter()
        .find(|one| one.name == "hero.jpg");
    let collections = removed.unwrap().parents;
    assert!(
        collections[0].starts_with("Brand Library/Removed/2"),
        "{collections:?}"
    );
    bed.celum().delete_asset(assets[0].0).unwrap();
    bed.sync();
    let files = bed.files();
    let kept: Vec<_> = files
        .iter()
        .filter(|path| path.starts_with("/Removed/2"))
        .collect();
    assert_eq!(kept.len(), 1, "{files:?}");
    assert!(kept[0].ends_with("/Final/stays.jpg"));
}

#[test]
fn what_a_two_way_flow_cannot_be_is_refused_in_a_sentence() {
    for (more, expected) in [
        (
            r#"removing = { files = "/Studio/Removed", assets = "/Brand Library/Removed" }"#,
            "is inside the flow's root",
        ),
        (
            r#"removing = { files = "/Removed", assets = "/Brand Library/Studio/Removed" }"#,
            "is inside the flow's collection",
        ),
        (
            r#"removing = { files = "/Removed", assets = "/Brand Library/Removed", purge = true }"#,
            "flow.studio.removing.days says it",
        ),
        (
            r#"authority = { bytes = "asset" }"#,
            "known here: propose, file",
        ),
        (r#"backup = "/Old""#, "backup"),
    ] {
        let bed = Bed::syncing(more);
        let checked = bed.run(&["config", "check"]);
        assert_eq!(checked.code, Some(2), "{more}");
        let told = checked.stderr.replace('\n', " ");
        assert!(told.contains(expected), "{more}: {told}");
    }
    let bed = Bed::syncing("");
    let saved = bed.run(&["plan", "studio", "--save", "plan.json"]);
    assert!(
        saved.stderr.contains("a plan file is of one way"),
        "{}",
        saved.stderr
    );
    let verified = bed.run(&["report", "studio.sideways"]);
    assert_eq!(verified.code, Some(2));
}

/// A daemon over a bed, ended when it is dropped.
struct Daemon(std::process::Child);

impl Daemon {
    fn over(bed: &Bed) -> Self {
        let at = bed.sandbox.endpoints();
        let child = windlass(bed.dir.path())
            .arg("watch")
            .env("DROPBOX_APP_SECRET", &at.dropbox_app_secret)
            .env("DROPBOX_REFRESH_TOKEN", &at.dropbox_refresh_token)
            .env("CELUM_API_KEY", &at.celum_api_key)
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn();
        Daemon(child.unwrap())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Only the process that this test started, by its handle.
        if self.0.kill().is_ok() {
            drop(self.0.wait());
        }
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while !is_so() {
        assert!(std::time::Instant::now() < until, "{what}");
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
}

#[test]
fn a_daemon_carries_changes_over_both_ways_and_takes_choices_that_others_leave() {
    let bed = Bed::syncing("[watch]\npoll = 1\n");
    let _daemon = Daemon::over(&bed);
    bed.save("/Studio/Final/hero.jpg", "one");
    wait_for("it goes in", || bed.studio().len() == 1);
    let asset = bed.studio()[0].0;
    let added = bed
        .celum()
        .add_version(asset, "hero.jpg", Bytes::from_static(b"two"));
    added.unwrap();
    wait_for("it comes back", || {
        bed.bytes("/Studio/Final/hero.jpg") == b"two"
    });
    bed.save("/Studio/Final/hero.jpg", "three");
    let list = ["conflicts", "list", "studio", "--check"];
    wait_for("it waits", || bed.run(&list).code == Some(1));
    // The daemon writes the ledger, so nobody else does.
    let resolve = [
        "conflicts",
        "resolve",
        "studio",
        "/Studio/Final/hero.jpg",
        "--take-file",
    ];
    let chosen = bed.run(&resolve);
    assert_eq!(chosen.code, Some(0), "{}", chosen.stderr);
    assert!(
        chosen.stderr.contains("with its next pass"),
        "{}",
        chosen.stderr
    );
    wait_for("the choice is carried out", || {
        bed.content(asset) == b"three"
    });
    assert_eq!(bed.studio().len(), 1);
}
