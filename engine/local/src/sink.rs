//! Writing: where files go, what becomes of one, and which are ours.
//!
//! Nothing that somebody else placed is ever replaced: a new file takes its name only if the name is free, in one
//! step of the file system. `part.rs` has the hidden files of uploads, `session.rs` what is on the disk when.

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use windlass_core::{
    AssetId, AssetPath, Correlation, Destination, Draft, DraftPart, Error, Evidence, Expected,
    Fault, Kind, Placed, Ranges, Result, Sink, Status, UploadSession, preflight_name,
};

use crate::content::hash_file;
use crate::endpoint::{LocalEndpoint, blocking, io_error};
use crate::part::{self, ABANDONED_AFTER, Part};
use crate::paths::{NAME_BYTES_MAX, check, part_name};
use crate::root::Root;
use crate::session::{LocalSession, Place, Replaced, checkpoint};
use crate::stamp::Stamp;

#[async_trait]
impl Sink for LocalEndpoint {
    async fn check_drafts(&self, drafts: &[Draft]) -> Result<Vec<Vec<Fault>>> {
        let (root, drafts, label) = (self.root.clone(), drafts.to_vec(), self.label().to_owned());
        blocking(move || {
            let faults = |draft| faults(&root, &label, draft);
            Ok(drafts.iter().map(faults).collect())
        })
        .await
    }

    async fn begin(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
    ) -> Result<Box<dyn UploadSession>> {
        let upload = Upload::of(self, destination, size, correlation)?;
        blocking(move || upload.begin()).await
    }

    async fn resume(
        &self,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
        session: &str,
        acknowledged: &[Range<u64>],
    ) -> Result<Option<Box<dyn UploadSession>>> {
        let upload = Upload::of(self, destination, size, correlation)?;
        let (session, written) = (session.to_owned(), acknowledged.iter().cloned().collect());
        blocking(move || upload.resume(&session, written)).await
    }

    async fn find(
        &self,
        destination: &Destination,
        correlation: &Correlation,
        expected: &Expected,
    ) -> Result<Option<Placed>> {
        let path = target(destination).0;
        check(&path)?;
        let (root, mark, expected) = (self.root.clone(), correlation.clone(), *expected);
        blocking(move || find(&root, path, &mark, &expected)).await
    }

    async fn set_metadata(&self, asset: &AssetId, draft: &Draft) -> Result<()> {
        let from = AssetPath::new(asset.as_str());
        let to = place_among(draft, &from);
        check(&from)?;
        check(&to)?;
        if from == to {
            return Ok(());
        }
        let endpoint = self.clone();
        blocking(move || endpoint.relocate(&from, &to)).await
    }

    async fn remove(&self, placed: &Placed) -> Result<()> {
        let (root, placed) = (self.root.clone(), placed.clone());
        let path = AssetPath::new(placed.asset.as_str());
        check(&path)?;
        blocking(move || {
            let fail = |error: Errno| root.error("remove the file", &path, error);
            let folder = match root.folder(&path.parent()) {
                Ok(folder) => folder,
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
                Err(error) => return Err(fail(error)),
            };
            match Stamp::at(&folder, path.name()) {
                Ok(stamp) if stamp.is_file() && stamp.revision() == placed.revision => {}
                Ok(_) | Err(Errno::NOENT) => return Ok(()),
                Err(error) => return Err(fail(error)),
            }
            match rustix::fs::unlinkat(&folder, path.name(), AtFlags::empty()) {
                Ok(()) | Err(Errno::NOENT) => Ok(()),
                Err(error) => Err(fail(error)),
            }
        })
        .await
    }
}

impl LocalEndpoint {
    fn relocate(&self, from: &AssetPath, to: &AssetPath) -> Result<()> {
        let old = self.root.open_folder(&from.parent())?;
        let new = self.root.make_folder(&to.parent())?;
        part::rename(&old, from.name(), &new, to.name(), false).map_err(|error| {
            let failed = self.root.error("move the file", to, error);
            match error {
                Errno::EXIST => failed.with_hint("another file has that name; rename one of them"),
                _ => failed,
            }
        })?;
        for folder in [&new, &old] {
            rustix::fs::fsync(folder)
                .map_err(|error| self.root.error("move the file", to, error))?;
        }
        Ok(())
    }
}

/// An upload that is to begin or to go on.
struct Upload {
    endpoint: LocalEndpoint,
    place: Place,
    part: String,
    size: u64,
    correlation: Correlation,
}

impl Upload {
    fn of(
        endpoint: &LocalEndpoint,
        destination: &Destination,
        size: u64,
        correlation: &Correlation,
    ) -> Result<Self> {
        let (path, replaced) = target(destination);
        check(&path)?;
        if path.name().is_empty() {
            return Err(Error::new(Kind::InvalidInput, "a file needs a name"));
        }
        Ok(Upload {
            endpoint: endpoint.clone(),
            part: part_name(correlation, path.name()),
            place: Place {
                shown: endpoint.root.shown(&path),
                path,
                replaced,
            },
            size,
            correlation: correlation.clone(),
        })
    }

    fn begin(self) -> Result<Box<dyn UploadSession>> {
        let root = &self.endpoint.root;
        let folder = Arc::new(root.make_folder(&self.place.path.parent())?);
        self.endpoint.tidied.visit(&folder);
        let part = Part::create(folder, self.part.clone(), self.size)
            .map_err(|error| self.error("create the file", error))?;
        Ok(self.session(part, Ranges::new(), false))
    }

