//! The closed world of a payload without privilege: what the call asks for, and the payload's
//! process on its way in.

use std::ffi::OsString;
use std::path::PathBuf;

use ::world::{Closed, Home, Inhabitant, Opener, Spec};
use command::refusal::Result;
use sys::process;
use sys::seccomp::Openat2;
use wire::Operation;

use crate::installed;
use crate::ranges::Ids;

/// A closed world, with all paths without symbolic links.
#[derive(Debug)]
pub(crate) struct World {
    closed: Closed,
    /// The sandbox that the command enters.
    sandbox: Option<PathBuf>,
    /// The programs that it needs for that.
    programs: Vec<PathBuf>,
}

impl World {
    /// The world of a command; none if it is the shared one. The helpers' own operations have that:
    /// they work on the machine. To be called with the caller's rights.
    pub(crate) fn of(spec: Spec, command: &[OsString]) -> Result<Option<World>> {
        let caller = process::geteuid();
        if installed::is_operation(command) {
            return Ok(None);
        }
        let Spec::Closed(closed) = spec.resolve(caller)? else { return Ok(None) };
        let resolve = |path: &PathBuf| ::world::resolve(path, caller);
        let mut world = World { closed, sandbox: None, programs: Vec::new() };
        if let Some((agent, arguments)) = command.split_first() {
            if let Ok(Operation::Enter { sandbox, wrapper, .. }) = Operation::parse(arguments) {
                world.sandbox = Some(resolve(&sandbox)?);
                let programs = [PathBuf::from(agent), wrapper];
                world.programs = programs.iter().map(resolve).collect::<Result<_>>()?;
            }
        }
        Ok(Some(world))
    }

    /// Puts this process, which is the root of its user namespace, into the world of a payload with
    /// these ids.
    pub(crate) fn enter(&self, ids: Ids) -> Result<Home> {
        let inhabitant = Inhabitant {
            user: ids.user,
            group: ids.group,
            sandbox: self.sandbox.clone(),
            programs: self.programs.clone(),
            has_pid_namespace: true,
        };
        ::world::enter(&self.closed, &inhabitant, Opener::This)
    }

    /// Restricts what this process can ask of the kernel, as the last step before the command.
    pub(crate) fn restrict(&self, openat2: Openat2) -> sys::Result<()> {
        ::world::filter::restrict(self.closed.nested, openat2)
    }
}
