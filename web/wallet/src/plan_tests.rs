//! Plans for a digital ID with ages, name and address, and for a clerk's statement.

use super::*;
use carded_verifier::base64url;
use serde_json::json;
use sha2::{Digest, Sha256};

fn sd_jwt(claims: &Value) -> String {
    let mut digests = Vec::new();
    let mut disclosures = String::new();
    for (name, value) in claims.as_object().unwrap() {
        let value = if name == "age_equal_or_over" {
            let mut inner = Vec::new();
            for (age, over) in value.as_object().unwrap() {
                let text = base64url::encode(json!([format!("salt-{age}"), age, over]).to_string());
                inner.push(base64url::encode(Sha256::digest(&text)));
                disclosures.push_str(&format!("{text}~"));
            }
            json!({ "_sd": inner })
        } else {
            value.clone()
        };
        let text = base64url::encode(json!([format!("salt-{name}"), name, value]).to_string());
        digests.push(base64url::encode(Sha256::digest(&text)));
        disclosures.push_str(&format!("{text}~"));
    }
    let payload = json!({"iss": "https://dmv.example", "vct": "id", "_sd": digests, "_sd_alg": "sha-256"});
    let header = base64url::encode(r#"{"alg":"ES256","typ":"dc+sd-jwt"}"#);
    format!("{header}.{}.c2ln~{disclosures}", base64url::encode(payload.to_string()))
}

fn id_card(over_21: bool) -> Card {
    let claims = json!({
        "given_name": "Ada", "family_name": "Lovelace", "birthdate": "1985-12-10",
        "age_equal_or_over": {"18": true, "21": over_21, "65": false},
    });
    Card {
        id: "id".to_owned(),
        title: "Digital ID".to_owned(),
        issuer: "https://dmv.example".to_owned(),
        format: "dc+sd-jwt".to_owned(),
        types: vec!["id".to_owned()],
        labels: Vec::new(),
        credential: sd_jwt(&claims),
        copies: vec![
            CopyState { id: "c1".to_owned(), site: Some("https://bar.example".to_owned()), expires: None },
            CopyState { id: "c2".to_owned(), site: None, expires: None },
        ],
    }
}

fn clerk_card() -> Card {
    let payload = json!({"iss": "did:web:clerk.example", "sub": "did:jwk:x", "nbf": 1, "exp": 4_000_000_000_u64, "vc": {
        "@context": ["https://www.w3.org/2018/credentials/v1"],
        "type": ["VerifiableCredential", "Over21"],
        "credentialSubject": {"id": "did:jwk:x", "age_over_21": true},
    }});
    let header = base64url::encode(r#"{"alg":"ES256","typ":"JWT","kid":"did:web:clerk.example#key"}"#);
    Card {
        id: "clerk".to_owned(),
        title: "Statement".to_owned(),
        issuer: "https://clerk.example".to_owned(),
        format: "jwt_vc_json".to_owned(),
        types: vec!["VerifiableCredential".to_owned(), "Over21".to_owned()],
        labels: Vec::new(),
        credential: format!("{header}.{}.c2ln", base64url::encode(payload.to_string())),
        copies: vec![CopyState { id: "k1".to_owned(), site: None, expires: None }],
    }
}

fn over_21() -> Value {
    json!({
        "id": "over21", "format": "dc+sd-jwt", "meta": {"vct_values": ["id"]},
        "claims": [{"path": ["age_equal_or_over", "21"], "values": [true]}],
    })
}

fn request(dcql: &Value) -> AuthorizationRequest {
    AuthorizationRequest {
        response_uri: "https://shop.example/.carded/response".to_owned(),
        nonce: "n".to_owned(),
        state: Some("s".to_owned()),
        dcql_query: carded_verifier::dcql::Query::parse(dcql).unwrap(),
        client_metadata: Some(json!({"client_name": "The \u{202e}Shop", "logo_uri": "https://evil.example/x.png"})),
    }
}

#[test]
fn over_21_and_nothing_else() {
    let plan = plan(&request(&json!({"credentials": [over_21()]})), &[id_card(true)], 0).unwrap();
    assert_eq!(plan.origin, "https://shop.example");
    assert_eq!(plan.calls_itself.as_deref(), Some("The Shop"));
    assert!(plan.satisfiable);
    let way = &plan.groups[0].ways[0];
    let show = &way.shows[0];
    assert_eq!(show.shown.iter().map(|row| row.label.as_str()).collect::<Vec<_>>(), ["Over 21"]);
    assert_eq!(show.hidden, ["Given name", "Family name", "Birth date", "Over 18", "Over 65"]);
    assert_eq!(show.copy, Copy { pick: Pick::Fresh, id: Some("c2".to_owned()) });
    assert!(way.warnings.is_empty());
    assert!(!serde_json::to_string(&plan).unwrap().contains("evil.example"), "logos are not even mentioned");
}

#[test]
fn one_of_several_is_shown_without_its_neighbours() {
    let disclosure = |value: &Value| base64url::encode(json!(["salt", value]).to_string());
    let digest = |value: &Value| json!({"...": base64url::encode(Sha256::digest(disclosure(value)))});
    let texts = [json!("GB"), json!("IT"), json!("FR")];
    let degrees = [json!({"title": "BA"}), json!({"grade": "A"})];
    let payload = json!({
        "iss": "https://dmv.example", "vct": "id",
        "nationalities": texts.iter().map(digest).collect::<Value>(),
        "degrees": degrees.iter().map(digest).collect::<Value>(),
    });
    let disclosures: String = texts.iter().chain(&degrees).map(|value| disclosure(value) + "~").collect();
    let header = base64url::encode(r#"{"alg":"ES256","typ":"dc+sd-jwt"}"#);
    let credential = format!("{header}.{}.c2ln~{disclosures}", base64url::encode(payload.to_string()));
    let card = Card { credential, ..id_card(true) };
    let mut query = over_21();
    query["claims"] = json!([{"path": ["nationalities", 1]}, {"path": ["degrees", 1]}]);
    let plan = plan(&request(&json!({"credentials": [query]})), &[card], 0).unwrap();
    let show = &plan.groups[0].ways[0].shows[0];
    let shown: Vec<_> = show.shown.iter().map(|row| (row.label.as_str(), row.value.as_str())).collect();
    assert_eq!(shown, [("Degrees, grade", "A"), ("Nationalities", "IT")]);
    assert_eq!(show.hidden, ["Degrees, title", "Nationalities (the rest)"]);
}

#[test]
fn a_card_is_chosen_by_the_authority_behind_its_issuer() {
    use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyIdMethod, KeyPair};
    let certificate = |authority: u8| {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_identifier_method = KeyIdMethod::PreSpecified(vec![authority; 20]);
        let root = Issuer::new(params, KeyPair::generate().unwrap());
        let mut leaf = CertificateParams::new(vec!["dmv.example".to_owned()]).unwrap();
        leaf.use_authority_key_identifier_extension = true;
        let der = leaf.signed_by(&KeyPair::generate().unwrap(), &root).unwrap();
        der.pem().lines().filter(|line| !line.starts_with('-')).collect::<String>()
    };
    let issued_under = |name: &str, authority: u8, mut card: Card| {
        let header = base64url::encode(json!({"alg": "ES256", "x5c": [certificate(authority)]}).to_string());
        let (_, rest) = card.credential.split_once('.').unwrap();
        card.credential = format!("{header}.{rest}");
        name.clone_into(&mut card.id);
        card
    };
    let cards = [
        id_card(true),
        issued_under("by 1", 1, id_card(true)),
        issued_under("by 2", 2, id_card(true)),
        issued_under("clerk by 2", 2, clerk_card()),
    ];
    let chosen = |query: Value, authority: u8| {
        let mut query = query;
        query["trusted_authorities"] = json!([{"type": "aki", "values": [base64url::encode([authority; 20])]}]);
        let request = request(&json!({"credentials": [query]}));
        let plan = plan(&request, &cards, 0).unwrap();
        let by_plan: Vec<_> = plan.groups[0].ways.iter().map(|way| way.shows[0].card.clone()).collect();
        // what is signed in the end is decided by the same
        let credential = &request.dcql_query.credentials[0];
        let held = |card: &Card| Held::parse(&card.format, &card.credential).unwrap();
        let fitting = cards.iter().filter(|card| credential.matches(&held(card).candidate(&card.types)).is_some());
        assert_eq!(by_plan, fitting.map(|card| card.id.clone()).collect::<Vec<_>>());
        by_plan
    };
    assert_eq!(chosen(over_21(), 1), ["by 1"]);
    assert_eq!(chosen(over_21(), 2), ["by 2"]);
    assert!(chosen(over_21(), 3).is_empty());
    let statement = json!({"id": "s", "format": "jwt_vc_json", "meta": {"type_values": [["Over21"]]}});
    assert_eq!(chosen(statement, 2), ["clerk by 2"]);
}

#[test]
fn threat_95_nothing_fits_is_told_to_the_person() {
    let query = json!({"credentials": [over_21()]});
    let plan_for = |cards: &[Card]| plan(&request(&query), cards, 0).unwrap();
    let under = plan_for(&[id_card(false)]);
    assert!(!under.satisfiable);
    assert_eq!(under.reason.as_deref(), Some("None of your cards proves that you are over 21."));
    assert_eq!(
        plan_for(&[]).reason.as_deref(),
        Some("You have no cards yet, so there is none that proves that you are over 21.")
    );
}

#[test]
fn more_than_an_age_is_pointed_out() {
    let mut query = over_21();
    query["claims"] = json!([
        {"path": ["age_equal_or_over", "21"]}, {"path": ["family_name"]}, {"path": ["birthdate"]},
    ]);
    let plan = plan(&request(&json!({"credentials": [query]})), &[id_card(true)], 0).unwrap();
    let codes: Vec<_> = plan.groups[0].ways[0].warnings.iter().map(|warning| warning.code).collect();
    assert_eq!(codes, ["more_than_age", "birth_date"]);
    assert!(plan.groups[0].ways[0].warnings[0].message.contains("Family name"));
}

#[test]
fn a_choice_between_cards() {
    let clerk = json!({
        "id": "statement", "format": "jwt_vc_json", "meta": {"type_values": [["Over21"]]},
        "claims": [{"path": ["credentialSubject", "age_over_21"], "values": [true]}],
    });
    let query = json!({
        "credentials": [over_21(), clerk],
        "credential_sets": [{"options": [["over21"], ["statement"]]}],
    });
    let plan_for = |cards: &[Card]| plan(&request(&query), cards, 0).unwrap();
    let both = plan_for(&[clerk_card(), id_card(true)]);
    let titles: Vec<_> = both.groups[0].ways.iter().map(|way| way.title.as_str()).collect();
    assert_eq!(titles, ["Digital ID", "Statement"], "in the verifier's order");
    assert_eq!(both.groups[0].ways[1].shows[0].query, "statement");
    assert!(both.groups[0].ways[1].shows[0].hidden.is_empty());
    let one = plan_for(&[clerk_card()]);
    assert_eq!(one.groups[0].ways.len(), 1);
    // one whose copies are used up is offered last
    let mut used = id_card(true);
    used.copies.truncate(1);
    let later = plan_for(&[used, clerk_card()]);
    assert_eq!(later.groups[0].ways[0].title, "Statement");
    assert_eq!(later.groups[0].ways[1].shows[0].copy.pick, Pick::UsedUp);
}

#[test]
fn threat_94_an_answer_goes_to_https_only() {
    for bad in ["javascript:alert(1)", "http://shop.example/", "data:,x"] {
        let mut request = request(&json!({"credentials": [over_21()]}));
        request.response_uri = bad.to_owned();
        assert_eq!(plan(&request, &[], 0).unwrap_err().code, "link_refused", "{bad}");
    }
}
