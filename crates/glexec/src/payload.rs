//! The payload's own process, from the moment that it has a namespace until it is executed. What
//! fails here is told to the caller.

use std::ffi::{CString, OsStr, OsString};
use std::fmt::Display;
use std::fs::File;
use std::io::Write as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use error::Shown;
use error::access::{why_closed, why_not_executed};
use sys::seccomp::{self, Openat2};
use sys::signal::SIGKILL;
use sys::{Errno, Gid, Pid, Uid, dir, fd, namespace, process, signal};

use super::refusal::{Refusal, Result, Status};

/// What is to be run.
#[derive(Debug)]
pub struct Payload {
    /// The program and its arguments; a program without a slash is looked for in [`PATH`].
    pub command: Vec<OsString>,
    /// The user and group that it gets.
    pub user: (Uid, Gid),
    /// A credential of its own.
    pub proxy: Option<Proxy>,
    /// The permission bits that its new files do not get.
    pub umask: u32,
    /// How many descriptors it may have (its soft limit, RLIMIT_NOFILE).
    pub descriptors: u64,
    /// Whether openat2(2) is left to it.
    pub openat2: Openat2,
}

/// A copy of a credential for the payload.
#[derive(Debug)]
pub struct Proxy {
    /// What it holds.
    pub content: Vec<u8>,
    /// Its absolute path.
    pub path: PathBuf,
    /// Whether nobody has asked for that path: then it goes with the payload.
    pub is_temporary: bool,
}

impl Proxy {
    /// Removes it, as the payload's user.
    pub fn remove(&self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

/// How messages name who is to run it.
const WHO: &str = "the payload's user";

/// The payload's PATH.
pub const PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// Becomes the payload, which does not outlive the process `above`. Returns only the reason why it
/// could not.
pub fn become_payload(payload: &Payload, above: Pid) -> Refusal {
    match prepare(payload, above) {
        Ok((program, arguments, environment)) => {
            let cause = process::execute(&program, &arguments, &environment);
            not_executed(OsStr::from_bytes(program.as_bytes()), cause)
        }
        Err(refusal) => refusal,
    }
}

type Prepared = (CString, Vec<CString>, Vec<CString>);

fn prepare(payload: &Payload, above: Pid) -> Result<Prepared> {
    // A security module may let a user namespace be made, and then withhold its capabilities.
    let failed = |step: &'static str| move |cause: Errno| Refusal::forbidden(step, cause);
    let (user, group) = payload.user;
    // Its own process group, and no way to the caller's terminal, into which it could type.
    process::setsid().map_err(failed("make a session for the payload"))?;
    // A keyring is charged to whom it is made by, and the payloads of this user may have used up
    // what that may have.
    let has_left_keys = process::leave_session_keyring().is_ok();
    namespace::become_user(user, group).map_err(failed("become the payload's user"))?;
    // Becoming another user may have undone that (proc_sys_fs(5), suid_dumpable).
    process::set_undumpable().map_err(failed("hide from others of the payload's user"))?;
    if !has_left_keys {
        process::leave_session_keyring().map_err(failed("leave the caller's keys"))?;
    }
    // After that, so that others of its user can still be started when one has as many as it may.
    process::limit_to_half().map_err(failed("limit the payload's processes"))?;
    namespace::renounce_new_privileges().map_err(failed("renounce new privileges"))?;
    namespace::die_with_parent(SIGKILL).map_err(failed("stay bound to the guard"))?;
    if process::parent() != above {
        process::exit(0);
    }
    signal::reset().map_err(failed("reset the signals"))?;
    fd::close_above_2_on_exec().map_err(failed("close what is not the payload's"))?;
    if let Some(proxy) = &payload.proxy {
        put_proxy(&proxy.content, &proxy.path)?;
    }
    enter_working_directory()?;
    process::set_umask(payload.umask);
    fd::set_soft_limit(payload.descriptors).map_err(failed("limit the payload's descriptors"))?;
    let c_string =
        |bytes: &[u8]| CString::new(bytes).map_err(|_| Refusal::client("an argument holds a NUL"));
    let program = find(&payload.command[0])?;
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

/// All that a payload gets of an environment. Its user has no entry in the account database: its
/// name is its number, its home the root directory, its shell the one that every machine has.
fn environment(payload: &Payload) -> Vec<OsString> {
    let (user, _) = payload.user;
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
    environment
}

/// The program's path: a name without a slash is looked for.
fn find(program: &OsStr) -> Result<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Ok(PathBuf::from(program));
    }
    let mut found = PATH.split(':').map(|directory| Path::new(directory).join(program));
    found.find(|path| process::may_execute(path)).ok_or_else(|| {
        Refusal::client(format!("{}: there is no such program in {PATH}", Shown::os(program)))
    })
}

/// Writes the payload's own credential: complete under another name, 0600, before it gets this one.
/// A link in its place is replaced.
fn put_proxy(content: &[u8], path: &Path) -> Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{:08x}", fastrand::u32(..)));
    let new = PathBuf::from(new);
    let created = File::options().write(true).create_new(true).mode(0o600).open(&new);
    let written = created
        .and_then(|mut file| file.write_all(content))
        .and_then(|()| std::fs::rename(&new, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&new);
        let why = process::first_closed(path)
            .map_or_else(String::new, |directory| format!(" ({})", why_closed(WHO, &directory)));
        Refusal::client(format!(
            "cannot write GLEXEC_TARGET_PROXY {} as the payload's user: {error}{why}",
            Shown::os(path)
        ))
    })
}

/// Enters the working directory again, by its path. The payload keeps it only if its user can get
/// there by itself: an open directory is a way to all that is in it, past what is closed above.
fn enter_working_directory() -> Result<()> {
    let path = std::env::current_dir().map_err(|error| not_there(Path::new("."), error))?;
    let identity = || dir::stat_path(Path::new(".")).map(|found| found.identity());
    let before = identity();
    process::chdir(&path).map_err(|cause| match process::first_closed(&path.join("any")) {
        Some(directory) => not_there(&path, why_closed(WHO, &directory)),
        None => not_there(&path, cause),
    })?;
    match (before, identity()) {
        (Ok(before), Ok(after)) if before == after => Ok(()),
        (Ok(_), Ok(_)) => Err(not_there(&path, "something else has that path")),
        (Err(cause), _) | (_, Err(cause)) => Err(not_there(&path, cause)),
    }
}

fn not_there(path: &Path, why: impl Display) -> Refusal {
    Refusal::client(format!(
        "the payload's user cannot be in the working directory {}: {why}",
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
