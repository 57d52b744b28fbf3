//! No schedule of people, faults and crashes on both sides loses a content or makes an asset twice.
//!
//! A seed is a schedule. In every pass what somebody saved on either side and nobody has carried over yet stays somewhere.
//! When people rest, the flow comes to rest; then what is a pair agrees in bytes and places, and nothing is there twice.
//!
//! ```text
//! WINDLASS_SYNC_SEED=17 cargo test -p windlass-flow schedules::one_seed -- --nocapture
//! ```

#![expect(
    clippy::print_stderr,
    reason = "a failing seed is told to whoever runs the tests"
)]

use windlass_core::memory::Operation;
use windlass_core::{Blake3, Kind, Placement, Usable};

use super::*;
use crate::tests::dice::Dice;

/// A schedule under way.
struct Schedule {
    world: World,
    dice: Dice,
    /// Counts what people save, so that no two contents are the same.
    saves: u32,
    /// How many things people made that may become assets.
    made: usize,
    /// What ledgers knew that were lost.
    carried: BTreeSet<Blake3>,
    /// Where files were when a pass last looked, and both were in one place.
    agreed: BTreeSet<String>,
    /// Where somebody made another file in the place of one, and no pass has looked since.
    replaced: BTreeSet<String>,
    /// Contents in whose place people saved something else: nobody misses them.
    saved_over: BTreeSet<String>,
    says: bool,
}

impl Schedule {
    fn new(seed: u64, says: bool) -> Self {
        let mut dice = Dice::of(seed);
        let mut world = match dice.roll(2) {
            0 => World::new(),
            _ => World::trusting(),
        };
        if dice.roll(2) == 0 {
            world.options.removing = removing();
            if let Some(removing) = &mut world.options.removing {
                // What was put away by one pass is deleted by the next, unless somebody touched it in between.
                removing.days = Some(0);
                removing.purge = dice.roll(2) == 0;
            }
        }
        world.remembers = dice.roll(2) == 0;
        Schedule {
            world,
            dice,
            saves: 0,
            made: 0,
            carried: BTreeSet::new(),
            agreed: BTreeSet::new(),
            replaced: BTreeSet::new(),
            saved_over: BTreeSet::new(),
            says,
        }
    }

    fn say(&self, what: impl Fn() -> String) {
        if self.says {
            eprintln!("{}", what());
        }
    }

    fn save(&mut self) -> String {
        self.saves += 1;
        format!("save {}", self.saves)
    }

    /// Somebody changes a file that is there.
    fn edit_file(&mut self, path: &str, bytes: String) {
        let before = self.world.file(path);
        self.saved_over.insert(String::from_utf8(before).unwrap());
        self.world.files.put(path, bytes).unwrap();
    }

    /// Somebody changes an asset that is there.
    fn edit_asset(&mut self, path: &str, bytes: String) {
        let before = self.world.asset(path);
        self.saved_over.insert(String::from_utf8(before).unwrap());
        self.world.library.put(path, bytes).unwrap();
    }

    fn some_file(&mut self) -> Option<String> {
        let mut paths = self.world.file_paths();
        paths.retain(|path| path.starts_with("/Work/"));
        self.dice.pick(&paths).cloned()
    }

    fn some_asset(&mut self) -> Option<String> {
        let mut paths = self.world.asset_paths();
        paths.retain(|path| path.starts_with("/Brand/"));
        self.dice.pick(&paths).cloned()
    }

    fn some_place(&mut self) -> String {
        let folders = ["Final", "Spring/Final", "Summer/Final", "Drafts"];
        let folder = folders[self.dice.roll(4) as usize];
        format!("{folder}/{}.jpg", self.dice.roll(6))
    }

