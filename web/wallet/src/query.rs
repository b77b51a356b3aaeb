//! Query parameters and forms (application/x-www-form-urlencoded, WHATWG URL section 5), strictly: no parameter twice, and
//! what is no UTF-8 is refused rather than replaced.

use std::collections::BTreeMap;

/// Why a query cannot be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct QueryError;

/// The parameters of a query, with or without its leading `?`, by name.
///
/// # Errors
/// [`QueryError`] where a name comes twice, or an escape is broken or makes no UTF-8.
pub(crate) fn parameters(query: &str) -> Result<BTreeMap<String, String>, QueryError> {
    let mut parameters = BTreeMap::new();
    let query = query.split('#').next().unwrap_or_default().trim_start_matches('?');
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if parameters.insert(decode(name)?, decode(value)?).is_some() {
            return Err(QueryError);
        }
    }
    Ok(parameters)
}

fn decode(text: &str) -> Result<String, QueryError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || rest.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(QueryError);
                let value = digit()? * 16 + digit()?;
                u8::try_from(value).map_err(|_| QueryError)?
            }
            other => other,
        });
    }
    String::from_utf8(bytes).map_err(|_| QueryError)
}

/// A form's body from its fields.
pub(crate) fn form<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut body = String::new();
    for (name, value) in fields {
        if !body.is_empty() {
            body.push('&');
        }
        encode(name, &mut body);
        body.push('=');
        encode(value, &mut body);
    }
    body
}

fn encode(text: &str, into: &mut String) {
    const DIGITS: [char; 16] = ['0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'A', 'B', 'C', 'D', 'E', 'F'];
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or('0');
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"*-._".contains(&byte) {
            into.push(char::from(byte));
        } else {
            into.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let body = form([("a b", "ü&=+%"), ("c", "")]);
        assert_eq!(body, "a%20b=%C3%BC%26%3D%2B%25&c=");
        let read = parameters(&body).unwrap();
        assert_eq!(read["a b"], "ü&=+%");
        assert_eq!(read["c"], "");
        assert_eq!(parameters("?x=1+2#y=3").unwrap(), BTreeMap::from([("x".to_owned(), "1 2".to_owned())]));
    }

    #[test]
    fn what_two_readers_may_see_differently_is_refused() {
        for bad in ["a=1&a=2", "a=%", "a=%4", "a=%zz", "a=%ff", "%61=1&a=2"] {
            assert_eq!(parameters(bad), Err(QueryError), "{bad}");
        }
    }
}
