//! Both emulated services in this process, and the clients connected to them as the program does it.

use std::sync::Arc;

use windlass_celum::{CelumEndpoint, CelumOptions, CelumProfile};
use windlass_core::Secret;
use windlass_dropbox::{Credential, DropboxEndpoint, DropboxOptions};
use windlass_http::{Jitter, ReqwestTransport, Transport, TransportOptions};
use windlass_sandbox::celum::Profile;
use windlass_sandbox::fault::FaultProfile;
use windlass_sandbox::{Sandbox, SandboxOptions};

/// A sandbox whose CELUM shows every change at once and takes ranges.
pub(crate) fn sandbox_options(seed: u64) -> SandboxOptions {
    SandboxOptions {
        seed,
        celum_profile: Profile {
            index_lag: 0,
            preview_delay: 0,
            range: true,
            ..Profile::default()
        },
        ..SandboxOptions::default()
    }
}

/// What the client is told of that CELUM.
pub(crate) fn tenant_profile() -> CelumProfile {
    CelumProfile {
        index_lag: 0,
        range: true,
        ..CelumProfile::default()
    }
}

/// A fault profile that is known to parse.
pub(crate) fn faults(text: &str) -> FaultProfile {
    text.parse().unwrap()
}

pub(crate) async fn start(options: SandboxOptions) -> Sandbox {
    Sandbox::start(options).await.unwrap()
}

pub(crate) fn network() -> Arc<dyn Transport> {
    Arc::new(ReqwestTransport::new(TransportOptions::default()).unwrap())
}

/// The account of the sandbox, with a refresh token as a customer has one.
pub(crate) async fn dropbox(sandbox: &Sandbox) -> Arc<DropboxEndpoint> {
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
        jitter: Jitter::seeded(7),
        stamps: true,
        ..DropboxOptions::new("studio", credential)
    };
    DropboxEndpoint::connect(network(), options).await.unwrap()
}

/// The tenant of the sandbox.
pub(crate) async fn celum(sandbox: &Sandbox, profile: CelumProfile) -> Arc<CelumEndpoint> {
    let at = sandbox.endpoints();
    let key = Secret::new(at.celum_api_key.clone());
    let options = CelumOptions::new("dam", at.celum_api_root.clone(), key, profile);
    CelumEndpoint::connect(network(), options).await.unwrap()
}

/// Bytes without a period that chunking could hide.
pub(crate) fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.wrapping_mul(0x2545_F491_4F6C_DD1D).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
