//! A call through the account daemon, whose client this process is. It opens what it names with its
//! own rights and passes the descriptors; the payload has the standard streams themselves. The end
//! of this process ends the payload, unless it lingers on.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use ::command::credential::{self, refusal};
use ::command::program::{Options, print};
use ::command::refusal::{Refusal, Result, Status};
use ::world::Spec;
use error::Shown;
use ownership::Order;
use sys::signal::{
    self, Received, SIGCHLD, SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGQUIT, SIGTERM, SIGTSTP,
};
use sys::signal::{SIGTTIN, SIGTTOU, Signals};
use sys::wait::End;
use sys::{Errno, OPath, Uid, fd, process, socket, stdio};
use wire::LINGER;
use wire::daemon::{self, Answer, Change, Invalid, MAX_ANSWER, MAX_REQUEST, Request, Run, Signal};

use crate::command::{Asked, check_command};
use crate::{door, rootless};

/// How long the daemon may take to accept a connection, and to start work on a request.
const TIMEOUT: Duration = Duration::from_secs(30);

/// How often a request is sent whose connection is closed before an answer.
const TRIES: u32 = 3;

/// Serves a call, and writes the line of the log.
pub(crate) fn serve(asked: Result<Asked>, socket: &Path, words: &[String], umask: u32) -> ExitCode {
    let started = Instant::now();
    let mut user = None;
    let ended = asked.and_then(|asked| match asked {
        Asked::Payload(command, world) => run(command, &world, socket, umask, &mut user),
        Asked::Owner(options) => change(&options, socket),
        Asked::HandOver(..) => Err(door::no_hand_over()),
        Asked::Daemon(request) => ask(&request, socket),
        Asked::Information(_) => Ok(End::Exited(0)),
    });
    rootless::conclude(&ended, user, words, &[], started)
}

/// A variable that is set and not empty.
fn variable(name: &str) -> Option<OsString> {
    std::env::var_os(name).filter(|value| !value.is_empty())
}

fn open(path: &OsString) -> Result<File> {
    credential::open_private(path.as_ref(), process::geteuid()).map_err(|error| refusal(&error))
}

/// The credential of the call.
fn credential() -> Result<File> {
    let path = variable("GLEXEC_CLIENT_CERT").or_else(|| variable("X509_USER_PROXY"));
    open(&path.ok_or_else(|| {
        Refusal::client(
            "no credential is named: set GLEXEC_CLIENT_CERT to the path of your file, mode 0600",
        )
    })?)
}

/// Asks for something else than a command, and prints the answer.
fn ask(request: &Request, socket: &Path) -> Result<End> {
    let credential = if request.descriptors() > 0 { Some(credential()?) } else { None };
    let descriptors: Vec<_> = credential.iter().map(AsFd::as_fd).collect();
    let mut connection = Connection::ask(socket, request, &descriptors)?;
    // It may wait for the end of payloads.
    let failed = |cause| Refusal::internal(format!("cannot read from the account daemon: {cause}"));
    socket::set_timeouts(&connection.socket, Duration::from_secs(120)).map_err(failed)?;
    match connection.answer().map_err(failed)? {
        Some(Answer::Text(text)) => {
            print(&text);
            Ok(End::Exited(0))
        }
        Some(Answer::Refused { status, text }) => Err(refused(status, text)),
        _ => Err(Refusal::internal("the account daemon ended the connection: try again")),
    }
}

/// Runs a command, and returns how it has ended. `user` becomes the user that it runs as.
fn run(
    command: Vec<OsString>,
    world: &Spec,
    socket: &Path,
    umask: u32,
    user: &mut Option<Uid>,
) -> Result<End> {
    check_command(&command)?;
    let credential = credential()?;
    let has_target = variable("GLEXEC_TARGET_PROXY").as_deref() != Some("/dev/null".as_ref());
    let proxy = variable("GLEXEC_SOURCE_PROXY").filter(|_| has_target);
    let proxy = proxy.map(|path| open(&path)).transpose()?;
    let directory = OPath::working_directory()
        .map_err(|cause| Refusal::client(format!("cannot open the working directory: {cause}")))?;
    let request = Request::Run(Run {
        command,
        world: world.to_words(),
        environment: std::env::vars_os().filter(|(name, _)| !name.is_empty()).collect(),
        umask: umask & 0o777,
        has_proxy: proxy.is_some(),
        lingers: variable(LINGER).is_some(),
    });
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut descriptors =
        vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), directory.as_fd(), credential.as_fd()];
    descriptors.extend(proxy.iter().map(AsFd::as_fd));
    let failed = |cause| Refusal::internal(format!("cannot wait for signals: {cause}"));
    signal::block_all().map_err(failed)?;
    let signals = Signals::open().map_err(failed)?;
    let mut connection = Connection::ask(socket, &request, &descriptors)?;
    drop((directory, credential, proxy));
    connection.wait_for_end(&signals, user)
}

