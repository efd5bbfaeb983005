//! The log: one line of JSON for each operation, if `GLEXEC_HELPERS_LOG` is set.

use std::ffi::{OsStr, OsString};
use std::fmt::{self, Display, Formatter, Write as _};
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use error::Shown;
use sys::file;

/// The variable with the destination of the log: the path of a file, `syslog`, or `stderr`.
const NAME: &str = "GLEXEC_HELPERS_LOG";

/// Whether there is a log.
pub fn is_wanted() -> bool {
    destination().is_some()
}

/// The members of one line: facts about one operation.
#[derive(Default)]
pub struct Line {
    members: String,
}

impl Line {
    /// Adds a member with a value that is already JSON.
    pub fn json(&mut self, name: &str, value: impl Display) -> &mut Self {
        let comma = if self.members.is_empty() { "" } else { "," };
        let _ = write!(self.members, "{comma}{}:{value}", Quoted(name));
        self
    }

    /// Adds a text; nothing if there is none.
    pub fn text(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.json(name, Quoted(value)),
            None => self,
        }
    }

    /// Adds an array of texts.
    pub fn texts(&mut self, name: &str, values: &[String]) -> &mut Self {
        let quoted: Vec<String> = values.iter().map(|value| Quoted(value).to_string()).collect();
        self.json(name, format_args!("[{}]", quoted.join(",")))
    }

    /// The members as one JSON object.
    pub fn to_object(&self) -> String {
        format!("{{{}}}", self.members)
    }

    /// Writes the line, if there is a log, after the members that every line has: the program, its
    /// process id, the time, the duration (`took`), and the exit status. No status if the operation
    /// continues in another program.
    ///
    /// An operation does not fail because of its log: the error is a warning for the caller.
    pub fn write(&self, program: &str, took: Duration, status: Option<u8>) -> Result<(), String> {
        let Some(destination) = destination() else { return Ok(()) };
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let mut line = Line::default();
        line.text("helper", Some(program));
        line.json("milliseconds", took.as_secs_f64() * 1000.0);
        line.text(
            "outcome",
            Some(match status {
                None => "started",
                Some(0) => "ok",
                Some(_) => "failed",
            }),
        );
        line.json("pid", std::process::id());
        if let Some(status) = status {
            line.json("status", status);
        }
        line.json("time", now.as_secs_f64());
        let comma = if self.members.is_empty() { "" } else { "," };
        let line = format!("{{{}{comma}{}}}", line.members, self.members);
        let written = match destination.to_str() {
            Some("stderr") => writeln!(std::io::stderr(), "{line}"),
            Some("syslog") => syslog(program, &line),
            // One write for the whole line: the lines of programs that run at the same time do not
            // mix.
            _ => open_to_append(destination.as_ref())
                .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())),
        };
        written.map_err(|error| {
            format!(
                "warning: cannot write to the log {} ({NAME}): {error}",
                Shown::os(&destination)
            )
        })
    }
}

/// A text as a string of JSON (RFC 8259, section 7).
struct Quoted<'a>(&'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_char('"')?;
        for c in self.0.chars() {
            match c {
                '"' | '\\' => write!(f, "\\{c}")?,
                '\0'..='\x1f' => write!(f, "\\u{:04x}", u32::from(c))?,
                c => f.write_char(c)?,
            }
        }
        f.write_char('"')
    }
}

fn destination() -> Option<OsString> {
    std::env::var_os(NAME).filter(|destination| !destination.is_empty())
}

/// The sandbox of a retained proxy, for the log; for any other credential the path of the
/// credential.
pub fn sandbox_of_credential(credential: &Path) -> PathBuf {
    let retained = credential.parent().unwrap_or(credential).as_os_str().as_bytes();
    let sandbox = retained.strip_suffix(b".condor");
    sandbox.map_or(credential.to_path_buf(), |path| OsStr::from_bytes(path).into())
}

/// Opens the log to append to it. A new file has mode 0600, whatever the umask is.
///
/// Other users may be able to write to its directory. So a symbolic link is not followed, a file
/// with several hard links is refused, and the open does not wait for the reader of a FIFO.
pub fn open_to_append(path: &Path) -> std::io::Result<File> {
    let refused = |why: &str| Err(std::io::Error::other(why.to_owned()));
    let mut options = File::options();
    options.append(true).custom_flags(file::NOFOLLOW_NONBLOCK);
    let opened = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match options.clone().create_new(true).mode(0o600).open(path) {
                Ok(made) => file::set_mode(&made, 0o600).map(|()| made).map_err(Into::into),
                // Another program has created it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path),
                failed => failed,
            }
        }
        opened => opened,
    }?;
    match opened.metadata()? {
        found if !found.is_file() => refused("it is not a regular file"),
        found if found.nlink() != 1 => refused("it has more than one hard link"),
        _ => Ok(opened),
    }
}

/// One message to the local system log, facility user, severity informational (syslog(3), RFC
/// 3164).
fn syslog(helper: &str, line: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // If the system log is busy the line is lost: the program does not wait.
    socket.set_nonblocking(true)?;
    socket
        .send_to(format!("<14>{helper}[{}]: {line}", std::process::id()).as_bytes(), "/dev/log")
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Line, Quoted};

    #[test]
    fn a_text_is_quoted_as_json_requires() {
        assert_eq!(Quoted("a\"b\\c\n\u{1b}\u{e9}").to_string(), r#""a\"b\\c\u000a\u001bé""#);
    }

    #[test]
    fn a_missing_text_adds_no_member() {
        let mut line = Line::default();
        line.text("a", None)
            .text("b", Some("x"))
            .texts("c", &["y".to_owned(), "z".to_owned()])
            .json("d", 1);
        assert_eq!(line.members, r#""b":"x","c":["y","z"],"d":1"#);
    }
}
