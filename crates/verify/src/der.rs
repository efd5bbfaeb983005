//! The encoding of certificates (DER, X.690), as far as their extensions need it. OpenSSL has read
//! the certificate before; what it accepts beyond DER is refused here.

/// A sequence, or the content of a wrapping tag.
pub const SEQUENCE: u8 = 0x30;
pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const OCTET_STRING: u8 = 0x04;
pub const OBJECT_ID: u8 = 0x06;

/// The tag of the extensions in a certificate (RFC 5280, 4.1).
const EXTENSIONS: u8 = 0xa3;

/// Elements that follow each other.
#[derive(Clone, Copy)]
pub struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub fn new(bytes: &'a [u8]) -> Self {
        Reader(bytes)
    }

    /// The tag and the content of the next element; `None` at the end, and if it is malformed.
    pub fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, first], rest) = self.0.split_first_chunk()?;
        // A tag with further bytes does not occur in a certificate.
        if tag & 0x1f == 0x1f {
            return None;
        }
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                let length = bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte));
                // The shortest form only.
                let is_shortest = bytes[0] != 0 && length > 0x7f;
                (is_shortest.then_some(length)?, rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, which has this tag. An element with another tag is left.
    pub fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let mut ahead = *self;
        let (found, content) = ahead.next()?;
        (found == tag).then(|| {
            *self = ahead;
            content
        })
    }

    /// The elements of the next element, which is a sequence.
    pub fn sequence(&mut self) -> Option<Reader<'a>> {
        self.expect(SEQUENCE).map(Reader)
    }

    pub fn is_at_end(&self) -> bool {
        self.0.is_empty()
    }
}

/// An extension of a certificate.
#[derive(Debug, PartialEq, Eq)]
pub struct Extension<'a> {
    /// The content of its object identifier.
    pub id: &'a [u8],
    pub is_critical: bool,
    pub value: &'a [u8],
}

/// The extensions of a certificate; `None` if it is malformed.
pub fn extensions(certificate: &[u8]) -> Option<Vec<Extension<'_>>> {
    let mut fields = Reader(certificate).sequence()?.sequence()?;
    let mut found = Vec::new();
    while !fields.is_at_end() {
        let (EXTENSIONS, wrapped) = fields.next()? else { continue };
        let mut list = Reader(wrapped).sequence()?;
        while !list.is_at_end() {
            found.push(extension(list.sequence()?)?);
        }
    }
    Some(found)
}

fn extension(mut fields: Reader<'_>) -> Option<Extension<'_>> {
    let id = fields.expect(OBJECT_ID)?;
    let is_critical = fields.expect(BOOLEAN).is_some_and(|value| value != [0]);
    let value = fields.expect(OCTET_STRING)?;
    fields.is_at_end().then_some(Extension { id, is_critical, value })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_that_is_truncated_or_longer_than_necessary_is_malformed() {
        assert_eq!(Reader(&[4, 1, 9, 5, 0]).next(), Some((4, &[9][..])));
        let long = [&[4, 0x81, 0x80][..], &[7; 0x80]].concat();
        assert_eq!(Reader(&long).next(), Some((4, &[7; 0x80][..])));
        for malformed in [
            &[][..],
            &[4],
            &[4, 2, 0],
            &[4, 0x80, 0, 0],
            &[4, 0x81, 1, 0],
            &[4, 0x82, 0, 0x80],
            &[4, 0x85, 1, 1, 1, 1, 1],
            &[4, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x1f, 1, 0],
        ] {
            assert_eq!(Reader(malformed).next(), None, "{malformed:?}");
        }
    }

    #[test]
    fn the_extensions_of_a_certificate_are_found() {
        let critical = [0x30, 9, 6, 1, 42, 1, 1, 255, 4, 1, 7];
        let other = [0x30, 6, 6, 1, 43, 4, 1, 8];
        let list = [&[0x30, 19][..], &critical, &other].concat();
        let fields = [&[2, 1, 1, 0xa3, 21][..], &list].concat();
        let certificate = [&[0x30, 28, 0x30, 26][..], &fields].concat();
        let found = extensions(&certificate);
        let wanted = [(42, true, 7), (43, false, 8)];
        let found: Option<Vec<_>> =
            found.map(|all| all.iter().map(|e| (e.id[0], e.is_critical, e.value[0])).collect());
        assert_eq!(found, Some(wanted.to_vec()));
        assert_eq!(extensions(&certificate[..20]), None);
    }
}
