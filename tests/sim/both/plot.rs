//! What is special about one two-way story, drawn from its seed before anything runs.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use windlass_core::{AssetId, Blake3, Resolution};
use windlass_flow::BytesAuthority;

/// Something that ends a life of windlass.
#[derive(Clone, Debug)]
pub(super) struct Crash {
    /// How long the life lasts.
    pub(super) after: Duration,
    /// How long windlass stays away.
    pub(super) away: Duration,
}

#[derive(Clone, Debug)]
pub(super) struct Plot {
    pub(super) seed: u64,
    /// Who decides about bytes of files that changed.
    pub(super) bytes: BytesAuthority,
    /// Removals are carried out at the other side.
    pub(super) removing: bool,
    /// How many files or assets one pass may put away.
    pub(super) cap: Option<u64>,
    /// How long a file must be quiet before it is taken.
    pub(super) quiet: Duration,
    /// How many things people do.
    pub(super) acts: u32,
    pub(super) crashes: Vec<Crash>,
}

impl Plot {
    pub(super) fn draw(seed: u64) -> Plot {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x2_0a75);
        let crashes = (0..rng.random_range(0..5)).map(|_| Crash {
            // Evenly over magnitudes, from amid the first pass to long after it.
            after: Duration::from_secs_f64(10_f64.powf(rng.random_range(-1.5..3.2))),
            away: Duration::from_secs(rng.random_range(0..240)),
        });
        let crashes = crashes.collect();
        Plot {
            seed,
            bytes: match rng.random_bool(0.5) {
                true => BytesAuthority::File,
                false => BytesAuthority::Propose,
            },
            removing: rng.random_bool(0.5),
            quiet: match rng.random_bool(0.3) {
                true => Duration::from_secs(rng.random_range(1..120)),
                false => Duration::ZERO,
            },
            acts: rng.random_range(6..36),
            crashes,
            cap: rng.random_bool(0.5).then(|| rng.random_range(0..3)),
        }
    }

    /// What somebody chooses about a conflict of this subject.
    pub(super) fn choice(&self, subject: &AssetId) -> Resolution {
        let lot = Blake3::of(format!("{} {subject}", self.seed).as_bytes());
        match lot.as_bytes()[0] % 3 {
            0 => Resolution::TakeFile,
            1 => Resolution::TakeAsset,
            _ => Resolution::KeepBoth,
        }
    }
}
