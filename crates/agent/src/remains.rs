//! What an account leaves behind when all its processes have ended: files in the directories where
//! every user may create files, and System V IPC objects.

use std::collections::HashSet;
use std::path::Path;

use sys::{Dir, Kind, OwnedName, Uid, ipc, process};
use wire::RemainsPolicy;

/// The directories where every user may create files that no other user removes. /dev/shm holds
/// POSIX shared memory (shm_overview(7)).
const DIRECTORIES: [&str; 2] = ["/tmp", "/dev/shm"];

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Remains {
    /// Paths and objects. For those that could not be removed: the error.
    pub(crate) names: Vec<String>,
    /// How many were removed.
    pub(crate) removed: u64,
}

/// Looks for what this user has left, and removes it if `policy` says so. Sandboxes of the calling
/// user are not touched. A directory with its content counts as one. `keep_alive` is called now and
/// then.
pub(crate) fn look_after(
    policy: RemainsPolicy,
    caller: Uid,
    keep_alive: &mut dyn FnMut(),
) -> Remains {
    let mut found = Remains::default();
    if policy == RemainsPolicy::Ignore {
        return found;
    }
    let mut add = |mut name: String,
                   remove: &mut dyn FnMut() -> std::result::Result<(), String>| {
        match (policy == RemainsPolicy::Remove).then(remove) {
            Some(Ok(())) => found.removed += 1,
            Some(Err(why)) => name = why,
            None => {}
        }
        found.names.push(name);
    };
    for path in DIRECTORIES.map(Path::new) {
        // Nothing can be found in one that is missing, or that this user may not read.
        let Ok(dir) = Dir::open(path) else { continue };
        for name in own_entries(&dir, process::geteuid(), caller) {
            let shown = path.join(name.name().os()).to_string_lossy().into_owned();
            add(shown, &mut || {
                tree::remove_with(&dir, name.name(), path, keep_alive)
                    .map_err(|error| error.to_string())
            });
        }
    }
    for object in ipc::objects_of(process::geteuid()) {
        add(object.to_string(), &mut || {
            object.remove().map_err(|cause| format!("cannot remove {object}: {cause}"))
        });
    }
    found
}

/// The entries of a directory that are this user's. Not the caller's sandboxes, nor what is made
/// beside a sandbox: these are jobs' data.
fn own_entries(dir: &Dir, user: Uid, caller: Uid) -> Vec<OwnedName> {
    let sandboxes = sandboxes_of(dir, caller);
    let mut own = Vec::new();
    // What cannot be read is not reported.
    let _ = dir.for_each_entry(|name, _| {
        if dir.stat(name).is_ok_and(|stat| stat.uid() == user)
            && !sandboxes.contains(tree::sandbox_name(name.bytes()))
        {
            own.push(OwnedName::from(name));
        }
        Ok::<_, error::Error>(())
    });
    own
}

/// The names of the sandboxes for which the caller has a retained directory, or a temporary one
/// with data. Their names derive from the sandbox's. Any user can make a directory of such a name:
/// those of other users than the caller do not count.
fn sandboxes_of(dir: &Dir, caller: Uid) -> HashSet<Vec<u8>> {
    let mut sandboxes = HashSet::new();
    let _ = dir.for_each_entry(|name, _| {
        let name_of_temporary =
            Some(tree::sandbox_name(name.bytes())).filter(|sandbox| *sandbox != name.bytes());
        if let Some(sandbox) = name.bytes().strip_suffix(b".condor").or(name_of_temporary) {
            if dir
                .stat(name)
                .is_ok_and(|stat| stat.uid() == caller && stat.kind() == Kind::Directory)
            {
                sandboxes.insert(sandbox.to_vec());
            }
        }
        Ok::<_, error::Error>(())
    });
    sandboxes
}
