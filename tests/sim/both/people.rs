//! People on both sides, and what they do while Windlass runs, is away, or is in the middle of something.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;
use tokio::time::Instant;
use windlass_celum::CelumEndpoint;
use windlass_core::{
    AssetPath, Assigned, Chunk, ContentHash, Correlation, Destination, Digests, Draft, Result,
    Sink, Value, fold_key,
};
use windlass_sandbox::celum::{AssetSnapshot, Availability};
use windlass_sandbox::dropbox::TreeEntry;

use super::{About, COLLECTION, ROOT, World};
use crate::services;

pub(super) const FOLDERS: [&str; 5] = ["Final", "Spring/Final", "Summer/Final", "Drafts", "Spring"];
/// The fifth and the sixth are one name in two normal forms.
const NAMES: [&str; 6] = [
    "hero.tif",
    "logo.tif",
    "pack shot.tif",
    "Größe.tif",
    "caf\u{e9}.tif",
    "cafe\u{301}.tif",
];

pub(super) struct People<'w> {
    world: &'w World,
    dice: StdRng,
    /// Where files were that somebody deleted.
    deleted: Vec<String>,
    /// By whom assets are made; connected when the first is.
    client: Option<Arc<CelumEndpoint>>,
}

impl<'w> People<'w> {
    pub(super) fn of(world: &'w World) -> Self {
        People {
            world,
            dice: StdRng::seed_from_u64(world.story.seed ^ 0x9e0_91e),
            deleted: Vec::new(),
            client: None,
        }
    }

    /// Works until it is time to rest.
    pub(super) async fn live(mut self) {
        for _ in 0..self.dice.random_range(0..4) {
            self.save_file();
            self.make_asset().await;
        }
        for _ in 0..self.world.plot.acts {
            // Evenly over magnitudes: some things happen amid one call, some between two passes.
            let gap = 10_f64.powf(self.dice.random_range(-2.0..2.9));
            match self.wait(Duration::from_secs_f64(gap)).await {
                Some(about) => self.be_quicker(&about),
                None => self.act().await,
            }
            self.world.changed.set(Some(Instant::now()));
            self.world.bell.ring();
        }
        for asset in self.world.tenant.assets() {
            if asset.locked {
                // Windlass may hold it itself at this moment: then it unlocks it, too.
                drop(self.world.tenant.unlock_asset(asset.id));
            }
        }
        self.world.note("people rest");
        self.world.rest();
    }

    /// Until it is time to do something, or until windlass is about to write something and somebody is to be in between.
    async fn wait(&mut self, gap: Duration) -> Option<About> {
        let world = self.world;
        let is_quick = self.dice.random_bool(0.5);
        world.about.take();
        let about = async {
            loop {
                world.writes.notified().await;
                if let Some(about) = world.about.take() {
                    return about;
                }
            }
        };
        let about = tokio::select! {
            biased;
            about = about, if is_quick => about,
            () = tokio::time::sleep(gap) => return None,
        };
        // From before the write is asked for to after it is made.
        let hurry = Duration::from_millis(self.dice.random_range(0..700));
        tokio::time::sleep(hurry).await;
        Some(about)
    }

    /// Changes what windlass is about to write over.
    fn be_quicker(&mut self, about: &About) {
        self.world
            .note(format!("somebody is quick about {about:?}"));
        match about {
            About::File(path) => {
                let mut files = self.files().into_iter();
                if files.any(|file| file.path_display == *path) {
                    self.put(path);
                }
            }
            About::Asset(asset) => {
                let mut assets = self.world.tenant.assets().into_iter();
                if let Some(asset) = assets.find(|one| one.id == *asset) {
                    self.add_version_of(&asset);
                }
            }
        }
    }

    async fn act(&mut self) {
        match self.dice.random_range(0..40) {
            0..5 => self.save_file(),
            5..10 => self.edit_file(),
            10..12 => self.move_file(),
            12 => self.replace_file(),
            13 => self.recase_file(),
            14..16 => self.delete_file(),
            16..18 => self.restore_file(),
            18..20 => self.tag_file(),
            20 => self.rename_folder(),
            21..24 => self.deliver().await,
            24..28 => self.add_version(),
            28 => self.activate_version(),
            29..31 => self.rename_asset(),
            31..33 => self.move_asset(),
            33 => self.edit_field(),
            34..36 => self.lock_or_unlock(),
            36 => self.delete_asset(),
            37..39 => self.switch_asset(),
            _ => self.reset_cursors(),
        }
    }

