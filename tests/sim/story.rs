//! What happens in one simulation, drawn from its seed before anything runs.

use std::fmt;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const MIB: usize = 1 << 20;

/// From where to where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// A folder of somebody's storage to Dropbox.
    NasToDropbox,
    /// The same to CELUM.
    NasToCelum,
    /// Dropbox to CELUM.
    DropboxToCelum,
    /// Between Dropbox and CELUM, while people work on both sides.
    Both,
}

impl Way {
    pub(crate) const ALL: [Way; 4] = [
        Way::NasToDropbox,
        Way::NasToCelum,
        Way::DropboxToCelum,
        Way::Both,
    ];

    /// The way of a name that [`fmt::Display`] wrote; the first for none.
    pub(crate) fn named(name: &str) -> Way {
        let found = Way::ALL.into_iter().find(|way| way.to_string() == name);
        assert!(
            found.is_some() || name.is_empty(),
            "no way is named {name:?}"
        );
        found.unwrap_or(Way::NasToDropbox)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Way::NasToDropbox => "nas-to-dropbox",
            Way::NasToCelum => "nas-to-celum",
            Way::DropboxToCelum => "dropbox-to-celum",
            Way::Both => "two-way",
        })
    }
}

/// A file at the source.
#[derive(Clone, Debug)]
pub(crate) struct File {
    pub(crate) name: String,
    pub(crate) size: usize,
    /// Its bytes follow from this.
    pub(crate) seed: u64,
}

/// Something that ends a life of windlass, or happens between two.
#[derive(Clone, Debug)]
pub(crate) struct Crash {
    /// How long the life lasts.
    pub(crate) after: Duration,
    /// A file that somebody gives other bytes while windlass is away, and the seed of these.
    pub(crate) edit: Option<(usize, u64)>,
    /// How long windlass stays away.
    pub(crate) away: Duration,
}

/// One simulation.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    pub(crate) way: Way,
    pub(crate) seed: u64,
    pub(crate) files: Vec<File>,
    pub(crate) crashes: Vec<Crash>,
    pub(crate) dropbox_faults: String,
    pub(crate) celum_faults: String,
    /// Writers of the emulated Dropbox wait for each other, and are turned away.
    pub(crate) locks: bool,
    /// The emulated Dropbox is one that has no `append_batch` yet.
    pub(crate) old_dropbox: bool,
    /// Seconds that an upload session of the emulated Dropbox lives.
    pub(crate) session_seconds: u64,
    /// Calls a second that the emulated Dropbox bears.
    pub(crate) ceiling: Option<f64>,
    /// Seconds for which CELUM's lists and searches know nothing of a change.
    pub(crate) index_lag: u64,
    /// MiB of a part.
    pub(crate) chunk_mib: usize,
    /// Files that have the bytes of another become links to one asset in CELUM.
    pub(crate) links: bool,
    /// From so many entries on the emulated Dropbox copies as a job.
    pub(crate) job_entries_min: usize,
}

impl Story {
    pub(crate) fn draw(way: Way, seed: u64) -> Story {
        let mut rng = StdRng::seed_from_u64(seed ^ 0x57_494e_444c_4153 ^ way as u64);
        let files = files(&mut rng);
        let crashes = (0..rng.random_range(0..4))
            .map(|_| Crash {
                // Evenly over magnitudes: most of a run happens in its first second.
                after: Duration::from_secs_f64(10_f64.powf(rng.random_range(-2.5..1.6))),
                edit: rng
                    .random_bool(0.3)
                    .then(|| (rng.random_range(0..files.len()), rng.random())),
                away: Duration::from_secs(rng.random_range(0..120)),
            })
            .collect();
        let mut story = Story {
            way,
            seed,
            files,
            crashes,
            dropbox_faults: faults(&mut rng, &DROPBOX_ROUTES, &DROPBOX_FAULTS),
            celum_faults: faults(&mut rng, &CELUM_ROUTES, &[]),
            locks: rng.random_bool(0.3),
            old_dropbox: rng.random_bool(0.15),
            session_seconds: match rng.random_bool(0.1) {
                true => rng.random_range(20..90),
                false => 7 * 86_400,
            },
            ceiling: rng.random_bool(0.2).then(|| rng.random_range(5.0..40.0)),
            index_lag: if rng.random_bool(0.4) {
                rng.random_range(1..20)
            } else {
                0
            },
            chunk_mib: 4,
            links: rng.random_bool(0.5),
            job_entries_min: rng.random_range(1..6),
        };
        match way {
            Way::Both => {
                // A two-way flow calls little.
                story.ceiling = story.ceiling.map(|calls| calls / 4.0);
                story.be_hard_on(&WRITE_FAULTS, &mut rng);
            }
            Way::NasToDropbox => story.be_hard_on(&COPY_FAULTS, &mut rng),
            Way::NasToCelum | Way::DropboxToCelum => {}
        }
        story
    }

