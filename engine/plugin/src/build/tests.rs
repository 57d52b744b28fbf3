//! Finding a compiler on machines of every kind, played by shell scripts in a temporary folder, and
//! building twice.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::toolchain::{Compiler, Search, Toolchain, find, find_or_install};
use super::*;

const VERSION: &str = "rustc 1.99.0\nrelease: 1.99.0";

/// A pretended machine: programs are scripts, folders are real.
struct Machine {
    root: TempDir,
}

impl Machine {
    fn new() -> Self {
        Machine {
            root: TempDir::new().unwrap(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn program(&self, name: &str, body: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    fn file(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A compiler that names its folders whether or not they are there, as rustc does.
    fn compiler(&self) -> Compiler {
        let (libdir, sysroot) = (self.path("libdir"), self.path("sysroot"));
        let body = format!(
            "case \"$*\" in -vV) printf '{VERSION}\\n';; *target-libdir*) echo {};; *sysroot*) echo {};; esac",
            libdir.display(),
            sysroot.display()
        );
        Compiler {
            rustc: self.program("rustc", &body),
            cargo: self.program("cargo", "echo cargo"),
        }
    }

    fn search(&self) -> Search {
        Search {
            compilers: vec![self.compiler()],
            linkers: vec![self.path("wasm-ld")],
            installer: None,
        }
    }

    fn with_sources(&self, stated: &str) {
        self.file("sysroot/lib/rustlib/src/rust/library/std/Cargo.toml", "");
        self.file("sysroot/lib/rustlib/src/rust/src/version", stated);
    }
}

#[test]
fn an_installed_target_is_used_as_it_is() {
    let machine = Machine::new();
    machine.file("libdir/libstd-0123.rlib", "");
    let found = find(&machine.search(), machine.root.path()).unwrap();
    assert!(matches!(found, Toolchain::Installed { .. }), "{found:?}");
}

#[test]
fn a_named_but_empty_target_folder_is_no_target() {
    let machine = Machine::new();
    fs::create_dir(machine.path("libdir")).unwrap();
    let missing = find(&machine.search(), machine.root.path()).unwrap_err();
    assert!(missing[0].contains("no sources"), "{missing:?}");
}

#[test]
fn sources_and_a_linker_make_a_toolchain() {
    let machine = Machine::new();
    machine.with_sources("1.99.0");
    machine.program("wasm-ld", "echo LLD");
    let found = find(&machine.search(), machine.root.path()).unwrap();
    let Toolchain::FromSource {
        linker, version, ..
    } = found
    else {
        panic!("{found:?}")
    };
    assert_eq!(linker, machine.path("wasm-ld"));
    assert!(version.starts_with(VERSION));
}

#[test]
fn sources_of_another_version_are_named_and_not_used() {
    let machine = Machine::new();
    machine.with_sources("1.98.0 (abc)");
    machine.program("wasm-ld", "echo LLD");
    let missing = find(&machine.search(), machine.root.path()).unwrap_err();
    assert!(
        missing[0].contains("is 1.99.0, but its library's sources are 1.98.0"),
        "{missing:?}"
    );
}

#[test]
fn a_missing_linker_is_named() {
    let machine = Machine::new();
    machine.with_sources("1.99.0");
    let missing = find(&machine.search(), machine.root.path()).unwrap_err();
    assert!(missing[0].contains("no wasm linker"), "{missing:?}");
}

#[test]
fn without_root_the_error_says_what_to_install() {
    let machine = Machine::new();
    let mut said = Vec::new();
    let error = find_or_install(&machine.search(), machine.root.path(), true, &mut |line| {
        said.push(line.to_owned());
    })
    .unwrap_err();
    assert_eq!(error.kind(), Kind::Unsupported);
    let hint = error.hint().unwrap();
    assert!(
        hint.contains("rustup target add wasm32-unknown-unknown"),
        "{hint}"
    );
    assert!(
        hint.contains("rustc-web cargo-web rust-web-src lld-19"),
        "{hint}"
    );
    assert!(said.is_empty());
}

#[test]
fn root_on_debian_installs_the_packages_and_says_so_once() {
    let machine = Machine::new();
    let (libdir, log) = (machine.path("libdir"), machine.path("log"));
    let body = format!(
        "echo \"$*\" >> {log}; case \"$1\" in install) mkdir -p {lib}; touch {lib}/libstd-1.rlib;; esac",
        log = log.display(),
        lib = libdir.display()
    );
    let search = Search {
        installer: Some(machine.program("apt-get", &body)),
        ..machine.search()
    };
    let mut said = Vec::new();
    let mut progress = |line: &str| said.push(line.to_owned());

    let refused = find_or_install(&search, machine.root.path(), false, &mut progress);
    assert!(
        refused.is_err() && !log.exists(),
        "installed although not allowed"
    );

    find_or_install(&search, machine.root.path(), true, &mut progress).unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    let log = fs::read_to_string(log).unwrap();
    assert!(log.starts_with("update") && log.contains("install") && log.contains("rust-web-src"));
}

#[test]
fn two_that_need_the_packages_at_once_install_them_once() {
    let machine = Machine::new();
    let (libdir, log) = (machine.path("libdir"), machine.path("log"));
    // As the real one: it refuses to run beside another.
    let body = format!(
        "mkdir {busy} || exit 100; echo \"$1\" >> {log}; sleep 0.2; rmdir {busy}; \
         case \"$1\" in install) mkdir -p {lib}; touch {lib}/libstd-1.rlib;; esac",
        busy = machine.path("busy").display(),
        log = log.display(),
        lib = libdir.display()
    );
    let search = Search {
        installer: Some(machine.program("apt-get", &body)),
        ..machine.search()
    };
    std::thread::scope(|scope| {
        let find = || find_or_install(&search, machine.root.path(), true, &mut |_| {});
        let both = [scope.spawn(find), scope.spawn(find)];
        for found in both {
            found.join().unwrap().unwrap();
        }
    });
    assert_eq!(fs::read_to_string(log).unwrap(), "update\ninstall\n");
}

#[test]
fn a_failing_installer_is_quoted() {
    let machine = Machine::new();
    let apt_get = machine.program("apt-get", "echo 'E: no network' >&2; exit 100");
    let search = Search {
        installer: Some(apt_get),
        ..machine.search()
    };
    let error = find_or_install(&search, machine.root.path(), true, &mut |_| {}).unwrap_err();
    assert!(error.to_string().contains("E: no network"), "{error}");
}

#[test]
fn a_folder_without_a_plugin_crate_is_refused_in_words() {
    let machine = Machine::new();
    let error = build_plugin(machine.root.path(), &BuildOptions::default(), |_| {}).unwrap_err();
    assert_eq!(error.kind(), Kind::Config);
    assert!(
        error
            .to_string()
            .contains("has no Cargo.toml, package.json or pyproject.toml"),
        "{error}"
    );
    let error = build_plugin(
        Path::new("/no/such/folder"),
        &BuildOptions::default(),
        |_| {},
    );
    assert_eq!(error.unwrap_err().kind(), Kind::Config);
}

#[test]
fn a_build_that_changed_nothing_is_not_repeated() {
    let project = crate::tests::plugin_crate("misbehaving");
    let first = build_plugin(&project, &BuildOptions::default(), |_| {}).unwrap();
    let mut said = Vec::new();
    let second = build_plugin(&project, &BuildOptions::default(), |line| {
        said.push(line.to_owned())
    });
    let second = second.unwrap();
    assert!(!second.rebuilt, "built again");
    assert_eq!(
        (first.digest, first.size_bytes),
        (second.digest, second.size_bytes)
    );
    // Another test process may hold the lock; nothing else is worth a line.
    assert!(
        said.iter().all(|line| line.starts_with("waiting")),
        "{said:?}"
    );
    assert_eq!(
        Blake3::of(&fs::read(&second.component).unwrap()),
        second.digest
    );
}

#[test]
fn builds_that_are_asked_for_at_once_wait_for_each_other() {
    let ask = || {
        build_plugin(
            &crate::tests::plugin_crate("misbehaving"),
            &BuildOptions::default(),
            |_| {},
        )
    };
    let built: Vec<_> = std::thread::scope(|scope| {
        let asked: Vec<_> = (0..3).map(|_| scope.spawn(ask)).collect();
        asked
            .into_iter()
            .map(|thread| thread.join().unwrap().unwrap().digest)
            .collect()
    });
    assert!(built.windows(2).all(|pair| pair[0] == pair[1]), "{built:?}");
}

#[test]
fn a_changed_source_or_compiler_makes_a_stamp_stale() {
    let machine = Machine::new();
    let (source, stamp) = (
        machine.path("lib.rs"),
        machine.path("target").join("components/stamp.json"),
    );
    let component = machine.path("a.wasm");
    fs::write(&source, "one").unwrap();
    fs::write(&component, "component").unwrap();
    let digest = Blake3::of(b"component");
    let now = std::time::SystemTime::now();
    inputs::record(&stamp, [source.clone()].into(), VERSION, digest, now).unwrap();

    assert_eq!(inputs::unchanged(&stamp, &component, VERSION), Some(digest));
    assert_eq!(
        inputs::unchanged(&stamp, &component, "another compiler"),
        None
    );
    fs::write(&source, "two").unwrap();
    assert_eq!(inputs::unchanged(&stamp, &component, VERSION), None);
    fs::write(&source, "one").unwrap();
    fs::write(&component, "tampered").unwrap();
    assert_eq!(inputs::unchanged(&stamp, &component, VERSION), None);

    // What was saved while the build ran may not be in the component.
    fs::write(&component, "component").unwrap();
    let earlier = std::time::SystemTime::UNIX_EPOCH;
    inputs::record(&stamp, [source.clone()].into(), VERSION, digest, earlier).unwrap();
    assert_eq!(inputs::unchanged(&stamp, &component, VERSION), None);
    // What was built elsewhere was built of other files.
    let here = inputs::version(VERSION, machine.root.path());
    assert_ne!(
        here,
        inputs::version(VERSION, std::path::Path::new("/elsewhere"))
    );
}
