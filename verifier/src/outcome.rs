//! What comes out: verified claims, a refusal with its reason, or a document to fetch first.
use crate::algorithm::Algorithm;
use crate::claim_path::ClaimPath;
use crate::condensed::{Basis, Window};
use crate::confirmation::Confirmation;
use crate::fetch::Fetch;
use crate::json::Members;
use crate::time::Timestamp;
use crate::trust::IssuerIndex;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The answer of [`crate::verify`], and of [`crate::verify_presentation`] with other proof in it.
#[derive(Clone, Debug)]
#[must_use = "nothing is verified until the outcome is looked at"]
pub enum Outcome<V = Verified> {
    /// Every check ran and passed.
    Verified(V),
    /// A check failed.
    Denied(Denied),
    /// A document is needed first: fetch it, put the reply or the failure into the documents, and ask again.
    Need(Fetch),
}

/// Evidence that passed every check. It cannot be built outside this crate.
#[derive(Clone)]
pub struct Verified {
    pub(crate) issuer: IssuerIndex,
    pub(crate) name: Arc<str>,
    pub(crate) tenant: Option<String>,
    pub(crate) claims: TokenClaims,
    pub(crate) expires: Option<Timestamp>,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<Arc<str>>,
    /// the `kid` of the key in its set, where what it signed can be revoked
    pub(crate) key_id: Option<String>,
    pub(crate) provider: &'static str,
    pub(crate) window: Window,
    pub(crate) basis: Basis,
    pub(crate) confirmation: Option<Box<Confirmation>>,
    pub(crate) passed: Vec<Check>,
}

impl Verified {
    /// The issuer that vouches.
    pub fn issuer_index(&self) -> IssuerIndex {
        self.issuer
    }

    /// Its name in the configuration.
    pub fn issuer_name(&self) -> &str {
        &self.name
    }

    /// `iss`, as in the token. Who someone is, is this together with [`subject`](Self::subject).
    pub fn iss(&self) -> &str {
        self.text("iss").unwrap_or_default()
    }

    /// For an issuer pattern: the tenant.
    pub fn tenant(&self) -> Option<&str> {
        self.tenant.as_deref()
    }

    /// All claims.
    pub fn claims(&self) -> &Map<String, Value> {
        self.claims.all()
    }

    /// The claim at a path.
    pub fn claim(&self, path: &ClaimPath) -> Option<&Value> {
        path.find(self.claims.read())
    }

    /// `sub`.
    pub fn subject(&self) -> Option<&str> {
        self.text("sub")
    }

    /// When it ends: `exp`. The verdict itself holds until then and the issuer's clock skew.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// What it is bound to (`cnf`). Only evidence whose holder [proves](crate::Evidence::holder_proves) it has one.
    pub fn confirmation(&self) -> Option<&Confirmation> {
        self.confirmation.as_deref()
    }

    /// The algorithm of the signature.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The `kid` that the token named.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// The checks that ran, in order.
    pub fn report(&self) -> Report {
        Report::of_passed(&self.passed, |check| match check {
            Check::Issuer => match &self.tenant {
                Some(tenant) => format!("{}, tenant {}", self.name, tenant.escape_debug()),
                None => self.name.to_string(),
            },
            Check::Algorithm => self.algorithm.name().to_owned(),
            Check::Key => match &self.kid {
                Some(kid) => format!("kid {}", kid.escape_debug()),
                None => "the only one of its algorithm".to_owned(),
            },
            Check::Signature => format!("by {}", self.provider),
            _ => String::new(),
        })
    }

    fn text(&self, name: &str) -> Option<&str> {
        self.claims.read().get(name).and_then(Value::as_str)
    }
}

/// The claims of a token as they were read, and as one object once somebody asks for that.
#[derive(Clone)]
pub(crate) struct TokenClaims {
    read: Members,
    all: OnceLock<Map<String, Value>>,
}

impl TokenClaims {
    pub(crate) fn new(read: Members) -> Self {
        Self { read, all: OnceLock::new() }
    }

    pub(crate) fn read(&self) -> &Members {
        &self.read
    }

    fn all(&self) -> &Map<String, Value> {
        self.all.get_or_init(|| self.read.to_map())
    }

    pub(crate) fn discard(self) {
        self.read.discard();
    }
}

impl fmt::Debug for Verified {
    /// Whose token it is, without any claim.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified")
            .field("issuer", &self.name)
            .field("algorithm", &self.algorithm)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// A refusal: which check failed, and why. Its texts hold no token, secret or claim value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Denied {
    pub(crate) code: Code,
    pub(crate) check: Check,
    pub(crate) detail: String,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) passed: Vec<Check>,
}

impl Denied {
    /// The stable code.
    pub fn code(&self) -> Code {
        self.code
    }

    /// The check that failed.
    pub fn check(&self) -> Check {
        self.check
    }

    /// The reason in a sentence part, fit for the caller to read.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// Who is to blame, and so which status answers.
    pub fn class(&self) -> Class {
        self.code.class()
    }

    /// For [`Class::Unavailable`]: after how long asking again may help.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }

