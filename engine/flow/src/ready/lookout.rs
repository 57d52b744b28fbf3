//! What one pass knows of what is still arriving: locks, packages and manifests that its listing showed, what earlier passes
//! saw, and the time. Asks nobody; what has to be read is read by [`gate`](super::gate) and told here.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use globset::GlobSet;
use jiff::{Timestamp, Unit as TimeUnit};
use windlass_core::{Asset, AssetPath, Noise, Result, classify_noise};

use super::locks::Lock;
use super::package::{is_document, is_instructions, name_of, packages_of};
use super::quiet::{Sightings, is_quiet};
use super::{Readiness, Wait, spelled};
use crate::flows::eight_bytes;
use crate::select::compile;

/// How many names a reason has room for.
const NAMES_SHOWN: usize = 3;

/// Files that go as a whole: everything below one folder.
#[derive(Clone, Debug, Default)]
pub(super) struct Unit {
    pub(super) root: AssetPath,
    /// A file that makes the folder a package although no document may be there.
    pub(super) evidence: Option<Asset>,
    /// The documents of a package.
    pub(super) documents: Vec<Asset>,
    /// What says which files there are.
    pub(super) manifests: Vec<Asset>,
    /// Something in it that is not ready.
    waits: Option<Wait>,
    /// Whether it is whole was looked at.
    pub(super) judged: bool,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Lookout {
    quiet: Duration,
    packages: bool,
    temporary: GlobSet,
    manifest: Option<(String, GlobSet)>,
    /// Whether anybody will ask what is there.
    wants_names: bool,
    began: Timestamp,
    ended: Timestamp,
    seen: Sightings,
    /// Digests of what is there: of the path, and of the path with the size.
    present: BTreeSet<u64>,
    /// Locks by the key of their folder.
    locks: BTreeMap<String, Vec<(Lock, Asset)>>,
    documents: BTreeMap<String, Asset>,
    instructions: BTreeMap<String, Asset>,
    manifests: BTreeMap<String, Asset>,
    /// Units by the key of their folder.
    units: BTreeMap<String, Unit>,
}

impl Lookout {
    /// Before a listing that begins now. Errors: a pattern that is none.
    pub(super) fn new(
        rules: &Readiness,
        reads_names: bool,
        seen: Sightings,
        began: Timestamp,
    ) -> Result<Self> {
        let on_names = |glob: &String| format!("**/{}", glob.trim_start_matches('/'));
        let temporary: Vec<String> = rules.temporary.iter().map(on_names).collect();
        let manifest = match &rules.manifest {
            None => None,
            Some(glob) => {
                let set = compile("ready.manifest", &[on_names(glob)])?;
                Some((glob.clone(), set))
            }
        };
        Ok(Lookout {
            quiet: rules.quiet,
            packages: rules.packages,
            temporary: compile("ready.temporary", &temporary)?,
            wants_names: manifest.is_some() || (rules.packages && reads_names),
            manifest,
            began,
            ended: began,
            seen,
            present: BTreeSet::new(),
            locks: BTreeMap::new(),
            documents: BTreeMap::new(),
            instructions: BTreeMap::new(),
            manifests: BTreeMap::new(),
            units: BTreeMap::new(),
        })
    }

    /// Takes notice of an asset that the listing shows, placed or not.
    pub(crate) fn notice(&mut self, asset: &Asset) {
        let path = &asset.path;
        if self.wants_names {
            self.present.insert(place(path, None));
            self.present.insert(place(path, Some(asset.size)));
        }
        if let Some(lock) = Lock::of(path.name()) {
            let of_folder = self.locks.entry(path.parent().key()).or_default();
            return of_folder.push((lock, asset.clone()));
        }
        if self.is_manifest(path) {
            self.manifests.insert(path.key(), asset.clone());
        }
        if !self.packages || classify_noise(path.name()).is_some() {
            return;
        }
        if is_document(path) {
            self.documents.insert(path.key(), asset.clone());
        } else if is_instructions(path) {
            self.instructions.insert(path.key(), asset.clone());
        }
        for root in packages_of(path) {
            let unit = self.units.entry(root.key()).or_default();
            unit.root = root;
            unit.evidence.get_or_insert_with(|| asset.clone());
        }
    }

