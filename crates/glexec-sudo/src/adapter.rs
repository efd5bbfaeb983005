//! From the call of this program to that of sudo: mistakes that can be seen are refused, and then
//! this process becomes sudo.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use command::accounts;
use command::refusal::{Refusal, Result, Status};
use error::Shown;
use sys::{Errno, access, exec, identity, inherited, prctl, process, signal};

use crate::map::Map;

/// The map, unless `GLEXEC_SUDO_MAP` names another one.
const MAP: &str = "/etc/glexec-sudo.map";

/// The sudo program, unless `GLEXEC_SUDO` names another one.
const SUDO: &str = "/usr/bin/sudo";

/// Becomes sudo, for a command and its arguments. Returns only the reason why it could not.
pub(crate) fn become_sudo(words: &[OsString]) -> Refusal {
    let command = match sudo_command(words) {
        Ok(command) => command,
        Err(refusal) => return refusal,
    };
    signal::default_sigpipe();
    let cause = exec::exec(&command);
    signal::ignore_sigpipe();
    match cause {
        Errno::E2BIG => Refusal::client(format!(
            "the command's arguments and the environment are too long: {cause}"
        )),
        cause => Refusal::internal(format!(
            "cannot execute {}: {cause}",
            Shown::os(command.get_program())
        )),
    }
}

/// The call of sudo, after all checks.
fn sudo_command(words: &[OsString]) -> Result<Command> {
    if identity::is_secure_execution() {
        return Err(Refusal::internal(
            "this program is set-user-ID or set-group-ID, or has capabilities: any caller would \
             get these rights; run chmod 0755 and setcap -r on it",
        ));
    }
    let program = program(words)?;
    let credential = credential()?;
    let map_path = std::env::var_os("GLEXEC_SUDO_MAP").unwrap_or_else(|| MAP.into());
    let map = Map::read(Path::new(&map_path))?;
    let sudo = sudo()?;
    let account = account(&map, Path::new(&map_path), &credential)?;
    refuse_no_program(program)?;
    inherited::set_cloexec_above_2().map_err(|cause| {
        Refusal::internal(format!("cannot close the descriptors above 2: {cause}"))
    })?;
    let mut command = Command::new(sudo);
    command.args(["-n", "-u"]).arg(OsStr::from_bytes(&account)).arg("--").args(words);
    Ok(command)
}

/// The command: the first word.
fn program(words: &[OsString]) -> Result<&Path> {
    match words.first() {
        Some(word) if word.as_bytes().starts_with(b"/") => Ok(Path::new(word)),
        None => Err(Refusal::client(
            "no command is given; usage: glexec-sudo <absolute command> [arg…] (see --help)",
        )),
        Some(word) => Err(Refusal::client(format!(
            "the command is not an absolute path: {}; usage: glexec-sudo <absolute command> \
             [arg…] (see --help)",
            Shown::os(word)
        ))),
    }
}

/// The credential's path. Its content is not read.
fn credential() -> Result<PathBuf> {
    let path = PathBuf::from(std::env::var_os("GLEXEC_CLIENT_CERT").unwrap_or_default());
    let shown = Shown::os(&path);
    if !path.is_absolute() {
        let text =
            format!("GLEXEC_CLIENT_CERT must be the absolute path of the credential: {shown}");
        return Err(Refusal::client(text));
    }
    let unusable = |why: &str| {
        Refusal::client(format!("GLEXEC_CLIENT_CERT is not a readable file: {shown}{why}"))
    };
    match path.metadata() {
        Ok(found) if found.is_file() && access::may_read(&path) => Ok(path),
        Ok(_) => Err(unusable("")),
        Err(error) => Err(unusable(&format!(" ({error})"))),
    }
}

/// The sudo program, if it exists and this process lets it work.
fn sudo() -> Result<PathBuf> {
    let path = PathBuf::from(std::env::var_os("GLEXEC_SUDO").unwrap_or_else(|| SUDO.into()));
    let shown = Shown::os(&path);
    if !path.is_absolute() {
        return Err(Refusal::internal(format!("GLEXEC_SUDO must be an absolute path: {shown}")));
    }
    if !access::may_execute(&path) {
        return Err(Refusal::internal(format!("there is no sudo program: {shown}")));
    }
    const SET_USER_ID: u32 = 0o4000;
    let gets_rights = path.metadata().is_ok_and(|found| found.mode() & SET_USER_ID != 0);
    if gets_rights && prctl::get_no_new_privs() {
        return Err(Refusal::internal(format!(
            "{shown} cannot work here: this process was started with no_new_privs, as inside \
             Apptainer and under some batch systems; have it started without (prctl(2), \
             PR_SET_NO_NEW_PRIVS)"
        )));
    }
    Ok(path)
}

/// The name of the account that the map gives: neither root's nor the caller's.
fn account(map: &Map, map_path: &Path, credential: &Path) -> Result<Vec<u8>> {
    let caller = process::geteuid();
    let shown = Shown::os(map_path);
    let Some(user) = accounts::of(caller)? else {
        return Err(Refusal::internal(format!(
            "the calling user, uid {caller}, has no account on this machine"
        )));
    };
    let user_shown = Shown(&user.name);
    let name = map.account(&user.name, credential)?;
    let Some(account) = accounts::named(name)? else {
        return Err(Refusal::internal(format!(
            "{shown} names an account that does not exist: {}",
            Shown(name)
        )));
    };
    match account.user {
        user if user.is_root() => Err(Refusal::not_authorized(format!(
            "{shown} maps {user_shown} to root ({})",
            Shown(name)
        ))),
        user if user == caller => {
            Err(Refusal::not_authorized(format!("{shown} maps {user_shown} to itself")))
        }
        _ => Ok(account.name),
    }
}

/// Refuses a command that no user can execute. A command that the caller can't see is left to sudo:
/// it may be in a directory that only its account can pass.
fn refuse_no_program(program: &Path) -> Result<()> {
    let shown = Shown::os(program);
    match program.metadata() {
        // An access list can't grant more than the group's bits, which are its mask (acl(5)).
        Ok(found) if found.is_file() && found.mode() & 0o111 != 0 => Ok(()),
        Ok(_) => Err(Refusal::new(Status::NotExecutable, format!("{shown}: not executable"))),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Err(Refusal::new(Status::NotFound, format!("{shown}: not found")))
        }
        Err(_) => Ok(()),
    }
}
