//! Folders on the disk: one `fsync` for all files that were placed in a folder before it began.
//!
//! Each of them must wait for one that began after its rename. While one is under way, those who come wait, and the
//! first of them syncs for all when it is over.

use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::stamp::Stamp;

/// The folders that somebody waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct FolderSyncs(Arc<Mutex<Groups>>);

/// By device and inode of the folder.
type Groups = HashMap<(u64, u64), Arc<Group>>;

/// Those who wait for one folder.
#[derive(Debug, Default)]
struct Group {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// How many came.
    came: u64,
    /// How many of them are served.
    served: u64,
    running: bool,
    /// How often the disk was asked.
    syncs: u64,
}

impl FolderSyncs {
    /// Returns when everything that was renamed in the folder before this call is on the disk. Blocks.
    pub(crate) fn sync(&self, folder: &OwnedFd) -> io::Result<()> {
        let stamp = Stamp::of(folder)?;
        let key = (stamp.device, stamp.inode);
        let group = Arc::clone(self.groups().entry(key).or_default());
        let synced = group.wait(|| rustix::fs::fsync(folder).map_err(io::Error::from));
        drop(group);
        let mut groups = self.groups();
        if groups
            .get(&key)
            .is_some_and(|group| Arc::strong_count(group) == 1)
        {
            groups.remove(&key);
        }
        synced
    }

    fn groups(&self) -> MutexGuard<'_, Groups> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Group {
    fn wait(&self, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.came += 1;
        let mine = state.came;
        while state.running && state.served < mine {
            state = self
                .changed
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        if state.served >= mine {
            return Ok(());
        }
        state.running = true;
        let all = state.came;
        drop(state);
        let synced = sync();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.running = false;
        state.syncs += 1;
        // After an error each of the others asks the disk for itself.
        if synced.is_ok() {
            state.served = all;
        }
        drop(state);
        self.changed.notify_all();
        synced
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::Duration;

    #[test]
    fn many_files_that_wait_for_one_folder_share_its_syncs() {
        let group = Group::default();
        let started = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..32 {
                scope.spawn(|| {
                    group.wait(|| {
                        started.fetch_add(1, Ordering::SeqCst);
                        std::thread::sleep(Duration::from_millis(100));
                        Ok(())
                    })
                });
            }
        });
        let state = group.state.lock().unwrap();
        assert_eq!((state.served, state.running), (32, false));
        assert_eq!(state.syncs, started.load(Ordering::SeqCst));
        assert!(state.syncs < 32, "{} syncs for 32 files", state.syncs);
    }

    #[test]
    fn a_failed_sync_serves_nobody_else() {
        let group = Group::default();
        let failed = group.wait(|| Err(io::Error::other("no disk")));
        assert_eq!(failed.unwrap_err().to_string(), "no disk");
        group.wait(|| Ok(())).unwrap();
        assert_eq!(group.state.lock().unwrap().syncs, 2);
    }
}
