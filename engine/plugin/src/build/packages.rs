//! Programs that a build needs and that a machine may lack: on Debian, root may have them installed, and everybody
//! else is told the command.

use std::fs::File;
use std::path::{Path, PathBuf};

use windlass_core::{Error, Kind, Result};

use super::toolchain::clean;
use super::{claim, disk, last_lines, run};

/// The machine's package manager, if this process may install with it.
pub(super) fn installer() -> Option<PathBuf> {
    let apt_get = PathBuf::from("/usr/bin/apt-get");
    let debian = Path::new("/etc/debian_version").is_file() && apt_get.is_file();
    (debian && is_root()).then_some(apt_get)
}

/// Finds something by `find`; if it is not there and there is an installer, installs `packages` and looks
/// again. The error is what `find` said last.
pub(super) fn find_or_install<T, E>(
    packages: &[&str],
    installer: Option<&Path>,
    folder: &Path,
    progress: &mut dyn FnMut(&str),
    find: impl Fn() -> Result<T, E>,
) -> Result<Result<T, E>> {
    let Some(apt_get) = installer else {
        return Ok(find());
    };
    let missing = match find() {
        Ok(found) => return Ok(Ok(found)),
        Err(missing) => missing,
    };
    // apt-get refuses to run twice at a time. Its own file is one that all of us can lock, wherever they build.
    let file = File::open(apt_get).map_err(|e| disk("open", apt_get, e))?;
    let _lock = claim(file, apt_get, "another installation to finish", progress)?;
    if let Ok(found) = find() {
        return Ok(Ok(found));
    }
    drop(missing);
    progress(&format!(
        "something that the build needs is missing: installing {} with apt-get",
        packages.join(" ")
    ));
    install(apt_get, packages, folder)?;
    Ok(find())
}

/// The command that installs packages, for people.
pub(super) fn command(packages: &[&str]) -> String {
    format!(
        "apt-get install -y --no-install-recommends {}",
        packages.join(" ")
    )
}

fn install(apt_get: &Path, packages: &[&str], folder: &Path) -> Result<()> {
    let mut install = vec!["install", "-qq", "-y", "--no-install-recommends"];
    install.extend(packages);
    for arguments in [vec!["update", "-qq"], install] {
        let mut command = clean(apt_get, folder);
        command
            .env("DEBIAN_FRONTEND", "noninteractive")
            .args(&arguments)
            // Somebody else's apt-get, such as nightly upgrades, is waited for: five minutes.
            .args(["-o", "DPkg::Lock::Timeout=300"]);
        let output = run(&mut command)?;
        if !output.status.success() {
            return Err(Error::new(
                Kind::Unavailable,
                format!("apt-get could not install {}", packages.join(" ")),
            )
            .with_context("apt-get", last_lines(&output.stderr))
            .with_hint(format!("try it by hand: {}", self::command(packages))));
        }
    }
    Ok(())
}

#[cfg(target_os = "linux")]
fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    // A process's own entry belongs to the user it runs as.
    std::fs::metadata("/proc/self").is_ok_and(|entry| entry.uid() == 0)
}

#[cfg(not(target_os = "linux"))]
fn is_root() -> bool {
    false
}
