//! Running one script to its end.
//!
//! ```text
//! the caller of this crate        waits for the report
//!   └─ keeper                     time limit; adopts and ends what the script leaves
//!        └─ script                its own session and process group
//! ```
//!
//! The keeper is a separate process for two reasons. It adopts orphans (PR_SET_CHILD_SUBREAPER), so
//! its descendants are exactly what the script has started, also what has left the script's session
//! and lost its parent; a caller may have other descendants, such as a payload's. And if the caller
//! is killed, the time limit still holds.

use std::ffi::CString;
use std::io::{Read as _, Write as _};
use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Duration;

use error::{Context as _, Error, Result};
use sys::fork::{self, Fork};
use sys::{Gid, Uid, fd, identity, process, wait};

use crate::keeper;
use crate::report::Report;
use crate::trust::{self, Owners};

/// A script or program, and how it runs: standard input, output and error from and to the null
/// device, unless its output is read; no other descriptor, except one of the script itself; default
/// signals, umask 022, in the root directory.
#[derive(Clone, Copy, Debug)]
pub struct Script<'a> {
    /// Its canonical path.
    pub path: &'a Path,
    /// Its arguments behind the path.
    pub arguments: &'a [CString],
    /// Who may own and change it ([`crate::trust::open`]).
    pub owners: Owners<'a>,
    /// The user and the group that it runs as, without supplementary groups; none: as this process.
    pub identity: Option<(Uid, Gid)>,
    /// Its whole environment.
    pub environment: &'a [CString],
    /// Its environment if the kernel says that the other one is too long.
    pub short_environment: &'a [CString],
    /// How long it may run. Then it gets SIGTERM.
    pub limit: Duration,
    /// The time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Reads its standard output, up to so many bytes, for the report. What follows is dropped.
    pub output: Option<usize>,
    /// A pipe at whose end the limit is over.
    pub stop: Option<BorrowedFd<'a>>,
    /// A descriptor that the keeper has open until the script, and all that it has started, has
    /// ended: a lock.
    pub held: Option<BorrowedFd<'a>>,
}

/// What the process that checks a script says if it is trusted: no message is so short.
const TRUSTED: &str = "+";

impl Script<'_> {
    /// Whether the script is trusted, as its user sees it: on a file system of the network, root
    /// may have fewer rights than that user. The script can still be changed before it runs: then
    /// it is examined again. This process must be as for [`Script::run`].
    pub fn check(&self) -> Result<()> {
        let step = "examine";
        let (mut reader, mut writer) = fd::pipe().at(step, self.path)?;
        let pid = match fork::fork().at(step, self.path)? {
            Fork::Child => {
                let why =
                    self.become_user().and_then(|()| trust::open(self.path, &self.owners)).err();
                let text = why.map_or(TRUSTED.to_owned(), |why| why.to_string());
                let _ = writer.write_all(text.as_bytes());
                process::_exit(0)
            }
            Fork::Parent(pid) => pid,
        };
        drop(writer);
        let mut told = Vec::new();
        let read = reader.read_to_end(&mut told);
        wait::wait(pid);
        read.at(step, self.path)?;
        match String::from_utf8_lossy(&told) {
            text if text == TRUSTED => Ok(()),
            text if text.is_empty() => Err(Error::refused(self.path, "its check was interrupted")),
            text => Err(Error::Usage { text: text.into_owned() }),
        }
    }

    /// Gives this process the identity of the script.
    pub(crate) fn become_user(&self) -> Result<()> {
        let Some((user, group)) = self.identity else { return Ok(()) };
        identity::become_user(user, group).at("become the user of", self.path)
    }

    /// Runs the script, and waits until it, and every process that it has started, has ended: what
    /// is left when it ends gets SIGKILL. A process that the kernel cannot end, because it waits
    /// for a device, is given up after another `grace`.
    ///
    /// The file is opened, examined and executed by descriptor, as the script's user, so a file
    /// that gets the path meanwhile is not executed. The interpreter of a script opens it by that
    /// descriptor, too: `$0` is `/dev/fd/N`.
    ///
    /// The error is of a step before that: no process could be made. This process must have one
    /// thread, and must not ignore SIGCHLD. Limits on resources are inherited.
    pub fn run(&self) -> Result<Report> {
        let step = "start a process for";
        let (mut reader, writer) = fd::pipe().at(step, self.path)?;
        let keeper = match fork::fork().at(step, self.path)? {
            Fork::Child => keeper::run(self, writer),
            Fork::Parent(pid) => pid,
        };
        drop(writer);
        let mut bytes = Vec::new();
        let read = reader.read_to_end(&mut bytes);
        wait::wait(keeper);
        read.at("read the report about", self.path)?;
        let killed = || Report::not_run("the process that watches it was killed: nothing is known");
        Ok(Report::from_bytes(&bytes).unwrap_or_else(killed))
    }
}