    /// The listing ended now: what goes as a whole is known.
    pub(super) fn complete(&mut self, ended: Timestamp) {
        self.ended = ended;
        for asset in std::mem::take(&mut self.manifests).into_values() {
            let root = asset.path.parent();
            let unit = self.units.entry(root.key()).or_default();
            unit.root = root;
            unit.manifests.push(asset);
        }
        let with_instructions: BTreeSet<String> = std::mem::take(&mut self.instructions)
            .into_values()
            .map(|asset| asset.path.parent().key())
            .collect();
        for asset in std::mem::take(&mut self.documents).into_values() {
            let root = asset.path.parent();
            let key = root.key();
            if with_instructions.contains(&key) {
                self.units.entry(key.clone()).or_default().root = root;
            }
            if let Some(unit) = self.units.get_mut(&key) {
                unit.documents.push(asset);
            }
        }
    }

    /// Whether anything goes as a whole.
    pub(super) fn has_units(&self) -> bool {
        !self.units.is_empty()
    }

    /// Why an asset waits by itself. Remembers that it was seen.
    pub(super) fn own_wait(&mut self, asset: &Asset) -> Option<Wait> {
        let name = asset.path.name();
        if self.temporary.is_match(asset.path.as_str()) {
            let since = self.since(asset);
            let what = format!("its name is that of a temporary file, since {since}");
            return Some(Wait::new(what));
        }
        let locks = self.locks.get(&asset.path.parent().key());
        let of_it = |(lock, _): &&(Lock, Asset)| lock.is_of(name);
        if let Some((_, lock)) = locks.and_then(|locks| locks.iter().find(of_it)) {
            let lock = lock.clone();
            let since = self.since(&lock);
            let what = format!("a program has it open since {since} ({})", lock.path.name());
            return Some(Wait::new(what));
        }
        self.unquiet(asset)
    }

    fn unquiet(&mut self, asset: &Asset) -> Option<Wait> {
        if self.quiet.is_zero() {
            return None;
        }
        let first = self.seen.first(asset, self.ended);
        let until = is_quiet(first, self.began, self.quiet).err()?;
        let (since, quiet) = (to_second(first), spelled(self.quiet));
        let what = format!("it is as it is since {since}, and has to be left alone for {quiet}");
        Some(Wait {
            until: Some(until),
            ..Wait::new(what)
        })
    }

    /// It is placed as it is: nothing about it is remembered.
    pub(super) fn forget(&mut self, asset: &Asset) {
        self.seen.forget(asset);
    }

    /// Something that is in a unit, and has to be ready for all of it to go.
    pub(super) fn watch(&mut self, asset: &Asset, wait: &Wait) {
        let name = asset.path.name();
        for key in self.units_of(&asset.path) {
            let Some(unit) = self.units.get_mut(&key) else {
                continue;
            };
            let reason = wait.reason.strip_prefix(super::ARRIVING);
            let reason = reason.unwrap_or(&wait.reason);
            let mut of_unit = Wait::new(format!(
                "it goes with all of {}, where {name} waits: {reason}",
                unit.root
            ));
            of_unit.until = wait.until;
            // The last one to become ready is what the whole waits for, and what nobody knows the end of is later.
            let is_later = match (&unit.waits, of_unit.until) {
                (None, _) => true,
                (Some(known), until) => known
                    .until
                    .is_some_and(|known| until.is_none_or(|until| until > known)),
            };
            if is_later {
                unit.waits = Some(of_unit);
            }
        }
    }

    /// Whether an asset is still being written for all that its name says. In a unit that counts; by itself it is left out.
    pub(super) fn unfinished(&mut self, asset: &Asset) -> Option<Wait> {
        match classify_noise(asset.path.name())? {
            Noise::Temporary | Noise::LockFile => {
                let since = self.since(asset);
                Some(Wait::new(format!(
                    "it is unfinished or a lock since {since}"
                )))
            }
            Noise::SystemFile | Noise::ResourceFork => None,
        }
    }

