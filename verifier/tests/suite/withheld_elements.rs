//! Elements of arrays that are shown without their neighbours (RFC 9901 section 4.2.4.2), asked for by an index that counts in
//! the whole credential (OpenID4VP 1.0 sections 6.4.1 and 7.1).
use crate::shop::*;
use carded_verifier::Code;
use carded_verifier::dcql::{Candidate, ClaimsQuery, CredentialQuery, Format, Match, PathElement};
use carded_verifier::sd_jwt::SdHash;
use carded_verifier::sd_jwt::issue::Issue;
use serde_json::{Map, Value, json};

const FIRST: PathElement = PathElement::Index(0);
const SECOND: PathElement = PathElement::Index(1);

fn asks(path: &[PathElement], values: &[&str]) -> CredentialQuery {
    let values = values.iter().map(|value| json!(value)).collect();
    CredentialQuery { claims: vec![ClaimsQuery { id: None, path: path.to_vec(), values }], ..query() }
}

fn shop(query: &CredentialQuery) -> Shop {
    let mut policy = policy();
    policy.query = query.clone();
    // what was fetched does not depend on the query
    Shop { known: Shop::new().known, ..Shop::empty(vec![policy]) }
}

/// What a wallet chooses of a credential that it holds.
fn chosen(query: &CredentialQuery, issued: &str) -> Option<Match> {
    let held = held(issued);
    let types = [VCT.to_owned()];
    query.matches(&Candidate {
        format: Format::DcSdJwt,
        types: &types,
        claims: held.claims(),
        holder_binding: true,
        authority_key_ids: &[],
    })
}

/// Issues claims of which these can be withheld, with so many decoys in each array.
fn issue_with(claims: Map<String, Value>, disclosable: Vec<Vec<PathElement>>, decoys: usize) -> String {
    let header = header("dc+sd-jwt", &dmv_key());
    let issue = Issue { header, claims, disclosable, decoys, hash: SdHash::SHA_256 };
    let prepared = issue.prepare(&mut random()).unwrap();
    let signature = dmv_key().signature(prepared.bytes()).unwrap();
    prepared.finish(&signature)
}

/// Nationalities, each of which can be withheld.
fn national(nationalities: Value, decoys: usize) -> String {
    issue_with(ada_with("nationalities", nationalities), vec![vec![name("nationalities"), PathElement::All]], decoys)
}

/// Shows the elements with these indexes.
fn show(issued: &str, indexes: &[usize]) -> String {
    use carded_verifier::dcql::ConcretePathElement::{Index, Name};
    let paths: Vec<_> = indexes.iter().map(|at| vec![Name("nationalities".to_owned()), Index(*at)]).collect();
    present_paths(issued, &paths)
}

#[test]
fn the_second_element_is_shown_alone() {
    for decoys in [0, 3] {
        let issued = national(json!(["GB", "IT", "FR"]), decoys);
        for (path, values) in [(SECOND, &[][..]), (SECOND, &["IT"]), (PathElement::All, &["IT"])] {
            let query = asks(&[name("nationalities"), path], values);
            let found = chosen(&query, &issued).unwrap();
            assert_eq!(found.paths.len(), 1, "neighbours are not chosen");
            let presentation = present_paths(&issued, &found.paths);
            // what the shop acts on has no trace of what is withheld
            assert_eq!(shop(&query).ok(&presentation).claims()["nationalities"], json!(["IT"]), "{decoys} decoys");
        }
        let all = asks(&[name("nationalities"), PathElement::All], &[]);
        let presentation = present_paths(&issued, &chosen(&all, &issued).unwrap().paths);
        assert_eq!(shop(&all).ok(&presentation).claims()["nationalities"], json!(["GB", "IT", "FR"]));
    }
}

#[test]
fn threat_51_another_element_is_not_taken_for_the_one_that_was_asked_for() {
    let issued = national(json!(["GB", "IT", "FR"]), 0);
    let (first, second) = (asks(&[name("nationalities"), FIRST], &[]), asks(&[name("nationalities"), SECOND], &[]));
    for (query, indexes, code) in [
        (&second, &[1][..], None),
        (&second, &[0, 1], None),
        (&second, &[0, 1, 2], None),
        // the first has nothing before it that could be withheld
        (&second, &[0], Some(Code::QueryNotMet)),
        (&second, &[], Some(Code::QueryNotMet)),
        // the second of what is shown, but nothing tells that it is not the second of all
        (&second, &[0, 2], None),
        (&first, &[0], None),
        (&first, &[0, 2], None),
    ] {
        let outcome = shop(query).verify_at(show(&issued, indexes), 0);
        match code {
            None => drop(verified(outcome)),
            Some(code) => assert_eq!(denied(outcome).code(), code, "{indexes:?}"),
        }
    }
    // where nothing can be withheld there is only the one
    let plain = issue_with(ada(), vec![vec![name("given_name")]], 2);
    for (path, value, holds) in [(FIRST, "GB", true), (SECOND, "IT", true), (FIRST, "IT", false), (SECOND, "GB", false)]
    {
        let query = asks(&[name("nationalities"), path], &[value]);
        assert_eq!(chosen(&query, &plain).is_some(), holds, "{value}");
        let outcome = shop(&query).verify_at(present_paths(&plain, &[]), 0);
        if holds {
            drop(verified(outcome));
        } else {
            assert_eq!(denied(outcome).code(), Code::QueryNotMet, "{value}");
        }
    }
}

#[test]
fn an_element_of_another_shape_does_not_end_the_search() {
    // which of the two left is the second nobody can tell, so that the text does not refuse the object
    let degrees = json!(["none", { "type": "BSc" }, "none"]);
    let issued = issue_with(ada_with("degrees", degrees), vec![vec![name("degrees"), PathElement::All]], 0);
    let query = asks(&[name("degrees"), SECOND, name("type")], &["BSc"]);
    assert_eq!(chosen(&query, &issued).unwrap().paths.len(), 1);
    let element = |at| vec![carded_verifier::dcql::ConcretePathElement::Name("degrees".to_owned()), at];
    let indexes = [1, 2].map(carded_verifier::dcql::ConcretePathElement::Index);
    shop(&query).accepts(present_paths(&issued, &indexes.map(element)));
}
