//! The switchers that there are, each tried for real: with a sandbox that changes hands and back,
//! and a payload in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use error::{Result, Shown};
use sys::spawn::Inherited;
use sys::{Uid, proc, process};
use wire::Links;

use super::{Finding, Level, Subject};
use crate::batch::Report;
use crate::batch::agent::{Agent, AgentCall};
use crate::batch::pilot::candidates::{self, Candidate, Kind, MAP};
use crate::batch::pilot::input::Survey;
use crate::batch::pilot::order::Order;
use crate::batch::pilot::step_log::{Progress, StepLog};
use crate::batch::pilot::{credential, place, run};
use crate::batch::retry::Attempt;
use crate::batch::switcher::{Switcher, installed};

/// Tries them; the first that works is the best.
pub fn examine(subject: &Subject) -> (Vec<Finding>, Option<Candidate>) {
    let candidates = match &subject.glexec {
        None => candidates::all(),
        Some(_) => match candidates::those(subject.glexec.as_ref()) {
            Ok(those) => those
                .into_iter()
                .map(|program| Candidate { kind: candidates::kind_of(&program), program })
                .collect(),
            Err(error) => {
                let advice = "name the path of a switcher with --glexec";
                return (
                    vec![Finding::bad(Level::Problem, "switcher", error.to_string(), advice)],
                    None,
                );
            }
        },
    };
    if candidates.is_empty() {
        let text = format!(
            "there is none: no gLExec, no map for sudo ({MAP}), and no glexec beside this program"
        );
        let advice = format!(
            "install all programs of glexec-helpers together, as scripts/install does, or have an administrator make {}",
            samples()
        );
        return (vec![Finding::bad(Level::Problem, "switcher", text, advice)], None);
    }
    let (mut findings, mut best) = (Vec::new(), None);
    for candidate in candidates {
        let tried = examine_one(subject, &candidate);
        if best.is_none() && tried.iter().all(|finding| finding.level < Level::Problem) {
            best = Some(candidate);
        }
        findings.extend(tried);
    }
    if best.is_none() && subject.glexec.is_none() {
        findings.extend(candidates::without_map().map(|program| {
            let text = format!("there is no map {MAP}, without which it leads nowhere");
            let what = format!("switcher {}", Shown::os(&program));
            Finding::bad(
                Level::Problem,
                &what,
                text,
                format!("have an administrator make {}", samples()),
            )
        }));
    }
    if best.is_some() {
        // There is another one.
        for finding in findings.iter_mut().filter(|finding| finding.level == Level::Problem) {
            finding.level = Level::Warning;
        }
    }
    (findings, best)
}

fn examine_one(subject: &Subject, candidate: &Candidate) -> Vec<Finding> {
    let what = format!("switcher {}", Shown::os(&candidate.program));
    let greeted = greet(subject, &candidate.program);
    let mut findings = Vec::new();
    let uid = match greeted {
        Err(error) => {
            let error = error.to_string();
            let advice = advice(subject, candidate, &error);
            return vec![Finding::bad(Level::Problem, &what, error, advice)];
        }
        Ok(facts) => {
            findings.extend(facts.monitor.map(|name| {
                let text = format!("{name} stays above each payload as its monitor, which costs two more processes");
                let advice = format!("in the sudo rule `Defaults:{} !use_pty, !pam_session, !pam_setcred`, and neither log_input nor log_output", subject.user);
                Finding::bad(Level::Warning, &what, text, advice)
            }));
            findings.extend(facts.cgroup.map(|cgroup| {
                let text = format!("it moves payloads out of this process's cgroup, to {cgroup}: whoever limits, counts or ends by cgroup misses them");
                let advice = format!("in the sudo rule `Defaults:{} !pam_session`; for another switcher, no PAM session (pam_systemd, pam_cgroup)", subject.user);
                Finding::bad(Level::Warning, &what, text, advice)
            }));
            facts.uid
        }
    };
    let is_rootless = candidate.kind == Some(Kind::Rootless);
    if let Some(other) = subject.shares_ids_with.as_ref().filter(|_| is_rootless) {
        let text = format!(
            "some of your subordinate ids are {other}'s as well: payloads of both could be one user"
        );
        let advice = format!(
            "take them away (usermod --del-subuids, --del-subgids), and as root `{}`",
            subject.command_for_ids
        );
        findings.push(Finding::bad(Level::Problem, &what, text, advice));
    }
    match run_payload(subject, &candidate.program) {
        Ok(()) => {
            findings.insert(0, Finding::ok(&what, format!("works; a credential led to uid {uid}")))
        }
        Err(error) => findings.push(Finding::bad(
            Level::Problem,
            &what,
            &*error,
            advice(subject, candidate, &error),
        )),
    }
    findings
}

/// What can be seen of an agent behind a switcher.
struct Facts {
    uid: Uid,
    /// The name of a sudo that has stayed above it.
    monitor: Option<String>,
    /// Its cgroups, if they are not this process's.
    cgroup: Option<String>,
}

