//! Handing out from a folder: files are moved and taken back, and whoever reads the folder has them. There are no links
//! and no members.
//!
//! A rename keeps a file's inode and modification time and with them its revision, so what was moved is known again.
//! What somebody moved elsewhere is not found, because an id is a path here.

use std::os::fd::OwnedFd;

use async_trait::async_trait;
use rustix::fs::AtFlags;
use rustix::io::Errno;
use windlass_core::{
    AssetId, AssetPath, Error, Kind, LinkTerms, Member, Outlet, Placed, Result, Revision,
    SharedFolder, SharedLink, Taken,
};

use crate::endpoint::{LocalEndpoint, blocking};
use crate::part;
use crate::paths::check;
use crate::root::Root;
use crate::stamp::Stamp;

/// How many names are tried where what is kept has the name of something else.
const NAMES_MAX: usize = 100;

#[async_trait]
impl Outlet for LocalEndpoint {
    async fn take_back(&self, placed: &Placed, keep: Option<&AssetPath>) -> Result<Taken> {
        let path = AssetPath::new(placed.asset.as_str());
        check(&path)?;
        if let Some(keep) = keep {
            check(keep)?;
        }
        let (root, revision, keep) = (self.root.clone(), placed.revision.clone(), keep.cloned());
        blocking(move || take_back(&root, &path, &revision, keep.as_ref())).await
    }

    async fn move_to(&self, placed: &Placed, to: &AssetPath) -> Result<Option<Placed>> {
        let path = AssetPath::new(placed.asset.as_str());
        check(&path)?;
        check(to)?;
        let (root, placed, to) = (self.root.clone(), placed.clone(), to.clone());
        blocking(move || move_to(&root, &path, placed, &to)).await
    }

    async fn link(&self, _placed: &Placed, _terms: &LinkTerms) -> Result<SharedLink> {
        Err(unsupported("a folder has no links to its files"))
    }

    async fn share(&self, _folder: &AssetPath, _members: &[Member]) -> Result<SharedFolder> {
        Err(unsupported(
            "a folder on a disk is not shared by invitations",
        ))
    }

    fn address(&self, path: &AssetPath) -> String {
        let mut url = "file://".to_owned();
        for byte in self.root.shown(path).as_os_str().as_encoded_bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => {
                    url.push(char::from(*byte));
                }
                other => url.push_str(&format!("%{other:02X}")),
            }
        }
        url
    }
}

fn unsupported(message: &str) -> Error {
    Error::new(Kind::Unsupported, message)
        .with_hint("take `link` and `share` out of the flow, or choose another outlet")
}

fn take_back(
    root: &Root,
    path: &AssetPath,
    revision: &Revision,
    keep: Option<&AssetPath>,
) -> Result<Taken> {
    let back = |kept| {
        Ok(Taken::Back {
            kept,
            links: Vec::new(),
            recipients: Vec::new(),
        })
    };
    match root.stat(path)? {
        Some(stamp) if is(&stamp, revision) => {}
        Some(stamp) => return Ok(changed(&stamp, path)),
        None => {
            return match kept_before(root, revision, keep)? {
                Some(kept) => back(Some(kept)),
                None => Ok(Taken::Absent),
            };
        }
    }
    let Some(keep) = keep else {
        return match delete(root, path, revision)? {
            None => back(None),
            Some(stamp) => Ok(changed(&stamp, path)),
        };
    };
    for name in keep.numbered().take(NAMES_MAX) {
        if name == *path {
            return back(Some(name));
        }
        match carry(root, path, revision, &name)? {
            Carried::There => return back(Some(name)),
            Carried::Gone => return Ok(Taken::Absent),
            Carried::Edited(stamp) => return Ok(changed(&stamp, path)),
            Carried::Taken => {}
        }
    }
    Err(taken(root, keep))
}

