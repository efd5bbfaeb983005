//! The helper's side of the protocol with the agent, which runs as the job user behind the
//! switcher.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use error::{ConnectionError, Context as _, Error, Result, Shown};
use sys::socket::Sender;
use sys::{Dir, Name, OwnedName, Pid, Uid, process, socket};
use tree::{self, Builder, Built, Place, Progress, Transfer};
use wire::frame::VERSION;
use wire::{Channel, Dropped, Frame, Links, Needs, Operation, Totals};

use super::report::Hunted;
use super::switcher::{Call, Switcher};

/// How messages name the agent.
const PEER: &str = "the agent (run by the switcher)";

/// How long the switcher is waited for once the result is known, which its exit status cannot
/// change.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// A call of the switcher whose agent has not sent its first frame yet.
#[derive(Debug)]
pub struct AgentCall {
    channel: Channel,
    running: Call,
    sandbox: OsString,
    excluded: Option<OwnedName>,
}

/// An agent that has sent its first frame.
#[derive(Debug)]
pub struct Agent {
    channel: Channel,
    running: Call,
    /// The user that it runs as, from the kernel: neither root nor the batch user.
    pub uid: Uid,
    /// Its process, from the kernel.
    pub pid: Pid,
    /// What it works on, for messages: a sandbox, or a retained proxy.
    sandbox: OsString,
    /// The file that is not handed over with the sandbox.
    excluded: Option<OwnedName>,
}

impl AgentCall {
    /// Calls the agent to serve a sandbox.
    pub fn serve(switcher: &Switcher, sandbox: &Path) -> Result<Self> {
        let operation = Operation::Serve { sandbox: sandbox.to_owned() };
        AgentCall::start(switcher, &operation, sandbox.as_os_str())
    }

    /// Calls the agent for an operation. `subject` is what it works on, for messages.
    pub fn start(switcher: &Switcher, operation: &Operation, subject: &OsStr) -> Result<Self> {
        let (ours, theirs) =
            socket::socketpair().at("make a socket pair for", switcher.program())?;
        socket::set_passcred(&ours, true).at("prepare the socket for", switcher.program())?;
        let running = Call::start(switcher, operation, Stdio::from(theirs))?;
        let mut channel = Channel::new(ours);
        channel.set_idle_timeout(switcher.idle_timeout()).map_err(connection_error)?;
        channel.set_halt(switcher.halt());
        let (sandbox, excluded) = (subject.to_owned(), switcher.withheld_file());
        Ok(AgentCall { channel, running, sandbox, excluded })
    }

    /// Waits for the agent's first frame, and checks its version and the user that sent it.
    pub fn wait_for_hello(mut self) -> Result<Agent> {
        let Sender { uid, pid } = match self.channel.receive_first() {
            Ok((sender, Frame::Hello { version: VERSION })) => sender,
            Ok((_, Frame::Hello { version })) => {
                let why = format!(
                    "its protocol has version {version}, not {VERSION}: helpers and agent must be \
                     installed together"
                );
                return Err(Error::refused("condor_glexec_agent", why));
            }
            Ok(_) => {
                let cause = ConnectionError::Protocol("an unexpected first message");
                return Err(connection_error(cause));
            }
            Err(cause) => {
                let error = connection_error(cause).during("begin to work on", &self.sandbox);
                return Err(lose_connection(self.channel, self.running, cause, error));
            }
        };
        if uid.is_root() || uid == process::geteuid() {
            return Err(Error::NoJobUser { uid });
        }
        Ok(Agent {
            channel: self.channel,
            running: self.running,
            uid,
            pid,
            sandbox: self.sandbox,
            excluded: self.excluded,
        })
    }
}

impl Agent {
    /// Makes the agent build a copy of the tree below `top`, the sandbox of this place. Returns
    /// what was transferred and what was dropped.
    pub fn upload(
        &mut self,
        top: Dir,
        place: &Place,
        progress: Progress<'_>,
    ) -> Result<(Totals, Dropped)> {
        let device = place.device()?;
        let received = self.request(Frame::Upload).and_then(|()| {
            let excluded = self.excluded.as_ref().map(OwnedName::name);
            let sent = tree::send(
                top,
                &self.sandbox,
                excluded,
                (Transfer::Give, device),
                &mut self.channel,
                progress,
            );
            match sent {
                Ok(sent) => self.receive_done().map(|()| sent),
                Err(Error::Connection { cause, .. }) => Err(self.send_error(cause)),
                // The agent also learns it, and drops its part of the copy.
                Err(error) => {
                    let _ = self.channel.send(Frame::Failed { text: error.to_string().as_bytes() });
                    Err(error)
                }
            }
        });
        received.map_err(|error| error.during("copy", &self.sandbox))
    }

