//! Hidden files of uploads that nobody goes on with: looked for in the whole tree.
//!
//! The first upload of a process into a folder removes what was abandoned there, so this is only needed for folders to
//! which nothing is written any more.

use std::ffi::CStr;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use windlass_core::{AssetPath, Error, Result};

use crate::endpoint::LocalEndpoint;
use crate::part::remove_abandoned;
use crate::tree::{TreeFolder, Visit, walk};

/// What was removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleared {
    /// Hidden files that were removed.
    pub files: u64,
    /// Bytes that they had.
    pub bytes: u64,
    /// Files and folders that could not be looked at or removed; the log says which.
    pub failed: u64,
}

impl LocalEndpoint {
    /// Removes hidden files of uploads below the folder that nobody writes and nobody wrote to for `unused_for`.
    /// Blocks; lists the whole tree without looking at other files. A session that is removed like this begins anew
    /// when its step is taken again.
    ///
    /// Errors: the folder itself cannot be listed.
    pub fn clear_unfinished(&self, unused_for: Duration) -> Result<Cleared> {
        let mut clearing = Clearing {
            unused_for,
            cleared: Cleared::default(),
        };
        walk(&self.root, &AssetPath::new(""), &mut clearing)?;
        Ok(clearing.cleared)
    }
}

struct Clearing {
    unused_for: Duration,
    cleared: Cleared,
}

impl Visit for Clearing {
    fn file(&mut self, folder: &Arc<TreeFolder>, name: &CStr) -> ControlFlow<()> {
        match remove_abandoned(&**folder, name, self.unused_for) {
            Ok(None) => {}
            Ok(Some(bytes)) => {
                self.cleared.files += 1;
                self.cleared.bytes += bytes;
            }
            Err(error) => {
                tracing::warn!(folder = %folder.path, ?name, %error, "an abandoned upload stays");
                self.cleared.failed += 1;
            }
        }
        ControlFlow::Continue(())
    }

    fn left_out(&mut self) {}

    fn folder(&mut self) {}

    fn failed(&mut self, path: AssetPath, error: Error) -> ControlFlow<()> {
        tracing::warn!(%path, %error, "not looked at");
        self.cleared.failed += 1;
        ControlFlow::Continue(())
    }

    fn pause(&mut self) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}
