//! Open files that further ranges will be read from, so that a large file is opened once and not once a chunk.
//!
//! Few are kept: one for each large transfer that may be under way. Files that are read whole never come here.

use std::collections::VecDeque;
use std::fs::File;
use std::sync::{Arc, Mutex, PoisonError};

use windlass_core::{AssetPath, Revision};

/// How many files wait for their next range. More than large transfers run at once by default (8); each is one of the
/// process's open files, of which systems give at least 256.
const HANDLES_MAX: usize = 32;

/// Open files by path and revision, the one used last at the end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Handles(Arc<Mutex<VecDeque<Handle>>>);

#[derive(Debug)]
struct Handle {
    path: AssetPath,
    revision: Revision,
    file: Arc<File>,
}

impl Handles {
    /// The open file of a revision, if there is one.
    pub(crate) fn get(&self, path: &AssetPath, revision: &Revision) -> Option<Arc<File>> {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = handles
            .iter()
            .rposition(|handle| handle.path == *path && handle.revision == *revision)?;
        let handle = handles.remove(at)?;
        let file = Arc::clone(&handle.file);
        handles.push_back(handle);
        Some(file)
    }

    /// Keeps an open file for the next range. The one that was not used for longest makes room.
    pub(crate) fn keep(&self, path: &AssetPath, revision: &Revision, file: Arc<File>) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Another reader of the same revision may have been as fast.
        handles.retain(|handle| handle.path != *path);
        handles.push_back(Handle {
            path: path.clone(),
            revision: revision.clone(),
            file,
        });
        while handles.len() > HANDLES_MAX {
            handles.pop_front();
        }
    }

    /// Lets go of a file. Who reads it now goes on.
    pub(crate) fn forget(&self, path: &AssetPath) {
        let mut handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        handles.retain(|handle| handle.path != *path);
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}
