//! The few fields of Envoy's gRPC check that the benchmarks' server reads and writes (`envoy/service/auth/v3`), in protobuf's
//! encoding (protobuf.dev, "Encoding").

/// The `authorization` header in a `CheckRequest`: `attributes` (1) `.request` (4) `.http` (2) `.headers` (3), a map.
pub(super) fn authorization(request: &[u8]) -> Option<&[u8]> {
    let http = field(field(field(request, 1)?, 4)?, 2)?;
    let mut rest = http;
    while let Some((number, value)) = next(&mut rest) {
        if number == 3 && field(value, 1) == Some(b"authorization") {
            return field(value, 2);
        }
    }
    None
}

/// A `CheckResponse` that allows: `status` (1) `.code` 0, `ok_response` (3) with these headers (2).
pub(super) fn allow(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut ok = Vec::new();
    for (name, value) in headers {
        let header = [bytes(1, name.as_bytes()), bytes(2, value.as_bytes())].concat();
        ok.extend(bytes(2, &bytes(1, &header)));
    }
    [bytes(1, &[]), bytes(3, &ok)].concat()
}

/// A `CheckResponse` that denies: `status.code` 16 (unauthenticated), `denied_response` (2) with `status.code`.
pub(super) fn deny(status: u64) -> Vec<u8> {
    [bytes(1, &number(1, 16)), bytes(2, &bytes(1, &number(1, status)))].concat()
}

/// A gRPC message: not compressed, its length, itself.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes();
    [&[0], &length[..], message].concat()
}

/// The first field of this number that holds bytes.
fn field(mut message: &[u8], wanted: u64) -> Option<&[u8]> {
    while let Some((number, value)) = next(&mut message) {
        if number == wanted {
            return Some(value);
        }
    }
    None
}

/// The next field that holds bytes; fields of other kinds are passed over.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    loop {
        let tag = varint(rest)?;
        match tag & 7 {
            0 => drop(varint(rest)?),
            1 => *rest = rest.get(8..)?,
            2 => {
                let length = usize::try_from(varint(rest)?).ok()?;
                let (value, after) = rest.split_at_checked(length)?;
                *rest = after;
                return Some((tag >> 3, value));
            }
            5 => *rest = rest.get(4..)?,
            _ => return None,
        }
    }
}

fn varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for place in 0..10 {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

fn number(field: u64, value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, field << 3);
    put_varint(&mut out, value);
    out
}

fn bytes(field: u64, value: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, field << 3 | 2);
    put_varint(&mut out, value.len() as u64);
    out.extend_from_slice(value);
    out
}

fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_in_a_request() {
        let header =
            |name: &str, value: &str| bytes(3, &[bytes(1, name.as_bytes()), bytes(2, value.as_bytes())].concat());
        let long = "x".repeat(300);
        let http = [bytes(1, b"id"), header(":path", "/"), header("authorization", &long), number(9, 1 << 40)].concat();
        let fixed = [&[1 << 3 | 5][..], &[0; 4], &[1 << 3 | 1], &[0; 8]].concat();
        let request = bytes(1, &[fixed, bytes(1, b"source"), bytes(4, &bytes(2, &http))].concat());
        assert_eq!(authorization(&request), Some(long.as_bytes()));
        for length in 0..request.len() {
            assert_eq!(authorization(&request[..length]), None, "cut at {length}");
        }
        assert_eq!(authorization(&[0xff; 32]), None);
    }

    #[test]
    fn replies() {
        // as protoc encodes them
        assert_eq!(deny(401), [0x0a, 0x02, 0x08, 0x10, 0x12, 0x05, 0x0a, 0x03, 0x08, 0x91, 0x03]);
        let expected = [0x0a, 0x00, 0x1a, 0x0a, 0x12, 0x08, 0x0a, 0x06, 0x0a, 0x01, b'a', 0x12, 0x01, b'b'];
        assert_eq!(allow(&[("a", "b")]), expected);
        assert_eq!(frame(b"abc"), [0, 0, 0, 0, 3, b'a', b'b', b'c']);
    }
}
