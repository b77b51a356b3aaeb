//! DCQL: parsing, path pointers, matching and selecting (OpenID4VP 1.0 sections 6 and 7), and the standard's examples.
use crate::support::object;
use crate::vector_files;
use carded_verifier::dcql::{Candidate, ConcretePathElement, CredentialQuery, DcqlError, Format, Match, Query};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn parse(query: Value) -> Result<Query, DcqlError> {
    Query::parse(&query)
}

/// A query for one credential with these members beside the least.
fn credential(members: Value) -> CredentialQuery {
    let mut query = object(json!({"id": "one", "format": "dc+sd-jwt", "meta": {"vct_values": ["urn:id"]}}));
    query.extend(object(members));
    CredentialQuery::parse(&Value::Object(query)).unwrap()
}

/// A credential of type `urn:id` with these claims, bound to its holder.
fn held(claims: &Map<String, Value>) -> Candidate<'_> {
    static TYPES: std::sync::LazyLock<Vec<String>> = std::sync::LazyLock::new(|| vec!["urn:id".to_owned()]);
    Candidate { format: Format::DcSdJwt, types: &TYPES, claims, holder_binding: true, authority_key_ids: &[] }
}

fn matches(query: Value, claims: Value) -> Option<Match> {
    credential(query).matches(&held(&object(claims)))
}

/// The paths to show, as JSON.
fn shown(query: Value, claims: Value) -> Option<Value> {
    let element = |element: &ConcretePathElement| match element {
        ConcretePathElement::Name(name) => json!(name),
        ConcretePathElement::Index(index) => json!(index),
    };
    matches(query, claims)
        .map(|found| found.paths.iter().map(|path| path.iter().map(element).collect::<Value>()).collect())
}

