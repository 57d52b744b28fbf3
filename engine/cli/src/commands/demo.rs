//! `windlass demo`: the main job on two emulated services, through the same code as `windlass run`.
//!
//! Everything it makes is in one folder: the services' state, the ledger, and a configuration that
//! differs from a customer's only in its URLs and in where the credentials come from.

use std::fs;
use std::path::{Path, PathBuf};

use windlass_core::{Error, Kind, Ledger, Result};
use windlass_flow::{Report, Tolerance};
use windlass_sandbox::SandboxEndpoints;

use super::{Ended, overlay, run as flow, sandbox, sweep};
use crate::args::{DemoArgs, Global, RunArgs, SweepArgs};
use crate::config::{Layered, load};
use crate::out::Out;
use crate::wiring::{Access, Wiring};
use crate::{page, text};

/// What the demo does, one after the other: a flow of its configuration, and what it is about.
const STORY: &[(&str, &str)] = &[
    (
        "approved-masters",
        "approved files of three agencies come into CELUM, with the fields that their folders say",
    ),
    (
        "press",
        "one campaign goes out to the press, with a link for each file",
    ),
    (
        "regions",
        "its photographs go to three regions, each in its language",
    ),
];

/// What it does once a licence has ended.
const WITHDRAWING: &[(&str, &str)] = &[
    ("press", "the press loses it"),
    ("regions", "so do the regions"),
];

/// What it does last.
const CLOSING: &[(&str, &str)] = &[(
    "archive",
    "another campaign is over: it is archived in Dropbox and sealed",
)];

/// The photograph whose licence ends: its file and the collection that it is in.
const LICENSED: (&str, &str) = ("Summer_01.jpg", "Kite Sports");

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
    let story = Story {
        layered: &layered,
        reports: &args.dir.join("reports"),
        out,
    };
    story.tell(STORY).await?;
    end_licence(served, out)?;
    story.sweep(WITHDRAWING).await?;
    let ended = story.tell(CLOSING).await?;
    out.say(&format!(
        "reports to look at are in {}; the configuration is {}; run the demo again and it finds nothing to do",
        story.reports.display(),
        file.display()
    ));
    Ok(ended)
}

/// What the demo's flows do, told as they do it.
struct Story<'a> {
    layered: &'a Layered,
    reports: &'a Path,
    out: Out,
}

impl Story<'_> {
    /// Runs flows, each with its plan, run and report.
    async fn tell(&self, flows: &[(&str, &str)]) -> Result<Ended> {
        let mut ended = Ended::Done;
        for (name, about) in flows {
            self.head(name, about)?;
            let asked = RunArgs {
                stop_after: None,
                over_budget: false,
                flow: Some((*name).to_owned()),
                plan: None,
                tolerance: Tolerance::default(),
                abandon: false,
                over_cap: false,
                retry_held: false,
            };
            if flow::run(&asked, self.layered, self.out).await? == Ended::WithFailures {
                ended = Ended::WithFailures;
            }
            self.report(name, name).await?;
        }
        Ok(ended)
    }

    /// Looks whether what flows placed may still be there.
    async fn sweep(&self, flows: &[(&str, &str)]) -> Result<()> {
        for (name, about) in flows {
            self.head(name, about)?;
            let asked = SweepArgs {
                flow: (*name).to_owned(),
                every: None,
                over_cap: false,
            };
            sweep::run(&asked, self.layered, self.out).await?;
            self.report(name, &format!("{name}-withdrawn")).await?;
        }
        Ok(())
    }

    fn head(&self, name: &str, about: &str) -> Result<()> {
        match self.out.json {
            true => self.out.line(&serde_json::json!({
                "record": "chapter",
                "flow": name,
                "about": about,
            })),
            false => self.out.data(&format!("\n── {name}: {about}\n")),
        }
    }

    /// Writes the report of a flow's last run as a page.
    async fn report(&self, flow: &str, file: &str) -> Result<()> {
        let ledger = Wiring::new(self.layered, self.out)
            .ledger(Access::ReadOnly)
            .await?;
        let report = Report::of(ledger.as_ref(), None, Some(flow)).await;
        ledger.close().await?;
        fs::create_dir_all(self.reports).map_err(|error| cannot("create", self.reports, error))?;
        let file = self.reports.join(format!("{file}.html"));
        fs::write(&file, page::page(&report?)?).map_err(|error| cannot("write", &file, error))
    }
}

/// A photograph's licence ends, as an editor would say in CELUM.
fn end_licence(served: &windlass_sandbox::Sandbox, out: Out) -> Result<()> {
    let celum = served.celum();
    let (file, client) = LICENSED;
    let ended: Vec<_> = celum
        .assets()
        .into_iter()
        .filter(|asset| asset.filename == file)
        .filter(|asset| asset.parents.iter().any(|parent| parent.contains(client)))
        .collect();
    for asset in &ended {
        celum.set_field(asset.id, "licenceUntil", &"2026-01-31T00:00:00Z".into())?;
    }
    out.say(&format!(
        "an editor notes in CELUM that the licence of {} of {client} has ended: {file}",
        text::files(ended.len() as u64)
    ));
    Ok(())
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
    let plugins = plugin_sources()?;
    let filled = [
        ("{app_key}", endpoints.dropbox_app_key.clone()),
        ("{api_url}", endpoints.dropbox_api.to_string()),
        ("{content_url}", endpoints.dropbox_content.to_string()),
        ("{notify_url}", endpoints.dropbox_notify.to_string()),
        ("{api_root}", endpoints.celum_api_root.to_string()),
        ("{plugins}", plugins.display().to_string()),
    ]
    .into_iter()
    .fold(TEMPLATE.to_owned(), |text, (hole, value)| {
        text.replace(hole, &value)
    });
    let file = dir.join("windlass.toml");
    fs::write(&file, filled).map_err(|error| cannot("write", &file, error))?;
    Ok(file)
}

/// The shipped plugins' sources: below the current folder or one above it, else where this program was built.
fn plugin_sources() -> Result<PathBuf> {
    let below = Path::new("plugins");
    let here = std::env::current_dir().map_err(|error| cannot("find", below, error))?;
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    here.ancestors()
        .chain([built.as_path()])
        .map(|folder| folder.join(below))
        .find(|folder| folder.join("folder-metadata/Cargo.toml").is_file())
        .and_then(|folder| folder.canonicalize().ok())
        .ok_or_else(|| {
            Error::new(
                Kind::NotFound,
                "the sources of the shipped plugins are not here",
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
