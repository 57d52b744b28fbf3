//! What the file system says of a file at one moment, and which bytes that stands for.
//!
//! A revision is size, modification time and inode: what stays the same when somebody changes an owner or a mode,
//! so that a `chmod` sends no archive again. Whether a file changed *while* it was read or hashed also looks at the
//! change time, which nobody can set back.

use std::fmt::Write as _;
use std::os::fd::AsFd;

use jiff::Timestamp;
use rustix::fs::{AtFlags, FileType, Stat};
use rustix::io::Errno;
use windlass_core::{Asset, AssetPath, Readable, Revision};

/// Seconds and nanoseconds since 1970.
type Moment = (i64, u32);

/// What the file system says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Number of bytes.
    pub(crate) size: u64,
    /// What it is.
    pub(crate) kind: FileType,
    /// When its bytes were changed last, as its owner says.
    modified: Moment,
    /// When anything of it was changed last, as the kernel says.
    changed: Moment,
    /// Its file system.
    pub(crate) device: u64,
    /// Its number on that.
    pub(crate) inode: u64,
    /// How many names it has: 0 after the last one was removed.
    pub(crate) names: u64,
}

impl Stamp {
    /// Of an open file.
    pub(crate) fn of(file: impl AsFd) -> Result<Self, Errno> {
        rustix::fs::fstat(file).map(Stamp::from)
    }

    /// Of an entry of a folder; of a link itself, not of what it points to.
    pub(crate) fn at(folder: impl AsFd, name: impl rustix::path::Arg) -> Result<Self, Errno> {
        rustix::fs::statat(folder, name, AtFlags::SYMLINK_NOFOLLOW).map(Stamp::from)
    }

    /// True for what has bytes of its own.
    pub(crate) fn is_file(&self) -> bool {
        self.kind == FileType::RegularFile
    }

    /// Which bytes it has, as far as the file system can tell.
    pub(crate) fn revision(&self) -> Revision {
        let (seconds, nanos) = self.modified;
        // Numbers of at most 20, 20, 9 and 20 characters.
        let mut text = String::with_capacity(72);
        // Into a string that cannot fail.
        let _written = write!(text, "{}-{seconds}.{nanos:09}-{}", self.size, self.inode);
        Revision::new(text)
    }

    /// It as an asset.
    pub(crate) fn asset(&self, path: AssetPath) -> Asset {
        let (seconds, nanos) = self.modified;
        // A file system that says more than a second of nanoseconds says nothing.
        let nanos = i32::try_from(nanos).unwrap_or(0);
        Asset {
            id: path.as_id(),
            revision: self.revision(),
            size: self.size,
            modified: Timestamp::new(seconds, nanos).ok(),
            content_hash: None,
            tags: Vec::new(),
            readable: Readable::Yes,
            path,
        }
    }

    /// How it differs from an earlier one of the same open file, if it does.
    pub(crate) fn since(&self, before: &Stamp) -> Option<Differs> {
        if self == before {
            return None;
        }
        Some(match self.names {
            0 => Differs::Vanished,
            _ => Differs::by_size(before.size, self.size),
        })
    }

    /// How long ago it was changed, in nanoseconds; `None` where that lies in the future of this clock.
    pub(crate) fn age_ns(&self, now: std::time::SystemTime) -> Option<u128> {
        let now = now.duration_since(std::time::UNIX_EPOCH).ok()?.as_nanos();
        let (seconds, nanos) = self.changed;
        let changed = u128::try_from(seconds).ok()? * 1_000_000_000 + u128::from(nanos);
        now.checked_sub(changed)
    }
}

impl From<Stat> for Stamp {
    #[allow(
        clippy::unnecessary_cast,
        reason = "the fields' types differ from platform to platform"
    )]
    fn from(stat: Stat) -> Self {
        // None of the fields holds more than is taken of it.
        Stamp {
            size: stat.st_size as u64,
            kind: FileType::from_raw_mode(stat.st_mode as _),
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as u32),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as u32),
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            names: stat.st_nlink as u64,
        }
    }
}

/// What happened to a file while somebody looked at its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Differs {
    Grew,
    Shrank,
    Changed,
    Vanished,
}

impl Differs {
    /// What two sizes tell.
    pub(crate) fn by_size(before: u64, now: u64) -> Self {
        match now.cmp(&before) {
            std::cmp::Ordering::Less => Differs::Shrank,
            std::cmp::Ordering::Greater => Differs::Grew,
            std::cmp::Ordering::Equal => Differs::Changed,
        }
    }

    /// The verb for a sentence about the file.
    pub(crate) fn verb(self) -> &'static str {
        match self {
            Differs::Grew => "grew",
            Differs::Shrank => "shrank",
            Differs::Changed => "changed",
            Differs::Vanished => "vanished",
        }
    }
}
