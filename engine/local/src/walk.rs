//! The walk: everything below a folder, depth first in the order of names, in pages.
//!
//! A cursor says where the last page ended, so any process can go on from it. Whoever goes on in the process that
//! gave the cursor out finds the walk where it stopped, and no folder is listed twice; else the walk finds its
//! way down again, which costs one listing for each folder on that way.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::vec::IntoIter;

use windlass_core::{AssetId, AssetPath, Change, ChangePage, Cursor, Error, Folder, Kind, Result};

use crate::endpoint::io_error;
use crate::paths::{asset, is_part};

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
        start: &Path,
        top: &AssetPath,
        cursor: Option<&Cursor>,
    ) -> Result<ChangePage> {
        let after = cursor.map(|cursor| after_of(cursor.as_str())).transpose()?;
        let mut walk = match after.as_ref().and_then(|after| self.take(start, after)) {
            Some(walk) => walk,
            None => Walk::begin(start, top, after.unwrap_or_default())?,
        };
        let changes = walk.page()?;
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

    fn take(&self, start: &Path, after: &[String]) -> Option<Walk> {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut walks = waiting.stopped.iter();
        let number = walks
            .find(|(_, walk)| walk.start == start && walk.after == after)
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
        Some(path) => Ok(path.split('/').map(str::to_owned).collect()),
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
    start: PathBuf,
    /// The names on the way to the last entry.
    after: Vec<String>,
    /// Folders that are being listed, the innermost last.
    stack: Vec<Listed>,
}

/// A folder of which some entries are still to come.
#[derive(Debug)]
struct Listed {
    folder: PathBuf,
    shown: AssetPath,
    names: IntoIter<String>,
}

impl Walk {
    /// A walk that stands after the entry `after` names, or at the beginning where it names none.
    fn begin(start: &Path, top: &AssetPath, after: Vec<String>) -> Result<Walk> {
        let metadata = fs::symlink_metadata(start).map_err(|error| {
            io_error("list the folder", start, error).with_hint("correct the path of the scope")
        })?;
        if !metadata.is_dir() {
            return Err(
                Error::new(Kind::NotFound, "the scope is not a folder").with_context("path", top)
            );
        }
        let (mut folder, mut shown) = (start.to_owned(), top.clone());
        let mut stack = Vec::new();
        for name in &after {
            let mut names = list(&folder)?;
            // Earlier names are done, and so is the name itself; if it is a folder, what is below is not.
            names.retain(|other| other > name);
            stack.push(Listed {
                folder: folder.clone(),
                shown: shown.clone(),
                names: names.into_iter(),
            });
            (folder, shown) = (folder.join(name), shown.join(name));
        }
        let is_folder = fs::symlink_metadata(&folder).is_ok_and(|metadata| metadata.is_dir());
        let mut walk = Walk {
            start: start.to_owned(),
            after,
            stack,
        };
        if is_folder {
            walk.enter(folder, shown)?;
        }
        Ok(walk)
    }

    fn enter(&mut self, folder: PathBuf, shown: AssetPath) -> Result<()> {
        let names = list(&folder)?.into_iter();
        self.stack.push(Listed {
            folder,
            shown,
            names,
        });
        Ok(())
    }

    /// The next entries; afterwards the stack is empty if these were the last.
    fn page(&mut self) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        while changes.len() < PAGE_ENTRIES {
            let Some(listed) = self.stack.last_mut() else {
                break;
            };
            let Some(name) = listed.names.next() else {
                self.stack.pop();
                continue;
            };
            self.after.truncate(self.stack.len() - 1);
            self.after.push(name.clone());
            changes.extend(self.entry(&name)?);
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

    fn entry(&mut self, name: &str) -> Result<Option<Change>> {
        let Some(listed) = self.stack.last() else {
            return Ok(None);
        };
        let (file, path) = (listed.folder.join(name), listed.shown.join(name));
        let metadata = match file.symlink_metadata() {
            Ok(metadata) => metadata,
            // It went away between listing and looking.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(io_error("look at a file", &file, error)),
        };
        if metadata.is_dir() {
            match self.enter(file, path.clone()) {
                Err(error) if error.kind() == Kind::NotFound => return Ok(None),
                entered => entered?,
            }
            let id = AssetId::new(path.as_str());
            return Ok(Some(Change::Folder(Folder { id, path })));
        }
        if is_part(name) {
            return Ok(None);
        }
        if !metadata.is_file() {
            tracing::warn!(%path, "left out: neither a file nor a folder");
            return Ok(None);
        }
        Ok(Some(Change::Asset(asset(path, &metadata))))
    }
}

/// The names in a folder, sorted. Names that are not UTF-8 are left out and said.
fn list(folder: &Path) -> Result<Vec<String>> {
    let fail = |error| io_error("list the folder", folder, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(fail)? {
        match entry.map_err(fail)?.file_name().into_string() {
            Ok(name) => names.push(name),
            Err(name) => {
                tracing::warn!(folder = %folder.display(), ?name, "left out: its name is not UTF-8");
            }
        }
    }
    names.sort_unstable();
    Ok(names)
}
