//! A throw-away certificate authority and certificates (RFC 5280), made anew for every run, and TLS for a fake service.

use anyhow::{Context, Result, anyhow};
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use ring::digest::{SHA256, digest};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// A certificate authority.
#[derive(Debug)]
pub struct Authority {
    certificate: Certificate,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate with its key.
#[derive(Debug)]
pub struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: Vec<u8>,
    certificate_pem: String,
    key_pem: String,
}

impl Authority {
    /// Makes a fresh authority.
    ///
    /// # Errors
    /// When no key can be generated.
    pub fn new() -> Result<Self> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, "Carded test authority");
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?;
        Ok(Self { certificate, issuer: Issuer::new(params, key) })
    }

    /// A server certificate for one DNS name.
    ///
    /// # Errors
    /// When the name is none.
    pub fn issue(&self, name: &str) -> Result<Identity> {
        self.sign(CertificateParams::new(vec![name.to_owned()])?)
    }

    /// A client certificate for a SPIFFE id or another URI (RFC 5280 section 4.2.1.6).
    ///
    /// # Errors
    /// When it is no URI.
    pub fn issue_client(&self, uri: &str) -> Result<Identity> {
        self.issue_names(&[uri], &[])
    }

    /// A client certificate with these URIs and DNS names, in this order.
    ///
    /// # Errors
    /// When one is none.
    pub fn issue_names(&self, uris: &[&str], hosts: &[&str]) -> Result<Identity> {
        let mut params = CertificateParams::new(Vec::<String>::new())?;
        for uri in uris {
            params.subject_alt_names.push(SanType::URI((*uri).try_into()?));
        }
        for host in hosts {
            params.subject_alt_names.push(SanType::DnsName((*host).try_into()?));
        }
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            chain: vec![certificate.der().clone()],
            key: key.serialize_der(),
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
        })
    }

    /// Writes the authority's certificate as PEM to `directory/name`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn write(&self, directory: &Path, name: &str) -> Result<PathBuf> {
        let path = directory.join(name);
        fs::write(&path, self.certificate.pem())?;
        Ok(path)
    }
}

/// TLS for a client that believes the authority in the PEM file `ca`, with a certificate of its own where there is one.
///
/// # Errors
/// When the file cannot be read or the key does not fit.
pub fn connector(ca: &Path, identity: Option<&Identity>) -> Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(ca).map_err(|error| anyhow!("{error}"))?)?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let key = PrivateKeyDer::try_from(identity.key.clone()).map_err(|error| anyhow!("{error}"))?;
            builder.with_client_auth_cert(identity.chain.clone(), key)?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

impl Identity {
    /// TLS for a fake service, HTTP/1.1 alone.
    ///
    /// # Errors
    /// When the key does not fit.
    pub fn acceptor(&self) -> Result<TlsAcceptor> {
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::try_from(self.key.clone()).map_err(|e| anyhow::anyhow!("{e}"))?;
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .with_no_client_auth()
            .with_single_cert(self.chain.clone(), key)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// The SHA-256 of the certificate (RFC 8705 section 3.1).
    pub fn sha256(&self) -> Vec<u8> {
        self.chain.first().map(|one| digest(&SHA256, one).as_ref().to_vec()).unwrap_or_default()
    }

    /// Writes the certificate and the key as PEM: `(certificate, key)`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<(PathBuf, PathBuf)> {
        let (certificate, key) = (directory.join("server.pem"), directory.join("server.key"));
        fs::write(&certificate, &self.certificate_pem)?;
        fs::write(&key, &self.key_pem)?;
        Ok((certificate, key))
    }
}
