//! The installed switchers, each tried with a payload.

use error::Shown;
use world::Spec;

use super::caller::Caller;
use super::finding::{Finding, Level};
use super::trial::{self, AgentFacts};
use super::{Options, advice};
use crate::batch::handover::Way;
use crate::batch::pilot::candidates::{self, Candidate, MAP, SwitcherKind};
use crate::batch::switcher::is_project_glexec;

/// Tries each of them. Returns also the first that works, which is the best.
pub(super) fn examine(options: &Options) -> (Vec<Finding>, Option<Candidate>) {
    let candidates = match candidates(options) {
        Ok(candidates) => candidates,
        Err(finding) => return (vec![finding], None),
    };
    let caller = Caller::of_this_process();
    let (mut findings, mut best) = (Vec::new(), None);
    for candidate in candidates {
        let tried = examine_one(options, &caller, &candidate);
        if best.is_none() && tried.iter().all(|finding| finding.level < Level::Problem) {
            best = Some(candidate);
        }
        findings.extend(tried);
    }
    if best.is_some() {
        // Payloads can run through that one.
        for finding in findings.iter_mut().filter(|finding| finding.level == Level::Problem) {
            finding.level = Level::Warning;
        }
    } else if options.glexec.is_none() {
        findings.extend(candidates::sudo_without_map().map(|program| {
            let what = format!("switcher {}", Shown::os(&program));
            let text = format!("the map {MAP}, which it needs, is missing");
            Finding::problem(&what, text, format!("ask an administrator for {}", advice::samples()))
        }));
    }
    (findings, best)
}

/// The named switcher, or all that are installed; otherwise a finding.
fn candidates(options: &Options) -> Result<Vec<Candidate>, Finding> {
    if options.glexec.is_some() {
        let programs = candidates::programs(options.glexec.as_ref()).map_err(|error| {
            let advice = "name the path of a switcher with --glexec";
            Finding::problem("switcher", error.to_string(), advice)
        })?;
        return Ok(programs.into_iter().map(candidates::named).collect());
    }
    let usable = candidates::usable();
    if usable.is_empty() {
        let text = format!(
            "no switcher is installed: no gLExec, no map for sudo ({MAP}), and no glexec in the \
             directory of this program"
        );
        let advice = format!(
            "install all programs of glexec-helpers together, as scripts/install does, or ask an \
             administrator for {}",
            advice::samples()
        );
        return Err(Finding::problem("switcher", text, advice));
    }
    Ok(usable)
}

fn examine_one(options: &Options, caller: &Caller, candidate: &Candidate) -> Vec<Finding> {
    let what = format!("switcher {}", Shown::os(&candidate.program));
    let facts = match trial::call_agent(options, &candidate.program) {
        Ok(facts) => facts,
        Err(error) => {
            let advice = advice::after(Some(&error), candidate.kind, caller);
            return vec![Finding::problem(&what, error.to_string(), advice)];
        }
    };
    let mut findings = effects(&what, caller, &facts);
    if candidate.kind == Some(SwitcherKind::Rootless) {
        findings.extend(shared_ids(&what, caller));
    }
    let mut tried = trial::run_payload(options, &candidate.program, None);
    if let Err(failure) = &tried {
        let shared = trial::run_payload(options, &candidate.program, Some(Spec::Shared));
        if let Some(advice) = world_advice(candidate).filter(|_| shared.is_ok()) {
            let text = format!("payloads cannot have the closed world: {}", failure.text);
            findings.push(Finding::warning(&what, text, advice));
            tried = shared;
        }
    }
    match tried {
        Ok((way, is_closed)) => {
            let way = match way {
                Way::Own { .. } => "its sandbox changed its owner".to_owned(),
                Way::Copy { reason: None } => "its sandbox was copied".to_owned(),
                Way::Copy { reason: Some(why) } => format!("its sandbox was copied: {why}"),
            };
            let world = if is_closed { "the closed world" } else { "the shared world" };
            let text = format!("works; a test payload ran as uid {} in {world}; {way}", facts.uid);
            findings.insert(0, Finding::ok(&what, text));
        }
        Err(failure) => {
            let advice = advice::after(failure.error.as_ref(), candidate.kind, caller);
            findings.push(Finding::problem(&what, failure.text, advice));
        }
    }
    findings
}

/// What to do where the project's `glexec` cannot give payloads the closed world.
fn world_advice(candidate: &Candidate) -> Option<&'static str> {
    is_project_glexec(&candidate.program).then_some(
        "call run with --world shared; or use Linux 5.12 or newer, and let user namespaces mount \
         proc and tmpfs (in a container: an unmasked /proc, and a seccomp profile with mount)",
    )
}

/// The unwanted effects of a switcher that works.
fn effects(what: &str, caller: &Caller, facts: &AgentFacts) -> Vec<Finding> {
    let user = &caller.name;
    let monitor = facts.monitor.as_ref().map(|name| {
        let text =
            format!("{name} stays as the parent of each payload, which costs two more processes");
        let advice = format!(
            "add to the sudo rule `Defaults:{user} !use_pty, !pam_session, !pam_setcred`, and set \
             neither log_input nor log_output"
        );
        Finding::warning(what, text, advice)
    });
    let cgroup = facts.other_cgroup.as_ref().map(|cgroup| {
        let text = format!(
            "it moves payloads out of this process's cgroup, to {cgroup}: limits, accounting and \
             kills by cgroup miss them"
        );
        let advice = format!(
            "add to the sudo rule `Defaults:{user} !pam_session`; configure another switcher to \
             open no PAM session (pam_systemd, pam_cgroup)"
        );
        Finding::warning(what, text, advice)
    });
    monitor.into_iter().chain(cgroup).collect()
}

fn shared_ids(what: &str, caller: &Caller) -> Option<Finding> {
    let other = caller.shares_ids_with.as_ref()?;
    let text = format!(
        "account {other} also has some of your subordinate ids: payloads of both could run as one \
         user"
    );
    let advice = format!(
        "as root, remove them (usermod --del-subuids, --del-subgids), and run `{}`",
        caller.command_for_ids
    );
    Some(Finding::problem(what, text, advice))
}
