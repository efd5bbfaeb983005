//! System V IPC: what it has is kept by the kernel until somebody removes it, whoever made it
//! (sysvipc(7)).

use std::fmt;

use super::{Errno, Result, Uid};

/// A kind of objects: its name, its file in /proc/sysvipc, and the call that removes one.
type Kind = (&'static str, &'static str, fn(i32) -> libc::c_int);

const KINDS: [Kind; 3] = [
    // SAFETY: plain numbers; IPC_RMID takes no buffer.
    ("message queue", "msg", |id| unsafe {
        libc::msgctl(id, libc::IPC_RMID, std::ptr::null_mut())
    }),
    // SAFETY: as above; the number of a semaphore in the set is not looked at.
    ("semaphore set", "sem", |id| unsafe { libc::semctl(id, 0, libc::IPC_RMID) }),
    // SAFETY: as above. Memory that is in use stays until its last user is gone.
    ("shared memory", "shm", |id| unsafe {
        libc::shmctl(id, libc::IPC_RMID, std::ptr::null_mut())
    }),
];

/// An object of this user's.
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
    /// Removes it.
    pub fn remove(&self) -> Result<()> {
        Errno::result(KINDS[self.kind].2(self.id)).map(drop)
    }
}

/// The objects of a user. A kernel without System V IPC has none.
pub fn objects_of(user: Uid) -> Vec<Object> {
    let mut objects = Vec::new();
    for (kind, (_, file, _)) in KINDS.iter().enumerate() {
        let table = std::fs::read_to_string(format!("/proc/sysvipc/{file}")).unwrap_or_default();
        let ids = ids(&table, user);
        objects.extend(ids.into_iter().map(|id| Object { kind, id }));
    }
    objects
}

/// The numbers of a user's objects in a table of proc_sysvipc(5), whose first line names the
/// columns; the number is the second one.
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
        let table = "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      ctime\n         0          7   600          1  1001  1001   500   500          0          1\n         0          8   600       1001     5     5  1001     5          0          1\n";
        assert_eq!(ids(table, Uid::from_raw(1001)), [7]);
        assert!(ids(table, Uid::from_raw(500)).is_empty() && ids("", Uid::from_raw(0)).is_empty());
    }
}
