//! The payload's process, from the moment that it has a namespace until it executes the command.
//! The caller is told what fails here.

use std::ffi::{CString, OsStr, OsString};
use std::fmt::Display;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use command::executable;
use command::refusal::{Refusal, Result, Status};
use error::Shown;
use error::access::{why_not_executed, why_unsearchable};
use sys::seccomp::{self, Openat2};
use sys::signal::{self, SIGKILL};
use sys::{Errno, Pid, access, dir, exec, identity, inherited, keyring, prctl, process, rlimit};

use crate::ranges::Ids;
use crate::replace::replace;
use crate::request::Request;
use crate::{installed, restrictions};

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
}

/// A copy of a credential for the payload.
#[derive(Debug)]
pub(crate) struct Proxy {
    content: Vec<u8>,
    /// Its absolute path.
    path: PathBuf,
    /// Whether the caller has not named the path: then it is removed after the payload.
    pub(crate) is_temporary: bool,
}

impl Proxy {
    /// Removes it. To be called as the payload's user.
    pub(crate) fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Payload {
    /// The payload of a request, with these ids and limits.
    pub(crate) fn new(request: Request, ids: Ids, umask: u32, descriptors: u64) -> Payload {
        let Request { command, proxy, target, .. } = request;
        let is_temporary = target.is_none();
        let random =
            || format!("/tmp/x509up_u{}.glexec.{:08x}", ids.user, fastrand::u32(..)).into();
        let path = target.unwrap_or_else(random);
        let openat2 = installed::openat2_for(&command);
        let proxy = proxy.map(|content| Proxy { content, path, is_temporary });
        Payload { command, ids, proxy, umask, descriptors, openat2 }
    }
}

/// How messages name the user who runs the command.
const WHO: &str = "the payload's user";

/// The payload's PATH.
pub(crate) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Becomes the payload, which does not outlive the process `above`. Returns only the reason why it
/// could not.
pub(crate) fn become_payload(payload: &Payload, above: Pid) -> Refusal {
    match prepare(payload, above) {
        Ok((program, arguments, environment)) => {
            let cause = exec::execve(&program, &arguments, &environment);
            not_executed(OsStr::from_bytes(program.as_bytes()), cause)
        }
        Err(refusal) => refusal,
    }
}

type Prepared = (CString, Vec<CString>, Vec<CString>);

fn prepare(payload: &Payload, above: Pid) -> Result<Prepared> {
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
        put_proxy(&proxy.content, &proxy.path)?;
    }
    enter_working_directory()?;
    process::umask(payload.umask);
    rlimit::set_nofile(payload.descriptors).map_err(failed("limit the payload's descriptors"))?;
    let c_string =
        |bytes: &[u8]| CString::new(bytes).map_err(|_| Refusal::client("an argument holds a NUL"));
    let program = search(&payload.command[0])?;
    let arguments =
        payload.command.iter().map(|word| c_string(word.as_bytes())).collect::<Result<_>>()?;
    let environment = environment(payload)
        .iter()
        .map(|entry| c_string(entry.as_bytes()))
        .collect::<Result<_>>()?;
    seccomp::forbid_set_id_files(payload.openat2)
        .map_err(failed("keep the payload from making set-user-ID files (seccomp(2))"))?;
    Ok((c_string(program.as_os_str().as_bytes())?, arguments, environment))
}

/// The variable of the caller's that the payload gets: an environment that glexec_wrapenv has made.
const WRAPPED_ENVIRONMENT: &str = "GLEXEC_ENV";

/// The payload's whole environment. Its user has no entry in the account database: the name is the
/// number, the home is the root directory, the shell is one that every machine has.
fn environment(payload: &Payload) -> Vec<OsString> {
    let user = payload.ids.user;
    let mut environment: Vec<OsString> = [
        format!("USER={user}"),
        format!("LOGNAME={user}"),
        "HOME=/".into(),
        "SHELL=/bin/sh".into(),
        format!("PATH={PATH}"),
    ]
    .map(OsString::from)
    .into();
    if let Some(proxy) = &payload.proxy {
        let mut entry = OsString::from("X509_USER_PROXY=");
        entry.push(&proxy.path);
        environment.push(entry);
    }
    if let Some(value) = std::env::var_os(WRAPPED_ENVIRONMENT) {
        let mut entry = OsString::from(format!("{WRAPPED_ENVIRONMENT}="));
        entry.push(value);
        environment.push(entry);
    }
    environment
}

/// The program's path: a name without a slash is searched for in [`PATH`].
fn search(program: &OsStr) -> Result<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(program));
    }
    executable::find(program, PATH.split(':').map(PathBuf::from)).ok_or_else(|| {
        Refusal::client(format!("{}: there is no such program in {PATH}", Shown::os(program)))
    })
}

/// Writes the payload's proxy. Its directory can be one where other users can make names: so the
/// temporary name is random.
fn put_proxy(content: &[u8], path: &Path) -> Result<()> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(format!(".{:08x}", fastrand::u32(..)));
    replace(path, temporary.as_ref(), content).map_err(|error| {
        let why = access::first_unsearchable(path).map_or_else(String::new, |directory| {
            format!(" ({})", why_unsearchable(WHO, &directory))
        });
        Refusal::client(format!(
            "cannot write GLEXEC_TARGET_PROXY {} as the payload's user: {error}{why}",
            Shown::os(path)
        ))
    })
}

/// Enters the working directory by its path, as the payload's user. An open directory would give
/// access to all below it, also where that user cannot pass a directory above it.
fn enter_working_directory() -> Result<()> {
    let path = std::env::current_dir().map_err(|error| cannot_enter(Path::new("."), error))?;
    let identity = || dir::lstat(Path::new(".")).map(|found| found.identity());
    let before = identity();
    process::chdir(&path).map_err(|cause| match access::first_unsearchable(&path.join("any")) {
        Some(directory) => cannot_enter(&path, why_unsearchable(WHO, &directory)),
        None => cannot_enter(&path, cause),
    })?;
    match (before, identity()) {
        (Ok(before), Ok(after)) if before == after => Ok(()),
        (Ok(_), Ok(_)) => Err(cannot_enter(&path, "another directory has that path")),
        (Err(cause), _) | (_, Err(cause)) => Err(cannot_enter(&path, cause)),
    }
}

fn cannot_enter(path: &Path, why: impl Display) -> Refusal {
    Refusal::client(format!(
        "the payload's user cannot enter the working directory {}: {why}",
        Shown::os(path)
    ))
}

/// Why a program was not executed, and what to do.
fn not_executed(program: &OsStr, cause: Errno) -> Refusal {
    let status = match cause {
        Errno::EAGAIN | Errno::ENOMEM | Errno::EIO | Errno::EMFILE | Errno::ENFILE => {
            Status::Internal
        }
        _ => Status::Client,
    };
    let why = why_not_executed(WHO, Path::new(program), cause).unwrap_or_else(|| cause.to_string());
    Refusal { status, text: format!("cannot execute {}: {why}", Shown::os(program)) }
}
