//! Revocation lists.

use super::{Verified, assert_refused, verify};

#[test]
fn a_proxy_of_a_revoked_certificate_is_refused() {
    let answer = verify("valid", &[], "revoked");
    assert_refused(&answer, 203, "/DC=org/DC=example/CN=Bob Revoked: certificate revoked");
}

#[test]
fn other_certificates_of_the_same_authority_are_accepted() {
    for name in ["fresh", "two_levels", "sub_authority"] {
        let answer = verify("valid", &[], name);
        assert!(matches!(answer, Verified::Identity(_)), "{name}: {answer:?}");
    }
}

#[test]
fn a_revoked_authority_below_the_trusted_one_is_refused() {
    let answer = verify("sub_ca_revoked", &[], "sub_authority");
    assert_refused(&answer, 203, "/DC=org/DC=example/CN=Example Sub CA: certificate revoked");
}

#[test]
fn a_list_that_has_ended_is_a_fault_of_the_site() {
    for name in ["fresh", "revoked"] {
        assert_refused(&verify("expired", &[], name), 202, "CRL has expired");
    }
}

#[test]
fn a_list_that_is_not_readable_or_has_another_signature_is_not_taken_for_an_absent_one() {
    for authorities in ["broken", "forged"] {
        assert_refused(&verify(authorities, &[], "fresh"), 202, ".r0, is not usable");
    }
}
