//! Both services, on loopback or in process: opened, served and stopped together.
//!
//! [`Sandbox::start`] listens on six ports; [`Sandbox::in_process`] opens no socket at all and is called through
//! [`Sandbox::service`], which a served sandbox has as well. Every listener owns the connections that it accepted.
//! Axum's own loop leaves them to the runtime, where a held call goes on after its sandbox is gone and may write
//! to a folder that the next one has opened.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use serde::Serialize;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use url::Url;
use windlass_core::Clock;

use crate::celum::{Celum, CelumOptions, Profile};
use crate::dropbox::{Dropbox, DropboxOptions, OpenError};
use crate::fault::{FaultProfile, Faults};

mod hosts;
mod listen;
mod service;
mod tls;

use hosts::Hosts;
use listen::Listening;
pub use service::{Lost, Service};
pub use tls::Tls;

/// How long open connections may go on once the sandbox is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// How both services are to run.
#[derive(Clone, Debug, Default)]
pub struct SandboxOptions {
    /// Where their state is kept; `None` keeps it in memory.
    pub dir: Option<PathBuf>,
    /// Takes contents in, with every check, and forgets them: for measuring with more than memory holds. They cannot
    /// be read again. Without effect where `dir` is given.
    pub forgetful: bool,
    /// Ids, tokens and faults follow from it.
    pub seed: u64,
    /// The first of five consecutive ports; `None` takes free ones.
    pub first_port: Option<u16>,
    /// Latency and faults of the emulated Dropbox.
    pub dropbox_faults: FaultProfile,
    /// Latency and faults of the emulated CELUM.
    pub celum_faults: FaultProfile,
    /// What the emulated tenant does where CELUM's documentation is silent.
    pub celum_profile: Profile,
    /// Everything else about the emulated Dropbox. Its folder, seed, faults and clock, and whether it forgets, are
    /// those given here, not those in it.
    pub dropbox: DropboxOptions,
    /// Serves over TLS, with certificates that a private authority made for this one sandbox.
    pub tls: Option<Tls>,
    /// The time of day of both services. `None`: the machine's; in process, a fixed start moved on by the
    /// runtime's clock.
    pub clock: Option<Arc<dyn Clock>>,
}

