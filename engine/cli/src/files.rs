//! Files of people that are written anew: as a whole or not at all, under the permissions that they had.

use std::fs;
use std::io::Write;
use std::path::Path;

use windlass_core::{Error, Kind, Result};

/// Replaces a file's text, unless somebody saved it meanwhile: `before` is what it was, `None` if it was not there. A
/// link stays a link. `what` names the file in errors.
pub(crate) fn replace(file: &Path, before: Option<&str>, after: &str, what: &str) -> Result<()> {
    let problem = |error: std::io::Error| {
        Error::new(Kind::Denied, format!("{what} cannot be written"))
            .with_context("file", file.display())
            .with_source(error)
    };
    let changed = || {
        Error::new(Kind::Conflict, format!("{what} changed meanwhile"))
            .with_context("file", file.display())
            .with_hint("do it again")
    };
    let target = match before {
        Some(_) => file.canonicalize().map_err(problem)?,
        None => std::path::absolute(file).map_err(problem)?,
    };
    let mut fresh = tempfile::Builder::new();
    // A new file is as any other program would make it.
    #[cfg(unix)]
    fresh.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644));
    let mut fresh = fresh
        .tempfile_in(target.parent().unwrap_or(Path::new("/")))
        .map_err(problem)?;
    fresh.write_all(after.as_bytes()).map_err(problem)?;
    match before {
        Some(before) => {
            let permissions = fs::metadata(&target).map_err(problem)?.permissions();
            fresh
                .as_file()
                .set_permissions(permissions)
                .map_err(problem)?;
            fresh.as_file().sync_all().map_err(problem)?;
            if fs::read_to_string(&target).map_err(problem)? != before {
                return Err(changed());
            }
            fresh
                .persist(&target)
                .map_err(|error| problem(error.error))?;
        }
        None => {
            fresh.as_file().sync_all().map_err(problem)?;
            fresh
                .persist_noclobber(&target)
                .map_err(|error| match error.error.kind() {
                    std::io::ErrorKind::AlreadyExists => changed(),
                    _ => problem(error.error),
                })?;
        }
    }
    Ok(())
}