    /// What only a few calls can meet has rules of its own.
    fn be_hard_on(&mut self, calls: &[(&str, &str)], rng: &mut StdRng) {
        if rng.random_bool(0.5) {
            let (route, what) = calls[rng.random_range(0..calls.len())];
            let times = rng.random_range(1..4);
            let rule = format!(";route={route},p=0.6,times={times},do=service:{what}");
            self.dropbox_faults.push_str(&rule);
        }
    }
}

/// Of which routes writes of a two-way flow are, and what may happen to each.
const WRITE_FAULTS: [(&str, &str); 5] = [
    ("files/move*", "not-yet-there"),
    ("files/move*", "lock"),
    ("files/upload", "lock"),
    ("files/upload_session/*", "partial"),
    ("files/upload_session/*", "entries"),
];

/// The same of copies, which there are where files have the same bytes.
const COPY_FAULTS: [(&str, &str); 2] = [
    ("files/copy_batch_v2", "job-lost"),
    ("files/copy_batch_v2", "repeated-from"),
];

/// Mostly small, some around the block of 4 MiB, now and then one of several parts.
fn files(rng: &mut StdRng) -> Vec<File> {
    let mut bytes_left = 18 * MIB;
    let mut files = Vec::new();
    for index in 0..rng.random_range(1..24) {
        let size = match rng.random_range(0..100) {
            0..82 => rng.random_range(1..60_000),
            82..86 => 4 * MIB - 1,
            86..90 => 4 * MIB,
            90..94 => 4 * MIB + 1,
            94..97 => 8 * MIB,
            _ => rng.random_range(9 * MIB..17 * MIB),
        };
        if size > bytes_left {
            continue;
        }
        bytes_left -= size;
        files.push(File {
            name: format!("piece-{index:02}.tif"),
            size,
            seed: rng.random(),
        });
    }
    // Now and then the same bytes under another name.
    for at in 1..files.len() {
        if rng.random_bool(0.2) {
            let twin: &File = &files[rng.random_range(0..at)];
            (files[at].size, files[at].seed) = (twin.size, twin.seed);
        }
    }
    if files.is_empty() {
        files.push(File {
            name: "piece.tif".into(),
            size: 1,
            seed: 1,
        });
    }
    files
}

const DROPBOX_ROUTES: [&str; 9] = [
    "*",
    "files/upload_session/*",
    "files/upload_session/append*",
    "files/upload_session/finish*",
    "files/upload_session/start*",
    "files/upload",
    "files/download",
    "files/get_metadata",
    "files/copy*",
];

/// What only Dropbox does, or what only Dropbox notices: the tenant states no checksum, so what is damaged on its way
/// there shows only to who reads it back.
const DROPBOX_FAULTS: [&str; 7] = [
    "corrupt",
    "service:partial",
    "service:session-gone",
    "service:entries",
    "service:not-yet-there",
    "service:repeated-from",
    "service:job-lost",
];

const CELUM_ROUTES: [&str; 4] = ["*", "POST*", "transfer*", "GET*"];

/// Up to four rules that end by themselves, so that every story can end well.
fn faults(rng: &mut StdRng, routes: &[&str], own: &[&str]) -> String {
    let mut rules = vec![format!(
        "latency={},jitter={}",
        rng.random_range(0..150),
        rng.random_range(0..80)
    )];
    for _ in 0..rng.random_range(0..4) {
        let route = routes[rng.random_range(0..routes.len())];
        let what = match rng.random_range(0..10 + 2 * own.len()) {
            0 | 1 => "reset-before".to_owned(),
            2 | 3 => "reset-after".to_owned(),
            4 => "503".to_owned(),
            5 => "500-html".to_owned(),
            6 => "truncate".to_owned(),
            7 => format!("429:{}", rng.random_range(0..8)),
            8 => "401".to_owned(),
            9 => "503-after".to_owned(),
            further => own[(further - 10) / 2].to_owned(),
        };
        let p = [0.02, 0.1, 0.4][rng.random_range(0..3)];
        let times = rng.random_range(1..12);
        rules.push(format!("route={route},p={p},times={times},do={what}"));
    }
    rules.join(";")
}
