//! What the services behind are told: claims as headers, and the removal of what a client sent under those names.
//!
//! The encoding, so that a header is always visible ASCII and can be read back without loss: texts stand as they are,
//! with `%` and everything that is not visible ASCII percent-encoded as UTF-8 (RFC 3986 §2.1; a space stays a space
//! inside); numbers and truth values as in JSON; the members of an array are joined by `,`, and a comma inside one is
//! encoded too; objects, and arrays that hold anything but plain values, are JSON with `\u` escapes. A control character
//! (CR, LF, NUL …) or a header that is too long refuses the request: it is never cut or passed (threat 91).

use std::fmt::Write as _;
use std::rc::Rc;

use serde_json::Value;

use super::config::{ConfigError, Field, ForwardConfig};
use super::facts::{ClaimRef, Facts, Names};
use super::minting;

/// The longest header that is made of a claim.
const MAX_HEADER: usize = 8 * 1024;

/// Headers under this prefix are ours; a client's are always removed.
const RESERVED_PREFIX: &[u8] = b"x-carded-";

/// The compiled `forward`.
#[derive(Debug, Default)]
pub(super) struct Forward {
    headers: Vec<(Rc<str>, ClaimRef)>,
    /// The header of the gateway's own token.
    token: Option<Rc<str>>,
    /// The lengths of all their names, a bit for each: most headers of a request differ in it.
    lengths: u64,
}

/// A claim cannot be a header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct NotForwardable {
    pub(super) header: Rc<str>,
    pub(super) why: &'static str,
}

impl Forward {
    pub(super) fn compile(configured: &ForwardConfig, names: Names<'_>, errors: &mut Vec<ConfigError>) -> Self {
        let field = Field::top("forward").key("headers");
        let mut headers: Vec<(Rc<str>, ClaimRef)> = Vec::new();
        for (name, claim) in &configured.headers {
            let field = field.key(name);
            let lower = name.to_ascii_lowercase();
            if let Err(why) = check_name(&lower) {
                errors.push(field.error(why));
            }
            if headers.iter().any(|(known, _)| same_header(known.as_bytes(), lower.as_bytes())) {
                errors.push(field.error("the same header is named twice"));
            }
            match ClaimRef::resolve(claim, names) {
                Ok(claim) => headers.push((lower.into(), claim)),
                Err(why) => errors.push(field.error(why)),
            }
        }
        let token: Option<Rc<str>> = configured.token.as_ref().map(|token| minting::header(token).into());
        if let Some(name) = &token {
            let field = Field::top("forward").key("token").key("header");
            // services look for a token after `Bearer ` there
            if let Err(why) = check_name(name)
                && &**name != "authorization"
            {
                errors.push(field.error(why));
            }
            if headers.iter().any(|(known, _)| same_header(known.as_bytes(), name.as_bytes())) {
                errors.push(field.error("`forward.headers` names it too"));
            }
        }
        let names = headers.iter().map(|(name, _)| name).chain(&token);
        let lengths = names.fold(0, |lengths, name| lengths | length_bit(name.as_bytes()));
        Self { headers, token, lengths }
    }

    /// The claims that headers are made of.
    pub(super) fn claims(&self) -> impl Iterator<Item = &ClaimRef> {
        self.headers.iter().map(|(_, claim)| claim)
    }

    /// How many headers there are to set, at most.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.headers.len()
    }

    /// Adds the headers to set.
    #[inline]
    pub(super) fn add_headers(
        &self,
        facts: &Facts<'_>,
        set: &mut Vec<(Rc<str>, Vec<u8>)>,
    ) -> Result<(), NotForwardable> {
        for (name, claim) in &self.headers {
            let Some(value) = claim.value(facts) else { continue };
            if value.is_null() {
                continue;
            }
            let text = encode(&value).map_err(|why| NotForwardable { header: Rc::clone(name), why })?;
            set.push((Rc::clone(name), text.into_bytes()));
        }
        Ok(())
    }

    /// Whether a client's header of this name is a copy of one that is ours.
    #[inline]
    pub(super) fn is_ours(&self, name: &[u8]) -> bool {
        if matches!(name.first(), Some(b'x' | b'X'))
            && name.get(..RESERVED_PREFIX.len()).is_some_and(|start| same_header(start, RESERVED_PREFIX))
        {
            return true;
        }
        self.lengths & length_bit(name) != 0
            && (self.headers.iter().any(|(ours, _)| same_header(name, ours.as_bytes()))
                || self.token.as_ref().is_some_and(|ours| same_header(name, ours.as_bytes())))
    }
}

/// The bit of a name's length; all long ones share one.
#[inline]
fn length_bit(name: &[u8]) -> u64 {
    1 << name.len().min(63)
}

/// Whether a service could take one name for the other: case and underscores do not count (CGI, WSGI, PHP).
#[inline]
fn same_header(a: &[u8], b: &[u8]) -> bool {
    let fold = |byte: &u8| if *byte == b'_' { b'-' } else { byte.to_ascii_lowercase() };
    a.len() == b.len() && a.iter().map(fold).eq(b.iter().map(fold))
}

/// Whether a header may carry a claim (RFC 9110 §5.1), by its name in lower case.
fn check_name(name: &str) -> Result<(), &'static str> {
    const NOT_OURS: [&str; 16] = [
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
    ];
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err("a header's name has letters, digits and `-` only (no `_`: services could take it for `-`)");
    }
    if NOT_OURS.contains(&name) || name.starts_with("x-forwarded-") || name.starts_with("x-envoy-") {
        return Err("this header steers HTTP or the proxy itself: carry the claim under a name of its own");
    }
    Ok(())
}