fn move_to(
    root: &Root,
    path: &AssetPath,
    placed: Placed,
    to: &AssetPath,
) -> Result<Option<Placed>> {
    let there = || Placed {
        asset: AssetId::new(to.as_str()),
        ..placed.clone()
    };
    match root.stat(path)? {
        Some(stamp) if is(&stamp, &placed.revision) => {}
        Some(_) => return Ok(None),
        // It may have been moved by a call whose end nobody saw.
        None => {
            let stamp = root.stat(to)?;
            let is_there = stamp.is_some_and(|stamp| is(&stamp, &placed.revision));
            return Ok(is_there.then(there));
        }
    }
    if path == to {
        return Ok(Some(placed));
    }
    match carry(root, path, &placed.revision, to)? {
        Carried::There => Ok(Some(there())),
        Carried::Gone | Carried::Edited(_) => Ok(None),
        Carried::Taken => Err(taken(root, to)),
    }
}

/// What became of a file on its way to another name.
enum Carried {
    There,
    /// Nobody found it where it was.
    Gone,
    /// Somebody changed it in that moment: it has its old name.
    Edited(Stamp),
    /// Something else has the name.
    Taken,
}

/// Renames a file, and looks afterwards whether it is still the one that was meant.
fn carry(root: &Root, path: &AssetPath, revision: &Revision, to: &AssetPath) -> Result<Carried> {
    let old = root.open_folder(&path.parent())?;
    let new = root.make_folder(&to.parent())?;
    match part::rename(&old, path.name(), &new, to.name(), false) {
        Ok(()) => {}
        Err(Errno::EXIST) => return Ok(Carried::Taken),
        Err(Errno::NOENT) => return Ok(Carried::Gone),
        Err(error) => return Err(root.error("move the file", to, error)),
    }
    let stamp =
        Stamp::at(&new, to.name()).map_err(|error| root.error("move the file", to, error))?;
    if !is(&stamp, revision) {
        part::rename(&new, to.name(), &old, path.name(), false).map_err(|error| {
            root.error("move a file back that somebody changed", to, error)
                .with_hint("it is where it was to be moved to; its earlier name is in the plan")
        })?;
        return Ok(Carried::Edited(stamp));
    }
    for folder in [&new, &old] {
        sync(root, folder, to)?;
    }
    Ok(Carried::There)
}

/// Deletes a file that has this revision; what it is where it has another.
fn delete(root: &Root, path: &AssetPath, revision: &Revision) -> Result<Option<Stamp>> {
    let fail = |error: Errno| root.error("remove the file", path, error);
    let folder = root.open_folder(&path.parent())?;
    match Stamp::at(&folder, path.name()) {
        Ok(stamp) if is(&stamp, revision) => {}
        Ok(stamp) => return Ok(Some(stamp)),
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(fail(error)),
    }
    match rustix::fs::unlinkat(&folder, path.name(), AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(fail(error)),
    }
    sync(root, &folder, path)?;
    Ok(None)
}

/// A name must be gone for good before anybody is told so.
fn sync(root: &Root, folder: &OwnedFd, path: &AssetPath) -> Result<()> {
    rustix::fs::fsync(folder)
        .map_err(|error| root.error("write the folder to the disk", path, error))
}

/// Where the file is kept already.
fn kept_before(
    root: &Root,
    revision: &Revision,
    keep: Option<&AssetPath>,
) -> Result<Option<AssetPath>> {
    for name in keep
        .into_iter()
        .flat_map(|keep| keep.numbered().take(NAMES_MAX))
    {
        match root.stat(&name)? {
            Some(stamp) if is(&stamp, revision) => return Ok(Some(name)),
            Some(_) => {}
            // Numbers are given without gaps.
            None => return Ok(None),
        }
    }
    Ok(None)
}

fn is(stamp: &Stamp, revision: &Revision) -> bool {
    stamp.is_file() && stamp.revision() == *revision
}

fn changed(stamp: &Stamp, path: &AssetPath) -> Taken {
    Taken::Changed {
        revision: stamp.revision(),
        path: path.clone(),
    }
}

fn taken(root: &Root, path: &AssetPath) -> Error {
    root.error("move the file", path, Errno::EXIST)
        .with_hint("another file has that name; rename one of them")
}
