//! The process of a connection: from the request to the end of the payload. It is a copy of the
//! daemon's process and outlives it. From the start of the payload on it is what the set-user-ID
//! program is: the parent of the payload, as root.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::fd::OwnedFd;

use cgroup::Cgroup;
use command::refusal::{Refusal, Result};
use root::accounts::audit::{self, Event};
use root::accounts::lease::{self, Ask};
use root::accounts::{self as leases, connections};
use root::config::{Config, ConfigError, Mapping};
use root::door;
use root::mapping::Mode;
use root::sanitize::{Start, Variables};
use sys::rlimit::SavedLimits;
use sys::scheduling::Scheduling;
use sys::signal::Signals;
use sys::socket::Peer;
use sys::wait::End;
use sys::{Errno, Pid, Uid, proc, process, stdio};
use wire::daemon::{Answer, Request, Run};
use world::Spec;

use crate::client::{self, Client, Has};
use crate::connection::Connection;
use crate::files::Files;
use crate::status;

/// What the process of a connection gets from the daemon.
pub(crate) struct Supervisor<'a> {
    /// Who is at the other end.
    pub(crate) peer: &'a Peer,
    /// The lists of clients and accounts.
    pub(crate) files: &'a Files,
    /// The delegated cgroup.
    pub(crate) cgroups: Option<&'a Cgroup>,
}

/// The configuration for a call. Without a file the lists of clients and accounts are all that is
/// needed, where a credential is known by its caller and its path.
pub(crate) fn configuration() -> Result<Config> {
    let config = match Config::load() {
        Err(ConfigError::Missing) => Config { mapping: Mapping::Caller, ..Config::default() },
        loaded => loaded?,
    };
    // A payload has its supervisor, which ends its family.
    Ok(Config { linger: true, end_family: true, ..config })
}

/// The keys of the configuration that are set to what the daemon does not do.
pub(crate) fn without_effect() -> Option<&'static str> {
    match Config::load() {
        Ok(Config { linger: false, .. }) => Some("linger = no"),
        Ok(Config { end_family: false, .. }) => Some("end_family = no"),
        _ => None,
    }
}

