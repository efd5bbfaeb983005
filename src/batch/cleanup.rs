//! After a job: brings its files back to the batch user, with the retained proxy in place of the job's.
//!
//! 1. tell the state of the sandbox;
//! 2. build N, a copy of the sandbox as the agent sends it; the retained proxy last;
//! 3. exchange N and `.condor`: now `.condor` is the data, unmarked, and complete;
//! 4. the agent moves `<sandbox>` out of the way, to J;
//! 5. `.condor` becomes `<sandbox>`;
//! 6. the agent deletes J; then N, which is the retained directory by now, is deleted.
//!
//! Up to step 3 a failure changes nothing; after it, another cleanup goes on at step 4.

use super::agent::{Agent, Called};
use super::report::Report;
use super::retry::{Attempt, Failure, Patience, retrying};
use super::sandbox::{Found, Retained, Sandbox};
use super::space;
use super::switcher::Switcher;
use crate::error::{Error, Result};
use crate::sys::OwnedName;
use crate::tree::build::Built;
use crate::tree::{Builder, Progress};
use crate::wire::Links;

/// Brings the sandbox back, without links that leave it, if `links` says so. `report` gets what the caller and the log want to know.
///
/// Running it twice is harmless, and so is running it after a setup that was killed.
pub fn cleanup(
    sandbox: &Sandbox,
    switcher: &Switcher,
    patience: Patience,
    links: Links,
    report: &mut Report<'_>,
) -> Result<(), Failure> {
    let retained = sandbox.retained().map_err(Failure::BadInput)?;
    let found = sandbox.found().map_err(Failure::BadInput)?;
    report.request = sandbox.request();
    if found != Found::Nothing {
        // Whatever is beside a sandbox that is gone may be worth a look by its owner.
        sandbox.sweep();
    }
    let call = |report: &mut Report<'_>| {
        retrying(patience, report, |_| Called::new(switcher, sandbox.path().as_os_str())?.hello())
    };
    // That nobody can be called to sweep is no reason not to bring the files back.
    let call_to_sweep = |report: &mut Report<'_>| {
        if sandbox.others_left_something()
            && let Ok(mut agent) = call(report)
        {
            let _ = agent.sweep();
            agent.farewell();
        }
    };
    match (retained, found) {
        (Retained::Absent, Found::Mine) => {}
        (Retained::Absent, Found::Nothing) => {
            return Err(Failure::BadInput(Error::refused(sandbox.path(), "there is no such directory")));
        }
        (Retained::Absent, Found::Theirs(uid) | Found::Other(uid)) => {
            let why = format!("it is uid {uid}'s, and nothing of yours is at {}", shown(sandbox));
            return Err(Failure::BadInput(Error::refused(sandbox.path(), why)));
        }
        (Retained::Data, Found::Mine) => {
            let why =
                format!("both this directory and {} are yours, and hold data: move one of them away", shown(sandbox));
            return Err(Failure::BadInput(Error::refused(sandbox.path(), why)));
        }
        // A setup was killed before the sandbox changed hands, or a cleanup when it was all but done.
        (Retained::Proxy, Found::Mine) => {
            call_to_sweep(report);
            sandbox.remove_retained()?;
        }
        (Retained::Data, Found::Nothing) => {
            call_to_sweep(report);
            sandbox.retained_to_sandbox()?;
        }
        (Retained::Data, Found::Theirs(_) | Found::Other(_)) => complete(sandbox, call(report)?)?,
        (Retained::Proxy, Found::Theirs(_)) => {
            let (agent, name, built) = bring_back(sandbox, switcher, patience, links, report)?;
            sandbox.exchange(&name).inspect_err(|_| sandbox.forget(&name))?;
            (report.moved, report.left) = (Some((built.totals, built.dropped)), built.left);
            complete(sandbox, agent)?;
        }
        (Retained::Proxy, Found::Nothing | Found::Other(_)) => {
            let agent = if found == Found::Nothing { None } else { Some(call(report)?) };
            let name = with_proxy_only(sandbox)?;
            let old = sandbox.exchange(&name).inspect_err(|_| sandbox.forget(&name))?;
            match agent {
                Some(agent) => complete(sandbox, agent)?,
                None => sandbox.retained_to_sandbox()?,
            }
            sandbox.forget(&old);
            let why = "the job removed its directory; only the proxy could be put back";
            return Err(Failure::Gone(Error::refused(sandbox.path(), why)));
        }
    }
    sandbox.sweep_all();
    Ok(())
}