    /// Asks the agent what a copy of the sandbox needs.
    pub fn measure(&mut self) -> Result<Needs> {
        let answer = self.request(Frame::Measure).and_then(|()| match self.channel.receive() {
            Ok(Frame::Needed { needs }) => Ok(needs),
            Ok(Frame::Failed { text }) => Err(agent_error(text)),
            Ok(_) => Err(out_of_turn()),
            Err(cause) => Err(connection_error(cause)),
        });
        answer.map_err(|error| error.during("measure", &self.sandbox))
    }

    /// Makes the agent send the sandbox, without the top-level entry `except`, to the builder.
    pub fn download(
        &mut self,
        links: Links,
        except: Name<'_>,
        builder: &mut Builder<'_>,
        progress: Progress<'_>,
    ) -> Result<Built> {
        self.channel.accept_passed(true);
        let received = self.request(Frame::Download { links, except }).and_then(|()| {
            let built =
                builder.receive(&mut self.channel, progress).map_err(|error| match error {
                    Error::Connection { cause, .. } => connection_error(cause),
                    Error::Told { text, .. } => Error::Told { who: PEER, text },
                    error => error,
                })?;
            self.channel.accept_passed(false);
            self.receive_done().map(|()| built)
        });
        received.map_err(|error| error.during("copy", &self.sandbox))
    }

    /// Makes the agent rename its copy to the sandbox's name.
    pub fn publish(&mut self) -> Result<()> {
        self.ask(Frame::Publish)
            .map_err(|error| error.during("put the copy in place as", &self.sandbox))
    }

    /// Makes the agent move aside what has the sandbox's name.
    pub fn retire(&mut self) -> Result<()> {
        self.ask(Frame::Retire).map_err(|error| {
            error.during("have the job's directory moved away from", &self.sandbox)
        })
    }

    /// Makes the agent delete what it moved aside.
    pub fn delete(&mut self) -> Result<()> {
        self.ask(Frame::Delete).map_err(|error| {
            error.during("have the job's files deleted that were at", &self.sandbox)
        })
    }

    /// Makes the agent delete what earlier agents left beside the sandbox.
    pub fn sweep(&mut self) -> Result<()> {
        self.ask(Frame::Sweep)
            .map_err(|error| error.during("have the leftovers removed beside", &self.sandbox))
    }

    /// Makes the agent replace the job's proxy.
    pub fn put_proxy(&mut self, name: Name<'_>, content: &[u8]) -> Result<()> {
        let put = self.ask(Frame::PutProxy { name, content });
        put.map_err(|error| error.during("have the proxy replaced in", &self.sandbox))
    }

    /// Receives the result of a hunt, which may take this long.
    pub fn receive_hunted(&mut self, work: Duration) -> Result<Hunted> {
        let mut hunted = Hunted::default();
        // The whole result must arrive within the time of one answer.
        let deadline = self.channel.deadline(work);
        loop {
            match self.channel.receive_by(deadline).map_err(connection_error)? {
                Frame::Survivor { pid, text } => {
                    add_reported(&mut hunted.survivors, (pid, Shown(text).to_string()))?
                }
                Frame::Remains { text } => {
                    add_reported(&mut hunted.remains, Shown(text).to_string())?
                }
                Frame::Hunted { hunt } => {
                    hunted.hunt = hunt;
                    return Ok(hunted);
                }
                Frame::Failed { text } => return Err(agent_error(text)),
                _ => return Err(out_of_turn()),
            }
        }
    }

    /// Makes the agent watch a family between two requests: when the connection ends, it kills the
    /// processes with this mark, whose first one is `root`.
    pub fn watch(&mut self, root: Pid, mark: &OsStr) -> Result<()> {
        let watched = self.ask(Frame::Watch { root, mark: mark.as_bytes() });
        watched.map_err(|error| error.during("have the payload watched in", &self.sandbox))
    }

