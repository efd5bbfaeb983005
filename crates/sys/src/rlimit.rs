//! Limits on resources (getrlimit(2)).

use nix::sys::resource::{RLIM_INFINITY, Resource, getrlimit, setrlimit};

use super::{Errno, Pid, Result};

/// The limits that can end or hinder a process with root's rights, and that its caller sets.
const REPAIRED: [Resource; 7] = [
    Resource::RLIMIT_AS,
    Resource::RLIMIT_CORE,
    Resource::RLIMIT_CPU,
    Resource::RLIMIT_DATA,
    Resource::RLIMIT_FSIZE,
    Resource::RLIMIT_NOFILE,
    Resource::RLIMIT_NPROC,
];

/// All limits that Linux has, with their names in proc_pid_limits(5).
const ALL: [(&str, Resource); 16] = [
    ("Max address space", Resource::RLIMIT_AS),
    ("Max core file size", Resource::RLIMIT_CORE),
    ("Max cpu time", Resource::RLIMIT_CPU),
    ("Max data size", Resource::RLIMIT_DATA),
    ("Max file locks", Resource::RLIMIT_LOCKS),
    ("Max file size", Resource::RLIMIT_FSIZE),
    ("Max locked memory", Resource::RLIMIT_MEMLOCK),
    ("Max msgqueue size", Resource::RLIMIT_MSGQUEUE),
    ("Max nice priority", Resource::RLIMIT_NICE),
    ("Max open files", Resource::RLIMIT_NOFILE),
    ("Max pending signals", Resource::RLIMIT_SIGPENDING),
    ("Max processes", Resource::RLIMIT_NPROC),
    ("Max realtime priority", Resource::RLIMIT_RTPRIO),
    ("Max realtime timeout", Resource::RLIMIT_RTTIME),
    ("Max resident set", Resource::RLIMIT_RSS),
    ("Max stack size", Resource::RLIMIT_STACK),
];

/// Parses proc_pid_limits(5): lines of a name, the soft and the hard limit, and perhaps a unit.
fn parse(text: &str) -> Option<Vec<(Resource, u64, u64)>> {
    let number = |word: &str| match word {
        "unlimited" => Some(RLIM_INFINITY),
        word => word.parse().ok(),
    };
    let limit = |(name, resource): (&str, Resource)| {
        let values = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        let mut words = values.split_ascii_whitespace();
        Some((resource, number(words.next()?)?, number(words.next()?)?))
    };
    ALL.into_iter().map(limit).collect()
}

/// Those of them that end a process, or a write in its middle; and how much it needs at most, in
/// seconds and bytes.
const NEEDED: [(Resource, u64); 2] =
    [(Resource::RLIMIT_CPU, 60), (Resource::RLIMIT_FSIZE, 16 << 20)];

/// Limits of a process, for a program that it executes later.
#[derive(Clone, Debug)]
pub struct SavedLimits(Vec<(Resource, u64, u64)>);

impl SavedLimits {
    /// Raises the limits that a caller can have set too low for this process, which has root's
    /// rights: none is left but on descriptors. It leaves no core dump, which would show what it
    /// has read. Returns the limits before.
    ///
    /// Without CAP_SYS_RESOURCE, as in many containers, hard limits stay. EPERM if one of them is
    /// so low that it could end this process, or make what it writes incomplete.
    ///
    /// RLIMIT_STACK stays: the stack of a running process has grown already.
    pub fn repair() -> Result<SavedLimits> {
        let mut before = Vec::new();
        for resource in REPAIRED {
            let (soft, hard) = getrlimit(resource)?;
            before.push((resource, soft, hard));
            let wanted = match resource {
                Resource::RLIMIT_CORE => (0, hard),
                Resource::RLIMIT_NOFILE => (hard.max(DESCRIPTORS), hard.max(DESCRIPTORS)),
                _ => (RLIM_INFINITY, RLIM_INFINITY),
            };
            match setrlimit(resource, wanted.0, wanted.1) {
                Err(Errno::EPERM) if is_enough(resource, hard) => setrlimit(resource, hard, hard)?,
                done => done?,
            }
        }
        Ok(SavedLimits(before))
    }

    /// All limits of another process (proc_pid_limits(5)). prlimit(2) needs CAP_SYS_RESOURCE for a
    /// process of another user, also to ask.
    pub fn of_process(pid: Pid) -> Result<SavedLimits> {
        let text = super::proc::read(&format!("/proc/{pid}/limits"))?;
        parse(&text).map(SavedLimits).ok_or(Errno::EINVAL)
    }

    /// Raises the hard limits of this process that are lower than these, so that a process that it
    /// starts can set them without privilege. Where this process may not, these are lowered.
    pub fn permit(&mut self) -> Result<()> {
        for (resource, soft, hard) in &mut self.0 {
            let (own_soft, own_hard) = getrlimit(*resource)?;
            if own_hard < *hard {
                match setrlimit(*resource, own_soft, *hard) {
                    Err(Errno::EPERM) => (*soft, *hard) = ((*soft).min(own_hard), own_hard),
                    set => set?,
                }
            }
        }
        Ok(())
    }

