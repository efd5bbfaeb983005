//! The payloads of an account: a file of lines `key value` for each, whose lock the process above
//! the payload holds. A file whose lock is free belongs to a payload that has ended, and says how;
//! or to one whose process was killed.

use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

use command::refusal::Result;
use sys::flock::{self, Lock};
use sys::wait::End;
use sys::{Errno, Pid, Uid, errno, flock_holders, pidfd, process, signal};

use super::record::{escape, unescape, value};
use super::table::{Slot, failed, now, open, remove};

/// The beginning of the name of a file that is not complete.
const TEMPORARY: &str = "new.";

/// A payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PayloadRecord {
    /// Its number: 16 hexadecimal digits.
    pub payload: String,
    /// The number of its lease.
    pub lease: String,
    /// The client.
    pub client: Uid,
    /// Its process; none before it is executed.
    pub pid: Option<Pid>,
    /// The process above it.
    pub supervisor: Pid,
    /// When it has begun, in seconds since 1970.
    pub begun: u64,
    /// Its cgroup, if it has one.
    pub cgroup: Option<PathBuf>,
    /// The words of its command, as the log shows them.
    pub command: String,
    /// How it has ended, if it has.
    pub end: Option<String>,
    /// Whether the process above it lives.
    pub is_running: bool,
}

impl PayloadRecord {
    /// The record of a payload of this process.
    pub fn new(payload: String, lease: String, client: Uid, command: String) -> PayloadRecord {
        PayloadRecord {
            payload,
            lease,
            client,
            pid: None,
            supervisor: process::getpid(),
            begun: now(),
            cgroup: None,
            command,
            end: None,
            is_running: true,
        }
    }

    fn to_text(&self) -> String {
        let mut text = format!(
            "payload {}\nlease {}\nclient {}\nsupervisor {}\nbegun {}\n",
            self.payload, self.lease, self.client, self.supervisor, self.begun
        );
        if let Some(pid) = self.pid {
            text += &format!("pid {pid}\n");
        }
        if let Some(cgroup) = &self.cgroup {
            text += &format!("cgroup {}\n", escape(cgroup.as_os_str().as_encoded_bytes()));
        }
        if let Some(end) = &self.end {
            text += &format!("end {}\n", escape(end.as_bytes()));
        }
        text + &format!("command {}\n", escape(self.command.as_bytes()))
    }

    fn parse(text: &[u8], is_running: bool) -> Option<PayloadRecord> {
        let text = std::str::from_utf8(text).ok()?;
        let get = |key: &str| value(text, key);
        let word =
            |key: &str| get(key).and_then(unescape).and_then(|bytes| String::from_utf8(bytes).ok());
        let pid = |key: &str| get(key)?.parse().ok().map(Pid::from_raw);
        Some(PayloadRecord {
            payload: get("payload")?.to_owned(),
            lease: get("lease")?.to_owned(),
            client: get("client")?.parse().ok().map(Uid::from_raw)?,
            pid: pid("pid"),
            supervisor: pid("supervisor")?,
            begun: get("begun")?.parse().ok()?,
            cgroup: word("cgroup").map(PathBuf::from),
            command: word("command")?,
            end: word("end"),
            is_running,
        })
    }
}

/// The record of a payload of this process, whose file it has locked.
#[derive(Debug)]
pub struct Registered {
    record: PayloadRecord,
    path: PathBuf,
    file: File,
}

impl Registered {
    /// Makes the file of a payload.
    pub(super) fn new(slot: &Slot, record: PayloadRecord) -> Result<Registered> {
        let directory = slot.payloads();
        let temporary = directory.join(format!("{TEMPORARY}{}", process::getpid()));
        let path = directory.join(&record.payload);
        let file = open(&temporary)?;
        // Before it has its name: a file of that name without a lock belongs to a dead process.
        flock::lock(&file, Lock::Exclusive, Duration::ZERO)
            .map_err(|cause| failed("lock", &temporary, cause))?;
        let mut registered = Registered { record, path, file };
        let made = registered.write().and_then(|()| {
            let renamed = fs::rename(&temporary, &registered.path);
            renamed.map_err(|error| failed("rename", &temporary, errno(&error)))
        });
        if made.is_err() {
            let _ = fs::remove_file(&temporary);
        }
        made.map(|()| registered)
    }

    /// The file, which stays open as long as the payload runs.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// The record.
    pub fn record(&self) -> &PayloadRecord {
        &self.record
    }

    /// Notes the payload's process.
    pub fn set_pid(&mut self, pid: Pid) -> Result<()> {
        self.record.pid = Some(pid);
        self.write()
    }

    /// Notes how the payload has ended, for a client that asks later.
    pub fn set_end(&mut self, end: End) -> Result<()> {
        self.record.end = Some(end.to_string());
        self.write()
    }

    /// Removes the file.
    pub fn remove(self) -> Result<()> {
        remove(&self.path)
    }

    fn write(&mut self) -> Result<()> {
        let text = self.record.to_text();
        let written = self
            .file
            .seek(SeekFrom::Start(0))
            .and_then(|_| self.file.write_all(text.as_bytes()))
            .and_then(|()| self.file.set_len(text.len() as u64));
        written.map_err(|error| failed("write", &self.path, errno(&error)))
    }
}

/// The payloads of an account, with those that have ended. A file without its final name is one
/// that a process is about to make, or was when it was killed.
pub(super) fn of(slot: &Slot) -> Vec<PayloadRecord> {
    let entries = fs::read_dir(slot.payloads()).into_iter().flatten().flatten();
    let record = |entry: fs::DirEntry| {
        if entry.file_name().as_bytes().starts_with(TEMPORARY.as_bytes()) {
            return None;
        }
        let path = entry.path();
        let file = File::options().write(true).open(&path).ok()?;
        // Shared: others may look at the same time.
        let is_running = flock::lock(&file, Lock::Shared, Duration::ZERO).is_err();
        PayloadRecord::parse(&fs::read(&path).ok()?, is_running)
    };
    entries.filter_map(record).collect()
}

/// Sends a signal to the process above a payload, if it has the lock of the payload's file.
pub(super) fn signal(slot: &Slot, record: &PayloadRecord, number: i32) {
    let Ok(file) = File::open(slot.payloads().join(&record.payload)) else { return };
    match flock_holders::open(record.supervisor, &file) {
        Ok(process) => _ = pidfd::send_signal(&process, number),
        // Linux before 5.3: the lock of a moment ago says that the process is there.
        Err(Errno::ENOSYS) => _ = signal::kill(record.supervisor, number),
        Err(_) => {}
    }
}

/// Forgets all payloads of an account that no process uses.
pub(super) fn forget_all(slot: &Slot) {
    let _ = fs::remove_dir_all(slot.payloads());
}

/// Whether a payload is known still.
pub(super) fn exists(slot: &Slot, record: &PayloadRecord) -> bool {
    slot.payloads().join(&record.payload).exists()
}

/// Forgets a payload that has ended.
pub(super) fn forget(slot: &Slot, record: &PayloadRecord) {
    let _ = fs::remove_file(slot.payloads().join(&record.payload));
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_the_same_after_the_file() {
        let new =
            PayloadRecord::new("1".repeat(16), "2".repeat(16), Uid::from_raw(5), "a b".into());
        let ended = PayloadRecord {
            pid: Some(Pid::from_raw(7)),
            cgroup: Some("/sys/fs/cgroup/a b".into()),
            end: Some("exited 0".into()),
            ..new.clone()
        };
        for record in [new, ended] {
            let text = record.to_text();
            assert_eq!(PayloadRecord::parse(text.as_bytes(), true), Some(record));
        }
    }
}