#[test]
fn what_is_no_query() {
    let one = |members: Value| {
        let mut query = object(json!({"id": "a", "format": "dc+sd-jwt", "meta": {}}));
        for (name, value) in object(members) {
            if value == json!("absent") {
                query.remove(&name)
            } else {
                query.insert(name, value)
            };
        }
        json!({ "credentials": [query] })
    };
    let many = |n: usize| (0..n).map(|n| json!({"path": [n.to_string()]})).collect::<Value>();
    let (missing, malformed) = (DcqlError::Missing as fn(String) -> DcqlError, DcqlError::Malformed as fn(String) -> _);
    let (much, taken) = (DcqlError::TooMuch as fn(String) -> DcqlError, DcqlError::DuplicateId as fn(String) -> _);
    let (unknown, authority) = (DcqlError::UnknownId as fn(String) -> _, DcqlError::AuthorityType as fn(String) -> _);
    for (query, why, at) in [
        (json!([]), malformed, "dcql_query"),
        (json!({}), missing, "credentials"),
        (json!({"credentials": []}), malformed, "credentials"),
        (json!({"credentials": {}}), malformed, "credentials"),
        (json!({"credentials": [1]}), malformed, "credentials[0]"),
        (json!({"credentials": (0..65).collect::<Vec<_>>()}), much, "credentials"),
        (one(json!({"id": "absent"})), missing, "credentials[0].id"),
        (one(json!({"id": ""})), malformed, "credentials[0].id"),
        (one(json!({"id": "a b"})), malformed, "credentials[0].id"),
        (one(json!({"id": "é"})), malformed, "credentials[0].id"),
        (one(json!({"id": 1})), malformed, "credentials[0].id"),
        (one(json!({"format": "absent"})), missing, "credentials[0].format"),
        (one(json!({"format": []})), malformed, "credentials[0].format"),
        (one(json!({"meta": "absent"})), missing, "credentials[0].meta"),
        (one(json!({"meta": []})), malformed, "credentials[0].meta"),
        (one(json!({"meta": {"vct_values": []}})), malformed, "credentials[0].meta.vct_values"),
        (one(json!({"meta": {"vct_values": "urn:id"}})), malformed, "credentials[0].meta.vct_values"),
        (one(json!({"meta": {"vct_values": [1]}})), malformed, "credentials[0].meta.vct_values"),
        (
            one(json!({"format": "jwt_vc_json", "meta": {"type_values": ["A"]}})),
            malformed,
            "credentials[0].meta.type_values[0]",
        ),
        (
            one(json!({"format": "jwt_vc_json", "meta": {"type_values": [[]]}})),
            malformed,
            "credentials[0].meta.type_values[0]",
        ),
        (one(json!({"multiple": "true"})), malformed, "credentials[0].multiple"),
        (
            one(json!({"require_cryptographic_holder_binding": 0})),
            malformed,
            "credentials[0].require_cryptographic_holder_binding",
        ),
        (one(json!({"trusted_authorities": []})), malformed, "credentials[0].trusted_authorities"),
        (
            one(json!({"trusted_authorities": [{"type": "etsi_tl", "values": ["https://a.example"]}]})),
            authority,
            "credentials[0].trusted_authorities[0].type",
        ),
        (
            one(json!({"trusted_authorities": [{"type": "aki", "values": ["a=b"]}]})),
            malformed,
            "credentials[0].trusted_authorities[0].values",
        ),
        (
            one(json!({"trusted_authorities": [{"type": "aki"}]})),
            missing,
            "credentials[0].trusted_authorities[0].values",
        ),
        (one(json!({"claims": []})), malformed, "credentials[0].claims"),
        (one(json!({"claims": [{}]})), missing, "credentials[0].claims[0].path"),
        (one(json!({"claims": [{"path": []}]})), malformed, "credentials[0].claims[0].path"),
        (one(json!({"claims": [{"path": ["a", -1]}]})), malformed, "credentials[0].claims[0].path"),
        (one(json!({"claims": [{"path": ["a", 1.5]}]})), malformed, "credentials[0].claims[0].path"),
        (one(json!({"claims": [{"path": ["a", true]}]})), malformed, "credentials[0].claims[0].path"),
        (one(json!({"claims": [{"path": ["a", ["b"]]}]})), malformed, "credentials[0].claims[0].path"),
        (one(json!({"claims": [{"path": vec!["a"; 17]}]})), much, "credentials[0].claims[0].path"),
        (one(json!({"claims": [{"path": ["a"], "values": []}]})), malformed, "credentials[0].claims[0].values"),
        (one(json!({"claims": [{"path": ["a"], "values": [null]}]})), malformed, "credentials[0].claims[0].values"),
        (one(json!({"claims": [{"path": ["a"], "values": [1.5]}]})), malformed, "credentials[0].claims[0].values"),
        (one(json!({"claims": [{"path": ["a"], "values": [{}]}]})), malformed, "credentials[0].claims[0].values"),
        (one(json!({"claims": many(65)})), much, "credentials[0].claims"),
        (
            one(json!({"claims": [{"id": "x", "path": ["a"]}, {"id": "x", "path": ["b"]}]})),
            taken,
            "credentials[0].claims[1].id",
        ),
        (one(json!({"claim_sets": [["x"]]})), unknown, "credentials[0].claim_sets[0][0]"),
        (one(json!({"claims": [{"path": ["a"]}], "claim_sets": [["x"]]})), missing, "credentials[0].claims[0].id"),
        (
            one(json!({"claims": [{"id": "x", "path": ["a"]}], "claim_sets": [["x", "y"]]})),
            unknown,
            "credentials[0].claim_sets[0][1]",
        ),
        (
            one(json!({"claims": [{"id": "x", "path": ["a"]}], "claim_sets": [[]]})),
            malformed,
            "credentials[0].claim_sets[0]",
        ),
        (
            one(json!({"claims": [{"id": "x", "path": ["a"]}], "claim_sets": []})),
            malformed,
            "credentials[0].claim_sets",
        ),
    ] {
        assert_eq!(parse(query.clone()), Err(why(at.to_owned())), "{query}");
    }
    let pair = |sets: Value| {
        let credential = |id: &str| json!({"id": id, "format": "dc+sd-jwt", "meta": {}});
        json!({"credentials": [credential("a"), credential("b")], "credential_sets": sets})
    };
    for (sets, why, at) in [
        (json!([]), malformed, "credential_sets"),
        (json!([{}]), missing, "credential_sets[0].options"),
        (json!([{"options": []}]), malformed, "credential_sets[0].options"),
        (json!([{"options": [[]]}]), malformed, "credential_sets[0].options[0]"),
        (json!([{"options": [["a"], ["c"]]}]), unknown, "credential_sets[0].options[1][0]"),
        (json!([{"options": [["a"]], "required": "no"}]), malformed, "credential_sets[0].required"),
    ] {
        assert_eq!(parse(pair(sets.clone())), Err(why(at.to_owned())), "{sets}");
    }
    let twice =
        json!({"credentials": [{"id": "a", "format": "x", "meta": {}}, {"id": "a", "format": "x", "meta": {}}]});
    assert_eq!(parse(twice), Err(taken("credentials[1].id".to_owned())));
    // what the standard does not name is ignored
    let extended =
        json!({"credentials": [{"id": "a", "format": "dc+sd-jwt", "meta": {"new": 1}, "new": []}], "new": {}});
    assert_eq!(parse(extended).unwrap(), parse(one(json!({}))).unwrap());
}

