//! `windlass demo`: the main job on two emulated services, through the same code as `windlass run`.
//!
//! Everything it makes is in one folder: the services' state, the ledger, and a configuration that
//! differs from a customer's only in its URLs and in where the credentials come from.

use std::fs;
use std::path::{Path, PathBuf};

use windlass_core::{Error, Kind, Result};
use windlass_flow::Tolerance;
use windlass_sandbox::SandboxEndpoints;

use super::{Ended, overlay, run as flow, sandbox};
use crate::args::{DemoArgs, Global, RunArgs};
use crate::config::load;
use crate::out::Out;

/// The flow that the demo's configuration defines.
const FLOW: &str = "approved-masters";

/// How long the emulated tenant's search lags, in seconds. Short, so that a demo that was interrupted goes
/// on at once.
const INDEX_LAG: u64 = 1;

/// What the demo's configuration looks like; braces are filled in.
const TEMPLATE: &str = include_str!("demo.toml");

/// Starts, fills, runs, reports.
pub(crate) async fn run(args: &DemoArgs, global: &Global, out: Out) -> Result<Ended> {
    if args.fresh {
        forget(&args.dir)?;
    }
    fs::create_dir_all(&args.dir).map_err(|error| cannot("create", &args.dir, error))?;
    let dir = args.dir.join("sandbox");
    let place = sandbox::Place {
        dir: Some(&dir),
        ..sandbox::Place::default()
    };
    let served = sandbox::start(place, &args.basics, Some(INDEX_LAG)).await?;
    let ended = on_sandbox(args, global, &served, out).await;
    served.shutdown().await;
    ended
}

async fn on_sandbox(
    args: &DemoArgs,
    global: &Global,
    served: &windlass_sandbox::Sandbox,
    out: Out,
) -> Result<Ended> {
    out.say("emulated Dropbox and CELUM are up; no account is used");
    sandbox::fill(served, args.size, args.basics.seed, out)?;
    let file = write_config(&args.dir, served.endpoints())?;
    let layered = load(&file, &overlay(global))?;
    let asked = RunArgs {
        stop_after: None,
        over_budget: false,
        flow: Some(FLOW.to_owned()),
        plan: None,
        tolerance: Tolerance::default(),
        abandon: false,
        over_cap: false,
        retry_held: false,
    };
    let ended = flow::run(&asked, &layered, out).await?;
    out.say(&format!(
        "the configuration is {}; run the demo again and it finds nothing to do",
        file.display()
    ));
    Ok(ended)
}

/// Writes the configuration and the credentials it refers to. Ports differ at every start.
fn write_config(dir: &Path, endpoints: &SandboxEndpoints) -> Result<PathBuf> {
    let index =
        format!("# How this tenant differs from the careful defaults.\nindexLag = {INDEX_LAG}\n");
    for (name, text) in [
        ("celum.profile.toml", &index),
        ("dropbox-app-secret", &endpoints.dropbox_app_secret),
        ("dropbox-refresh-token", &endpoints.dropbox_refresh_token),
        ("celum-api-key", &endpoints.celum_api_key),
    ] {
        let file = dir.join(name);
        fs::write(&file, text).map_err(|error| cannot("write", &file, error))?;
    }
    let plugin = plugin_source()?;
    let filled = [
        ("{app_key}", endpoints.dropbox_app_key.clone()),
        ("{api_url}", endpoints.dropbox_api.to_string()),
        ("{content_url}", endpoints.dropbox_content.to_string()),
        ("{notify_url}", endpoints.dropbox_notify.to_string()),
        ("{api_root}", endpoints.celum_api_root.to_string()),
        ("{plugin}", plugin.display().to_string()),
    ]
    .into_iter()
    .fold(TEMPLATE.to_owned(), |text, (hole, value)| {
        text.replace(hole, &value)
    });
    let file = dir.join("windlass.toml");
    fs::write(&file, filled).map_err(|error| cannot("write", &file, error))?;
    Ok(file)
}

/// The shipped plugin's source: below the current folder or one above it, else where this program was
/// built.
fn plugin_source() -> Result<PathBuf> {
    let below = Path::new("plugins/folder-metadata");
    let here = std::env::current_dir().map_err(|error| cannot("find", below, error))?;
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.ancestors()
        .chain([built.as_path()])
        .map(|folder| folder.join(below))
        .find(|folder| folder.join("Cargo.toml").is_file())
        .and_then(|folder| folder.canonicalize().ok())
        .ok_or_else(|| {
            Error::new(
                Kind::NotFound,
                "the source of the plugin folder-metadata is not here",
            )
            .with_hint("run the demo inside a clone of the project")
        })
}

/// Removes what an earlier demo left, and only a folder that a demo made.
fn forget(dir: &Path) -> Result<()> {
    if !dir.exists() {
        return Ok(());
    }
    if !dir.join("windlass.toml").is_file()
        && fs::read_dir(dir).is_ok_and(|mut all| all.next().is_some())
    {
        return Err(Error::new(
            Kind::Config,
            "the folder was not made by a demo, so it is left alone",
        )
        .with_context("dir", dir.display())
        .with_hint("name another folder with --dir"));
    }
    fs::remove_dir_all(dir).map_err(|error| cannot("remove", dir, error))
}

fn cannot(action: &str, path: &Path, error: std::io::Error) -> Error {
    Error::new(Kind::Config, format!("cannot {action} {}", path.display())).with_source(error)
}
