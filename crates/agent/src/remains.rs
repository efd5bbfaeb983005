//! What an account leaves behind when all its processes have ended: files at the places where
//! everybody may create some, and objects of System V IPC.

use std::collections::HashSet;
use std::path::Path;

use sys::{Dir, Kind, OwnedName, Uid, ipc, process};
use tree::{self, beside};

/// Where every user may create files, and nobody else removes them. /dev/shm is the shared memory
/// of POSIX (shm_overview(7)).
const PLACES: [&str; 2] = ["/tmp", "/dev/shm"];

/// What is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remains {
    /// It is not looked for.
    Ignored,
    /// It is named.
    Named,
    /// It is removed, and named.
    Removed,
}

/// What has been found.
#[derive(Debug, Default)]
pub struct Found {
    /// Paths and objects; behind those that could not be removed, why.
    pub names: Vec<String>,
    /// How many are gone.
    pub removed: u64,
}

/// Looks for what this user has left, and removes it if that is wanted; but for the sandboxes of
/// the caller's. Of a directory all that is in it counts as one. `beat` is called now and then.
pub fn look_after(remains: Remains, caller: Uid, beat: &mut dyn FnMut()) -> Found {
    let mut found = Found::default();
    if remains == Remains::Ignored {
        return found;
    }
    let mut look_after =
        |mut name: String, remove: &mut dyn FnMut() -> std::result::Result<(), String>| {
            match (remains == Remains::Removed).then(remove) {
                Some(Ok(())) => found.removed += 1,
                Some(Err(why)) => name = why,
                None => {}
            }
            found.names.push(name);
        };
    for place in PLACES.map(Path::new) {
        // One that is missing, or that this user may not read, holds nothing that can be found.
        let Ok(dir) = Dir::open(place) else { continue };
        for name in own_entries(&dir, process::user(), caller) {
            let path = place.join(name.name().os());
            look_after(path.to_string_lossy().into_owned(), &mut || {
                tree::remove_with(&dir, name.name(), place, beat).map_err(|error| error.to_string())
            });
        }
    }
    for object in ipc::objects_of(process::user()) {
        look_after(object.to_string(), &mut || {
            object.remove().map_err(|cause| format!("cannot remove {object}: {cause}"))
        });
    }
    found
}

/// The entries of a directory that are this user's, but no sandbox of the caller's and nothing that
/// is made beside one: that is a job's data.
fn own_entries(dir: &Dir, user: Uid, caller: Uid) -> Vec<OwnedName> {
    let sandboxes = sandboxes_of(dir, caller);
    let mut own = Vec::new();
    // What can't be read can't be named.
    let _ = dir.for_each(|name, _| {
        if dir.stat(name).is_ok_and(|stat| stat.uid() == user)
            && !sandboxes.contains(beside::sandbox_name(name.bytes()))
        {
            own.push(OwnedName::from(name));
        }
        Ok::<_, error::Error>(())
    });
    own
}

/// The names of the sandboxes for which the caller keeps a credential or data: in a directory of
/// its own, whose name is made from theirs. Anybody may make a directory of such a name; that of
/// somebody else says nothing.
fn sandboxes_of(dir: &Dir, caller: Uid) -> HashSet<Vec<u8>> {
    let mut sandboxes = HashSet::new();
    let _ = dir.for_each(|name, _| {
        let name_of_temporary =
            Some(beside::sandbox_name(name.bytes())).filter(|sandbox| *sandbox != name.bytes());
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