/// The variables that say who the caller of a change of owner is.
const IDENTITY: [&str; 3] = ["GLEXEC_CLIENT_CERT", "X509_USER_PROXY", "GLEXEC_MODE"];

/// Changes the owner of a directory, and prints the report. The paths are resolved here.
fn change(options: &Options, socket: &Path) -> Result<End> {
    let order = Order::read(options)?;
    let credential = credential()?;
    let directories = order.descriptors();
    let request = Request::Owner(Change {
        options: Order::words(options),
        environment: IDENTITY
            .iter()
            .filter_map(|name| Some((OsString::from(name), variable(name)?)))
            .collect(),
        directories: u8::try_from(directories.len()).unwrap_or(u8::MAX),
    });
    let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
    let mut descriptors = vec![stdin.as_fd(), stdout.as_fd(), stderr.as_fd(), credential.as_fd()];
    descriptors.extend(directories);
    let failed = |cause| Refusal::internal(format!("cannot wait for signals: {cause}"));
    // A signal undoes a give, and the call tells the result. It ends a call that takes, and the
    // daemon completes that.
    let numbers: &[i32] = if order.is_give() { &[SIGHUP, SIGINT, SIGTERM] } else { &[] };
    let signals = Signals::block(numbers).map_err(failed)?;
    let connection = Connection::ask(socket, &request, &descriptors)?;
    drop(credential);
    connection.wait_for_text(&signals)
}

/// A connection with the daemon.
struct Connection {
    socket: OwnedFd,
    pending: Vec<u8>,
}

