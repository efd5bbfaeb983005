//! What /proc shows of any process (proc(5)).

use std::collections::HashMap;
use std::fs::{DirEntry, File};
use std::io::Read as _;
use std::path::PathBuf;

use super::{Errno, Pid, Result, Uid};

/// The state of a process at one moment. Afterwards its id may be another process's: before a
/// caller acts on this it opens the process ([`super::pidfd`]), and then checks [`Entry::started`]
/// again.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The letter of proc_pid_stat(5), such as `R`, `D`, `T` or `Z`. That of the first thread; or
    /// of another one, if the first thread has ended and that one has not.
    pub state: u8,
    /// The process that started it, or adopted it.
    pub parent: Pid,
    /// Its process group.
    pub group: Pid,
    /// Its session.
    pub session: Pid,
    /// Whether it is a thread of the kernel.
    pub kernel: bool,
    /// How many threads it has.
    pub threads: u64,
    /// When it was started, in clock ticks since the boot.
    pub started: u64,
    /// Its processor time in user mode and in the kernel, in clock ticks.
    pub own_times: [u64; 2],
    /// The same of its children that it has waited for, and of theirs.
    pub waited_times: [u64; 2],
}

impl Entry {
    /// Whether a signal or a tracer has stopped it.
    pub fn is_stopped(&self) -> bool {
        matches!(self.state, b'T' | b't')
    }

    /// Whether all its threads have ended; its parent may not have waited for it yet.
    pub fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Whether it is in uninterruptible sleep: it waits for a device or a file server, and cannot
    /// end before that answers.
    pub fn is_uninterruptible(&self) -> bool {
        self.state == b'D'
    }
}

/// A text of /proc, as a rule by one system call: the standard library's functions, which know no
/// size of such a file, begin with 32 bytes.
pub(crate) fn read(path: &str) -> Result<String> {
    let mut text = String::with_capacity(8192);
    let read = File::open(path).and_then(|mut file| file.read_to_string(&mut text));
    read.map_err(|error| super::errno(&error))?;
    Ok(text)
}

/// The ids of all processes that /proc shows to this one.
pub fn pids() -> Result<Vec<Pid>> {
    let listing = std::fs::read_dir("/proc").map_err(|error| super::errno(&error))?;
    let pid = |entry: DirEntry| entry.file_name().to_str()?.parse().ok().map(Pid::from_raw);
    Ok(listing.flatten().filter_map(pid).collect())
}

/// The state of a process; none if there is no such process, or /proc does not show it.
pub fn entry(pid: Pid) -> Result<Option<Entry>> {
    // The line is shorter: about fifty numbers and a name of 15 bytes.
    let mut line = [0; 2048];
    let read = File::open(format!("/proc/{pid}/stat")).and_then(|mut file| file.read(&mut line));
    let entry = known(read)?.and_then(|length| parse(&line[..length]));
    Ok(entry.map(|entry| match entry.has_ended() && entry.threads > 1 {
        // Only the first thread has ended (after pthread_exit(3) in main): the kernel shows the
        // state of that one.
        true => Entry {
            state: states_of_threads(pid).find(|state| !state.has_ended()).unwrap_or(entry).state,
            ..entry
        },
        false => entry,
    }))
}

/// Whether a thread of a process is neither stopped nor ended. A signal stops the threads one after
/// the other.
pub fn has_active_thread(pid: Pid) -> bool {
    states_of_threads(pid).any(|thread| !thread.is_stopped() && !thread.has_ended())
}

/// The state of each thread of a process.
fn states_of_threads(pid: Pid) -> impl Iterator<Item = Entry> {
    threads(pid).filter_map(|thread| parse(&std::fs::read(thread.join("stat")).ok()?))
}

/// The directory in /proc of each thread of a process.
fn threads(pid: Pid) -> impl Iterator<Item = PathBuf> {
    let listing = std::fs::read_dir(format!("/proc/{pid}/task"));
    listing.into_iter().flatten().flatten().map(|thread| thread.path())
}

/// The children of a process with one thread, with those that have ended and were not waited for.
pub fn children(pid: Pid) -> Vec<Pid> {
    let list =
        std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    match list.is_empty() {
        // The kernel's list (proc_tid_children(5)) can be incomplete while children end, and not
        // every kernel has it.
        true => children_by_parent(pid),
        false => listed(&list).collect(),
    }
}

/// The children of any process, by whichever of its threads they were started. One that is started
/// or ends meanwhile can be missing.
pub fn children_of_threads(pid: Pid) -> Vec<Pid> {
    let read = |thread: PathBuf| std::fs::read_to_string(thread.join("children")).ok();
    let lists: Option<Vec<String>> = threads(pid).map(read).collect();
    match lists {
        Some(lists) => lists.iter().flat_map(|list| listed(list)).collect(),
        // A thread has ended, or the kernel has no such lists.
        None => children_by_parent(pid),
    }
}

