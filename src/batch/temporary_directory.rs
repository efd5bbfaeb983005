//! A temporary directory of the payload's user, as gLExec's `mkgltempdir` makes it.
//!
//! The payload's user owns the inner directory; it is in an outer directory of the caller's. The
//! outer directory is made below one that any user can write to, such as /tmp: no other user can
//! exchange what is in it.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use error::access::why_unsearchable;
use error::{Context as _, Error, Result, Shown};
use sys::{Dir, Errno, Kind, Name, OwnedName, access, dir, process};

use super::switcher::{find_in_path, installed_program, run_command};

/// How the names of outer directories begin; 16 random hexadecimal digits follow.
const PREFIX: &str = "gltmpdir.";

/// The mode of the outer directory while the payload's user makes the inner one: any user can make
/// names, but only the owner of a name can remove or rename it, and no other user sees the names.
const OPEN: u32 = 0o1733;

/// Makes the inner directory empty, whatever modes the payload has given to directories in it.
const EMPTY: &str = "chmod -R u+rwx -- \"$1\"; exec find \"$1\" -mindepth 1 -delete";

/// The modes of a new directory.
#[derive(Clone, Copy, Debug)]
pub struct Modes {
    /// Of the payload user's directory.
    pub inner: u32,
    /// Of the caller's directory around it.
    pub outer: u32,
}

/// Why these modes cannot be: the caller must be able to work in the outer directory, the payload's
/// user must be able to pass it, and no user may exchange what is in it.
pub fn refuse_modes(modes: Modes) -> Result<(), String> {
    let Modes { outer, .. } = modes;
    if outer & 0o700 != 0o700 || outer & 0o011 == 0 {
        return Err(format!(
            "the parent's mode {outer:04o} must have 0700, and 0001 or 0010: the payload's user \
             passes the parent"
        ));
    }
    if outer & 0o022 != 0 && outer & 0o1000 == 0 {
        return Err(format!(
            "the parent's mode {outer:04o} lets other users rename what is in it: add 1000"
        ));
    }
    Ok(())
}

/// Makes the two directories below `base`. Returns the path of the inner one.
pub fn make(base: &Path, modes: Modes, switcher: &Path) -> Result<PathBuf> {
    let above = Dir::open(base).at("open the directory", base)?;
    let outer_name = random_name(PREFIX)?;
    let outer_path = base.join(outer_name.name().os());
    let outer = above.create_dir(outer_name.name()).at("create the directory", &outer_path)?;
    let inner_name = random_name("")?;
    let inner_path = outer_path.join(inner_name.name().os());
    let made = make_inner(&outer, inner_name.name(), &inner_path, modes, switcher);
    if made.is_err() {
        // The inner one is empty, if there is one: then its parent's owner can remove it.
        let _ = outer.remove_dir(inner_name.name());
        let _ = above.remove_dir(outer_name.name());
    }
    made.map(|()| inner_path)
}

fn make_inner(
    outer: &Dir,
    name: Name<'_>,
    path: &Path,
    modes: Modes,
    switcher: &Path,
) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    outer.set_mode(OPEN).at("set the mode of", parent)?;
    let mode = format!("{:04o}", modes.inner);
    let words = ["/bin/mkdir", "-m", &mode, "--"].map(OsStr::new);
    let called = run_command(switcher, &[&words[..], &[path.as_os_str()]].concat());
    outer.set_mode(modes.outer).at("set the mode of", parent)?;
    let outcome = called?;
    if !outcome.is_success() {
        // The caller passes its own directories, which the payload's user may be unable to pass.
        let closed = first_closed(parent);
        let error = outcome.error();
        return Err(match closed {
            Some(directory) => {
                let why = why_unsearchable("the payload's user", &directory);
                Error::refused(path, format!("{error} ({why})"))
            }
            None => error,
        });
    }
    match outer.stat(name).at("examine", path)?.kind() {
        Kind::Directory => Ok(()),
        _ => Err(Error::refused(path, "the switcher ended with status 0, but made no directory")),
    }
}