impl Connection {
    /// Sends a request, and waits until a process works on it.
    fn ask(path: &Path, request: &Request, descriptors: &[BorrowedFd<'_>]) -> Result<Connection> {
        let unreachable = |why: &dyn std::fmt::Display| {
            Refusal::internal(format!(
                "cannot ask the account daemon at {}: {why}: an administrator can look for it by \
                 systemctl status glexecd.socket glexecd.service",
                Shown::os(path)
            ))
        };
        let bytes = request.encode();
        if bytes.len() > MAX_REQUEST {
            return Err(Refusal::client(format!(
                "the command and the environment are longer than {MAX_REQUEST} bytes"
            )));
        }
        let mut tries = TRIES;
        loop {
            tries -= 1;
            let socket = socket::connect(path, TIMEOUT).map_err(|cause| match cause {
                Errno::EACCES => Refusal::not_authorized(format!(
                    "you may not connect to the account daemon at {}: an administrator can add \
                     you to its group",
                    Shown::os(path)
                )),
                Errno::EAGAIN => unreachable(&"it has too many connections"),
                cause => unreachable(&cause),
            })?;
            socket::set_timeouts(&socket, TIMEOUT).map_err(|cause| unreachable(&cause))?;
            let mut connection = Connection { socket, pending: Vec::new() };
            // A daemon that refuses the client may have closed its end; its answer is there.
            let sent = socket::send_with_descriptors(&connection.socket, &bytes, descriptors);
            return match (connection.answer(), sent) {
                (Ok(Some(Answer::Working)), _) => Ok(connection),
                (Ok(Some(Answer::Refused { status, text })), _) => Err(refused(status, text)),
                // A daemon that is stopped or restarted closes connections that it has not served.
                // Before its first answer nothing was done: the next daemon serves the request.
                (Ok(None), _) if tries > 0 => continue,
                (Err(Errno::EAGAIN), _) => unreachable_in_time(path),
                (Err(cause), _) | (Ok(_), Err(cause)) => Err(unreachable(&cause)),
                (Ok(_), Ok(())) => Err(unreachable(&"it ended the connection")),
            };
        }
    }

    /// Waits for the next answer; none at the end of the connection.
    fn answer(&mut self) -> sys::Result<Option<Answer>> {
        loop {
            if let Some(answer) = self.take_pending()? {
                return Ok(Some(answer));
            }
            let mut part = [0; 4096];
            match socket::receive(&self.socket, &mut part)? {
                0 => return Ok(None),
                length => self.pending.extend_from_slice(&part[..length]),
            }
        }
    }

    /// The first complete answer of what has arrived. EPROTO if it is none.
    fn take_pending(&mut self) -> sys::Result<Option<Answer>> {
        let invalid = |_: Invalid| Errno::EPROTO;
        let Some((field, rest)) = self.pending.split_first_chunk::<4>() else { return Ok(None) };
        let length = daemon::length(*field, MAX_ANSWER).map_err(invalid)?;
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        let answer = Answer::decode(frame).map_err(invalid)?;
        self.pending.drain(..4 + length);
        Ok(Some(answer))
    }

    /// Forwards signals to the payload until it has ended.
    fn wait_for_end(&mut self, signals: &Signals, user: &mut Option<Uid>) -> Result<End> {
        let mut is_started = false;
        loop {
            match self.take_pending() {
                Ok(None) => {}
                Ok(Some(Answer::Started { user: found, .. })) => {
                    *user = Some(found);
                    is_started = true;
                    // This process must not keep a pipe of the payload's open.
                    let _ = stdio::redirect_to_null();
                    continue;
                }
                Ok(Some(Answer::Ended(end))) => return Ok(end),
                Ok(Some(Answer::Refused { status, text })) => return Err(refused(status, text)),
                Ok(Some(Answer::Working | Answer::Text(_))) => continue,
                Err(_) => return over(is_started),
            }
            // An interruption is none of both.
            let [is_signal, has_arrived] =
                fd::poll_readable([signals.as_fd(), self.socket.as_fd()], None).unwrap_or_default();
            if has_arrived {
                let mut part = [0; 4096];
                match socket::try_receive(&self.socket, &mut part) {
                    Ok(None) => {}
                    Ok(Some(0)) | Err(_) => return over(is_started),
                    Ok(Some(length)) => self.pending.extend_from_slice(&part[..length]),
                }
            }
            if is_signal {
                self.forward(signals);
            }
        }
    }

    /// Forwards signals until the answer is there, and prints that.
    fn wait_for_text(mut self, signals: &Signals) -> Result<End> {
        let over = || {
            Refusal::internal(
                "the account daemon ended the connection before the change of owner was complete: \
                 the same call again finishes it",
            )
        };
        loop {
            match self.take_pending().map_err(|_| over())? {
                None => {}
                Some(Answer::Text(text)) => {
                    print(&text);
                    return Ok(End::Exited(0));
                }
                Some(Answer::Refused { status, text }) => return Err(refused(status, text)),
                Some(_) => continue,
            }
            // An interruption is none of both.
            let [is_signal, has_arrived] =
                fd::poll_readable([signals.as_fd(), self.socket.as_fd()], None).unwrap_or_default();
            if has_arrived {
                let mut part = [0; 4096];
                match socket::try_receive(&self.socket, &mut part) {
                    Ok(None) => {}
                    Ok(Some(0)) | Err(_) => return Err(over()),
                    Ok(Some(length)) => self.pending.extend_from_slice(&part[..length]),
                }
            }
            if is_signal {
                self.forward(signals);
            }
        }
    }

    /// Forwards the next signal to the payload.
    fn forward(&self, signals: &Signals) {
        let send = |number, to_group| {
            let _ = socket::send_all(&self.socket, &Signal { number, to_group }.encode());
        };
        match signals.read() {
            Ok(Received { number: SIGCHLD, .. }) | Err(_) => {}
            // A shell expects that the terminal's signal stops this process. One of another
            // process only stops the payload: if this process stopped too, a SIGCONT could come
            // before that.
            Ok(Received { number: SIGTSTP | SIGTTIN | SIGTTOU, from_kernel: true, .. }) => {
                send(SIGTSTP, false);
                signal::stop_self();
                send(SIGCONT, false);
            }
            Ok(Received {
                number: number @ (SIGINT | SIGQUIT | SIGHUP),
                from_kernel: true,
                ..
            }) => {
                send(number, true);
            }
            Ok(Received { number, .. }) => send(number, false),
        }
    }
}

/// The end of a connection without an answer: the process above the payload was killed, and with it
/// the payload.
fn over(is_started: bool) -> Result<End> {
    match is_started {
        true => Ok(End::Killed(SIGKILL)),
        false => Err(Refusal::internal(
            "the account daemon ended the connection before the command was executed: try again",
        )),
    }
}

fn unreachable_in_time<T>(path: &Path) -> Result<T> {
    Err(Refusal::internal(format!(
        "the account daemon at {} does not answer within {} seconds: it is stopped, or has too \
         much to do; try again later",
        Shown::os(path),
        TIMEOUT.as_secs()
    )))
}

fn refused(status: u8, text: String) -> Refusal {
    Refusal::new(Status::from_byte(status).unwrap_or(Status::Internal), text)
}