    /// The checks that ran, in order; the last is the one that failed.
    pub fn report(&self) -> Report {
        let passed = self.passed.iter().map(|check| Line { check: *check, passed: true, detail: String::new() });
        let failed = Line { check: self.check, passed: false, detail: format!("{}: {}", self.code, self.detail) };
        Report { lines: passed.chain([failed]).collect() }
    }
}

/// Who is to blame for a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Class {
    /// The evidence is no good: HTTP 401 (RFC 6750 section 3.1, `invalid_token`).
    Evidence,
    /// The evidence is good, but not enough: HTTP 403.
    Insufficient,
    /// A document that the verdict needs cannot be had: HTTP 503.
    Unavailable,
}

impl Class {
    /// The HTTP status that answers.
    pub fn status(self) -> u16 {
        match self {
            Self::Evidence => 401,
            Self::Insufficient => 403,
            Self::Unavailable => 503,
        }
    }
}

/// The checks, in the order in which they run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Check {
    /// It is not too large.
    Size,
    /// Its shape is sound.
    Parse,
    /// Its issuer, and tenant, is trusted.
    Issuer,
    /// Its algorithm is on the issuer's list.
    Algorithm,
    /// The issuer has exactly one key for it.
    Key,
    /// The signature holds.
    Signature,
    /// It is the right kind of token.
    Type,
    /// What its issuer lets its holder show or withhold was shown as the issuer signed it.
    Disclosures,
    /// It is meant for us.
    Audience,
    /// It is valid now.
    Time,
    /// It has the claims that the policy requires.
    Claims,
    /// Its holder shows it, to us and now.
    Binding,
    /// Its issuer has not taken it back.
    Status,
}

impl Check {
    /// A short name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Parse => "parse",
            Self::Issuer => "issuer",
            Self::Algorithm => "algorithm",
            Self::Key => "key",
            Self::Signature => "signature",
            Self::Type => "type",
            Self::Disclosures => "disclosures",
            Self::Audience => "audience",
            Self::Time => "time",
            Self::Claims => "claims",
            Self::Binding => "binding",
            Self::Status => "status",
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What was checked, in order. `Display` prints one line for a check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    lines: Vec<Line>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Line {
    check: Check,
    passed: bool,
    detail: String,
}

impl Report {
    pub(crate) fn of_passed(passed: &[Check], detail: impl Fn(Check) -> String) -> Self {
        let line = |check: &Check| Line { check: *check, passed: true, detail: detail(*check) };
        Self { lines: passed.iter().map(line).collect() }
    }

    /// Each check with whether it passed and a detail, which may be empty.
    pub fn lines(&self) -> impl Iterator<Item = (Check, bool, &str)> {
        self.lines.iter().map(|line| (line.check, line.passed, line.detail.as_str()))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Line { check, passed, detail } in &self.lines {
            let verdict = if *passed { "ok  " } else { "FAIL" };
            let space = if detail.is_empty() { "" } else { "  " };
            let padding = if detail.is_empty() { 0 } else { 9 };
            writeln!(f, "{verdict}  {:<padding$}{space}{detail}", check.as_str())?;
        }
        Ok(())
    }
}

macro_rules! codes {
    ($( $(#[doc = $doc:literal])+ $variant:ident = $name:literal, $class:ident; )+) => {
        /// Why evidence is refused: stable names for programs, sorted by who is to blame.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        #[non_exhaustive]
        pub enum Code {
            $( $(#[doc = $doc])+ $variant, )+
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$( Self::$variant, )+];

            /// The stable name.
            pub fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $name, )+ }
            }

            /// Who is to blame.
            pub fn class(self) -> Class {
                match self { $( Self::$variant => Class::$class, )+ }
            }

            /// What it means, in a sentence.
            pub fn description(self) -> &'static str {
                match self { $( Self::$variant => concat!($($doc),+).trim_ascii(), )+ }
            }
        }
    };
}

