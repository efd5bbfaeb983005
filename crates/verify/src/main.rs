//! `glexec_verify`: checks the certificates of a credential, and answers with one line.
//!
//! The privileged programs link no cryptography: they start this program without privilege, give it
//! the credential as descriptor 0, and read the answer ([`answer`]).
//!
//! - [`confine`]: what the process gives up first;
//! - [`arguments`]: the settings of the site;
//! - [`pem`], [`credential`]: reading the credential;
//! - [`chain`], [`revocation`]: what OpenSSL verifies;
//! - [`proxy`], [`der`], [`lifetime`]: what OpenSSL does not verify;
//! - [`name`], [`answer`], [`refusal`]: the answer.

#![forbid(unsafe_code)]
#![warn(clippy::incompatible_msrv)]

mod answer;
mod arguments;
mod chain;
mod confine;
mod credential;
mod der;
mod lifetime;
mod name;
mod pem;
mod proxy;
mod refusal;
mod revocation;

use std::io::{Read as _, Write as _};
use std::process::ExitCode;

use answer::Identity;
use arguments::{Request, Settings};
use chain::Authorities;
use credential::Credential;
use openssl::x509::X509;
use proxy::Policy;
use refusal::{Refusal, Result};

fn main() -> ExitCode {
    let request = confine::clear_environment().and_then(|()| {
        let arguments = std::env::args_os().skip(1);
        arguments::read(arguments)
    });
    let checked = match request {
        Ok(Request::Help) => return print(include_str!("help.txt"), true),
        Ok(Request::Version) => {
            return print(concat!("glexec_verify ", env!("CARGO_PKG_VERSION"), "\n"), true);
        }
        Ok(Request::Verify(settings)) => confine::set_limits().and_then(|()| check(&settings)),
        Err(refusal) => Err(refusal),
    };
    print(&answer::line(&checked), checked.is_ok())
}

/// Prints the answer. The status is that of a failure if there is one, also while printing.
fn print(text: &str, is_success: bool) -> ExitCode {
    let printed = std::io::stdout().write_all(text.as_bytes());
    if is_success && printed.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Checks the credential on standard input.
fn check(settings: &Settings) -> Result<Identity> {
    let authorities = Authorities { directory: &settings.ca_directory };
    if let Err(error) = std::fs::read_dir(authorities.directory) {
        let directory = authorities.directory;
        return Err(Refusal::site(format!("cannot read the CA directory {directory}: {error}")));
    }
    let credential = Credential::read(&read_input()?, settings.allow_no_key)?;
    if proxy::policy(credential.leaf())?.is_none() {
        return Err(Refusal::credential(format!(
            "{}: the first certificate is no proxy of RFC 3820; a user's own certificate and the \
             proxies of the old types (GT2, GT3) are not accepted",
            name::of(credential.leaf().subject_name())
        )));
    }
    let chain = authorities.verify(credential.leaf(), &credential.certificates)?;
    credential.check_key()?;
    let policies = policies(&chain)?;
    revocation::check(&authorities, &chain, policies.len())?;
    let proxies = &chain[..policies.len()];
    let is_limited = may_be_used(&policies, settings)?;
    lifetime::check(proxies, &settings.max_lifetimes)?;
    Ok(Identity {
        not_after: lifetime::end(&chain)?,
        level: policies.len(),
        is_limited,
        subject: name::of(chain[policies.len()].subject_name()),
    })
}

fn read_input() -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let limit = credential::MAX_BYTES as u64 + 1;
    std::io::stdin()
        .take(limit)
        .read_to_end(&mut text)
        .map_err(|error| Refusal::site(format!("cannot read the credential: {error}")))?;
    if text.len() > credential::MAX_BYTES {
        return Err(Refusal::credential("the credential has more than 1 MiB"));
    }
    Ok(text)
}

/// The policies of the proxies, with which a chain begins. The user's own certificate follows.
fn policies(chain: &[X509]) -> Result<Vec<Policy>> {
    let mut policies = Vec::new();
    for (index, certificate) in chain.iter().enumerate() {
        match proxy::policy(certificate)? {
            Some(policy) if policies.len() == index => policies.push(policy),
            Some(_) => return Err(Refusal::credential("a proxy has signed no proxy")),
            None => {}
        }
    }
    // The authority is not a user.
    if policies.is_empty() || policies.len() + 1 >= chain.len() {
        return Err(Refusal::credential("the chain has no user's own certificate"));
    }
    Ok(policies)
}

/// Whether a chain is limited: a proxy that is limited limits all that follow.
fn may_be_used(policies: &[Policy], settings: &Settings) -> Result<bool> {
    if policies.contains(&Policy::Other) {
        return Err(Refusal::not_authorized(
            "a proxy has a policy other than full or limited, so it does not have all rights of \
             the user; make a full proxy",
        ));
    }
    let is_limited = policies.contains(&Policy::Limited);
    if is_limited && !settings.allow_limited {
        return Err(Refusal::not_authorized(
            "the proxy is limited, and this site accepts only full ones",
        ));
    }
    Ok(is_limited)
}
