//! Renewing the proxy of a running payload, and the credential of its switcher.

use std::ffi::OsStr;

use error::{Error, Result};
use sys::{Name, OwnedName};

use super::PROXY;
use super::abandoned::AbandonedSandbox;
use crate::batch::sandbox::{Found, Retained};

/// The new contents. `None` leaves the old one.
#[derive(Debug, Default)]
pub struct NewCredentials {
    /// The content of the switcher's credential.
    pub credential: Option<Vec<u8>>,
    /// The content of the payload's proxy.
    pub proxy: Option<Vec<u8>>,
}

impl AbandonedSandbox {
    /// Replaces them: first the switcher's credential, since the call for the other one may need
    /// the new one.
    pub fn renew(&self, new: &NewCredentials) -> Result<()> {
        let sandbox = &self.sandbox;
        if sandbox.retained()? != Retained::Proxy {
            let why = "it has no payload, and so no credential to be replaced";
            return Err(Error::refused(sandbox.path(), why));
        }
        let of_switcher = match &new.credential {
            Some(content) => {
                sandbox.replace_proxy(&sandbox.open_retained()?, &sandbox.retained_path(), content)
            }
            None => Ok(()),
        };
        let of_payload = match &new.proxy {
            Some(content) => self.renew_proxy(content),
            None => Ok(()),
        };
        match of_switcher {
            Ok(()) => of_payload,
            Err(error) => Err(error.and_then(of_payload)),
        }
    }

    /// Replaces the payload's proxy, as its user.
    fn renew_proxy(&self, content: &[u8]) -> Result<()> {
        let sandbox = &self.sandbox;
        let name = self.proxy_name()?;
        match sandbox.found()? {
            Found::Theirs(owner) => {
                let mut agent = self.call_agent(&self.switcher_to(owner)?)?;
                match agent.put_proxy(name.name(), content) {
                    Ok(()) => {
                        agent.close();
                        Ok(())
                    }
                    Err(error) => Err(agent.fail(error)),
                }
            }
            // The sandbox has not changed hands yet, or has changed back.
            Found::Mine => tree::replace(
                &sandbox.place,
                &sandbox.open()?,
                &sandbox.path(),
                name.name(),
                content,
            ),
            // The job's directory is being taken back.
            Found::Nothing | Found::Placeholder | Found::Other(_) => Err(Error::refused(
                sandbox.path(),
                "the payload has no directory with this name any more",
            )),
        }
    }

    /// The name of the payload's proxy. A starter's sandbox has one proxy for the payload and the
    /// switcher.
    fn proxy_name(&self) -> Result<OwnedName> {
        if !self.is_pilots() {
            return Ok(self.sandbox.proxy.name().into());
        }
        Name::new(PROXY.as_bytes())
            .map(OwnedName::from)
            .ok_or_else(|| Error::refused(OsStr::new(PROXY), "it is no name of a file"))
    }
}
