//! `windlass sandbox`: the two emulated services alone, for rehearsals and for developing against.

use std::path::Path;

use windlass_core::{Error, Kind, Result};
use windlass_sandbox::agency::AgencySize;
use windlass_sandbox::celum::Profile;
use windlass_sandbox::dropbox::DropboxOptions;
use windlass_sandbox::fault::FaultProfile;
use windlass_sandbox::{Sandbox, SandboxEndpoints, SandboxOptions, Tls};

use super::Ended;
use crate::args::{Noise, SandboxArgs, SandboxBasics, TreeSize};
use crate::out::Out;
use crate::{interrupt, progress, text};

/// Serves until Ctrl-C.
pub(crate) async fn run(args: &SandboxArgs, out: Out) -> Result<Ended> {
    let cancel = interrupt::watch(out);
    let tls = (args.tls || args.by_host.is_some()).then(|| Tls {
        ca_file: args.tls_ca.clone(),
        origins: args.tls,
        by_host: args.by_host,
    });
    let sandbox = start(
        Place {
            dir: args.dir.as_deref(),
            forgetful: args.forgetful,
            monthly_calls: args.monthly_calls,
            first_port: args.port,
            tls,
        },
        &args.basics,
        None,
    )
    .await?;
    make_noise(&sandbox, &args.noise)?;
    if let Some(size) = args.fill {
        fill(&sandbox, size, args.basics.seed, out)?;
    }
    let endpoints = sandbox.endpoints();
    if out.json {
        out.line(&serde_json::json!({ "record": "sandbox", "endpoints": endpoints }))?;
    } else {
        out.data(&describe(endpoints))?;
    }
    out.say("serving on loopback only; Ctrl-C stops");
    cancel.cancelled().await;
    sandbox.shutdown().await;
    Ok(Ended::Done)
}

/// Where both services keep what they have, where they answer, and how often.
#[derive(Default)]
pub(crate) struct Place<'a> {
    pub(crate) dir: Option<&'a Path>,
    pub(crate) forgetful: bool,
    pub(crate) monthly_calls: Option<u64>,
    pub(crate) first_port: Option<u16>,
    pub(crate) tls: Option<Tls>,
}

/// Starts both services. `index_lag`: seconds that CELUM's search lags, if not the careful default.
pub(crate) async fn start(
    place: Place<'_>,
    basics: &SandboxBasics,
    index_lag: Option<u64>,
) -> Result<Sandbox> {
    let mut celum_profile = Profile::default();
    if let Some(seconds) = index_lag {
        celum_profile.index_lag = seconds;
    }
    let options = SandboxOptions {
        dir: place.dir.map(Path::to_owned),
        forgetful: place.forgetful,
        seed: basics.seed,
        first_port: place.first_port,
        dropbox_faults: faults("--dropbox-faults", basics.latency, &basics.dropbox_faults)?,
        celum_faults: faults("--celum-faults", basics.latency, &basics.celum_faults)?,
        celum_profile,
        dropbox: DropboxOptions {
            monthly_calls: place.monthly_calls,
            ..DropboxOptions::default()
        },
        tls: place.tls,
        ..SandboxOptions::default()
    };
    Sandbox::start(options).await.map_err(|error| {
        Error::new(Kind::Unavailable, "the sandbox cannot start").with_source(error)
    })
}

/// Puts files of noise into the emulated Dropbox. Their hashes are computed, so a GiB takes most of a second.
fn make_noise(sandbox: &Sandbox, wanted: &[Noise]) -> Result<()> {
    let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
        Error::new(Kind::Unexpected, "the files of noise cannot be made").with_source(source)
    };
    let mut seed = 0;
    for noise in wanted {
        for index in 0..noise.count {
            seed += 1;
            let path = format!("{}/{index:08}.bin", noise.folder.trim_end_matches('/'));
            let blob = sandbox.dropbox().blobs().put_noise(seed, noise.bytes);
            let blob = blob.map_err(|error| failed(error.into()))?;
            let put = sandbox.dropbox().put_blob(&path, blob, None);
            put.map_err(|error| failed(error.into()))?;
        }
    }
    Ok(())
}

/// Fills the emulated Dropbox; what is there already stays.
pub(crate) fn fill(sandbox: &Sandbox, size: TreeSize, seed: u64, out: Out) -> Result<()> {
    let size = match size {
        TreeSize::Full => AgencySize::Demo,
        TreeSize::Small => AgencySize::Small,
    };
    let bar = progress::spinner(out, "making an agency's files");
    let filled = tokio::task::block_in_place(|| {
        sandbox.fill_agency(size, seed, |files, bytes| {
            bar.set_message(progress::made(files, bytes));
        })
    });
    bar.finish_and_clear();
    let filled = filled.map_err(|error| {
        Error::new(Kind::Unexpected, "the sandbox cannot be filled").with_source(error)
    })?;
    out.say(&format!(
        "the emulated Dropbox holds {}, {}",
        text::files(filled.files),
        windlass_core::ByteSize(filled.bytes)
    ));
    Ok(())
}

fn faults(flag: &str, latency_ms: u64, given: &Option<String>) -> Result<FaultProfile> {
    let mut profile: FaultProfile =
        given
            .as_deref()
            .unwrap_or_default()
            .parse()
            .map_err(|error| {
                Error::new(Kind::Config, format!("{flag}: {error}")).with_hint(
                    "such as jitter=20;route=files/download,nth=3,do=reset-after;p=0.05,do=503",
                )
            })?;
    profile.latency_ms += latency_ms;
    Ok(profile)
}

/// The credentials to export and the addresses for a configuration.
fn describe(endpoints: &SandboxEndpoints) -> String {
    let SandboxEndpoints {
        dropbox_api,
        dropbox_content,
        dropbox_notify,
        dropbox_app_key,
        dropbox_app_secret,
        dropbox_refresh_token,
        celum_api_root,
        celum_api_key,
        ..
    } = endpoints;
    format!(
        "export DROPBOX_APP_SECRET={dropbox_app_secret}\n\
         export DROPBOX_REFRESH_TOKEN={dropbox_refresh_token}\n\
         export CELUM_API_KEY={celum_api_key}\n\
         \n\
         # in windlass.toml, for the endpoint of kind \"dropbox\"\n\
         app_key = \"{dropbox_app_key}\"\n\
         api_url = \"{dropbox_api}\"\n\
         content_url = \"{dropbox_content}\"\n\
         notify_url = \"{dropbox_notify}\"\n\
         \n\
         # and for the endpoint of kind \"celum\"\n\
         api_root = \"{celum_api_root}\"\n"
    )
}
