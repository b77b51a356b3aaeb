//! As much of DER (X.690) as certificates need that `webpki` has found sound: tags, lengths, and the extensions.

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;

/// Reads values one after the other.
#[derive(Clone, Copy)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The next value: tag and contents. `None` at the end, and where the length is not the shortest or goes too far.
    pub(super) fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (tag, rest) = self.0.split_first()?;
        // tags above 30 are in no certificate
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(*first), rest),
            0x81..=0x83 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte));
                let shortest = length > 0x7f && bytes.first() != Some(&0);
                (length, shortest.then_some(rest)?)
            }
            _ => return None,
        };
        let (contents, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((*tag, contents))
    }

    /// The next value, which has that tag.
    pub(super) fn required(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|(found, _)| *found == tag).map(|(_, contents)| contents)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The fields of a certificate's signed part (RFC 5280 section 4.1) from the issuer on.
fn from_issuer(certificate: &[u8]) -> Option<Reader<'_>> {
    let certificate = Reader::new(certificate).required(SEQUENCE)?;
    let mut fields = Reader::new(Reader::new(certificate).required(SEQUENCE)?);
    // version 3 is marked, serial number, signature algorithm
    fields.required(0xa0)?;
    fields.required(INTEGER)?;
    fields.required(SEQUENCE)?;
    Some(fields)
}

/// The subject of a certificate: the contents of its `RDNSequence`.
pub(super) fn subject(certificate: &[u8]) -> Option<&[u8]> {
    let mut fields = from_issuer(certificate)?;
    fields.required(SEQUENCE)?;
    fields.required(SEQUENCE)?;
    fields.required(SEQUENCE)
}

/// The extensions of a certificate (RFC 5280 section 4.2).
#[derive(Clone, Copy)]
pub(super) struct Extensions<'a>(&'a [u8]);

impl<'a> Extensions<'a> {
    /// Those of a certificate; `None` where it is malformed. One without has none.
    pub(super) fn of(certificate: &'a [u8]) -> Option<Self> {
        let mut fields = from_issuer(certificate)?;
        // issuer, validity, subject, key
        for _ in 0..4 {
            fields.required(SEQUENCE)?;
        }
        while let Some((tag, contents)) = fields.next() {
            if tag == 0xa3 {
                return Reader::new(contents).required(SEQUENCE).map(Self);
            }
        }
        Some(Self(&[]))
    }

    /// The value of the extension of that identifier, which is 2.5.29.`arc`.
    fn find(self, arc: u8) -> Option<&'a [u8]> {
        let mut extensions = Reader::new(self.0);
        while let Some(extension) = extensions.required(SEQUENCE) {
            let mut parts = Reader::new(extension);
            if parts.required(OBJECT_IDENTIFIER) != Some(&[0x55, 0x1d, arc]) {
                continue;
            }
            return match parts.next()? {
                (BOOLEAN, _) => parts.required(OCTET_STRING),
                (OCTET_STRING, value) => Some(value),
                _ => None,
            };
        }
        None
    }

    /// Whether the first byte of `keyUsage` (section 4.2.1.3) has the bit. Without the extension all are allowed.
    fn usage(self, bit: u8) -> bool {
        match self.find(15) {
            None => true,
            // the first byte of a bit string tells how many bits of the last are unused
            Some(value) => Reader::new(value)
                .required(BIT_STRING)
                .is_some_and(|bits| bits.get(1).is_some_and(|first| first & bit != 0)),
        }
    }

    /// `digitalSignature`
    pub(super) fn allows_signatures(self) -> bool {
        self.usage(0x80)
    }

    /// `keyCertSign`
    pub(super) fn allows_certificates(self) -> bool {
        self.usage(0x04)
    }

    /// `cA` of the basic constraints (section 4.2.1.9), and a key usage that fits.
    pub(super) fn is_authority(self) -> bool {
        let constraints = self.find(19).and_then(|value| Reader::new(value).required(SEQUENCE));
        let authority = constraints.and_then(|constraints| Reader::new(constraints).required(BOOLEAN));
        authority == Some(&[0xff]) && self.allows_certificates()
    }

    /// `keyIdentifier` of the authority key identifier (section 4.2.1.1).
    pub(super) fn authority_key_id(self) -> Option<&'a [u8]> {
        let mut parts = Reader::new(Reader::new(self.find(35)?).required(SEQUENCE)?);
        parts.required(0x80)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lengths_are_the_shortest() {
        let long = [&[SEQUENCE, 0x81, 0x80][..], &[7; 128]].concat();
        assert_eq!(Reader::new(&long).required(SEQUENCE).map(<[u8]>::len), Some(128));
        for bad in [
            &[][..],
            &[SEQUENCE],
            &[SEQUENCE, 1],
            &[SEQUENCE, 0x80, 0, 0],
            &[SEQUENCE, 0x81, 1, 7],
            &[SEQUENCE, 0x82, 0, 0x80],
            &[SEQUENCE, 0x84, 0, 0, 0, 1, 7],
            &[0x1f, 0x1f, 0],
        ] {
            assert_eq!(Reader::new(bad).next(), None, "{bad:?}");
        }
        let mut two = Reader::new(&[INTEGER, 1, 5, BOOLEAN, 1, 0xff]);
        assert_eq!((two.next(), two.required(INTEGER)), (Some((INTEGER, &[5][..])), None));
        assert!(two.is_empty());
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            let _ = subject(&bytes);
            if let Some(extensions) = Extensions::of(&bytes) {
                let _ = (extensions.is_authority(), extensions.authority_key_id(), extensions.allows_signatures());
            }
            let _ = (Extensions(&bytes).is_authority(), Extensions(&bytes).authority_key_id());
        }
    }
}
