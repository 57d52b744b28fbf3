//! The hidden file that an upload is written to before it appears: beside its target, so that it gets the group and
//! the access list that files of that folder get, and so that one rename places it.
//!
//! Its name follows from the correlation and the target's name, so a later process finds what an earlier one
//! wrote. While somebody writes it, it is locked; the lock ends with the process, however that ends. What is not locked
//! and was not written to for [`ABANDONED_AFTER`] belongs to nobody any more and is removed.
//!
//! Before it is placed it is marked with an extended attribute, which says which upload it was and that it is
//! complete. That is how a later process knows its own file after a crash between rename and answer, without reading
//! it. File systems without attributes lack only that.

use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, XattrFlags};
use rustix::io::Errno;
use windlass_core::{Blake3, Correlation, Revision};

use crate::paths::is_part;
use crate::stamp::Stamp;

/// From this size on the disk's room is reserved before the first byte. Below, it is one call more for a file that is
/// written in one piece anyway.
const RESERVE_BYTES_MIN: u64 = 4 << 20;

/// From this size on a file is written past the system's cache where the disk and the bytes allow it. Nobody reads it
/// again soon, it would push out what others do read, and the copy costs more than all digests together where fresh
/// pages are dear, as in virtual machines.
const DIRECT_BYTES_MIN: u64 = 64 << 20;

/// What offset, length and place in memory must be a multiple of to write directly: the largest that disks ask for.
const DIRECT_MULTIPLE: usize = 4 << 10;

/// How long a file may lie before it counts as abandoned. Longer than a run that is resumed after a weekend and a
/// public holiday.
pub(crate) const ABANDONED_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// How long a lock that is about to be let go is waited for: a write that nobody waits for any more still ends.
const LOCK_WAIT: Duration = Duration::from_secs(2);

/// The attribute of the mark. Its value is 32 bytes, and both together fit into an inode of 256 bytes, so that it
/// costs no block.
const MARK: &str = "user.windlass";

const WRITE: OFlags = OFlags::RDWR
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// The mode of new files; the process's mask takes away from it.
const MODE: Mode = Mode::RUSR
    .union(Mode::WUSR)
    .union(Mode::RGRP)
    .union(Mode::WGRP)
    .union(Mode::ROTH)
    .union(Mode::WOTH);

/// A hidden file that this process writes.
#[derive(Debug)]
pub(crate) struct Part {
    pub(crate) folder: Arc<OwnedFd>,
    name: String,
    pub(crate) file: File,
    direct: Direct,
}

/// The same file, opened to be written past the system's cache.
#[derive(Debug, Default)]
struct Direct {
    file: OnceLock<Option<File>>,
    /// Whether the file system takes it in spite of having opened it so.
    refused: AtomicBool,
}

