//! The limits of a job, which its process sets on itself before it becomes the job.

use error::{Context as _, Result};
use sys::{affinity, rlimit};
use wire::PayloadLimits;

/// The time between SIGXCPU and SIGKILL, in seconds of processor time.
const PROCESSOR_GRACE: u64 = 5;

/// Sets the limits for this process and for what it starts. They are lowered only, so a limit that
/// the switcher has set stays if it is lower.
pub(crate) fn set(limits: &PayloadLimits) -> Result<()> {
    let PayloadLimits { file_size, processor_seconds, processes, processors } = *limits;
    if let Some(processors) = processors {
        affinity::narrow(processors, fastrand::usize(..)).at("choose", "the processors")?;
    }
    if let Some(bytes) = file_size {
        rlimit::limit_file_size(bytes).at("limit", "the size of files")?;
    }
    if let Some(seconds) = processor_seconds {
        let hard = seconds.saturating_add(PROCESSOR_GRACE);
        rlimit::limit_processor_time(seconds, hard).at("limit", "the processor time")?;
    }
    if let Some(processes) = processes {
        rlimit::limit_processes(processes).at("limit", "the number of processes")?;
    }
    Ok(())
}
