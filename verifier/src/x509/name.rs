//! The subject of a certificate as a text (RFC 4514 section 2): what an issuer is called who has no URL.
use super::der::{self, OBJECT_IDENTIFIER, Reader, SEQUENCE, SET};

const UTF8_STRING: u8 = 0x0c;
const PRINTABLE_STRING: u8 = 0x13;
const IA5_STRING: u8 = 0x16;
const LONGEST: usize = 1024;

/// The attribute types that have a name (RFC 4514 section 3), by the bytes of their identifier.
const NAMES: [(&[u8], &str); 9] = [
    (&[0x55, 0x04, 0x03], "CN"),
    (&[0x55, 0x04, 0x07], "L"),
    (&[0x55, 0x04, 0x08], "ST"),
    (&[0x55, 0x04, 0x0a], "O"),
    (&[0x55, 0x04, 0x0b], "OU"),
    (&[0x55, 0x04, 0x06], "C"),
    (&[0x55, 0x04, 0x09], "STREET"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x01], "UID"),
];

/// The subject of a certificate. `None` where it is malformed or long; a text of its own for each name.
pub(super) fn subject(certificate: &[u8]) -> Option<String> {
    let mut sequence = Reader::new(der::subject(certificate)?);
    let mut names = Vec::new();
    while !sequence.is_empty() {
        let mut set = Reader::new(sequence.required(SET)?);
        let mut attributes = Vec::new();
        while !set.is_empty() {
            let mut attribute = Reader::new(set.required(SEQUENCE)?);
            let (kind, value) = (attribute.required(OBJECT_IDENTIFIER)?, attribute.next()?);
            attributes.push(text_of(kind, value)?);
        }
        names.push(attributes.join("+"));
    }
    // the last comes first (section 2.1)
    names.reverse();
    let text = names.join(",");
    (text.len() <= LONGEST).then_some(text)
}

fn text_of(kind: &[u8], (tag, value): (u8, &[u8])) -> Option<String> {
    let known = NAMES.iter().find(|(bytes, _)| *bytes == kind).map(|(_, name)| (*name).to_owned());
    let name = match known {
        Some(name) => name,
        None => dotted(kind)?,
    };
    match tag {
        UTF8_STRING | PRINTABLE_STRING | IA5_STRING => {
            Some(format!("{name}={}", escape(std::str::from_utf8(value).ok()?)))
        }
        // another encoding of text, or none: the whole value in hex (section 2.4)
        _ => {
            let length = u8::try_from(value.len()).ok().filter(|length| *length < 0x80)?;
            let hex: String = [tag, length].iter().chain(value).map(|byte| format!("{byte:02x}")).collect();
            Some(format!("{name}=#{hex}"))
        }
    }
}

/// An object identifier in digits and dots (RFC 4512 section 1.4).
fn dotted(bytes: &[u8]) -> Option<String> {
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for byte in bytes {
        arc = arc.checked_mul(128)?.checked_add(u64::from(byte & 0x7f))?;
        if byte & 0x80 == 0 {
            arcs.push(arc);
            arc = 0;
        }
    }
    let (first, rest) = arcs.split_first()?;
    let root = (*first / 40).min(2);
    let head = [root, first.checked_sub(root * 40)?];
    Some(head.iter().chain(rest).map(u64::to_string).collect::<Vec<_>>().join("."))
}

/// Section 2.4.
fn escape(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut text = String::new();
    for (n, c) in value.chars().enumerate() {
        match c {
            '\0' => text.push_str("\\00"),
            c if c.is_control() => {
                let mut buffer = [0; 4];
                for byte in c.encode_utf8(&mut buffer).bytes() {
                    text.push_str(&format!("\\{byte:02x}"));
                }
            }
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            ' ' if n == 0 || n == last => text.push_str("\\ "),
            '#' if n == 0 => text.push_str("\\#"),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        assert_eq!(escape(" #a,b+c\"d\\e;f<g>\r\u{e4} "), "\\ #a\\,b\\+c\\\"d\\\\e\\;f\\<g\\>\\0d\u{e4}\\ ");
        assert_eq!(escape("#1"), "\\#1");
        assert_eq!(dotted(&[0x55, 0x04, 0x05]).unwrap(), "2.5.4.5");
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01]).unwrap(), "1.2.840.113549.1.9.1");
        assert_eq!(dotted(&[0xff; 12]), None);
        assert_eq!(text_of(&[0x55, 0x04, 0x05], (PRINTABLE_STRING, b"7")).unwrap(), "2.5.4.5=7");
        assert_eq!(text_of(&[0x55, 0x04, 0x03], (0x1e, &[0, 0x41])).unwrap(), "CN=#1e020041");
    }
}
