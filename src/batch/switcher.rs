//! Calling the identity switcher: `<glexec> <absolute command> [argument…]`, with the credential in
//! its environment.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use command::executable;
use command::log::sandbox_of_credential;
use error::{Context as _, Error, Result, Shown};
use sys::proc::{self, Variable};
use sys::spawn::{self, Inherited};
use sys::wait::End;
use sys::{Errno, OwnedName, Pid, Uid, fd, pidfd, process, signal};
use wire::{EXACT_STATUS, Halt, Operation};

use super::identity::request_of;
use super::retry::Attempt;

/// The program behind the switcher, installed beside the helpers.
const AGENT: &str = "condor_glexec_agent";

/// The variable that names the credential.
const CREDENTIAL: &str = "GLEXEC_CLIENT_CERT";

/// The most that is passed on of what the switcher said.
const LONGEST_SAYING: usize = 1000;

/// A switcher program, with the credential that says which user it switches to.
#[derive(Clone, Debug)]
pub struct Switcher {
    program: PathBuf,
    credential: PathBuf,
    agent: PathBuf,
    /// How long the other side may make no progress.
    limit: Duration,
    /// Whether its calls are in process groups of their own.
    is_apart: bool,
    /// The user that a new lease of the project's own switcher is to be for.
    user: Option<Uid>,
    /// Whether the credential in a sandbox stays with this user when the sandbox is handed over.
    keeps_credential: bool,
    /// Ends its transfers before they are done.
    halt: Option<Halt>,
}

impl Switcher {
    /// The switcher `program`, for the retained proxy at `credential`. A program without a slash is
    /// looked for in PATH. `limit` is how long it may make no progress; zero is for ever.
    pub fn new(program: &OsStr, credential: PathBuf, limit: Duration) -> Result<Self> {
        let program = match program.as_bytes() {
            [] => return Err(Error::refused(program, "the name of the switcher is empty")),
            name if name.contains(&b'/') => PathBuf::from(program),
            _ => search(program)?,
        };
        // It is called from another directory.
        let program = std::path::absolute(&program).at("find the switcher", &program)?;
        Ok(Switcher {
            program,
            credential,
            agent: installed(AGENT)?,
            limit,
            is_apart: false,
            user: None,
            keeps_credential: false,
            halt: None,
        })
    }

    /// The same, with its calls in process groups of their own: what a terminal sends to its
    /// caller's does not end them.
    #[must_use]
    pub fn apart(self) -> Self {
        Switcher { is_apart: true, ..self }
    }

    /// The same; a sandbox is handed over without the file of its credential's name.
    #[must_use]
    pub fn keeping_credential(self) -> Self {
        Switcher { keeps_credential: true, ..self }
    }

    /// The same; its transfers end before they are done once that is wanted.
    #[must_use]
    pub fn halted_by(self, halt: Halt) -> Self {
        Switcher { halt: Some(halt), ..self }
    }

    /// What ends its transfers.
    pub fn halt(&self) -> Option<Halt> {
        self.halt.clone()
    }

    /// The name of the file that is not handed over with a sandbox.
    pub fn kept(&self) -> Option<OwnedName> {
        let name = self.credential.file_name().filter(|_| self.keeps_credential)?;
        OwnedName::new(name.as_bytes().to_vec())
    }

    /// The same; if it is the project's own and makes a new lease, then for this user, or not at
    /// all.
    #[must_use]
    pub fn for_user(self, user: Uid) -> Self {
        Switcher { user: Some(user), ..self }
    }

    /// The same for operations that take no time: an agent that was stopped does not keep its caller
    /// for long.
    #[must_use]
    pub fn hasty(&self) -> Self {
        const HASTE: Duration = Duration::from_secs(30);
        let limit = if self.limit.is_zero() { HASTE } else { self.limit.min(HASTE) };
        Switcher { limit, ..self.clone() }
    }

    /// How long the other side may make no progress; zero is for ever.
    pub fn limit(&self) -> Duration {
        self.limit
    }

    /// The switcher's program, for messages.
    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Whether a process of the calling user's is a call of this switcher, with this credential:
    /// one that stays above its command.
    pub fn is_called_by(&self, pid: Pid) -> bool {
        let identity =
            |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        let program = identity(Path::new(&format!("/proc/{pid}/exe")));
        let is_ours = || proc::real_and_saved_uid(pid) == Some([process::geteuid(); 2]);
        let credential = || {
            proc::environment_variable(pid, CREDENTIAL)
                == Ok(Variable::Set(self.credential.as_os_str().as_bytes().to_vec()))
        };
        program.is_some() && program == identity(&self.program) && is_ours() && credential()
    }

