//! The standard library for wasm, built once per compiler version from the compiler's own sources.
//!
//! An empty crate is built with `-Zbuild-std`, which leaves the library's parts as a by-product; they
//! are copied into a folder of the shape that `--sysroot` wants. The folder is named by the digest of
//! `rustc -vV` and appears by a rename, so it is whole or absent. It takes about a minute and 130 MB.

use std::fs;
use std::path::{Path, PathBuf};

use windlass_core::{Blake3, Error, Kind, Result};

use super::toolchain::Toolchain;
use super::{TARGET, disk, last_lines, run};

const SEED: &str = "windlass_sysroot_seed";

const SEED_MANIFEST: &str = r#"[package]
name = "windlass_sysroot_seed"
version = "0.0.0"
edition = "2021"

[lib]
path = "lib.rs"

[profile.release]
opt-level = "s"
codegen-units = 1
panic = "abort"

# Stands alone, wherever its folder lies.
[workspace]
"#;

/// The sysroot for this compiler, built first if it is not there. The caller holds the build lock.
pub(super) fn ensure(
    toolchain: &Toolchain,
    target_dir: &Path,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf> {
    let key = &Blake3::of(toolchain.version().as_bytes()).to_hex()[..16];
    let folder = target_dir.join("sysroots");
    let sysroot = folder.join(key);
    if sysroot.is_dir() {
        return Ok(sysroot);
    }
    let release = toolchain.version().lines().next().unwrap_or_default();
    progress(&format!(
        "building the standard library for {TARGET} with {release}, once: about a minute"
    ));
    let seed = folder.join(format!("{key}.seed"));
    let parts = build_seed(toolchain, &seed)?;
    let unfinished = folder.join(format!("{key}.unfinished"));
    remove(&unfinished)?;
    collect(
        &parts,
        &unfinished.join("lib/rustlib").join(TARGET).join("lib"),
    )?;
    fs::rename(&unfinished, &sysroot).map_err(|e| disk("create", &sysroot, e))?;
    remove(&seed)?;
    Ok(sysroot)
}

/// Builds the empty crate and gives the folder in which the library's parts lie.
fn build_seed(toolchain: &Toolchain, seed: &Path) -> Result<PathBuf> {
    fs::create_dir_all(seed).map_err(|e| disk("create", seed, e))?;
    for (name, text) in [("Cargo.toml", SEED_MANIFEST), ("lib.rs", "#![no_std]\n")] {
        let path = seed.join(name);
        fs::write(&path, text).map_err(|e| disk("write", &path, e))?;
    }
    let mut cargo = toolchain.cargo(seed);
    cargo
        // The flag is unstable in name only here: compiler and sources are one version.
        .env("RUSTC_BOOTSTRAP", "1")
        .env(
            "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS",
            "-Cembed-bitcode=yes -Cpanic=abort",
        )
        .args([
            "build",
            "--release",
            "--target",
            TARGET,
            "-Zbuild-std=std,panic_abort",
        ])
        .arg("--target-dir")
        .arg(seed.join("target"));
    let output = run(&mut cargo)?;
    if !output.status.success() {
        return Err(Error::new(
            Kind::Unsupported,
            format!("the standard library does not build for {TARGET}"),
        )
        .with_context("cargo", last_lines(&output.stderr))
        .with_hint(format!("with rustup: `rustup target add {TARGET}`")));
    }
    Ok(seed.join("target").join(TARGET).join("release/deps"))
}

fn collect(parts: &Path, lib: &Path) -> Result<()> {
    fs::create_dir_all(lib).map_err(|e| disk("create", lib, e))?;
    let mut has_std = false;
    for entry in fs::read_dir(parts).map_err(|e| disk("read", parts, e))? {
        let path = entry.map_err(|e| disk("read", parts, e))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            continue;
        };
        let is_part = name.ends_with(".rlib") || name.ends_with(".rmeta");
        if !is_part || name.contains(SEED) {
            continue;
        }
        has_std |= name.starts_with("libstd-");
        fs::copy(&path, lib.join(name)).map_err(|e| disk("copy", &path, e))?;
    }
    if has_std {
        return Ok(());
    }
    Err(Error::new(
        Kind::Unexpected,
        "building the standard library left no libstd",
    ))
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(disk("remove", folder, e)),
        _ => Ok(()),
    }
}
