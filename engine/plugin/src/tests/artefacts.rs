//! Compiled code on disk: reused, private, and never trusted when touched.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use tempfile::TempDir;
use windlass_core::{Hooks, Kind};

use super::*;

fn host_with(folder: &Path) -> windlass_core::Result<PluginHost> {
    PluginHost::new(HostOptions {
        cache_dir: Some(folder.to_path_buf()),
        ..small()
    })
}

fn code_file(folder: &Path) -> PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "code")
        })
        .collect();
    assert_eq!(files.len(), 1);
    files.remove(0)
}

#[tokio::test]
async fn touched_code_is_compiled_again_and_replaced() {
    let folder = TempDir::new().unwrap();
    host_with(folder.path())
        .unwrap()
        .load(misbehaving(), load_options())
        .unwrap();
    let path = code_file(folder.path());
    let good = fs::read(&path).unwrap();

    let mut bad = good.clone();
    let middle = bad.len() / 2;
    bad[middle] ^= 1;
    for damaged in [&bad[..], &good[..20], b""] {
        fs::write(&path, damaged).unwrap();
        let plugin = host_with(folder.path())
            .unwrap()
            .load(misbehaving(), load_options())
            .unwrap();
        ready(&plugin.describe(&assets(&["/a"])).await.unwrap()[0]);
        assert!(fs::read(&path).unwrap().len() == good.len(), "not replaced");
    }
}

#[test]
fn a_second_load_finds_the_code_of_the_first() {
    let folder = TempDir::new().unwrap();
    let host = host_with(folder.path()).unwrap();
    host.load(misbehaving(), load_options()).unwrap();
    let written = fs::metadata(code_file(folder.path()))
        .unwrap()
        .modified()
        .unwrap();
    host.load(misbehaving(), load_options()).unwrap();
    let after = fs::metadata(code_file(folder.path()))
        .unwrap()
        .modified()
        .unwrap();
    assert_eq!(written, after, "compiled again although it was kept");
}

#[test]
fn the_folder_and_its_key_are_private() {
    let folder = TempDir::new().unwrap();
    host_with(folder.path()).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(folder.path()), 0o700);
    let key = folder.path().join("key");
    assert_eq!(mode(&key), 0o600);

    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let error = host_with(folder.path()).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(
        error.chain().contains("can be read by others"),
        "{}",
        error.chain()
    );
}
