//! Watching what a sandbox uses of its file system.
//!
//! The pilot cannot read the payload's directories, and cannot see what a user has on a file system
//! without quotas. So an agent, which runs as the payload's user, adds up the blocks of the files.
//! A thread waits for its answers, since that user can stop the agent.
//!
//! What the agent cannot see is not counted: files that are deleted but still open, and directories
//! that their owner has closed to itself.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use error::{Context as _, Error, Result};
use sys::fd;
use wire::{Halt, Needs};

use crate::batch::agent::{Agent, AgentCall};
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::Switcher;

/// The time between two looks, at least and at most.
const INTERVAL: Duration = Duration::from_millis(500);
const LONGEST_INTERVAL: Duration = Duration::from_secs(60);

/// A look takes at most this part of the time between two looks, up to the longest interval.
const SHARE: u32 = 20;

/// After so many failures in a row the sandbox counts as one that cannot be watched. A directory
/// that is moved while the agent is in it is one failure.
const MAX_FAILURES: u32 = 3;

/// Watches one sandbox.
pub struct DiskWatcher<'a> {
    sandbox: &'a Sandbox,
    switcher: Switcher,
    thread: Option<Running>,
    failures: u32,
    /// The most that was seen, in bytes.
    peak: Option<u64>,
}

/// The thread of one agent.
struct Running {
    /// The number of bytes after each look; at its end, no more looks come.
    looks: File,
    /// Ends the waits between looks when it is dropped.
    stop: mpsc::Sender<()>,
    is_stopped: Arc<AtomicBool>,
    thread: JoinHandle<Error>,
}

impl<'a> DiskWatcher<'a> {
    /// Begins to watch.
    pub fn begin(sandbox: &'a Sandbox, switcher: &Switcher) -> Result<DiskWatcher<'a>> {
        let switcher = switcher.with_short_idle_timeout();
        let mut watcher = DiskWatcher { sandbox, switcher, thread: None, failures: 0, peak: None };
        watcher.start()?;
        Ok(watcher)
    }

    /// Calls an agent, and starts its thread. The call is made here: the thread could not change
    /// the working directory for it.
    fn start(&mut self) -> Result<()> {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let halted = Arc::clone(&is_stopped);
        let halt = Halt::when(move || halted.load(Ordering::Relaxed));
        let switcher = self.switcher.clone().with_halt(halt);
        let agent = AgentCall::serve(&switcher, &self.sandbox.path())?.wait_for_hello()?;
        let (looks, found) = fd::pipe().at("make a pipe for", switcher.program())?;
        let (stop, stopped) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .spawn(move || look(agent, found, &stopped))
            .map_err(|error| sys::errno(&error))
            .at("start a thread for", switcher.program())?;
        self.thread = Some(Running { looks, stop, is_stopped, thread });
        Ok(())
    }

    /// The most that was seen, in bytes.
    pub fn peak(&self) -> Option<u64> {
        self.peak
    }

    /// Readable after a look; none when no more looks come.
    pub fn looks(&self) -> Option<BorrowedFd<'_>> {
        self.thread.as_ref().map(|running| running.looks.as_fd())
    }

    /// Reads what one look has found: to be called when this is readable. None after a failure that
    /// may be over.
    pub fn receive(&mut self) -> Result<Option<u64>> {
        let Some(running) = &mut self.thread else { return Ok(None) };
        let mut bytes = [0; 8];
        if running.looks.read_exact(&mut bytes).is_ok() {
            let used = u64::from_ne_bytes(bytes);
            self.failures = 0;
            self.peak = self.peak.max(Some(used));
            return Ok(Some(used));
        }
        self.failures += 1;
        let error = self.end();
        if self.failures >= MAX_FAILURES {
            return Err(error.unwrap_or_else(|| Error::refused("the agent", "it has ended")));
        }
        self.start().map(|()| None)
    }

    /// Ends the thread and the agent. Returns why the agent had ended before.
    pub fn end(&mut self) -> Option<Error> {
        let Running { looks, stop, is_stopped, thread } = self.thread.take()?;
        is_stopped.store(true, Ordering::Relaxed);
        drop((looks, stop));
        thread.join().ok()
    }
}

impl Drop for DiskWatcher<'_> {
    fn drop(&mut self) {
        self.end();
    }
}

/// Has the agent look until that fails or this is stopped. Returns the reason.
fn look(mut agent: Agent, mut found: File, stopped: &mpsc::Receiver<()>) -> Error {
    loop {
        let begun = Instant::now();
        let Needs { bytes, large, .. } = match agent.measure() {
            Ok(needs) => needs,
            Err(error) => return agent.fail(error),
        };
        let used = bytes.saturating_add(large);
        let pause = (begun.elapsed() * SHARE).clamp(INTERVAL, LONGEST_INTERVAL);
        let is_read = found.write_all(&used.to_ne_bytes()).is_ok();
        if !is_read || stopped.recv_timeout(pause) != Err(RecvTimeoutError::Timeout) {
            agent.close();
            return Error::refused("the agent that measures the sandbox", "it was stopped");
        }
    }
}
