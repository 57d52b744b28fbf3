//! TLS with an authority of the sandbox's own.
//!
//! The authority and the one certificate it signs are made when the sandbox starts; both keys stay in the process.
//! The certificate is good for loopback and for Dropbox's own hosts, so that tools whose hosts are fixed accept it
//! once they trust the authority. HTTP/1.1 is all that is spoken.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivatePkcs8KeyDer;

use super::hosts;

/// What is served over TLS, and where what clients must trust is put.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    /// The authority's certificate is written here, PEM, before the first connection is taken. `None` leaves it to
    /// [`SandboxEndpoints::ca_pem`](super::SandboxEndpoints::ca_pem).
    pub ca_file: Option<PathBuf>,
    /// Whether the services' own ports speak TLS, and nothing else.
    pub origins: bool,
    /// One more address that answers under Dropbox's own host names. Clients with fixed hosts need port 443.
    pub by_host: Option<SocketAddr>,
}

/// An authority whose only certificate is in use.
pub(super) struct Authority {
    /// The authority's own certificate.
    pub(super) pem: String,
    pub(super) acceptor: TlsAcceptor,
}

/// Makes an authority and a certificate for every name the sandbox answers under.
pub(super) fn authority(options: &Tls) -> io::Result<Authority> {
    let (pem, config) = certified().map_err(|error| io::Error::other(error.to_string()))?;
    if let Some(file) = &options.ca_file {
        std::fs::write(file, &pem)?;
    }
    Ok(Authority {
        pem,
        acceptor: TlsAcceptor::from(Arc::new(config)),
    })
}

fn certified() -> Result<(String, ServerConfig), Box<dyn std::error::Error>> {
    let authority_key = KeyPair::generate()?;
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    authority.distinguished_name = named("Windlass sandbox");
    let pem = authority.self_signed(&authority_key)?.pem();

    let names = hosts::dropbox_names().chain(["localhost", "127.0.0.1"]);
    let mut leaf = CertificateParams::new(names.map(str::to_owned).collect::<Vec<_>>())?;
    leaf.distinguished_name = named("Windlass sandbox, emulated services");
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    // Strict verifiers, such as that of newer Pythons, want to be told who signed.
    leaf.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let issuer = Issuer::from_params(&authority, &authority_key);
    let certificate = leaf.signed_by(&key, &issuer)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let provider = Arc::new(ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key.into())?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok((pem, config))
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}