    /// Whether a process is a sudo that stays above the job of this credential's sandbox, as its
    /// words tell.
    pub fn is_monitored_by(&self, pid: Pid) -> bool {
        let sandbox = sandbox_of_credential(&self.credential);
        let words: Vec<OsString> = proc::cmdline(pid).into_iter().map(OsString::from_vec).collect();
        let Some(agent) = words.iter().position(|word| **word == *self.agent) else { return false };
        let enters_sandbox = match Operation::parse(&words[agent + 1..]) {
            Ok(Operation::Enter { sandbox: entered, .. }) => entered == sandbox,
            _ => false,
        };
        enters_sandbox && proc::is_named_sudo(pid)
    }

    /// A call of the switcher for an operation of the agent. The working directory must be one that
    /// every user can enter.
    pub fn command(&self, operation: &Operation) -> Command {
        let mut command = Command::new(&self.program);
        command.arg(&self.agent).args(operation.to_args());
        command.env(CREDENTIAL, &self.credential);
        // Otherwise gLExec leaves a copy of the proxy in /tmp.
        command.env("GLEXEC_TARGET_PROXY", "/dev/null");
        // For a switcher that has the same log.
        if std::env::var_os("GLEXEC_HELPERS_LOG").is_some()
            && std::env::var_os("GLEXEC_ID").is_none()
        {
            if let Some(request) = self.credential.parent().and_then(request_of) {
                command.env("GLEXEC_ID", request);
            }
        }
        if let Some(user) = self.user {
            command.env("GLEXEC_LEASE_UID", user.to_string());
        }
        command
    }

    /// Starts a call that is killed when this process ends, with `input` as descriptor 0, in a
    /// session of its own. The caller waits for it.
    pub fn start_bound(
        &self,
        operation: &Operation,
        input: OwnedFd,
        inherited: Inherited,
    ) -> Result<Bound> {
        let (said, writer) = fd::nonblocking_pipe().at("make a pipe for", &self.program)?;
        let again: OwnedFd = writer.try_clone().at("make a pipe for", &self.program)?;
        let mut command = self.command(operation);
        // The payload is not to know of its caller's, whatever the switcher lets through.
        command.env_remove("X509_USER_PROXY");
        // The project's own switcher then ends as the payload does; whether that began is told on
        // the socket.
        command.env(EXACT_STATUS, "1");
        command.stdin(input).stdout(writer).stderr(again);
        let child = spawn::spawn_with_pdeathsig(&mut command, inherited)
            .at("execute the switcher", &self.program)?;
        let held = pidfd::open(spawn::pid_of(&child)).at("hold the process of", &self.program)?;
        Ok(Bound { program: self.program.clone(), said, child, held })
    }

    /// Starts a call. The switcher gets `input` as its descriptor 0 and a pipe of ours as 1 and 2:
    /// nothing of the caller's.
    pub fn start(&self, operation: &Operation, input: Stdio) -> Result<Running> {
        let (said, writer) = fd::nonblocking_pipe().at("make a pipe for", &self.program)?;
        let again: OwnedFd = writer.try_clone().at("make a pipe for", &self.program)?;
        let mut command = self.command(operation);
        if self.is_apart {
            command.process_group(0);
        }
        let started = spawn::spawn_in_root(command.stdin(input).stdout(writer).stderr(again));
        let mut child = started.at("execute the switcher", &self.program)?;
        drop(command); // and with it our copies of what the child got
        let (sender, status) = mpsc::channel();
        let waiting = std::thread::Builder::new().spawn(move || {
            // Nobody receives it if the call was given up.
            let _ = sender.send(child.wait());
        });
        let waiting = waiting.at("start a thread to wait for", &self.program)?;
        Ok(Running { switcher: self.clone(), said, status, waiting })
    }
}

/// A program of ours, which is beside this one.
pub fn installed(name: &str) -> Result<PathBuf> {
    let here = std::env::current_exe().at("find the directory of", "this program")?;
    Ok(here.with_file_name(name))
}

/// Looks for a program in PATH, as a shell would have done.
pub fn search(name: &OsStr) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = executable::find(name, std::env::split_paths(&path));
    found.ok_or(Errno::ENOENT).at("find in PATH", name)
}

/// A call of the switcher that has been started.
#[derive(Debug)]
pub struct Running {
    switcher: Switcher,
    said: File,
    status: mpsc::Receiver<std::io::Result<ExitStatus>>,
    waiting: JoinHandle<()>,
}

impl Running {
    /// Waits until the switcher has ended, at most as long as it may make no progress.
    pub fn end(self) -> Ended {
        let limit = self.switcher.limit;
        let limit = if limit.is_zero() { Duration::from_secs(u64::MAX / 4) } else { limit };
        self.end_within(limit)
    }

    /// As [`Running::end`], with a limit of its own.
    pub fn end_within(mut self, limit: Duration) -> Ended {
        let status = match self.status.recv_timeout(limit) {
            Ok(ended) => {
                // It has nothing left to do, and a process with one thread can do more.
                let _ = self.waiting.join();
                ended.ok().map(End::from)
            }
            Err(_) => None,
        };
        Ended::new(self.switcher.program, status, said(&mut self.said))
    }
}

