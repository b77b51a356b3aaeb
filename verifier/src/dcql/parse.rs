//! Queries from and to JSON (OpenID4VP 1.0 sections 6.1 to 6.3, appendices B.1.1 and B.3.5).
//!
//! Members that the standard does not name are ignored, as it asks; what it names must be as it says.
use super::{ClaimsQuery, CredentialQuery, CredentialSetQuery, Format, Meta, PathElement, Query, TrustedAuthority};
use crate::base64url;
use crate::ordered::Ordered;
use serde_json::{Map, Value};
use std::fmt;

/// More of anything in a list than a sensible query has; with the depth of paths it bounds what matching costs.
const MOST: usize = 64;
const MOST_SETS: usize = 32;
const LONGEST_PATH: usize = 16;
const LONGEST_ID: usize = 128;
const LONGEST_TEXT: usize = 2048;

/// Why a JSON value is no query. Each tells the place (`credentials[0].claims[2].path`), never a value.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum DcqlError {
    /// A member that must be there is missing.
    Missing(String),
    /// A member is not what the standard says: another type, empty where it may not be, an `id` of other characters.
    Malformed(String),
    /// There is more of it than is taken here.
    TooMuch(String),
    /// Two have the same `id`.
    DuplicateId(String),
    /// It names an `id` that the query does not have.
    UnknownId(String),
    /// A type of trusted authority that is not supported; only `aki` is.
    AuthorityType(String),
}

impl fmt::Display for DcqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(at) => write!(f, "`{at}` is missing"),
            Self::Malformed(at) => write!(f, "`{at}` is malformed"),
            Self::TooMuch(at) => write!(f, "`{at}` is too long"),
            Self::DuplicateId(at) => write!(f, "`{at}` is taken"),
            Self::UnknownId(at) => write!(f, "`{at}` names nothing in the query"),
            Self::AuthorityType(at) => write!(f, "`{at}` is not supported, only `aki` is"),
        }
    }
}

impl std::error::Error for DcqlError {}

type Object = Map<String, Value>;

impl Query {
    /// Takes a query: at most 64 credentials, 32 sets, and 64 of anything else in a list; paths of at most 16 steps.
    ///
    /// # Errors
    /// [`DcqlError`] where it is not as section 6 says, or larger.
    pub fn parse(value: &Value) -> Result<Self, DcqlError> {
        let query = object(value, "dcql_query")?;
        let credentials = list(query, "credentials", "", MOST)?.ok_or_else(|| missing("", "credentials"))?;
        let credentials = credentials
            .iter()
            .enumerate()
            .map(|(n, value)| credential(value, &format!("credentials[{n}].")))
            .collect::<Result<Vec<_>, _>>()?;
        let mut ids = Ordered::new();
        for (n, credential) in credentials.iter().enumerate() {
            if ids.insert(credential.id.as_str(), ()).is_some() {
                return Err(DcqlError::DuplicateId(format!("credentials[{n}].id")));
            }
        }
        let credential_sets = list(query, "credential_sets", "", MOST_SETS)?
            .unwrap_or_default()
            .iter()
            .enumerate()
            .map(|(n, value)| credential_set(value, &format!("credential_sets[{n}]."), &ids))
            .collect::<Result<_, _>>()?;
        Ok(Self { credentials, credential_sets })
    }

    /// The query as JSON; members with their default are left out.
    pub fn to_value(&self) -> Value {
        let mut query = Object::new();
        query.insert("credentials".to_owned(), self.credentials.iter().map(CredentialQuery::to_value).collect());
        if !self.credential_sets.is_empty() {
            let sets = self.credential_sets.iter().map(|set| {
                let mut object = Object::new();
                object.insert("options".to_owned(), set.options.iter().cloned().collect());
                if !set.required {
                    object.insert("required".to_owned(), false.into());
                }
                Value::Object(object)
            });
            query.insert("credential_sets".to_owned(), sets.collect());
        }
        Value::Object(query)
    }
}

