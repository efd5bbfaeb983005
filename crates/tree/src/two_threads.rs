//! Working on a directory in two threads: one works while the other waits for the disk.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

use error::{Error, Result};
use sys::{Name, OwnedName};

use super::names::Names;

/// How often the first thread, once it has no more to do, looks whether the second one has ended.
const POLL_INTERVAL: Duration = Duration::from_millis(1);

/// How often the heartbeat is called while a thread waits for the other one.
const HEARTBEAT_INTERVAL: Duration = Duration::from_millis(100);

/// A directory of at least this size has so many entries that two threads divide them. (File
/// systems differ; with 1,000 entries it is 20 KB on tmpfs and 24 KB or more on ext4 and XFS.)
pub(crate) const MANY_ENTRIES: u64 = 20_000;

/// The entries of a directory that one of two threads works on.
#[derive(Clone, Copy)]
pub(crate) enum Part {
    /// All of them: the other thread has none.
    All,
    /// One of two halves, by their names.
    Half(bool),
}

impl Part {
    /// Whether a name belongs to this part.
    pub(crate) fn has(self, name: Name<'_>) -> bool {
        match self {
            Part::All => true,
            Part::Half(odd) => {
                (name.bytes().iter().fold(0, |sum, byte| sum ^ byte) & 1 == 1) == odd
            }
        }
    }
}

/// What two threads share: the subdirectories that none has begun with.
pub(crate) struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    names: Names,
    /// How many threads still read the directory: they may find more names.
    reading: usize,
}

impl Shared {
    /// For a directory that was read already.
    pub(crate) fn of(names: Names) -> Self {
        Shared { state: Mutex::new(State { names, reading: 0 }), changed: Condvar::new() }
    }

    /// For a directory that both threads read first.
    pub(crate) fn unread() -> Self {
        let state = State { names: Names::default(), reading: 2 };
        Shared { state: Mutex::new(state), changed: Condvar::new() }
    }

    /// Adds the subdirectories that a thread has found in its part of the directory.
    pub(crate) fn add(&self, mut names: Names) {
        if let Ok(mut state) = self.state.lock() {
            while let Some(name) = names.last() {
                state.names.push(name);
                names.pop();
            }
            state.reading = state.reading.saturating_sub(1);
        }
        self.changed.notify_all();
    }

    /// The next name that no thread has begun with. While the other thread still reads, this waits,
    /// and calls `heartbeat` from time to time.
    pub(crate) fn next(&self, heartbeat: &mut dyn FnMut()) -> Option<OwnedName> {
        let mut state = self.state.lock().ok()?;
        loop {
            if let Some(name) = state.names.last().map(OwnedName::from) {
                state.names.pop();
                return Some(name);
            }
            if state.reading == 0 {
                return None;
            }
            state = self.changed.wait_timeout(state, HEARTBEAT_INTERVAL).ok()?.0;
            heartbeat();
        }
    }

    /// The other thread does not wait for what a thread that has failed would have found.
    fn fail(&self) {
        if let Ok(mut state) = self.state.lock() {
            state.reading = 0;
        }
        self.changed.notify_all();
    }
}

/// Calls `work` in this thread, and in a second one if `two` is set; returns what each returns. If
/// the second thread can't be started, the first one does everything. `heartbeat` is passed on, and
/// is called for the work of the second thread as well; that one gets a counter instead.
pub(crate) fn run<T: Send>(
    shared: &Shared,
    two: bool,
    heartbeat: &mut dyn FnMut(),
    work: impl Fn(Part, &mut dyn FnMut()) -> Result<T> + Sync,
) -> Result<(T, Option<T>)> {
    let done_by_second = AtomicU64::new(0);
    let work = |part: Part, heartbeat: &mut dyn FnMut()| {
        work(part, heartbeat).inspect_err(|_| shared.fail())
    };
    let mut count = || {
        done_by_second.fetch_add(1, Ordering::Relaxed);
    };
    std::thread::scope(|scope| {
        let second = std::thread::Builder::new();
        let second = two.then(|| second.spawn_scoped(scope, || work(Part::Half(true), &mut count)));
        let Some(Ok(second)) = second else {
            // Nothing is read by another thread.
            if let Ok(mut state) = shared.state.lock() {
                state.reading = state.reading.min(1);
            }
            return work(Part::All, heartbeat).map(|first| (first, None));
        };
        let first = work(Part::Half(false), heartbeat);
        let mut seen = 0;
        while !second.is_finished() {
            std::thread::sleep(POLL_INTERVAL);
            let done = done_by_second.load(Ordering::Relaxed);
            if std::mem::replace(&mut seen, done) != done {
                heartbeat();
            }
        }
        let panicked = |_| Error::refused("this process", "a thread of it failed");
        let second = second.join().map_err(panicked).and_then(|second| second);
        first.and_then(|first| Ok((first, Some(second?))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(count: u32) -> Names {
        let mut names = Names::default();
        for number in 0..count {
            if let Some(name) = Name::new(format!("{number}").as_bytes()) {
                names.push(name);
            }
        }
        names
    }

    #[test]
    fn each_name_is_worked_on_once_whoever_has_found_it() -> anyhow::Result<()> {
        for two in [false, true] {
            let shared = Shared::unread();
            let mut heartbeats = 0;
            let (first, second) = run(&shared, two, &mut || heartbeats += 1, |part, heartbeat| {
                let mut all = names(1000);
                let mut found = Names::default();
                while let Some(name) = all.last() {
                    if part.has(name) {
                        found.push(name);
                    }
                    all.pop();
                }
                shared.add(found);
                let mut done = 0;
                while shared.next(&mut || ()).is_some() {
                    heartbeat();
                    done += 1;
                }
                Ok(done)
            })?;
            assert_eq!(first + second.unwrap_or(0), 1000);
            assert_eq!(second.is_some(), two);
            assert!(two || heartbeats == 1000);
        }
        Ok(())
    }

    #[test]
    fn a_thread_does_not_wait_for_one_that_has_failed() {
        let shared = Shared::unread();
        let failed = run(&shared, true, &mut || (), |part, _| match part {
            Part::Half(true) => Err(Error::refused("this", "fails")),
            _ => {
                shared.add(names(3));
                while shared.next(&mut || ()).is_some() {}
                Ok(())
            }
        });
        assert!(failed.is_err());
    }
}