    fn pick<T: Clone>(&mut self, of: &[T]) -> Option<T> {
        match of.is_empty() {
            true => None,
            false => Some(of[self.dice.random_range(0..of.len())].clone()),
        }
    }

    /// Mostly small, now and then one of more than a block.
    fn size(&mut self) -> usize {
        match self.dice.random_range(0..40) {
            0 => (4 << 20) + 1,
            1 => 4 << 20,
            _ => self.dice.random_range(16..40_000),
        }
    }

    fn place(&mut self) -> String {
        let folder = FOLDERS[self.dice.random_range(0..FOLDERS.len())];
        let name = NAMES[self.dice.random_range(0..NAMES.len())];
        format!("{folder}/{name}")
    }

    /// Files that people can see in the flow's folder.
    fn files(&self) -> Vec<TreeEntry> {
        let mut files = self.world.account.tree();
        let below = format!("{ROOT}/");
        files.retain(|entry| entry.file.is_some() && entry.path_display.starts_with(&below));
        files
    }

    fn some_file(&mut self) -> Option<String> {
        let files = self.files();
        self.pick(&files).map(|file| file.path_display)
    }

    fn some_asset(&mut self) -> Option<AssetSnapshot> {
        let mut assets = self.world.tenant.assets();
        assets.retain(|asset| asset.parents.iter().any(|one| one.starts_with(COLLECTION)));
        self.pick(&assets)
    }

    fn ids(&self) -> BTreeSet<String> {
        let tree = self.world.account.tree().into_iter();
        tree.filter(|entry| entry.file.is_some())
            .map(|entry| entry.id)
            .collect()
    }

    /// Puts bytes at a path, whatever was there.
    fn put(&mut self, path: &str) {
        let (size, world) = (self.size(), self.world);
        let mut book = world.book.borrow_mut();
        // Somebody may have spelled it otherwise; the account knows one file then.
        let (before, seen) = (self.ids(), book.current(world));
        let (content, bytes) = book.new_content(size);
        book.saves[content].is_of_file = true;
        world.note(format!("somebody saves {path} as {content}"));
        if let Some(other) = self.spelled_otherwise(path) {
            world.note(format!("it is spelled {other} there"));
        }
        if let Err(error) = world.account.put_file(path, bytes, None) {
            world.note(error.to_string());
            book.end(Some(content));
            return;
        }
        book.made += self.ids().difference(&before).count();
        let now = book.current(world);
        for (old, (files, _)) in seen {
            if now.get(&old).map_or(0, |now| now.0) < files {
                book.end(Some(old));
            }
        }
    }

    /// How a path is spelled, where that is not how it is asked for.
    fn spelled_otherwise(&self, path: &str) -> Option<String> {
        let key = fold_key(path);
        let files = self.files().into_iter().map(|file| file.path_display);
        let mut others = files.filter(|one| fold_key(one) == key && one != path);
        others.next()
    }

    fn save_file(&mut self) {
        let path = format!("{ROOT}/{}", self.place());
        self.put(&path);
    }

    fn edit_file(&mut self) {
        if let Some(path) = self.some_file() {
            self.put(&path);
        }
    }

    /// Saves as many programs do: the file goes, and another one is made in its place.
    fn replace_file(&mut self) {
        let Some(path) = self.some_file() else { return };
        let world = self.world;
        world.note(format!("somebody replaces {path} by another file"));
        let mut book = world.book.borrow_mut();
        let content = book.content_of_file(world, &path);
        world.account.remove(&path).expect("a file");
        book.end(content);
        drop(book);
        self.put(&path);
    }

    fn move_file(&mut self) {
        let (Some(from), to) = (self.some_file(), self.place()) else {
            return;
        };
        let to = format!("{ROOT}/{to}");
        self.world.note(format!("somebody moves {from} to {to}"));
        if let Err(error) = self.world.account.rename(&from, &to) {
            self.world.note(error.to_string());
        }
    }

    fn recase_file(&mut self) {
        let Some(path) = self.some_file() else { return };
        let name = path.rsplit('/').next().unwrap_or_default();
        let other = match name.to_uppercase() == name {
            true => name.to_lowercase(),
            false => name.to_uppercase(),
        };
        self.world
            .note(format!("somebody spells {path} as {other}"));
        if let Err(error) = self.world.account.recase(&path, &other) {
            self.world.note(error.to_string());
        }
    }

    fn delete_file(&mut self) {
        let Some(path) = self.some_file() else { return };
        let world = self.world;
        world.note(format!("somebody deletes {path}"));
        let mut book = world.book.borrow_mut();
        let content = book.content_of_file(world, &path);
        world.account.remove(&path).expect("a file");
        book.end(content);
        self.deleted.push(path);
    }

