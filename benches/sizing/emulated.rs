//! Both services, emulated in this process with the latency that a network gives each call, and the real clients to them:
//! what programs share that measure how soon a flow acts.

use std::sync::Arc;
use std::time::Duration;

use windlass_celum::{CelumEndpoint, CelumOptions, CelumProfile};
use windlass_core::{Clock, Result, Secret};
use windlass_dropbox::{Credential, DropboxEndpoint, DropboxOptions};
use windlass_http::{ReqwestTransport, Transport, TransportOptions};
use windlass_sandbox::celum::Profile;
use windlass_sandbox::fault::FaultProfile;
use windlass_sandbox::{Sandbox, SandboxOptions};

/// The network as it is here: without latency.
pub(crate) fn network() -> Result<Arc<dyn Transport>> {
    Ok(Arc::new(
        ReqwestTransport::new(TransportOptions::default())?,
    ))
}

/// Both services, each call of which takes so many milliseconds longer. Without a clock they go by the usual one.
pub(crate) async fn served(latency: u64, clock: Option<Arc<dyn Clock>>) -> Sandbox {
    let slow = FaultProfile {
        latency_ms: latency,
        ..FaultProfile::default()
    };
    let options = SandboxOptions {
        seed: 1,
        clock,
        dropbox_faults: slow.clone(),
        celum_faults: slow,
        celum_profile: Profile {
            index_lag: 0,
            range: true,
            ..Profile::default()
        },
        ..SandboxOptions::default()
    };
    Sandbox::start(options).await.expect("a sandbox")
}

/// The tenant, by a client of its own on this network.
pub(crate) async fn tenant(
    sandbox: &Sandbox,
    network: Arc<dyn Transport>,
) -> Result<Arc<CelumEndpoint>> {
    let at = sandbox.endpoints();
    let key = Secret::new(at.celum_api_key.clone());
    let profile = CelumProfile {
        index_lag: 0,
        range: true,
        ..CelumProfile::default()
    };
    let options = CelumOptions::new("dam", at.celum_api_root.clone(), key, profile);
    CelumEndpoint::connect(network, options).await
}

/// The account, by a client of its own on this network.
pub(crate) async fn account(
    sandbox: &Sandbox,
    network: Arc<dyn Transport>,
) -> Result<Arc<DropboxEndpoint>> {
    let at = sandbox.endpoints();
    let credential = Credential::Refresh {
        app_key: at.dropbox_app_key.clone(),
        app_secret: Some(Secret::new(at.dropbox_app_secret.clone())),
        refresh_token: Secret::new(at.dropbox_refresh_token.clone()),
    };
    let options = DropboxOptions {
        api_url: at.dropbox_api.clone(),
        content_url: at.dropbox_content.clone(),
        notify_url: at.dropbox_notify.clone(),
        stamps: true,
        ..DropboxOptions::new("share", credential)
    };
    DropboxEndpoint::connect(network, options).await
}

/// The value that this share of sorted ones keeps to, in milliseconds.
pub(crate) fn kept_to(sorted: &[Duration], share: f64) -> f64 {
    let index = (sorted.len() as f64 * share).ceil() as usize;
    let value = sorted[index.clamp(1, sorted.len()) - 1];
    value.as_secs_f64() * 1_000.0
}
