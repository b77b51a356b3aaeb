//! Chains of certificates in `x5c` (RFC 7515 section 4.1.6) under roots that a policy names (RFC 5280 section 6; SD-JWT
//! VC draft section 2.5, "X.509 Certificates").
//!
//! `webpki` finds and checks the path: signatures, validity, names in their order, basic constraints and their path
//! length, name constraints, critical extensions. Its signatures go through [`SignatureProvider`]. Here are what it leaves
//! out (key usage), what a credential needs of a chain (key, subject, key identifiers of authorities), and whose word the
//! leaf is. A root counts until the policy drops it (RFC 5280 section 6.1.1); what purposes a leaf names (extended key
//! usage) is not looked at, as none is defined for credentials.
mod der;
mod keys;
mod name;

use crate::jwk::PublicKey;
use crate::provider::SignatureProvider;
use crate::time::Timestamp;
use crate::url::{HttpsUrl, UrlPolicy};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use der::Extensions;
use rustls_pki_types::{CertificateDer, TrustAnchor, UnixTime};
use serde_json::Value;
use std::time::Duration;
use webpki::{EndEntityCert, Error, ExtendedKeyUsageValidator, KeyPurposeIdIter};

const MOST_CERTIFICATES: usize = 8;
const LARGEST_CERTIFICATE: usize = 16 * 1024;

/// The roots that a policy names for a type of credential.
pub(crate) struct Roots(Vec<TrustAnchor<'static>>);

/// What a chain establishes.
#[derive(Debug)]
pub(crate) struct Leaf {
    /// the key that signs credentials
    pub(crate) key: PublicKey,
    /// the subject (RFC 4514)
    pub(crate) subject: String,
    uris: Vec<String>,
    hosts: Vec<String>,
    /// the authority key identifiers of the path (RFC 5280 section 4.2.1.1)
    pub(crate) authority_key_ids: Vec<Vec<u8>>,
}

impl Roots {
    /// Takes certificates in DER.
    ///
    /// # Errors
    /// Why one of them is no root.
    pub(crate) fn new<'a>(certificates: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, &'static str> {
        let anchor = |der: &'a [u8]| {
            let certificate = CertificateDer::from(der);
            let anchor = webpki::anchor_from_trusted_cert(&certificate).map_err(|_| "not a certificate in DER")?;
            // so that a leaf is never taken for the root of itself
            match Extensions::of(der).is_some_and(|extensions| extensions.is_authority()) {
                true => Ok(anchor.to_owned()),
                false => Err("not the certificate of an authority"),
            }
        };
        certificates.into_iter().map(anchor).collect::<Result<_, _>>().map(Self)
    }

    /// Checks the chain of an `x5c`: the leaf first, then what leads to a root; the root itself may be there or not.
    ///
    /// # Errors
    /// Why there is no path from the leaf to a root that holds now.
    pub(crate) fn check(
        &self,
        x5c: &Value,
        provider: &dyn SignatureProvider,
        now: Timestamp,
    ) -> Result<Leaf, &'static str> {
        let chain = decode(x5c)?;
        let (leaf, others) = chain.split_first().ok_or("`x5c` is empty")?;
        let certificate = EndEntityCert::try_from(leaf).map_err(|error| match error {
            Error::UnsupportedCriticalExtension => explain(&error),
            _ => "the certificate is malformed",
        })?;
        let seconds = u64::try_from(now.unix()).map_err(|_| "the time is before all certificates")?;
        let time = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let algorithms = keys::algorithms(provider);
        let algorithms: Vec<_> = algorithms.iter().map(keys::CertificateAlgorithm::as_dyn).collect();
        let path = certificate
            .verify_for_usage(&algorithms, &self.0, others, time, AnyPurpose, None, None)
            .map_err(|error| explain(&error))?;

        let mut authority_key_ids = Vec::new();
        let extensions = Extensions::of(leaf).ok_or("the certificate is malformed")?;
        if !extensions.allows_signatures() {
            return Err("the certificate is not for signatures");
        }
        authority_key_ids.extend(extensions.authority_key_id().map(<[u8]>::to_vec));
        for authority in path.intermediate_certificates() {
            let der = authority.der();
            let extensions = Extensions::of(&der).ok_or("a certificate is malformed")?;
            if !extensions.allows_certificates() {
                return Err("a certificate of the chain may not issue others");
            }
            authority_key_ids.extend(extensions.authority_key_id().map(<[u8]>::to_vec));
        }
        Ok(Leaf {
            key: keys::of_spki(&certificate.subject_public_key_info())
                .ok_or("the certificate's key is not supported")?,
            subject: name::subject(leaf).ok_or("the certificate's subject is malformed")?,
            uris: certificate.valid_uri_names().map(str::to_owned).collect(),
            hosts: certificate.valid_dns_names().map(str::to_ascii_lowercase).collect(),
            authority_key_ids,
        })
    }
}

