//! The steps of a call that differ from those of a set-user-ID start: its files were opened by the
//! client and passed, its account is one on lease, and the connection is its way to the payload.

use std::cell::Cell;
use std::ffi::OsStr;
use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;
use std::time::Instant;

use cgroup::Cgroup;
use command::accounts::{self, Account};
use command::refusal::{Refusal, Result};
use root::accounts::audit::{self, Event as Audited};
use root::accounts::lease::Ask;
use root::accounts::payloads::{PayloadRecord, Registered};
use root::accounts::{self as leases, LeaseRecord, new_id};
use root::config::Config;
use root::door::{self, Found};
use root::mapping::Mode;
use root::origin::{Event, Origin};
use root::payload::Payload;
use root::sanitize::Start;
use root::{credential, target};
use sys::Pid;
use sys::scheduling::Scheduling;
use sys::signal::Signals;
use sys::signal::{Received, SIGCHLD, SIGCONT, SIGSTOP, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU};
use sys::switch::Identity;
use sys::wait::End;
use wire::daemon::{Answer, Signal};

use crate::connection::{Arrived, Connection};
use crate::files::Files;

/// The client of a payload.
pub(crate) struct Client<'a> {
    /// The connection with it.
    pub(crate) connection: Connection,
    /// Counts the connection for a daemon that starts later.
    pub(crate) counted: Option<File>,
    /// What arrives from the kernel and from root.
    pub(crate) signals: Signals,
    /// The lists of clients and accounts.
    pub(crate) files: &'a Files,
    /// The delegated cgroup.
    pub(crate) cgroups: Option<&'a Cgroup>,
    /// The words of the command, for the records.
    pub(crate) shown: String,
    /// The credential.
    pub(crate) credential: Option<File>,
    /// The proxy to copy.
    pub(crate) proxy: Option<File>,
    /// How the kernel schedules the client's process.
    pub(crate) scheduling: Scheduling,
    /// Whether the payload goes on without the client.
    pub(crate) lingers: bool,
    /// What the call has, once it has it.
    pub(crate) has: Has,
}

/// What a call has until its end.
#[derive(Default)]
pub(crate) struct Has {
    /// The lease.
    pub(crate) lease: Option<LeaseRecord>,
    /// The record of the payload.
    pub(crate) payload: Option<Registered>,
    /// The payload's cgroup.
    pub(crate) cgroup: Option<Cgroup>,
    /// Whether the payload was executed.
    pub(crate) is_started: bool,
    /// Whether the connection is over.
    pub(crate) is_gone: Cell<bool>,
}

/// The account of a client, if it is listed.
pub(crate) fn listed(files: &Files, client: &Identity) -> Result<Account> {
    let account = accounts::of(client.user)?.ok_or_else(|| {
        Refusal::not_authorized(format!("there is no account with your uid, {}", client.user))
    })?;
    match files.clients.contains(&account) {
        true => Ok(account),
        false => Err(Refusal::not_authorized(format!(
            "{} (uid {}) may not use the account daemon here: the administrator can add it to {}",
            error::Shown(&account.name),
            client.user,
            leases::clients::Clients::PATH
        ))),
    }
}

/// Reads the credential that a client has passed.
pub(crate) fn read(
    file: Option<File>,
    named: Option<&OsStr>,
    client: &Identity,
    config: &Config,
) -> Result<credential::Credential> {
    let file = file.ok_or_else(|| Refusal::client("no credential was passed"))?;
    let named = named.unwrap_or(OsStr::new("the passed file"));
    credential::read_passed(file, Path::new(named), client, config)
}

impl Client<'_> {
    /// What the audit tells of the payload.
    fn audited(&self) -> Option<(&str, audit::Lease<'_>)> {
        let payload = self.has.payload.as_ref()?;
        Some((&payload.record().payload, self.has.lease.as_ref()?.audited()))
    }
}

