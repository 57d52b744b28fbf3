//! `kill -9` at moments nobody chose: the real binary, killed over and over while it works, then left alone.
//!
//! Nothing is at the target twice, half or damaged, and the last run ends well. That what was acknowledged is not
//! sent again is held where it can be seen exactly: by the tests of resuming and of jots. CI kills some hundred times; `WINDLASS_KILLS=5000 cargo test
//! --release -p windlass-cli --test cli kills` goes on for longer. The moments follow from a seed, `WINDLASS_KILL_SEED`, but what
//! they hit depends on the machine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use windlass_core::{Blake3, ContentHash};
use windlass_ledger::conformance::TestServer;
use windlass_sandbox::celum::Profile;
use windlass_sandbox::{Sandbox, SandboxOptions};

use crate::program::{run, windlass};
use crate::servers::put_ledger_on;

/// Kills a test where nothing else is asked for.
const KILLS: u64 = 60;

fn number(variable: &str, otherwise: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(otherwise, |text| text.parse().expect("a number"))
}

/// Numbers that follow from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) % limit
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.below(u64::MAX).to_le_bytes());
        }
        bytes.truncate(length);
        bytes
    }
}

/// What is to arrive: file name to bytes' length and both digests.
type Contents = BTreeMap<String, (u64, Blake3, ContentHash)>;

/// Files of all kinds: in one part, in several, on and beside the boundary of a block.
fn contents(draw: &mut Draw, mut put: impl FnMut(&str, Vec<u8>)) -> Contents {
    let block = 4 << 20;
    let mut sizes = vec![5 * block + 17, 4 * block, block, block - 1, block + 1];
    sizes.extend((0..30).map(|_| 1 + draw.below(60_000) as usize));
    let mut all = Contents::new();
    for (index, size) in sizes.into_iter().enumerate() {
        let name = format!("piece-{index:02}.tif");
        let bytes = draw.bytes(size);
        let known = (size as u64, Blake3::of(&bytes), ContentHash::of(&bytes));
        all.insert(name.clone(), known);
        put(&name, bytes);
    }
    all
}

/// Both services, slow enough that kills fall into the middle of things.
pub(crate) fn services(seed: u64) -> (tokio::runtime::Runtime, Sandbox) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let options = SandboxOptions {
        seed,
        dropbox_faults: "latency=12,jitter=12".parse().unwrap(),
        celum_faults: "latency=8,jitter=12".parse().unwrap(),
        celum_profile: Profile {
            index_lag: 0,
            preview_delay: 0,
            range: true,
            ..Profile::default()
        },
        ..SandboxOptions::default()
    };
    let sandbox = runtime.block_on(Sandbox::start(options)).unwrap();
    (runtime, sandbox)
}

pub(crate) fn write_config(
    dir: &Path,
    sandbox: &Sandbox,
    from: &str,
    to: &str,
    root: &str,
    collection: &str,
) {
    let at = sandbox.endpoints();
    std::fs::write(dir.join("profile.toml"), "indexLag = 0\nrange = true\n").unwrap();
    std::fs::write(dir.join("refresh"), &at.dropbox_refresh_token).unwrap();
    std::fs::write(dir.join("secret"), &at.dropbox_app_secret).unwrap();
    std::fs::write(dir.join("key"), &at.celum_api_key).unwrap();
    let text = format!(
        r#"
[limits]
memory = "64MiB"
window = "24MiB"
chunk = "4MiB"
chunk_max = "4MiB"
transfers = 3

[endpoint.nas]
kind = "local"
root = "nas"

[endpoint.studio]
kind = "dropbox"
app_key = "{key}"
app_secret = {{ file = "secret" }}
refresh_token = {{ file = "refresh" }}
api_url = "{api}"
content_url = "{content}"
notify_url = "{notify}"

[endpoint.dam]
kind = "celum"
api_root = "{celum}"
api_key = {{ file = "key" }}
profile = "profile.toml"
correlation_field = "windlassCorrelation"

[flow.move]
kind = "ingest"
from = "{from}"
to = "{to}"
root = "{root}"
collection = "{collection}"
{more}
"#,
        key = at.dropbox_app_key,
        api = at.dropbox_api,
        content = at.dropbox_content,
        notify = at.dropbox_notify,
        celum = at.celum_api_root,
        more = match to {
            "dam" =>
                "asset_type = \"campaignAsset\"\nset = { campaignId = \"CMP-2041\", approval = \"Approved\" }",
            _ => "",
        },
    );
    std::fs::write(dir.join("windlass.toml"), text).unwrap();
}