    fn resume(self, session: &str, written: Ranges) -> Result<Option<Box<dyn UploadSession>>> {
        let root = &self.endpoint.root;
        let folder = match root.folder(&self.place.path.parent()) {
            Ok(folder) => Arc::new(folder),
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(root.error("open the folder", &self.place.path, error)),
        };
        let found = Part::find(&folder, &self.part)
            .map_err(|error| self.error("open an unfinished file", error))?;
        let Some(part) = found else {
            return Ok(None);
        };
        let stamp = Stamp::of(&part.file)
            .map_err(|error| self.error("look at an unfinished file", error.into()))?;
        let end = written.iter().last().map_or(0, |range| range.end);
        // Shorter than what was acknowledged, or longer than announced: somebody else touched it.
        let usable = end <= stamp.size && stamp.size <= self.size;
        if !usable || checkpoint(&part.file).as_deref() != Some(session) {
            return Ok(None);
        }
        Ok(Some(self.session(part, written, true)))
    }

    fn session(self, part: Part, written: Ranges, resumed: bool) -> Box<dyn UploadSession> {
        Box::new(LocalSession {
            part: Arc::new(part),
            place: self.place,
            size: self.size,
            correlation: self.correlation,
            written: Mutex::new(written),
            resumed,
        })
    }

    fn error(&self, action: &'static str, error: std::io::Error) -> Error {
        if error.kind() == std::io::ErrorKind::WouldBlock {
            return Error::new(Kind::Conflict, "another process is writing this file now")
                .with_context("path", self.place.shown.display())
                .with_status(Status::Temporary)
                .with_hint("let only one Windlass run this flow");
        }
        io_error(action, &self.place.shown, error)
    }
}

/// Where a file goes, and which one it replaces.
fn target(destination: &Destination) -> (AssetPath, Replaced) {
    match destination {
        Destination::New { draft } => (place_of(draft), Replaced::Nothing),
        Destination::Version {
            asset, replaces, ..
        } => {
            let replaced = match replaces {
                Some(revision) => Replaced::Exactly(revision.clone()),
                None => Replaced::Whatever,
            };
            (AssetPath::new(asset.as_str()), replaced)
        }
    }
}

/// Where a file that is at this place has to be: a name or a folder that yields stays what it is.
fn place_among(draft: &Draft, at: &AssetPath) -> AssetPath {
    let collection = match draft.yields.contains(&DraftPart::Collection) {
        true => at.parent(),
        false => draft.collection.clone(),
    };
    match draft.yields.contains(&DraftPart::Name) {
        true => collection.join(at.name()),
        false => collection.join(&draft.file_name),
    }
}

fn place_of(draft: &Draft) -> AssetPath {
    draft.collection.join(&draft.file_name)
}

/// The file at a path, if it is what was to be placed there. Where its content hash is known, the file is read;
/// else the mark says that it is ours and whole, and that nobody wrote to it since.
fn find(
    root: &Root,
    path: AssetPath,
    correlation: &Correlation,
    expected: &Expected,
) -> Result<Option<Placed>> {
    match root.stat(&path)? {
        Some(stamp) if stamp.is_file() && stamp.size == expected.size => {}
        _ => return Ok(None),
    }
    let fail = |error| io_error("read a file", &root.shown(&path), error);
    let file = match root.open_file(&path) {
        Err(error) if error.kind() == Kind::NotFound => return Ok(None),
        opened => opened?,
    };
    let stamp = Stamp::of(&file).map_err(|error| fail(error.into()))?;
    let (content_hash, evidence) = match expected.content_hash {
        Some(wanted) => {
            let found = hash_file(&file, true).map_err(fail)?;
            if found.size != expected.size || found.content_hash != Some(wanted) {
                return Ok(None);
            }
            (Some(wanted), Evidence::E3)
        }
        None if part::is_marked(&file, correlation, &stamp) => (None, Evidence::E0),
        // A file of the same size proves nothing.
        None => return Ok(None),
    };
    Ok(Some(Placed {
        asset: AssetId::new(path.as_str()),
        revision: stamp.revision(),
        size: stamp.size,
        content_hash,
        evidence,
    }))
}

fn faults(root: &Root, label: &str, draft: &Draft) -> Vec<Fault> {
    let mut faults = Vec::new();
    let mut whole = |message: String| {
        faults.push(Fault {
            field: None,
            message,
            hint: None,
            unknown: None,
        })
    };
    if let Err(problem) = preflight_name(&draft.file_name, NAME_BYTES_MAX) {
        whole(problem.to_string());
    }
    let place = place_of(draft);
    match check(&place) {
        Err(error) => whole(error.to_string()),
        Ok(()) => match root.folder(&place.parent()) {
            // It is made when the first file comes.
            Ok(_) | Err(Errno::NOENT) => {}
            Err(error) => whole(root.error("use the folder", &place, error).to_string()),
        },
    }
    if draft.asset_type.is_some() || draft.availability.is_some() {
        whole(format!(
            "{label} is a folder: it keeps no asset type or availability"
        ));
    }
    faults.extend(draft.fields.iter().map(|assigned| Fault {
        field: Some(assigned.field.clone()),
        message: format!("{label} is a folder: it keeps no fields"),
        hint: Some("remove the field from the flow, or choose another sink".to_owned()),
        unknown: None,
    }));
    faults
}

/// Folders that this process has looked through for abandoned uploads: each once, when the first upload goes there.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tidied(Arc<Mutex<std::collections::HashSet<(u64, u64)>>>);

/// How many folders are remembered. One that is forgotten is looked through once more.
const TIDIED_MAX: usize = 65_536;

impl Tidied {
    fn visit(&self, folder: &OwnedFd) {
        let Ok(stamp) = Stamp::of(folder) else {
            return;
        };
        {
            let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.len() >= TIDIED_MAX {
                seen.clear();
            }
            if !seen.insert((stamp.device, stamp.inode)) {
                return;
            }
        }
        part::tidy(folder, ABANDONED_AFTER);
    }
}