impl Origin for Client<'_> {
    fn find(&mut self, start: &Start, config: &Config) -> Result<Found> {
        let caller = listed(self.files, &start.caller)?;
        let variables = &start.environment;
        let mode = Mode::from_variable(variables.get("GLEXEC_MODE"))?;
        let named = variables.get("GLEXEC_CLIENT_CERT").or(variables.get("X509_USER_PROXY"));
        let credential = read(self.credential.take(), named, &start.caller, config)?;
        let subject = door::subject(&caller, &credential, config)?;
        let location = door::location(&credential)?;
        let ask = Ask {
            config,
            list: &self.files.accounts,
            client: &caller,
            subject: subject.as_deref(),
            credential: &location,
            mode,
            is_abandoned: &|| self.connection.is_closed(),
        };
        let leased = ask.acquire()?;
        let target = target::of(leased.target, &start.caller, config)?;
        self.has.lease = Some(leased.record);
        let lease = Some(leased.held);
        Ok(Found { caller, credential: credential.path, subject, target, lease })
    }

    fn proxy(&mut self, source: &OsStr, start: &Start, config: &Config) -> Result<Vec<u8>> {
        read(self.proxy.take(), Some(source), &start.caller, config).map(|read| read.content)
    }

    fn prepare(&mut self, found: &Found, payload: &mut Payload) -> Result<()> {
        payload.scheduling = Some(self.scheduling.clone());
        let lease = self.has.lease.as_ref().map(|lease| lease.lease.clone()).unwrap_or_default();
        let client = payload.caller.user;
        let mut record = PayloadRecord::new(new_id(), lease, client, self.shown.clone());
        let name = format!("payload-{}", record.payload);
        // Noted before it is made: what is noted and was not made does no harm.
        let cgroup = self.cgroups.map(|cgroups| cgroups.child(&name));
        record.cgroup = cgroup.as_ref().map(|cgroup| cgroup.path().to_owned());
        self.has.payload = Some(leases::register(&found.target.account.name, record)?);
        payload.cgroup = cgroup.clone();
        self.has.cgroup = cgroup;
        Ok(())
    }

    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let mut descriptors = vec![self.connection.as_fd(), self.signals.as_fd()];
        descriptors.extend(self.counted.iter().map(|file| file.as_fd()));
        descriptors.extend(self.has.payload.iter().map(|payload| payload.file().as_fd()));
        descriptors
    }

    fn started(&mut self, pid: Pid, found: &Found) {
        self.has.is_started = true;
        let mut id = String::new();
        if let Some(payload) = &mut self.has.payload {
            // The record has all but this number where the disk is full.
            let _ = payload.set_pid(pid);
            id = payload.record().payload.clone();
        }
        if let Some((payload, lease)) = self.audited() {
            audit::write(&Audited::PayloadStarted { payload, lease, pid, command: &self.shown });
        }
        let user = found.target.identity.user;
        self.connection.send(&Answer::Started { payload: id, pid, user });
    }

    fn next(&mut self, deadline: Option<Instant>) -> Event {
        loop {
            let is_open = !self.has.is_gone.get();
            let [is_signal, has_arrived] =
                self.connection.wait_with(self.signals.as_fd(), is_open, deadline);
            if deadline.is_some_and(|deadline| deadline <= Instant::now()) && !is_signal {
                return Event::Deadline;
            }
            if has_arrived {
                match self.connection.signal() {
                    Arrived::Signal(Signal { number, to_group }) => {
                        return match number {
                            SIGTSTP | SIGTTIN | SIGTTOU | SIGSTOP => Event::Stop,
                            SIGCONT => Event::Continue,
                            number => Event::Signal { number, to_group },
                        };
                    }
                    Arrived::Nothing => {}
                    Arrived::End => {
                        self.has.is_gone.set(true);
                        if !self.lingers {
                            return Event::End;
                        }
                    }
                }
            }
            if is_signal {
                match self.signals.read() {
                    Ok(Received { number: SIGCHLD, .. }) => return Event::Child,
                    // An administrator ends the payloads of an account.
                    Ok(Received { number: SIGTERM, sender, .. }) if sender.is_root() => {
                        return Event::End;
                    }
                    _ => {}
                }
            }
        }
    }

    fn end_family(&mut self) {
        if let Some(cgroup) = self.has.cgroup.take() {
            let _ = cgroup.end();
        }
    }

    fn ended(&mut self, end: End, _found: &Found) {
        if let Some((payload, lease)) = self.audited() {
            audit::write(&Audited::PayloadEnded { payload, lease, end: &end.to_string() });
        }
    }
}
