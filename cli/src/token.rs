//! `carded token new`: a new API token, and the entry by which it is known.

use anyhow::{Context, Result, anyhow};
use carded_verifier::ApiToken;
use carded_verifier::api_token::generate;
use serde_json::json;

/// What is printed: the token, which is nowhere else, and the entry for `api_tokens.NAME.tokens` or the document.
///
/// # Errors
/// Where the owner, a scope or the end is none, or there are no random bytes.
pub fn new(
    owner: &str,
    scopes: &[String],
    expires: Option<&str>,
    mut random: impl FnMut(&mut [u8]) -> Result<()>,
) -> Result<(String, String)> {
    let (token, sha256) =
        generate(&mut |bytes| random(bytes).is_ok()).context("there are no random bytes to be had")?;
    ApiToken::new(&sha256, owner, scopes.to_vec(), expires).map_err(|why| anyhow!(why))?;
    let mut entry = json!({ "sha256": sha256, "owner": owner, "scopes": scopes });
    if let Some(expires) = expires {
        entry["expires"] = expires.into();
    }
    Ok((token, entry.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use carded_verifier::api_token::is_well_formed;

    fn counting() -> impl FnMut(&mut [u8]) -> Result<()> {
        let mut next = 0_u8;
        move |bytes| {
            for byte in bytes {
                next = next.wrapping_add(7);
                *byte = next;
            }
            Ok(())
        }
    }

    #[test]
    fn a_token_and_its_entry() {
        let (token, entry) = new("alice", &["deploy".into()], Some("2027-01-31T00:00:00Z"), counting()).unwrap();
        assert!(is_well_formed(token.as_bytes()), "{token}");
        let entry: serde_json::Value = serde_json::from_str(&entry).unwrap();
        assert_eq!(entry["owner"], "alice");
        assert_eq!(entry["sha256"].as_str().unwrap().len(), 64);
        assert!(!entry.to_string().contains(&token[7..]));
        assert!(new("", &[], None, counting()).is_err());
        assert!(new("a", &["b c".into()], None, counting()).is_err());
        assert!(new("a", &[], Some("tomorrow"), counting()).is_err());
        assert!(new("a", &[], None, |_| Err(anyhow!("none"))).is_err());
    }
}
