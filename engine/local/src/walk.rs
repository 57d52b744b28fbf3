//! The listing: everything below a folder, depth first in the order of names, in pages.
//!
//! A cursor says where the last page ended, so any process can go on from it. Whoever goes on in the process that
//! gave the cursor out finds the walk where it stopped, and no folder is listed twice; else the walk finds its
//! way down again, which costs one listing for each folder on that way. In memory are a page and the names that are
//! still to come in the folders on the way down.
//!
//! A folder or a file that this user may not look at is listed as an asset that may not be read: the plan holds it
//! by name and everything else goes on.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::IntoIter;

use rustix::fs::{Dir, FileType};
use rustix::io::Errno;
use windlass_core::{
    Asset, AssetId, AssetPath, Change, ChangePage, Cursor, Error, Folder, Kind, Readable, Result,
    Revision,
};

use crate::paths::{check, is_part};
use crate::root::Root;
use crate::stamp::Stamp;

/// How many entries a page has, but for the last: as many as services list.
const PAGE_ENTRIES: usize = 2_000;

/// How many walks wait for their next page: one a flow that lists at the same time, and some that nobody went on
/// with.
const WALKS_MAX: usize = 8;

/// The cursor of a walk that is over.
const WALKED: &str = "walked";

/// Walks that stopped at the end of a page.
#[derive(Clone, Debug, Default)]
pub(crate) struct Walks(Arc<Mutex<Waiting>>);

#[derive(Debug, Default)]
struct Waiting {
    /// By the number in which they stopped, oldest first.
    stopped: BTreeMap<u64, Walk>,
    count: u64,
}

impl Walks {
    /// The page after a cursor. Blocks.
    pub(crate) fn page(
        &self,
        root: &Root,
        top: &AssetPath,
        cursor: Option<&Cursor>,
    ) -> Result<ChangePage> {
        check(top)?;
        let after = cursor.map(|cursor| after_of(cursor.as_str())).transpose()?;
        let mut walk = match after.as_ref().and_then(|after| self.take(top, after)) {
            Some(walk) => walk,
            None => Walk::begin(root, top, after.unwrap_or_default())?,
        };
        let changes = walk.page(root)?;
        let more = !walk.stack.is_empty();
        let cursor = match more {
            true => format!("after:{}", walk.after.join("/")),
            false => WALKED.to_owned(),
        };
        if more {
            self.keep(walk);
        }
        Ok(ChangePage {
            changes,
            cursor: Cursor::new(cursor),
            more,
        })
    }

    fn take(&self, top: &AssetPath, after: &[String]) -> Option<Walk> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut walks = waiting.stopped.iter();
        let number = walks
            .find(|(_, walk)| walk.top == *top && walk.after == after)
            .map(|(number, _)| *number)?;
        waiting.stopped.remove(&number)
    }

    fn keep(&self, walk: Walk) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.count += 1;
        let number = waiting.count;
        waiting.stopped.insert(number, walk);
        while waiting.stopped.len() > WALKS_MAX {
            waiting.stopped.pop_first();
        }
    }
}

fn after_of(cursor: &str) -> Result<Vec<String>> {
    match cursor.strip_prefix("after:") {
        Some(path) => {
            check(&AssetPath::new(path))?;
            Ok(path.split('/').map(str::to_owned).collect())
        }
        None if cursor == WALKED => Err(Error::new(
            Kind::CursorReset,
            "a folder cannot say what changed since a walk; it is walked again",
        )),
        None => Err(Error::new(
            Kind::CursorReset,
            "the cursor is not one of a folder walk",
        )),
    }
}

/// A walk between two pages.
#[derive(Debug)]
struct Walk {
    top: AssetPath,
    /// The names on the way to the last entry.
    after: Vec<String>,
    /// Folders that are being listed, the innermost last.
    stack: Vec<Listed>,
}

/// A folder of which some entries are still to come.
#[derive(Debug)]
struct Listed {
    path: AssetPath,
    /// Open while it is the innermost one, so that a deep walk does not use up the process's files.
    folder: Option<OwnedFd>,
    names: IntoIter<Name>,
}

/// A name in a folder, and what it names where the folder says that.
type Name = (Box<str>, FileType);

impl Walk {
    /// A walk that stands after the entry `after` names, or at the beginning where it names none.
    fn begin(root: &Root, top: &AssetPath, after: Vec<String>) -> Result<Walk> {
        let mut walk = Walk {
            top: top.clone(),
            after: Vec::new(),
            stack: Vec::new(),
        };
        let listed = Listed::open(root, top.clone()).map_err(|error| match error {
            Errno::NOTDIR => {
                Error::new(Kind::NotFound, "the scope is not a folder").with_context("path", top)
            }
            error => root
                .error("list the folder", top, error)
                .with_hint("correct the path of the scope"),
        })?;
        walk.stack.push(listed);
        let mut path = top.clone();
        for name in &after {
            if let Some(listed) = walk.stack.last_mut() {
                listed.skip_to(name);
            }
            path = path.join(name);
            match Listed::open(root, path.clone()) {
                Ok(listed) => walk.descend(listed),
                // The last name is usually a file's. A folder that is gone by now has nothing more to come.
                Err(Errno::NOTDIR | Errno::NOENT | Errno::LOOP) => break,
                Err(error) if is_denied(error) => break,
                Err(error) => return Err(root.error("list the folder", &path, error)),
            }
        }
        walk.after = after;
        Ok(walk)
    }

