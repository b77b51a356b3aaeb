//! OpenID4VP messages on both sides: threats 94 and 97, and the examples of the standard.
use crate::vector_files;
use carded_verifier::dcql::Query;
use carded_verifier::openid4vp::{AuthorizationRequest, AuthorizationResponse, RequestError, ResponseError};
use carded_verifier::{Limits, UrlError, UrlPolicy};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const STRICT: UrlPolicy = UrlPolicy { allow_http_localhost: false, allow_port: false };
const DEVELOPMENT: UrlPolicy = UrlPolicy { allow_http_localhost: true, allow_port: false };
const RESPONSE_URI: &str = "https://shop.example.com/.carded/response";

fn query() -> Query {
    Query::parse(&json!({"credentials": [{
        "id": "over21", "format": "dc+sd-jwt", "meta": {"vct_values": ["https://dmv.example/credentials/id"]},
        "claims": [{"path": ["age_equal_or_over", "21"], "values": [true]}, {"path": ["l\u{e4}nder & co + 1", null, 0]}]
    }]}))
    .unwrap()
}

fn request() -> AuthorizationRequest {
    AuthorizationRequest {
        response_uri: RESPONSE_URI.to_owned(),
        nonce: "n-0S6_WzA2Mj".to_owned(),
        state: Some("eyJhb.6-sVA~".to_owned()),
        dcql_query: query(),
        client_metadata: Some(json!({"client_name": "Wine & \"more\" + \u{1f377}"})),
    }
}

/// The parameters of a good request, with one set (`None`: left out), as a query.
fn with(name: &str, value: Option<&str>) -> String {
    let query = query().to_value().to_string();
    let client_id = format!("redirect_uri:{RESPONSE_URI}");
    let mut parameters = BTreeMap::from([
        ("response_type", "vp_token"),
        ("response_mode", "direct_post"),
        ("client_id", client_id.as_str()),
        ("response_uri", RESPONSE_URI),
        ("nonce", "n"),
        ("dcql_query", &query),
    ]);
    match value {
        Some(value) => parameters.insert(name, value),
        None => parameters.remove(name),
    };
    form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish()
}

fn refused(name: &str, value: &str) -> RequestError {
    AuthorizationRequest::parse(&with(name, Some(value)), STRICT).unwrap_err()
}

#[test]
fn a_request_arrives_as_it_was_sent() {
    let request = request();
    assert_eq!(request.client_id(), "redirect_uri:https://shop.example.com/.carded/response");
    let url = request.to_url("https://wallet.example/present");
    assert!(
        url.starts_with("https://wallet.example/present?response_type=vp_token&response_mode=direct_post&"),
        "{url}"
    );
    assert!(url.bytes().all(|b| b.is_ascii_graphic() && b != b'+' && b != b'"' && b != b'#'), "{url}");
    let query = url.split_once('?').unwrap().1;
    assert_eq!(AuthorizationRequest::parse(query, STRICT), Ok(request.clone()));
    assert_eq!(AuthorizationRequest::parse(&format!("?{query}"), STRICT), Ok(request.clone()));
    // an endpoint with a query of its own
    assert!(request.to_url("https://wallet.example/?a=b").starts_with("https://wallet.example/?a=b&response_type="));
    let least = AuthorizationRequest { state: None, client_metadata: None, ..request };
    assert_eq!(AuthorizationRequest::parse(&least.to_query(), STRICT), Ok(least));
}

#[test]
fn what_may_be_left_out_and_what_is_ignored() {
    let good = AuthorizationRequest::parse(&with("unknown", Some("x")), STRICT).unwrap();
    assert_eq!((good.response_uri.as_str(), good.state), (RESPONSE_URI, None));
    // under this prefix the response URI is the client id
    assert_eq!(AuthorizationRequest::parse(&with("response_uri", None), STRICT).unwrap().response_uri, RESPONSE_URI);
    for name in ["client_id", "response_type", "nonce", "dcql_query"] {
        for without in [with(name, None), with(name, Some(""))] {
            assert_eq!(AuthorizationRequest::parse(&without, STRICT), Err(RequestError::Missing(name)));
        }
    }
    // without holder binding only `state` binds the answer
    let unbound = json!({"credentials": [{"id": "a", "format": "dc+sd-jwt", "meta": {}, "require_cryptographic_holder_binding": false}]});
    assert_eq!(refused("dcql_query", &unbound.to_string()), RequestError::Missing("state"));
}

