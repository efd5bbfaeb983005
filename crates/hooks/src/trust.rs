//! Which files are trusted: those that only trusted users can change or replace.
//!
//! gLExec's rule for its epilogue: no other user may be able to change the file "or one of its path
//! members". It is the rule for all files that a privileged program executes or believes.

use std::fs::File;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use error::{Context as _, Error, Result};
use sys::{Dir, Errno, Gid, Kind, Name, OPath, Stat, Uid};

use crate::access_list::{self, Writer};

/// Who may own and change a file, and the directories on its path; root always may.
#[derive(Clone, Copy, Debug)]
pub struct Owners<'a> {
    /// The trusted users: these may own, and by an access control list write.
    pub users: &'a [Uid],
    /// The groups whose members may write.
    pub groups: &'a [Gid],
}

impl Owners<'_> {
    /// Root, and no other user and no group.
    pub const ROOT: Owners<'static> = Owners { users: &[], groups: &[] };

    fn has_user(&self, uid: Uid) -> bool {
        uid.is_root() || self.users.contains(&uid)
    }
}

/// Opens a regular file to read, if it is trusted.
///
/// The path must be canonical: absolute, without `.`, `..`, double and final slashes, and without
/// symbolic links. The root directory, every directory of the path and the file must belong to a
/// trusted user, and only trusted users and groups may write to them: by their modes, and by their
/// POSIX access control lists. A sticky directory in which all users may make files, as /tmp, is
/// not trusted either: another user can have made an entry first.
///
/// Lists of NFSv4 (nfs4_acl(5)) are not read: what they allow counts as far as the mode shows it.
///
/// The walk goes from descriptor to descriptor, and each is examined, not its name. So a directory
/// or file that gets a name of the path later is not opened, and the returned descriptor is of the
/// file that was examined. A caller that executes or reads this descriptor, and not the path again,
/// has the examined file; only a trusted user can have changed it.
///
/// The error names the first file or directory that is not trusted, with owner, group and mode, and
/// what to do.
pub fn open(path: &Path, owners: &Owners<'_>) -> Result<File> {
    let found = walk(path, owners)?;
    match found.stat().at("examine", path)?.kind() {
        Kind::File => {
            check(&found, path, owners)?;
            found.open().at("open", path)
        }
        Kind::Symlink => Err(is_link(path)),
        Kind::Directory | Kind::Special => {
            Err(Error::refused(path, "it is not a regular file: name a regular file"))
        }
    }
}

/// As [`open`], of a directory: which entries it has is trusted then, but not what these are.
pub fn open_directory(path: &Path, owners: &Owners<'_>) -> Result<Dir> {
    let found = walk(path, owners)?;
    match found.stat().at("examine", path)?.kind() {
        Kind::Directory => {
            check(&found, path, owners)?;
            found.open_directory().at("open", path)
        }
        Kind::Symlink => Err(is_link(path)),
        Kind::File | Kind::Special => {
            Err(Error::refused(path, "it is not a directory: name a directory"))
        }
    }
}

/// The file at the end of a path, of any kind, after all directories on the path were examined.
fn walk(path: &Path, owners: &Owners<'_>) -> Result<OPath> {
    let names = names(path)?;
    let mut here = PathBuf::from("/");
    let mut found = OPath::root().at("open", &here)?;
    let last = names.len() - 1;
    for (number, name) in names.into_iter().enumerate() {
        check(&found, &here, owners)?;
        here.push(name.os());
        let opened = if number < last { found.directory(name) } else { found.entry(name) };
        found = match opened {
            Err(Errno::ENOTDIR) if is_symlink(&found, name) => return Err(is_link(&here)),
            opened => opened.at("open", &here)?,
        };
    }
    Ok(found)
}

/// The components of a canonical path.
fn names(path: &Path) -> Result<Vec<Name<'_>>> {
    let bytes = path.as_os_str().as_bytes();
    let names = bytes
        .strip_prefix(b"/")
        .and_then(|rest| rest.split(|byte| *byte == b'/').map(Name::new).collect());
    names.ok_or_else(|| {
        Error::refused(path, "it is not a canonical path: write it from / on, without . .. and //")
    })
}

fn is_symlink(directory: &OPath, name: Name<'_>) -> bool {
    let stat = directory.entry(name).and_then(|entry| entry.stat());
    stat.is_ok_and(|stat| stat.kind() == Kind::Symlink)
}

fn is_link(path: &Path) -> Error {
    Error::refused(path, "it is a symbolic link, and may lead anywhere: write the path it leads to")
}

/// Checks that only trusted users and groups can change a file or directory.
fn check(found: &OPath, path: &Path, owners: &Owners<'_>) -> Result<()> {
    let stat = found.stat().at("examine", path)?;
    let refused = |why: String, remedy: &str| {
        let (uid, gid, mode) = (stat.uid(), stat.gid(), stat.mode());
        let owner = format!("it belongs to user {uid} and group {gid}, mode {mode:04o}");
        Err(Error::refused(path, format!("not trusted: {owner}; {why}: {remedy}")))
    };
    if !owners.has_user(stat.uid()) {
        let why = format!("user {} is not trusted", stat.uid());
        return refused(why, "give it to root (chown root)");
    }
    if stat.mode() & 0o002 != 0 {
        let remedy = match stat.mode() & 0o1000 {
            0 => "run chmod o-w on it",
            _ => "use a path outside of this directory",
        };
        return refused("all users may write to it".into(), remedy);
    }
    if stat.mode() & 0o020 == 0 {
        // Neither the group may write nor a user or group of an access control list: while there is
        // a list, these bits are its mask.
        return Ok(());
    }
    let list = found.access_list().at("read the access control list of", path)?;
    let writers = match &list {
        None => Some(vec![Writer::OwningGroup]),
        Some(list) => access_list::writers(list),
    };
    let Some(writers) = writers else {
        let why = "its access control list is not understood";
        return refused(why.into(), "remove the list (setfacl -b)");
    };
    match writers.into_iter().find_map(|writer| untrusted(writer, &stat, owners)) {
        None => Ok(()),
        Some(who) => {
            let remedy = match list {
                None => "run chmod g-w on it",
                Some(_) => "remove the entry of its access control list (setfacl)",
            };
            refused(format!("{who} may write to it"), remedy)
        }
    }
}

/// The name of a writer that is not trusted.
fn untrusted(writer: Writer, stat: &Stat, owners: &Owners<'_>) -> Option<String> {
    let group = match writer {
        Writer::User(uid) if owners.has_user(uid) => return None,
        Writer::User(uid) => return Some(format!("user {uid}")),
        Writer::Group(gid) => gid,
        Writer::OwningGroup => stat.gid(),
    };
    (!owners.groups.contains(&group)).then(|| format!("group {group}"))
}
