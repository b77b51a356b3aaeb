//! A credential that is shown: every check in its order, from the start each time (OpenID4VP 1.0 section 8.6).
//!
//! size → parse → issuer → algorithm → key (may need documents) → signature → type → disclosures → time → claims →
//! binding → status (may need documents). The formats differ in how a credential is taken apart and how its holder
//! shows it; who is trusted, what was asked for and the status are the same for all.
use crate::algorithm::Algorithm;
use crate::checks::{Steps, Stop, deny};
use crate::claim_path::ClaimPath;
use crate::credential::{CompiledCredential, CredentialIndex};
use crate::dcql::{Candidate, Format};
use crate::documents::Documents;
use crate::holder::Holder;
use crate::jwt::Token;
use crate::jwt_vc;
use crate::outcome::{Check, Code, Outcome, Report};
use crate::sd_jwt;
use crate::sd_jwt_vc;
use crate::signer::{self, World};
use crate::status_list::{self, StatusReference};
use crate::time::Timestamp;
use crate::trust::Trust;
use serde_json::{Map, Value};
use std::fmt;
use std::sync::Arc;

/// What a wallet answered to one credential query, and what it must have been made for.
#[derive(Clone, Copy)]
pub struct Presentation<'a> {
    credential: CredentialIndex,
    bytes: &'a [u8],
    audience: &'a str,
    nonce: &'a str,
}

impl<'a> Presentation<'a> {
    /// `audience` is the whole client id, with its prefix; `nonce` the one of this transaction. The bytes are looked at
    /// only by [`verify_presentation`].
    pub fn new(credential: CredentialIndex, bytes: &'a [u8], audience: &'a str, nonce: &'a str) -> Self {
        Self { credential, bytes, audience, nonce }
    }
}

impl fmt::Debug for Presentation<'_> {
    /// Never shows what was presented.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presentation")
            .field("credential", &self.credential)
            .field("bytes", &self.bytes.len())
            .finish_non_exhaustive()
    }
}

/// A credential that passed every check. It cannot be built outside this crate.
#[derive(Clone)]
#[must_use]
pub struct VerifiedCredential {
    index: CredentialIndex,
    id: String,
    established: Established,
    holder: Option<Holder>,
    satisfied: bool,
    status: Option<StatusReference>,
    status_until: Option<Timestamp>,
    provider: &'static str,
    passed: Vec<Check>,
}

impl VerifiedCredential {
    /// The policy that it was verified by.
    pub fn index(&self) -> CredentialIndex {
        self.index
    }

    /// The `id` of that policy and of its query.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who signed it: an `https` URL, a DID, or the subject of a certificate.
    pub fn issuer(&self) -> &str {
        &self.established.issuer
    }

    /// What it says, as far as it was shown. Who someone is, is a claim of this together with the issuer.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.established.claims
    }

    /// The claim at a path.
    pub fn claim(&self, path: &ClaimPath) -> Option<&Value> {
        path.get(&self.established.claims)
    }

    /// Its types: `vct` alone, or the types of a W3C credential.
    pub fn types(&self) -> &[String] {
        &self.established.types
    }

    /// Whether what the policy asks about the person holds. For an age, whichever way it was shown.
    pub fn satisfied(&self) -> bool {
        self.satisfied
    }

    /// When it ends: `exp`.
    pub fn expires(&self) -> Option<Timestamp> {
        self.established.expires
    }

    /// Who showed it, and proved to be its holder.
    pub fn holder(&self) -> Option<&Holder> {
        self.holder.as_ref()
    }

    /// Where its status is.
    pub fn status(&self) -> Option<&StatusReference> {
        self.status.as_ref()
    }

    /// Until when that status counts; then it is to be looked up again.
    pub fn status_until(&self) -> Option<Timestamp> {
        self.status_until
    }

    /// Until when the document that names the issuer's key is fresh. `None` for a key that needs none.
    pub fn keys_until(&self) -> Option<Timestamp> {
        self.established.keys_until
    }

    /// The checks that ran, in order.
    pub fn report(&self) -> Report {
        Report::of_passed(&self.passed, |check| match check {
            Check::Issuer => self.established.issuer.escape_debug().to_string(),
            Check::Algorithm => self.established.algorithm.name().to_owned(),
            Check::Key => match &self.established.kid {
                Some(kid) => format!("kid {}", kid.escape_debug()),
                None => "the only one of its algorithm".to_owned(),
            },
            Check::Signature => format!("by {}", self.provider),
            Check::Binding if self.holder.is_none() => "not asked for".to_owned(),
            Check::Status if self.status.is_none() => "none".to_owned(),
            _ => String::new(),
        })
    }
}

