//! `carded explain`: one request through the gate, told step by step. The decision is the filter's own code; only where
//! the documents come from differs (a file, or the system's curl).

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail};
use carded_gate::{Around, Budget, Decision, Event, Gate, InMemory, Request, Step, Verdicts};
use carded_verifier::revocation::compact::MOST_BYTES;
use carded_verifier::{DocumentKind, Documents, Fetch, FetchFailure, Reply, Timestamp};
use serde_json::json;

/// The request that is to be explained.
#[derive(Debug, Default)]
pub struct Question {
    /// The method.
    pub method: String,
    /// The path, with the query if there is one.
    pub path: String,
    /// The authority (`shop.example.com`).
    pub host: String,
    /// Further headers, by name and value.
    pub headers: Vec<(String, String)>,
}

/// Where documents that the decision needs come from.
#[derive(Debug)]
pub enum Source {
    /// Nowhere: the decision says which one is missing.
    None,
    /// One JWK Set for every issuer whose keys are fetched.
    Jwks(PathBuf),
    /// The network, by the system's curl.
    Curl,
}

/// What was decided.
#[derive(Debug)]
pub struct Explanation {
    /// The story, in lines.
    pub text: String,
    /// The status that the caller would get from the proxy; nothing where the request goes on.
    pub status: Option<u16>,
}

/// As many documents as the filter fetches for one request.
const MAX_FETCHES: usize = 8;

/// Takes a request through the gate.
///
/// # Errors
/// Where a document is needed that the source cannot give.
pub fn explain(gate: &Gate, question: &Question, source: &Source, now: Timestamp) -> Result<Explanation> {
    let mut pairs = vec![(":method", question.method.as_str()), (":path", &question.path)];
    pairs.extend([(":authority", question.host.as_str()), (":scheme", "https")]);
    let names: Vec<String> = question.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    pairs.extend(names.iter().zip(&question.headers).map(|(name, (_, value))| (name.as_str(), value.as_str())));
    let request = Request::from_pairs(pairs.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())));

    let mut known = Documents::new(gate.limits());
    let mut fetched = String::new();
    for _ in 0..=MAX_FETCHES {
        let mut story = String::new();
        let mut listen = |event: Event<'_>| tell(&mut story, &event);
        let mut random = |bytes: &mut [u8]| random(bytes);
        let mut around = Around {
            verdicts: &mut Verdicts::new(0, &mut |_| false),
            once: &mut InMemory::default(),
            budget: &mut Budget::default(),
            random: &mut random,
            connection: &mut |_| None,
            now,
        };
        let decision = gate.decide(&request, &known, &mut around, &mut listen);
        if let Step::Need(fetch) = &decision.step {
            writeln!(fetched, "needed    {}", fetch.url().as_str())?;
            answer(gate, fetch, source, &mut known, now)?;
            continue;
        }
        let mut text = fetched + &story;
        let status = verdict(&mut text, &decision);
        return Ok(Explanation { text, status });
    }
    bail!("the decision needs more than {MAX_FETCHES} documents")
}

