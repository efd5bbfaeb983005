//! The closed world of a payload: what the call and the configuration ask for, and the payload's
//! process on its way in. Both ways of `glexec` use it.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;

use ::world::{Closed, Home, Inhabitant, Opener, Spec};
use command::refusal::{Refusal, Result};
use error::Shown;
use sys::seccomp::Openat2;
use sys::{Gid, Uid};
use wire::Operation;

use crate::root_directory::Root;

/// A closed world, with all paths without symbolic links.
#[derive(Debug)]
pub struct World {
    closed: Closed,
    /// The sandbox that the command enters.
    sandbox: Option<PathBuf>,
    /// The programs that it needs for that.
    programs: Vec<PathBuf>,
    /// The root directory that the administrator gives it.
    root: Option<Root>,
    /// The name of its user.
    name: Option<String>,
}

/// The world that a call asks for: by its options, or by `GLEXEC_WORLD`, whose value this is. Both
/// can only restrict. `is_forced` is what the configuration says.
pub fn asked(options: Spec, variable: Option<&OsStr>, is_forced: bool) -> Result<Spec> {
    let variable = variable.filter(|value| !value.is_empty());
    match variable.map(OsStr::as_encoded_bytes) {
        Some(b"closed") => Ok(options.or_closed()),
        None | Some(b"shared") if is_forced => Ok(options.or_closed()),
        None | Some(b"shared") => Ok(options),
        Some(value) => {
            Err(Refusal::client(format!("GLEXEC_WORLD must be shared or closed: {}", Shown(value))))
        }
    }
}

impl World {
    /// The world of a payload; none if it is the shared one. To be called with the caller's rights,
    /// outside of a user namespace.
    pub fn of(spec: Spec, command: &[OsString], caller: Uid) -> Result<Option<World>> {
        let Spec::Closed(closed) = spec.resolve(caller)? else { return Ok(None) };
        let resolve = |path: &PathBuf| ::world::resolve(path, caller);
        let mut world =
            World { closed, sandbox: None, programs: Vec::new(), root: None, name: None };
        if let Some((agent, arguments)) = command.split_first() {
            if let Ok(Operation::Enter { sandbox, wrapper, .. }) = Operation::parse(arguments) {
                world.sandbox = Some(resolve(&sandbox)?);
                let programs = [PathBuf::from(agent), wrapper];
                world.programs = programs.iter().map(resolve).collect::<Result<_>>()?;
            }
        }
        Ok(Some(world))
    }

    /// The same world for a user of this name.
    #[must_use]
    pub fn with_name(self, name: &[u8]) -> World {
        World { name: String::from_utf8(name.to_vec()).ok(), ..self }
    }

    /// The same world with a root directory of the administrator's. An option of the caller's that
    /// shows more of the machine in it is refused: the directory confines the account.
    pub fn with_root(self, root: Root) -> Result<World> {
        let Closed { writable, read_only, bind, root: own, devices, .. } = &self.closed;
        let more = [
            (!writable.is_empty(), "--writable"),
            (!read_only.is_empty(), "--read-only"),
            (!bind.is_empty(), "--bind"),
            (own.is_some(), "--root"),
            (!devices.is_empty(), "--device"),
        ];
        match more.iter().find(|(is_given, _)| *is_given) {
            Some((_, option)) => Err(Refusal::not_authorized(format!(
                "{option} cannot be used: the administrator gives the account the root {}",
                Shown::os(&root.directory)
            ))),
            None => Ok(World { root: Some(root), ..self }),
        }
    }

    /// Puts this process into the world of a payload with these ids: see [`::world::enter`].
    pub fn enter(
        &self,
        (user, group): (Uid, Gid),
        has_pid_namespace: bool,
        opener: Opener<'_>,
    ) -> Result<Home> {
        let inhabitant = Inhabitant {
            user,
            group,
            name: self.name.clone(),
            sandbox: self.sandbox.clone(),
            programs: self.programs.clone(),
            has_pid_namespace,
            root: self.root.as_ref().map(|root| root.directory.clone()),
            mounts: self.root.as_ref().map(|root| root.mounts.clone()).unwrap_or_default(),
        };
        ::world::enter(&self.closed, &inhabitant, opener)
    }

    /// Restricts what this process can ask of the kernel, as the last step before the command.
    /// [`sys::prctl::set_no_new_privs`] comes before.
    pub fn restrict(&self, openat2: Openat2) -> sys::Result<()> {
        ::world::filter::restrict(self.closed.nested, openat2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_and_the_configuration_can_only_restrict() {
        let of = |spec, variable: Option<&str>, is_forced| {
            asked(spec, variable.map(OsStr::new), is_forced).map(|spec| spec.is_closed())
        };
        let closed = || Spec::Shared.or_closed();
        assert_eq!(of(Spec::Shared, None, false), Ok(false));
        assert_eq!(of(Spec::Shared, Some(""), false), Ok(false));
        assert_eq!(of(closed(), Some("shared"), false), Ok(true));
        assert_eq!(of(Spec::Shared, Some("closed"), false), Ok(true));
        assert_eq!(of(Spec::Shared, Some("shared"), true), Ok(true));
        assert!(of(Spec::Shared, Some("open"), false).is_err());
    }
}
