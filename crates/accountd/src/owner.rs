//! A change of the owner of a directory for a client. The client has opened what it names; here no
//! path is resolved but with the client's rights. The steps are those of the crate `ownership`, in
//! a confined child of this process.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::PathBuf;

use command::refusal::{Refusal, Result};
use ownership::Order;
use ownership::confined::Change;
use root::accounts::audit::{self, Event};
use root::accounts::{LeaseRecord, lease, new_id};
use root::config::Config;
use root::door::{self, Found};
use root::origin::Origin as _;
use root::sanitize::{Start, Variables};
use sys::rlimit::SavedLimits;
use sys::scheduling::Scheduling;
use sys::signal::{self, SIGHUP, SIGINT, SIGTERM, Signals};
use sys::{Pid, process, stdio, switch};
use wire::daemon::{self, Answer, Signal};

use crate::client::{Client, Has};
use crate::connection::{Arrived, Connection};
use crate::supervisor::{Supervisor, configuration, failed};

impl Supervisor<'_> {
    /// Changes the owner of a directory, and tells the client the result.
    pub(crate) fn change(
        &self,
        connection: Connection,
        request: daemon::Change,
        descriptors: Vec<OwnedFd>,
    ) {
        let shown = format!("change of owner: {}", door::shown(&request.options));
        let prepared = configuration().and_then(|config| {
            let prepared = self.prepare_change(request, descriptors)?;
            let signals = Signals::open().map_err(failed("wait for signals"))?;
            Ok((config, prepared, signals))
        });
        let (config, (start, order, credential), signals) = match prepared {
            Ok(prepared) => prepared,
            Err(refusal) => return self.refuse(&connection, &refusal, &shown),
        };
        let mut client = Client {
            connection,
            // The caller has it.
            counted: None,
            signals,
            files: self.files,
            cgroups: None,
            shown: shown.clone(),
            credential: Some(credential),
            proxy: None,
            scheduling: Scheduling::default(),
            lingers: false,
            has: Has::default(),
        };
        let done = change_owner(&start, &order, &config, &mut client);
        if let Some(lease) = &client.has.lease {
            let _ = lease::renew(lease, &config);
        }
        match done {
            Ok(report) => _ = client.connection.send(&Answer::Text(format!("{report}\n"))),
            Err(refusal) => self.refuse(&client.connection, &refusal, &shown),
        }
    }

    /// The client's standard streams become this process's, which the child inherits.
    fn prepare_change(
        &self,
        request: daemon::Change,
        descriptors: Vec<OwnedFd>,
    ) -> Result<(Start, Order, File)> {
        let mut descriptors = descriptors.into_iter();
        let mut next =
            || descriptors.next().ok_or_else(|| Refusal::client("the request lacks a descriptor"));
        let streams = [next()?, next()?, next()?];
        let credential = File::from(next()?);
        let order = Order::from_passed(&request.options, descriptors.collect())?;
        stdio::set_stdio(&streams).map_err(failed("use the client's standard streams"))?;
        let start = Start {
            caller: self.peer.identity.clone(),
            environment: Variables::new(request.environment),
            umask: 0o077,
            limits: SavedLimits::of_process(process::getpid())
                .map_err(failed("ask for the limits of this process"))?,
        };
        Ok((start, order, credential))
    }
}

/// The steps. Returns the report, one line.
fn change_owner(
    start: &Start,
    order: &Order,
    config: &Config,
    client: &mut Client<'_>,
) -> Result<String> {
    let caller = &start.caller;
    let Found { target, lease, credential, .. } = client.find(start, config)?;
    // The child has no others: the end of one of its own children would seem to ask for its end.
    let signals = Signals::block(&[SIGHUP, SIGINT, SIGTERM]).map_err(failed("wait for signals"))?;
    let signals = order.is_give().then_some(&signals);
    let payload = &target.identity;
    let audited = Audited::of(order);
    let record = client.has.lease.clone();
    let audited_lease = || record.iter().map(LeaseRecord::audited);
    let change = Change { order, caller, payload, lock: lease.as_ref(), signals };
    switch::with_files_of(caller, || change.check(&credential))
        .map_err(failed("examine files with the client's rights"))??;
    audited_lease().for_each(|lease| audited.begun(lease));
    let done =
        change.run(|worker, answer| wait_for_answer(worker, answer, order.is_give(), client));
    audited_lease().for_each(|lease| audited.ended(lease, done.as_ref().err()));
    done
}

/// What the audit gets of a change.
struct Audited {
    change: String,
    direction: &'static str,
    directory: PathBuf,
    to: Option<PathBuf>,
}

impl Audited {
    fn of(order: &Order) -> Audited {
        let (directory, to) = order.paths();
        Audited { change: new_id(), direction: order.direction(), directory, to }
    }

    /// To be written before the first owner changes: a change that is killed is told, too.
    fn begun(&self, lease: audit::Lease<'_>) {
        audit::write(&Event::ChangeBegun { change: &self.change, lease, order: self.order() });
    }

    fn ended(&self, lease: audit::Lease<'_>, refusal: Option<&Refusal>) {
        let result = match refusal {
            None => "done".to_owned(),
            Some(Refusal { status, text }) => format!("{}: {text}", *status as u8),
        };
        let (change, order) = (self.change.as_str(), self.order());
        audit::write(&Event::ChangeEnded { change, lease, order, result: &result });
    }

    fn order(&self) -> audit::Change<'_> {
        let Audited { direction, directory, to, .. } = self;
        audit::Change { direction, directory, to: to.as_deref() }
    }
}

/// Forwards the client's signals to the child that gives a directory, until its answer is complete.
/// The end of the client undoes what is given; what is taken is completed.
fn wait_for_answer(
    worker: Pid,
    mut answer: File,
    is_give: bool,
    client: &mut Client<'_>,
) -> Result<Vec<u8>> {
    loop {
        let is_open = !client.has.is_gone.get();
        let [is_answer, has_arrived] = client.connection.wait_with(answer.as_fd(), is_open, None);
        if is_answer {
            break;
        }
        if !has_arrived {
            continue;
        }
        let number = match client.connection.signal() {
            Arrived::Signal(Signal { number, .. }) => number,
            Arrived::Nothing => continue,
            Arrived::End => {
                client.has.is_gone.set(true);
                SIGTERM
            }
        };
        if is_give && [SIGHUP, SIGINT, SIGTERM].contains(&number) {
            let _ = signal::kill(worker, number);
        }
    }
    let mut bytes = Vec::new();
    answer.read_to_end(&mut bytes).map_err(|error| {
        Refusal::internal(format!("cannot read from the process that changes the owner: {error}"))
    })?;
    Ok(bytes)
}
