//! `windlass archive restore`: an archive's folder becomes the source of a flow that no configuration has.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use windlass_archive::{Archive, Verified, read};
use windlass_celum::CelumProfile;
use windlass_core::{AssetPath, Error, Kind, Result};
use windlass_flow::{Flow, Restore, RestoreOptions, Tolerance, restore_flow};

use super::{blocking, print, prove, signers};
use crate::args::{ArchiveRestoreArgs, PlanArgs, RunArgs};
use crate::commands::{Ended, plan, run as flows};
use crate::config::{
    CelumConfig, EndpointConfig, FlowConfig, IngestConfig, Layered, LocalConfig, ReadyConfig, known,
};
use crate::out::Out;
use crate::wiring::Wiring;
use crate::{interrupt, progress};

/// Restores an archive, or shows what that would do.
pub(crate) async fn run(args: &ArchiveRestoreArgs, layered: Layered, out: Out) -> Result<Ended> {
    let mut layered = layered;
    let library = library(&layered, &args.to)?;
    let own_field = own_field(library, &layered.base)?;
    let signers = signers(&args.archive.signer)?;
    let cancel = interrupt::watch(out);
    let dir = args.archive.dir.clone();
    // What cannot be restored at all is refused before hours of reading.
    let archive = {
        let (dir, signers) = (dir.clone(), signers.clone());
        blocking(move || read(&dir, &signers)).await?
    };
    let verified = prove(&dir, &signers, &cancel, out).await?;
    check(args, &archive, &verified, out)?;
    let flow = restore_flow(&archive.manifest.header.archive, &args.to);
    configure(&mut layered, &flow, args, &archive)?;
    let options = RestoreOptions {
        documents: documents(args),
        damaged: damaged(&verified),
        without: args.without.iter().cloned().chain(own_field).collect(),
    };
    let restore = blocking(move || Restore::open(archive, options)).await?;
    act(args, &layered, &flow, &restore, &cancel, out).await
}

/// Wires the flow, makes it one of the archive, and plans or runs it.
async fn act(
    args: &ArchiveRestoreArgs,
    layered: &Layered,
    flow: &str,
    restore: &Restore,
    cancel: &CancellationToken,
    out: Out,
) -> Result<Ended> {
    let observer = progress::observer(out);
    let mut wired = Wiring::new(layered, out)
        .flow(flow, args.retry_held, Arc::clone(&observer))
        .await?;
    if let Flow::Ingest(ingest) = &mut wired.flow {
        restore.rule(ingest);
        wired.runner.source = Arc::clone(&ingest.source);
    }
    let again = again(args);
    if args.plan {
        let planned = plan_args(args, flow);
        let shown = Box::pin(plan::only_show(
            &planned, layered, wired, observer, &again, out,
        ));
        return tokio::select! {
            shown = shown => shown,
            () = cancel.cancelled() => Err(Error::new(Kind::Cancelled, "the planning was stopped")),
        };
    }
    let asked = flows::Asked {
        args: &run_args(args, flow),
        flow,
        layered,
        reviewed: None,
        out,
        manner: flows::Manner::Asked,
    };
    flows::finish(&asked, wired, observer, cancel, &again).await
}

/// The library to restore to. Errors: `Config` for an endpoint that is not there or is none.
fn library<'a>(layered: &'a Layered, name: &str) -> Result<&'a CelumConfig> {
    let endpoints = &layered.config.endpoint;
    known("endpoint", name, endpoints.keys(), "--to")?;
    match &endpoints[name] {
        EndpointConfig::Celum(config) => Ok(config),
        EndpointConfig::Dropbox(_) | EndpointConfig::Local(_) => Err(Error::new(
            Kind::Config,
            format!("--to: {name} is no library: it has no titles, asset types or fields"),
        )
        .with_hint("name a CELUM tenant; the files themselves can be copied as they are")),
    }
}

/// The field with our own marks, which are new for what is restored.
fn own_field(library: &CelumConfig, base: &Path) -> Result<Option<String>> {
    match (&library.correlation_field, &library.profile) {
        (Some(field), _) => Ok(Some(field.clone())),
        (None, Some(file)) => Ok(CelumProfile::read(&base.join(file))?.correlation_field),
        (None, None) => Ok(None),
    }
}