    /// What somebody does while nobody looks.
    fn disturb(&mut self) {
        match self.dice.roll(18) {
            0 | 1 => {
                let path = format!("/Work/{}", self.some_place());
                let bytes = self.save();
                self.say(|| format!("the agency saves {path} as {bytes:?}"));
                let is_new = self.world.files.asset_at(&path).is_none();
                self.made += usize::from(is_new);
                match is_new {
                    true => drop(self.world.files.put(&path, bytes).unwrap()),
                    false => self.edit_file(&path, bytes),
                }
            }
            2 | 3 => {
                let Some(path) = self.some_file() else { return };
                let bytes = self.save();
                self.say(|| format!("the agency edits {path} to {bytes:?}"));
                self.edit_file(&path, bytes);
            }
            4 => {
                let (Some(from), to) = (self.some_file(), self.some_place()) else {
                    return;
                };
                self.say(|| format!("the agency moves {from} to {to}"));
                self.made += usize::from(self.replaced.remove(&from));
                drop(self.world.files.rename(&from, &format!("/Work/{to}")));
            }
            5 => {
                let Some(path) = self.some_file() else { return };
                self.say(|| format!("the agency removes {path}"));
                self.world.files.delete(&path);
            }
            6 => {
                let path = format!("/Brand/{}", self.some_place());
                let bytes = self.save();
                self.say(|| format!("the brand saves {path} as {bytes:?}"));
                let is_new = self.world.dam.asset_at(&path).is_none();
                self.made += usize::from(is_new);
                match is_new {
                    true => drop(self.world.library.put(&path, bytes).unwrap()),
                    false => self.edit_asset(&path, bytes),
                }
            }
            7 | 8 => {
                let Some(path) = self.some_asset() else {
                    return;
                };
                let bytes = self.save();
                self.say(|| format!("the brand edits {path} to {bytes:?}"));
                self.edit_asset(&path, bytes);
            }
            9 => {
                let (Some(from), to) = (self.some_asset(), self.some_place()) else {
                    return;
                };
                self.say(|| format!("the brand moves {from} to {to}"));
                drop(self.world.dam.rename(&from, &format!("/Brand/{to}")));
            }
            10 => {
                let Some(path) = self.some_asset() else {
                    return;
                };
                self.say(|| format!("the brand deletes {path}"));
                self.world.dam.delete(&path);
            }
            11 => {
                let Some(path) = self.some_asset() else {
                    return;
                };
                let asset = self.world.asset_id(&path);
                let available = self.dice.roll(2) == 0;
                self.say(|| format!("{path} is available: {available}"));
                let usable = windlass_core::Availability::Direct { available };
                self.world
                    .library
                    .set_usable(&asset, Usable::Stated(usable));
            }
            12 | 13 => {
                let Some(path) = self.some_file() else { return };
                let bytes = self.save();
                self.say(|| format!("the agency saves {path} as another file, {bytes:?}"));
                // Nothing tells what a file was that nobody saw there.
                match self.agreed.contains(&path) {
                    true => drop(self.replaced.insert(path.clone())),
                    false => self.made += 1,
                }
                let before = String::from_utf8(self.world.file(&path)).unwrap();
                self.saved_over.insert(before);
                self.world.files.delete(&path);
                self.world.files.put(&path, bytes).unwrap();
            }
            14 | 15 => self.touch_what_is_kept(),
            _ => {
                let faults = [
                    Operation::Begin,
                    Operation::Append,
                    Operation::Commit,
                    Operation::CommitAnswer,
                    Operation::SetMetadata,
                    Operation::TakeBack,
                    Operation::MoveTo,
                    Operation::Find,
                    Operation::Read,
                    Operation::Retire,
                    Operation::RetireAnswer,
                ];
                let fault = faults[self.dice.roll(faults.len() as u64) as usize];
                let kind = match fault {
                    Operation::CommitAnswer | Operation::RetireAnswer => Kind::Ambiguous,
                    _ => Kind::Unavailable,
                };
                let at_files = self.dice.roll(2) == 0;
                self.say(|| {
                    format!(
                        "fault {fault:?} at {}",
                        if at_files { "files" } else { "dam" }
                    )
                });
                match at_files {
                    true => self.world.files.inject(fault, kind),
                    false => self.world.dam.inject(fault, kind),
                }
            }
        }
    }

    /// Somebody edits what was put away, or brings it back.
    fn touch_what_is_kept(&mut self) {
        let (files, assets) = (self.world.file_paths(), self.world.asset_paths());
        let is_kept = |path: &String| path.starts_with("/Removed/");
        let files: Vec<String> = files.into_iter().filter(is_kept).collect();
        let assets: Vec<String> = assets.into_iter().filter(is_kept).collect();
        let (file, asset) = (
            self.dice.pick(&files).cloned(),
            self.dice.pick(&assets).cloned(),
        );
        let (bytes, to) = (self.save(), self.some_place());
        match (self.dice.roll(4), file, asset) {
            (0, Some(path), _) => {
                self.say(|| format!("the agency edits {path} to {bytes:?}"));
                self.edit_file(&path, bytes);
            }
            (1, Some(from), _) => {
                self.say(|| format!("the agency brings {from} back as {to}"));
                drop(self.world.files.rename(&from, &format!("/Work/{to}")));
            }
            (2, _, Some(path)) => {
                self.say(|| format!("the brand edits {path} to {bytes:?}"));
                self.edit_asset(&path, bytes);
            }
            (3, _, Some(from)) => {
                self.say(|| format!("the brand brings {from} back as {to}"));
                drop(self.world.dam.rename(&from, &format!("/Brand/{to}")));
            }
            _ => {}
        }
    }