fn listed(list: &str) -> impl Iterator<Item = Pid> {
    list.split_ascii_whitespace().filter_map(|word| word.parse().ok().map(Pid::from_raw))
}

/// The children of a process, by a look at all processes of the machine.
fn children_by_parent(pid: Pid) -> Vec<Pid> {
    let is_child = |child: &Pid| {
        entry(*child).is_ok_and(|found| found.is_some_and(|found| found.parent == pid))
    };
    pids().unwrap_or_default().into_iter().filter(is_child).collect()
}

/// These processes and all below them, from the top down, without those that have ended. It takes
/// one look at all processes of the machine, and finds what any thread has started.
pub fn with_descendants(tops: &[Pid]) -> Vec<(Pid, Entry)> {
    let mut below: HashMap<Pid, Vec<(Pid, Entry)>> = HashMap::new();
    let mut found = Vec::new();
    for pid in pids().unwrap_or_default() {
        let Ok(Some(entry)) = entry(pid) else { continue };
        if entry.has_ended() {
            continue;
        }
        match tops.contains(&pid) {
            true => found.push((pid, entry)),
            false => below.entry(entry.parent).or_default().push((pid, entry)),
        }
    }
    let mut at = 0;
    while let Some((pid, _)) = found.get(at).copied() {
        found.extend(below.remove(&pid).unwrap_or_default());
        at += 1;
    }
    found
}

/// What was read of a process; none if it has ended, or /proc does not show it to this user.
fn known<T>(read: std::io::Result<T>) -> Result<Option<T>> {
    match read.map_err(|error| super::errno(&error)) {
        Ok(value) => Ok(Some(value)),
        Err(Errno::ENOENT | Errno::ESRCH | Errno::EACCES | Errno::EPERM) => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// Parses the line of proc_pid_stat(5). The name is in parentheses, and may contain parentheses.
fn parse(line: &[u8]) -> Option<Entry> {
    let end = line.iter().rposition(|byte| *byte == b')')?;
    let mut words = std::str::from_utf8(&line[end + 1..]).ok()?.split_ascii_whitespace();
    let state = *words.next()?.as_bytes().first()?;
    let mut number = |skipped: usize| words.nth(skipped)?.parse::<i64>().ok();
    let (parent, group, session) = (number(0)?, number(0)?, number(0)?);
    // Skips tty_nr and tpgid; then minflt to cmajflt; then priority and nice; then itrealvalue.
    let flags = number(2)?;
    let [user, system, waited_user, waited_system] =
        [number(4)?, number(0)?, number(0)?, number(0)?].map(|ticks| ticks.max(0) as u64);
    let (threads, started) = (number(2)?, number(1)?);
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
        own_times: [user, system],
        waited_times: [waited_user, waited_system],
    })
}

/// The command name of a process, at most 15 bytes (proc_pid_comm(5)); none if it has ended.
pub fn comm(pid: Pid) -> Option<Vec<u8>> {
    let mut name = std::fs::read(format!("/proc/{pid}/comm")).ok()?;
    name.truncate(name.trim_ascii_end().len());
    Some(name)
}

/// The command line of a process, at most 64 KiB of it (proc_pid_cmdline(5)); empty if the process
/// has ended, or /proc does not show it to this user.
pub fn cmdline(pid: Pid) -> Vec<Vec<u8>> {
    const LONGEST: u64 = 64 << 10;
    let mut words = Vec::new();
    let read = File::open(format!("/proc/{pid}/cmdline"))
        .and_then(|file| file.take(LONGEST).read_to_end(&mut words));
    match read {
        Ok(1..) => words.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect(),
        _ => Vec::new(),
    }
}

/// The resident memory of a process that no file is behind, in bytes: what cannot be dropped. Pages
/// that it shares with its children after a fork count in each of them. None if it has ended or is
/// hidden, and for a thread of the kernel.
pub fn resident(pid: Pid) -> Option<u64> {
    memory(pid, "status", &["RssAnon:", "RssShmem:"])
}

/// As [`resident`], but each page counts by its share. Only the user of the process, and the owner
/// of its user namespace, may read this (PTRACE_MODE_READ, ptrace(2)); it takes the kernel a look
/// at each page.
pub fn proportional(pid: Pid) -> Option<u64> {
    memory(pid, "smaps_rollup", &["Pss_Anon:", "Pss_Shmem:"])
}

fn memory(pid: Pid, file: &str, names: &[&str]) -> Option<u64> {
    let of =
        |directory: PathBuf| kilobytes(&std::fs::read_to_string(directory.join(file)).ok()?, names);
    // A first thread that has ended has no memory any more; the others have.
    of(format!("/proc/{pid}").into()).or_else(|| threads(pid).find_map(of))
}

/// The sum of some lines of a file of /proc, in bytes; none if one of them is missing.
fn kilobytes(lines: &str, names: &[&str]) -> Option<u64> {
    let value = |name: &&str| {
        let rest = lines.lines().find_map(|line| line.strip_prefix(*name))?;
        rest.split_ascii_whitespace().next()?.parse::<u64>().ok()
    };
    let sum: Option<u64> = names.iter().map(value).sum();
    Some(sum?.saturating_mul(1024))
}