/// Starts `windlass run` and kills it after the delay. False when it ended before.
fn run_and_kill(dir: &Path, delay: Duration) -> bool {
    let mut child = windlass(dir)
        .args(["--quiet", "run", "move"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let until = Instant::now() + delay;
    while Instant::now() < until {
        if let Some(status) = child.try_wait().unwrap() {
            assert!(status.success(), "a run ended with {status}");
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    true
}

fn run_to_the_end(dir: &Path) {
    let output = windlass(dir)
        .args(["--quiet", "run", "move"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{}\n{said}\n{report}",
        output.status
    );
}

/// Kills until `kills` were killed, with a new generation of files whenever a run gets to its end. `check` is
/// called after each generation with its number.
fn generations(
    seed: u64,
    kills: u64,
    mut prepare: impl FnMut(u64, &Path, &mut Draw) -> Contents,
    mut check: impl FnMut(u64, &Contents),
) {
    let mut draw = Draw(seed | 1);
    let mut killed = 0;
    let mut generation = 0;
    while killed < kills {
        generation += 1;
        let dir = tempfile::tempdir().unwrap();
        let contents = prepare(generation, dir.path(), &mut draw);
        let mut here = 0;
        // Short lives and long ones: starting, planning, moving, committing, ending.
        while here < 12 && run_and_kill(dir.path(), Duration::from_millis(20 + draw.below(700))) {
            here += 1;
        }
        killed += here;
        run_to_the_end(dir.path());
        run(dir.path(), &["ledger", "check"]).expect(0);
        check(generation, &contents);
    }
}

fn seed() -> u64 {
    number("WINDLASS_KILL_SEED", 20_261_123)
}

fn kills() -> u64 {
    number("WINDLASS_KILLS", KILLS)
}

#[test]
fn killed_runs_into_dropbox_leave_every_file_once_and_no_half_one() {
    let (_runtime, sandbox) = services(seed());
    let prepare = |generation: u64, dir: &Path, draw: &mut Draw| {
        let nas = dir.join("nas");
        std::fs::create_dir(&nas).unwrap();
        let target = format!("/Out {generation}");
        write_config(dir, &sandbox, "nas", "studio", "", &target);
        contents(draw, |name, bytes| {
            std::fs::write(nas.join(name), bytes).unwrap()
        })
    };
    generations(seed(), kills(), prepare, |generation, contents| {
        let below = format!("/Out {generation}/");
        let mut there = BTreeMap::new();
        for entry in sandbox.dropbox().tree() {
            let Some(name) = entry.path_display.strip_prefix(&below) else {
                continue;
            };
            let Some(file) = entry.file else { continue };
            there.insert(name.to_owned(), (file.size, file.content_hash));
        }
        let wanted: BTreeMap<_, _> = contents
            .iter()
            .map(|(name, (size, _, hash))| (name.clone(), (*size, *hash)))
            .collect();
        assert_eq!(there, wanted, "generation {generation}");
    });
}

#[test]
fn killed_runs_from_dropbox_into_celum_make_every_asset_once() {
    into_celum(seed() + 1, kills(), |_, _| {});
}

#[test]
fn killed_runs_with_a_ledger_on_a_server_make_every_asset_once() {
    let server = TestServer::shared();
    into_celum(seed() + 2, kills() / 2, |runtime, dir| {
        put_ledger_on(&runtime.block_on(server.schema()), dir);
    });
}

/// Kills runs into CELUM, in folders that `configure` adds to.
fn into_celum(seed: u64, kills: u64, configure: impl Fn(&tokio::runtime::Runtime, &Path)) {
    let (runtime, sandbox) = services(seed);
    let prepare = |generation: u64, dir: &Path, draw: &mut Draw| {
        let root = format!("/In {generation}");
        let collection = "/Brand Library/Inbox/Harvest";
        write_config(dir, &sandbox, "studio", "dam", &root, collection);
        configure(&runtime, dir);
        contents(draw, |name, bytes| {
            let path = format!("{root}/{generation:03}-{name}");
            sandbox
                .dropbox()
                .put_file(&path, bytes.into(), None)
                .unwrap();
        })
    };
    generations(seed, kills, prepare, |generation, contents| {
        let begin = format!("{generation:03}-");
        let mut there = BTreeMap::new();
        for asset in sandbox.celum().assets() {
            let Some(name) = asset.filename.strip_prefix(&begin) else {
                continue;
            };
            let bytes = sandbox
                .celum()
                .read_content(asset.id, 0..asset.size)
                .unwrap();
            let known = (asset.size, Blake3::of(&bytes));
            let twin = there.insert(name.to_owned(), known);
            assert_eq!(twin, None, "{name} came twice in generation {generation}");
        }
        let wanted: BTreeMap<_, _> = contents
            .iter()
            .map(|(name, (size, blake3, _))| (name.clone(), (*size, *blake3)))
            .collect();
        assert_eq!(there, wanted, "generation {generation}");
    });
}
