//! Talking with the agent, which runs as the job user behind the switcher.

use std::ffi::{OsStr, OsString};
use std::process::Stdio;
use std::time::Duration;

use error::{ConnectionError, Context as _, Error, Result, Shown};
use sys::socket::Sender;
use sys::{Dir, Name, OwnedName, Pid, Uid, process, socket};
use tree::beside::Place;
use tree::build::Built;
use tree::{self, Builder, Progress, Way};
use wire::frame::VERSION;
use wire::{Channel, Dropped, Frame, Links, Needs, Totals};

use super::report::Hunted;
use super::retry::Attempt;
use super::switcher::{Running, Switcher};

/// How messages name the other side.
const WHO: &str = "the agent behind the switcher";

/// After a conversation that went well, the switcher need not be waited for longer than this: its
/// status decides nothing.
const FAREWELL: Duration = Duration::from_secs(5);

/// A switcher call whose agent has not answered yet.
#[derive(Debug)]
pub struct Called {
    channel: Channel,
    running: Running,
    sandbox: OsString,
    kept: Option<OwnedName>,
}

/// An agent that has answered.
#[derive(Debug)]
pub struct Agent {
    channel: Channel,
    running: Running,
    /// The user that it runs as, as the kernel says: neither root nor the batch user.
    pub uid: Uid,
    /// The number of its process.
    pub pid: Pid,
    /// What it works on, for messages.
    sandbox: OsString,
    /// The file that is not handed over with the sandbox.
    kept: Option<OwnedName>,
}

impl Called {
    /// Calls the agent for a sandbox.
    pub fn new(switcher: &Switcher, sandbox: &OsStr) -> Result<Self> {
        Called::with(switcher, &[OsStr::new("serve"), sandbox], sandbox)
    }

    /// Calls the agent for an errand about `sandbox`.
    pub fn with(switcher: &Switcher, errand: &[&OsStr], sandbox: &OsStr) -> Result<Self> {
        let (ours, theirs) = socket::pair().at("make a socket pair for", switcher.program())?;
        socket::receive_credentials(&ours, true)
            .at("prepare the socket for", switcher.program())?;
        let running = switcher.start(errand.iter().copied(), Stdio::from(theirs))?;
        let mut channel = Channel::new(ours);
        channel.limit_waiting(switcher.limit()).map_err(broken)?;
        channel.halt_if(switcher.halt());
        Ok(Called { channel, running, sandbox: sandbox.to_owned(), kept: switcher.kept() })
    }

    /// Waits for the agent's first word, and checks who it is.
    pub fn hello(mut self) -> Result<Agent, Attempt> {
        let Sender { uid, pid } = match self.channel.first() {
            Ok((sender, Frame::Hello { version: VERSION })) => sender,
            Ok((_, Frame::Hello { version })) => {
                let why = format!(
                    "it speaks version {version}, not {VERSION}: helpers and agent must be installed together"
                );
                return Err(Error::refused("condor_glexec_agent", why).into());
            }
            Ok(_) => return Err(broken(ConnectionError::Protocol("no greeting")).into()),
            Err(cause) => {
                let error = broken(cause).during("begin to work on", &self.sandbox);
                return Err(lost(self.channel, self.running, cause, error));
            }
        };
        if uid.is_root() || uid == process::user() {
            let whom = if uid.is_root() { "root" } else { "the calling user" };
            return Err(Error::refused(
                "switcher",
                format!("it runs commands as {whom}, not as a job user"),
            )
            .into());
        }
        Ok(Agent {
            channel: self.channel,
            running: self.running,
            uid,
            pid,
            sandbox: self.sandbox,
            kept: self.kept,
        })
    }
}

impl Agent {
    /// Has the agent build a copy of the tree below `top`, the sandbox of this place; returns what
    /// was moved and what was dropped.
    pub fn upload(
        &mut self,
        top: Dir,
        place: &Place,
        progress: Progress<'_>,
    ) -> Result<(Totals, Dropped)> {
        let device = place.device()?;
        let received = self.request(Frame::Upload).and_then(|()| {
            let kept = self.kept.as_ref().map(OwnedName::name);
            let sent = tree::send(
                top,
                &self.sandbox,
                kept,
                (Way::HandOver, device),
                &mut self.channel,
                progress,
            );
            match sent {
                Ok(moved) => self.done().map(|()| moved),
                Err(Error::Connection { cause, .. }) => Err(self.last_word(cause)),
                // The agent is told, too: what it has of the copy is of no use.
                Err(error) => {
                    let _ = self.channel.send(Frame::Failed { text: error.to_string().as_bytes() });
                    Err(error)
                }
            }
        });
        received.map_err(|error| error.during("copy", &self.sandbox))
    }

    /// Has the agent tell what a copy of the sandbox needs.
    pub fn measure(&mut self) -> Result<Needs> {
        let answer = self.request(Frame::Measure).and_then(|()| match self.channel.receive() {
            Ok(Frame::Needed { needs }) => Ok(needs),
            Ok(Frame::Failed { text }) => Err(told(text)),
            Ok(_) => Err(out_of_turn()),
            Err(cause) => Err(broken(cause)),
        });
        answer.map_err(|error| error.during("measure", &self.sandbox))
    }