/// A call of the switcher that ends with this process.
#[derive(Debug)]
pub struct Bound {
    program: PathBuf,
    said: File,
    child: Child,
    /// Stands for the switcher's process: can be read once that has ended.
    pub held: OwnedFd,
}

impl Bound {
    /// The number of the switcher's process.
    pub fn pid(&self) -> Pid {
        spawn::pid_of(&self.child)
    }

    /// Whether the payload's end can be told from this process's: it has become the payload, or it
    /// is a sudo that stays above it and ends as that does, or the project's own. Another
    /// program of the caller's may say 128 + N for a signal.
    pub fn ends_as_payload(&self) -> bool {
        let identity =
            |path: &Path| std::fs::metadata(path).map(|found| (found.dev(), found.ino())).ok();
        if proc::real_and_saved_uid(self.pid()) != Some([process::geteuid(); 2]) {
            return true;
        }
        let own = installed("glexec").ok().and_then(|own| identity(&own));
        own.is_some() && own == identity(Path::new(&format!("/proc/{}/exe", self.pid())))
    }

    /// Kills the switcher's own process, if this user may; what is behind it ends with it, or when
    /// it is hunted.
    pub fn kill(&self) {
        let _ = pidfd::send_signal(&self.held, signal::SIGKILL);
    }

    /// Continues the switcher's own process, if this user may.
    pub fn go_on(&self) {
        let _ = pidfd::send_signal(&self.held, signal::SIGCONT);
    }

    /// Waits for its end, and kills it after so long. One that is root's, or has become its
    /// command, may live on.
    pub fn end_within(mut self, patience: Duration) -> Ended {
        let has_ended =
            |held: &OwnedFd, patience| pidfd::wait_for_exit(held, patience).unwrap_or(false);
        let mut is_over = has_ended(&self.held, patience);
        if !is_over {
            self.kill();
            is_over = has_ended(&self.held, patience);
        }
        let status = if is_over { self.child.wait().ok().map(End::from) } else { None };
        Ended::new(self.program, status, said(&mut self.said))
    }
}

/// What a switcher has said. Whoever outlives it may hold the pipe: what is there is taken, and no
/// end is waited for.
fn said(pipe: &mut File) -> String {
    let mut said = [0; LONGEST_SAYING];
    let mut length = 0;
    while let Ok(more @ 1..) = pipe.read(&mut said[length..]) {
        length += more;
    }
    one_line(&said[..length])
}

/// A call of the switcher that is over.
#[derive(Clone, Debug)]
pub struct Ended {
    program: PathBuf,
    /// The exit status, 128 + N for signal N; none if the switcher did not end in time.
    pub status: Option<i32>,
    /// The same, as the kernel tells it.
    pub end: Option<End>,
    said: String,
}

impl Ended {
    fn new(program: PathBuf, end: Option<End>, said: String) -> Self {
        Ended { program, status: end.map(End::status), end, said }
    }

    /// The status as a number, -1 if there is none.
    pub fn code(&self) -> i32 {
        self.status.unwrap_or(-1)
    }

    /// The failure that this end is.
    pub fn error(self) -> Error {
        let what = match self.status {
            None => "the switcher did not end within the idle limit (GLEXEC_HELPERS_IDLE_TIMEOUT)"
                .to_owned(),
            Some(0) => {
                "the switcher ended with status 0, but its command did not do its work".to_owned()
            }
            Some(126) => {
                "the switcher failed, status 126: the command could not be executed".to_owned()
            }
            Some(127) => "the switcher failed, status 127: the command was not found".to_owned(),
            Some(201) => "the switcher failed, status 201: client error".to_owned(),
            Some(202) => "the switcher failed, status 202: internal error".to_owned(),
            Some(203) => "the switcher failed, status 203: authorization error".to_owned(),
            // sudo's own for all that it refuses, and many commands'.
            Some(1) => "the switcher, or the command behind it, ended with status 1".to_owned(),
            Some(status) => format!("the command behind the switcher ended with status {status}"),
        };
        let why = if self.said.is_empty() { what } else { format!("{what}: {}", self.said) };
        Error::refused(self.program, why)
    }

    /// Tells a failure that may pass from one that will not; `otherwise` is what the caller knows
    /// of the latter.
    pub fn attempt(self, otherwise: Option<Error>) -> Attempt {
        match (self.status, otherwise) {
            (Some(202 | 203), _) => Attempt::Transient(self),
            (None, Some(error)) if self.said.is_empty() => Attempt::Hopeless(error),
            _ => Attempt::Hopeless(self.error()),
        }
    }
}

/// What was said, as one line: it becomes part of a message.
fn one_line(said: &[u8]) -> String {
    let lines =
        said.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    lines.map(|line| Shown(line).to_string()).collect::<Vec<_>>().join("; ")
}