    fn restore_file(&mut self) {
        let Some(path) = self.pick(&self.deleted.clone()) else {
            return;
        };
        let world = self.world;
        let revisions = world.account.revisions(&path).unwrap_or_default();
        let Some(revision) = self.pick(&revisions) else {
            return;
        };
        let mut book = world.book.borrow_mut();
        let (before, over) = (self.ids(), book.content_of_file(world, &path));
        world.note(format!("somebody restores {path} as {revision}"));
        if let Err(error) = world.account.restore_file(&path, &revision) {
            world.note(error.to_string());
            return;
        }
        book.end(over);
        book.forget_revisions();
        let content = book.content_of_file(world, &path);
        book.begin(content);
        if let Some(content) = content {
            // The same bytes as another file, or back in a file whose asset went on.
            book.saves[content].assets_max += 1;
            book.saves[content].files_max += 1;
        }
        book.made += self.ids().difference(&before).count();
    }

    fn tag_file(&mut self) {
        let files = self.files();
        let Some(file) = self.pick(&files) else {
            return;
        };
        let (path, is_tagged) = (&file.path_display, !file.tags.is_empty());
        self.world
            .note(format!("somebody tags {path}: {}", !is_tagged));
        let changed = match is_tagged {
            true => self.world.account.remove_tag(path, "final"),
            false => self.world.account.add_tag(path, "final"),
        };
        changed.expect("a tag");
    }

    /// A folder goes away with everything in it, and comes back another time.
    fn rename_folder(&mut self) {
        let (from, to) = match self.dice.random_bool(0.5) {
            true => ("Spring", "Autumn"),
            false => ("Autumn", "Spring"),
        };
        let paths = (format!("{ROOT}/{from}"), format!("{ROOT}/{to}"));
        if self.world.account.rename(&paths.0, &paths.1).is_ok() {
            self.world.note(format!("somebody renames {from} to {to}"));
        }
    }

    /// Somebody uploads something new to the tenant, over the same network as everybody.
    async fn make_asset(&mut self) {
        let (size, place) = (self.size(), self.place());
        let (content, bytes) = {
            let mut book = self.world.book.borrow_mut();
            book.made += 1;
            book.new_content(size)
        };
        // It is nobody's loss before it is there.
        self.world.book.borrow_mut().end(Some(content));
        let hash = ContentHash::of(&bytes);
        self.world
            .note(format!("somebody makes {place} from {content}"));
        if let Err(error) = self.upload(&place, &bytes).await {
            self.world.note(format!("it may not be: {}", error.chain()));
        }
        let mut book = self.world.book.borrow_mut();
        let is_there = book.current(self.world).contains_key(&content);
        if is_there && book.content_of(&hash).is_some() {
            book.begin(Some(content));
        }
    }

    /// Makes one asset, or some at once.
    async fn deliver(&mut self) {
        for _ in 0..self.dice.random_range(1..4) {
            self.make_asset().await;
        }
    }

    async fn upload(&mut self, place: &str, bytes: &bytes::Bytes) -> Result<()> {
        let client = match &self.client {
            Some(client) => Arc::clone(client),
            None => self.connect().await?,
        };
        let mark = Correlation::derive("people", "desk", place, "1");
        let draft = draft(place);
        let size = bytes.len() as u64;
        let session = client
            .begin(&Destination::New { draft }, size, &mark)
            .await?;
        session.append(Chunk::new(0, bytes.clone())).await?;
        let digests = Digests {
            size,
            blake3: windlass_core::Blake3::of(bytes),
            content_hash: Some(ContentHash::of(bytes)),
        };
        session.commit(&digests).await.map(drop)
    }

    async fn connect(&mut self) -> Result<Arc<CelumEndpoint>> {
        let world = self.world;
        let both = (&world.account, &world.tenant);
        let wire = services::wire(both, &world.trace, world.since);
        let (lag, seed) = (world.story.index_lag, world.story.seed);
        let client = services::connect_celum(&world.tenant, lag, &wire, !seed).await?;
        self.client = Some(Arc::clone(&client));
        Ok(client)
    }

    fn add_version(&mut self) {
        if let Some(asset) = self.some_asset() {
            self.add_version_of(&asset);
        }
    }

    fn add_version_of(&mut self, asset: &AssetSnapshot) {
        let (size, world) = (self.size(), self.world);
        let mut book = world.book.borrow_mut();
        let before = book.content_of_asset(world, asset.id);
        let (content, bytes) = book.new_content(size);
        world.note(format!(
            "somebody makes {} of {} from {content}",
            asset.id, asset.name
        ));
        match world.tenant.add_version(asset.id, &asset.filename, bytes) {
            Ok(_) => book.end(before),
            Err(error) => {
                world.note(error.chain());
                book.end(Some(content));
            }
        }
    }

