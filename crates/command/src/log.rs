//! The log: one JSON object a line for each operation, where `GLEXEC_HELPERS_LOG` says so.

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

/// Where the log goes: the path of a file, `syslog`, or `stderr`.
const NAME: &str = "GLEXEC_HELPERS_LOG";

/// Whether a line is wanted.
pub fn is_wanted() -> bool {
    place().is_some()
}

/// A log line in the making: the facts about one operation.
#[derive(Default)]
pub struct Line {
    members: String,
}

impl Line {
    /// Adds a fact whose value is already JSON.
    pub fn json(&mut self, name: &str, value: impl Display) -> &mut Self {
        let comma = if self.members.is_empty() { "" } else { "," };
        let _ = write!(self.members, "{comma}{}:{value}", Quoted(name));
        self
    }

    /// Adds a text, if there is one.
    pub fn text(&mut self, name: &str, value: Option<&str>) -> &mut Self {
        match value {
            Some(value) => self.json(name, Quoted(value)),
            None => self,
        }
    }

    /// Adds several texts.
    pub fn texts(&mut self, name: &str, values: &[String]) -> &mut Self {
        let quoted: Vec<String> = values.iter().map(|value| Quoted(value).to_string()).collect();
        self.json(name, format_args!("[{}]", quoted.join(",")))
    }

    /// Writes the line, if a log is wanted, with the facts that every line has: the program, its
    /// process id, the time, `took`, and the exit `status`, none while the operation goes on as
    /// another program.
    ///
    /// An operation does not fail for its log: what went wrong is returned to be said.
    pub fn write(&self, program: &str, took: Duration, status: Option<u8>) -> Result<(), String> {
        let Some(place) = place() else { return Ok(()) };
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
        let written = match place.to_str() {
            Some("stderr") => writeln!(std::io::stderr(), "{line}"),
            Some("syslog") => syslog(program, &line),
            // One write of a whole line: programs that run at the same time do not mix theirs.
            _ => open(place.as_ref())
                .and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())),
        };
        written.map_err(|error| {
            format!("warning: cannot write to the log {} ({NAME}): {error}", Shown::os(&place))
        })
    }
}

/// A text as JSON quotes it (RFC 8259, section 7).
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

fn place() -> Option<OsString> {
    std::env::var_os(NAME).filter(|place| !place.is_empty())
}

/// The sandbox of which a credential is the retained proxy, for the log; of any other credential
/// its own path.
pub fn sandbox_of_credential(credential: &Path) -> PathBuf {
    let retained = credential.parent().unwrap_or(credential).as_os_str().as_bytes();
    let sandbox = retained.strip_suffix(b".condor");
    sandbox.map_or(credential.to_path_buf(), |path| OsStr::from_bytes(path).into())
}

/// Opens the log to append to it; a new one is its owner's alone, whatever the umask.
///
/// Its directory may be open to others. So neither a link that has its name is followed, nor a file
/// written to that has another name as well, and nothing is waited for: a FIFO, above all, for
/// whose reader a program would wait.
fn open(path: &Path) -> std::io::Result<File> {
    let refused = |why: &str| Err(std::io::Error::other(why.to_owned()));
    let mut options = File::options();
    options.append(true).custom_flags(file::NOFOLLOW_NONBLOCK);
    let opened = match options.open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            match options.clone().create_new(true).mode(0o600).open(path) {
                Ok(made) => file::set_mode(&made, 0o600).map(|()| made).map_err(Into::into),
                // Another program has made it.
                Err(error) if error.kind() == ErrorKind::AlreadyExists => options.open(path),
                failed => failed,
            }
        }
        opened => opened,
    }?;
    match opened.metadata()? {
        found if !found.is_file() => refused("it is not a regular file"),
        found if found.nlink() != 1 => refused("it has another name as well"),
        _ => Ok(opened),
    }
}

/// One message to the local system log, facility user, severity informational (syslog(3), RFC
/// 3164).
fn syslog(helper: &str, line: &str) -> std::io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A log that takes nothing for now loses a line; nothing else is kept waiting for it.
    socket.set_nonblocking(true)?;
    socket
        .send_to(format!("<14>{helper}[{}]: {line}", std::process::id()).as_bytes(), "/dev/log")
        .map(drop)
}

#[cfg(test)]
mod tests {
    use super::{Line, Quoted};

    #[test]
    fn a_text_is_quoted_as_json_has_it() {
        assert_eq!(Quoted("a\"b\\c\n\u{1b}\u{e9}").to_string(), r#""a\"b\\c\u000a\u001bé""#);
    }

    #[test]
    fn a_fact_that_there_is_not_leaves_no_member() {
        let mut line = Line::default();
        line.text("a", None)
            .text("b", Some("x"))
            .texts("c", &["y".to_owned(), "z".to_owned()])
            .json("d", 1);
        assert_eq!(line.members, r#""b":"x","c":["y","z"],"d":1"#);
    }
}