    /// Sets the limits again.
    pub fn restore(&self) -> Result<()> {
        self.0.iter().try_for_each(|(resource, soft, hard)| setrlimit(*resource, *soft, *hard))
    }
}

fn is_enough(resource: Resource, limit: u64) -> bool {
    NEEDED.iter().all(|(needed, least)| *needed != resource || limit >= *least)
}

/// At least so many descriptors can a process with root's rights have.
const DESCRIPTORS: u64 = 1024;

/// How many descriptors this process may have: the soft limit of RLIMIT_NOFILE.
pub fn nofile() -> Result<u64> {
    getrlimit(Resource::RLIMIT_NOFILE).map(|(soft, _)| soft)
}

/// Sets the soft limit of RLIMIT_NOFILE, for this process and for what it executes.
pub fn set_nofile(descriptors: u64) -> Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, descriptors, hard)
}

/// Raises the soft limit of RLIMIT_NOFILE to the hard limit; returns the soft limit before.
pub fn raise_nofile() -> Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
    Ok(soft)
}

/// Calls `work` while the soft limit of RLIMIT_NPROC is three quarters of what it was.
///
/// The kernel keeps this limit for a user namespace that `work` makes, and counts the processes in
/// the namespace as processes of its owner. So these processes cannot use up the owner's limit: the
/// owner can still start a process that ends them.
pub fn with_reduced_nproc<T>(work: impl FnOnce() -> T) -> T {
    let limits = getrlimit(Resource::RLIMIT_NPROC).ok().filter(|(soft, _)| *soft != RLIM_INFINITY);
    if let Some((soft, hard)) = limits {
        let _ = setrlimit(Resource::RLIMIT_NPROC, soft - soft / 4, hard);
    }
    let done = work();
    if let Some((soft, hard)) = limits {
        let _ = setrlimit(Resource::RLIMIT_NPROC, soft, hard);
    }
    done
}

/// Halves the limit of RLIMIT_NPROC, soft and hard: this process, and what it starts, cannot raise
/// it again.
pub fn halve_nproc() -> Result<()> {
    let (soft, _) = getrlimit(Resource::RLIMIT_NPROC)?;
    if soft == RLIM_INFINITY {
        return Ok(());
    }
    setrlimit(Resource::RLIMIT_NPROC, soft / 2, soft / 2)
}

/// What a process may use that decodes input of others.
#[derive(Debug)]
pub struct Limits {
    /// Bytes of address space (RLIMIT_AS).
    pub memory: u64,
    /// Seconds of processor time (RLIMIT_CPU).
    pub seconds: u64,
    /// Open descriptors (RLIMIT_NOFILE).
    pub descriptors: u64,
}

/// Limits this process, soft and hard. It also makes no process and no core file, and writes to no
/// file: only to pipes, sockets and terminals. A limit that is lower already stays as it is.
pub fn confine(limits: &Limits) -> Result<()> {
    for (resource, limit) in [
        (Resource::RLIMIT_CORE, 0),
        (Resource::RLIMIT_NPROC, 0),
        (Resource::RLIMIT_FSIZE, 0),
        (Resource::RLIMIT_NOFILE, limits.descriptors),
        (Resource::RLIMIT_CPU, limits.seconds),
        (Resource::RLIMIT_AS, limits.memory),
    ] {
        let (soft, hard) = getrlimit(resource)?;
        setrlimit(resource, soft.min(limit), hard.min(limit))?;
    }
    Ok(())
}

/// Lowers the limit of a process on the size of a file that it writes, in bytes (RLIMIT_FSIZE),
/// soft and hard: it gets SIGXFSZ. A lower limit stays.
pub fn limit_file_size(bytes: u64) -> Result<()> {
    lower(Resource::RLIMIT_FSIZE, bytes, bytes)
}

/// Lowers the limit on this process's processor time, in seconds (RLIMIT_CPU). It gets SIGXCPU at
/// `soft`, and SIGKILL at `hard`. A lower limit stays.
pub fn limit_processor_time(soft: u64, hard: u64) -> Result<()> {
    lower(Resource::RLIMIT_CPU, soft, hard)
}

/// Lowers the number of processes and threads of this user from which on this process can start no
/// further one (RLIMIT_NPROC), soft and hard. A lower limit stays.
pub fn limit_processes(processes: u64) -> Result<()> {
    lower(Resource::RLIMIT_NPROC, processes, processes)
}

fn lower(resource: Resource, new_soft: u64, new_hard: u64) -> Result<()> {
    let (soft, hard) = getrlimit(resource)?;
    setrlimit(resource, soft.min(new_soft), hard.min(new_hard))
}

#[cfg(test)]
mod tests {
    use nix::sys::resource::getrlimit;

    use super::SavedLimits;
    use crate::process::getpid;

    #[test]
    fn the_limits_that_proc_shows_are_those_of_the_process() {
        let limits = SavedLimits::of_process(getpid()).unwrap_or_else(|cause| panic!("{cause}"));
        assert_eq!(limits.0.len(), 16);
        for (resource, soft, hard) in limits.0 {
            assert_eq!(getrlimit(resource), Ok((soft, hard)), "{resource:?}");
        }
    }
}
