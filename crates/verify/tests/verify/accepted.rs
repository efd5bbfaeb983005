//! Credentials that are accepted, and what is said of them.

use std::process::Command;

use super::{Verified, identity, made, verify};

const ALICE: &str = "/DC=org/DC=example/CN=Alice Example";

/// The subject, the level, and whether it is limited.
fn summary(name: &str) -> (String, u32, bool) {
    let found = identity(verify("none", &["--allow-limited"], name));
    (found.subject, found.level, found.is_limited)
}

#[test]
fn a_proxy_has_the_subject_of_the_certificate_that_signed_it() {
    assert_eq!(summary("fresh"), (ALICE.to_owned(), 1, false));
}

#[test]
fn the_level_is_the_number_of_proxies() {
    assert_eq!(summary("two_levels"), (ALICE.to_owned(), 2, false));
}

#[test]
fn an_rsa_key_is_accepted() {
    assert_eq!(summary("rsa"), (ALICE.to_owned(), 1, false));
}

#[test]
fn the_key_can_precede_the_certificates() {
    assert_eq!(summary("key_first"), (ALICE.to_owned(), 1, false));
}

#[test]
fn an_authority_below_the_trusted_one_can_come_with_the_credential() {
    assert_eq!(summary("sub_authority").0, "/DC=org/DC=example/CN=Carol");
}

#[test]
fn the_slash_in_the_name_of_a_host_stays() {
    assert_eq!(summary("host").0, "/DC=org/DC=example/CN=host/node.example.org");
}

#[test]
fn a_name_cannot_look_like_another_one() {
    let subject = summary("name").0;
    assert_eq!(subject, r#"/DC=org/DC=example/O=Caf\xC3\xA9 "\x5C"/CN=Bob\x2FCN=Alice"#);
}

#[test]
fn a_limited_proxy_is_told_and_so_is_a_full_one_below_it() {
    assert_eq!(summary("limited"), (ALICE.to_owned(), 1, true));
    assert_eq!(summary("limited_then_full"), (ALICE.to_owned(), 2, true));
}

/// The end of a certificate of testdata/ca/make, as openssl(1) and date(1) tell it.
fn end_of(name: &str) -> u64 {
    let script = r#"date -u -d "$(openssl x509 -noout -enddate -in "$0" | cut -d= -f2)" +%s"#;
    let certificate = made().join(format!("certificates/{name}.pem"));
    let output = Command::new("sh").args(["-c", script]).arg(certificate).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim_end().parse().unwrap()
}

#[test]
fn the_end_is_that_of_the_certificate_that_ends_first() {
    for (name, certificate) in [("fresh", "fresh"), ("outliving", "soon")] {
        let not_after = identity(verify("none", &[], name)).not_after;
        assert_eq!(not_after, end_of(certificate), "{name}");
    }
}

#[test]
fn an_absent_revocation_list_is_no_error() {
    assert!(matches!(verify("none", &[], "revoked"), Verified::Identity(_)));
}
