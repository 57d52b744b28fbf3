//! Handing out: files are taken back and moved, only as long as nobody changed them; links and shared folders are in the
//! modules below.
//!
//! A file is known by its id, so that one that people moved or renamed is found. Between two namespaces Dropbox may give a
//! moved file another id and revision; there its content hash says that it is the same. Links end first, then the file
//! moves: nobody may follow a link to what is quarantined.

mod links;
mod share;

use async_trait::async_trait;
use tokio::time::{Duration, sleep};
use url::Url;
use windlass_core::{
    AssetPath, Error, Evidence, Kind, LinkTerms, Member, Outlet, Placed, Result, Revision,
    SharedFolder, SharedLink, Taken, fold_key,
};

use crate::endpoint::{DropboxEndpoint, wire_path};
use crate::errors::{
    DeleteError, Failure, LookupError, RelocationError, WriteConflict, WriteError,
};
use crate::target::{file_at, placed as placed_as};
use crate::wire::{FileMetadata, Metadata};

/// How many names are tried where what is kept has the name of something else.
const NAMES_MAX: usize = 100;

/// How often a move or a deletion is tried, and how long is waited in between: about ten seconds in all, since what was
/// just made may not be seen at once.
const ROUNDS: u32 = 6;
const ROUND_WAIT: Duration = Duration::from_secs(2);

#[async_trait]
impl Outlet for DropboxEndpoint {
    async fn take_back(&self, placed: &Placed, keep: Option<&AssetPath>) -> Result<Taken> {
        let taken = Box::pin(self.take_file_back(placed, keep)).await;
        taken.map_err(|error| error.with_context("asset", &placed.asset))
    }

    async fn move_to(&self, placed: &Placed, to: &AssetPath) -> Result<Option<Placed>> {
        let moved = Box::pin(self.move_file(placed, to)).await;
        moved.map_err(|error| error.with_context("asset", &placed.asset))
    }

    async fn link(&self, placed: &Placed, terms: &LinkTerms) -> Result<SharedLink> {
        let link = Box::pin(self.link_to(placed.asset.as_str(), terms)).await;
        link.map_err(|error| error.with_context("asset", &placed.asset))
    }

    async fn share(&self, folder: &AssetPath, members: &[Member]) -> Result<SharedFolder> {
        let shared = Box::pin(self.share_with(folder, members)).await;
        shared.map_err(|error| error.with_context("folder", folder))
    }

    fn address(&self, path: &AssetPath) -> String {
        let Ok(mut url) = Url::parse("https://www.dropbox.com/home") else {
            unreachable!("it is a literal");
        };
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(wire_path(path).split('/').filter(|name| !name.is_empty()));
        }
        url.into()
    }
}

/// What became of a file on its way to another place.
enum Carried {
    There(FileMetadata),
    Gone,
    /// Somebody changed it in that moment: it is where it was.
    Edited(FileMetadata),
    /// Something else has the place.
    Taken(Error),
}

impl DropboxEndpoint {
    async fn take_file_back(&self, placed: &Placed, keep: Option<&AssetPath>) -> Result<Taken> {
        let Some(file) = file_at(&self.api, placed.asset.as_str()).await? else {
            return self.taken_before(placed, keep).await;
        };
        if !is_as_placed(&file, placed) {
            return Ok(changed(&file));
        }
        let recipients = self.recipients(&file).await?;
        let links = self.end_links(&file.id, keep.is_some()).await?;
        let back = Back { recipients, links };
        match keep {
            None => self.erase(placed, file, back).await,
            Some(keep) => self.put_away(placed, file, keep, back).await,
        }
    }

    /// Nothing has the id: it was deleted, or moved to another namespace by a call whose end nobody saw.
    async fn taken_before(&self, placed: &Placed, keep: Option<&AssetPath>) -> Result<Taken> {
        let Some(keep) = keep.filter(|_| placed.content_hash.is_some()) else {
            return Ok(Taken::Absent);
        };
        for name in keep.numbered().take(NAMES_MAX) {
            match file_at(&self.api, &wire_path(&name)).await? {
                Some(file) if is_as_placed(&file, placed) => {
                    let mut back = Back::default();
                    back.links.extend(self.end_links(&file.id, true).await?);
                    return Ok(back.with(Some(path_of(&file).unwrap_or(name))));
                }
                Some(_) => {}
                // Numbers are given without gaps.
                None => break,
            }
        }
        Ok(Taken::Absent)
    }

