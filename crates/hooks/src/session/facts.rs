//! What is known about a session: for its scripts, and for the registry.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt as _;
use std::time::{SystemTime, UNIX_EPOCH};

use error::Shown;
use sys::wait::End;
use sys::{Gid, Pid, Uid};

use super::Event;
use super::plan::Of;
use crate::environment;

/// How long the command may be as one text. One variable can have 128 KiB (execve(2)).
const LONGEST_COMMAND: usize = 32 << 10;

/// A session: one payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Names it on this machine; letters, digits and hyphens.
    pub id: String,
    /// When it began, in seconds since 1970.
    pub since: u64,
    /// The name of the user that called the switcher.
    pub caller: Vec<u8>,
    /// The name of the payload's user; its user id if it has none.
    pub user: Vec<u8>,
    /// The payload's user id.
    pub uid: Uid,
    /// The payload's group id.
    pub gid: Gid,
    /// The home directory of the payload's user.
    pub home: Vec<u8>,
    /// The payload's program and arguments on one line ([`command_line`]).
    pub command: String,
    /// The sandbox, if the credential is the retained proxy of one; else empty.
    pub sandbox: Vec<u8>,
    /// The path of the credential.
    pub credential: Vec<u8>,
    /// The process above the payload, which lives as long as the session.
    pub pid: Pid,
}

/// The words of a command as one line, of limited length.
pub fn command_line<T: AsRef<OsStr>>(words: &[T]) -> String {
    let shown: Vec<String> = words.iter().map(|word| Shown::os(word).to_string()).collect();
    let mut line = shown.join(" ");
    let end = (0..=LONGEST_COMMAND.min(line.len())).rev().find(|end| line.is_char_boundary(*end));
    line.truncate(end.unwrap_or(0));
    line
}

/// A new id: the time and the process id.
pub fn new_id() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{}", now.as_micros(), std::process::id())
}

/// Now, in seconds since 1970.
pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// How a session has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The payload has ended so.
    Ended(End),
    /// The payload was not executed; the switcher's status.
    Refused(u8),
    /// The switcher was killed: this is not known, and the scripts may have run before.
    Again,
}

impl Facts {
    /// The facts as the files of the registry: name and content.
    pub(crate) fn files(&self) -> [(&'static str, Vec<u8>); 11] {
        let text = |text: &dyn ToString| text.to_string().into_bytes();
        [
            ("id", text(&self.id)),
            ("since", text(&self.since)),
            ("caller", self.caller.clone()),
            ("user", self.user.clone()),
            ("uid", text(&self.uid)),
            ("gid", text(&self.gid)),
            ("home", self.home.clone()),
            ("command", text(&self.command)),
            ("sandbox", self.sandbox.clone()),
            (CREDENTIAL, self.credential.clone()),
            ("pid", text(&self.pid)),
        ]
    }

    /// Reads what [`Facts::files`] has; none if a file is missing or damaged. The credential may be
    /// hidden from this user.
    pub(crate) fn from_files(read: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Facts> {
        let text = |name: &str| String::from_utf8(read(name)?).ok();
        let number = |name: &str| text(name)?.parse::<u32>().ok();
        Some(Facts {
            id: text("id")?,
            since: text("since")?.parse().ok()?,
            caller: read("caller")?,
            user: read("user")?,
            uid: Uid::from_raw(number("uid")?),
            gid: Gid::from_raw(number("gid")?),
            home: read("home")?,
            command: text("command")?,
            sandbox: read("sandbox")?,
            credential: read(CREDENTIAL).unwrap_or_default(),
            pid: Pid::from_raw(text("pid")?.parse().ok()?),
        })
    }

    /// The whole environment of a script.
    pub(crate) fn environment(
        &self,
        event: Event,
        outcome: Option<Outcome>,
        of: Of,
        info: &OsStr,
    ) -> Vec<CString> {
        let mut environment = environment::fixed();
        // A text of these never holds a NUL: it comes from arguments, accounts and paths.
        let mut add = |name: &str, value: &[u8]| {
            let entry = [name.as_bytes(), b"=", value].concat();
            environment.extend(CString::new(entry));
        };
        let (uid, gid, pid) = (self.uid.to_string(), self.gid.to_string(), self.pid.to_string());
        add("GLEXEC_SESSION_ID", self.id.as_bytes());
        add("GLEXEC_SESSION_USER", &self.user);
        add("GLEXEC_SESSION_UID", uid.as_bytes());
        add("GLEXEC_SESSION_GID", gid.as_bytes());
        add("GLEXEC_SESSION_HOME", &self.home);
        add("GLEXEC_SESSION_CALLER", &self.caller);
        add("GLEXEC_SESSION_COMMAND", self.command.as_bytes());
        add("GLEXEC_SESSION_PID", pid.as_bytes());
        if let Some(outcome) = outcome {
            let (result, status) = outcome.words();
            add("GLEXEC_SESSION_RESULT", result.as_bytes());
            if let Some(status) = status {
                add("GLEXEC_SESSION_STATUS", status.as_bytes());
            }
            add("GLEXEC_SESSION_BEGIN", self.since.to_string().as_bytes());
            add("GLEXEC_SESSION_END", now().to_string().as_bytes());
        }
        if of == Of::PamScript {
            let kind = if event == Event::Added { "open_session" } else { "close_session" };
            add("PAM_USER", &self.user);
            add("PAM_RUSER", &self.caller);
            add("PAM_SERVICE", b"glexec");
            add("PAM_TTY", b"");
            add("PAM_RHOST", b"");
            add("PAM_TYPE", kind.as_bytes());
            add("PAM_SCRIPT_INFO", info.as_bytes());
        } else {
            add("CK_SESSION_ID", self.id.as_bytes());
            add("CK_SESSION_TYPE", b"batch");
            add("CK_SESSION_SEAT_ID", b"");
            add("CK_SESSION_USER_UID", uid.as_bytes());
            add("CK_SESSION_IS_ACTIVE", event.is_active().to_string().as_bytes());
            // A batch job's user does not sit at this machine: scripts give devices to local ones.
            add("CK_SESSION_IS_LOCAL", b"false");
        }
        environment
    }
}

/// The file that users other than root cannot read.
pub(crate) const CREDENTIAL: &str = "credential";

impl Outcome {
    /// The values of GLEXEC_SESSION_RESULT and GLEXEC_SESSION_STATUS.
    fn words(self) -> (&'static str, Option<String>) {
        match self {
            Outcome::Ended(End::Exited(status)) => ("exited", Some(status.to_string())),
            Outcome::Ended(End::Killed(number)) => ("killed", Some(sys::signal::name(number))),
            Outcome::Refused(status) => ("refused", Some(status.to_string())),
            Outcome::Again => ("again", None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{LONGEST_COMMAND, command_line};

    #[test]
    fn a_command_is_one_line_of_limited_length() {
        assert_eq!(command_line(&["/bin/echo", "a\nb", "c"]), "/bin/echo a\\nb c");
        assert_eq!(command_line(&["ä".repeat(LONGEST_COMMAND)]).len(), LONGEST_COMMAND);
        assert_eq!(command_line::<&str>(&[]), "");
    }
}