#[inline]
fn encode(value: &Value) -> Result<String, &'static str> {
    let mut text = String::with_capacity(value.as_str().map_or(0, str::len));
    match value {
        Value::Array(members) if members.iter().all(is_plain) => {
            for (index, member) in members.iter().enumerate() {
                if index > 0 {
                    text.push(',');
                }
                push_plain(&mut text, member, true)?;
            }
        }
        plain if is_plain(plain) => push_plain(&mut text, plain, false)?,
        structure => push_json(&mut text, structure),
    }
    if text.len() > MAX_HEADER {
        return Err("it is too long for a header");
    }
    Ok(text)
}

#[inline]
fn is_plain(value: &Value) -> bool {
    matches!(value, Value::String(_) | Value::Number(_) | Value::Bool(_))
}

#[inline]
fn push_plain(text: &mut String, value: &Value, in_list: bool) -> Result<(), &'static str> {
    let Value::String(plain) = value else {
        push_other(text, value);
        return Ok(());
    };
    let mut stands = true;
    for byte in plain.bytes() {
        stands &= STANDS.get(usize::from(byte)).copied().unwrap_or(false) && !(in_list && byte == b',');
    }
    if stands {
        text.push_str(plain);
        return Ok(());
    }
    push_encoded(text, plain, in_list)
}

/// The bytes that stand as they are.
#[expect(clippy::indexing_slicing, reason = "it is computed while compiling, and a byte is below 256")]
const STANDS: [bool; 256] = {
    let mut stands = [false; 256];
    let mut byte = 0x21;
    while byte <= 0x7e {
        stands[byte] = byte != b'%' as usize;
        byte += 1;
    }
    stands
};

/// A text that does not stand as it is.
fn push_encoded(text: &mut String, plain: &str, in_list: bool) -> Result<(), &'static str> {
    if plain.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    let last = plain.len().saturating_sub(1);
    for (at, byte) in plain.bytes().enumerate() {
        match byte {
            // A space at an end would be trimmed on the way.
            b' ' if at != 0 && at != last => text.push(' '),
            b',' if in_list => text.push_str("%2C"),
            b'%' => text.push_str("%25"),
            0x21..=0x7e => text.push(char::from(byte)),
            other => {
                let _ = write!(text, "%{other:02X}");
            }
        }
    }
    Ok(())
}

/// A plain value that is no text.
fn push_other(text: &mut String, value: &Value) {
    match value {
        // that a credential was shown: what most sessions say
        Value::Bool(true) => text.push_str("true"),
        other => push_json(text, other),
    }
}

/// JSON in ASCII: what is not, is escaped (RFC 8259 §7). Control characters are escaped by the serializer already.
fn push_json(text: &mut String, value: &Value) {
    let mut units = [0_u16; 2];
    for character in value.to_string().chars() {
        if matches!(character, ' '..='~') {
            text.push(character);
        } else {
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::request::Request;
    use super::*;
    use serde_json::json;

    #[test]
    fn values_are_encoded_so_that_they_can_be_read_back() {
        for (value, header) in [
            (json!("alice"), "alice"),
            (json!("a b"), "a b"),
            (json!(" a "), "%20a%20"),
            (json!("a,b"), "a,b"),
            (json!("100%"), "100%25"),
            (json!("Zoë"), "Zo%C3%AB"),
            (json!("日本"), "%E6%97%A5%E6%9C%AC"),
            (json!(["clerk", "a,b", 7, true]), "clerk,a%2Cb,7,true"),
            (json!([]), ""),
            (json!(42), "42"),
            (json!(false), "false"),
            (json!({"a": ["ë", "\n"]}), r#"{"a":["\u00eb","\n"]}"#),
            (json!([["x"], "😀"]), r#"[["x"],"\ud83d\ude00"]"#),
        ] {
            assert_eq!(encode(&value).as_deref(), Ok(header), "{value}");
        }
    }

    #[test]
    fn threat_91_a_claim_that_is_illegal_in_a_header_refuses() {
        for value in ["a\r\nx-admin: 1", "a\nb", "a\0b", "a\u{7f}", "\u{85}", "a\tb"] {
            assert!(encode(&json!(value)).is_err(), "{value:?}");
            assert!(encode(&json!([value])).is_err(), "{value:?}");
        }
        assert!(encode(&json!("x".repeat(MAX_HEADER))).is_ok());
        assert!(encode(&json!("x".repeat(MAX_HEADER + 1))).is_err());
    }

    #[test]
    fn threat_71_copies_in_every_spelling_are_found() {
        let pairs: [(&[u8], &[u8]); 6] = [
            (b"x-user", b"1"),
            (b"X_User", b"2"),
            (b"x-user-2", b"3"),
            (b"x_carded_role", b"4"),
            (b"X-Carded-", b"5"),
            (b"x-carde", b"6"),
        ];
        let request = Request::from_pairs(pairs);
        let headers = ForwardConfig {
            headers: [("x-user".to_owned(), super::super::config::Name(vec!["sub".to_owned()]))].into_iter().collect(),
            token: None,
        };
        let forward = Forward::compile(
            &headers,
            Names { trust: &super::super::tests::trust_of_one(), credentials: &[], logins: &[] },
            &mut Vec::new(),
        );
        let found: Vec<_> = request.headers().map(|(name, _)| name).filter(|name| forward.is_ours(name)).collect();
        assert_eq!(found, [&b"x-user"[..], b"X_User", b"x_carded_role", b"X-Carded-"]);
    }

    #[test]
    fn headers_that_steer_http_are_refused() {
        for name in ["", "host", "authorization", "x_user", "x user", ":path", "x-forwarded-for", "x-envoy-max-retries"]
        {
            assert!(check_name(name).is_err(), "{name}");
        }
    }
}
