//! What a guest has left when its processes have ended: files in the directories where every user
//! may make files, objects of IPC, mail, and entries of cron and at. A process of the account
//! itself removes them, by directory descriptor, so no link leads it to a file of another user.

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::path::Path;
use std::time::{Duration, Instant};

use command::accounts::Account;
use command::query;
use sys::fork::{self, Fork};
use sys::signal::{self, SIGKILL};
use sys::{
    Dir, Errno, Kind, Name, OwnedName, Uid, fd, identity, inherited, ipc, prctl, process, stdio,
    wait,
};

/// The directories where every user may make files that no other user removes. /dev/shm has POSIX
/// shared memory (shm_overview(7)), /dev/mqueue POSIX message queues (mq_overview(7)).
const DIRECTORIES: [&str; 4] = ["/tmp", "/var/tmp", "/dev/shm", "/dev/mqueue"];

/// Directories of root's with a file for an account, under its name.
const BY_NAME: [&str; 4] =
    ["/var/mail", "/var/spool/mail", "/var/spool/cron/crontabs", "/var/spool/cron"];

/// The jobs of at(1), which belong to their users.
const BY_OWNER: [&str; 2] = ["/var/spool/cron/atjobs", "/var/spool/at"];

/// How long the removal may take.
const TIMEOUT: Duration = Duration::from_secs(120);

/// The most bytes of an answer.
const LONGEST: usize = 4096;

/// Why an account is not clean.
#[derive(Debug)]
pub(super) enum Unclean {
    /// Something stays that cannot be ended or removed.
    Left(String),
    /// It was not tried, or not to the end: the machine lacks something now, or a process was
    /// killed.
    Untried(String),
}

/// Removes all of it. The account has no process. The error names the first thing that stays.
pub(super) fn remove(account: &Account) -> Result<(), Unclean> {
    of_root(account).map_err(Unclean::Left)?;
    as_account(account)
}

/// Removes what the account cannot remove itself.
fn of_root(account: &Account) -> Result<(), String> {
    for path in BY_NAME {
        if let (Ok(dir), Some(name)) = (Dir::open(Path::new(path)), Name::new(&account.name)) {
            remove_file(&dir, name, path, account.user)?;
        }
    }
    for path in BY_OWNER {
        if let Ok(dir) = Dir::open(Path::new(path)) {
            for name in entries_of(&dir, account.user) {
                remove_file(&dir, name.name(), path, account.user)?;
            }
        }
    }
    Ok(())
}

/// Removes a regular file of the account.
fn remove_file(dir: &Dir, name: Name<'_>, path: &str, user: Uid) -> Result<(), String> {
    match dir.stat(name) {
        Ok(found) if found.uid() == user && found.kind() == Kind::File => {
            dir.remove_file(name).map_err(|cause| {
                format!("cannot remove {}: {cause}", Path::new(path).join(name.os()).display())
            })
        }
        _ => Ok(()),
    }
}

/// The entries of a directory that belong to a user.
fn entries_of(dir: &Dir, user: Uid) -> Vec<OwnedName> {
    let mut own = Vec::new();
    let _ = dir.for_each_entry(|name, _| {
        if dir.stat(name).is_ok_and(|stat| stat.uid() == user) {
            own.push(OwnedName::from(name));
        }
        Ok::<_, Errno>(())
    });
    own
}

/// Does the rest in a process of the account.
fn as_account(account: &Account) -> Result<(), Unclean> {
    let failed = |step: &str, cause: Errno| format!("cannot {step}: {cause}");
    let untried = |step: &'static str| move |cause| Unclean::Untried(failed(step, cause));
    let (reader, mut writer) = fd::pipe().map_err(untried("make a pipe"))?;
    let child = match fork::fork().map_err(untried("start a process"))? {
        Fork::Child => {
            let answer = match prepare(account, &writer) {
                Ok(()) => own_files(account.user).err().unwrap_or_default(),
                Err(cause) => failed("become the account", cause),
            };
            // The byte says that the work is done.
            let _ = writer.write_all(&[b".", answer.as_bytes()].concat());
            process::_exit(0)
        }
        Fork::Parent(child) => child,
    };
    drop(writer);
    let answer = query::read(reader, LONGEST, Instant::now() + TIMEOUT);
    let _ = signal::kill(child, SIGKILL);
    wait::wait(child);
    match answer.as_deref() {
        Ok([b'.']) => Ok(()),
        Ok([b'.', why @ ..]) => Err(Unclean::Left(String::from_utf8_lossy(why).into_owned())),
        Ok(_) => Err(Unclean::Untried(
            "the process that removes what the account has left was killed".to_owned(),
        )),
        Err(cause) => {
            Err(Unclean::Left(failed("remove what the account has left in time", *cause)))
        }
    }
}

fn prepare(account: &Account, writer: &std::fs::File) -> sys::Result<()> {
    process::chdir(Path::new("/"))?;
    stdio::redirect_to_null()?;
    inherited::release_all_but(&[writer.as_fd()])?;
    identity::become_user(account.user, account.group)?;
    prctl::clear_dumpable()
}

/// Removes what belongs to the user of this process.
fn own_files(user: Uid) -> Result<(), String> {
    let mut first = Ok(());
    for path in DIRECTORIES {
        // One that is missing has nothing, and one that the user may not read is closed to it.
        let Ok(dir) = Dir::open(Path::new(path)) else { continue };
        for name in entries_of(&dir, user) {
            if let Err(error) = tree::remove(&dir, name.name(), path) {
                first = first.and(Err(error.to_string()));
            }
        }
    }
    for object in ipc::objects_of(user) {
        if let Err(cause) = object.remove() {
            first = first.and(Err(format!("cannot remove {object}: {cause}")));
        }
    }
    first
}