/// Removes an inner directory that [`make`] has made, with the outer one. Both must be empty but
/// for that, unless `force` is set. `switcher` is called only if there is something to remove that
/// belongs to the payload's user.
pub fn remove(inner: &Path, force: bool, switcher: impl FnOnce() -> Result<PathBuf>) -> Result<()> {
    let (above_path, outer_name, inner_name) = parts_of(inner)?;
    let outer_path = inner.parent().unwrap_or(inner);
    let (outer_name, inner_name) = (name_of(&outer_name)?, name_of(&inner_name)?);
    let above = Dir::open(above_path).at("open the directory", above_path)?;
    let outer = above.open_dir(outer_name.name()).at("open the directory", outer_path)?;
    let owner = outer.stat_self().at("examine", outer_path)?.uid();
    if owner != process::geteuid() {
        return Err(Error::refused(outer_path, "it does not belong to you"));
    }
    if !force && has_other_entries(&outer, inner_name.name(), outer_path)? {
        let why = "there are other files beside the directory: remove them, or use -f";
        return Err(Error::refused(outer_path, why));
    }
    let emptied = match outer.remove_dir(inner_name.name()) {
        // An earlier call may have been killed here.
        Ok(()) | Err(Errno::ENOENT) => None,
        Err(Errno::ENOTEMPTY) if force => {
            let words = ["/bin/sh", "-c", EMPTY, "sh"].map(OsStr::new);
            let outcome = run_command(&switcher()?, &[&words[..], &[inner.as_os_str()]].concat())?;
            // The caller may be unable to open it. What fails here fails again below.
            let _ = outer.remove_dir(inner_name.name());
            Some(outcome)
        }
        Err(Errno::ENOTEMPTY) => {
            return Err(Error::refused(inner, "it is not empty: -f also removes what is in it"));
        }
        Err(cause) => return Err(cause).at("remove the directory", inner),
    };
    if !force {
        return above.remove_dir(outer_name.name()).at("remove the directory", outer_path);
    }
    // The caller's own files can be in both, too. If they were all that the payload's user could
    // not remove, the failure of the call does not count.
    match (tree::remove(&above, outer_name.name(), above_path), emptied) {
        (Err(_), Some(outcome)) if !outcome.is_success() => Err(outcome.error()),
        (removed, _) => removed,
    }
}

/// The directory above the two, and their names, of the path of an inner directory. Fails for a
/// path that [`make`] has not made.
fn parts_of(inner: &Path) -> Result<(&Path, Vec<u8>, Vec<u8>)> {
    let parts = || {
        let outer = inner.parent()?;
        let name = outer.file_name()?.as_bytes();
        let is_ours = name.starts_with(PREFIX.as_bytes());
        is_ours.then_some(())?;
        Some((outer.parent()?, name.to_vec(), inner.file_name()?.as_bytes().to_vec()))
    };
    parts().ok_or_else(|| {
        Error::refused(inner, format!("mkgltempdir makes only directories in {PREFIX}…"))
    })
}

fn has_other_entries(outer: &Dir, except: Name<'_>, path: &Path) -> Result<bool> {
    // The first other entry ends the search.
    let listed = outer.for_each_entry(|name, _| if name == except { Ok(()) } else { Err(()) });
    Ok(listed.at("read the directory", path)?.is_err())
}

/// The first directory on a path that has no search permission for other users.
fn first_closed(path: &Path) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().collect();
    above.reverse();
    let is_closed = |path: &&Path| dir::lstat(path).is_ok_and(|found| found.mode() & 0o001 == 0);
    above.into_iter().find(is_closed).map(Path::to_owned)
}

fn random_name(prefix: &str) -> Result<OwnedName> {
    name_of(format!("{prefix}{:016x}", fastrand::u64(..)).as_bytes())
}

fn name_of(bytes: &[u8]) -> Result<OwnedName> {
    let shown = || Error::refused(OsStr::from_bytes(bytes), "it is not a name of a file");
    OwnedName::new(bytes.to_vec()).ok_or_else(shown)
}

/// The switcher that is called: `$GLEXEC_LOCATION/sbin/glexec` if there is such a program, else
/// `glexec` in PATH, else the one beside this program.
pub fn find_switcher(location: Option<&OsStr>) -> Result<PathBuf> {
    const NAME: &str = "glexec";
    let at = location.map(|location| Path::new(location).join("sbin").join(NAME));
    if let Some(found) = at.filter(|path| path.is_absolute() && access::may_execute(path)) {
        return Ok(found);
    }
    if let Ok(found) = find_in_path(NAME.as_ref()) {
        return std::path::absolute(&found).at("find the switcher", &found);
    }
    let beside = installed_program(NAME)?;
    if access::may_execute(&beside) {
        return Ok(beside);
    }
    let why = format!(
        "there is no glexec: neither in GLEXEC_LOCATION/sbin nor in PATH, nor is it {}",
        Shown::os(&beside)
    );
    Err(Error::refused(NAME, why))
}
