//! One listener that answers under Dropbox's own host names, over TLS.
//!
//! Tools whose hosts are fixed reach the sandbox through it: name resolution leads the names to loopback, and a
//! certificate authority made for this one sandbox vouches for them. Its key never leaves the process.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::{GRACE, talk};

/// Where to listen, and where to put what clients must trust.
#[derive(Clone, Debug)]
pub struct ByHost {
    /// The address. Clients with fixed hosts need port 443.
    pub address: SocketAddr,
    /// The certificate of the authority, PEM, is written here before the first connection is taken.
    pub ca_file: PathBuf,
}

/// Dropbox's hosts, and which of its three routers each belongs to.
const HOSTS: [(&str, Part); 5] = [
    ("api.dropboxapi.com", Part::Api),
    ("api.dropbox.com", Part::Api),
    ("www.dropbox.com", Part::Api),
    ("content.dropboxapi.com", Part::Content),
    ("notify.dropboxapi.com", Part::Notify),
];

#[derive(Clone, Copy, Debug)]
enum Part {
    Api,
    Content,
    Notify,
}

/// The routers of the emulated Dropbox.
#[derive(Clone, Debug)]
pub(super) struct Routers {
    pub(super) api: Router,
    pub(super) content: Router,
    pub(super) notify: Router,
}

/// Starts the listener; it runs in `servers` until told to stop.
pub(super) async fn serve(
    options: &ByHost,
    routers: Routers,
    stop: &CancellationToken,
    servers: &mut JoinSet<()>,
) -> io::Result<()> {
    let acceptor = acceptor(options)?;
    let listener = TcpListener::bind(options.address).await?;
    let router = Router::new().fallback(route).with_state(routers);
    servers.spawn(accept(listener, acceptor, router, stop.clone()));
    Ok(())
}

/// Hands a request to the router of its host.
async fn route(State(routers): State<Routers>, request: Request) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    let name = host.split(':').next().unwrap_or_default();
    let known = HOSTS.iter().find(|(known, _)| *known == name);
    let router = match known {
        Some((_, Part::Api)) => routers.api,
        Some((_, Part::Content)) => routers.content,
        Some((_, Part::Notify)) => routers.notify,
        None => {
            let message = format!("the sandbox does not answer for the host {name:?}\n");
            return (StatusCode::MISDIRECTED_REQUEST, message).into_response();
        }
    };
    match router.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// A TLS server for all hosts, whose authority is written where clients look for it.
fn acceptor(options: &ByHost) -> io::Result<TlsAcceptor> {
    let fail = |error: rcgen::Error| io::Error::other(error.to_string());
    let authority_key = KeyPair::generate().map_err(fail)?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    authority.distinguished_name = named("Windlass sandbox");
    let authority_certificate = authority.self_signed(&authority_key).map_err(fail)?;
    std::fs::write(&options.ca_file, authority_certificate.pem())?;

    let names: Vec<String> = HOSTS
        .iter()
        .map(|(host, _)| (*host).to_owned())
        .chain(["localhost".to_owned()])
        .collect();
    let mut leaf = CertificateParams::new(names).map_err(fail)?;
    leaf.distinguished_name = named("Windlass sandbox, emulated Dropbox");
    let key = KeyPair::generate().map_err(fail)?;
    let issuer = Issuer::from_params(&authority, &authority_key);
    let certificate = leaf.signed_by(&key, &issuer).map_err(fail)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())
        .map_err(io::Error::other)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// As the plain listeners do, with a handshake before each connection's first request.
async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    router: Router,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => {
                let (stream, _) = match accepted {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        // Out of file descriptors, most likely: some will be given back.
                        tracing::debug!(%error, "a connection could not be taken");
                        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                        continue;
                    }
                };
                let (acceptor, router, stop) = (acceptor.clone(), router.clone(), stop.clone());
                connections.spawn(async move {
                    if let Err(error) = stream.set_nodelay(true) {
                        tracing::debug!(%error, "answers may be delayed");
                    }
                    match acceptor.accept(stream).await {
                        Ok(stream) => talk(stream, router, stop).await,
                        Err(error) => tracing::debug!(%error, "a handshake failed"),
                    }
                });
            }
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, ended).await.is_err() {
        connections.shutdown().await;
    }
}
