//! Which account a credential has.
//!
//! - `grid_mapfile` and `ban`: by the subject of a proxy;
//! - `caller_map`: by the caller and the path of the credential;
//! - `target`: what these name, and which accounts may be a target;
//! - `gridmapdir`: the accounts of pools, and which subject has a lease of which;
//! - `credential_lease`: the same for credentials without a subject;
//! - `words`, `subject`: the form of the files.

pub(crate) mod ban;
pub(crate) mod caller_map;
pub(crate) mod credential_lease;
pub(crate) mod grid_mapfile;
pub(crate) mod gridmapdir;
mod subject;
pub(crate) mod target;
pub(crate) mod words;

use std::ffi::OsStr;
use std::fmt::Display;
use std::fs::File;
use std::path::Path;

use command::accounts::Account;
use command::location::Location;
use command::refusal::{Refusal, Result};
use error::Shown;

use self::credential_lease::Call;
use self::gridmapdir::{Gridmapdir, name, refusal};
use self::subject::Subject;
use self::target::Target;
pub use self::target::TargetAccount;
pub(crate) use self::target::may_be_target;
use crate::config::Config;
use crate::names::is_of_pool;
use crate::trusted;

/// What a credential is known by.
#[derive(Clone, Copy, Debug)]
pub enum Identity<'a> {
    /// The subject of a proxy that was verified, as `/C=…/O=…/CN=…`.
    Subject(&'a [u8]),
    /// The caller and its file.
    Caller {
        /// The account that calls.
        account: &'a Account,
        /// Where the credential is; the caller has shown that it may read it.
        credential: &'a Location,
    },
}

/// Whether two subjects are one: spellings of the same attribute do not count.
pub(crate) fn is_same_subject(one: &[u8], other: &[u8]) -> bool {
    Subject::new(one).matches(&Subject::new(other), false)
}

/// What a call asks for: `GLEXEC_MODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// An account, which is leased if that is necessary.
    GetAccount,
    /// The account that the credential has already; none is leased.
    VerifyAccount,
}

impl Mode {
    /// Reads the value of `GLEXEC_MODE`; without one an account is leased.
    pub fn from_variable(value: Option<&OsStr>) -> Result<Mode> {
        match value.and_then(OsStr::to_str) {
            None if value.is_none() => Ok(Mode::GetAccount),
            Some("" | "lcmaps_get_account") => Ok(Mode::GetAccount),
            Some("lcmaps_verify_account") => Ok(Mode::VerifyAccount),
            _ => Err(Refusal::client(
                "GLEXEC_MODE must be lcmaps_get_account or lcmaps_verify_account",
            )),
        }
    }
}

/// The account of a credential.
#[derive(Debug)]
pub struct Mapped {
    /// The account, which may be a target, and its groups.
    pub target: TargetAccount,
    /// For a lease that ends by itself: it does not end as long as a process has this open.
    pub lease: Option<File>,
}

/// Finds the account of a credential. 203: the subject is banned, the credential has no account, or
/// that one may not be used. 202: a map is not trusted or not understood, no account of the pool is
/// free, or accounts cannot be looked up.
///
/// It makes child processes: this process must have one thread, and must not ignore SIGCHLD.
pub fn map(config: &Config, identity: &Identity<'_>, mode: Mode) -> Result<Mapped> {
    match identity {
        Identity::Subject(subject) => {
            let target = of_subject(config, subject, mode)?;
            Ok(Mapped { target, lease: None })
        }
        Identity::Caller { account, credential } => of_caller(config, account, credential, mode),
    }
}

/// Refuses a subject that `ban_file` has.
pub(crate) fn check_ban(config: &Config, subject: &[u8]) -> Result<()> {
    let Some(path) = &config.ban_file else { return Ok(()) };
    let text = trusted::read(path, ban::LONGEST).map_err(refusal)?;
    ban::check(&text, path, subject)
}

fn of_subject(config: &Config, subject: &[u8], mode: Mode) -> Result<TargetAccount> {
    check_ban(config, subject)?;
    let path = &config.grid_mapfile;
    let text = trusted::read(path, grid_mapfile::LONGEST).map_err(refusal)?;
    let targets = grid_mapfile::find(&text, path, subject, config.grid_mapfile_wildcards)?;
    for target in &targets {
        match target {
            Target::Account(name) => return target::require(name, config),
            Target::Pool(prefix) => {
                if let Some(account) = of_pool(config, subject, prefix, &targets, mode)? {
                    return Ok(account);
                }
            }
        }
    }
    match targets.last() {
        Some(Target::Pool(prefix)) if mode == Mode::GetAccount => {
            Err(exhausted(prefix, &config.gridmapdir))
        }
        _ => Err(no_lease(&Shown(subject))),
    }
}

