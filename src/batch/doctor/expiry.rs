//! Until when a credential is valid: an X.509 certificate or proxy in PEM (RFC 5280, RFC 3820), or
//! a token (RFC 7519). Signatures are not verified.

use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding as _};
use der::asn1::{AnyRef, GeneralizedTime, UtcTime};
use der::{Decode as _, Document, SliceReader, Tag, Tagged as _};

/// The end of the validity of the part that expires first, as the time since 1970; `None` if the
/// content has no such time.
pub(super) fn of(credential: &[u8]) -> Option<Duration> {
    let text = std::str::from_utf8(credential).ok()?;
    certificates(text)
        .filter_map(|pem| end_of_certificate(&pem))
        .min()
        .or_else(|| end_of_token(text.trim()))
}

/// The certificates in a file: a proxy file also contains a key.
fn certificates(text: &str) -> impl Iterator<Item = String> {
    const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
    const END: &str = "-----END CERTIFICATE-----";
    text.split(BEGIN)
        .skip(1)
        .filter_map(|rest| Some(format!("{BEGIN}{}{END}\n", rest.split_once(END)?.0)))
}

fn end_of_certificate(pem: &str) -> Option<Duration> {
    let (_, document) = Document::from_pem(pem).ok()?;
    let certificate = *elements(document.as_bytes(), 1)?.last()?;
    let to_be_signed = *elements(certificate.value(), 1)?.last()?;
    let first = elements(to_be_signed.value(), 1)?;
    // The fields are version, unless that is 1, serial number, algorithm, issuer, and validity.
    let before = if matches!(first[0].tag(), Tag::ContextSpecific { .. }) { 4 } else { 3 };
    let validity = *elements(to_be_signed.value(), before + 1)?.last()?;
    let not_after = *elements(validity.value(), 2)?.last()?;
    match not_after.tag() {
        Tag::UtcTime => not_after.decode_as::<UtcTime>().ok().map(|time| time.to_unix_duration()),
        _ => not_after.decode_as::<GeneralizedTime>().ok().map(|time| time.to_unix_duration()),
    }
}

/// The first elements of a sequence.
fn elements(bytes: &[u8], count: usize) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(bytes).ok()?;
    (0..count).map(|_| AnyRef::decode(&mut reader).ok()).collect()
}

fn end_of_token(text: &str) -> Option<Duration> {
    let claims = text.split('.').nth(1)?;
    let claims: serde_json::Value =
        serde_json::from_slice(&Base64UrlUnpadded::decode_vec(claims).ok()?).ok()?;
    Some(Duration::from_secs(claims.get("exp")?.as_u64()?))
}

#[cfg(test)]
mod tests {
    use super::of;

    fn sample(name: &str) -> Vec<u8> {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("testdata/credentials")
            .join(name);
        std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"))
    }

    fn seconds(credential: &[u8]) -> Option<u64> {
        of(credential).map(|time| time.as_secs())
    }

    // The times are those that `openssl x509 -enddate` prints.

    #[test]
    fn a_proxy_is_valid_until_the_first_certificate_of_its_chain_expires() {
        assert_eq!(seconds(&sample("expired.pem")), Some(1_795_275_552));
        assert_eq!(seconds(&sample("valid.pem")), Some(4_948_875_539));
    }

    #[test]
    fn a_token_is_valid_until_the_time_in_its_claim() {
        assert_eq!(seconds(&sample("expired.jwt")), Some(1_577_836_800));
    }

    #[test]
    fn a_content_without_a_time_is_no_error() {
        let broken = sample("valid.pem")
            .iter()
            .map(|byte| if *byte == b'M' { b'A' } else { *byte })
            .collect::<Vec<_>>();
        for credential in
            [&b""[..], b"a token", b"a.b.c", b"\xff", &sample("valid.pem")[..200], &broken]
        {
            assert_eq!(seconds(credential), None, "{}", String::from_utf8_lossy(credential));
        }
    }
}
