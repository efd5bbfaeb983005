//! The chain from a credential's first certificate to a trusted authority.

use openssl::error::ErrorStack;
use openssl::ssl::SslFiletype;
use openssl::stack::Stack;
use openssl::x509::store::{X509Lookup, X509Store, X509StoreBuilder};
use openssl::x509::verify::{X509VerifyFlags, X509VerifyParam};
use openssl::x509::{X509, X509Ref, X509StoreContext, X509StoreContextRef};

use crate::name;
use crate::refusal::{Refusal, Result};

/// OpenSSL's level 1 (SSL_CTX_set_security_level(3)): RSA keys of 1024 bits and more, and no
/// signature with MD5 or SHA-1.
const SECURITY_LEVEL: i32 = 1;

/// OpenSSL's numbers for why a chain is not verified (X509_STORE_CTX_get_error(3)).
pub mod error {
    pub const NO_ISSUER: i32 = 2;
    pub const NO_CRL: i32 = 3;
    pub const SELF_SIGNED: i32 = 18;
    pub const SELF_SIGNED_IN_CHAIN: i32 = 19;
    pub const NO_ISSUER_LOCALLY: i32 = 20;
    pub const NO_FIRST_ISSUER: i32 = 21;
    pub const REVOKED: i32 = 23;
}

/// Why a chain is not verified.
pub struct Failure {
    /// OpenSSL's number.
    pub error: i32,
    /// The certificate and the reason, in words.
    pub text: String,
}

/// The authorities that are trusted.
pub struct Authorities<'a> {
    /// A directory as `openssl rehash` makes it.
    pub directory: &'a str,
}

impl Authorities<'_> {
    /// Verifies the chain of a proxy, without revocation. Returns the chain: the proxy first, the
    /// trusted authority last.
    pub fn verify(&self, leaf: &X509Ref, others: &[X509]) -> Result<Vec<X509>> {
        match self.check(leaf, others, X509VerifyFlags::ALLOW_PROXY_CERTS)? {
            Ok(chain) => Ok(chain),
            Err(Failure { error, text }) => Err(Refusal::credential(match error {
                error::NO_ISSUER
                | error::SELF_SIGNED
                | error::SELF_SIGNED_IN_CHAIN
                | error::NO_ISSUER_LOCALLY
                | error::NO_FIRST_ISSUER => {
                    format!("{text}: no trusted authority in {} has signed it", self.directory)
                }
                _ => text,
            })),
        }
    }

    /// Verifies the chain of a certificate, with these flags.
    pub fn check(
        &self,
        leaf: &X509Ref,
        others: &[X509],
        flags: X509VerifyFlags,
    ) -> Result<std::result::Result<Vec<X509>, Failure>> {
        self.call_openssl(leaf, others, flags)
            .map_err(|error| Refusal::site(format!("OpenSSL cannot verify a chain: {error}")))
    }

    fn call_openssl(
        &self,
        leaf: &X509Ref,
        others: &[X509],
        flags: X509VerifyFlags,
    ) -> Result<std::result::Result<Vec<X509>, Failure>, ErrorStack> {
        let store = self.store(flags)?;
        let mut untrusted = Stack::new()?;
        for other in others {
            untrusted.push(other.clone())?;
        }
        X509StoreContext::new()?.init(&store, leaf, &untrusted, |context| {
            if !context.verify_cert()? {
                return Ok(Err(failure(context)));
            }
            let chain = context.chain().map(|chain| chain.iter().map(X509Ref::to_owned).collect());
            Ok(Ok(chain.unwrap_or_default()))
        })
    }

    fn store(&self, flags: X509VerifyFlags) -> Result<X509Store, ErrorStack> {
        let mut store = X509StoreBuilder::new()?;
        store.add_lookup(X509Lookup::hash_dir())?.add_dir(self.directory, SslFiletype::PEM)?;
        let mut settings = X509VerifyParam::new()?;
        settings.set_auth_level(SECURITY_LEVEL);
        settings.set_flags(flags)?;
        store.set_param(&settings)?;
        Ok(store.build())
    }
}

fn failure(context: &X509StoreContextRef) -> Failure {
    let error = context.error();
    let subject = context.current_cert().map(|certificate| name::of(certificate.subject_name()));
    let subject = subject.unwrap_or_else(|| format!("certificate {}", context.error_depth() + 1));
    Failure { error: error.as_raw(), text: format!("{subject}: {}", error.error_string()) }
}