/// The account of a pool for a subject; none if no account is free, or the subject has none and
/// only asks for the one it has. A lease of another pool counts if the subject's line names it.
fn of_pool(
    config: &Config,
    subject: &[u8],
    prefix: &[u8],
    targets: &[Target],
    mode: Mode,
) -> Result<Option<TargetAccount>> {
    let lease = name::of_subject(subject)?;
    let directory = Gridmapdir::lock(&config.gridmapdir)?;
    let account = match directory.find(lease.name())? {
        None if mode == Mode::VerifyAccount => None,
        None => {
            let is_usable =
                |account: sys::Name<'_>| Ok(target::find(account.bytes(), config)?.is_ok());
            directory.take(prefix, |_| Ok(lease.clone()), is_usable, |_| Ok(()))?
        }
        found => found,
    };
    // What follows may ask the name service.
    drop(directory);
    let Some(account) = account else { return Ok(None) };
    let account = account.name().bytes();
    let is_listed = |target: &Target| match target {
        Target::Pool(prefix) => is_of_pool(account, prefix),
        Target::Account(_) => false,
    };
    if !targets.iter().any(is_listed) {
        return Err(Refusal::internal(format!(
            "{} has a lease of the account {}, which is of no pool that {} names for it: an \
             administrator must remove {}, once no process of the account runs",
            Shown(subject),
            Shown(account),
            Shown::os(&config.grid_mapfile),
            Shown::os(&config.gridmapdir.join(lease.name().os()))
        )));
    }
    target::require(account, config).map(Some)
}

fn of_caller(
    config: &Config,
    caller: &Account,
    credential: &Location,
    mode: Mode,
) -> Result<Mapped> {
    let path = &config.caller_map;
    let text = trusted::read(path, caller_map::LONGEST).map_err(refusal)?;
    match caller_map::find(&text, path, &caller.name, &credential.path)? {
        Target::Account(name) => {
            Ok(Mapped { target: target::require(&name, config)?, lease: None })
        }
        Target::Pool(prefix) => {
            let leased = Call { config, caller, credential }.acquire(&prefix, mode)?;
            let target = target::require(leased.account.name().bytes(), config)?;
            Ok(Mapped { target, lease: Some(leased.calls) })
        }
    }
}

fn exhausted(prefix: &[u8], directory: &Path) -> Refusal {
    Refusal::internal(format!(
        "no account of the pool .{} is free in {}: an administrator can add accounts, or remove \
         leases that are no longer used",
        Shown(prefix),
        Shown::os(directory)
    ))
}

pub(crate) fn no_lease(identity: &dyn Display) -> Refusal {
    Refusal::not_authorized(format!(
        "{identity} has no account to verify: GLEXEC_MODE=lcmaps_get_account leases one"
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    use command::Status;

    use super::target::Target;
    use super::{Mode, ban, caller_map, grid_mapfile};

    #[test]
    fn a_mode_is_one_of_two_words() {
        let mode = |value: &str| Mode::from_variable(Some(OsStr::new(value))).ok();
        assert_eq!(Mode::from_variable(None), Ok(Mode::GetAccount));
        assert_eq!((mode(""), mode("lcmaps_get_account")), (Some(Mode::GetAccount), mode("")));
        assert_eq!(mode("lcmaps_verify_account"), Some(Mode::VerifyAccount));
        assert_eq!((mode("verify"), mode("LCMAPS_GET_ACCOUNT")), (None, None));
        assert!(Mode::from_variable(Some(OsStr::from_bytes(b"\xff"))).is_err());
    }

    /// Lines of pieces that mean something to a parser, and of any bytes.
    fn hostile_text() -> Vec<u8> {
        const PIECES: [&[u8]; 16] = [
            b"\n", b" ", b"\"", b"\\", b"\\x4", b"#", b",", b".", b"/", b"*", b"=", b"[", b"\0",
            b"a", b"/CN=a", b"pool",
        ];
        let piece = |_| match fastrand::choice(PIECES).filter(|_| fastrand::u8(..8) > 0) {
            Some(piece) => piece.to_vec(),
            None => vec![fastrand::u8(..)],
        };
        (0..fastrand::usize(..60)).flat_map(piece).collect()
    }

    #[test]
    fn no_text_makes_a_map_name_what_cannot_be_an_account() {
        let path = Path::new("/map");
        let is_name = |target: &Target| {
            let (Target::Account(name) | Target::Pool(name)) = target;
            crate::names::is_account_name(name)
        };
        for _ in 0..20_000 {
            let text = hostile_text();
            let shown = text.escape_ascii();
            let (faults, banned) = (grid_mapfile::faults(&text), ban::faults(&text));
            if let Ok(targets) = grid_mapfile::find(&text, path, b"/CN=a", fastrand::bool()) {
                assert!(!targets.is_empty() && targets.iter().all(is_name), "{shown}");
            }
            if let Ok(target) = caller_map::find(&text, path, b"a", Path::new("/CN=a/b")) {
                assert!(is_name(&target), "{shown}");
            }
            // What `--check-config` does not complain of is understood by a call.
            let of_call = grid_mapfile::find(&text, path, b"/none", false).unwrap_err();
            assert!(!faults.is_empty() || of_call.status == Status::NotAuthorized, "{shown}");
            let of_call = ban::check(&text, path, b"none").map_err(|refusal| refusal.status);
            assert_eq!(of_call == Err(Status::Internal), !banned.is_empty(), "{shown}");
        }
    }
}
