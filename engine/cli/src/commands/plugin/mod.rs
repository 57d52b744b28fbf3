//! `windlass plugin`: what authors and operators do with plugins.

mod cases;
mod install;
mod look;
mod replay;
mod shadow;

use std::path::{Path, PathBuf};

use windlass_core::{Error, HookKind, Kind, Result};
use windlass_plugin::{HostOptions, PluginHost, StarterLanguage, new_plugin};

use super::{Ended, read};
use crate::args::{Global, HookArg, LanguageArg, PluginCommand, PluginNewArgs};
use crate::out::Out;
use crate::wiring;

/// Runs what was typed.
pub(super) async fn run(command: PluginCommand, global: &Global, out: Out) -> Result<Ended> {
    match command {
        PluginCommand::New(args) => new(&args, out),
        PluginCommand::Build { dir, target_dir } => build(&dir, target_dir, out).await,
        PluginCommand::Check(args) => look::check(&args, out).await,
        PluginCommand::Test(args) => cases::test(&args, out).await,
        PluginCommand::Bench(args) => cases::bench(&args, out).await,
        PluginCommand::Inspect(args) => look::inspect(&args, out).await,
        PluginCommand::Install(args) => install::run(&args, global, out).await,
        PluginCommand::Shadow(args) => shadow::run(&args, &read(global)?, out).await,
        PluginCommand::Replay(args) => replay::replay(&args, out).await,
    }
}

/// Writes a project to start from.
fn new(args: &PluginNewArgs, out: Out) -> Result<Ended> {
    let folder = args
        .dir
        .clone()
        .unwrap_or_else(|| PathBuf::from(&args.name));
    let language = match args.lang {
        LanguageArg::Rust => StarterLanguage::Rust,
        LanguageArg::Python => StarterLanguage::Python,
        LanguageArg::Js => StarterLanguage::JavaScript,
    };
    let hook = match args.hook {
        HookArg::Metadata => HookKind::Metadata,
        HookArg::Rights => HookKind::Rights,
        HookArg::Localization => HookKind::Localization,
    };
    let written = new_plugin(&folder, &args.name, language, hook)?;
    if out.json {
        out.record("written", &serde_json::json!({ "files": written }))?;
    } else {
        let lines: Vec<_> = written
            .iter()
            .map(|path| path.display().to_string())
            .collect();
        out.data(&lines.join("\n"))?;
    }
    out.say(&format!(
        "next: `windlass plugin test {}` builds it and runs its cases",
        folder.display()
    ));
    Ok(Ended::Done)
}

/// The component of a plugin that is named by its source folder, which is built, or by its file.
async fn component_of(plugin: &Path, out: Out) -> Result<PathBuf> {
    match plugin.is_dir() {
        true => wiring::build(plugin.to_owned(), out).await,
        false => Ok(plugin.to_owned()),
    }
}

/// Builds a plugin from its source folder.
async fn build(dir: &Path, target_dir: Option<PathBuf>, out: Out) -> Result<Ended> {
    let component = wiring::build_into(dir.to_owned(), target_dir, out).await?;
    let bytes = std::fs::read(&component).map_err(|error| {
        Error::new(Kind::Plugin, "the component that was built cannot be read").with_source(error)
    })?;
    let digest = windlass_core::Blake3::of(&bytes);
    if out.json {
        out.line(&serde_json::json!({
            "record": "component", "file": component, "digest": digest, "bytes": bytes.len(),
        }))?;
    } else {
        out.data(&format!(
            "{}\ndigest {digest}, {} bytes",
            component.display(),
            bytes.len()
        ))?;
    }
    Ok(Ended::Done)
}

/// A host that keeps compiled code in the user's cache folder, so that only the first call after a build waits for
/// the compiler. Without such a folder each call waits.
fn authors_host(out: Out) -> Result<PluginHost> {
    let options = HostOptions::default();
    let Some(folder) = code_cache() else {
        return PluginHost::new(options);
    };
    let keeping = HostOptions {
        cache_dir: Some(folder),
        ..options.clone()
    };
    PluginHost::new(keeping).or_else(|error| {
        out.say(&format!("compiled plugins are not kept: {}", error.chain()));
        PluginHost::new(options)
    })
}

/// The folder of compiled code for whoever writes plugins.
fn code_cache() -> Option<PathBuf> {
    Some(user_cache()?.join("windlass").join("plugins"))
}

/// Where programs keep what they can make again, by the XDG base directory specification.
fn user_cache() -> Option<PathBuf> {
    let stated = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let stated = stated.filter(|folder| folder.is_absolute());
    stated.or_else(|| Some(std::env::home_dir()?.join(".cache")))
}
