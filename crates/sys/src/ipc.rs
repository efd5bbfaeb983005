//! Objects of System V IPC, which the kernel keeps after the process that made them has ended
//! (sysvipc(7)). Neither the standard library nor nix has the calls that remove them.

use std::fmt;

use super::{Errno, Result, Uid};

/// A kind of object: its name, its file in /proc/sysvipc, and the call that removes one.
type Kind = (&'static str, &'static str, fn(i32) -> libc::c_int);

const KINDS: [Kind; 3] = [
    // SAFETY: takes numbers; IPC_RMID uses no buffer.
    ("message queue", "msg", |id| unsafe {
        libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut())
    }),
    // SAFETY: as above; IPC_RMID ignores the number of a semaphore.
    ("semaphore set", "sem", |id| unsafe { libc::semctl(id, 0, libc::IPC_RMID) }),
    // SAFETY: as above; memory that a process has attached stays until that process detaches it.
    ("shared memory", "shm", |id| unsafe {
        libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut())
    }),
];

/// One object.
#[derive(Clone, Copy, Debug)]
pub struct Object {
    kind: usize,
    id: i32,
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", KINDS[self.kind].0, self.id)
    }
}

impl Object {
    /// Removes the object.
    pub fn remove(&self) -> Result<()> {
        Errno::result(KINDS[self.kind].2(self.id)).map(drop)
    }
}

/// The objects that a user owns; none on a kernel without System V IPC.
pub fn objects_of(user: Uid) -> Vec<Object> {
    let mut objects = Vec::new();
    for (kind, (_, file, _)) in KINDS.iter().enumerate() {
        let table = std::fs::read_to_string(format!("/proc/sysvipc/{file}")).unwrap_or_default();
        let ids = ids(&table, user);
        objects.extend(ids.into_iter().map(|id| Object { kind, id }));
    }
    objects
}

/// The ids of a user's objects in a table of proc_sysvipc(5). The first line names the columns; the
/// second column is the id.
fn ids(table: &str, user: Uid) -> Vec<i32> {
    let mut lines = table.lines();
    let owner = lines
        .next()
        .and_then(|names| names.split_ascii_whitespace().position(|name| name == "uid"));
    let Some(owner) = owner else { return Vec::new() };
    let id = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        (words.get(owner)?.parse() == Ok(user.as_raw())).then(|| words.get(1)?.parse().ok())?
    };
    lines.filter_map(id).collect()
}

#[cfg(test)]
mod tests {
    use super::{Uid, ids};

    #[test]
    fn objects_are_found_by_the_column_of_their_owner() {
        let table = "  key  semid perms  nsems   uid   gid  cuid  cgid  otime  ctime\n    \
                     0      7   600      1  1001  1001   500   500      0      1\n    \
                     0      8   600   1001     5     5  1001     5      0      1\n";
        assert_eq!(ids(table, Uid::from_raw(1001)), [7]);
        assert!(ids(table, Uid::from_raw(500)).is_empty() && ids("", Uid::from_raw(0)).is_empty());
    }
}
