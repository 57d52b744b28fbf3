//! Compiled machine code, kept by digest, so that a plugin is compiled once per machine.
//!
//! Loading machine code is as trusting as running a program, so only files that this program wrote are
//! loaded: they lie in a folder that only this user can enter, and each begins with a keyed digest of its
//! name and content under a key that was drawn when the folder was made. What does not match is compiled
//! again and replaced. The name holds the component's digest and wasmtime's compatibility hash, which
//! covers its version and every setting that shapes the code.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use wasmtime::Engine;
use wasmtime::component::Component;
use windlass_core::{Blake3, Error, Kind, Result};

/// Files that are kept; the oldest go first. A 54 KB plugin has 0.3 MB of code, so this is tens of MB.
const KEPT_MAX: usize = 64;

const MAC_BYTES: usize = 32;
const KEY_FILE: &str = "key";

/// The folder of compiled code.
#[derive(Debug)]
pub(crate) struct Artefacts {
    folder: PathBuf,
    key: [u8; 32],
}

impl Artefacts {
    /// Opens the folder, making it private to this user. Fails if that is impossible.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        let problem = |e: io::Error| {
            Error::new(
                Kind::Config,
                format!("cannot keep compiled plugins in {}", folder.display()),
            )
            .with_source(e)
            .with_hint("give a folder that only this user can enter")
        };
        fs::create_dir_all(folder).map_err(problem)?;
        make_private(folder, 0o700).map_err(problem)?;
        let key = read_or_draw_key(&folder.join(KEY_FILE)).map_err(problem)?;
        Ok(Artefacts {
            folder: folder.to_path_buf(),
            key,
        })
    }

    /// The compiled component, if this program compiled it before with the same settings.
    pub(crate) fn load(&self, engine: &Engine, digest: &Blake3) -> Option<Component> {
        let name = file_name(engine, digest);
        let path = self.folder.join(&name);
        let file = fs::read(&path).ok()?;
        let (mac, code) = file.split_at_checked(MAC_BYTES)?;
        // Compared by blake3's own type, in constant time.
        if self.mac(&name, code) != <[u8; MAC_BYTES]>::try_from(mac).ok()? {
            tracing::warn!(file = %path.display(), "compiled plugin is damaged or foreign; compiling again");
            return None;
        }
        // SAFETY: the keyed digest proves that this program wrote exactly these bytes, as
        // `Component::serialize` gave them, for this component and these settings.
        match unsafe { Component::deserialize(engine, code) } {
            Ok(component) => Some(component),
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "compiled plugin does not load; compiling again");
                None
            }
        }
    }

    /// Keeps a compiled component. Failing to is a loss of time only, so it is told and not returned.
    pub(crate) fn keep(&self, engine: &Engine, digest: &Blake3, component: &Component) {
        let name = file_name(engine, digest);
        let kept = component
            .serialize()
            .map_err(|e| io::Error::other(e.to_string()))
            .and_then(|code| self.write(&name, &code));
        if let Err(error) = kept.and_then(|()| self.prune()) {
            tracing::warn!(folder = %self.folder.display(), %error, "compiled plugin cannot be kept");
        }
    }

    fn write(&self, name: &str, code: &[u8]) -> io::Result<()> {
        let fresh = fresh_path(&self.folder.join(name));
        let mut file = File::create(&fresh)?;
        file.write_all(self.mac(name, code).as_bytes())?;
        file.write_all(code)?;
        make_private(&fresh, 0o600)?;
        fs::rename(&fresh, self.folder.join(name))
    }

    fn mac(&self, name: &str, code: &[u8]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        // The name is text without a line break, so the two parts cannot run into each other.
        hasher.update(name.as_bytes()).update(b"\n").update(code);
        hasher.finalize()
    }

    fn prune(&self) -> io::Result<()> {
        let mut kept: Vec<(SystemTime, PathBuf)> = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            let entry = entry?;
            if entry.file_name() != KEY_FILE {
                kept.push((entry.metadata()?.modified()?, entry.path()));
            }
        }
        kept.sort();
        let surplus = kept.len().saturating_sub(KEPT_MAX);
        kept[..surplus]
            .iter()
            .try_for_each(|(_, path)| fs::remove_file(path))
    }
}

fn file_name(engine: &Engine, digest: &Blake3) -> String {
    // The standard hasher has no key of its own and is stable within one build of this program.
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{digest}-{:016x}.code", hasher.finish())
}

fn fresh_path(path: &Path) -> PathBuf {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let number = COUNTER.fetch_add(1, Ordering::Relaxed);
    path.with_extension(format!("{}-{number}", std::process::id()))
}

/// The folder's key; drawn by whoever comes first. A hard link decides between two that come at once.
fn read_or_draw_key(path: &Path) -> io::Result<[u8; 32]> {
    if !path.exists() {
        let key: [u8; 32] = rand::random();
        let fresh = fresh_path(path);
        fs::write(&fresh, key)?;
        make_private(&fresh, 0o600)?;
        let linked = fs::hard_link(&fresh, path);
        fs::remove_file(&fresh)?;
        match linked {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
            _ => {}
        }
    }
    refuse_if_open_to_others(path)?;
    let key = fs::read(path)?;
    key.try_into()
        .map_err(|_| io::Error::other("its key file is damaged: remove the folder"))
}

#[cfg(unix)]
pub(crate) fn make_private(path: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

#[cfg(not(unix))]
pub(crate) fn make_private(_path: &Path, _mode: u32) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn refuse_if_open_to_others(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    match fs::metadata(path)?.permissions().mode() & 0o077 {
        0 => Ok(()),
        _ => Err(io::Error::other(
            "its key file can be read by others: remove the folder",
        )),
    }
}

#[cfg(not(unix))]
fn refuse_if_open_to_others(_path: &Path) -> io::Result<()> {
    Ok(())
}
