//! How the kernel schedules a process, and what else it does for it by a setting that a child
//! inherits: for a process that shall be as if another one had started it.

use std::fs;

use nix::sched::{CpuSet, sched_getaffinity};

use super::{Errno, Pid, Result, affinity, process};

/// `IOPRIO_WHO_PROCESS` of ioprio_set(2).
const OF_PROCESS: libc::c_int = 1;

/// Where the class is in a value of ioprio_set(2), and the class that only root may set.
const CLASS_SHIFT: i32 = 13;
const REAL_TIME: i32 = 1;

/// The time by which the kernel may delay the timers of a process that has set nothing else, in
/// nanoseconds (prctl(2), PR_SET_TIMERSLACK).
const TIMER_SLACK: libc::c_ulong = 50_000;

/// The settings of a process. None of them has more than a user may set: the process may have been
/// a set-user-ID program when it was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scheduling {
    nice: i32,
    /// The scheduling policy (sched(7)): that of ordinary processes, of batches or of idle ones.
    policy: i32,
    /// The processors; empty for all.
    processors: Vec<usize>,
    /// The priority for disks, as ioprio_set(2) takes it; 0 for none of its own.
    io_priority: i32,
    /// How soon the process is killed where memory is used up (proc_pid_oom_score_adj(5)).
    oom_score: i32,
    /// What is in a core dump (core(5)), as the kernel shows it.
    dump: Option<String>,
}

impl Scheduling {
    /// That of a process.
    pub fn of(pid: Pid) -> Result<Scheduling> {
        const POLICIES: [i32; 3] = [libc::SCHED_OTHER, libc::SCHED_BATCH, libc::SCHED_IDLE];
        // SAFETY: takes a number.
        let policy = Errno::result(unsafe { libc::sched_getscheduler(pid.as_raw()) })?;
        // SAFETY: takes numbers.
        let io = unsafe { libc::syscall(libc::SYS_ioprio_get, OF_PROCESS, pid.as_raw()) };
        let io = i32::try_from(Errno::result(io)?).unwrap_or(0);
        let set = sched_getaffinity(pid)?;
        let processors = (0..CpuSet::count()).filter(|at| set.is_set(*at).unwrap_or(false));
        let read = |name: &str| {
            let text = fs::read_to_string(format!("/proc/{pid}/{name}"));
            text.map(|text| text.trim().to_owned()).map_err(|error| super::errno(&error))
        };
        Ok(Scheduling {
            nice: process::nice_of(pid)?.max(0),
            policy: if POLICIES.contains(&policy) { policy } else { libc::SCHED_OTHER },
            processors: processors.collect(),
            io_priority: if io >> CLASS_SHIFT == REAL_TIME { 0 } else { io },
            oom_score: read("oom_score_adj")?.parse().unwrap_or(0).max(0),
            dump: read("coredump_filter").ok(),
        })
    }

    /// Sets it for this process, which is root's, and for what it starts. The delay of timers, the
    /// memory policy and the use of huge pages become those of a process that has set nothing.
    pub fn set(&self) -> Result<()> {
        let parameter = libc::sched_param { sched_priority: 0 };
        // SAFETY: the parameter lives during the call, which only reads it.
        Errno::result(unsafe { libc::sched_setscheduler(0, self.policy, &raw const parameter) })?;
        process::set_nice(self.nice)?;
        // SAFETY: takes numbers.
        let io = unsafe { libc::syscall(libc::SYS_ioprio_set, OF_PROCESS, 0, self.io_priority) };
        Errno::result(io)?;
        self.set_processors()?;
        let write = |name: &str, text: &str| {
            fs::write(format!("/proc/self/{name}"), text).map_err(|error| super::errno(&error))
        };
        match write("oom_score_adj", &self.oom_score.to_string()) {
            // Without CAP_SYS_RESOURCE it cannot become lower: the process is killed sooner.
            Err(Errno::EACCES) => {}
            written => written?,
        }
        // A kernel without core dumps has no such file.
        if let Some(dump) = &self.dump {
            let _ = write("coredump_filter", &format!("0x{dump}"));
        }
        // SAFETY: takes numbers.
        Errno::result(unsafe { libc::prctl(libc::PR_SET_TIMERSLACK, TIMER_SLACK) })?;
        // Not every kernel has the next two: then no process can have set anything.
        // SAFETY: take numbers, and no memory.
        unsafe {
            let none = std::ptr::null::<libc::c_ulong>();
            libc::syscall(libc::SYS_set_mempolicy, libc::MPOL_DEFAULT, none, 0);
            libc::prctl(libc::PR_SET_THP_DISABLE, 0, 0, 0, 0);
        }
        Ok(())
    }

    fn set_processors(&self) -> Result<()> {
        let all: Vec<usize> = (0..CpuSet::count()).collect();
        if !self.processors.is_empty() {
            match affinity::set(&self.processors) {
                // The other process is in a cpuset that has none of this one's (cpuset(7)).
                Err(Errno::EINVAL) => {}
                set => return set,
            }
        }
        affinity::set(&all)
    }
}