    /// Moves it to where it is kept, under a number where something else has the name.
    async fn put_away(
        &self,
        placed: &Placed,
        file: FileMetadata,
        keep: &AssetPath,
        mut back: Back,
    ) -> Result<Taken> {
        if let Some(at) = path_of(&file)
            && keep
                .numbered()
                .take(NAMES_MAX)
                .any(|name| at.key() == name.key())
        {
            return Ok(back.with(Some(at)));
        }
        for name in keep.numbered().take(NAMES_MAX) {
            match self.carry(&file, &name).await? {
                Carried::There(now) => {
                    // One that somebody made in the meantime.
                    back.links.extend(self.end_links(&now.id, true).await?);
                    self.prove(&file).await?;
                    return Ok(back.with(Some(path_of(&now).unwrap_or(name))));
                }
                Carried::Gone => return self.taken_before(placed, Some(keep)).await,
                Carried::Edited(now) => return Ok(changed(&now)),
                Carried::Taken(_) => {}
            }
        }
        Err(
            Error::new(Kind::Conflict, "too many files of that name are kept")
                .with_context("path", keep)
                .with_hint("empty the folder, or keep what is taken back elsewhere"),
        )
    }

    /// Deletes it, only while it has the revision that was looked at.
    async fn erase(&self, placed: &Placed, file: FileMetadata, back: Back) -> Result<Taken> {
        let mut file = file;
        for _ in 0..ROUNDS {
            match self.api.delete(&file.id, Some(&file.rev)).await {
                Ok(_) | Err(Failure::Route(DeleteError::PathLookup(LookupError::NotFound), _)) => {
                    self.prove(&file).await?;
                    return Ok(back.with(None));
                }
                Err(Failure::Route(DeleteError::PathWrite(WriteError::Conflict(_)), _)) => {}
                Err(other) => return Err(other.into()),
            }
            match file_at(&self.api, &file.id).await? {
                None => return Ok(back.with(None)),
                Some(now) if is_as_placed(&now, placed) => file = now,
                Some(now) => return Ok(changed(&now)),
            }
        }
        Err(Error::new(
            Kind::Unavailable,
            "the file gets another revision again and again while it is deleted",
        ))
    }

    /// Asks for what is where the file was.
    async fn prove(&self, before: &FileMetadata) -> Result<()> {
        let Some(path) = path_of(before) else {
            return Ok(());
        };
        match file_at(&self.api, &wire_path(&path)).await? {
            Some(now) if now.id == before.id => Err(Error::new(
                Kind::Unavailable,
                "Dropbox still shows the file where it was",
            )
            .with_context("path", path)),
            _ => Ok(()),
        }
    }

    async fn move_file(&self, placed: &Placed, to: &AssetPath) -> Result<Option<Placed>> {
        let there = |now: FileMetadata| {
            let evidence = match now.content_hash {
                Some(_) => Evidence::E2,
                None => placed.evidence,
            };
            Ok(Some(placed_as(now, evidence)))
        };
        let Some(file) = file_at(&self.api, placed.asset.as_str()).await? else {
            // It may have moved to another namespace by a call whose end nobody saw.
            let found = file_at(&self.api, &wire_path(to)).await?;
            return match found.filter(|found| is_as_placed(found, placed)) {
                Some(found) => there(found),
                None => Ok(None),
            };
        };
        if !is_as_placed(&file, placed) {
            return Ok(None);
        }
        if path_of(&file).is_some_and(|at| at.key() == to.key()) {
            return there(file);
        }
        match self.carry(&file, to).await? {
            Carried::There(now) => there(now),
            Carried::Gone | Carried::Edited(_) => Ok(None),
            Carried::Taken(error) => Err(error),
        }
    }

