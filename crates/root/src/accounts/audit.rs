//! The audit: who had which account when, and what ran as it. One JSON object a line, in a file
//! that is only appended to (`audit_file`), and in the system log.
//!
//! - `line`: the form of a line, which no text of a client can break;
//! - `file`: the file, which can be rotated at any time;
//! - [`record`]: a line that is read again;
//! - [`history`]: which leases and payloads a time had.

mod file;
pub mod history;
mod line;
pub mod record;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use command::refusal::Status;
use command::utc;
use sys::{Pid, Uid, process};

use self::line::Line;
use crate::config::Config;
use crate::log::{self, Level};

/// The kind of an account: whether one identity owns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holding {
    /// The identity owns the account: it may be its login.
    Owned,
    /// No identity owns it: it is a guest account, with one lease at a time.
    Guest,
}

/// Whose lease it is.
#[derive(Clone, Copy, Debug)]
pub struct Lease<'a> {
    /// The lease's number, 16 hexadecimal digits.
    pub lease: &'a str,
    /// The account.
    pub account: &'a [u8],
    /// Its user id.
    pub uid: Uid,
    /// Whether it is owned.
    pub holding: Holding,
    /// The client that has the lease.
    pub client: Uid,
    /// The name of the client.
    pub client_name: &'a [u8],
    /// The identity: a subject, the name of a calling account, or the place of a credential.
    pub identity: &'a [u8],
}

/// A change of the owner of a directory.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// `give`, `take` or `undo`.
    pub direction: &'a str,
    /// Where the kernel has the directory when the change begins.
    pub directory: &'a Path,
    /// Where the directory is afterwards, if it gets another name.
    pub to: Option<&'a Path>,
}

