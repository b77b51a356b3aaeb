//! The pure core of Carded: evidence in, verdict out.
//!
//! [`verify`] is a pure function. It makes no calls, reads no clock and draws no randomness: time is an argument, and
//! where it lacks a document (a JWKS, a discovery document) it answers [`Outcome::Need`] with the [`Fetch`] that would
//! help. The caller fetches in its own way, puts the reply (or the failure) into [`Documents`] and calls [`verify`]
//! again from the start. The same loop runs in a proxy, in a browser and in a native program.
//!
//! ```
//! use carded_verifier::{Documents, Evidence, Limits, Outcome, RustCrypto, Timestamp, Trust, verify};
//! use std::sync::Arc;
//!
//! let limits = Limits::default();
//! let trust = Trust::new(vec![], limits.clone(), Arc::new(RustCrypto)).unwrap();
//! let known = Documents::new(&limits);
//! let outcome = verify(&Evidence::access_token(b"a.b.c"), &trust, &known, Timestamp::from_unix(1_790_000_000));
//! assert!(matches!(outcome, Outcome::Denied(_)));
//! ```
//!
//! A credential that a person shows is verified in the same way, by [`verify_presentation`].
//!
//! Holding a [`Verified`] or a [`VerifiedCredential`] proves that every check ran: neither they nor a [`Fetch`] can be
//! built outside this crate.
//!
//! ```compile_fail,E0451
//! fn forge(real: carded_verifier::Verified) -> carded_verifier::Verified {
//!     carded_verifier::Verified { tenant: None, ..real }
//! }
//! ```
//! ```compile_fail,E0451
//! fn forge(real: carded_verifier::VerifiedCredential) -> carded_verifier::VerifiedCredential {
//!     carded_verifier::VerifiedCredential { satisfied: true, ..real }
//! }
//! ```
//! ```compile_fail,E0451
//! fn forge(until: carded_verifier::Timestamp) -> carded_verifier::CheckedStatus {
//!     carded_verifier::CheckedStatus { until }
//! }
//! ```
//! ```compile_fail,E0624
//! fn forge(real: carded_verifier::Fetch) -> carded_verifier::Fetch {
//!     real.jwks_of(real.url().clone())
//! }
//! ```
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::unreachable)
)]

pub mod age;
pub mod algorithm;
pub mod api_token;
pub mod base64url;
mod checks;
pub mod claim_path;
pub mod condensed;
pub mod confirmation;
pub mod credential;
mod credential_issuer;
mod date;
pub mod dcql;
pub mod did;
pub mod discovery;
pub mod documents;
pub mod dpop;
pub mod evidence;
pub mod fetch;
pub mod gateway_key;
pub mod holder;
pub mod id_token;
pub mod introspection;
pub mod issuer;
pub mod json;
pub mod jwk;
pub mod jwks;
mod jwt;
pub mod jwt_vc;
pub mod limits;
pub mod logout_token;
pub mod openid4vp;
pub mod ordered;
pub mod outcome;
pub mod presentation;
pub mod provider;
pub mod required_claim;
pub mod revocation;
pub mod sd_jwt;
mod sd_jwt_vc;
#[cfg(feature = "sign")]
pub mod sign;
mod signer;
pub mod status_list;
pub mod time;
pub mod trust;
pub mod url;
mod verdict;
mod x509;

pub use algorithm::Algorithm;
pub use api_token::{ApiToken, ApiTokenSource, ApiTokens, verify_api_token};
pub use claim_path::ClaimPath;
pub use condensed::{Basis, Condensed};
pub use confirmation::Confirmation;
pub use credential::{
    CredentialError, CredentialIndex, CredentialPolicy, StatusRule, StatusUnavailable, TrustedIssuer,
};
pub use discovery::ProviderMetadata;
pub use documents::{DocumentError, Documents, FetchFailure, Reply};
pub use evidence::Evidence;
pub use fetch::{DocumentKind, Fetch};
pub use gateway_key::{GatewayKey, GatewayKeyError};
pub use holder::Holder;
pub use id_token::{IdToken, VerifiedIdToken, provider_metadata, verify_id_token};
pub use introspection::{Introspection, verify_introspection};
pub use issuer::{Issuer, IssuerId, KeySource};
pub use jwk::PublicKey;
pub use jwks::{KeySet, KeySetError};
pub use limits::{LifetimeBounds, Limits};
pub use logout_token::{LogoutToken, VerifiedLogoutToken, verify_logout_token};
pub use ordered::Ordered;
pub use outcome::{Check, Class, Code, Denied, Outcome, Report, Verified};
pub use presentation::{Presentation, VerifiedCredential, verify_issued, verify_presentation};
pub use provider::{RustCrypto, RustCryptoWithTables, SignatureError, SignatureProvider};
pub use required_claim::{ClaimTest, RequiredClaim};
pub use status_list::{CheckedStatus, StatusReference, verify_status};
pub use time::Timestamp;
pub use trust::{IssuerIndex, Trust, TrustError};
pub use url::{HttpsUrl, UrlError, UrlPolicy};
pub use verdict::verify;
