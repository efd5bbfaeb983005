//! Names of certificates in the form of a grid-mapfile.

use std::fmt::Write as _;

use openssl::nid::Nid;
use openssl::x509::X509NameRef;

/// A name as `/DC=org/DC=example/CN=Name`, in printable ASCII. Two different names never give the
/// same text: a backslash, and any byte that is not printable ASCII, are `\xHH`, as OpenSSL writes
/// them (X509_NAME_oneline(3)); so is a slash in a value before what looks like an attribute, which
/// would give one name the text of another one.
pub fn of(name: &X509NameRef) -> String {
    let mut text = String::new();
    for entry in name.entries() {
        let object = entry.object();
        // Unknown attributes have the name UNDEF.
        let known = Some(object.nid()).filter(|nid| *nid != Nid::UNDEF);
        let attribute = match known.and_then(|nid| nid.short_name().ok()) {
            Some(short) => short.to_owned(),
            None => object.to_string(),
        };
        let _ = write!(text, "/{attribute}=");
        push_value(&mut text, entry.data().as_slice());
    }
    text
}

fn push_value(text: &mut String, value: &[u8]) {
    for (at, byte) in value.iter().enumerate() {
        match byte {
            b'/' if !begins_attribute(&value[at + 1..]) => text.push('/'),
            b'/' | b'\\' | ..b' ' | 0x7f.. => {
                let _ = write!(text, "\\x{byte:02X}");
            }
            byte => text.push(char::from(*byte)),
        }
    }
}

/// Whether what follows a slash would be read as an attribute: a short name or an object identifier
/// and an equals sign.
fn begins_attribute(rest: &[u8]) -> bool {
    let part = rest.split(|byte| *byte == b'/').next().unwrap_or_default();
    part.contains(&b'=')
}

#[cfg(test)]
mod tests {
    use super::push_value;

    fn value(bytes: &[u8]) -> String {
        let mut text = String::new();
        push_value(&mut text, bytes);
        text
    }

    #[test]
    fn a_value_is_printable_and_cannot_be_taken_for_another_name() {
        assert_eq!(value(b"host/a.example.org"), "host/a.example.org");
        assert_eq!(value(b"a=b \"c\""), "a=b \"c\"");
        assert_eq!(value(b"Bob/CN=Alice"), "Bob\\x2FCN=Alice");
        assert_eq!(value(b"/1.2.3=x/y"), "\\x2F1.2.3=x/y");
        assert_eq!(value(b"a\nb\\x2F\xc3\xa9\x7f"), "a\\x0Ab\\x5Cx2F\\xC3\\xA9\\x7F");
    }
}