impl CredentialQuery {
    /// Takes a credential query alone, as a configuration has it.
    ///
    /// # Errors
    /// [`DcqlError`] where it is not as section 6.1 says, or larger than [`Query::parse`] takes.
    pub fn parse(value: &Value) -> Result<Self, DcqlError> {
        credential(value, "")
    }

    /// The query as JSON; members with their default are left out.
    pub fn to_value(&self) -> Value {
        let mut object = Object::new();
        let mut put = |name: &str, value: Value| object.insert(name.to_owned(), value);
        put("id", self.id.as_str().into());
        put("format", self.format.as_str().into());
        if self.multiple {
            put("multiple", true.into());
        }
        put("meta", self.meta.to_value());
        if !self.trusted_authorities.is_empty() {
            put("trusted_authorities", self.trusted_authorities.iter().map(TrustedAuthority::to_value).collect());
        }
        if !self.require_cryptographic_holder_binding {
            put("require_cryptographic_holder_binding", false.into());
        }
        if !self.claims.is_empty() {
            put("claims", self.claims.iter().map(ClaimsQuery::to_value).collect());
        }
        if !self.claim_sets.is_empty() {
            put("claim_sets", self.claim_sets.iter().cloned().collect());
        }
        Value::Object(object)
    }
}

impl Meta {
    fn to_value(&self) -> Value {
        let mut object = self.other.clone();
        if !self.vct_values.is_empty() {
            object.insert("vct_values".to_owned(), self.vct_values.clone().into());
        }
        if !self.type_values.is_empty() {
            object.insert("type_values".to_owned(), self.type_values.iter().cloned().collect());
        }
        Value::Object(object)
    }
}

impl TrustedAuthority {
    fn to_value(&self) -> Value {
        let Self::AuthorityKeyId(values) = self;
        let values: Vec<Value> = values.iter().map(|value| base64url::encode(value).into()).collect();
        serde_json::json!({"type": "aki", "values": values})
    }
}

impl ClaimsQuery {
    fn to_value(&self) -> Value {
        let mut object = Object::new();
        if let Some(id) = &self.id {
            object.insert("id".to_owned(), id.as_str().into());
        }
        let path = self.path.iter().map(|element| match element {
            PathElement::Name(name) => name.as_str().into(),
            PathElement::Index(index) => (*index).into(),
            PathElement::All => Value::Null,
        });
        object.insert("path".to_owned(), path.collect());
        if !self.values.is_empty() {
            object.insert("values".to_owned(), self.values.clone().into());
        }
        Value::Object(object)
    }
}

fn credential(value: &Value, at: &str) -> Result<CredentialQuery, DcqlError> {
    let query = object(value, at.trim_end_matches('.'))?;
    let id = id(query.get("id"), at)?.ok_or_else(|| missing(at, "id"))?;
    let format = Format::parse(text(query.get("format").ok_or_else(|| missing(at, "format"))?, at, "format")?);
    let meta = query.get("meta").ok_or_else(|| missing(at, "meta"))?;
    let claims = list(query, "claims", at, MOST)?
        .unwrap_or_default()
        .iter()
        .enumerate()
        .map(|(n, value)| claim(value, &format!("{at}claims[{n}].")))
        .collect::<Result<Vec<_>, _>>()?;
    Ok(CredentialQuery {
        multiple: flag(query, "multiple", at, false)?,
        meta: meta_of(object(meta, &format!("{at}meta"))?, &format, at)?,
        trusted_authorities: authorities(query, at)?,
        require_cryptographic_holder_binding: flag(query, "require_cryptographic_holder_binding", at, true)?,
        claim_sets: claim_sets(query, &claims, at)?,
        id,
        format,
        claims,
    })
}