impl Part {
    /// An empty hidden file with room for `size` bytes. One that an earlier attempt left is emptied.
    ///
    /// Errors: `EWOULDBLOCK` while somebody else writes it.
    pub(crate) fn create(folder: Arc<OwnedFd>, name: String, size: u64) -> io::Result<Part> {
        let deadline = Instant::now() + LOCK_WAIT;
        let part = loop {
            let fresh = WRITE | OFlags::CREATE | OFlags::EXCL;
            match rustix::fs::openat(&*folder, &name, fresh, MODE) {
                Ok(file) => {
                    let file = File::from(file);
                    lock(&file, deadline)?;
                    break Part {
                        folder,
                        name,
                        file,
                        direct: Direct::default(),
                    };
                }
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error.into()),
            }
            if let Some(part) = Part::open(&folder, &name, deadline)? {
                part.file.set_len(0)?;
                break part;
            }
        };
        part.reserve(size)?;
        Ok(part)
    }

    /// The hidden file that an earlier session wrote, if it is there.
    ///
    /// Errors: `EWOULDBLOCK` while somebody else writes it.
    pub(crate) fn find(folder: &Arc<OwnedFd>, name: &str) -> io::Result<Option<Part>> {
        Part::open(folder, name, Instant::now() + LOCK_WAIT)
    }

    /// Opens and locks it. `None` when there is none, or it was placed or removed while we waited for it.
    fn open(folder: &Arc<OwnedFd>, name: &str, deadline: Instant) -> io::Result<Option<Part>> {
        let file = match rustix::fs::openat(&**folder, name, WRITE, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        lock(&file, deadline)?;
        let opened = Stamp::of(&file)?;
        let named = match Stamp::at(&**folder, name) {
            Ok(named) => named,
            Err(Errno::NOENT) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let same = (named.device, named.inode) == (opened.device, opened.inode);
        Ok((same && opened.is_file()).then(|| Part {
            folder: Arc::clone(folder),
            name: name.to_owned(),
            file,
            direct: Direct::default(),
        }))
    }

    /// Writes bytes of a file that will have `size` bytes.
    pub(crate) fn write(&self, bytes: &[u8], offset: u64, size: u64) -> io::Result<()> {
        let fits = size >= DIRECT_BYTES_MIN
            && offset.is_multiple_of(DIRECT_MULTIPLE as u64)
            && bytes.as_ptr().align_offset(DIRECT_MULTIPLE) == 0;
        let whole = bytes.len() - bytes.len() % DIRECT_MULTIPLE;
        if !fits || whole == 0 || !self.write_directly(&bytes[..whole], offset)? {
            return self.file.write_all_at(bytes, offset);
        }
        self.file
            .write_all_at(&bytes[whole..], offset + whole as u64)
    }

    /// False where the file system does not do that; then nothing that counts was written.
    fn write_directly(&self, bytes: &[u8], offset: u64) -> io::Result<bool> {
        if self.direct.refused.load(Ordering::Relaxed) {
            return Ok(false);
        }
        let file = self.direct.file.get_or_init(|| {
            let flags = WRITE | OFlags::DIRECT;
            let opened = rustix::fs::openat(&*self.folder, &self.name, flags, Mode::empty());
            let opened = opened.ok().map(File::from)?;
            // The lock is on the file that was opened before; a name can be given to another one.
            let (ours, theirs) = (Stamp::of(&self.file).ok()?, Stamp::of(&opened).ok()?);
            let same = (ours.device, ours.inode) == (theirs.device, theirs.inode);
            same.then_some(opened)
        });
        let Some(file) = file else {
            return Ok(false);
        };
        match file.write_all_at(bytes, offset) {
            Ok(()) => Ok(true),
            // Shares and stacked file systems open it so and ask for more, or for what nobody can know.
            Err(error) if error.raw_os_error() == Some(Errno::INVAL.raw_os_error()) => {
                tracing::debug!(name = self.name, "the file system takes no direct writes");
                self.direct.refused.store(true, Ordering::Relaxed);
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Keeps room on the disk, so that a full disk is known at the start. The length stays what was written.
    fn reserve(&self, size: u64) -> io::Result<()> {
        use rustix::fs::FallocateFlags;
        if size < RESERVE_BYTES_MIN {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::KEEP_SIZE, 0, size) {
            // Shares often cannot; then a full disk is known when it is full.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => Ok(()),
            // No half-started file takes the last room from others.
            Err(error) => {
                self.remove()?;
                Err(error.into())
            }
            Ok(()) => Ok(()),
        }
    }

    /// Marks it as the complete file of an upload. What the file is on does not keep marks: nothing happens.
    pub(crate) fn mark(&self, correlation: &Correlation) -> io::Result<Stamp> {
        let stamp = Stamp::of(&self.file)?;
        let mark = mark_of(correlation, &stamp);
        let marked = rustix::fs::fsetxattr(&self.file, MARK, mark.as_bytes(), XattrFlags::empty());
        match marked {
            Ok(()) => {}
            Err(Errno::OPNOTSUPP | Errno::NOSPC | Errno::PERM | Errno::NOSYS) => {
                tracing::debug!(name = self.name, "the file system keeps no marks");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(stamp)
    }

    /// Gives it its real name. Without `replace`, a file of that name stays and the answer is `EEXIST`.
    pub(crate) fn place(&self, name: &str, replace: bool) -> Result<(), Errno> {
        rename(&*self.folder, &self.name, &*self.folder, name, replace)
    }

    /// Gives it the name of a file that has this revision, and only of that one. False where the file has another by
    /// now: then it stays.
    ///
    /// Where the file system can, both names are exchanged and what was there is looked at afterwards, so that what
    /// somebody writes in between is found and put back. Elsewhere that is lost, as with every rename.
    pub(crate) fn replace(&self, name: &str, revision: &Revision) -> Result<bool, Errno> {
        let folder = &*self.folder;
        if Stamp::at(folder, name)?.revision() != *revision {
            return Ok(false);
        }
        let exchange = || {
            let flag = RenameFlags::EXCHANGE;
            rustix::fs::renameat_with(folder, &self.name, folder, name, flag)
        };
        match exchange() {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                return self.place(name, true).map(|()| true);
            }
            exchanged => exchanged?,
        }
        let is_same = Stamp::at(folder, &self.name)?.revision() == *revision;
        match is_same {
            true => self.remove()?,
            false => exchange()?,
        }
        Ok(is_same)
    }

    /// Removes it; one that is gone already is no error.
    pub(crate) fn remove(&self) -> Result<(), Errno> {
        match rustix::fs::unlinkat(&*self.folder, &self.name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            removed => removed,
        }
    }
}

/// Whether an open file is the complete file of this upload, and nobody wrote to it since.
pub(crate) fn is_marked(file: &File, correlation: &Correlation, stamp: &Stamp) -> bool {
    let mut found = [0; 32];
    let read = rustix::fs::fgetxattr(file, MARK, &mut found);
    read == Ok(found.len()) && found == *mark_of(correlation, stamp).as_bytes()
}

fn mark_of(correlation: &Correlation, stamp: &Stamp) -> Blake3 {
    Blake3::of(format!("{correlation} {}", stamp.revision()).as_bytes())
}

/// Gives a file another name. Without `replace`, a file that has it stays and the answer is `EEXIST`.
pub(crate) fn rename(
    from: impl AsFd,
    old: &str,
    to: impl AsFd,
    new: &str,
    replace: bool,
) -> Result<(), Errno> {
    if replace {
        return rustix::fs::renameat(from, old, to, new);
    }
    match rustix::fs::renameat_with(&from, old, &to, new, RenameFlags::NOREPLACE) {
        // File systems that do not know the flag: a second name can only be given if it is free.
        Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => link(from, old, to, new),
        renamed => renamed,
    }
}

/// Gives a file another name if that is free, without the help of a flag.
pub(crate) fn link(from: impl AsFd, old: &str, to: impl AsFd, new: &str) -> Result<(), Errno> {
    match rustix::fs::linkat(&from, old, &to, new, AtFlags::empty()) {
        Ok(()) => rustix::fs::unlinkat(from, old, AtFlags::empty()),
        Err(Errno::EXIST) => Err(Errno::EXIST),
        // No second names either: look, then rename. What is placed there between the two is lost.
        Err(error) => match Stamp::at(&to, new) {
            Err(Errno::NOENT) => rustix::fs::renameat(from, old, to, new),
            Ok(_) => Err(Errno::EXIST),
            Err(_) => Err(error),
        },
    }
}

/// Takes the lock that says that somebody writes the file.
fn lock(file: &File, deadline: Instant) -> io::Result<()> {
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(TryLockError::WouldBlock) => return Err(Errno::WOULDBLOCK.into()),
            // A share without locks: then the ledger's lease alone keeps two processes apart.
            Err(TryLockError::Error(error)) => {
                tracing::debug!(%error, "the file system has no locks");
                return Ok(());
            }
        }
    }
}

/// Removes an abandoned hidden file; the bytes that it had, or `None` where it is not abandoned.
pub(crate) fn remove_abandoned(
    folder: impl AsFd,
    name: &std::ffi::CStr,
    unused_for: Duration,
) -> io::Result<Option<u64>> {
    if !is_part(name.to_bytes()) {
        return Ok(None);
    }
    let flags = WRITE;
    let file = match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let stamp = Stamp::of(&file)?;
    let old = stamp
        .age_ns(SystemTime::now())
        .is_some_and(|age| age >= unused_for.as_nanos());
    if !old || !stamp.is_file() || !matches!(file.try_lock(), Ok(())) {
        return Ok(None);
    }
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) => Ok(Some(stamp.size)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes what was abandoned in one folder. Best effort: what cannot be removed is said and stays.
pub(crate) fn tidy(folder: impl AsFd, unused_for: Duration) {
    let entries = match Dir::read_from(&folder) {
        Ok(entries) => entries,
        Err(error) => return tracing::warn!(%error, "a folder cannot be looked through"),
    };
    for entry in entries {
        let removed = match &entry {
            Ok(entry) => remove_abandoned(&folder, entry.file_name(), unused_for),
            Err(error) => Err((*error).into()),
        };
        match removed {
            Ok(None) => {}
            Ok(Some(bytes)) => tracing::info!(bytes, "removed an abandoned upload"),
            Err(error) => tracing::warn!(%error, "an abandoned upload stays"),
        }
    }
}