/// Calls the agent, and looks at it from outside: it could say anything.
fn greet(subject: &Subject, program: &Path) -> Result<Facts> {
    let order = order(subject, program);
    let sandbox = place::examine(&order)?;
    place::make(&sandbox, &order, &Survey::default(), None, &mut Report::new(&mut |_| ()))?;
    let greeted = (|| {
        let credential = sandbox.path().join(sandbox.proxy.name().os());
        let switcher = Switcher::new(program.as_os_str(), credential, subject.limit)?;
        AgentCall::serve(&switcher, &sandbox.path())?.wait_for_hello().map_err(Attempt::error)
    })();
    let facts = greeted.map(|agent| {
        let facts = look_at(&agent);
        agent.close();
        facts
    });
    let removed = place::remove(&sandbox);
    match facts {
        Ok(facts) => removed.map(|()| facts),
        Err(error) => Err(error.and_then(removed)),
    }
}

fn look_at(agent: &Agent) -> Facts {
    let parent = proc::entry(agent.pid).ok().flatten().map(|entry| entry.parent);
    let name = parent.and_then(proc::comm).filter(|name| name == b"sudo" || name == b"sudo-rs");
    let cgroups = |pid: &str| std::fs::read_to_string(format!("/proc/{pid}/cgroup")).ok();
    let its = cgroups(&agent.pid.to_string())
        .filter(|its| cgroups("self").is_some_and(|own| own != *its));
    // One that is about to end has left its cgroups.
    let its = its.filter(|_| {
        proc::real_and_saved_uid(agent.pid).is_some_and(|owners| owners.contains(&agent.uid))
    });
    let first_new = |its: String| {
        let own = cgroups("self").unwrap_or_default();
        its.lines().find(|line| !own.lines().any(|own| own == *line)).unwrap_or_default().to_owned()
    };
    Facts {
        uid: agent.uid,
        monitor: name.map(|name| Shown(&name).to_string()),
        cgroup: its.map(|its| Shown(first_new(its).as_bytes()).to_string()),
    }
}

/// Sets up a sandbox, has a payload see whose it is, and brings the sandbox back; why that did not
/// work.
fn run_payload(subject: &Subject, program: &Path) -> std::result::Result<(), String> {
    let order = order(subject, program);
    let mut diary = StepLog {
        sandbox: order.sandbox.clone(),
        request: None,
        notice: &mut |_| (),
        urgent: Arc::new(|_| ()),
        progress: &mut |_, _| -> Progress { Box::new(|_| ()) },
        note: &mut |_, _, _, _| (),
    };
    let outcome = run::run(&order, &mut diary);
    let failures: Vec<String> = outcome.failures.into_iter().map(|(_, error)| error).collect();
    match (failures.is_empty(), outcome.payload) {
        (true, Some(0)) => Ok(()),
        (true, Some(status)) => {
            Err(format!("a payload that compares its user id ended with status {status}"))
        }
        (true, None) => Err("there was no payload".into()),
        (false, _) => Err(failures.join("; and then: ")),
    }
}

fn order(subject: &Subject, program: &Path) -> Order {
    let of_caller = subject.credential.as_ref().and_then(|path| credential::read(path).ok());
    let differs = "user=$(id -u) && test \"$user\" != 0 && test \"$user\" != \"$1\"";
    let caller = process::geteuid().to_string();
    Order {
        glexec: Some(program.into()),
        limit: subject.limit,
        sandbox: subject.execute.join(format!("doctor_{:08x}", fastrand::u32(..))),
        credential: of_caller.unwrap_or_else(|| b"a placeholder\n".to_vec()),
        proxy: None,
        input: None,
        output: None,
        keeps_sandbox: false,
        links: Links::Copy,
        environment: Vec::new(),
        inherited: Inherited { umask: 0o022, descriptors: None },
        timeout: Some(Duration::from_secs(60)),
        grace: 1,
        command: ["/bin/sh", "-c", differs, "sh", &caller].map(Into::into).to_vec(),
    }
}

/// What sudo needs, and where that begins.
fn samples() -> String {
    let beside = installed("../../share/doc/glexec-helpers/examples")
        .ok()
        .and_then(|path| path.canonicalize().ok());
    let place = beside.map(|path| format!(" in {}", Shown::os(&path))).unwrap_or_default();
    format!(
        "a sudo rule and a map, {MAP}: see the samples glexec-sudo.sudoers and glexec-sudo.map{place}"
    )
}

/// What to do about a switcher that does not work. Its own words come first where they tell.
fn advice(subject: &Subject, candidate: &Candidate, error: &str) -> String {
    let says = |words: &str| error.contains(words);
    if says("no subordinate ids") {
        format!("as root `{}`", subject.command_for_ids)
    } else if says("descriptor 0") {
        format!("in the sudo rule `Defaults:{} !log_input, !use_pty`", subject.user)
    } else if says("as the calling user") || says("to itself") || says("as root") {
        format!(
            "have it lead to another account: in the map, {MAP}, a line `{} <account>`",
            subject.user
        )
    } else if says("chmod") {
        "what it says".into()
    } else {
        match candidate.kind {
            Some(Kind::Sudo) => samples(),
            Some(Kind::Rootless) => "see what the machine must have: glexec(1)".into(),
            Some(Kind::Glexec) | None => {
                "see its own log, or name another one with --glexec".into()
            }
        }
    }
}