impl Leaf {
    /// Whether the leaf may speak as that issuer: an `https` URL that is one of its names (a URI, or the host as a DNS
    /// name; drafts of SD-JWT VC before -10 ask for this, later ones name the subject alone).
    pub(crate) fn speaks_as(&self, iss: &str, policy: UrlPolicy) -> bool {
        let Ok(url) = HttpsUrl::parse(iss, policy) else {
            return false;
        };
        let host = url.authority().split(':').next().unwrap_or_default();
        self.uris.iter().any(|uri| uri == iss) || self.hosts.iter().any(|name| name == host)
    }
}

/// The authority key identifiers of the certificates in the header of a token (OpenID4VP 1.0 section 6.1.1.1). For a
/// holder, who leaves it to the verifier whether they make a path; what is no certificate has none.
#[cfg(feature = "sign")]
pub(crate) fn authority_key_ids(header: &serde_json::Map<String, Value>) -> Vec<Vec<u8>> {
    let certificates = header.get("x5c").and_then(|x5c| decode(x5c).ok()).unwrap_or_default();
    let key_id = |der: &CertificateDer<'_>| Extensions::of(der)?.authority_key_id().map(<[u8]>::to_vec);
    certificates.iter().filter_map(key_id).collect()
}

/// The certificates of an `x5c`: base64 (not base64url) of DER.
fn decode(x5c: &Value) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let Value::Array(texts) = x5c else {
        return Err("`x5c` is no list");
    };
    if texts.len() > MOST_CERTIFICATES {
        return Err("`x5c` has too many certificates");
    }
    let certificate = |text: &Value| {
        let text = text.as_str().filter(|text| text.len() <= LARGEST_CERTIFICATE)?;
        STANDARD.decode(text).ok().map(CertificateDer::from)
    };
    texts.iter().map(certificate).collect::<Option<_>>().ok_or("`x5c` has what is no certificate in base64")
}

fn explain(error: &Error) -> &'static str {
    match error {
        Error::CertExpired { .. } => "a certificate of the chain has expired",
        Error::CertNotValidYet { .. } => "a certificate of the chain is not valid yet",
        Error::CaUsedAsEndEntity => "the certificate is that of an authority",
        Error::EndEntityUsedAsCa => "a certificate of the chain is not that of an authority",
        Error::PathLenConstraintViolated => "the chain is longer than an authority allows",
        Error::NameConstraintViolation => "an authority may not speak for that name",
        Error::InvalidSignatureForPublicKey => "a signature of the chain does not hold",
        Error::UnsupportedCriticalExtension => "a certificate has a critical extension that is not supported",
        Error::MaximumSignatureChecksExceeded | Error::MaximumPathBuildCallsExceeded => {
            "the chain is too costly to check"
        }
        _ => "no chain leads to a root that is trusted for this",
    }
}

struct AnyPurpose;

impl ExtendedKeyUsageValidator for AnyPurpose {
    fn validate(&self, purposes: KeyPurposeIdIter<'_, '_>) -> Result<(), Error> {
        // well-formed, whatever they are
        purposes.into_iter().try_for_each(|purpose| purpose.map(|_| ()))
    }
}