#[test]
fn a_query_comes_back_as_it_went() {
    let query = json!({
        "credentials": [
            {"id": "a", "format": "dc+sd-jwt", "multiple": true, "meta": {"vct_values": ["urn:id"]},
             "trusted_authorities": [{"type": "aki", "values": ["s9tIpPmhxdiuNkHMEWNpYim8S8Y"]}],
             "require_cryptographic_holder_binding": false,
             "claims": [{"id": "x", "path": ["n", null, 3, "m"], "values": ["1", 1, true]}, {"id": "y", "path": ["o"]}],
             "claim_sets": [["x"], ["y", "x"]]},
            {"id": "b", "format": "jwt_vc_json", "meta": {"type_values": [["A", "B"], ["C"]]}},
            {"id": "c", "format": "mso_mdoc", "meta": {"doctype_value": "org.iso.18013.5.1.mDL"}}
        ],
        "credential_sets": [{"options": [["a"], ["b", "c"]]}, {"options": [["c"]], "required": false}]
    });
    assert_eq!(parse(query.clone()).unwrap().to_value(), query);
    // what a protobuf `Struct` makes of integers
    let doubles = json!({"path": ["n", 3.0], "values": [21.0]});
    let query = credential(json!({ "claims": [doubles] }));
    assert_eq!(query.to_value()["claims"][0], json!({"path": ["n", 3], "values": [21]}));
}

#[test]
fn path_pointers() {
    // section 7.3
    let dent = json!({
        "name": "Arthur Dent",
        "address": {"street_address": "42 Market Street", "locality": "Milliways", "postal_code": "12345"},
        "degrees": [{"type": "Bachelor of Science", "university": "University of Betelgeuse"},
                    {"type": "Master of Science", "university": "University of Betelgeuse"}],
        "nationalities": ["British", "Betelgeusian"],
        "mixed": [{"a": 1}, {"b": 2}], "uneven": [[1, 2], [3]], "odd": [{"a": 1}, 2], "none": []
    });
    let path = |path: Value| shown(json!({"claims": [{ "path": path }]}), dent.clone());
    for (pointer, selected) in [
        (json!(["name"]), json!([["name"]])),
        (json!(["address"]), json!([["address"]])),
        (json!(["address", "street_address"]), json!([["address", "street_address"]])),
        (json!(["degrees", null, "type"]), json!([["degrees", 0, "type"], ["degrees", 1, "type"]])),
        (json!(["nationalities", 1]), json!([["nationalities", 1]])),
        // what lacks the member or the index is left out
        (json!(["mixed", null, "b"]), json!([["mixed", 1, "b"]])),
        (json!(["uneven", null, 1]), json!([["uneven", 0, 1]])),
        (json!(["uneven", null, null]), json!([["uneven", 0, 0], ["uneven", 0, 1], ["uneven", 1, 0]])),
        (json!(["nationalities"]), json!([["nationalities"]])),
    ] {
        assert_eq!(path(pointer.clone()), Some(selected), "{pointer}");
    }
    for nothing in [
        json!([null]),
        json!([0]),
        json!(["Name"]),
        json!(["name", "first"]),
        json!(["address", 0]),
        json!(["address", null]),
        json!(["degrees", "type"]),
        json!(["nationalities", 2]),
        json!(["nationalities", u64::MAX]),
        json!(["nationalities", "1"]),
        json!(["none", null]),
        // one that is no object ends it, whatever the others are
        json!(["odd", null, "a"]),
        json!(["mixed", null, "c"]),
    ] {
        assert_eq!(path(nothing.clone()), None, "{nothing}");
    }
}