impl fmt::Debug for VerifiedCredential {
    /// Whose credential it is, without any claim.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifiedCredential")
            .field("id", &self.id)
            .field("issuer", &self.established.issuer)
            .field("expires", &self.established.expires)
            .finish_non_exhaustive()
    }
}

/// What a format establishes about a credential: its issuer's signature holds, it is of the format's type, everything
/// shown was signed, and it is valid now.
#[derive(Clone)]
pub(crate) struct Established {
    pub(crate) issuer: String,
    pub(crate) authority_key_ids: Vec<Vec<u8>>,
    pub(crate) algorithm: Algorithm,
    pub(crate) kid: Option<Arc<str>>,
    pub(crate) keys_until: Option<Timestamp>,
    pub(crate) types: Vec<String>,
    pub(crate) claims: Map<String, Value>,
    pub(crate) expires: Option<Timestamp>,
}

/// Whose word a credential is: the issuer's signature holds.
pub(crate) struct Vouched {
    issuer: String,
    authority_key_ids: Vec<Vec<u8>>,
    algorithm: Algorithm,
    kid: Option<Arc<str>>,
    keys_until: Option<Timestamp>,
}

impl Vouched {
    /// With what the credential is and says.
    pub(crate) fn establish(
        self,
        types: Vec<String>,
        claims: Map<String, Value>,
        expires: Option<Timestamp>,
    ) -> Established {
        let Self { issuer, authority_key_ids, algorithm, kid, keys_until } = self;
        Established { issuer, authority_key_ids, algorithm, kid, keys_until, types, claims, expires }
    }
}

/// How a credential comes.
#[derive(Clone, Copy)]
pub(crate) enum Manner<'a> {
    /// Its holder shows it, to this audience and with this nonce.
    Presented { audience: &'a str, nonce: &'a str },
    /// Its issuer hands it out.
    Issued,
}

/// What the checks of a format work with.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) compiled: &'a CompiledCredential,
    pub(crate) world: World<'a>,
    pub(crate) manner: Manner<'a>,
}

impl Context<'_> {
    /// The way to the issuer's key, and its signature.
    pub(crate) fn vouched(&self, token: &Token<'_>, steps: &mut Steps) -> Result<Vouched, Stop> {
        let Self { compiled, world, .. } = *self;
        let algorithms = &compiled.policy.algorithms;
        steps.next(Check::Issuer);
        let trusted: Vec<_> = compiled.issuers.iter().collect();
        let trusted = signer::choose(&trusted, token, false)?;
        steps.next(Check::Algorithm);
        let algorithm = signer::algorithm(token, algorithms)?;
        steps.next(Check::Key);
        let signer = signer::find(trusted, token, None, algorithm, algorithms, world)?;
        steps.next(Check::Signature);
        if world.trust.provider().verify(algorithm, signer.key.get(), token.message, &token.signature).is_err() {
            return deny(Code::SignatureInvalid, "the issuer's signature does not hold");
        }
        Ok(Vouched {
            issuer: signer.name.into_owned(),
            authority_key_ids: signer.authority_key_ids,
            algorithm,
            kid: token.kid.clone(),
            keys_until: signer.until,
        })
    }
}

/// Runs every check on a presentation, at `now`, with what is known.
///
/// The same arguments always give the same outcome. After [`Outcome::Need`] the caller fetches, puts the reply or the
/// failure into its [`Documents`] and calls again with the same presentation. That a nonce works once is the caller's
/// to see to.
pub fn verify_presentation(
    presentation: &Presentation<'_>,
    trust: &Trust,
    known: &Documents,
    now: Timestamp,
) -> Outcome<VerifiedCredential> {
    let manner = Manner::Presented { audience: presentation.audience, nonce: presentation.nonce };
    verify(presentation.credential, presentation.bytes, manner, World { trust, known, now })
}

