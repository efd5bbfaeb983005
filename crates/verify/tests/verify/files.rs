//! Inputs that are no proxy file, or whose key is another one.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use super::{Verified, answer_in, assert_refused, credential, refused, verify, verify_with};

/// The answer about these bytes, which come through a pipe.
fn verify_bytes(bytes: &[u8]) -> Verified {
    let mut command = verify_with("none", &[]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    // The program does not read more than it accepts.
    let _ = child.stdin.take().unwrap().write_all(bytes);
    answer_in(&child.wait_with_output().unwrap())
}

#[test]
fn another_certificates_key_is_refused() {
    refused("wrong_key", 201, "the key does not belong");
    refused("wrong_key_of_same_kind", 201, "the key does not belong");
}

#[test]
fn a_credential_has_exactly_one_key() {
    refused("no_key", 201, "no key");
    refused("two_keys", 201, "more than one key");
}

#[test]
fn a_key_can_be_missing_only_where_that_is_allowed_and_must_fit_if_it_is_there() {
    let allowed = |name: &str| verify("valid", &["--allow-no-key"], name);
    assert!(matches!(allowed("no_key"), Verified::Identity(_)));
    assert!(matches!(allowed("fresh"), Verified::Identity(_)));
    for name in ["wrong_key", "two_keys", "key_encrypted"] {
        assert!(matches!(allowed(name), Verified::Error { status: 201, .. }), "{name}");
    }
}

#[test]
fn an_encrypted_key_is_refused_without_asking_for_a_password() {
    refused("key_encrypted", 201, "the key is encrypted");
    refused("key_encrypted_traditional", 201, "the key is encrypted");
}

#[test]
fn a_key_of_another_kind_than_rsa_and_curves_is_refused() {
    refused("ed25519", 201, "neither an RSA key nor one of a curve");
}

#[test]
fn an_empty_input_is_refused() {
    refused("empty", 201, "no certificate");
}

#[test]
fn a_truncated_and_a_malformed_file_are_refused() {
    refused("truncated", 201, "truncated");
    refused("malformed", 201, "certificate 1 is malformed");
}

#[test]
fn more_than_32_certificates_are_refused() {
    refused("many", 201, "more than 32 certificates");
}

#[test]
fn more_than_a_mebibyte_is_refused() {
    let byte = |at: u32| (at.wrapping_mul(2_654_435_761) >> 24) as u8;
    let noise: Vec<u8> = (0..8 << 20).map(byte).collect();
    assert_refused(&verify_bytes(&noise), 201, "more than 1 MiB");
    let with_noise = [fs::read(credential("fresh")).unwrap(), noise].concat();
    assert_refused(&verify_bytes(&with_noise), 201, "more than 1 MiB");
    assert_refused(&verify_bytes(&with_noise[with_noise.len() - 1000..]), 201, "no certificate");
}

#[test]
fn a_file_that_is_cut_anywhere_is_no_credential() {
    let text = fs::read(credential("fresh")).unwrap();
    for length in (0..text.len() - 1).step_by(29) {
        assert_refused(&verify_bytes(&text[..length]), 201, "");
    }
    assert!(matches!(verify_bytes(&text), Verified::Identity(_)));
}

#[test]
fn a_file_with_a_changed_byte_has_no_other_identity() {
    let text = fs::read(credential("fresh")).unwrap();
    let valid = verify_bytes(&text);
    for place in (0..text.len()).step_by(29) {
        let mut changed = text.clone();
        changed[place] ^= 1;
        match verify_bytes(&changed) {
            Verified::Error { status: 201, .. } => {}
            // Padding, for example.
            other => assert_eq!(other, valid, "at {place}"),
        }
    }
}