#[test]
fn values_are_compared_by_type_and_value() {
    let with = |values: Value, claim: Value| {
        shown(json!({"claims": [{"path": ["a"], "values": values}]}), json!({ "a": claim })).is_some()
    };
    assert!(
        with(json!(["Doe", "Roe"]), json!("Roe")) && with(json!([21]), json!(21)) && with(json!([true]), json!(true))
    );
    for (values, claim) in [
        (json!(["21"]), json!(21)),
        (json!([21]), json!("21")),
        (json!([true]), json!("true")),
        (json!([true]), json!(1)),
        (json!([1]), json!(true)),
        (json!([false]), json!(null)),
        (json!(["doe"]), json!("Doe")),
        (json!(["Doe"]), json!("Doe ")),
        (json!(["Doe"]), json!(["Doe"])),
        (json!(["Doe"]), json!({"Doe": "Doe"})),
    ] {
        assert!(!with(values.clone(), claim.clone()), "{values} {claim}");
    }
    // of several selected claims those of another value count as absent
    let query = json!({"claims": [{"path": ["n", null], "values": ["GB", "FR"]}]});
    assert_eq!(shown(query.clone(), json!({"n": ["DE", "GB"]})), Some(json!([["n", 1]])));
    assert_eq!(shown(query, json!({"n": ["DE"]})), None);
}

#[test]
fn claim_sets_in_the_verifiers_order() {
    let query = json!({
        "claims": [{"id": "a", "path": ["a"]}, {"id": "b", "path": ["b"]}, {"id": "c", "path": ["c"], "values": [1]}],
        "claim_sets": [["a", "c"], ["b"], ["a"]]
    });
    let shown = |claims: Value| shown(query.clone(), claims);
    assert_eq!(shown(json!({"a": 0, "b": 0, "c": 1})), Some(json!([["a"], ["c"]])));
    assert_eq!(shown(json!({"a": 0, "b": 0, "c": 2})), Some(json!([["b"]])));
    assert_eq!(shown(json!({"a": 0})), Some(json!([["a"]])));
    assert_eq!(shown(json!({"c": 1})), None);
    // no sets: all of them; no claims: none by name; the same claim twice: once
    assert_eq!(self::shown(json!({"claims": [{"path": ["a"]}, {"path": ["b"]}]}), json!({"a": 0})), None);
    assert_eq!(self::shown(json!({}), json!({"a": 0})), Some(json!([])));
    let twice = json!({"claims": [{"path": ["a"]}, {"path": ["l", null]}, {"path": ["a"]}, {"path": ["l", 1]}]});
    assert_eq!(self::shown(twice, json!({"a": 0, "l": [1, 2]})), Some(json!([["a"], ["l", 0], ["l", 1]])));
}

#[test]
fn the_credential_itself_has_to_fit() {
    let claims = object(json!({"a": 1}));
    let sd_jwt = credential(json!({}));
    assert!(sd_jwt.matches(&held(&claims)).is_some());
    let other = ["urn:other".to_owned()];
    assert!(sd_jwt.matches(&Candidate { types: &other, ..held(&claims) }).is_none());
    assert!(sd_jwt.matches(&Candidate { types: &[], ..held(&claims) }).is_none());
    assert!(sd_jwt.matches(&Candidate { format: Format::JwtVcJson, ..held(&claims) }).is_none());
    // holder binding unless it is not asked for
    let unbound = Candidate { holder_binding: false, ..held(&claims) };
    assert!(sd_jwt.matches(&unbound).is_none());
    assert!(credential(json!({"require_cryptographic_holder_binding": false})).matches(&unbound).is_some());
    // a format that is not understood never matches, not even itself
    let mdoc = credential(json!({"format": "mso_mdoc"}));
    assert!(mdoc.matches(&Candidate { format: Format::parse("mso_mdoc"), ..held(&claims) }).is_none());
    // types of a VC: all of one of the lists, whatever else there is
    let types = |wanted: Value, has: &[&str]| {
        let has: Vec<String> = has.iter().map(|one| (*one).to_owned()).collect();
        let query = credential(json!({"format": "jwt_vc_json", "meta": {"type_values": wanted}}));
        query.matches(&Candidate { format: Format::JwtVcJson, types: &has, ..held(&claims) }).is_some()
    };
    assert!(types(json!([["IDCredential"]]), &["VerifiableCredential", "IDCredential"]));
    assert!(types(json!([["X"], ["B", "A"]]), &["A", "B", "C"]));
    assert!(types(
        json!([["https://www.w3.org/2018/credentials#VerifiableCredential", "A"]]),
        &["VerifiableCredential", "A"]
    ));
    assert!(!types(json!([["A", "B"]]), &["A", "C"]));
    assert!(!types(json!([["IDCredential"]]), &["VerifiableCredential"]));
    // authority key identifiers: one is enough
    let asked = credential(json!({"trusted_authorities": [
        {"type": "aki", "values": ["AAAA", "s9tIpPmhxdiuNkHMEWNpYim8S8Y"]}, {"type": "aki", "values": ["BBBB"]}]}));
    let key_ids =
        |ids: &[&str]| ids.iter().map(|id| carded_verifier::base64url::decode(id).unwrap()).collect::<Vec<_>>();
    let from = |ids: &[Vec<u8>]| asked.matches(&Candidate { authority_key_ids: ids, ..held(&claims) }).is_some();
    assert!(from(&key_ids(&["CCCC", "s9tIpPmhxdiuNkHMEWNpYim8S8Y"])) && from(&key_ids(&["BBBB"])));
    assert!(!from(&key_ids(&["CCCC"])) && !from(&[]));
}