#[test]
fn requests_that_a_wallet_does_not_show() {
    use RequestError as E;
    for (name, value, why) in [
        ("client_id", "https://shop.example.com", E::ClientId),
        ("client_id", "x509_san_dns:shop.example.com", E::ClientId),
        ("client_id", "REDIRECT_URI:https://shop.example.com/.carded/response", E::ClientId),
        ("client_id", "origin:https://shop.example.com", E::ClientId),
        ("client_id", "redirect_uri:https://other.example/cb", E::ResponseUriMismatch),
        ("response_uri", "https://evil.example/cb", E::ResponseUriMismatch),
        ("response_uri", "https://SHOP.example.com/.carded/response", E::ResponseUriMismatch),
        ("request", "eyJ.eyJ.x", E::RequestObject),
        ("request_uri", "https://shop.example.com/request", E::RequestObject),
        ("request_uri_method", "post", E::RequestObject),
        ("response_type", "vp_token id_token", E::ResponseType),
        ("response_type", "code", E::ResponseType),
        ("response_mode", "fragment", E::ResponseMode),
        ("response_mode", "direct_post.jwt", E::ResponseMode),
        ("redirect_uri", "https://shop.example.com/cb", E::RedirectUri),
        ("scope", "openid", E::Scope),
        ("nonce", "a b", E::Malformed("nonce")),
        ("nonce", "a/b", E::Malformed("nonce")),
        ("nonce", "n\u{e9}", E::Malformed("nonce")),
        ("state", "a=b", E::Malformed("state")),
    ] {
        assert_eq!(refused(name, value), why, "{name}={value}");
    }
    assert_eq!(AuthorizationRequest::parse(&with("response_mode", None), STRICT), Err(E::ResponseMode));
    assert_eq!(refused("nonce", &"a".repeat(5000)), E::TooLong);
    assert_eq!(refused("unknown", &"a".repeat(70_000)), E::TooLong);
    assert!(matches!(refused("dcql_query", "{"), E::Json("dcql_query", _)));
    assert!(matches!(refused("dcql_query", r#"{"credentials":[],"credentials":[]}"#), E::Json("dcql_query", _)));
    assert!(matches!(refused("dcql_query", r#"{"credentials":[]}"#), E::Query(_)));
    assert!(matches!(refused("client_metadata", "[]"), E::Json("client_metadata", _)));
    // twice, also where the second is empty; and bytes that are no UTF-8
    let good = with("unknown", None);
    for name in ["client_id", "nonce", "response_uri", "state&state", "transaction_data=&transaction_data"] {
        let query = format!("{good}&{name}=");
        assert!(matches!(AuthorizationRequest::parse(&query, STRICT), Err(E::Repeated(_))), "{query}");
    }
    assert_eq!(AuthorizationRequest::parse(&format!("{good}&state=%ff"), STRICT), Err(E::NotUtf8("state")));
    assert_eq!(refused("scope", "x").error_code(), "invalid_scope");
    assert_eq!(refused("client_id", "x").error_code(), "invalid_request");
}

#[test]
fn threat_97_transaction_data_is_refused() {
    let error = refused("transaction_data", "[\"eyJ0eXBlIjoicGF5bWVudCJ9\"]");
    assert_eq!((error.clone(), error.error_code()), (RequestError::TransactionData, "invalid_transaction_data"));
    // whatever else is wrong with the request
    let both = format!("{}&transaction_data=x", with("response_type", Some("code")));
    assert_eq!(AuthorizationRequest::parse(&both, STRICT), Err(RequestError::TransactionData));
}

#[test]
fn threat_94_an_answer_goes_over_https_only() {
    let at = |uri: &str, policy| {
        let request = AuthorizationRequest { response_uri: uri.to_owned(), ..request() };
        AuthorizationRequest::parse(&request.to_query(), policy).map(|request| request.response_uri)
    };
    for (uri, why) in [
        ("javascript:alert(1)", UrlError::Malformed),
        ("data:text/html,x", UrlError::Malformed),
        ("blob:https://shop.example.com/x", UrlError::Malformed),
        ("http://shop.example.com/cb", UrlError::NotHttps),
        ("http://shop.localhost:8080/cb", UrlError::NotHttps),
        ("https://user@shop.example.com/cb", UrlError::UserInformation),
        ("https://127.0.0.1/cb", UrlError::Address),
        ("https://shop.example.com/cb#x", UrlError::Fragment),
        ("//shop.example.com/cb", UrlError::Malformed),
        ("shop", UrlError::Malformed),
    ] {
        assert_eq!(at(uri, STRICT), Err(RequestError::ResponseUri(why)), "{uri}");
    }
    assert!(at("http://shop.localhost:8080/cb", DEVELOPMENT).is_ok());
    assert!(at("http://shop.example.com/cb", DEVELOPMENT).is_err());
}

fn parse(body: &str) -> Result<AuthorizationResponse, ResponseError> {
    AuthorizationResponse::parse_form(body.as_bytes(), &Limits::default())
}

#[test]
fn an_answer_arrives_as_it_was_sent() {
    let token = BTreeMap::from([
        ("over21".to_owned(), vec!["eyJ.eyJ.sig~WyJ~eyJ.kb+/&=.x".to_owned(), "b".to_owned()]),
        ("a-b_C".to_owned(), vec!["c".to_owned()]),
    ]);
    for state in [None, Some("s.t-a_t~e".to_owned())] {
        let presented = AuthorizationResponse::Presented { vp_token: token.clone(), state: state.clone() };
        assert_eq!(parse(&presented.to_form()), Ok(presented.clone()));
        assert!(!format!("{presented:?}").contains("eyJ"), "{presented:?}");
        let error = AuthorizationResponse::Error {
            error: "access_denied".to_owned(),
            description: Some("The person refused & left".to_owned()),
            state,
        };
        assert_eq!(parse(&error.to_form()), Ok(error));
    }
    // as others encode it, and with what is not known here
    let plus = parse("vp_token=%7B%22a%22%3A+%5B%22x%22%5D%7D&state=s&iss=https%3A%2F%2Fwallet.example").unwrap();
    let vp_token = BTreeMap::from([("a".to_owned(), vec!["x".to_owned()])]);
    assert_eq!(plus, AuthorizationResponse::Presented { vp_token, state: Some("s".to_owned()) });
}

#[test]
fn what_is_no_answer() {
    use ResponseError as E;
    let token = |value: Value| format!("vp_token={}", value.to_string().replace('"', "%22"));
    for (body, why) in [
        (String::new(), E::Empty),
        ("state=s".to_owned(), E::Empty),
        ("vp_token=&state=s".to_owned(), E::Empty),
        ("vp_token={}&error=access_denied".to_owned(), E::Both),
        ("vp_token={}&vp_token={}".to_owned(), E::Repeated("vp_token")),
        ("vp_token={}&state=a&state=a".to_owned(), E::Repeated("state")),
        ("response=a.b.c.d.e".to_owned(), E::Encrypted),
        ("vp_token={}&state=a%20b".to_owned(), E::Malformed("state")),
        ("vp_token=%ff".to_owned(), E::NotUtf8("vp_token")),
        ("error=access%22denied".to_owned(), E::Malformed("error")),
        ("error=a%0D%0Ab".to_owned(), E::Malformed("error")),
        (format!("error={}", "a".repeat(65)), E::Malformed("error")),
        (token(json!({"a": "x"})), E::VpToken),
        (token(json!({"a": []})), E::VpToken),
        (token(json!({"a": [""]})), E::VpToken),
        (token(json!({"a": [{}]})), E::VpToken),
        (token(json!({"a": [1]})), E::VpToken),
        (token(json!({"a": vec!["x"; 17]})), E::VpToken),
        (token((0..65).map(|n| (n.to_string(), json!(["x"]))).collect()), E::VpToken),
        (token(json!({"a": ["x".repeat(70_000)]})), E::TooLarge),
        ("x".repeat(300_000), E::TooLarge),
    ] {
        assert_eq!(parse(&body), Err(why), "{body:.80}");
    }
    for bad in ["vp_token=x", "vp_token=[]", "vp_token=%22eyJ%22", "vp_token={%22a%22:[%22x%22],%22a%22:[%22y%22]}"] {
        assert!(matches!(parse(bad), Err(E::Json(_))), "{bad}");
    }
    // a description that may not be there is none
    let lenient = parse("error=server_error&error_description=a%0Ab").unwrap();
    assert_eq!(
        lenient,
        AuthorizationResponse::Error { error: "server_error".to_owned(), description: None, state: None }
    );
}

/// The responses of the standard, and its request with `jwt_vc_json`.
#[test]
fn examples_of_the_standard() {
    let Some(folder) = vector_files::folder("openid4vp-1.0") else { return };
    let jwt_vc = std::fs::read(folder.join("request/dcql_jwt_vc.json")).unwrap();
    let jwt_vc: Value = serde_json::from_slice(&jwt_vc).unwrap();
    for (_, metadata) in vector_files::json_files(&folder.join("client_metadata")) {
        let sent = AuthorizationRequest {
            dcql_query: Query::parse(&jwt_vc).unwrap(),
            client_metadata: Some(metadata),
            ..request()
        };
        assert_eq!(AuthorizationRequest::parse(&sent.to_query(), STRICT), Ok(sent));
    }
    let presentation = std::fs::read_to_string(folder.join("sd_jwt_vcld/01/sd_jwt_presentation.txt")).unwrap();
    let presentation: String = presentation.split_whitespace().collect();
    let vp_token = BTreeMap::from([("my_credential".to_owned(), vec![presentation])]);
    let presented = AuthorizationResponse::Presented { vp_token, state: None };
    assert_eq!(parse(&presented.to_form()), Ok(presented));
}

proptest! {
    #[test]
    fn any_presentation_survives_the_form(texts in proptest::collection::vec("\\PC{1,40}", 1..4), id in "[A-Za-z0-9_-]{1,20}") {
        prop_assume!(!texts.iter().any(|text| text.contains('\u{fffd}')));
        let presented = AuthorizationResponse::Presented { vp_token: BTreeMap::from([(id, texts)]), state: None };
        prop_assert_eq!(parse(&presented.to_form()), Ok(presented));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = AuthorizationResponse::parse_form(&bytes, &Limits::default());
        let _ = AuthorizationRequest::parse(&String::from_utf8_lossy(&bytes), STRICT);
    }
}