    /// Has the agent send the sandbox, without the entry `except`, to the builder.
    pub fn download(
        &mut self,
        links: Links,
        except: Name<'_>,
        builder: &mut Builder<'_>,
        progress: Progress<'_>,
    ) -> Result<Built> {
        self.channel.accept_passed(true);
        let given = self.request(Frame::Download { links, except }).and_then(|()| {
            let built =
                builder.receive(&mut self.channel, progress).map_err(|error| match error {
                    Error::Connection { cause, .. } => broken(cause),
                    Error::Told { text, .. } => Error::Told { who: WHO, text },
                    error => error,
                })?;
            self.channel.accept_passed(false);
            self.done().map(|()| built)
        });
        given.map_err(|error| error.during("copy", &self.sandbox))
    }

    /// Has the agent name its copy as the sandbox.
    pub fn publish(&mut self) -> Result<()> {
        self.ask(Frame::Publish)
            .map_err(|error| error.during("have the copy put in place as", &self.sandbox))
    }

    /// Has the agent move away what has the sandbox's name.
    pub fn retire(&mut self) -> Result<()> {
        self.ask(Frame::Retire).map_err(|error| {
            error.during("have the job's directory moved away from", &self.sandbox)
        })
    }

    /// Has the agent delete what it moved away.
    pub fn delete(&mut self) -> Result<()> {
        self.ask(Frame::Delete).map_err(|error| {
            error.during("have the job's files deleted that were at", &self.sandbox)
        })
    }

    /// Has the agent remove what earlier agents left beside the sandbox.
    pub fn sweep(&mut self) -> Result<()> {
        self.ask(Frame::Sweep)
            .map_err(|error| error.during("have the leftovers removed beside", &self.sandbox))
    }

    /// Has the agent replace the job's proxy.
    pub fn put_proxy(&mut self, name: Name<'_>, content: &[u8]) -> Result<()> {
        let put = self.ask(Frame::PutProxy { name, content });
        put.map_err(|error| error.during("have the proxy replaced in", &self.sandbox))
    }

    /// Hears what became of a hunt that may take so long.
    pub fn hunted(&mut self, work: Duration) -> Result<Hunted> {
        let mut hunted = Hunted::default();
        // All that it says has to come within the time of one answer.
        let deadline = self.channel.deadline(work);
        loop {
            match self.channel.receive_by(deadline).map_err(broken)? {
                Frame::Survivor { pid, text } => {
                    name(&mut hunted.survivors, (pid, Shown(text).to_string()))?
                }
                Frame::Remains { text } => name(&mut hunted.remains, Shown(text).to_string())?,
                Frame::Hunted { hunt } => {
                    hunted.hunt = hunt;
                    return Ok(hunted);
                }
                Frame::Failed { text } => return Err(told(text)),
                _ => return Err(out_of_turn()),
            }
        }
    }

    /// Tells an agent that watches to end what it watches, and hears what became of that.
    pub fn end_watched(&mut self) -> Result<Hunted> {
        self.channel.end_sending().map_err(|cause| self.last_word(cause))?;
        self.hunted(Duration::ZERO)
    }

    /// Ends the conversation after everything went well.
    pub fn farewell(self) {
        drop(self.channel);
        self.running.end_within(FAREWELL);
    }

    /// Ends the conversation after a failure, and tells whether it may pass.
    pub fn fail(self, error: Error) -> Attempt {
        match error {
            Error::Connection { with: WHO, cause, .. } => {
                lost(self.channel, self.running, cause, error)
            }
            error => {
                self.farewell();
                Attempt::Hopeless(error)
            }
        }
    }

    fn ask(&mut self, request: Frame<'_>) -> Result<()> {
        // A step that is one moment is not left half-way.
        let halt = self.channel.halt_if(None);
        let asked = self.request(request).and_then(|()| self.done());
        self.channel.halt_if(halt);
        asked
    }

    fn request(&mut self, request: Frame<'_>) -> Result<()> {
        self.channel.send(request).map_err(|cause| self.last_word(cause))
    }

    fn done(&mut self) -> Result<()> {
        match self.channel.receive().map_err(broken)? {
            Frame::Done => Ok(()),
            Frame::Failed { text } => Err(told(text)),
            _ => Err(out_of_turn()),
        }
    }

    /// Why sending failed: an agent that has closed the connection may have said so before.
    fn last_word(&mut self, cause: ConnectionError) -> Error {
        if cause == ConnectionError::Closed {
            if let Ok(Frame::Failed { text }) = self.channel.receive() {
                return told(text);
            }
        }
        broken(cause)
    }
}

/// What becomes of a call whose connection is lost: the switcher's status tells, if it ends.
fn lost(channel: Channel, running: Running, cause: ConnectionError, error: Error) -> Attempt {
    // Nobody but the agent may end the agent: a closed socket is what it goes by.
    drop(channel);
    match cause {
        ConnectionError::Closed => running.end().attempt(Some(error)),
        ConnectionError::Halted => {
            // It deletes what it had begun.
            running.end_within(FAREWELL);
            Attempt::Hopeless(error)
        }
        _ => Attempt::Hopeless(error),
    }
}

/// Keeps what the agent names, as long as that is within reason.
fn name<T>(names: &mut Vec<T>, one: T) -> Result<()> {
    const MOST: usize = 20;
    if names.len() == MOST {
        return Err(broken(ConnectionError::Protocol("more names than anybody reads")));
    }
    names.push(one);
    Ok(())
}

fn broken(cause: ConnectionError) -> Error {
    Error::connection(WHO, cause)
}

fn out_of_turn() -> Error {
    broken(ConnectionError::Protocol("an answer out of turn"))
}

fn told(text: &[u8]) -> Error {
    Error::Told { who: WHO, text: text.to_vec() }
}
