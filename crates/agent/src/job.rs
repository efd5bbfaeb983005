//! Becoming the job: receives its environment and standard streams from the starter, and executes
//! it.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use error::Shown;
use error::access::why_not_executed;
use sys::{self, Errno, exec, inherited, process, signal, stdio};
use wire::launch::{self, Starter, StarterError};
use wire::v2;

use super::environment;

/// The standard streams, in the order in which the starter passes them.
const STREAMS: [&str; 3] = ["the standard input", "the standard output", "the standard error"];

/// What the job is started with. Relative paths are relative to the sandbox, which is the working
/// directory.
#[derive(Debug)]
pub(crate) struct Job {
    /// For each standard stream the name of a file, or `-` for a descriptor from the starter.
    pub(crate) streams: [OsString; 3],
    /// The program. It is not searched for in PATH.
    pub(crate) program: OsString,
    /// Its arguments, without the program's name.
    pub(crate) arguments: Vec<OsString>,
}

/// Why the job was not started.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the starter sends could not be received.
    Starter(StarterError),
    /// The environment is not valid in V2-raw syntax.
    Environment(v2::Invalid),
    /// A stream's file cannot be opened.
    Open {
        /// Which stream.
        stream: &'static str,
        /// The file's name, shortened.
        path: String,
        /// The kernel's error.
        cause: Errno,
    },
    /// The working directory cannot be entered.
    Directory {
        /// Its path, shortened.
        path: String,
        /// The kernel's error.
        cause: Errno,
    },
    /// An argument or variable holds a NUL, which no C string can.
    Nul,
    /// One of the last steps before the execution failed.
    System {
        /// The step.
        step: &'static str,
        /// The kernel's error.
        cause: Errno,
    },
    /// The program cannot be executed.
    Execute {
        /// The program, shortened.
        program: String,
        /// The kernel's error.
        cause: Errno,
        /// The likely reason, where one can be found.
        why: Option<String>,
    },
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Starter(cause) => write!(f, "{cause}"),
            Failure::Environment(cause) => write!(f, "bad job environment: {cause}"),
            Failure::Open { stream, path, cause } => {
                write!(f, "cannot open {stream} {path}: {cause}")
            }
            Failure::Directory { path, cause } => {
                write!(f, "cannot enter the working directory {path}: {cause}")
            }
            Failure::Nul => f.write_str("an argument or variable of the job holds a NUL"),
            Failure::System { step, cause } => write!(f, "cannot {step}: {cause}"),
            Failure::Execute { program, cause, why: None } => {
                write!(f, "cannot execute {program}: {cause}")
            }
            Failure::Execute { program, cause, why: Some(why) } => {
                write!(f, "cannot execute {program}: {cause}: {why}")
            }
        }
    }
}

impl std::error::Error for Failure {}

impl From<StarterError> for Failure {
    fn from(cause: StarterError) -> Self {
        Failure::Starter(cause)
    }
}

impl From<v2::Invalid> for Failure {
    fn from(cause: v2::Invalid) -> Self {
        Failure::Environment(cause)
    }
}

impl Job {
    /// Becomes the job. Returns only the reason why it could not, after it was reported to the
    /// starter.
    pub(crate) fn start(self) -> Failure {
        let socket = match stdio::take_stdin() {
            Ok(socket) => socket,
            Err(cause) => {
                return Failure::System { step: "use descriptor 0", cause };
            }
        };
        let passed = self.streams.iter().filter(|stream| *stream == "-").count();
        let mut starter = match Starter::greet(socket, passed) {
            Ok(starter) => starter,
            Err(error) => return error.into(),
        };
        let (environment, streams) = match self.receive(&mut starter) {
            Ok(prepared) => prepared,
            Err(failure) => {
                starter.fail(&failure.to_string());
                return failure;
            }
        };
        let errors = match starter.descriptor("the socket for errors") {
            Ok(socket) => socket,
            Err(error) => {
                starter.fail(&error.to_string());
                return error.into();
            }
        };
        let failure = self.execute(environment, &streams);
        launch::send_error(&errors, &failure.to_string());
        failure
    }

    /// Steps 2 and 3 of [`wire::launch`]: the environment, then the streams in their order.
    fn receive(&self, starter: &mut Starter) -> Result<(Vec<Vec<u8>>, [OwnedFd; 3]), Failure> {
        let sent = v2::entries(&starter.environment()?)?;
        let own = std::env::vars_os().map(|(mut entry, value)| {
            entry.push("=");
            entry.push(value);
            entry.into_vec()
        });
        let environment = environment::join(own.collect(), sent);
        let mut stream = |place: usize| match &self.streams[place] {
            name if name == "-" => Ok(starter.descriptor(STREAMS[place])?),
            name => open(name, place).map(OwnedFd::from).map_err(|error| Failure::Open {
                stream: STREAMS[place],
                path: shortened(name),
                cause: sys::errno(&error),
            }),
        };
        let streams = [stream(0)?, stream(1)?, stream(2)?];
        Ok((environment, streams))
    }

    /// The last step. Its failures are reported on the new socket, which the execution closes.
    fn execute(&self, mut environment: Vec<Vec<u8>>, streams: &[OwnedFd; 3]) -> Failure {
        let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| Failure::Nul);
        let directory = launch::take_working_directory(&mut environment);
        let prepared = (|| {
            let program = c_string(self.program.as_bytes())?;
            let all = std::iter::once(&self.program).chain(&self.arguments);
            let arguments =
                all.map(|argument| c_string(argument.as_bytes())).collect::<Result<Vec<_>, _>>()?;
            let environment =
                environment.iter().map(|entry| c_string(entry)).collect::<Result<Vec<_>, _>>()?;
            let failed = |step| move |cause| Failure::System { step, cause };
            inherited::set_cloexec_above_2()
                .map_err(failed("close the descriptors that are not the job's"))?;
            stdio::set_stdio(streams).map_err(failed("put the standard streams in place"))?;
            signal::reset_all().map_err(failed("reset the signals"))?;
            if let Some(directory) = &directory {
                process::chdir(directory).map_err(|cause| Failure::Directory {
                    path: shortened(directory.as_os_str()),
                    cause,
                })?;
            }
            Ok((program, arguments, environment))
        })();
        match prepared {
            Ok((program, arguments, environment)) => {
                let cause = exec::execve(&program, &arguments, &environment);
                signal::ignore_sigpipe();
                let why = why_not_executed("the job user", Path::new(&self.program), cause);
                Failure::Execute { cause, program: shortened(&self.program), why }
            }
            Err(failure) => failure,
        }
    }
}

/// Opens a stream's file with the job user's rights. Input is opened for reading. Output is opened
/// for writing, created if it is missing, and truncated.
fn open(name: &OsStr, place: usize) -> std::io::Result<File> {
    match place {
        0 => File::open(name),
        _ => OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(name),
    }
}

/// A path for an error message, which has at most 255 bytes and must also hold the cause: of a long
/// path only the end.
fn shortened(path: &OsStr) -> String {
    const MAX: usize = 100;
    let shown = Shown::os(path).to_string();
    match shown.char_indices().rev().take_while(|(at, _)| shown.len() - at <= MAX).last() {
        Some((at, _)) if at > 0 => format!("...{}", &shown[at..]),
        _ => shown,
    }
}
