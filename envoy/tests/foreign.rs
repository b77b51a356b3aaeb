//! Tokens of libraries that are not this project's (npm `jose` and PyPI `joserfc`), and of its own signer, in every algorithm,
//! through the real Envoy.

use anyhow::{Context, Result, ensure};
use carded_envoy::client::Request;
use carded_envoy::{fetch, workspace};
use carded_verifier::Algorithm;
use carded_verifier::sign::SigningKey;
use serde_json::{Value, json};
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::{AUDIENCE, ISSUER, Setup, config, in_each_envoy, missing};

in_each_envoy!(tokens_of_npm_jose, tokens_of_pypi_joserfc, tokens_of_our_own_signer);

const ALGORITHMS: [&str; 9] = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];

/// Runs a script that reads a request as JSON and answers with `{ jwks, tokens: [{ name, token, code }] }`; an empty code means
/// that the token is good.
fn ask(program: &Path, script: &Path) -> Result<Value> {
    let question = json!({ "issuer": ISSUER, "audience": AUDIENCE, "algorithms": ALGORITHMS });
    let mut child = Command::new(program).arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    serde_json::to_writer(child.stdin.take().context("no stdin")?, &question)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "{} failed", script.display());
    Ok(serde_json::from_slice(&output.stdout)?)
}

async fn through_envoy(version: &str, made: &Value) -> Result<()> {
    let mut config = config();
    config["issuers"]["corp"]["algorithms"] = json!(ALGORITHMS);
    let world = Setup { config, silent_provider: true, ..Default::default() }.start(version).await?;
    world.idp.publish_set(ISSUER, made["jwks"].clone());
    let tokens = made["tokens"].as_array().context("no tokens")?;
    let mut good = 0;
    let first = tokens.iter().find(|entry| entry["code"].as_str().unwrap_or_default().is_empty());
    let first = first.and_then(|entry| entry["token"].as_str()).context("no good token")?;
    world.has_keys(|| Request::get("/plain/x").bearer(first)).await?;
    for entry in tokens {
        let text = |name: &str| entry[name].as_str().unwrap_or_default();
        let request = Request::get("/plain/x").bearer(text("token"));
        if text("code").is_empty() {
            let seen = world.passes(text("name"), request).await?;
            ensure!(seen.all("x-carded-subject") == ["alice"], "{}: {seen:?}", text("name"));
            good += 1;
        } else {
            world.refused(text("name"), request, 401, text("code")).await?;
        }
    }
    ensure!(good >= ALGORITHMS.len() && tokens.len() > good, "{good} good tokens of {}", tokens.len());
    Ok(())
}

async fn tokens_of_npm_jose(version: &'static str) -> Result<()> {
    match fetch::npm() {
        Ok(packages) => through_envoy(version, &ask(Path::new("node"), &packages.join("tokens.mjs"))?).await,
        Err(error) => {
            missing(Err(error));
            Ok(())
        }
    }
}

async fn tokens_of_pypi_joserfc(version: &'static str) -> Result<()> {
    match fetch::python_with_jose() {
        Ok(python) => through_envoy(version, &ask(&python, &workspace().join("envoy/idp/tokens.py"))?).await,
        Err(error) => {
            missing(Err(error));
            Ok(())
        }
    }
}

async fn tokens_of_our_own_signer(version: &'static str) -> Result<()> {
    let honest = serde_json::from_value::<serde_json::Map<String, Value>>(crate::common::alice())?;
    let (mut keys, mut tokens) = (Vec::new(), Vec::new());
    for name in ALGORITHMS {
        let algorithm = Algorithm::parse(name).with_context(|| name.to_owned())?;
        let key = SigningKey::generate(algorithm, name, &[7; 32]).map_err(|e| anyhow::anyhow!("{name}: {e:?}"))?;
        let token = key.sign_claims(&honest).map_err(|e| anyhow::anyhow!("{name}: {e:?}"))?;
        let (rest, signature) = token.rsplit_once('.').context("no token")?;
        let damaged = format!("{rest}.AAAA{}", &signature[4..]);
        keys.push(key.public_jwk());
        tokens.push(json!({ "name": name, "token": token, "code": "" }));
        tokens.push(json!({ "name": name, "token": damaged, "code": "signature_invalid" }));
    }
    through_envoy(version, &json!({ "jwks": { "keys": keys }, "tokens": tokens })).await
}
