//! The limits of a payload: what it may use of the machine.
//!
//! - [`plan`]: which means enforces each limit on this node, or why none does;
//! - [`family`]: the payload's processes, as /proc shows them to the pilot; [`watch`]: looks at
//!   them, and finds the limit that they exceed; [`disk`]: the same for the sandbox; [`watches`]:
//!   both for one payload;
//! - [`group`]: the payload's control group, where one is delegated to this user;
//! - [`used`]: what a payload has used.

pub mod disk;
pub mod family;
pub mod group;
pub mod plan;
pub mod used;
pub mod watch;
pub mod watches;

use std::fmt;
use std::time::Duration;

/// The limits that a caller has given. `None` is no limit.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    /// The resident memory of all processes together, in bytes.
    pub memory: Option<u64>,
    /// The number of processes and threads.
    pub pids: Option<u64>,
    /// The number of processors.
    pub cpus: Option<u64>,
    /// The size of each file that is written, in bytes.
    pub file_size: Option<u64>,
    /// What the sandbox uses of its file system, in bytes.
    pub disk: Option<u64>,
    /// The processor time of all processes together.
    pub cpu_time: Option<Duration>,
    /// Whether a payload runs although a limit cannot be enforced.
    pub best_effort: bool,
}

impl Limits {
    /// The value of a limit: bytes, a number, or seconds.
    pub fn value(&self, limit: Limit) -> Option<u64> {
        match limit {
            Limit::Memory => self.memory,
            Limit::Pids => self.pids,
            Limit::Cpus => self.cpus,
            Limit::FileSize => self.file_size,
            Limit::Disk => self.disk,
            Limit::CpuTime => self.cpu_time.map(|time| time.as_secs()),
        }
    }
}

/// One of the limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Of memory.
    Memory,
    /// Of processes.
    Pids,
    /// Of processors.
    Cpus,
    /// Of the size of a file.
    FileSize,
    /// Of the sandbox.
    Disk,
    /// Of processor time.
    CpuTime,
}

impl Limit {
    /// All, in the order of the help text.
    pub const ALL: [Limit; 6] =
        [Limit::Memory, Limit::Pids, Limit::Cpus, Limit::FileSize, Limit::Disk, Limit::CpuTime];

    /// The name of its option, without the dashes. The report uses it too.
    pub fn name(self) -> &'static str {
        match self {
            Limit::Memory => "memory",
            Limit::Pids => "pids",
            Limit::Cpus => "cpus",
            Limit::FileSize => "file-size",
            Limit::Disk => "disk",
            Limit::CpuTime => "cpu-time",
        }
    }

    /// A value of it, with its unit.
    pub fn shown(self, value: u64) -> String {
        match self {
            Limit::Memory | Limit::FileSize | Limit::Disk => format!("{value} bytes"),
            Limit::Pids => format!("{value} processes and threads"),
            Limit::Cpus => format!("{value} processors"),
            Limit::CpuTime => format!("{value} s"),
        }
    }

    /// Whether a payload that exceeds it gets the time of `--grace` to end. One that uses up
    /// memory, processes or disk space would go on with that meanwhile.
    pub fn allows_grace(self) -> bool {
        self == Limit::CpuTime
    }
}

/// A limit that a payload has exceeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit.
    pub limit: Limit,
    /// Its value.
    pub value: u64,
    /// What was used when that was seen, if it is known.
    pub used: Option<u64>,
}

impl fmt::Display for Exceeded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Exceeded { limit, value, used } = *self;
        let name = limit.name();
        write!(f, "the payload is ended: it exceeds --{name}, {}", limit.shown(value))?;
        if let Some(used) = used {
            write!(f, ", and uses {}", limit.shown(used))?;
        }
        write!(f, "; run it with a higher --{name}, or let it use less")
    }
}
