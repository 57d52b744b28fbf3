//! Every file below a folder, streamed in the order in which the disk lists them.
//!
//! In memory is one open listing for each folder on the way down and nothing else, so it does not matter whether
//! there are ten files or 10^8. Links are not followed. What cannot be listed is said, and the rest goes on.

use std::ffi::CStr;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use rustix::fs::{Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use windlass_core::{AssetPath, Error, Kind, Result};

use crate::root::Root;
use crate::stamp::Stamp;

/// How many folders may lie in one another. Each holds two of the process's open files while what is below it is
/// listed; systems give at least 1,024 of them on servers.
const DEPTH_MAX: usize = 128;

/// A folder of the tree, open as long as somebody still has a file of it to look at.
#[derive(Debug)]
pub(crate) struct TreeFolder {
    folder: OwnedFd,
    pub(crate) path: AssetPath,
}

impl AsFd for TreeFolder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.folder.as_fd()
    }
}

/// Who is told what is found. To break ends the walk.
pub(crate) trait Visit {
    /// A file. It may have become something else since it was listed.
    fn file(&mut self, folder: &Arc<TreeFolder>, name: &CStr) -> ControlFlow<()>;

    /// Something that is neither file nor folder: a link, a pipe, a device.
    fn left_out(&mut self);

    /// A folder was entered.
    fn folder(&mut self);

    /// Something that cannot be looked at.
    fn failed(&mut self, path: AssetPath, error: Error) -> ControlFlow<()>;

    /// All files of a folder that were not followed by one of another folder were told.
    fn pause(&mut self) -> ControlFlow<()>;
}

/// Walks everything below `top`. Errors: what makes it impossible to begin.
pub(crate) fn walk(root: &Root, top: &AssetPath, visit: &mut dyn Visit) -> Result<()> {
    let folder = root.open_folder(top)?;
    let first = Level::open(folder, top.clone())
        .map_err(|error| root.error("list the folder", top, error))?;
    visit.folder();
    let mut walk = Walk {
        root,
        levels: vec![first],
        visit,
    };
    while !walk.levels.is_empty() {
        if walk.step().is_break() {
            break;
        }
    }
    Ok(())
}

struct Walk<'a> {
    root: &'a Root,
    levels: Vec<Level>,
    visit: &'a mut dyn Visit,
}

/// A folder that is being listed.
struct Level {
    folder: Arc<TreeFolder>,
    entries: Dir,
}

impl Level {
    fn open(folder: OwnedFd, path: AssetPath) -> Result<Self, Errno> {
        // A second handle on the same listing costs less than opening it again.
        let entries = Dir::new(rustix::io::fcntl_dupfd_cloexec(&folder, 0)?)?;
        let folder = Arc::new(TreeFolder { folder, path });
        Ok(Level { folder, entries })
    }
}

impl Walk<'_> {
    /// The next entry of the innermost folder.
    fn step(&mut self) -> ControlFlow<()> {
        let Some(level) = self.levels.last_mut() else {
            return ControlFlow::Break(());
        };
        let entry = match level.entries.next() {
            Some(Ok(entry)) => entry,
            Some(Err(error)) => {
                // What was listed until here was told; the rest of this folder is missing.
                let path = level.folder.path.clone();
                let error = self.root.error("list the folder", &path, error);
                self.levels.pop();
                return self.visit.failed(path, error);
            }
            None => {
                self.levels.pop();
                return self.visit.pause();
            }
        };
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            return ControlFlow::Continue(());
        }
        let folder = Arc::clone(&level.folder);
        let kind = match entry.file_type() {
            FileType::Unknown => match Stamp::at(&*folder, name) {
                Ok(stamp) => stamp.kind,
                Err(Errno::NOENT) => return ControlFlow::Continue(()),
                Err(error) => {
                    let path = shown(&folder, name);
                    let error = self.root.error("look at a file", &path, error);
                    return self.visit.failed(path, error);
                }
            },
            kind => kind,
        };
        match kind {
            FileType::RegularFile => self.visit.file(&folder, name),
            FileType::Directory => self.enter(&folder, name),
            _ => {
                self.visit.left_out();
                ControlFlow::Continue(())
            }
        }
    }

    fn enter(&mut self, parent: &Arc<TreeFolder>, name: &CStr) -> ControlFlow<()> {
        let path = shown(parent, name);
        if let Some(error) = self.refusal(&path, name) {
            return self.visit.failed(path, error);
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = rustix::fs::openat(&**parent, name, flags, Mode::empty())
            .and_then(|folder| Level::open(folder, path.clone()));
        match opened {
            Ok(level) => {
                self.levels.push(level);
                self.visit.folder();
                ControlFlow::Continue(())
            }
            // Something else is there by now.
            Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => ControlFlow::Continue(()),
            Err(error) => {
                let error = self.root.error("list the folder", &path, error);
                self.visit.failed(path, error)
            }
        }
    }

    fn refusal(&self, path: &AssetPath, name: &CStr) -> Option<Error> {
        if name.to_str().is_err() {
            return Some(not_utf8(path));
        }
        (self.levels.len() >= DEPTH_MAX).then(|| {
            Error::new(
                Kind::Unsupported,
                format!(
                    "the folder lies deeper than {DEPTH_MAX} others: what is in it is left out"
                ),
            )
            .with_context("path", path)
        })
    }
}

/// The path of an entry, with a sign for what is not UTF-8.
pub(crate) fn shown(folder: &TreeFolder, name: &CStr) -> AssetPath {
    folder.path.join(&name.to_string_lossy())
}

/// Assets have names of text.
pub(crate) fn not_utf8(path: &AssetPath) -> Error {
    Error::new(Kind::InvalidInput, "its name is not UTF-8")
        .with_context("path", path)
        .with_hint("rename it: its name was probably written by a very old program")
}