    /// Moves a file to a place where nothing is, and looks after every answer that does not say that it is there.
    async fn carry(&self, file: &FileMetadata, to: &AssetPath) -> Result<Carried> {
        let wanted = wire_path(to);
        let mut last = None;
        for round in 0..ROUNDS {
            if round > 0 {
                sleep(ROUND_WAIT).await;
            }
            let failure = match self.api.relocate(&file.id, &wanted).await {
                Ok(moved) => match moved.metadata {
                    Metadata::File(now) => return self.arrived(file, now, to).await,
                    _ => None,
                },
                Err(failure) => Some(failure),
            };
            match file_at(&self.api, &file.id).await? {
                Some(now) if fold_key(path_text(&now)) == to.key() => {
                    return self.arrived(file, now, to).await;
                }
                Some(_) => {}
                None => {
                    let now = file_at(&self.api, &wanted).await?;
                    return match now.filter(|now| is_same(now, file)) {
                        Some(now) => self.arrived(file, now, to).await,
                        None => Ok(Carried::Gone),
                    };
                }
            }
            let is_early = failure.as_ref().is_none_or(is_early);
            let is_taken = failure.as_ref().is_some_and(is_taken);
            let error = failure.map(|failure| Error::from(failure).with_context("path", &wanted));
            match error {
                Some(error) if is_taken => return Ok(Carried::Taken(error)),
                Some(error) if !is_early && error.kind() != Kind::Ambiguous => return Err(error),
                error => last = error.or(last),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Ambiguous, "the file does not arrive")))
    }

    /// Puts a file back that somebody changed after it was looked at: only its place is ours to decide.
    async fn arrived(
        &self,
        before: &FileMetadata,
        now: FileMetadata,
        at: &AssetPath,
    ) -> Result<Carried> {
        if is_same(&now, before) {
            return Ok(Carried::There(now));
        }
        let left = |error: Error| {
            error
                .with_context("lies at", at)
                .with_hint("somebody changed the file while it was moved: move it back")
        };
        let Some(path) = path_of(before) else {
            let error = Error::new(Kind::Conflict, "the file had no path to move back to");
            return Err(left(error));
        };
        match self.api.relocate(&now.id, &wire_path(&path)).await {
            Ok(moved) => match moved.metadata {
                Metadata::File(now) => Ok(Carried::Edited(now)),
                _ => Ok(Carried::Edited(now)),
            },
            Err(failure) => match file_at(&self.api, &wire_path(&path)).await? {
                Some(there) if is_same(&there, &now) => Ok(Carried::Edited(there)),
                _ => Err(left(failure.into())),
            },
        }
    }
}

/// What is told of a file that was taken back.
#[derive(Default)]
struct Back {
    recipients: Vec<String>,
    links: Vec<String>,
}

impl Back {
    fn with(self, kept: Option<AssetPath>) -> Taken {
        Taken::Back {
            kept,
            links: self.links,
            recipients: self.recipients,
        }
    }
}

/// It may not have been seen yet, because it was made a moment ago.
fn is_early(failure: &Failure<RelocationError>) -> bool {
    let early = RelocationError::FromLookup(LookupError::NotFound);
    matches!(failure, Failure::Route(reason, _) if *reason == early)
}

/// Another name would do.
fn is_taken(failure: &Failure<RelocationError>) -> bool {
    matches!(
        failure,
        Failure::Route(
            RelocationError::To(WriteError::Conflict(
                WriteConflict::File | WriteConflict::Folder
            )),
            _
        )
    )
}

/// Whether nobody changed the bytes since; name and place do not matter.
fn is_as_placed(file: &FileMetadata, placed: &Placed) -> bool {
    file.rev == placed.revision.as_str()
        || (file.size == placed.size
            && placed.content_hash.is_some()
            && file.content_hash == placed.content_hash)
}

/// The same of two looks at a file.
fn is_same(now: &FileMetadata, before: &FileMetadata) -> bool {
    now.rev == before.rev
        || (now.size == before.size
            && before.content_hash.is_some()
            && now.content_hash == before.content_hash)
}

fn path_text(file: &FileMetadata) -> &str {
    let path = file.path_display.as_deref().or(file.path_lower.as_deref());
    path.unwrap_or_default()
}

/// Where it is in this account, if it is mounted.
fn path_of(file: &FileMetadata) -> Option<AssetPath> {
    let path = AssetPath::new(path_text(file));
    (!path.as_str().is_empty()).then_some(path)
}

fn changed(file: &FileMetadata) -> Taken {
    Taken::Changed {
        revision: Revision::new(file.rev.as_str()),
        path: path_of(file).unwrap_or_else(|| AssetPath::new(&file.name)),
    }
}
