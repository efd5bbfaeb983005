//! A credential: certificates, the first of which belongs to the key.

use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::pkey::{Id, PKey, Private};
use openssl::sign::{Signer, Verifier};
use openssl::x509::{X509, X509Ref};

use crate::pem;
use crate::refusal::{Refusal, Result};

/// The most bytes of a credential.
pub const MAX_BYTES: usize = 1 << 20;

/// The most certificates. A proxy has a few.
const MAX_CERTIFICATES: usize = 32;

/// What a proxy file contains.
pub struct Credential {
    /// The proxy first; the others can have any order.
    pub certificates: Vec<X509>,
    /// None if it has none, and none is needed.
    key: Option<PKey<Private>>,
}

impl Credential {
    /// Reads a proxy file: at least one certificate, and one key at any place. With `allow_no_key`
    /// the key can be missing.
    pub fn read(text: &[u8], allow_no_key: bool) -> Result<Self> {
        let mut certificates = Vec::new();
        let mut keys = Vec::new();
        for block in pem::blocks(text)? {
            match block.label {
                "CERTIFICATE" if certificates.len() == MAX_CERTIFICATES => {
                    return Err(Refusal::credential(format!(
                        "the credential has more than {MAX_CERTIFICATES} certificates"
                    )));
                }
                "CERTIFICATE" => certificates.push(X509::from_pem(block.text).map_err(|_| {
                    let number = certificates.len() + 1;
                    Refusal::credential(format!("certificate {number} is malformed"))
                })?),
                "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" => {
                    keys.push(key(&block)?);
                }
                // Precedes the key of some programs, and is a part of the key, too.
                "EC PARAMETERS" => {}
                other => {
                    return Err(Refusal::credential(format!(
                        "the credential contains more than certificates and a key: {other}"
                    )));
                }
            }
        }
        if certificates.is_empty() {
            return Err(Refusal::credential("the credential has no certificate in PEM"));
        }
        match keys.pop() {
            Some(key) if keys.is_empty() => Ok(Credential { certificates, key: Some(key) }),
            None if allow_no_key => Ok(Credential { certificates, key: None }),
            Some(_) => Err(Refusal::credential("the credential has more than one key")),
            None => Err(Refusal::credential("the credential has no key")),
        }
    }

    /// The certificate that the key belongs to.
    pub fn leaf(&self) -> &X509Ref {
        &self.certificates[0]
    }

    /// Checks that the key, if there is one, belongs to the first certificate: a signature of the
    /// key is one of the certificate's public key.
    pub fn check_key(&self) -> Result<()> {
        let Some(key) = &self.key else { return Ok(()) };
        let text = b"glexec_verify";
        let is_proved = || -> Result<bool, ErrorStack> {
            let public = self.leaf().public_key()?;
            if !key.public_eq(&public) {
                return Ok(false);
            }
            let signature = Signer::new(MessageDigest::sha256(), key)?.sign_oneshot_to_vec(text)?;
            Verifier::new(MessageDigest::sha256(), &public)?.verify_oneshot(&signature, text)
        };
        match is_proved() {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Refusal::credential(
                "the key does not belong to the credential's first certificate",
            )),
        }
    }
}

/// A key that is not encrypted, for RSA or elliptic curves.
fn key(block: &pem::Block<'_>) -> Result<PKey<Private>> {
    const ENCRYPTED: &[u8] = b"ENCRYPTED";
    // In the label, or in a header below it.
    if block.text.windows(ENCRYPTED.len()).any(|found| found == ENCRYPTED) {
        return Err(Refusal::credential("the key is encrypted, which a proxy's key is not"));
    }
    // Without this function OpenSSL would ask for a password on the terminal.
    let no_password = |_: &mut [u8]| Ok(0);
    let key = PKey::private_key_from_pem_callback(block.text, no_password)
        .map_err(|_| Refusal::credential("the key is malformed"))?;
    match key.id() {
        Id::RSA | Id::EC => Ok(key),
        _ => Err(Refusal::credential("the key is neither an RSA key nor one of a curve (EC)")),
    }
}