/// The same for a credential as its issuer hands it out, before a wallet keeps it: nobody shows it yet, but it must name
/// its holder's key where the policy asks for holder binding.
pub fn verify_issued(
    credential: CredentialIndex,
    bytes: &[u8],
    trust: &Trust,
    known: &Documents,
    now: Timestamp,
) -> Outcome<VerifiedCredential> {
    verify(credential, bytes, Manner::Issued, World { trust, known, now })
}

fn verify(
    credential: CredentialIndex,
    bytes: &[u8],
    manner: Manner<'_>,
    world: World<'_>,
) -> Outcome<VerifiedCredential> {
    let mut steps = Steps::begin();
    let result = run(credential, bytes, manner, world, &mut steps);
    steps.finish(result, |verified, passed| VerifiedCredential { passed, ..verified })
}

fn run(
    credential: CredentialIndex,
    bytes: &[u8],
    manner: Manner<'_>,
    world: World<'_>,
    steps: &mut Steps,
) -> Result<VerifiedCredential, Stop> {
    let limits = world.trust.limits();
    if bytes.len() > limits.presentation_bytes {
        return deny(Code::PresentationTooLarge, format!("over {} bytes", limits.presentation_bytes));
    }
    let Some(compiled) = world.trust.compiled_credential(credential) else {
        return deny(Code::CredentialTypeMismatch, "no policy asks for it");
    };
    let context = Context { compiled, world, manner };
    let (established, satisfied, holder) = match compiled.policy.query.format {
        Format::DcSdJwt => {
            let (mut established, shown) = sd_jwt_vc::establish(&context, bytes, steps)?;
            steps.next(Check::Claims);
            let satisfied = check_query(&context, &established)?;
            // a query counts in the credential; everyone else in what is shown of it
            sd_jwt::drop_withheld(established.claims.values_mut());
            steps.next(Check::Binding);
            let holder = sd_jwt_vc::bind(&context, &established, &shown)?;
            (established, satisfied, holder)
        }
        Format::JwtVcJson => {
            let (established, shown) = jwt_vc::establish(&context, bytes, steps)?;
            steps.next(Check::Claims);
            let satisfied = check_query(&context, &established)?;
            steps.next(Check::Binding);
            let holder = jwt_vc::bind(&context, &established, shown)?;
            (established, satisfied, holder)
        }
        Format::Other(_) => return deny(Code::PresentationMalformed, "its format is not supported"),
    };
    steps.next(Check::Status);
    if compiled.policy.query.format == Format::JwtVcJson {
        jwt_vc::check_status_kind(&established, &compiled.policy)?;
    }
    let status = status_list::reference(&established.claims, &context)?;
    let status_until = match &status {
        Some(reference) => Some(status_list::check(reference, &established.issuer, compiled, world)?),
        None => None,
    };
    Ok(VerifiedCredential {
        index: compiled.index,
        id: compiled.policy.query.id.clone(),
        established,
        holder,
        satisfied,
        status,
        status_until,
        provider: world.trust.provider().name(),
        passed: Vec::new(),
    })
}

/// What was asked for is checked again on what came back: a wallet is not trusted to have matched. Answers whether what
/// the policy asks about the person holds.
fn check_query(context: &Context<'_>, established: &Established) -> Result<bool, Stop> {
    let policy = &context.compiled.policy;
    let candidate = Candidate {
        format: policy.query.format.clone(),
        types: &established.types,
        claims: &established.claims,
        // asked for by the policy alone, and checked next
        holder_binding: policy.holder_binding || matches!(context.manner, Manner::Issued),
        authority_key_ids: &established.authority_key_ids,
    };
    if policy.query.matches(&candidate).is_none() {
        return deny(Code::QueryNotMet, "it does not show what was asked for");
    }
    let old_enough =
        |age: &crate::age::AgePolicy| age.satisfied(&policy.query.format, &established.claims, context.world.now);
    match &policy.age {
        Some(age) if !old_enough(age) => deny(Code::QueryNotMet, "it does not show the age that was asked for"),
        _ => Ok(true),
    }
}