/// Refuses an archive that is not as it was sealed, unless what is intact is asked for.
fn check(
    args: &ArchiveRestoreArgs,
    archive: &Archive,
    verified: &Verified,
    out: Out,
) -> Result<()> {
    if verified.seal != archive.manifest.seal {
        return Err(Error::new(
            Kind::SourceChanged,
            "the manifest changed while the archive was verified",
        ));
    }
    if verified.is_intact() {
        let files = crate::text::files(verified.intact);
        out.say(&format!("the archive is intact: {files}"));
        return Ok(());
    }
    let sentences = verified.sentences();
    if args.damaged {
        for sentence in sentences {
            out.say(&format!("damaged: {sentence}"));
        }
        return Ok(());
    }
    print(verified, out)?;
    Err(
        Error::new(Kind::Integrity, "the archive is not as it was sealed").with_hint(
            "nothing was done; look for another copy, or restore with --damaged what is intact",
        ),
    )
}

/// What is wrong with which file, as far as it is listed; of the rest the transfers find it out.
fn damaged(verified: &Verified) -> BTreeMap<String, String> {
    let serious = verified.troubles.iter();
    let serious = serious.filter(|(kind, _)| !kind.is_harmless());
    serious
        .flat_map(|(_, listed)| &listed.first)
        .filter_map(|trouble| Some((trouble.path()?.to_owned(), trouble.to_string())))
        .collect()
}

fn documents(args: &ArchiveRestoreArgs) -> AssetPath {
    match &args.documents {
        Some(documents) => AssetPath::new(documents),
        None => AssetPath::new(&args.collection).join("Documents"),
    }
}

/// Adds the archive's folder and the flow from it to the configuration of this process.
fn configure(
    layered: &mut Layered,
    flow: &str,
    args: &ArchiveRestoreArgs,
    archive: &Archive,
) -> Result<()> {
    let from = format!("archive {}", archive.manifest.header.archive);
    let root = std::path::absolute(&args.archive.dir).map_err(|error| {
        Error::new(Kind::InvalidInput, "the archive's folder has no path").with_source(error)
    })?;
    let config = IngestConfig {
        from: from.clone(),
        to: args.to.clone(),
        root: String::new(),
        plugin: None,
        collection: args.collection.clone(),
        keep_folders: false,
        read_back: false,
        signatures: 0,
        max_removals: Default::default(),
        // An archive is whole, and nobody writes to it.
        ready: ReadyConfig {
            packages: false,
            ..ReadyConfig::default()
        },
        duplicates: None,
        asset_type: None,
        availability: None,
        select: Default::default(),
        set: BTreeMap::new(),
        vocabulary: None,
        sheet: None,
    };
    let config_of = &mut layered.config;
    let folder = EndpointConfig::Local(LocalConfig { root });
    config_of.endpoint.insert(from, folder);
    let flows = &mut config_of.flow;
    flows.insert(flow.to_owned(), FlowConfig::Ingest(Box::new(config)));
    Ok(())
}

fn plan_args(args: &ArchiveRestoreArgs, flow: &str) -> PlanArgs {
    PlanArgs {
        flow: Some(flow.to_owned()),
        show: None,
        save: None,
        sign: Vec::new(),
        against: None,
        steps: args.steps,
        retry_held: args.retry_held,
    }
}

fn run_args(args: &ArchiveRestoreArgs, flow: &str) -> RunArgs {
    RunArgs {
        flow: Some(flow.to_owned()),
        plan: None,
        tolerance: Tolerance::default(),
        abandon: false,
        over_cap: false,
        stop_after: None,
        over_budget: false,
        retry_held: args.retry_held,
    }
}

/// The command that restores the same.
fn again(args: &ArchiveRestoreArgs) -> String {
    format!(
        "windlass archive restore {} --to {} --collection {:?}",
        args.archive.dir.display(),
        args.to,
        args.collection
    )
}