    /// Contents that somebody saved and that no half has carried over, or put away as what it had carried over.
    async fn unknown(&self) -> BTreeSet<String> {
        let mut placed = self.placed().await;
        placed.extend(self.withdrawn().await);
        let mut known: BTreeSet<Blake3> = placed.iter().map(|one| one.digests.blake3).collect();
        known.extend(&self.carried);
        let contents = self.contents().into_iter();
        contents
            .filter(|content| !known.contains(&Blake3::of(content.as_bytes())))
            .filter(|content| !self.saved_over.contains(content))
            .collect()
    }

    async fn see_agreed(&mut self) {
        let places = self.placed().await.into_iter();
        let places = places.map(|one| match one.flow.as_str() {
            "brand.in" => one.source_path.to_string(),
            _ => one.collection.join(one.source_path.name()).to_string(),
        });
        self.agreed = places.collect();
    }

    async fn placed(&self) -> Vec<Placement> {
        let ledger = &self.world.ledger;
        let mut placed = ledger
            .placements_after("brand.in", "work", None, 1_000)
            .await
            .unwrap();
        placed.extend(
            ledger
                .placements_after("brand.out", "dam", None, 1_000)
                .await
                .unwrap(),
        );
        placed
    }

    async fn withdrawn(&self) -> Vec<Placement> {
        let ledger = &self.world.ledger;
        let withdrawn = ledger.withdrawals_after("brand.out", "dam", None, 1_000);
        let withdrawn = withdrawn.await.unwrap().into_iter();
        withdrawn.map(|one| one.placement).collect()
    }

    /// Everything that is anywhere.
    fn contents(&self) -> BTreeSet<String> {
        let mut contents = BTreeSet::new();
        for endpoint in [&self.world.files, &self.world.dam] {
            for asset in endpoint.assets() {
                let bytes = endpoint.bytes(&asset.id).unwrap();
                contents.insert(String::from_utf8(bytes.to_vec()).unwrap());
            }
        }
        contents
    }

    /// All that the flow ever knew is lost, and whoever remembers it begins anew.
    async fn lose_ledger(&mut self) {
        self.say(|| "the ledger is lost".to_owned());
        let placed = self.placed().await;
        self.carried
            .extend(placed.iter().map(|one| one.digests.blake3));
        // Nothing tells what a file was that is in the place of another one, as long as nothing was brought over since.
        self.made += std::mem::take(&mut self.replaced).len();
        let came_in = |file: &AssetId| {
            let mut inward = placed.iter().filter(|one| one.flow == "brand.in");
            inward.any(|one| one.source_asset == *file)
        };
        let is_ours = |one: &Placement| {
            let files = self.world.files.assets();
            let file = files.iter().find(|file| file.id == one.placed.asset);
            file.is_none_or(|file| file.revision == one.placed.revision)
        };
        let by_place = placed
            .iter()
            .filter(|one| one.flow == "brand.out" && !came_in(&one.placed.asset) && !is_ours(one));
        self.made += by_place.count();
        self.world.lose_ledger();
    }

    /// A pass in which nothing may be lost.
    async fn pass(&mut self) -> Passed {
        let before = self.unknown().await;
        let passed = self.world.pass().await;
        self.replaced.clear();
        let acting: Vec<String> = [&passed.inward, &passed.outward]
            .into_iter()
            .flat_map(acting)
            .collect();
        self.say(|| format!("pass: {acting:#?}"));
        let after = self.contents();
        let lost: Vec<_> = before.difference(&after).collect();
        assert!(lost.is_empty(), "lost: {lost:?}");
        passed
    }

