//! The job wrapper: takes the job's environment and standard streams from the starter, and becomes
//! the job.

use std::ffi::{CString, OsStr, OsString};
use std::fmt;
use std::fs::{File, OpenOptions};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use error::Shown;
use error::access::why_not_executed;
use sys::{self, Errno, fd, process, signal};
use wire::launch::{self, Starter, Trouble};
use wire::v2;

use super::environment;

/// The standard streams, in the order in which the starter passes them.
const STREAMS: [&str; 3] = ["the standard input", "the standard output", "the standard error"];

/// What the job is started with. Relative paths start at the sandbox, which is the working
/// directory.
#[derive(Debug)]
pub struct Job {
    /// For each standard stream a file's name, or `-` for a descriptor from the starter.
    pub streams: [OsString; 3],
    /// The program; it is not looked for in PATH.
    pub program: OsString,
    /// Its arguments, without the program's name.
    pub arguments: Vec<OsString>,
}

/// Why the job was not started.
#[derive(Debug)]
pub enum Failure {
    /// The conversation with the starter broke.
    Starter(Trouble),
    /// The environment is not in V2-raw syntax.
    Environment(v2::Invalid),
    /// A stream's file can't be opened.
    Open {
        /// Which stream.
        stream: &'static str,
        /// The file's name, shortened.
        path: String,
        /// The kernel's answer.
        cause: Errno,
    },
    /// An argument or variable can't be handed over.
    Nul,
    /// The last steps before the job takes over failed.
    System {
        /// The step.
        step: &'static str,
        /// The kernel's answer.
        cause: Errno,
    },
    /// The program can't be executed.
    Execute {
        /// The program, shortened.
        program: String,
        /// The kernel's answer.
        cause: Errno,
        /// What is known besides.
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

impl From<Trouble> for Failure {
    fn from(cause: Trouble) -> Self {
        Failure::Starter(cause)
    }
}

impl From<v2::Invalid> for Failure {
    fn from(cause: v2::Invalid) -> Self {
        Failure::Environment(cause)
    }
}

/// Becomes the job. Returns only the reason why it could not, after the starter has been told.
pub fn start(job: Job) -> Failure {
    let socket = match fd::take_standard_input() {
        Ok(socket) => socket,
        Err(cause) => {
            return Failure::System { step: "use descriptor 0", cause };
        }
    };
    let passed = job.streams.iter().filter(|stream| *stream == "-").count();
    let mut starter = match Starter::greet(socket, passed) {
        Ok(starter) => starter,
        Err(trouble) => return trouble.into(),
    };
    let (environment, streams) = match prepare(&job, &mut starter) {
        Ok(prepared) => prepared,
        Err(failure) => {
            starter.fail(&failure.to_string());
            return failure;
        }
    };
    let errors = match starter.descriptor("the socket for errors") {
        Ok(socket) => socket,
        Err(trouble) => {
            starter.fail(&trouble.to_string());
            return trouble.into();
        }
    };
    let failure = become_job(&job, environment, &streams);
    launch::report(&errors, &failure.to_string());
    failure
}

/// Steps 2 and 3 of the conversation: the environment, then the streams in their order.
fn prepare(job: &Job, starter: &mut Starter) -> Result<(Vec<Vec<u8>>, [OwnedFd; 3]), Failure> {
    let sent = v2::entries(&starter.environment()?)?;
    let given = std::env::vars_os().map(|(mut entry, value)| {
        entry.push("=");
        entry.push(value);
        entry.into_vec()
    });
    let environment = environment::join(given.collect(), sent);
    let mut stream = |place: usize| match &job.streams[place] {
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

/// Opens a stream's file as the job's user: input to read, output to write, created if need be and
/// emptied.
fn open(name: &OsStr, place: usize) -> std::io::Result<File> {
    match place {
        0 => File::open(name),
        _ => OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(name),
    }
}

/// The last step. What fails here is for the new socket, which is closed by the execution itself.
fn become_job(job: &Job, environment: Vec<Vec<u8>>, streams: &[OwnedFd; 3]) -> Failure {
    let c_string = |bytes: &[u8]| CString::new(bytes).map_err(|_| Failure::Nul);
    let prepared = (|| {
        let program = c_string(job.program.as_bytes())?;
        let all = std::iter::once(&job.program).chain(&job.arguments);
        let arguments =
            all.map(|argument| c_string(argument.as_bytes())).collect::<Result<Vec<_>, _>>()?;
        let environment =
            environment.iter().map(|entry| c_string(entry)).collect::<Result<Vec<_>, _>>()?;
        let failed = |step| move |cause| Failure::System { step, cause };
        fd::close_above_2_on_exec().map_err(failed("close what is not the job's"))?;
        fd::place_standard(streams).map_err(failed("put the standard streams in place"))?;
        signal::reset().map_err(failed("reset the signals"))?;
        Ok((program, arguments, environment))
    })();
    match prepared {
        Ok((program, arguments, environment)) => {
            let cause = process::execute(&program, &arguments, &environment);
            signal::survive_broken_pipes();
            let why = why_not_executed("the job user", Path::new(&job.program), cause);
            Failure::Execute { cause, program: shortened(&job.program), why }
        }
        Err(failure) => failure,
    }
}

/// A path for a message of 255 bytes that must still hold the cause: of a long one only the end.
fn shortened(path: &OsStr) -> String {
    const KEPT: usize = 100;
    let shown = Shown::os(path).to_string();
    match shown.char_indices().rev().take_while(|(at, _)| shown.len() - at <= KEPT).last() {
        Some((at, _)) if at > 0 => format!("...{}", &shown[at..]),
        _ => shown,
    }
}
