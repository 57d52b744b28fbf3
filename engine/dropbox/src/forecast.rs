//! How many calls a plan takes in Dropbox, where nothing has to be repeated.
//!
//! How many contents share a call depends on when they come. This counts full calls, and one of each kind that goes
//! before it is full.

use windlass_core::{Calls, Load};

use crate::endpoint::{COMMITS_MAX, DropboxEndpoint, LARGE_AHEAD};
use crate::express::Express;
use crate::pool::START_BATCH_MAX;

/// A file that is taken back is looked at, its folder's members and its links are listed, a link is revoked, it moves, and
/// its old place is looked at.
const TAKE_BACK: u64 = 6;

impl DropboxEndpoint {
    /// A call a chunk: files that share calls on their way up are read one by one.
    pub(crate) fn calls_to_read_load(&self, load: &Load) -> Calls {
        Calls {
            all: load.small + load.large_chunks,
            metered: 0,
        }
    }

    pub(crate) fn calls_to_write_load(&self, load: &Load) -> Calls {
        let metered = self.small_uploads(load) + large_uploads(load);
        let places = load.small + load.large > 0;
        // A version asks first what it replaces; a change of place does so, and moves. Stamps look for their template, and
        // make it or look at it.
        let all = metered
            + load.versions
            + load.reused.div_ceil(COMMITS_MAX as u64)
            + 2 * load.updates
            + load.links
            + TAKE_BACK * load.taken_back
            + 2 * u64::from(places && self.stamps.are_wanted());
        Calls { all, metered }
    }

    fn small_uploads(&self, load: &Load) -> u64 {
        let entries_max = self.express.as_ref().map_or(1, Express::entries_max) as u64;
        match load.small {
            0 => 0,
            // Bytes and commit in one call.
            1 => 1,
            small => {
                let by_bytes = load.small_bytes.div_ceil(self.packing.batch_bytes);
                let appends = small.div_ceil(entries_max).max(by_bytes);
                let early = 2 * u64::from(appends > 1);
                appends
                    + early
                    + small.div_ceil(START_BATCH_MAX as u64)
                    + small.div_ceil(COMMITS_MAX as u64)
            }
        }
    }
}

/// Sessions are started ahead, twice as many each time; each file ends in a commit of its own.
fn large_uploads(load: &Load) -> u64 {
    let (mut starts, mut started, mut next) = (0, 0, 1);
    while started < load.large {
        starts += 1;
        started += next;
        next = (next * 2).min(LARGE_AHEAD as u64);
        if next == LARGE_AHEAD as u64 {
            let left = load.large.saturating_sub(started);
            return starts + left.div_ceil(next) + load.large_chunks + load.large;
        }
    }
    starts + load.large_chunks + load.large
}