    /// A half that ends in the middle: its tasks are dropped between two awaits.
    async fn crash(&mut self) {
        let way = match self.dice.roll(2) {
            0 => Way::In,
            _ => Way::Out,
        };
        self.say(|| format!("{way:?} crashes"));
        let before = self.unknown().await;
        let flow = self.world.half(way);
        let runner = self.world.runner(&flow);
        let interrupted = next_run_to_resume(self.world.ledger.as_ref(), flow.name()).await;
        let run = match interrupted.unwrap() {
            Some(run) => run,
            None => {
                let plan = self.world.plan_of(way).await;
                runner.record(&plan).await.unwrap()
            }
        };
        let never = CancellationToken::new();
        let mut work = Box::pin(runner.work(run, &never));
        for _ in 0..self.dice.roll(12) {
            if futures_util::FutureExt::now_or_never(&mut work).is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(work);
        self.world.running.advance(120);
        self.world.ledger.reap(run).await.unwrap();
        let lost: Vec<_> = before.difference(&self.contents()).cloned().collect();
        assert!(lost.is_empty(), "lost by a crash: {lost:?}");
    }

    /// Passes until nothing is to be done.
    async fn come_to_rest(&mut self) {
        for _ in 0..8 {
            // What lists of changes do not tell is found by looking at everything.
            self.world.clock.advance(Duration::from_secs(900));
            self.pass().await;
            let mut acting_still = Vec::new();
            for way in [Way::In, Way::Out] {
                acting_still.extend(acting(&self.world.plan_of(way).await));
            }
            if acting_still.is_empty() {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    /// What holds when nothing is to be done: what both halves know as one is one, and nothing is there twice.
    async fn check(&self) {
        let placed = self.placed().await;
        let waiting = self.world.conflicts().await;
        let assets = self.world.dam.assets();
        assert!(
            assets.len() <= self.made,
            "{} assets of {} things that people made",
            assets.len(),
            self.made
        );
        for placement in placed.iter().filter(|one| one.flow == "brand.in") {
            let file = self.world.files.assets().into_iter();
            let mut file = file.filter(|file| file.id == placement.source_asset);
            let asset = assets
                .iter()
                .find(|asset| asset.id == placement.placed.asset);
            let (Some(file), Some(asset)) = (file.next(), asset) else {
                continue;
            };
            let is_apart = !file.path.as_str().starts_with("/Work/")
                || !asset.path.as_str().starts_with("/Brand/")
                || waiting.iter().any(|one| one.found.subject == file.id);
            // What is not approved, or may not leave, waits without a question.
            let waits = !file.path.as_str().contains("/Final/") || {
                let off = windlass_core::Availability::Direct { available: false };
                let held = windlass_core::Library::consult(
                    &self.world.library,
                    std::slice::from_ref(&asset.id),
                );
                let held = futures_util::FutureExt::now_or_never(held)
                    .unwrap()
                    .unwrap()
                    .remove(0);
                held.is_some_and(|held| held.usable == Usable::Stated(off))
            };
            let superseded = placed.iter().any(|one| {
                one.flow == "brand.out"
                    && one.source_asset.as_str() == format!("{}#pair", asset.id)
                    && one.placed.asset != file.id
            });
            // Something else has the place of one of them, which is told as what is held.
            let other = |endpoint: &MemoryEndpoint, path: String, id: &AssetId| {
                let there = endpoint.asset_at(&path);
                there.is_some_and(|there| there.id != *id)
            };
            let (from, to) = (file.path.as_str(), asset.path.as_str());
            let is_taken = other(
                &self.world.files,
                to.replacen("/Brand", "/Work", 1),
                &file.id,
            ) || other(
                &self.world.dam,
                from.replacen("/Work", "/Brand", 1),
                &asset.id,
            );
            let held = self
                .world
                .ledger
                .holds("brand.in", "work", std::slice::from_ref(&file.id));
            let is_held = held.await.unwrap().iter().any(Option::is_some);
            if is_apart || waits || superseded || is_taken || is_held {
                continue;
            }
            let (file_bytes, asset_bytes) = (
                self.world.files.bytes(&file.id),
                self.world.dam.bytes(&asset.id),
            );
            assert_eq!(file_bytes, asset_bytes, "{} and {}", file.path, asset.path);
            let below =
                |path: &AssetPath, root: &str| path.as_str().replacen(root, "", 1).to_lowercase();
            assert_eq!(below(&file.path, "/Work"), below(&asset.path, "/Brand"));
        }
    }

    async fn live(&mut self) {
        for _ in 0..10 {
            for _ in 0..self.dice.roll(4) {
                self.disturb();
            }
            match self.dice.roll(24) {
                0..6 => self.crash().await,
                6 => self.lose_ledger().await,
                _ => drop(self.pass().await),
            }
            self.see_agreed().await;
        }
        self.come_to_rest().await;
        self.check().await;
        for conflict in self.world.conflicts().await {
            let chosen = match self.dice.roll(3) {
                0 => Resolution::TakeFile,
                1 => Resolution::TakeAsset,
                _ => Resolution::KeepBoth,
            };
            self.say(|| format!("{:?}: {chosen:?}", conflict.found));
            let ledger = &self.world.ledger;
            ledger
                .resolve_conflict(&conflict.found, Some(chosen))
                .await
                .unwrap();
        }
        // Choices may end contents: that is what they are for.
        for _ in 0..6 {
            self.world.clock.advance(Duration::from_secs(900));
            self.world.pass().await;
        }
        self.world.assert_at_rest().await;
    }
}

#[tokio::test]
async fn no_schedule_loses_a_content_or_makes_an_asset_twice() {
    for seed in 0..300 {
        let lived = std::panic::AssertUnwindSafe(Box::pin(async move {
            Schedule::new(seed, false).live().await;
        }));
        if let Err(panic) = futures_util::FutureExt::catch_unwind(lived).await {
            eprintln!(
                "WINDLASS_SYNC_SEED={seed} cargo test -p windlass-flow schedules::one_seed -- --nocapture"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

#[tokio::test]
async fn one_seed_as_asked_for() {
    let Ok(seed) = std::env::var("WINDLASS_SYNC_SEED") else {
        return;
    };
    Schedule::new(seed.parse().unwrap(), true).live().await;
}