fn meta_of(meta: &Object, format: &Format, at: &str) -> Result<Meta, DcqlError> {
    let mut taken = Meta::default();
    match format {
        Format::DcSdJwt => {
            let values = list(meta, "vct_values", &format!("{at}meta."), MOST)?.unwrap_or_default();
            taken.vct_values = texts(values, &format!("{at}meta."), "vct_values")?;
        }
        Format::JwtVcJson => {
            for (n, types) in
                list(meta, "type_values", &format!("{at}meta."), MOST)?.unwrap_or_default().iter().enumerate()
            {
                let name = format!("type_values[{n}]");
                let types = full(types.as_array(), &format!("{at}meta.{name}"), MOST)?;
                taken.type_values.push(texts(types, &format!("{at}meta."), &name)?);
            }
        }
        Format::Other(_) => taken.other = meta.clone(),
    }
    Ok(taken)
}

fn authorities(query: &Object, at: &str) -> Result<Vec<TrustedAuthority>, DcqlError> {
    let mut taken = Vec::new();
    for (n, value) in list(query, "trusted_authorities", at, MOST_SETS)?.unwrap_or_default().iter().enumerate() {
        let at = format!("{at}trusted_authorities[{n}].");
        let authority = object(value, at.trim_end_matches('.'))?;
        if text(authority.get("type").ok_or_else(|| missing(&at, "type"))?, &at, "type")? != "aki" {
            return Err(DcqlError::AuthorityType(format!("{at}type")));
        }
        let values = list(authority, "values", &at, MOST)?.ok_or_else(|| missing(&at, "values"))?;
        let values = texts(values, &at, "values")?
            .iter()
            .map(|value| base64url::decode(value).map_err(|_| malformed(&at, "values")))
            .collect::<Result<_, _>>()?;
        taken.push(TrustedAuthority::AuthorityKeyId(values));
    }
    Ok(taken)
}

fn claim(value: &Value, at: &str) -> Result<ClaimsQuery, DcqlError> {
    let query = object(value, at.trim_end_matches('.'))?;
    let path = list(query, "path", at, LONGEST_PATH)?.ok_or_else(|| missing(at, "path"))?;
    let path = path
        .iter()
        .map(|element| match element {
            Value::Null => Ok(PathElement::All),
            Value::String(name) if name.len() <= LONGEST_TEXT => Ok(PathElement::Name(name.clone())),
            other => match integer(other).as_ref().and_then(Value::as_u64) {
                Some(index) => Ok(PathElement::Index(index)),
                None => Err(malformed(at, "path")),
            },
        })
        .collect::<Result<_, _>>()?;
    let values = list(query, "values", at, MOST)?
        .unwrap_or_default()
        .iter()
        .map(|value| match value {
            Value::Bool(_) => Ok(value.clone()),
            Value::String(text) if text.len() <= LONGEST_TEXT => Ok(value.clone()),
            other => integer(other).ok_or_else(|| malformed(at, "values")),
        })
        .collect::<Result<_, _>>()?;
    Ok(ClaimsQuery { id: id(query.get("id"), at)?, path, values })
}

/// Every set names claims that are there; with sets, every claim has an `id` (sections 6.1 and 6.3).
fn claim_sets(query: &Object, claims: &[ClaimsQuery], at: &str) -> Result<Vec<Vec<String>>, DcqlError> {
    let mut ids = Ordered::new();
    for (n, claim) in claims.iter().enumerate() {
        if claim.id.as_deref().is_some_and(|id| ids.insert(id, ()).is_some()) {
            return Err(DcqlError::DuplicateId(format!("{at}claims[{n}].id")));
        }
    }
    let Some(sets) = list(query, "claim_sets", at, MOST)? else {
        return Ok(Vec::new());
    };
    if let Some(n) = claims.iter().position(|claim| claim.id.is_none()) {
        return Err(missing(&format!("{at}claims[{n}]."), "id"));
    }
    sets.iter().enumerate().map(|(n, set)| references(set, &format!("{at}claim_sets[{n}]"), &ids)).collect()
}