    /// Makes an agent that serves a sandbox kill the family that it watches, and receives the
    /// result.
    pub fn end_family(&mut self) -> Result<Hunted> {
        self.request(Frame::EndFamily)?;
        self.receive_hunted(Duration::ZERO)
    }

    /// From now on its waits and transfers have the limits of this switcher: the idle timeout, and
    /// what ends a transfer early.
    pub fn set_limits(&mut self, switcher: &Switcher) -> Result<()> {
        self.channel.set_halt(switcher.halt());
        self.channel.set_idle_timeout(switcher.idle_timeout()).map_err(connection_error)
    }

    /// Whether it has not closed the connection.
    pub fn is_connected(&self) -> bool {
        !self.channel.is_closed()
    }

    /// Whether a request failed at this agent, so that another one may succeed.
    pub fn is_at_fault(error: &Error) -> bool {
        match error {
            Error::Connection { with: PEER, cause, .. } => *cause != ConnectionError::Halted,
            Error::Told { who: PEER, .. } => true,
            _ => false,
        }
    }

    /// Makes an agent of the operation `watch` kill the family, and receives the result.
    pub fn end_watch(&mut self) -> Result<Hunted> {
        self.channel.end_sending().map_err(|cause| self.send_error(cause))?;
        self.receive_hunted(Duration::ZERO)
    }

    /// Closes the connection, after success or a failure that the agent knows.
    pub fn close(self) {
        drop(self.channel);
        self.running.wait_within(EXIT_TIMEOUT);
    }

    /// Closes the connection after a failure, and returns its cause: if the connection was lost,
    /// the switcher's exit status tells more.
    pub fn fail(self, error: Error) -> Error {
        match error {
            Error::Connection { with: PEER, cause, .. } => {
                lose_connection(self.channel, self.running, cause, error)
            }
            error => {
                self.close();
                error
            }
        }
    }

    /// Sends a request and waits until it is carried out.
    fn ask(&mut self, request: Frame<'_>) -> Result<()> {
        // A short step is not interrupted: its result would be unknown.
        let halt = self.channel.set_halt(None);
        let asked = self.request(request).and_then(|()| self.receive_done());
        self.channel.set_halt(halt);
        asked
    }

    fn request(&mut self, request: Frame<'_>) -> Result<()> {
        self.channel.send(request).map_err(|cause| self.send_error(cause))
    }

    fn receive_done(&mut self) -> Result<()> {
        match self.channel.receive().map_err(connection_error)? {
            Frame::Done => Ok(()),
            Frame::Failed { text } => Err(agent_error(text)),
            _ => Err(out_of_turn()),
        }
    }

    /// Why sending failed: an agent that has closed the connection may have sent the reason before.
    fn send_error(&mut self, cause: ConnectionError) -> Error {
        if cause == ConnectionError::Closed {
            if let Ok(Frame::Failed { text }) = self.channel.receive() {
                return agent_error(text);
            }
        }
        connection_error(cause)
    }
}

/// Ends a call whose connection has failed, and returns the cause: the switcher's exit status, if
/// it ends, or the given error.
fn lose_connection(channel: Channel, running: Call, cause: ConnectionError, error: Error) -> Error {
    // The batch user cannot signal the agent. It ends when the socket is closed.
    drop(channel);
    match cause {
        ConnectionError::Closed => running.wait().error_or(error),
        ConnectionError::Halted => {
            // Meanwhile the agent deletes its part of a copy.
            running.wait_within(EXIT_TIMEOUT);
            error
        }
        _ => error,
    }
}

/// Adds an entry that the agent reports. Their number is bounded.
fn add_reported<T>(entries: &mut Vec<T>, entry: T) -> Result<()> {
    const MAX: usize = 20;
    if entries.len() == MAX {
        return Err(connection_error(ConnectionError::Protocol("too many report entries")));
    }
    entries.push(entry);
    Ok(())
}

fn connection_error(cause: ConnectionError) -> Error {
    Error::connection(PEER, cause)
}

fn out_of_turn() -> Error {
    connection_error(ConnectionError::Protocol("an answer out of turn"))
}

fn agent_error(text: &[u8]) -> Error {
    Error::Told { who: PEER, text: text.to_vec() }
}