    fn activate_version(&mut self) {
        let mut assets = self.world.tenant.assets();
        assets.retain(|asset| asset.versions > 1);
        let Some(asset) = self.pick(&assets) else {
            return;
        };
        let version = self.dice.random_range(1..=asset.versions as u64);
        let world = self.world;
        let mut book = world.book.borrow_mut();
        let before = book.content_of_asset(world, asset.id);
        world.note(format!("somebody goes back to {version} of {}", asset.id));
        match world.tenant.activate_version(asset.id, version) {
            Ok(()) => {
                book.end(before);
                let now = book.content_of_asset(world, asset.id);
                book.begin(now);
            }
            Err(error) => world.note(error.chain()),
        }
    }

    fn edit(&self, what: String, done: Result<()>) {
        self.world.note(what);
        if let Err(error) = done {
            self.world.note(error.chain());
        }
    }

    fn rename_asset(&mut self) {
        let Some(asset) = self.some_asset() else {
            return;
        };
        let name = NAMES[self.dice.random_range(0..NAMES.len())];
        let name = match self.dice.random_bool(0.5) {
            true => name.trim_end_matches(".tif"),
            false => name,
        };
        let done = self.world.tenant.rename_asset(asset.id, name);
        self.edit(format!("somebody calls {} {name}", asset.id), done);
    }

    fn move_asset(&mut self) {
        let Some(asset) = self.some_asset() else {
            return;
        };
        let folder = FOLDERS[self.dice.random_range(0..FOLDERS.len())];
        let (Some(from), to) = (asset.parents.first(), format!("{COLLECTION}/{folder}")) else {
            return;
        };
        if *from == to {
            return;
        }
        let done = self.world.tenant.move_asset(asset.id, from, &to);
        self.edit(format!("an asset moves to {to}: {}", asset.id), done);
    }

    fn edit_field(&mut self) {
        let Some(asset) = self.some_asset() else {
            return;
        };
        let campaign = format!("CMP-{}", self.dice.random_range(1_000..9_999));
        let tenant = &self.world.tenant;
        let done = tenant.set_field(asset.id, "campaignId", &json!(campaign));
        self.edit(format!("somebody puts {} into {campaign}", asset.id), done);
    }

    fn lock_or_unlock(&mut self) {
        let Some(asset) = self.some_asset() else {
            return;
        };
        let done = match asset.locked {
            true => self.world.tenant.unlock_asset(asset.id),
            false => self.world.tenant.lock_asset(asset.id, "retouching"),
        };
        self.edit(
            format!("somebody locks {}: {}", asset.id, !asset.locked),
            done,
        );
    }

    fn delete_asset(&mut self) {
        let Some(asset) = self.some_asset() else {
            return;
        };
        let world = self.world;
        let mut book = world.book.borrow_mut();
        let content = book.content_of_asset(world, asset.id);
        world.note(format!("somebody deletes asset {}", asset.id));
        match world.tenant.delete_asset(asset.id) {
            Ok(()) => {
                book.end(content);
                book.deleted += 1;
            }
            Err(error) => world.note(error.chain()),
        }
    }

    fn switch_asset(&mut self) {
        let Some(asset) = self.some_asset() else {
            return;
        };
        let is_on = self.dice.random_bool(0.5);
        let tenant = &self.world.tenant;
        let done = tenant.set_availability(asset.id, &Availability::Direct(is_on));
        self.edit(format!("{} may be used: {is_on}", asset.id), done);
    }

    fn reset_cursors(&mut self) {
        self.world.note("cursors are reset");
        self.world.account.reset_cursors().expect("a reset");
    }
}

/// What somebody uploads, at its place below the flow's collection.
fn draft(place: &str) -> Draft {
    let (folder, file_name) = place.rsplit_once('/').unwrap_or(("", place));
    let campaign = Assigned {
        field: "campaignId".to_owned(),
        value: Value::Text("CMP-2041".to_owned()),
        rule: "people".to_owned(),
    };
    Draft {
        name: file_name.to_owned(),
        file_name: file_name.to_owned(),
        collection: AssetPath::new(&format!("/{COLLECTION}/{folder}")),
        asset_type: Some("campaignAsset".to_owned()),
        fields: vec![campaign],
        availability: None,
        handing: None,
        yields: BTreeSet::new(),
    }
}
