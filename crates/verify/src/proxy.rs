//! What a proxy certificate may do: the extension that makes it a proxy (RFC 3820, 3.8).

use openssl::x509::X509Ref;

use crate::der::{self, INTEGER, OBJECT_ID, OCTET_STRING, Reader};
use crate::name;
use crate::refusal::{Refusal, Result};

/// The object identifier of the extension, 1.3.6.1.5.5.7.1.14.
const PROXY_CERT_INFO: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 1, 14];

/// The policy "all rights of the issuer", 1.3.6.1.5.5.7.21.1.
const INHERIT_ALL: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 21, 1];

/// The policy of a limited proxy, which Globus defines: 1.3.6.1.4.1.3536.1.1.1.9.
const LIMITED: &[u8] = &[0x2b, 6, 1, 4, 1, 0x9b, 0x50, 1, 1, 1, 9];

/// Which rights of its issuer a proxy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// All.
    Full,
    /// Not the right to start jobs.
    Limited,
    /// Something else: no rights of the issuer's (independent), or those of an unknown policy.
    Other,
}

/// The policy of a certificate; `None` if it is no proxy.
pub fn policy(certificate: &X509Ref) -> Result<Option<Policy>> {
    let malformed =
        |why: &str| Refusal::credential(format!("{}: {why}", name::of(certificate.subject_name())));
    let bytes = certificate.to_der().map_err(Refusal::credential)?;
    let Some(extensions) = der::extensions(&bytes) else {
        return Err(malformed("the certificate is not in DER"));
    };
    let found: Vec<_> = extensions.iter().filter(|found| found.id == PROXY_CERT_INFO).collect();
    match found[..] {
        [] => Ok(None),
        [info] if info.is_critical => {
            let policy = read(info.value);
            policy.map(Some).ok_or_else(|| malformed("proxyCertInfo is malformed"))
        }
        [_] => Err(malformed("proxyCertInfo is not critical, as RFC 3820 requires")),
        _ => Err(malformed("the certificate has proxyCertInfo twice")),
    }
}

fn read(value: &[u8]) -> Option<Policy> {
    let mut outer = Reader::new(value);
    let mut info = outer.sequence()?;
    // The path length, which OpenSSL checks.
    let _ = info.expect(INTEGER);
    let mut policy = info.sequence()?;
    let language = policy.expect(OBJECT_ID)?;
    let text = policy.expect(OCTET_STRING);
    if !(policy.is_at_end() && info.is_at_end() && outer.is_at_end()) {
        return None;
    }
    match language {
        INHERIT_ALL if text.is_none() => Some(Policy::Full),
        LIMITED if text.is_none_or(<[u8]>::is_empty) => Some(Policy::Limited),
        _ => Some(Policy::Other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(before: &[u8], language: &[u8], after: &[u8]) -> Vec<u8> {
        let element = |tag, content: &[u8]| [&[tag, content.len() as u8][..], content].concat();
        let policy = element(0x30, &[&element(OBJECT_ID, language), after].concat());
        element(0x30, &[before, &policy].concat())
    }

    #[test]
    fn only_inherit_all_and_limited_have_a_meaning() {
        for (language, policy) in [
            (INHERIT_ALL, Policy::Full),
            (LIMITED, Policy::Limited),
            // Independent, any language, and a longer identifier.
            (&[0x2b, 6, 1, 5, 5, 7, 21, 2], Policy::Other),
            (&[0x2b, 6, 1, 5, 5, 7, 21, 0], Policy::Other),
            (&[0x2b, 6, 1, 5, 5, 7, 21, 1, 1], Policy::Other),
        ] {
            assert_eq!(read(&info(&[], language, &[])), Some(policy));
            assert_eq!(read(&info(&[INTEGER, 1, 3], language, &[])), Some(policy));
        }
        let with_text = info(&[], INHERIT_ALL, &[OCTET_STRING, 1, b'x']);
        assert_eq!(read(&with_text), Some(Policy::Other));
    }

    #[test]
    fn what_follows_or_is_missing_is_malformed() {
        let valid = info(&[], INHERIT_ALL, &[]);
        assert_eq!(read(&[&valid[..], &[5, 0]].concat()), None);
        assert_eq!(read(&info(&[], INHERIT_ALL, &[5, 0])), None);
        assert_eq!(read(&valid[..valid.len() - 1]), None);
        assert_eq!(read(&[]), None);
    }
}
