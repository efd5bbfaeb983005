//! The payload's process, from the moment that it has a namespace until it executes the command.
//! The caller is told what fails here.

use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use command::payload::{
    self, PATH, Proxy, c_strings, enter_working_directory, is_shortage, search,
};
use command::refusal::{Refusal, Result, Status};
use error::Shown;
use hooks::session::changes::Changes;
use root::world::World;
use sys::seccomp::{self, Openat2};
use sys::signal::{self, SIGKILL};
use sys::{Errno, Pid, exec, identity, inherited, keyring, prctl, process, rlimit};
use world::{Home, Opener};

use crate::ranges::Ids;
use crate::request::Request;
use ::world::restrictions;

use crate::installed;

/// A command, and what its process gets.
#[derive(Debug)]
pub(crate) struct Payload {
    /// The program and its arguments; a program without a slash is searched for in [`PATH`].
    command: Vec<OsString>,
    /// Its user id and group id.
    pub(crate) ids: Ids,
    /// Its proxy.
    pub(crate) proxy: Option<Proxy>,
    /// The permission bits that its new files do not get.
    umask: u32,
    /// How many descriptors it may have (the soft limit, RLIMIT_NOFILE).
    descriptors: u64,
    /// Whether it may use openat2(2).
    openat2: Openat2,
    /// What session scripts have changed in its environment.
    pub(crate) changes: Changes,
    /// Its world, unless that is the shared one.
    pub(crate) world: Option<World>,
}

impl Payload {
    /// The payload of a request, with these ids and limits.
    pub(crate) fn new(request: Request, ids: Ids, umask: u32, descriptors: u64) -> Payload {
        let Request { command, proxy, target, world, .. } = request;
        let openat2 = installed::openat2_for(&command);
        let proxy = proxy.map(|content| Proxy::new(content, target, ids.user));
        let changes = Changes::default();
        Payload { command, ids, proxy, umask, descriptors, openat2, changes, world }
    }
}

/// Becomes the payload, which does not outlive the process `above`. Returns only the reason why it
/// could not.
pub(crate) fn become_payload(payload: &Payload, above: Pid) -> Refusal {
    match prepare(payload, above) {
        Ok((program, arguments, environment)) => {
            let cause = exec::execve(&program, &arguments, &environment);
            not_executed(Path::new(OsStr::from_bytes(program.as_bytes())), cause)
        }
        Err(refusal) => refusal,
    }
}

type Prepared = (CString, Vec<CString>, Vec<CString>);

fn prepare(payload: &Payload, above: Pid) -> Result<Prepared> {
    // First, since it needs the rights of the namespace's root.
    let home = payload.world.as_ref();
    let ids = (payload.ids.user, payload.ids.group);
    let home = home.map(|world| world.enter(ids, true, Opener::This)).transpose()?;
    // A security module may let a user namespace be made, and then withhold its capabilities.
    let failed = |step: &'static str| move |cause: Errno| restrictions::forbidden(step, cause);
    let Ids { user, group } = payload.ids;
    // A separate process group, and no access to the caller's terminal, where it could insert
    // input.
    process::setsid().map_err(failed("make a session for the payload"))?;
    // A keyring counts as its maker's, and payloads of this user can have used up that user's
    // quota: so first as the caller.
    let has_left_keys = keyring::join_new_session_keyring().is_ok();
    identity::become_user(user, group).map_err(failed("become the payload's user"))?;
    // The change of user can have made the process dumpable (proc_sys_fs(5), suid_dumpable).
    prctl::clear_dumpable()
        .map_err(failed("hide this process from others of the payload's user"))?;
    if !has_left_keys {
        keyring::join_new_session_keyring()
            .map_err(failed("leave the caller's session keyring"))?;
    }
    // After that: when one payload of this user has as many processes as it may have, another one
    // can still be started.
    rlimit::halve_nproc().map_err(failed("limit the payload's processes"))?;
    prctl::set_no_new_privs().map_err(failed("renounce new privileges"))?;
    prctl::set_pdeathsig(SIGKILL).map_err(failed("ask for a signal at the end of the guard"))?;
    if process::getppid() != above {
        process::_exit(0);
    }
    signal::reset_all().map_err(failed("reset the signals"))?;
    inherited::set_cloexec_above_2().map_err(failed("close descriptors above 2"))?;
    if let Some(proxy) = &payload.proxy {
        proxy.write()?;
    }
    enter_working_directory()?;
    process::umask(payload.umask);
    rlimit::set_nofile(payload.descriptors).map_err(failed("limit the payload's descriptors"))?;
    let first = &payload.command[0];
    let program = search(first, PATH.as_ref()).ok_or_else(|| {
        Refusal::client(format!("{}: there is no such program in {PATH}", Shown::os(first)))
    })?;
    let program = CString::new(program.as_os_str().as_bytes())
        .map_err(|_| Refusal::client("the command holds a NUL"))?;
    let (arguments, environment) =
        (c_strings(&payload.command)?, c_strings(&environment(payload, home.as_ref()))?);
    match &payload.world {
        Some(world) => world.restrict(payload.openat2),
        None => seccomp::forbid_set_id_files(payload.openat2),
    }
    .map_err(failed("restrict the system calls of the payload (seccomp(2))"))?;
    Ok((program, arguments, environment))
}

/// The variable of the caller's that the payload gets: an environment that glexec_wrapenv has made.
const WRAPPED_ENVIRONMENT: &str = "GLEXEC_ENV";

/// The payload's whole environment. In the shared world its user has no entry in the account
/// database: the name is the number, the home is the root directory. The shell is one that every
/// machine has.
fn environment(payload: &Payload, home: Option<&Home>) -> Vec<OsString> {
    let name = home.map_or_else(|| payload.ids.user.to_string(), |home| home.name.clone());
    let mut environment: Vec<OsString> = [
        format!("USER={name}"),
        format!("LOGNAME={name}"),
        "SHELL=/bin/sh".into(),
        format!("PATH={PATH}"),
    ]
    .map(OsString::from)
    .into();
    let mut entry = OsString::from("HOME=");
    entry.push(home.map_or("/".as_ref(), |home| home.path.as_os_str()));
    environment.push(entry);
    if let Some(proxy) = &payload.proxy {
        environment.push(proxy.variable());
    }
    if let Some(value) = std::env::var_os(WRAPPED_ENVIRONMENT) {
        let mut entry = OsString::from(format!("{WRAPPED_ENVIRONMENT}="));
        entry.push(value);
        environment.push(entry);
    }
    payload.changes.apply(&mut environment);
    environment
}

/// Why a program was not executed, and what to do.
fn not_executed(program: &Path, cause: Errno) -> Refusal {
    let status = if is_shortage(cause) { Status::Internal } else { Status::Client };
    Refusal::new(status, payload::not_executed(program, cause))
}
