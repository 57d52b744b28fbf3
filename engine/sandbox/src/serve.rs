//! Both services on loopback: five listeners, started and stopped together.
//!
//! Every listener owns the connections that it accepted. Axum's own loop leaves them to the runtime, where
//! a held call goes on after its sandbox is gone and may write to a folder that the next one has opened.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde::Serialize;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::celum::{Celum, CelumOptions, Profile};
use crate::dropbox::{Dropbox, DropboxOptions, OpenError};
use crate::fault::{FaultProfile, Faults};

mod by_host;

pub use by_host::ByHost;
use by_host::Routers;

/// How long open connections may go on once the sandbox is told to stop.
const GRACE: Duration = Duration::from_secs(2);

/// How both services are to run.
#[derive(Clone, Debug, Default)]
pub struct SandboxOptions {
    /// Where their state is kept; `None` keeps it in memory.
    pub dir: Option<PathBuf>,
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
    /// Answers under Dropbox's own host names as well.
    pub by_host: Option<ByHost>,
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
}

/// Both services, serving until they are stopped or dropped.
#[derive(Debug)]
pub struct Sandbox {
    dropbox: Arc<Dropbox>,
    celum: Arc<Celum>,
    endpoints: SandboxEndpoints,
    stop: CancellationToken,
    servers: JoinSet<()>,
}

impl Sandbox {
    /// Opens both services and serves them. CELUM's default tenant is set up where there is none.
    pub async fn start(options: SandboxOptions) -> Result<Sandbox, SandboxError> {
        let below = |name: &str| options.dir.as_ref().map(|dir| dir.join(name));
        let dropbox = Dropbox::open(DropboxOptions {
            dir: below("dropbox"),
            seed: options.seed,
            faults: options.dropbox_faults,
            ..DropboxOptions::default()
        })?;
        let celum = Celum::open(CelumOptions {
            dir: below("celum"),
            seed: options.seed,
            faults: Faults::new(options.celum_faults, options.seed),
            profile: options.celum_profile,
            ..CelumOptions::default()
        })
        .and_then(|celum| celum.seed_default_tenant().map(|_| celum))
        .map_err(SandboxError::Celum)?;

        let stop = CancellationToken::new();
        let mut servers = JoinSet::new();
        let mut urls = Vec::with_capacity(5);
        let routers = [
            dropbox.router_api(),
            dropbox.router_content(),
            dropbox.router_notify(),
            celum.router_api(),
            celum.router_transfer(),
        ];
        for (index, router) in routers.into_iter().enumerate() {
            // Five ports at the most, so the index fits.
            let port = options
                .first_port
                .map_or(0, |first| first.saturating_add(index as u16));
            urls.push(serve(router, port, &stop, &mut servers).await?);
        }
        if let Some(by_host) = &options.by_host {
            let routers = Routers {
                api: dropbox.router_api(),
                content: dropbox.router_content(),
                notify: dropbox.router_notify(),
            };
            let served = by_host::serve(by_host, routers, &stop, &mut servers).await;
            served.map_err(|source| SandboxError::ByHost {
                address: by_host.address,
                source,
            })?;
        }
        let [api, content, notify, celum_api, transfer] =
            [0, 1, 2, 3, 4].map(|at| urls[at].clone());
        celum.set_transfer_base(transfer);
        let mut api_root = celum_api;
        api_root.set_path("/content-api/v1");
        let endpoints = SandboxEndpoints {
            dropbox_api: api,
            dropbox_content: content,
            dropbox_notify: notify,
            dropbox_app_key: dropbox.app_key(),
            dropbox_app_secret: dropbox.app_secret().expose().to_owned(),
            dropbox_refresh_token: dropbox.refresh_token().expose().to_owned(),
            celum_api_root: api_root,
            celum_api_key: celum.api_key().expose().to_owned(),
        };
        Ok(Sandbox {
            dropbox,
            celum,
            endpoints,
            stop,
            servers,
        })
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

    /// Stops serving; requests under way get two seconds to end and are cut then. Afterwards nothing of
    /// this sandbox runs any more, so that its folder may be opened again.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        // Each of them ends within the grace.
        while self.servers.join_next().await.is_some() {}
    }
}

async fn serve(
    router: Router,
    port: u16,
    stop: &CancellationToken,
    servers: &mut JoinSet<()>,
) -> Result<Url, SandboxError> {
    let fail = |source| SandboxError::Port { port, source };
    let listener = TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
        .await
        .map_err(fail)?;
    let address = listener.local_addr().map_err(fail)?;
    servers.spawn(accept(listener, router, stop.clone()));
    let mut url = Url::parse("http://127.0.0.1/").map_err(|error| fail(io::Error::other(error)))?;
    url.set_port(Some(address.port()))
        .map_err(|()| fail(io::Error::other("no port")))?;
    Ok(url)
}

/// Takes connections until told to stop, then lets those that are open end, for as long as the grace
/// lasts. Dropping it cuts them.
async fn accept(mut listener: TcpListener, router: Router, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            // Those that ended are forgotten, so the set holds no more than what is open.
            Some(_) = connections.join_next() => {}
            (stream, _) = Listener::accept(&mut listener) => {
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "answers may be delayed");
                }
                connections.spawn(talk(stream, router.clone(), stop.clone()));
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        tracing::debug!(
            open = connections.len(),
            "connections of the sandbox are cut"
        );
        // Waits until each is gone, which an abort alone does not.
        connections.shutdown().await;
    }
}

/// Serves one connection to its end; told to stop, it ends with the request under way.
async fn talk<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
    stream: S,
    router: Router,
    stop: CancellationToken,
) {
    // The server's own limit for a head is about 400 KiB: what is too long is for the emulators to say.
    let service = TowerToHyperService::new(router);
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::trace!(%error, "a connection of the sandbox broke off");
    }
}

#[cfg(test)]
mod tests;
