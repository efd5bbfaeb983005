//! What the commands share: their caller, the configuration, operands and the answer.

use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use command::program::{Options, Program, print};
use command::refusal::{Refusal, Result};
use error::Shown;
use root::accounts::audit;
use root::accounts::list::AccountList;
use root::config::{Config, ConfigError};
use sys::{Uid, process};

/// Refuses a caller that is not root: the files are root's.
pub(crate) fn require_root() -> Result<()> {
    match process::geteuid().is_root() {
        true => Ok(()),
        false => Err(Refusal::client("it must run as root: use sudo")),
    }
}

/// The configuration, as the daemon has it: the defaults if there is no file. The audit of this
/// process is that of the configuration.
pub(crate) fn configuration() -> Result<Config> {
    let config = match Config::load() {
        Err(ConfigError::Missing) => Config::default(),
        loaded => loaded?,
    };
    audit::set_file(config.audit_file.clone());
    Ok(config)
}

/// The operands, at least `least` and at most `most` of them.
pub(crate) fn operands<'a>(
    options: &'a Options,
    program: &Program,
    least: usize,
    most: usize,
) -> Result<&'a [OsString]> {
    let words = options.command();
    match (least..=most).contains(&words.len()) {
        true => Ok(words),
        false => Err(Refusal::client(program.usage())),
    }
}

/// The user that the audit names for a change: the one that has logged in, if the kernel knows it
/// (loginuid, pam_loginuid(8)), else the caller.
pub(crate) fn by() -> Uid {
    let login = std::fs::read_to_string("/proc/self/loginuid").unwrap_or_default();
    let login = login.trim_end().parse().ok().filter(|uid| *uid != u32::MAX);
    login.map_or_else(process::geteuid, Uid::from_raw)
}

/// Makes the directory of the lists, if it does not exist.
pub(crate) fn make_directory() -> Result<()> {
    let path = Path::new(AccountList::PATH);
    let path = path.parent().unwrap_or(path);
    match DirBuilder::new().mode(0o755).create(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => {
            Err(Refusal::internal(format!("cannot make {}: {error}", Shown::os(path))))
        }
        _ => Ok(()),
    }
}

/// Prints what a command has to say.
pub(crate) fn answer(text: &str) {
    print(text);
}
