//! The log of what runs as root: syslog(3), or a file that is opened for each line, so that it can
//! be rotated at any time.
//!
//! A line tells facts that a caller chooses: arguments, `GLEXEC_ID`, a path. None of them can end
//! the line or send control sequences: such characters are escaped, whatever a message holds.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use command::log::open_to_append;
use command::utc::{self, Utc};
use sys::wait::Times;
use sys::{Pid, Uid, process};

use crate::config::{Config, Destination};

/// How important a line is: `log_level` says up to which number lines are written. The lines of
/// accounting are always written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// A call was refused, or failed.
    Error = 1,
    /// Something is not as it should be, and the call goes on.
    Warning = 2,
    /// What an audit needs: who has run what, as whom.
    Notice = 3,
    /// The steps of a call.
    Info = 4,
}

/// The most bytes of a message: a longer one would not fit into a packet for syslog.
const LONGEST: usize = 4000;

/// How long a line waits for a system log that is busy.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The log of one call.
#[derive(Clone, Copy, Debug)]
pub struct Log<'a>(&'a Config);

impl<'a> Log<'a> {
    /// The log that the configuration names.
    pub fn new(config: &'a Config) -> Log<'a> {
        Log(config)
    }

    /// Writes a line, after `glexec[<pid>]:`. An error is ignored: a call does not fail because of
    /// its log.
    pub fn write(&self, level: Level, text: impl Display) {
        if level as u8 <= self.0.log_level {
            self.line(level, &format!("glexec[{}]", process::getpid()), &text);
        }
    }

    /// Tells accounting that a payload was started. The form of this line and of the next, and the
    /// number as their last word, are what programs of accounting search for.
    pub fn started(&self, payload: Pid, user: Uid) {
        self.monitor(payload, &format_args!("Started, target uid {user}"));
    }

    /// Tells accounting the subject of a payload's credential.
    pub fn subject(&self, payload: Pid, subject: impl Display) {
        self.monitor(payload, &format_args!("Used DN: \"{subject}\""));
    }

    /// Tells accounting that a payload has ended, with whole seconds of processor time.
    pub fn terminated(&self, payload: Pid, times: Times) {
        let (user, system) = (times.user.as_secs(), times.system.as_secs());
        self.monitor(payload, &format_args!("Terminated, CPU user {user} system {system}"));
    }

    fn monitor(&self, payload: Pid, text: &dyn Display) {
        self.line(Level::Notice, &format!("glexec.mon[{}#{payload}]", process::getpid()), text);
    }

    fn line(&self, level: Level, tag: &str, text: &dyn Display) {
        let line = format!("{tag}: {}", one_line(&text.to_string()));
        let _ = match self.0.log_destination {
            Destination::Syslog => syslog(level, &line),
            Destination::File => open_to_append(&self.0.log_file).and_then(|mut file| {
                // One write for the whole line: the lines of other calls do not mix with it.
                file.write_all(
                    format!("{} {} {line}\n", date(utc::now().as_secs()), host()).as_bytes(),
                )
            }),
        };
    }
}

/// A text without control characters, of limited length.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for c in text.chars() {
        if line.len() > LONGEST {
            line.push_str("[...]");
            break;
        }
        match c.is_control() {
            true => _ = write!(line, "{}", c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// One message to the local system log, facility daemon (RFC 3164). It does not wait long for a
/// busy log: then the line is lost.
pub(crate) fn syslog(level: Level, line: &str) -> std::io::Result<()> {
    const DAEMON: u8 = 3 << 3;
    let severity = match level {
        Level::Error => 3,
        Level::Warning => 4,
        Level::Notice => 5,
        Level::Info => 6,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_write_timeout(Some(TIMEOUT))?;
    let packet = format!("<{}>{line}", DAEMON | severity);
    socket.send_to(packet.as_bytes(), "/dev/log").map(drop)
}

fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    one_line(name.trim_end())
}

/// A time as syslog writes it, in UTC.
fn date(seconds: u64) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let Utc { month, day, hour, minute, second, .. } = Utc::of(seconds);
    let name = usize::try_from(month - 1).ok().and_then(|month| MONTHS.get(month)).unwrap_or(&"");
    format!("{name} {day:2} {hour:02}:{minute:02}:{second:02}")
}

#[cfg(test)]
mod tests {
    use super::{date, one_line};

    #[test]
    fn no_message_can_end_its_line() {
        let text = "a\nglexec.mon[1#2]: Started, target uid 0\r\u{1b}[2J\u{85}\u{7f}";
        let line = one_line(text);
        assert_eq!(line.lines().count(), 1);
        assert!(!line.chars().any(char::is_control), "{line:?}");
        assert_eq!(one_line(&"x".repeat(9000)).len(), 4006);
    }

    #[test]
    fn a_date_is_that_of_syslog() {
        for (seconds, expected) in [
            (0, "Jan  1 00:00:00"),
            (951_782_399, "Feb 28 23:59:59"),
            (951_782_400, "Feb 29 00:00:00"),
            (1_796_005_516, "Nov 30 02:25:16"),
            (4_107_542_399, "Feb 28 23:59:59"),
            (4_107_542_400, "Mar  1 00:00:00"),
        ] {
            assert_eq!(date(seconds), expected);
        }
    }
}
