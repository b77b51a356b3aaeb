//! What a token is bound to (`cnf`, RFC 7800): the key of a DPoP proof (RFC 9449 section 6.1) or a client certificate (RFC
//! 8705 section 3.1). Whoever brings such a token has to prove more than to have it.
use crate::checks::{Stop, deny};
use crate::json::Claims;
use crate::outcome::Code;
use serde_json::Value;

/// How long a SHA-256 is in base64url.
const LENGTH: usize = 43;

/// The thumbprints that a token is bound to; at least one. Where there are both, both have to be proven.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Confirmation {
    jkt: Option<Box<str>>,
    x5t_s256: Option<Box<str>>,
}

impl Confirmation {
    /// `jkt`: the thumbprint of the key that DPoP proofs are signed with (RFC 7638, SHA-256, base64url).
    pub fn key(&self) -> Option<&str> {
        self.jkt.as_deref()
    }

    /// `x5t#S256`: the SHA-256 of the client certificate, in base64url.
    pub fn certificate(&self) -> Option<&str> {
        self.x5t_s256.as_deref()
    }

    /// About how many bytes of memory it takes.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + LENGTH * 2
    }

    /// What the claims name. A `cnf` that asks for any other proof is refused, since nobody would ask for it.
    pub(crate) fn of(claims: &dyn Claims) -> Result<Option<Box<Self>>, Stop> {
        let cnf = match claims.claim("cnf") {
            None => return Ok(None),
            Some(Value::Object(cnf)) => cnf,
            Some(_) => return deny(Code::ClaimInvalid, "`cnf` is no object"),
        };
        let mut found = Self { jkt: None, x5t_s256: None };
        for (name, value) in cnf {
            let place = match name.as_str() {
                "jkt" => &mut found.jkt,
                "x5t#S256" => &mut found.x5t_s256,
                _ => return deny(Code::TokenBound, "`cnf` asks for a proof that is not known here"),
            };
            match value.as_str() {
                Some(thumbprint) if thumbprint.len() == LENGTH => *place = Some(thumbprint.into()),
                _ => return deny(Code::ClaimInvalid, "a thumbprint in `cnf` is no SHA-256 in base64url"),
            }
        }
        if found.jkt.is_none() && found.x5t_s256.is_none() {
            return deny(Code::ClaimInvalid, "`cnf` names nothing");
        }
        Ok(Some(Box::new(found)))
    }
}
