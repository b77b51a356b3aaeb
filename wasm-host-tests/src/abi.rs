//! The numbers and encodings of proxy-wasm ABI 0.2.1 (`abi-versions/v0.2.1` of the proxy-wasm specification): statuses,
//! stream types, maps, buffers, and the serialisation of header pairs.

/// What a host function answers (`proxy_status_t`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(i32)]
pub enum Status {
    /// Done.
    Ok = 0,
    /// There is no such thing.
    NotFound = 1,
    /// The call cannot be made so, or not now.
    BadArgument = 2,
    /// A pointer of the guest lies outside its memory.
    InvalidMemoryAccess = 6,
    /// The queue has nothing in it.
    Empty = 7,
    /// The value is not of the version that was to be swapped.
    CasMismatch = 8,
    /// The host failed.
    InternalFailure = 10,
}

/// Request headers, `proxy_map_type_t`.
pub(crate) const MAP_REQUEST_HEADERS: u32 = 0;
/// Request trailers.
pub(crate) const MAP_REQUEST_TRAILERS: u32 = 1;
/// Response headers.
pub(crate) const MAP_RESPONSE_HEADERS: u32 = 2;
/// Response trailers.
pub(crate) const MAP_RESPONSE_TRAILERS: u32 = 3;
/// Headers of the reply to an HTTP call.
pub(crate) const MAP_CALL_HEADERS: u32 = 6;
/// Trailers of the reply to an HTTP call.
pub(crate) const MAP_CALL_TRAILERS: u32 = 7;

/// The request body, `proxy_buffer_type_t`.
pub(crate) const BUFFER_REQUEST_BODY: u32 = 0;
/// The response body.
pub(crate) const BUFFER_RESPONSE_BODY: u32 = 1;
/// The body of the reply to an HTTP call.
pub(crate) const BUFFER_CALL_BODY: u32 = 4;
/// The configuration of the VM.
pub(crate) const BUFFER_VM_CONFIGURATION: u32 = 6;
/// The configuration of the plugin.
pub(crate) const BUFFER_PLUGIN_CONFIGURATION: u32 = 7;

/// `proxy_stream_type_t`: the request of an HTTP stream.
pub(crate) const STREAM_REQUEST: u32 = 0;
/// `proxy_stream_type_t`: the response of an HTTP stream.
pub(crate) const STREAM_RESPONSE: u32 = 1;

/// A name and a value as they cross the ABI.
pub(crate) type Pair = (Vec<u8>, Vec<u8>);

/// Serialises pairs as the ABI wants them: count, then both lengths of each, then each name and value with a NUL behind
/// it. No pairs are no bytes, as in Envoy.
pub(crate) fn encode_pairs(pairs: &[Pair]) -> Vec<u8> {
    if pairs.is_empty() {
        return Vec::new();
    }
    let mut out = Vec::new();
    out.extend((pairs.len() as u32).to_le_bytes());
    for (name, value) in pairs {
        out.extend((name.len() as u32).to_le_bytes());
        out.extend((value.len() as u32).to_le_bytes());
    }
    for (name, value) in pairs {
        out.extend(name);
        out.push(0);
        out.extend(value);
        out.push(0);
    }
    out
}

/// Reads serialised pairs; what is damaged reads as none, as in Envoy.
pub(crate) fn decode_pairs(bytes: &[u8]) -> Vec<Pair> {
    read_pairs(bytes).unwrap_or_default()
}

fn read_pairs(bytes: &[u8]) -> Option<Vec<Pair>> {
    let word = |at: usize| -> Option<usize> {
        let four: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(four) as usize)
    };
    let count = word(0)?;
    let mut at = 4 + count.checked_mul(8)?;
    let mut pairs = Vec::new();
    for index in 0..count {
        let (name_len, value_len) = (word(4 + index * 8)?, word(8 + index * 8)?);
        let name = bytes.get(at..at + name_len)?.to_vec();
        at += name_len + 1;
        let value = bytes.get(at..at + value_len)?.to_vec();
        at += value_len + 1;
        pairs.push((name, value));
    }
    Some(pairs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_the_way_there_and_back() {
        let pairs = vec![(b"a".to_vec(), b"1".to_vec()), (b"empty".to_vec(), vec![]), (b"raw".to_vec(), vec![0xff, 0])];
        assert_eq!(decode_pairs(&encode_pairs(&pairs)), pairs);
        assert!(encode_pairs(&[]).is_empty());
    }

    #[test]
    fn damaged_pairs_are_none() {
        let good = encode_pairs(&[(b"name".to_vec(), b"value".to_vec())]);
        for cut in 0..good.len() - 1 {
            assert!(decode_pairs(&good[..cut]).is_empty(), "cut at {cut}");
        }
        assert!(decode_pairs(&u32::MAX.to_le_bytes()).is_empty());
    }
}
