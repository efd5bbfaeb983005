//! The limits of a payload that a group can hold.

/// The period of `cpu.max`, in microseconds.
const PERIOD: u64 = 100_000;

/// What all processes of a payload can use together. `None` is no limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory, in bytes.
    pub memory: Option<u64>,
    /// The number of processes and threads.
    pub pids: Option<u64>,
    /// The number of processors: so much processor time in the same time.
    pub cpus: Option<u64>,
}

impl Limits {
    /// The controllers that they need.
    pub fn controllers(&self) -> Vec<&'static str> {
        let all = [("memory", self.memory), ("pids", self.pids), ("cpu", self.cpus)];
        all.into_iter().filter_map(|(name, value)| value.map(|_| name)).collect()
    }

    /// The files of a group, and what is written to them.
    pub(crate) fn files(&self) -> Vec<(&'static str, String)> {
        let cpu = |count: u64| format!("{} {PERIOD}", count.saturating_mul(PERIOD));
        let all = [
            ("memory.max", self.memory.map(|bytes| bytes.to_string())),
            ("pids.max", self.pids.map(|count| count.to_string())),
            ("cpu.max", self.cpus.map(cpu)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}
