//! Issuing and presenting credentials in JWTs, in two phases: for wallets, demo issuers and tests.
use super::credential;
use crate::algorithm::Algorithm;
use crate::checks::Stop;
use crate::date;
use crate::jwt;
use crate::limits::Limits;
use crate::outcome::Code;
use crate::sign::{Prepared, prepare};
use crate::status_list::StatusReference;
use crate::time::Timestamp;
use crate::x509;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// Which data model of W3C a credential or presentation is written in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataModel {
    /// VCDM 1.1, in the claim `vc` or `vp`
    V1,
    /// VCDM 2.0, as the payload
    V2,
}

/// What a credential is to say.
#[derive(Clone, Debug)]
pub struct CredentialClaims<'a> {
    /// Who signs it: a DID.
    pub issuer: &'a str,
    /// A key of the issuer for making claims: a DID URL.
    pub kid: &'a str,
    /// Its types, beside `VerifiableCredential`.
    pub types: &'a [&'a str],
    /// Its own identifier, if it is to have one.
    pub id: Option<&'a str>,
    /// The holder's DID.
    pub subject: &'a str,
    /// What it says of the holder.
    pub about: Map<String, Value>,
    /// From when it is valid.
    pub valid_from: Timestamp,
    /// Until when.
    pub valid_until: Option<Timestamp>,
    /// Where its status is.
    pub status: Option<StatusReference>,
}

/// The JWT of a credential, still to be signed by the issuer. A time outside of the years 1 to 9999 is left out.
pub fn prepare_credential(model: DataModel, algorithm: Algorithm, credential: &CredentialClaims<'_>) -> Prepared {
    let types: Vec<&str> = std::iter::once("VerifiableCredential").chain(credential.types.iter().copied()).collect();
    let mut about = credential.about.clone();
    about.insert("id".to_owned(), credential.subject.into());
    let mut vc = Map::new();
    let mut put = |name: &str, value: Option<Value>| value.and_then(|value| vc.insert(name.to_owned(), value));
    let text = |time: Timestamp| date::format(time).map(Value::from);
    put("type", Some(json!(types)));
    put("id", credential.id.map(Value::from));
    put("issuer", Some(credential.issuer.into()));
    put("credentialSubject", Some(about.into()));
    let status = credential.status.as_ref().map(|at| json!({"status_list": {"idx": at.idx, "uri": at.uri}}));
    let (typ, mut claims) = match model {
        DataModel::V1 => {
            put("@context", Some(json!(["https://www.w3.org/2018/credentials/v1"])));
            put("issuanceDate", text(credential.valid_from));
            put("expirationDate", credential.valid_until.and_then(text));
            let mut jwt = Map::new();
            jwt.insert("iss".to_owned(), credential.issuer.into());
            jwt.insert("sub".to_owned(), credential.subject.into());
            jwt.insert("nbf".to_owned(), credential.valid_from.unix().into());
            jwt.extend(credential.id.map(|id| ("jti".to_owned(), id.into())));
            jwt.extend(credential.valid_until.map(|until| ("exp".to_owned(), until.unix().into())));
            jwt.insert("vc".to_owned(), vc.into());
            ("JWT", jwt)
        }
        DataModel::V2 => {
            put("@context", Some(json!(["https://www.w3.org/ns/credentials/v2"])));
            put("validFrom", text(credential.valid_from));
            put("validUntil", credential.valid_until.and_then(text));
            ("vc+jwt", vc)
        }
    };
    claims.extend(status.map(|status| ("status".to_owned(), status)));
    prepare(&header(algorithm, credential.kid, typ), &claims)
}

/// What a presentation is to say.
#[derive(Clone, Copy, Debug)]
pub struct PresentationClaims<'a> {
    /// The holder's DID.
    pub holder: &'a str,
    /// A key of the holder for authentication: a DID URL.
    pub kid: &'a str,
    /// The verifier's whole client id.
    pub audience: &'a str,
    /// The nonce of the request.
    pub nonce: &'a str,
    /// When it is made.
    pub issued_at: Timestamp,
    /// How long it serves.
    pub lifetime: Duration,
}

