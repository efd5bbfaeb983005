//! What a call asks for: its command, and the variables of its environment.

use std::ffi::OsString;
use std::path::PathBuf;

use ::command::refusal::{Refusal, Result};
use ::world::Spec;
use error::Shown;
use root::limits;
use root::world::{self, World};
use sys::{Uid, process};

use crate::command::check_command;
use crate::credential;
use crate::location::Location;
use crate::{installed, scripts};

/// A call whose command and variables are valid.
#[derive(Debug)]
pub(crate) struct Request {
    /// The program and its arguments: at least one word, and not empty.
    pub(crate) command: Vec<OsString>,
    /// The lease.
    pub(crate) wish: Wish,
    /// What the payload gets as its proxy, if anything (`GLEXEC_SOURCE_PROXY`).
    pub(crate) proxy: Option<Vec<u8>>,
    /// The absolute path of the payload's proxy, if the caller names one (`GLEXEC_TARGET_PROXY`).
    pub(crate) target: Option<PathBuf>,
    /// The directories of session scripts (`GLEXEC_SESSION_SCRIPTS`).
    pub(crate) scripts: Vec<PathBuf>,
    /// The payload's world, unless that is the shared one.
    pub(crate) world: Option<World>,
}

/// The lease that a call asks for.
#[derive(Debug)]
pub(crate) struct Wish {
    /// The credential.
    pub(crate) credential: Location,
    /// The user id that a new lease must have, if that matters (`GLEXEC_LEASE_UID`).
    pub(crate) wanted: Option<Uid>,
    /// The directory of the leases, if it is not the default one (`GLEXEC_STATE_DIR`).
    pub(crate) state_dir: Option<PathBuf>,
}

impl Request {
    /// Reads the environment, and the files that it names. A usage error if one of them cannot be
    /// used.
    pub(crate) fn read(command: Vec<OsString>, world: Spec) -> Result<Request> {
        check_command(&command)?;
        if variable(limits::VARIABLE).is_some() {
            return Err(Refusal::internal(format!(
                "{} cannot be enforced here: it is for the account daemon and for a glexec that is \
                 root's and set-user-ID; condor_glexec_pilot run has --memory, --pids and --cpus",
                limits::VARIABLE
            )));
        }
        let wish = Wish::read()?;
        let target = variable("GLEXEC_TARGET_PROXY").map(PathBuf::from);
        let proxy = match variable("GLEXEC_SOURCE_PROXY") {
            Some(source) if target.as_deref() != Some("/dev/null".as_ref()) => {
                Some(credential::read(source.as_ref())?)
            }
            _ => None,
        };
        match &target {
            Some(target) if proxy.is_some() && !target.is_absolute() => {
                return Err(Refusal::client(format!(
                    "GLEXEC_TARGET_PROXY is not an absolute path: {}",
                    Shown::os(target)
                )));
            }
            _ => {}
        }
        let scripts = match installed::is_operation(&command) {
            true => Vec::new(),
            false => scripts::directories(variable("GLEXEC_SESSION_SCRIPTS"))?,
        };
        let world = match installed::is_operation(&command) {
            // The helpers' own operations work on the machine.
            true => None,
            false => {
                let spec = world::asked(world, variable("GLEXEC_WORLD").as_deref(), false)?;
                World::of(spec, &command, process::geteuid())?
            }
        };
        Ok(Request { command, wish, proxy, target, scripts, world })
    }
}

impl Wish {
    /// Reads the environment. A usage error if there is no usable credential.
    pub(crate) fn read() -> Result<Wish> {
        Ok(Wish {
            credential: credential::find(variable)?,
            wanted: wanted()?,
            state_dir: variable("GLEXEC_STATE_DIR").map(PathBuf::from),
        })
    }
}

fn wanted() -> Result<Option<Uid>> {
    let Some(text) = variable("GLEXEC_LEASE_UID") else { return Ok(None) };
    match text.to_str().and_then(|text| text.parse().ok()) {
        Some(user) => Ok(Some(Uid::from_raw(user))),
        None => {
            Err(Refusal::client(format!("GLEXEC_LEASE_UID is not a user id: {}", Shown::os(&text))))
        }
    }
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}
