//! Processes as the kernel shows them to everybody (proc(5)).

use std::fs::{DirEntry, File};
use std::io::Read as _;
use std::path::PathBuf;

use super::{Errno, Pid, Result, Uid};

/// What a process is, at one moment. Its number may be another's by the next: who acts on this
/// holds the process by a descriptor first, and then looks whether it is still the one that was
/// started then.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// What it does: a letter of proc_pid_stat(5), such as `R`, `D`, `T` or `Z`. Of its first
    /// thread; if that has ended and another one has not, of that one.
    pub state: u8,
    /// Who started it, or adopted it.
    pub parent: Pid,
    /// Its process group: the number of the group's leader.
    pub group: Pid,
    /// Its session: the number of the session's leader.
    pub session: Pid,
    /// Whether it is a part of the kernel.
    pub kernel: bool,
    /// How many threads it has.
    pub threads: u64,
    /// When it was started, in ticks since the start of the machine.
    pub started: u64,
}

impl Entry {
    /// Whether it has been stopped by a signal or a tracer.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// Whether none of its threads is left; it may still wait to be reaped.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Whether it waits for a device or a file server, and cannot end before that answers.
    pub fn waits_for_a_device(&self) -> bool {
        self.state == b'D'
    }
}

/// The numbers of all processes that this one may see.
pub fn numbers() -> Result<Vec<Pid>> {
    let listing = std::fs::read_dir("/proc").map_err(|error| super::errno(&error))?;
    let pid = |entry: DirEntry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw);
    Ok(listing.flatten().filter_map(pid).collect())
}

/// What the process of this number is now, if there is one.
pub fn entry(pid: Pid) -> Result<Option<Entry>> {
    // A line is shorter than this: some fifty numbers and a name of 15 bytes.
    let mut line = [0; 2048];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut line));
    let entry = known(read)?.and_then(|length| parse(&line[..length]));
    Ok(entry.map(|entry| match entry.has_ended() && entry.threads > 1 {
        // Its first thread alone has ended (pthread_exit(3) in main does that): the kernel shows
        // that one's state.
        true => Entry {
            state: states_of_threads(pid).find(|state| !state.has_ended()).unwrap_or(entry).state,
            ..entry
        },
        false => entry,
    }))
}

/// Whether a process of several threads is still at work in one of them: whoever stops it stops
/// them one by one.
pub fn has_thread_at_work(pid: Pid) -> bool {
    states_of_threads(pid).any(|thread| !thread.is_stopped() && !thread.has_ended())
}

/// What each thread of a process is now.
fn states_of_threads(pid: Pid) -> impl Iterator<Item = Entry> {
    threads(pid).filter_map(|thread| parse(&std::fs::read(thread.join("stat")).ok()?))
}

/// Where the kernel shows the threads of a process.
fn threads(pid: Pid) -> impl Iterator<Item = PathBuf> {
    let listing = std::fs::read_dir(format!("/proc/{pid}/task"));
    listing.into_iter().flatten().flatten().map(|thread| thread.path())
}

/// The children of a process of one thread, ended ones included, in one list of the kernel's
/// (proc_pid_children(5)), or one by one.
pub fn children_of(pid: Pid) -> Vec<Pid> {
    let list =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    if !list.is_empty() {
        return list
            .split_ascii_whitespace()
            .filter_map(|word| word.parse().ok().map(Pid::from_raw))
            .collect();
    }
    // The list leaves some out while others end; and a kernel need not have it.
    let is_child = |child: &Pid| {
        entry(*child).is_ok_and(|found| found.is_some_and(|found| found.parent == pid))
    };
    numbers().unwrap_or_default().into_iter().filter(is_child).collect()
}

/// What was read of a process; none if it is gone, or does not show it to this user.
fn known<T>(read: std::io::Result<T>) -> Result<Option<T>> {
    match read.map_err(|error| super::errno(&error)) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EACCES | Errno::EPERM) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// The line of proc_pid_stat(5). The name stands in parentheses, and may hold such, too.
fn parse(line: &[u8]) -> Option<Entry> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let mut words = std::str::from_utf8(&line[end + 1..]).ok()?.split_ascii_whitespace();
    let state = *words.next()?.as_bytes().first()?;
    let mut number = |passing: usize| words.nth(passing)?.parse::<i64>().ok();
    let (parent, group, session) = (number(0)?, number(0)?, number(0)?);
    // Past the terminal and its foreground group; then past what it has used so far.
    let (flags, threads, started) = (number(2)?, number(10)?, number(1)?);
    let pid = |number: i64| i32::try_from(number).ok().map(Pid::from_raw);
    const PF_KTHREAD: i64 = 0x0020_0000; // include/linux/sched.h
    Some(Entry {
        state,
        parent: pid(parent)?,
        group: pid(group)?,
        session: pid(session)?,
        kernel: flags & PF_KTHREAD != 0,
        threads: u64::try_from(threads).ok()?,
        started: u64::try_from(started).ok()?,
    })
}