codes! {
    // the sender: it is no sound token
    /// The token is longer than the limit.
    TokenTooLarge = "token_too_large", Evidence;
    /// The token is not a compact JWS with strict base64url and JSON.
    TokenMalformed = "token_malformed", Evidence;
    /// The token's header asks for something that is not supported (`crit`, `b64`, `zip`).
    CriticalHeader = "critical_header", Evidence;
    /// The token is encrypted, or another token is nested in it.
    EncryptedToken = "encrypted_token", Evidence;

    // the sender: it is a token, but not one to trust
    /// The token's `iss` is not an issuer that is trusted here.
    IssuerUntrusted = "issuer_untrusted", Evidence;
    /// The token's `alg` is not on the issuer's allow-list.
    AlgorithmNotAllowed = "algorithm_not_allowed", Evidence;
    /// The issuer publishes no key for the token's `kid`, or none for its algorithm.
    KeyNotFound = "key_not_found", Evidence;
    /// The token names no `kid`, and the issuer has several keys for its algorithm.
    KeyAmbiguous = "key_ambiguous", Evidence;
    /// The key of the token's `kid` is for another algorithm.
    KeyMismatch = "key_mismatch", Evidence;
    /// The API token is not one that is known here.
    ApiTokenUnknown = "api_token_unknown", Evidence;
    /// The issuer says that the token is not active: it has ended, was revoked, or never was one.
    TokenInactive = "token_inactive", Evidence;
    /// The signature does not hold.
    SignatureInvalid = "signature_invalid", Evidence;

    // the sender: it is genuine, but not for this use
    /// The token's `typ` is that of another kind of token.
    TypeNotAllowed = "type_not_allowed", Evidence;
    /// The token is an ID token, which is no access token.
    IdTokenNotAccepted = "id_token_not_accepted", Evidence;
    /// The token's `aud` names none of the audiences that are accepted.
    AudienceMismatch = "audience_mismatch", Evidence;
    /// The token has expired.
    TokenExpired = "token_expired", Evidence;
    /// The token is not valid yet, or was issued in the future.
    TokenNotYetValid = "token_not_yet_valid", Evidence;
    /// The token was issued for longer than the policy takes.
    LifetimeTooLong = "lifetime_too_long", Evidence;
    /// A claim that every token must have is missing.
    ClaimMissing = "claim_missing", Evidence;
    /// A claim has a wrong type.
    ClaimInvalid = "claim_invalid", Evidence;
    /// The token is bound to a key or a certificate of its holder, and is not taken without the proof of it.
    TokenBound = "token_bound", Evidence;

    // the sender: it is a presentation of a credential, but not a sound one
    /// The presentation is longer than the limit.
    PresentationTooLarge = "presentation_too_large", Evidence;
    /// The presentation is not of the credential's format.
    PresentationMalformed = "presentation_malformed", Evidence;
    /// A disclosure is not what the issuer signed, or is shown twice, or belongs nowhere.
    DisclosureInvalid = "disclosure_invalid", Evidence;
    /// The credential's chain of certificates does not lead to a root that is trusted for it.
    CertificateUntrusted = "certificate_untrusted", Evidence;
    /// The credential names no key of its holder that can be used.
    HolderKeyInvalid = "holder_key_invalid", Evidence;
    /// The proof that its holder shows the credential is missing.
    KeyBindingMissing = "key_binding_missing", Evidence;
    /// The proof that its holder shows the credential does not hold.
    KeyBindingInvalid = "key_binding_invalid", Evidence;
    /// The presentation was made for another request.
    NonceMismatch = "nonce_mismatch", Evidence;
    /// The presentation was made too long ago, or in the future.
    PresentationStale = "presentation_stale", Evidence;

    // the sender: it is a genuine credential, but not one that counts
    /// The credential is not of the type that was asked for.
    CredentialTypeMismatch = "credential_type_mismatch", Evidence;
    /// The credential has expired.
    CredentialExpired = "credential_expired", Evidence;
    /// The credential is not valid yet, or was issued in the future.
    CredentialNotYetValid = "credential_not_yet_valid", Evidence;
    /// The credential was issued longer ago than the policy takes.
    CredentialTooOld = "credential_too_old", Evidence;
    /// The issuer has revoked the credential.
    CredentialRevoked = "credential_revoked", Evidence;
    /// The issuer has suspended the credential for the time being.
    CredentialSuspended = "credential_suspended", Evidence;
    /// The credential has no status, and the policy requires one.
    StatusMissing = "status_missing", Evidence;
    /// The credential's status, or the list that it is in, is not one to trust.
    StatusInvalid = "status_invalid", Evidence;

    // the policy: it is good, but not enough
    /// The credential does not show what was asked for.
    QueryNotMet = "query_not_met", Insufficient;
    /// A claim that the policy requires is missing or has another value.
    ClaimMismatch = "claim_mismatch", Insufficient;

    // the provider, or the way to it
    /// The issuer's keys cannot be had at the moment.
    KeysUnavailable = "keys_unavailable", Unavailable;
    /// The issuer cannot be asked about the token at the moment.
    IntrospectionUnavailable = "introspection_unavailable", Unavailable;
    /// The DID document of the issuer or holder cannot be had at the moment.
    DidUnresolvable = "did_unresolvable", Unavailable;
    /// The credential's status cannot be had at the moment.
    StatusUnavailable = "status_unavailable", Unavailable;
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn names_are_stable_and_distinct() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'_'), "{code}");
            assert!(code.description().ends_with('.') && !code.description().starts_with(' '), "{code}");
        }
        assert_eq!(Code::KeysUnavailable.class().status(), 503);
        assert_eq!(Code::ClaimMismatch.class().status(), 403);
        assert_eq!(Code::TokenExpired.class().status(), 401);
    }

    #[test]
    fn a_report_has_a_line_for_each_check() {
        let denied = Denied {
            code: Code::TokenExpired,
            check: Check::Time,
            detail: "`exp` has passed".to_owned(),
            retry_after: None,
            passed: vec![Check::Size, Check::Parse],
        };
        assert_eq!(
            denied.report().to_string(),
            "ok    size\nok    parse\nFAIL  time       token_expired: `exp` has passed\n"
        );
    }
}