fn credential_set(value: &Value, at: &str, ids: &Ordered<&str>) -> Result<CredentialSetQuery, DcqlError> {
    let set = object(value, at.trim_end_matches('.'))?;
    let options = list(set, "options", at, MOST_SETS)?.ok_or_else(|| missing(at, "options"))?;
    let options = options
        .iter()
        .enumerate()
        .map(|(n, option)| references(option, &format!("{at}options[{n}]"), ids))
        .collect::<Result<_, _>>()?;
    Ok(CredentialSetQuery { options, required: flag(set, "required", at, true)? })
}

/// A list of `id`s that exist.
fn references(value: &Value, at: &str, ids: &Ordered<&str>) -> Result<Vec<String>, DcqlError> {
    let names = texts(full(value.as_array(), at, MOST)?, "", at)?;
    match names.iter().position(|name| !ids.contains_key(name.as_str())) {
        Some(n) => Err(DcqlError::UnknownId(format!("{at}[{n}]"))),
        None => Ok(names),
    }
}

fn object<'a>(value: &'a Value, at: &str) -> Result<&'a Object, DcqlError> {
    value.as_object().ok_or_else(|| DcqlError::Malformed(at.to_owned()))
}

/// The array of that name: never empty where it is there.
fn list<'a>(of: &'a Object, name: &str, at: &str, most: usize) -> Result<Option<&'a [Value]>, DcqlError> {
    match of.get(name) {
        None => Ok(None),
        Some(value) => full(value.as_array(), &format!("{at}{name}"), most).map(Some),
    }
}

fn full<'a>(array: Option<&'a Vec<Value>>, at: &str, most: usize) -> Result<&'a [Value], DcqlError> {
    match array {
        Some(values) if values.len() > most => Err(DcqlError::TooMuch(at.to_owned())),
        Some(values) if !values.is_empty() => Ok(values),
        _ => Err(DcqlError::Malformed(at.to_owned())),
    }
}

fn flag(of: &Object, name: &str, at: &str, default: bool) -> Result<bool, DcqlError> {
    match of.get(name) {
        None => Ok(default),
        Some(value) => value.as_bool().ok_or_else(|| malformed(at, name)),
    }
}

fn text<'a>(value: &'a Value, at: &str, name: &str) -> Result<&'a str, DcqlError> {
    match value.as_str() {
        Some(text) if text.len() > LONGEST_TEXT => Err(DcqlError::TooMuch(format!("{at}{name}"))),
        Some(text) if !text.is_empty() => Ok(text),
        _ => Err(malformed(at, name)),
    }
}

fn texts(values: &[Value], at: &str, name: &str) -> Result<Vec<String>, DcqlError> {
    values.iter().map(|value| text(value, at, name).map(str::to_owned)).collect()
}

fn id(value: Option<&Value>, at: &str) -> Result<Option<String>, DcqlError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let id = text(value, at, "id")?;
    let plain = id.len() <= LONGEST_ID && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if plain { Ok(Some(id.to_owned())) } else { Err(malformed(at, "id")) }
}

/// An integer, also where it is written as `1.0`: a configuration that arrives as a protobuf `Struct` knows doubles
/// only.
#[allow(clippy::cast_possible_truncation, reason = "whole numbers below 2^53 fit an i64")]
fn integer(value: &Value) -> Option<Value> {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) if number.is_i64() || number.is_u64() => Some(value.clone()),
        Value::Number(number) => {
            number.as_f64().filter(|n| n.fract() == 0.0 && n.abs() < EXACT).map(|n| Value::from(n as i64))
        }
        _ => None,
    }
}

fn missing(at: &str, name: &str) -> DcqlError {
    DcqlError::Missing(format!("{at}{name}"))
}

fn malformed(at: &str, name: &str) -> DcqlError {
    DcqlError::Malformed(format!("{at}{name}"))
}
