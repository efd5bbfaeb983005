//! Revocation lists (CRLs): one that exists must be valid, and must not name the certificate.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use openssl::x509::verify::X509VerifyFlags;
use openssl::x509::{X509, X509Ref};

use crate::chain::{Authorities, Failure, error};
use crate::refusal::{Refusal, Result};

/// Checks the certificates that authorities have signed, one by one. OpenSSL checks either the
/// first certificate of a chain or all of them, and fails for an absent list; so each certificate
/// is made the first of a chain. Proxies cannot be in a list.
pub fn check(authorities: &Authorities<'_>, chain: &[X509], proxies: usize) -> Result<()> {
    let Some((_, below_authority)) = chain.split_last() else { return Ok(()) };
    for certificate in below_authority.iter().skip(proxies) {
        let Err(Failure { error, text }) =
            authorities.check(certificate, chain, X509VerifyFlags::CRL_CHECK)?
        else {
            continue;
        };
        match error {
            error::REVOKED => return Err(Refusal::not_authorized(text)),
            error::NO_CRL if !has_list(authorities, certificate)? => {}
            _ => {
                return Err(Refusal::site(format!(
                    "{text}: the revocation list of its authority, {}, is not usable; fetch it \
                     again (fetch-crl)",
                    list(authorities, certificate)
                )));
            }
        }
    }
    Ok(())
}

/// Whether there is a revocation list of the certificate's authority, valid or not.
fn has_list(authorities: &Authorities<'_>, certificate: &X509Ref) -> Result<bool> {
    let path = list(authorities, certificate);
    match fs::symlink_metadata(&path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Refusal::site(format!("cannot look at {path}: {error}"))),
    }
}

/// The path of the first list of the certificate's authority.
fn list(authorities: &Authorities<'_>, certificate: &X509Ref) -> String {
    let name = format!("{:08x}.r0", certificate.issuer_name_hash());
    Path::new(authorities.directory).join(name).display().to_string()
}
