//! The folder of an archive, and the only way to what is in it: never through a link, never outside.
//!
//! Each name of a path is opened from the folder before it, so that whoever changes the folder meanwhile gains nothing.

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use windlass_core::{Error, Kind, Result};

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::CLOEXEC);

/// Without waiting, because a pipe may have taken the file's place.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOCTTY)
    .union(OFlags::CLOEXEC);

/// An archive's folder, opened.
#[derive(Debug)]
pub(crate) struct Folder {
    root: OwnedFd,
    path: PathBuf,
}

/// Something in a folder.
#[derive(Debug)]
pub(crate) struct Found {
    /// Its name; bytes that are no UTF-8 are replaced.
    pub(crate) name: String,
    pub(crate) kind: FileType,
    pub(crate) size: u64,
    /// Where a link leads.
    pub(crate) target: Option<PathBuf>,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let root = rustix::fs::open(path, FOLDER, Mode::empty()).map_err(|error| {
            let kind = match error {
                Errno::NOENT | Errno::NOTDIR => Kind::NotFound,
                Errno::ACCESS | Errno::PERM => Kind::Denied,
                _ => Kind::Unavailable,
            };
            Error::new(kind, "the folder of the archive cannot be opened")
                .with_source(std::io::Error::from(error))
                .with_context("folder", path.display())
        })?;
        Ok(Folder {
            root,
            path: path.to_owned(),
        })
    }

    /// Opens a file that is a file, at a path that was checked.
    pub(crate) fn file(&self, path: &str) -> Result<(File, Stat), Errno> {
        let (parent, name) = self.parent(path)?;
        let parent = parent.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        let file = rustix::fs::openat(parent, name, FILE | OFlags::NOFOLLOW, Mode::empty())?;
        let stat = rustix::fs::fstat(&file)?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => Ok((File::from(file), stat)),
            _ => Err(Errno::ISDIR),
        }
    }

    /// What the file system says of something; of a link itself.
    pub(crate) fn stat(&self, path: &str) -> Result<Stat, Errno> {
        let (parent, name) = self.parent(path)?;
        let parent = parent.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
        rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
    }

    /// The folder that holds something, unless that is the root, and its name there.
    fn parent<'a>(&self, path: &'a str) -> Result<(Option<OwnedFd>, &'a str), Errno> {
        let Some((above, name)) = path.rsplit_once('/') else {
            return Ok((None, path));
        };
        Ok((Some(self.below(above)?), name))
    }

    fn below(&self, path: &str) -> Result<OwnedFd, Errno> {
        let mut folder: Option<OwnedFd> = None;
        for name in path.split('/') {
            let here = folder.as_ref().map_or(self.root.as_fd(), AsFd::as_fd);
            let flags = FOLDER | OFlags::NOFOLLOW;
            folder = Some(rustix::fs::openat(here, name, flags, Mode::empty())?);
        }
        folder.ok_or(Errno::NOENT)
    }

    /// What a folder has in it, in the order of names; the empty path is the archive's folder.
    pub(crate) fn list(&self, path: &str) -> Result<Vec<Found>, Errno> {
        let below;
        let folder = match path {
            "" => self.root.as_fd(),
            path => {
                below = self.below(path)?;
                below.as_fd()
            }
        };
        let mut found = Vec::new();
        for entry in Dir::read_from(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stat) => stat,
                // It went while the folder was read.
                Err(Errno::NOENT) => continue,
                Err(error) => return Err(error),
            };
            let kind = FileType::from_raw_mode(stat.st_mode);
            let target = match kind {
                FileType::Symlink => rustix::fs::readlinkat(folder, name, Vec::new()).ok(),
                _ => None,
            };
            let target = target.map(|to| PathBuf::from(std::ffi::OsStr::from_bytes(to.to_bytes())));
            found.push(Found {
                name: name.to_string_lossy().into_owned(),
                kind,
                size: u64::try_from(stat.st_size).unwrap_or_default(),
                target,
            });
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    /// Opens the manifest. Errors: `NotFound` where there is none.
    pub(crate) fn manifest(&self) -> Result<BufReader<File>> {
        let path = crate::layout::MANIFEST_PATH;
        let (file, _) = self.file(path).map_err(|error| match error {
            Errno::NOENT => Error::new(
                Kind::NotFound,
                format!("the folder has no {path}: it is no archive, or was not completed"),
            )
            .with_context("folder", self.path.display()),
            error => Error::new(Kind::Unavailable, format!("{path} cannot be read"))
                .with_source(std::io::Error::from(error)),
        })?;
        Ok(BufReader::with_capacity(256 << 10, file))
    }

    /// A whole file, unless it is longer than `max` bytes.
    pub(crate) fn bytes(&self, path: &str, max: u64) -> std::io::Result<Option<Vec<u8>>> {
        let (file, _) = self.file(path)?;
        let mut bytes = Vec::new();
        file.take(max + 1).read_to_end(&mut bytes)?;
        Ok((bytes.len() as u64 <= max).then_some(bytes))
    }
}