#[test]
fn sets_of_credentials() {
    let query = parse(json!({
        "credentials": [
            {"id": "pid", "format": "dc+sd-jwt", "meta": {}, "claims": [{"path": ["name"]}]},
            {"id": "town", "format": "dc+sd-jwt", "meta": {}, "claims": [{"path": ["town"]}]},
            {"id": "mdl", "format": "mso_mdoc", "meta": {}},
            {"id": "bonus", "format": "dc+sd-jwt", "meta": {}, "claims": [{"path": ["bonus"]}]}
        ],
        "credential_sets": [
            {"options": [["mdl"], ["pid", "town"], ["pid"]]},
            {"options": [["bonus"]], "required": false}
        ]
    }))
    .unwrap();
    let (a, b) = (object(json!({"name": 1})), object(json!({"name": 2, "bonus": 3})));
    let both = query.select(&[held(&a), held(&b)]);
    let fitting = |n: usize| both.credentials[n].candidates.iter().map(|(at, _)| *at).collect::<Vec<_>>();
    assert_eq!((fitting(0), fitting(1), fitting(2), fitting(3)), (vec![0, 1], vec![], vec![], vec![1]));
    assert_eq!((both.credential_sets[0].options.clone(), both.credential_sets[1].options.clone()), (vec![2], vec![0]));
    assert!(both.satisfiable && !both.credential_sets[1].required);
    // the optional one alone is not enough
    let bonus = object(json!({"bonus": 3}));
    assert!(!query.select(&[held(&bonus)]).satisfiable && !query.select(&[]).satisfiable);
    // without sets everything is asked for
    let all = Query { credential_sets: vec![], ..query.clone() };
    assert!(!all.select(&[held(&a), held(&b)]).satisfiable);
    // and what came back is held against the same
    let answered = |query: &Query, ids: &[&str]| query.is_answered_by(&ids.iter().copied().collect());
    assert!(answered(&query, &["pid"]) && answered(&query, &["pid", "town", "bonus"]) && answered(&query, &["mdl"]));
    assert!(!answered(&query, &["bonus"]) && !answered(&query, &["town"]) && !answered(&query, &[]));
    assert!(!answered(&query, &["pid", "unasked"]));
    assert!(answered(&all, &["pid", "town", "mdl", "bonus"]) && !answered(&all, &["pid", "town", "mdl"]));
}

#[test]
fn a_large_array_costs_no_more_than_its_size() {
    let rows: Value = (0..100_000).map(|n| json!({ "n": n })).collect();
    let paths: Value = (0..64).map(|_| json!({"path": ["rows", null, "n"]})).collect();
    assert_eq!(matches(json!({ "claims": paths }), json!({ "rows": rows })), None);
}