/// The name of a process's program, at most 15 bytes; none if it is gone.
pub fn name(pid: Pid) -> Option<Vec<u8>> {
    let mut name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    name.truncate(name.trim_ascii_end().len());
    Some(name)
}

/// The words that a process was started with, at most 64 KiB of them; none if it is gone, or does
/// not show them to this user.
pub fn words(pid: Pid) -> Vec<Vec<u8>> {
    const LONGEST: u64 = 64 << 10;
    let mut words = Vec::new();
    let read = File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(LONGEST).read_to_end(&mut words));
    match read {
        Ok(1..) => words.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect(),
        _ => Vec::new(),
    }
}

/// Whether a process is called sudo.
pub fn is_named_sudo(pid: Pid) -> bool {
    name(pid).is_some_and(|name| name == b"sudo" || name == b"sudo-rs")
}

/// The real and the saved user id of a process: whoever has one of them may signal it (kill(2)).
/// None if it is gone or hidden.
pub fn owners(pid: Pid) -> Option<[Uid; 2]> {
    let [real, _effective, saved, _file_system] = user_ids(pid)?;
    Some([real, saved])
}

/// The real, effective, saved and file-system user id of a process (proc_pid_status(5)). None if it
/// is gone or hidden.
pub fn user_ids(pid: Pid) -> Option<[Uid; 4]> {
    // The line is one of the first, after a name and seven numbers. Many processes are asked for
    // it.
    let mut lines = [0; 512];
    let length = File::open(format!("/proc/{pid}/status")).ok()?.read(&mut lines).ok()?;
    let line =
        lines[..length].split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut ids = std::str::from_utf8(line)
        .ok()?
        .split_ascii_whitespace()
        .map(|id| id.parse().ok().map(Uid::from_raw));
    Some([ids.next()??, ids.next()??, ids.next()??, ids.next()??])
}

/// Whether a process is in this one's user namespace, as far as the kernel tells: in another one,
/// its owner's rights do not show in its user ids (user_namespaces(7)).
pub fn is_in_own_user_namespace(pid: Pid) -> bool {
    let map = |pid: &str| std::fs::read(format!("/proc/{pid}/uid_map")).ok();
    map(&pid.to_string()).is_some_and(|theirs| Some(theirs) == map("self"))
}

/// What the environment that a process was started with says of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// Its value.
    Is(Vec<u8>),
    /// It is not there.
    Missing,
    /// The process does not show its environment, or has written over it: only the own user's
    /// processes show it, and only those whose program that user may read.
    Untold,
}

/// Looks for a variable in the environment of a process.
pub fn variable(pid: Pid, name: &str) -> Result<Variable> {
    // More than execve(2) takes with the usual limits; a process can have the kernel show any
    // amount of its memory here (prctl(2)).
    const LONGEST: u64 = 8 << 20;
    let mut environment = Vec::new();
    let mut read = |path: PathBuf| {
        let read = File::open(path.join("environ"))
            .and_then(|file| file.take(LONGEST).read_to_end(&mut environment));
        known(read).map(|length| length.unwrap_or(0))
    };
    let mut length = read(format!("/proc/{pid}").into())?;
    if length == 0 {
        // A first thread that has ended has none any more; the others have.
        for thread in threads(pid) {
            length = read(thread)?;
            if length > 0 {
                break;
            }
        }
    }
    if length == 0 || length as u64 == LONGEST {
        return Ok(Variable::Untold);
    }
    let value =
        |entry: &[u8]| Some(entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec());
    let found = environment.split(|byte| *byte == 0).find_map(value);
    Ok(found.map_or(Variable::Missing, Variable::Is))
}

#[cfg(test)]
mod tests {
    use super::{Pid, parse};

    #[test]
    fn a_name_with_parentheses_and_blanks_is_not_taken_for_the_fields_behind_it() {
        let line =
            b"42 (a) R 1 2 3) T 7 8 -9 0 -1 4194560 10 11 12 13 14 15 16 17 18 19 20 21 2222 23\n";
        let entry = parse(line).unwrap_or_else(|| panic!("it is a line"));
        let pids = [entry.parent, entry.group, entry.session].map(Pid::as_raw);
        assert_eq!((pids, entry.started), ([7, 8, -9], 2222));
        assert_eq!(entry.threads, 20);
        assert_eq!((entry.is_stopped(), entry.has_ended(), entry.kernel), (true, false, false));
        let kernel = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 0 0";
        assert!(parse(kernel).is_some_and(|entry| entry.kernel));
        assert!(parse(b"").is_none() && parse(b"1 (x) R 1").is_none());
    }
}
