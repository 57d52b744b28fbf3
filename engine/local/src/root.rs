//! The root of the folder, and the only way to what is below it: never through a link, never outside.
//!
//! Linux resolves a whole path under these rules in one call (`openat2`), which is both the fastest way and the only
//! one without a moment between looking and opening. Kernels before 5.6 and sandboxes that forbid the call are
//! noticed when the folder is opened; there, each segment is opened from the one before it.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use windlass_core::{AssetPath, Error, Kind, Result};

use crate::endpoint::io_error;
use crate::paths::check;
use crate::stamp::Stamp;

/// How a folder is opened to list it or to open what is in it.
const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// How a file is opened to read it. Without waiting, because a pipe may have taken the file's place.
pub(crate) const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// The mode of new folders; the process's mask takes away from it.
const FOLDER_MODE: Mode = Mode::RWXU.union(Mode::RWXG).union(Mode::RWXO);

/// An opened root. Clones are the same root.
#[derive(Clone, Debug)]
pub(crate) struct Root {
    folder: Arc<OwnedFd>,
    path: Arc<Path>,
    /// Whether the kernel resolves whole paths.
    whole_paths: bool,
}

impl Root {
    /// Opens the folder at an absolute path without links.
    pub(crate) fn open(path: &Path) -> Result<Self, Errno> {
        let folder = rustix::fs::open(path, FOLDER, Mode::empty())?;
        let whole_paths = match whole_path(folder.as_fd(), ".", FOLDER) {
            Ok(_) => true,
            Err(Errno::NOSYS | Errno::PERM | Errno::INVAL) => false,
            Err(error) => return Err(error),
        };
        Ok(Root {
            folder: Arc::new(folder),
            path: path.into(),
            whole_paths,
        })
    }

    /// The same root, opened segment by segment as where the kernel resolves no whole paths.
    #[cfg(test)]
    pub(crate) fn by_segments(mut self) -> Self {
        self.whole_paths = false;
        self
    }

    /// The folder's own path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The path of something below, for messages.
    pub(crate) fn shown(&self, path: &AssetPath) -> PathBuf {
        self.path.join(path.as_str().trim_start_matches('/'))
    }

    /// Opens a folder to list it or to reach what is in it.
    pub(crate) fn open_folder(&self, path: &AssetPath) -> Result<OwnedFd> {
        self.beneath(path, FOLDER)
            .map_err(|error| self.error("list the folder", path, error))
    }

    /// The same, with the kernel's own word for what went wrong.
    pub(crate) fn folder(&self, path: &AssetPath) -> Result<OwnedFd, Errno> {
        self.beneath(path, FOLDER)
    }

    /// Opens a file to read it.
    pub(crate) fn open_file(&self, path: &AssetPath) -> Result<File> {
        self.beneath(path, FILE)
            .map(File::from)
            .map_err(|error| self.error("read a file", path, error))
    }

    /// What is at a path now, if anything is.
    pub(crate) fn stat(&self, path: &AssetPath) -> Result<Option<Stamp>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match self.beneath(path, flags).and_then(Stamp::of) {
            Ok(stamp) => Ok(Some(stamp)),
            Err(Errno::NOENT) => Ok(None),
            // A file has taken the place of a folder on the way.
            Err(Errno::NOTDIR) => Ok(None),
            Err(error) => Err(self.error("look at a file", path, error)),
        }
    }

    /// Opens a folder, which is made if it is not there, with those above it. New ones are on the disk when this
    /// returns.
    pub(crate) fn make_folder(&self, path: &AssetPath) -> Result<OwnedFd> {
        check(path)?;
        match self.beneath(path, FOLDER) {
            Err(Errno::NOENT) => {}
            opened => {
                return opened.map_err(|error| self.error("open the folder", path, error));
            }
        }
        let fail = |error| self.error("create the folder", path, error);
        let mut folder = self
            .folder
            .try_clone()
            .map_err(|error| io_error("create the folder", &self.shown(path), error))?;
        for segment in path.segments() {
            folder = match next(folder.as_fd(), segment, FOLDER) {
                Err(Errno::NOENT) => make(folder.as_fd(), segment),
                opened => opened,
            }
            .map_err(fail)?;
        }
        Ok(folder)
    }

    fn beneath(&self, path: &AssetPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let relative = path.as_str().trim_start_matches('/');
        match (self.whole_paths, relative.is_empty()) {
            (true, true) => whole_path(self.folder.as_fd(), ".", flags),
            (true, false) => whole_path(self.folder.as_fd(), relative, flags),
            (false, _) => self.by_segment(path, flags),
        }
    }

    fn by_segment(&self, path: &AssetPath, flags: OFlags) -> Result<OwnedFd, Errno> {
        let mut segments = path.segments().peekable();
        let mut folder: Option<OwnedFd> = None;
        while let Some(segment) = segments.next() {
            let here = folder.as_ref().map_or(self.folder.as_fd(), AsFd::as_fd);
            match segments.peek() {
                Some(_) => folder = Some(next(here, segment, FOLDER)?),
                None => return next(here, segment, flags),
            }
        }
        rustix::fs::openat(&*self.folder, ".", flags, Mode::empty())
    }

    /// What went wrong with a path, as the shared error.
    pub(crate) fn error(&self, action: &'static str, path: &AssetPath, error: Errno) -> Error {
        match error {
            // The first two are what the rules for resolving answer, see above.
            Errno::LOOP | Errno::XDEV => Error::new(
                Kind::InvalidInput,
                "the path is refused: it runs through a link",
            )
            .with_context("path", path),
            error => io_error(action, &self.shown(path), error.into()),
        }
    }
}

#[cfg(target_os = "linux")]
fn whole_path(folder: BorrowedFd<'_>, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let rules = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(folder, path, flags, Mode::empty(), rules)
}

#[cfg(not(target_os = "linux"))]
fn whole_path(_: BorrowedFd<'_>, _: &str, _: OFlags) -> Result<OwnedFd, Errno> {
    Err(Errno::NOSYS)
}

/// Opens what a folder has under a name. A link there is `LOOP`, also where a folder was expected.
fn next(folder: BorrowedFd<'_>, name: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    match rustix::fs::openat(folder, name, flags | OFlags::NOFOLLOW, Mode::empty()) {
        Err(Errno::NOTDIR)
            if Stamp::at(folder, name).is_ok_and(|stamp| stamp.kind == FileType::Symlink) =>
        {
            Err(Errno::LOOP)
        }
        opened => opened,
    }
}

/// Makes a folder, or takes the one that somebody else made meanwhile, and opens it.
fn make(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    match rustix::fs::mkdirat(parent, name, FOLDER_MODE) {
        // Without this a power cut could lose the folder with a file that was told to be placed.
        Ok(()) => rustix::fs::fsync(parent)?,
        Err(Errno::EXIST) => {}
        Err(error) => return Err(error),
    }
    next(parent, name, FOLDER)
}
