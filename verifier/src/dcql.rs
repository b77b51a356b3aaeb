//! The Digital Credentials Query Language (OpenID4VP 1.0 section 6): what a verifier asks to be shown.
//!
//! One matcher serves both sides: a wallet chooses with it, a verifier checks again with it what came back.
//! The bounds on a query are fixed: see [`Query::parse`].
mod configured;
mod parse;
mod path;
mod select;

pub use parse::DcqlError;

use serde_json::{Map, Value};

/// A whole query (section 6).
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// The credentials that are asked for; never empty.
    pub credentials: Vec<CredentialQuery>,
    /// Which combinations of them do. Empty: all of them are asked for.
    pub credential_sets: Vec<CredentialSetQuery>,
}

/// A query for one credential (section 6.1).
#[derive(Clone, PartialEq, Debug)]
pub struct CredentialQuery {
    /// Names it in the answer: `[A-Za-z0-9_-]+`, one of its kind in the query.
    pub id: String,
    /// The format of the credential.
    pub format: Format,
    /// Whether more than one credential may answer.
    pub multiple: bool,
    /// Which types of credentials do.
    pub meta: Meta,
    /// Who must stand behind the issuer; one of them is enough. Empty: absent.
    pub trusted_authorities: Vec<TrustedAuthority>,
    /// Whether the holder must prove to hold its key. True where it is absent.
    pub require_cryptographic_holder_binding: bool,
    /// The claims that are asked for. Empty: absent.
    pub claims: Vec<ClaimsQuery>,
    /// Which combinations of claims do, by their `id`s, the verifier's favourite first. Empty: absent.
    pub claim_sets: Vec<Vec<String>>,
}

/// The format of a credential (appendix B).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum Format {
    /// `dc+sd-jwt` (appendix B.3)
    DcSdJwt,
    /// `jwt_vc_json` (appendix B.1.3.1)
    JwtVcJson,
    /// One that is not understood: no credential here ever matches it, so a wallet can still take an alternative.
    Other(String),
}

/// Which types of credentials do (`meta`); the member that belongs to the format is set, the others are empty.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Meta {
    /// For `dc+sd-jwt`: the `vct` is one of these (appendix B.3.5).
    pub vct_values: Vec<String>,
    /// For `jwt_vc_json`: the types of the credential contain all of one of these lists (appendix B.1.1).
    pub type_values: Vec<Vec<String>>,
    /// For formats that are not understood: as it came.
    pub other: Map<String, Value>,
}

/// Who must stand behind the issuer (section 6.1.1).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum TrustedAuthority {
    /// `aki`: a certificate of the issuer's chain has one of these authority key identifiers (section 6.1.1.1).
    AuthorityKeyId(Vec<Vec<u8>>),
}

/// A query for a claim (section 6.3).
#[derive(Clone, PartialEq, Debug)]
pub struct ClaimsQuery {
    /// Names it in `claim_sets`.
    pub id: Option<String>,
    /// Where it is (section 7); never empty.
    pub path: Vec<PathElement>,
    /// What it may be: strings, integers and booleans, the same in type and value. Empty: anything. Where the path
    /// selects several claims, those that are none of the values count as absent.
    pub values: Vec<Value>,
}

/// A step of a claims path pointer (section 7).
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub enum PathElement {
    /// The member of that name.
    Name(String),
    /// The element of that index, from 0.
    Index(u64),
    /// All elements (`null`).
    All,
}

/// A combination of credentials that would do (section 6.2).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CredentialSetQuery {
    /// Lists of `id`s of credential queries, the verifier's favourite first; one of the lists is to be answered whole.
    pub options: Vec<Vec<String>>,
    /// Whether the verifier insists. True where it is absent.
    pub required: bool,
}

/// A credential that a query is held against.
#[derive(Clone, Debug)]
pub struct Candidate<'a> {
    /// Its format.
    pub format: Format,
    /// Its `vct` alone, or its VC types.
    pub types: &'a [String],
    /// Its claims: the processed payload of an SD-JWT VC, the credential (VCDM) of a JWT VC.
    pub claims: &'a Map<String, Value>,
    /// Whether its holder can prove (or has proved) to hold its key.
    pub holder_binding: bool,
    /// The authority key identifiers of its issuer's certificates; empty where there are none.
    pub authority_key_ids: &'a [Vec<u8>],
}

/// What of a credential answers a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Match {
    /// The claims to show, by the first of the claim sets that fits; empty where the query asks for none by name.
    pub paths: Vec<Vec<ConcretePathElement>>,
}

/// A step to one claim, without selectors for many.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum ConcretePathElement {
    /// The member of that name.
    Name(String),
    /// The element of that index, from 0.
    Index(usize),
}

/// What of the credentials that are held answers a query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Selection {
    /// For each credential query, in its order: the candidates that fit, in theirs.
    pub credentials: Vec<Fitting>,
    /// For each credential set, in its order.
    pub credential_sets: Vec<SelectedSet>,
    /// Whether everything that the verifier insists on can be shown.
    pub satisfiable: bool,
}

/// The candidates that fit one credential query.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fitting {
    /// The `id` of the credential query.
    pub id: String,
    /// Index of the candidate and what of it answers.
    pub candidates: Vec<(usize, Match)>,
}

/// What can be done about one credential set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SelectedSet {
    /// Whether the verifier insists.
    pub required: bool,
    /// The indexes of the options that can be answered whole, the verifier's favourite first.
    pub options: Vec<usize>,
}

impl Format {
    /// From its identifier (appendix B). Never fails: see [`Format::Other`].
    pub fn parse(identifier: &str) -> Self {
        match identifier {
            "dc+sd-jwt" => Self::DcSdJwt,
            "jwt_vc_json" => Self::JwtVcJson,
            other => Self::Other(other.to_owned()),
        }
    }

    /// Its identifier.
    pub fn as_str(&self) -> &str {
        match self {
            Self::DcSdJwt => "dc+sd-jwt",
            Self::JwtVcJson => "jwt_vc_json",
            Self::Other(identifier) => identifier,
        }
    }
}