/// Step 2, retries included: a complete copy under a temporary name, and the agent that sent it.
fn bring_back(
    sandbox: &Sandbox,
    switcher: &Switcher,
    patience: Patience,
    links: Links,
    report: &mut Report<'_>,
) -> Result<(Agent, OwnedName, Built), Failure> {
    retrying(patience, report, |report| {
        let mut agent = Called::new(switcher, sandbox.path().as_os_str())?.hello()?;
        check_owner(sandbox, agent.uid)?;
        let received = space::check(sandbox, &mut agent, Agent::measure)
            .and_then(|()| receive(sandbox, &mut agent, links, &mut report.progress));
        match received {
            Ok((name, built)) => Ok((agent, name, built)),
            Err(error) => Err(agent.fail(error)),
        }
    })
}

/// The switcher must lead to the user who has the sandbox.
fn check_owner(sandbox: &Sandbox, uid: u32) -> Result<(), Attempt> {
    match sandbox.found()? {
        Found::Theirs(owner) | Found::Other(owner) if owner != uid => {
            let why = format!("it belongs to uid {owner}, but the switcher runs commands as uid {uid}");
            Err(Error::refused(sandbox.path(), why).into())
        }
        _ => Ok(()),
    }
}

/// Step 2, once.
fn receive(sandbox: &Sandbox, agent: &mut Agent, links: Links, progress: Progress<'_>) -> Result<(OwnedName, Built)> {
    let retained = sandbox.open_retained()?;
    let proxy = sandbox.read_proxy(&retained, &sandbox.retained_path())?;
    let (name, top) = sandbox.place.create_dir()?;
    let built = (|| {
        let mut builder = Builder::new(top, &sandbox.place, name.name(), links)?;
        let built = agent.give(links, sandbox.proxy.name(), &mut builder, progress)?;
        sandbox.write_proxy(builder.top()?, &sandbox.place.path_of(name.name()), &proxy)?;
        builder.finish_closed(built.attributes).map(|()| built)
    })();
    built.inspect_err(|_| sandbox.forget(&name)).map(|built| (name, built))
}

/// A directory under a temporary name that holds only the retained proxy.
fn with_proxy_only(sandbox: &Sandbox) -> Result<OwnedName> {
    let proxy = sandbox.read_proxy(&sandbox.open_retained()?, &sandbox.retained_path())?;
    let (name, dir) = sandbox.place.create_dir()?;
    let written = sandbox.write_proxy(&dir, &sandbox.place.path_of(name.name()), &proxy);
    written.inspect_err(|_| sandbox.forget(&name)).map(|()| name)
}

/// Steps 4 to 6: the data is at `.condor`. What goes wrong here, another cleanup completes.
fn complete(sandbox: &Sandbox, mut agent: Agent) -> Result<()> {
    sweep_others(sandbox, &mut agent);
    let later = |error: Error, why: String| error.and_then(Err(Error::refused(sandbox.path(), why)));
    agent.retire().map_err(|error| {
        later(error, format!("the data is complete at {}; run condor_glexec_cleanup again", shown(sandbox)))
    })?;
    sandbox.retained_to_sandbox()?;
    let deleted = agent.delete();
    agent.farewell();
    deleted
        .map_err(|error| later(error, "the files are back; another cleanup sweeps what is left beside it".to_owned()))
}

/// Has the agent remove what the job user's side left beside the sandbox. What is a bystander's stays.
fn sweep_others(sandbox: &Sandbox, agent: &mut Agent) {
    if sandbox.others_left_something() {
        let _ = agent.sweep();
    }
}

fn shown(sandbox: &Sandbox) -> String {
    crate::shown::Shown::os(&sandbox.retained_path()).to_string()
}
