//! A call without privilege: the payload runs as a subordinate user of the caller's.

use std::fs::File;
use std::process::ExitCode;
use std::time::Instant;

use ::command::program::print;
use ::command::refusal::{Refusal, Result};
use ::command::{log, say};
use sys::fork::{self, Fork};
use sys::signal::{self, Signals};
use sys::wait::End;
use sys::{Uid, fd, inherited, prctl, process, rlimit};
use wire::EXACT_STATUS;

use crate::command::{self, Asked, PROGRAM, inform, read_arguments};
use crate::directory::Directory;
use crate::door::Unprivileged;
use crate::guard::{self, Pipes, Position};
use crate::lease::{self, Lease, Usage};
use crate::payload::Payload;
use crate::ranges::Ranges;
use crate::request::Request;
use crate::scripts::{self, Scripts};
use crate::supervise::{self, Guard, Taking};
use ::world::restrictions;
use ownership::HandOver;

use crate::{call_log, daemon, door, idmap, installed, owner};

/// Serves a call of a process that has no more rights than its caller.
pub(crate) fn main() -> ExitCode {
    let (asked, words) = read_arguments();
    let report = match &asked {
        Ok(Asked::HandOver(options, _)) => Some(HandOver::report(options)),
        _ => None,
    };
    // No other descriptor of the caller's stays open in the processes above the payload. This
    // process has opened none yet.
    let _ = inherited::close_inherited();
    signal::default_sigchld();
    // Its own files are private, and it can read them again, whatever the caller's umask is.
    let umask = process::umask(0o077);
    match asked {
        Ok(Asked::Information(information)) => inform(&information, door::mode()),
        asked => match door::for_unprivileged() {
            Ok((way, is_closed)) => {
                let asked = match is_closed {
                    true => asked.map(Asked::in_closed_world),
                    false => asked,
                };
                match way {
                    Unprivileged::Rootless => serve(asked, report, &words, umask),
                    Unprivileged::Daemon(socket) => daemon::serve(asked, &socket, &words, umask),
                }
            }
            Err(refusal) => serve(asked.and(Err(refusal)), report, &words, umask),
        },
    }
}

/// Serves a call, and writes the line of the log. `report` is where a call that hands a directory
/// over reports; `words` is the command line for the log.
pub(crate) fn serve(
    asked: Result<Asked>,
    report: Option<Result<File>>,
    words: &[String],
    umask: u32,
) -> ExitCode {
    let started = Instant::now();
    let (mut user, mut notes) = (None, Vec::new());
    let ended = asked.and_then(|asked| match asked {
        Asked::Payload(command, world) => Request::read(command, world)
            .and_then(|request| run(request, umask, &mut user, &mut notes, None)),
        Asked::HandOver(options, world) => {
            let report = report.unwrap_or_else(|| Err(door::no_hand_over()))?;
            let hand_over = Some(HandOver::read(&options, report)?);
            let request = Request::read(options.command().to_vec(), world)?;
            run(request, umask, &mut user, &mut notes, hand_over)
        }
        Asked::Owner(options) => owner::run(&options, &mut user).map(|report| {
            print(&format!("{report}\n"));
            End::Exited(0)
        }),
        Asked::Daemon(_) => Err(door::only_daemon()),
        Asked::Information(_) => Ok(End::Exited(0)),
    });
    conclude(&ended, user, words, &notes, started)
}

/// Tells the end of a call: to the caller, in the log, and by the exit status.
pub(crate) fn conclude(
    ended: &Result<End>,
    user: Option<Uid>,
    words: &[String],
    notes: &[String],
    started: Instant,
) -> ExitCode {
    if let Err(refusal) = ended {
        say(PROGRAM.name, refusal);
    }
    let is_exact = std::env::var_os(EXACT_STATUS).is_some_and(|value| !value.is_empty());
    let error = ended.as_ref().err().map(|refusal| refusal.text.as_str());
    if !log::is_wanted() {
        notes.iter().for_each(|note| say(PROGRAM.name, note));
    }
    let line = call_log::line(user, words, notes, error);
    let status = command::status(ended, is_exact);
    if let Err(warning) = line.write(PROGRAM.name, started.elapsed(), Some(status)) {
        say(PROGRAM.name, warning);
    }
    command::end(ended, is_exact)
}