    fn descend(&mut self, listed: Listed) {
        if let Some(parent) = self.stack.last_mut() {
            parent.folder = None;
        }
        self.stack.push(listed);
    }

    /// The next entries; afterwards the stack is empty if these were the last.
    fn page(&mut self, root: &Root) -> Result<Vec<Change>> {
        let mut changes = Vec::with_capacity(PAGE_ENTRIES);
        while changes.len() < PAGE_ENTRIES {
            let Some(listed) = self.stack.last_mut() else {
                break;
            };
            let Some((name, kind)) = listed.names.next() else {
                self.stack.pop();
                continue;
            };
            let change = self.entry(root, &name, kind)?;
            // A folder's own level is on the stack by now; its name belongs to the level above.
            let depth = self.stack.len() - usize::from(matches!(change, Some(Change::Folder(_))));
            self.after.truncate(depth - 1);
            self.after.push(name.into());
            changes.extend(change);
        }
        while self
            .stack
            .last()
            .is_some_and(|listed| listed.names.as_slice().is_empty())
        {
            self.stack.pop();
        }
        Ok(changes)
    }

    fn entry(&mut self, root: &Root, name: &str, kind: FileType) -> Result<Option<Change>> {
        let Some(listed) = self.stack.last_mut() else {
            return Ok(None);
        };
        if kind != FileType::Directory && is_part(name.as_bytes()) {
            return Ok(None);
        }
        let path = listed.path.join(name);
        let fail = |path: &AssetPath, error| root.error("look at a file", path, error);
        let stamp = match kind {
            FileType::RegularFile | FileType::Unknown => match listed.stat(root, name) {
                Ok(stamp) => Some(stamp),
                // It went away between listing and looking.
                Err(Errno::NOENT) => return Ok(None),
                Err(error) if is_denied(error) => return Ok(Some(unreadable(path))),
                Err(error) => return Err(fail(&path, error)),
            },
            _ => None,
        };
        match (stamp.map_or(kind, |stamp| stamp.kind), stamp) {
            (FileType::RegularFile, Some(stamp)) => Ok(Some(Change::Asset(stamp.asset(path)))),
            (FileType::Directory, _) => match Listed::open(root, path.clone()) {
                Ok(listed) => {
                    self.descend(listed);
                    let id = AssetId::new(path.as_str());
                    Ok(Some(Change::Folder(Folder { id, path })))
                }
                // Something else is there by now.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => Ok(None),
                Err(error) if is_denied(error) => Ok(Some(unreadable(path))),
                Err(error) => Err(root.error("list the folder", &path, error)),
            },
            _ => {
                tracing::warn!(%path, "left out: neither a file nor a folder");
                Ok(None)
            }
        }
    }
}

impl Listed {
    fn open(root: &Root, path: AssetPath) -> Result<Self, Errno> {
        let folder = root.folder(&path)?;
        let mut names = Vec::new();
        for entry in Dir::new(rustix::io::fcntl_dupfd_cloexec(&folder, 0)?)? {
            let entry = entry?;
            match entry.file_name().to_str() {
                Ok("." | "..") => {}
                Ok(name) => names.push((name.into(), entry.file_type())),
                Err(_) => {
                    let name = entry.file_name();
                    tracing::warn!(folder = %path, ?name, "left out: its name is not UTF-8");
                }
            }
        }
        names.sort_unstable_by(|(a, _): &Name, (b, _)| a.cmp(b));
        Ok(Listed {
            path,
            folder: Some(folder),
            names: names.into_iter(),
        })
    }

    /// Leaves out the names up to this one. They are done, and so is the name itself; if it is a folder's, what is
    /// below it is not.
    fn skip_to(&mut self, last: &str) {
        let done = self
            .names
            .as_slice()
            .partition_point(|(name, _)| name.as_ref() <= last);
        if done > 0 {
            self.names.nth(done - 1);
        }
    }

    fn stat(&mut self, root: &Root, name: &str) -> Result<Stamp, Errno> {
        let folder = match self.folder.take() {
            Some(folder) => folder,
            None => root.folder(&self.path)?,
        };
        let stamp = Stamp::at(&folder, name);
        self.folder = Some(folder);
        stamp
    }
}

/// Whether this user may not, rather than cannot.
pub(crate) fn is_denied(error: Errno) -> bool {
    matches!(error, Errno::ACCESS | Errno::PERM)
}

/// What may be there and cannot be looked at.
fn unreadable(path: AssetPath) -> Change {
    tracing::warn!(%path, "it may not be read");
    Change::Asset(Asset {
        id: AssetId::new(path.as_str()),
        revision: Revision::new("unreadable"),
        size: 0,
        modified: None,
        content_hash: None,
        tags: Vec::new(),
        readable: Readable::Restricted,
        path,
    })
}
