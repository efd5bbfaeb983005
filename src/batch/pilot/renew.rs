//! Renewing, from outside, what a running payload and its switcher have: each has a credential of
//! its own.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

use error::{Error, Result};
use sys::{Name, OwnedName};

use super::recover::{AbandonedSandbox, greeted};
use super::{CREDENTIAL, PROXY};
use crate::batch::sandbox::{Found, Retained};

/// What is to be replaced; none stays as it is.
#[derive(Debug, Default)]
pub struct New {
    /// The content of the switcher's credential.
    pub credential: Option<Vec<u8>>,
    /// The content of the payload's proxy.
    pub proxy: Option<Vec<u8>>,
}

impl AbandonedSandbox {
    /// Replaces them. The switcher's comes first: the call for the other one may need it.
    pub fn renew(&self, new: &New) -> Result<()> {
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

    /// Replaces the payload's own, as its user.
    fn renew_proxy(&self, content: &[u8]) -> Result<()> {
        let sandbox = &self.sandbox;
        let name = self.proxy()?;
        match sandbox.found()? {
            Found::Theirs(owner) => {
                let mut agent = greeted(&self.switcher_to(Some(owner))?, sandbox)?;
                match agent.put_proxy(name.name(), content) {
                    Ok(()) => {
                        agent.close();
                        Ok(())
                    }
                    Err(error) => Err(agent.fail(error).error()),
                }
            }
            // It has not changed hands yet, or has changed back.
            Found::Mine => {
                sandbox.place.replace(&sandbox.open()?, &sandbox.path(), name.name(), content)
            }
            Found::Nothing | Found::Other(_) => Err(Error::refused(
                sandbox.path(),
                "the payload has no directory of that name any more",
            )),
        }
    }

    /// The name of the payload's proxy: what a starter has set up has one for both.
    fn proxy(&self) -> Result<OwnedName> {
        match self.sandbox.proxy.name() {
            name if name.bytes() != CREDENTIAL.as_bytes() => Ok(name.into()),
            _ => Name::new(PROXY.as_bytes()).map(OwnedName::from).ok_or_else(|| {
                Error::refused(OsStr::from_bytes(PROXY.as_bytes()), "it is no name of a file")
            }),
        }
    }
}