/// `query_lang/` and `request/` of the standard.
#[test]
fn examples_of_the_standard() {
    let Some(folder) = vector_files::folder("openid4vp-1.0") else { return };
    let queries = vector_files::json_files(&folder.join("query_lang"));
    assert!(queries.len() >= 7);
    for (name, query) in &queries {
        assert_eq!(&parse(query.clone()).unwrap_or_else(|error| panic!("{name}: {error}")).to_value(), query, "{name}");
    }
    let query = |name: &str| parse(queries.iter().find(|(other, _)| other == name).unwrap().1.clone()).unwrap();
    let identity = ["https://credentials.example.com/identity_credential".to_owned()];
    let full = object(json!({
        "family_name": "Doe", "given_name": "John", "postal_code": "90210", "locality": "X", "region": "Y",
        "date_of_birth": "1990-01-01", "address": {"street_address": "1 Road", "country": "US"}
    }));
    let paths = |name: &str, claims: &Map<String, Value>| {
        query(name).credentials[0].matches(&Candidate { types: &identity, ..held(claims) }).map(|m| m.paths.len())
    };
    assert_eq!(paths("simple", &full), Some(3));
    assert_eq!(paths("value_matching_simple", &full), Some(4));
    assert_eq!(paths("claims_alternatives", &full), Some(4));
    let mut other = full.clone();
    other.insert("postal_code".to_owned(), "10117".into());
    other.remove("locality");
    assert_eq!(paths("value_matching_simple", &other), None);
    assert_eq!(paths("claims_alternatives", &other), Some(3));
    let alternatives = query("credentials_alternatives").select(&[Candidate { types: &identity, ..held(&full) }]);
    assert!(alternatives.satisfiable);
    assert_eq!(alternatives.credential_sets[0].options, [0]);
    assert!(!query("multi_credentials").select(&[Candidate { types: &identity, ..held(&full) }]).satisfiable);
    assert!(!query("complex_mdoc").select(&[Candidate { types: &identity, ..held(&full) }]).satisfiable);

    let request: Value =
        serde_json::from_slice(&std::fs::read(folder.join("request/dcql_jwt_vc.json")).unwrap()).unwrap();
    let credential: Value =
        serde_json::from_slice(&std::fs::read(folder.join("credentials/jwt_vc.json")).unwrap()).unwrap();
    let claims = object(credential["vc"].clone());
    let types = ["VerifiableCredential".to_owned(), "IDCredential".to_owned()];
    let candidate = Candidate { format: Format::JwtVcJson, types: &types, ..held(&claims) };
    assert!(parse(request).unwrap().select(&[candidate]).satisfiable);
}

/// JSON of a few small names and values, so that paths often lead somewhere.
fn claims_of_any_shape() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![Just(json!(1)), Just(json!("x")), Just(json!(true)), Just(json!(null))];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::btree_map("[ab]", inner, 0..3).prop_map(|map| map.into_iter().collect::<Value>()),
        ]
    })
}

/// What a verifier sees of claims when only these paths are shown: of elements that are withheld and of decoys a digest.
fn only(value: &Value, paths: &[&[ConcretePathElement]]) -> Value {
    if paths.iter().any(|path| path.is_empty()) {
        return value.clone();
    }
    let below = |step: ConcretePathElement| -> Vec<&[ConcretePathElement]> {
        paths.iter().filter(|path| path.first() == Some(&step)).map(|path| &path[1..]).collect()
    };
    match value {
        Value::Object(map) => map
            .iter()
            .map(|(name, value)| (name, value, below(ConcretePathElement::Name(name.clone()))))
            .filter(|(_, _, below)| !below.is_empty())
            .map(|(name, value, below)| (name.clone(), only(value, &below)))
            .collect(),
        Value::Array(values) => {
            let shown = values.iter().enumerate().map(|(n, value)| (value, below(ConcretePathElement::Index(n))));
            let digest = || json!({"...": "x"});
            // a decoy before each other element
            shown
                .flat_map(|(value, below)| match below.is_empty() {
                    true => vec![digest()],
                    false => vec![digest(), only(value, &below)],
                })
                .collect()
        }
        other => other.clone(),
    }
}

proptest! {
    /// What a wallet chooses to show is enough for the verifier, who looks with the same matcher.
    #[test]
    fn what_is_chosen_is_enough(
        claims in proptest::collection::btree_map("[ab]", claims_of_any_shape(), 0..3),
        paths in proptest::collection::vec(
            ("[ab]", proptest::collection::vec(prop_oneof![
                Just(json!("a")), Just(json!("b")), Just(json!(0)), Just(json!(1)), Just(json!(null))], 0..4)), 1..4),
        values in proptest::option::of(Just(json!([1, "x"]))),
    ) {
        let claims: Map<String, Value> = claims.into_iter().collect();
        let asked: Value = paths.into_iter().map(|(first, rest)| {
            let path: Value = std::iter::once(json!(first)).chain(rest).collect();
            match &values { Some(values) => json!({"path": path, "values": values}), None => json!({ "path": path }) }
        }).collect();
        let query = credential(json!({ "claims": asked }));
        prop_assert_eq!(&CredentialQuery::parse(&query.to_value()).unwrap(), &query);
        if let Some(found) = query.matches(&held(&claims)) {
            let steps: Vec<&[ConcretePathElement]> = found.paths.iter().map(Vec::as_slice).collect();
            let shown = object(only(&Value::Object(claims), &steps));
            prop_assert!(query.matches(&held(&shown)).is_some(), "{:?}", shown);
        }
    }

    #[test]
    fn no_json_makes_it_panic(value in claims_of_any_shape()) {
        let _ = (Query::parse(&value), CredentialQuery::parse(&value), parse(json!({ "credentials": [value] })));
    }
}
