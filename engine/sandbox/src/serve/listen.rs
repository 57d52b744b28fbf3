//! Listeners, and the connections that each of them owns.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::GRACE;

/// How long to wait when a connection cannot be taken: out of file descriptors, most likely, and some will be given
/// back.
const PAUSE: Duration = Duration::from_millis(50);

/// The listeners of one sandbox. They end when told to stop, and at once when dropped.
#[derive(Debug)]
pub(super) struct Listening {
    stop: CancellationToken,
    pub(super) servers: JoinSet<()>,
}

impl Listening {
    pub(super) fn new(stop: &CancellationToken) -> Self {
        Listening {
            stop: stop.clone(),
            servers: JoinSet::new(),
        }
    }

    /// Serves a router on a port of loopback; 0 takes a free one.
    pub(super) async fn on_port(
        &mut self,
        name: &'static str,
        router: Router,
        port: u16,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<Url> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let wanted = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let address = self.on(name, router, wanted, tls).await?;
        Url::parse(&format!("{scheme}://{address}/")).map_err(io::Error::other)
    }

    /// Serves a router on an address; where it really is.
    pub(super) async fn on(
        &mut self,
        name: &'static str,
        router: Router,
        address: SocketAddr,
        tls: Option<TlsAcceptor>,
    ) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        tracing::debug!(name, %address, tls = tls.is_some(), "the sandbox listens");
        let door = Door {
            router,
            tls,
            stop: self.stop.clone(),
        };
        self.servers.spawn(accept(listener, door));
        Ok(address)
    }
}

/// What a connection is led to.
#[derive(Clone)]
struct Door {
    router: Router,
    tls: Option<TlsAcceptor>,
    stop: CancellationToken,
}

/// Takes connections until told to stop, then lets those that are open end, for as long as the grace
/// lasts. Dropping it cuts them.
async fn accept(listener: TcpListener, door: Door) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = door.stop.cancelled() => break,
            // Those that ended are forgotten, so the set holds no more than what is open.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(connections.spawn(welcome(stream, door.clone()))),
                Err(error) => {
                    tracing::debug!(%error, "a connection could not be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            },
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

async fn welcome(stream: TcpStream, door: Door) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "answers may be delayed");
    }
    match door.tls {
        None => talk(stream, door.router, door.stop).await,
        Some(tls) => {
            let shaken = tokio::select! {
                shaken = tls.accept(stream) => shaken,
                () = door.stop.cancelled() => return,
            };
            match shaken {
                Ok(stream) => talk(stream, door.router, door.stop).await,
                Err(error) => tracing::debug!(%error, "a handshake failed"),
            }
        }
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