/// An event. The times are seconds since 1970.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs, reason = "the names are those of the lines")]
pub enum Event<'a> {
    DaemonStarted { boot: &'a str },
    DaemonStopped,
    LeaseBegun { lease: Lease<'a>, credential: &'a Path, until: u64 },
    LeaseEnded { lease: Lease<'a>, reason: &'a str, is_clean: bool },
    PayloadStarted { payload: &'a str, lease: Lease<'a>, pid: Pid, command: &'a str },
    PayloadEnded { payload: &'a str, lease: Lease<'a>, end: &'a str },
    PayloadLost { payload: &'a str, lease: Lease<'a>, command: &'a str },
    ChangeBegun { change: &'a str, lease: Lease<'a>, order: Change<'a> },
    ChangeEnded { change: &'a str, lease: Lease<'a>, order: Change<'a>, result: &'a str },
    Refused { client: Uid, status: Status, text: &'a str, command: &'a str },
    Quarantined { account: &'a [u8], uid: Uid, why: &'a str },
    Freed { account: &'a [u8], uid: Uid },
    AccountAdded { account: &'a [u8], owner: Option<&'a [u8]>, by: Uid },
    AccountRemoved { account: &'a [u8], by: Uid },
    DrainBegun { by: Uid },
    DrainEnded { by: Uid },
}

/// The file, once this process has read the configuration.
static FILE: OnceLock<Option<PathBuf>> = OnceLock::new();

/// Sets the file of this process and of those that it makes by fork: `audit_file` of the
/// configuration; none for the system log alone. Without it the file is the default one. The first
/// call counts.
pub fn set_file(path: Option<PathBuf>) {
    let _ = FILE.set(path);
}

/// Writes an event to the file and to the system log. It never fails its caller: that the file
/// cannot be written is an error in the system log, and the event is there, too.
pub fn write(event: &Event<'_>) {
    let line = object(event, utc::now());
    let tag = format!("glexecd[{}]", process::getpid());
    let _ = log::syslog(Level::Notice, &format!("{tag}: {line}"));
    let Some(path) = FILE.get_or_init(|| Config::default().audit_file) else { return };
    if let Err(error) = file::append(path, &line) {
        let _ = log::syslog(Level::Error, &format!("{tag}: the audit is not complete: {error}"));
    }
}

/// The object of an event.
fn object(event: &Event<'_>, now: Duration) -> String {
    let mut line = Line::new(name(event), now);
    match event {
        Event::DaemonStarted { boot } => {
            line.text("boot", boot.as_bytes()).time("booted", booted(now));
            line.text("version", env!("CARGO_PKG_VERSION").as_bytes());
        }
        Event::DaemonStopped => {}
        Event::LeaseBegun { lease, credential, until } => {
            of_lease(&mut line, lease).path("credential", credential);
            line.time("until", Duration::from_secs(*until));
        }
        Event::LeaseEnded { lease, reason, is_clean } => {
            of_lease(&mut line, lease).text("reason", reason.as_bytes());
            line.boolean("clean", *is_clean);
        }
        Event::PayloadStarted { payload, lease, pid, command } => {
            line.text("payload", payload.as_bytes());
            of_lease(&mut line, lease).number("payload_pid", pid.as_raw().into());
            line.text("command", command.as_bytes());
        }
        Event::PayloadEnded { payload, lease, end } => {
            line.text("payload", payload.as_bytes());
            of_lease(&mut line, lease).text("end", end.as_bytes());
        }
        Event::PayloadLost { payload, lease, command } => {
            line.text("payload", payload.as_bytes());
            of_lease(&mut line, lease).text("command", command.as_bytes());
        }
        Event::ChangeBegun { change, lease, order } => {
            of_change(&mut line, change, lease, order);
        }
        Event::ChangeEnded { change, lease, order, result } => {
            of_change(&mut line, change, lease, order).text("result", result.as_bytes());
        }
        Event::Refused { client, status, text, command } => {
            line.number("client", client.as_raw().into()).number("status", *status as i64);
            line.text("text", text.as_bytes()).text("command", command.as_bytes());
        }
        Event::Quarantined { account, uid, why } => {
            line.text("account", account).number("uid", uid.as_raw().into());
            line.text("why", why.as_bytes());
        }
        Event::Freed { account, uid } => {
            line.text("account", account).number("uid", uid.as_raw().into());
        }
        Event::AccountAdded { account, owner, by } => {
            line.text("account", account).number("by", by.as_raw().into());
            if let Some(owner) = owner {
                line.text("owner", owner);
            }
        }
        Event::AccountRemoved { account, by } => {
            line.text("account", account).number("by", by.as_raw().into());
        }
        Event::DrainBegun { by } | Event::DrainEnded { by } => {
            line.number("by", by.as_raw().into());
        }
    }
    line.finish()
}

/// The name of an event in its line.
fn name(event: &Event<'_>) -> &'static str {
    match event {
        Event::DaemonStarted { .. } => "daemon_started",
        Event::DaemonStopped => "daemon_stopped",
        Event::LeaseBegun { .. } => "lease_begun",
        Event::LeaseEnded { .. } => "lease_ended",
        Event::PayloadStarted { .. } => "payload_started",
        Event::PayloadEnded { .. } => "payload_ended",
        Event::PayloadLost { .. } => "payload_lost",
        Event::ChangeBegun { .. } => "change_begun",
        Event::ChangeEnded { .. } => "change_ended",
        Event::Refused { .. } => "refused",
        Event::Quarantined { .. } => "quarantined",
        Event::Freed { .. } => "freed",
        Event::AccountAdded { .. } => "account_added",
        Event::AccountRemoved { .. } => "account_removed",
        Event::DrainBegun { .. } => "drain_begun",
        Event::DrainEnded { .. } => "drain_ended",
    }
}

fn of_change<'l>(
    line: &'l mut Line,
    change: &str,
    lease: &Lease<'_>,
    order: &Change<'_>,
) -> &'l mut Line {
    line.text("change", change.as_bytes());
    of_lease(line, lease).text("direction", order.direction.as_bytes());
    line.path("directory", order.directory);
    if let Some(to) = order.to {
        line.path("to", to);
    }
    line
}

fn of_lease<'l>(line: &'l mut Line, lease: &Lease<'_>) -> &'l mut Line {
    let kind = match lease.holding {
        Holding::Owned => "owned",
        Holding::Guest => "guest",
    };
    line.text("lease", lease.lease.as_bytes())
        .text("account", lease.account)
        .number("uid", lease.uid.as_raw().into())
        .text("kind", kind.as_bytes())
        .number("client", lease.client.as_raw().into())
        .text("client_name", lease.client_name)
        .text("identity", lease.identity)
}

/// When this machine was started: a lease of an earlier start has ended by then.
fn booted(now: Duration) -> Duration {
    let uptime = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds = uptime.split(['.', ' ']).next().and_then(|whole| whole.parse().ok());
    now.saturating_sub(Duration::from_secs(seconds.unwrap_or(0)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;
    use std::time::Duration;

    use command::Status;
    use sys::{Pid, Uid};

    use super::record::Record;
    use super::{Change, Event, Holding, Lease, object};

    const NOW: Duration = Duration::from_millis(1_795_489_800_123);

    fn lease(identity: &[u8]) -> Lease<'_> {
        Lease {
            lease: "0123456789abcdef",
            account: b"guest01",
            uid: Uid::from_raw(5003),
            holding: Holding::Guest,
            client: Uid::from_raw(1000),
            client_name: b"condor",
            identity,
        }
    }

    #[test]
    fn an_event_is_one_object_with_its_time_and_its_facts() {
        let credential = Path::new("/tmp/x509up_u1000");
        let event =
            Event::LeaseBegun { lease: lease(b"/CN=a b"), credential, until: 1_795_493_400 };
        let pid = std::process::id();
        assert_eq!(
            object(&event, NOW),
            format!(
                "{{\"time\":\"2026-11-24T03:10:00.123Z\",\"event\":\"lease_begun\",\"pid\":{pid},\
                 \"lease\":\"0123456789abcdef\",\"account\":\"guest01\",\"uid\":5003,\
                 \"kind\":\"guest\",\"client\":1000,\"client_name\":\"condor\",\
                 \"identity\":\"/CN=a b\",\"credential\":\"/tmp/x509up_u1000\",\
                 \"until\":\"2026-11-24T04:10:00.000Z\"}}"
            )
        );
    }

    #[test]
    fn no_text_of_a_client_breaks_a_line_or_brings_a_member() {
        for _ in 0..200 {
            let hostile: Vec<u8> = (0..fastrand::usize(..3000))
                .map(|_| {
                    if fastrand::bool() {
                        fastrand::u8(..)
                    } else {
                        b"\"\\\n,:{}e"[fastrand::usize(..8)]
                    }
                })
                .collect();
            let text = String::from_utf8_lossy(&hostile);
            let events = [
                Event::PayloadStarted {
                    payload: "p",
                    lease: lease(&hostile),
                    pid: Pid::from_raw(7),
                    command: &text,
                },
                Event::Refused {
                    client: Uid::from_raw(1),
                    status: Status::Internal,
                    text: &text,
                    command: &text,
                },
                Event::Quarantined { account: &hostile, uid: Uid::from_raw(1), why: &text },
                Event::PayloadLost { payload: "p", lease: lease(&hostile), command: &text },
                Event::ChangeEnded {
                    change: "c",
                    lease: lease(b"/CN=a"),
                    order: Change {
                        direction: "give",
                        directory: Path::new(OsStr::from_bytes(&hostile)),
                        to: Some(Path::new(OsStr::from_bytes(&hostile))),
                    },
                    result: &text,
                },
            ];
            for event in events {
                let line = object(&event, NOW);
                assert!(line.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{line}");
                assert!(line.len() < 4000, "{}", line.len());
                let record = Record::parse(line.as_bytes()).unwrap();
                assert_eq!((record.time, record.event.as_str()), (NOW, super::name(&event)));
            }
            let line = object(
                &Event::PayloadStarted {
                    payload: "p",
                    lease: lease(&hostile),
                    pid: Pid::from_raw(7),
                    command: &text,
                },
                NOW,
            );
            let names: Vec<String> = Record::parse(line.as_bytes()).unwrap().names().collect();
            let expected = [
                "account",
                "client",
                "client_name",
                "command",
                "identity",
                "kind",
                "lease",
                "payload",
                "payload_pid",
                "pid",
                "uid",
            ];
            assert_eq!(names, expected, "{line}");
        }
    }
}