    /// The keys of units that a path is in, from the innermost.
    pub(super) fn units_of(&self, path: &AssetPath) -> Vec<String> {
        if self.units.is_empty() {
            return Vec::new();
        }
        let above = std::iter::successors(Some(path.parent()), |at| {
            (!at.as_str().is_empty()).then(|| at.parent())
        });
        above
            .map(|at| at.key())
            .filter(|key| self.units.contains_key(key))
            .collect()
    }

    /// The unit of a key, if nobody has looked yet whether it is whole.
    pub(super) fn unjudged(&self, key: &str) -> Option<Unit> {
        let unit = self.units.get(key)?;
        (unit.waits.is_none() && !unit.judged).then(|| unit.clone())
    }

    /// Whether a unit is whole, now that somebody has looked.
    pub(super) fn judge(&mut self, key: &str, waits: Option<Wait>) {
        if let Some(unit) = self.units.get_mut(key) {
            unit.judged = true;
            unit.waits = waits;
        }
    }

    /// Why an asset waits with what it goes with.
    pub(super) fn unit_wait(&mut self, asset: &Asset) -> Option<Wait> {
        let keys = self.units_of(&asset.path);
        let has_manifest = |key: &String| !self.units[key].manifests.is_empty();
        if let Some((glob, _)) = &self.manifest
            && !keys.iter().any(has_manifest)
        {
            let what = format!("there is no {glob} beside it or above it");
            let since = self.since(asset);
            return Some(Wait::new(format!("{what} since {since}")));
        }
        keys.iter().find_map(|key| self.units[key].waits.clone())
    }

    /// Whether a file of this size is at a path; of any size without one.
    pub(super) fn is_there(&self, path: &AssetPath, size: Option<u64>) -> bool {
        self.present.contains(&place(path, size))
    }

    /// A unit waits for files by name.
    pub(super) fn lacks(&mut self, unit: &Unit, of: &Asset, names: &[String]) -> Wait {
        let shown: Vec<&str> = names.iter().take(NAMES_SHOWN).map(String::as_str).collect();
        let more = match names.len().saturating_sub(NAMES_SHOWN) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let since = self.since(of);
        Wait::new(format!(
            "it goes with all of {}, where {} names {}{more}, missing since {since}",
            unit.root,
            name_of(of),
            shown.join(", "),
        ))
    }

    /// A unit waits because of one of its files.
    pub(super) fn stuck(&mut self, unit: &Unit, of: &Asset, why: &str) -> Wait {
        let since = self.since(of);
        Wait::new(format!(
            "it goes with all of {}, where {} {why}, since {since}",
            unit.root,
            name_of(of),
        ))
    }

    /// What the next pass is to know.
    pub(super) fn into_sightings(self) -> (Sightings, Timestamp) {
        let quiet = jiff::SignedDuration::try_from(self.quiet).unwrap_or(jiff::SignedDuration::MAX);
        let ready = self.began.checked_sub(quiet).unwrap_or(Timestamp::MIN);
        (self.seen, ready)
    }

    fn is_manifest(&self, path: &AssetPath) -> bool {
        let manifest = self.manifest.as_ref();
        manifest.is_some_and(|(_, glob)| glob.is_match(path.as_str()))
    }

    fn since(&mut self, asset: &Asset) -> Timestamp {
        to_second(self.seen.first(asset, self.ended))
    }
}

/// Of a path, with or without a size, eight bytes of a digest.
fn place(path: &AssetPath, size: Option<u64>) -> u64 {
    let mut text = path.key();
    if let Some(size) = size {
        text.push('\u{1}');
        text.push_str(&size.to_string());
    }
    eight_bytes(text.as_bytes())
}

/// For reasons, which are counted by their text.
fn to_second(at: Timestamp) -> Timestamp {
    at.round(TimeUnit::Second).unwrap_or(at)
}
