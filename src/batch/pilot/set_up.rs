//! The sandbox changes hands: in the call that also runs the payload, or by a copy before it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use error::{Error, Result, Shown};
use wire::Totals;
use world::Spec;

use super::candidates::{self, SwitcherKind};
use super::interrupt::Interrupt;
use super::limits::plan::Plan;
use super::one_call::{self, Begun, OneCall};
use super::spec::PayloadSpec;
use super::step_log::StepLog;
use crate::batch::agent::Agent;
use crate::batch::error::HelperError;
use crate::batch::handover::{Handover, Way};
use crate::batch::sandbox::Sandbox;
use crate::batch::switcher::{Switcher, is_project_glexec, is_without_project_glexec};
use crate::batch::{Report, Retries, setup};

/// A switcher that cannot work here may end with a status of a temporary failure: the next switcher
/// is tried instead.
const NO_RETRIES: Retries = Retries { max: 0, min_delay: 0 };

/// A sandbox that was handed over.
pub(in crate::batch) struct HandedOver {
    /// The switcher that works here.
    pub(in crate::batch) switcher: Switcher,
    /// The call that has done it, if it also runs the payload.
    pub(in crate::batch) one_call: Option<OneCall>,
    /// The agent that has done it, if it stays to watch and to bring the files back.
    pub(in crate::batch) kept: Option<Agent>,
    /// How the payload's limits are enforced.
    pub(in crate::batch) plan: Plan,
}

/// Hands the sandbox over through the first switcher that works.
pub(in crate::batch) fn set_up(
    spec: &PayloadSpec,
    sandbox: &Sandbox,
    totals: Option<Totals>,
    interrupt: &Arc<Interrupt>,
    step_log: &mut StepLog<'_>,
) -> Result<HandedOver> {
    let mut errors = Vec::new();
    for program in programs(spec)? {
        let switcher = Switcher::new(program.as_os_str(), sandbox.credential(), spec.idle_timeout)?
            .in_separate_groups()
            .withholding_credential()
            .with_handover(spec.handover)
            .with_session_scripts(spec.session_scripts.clone())
            .with_world(spec.world.clone().unwrap_or_else(|| Spec::Shared.or_closed()))
            // The retained directory may be another one than the sandbox's own.
            .with_log_id(sandbox.log_id());
        let plan = plan(spec, &program);
        let handed_over = step_log.transfer_step("setup", totals, |report| {
            set_up_through(spec, sandbox, &switcher, &plan, interrupt, report)
        });
        match handed_over {
            Ok((one_call, kept)) => {
                if spec.world.is_none() && !switcher.world().is_closed() {
                    (step_log.notice)(&shared_world(&switcher));
                }
                return Ok(HandedOver { switcher, one_call, kept, plan });
            }
            Err(failure) if interrupt.stop_reason().is_some() => return Err(failure.error),
            Err(failure) => errors.push(failure.error),
        }
    }
    if errors.len() == 1 {
        return Err(errors.remove(0));
    }
    let why = if errors.is_empty() {
        "none is installed here: run condor_glexec_pilot doctor".to_owned()
    } else {
        let errors: Vec<String> = errors.iter().map(Error::to_string).collect();
        format!("none works here: {}", errors.join("; "))
    };
    Err(Error::refused("switcher", why))
}

/// That a payload has the shared world, since its switcher has no other.
fn shared_world(switcher: &Switcher) -> String {
    format!(
        "The payload has the shared world: {} cannot give it a closed one.",
        Shown::os(switcher.program())
    )
}

/// The switchers to try: those through which the limits can be enforced. Session scripts of the
/// caller's are for the project's `glexec` without privilege: where it has privilege, it runs those
/// of the administrator.
pub(in crate::batch) fn programs(spec: &PayloadSpec) -> Result<Vec<PathBuf>> {
    let mut programs = candidates::programs(spec.glexec.as_ref())?;
    if spec.world.as_ref().is_some_and(Spec::is_closed) {
        programs.retain(|program| is_project_glexec(program));
        if programs.is_empty() {
            return Err(Error::refused(
                "--world closed",
                "this switcher cannot give a payload a closed world, nor an option of it: only \
                 the glexec that is installed beside this program can",
            ));
        }
    }
    if let Some(directory) = &spec.session_scripts {
        let is_rootless = |program: &PathBuf| {
            candidates::named(program.clone()).kind == Some(SwitcherKind::Rootless)
        };
        programs.retain(is_rootless);
        if programs.is_empty() {
            return Err(Error::refused(
                directory,
                "session scripts need the glexec that is installed beside this program, without \
                 set-user-ID: leave out --glexec or --session-scripts",
            ));
        }
    }
    if !spec.limits.best_effort {
        let unusable = |program: &PathBuf| plan(spec, program).require().err();
        let why = programs.first().and_then(unusable);
        programs.retain(|program| unusable(program).is_none());
        if let (true, Some(why)) = (programs.is_empty(), why) {
            return Err(why);
        }
    }
    Ok(programs)
}

/// How the payload's limits are enforced through this switcher.
fn plan(spec: &PayloadSpec, program: &Path) -> Plan {
    Plan::new(&spec.limits, || candidates::named(program.to_owned()).kind)
}

/// Hands the sandbox over through this switcher. A sandbox that cannot change its owner is copied.
fn set_up_through(
    spec: &PayloadSpec,
    sandbox: &Sandbox,
    switcher: &Switcher,
    plan: &Plan,
    interrupt: &Arc<Interrupt>,
    report: &mut Report<'_>,
) -> Result<(Option<OneCall>, Option<Agent>), HelperError> {
    let mut reason = None;
    if switcher.changes_owners() {
        match one_call::begin(spec, sandbox, switcher, plan, interrupt)? {
            Begun::Ready(one_call) => {
                let given = one_call.reports.given().unwrap_or_default();
                report.moved = Some((given.totals, given.dropped));
                report.way = Some(Way::Own { copied: Vec::new() });
                return Ok((Some(*one_call), None));
            }
            Begun::Cancelled => {
                return Err(Error::refused(sandbox.path(), "interrupted").into());
            }
            // A copy would have another path.
            Begun::Copy(why) if spec.sandbox_at.is_some() => {
                return Err(Error::refused(sandbox.path(), why).into());
            }
            Begun::Copy(why) => reason = Some(why),
        }
    }
    let copying = switcher.clone().with_halt(interrupt.halt()).with_handover(Handover::Copy);
    let done = setup::setup_keeping_agent(sandbox, &copying, NO_RETRIES, report);
    report.way = Some(Way::Copy { reason });
    // The first call of the project's `glexec` makes the namespaces, and those must be the
    // payload's.
    let kept = done?.and_then(|agent| {
        if is_without_project_glexec(agent.pid) {
            return Some(agent);
        }
        agent.close();
        None
    });
    Ok((None, kept))
}
