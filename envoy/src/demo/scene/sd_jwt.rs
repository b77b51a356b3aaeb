//! Issues one SD-JWT (RFC 9901 section 4).
// STAND-IN until verifier/src/sd_jwt/issue.rs is merged

use anyhow::Result;
use carded_verifier::base64url;
use carded_verifier::sign::{SigningKey, prepare};
use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use super::random;

pub(crate) fn issue(
    key: &SigningKey,
    mut payload: Map<String, Value>,
    disclosable: &[&[&str]],
    decoys: usize,
) -> Result<String> {
    let mut disclosures = Vec::new();
    let mut paths: Vec<&&[&str]> = disclosable.iter().collect();
    paths.sort_by_key(|p| std::cmp::Reverse(p.len()));
    for path in paths {
        let (name, parents) = path.split_last().unwrap();
        let mut object = &mut payload;
        for parent in parents {
            object = object.get_mut(*parent).and_then(Value::as_object_mut).unwrap();
        }
        let value = object.remove(*name).unwrap();
        let disclosure = base64url::encode(json!([random::token(), name, value]).to_string());
        add(object, base64url::encode(digest(&SHA256, disclosure.as_bytes())));
        disclosures.push(disclosure);
    }
    for _ in 0..decoys {
        add(&mut payload, base64url::encode(digest(&SHA256, &random::bytes::<32>())));
    }
    payload.insert("_sd_alg".to_owned(), json!("sha-256"));
    let mut header = key.header();
    header.insert("typ".to_owned(), json!("dc+sd-jwt"));
    let jwt = key.sign(prepare(&header, &payload)).map_err(|e| anyhow::anyhow!("{e}"))?;
    Ok(format!("{jwt}~{}~", disclosures.join("~")))
}

fn add(object: &mut Map<String, Value>, hash: String) {
    let list = object.entry("_sd").or_insert_with(|| json!([])).as_array_mut().unwrap();
    list.push(json!(hash));
    list.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
}