/// Runs the payload and returns how it has ended. It gets this umask. `user` becomes the user id of
/// the lease; `notes` gets lines about session scripts. `hand_over` is the payload's while it runs.
fn run(
    request: Request,
    umask: u32,
    user: &mut Option<Uid>,
    notes: &mut Vec<String>,
    hand_over: Option<HandOver>,
) -> Result<End> {
    let descriptors = prepare()?;
    let ranges = Ranges::of(process::geteuid())?;
    let usage = if hand_over.is_some() { Usage::HandOver } else { Usage::Payload };
    let mut acquired = lease::acquire(&request.wish, usage, &ranges)?;
    if request.world.is_some() {
        // The processes that its /proc shows are its own: so it does not join another payload's
        // namespaces, but has some of its own, with the same ids.
        acquired.lease.namespace = None;
    }
    if let Some(hand_over) = &hand_over {
        hand_over.check_outside(&request.wish.credential.path)?;
        hand_over.check_outside(acquired.directory())?;
    }
    let ids = acquired.lease.ids;
    *user = Some(ids.user);
    let scripts = (!installed::is_operation(&request.command)).then(|| Scripts::of(&request, ids));
    // For a message at the end.
    let keeps_error = log::is_wanted() || !request.scripts.is_empty();
    let state = acquired.directory().to_owned();
    let mut payload = Payload::new(request, ids, umask, descriptors);
    let failed = |cause| Refusal::internal(format!("cannot wait for signals: {cause}"));
    signal::block_all().map_err(failed)?;
    let signals = Signals::open().map_err(failed)?;
    // Descendants of a killed guard become children of this process, which can tell them from the
    // children that it had before.
    prctl::set_child_subreaper()
        .map_err(|cause| restrictions::forbidden("adopt orphaned processes", cause))?;
    let (guard, mut start) =
        start_guard(&acquired.lease, &mut payload, hand_over.as_ref(), keeps_error)?;
    // Other calls need not wait any more: they find a namespace whose ids are mapped.
    let lease = acquired.commit(guard.pid)?;
    let begun = scripts.map(|scripts| scripts.begin(&state, notes)).transpose()?.flatten();
    let (mut session, changes) = begun.unzip();
    // A guard that does not read this has ended, as its other pipes tell. Without a byte it
    // executes nothing.
    let _ = guard::write_start(&mut start, &changes.unwrap_or_default());
    let taking = hand_over.map(|_| Taking { permit: start, lease: &lease });
    let ended = supervise::wait_for_end(&signals, guard, taking, session.as_mut());
    if let Some(session) = session {
        scripts::end(session, &ended, notes);
    }
    ended
}

/// What comes before any use of subordinate ids. Returns the soft limit of descriptors, which is
/// raised.
pub(crate) fn prepare() -> Result<u64> {
    if prctl::get_no_new_privs() {
        return Err(Refusal::internal(
            "newuidmap cannot work here: this process was started with no_new_privs, as inside \
             Apptainer and under some batch systems; have it started without (prctl(2), \
             PR_SET_NO_NEW_PRIVS)",
        ));
    }
    rlimit::raise_nofile().map_err(|cause| {
        Refusal::internal(format!("cannot raise the limit of descriptors: {cause}"))
    })
}

/// Starts the guard, which starts the payload when a byte is written to the returned pipe, and
/// after a second byte takes back what is handed over.
fn start_guard(
    lease: &Lease,
    payload: &mut Payload,
    hand_over: Option<&HandOver>,
    keeps_error: bool,
) -> Result<(Guard, File)> {
    let failed = |cause| Refusal::internal(format!("cannot make a pipe: {cause}"));
    let (refusal, refusal_end) = fd::pipe().map_err(failed)?;
    let (status, status_end) = fd::pipe().map_err(failed)?;
    let (start_end, start) = fd::pipe().map_err(failed)?;
    let pipes = Pipes { start: start_end, refusal: refusal_end, status: status_end };
    let above = process::getpid();
    let forbidden =
        |cause| restrictions::forbidden("start a process in a new user namespace", cause);
    let pid = if let Some(namespace) = &lease.namespace {
        match fork::fork().map_err(forbidden)? {
            Fork::Child => guard::run(&Position::Beside(namespace), payload, None, pipes, above),
            Fork::Parent(pid) => pid,
        }
    } else {
        match rlimit::with_reduced_nproc(fork::fork_into_new_namespaces).map_err(forbidden)? {
            Fork::Child => {
                let directory =
                    hand_over.map(|hand_over| Directory { hand_over, lock: &lease.calls });
                guard::run(&Position::Inside, payload, directory, pipes, above)
            }
            Fork::Parent(pid) => {
                // Files are made in there, and files of the caller's change their owner.
                match hand_over.is_some() || payload.world.is_some() {
                    true => idmap::map_with_own_group(pid, lease.ids)?,
                    false => idmap::map(pid, lease.ids)?,
                }
                pid
            }
        }
    };
    Ok((Guard { pid, user: lease.ids.user, refusal, status, keeps_error }, start))
}