/// The JWT of a presentation of one credential, still to be signed by the holder.
pub fn prepare_presentation(
    model: DataModel,
    algorithm: Algorithm,
    credential: &str,
    presentation: &PresentationClaims<'_>,
) -> Prepared {
    let (typ, mut claims) = match model {
        DataModel::V1 => {
            let vp = json!({
                "@context": ["https://www.w3.org/2018/credentials/v1"],
                "type": ["VerifiablePresentation"],
                "verifiableCredential": [credential],
            });
            ("JWT", Map::from_iter([("vp".to_owned(), vp)]))
        }
        DataModel::V2 => {
            let context = "https://www.w3.org/ns/credentials/v2";
            let enveloped = json!({
                "@context": context,
                "type": "EnvelopedVerifiableCredential",
                "id": format!("data:application/vc+jwt,{credential}"),
            });
            let members = [
                ("@context", json!([context])),
                ("type", json!(["VerifiablePresentation"])),
                ("holder", presentation.holder.into()),
                ("verifiableCredential", json!([enveloped])),
            ];
            ("vp+jwt", members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
        }
    };
    let expires = presentation.issued_at.saturating_add(presentation.lifetime);
    for (name, value) in [
        ("iss", Value::from(presentation.holder)),
        ("aud", presentation.audience.into()),
        ("nonce", presentation.nonce.into()),
        ("iat", presentation.issued_at.unix().into()),
        ("exp", expires.unix().into()),
    ] {
        claims.insert(name.to_owned(), value);
    }
    prepare(&header(algorithm, presentation.kid, typ), &claims)
}

fn header(algorithm: Algorithm, kid: &str, typ: &str) -> Map<String, Value> {
    let members = [("alg", algorithm.name()), ("kid", kid), ("typ", typ)];
    members.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect()
}

/// A credential as its issuer handed it out. That its signature holds is for [`crate::verify_issued`] to say.
#[derive(Clone, Debug)]
pub struct HeldJwtVc {
    text: String,
    claims: Map<String, Value>,
    types: Vec<String>,
    issuer: String,
    subject: Option<String>,
    expires: Option<Timestamp>,
    authority_key_ids: Vec<Vec<u8>>,
}

impl HeldJwtVc {
    /// Takes a credential apart, as strictly as a verifier would.
    ///
    /// # Errors
    /// The code and the reason where a verifier would refuse its shape.
    pub fn parse(text: &str, limits: &Limits) -> Result<Self, (Code, String)> {
        if text.len() > limits.presentation_bytes {
            return Err((Code::PresentationTooLarge, format!("over {} bytes", limits.presentation_bytes)));
        }
        let token = jwt::parse(text.as_bytes(), limits)?;
        let authority_key_ids = x509::authority_key_ids(&token.header);
        let vc = credential::take(token.claims).map_err(|stop| match stop {
            Stop::Denied(code, why, _) => (code, why),
            // taking apart fetches nothing
            Stop::Need(_) => (Code::PresentationMalformed, String::new()),
        })?;
        Ok(Self {
            text: text.to_owned(),
            claims: vc.claims,
            types: vc.types,
            issuer: vc.issuer,
            subject: vc.subject,
            expires: vc.end,
            authority_key_ids,
        })
    }

    /// The credential, as DCQL sees it: paths start at its root.
    pub fn claims(&self) -> &Map<String, Value> {
        &self.claims
    }

    /// The authority key identifiers of the certificates in it, for [`crate::dcql::Candidate`].
    pub fn authority_key_ids(&self) -> &[Vec<u8>] {
        &self.authority_key_ids
    }

    /// Its types.
    pub fn types(&self) -> &[String] {
        &self.types
    }

    /// Who says to have issued it.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The DID that it speaks of, and whose holder can show it.
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// When it ends.
    pub fn expires(&self) -> Option<Timestamp> {
        self.expires
    }

    /// As it was issued: what [`prepare_presentation`] takes.
    pub fn as_issued(&self) -> &str {
        &self.text
    }
}
