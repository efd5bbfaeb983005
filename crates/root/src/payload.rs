//! The payload's process: from root's rights to the command, in this order. What fails here is told
//! to the process above, and nothing is executed.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use ::world::{Home, Opener};
use cgroup::Cgroup;
use command::payload::{self as steps, Proxy};
use command::refusal::{Refusal, Result, Status};
use error::Shown;
use sys::rlimit::SavedLimits;
use sys::scheduling::Scheduling;
use sys::seccomp::Openat2;
use sys::signal::SIGKILL;
use sys::switch::{self, Identity};
use sys::{Errno, Pid, affinity, exec, inherited, keyring, prctl, process, signal};

use crate::limits::Plan;
use crate::world::World;

/// A command, and what its process gets.
#[derive(Debug)]
pub struct Payload {
    /// The program and its arguments: at least one word, and not empty.
    pub command: Vec<OsString>,
    /// The file to execute, where the caller's word must not decide: the agent.
    pub program: Option<PathBuf>,
    /// The directories in which a program without a slash is searched for.
    pub path: OsString,
    /// Whom it runs as.
    pub target: Identity,
    /// Who has called, and may not come back.
    pub caller: Identity,
    /// Its environment.
    pub environment: Vec<OsString>,
    /// Its proxy.
    pub proxy: Option<Proxy>,
    /// The permission bits that its new files do not get.
    pub umask: u32,
    /// Its limits.
    pub limits: SavedLimits,
    /// What its process gets instead of what this one has of the kind, if anything.
    pub scheduling: Option<Scheduling>,
    /// The cgroup that its process makes and joins.
    pub cgroup: Option<Cgroup>,
    /// By what its limits are enforced.
    pub plan: Plan,
    /// Its world, unless that is the shared one.
    pub world: Option<World>,
}

impl Payload {
    /// Becomes the target and executes the command. With `above`, the kernel kills it when that
    /// process, its parent, ends. Returns only the reason why it could not.
    pub(crate) fn execute(&self, above: Option<Pid>) -> Refusal {
        match self.prepare(above) {
            Ok((program, arguments, environment)) => {
                let cause = exec::execve(&program, &arguments, &environment);
                not_executed(Path::new(OsStr::from_bytes(program.as_bytes())), cause)
            }
            Err(refusal) => refusal,
        }
    }

    fn prepare(&self, above: Option<Pid>) -> Result<(CString, Vec<CString>, Vec<CString>)> {
        let failed = |step: &'static str| {
            move |cause: Errno| Refusal::internal(format!("cannot {step}: {cause}"))
        };
        // As root. Nothing that the process starts later is outside of the cgroup.
        if let Some(cgroup) = &self.cgroup {
            cgroup
                .join(&self.plan.by_cgroup)
                .map_err(|error| Refusal::internal(error.to_string()))?;
        }
        if let Some(scheduling) = &self.scheduling {
            scheduling.set().map_err(failed("set how the payload is scheduled"))?;
        }
        if let Some(processors) = self.plan.processors {
            affinity::narrow(processors, fastrand::usize(..))
                .map_err(failed("choose the processors of the payload"))?;
        }
        // A payload on the caller's terminal could type into it.
        process::leave_terminal().map_err(failed("leave the caller's terminal"))?;
        keyring::join_new_session_keyring()
            .map_err(failed("leave the caller's session keyring"))?;
        inherited::set_cloexec_above_2().map_err(failed("close descriptors above 2"))?;
        let ids = (self.target.user, self.target.group);
        let home = self.world.as_ref().map(|world| {
            // Its paths are the caller's: they are opened with the caller's rights.
            world.enter(ids, false, Opener::User(&self.caller))
        });
        let home = home.transpose()?;
        switch::become_for_good(&self.target, &self.caller)
            .map_err(failed("become the payload's user for good"))?;
        // As the target. Other processes of that user must not trace this one, which has read the
        // caller's credential.
        prctl::clear_dumpable()
            .map_err(failed("hide this process from others of the payload's user"))?;
        if let Some(above) = above {
            prctl::set_pdeathsig(SIGKILL)
                .map_err(failed("ask for a signal at the end of glexec"))?;
            if process::getppid() != above {
                process::_exit(0);
            }
        }
        if let Some(proxy) = &self.proxy {
            proxy.write()?;
        }
        steps::enter_working_directory()?;
        let program = match &self.program {
            Some(program) => program.clone(),
            None => self.search()?,
        };
        let words = [&[program.into_os_string()], &self.command[..]].concat();
        let mut words = steps::c_strings(&words)?;
        let arguments = words.split_off(1);
        let environment = steps::c_strings(&with_home(&self.environment, home))?;
        let program = words.pop().ok_or_else(|| Refusal::client("the command is empty"))?;
        // The caller's settings last: they may be too narrow for what comes before.
        process::umask(self.umask);
        self.limits.restore().map_err(failed("set the caller's limits again"))?;
        signal::reset_all().map_err(failed("reset the signals"))?;
        if let Some(world) = &self.world {
            prctl::set_no_new_privs().map_err(failed("renounce new privileges"))?;
            world
                .restrict(Openat2::Unavailable)
                .map_err(failed("restrict the system calls of the payload (seccomp(2))"))?;
        }
        Ok((program, arguments, environment))
    }

    fn search(&self) -> Result<PathBuf> {
        steps::search(&self.command[0], &self.path).ok_or_else(|| {
            let (program, path) = (Shown::os(&self.command[0]), Shown::os(&self.path));
            Refusal::new(Status::NotFound, format!("{program}: there is no such program in {path}"))
        })
    }
}

/// The environment, with the home of the world, where there is one: the account's is hidden.
fn with_home(environment: &[OsString], home: Option<Home>) -> Vec<OsString> {
    let mut environment = environment.to_vec();
    if let Some(home) = home {
        environment.retain(|entry| !entry.as_bytes().starts_with(b"HOME="));
        let mut entry = OsString::from("HOME=");
        entry.push(home.path);
        environment.push(entry);
    }
    environment
}

/// Why a program was not executed: 127 if there is none, 126 if it cannot be executed.
fn not_executed(program: &Path, cause: Errno) -> Refusal {
    let status = match cause {
        cause if steps::is_shortage(cause) => Status::Internal,
        Errno::ENOENT | Errno::ENOTDIR if !program.exists() => Status::NotFound,
        _ => Status::NotExecutable,
    };
    Refusal::new(status, steps::not_executed(program, cause))
}