/// Gets one document and puts it, or its failure, in.
fn answer(gate: &Gate, fetch: &Fetch, source: &Source, known: &mut Documents, now: Timestamp) -> Result<()> {
    let url = fetch.url().as_str();
    let reply = match source {
        Source::None => bail!("{url} is needed: give its keys with --jwks FILE, or --fetch to get it"),
        // an issuer's discovery document only says where its keys are, which is known here
        Source::Jwks(_) if fetch.kind() == DocumentKind::Discovery => {
            let issuer = url.strip_suffix("/.well-known/openid-configuration").unwrap_or(url);
            let body = json!({ "issuer": issuer, "jwks_uri": format!("{issuer}/jwks") });
            Ok(Reply { status: 200, body: body.to_string().into_bytes(), max_age: None })
        }
        // what is revoked is not asked here
        Source::Jwks(_) if fetch.kind() == DocumentKind::Revocations => {
            Ok(Reply { status: 200, body: br#"{"revoked":[]}"#.to_vec(), max_age: None })
        }
        Source::Jwks(file) => {
            let body = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
            Ok(Reply { status: 200, body, max_age: None })
        }
        Source::Curl if fetch.kind() == DocumentKind::Revocations => curl(url, MOST_BYTES)?,
        Source::Curl => curl(url, gate.limits().document_bytes)?,
    };
    let refused = match reply {
        Ok(reply) => known.insert(fetch, &reply, now).err().map(|error| error.to_string()),
        Err(failure) => {
            known.fail(fetch, failure, now);
            None
        }
    };
    if let (Some(why), Source::Jwks(file)) = (&refused, source) {
        bail!("{}: {why}", file.display());
    }
    if let Some(why) = refused {
        bail!("{url}: {why}");
    }
    Ok(())
}

/// One GET without redirects, by the tool that every operator has: no TLS stack of our own to keep current.
fn curl(url: &str, limit: usize) -> Result<Result<Reply, FetchFailure>> {
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "10", "--proto", "=https,http"])
        .args(["--max-filesize", &limit.to_string(), "--write-out", "%{stderr}%{http_code}", "--", url])
        .output()
        .context("--fetch needs curl")?;
    let code = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        eprintln!("{url}: {}", code.trim());
        let failure = match output.status.code() {
            Some(28) => FetchFailure::Timeout,
            Some(63) => FetchFailure::TooLarge,
            _ => FetchFailure::Unreachable,
        };
        return Ok(Err(failure));
    }
    let status = code.trim().parse().context("curl prints the status")?;
    Ok(Ok(Reply { status, body: output.stdout, max_age: None }))
}

fn tell(story: &mut String, event: &Event<'_>) {
    let (word, text) = match event {
        Event::Path(path) => ("path", (*path).to_owned()),
        Event::Rule(index, name) if *name == index.to_string() => ("rule", format!("rules[{index}]")),
        Event::Rule(index, name) => ("rule", format!("rules[{index}] ({name})")),
        Event::Found(place) => ("token", format!("found in {place}")),
        Event::Verified(verified) => ("checks", verified.report().to_string()),
        Event::Denied(denied) => ("checks", denied.report().to_string()),
        Event::Shown(credential, issuer) => ("shown", format!("{credential}, vouched for by {issuer}")),
        Event::Requirement(met, what) => (if *met { "met" } else { "not met" }, what.clone()),
        Event::Policy(says) => ("policy", says.clone()),
    };
    // several lines stand below each other
    let text = text.trim_end().replace('\n', "\n          ");
    story.push_str(&format!("{word:<10}{text}\n"));
}

fn verdict(text: &mut String, decision: &Decision) -> Option<u16> {
    match &decision.step {
        Step::Forward(changes) => {
            for name in changes.removed() {
                text.push_str(&format!("remove    {}\n", String::from_utf8_lossy(name)));
            }
            for (name, value) in &changes.set {
                text.push_str(&format!("set       {name}: {}\n", String::from_utf8_lossy(value)));
            }
            text.push_str("verdict   the request goes on\n");
            None
        }
        Step::Reply(reply) => {
            let body: serde_json::Value = serde_json::from_str(&reply.body).unwrap_or_default();
            let detail = body["detail"].as_str().unwrap_or(&reply.body);
            text.push_str(&format!("verdict   {} {}: {detail}\n", reply.status, reply.code));
            Some(reply.status)
        }
        Step::Body(limit) => {
            text.push_str(&format!("verdict   its body is read first, {limit} bytes at most\n"));
            None
        }
        Step::Call(effect) => {
            text.push_str(&format!("verdict   {} is called first\n", effect.url));
            None
        }
        Step::Ask(question) => {
            text.push_str(&format!("verdict   {} is asked about the token first\n", question.effect.url));
            None
        }
        Step::Need(_) => None,
    }
}

/// Random bytes of the system.
fn random(bytes: &mut [u8]) -> bool {
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes)).is_ok()
}
