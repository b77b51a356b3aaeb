//! A throw-away certificate authority and certificates (RFC 5280), made anew for every run, and TLS for a fake service.

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, Certificate, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

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
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.issuer)?;
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
