//! A credential query as a configuration writes it, with what is said beside it put in (OpenID4VP 1.0 section 6.1).
use super::{CredentialQuery, Format};
use crate::age::AgePolicy;
use serde_json::{Map, Value};

/// DCQL ignores members that it does not know; in a configuration they are mistakes.
const KNOWN: [&str; 5] = ["format", "meta", "claims", "claim_sets", "trusted_authorities"];
const BESIDE: [(&str, &str); 3] = [
    ("id", "the credential's name is its id"),
    ("multiple", "one presentation answers one query here"),
    ("require_cryptographic_holder_binding", "say `holder_binding` beside the query"),
];

impl CredentialQuery {
    /// Takes the members of a query whose `id` and holder binding are said beside it, and whose claims are made from `age`
    /// where there is one. What is wrong is told to `wrong`, with the name of the member, or an empty one for the whole; then
    /// the answer does not count.
    pub fn configured(
        members: &Map<String, Value>,
        id: &str,
        age: Option<&AgePolicy>,
        holder_binding: bool,
        wrong: &mut dyn FnMut(&str, &str),
    ) -> Option<Self> {
        for (name, why) in BESIDE {
            if members.contains_key(name) {
                wrong(name, why);
            }
        }
        let known = |name: &str| KNOWN.contains(&name) || BESIDE.iter().any(|(beside, _)| *beside == name);
        for unknown in members.keys().filter(|name| !known(name)) {
            wrong("", &format!("`{unknown}` is not known"));
        }
        if age.is_some() && (members.contains_key("claims") || members.contains_key("claim_sets")) {
            wrong("claims", "with `age` the claims are made from it: leave `claims` and `claim_sets` out");
        }
        let mut members = members.clone();
        members.insert("id".to_owned(), id.into());
        members.insert("require_cryptographic_holder_binding".to_owned(), holder_binding.into());
        let mut query = Self::parse(&Value::Object(members)).map_err(|why| wrong("", &why.to_string())).ok()?;
        if let Format::Other(format) = &query.format {
            wrong("", &format!("the format `{format}` is not known here: dc+sd-jwt or jwt_vc_json"));
            return None;
        }
        if query.meta.vct_values.is_empty() && query.meta.type_values.is_empty() {
            wrong("meta", "name the types: `vct_values` (dc+sd-jwt) or `type_values` (jwt_vc_json)");
            return None;
        }
        if let Some(age) = age {
            (query.claims, query.claim_sets) = age.claims(&query.format);
        }
        Some(query)
    }
}