impl Supervisor<'_> {
    /// Serves the connection. To be called in a process of its own, which has no other descriptor.
    pub(crate) fn serve(&self, socket: OwnedFd) {
        fastrand::seed(u64::from_str_radix(&leases::new_id(), 16).unwrap_or_default());
        if process::setsid().is_err() {
            return;
        }
        let Ok(connection) = Connection::new(socket) else { return };
        // Where that fails, a daemon that starts later does not count this connection.
        let counted = connections::join(self.peer.identity.user).ok();
        let (request, descriptors) = match connection.request() {
            Ok(read) => read,
            Err(refusal) => return self.refuse(&connection, &refusal, ""),
        };
        let is_there = connection.send(&Answer::Working);
        match request {
            // The client has given the call up, and may make it again.
            Request::Run(_) if !is_there => {}
            Request::Run(run) => self.run(connection, counted, run, descriptors),
            Request::Owner(change) => self.change(connection, change, descriptors),
            other => match configuration()
                .and_then(|config| self.other(&other, descriptors.into_iter().next(), &config))
            {
                Ok(text) => _ = connection.send(&Answer::Text(text)),
                Err(refusal) => self.refuse(&connection, &refusal, ""),
            },
        }
    }

    /// Serves a request that runs no command. Returns the answer: lines.
    fn other(&self, request: &Request, passed: Option<OwnedFd>, config: &Config) -> Result<String> {
        let identity = &self.peer.identity;
        let account = client::listed(self.files, identity)?;
        if *request == Request::Status {
            return status::of(account.user);
        }
        let credential = client::read(passed.map(File::from), None, identity, config)?;
        let subject = door::subject(&account, &credential, config)?;
        let location = door::location(&credential)?;
        let ask = Ask {
            config,
            list: &self.files.accounts,
            client: &account,
            subject: subject.as_deref(),
            credential: &location,
            mode: Mode::VerifyAccount,
            is_abandoned: &|| false,
        };
        let Some(lease) = ask.find()? else {
            return Err(Refusal::not_authorized("the credential has no lease"));
        };
        match request {
            Request::End => {
                let count = leases::end_payloads(&lease.account, account.user)?;
                Ok(format!("{{\"payloads\":{count}}}\n"))
            }
            _ => {
                let released =
                    leases::end::release(&lease.account, Some(account.user), "released")?;
                let (payloads, leases) = (released.payloads, released.leases);
                Ok(format!("{{\"leases\":{leases},\"payloads\":{payloads}}}\n"))
            }
        }
    }

    /// Tells the client why its request is refused.
    pub(crate) fn refuse(&self, connection: &Connection, refusal: &Refusal, command: &str) {
        let Refusal { status, text } = refusal;
        let client = self.peer.identity.user;
        audit::write(&Event::Refused { client, status: *status, text, command });
        connection.send(&Answer::Refused { status: *status as u8, text: text.clone() });
    }

    fn run(
        &self,
        connection: Connection,
        counted: Option<File>,
        run: Run,
        descriptors: Vec<OwnedFd>,
    ) {
        let shown = door::shown(&run.command);
        let prepared = configuration().and_then(|config| {
            let prepared = self.prepare(run, descriptors)?;
            let signals = Signals::open().map_err(failed("wait for signals"))?;
            Ok((config, prepared, signals))
        });
        let (config, prepared, signals) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return self.refuse(&connection, &refusal, &shown),
        };
        let Prepared { start, run, credential, proxy, scheduling } = prepared;
        let mut client = Client {
            connection,
            counted,
            signals,
            files: self.files,
            cgroups: self.cgroups,
            shown,
            credential: Some(credential),
            proxy,
            scheduling,
            lingers: run.lingers,
            has: Has::default(),
        };
        let ended = world_of(&run.world)
            .and_then(|world| door::serve(&start, run.command, world, &config, &mut client));
        self.finish(client, &config, ended);
    }

    /// Makes this process as if its client had started it set-user-ID: its standard streams and
    /// working directory are the client's, and the payload's limits and scheduling will be. The
    /// kernel says what these are where the client could claim more than it has.
    fn prepare(&self, run: Run, descriptors: Vec<OwnedFd>) -> Result<Prepared> {
        let Peer { identity, pid } = self.peer;
        let mut descriptors = descriptors.into_iter();
        let mut next =
            || descriptors.next().ok_or_else(|| Refusal::client("the request lacks a descriptor"));
        let streams = [next()?, next()?, next()?];
        let directory = next()?;
        let credential = File::from(next()?);
        let proxy = if run.has_proxy { Some(File::from(next()?)) } else { None };
        stdio::set_stdio(&streams).map_err(failed("use the client's standard streams"))?;
        process::fchdir(&directory).map_err(|cause| {
            Refusal::client(format!("the working directory cannot be entered: {cause}"))
        })?;
        let (limits, scheduling) = self.of_client(*pid)?;
        let mut limits = limits.map_err(failed("ask for the client's limits"))?;
        limits.permit().map_err(failed("raise the limits of this process"))?;
        let environment = Variables::new(run.environment.clone());
        let start = Start { caller: identity.clone(), environment, umask: run.umask, limits };
        Ok(Prepared { start, run, credential, proxy, scheduling })
    }

    /// The limits and the scheduling of the client's process.
    fn of_client(&self, pid: Pid) -> Result<(sys::Result<SavedLimits>, Scheduling)> {
        // The client is outside of this process's pid namespace.
        if pid.as_raw() == 0 {
            return Ok((SavedLimits::of_process(process::getpid()), Scheduling::default()));
        }
        let found = (SavedLimits::of_process(pid), Scheduling::of(pid).unwrap_or_default());
        // Looked at afterwards. A process of the client's with this id is the one that has
        // connected, or has its limits from the same user. A set-user-ID program has others, and
        // so has this process: a client must not get rid of its own by ending the other one.
        let is_of_client = |uids: [Uid; 4]| uids.iter().all(|uid| *uid == self.peer.identity.user);
        match proc::uids(pid).is_some_and(is_of_client) {
            true => Ok(found),
            false => Err(Refusal::client(
                "the process that has connected to the account daemon has ended or is another \
                 user's: it must be there until the command is executed",
            )),
        }
    }

    /// Tells the client the end, and forgets what is over.
    fn finish(&self, mut client: Client<'_>, config: &Config, ended: Result<End>) {
        if let Some(cgroup) = client.has.cgroup.take() {
            let _ = cgroup.end();
        }
        if let Some(lease) = &client.has.lease {
            let _ = lease::renew(lease, config);
        }
        let answer = match &ended {
            Ok(end) => Answer::Ended(*end),
            Err(Refusal { status, text }) => {
                let text = match config.silent_logging {
                    true => "the call was refused: the log of this machine says why".to_owned(),
                    false => text.clone(),
                };
                Answer::Refused { status: *status as u8, text }
            }
        };
        if let Err(refusal) = &ended {
            let (user, command) = (self.peer.identity.user, &client.shown);
            let Refusal { status, text } = refusal;
            audit::write(&Event::Refused { client: user, status: *status, text, command });
        }
        let is_told = !client.has.is_gone.get() && client.connection.send(&answer);
        if let Some(mut payload) = client.has.payload.take() {
            // A client that has gone can ask for the end of a payload that goes on without it.
            match ended {
                Ok(end) if !is_told && client.lingers => _ = payload.set_end(end),
                _ => _ = payload.remove(),
            }
        }
    }
}

/// The world of a payload, from the words of its options.
fn world_of(words: &[OsString]) -> Result<Spec> {
    let mut options = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let name = word.to_str().and_then(|word| word.strip_prefix("--"));
        let name = name.ok_or_else(|| Refusal::client("the request has no valid world"))?;
        let value = if name == "nested" {
            Some(OsStr::new(""))
        } else {
            words.next().map(OsString::as_os_str)
        };
        let value = value.ok_or_else(|| Refusal::client("the request has no valid world"))?;
        options.push((name, value));
    }
    Spec::parse(options)
}

/// What a request has become.
struct Prepared {
    start: Start,
    run: Run,
    credential: File,
    proxy: Option<File>,
    scheduling: Scheduling,
}

/// Why a step of this process failed.
pub(crate) fn failed(step: &'static str) -> impl Fn(Errno) -> Refusal {
    move |cause| Refusal::internal(format!("cannot {step}: {cause}"))
}