/// Why the sandbox cannot start, or cannot be filled.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The emulated Dropbox's state cannot be opened.
    #[error("the emulated Dropbox cannot be opened: {0}")]
    Dropbox(#[from] OpenError),
    /// The emulated CELUM's state cannot be opened.
    #[error("the emulated CELUM cannot be opened: {0}")]
    Celum(windlass_core::Error),
    /// A port cannot be listened on.
    #[error("port {port} cannot be listened on: {source}")]
    Port {
        /// The port that was asked for; 0 for any free one.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// Dropbox's own host names cannot be served.
    #[error("{address} cannot be served under Dropbox's host names: {source}")]
    ByHost {
        /// The address that was asked for.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// There is no certificate, or the authority's cannot be written.
    #[error("the sandbox cannot speak TLS: {0}")]
    Tls(io::Error),
    /// A file of the agency's tree cannot be made.
    #[error("{path} cannot be made: {why}")]
    Fill {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
}

/// Where the services are, and the credentials to use them with. They guard nothing: everything is
/// made up and served on loopback.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxEndpoints {
    /// Remote calls and tokens of Dropbox.
    pub dropbox_api: Url,
    /// Contents of Dropbox.
    pub dropbox_content: Url,
    /// Change notifications of Dropbox.
    pub dropbox_notify: Url,
    /// The app's key.
    pub dropbox_app_key: String,
    /// The app's secret.
    pub dropbox_app_secret: String,
    /// A refresh token of the account.
    pub dropbox_refresh_token: String,
    /// The root of CELUM's Content API.
    pub celum_api_root: Url,
    /// The API key of a user who may change things.
    pub celum_api_key: String,
    /// The one address that answers under Dropbox's own host names, if there is one.
    pub by_host: Option<SocketAddr>,
    /// The PEM of the certificate that clients must trust, where TLS is spoken.
    pub ca_pem: Option<String>,
}

/// Both services, serving until they are stopped or dropped.
#[derive(Debug)]
pub struct Sandbox {
    dropbox: Arc<Dropbox>,
    celum: Arc<Celum>,
    endpoints: SandboxEndpoints,
    service: Service,
    stop: CancellationToken,
    servers: JoinSet<()>,
}

/// The addresses of both services, before credentials are added.
struct Addresses {
    dropbox: [Url; 3],
    celum: Url,
    transfer: Url,
    by_host: Option<SocketAddr>,
    ca_pem: Option<String>,
}

impl Sandbox {
    /// Opens both services and serves them. CELUM's default tenant is set up where there is none.
    pub async fn start(options: SandboxOptions) -> Result<Sandbox, SandboxError> {
        let (tls, first_port) = (options.tls.clone(), options.first_port);
        let (dropbox, celum) = open(options)?;
        let stop = CancellationToken::new();
        let mut listening = Listening::new(&stop);
        let authority = tls.as_ref().map(tls::authority).transpose();
        let authority = authority.map_err(SandboxError::Tls)?;
        let acceptor = authority.as_ref().map(|made| made.acceptor.clone());
        let everywhere = tls.as_ref().is_some_and(|tls| tls.origins);
        let own = acceptor.clone().filter(|_| everywhere);

        let mut urls = Vec::with_capacity(5);
        for (index, (name, router)) in routers(&dropbox, &celum).into_iter().enumerate() {
            // Five ports at the most, so the index fits.
            let port = first_port.map_or(0, |first| first.saturating_add(index as u16));
            let url = listening.on_port(name, router, port, own.clone()).await;
            urls.push(url.map_err(|source| SandboxError::Port { port, source })?);
        }
        let by_host = match (tls.and_then(|tls| tls.by_host), acceptor) {
            (Some(address), Some(acceptor)) => {
                let served = by_host(&mut listening, &dropbox, address, acceptor).await;
                Some(served.map_err(|source| SandboxError::ByHost { address, source })?)
            }
            _ => None,
        };
        let [api, content, notify, celum_api, transfer] =
            [0, 1, 2, 3, 4].map(|at| urls[at].clone());
        let addresses = Addresses {
            dropbox: [api, content, notify],
            celum: celum_api,
            transfer,
            by_host,
            ca_pem: authority.map(|made| made.pem),
        };
        Ok(assemble(dropbox, celum, addresses, stop, listening.servers))
    }

    /// Opens both services without serving them: no socket, no thread. Requests go to [`Sandbox::service`], under
    /// the host names of [`Sandbox::endpoints`]. On a paused runtime of one thread the same seed and the same
    /// calls give the same answers at the same instants.
    pub fn in_process(options: SandboxOptions) -> Result<Sandbox, SandboxError> {
        let clock: Arc<dyn Clock> = match &options.clock {
            Some(clock) => Arc::clone(clock),
            None => Arc::new(service::clock()),
        };
        let (dropbox, celum) = open(SandboxOptions {
            clock: Some(clock),
            ..options
        })?;
        let addresses = service::addresses();
        let stop = CancellationToken::new();
        Ok(assemble(dropbox, celum, addresses, stop, JoinSet::new()))
    }

    /// Where the services are, and the credentials to use them with.
    pub fn endpoints(&self) -> &SandboxEndpoints {
        &self.endpoints
    }

    /// The emulated Dropbox, to arrange and inspect.
    pub fn dropbox(&self) -> &Arc<Dropbox> {
        &self.dropbox
    }

    /// The emulated CELUM, to arrange and inspect.
    pub fn celum(&self) -> &Arc<Celum> {
        &self.celum
    }

    /// Both services as one function from request to answer.
    pub fn service(&self) -> &Service {
        &self.service
    }

    /// Stops serving; requests under way get two seconds to end and are cut then. Afterwards nothing of
    /// this sandbox runs any more, so that its folder may be opened again.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // Each of them ends within the grace.
        while self.servers.join_next().await.is_some() {}
    }
}

/// Both services as the options want them.
fn open(options: SandboxOptions) -> Result<(Arc<Dropbox>, Arc<Celum>), SandboxError> {
    let below = |name: &str| options.dir.as_ref().map(|dir| dir.join(name));
    let clock = |usual: Arc<dyn Clock>| options.clock.clone().unwrap_or(usual);
    let dropbox = Dropbox::open(DropboxOptions {
        dir: below("dropbox"),
        forgetful: options.forgetful,
        seed: options.seed,
        faults: options.dropbox_faults,
        clock: clock(DropboxOptions::default().clock),
        ..options.dropbox
    })?;
    let usual = CelumOptions::default();
    let celum = Celum::open(CelumOptions {
        dir: below("celum"),
        forgetful: options.forgetful,
        seed: options.seed,
        faults: Faults::new(options.celum_faults, options.seed),
        profile: options.celum_profile,
        clock: clock(usual.clock),
    })
    .and_then(|celum| celum.seed_default_tenant().map(|_| celum))
    .map_err(SandboxError::Celum)?;
    Ok((dropbox, celum))
}

/// What is served, each at an origin of its own.
fn routers(dropbox: &Arc<Dropbox>, celum: &Arc<Celum>) -> [(&'static str, Router); 5] {
    [
        ("dropbox api", dropbox.router_api()),
        ("dropbox content", dropbox.router_content()),
        ("dropbox notify", dropbox.router_notify()),
        ("celum api", celum.router_api()),
        ("celum transfer", celum.router_transfer()),
    ]
}

async fn by_host(
    listening: &mut Listening,
    dropbox: &Arc<Dropbox>,
    address: SocketAddr,
    acceptor: TlsAcceptor,
) -> io::Result<SocketAddr> {
    let router = Hosts::of_dropbox(dropbox).router();
    listening
        .on("by host", router, address, Some(acceptor))
        .await
}

fn assemble(
    dropbox: Arc<Dropbox>,
    celum: Arc<Celum>,
    addresses: Addresses,
    stop: CancellationToken,
    servers: JoinSet<()>,
) -> Sandbox {
    celum.set_transfer_base(addresses.transfer.clone());
    let service = Service::new(&dropbox, &celum, &addresses);
    let [dropbox_api, dropbox_content, dropbox_notify] = addresses.dropbox;
    let mut celum_api_root = addresses.celum;
    celum_api_root.set_path("/content-api/v1");
    let endpoints = SandboxEndpoints {
        dropbox_api,
        dropbox_content,
        dropbox_notify,
        dropbox_app_key: dropbox.app_key(),
        dropbox_app_secret: dropbox.app_secret().expose().to_owned(),
        dropbox_refresh_token: dropbox.refresh_token().expose().to_owned(),
        celum_api_root,
        celum_api_key: celum.api_key().expose().to_owned(),
        by_host: addresses.by_host,
        ca_pem: addresses.ca_pem,
    };
    Sandbox {
        dropbox,
        celum,
        endpoints,
        service,
        stop,
        servers,
    }
}

#[cfg(test)]
mod tests;