/// How many clock ticks a second has (sysconf(3)).
pub fn ticks_per_second() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    ticks.and_then(|ticks| u64::try_from(ticks).ok()).filter(|ticks| *ticks > 0).unwrap_or(100)
}

/// Whether /proc hides other users' processes from this user (`hidepid`, proc(5)), as far as the
/// options of its mount tell.
pub fn hides_others() -> bool {
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    // The last mount on a directory is the one that is seen.
    let options = mounts.lines().rev().find_map(|line| {
        let mut words = line.split(' ').skip(1);
        (words.next() == Some("/proc")).then(|| words.nth(1)).flatten()
    });
    let is_hiding = |option: &str| {
        let value = option.strip_prefix("hidepid=");
        value.is_some_and(|value| !matches!(value, "0" | "off"))
    };
    options.is_some_and(|options| options.split(',').any(is_hiding))
}

/// Whether the command name of a process is that of sudo or sudo-rs.
pub fn is_named_sudo(pid: Pid) -> bool {
    comm(pid).is_some_and(|name| name == b"sudo" || name == b"sudo-rs")
}

/// Whether the command name of a process is that of the project's switcher.
pub fn is_named_glexec(pid: Pid) -> bool {
    comm(pid).is_some_and(|name| name == b"glexec")
}

/// The real and the saved user id of a process: a user with one of these may signal it (kill(2)).
/// None if it has ended or is hidden.
pub fn real_and_saved_uid(pid: Pid) -> Option<[Uid; 2]> {
    let [real, _effective, saved, _file_system] = uids(pid)?;
    Some([real, saved])
}

/// The real, effective, saved and file-system user id of a process (proc_pid_status(5)). None if it
/// has ended or is hidden.
pub fn uids(pid: Pid) -> Option<[Uid; 4]> {
    // The line is one of the first, after a name and seven numbers: a small buffer is enough, and
    // this is read of many processes.
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

/// Whether the user namespace of a process has the same map of ids as this one's, as far as /proc
/// shows it. The owner of another namespace has rights that the process's user ids do not show
/// (user_namespaces(7)).
pub fn is_in_own_user_namespace(pid: Pid) -> bool {
    let map = |pid: &str| std::fs::read(format!("/proc/{pid}/uid_map")).ok();
    map(&pid.to_string()).is_some_and(|theirs| Some(theirs) == map("self"))
}

/// A variable in the environment that a process was started with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Variable {
    /// It has this value.
    Set(Vec<u8>),
    /// There is no such variable.
    Unset,
    /// The environment cannot be read, or was overwritten. A user can read it of its processes
    /// only, and only if it may read their programs (ptrace(2)).
    Unreadable,
}

/// Looks up a variable in the environment of a process.
pub fn environment_variable(pid: Pid, name: &str) -> Result<Variable> {
    // More than execve(2) takes with the usual limits. A process can make /proc show any amount of
    // its memory here (PR_SET_MM_ENV_END, prctl(2)).
    const LONGEST: u64 = 8 << 20;
    let mut environment = Vec::new();
    let mut read = |path: PathBuf| {
        let read = File::open(path.join("environ"))
            .and_then(|file| file.take(LONGEST).read_to_end(&mut environment));
        known(read).map(|length| length.unwrap_or(0))
    };
    let mut length = read(format!("/proc/{pid}").into())?;
    if length == 0 {
        // A first thread that has ended has no environment; the others have.
        for thread in threads(pid) {
            length = read(thread)?;
            if length > 0 {
                break;
            }
        }
    }
    if length == 0 || length as u64 == LONGEST {
        return Ok(Variable::Unreadable);
    }
    let value =
        |entry: &[u8]| Some(entry.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?.to_vec());
    let found = environment.split(|byte| *byte == 0).find_map(value);
    Ok(found.map_or(Variable::Unset, Variable::Set))
}

/// The processes above one: its parent, the parent of that, and so on, as far as /proc shows them.
pub fn ancestors(pid: Pid) -> Vec<Pid> {
    let parent = |pid: &Pid| Some(entry(*pid).ok()??.parent).filter(|parent| parent.as_raw() > 0);
    // A limit, since the parents may change while they are read.
    std::iter::successors(parent(&pid), parent).take(1000).collect()
}

/// Whether the last of these ancestors is process 1: then none is missing.
pub fn reach_init(ancestors: &[Pid]) -> bool {
    ancestors.last() == Some(&Pid::from_raw(1))
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
        assert_eq!((entry.own_times, entry.waited_times), ([14, 15], [16, 17]));
        assert_eq!((entry.is_stopped(), entry.has_ended(), entry.kernel), (true, false, false));
        let kernel = b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 0 0";
        assert!(parse(kernel).is_some_and(|entry| entry.kernel));
        assert!(parse(b"").is_none() && parse(b"1 (x) R 1").is_none());
    }
}
