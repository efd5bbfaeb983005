//! Chains that are refused.

use super::refused;

#[test]
fn an_expired_proxy_is_refused() {
    refused("expired", 201, "certificate has expired");
}

#[test]
fn a_proxy_of_an_expired_certificate_is_refused() {
    refused("user_expired", 201, "/DC=org/DC=example/CN=Alice Example: certificate has expired");
}

#[test]
fn a_proxy_that_is_not_yet_valid_is_refused() {
    refused("future", 201, "certificate is not yet valid");
}

#[test]
fn a_chain_to_an_authority_that_is_not_trusted_is_refused() {
    refused("foreign_ca", 201, "no trusted authority");
    refused("with_foreign_ca", 201, "no trusted authority");
}

#[test]
fn a_proxy_without_its_users_certificate_is_refused() {
    refused("no_user", 201, "no trusted authority");
}

#[test]
fn a_proxy_whose_name_does_not_extend_its_issuers_name_is_refused() {
    refused("wrong_subject", 201, "proxy subject name violation");
    refused("same_subject", 201, "proxy subject name violation");
}

#[test]
fn a_chain_of_more_proxies_than_one_of_them_allows_is_refused() {
    refused("path_length", 201, "proxy path length constraint exceeded");
}

#[test]
fn a_users_own_certificate_is_refused() {
    refused("bare", 201, "no proxy of RFC 3820");
}

#[test]
fn proxies_of_the_old_types_are_refused() {
    refused("old", 201, "no proxy of RFC 3820");
    refused("older", 201, "no proxy of RFC 3820");
}

#[test]
fn a_proxy_that_an_authority_has_signed_is_refused() {
    refused("of_authority", 201, "has CA markings");
}

#[test]
fn a_certificate_that_a_user_has_signed_is_refused() {
    refused("signed_by_user", 201, "invalid CA certificate");
}

#[test]
fn a_signature_with_sha1_is_refused() {
    refused("sha1", 201, "digest algorithm too weak");
}

#[test]
fn a_proxy_whose_extension_is_not_critical_is_refused() {
    refused("not_critical", 201, "not critical");
}

#[test]
fn a_proxy_that_does_not_have_its_issuers_rights_is_refused() {
    refused("independent", 203, "a policy other than full or limited");
    refused("restricted", 203, "a policy other than full or limited");
}
