//! A helper and its agent that are held at a named point, so that a test can kill a process there.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::families::pid_here;
use super::trial::{Call, Side, Trial};
use super::{Account, as_job, stays_above, succeeded, wait_until};

/// The progress of a helper and its agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The switcher is called, and has not executed the agent.
    Called,
    /// The agent has greeted.
    Hello,
    /// A part of the copy is made.
    Copying,
    /// The copy is complete, and the agent is about to name it (setup), or to move the job's out of
    /// the way (cleanup).
    Complete,
    /// The agent has done all that it was asked for, and is about to report it.
    Done,
    /// The helper has received that report, and is about to close the connection.
    Closing,
}

pub const POINTS: [Point; 6] =
    [Point::Called, Point::Hello, Point::Copying, Point::Complete, Point::Done, Point::Closing];

/// The relation of the switcher to the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switching {
    /// It becomes the agent, as sudo does: both are one process.
    Becomes,
    /// It is the parent and waits, as glexec does.
    Stays,
}

/// The points as system calls. They are found in the trace of a run, because they may change.
pub struct Points {
    helper: &'static str,
    of_helper: Vec<Call>,
    of_agent: Vec<Call>,
}

/// The system calls that make or read a copy.
const COPYING: [&str; 8] = [
    "mkdirat",
    "openat",
    "openat2",
    "symlinkat",
    "linkat",
    "getdents64",
    "readlinkat",
    "utimensat",
];

impl Points {
    /// Traces one run of the helper. Afterwards the sandbox is as before.
    pub fn of(trial: &Trial, helper: &'static str) -> Points {
        trial.before(helper);
        // The agent's program and memory cannot be read, so strace can decode sockets only for the
        // helper.
        succeeded(&trial.inject(helper, &["trace=all", "decode-fds=path"], &["trace=all"]));
        trial.clean_up();
        let (of_helper, of_agent) = (trial.calls(Side::Helper), trial.calls(Side::Agent));
        Points { helper, of_helper, of_agent }
    }

    /// The process that is held at this point, and the call before which it is held.
    pub fn at(&self, point: Point) -> (Side, &Call) {
        let agents = &self.of_agent;
        let sends = |call: &Call| call.name.starts_with("send");
        let hello = agents.iter().position(sends).expect("the agent sends");
        let moved = agents
            .iter()
            .rposition(|call| call.name.starts_with("rename"))
            .expect("the agent renames");
        match point {
            Point::Called => panic!("here no call is held: the switcher itself waits"),
            Point::Hello => {
                let next = agents[hello..].iter().find(|call| call.name.starts_with("recv"));
                (Side::Agent, next.expect("the agent receives"))
            }
            Point::Copying => {
                let all: Vec<_> = agents[hello..moved]
                    .iter()
                    .filter(|call| COPYING.contains(&call.name.as_str()))
                    .collect();
                assert!(all.len() > 10, "a copy takes more than {} calls", all.len());
                (Side::Agent, all[all.len() / 2])
            }
            Point::Complete => (Side::Agent, &agents[moved]),
            Point::Done => {
                (Side::Agent, agents.iter().rfind(|call| sends(call)).expect("the agent answers"))
            }
            Point::Closing => {
                // It shuts the connection down before it closes its descriptor.
                let closes =
                    |call: &&Call| call.name == "shutdown" && call.rest.contains("<socket:");
                (
                    Side::Helper,
                    self.of_helper.iter().rfind(closes).expect("the helper ends its connection"),
                )
            }
        }
    }
}

/// A helper, its switcher and its agent, one of which is held.
pub struct Held {
    helper: Child,
    switcher: i32,
    agent: Option<i32>,
}

impl Held {
    /// Starts the helper and waits until the point is reached. Its idle timeout is this number of
    /// seconds.
    pub fn at(
        trial: &Trial,
        points: &Points,
        point: Point,
        switching: Switching,
        seconds: &str,
    ) -> Held {
        let [switcher, agent] = ["switcher.pid", "agent.pid"].map(|name| trial.logs.join(name));
        for path in [&switcher, &agent, &trial.log(Side::Agent), &trial.log(Side::Helper)] {
            let _ = fs::remove_file(path);
        }
        let (side, traced, reached) = if point == Point::Called {
            (None, Vec::new(), None)
        } else {
            let (side, call) = points.at(point);
            let hold = format!("inject={}:delay_enter=600000000:when={}", call.name, call.number);
            let mut words = trial.strace(side, &[&format!("trace={}", call.name), &hold]);
            // With -D, the traced program stays the child of its caller, and keeps its process id.
            words.insert(1, "-D".to_owned());
            (Some(side), words, Some(call))
        };
        let of = |whom| if side == Some(whom) { traced.join(" ") } else { String::new() };
        let write_pid =
            |path: &PathBuf| format!("echo $$ >{0}.new; mv {0}.new {0}", path.display());
        let behind = trial
            .site
            .script("behind", &format!("{}\nexec {} \"$@\"", write_pid(&agent), of(Side::Agent)));
        let switch = format!("{} {} \"$@\"", as_job(), behind.display());
        let switch = match switching {
            Switching::Becomes => format!("exec {switch}"),
            Switching::Stays => format!("{switch}; exit $?"),
        };
        let waits = if point == Point::Called { "exec sleep 600" } else { "" };
        // Only the first call of the switcher is held; a helper may make another one to put things
        // back.
        let body = format!(
            "[ ! -e {} ] || exec {} \"$@\"\n{}\n{waits}\n{switch}",
            switcher.display(),
            as_job(),
            write_pid(&switcher)
        );
        let mut call =
            trial.site.call(points.helper, &trial.site.script("switching", &body), &trial.sandbox);
        call.env("GLEXEC_HELPERS_IDLE_TIMEOUT", seconds);
        if side == Some(Side::Helper) {
            call = trial.below(&traced, &call);
        }
        let helper = call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_until(&format!("{point:?} is reached"), || match (side, reached) {
            (Some(side), Some(call)) => {
                let line = format!("{}(", call.name);
                let seen = trial.seen(side);
                seen.lines().filter(|seen| seen.starts_with(&line)).count() >= call.number as usize
            }
            _ => switcher.exists(),
        });
        let pid =
            |path: &PathBuf| fs::read_to_string(path).ok().map(|text| text.trim().parse().unwrap());
        let here = |path: &PathBuf| {
            pid(path).map(|pid: u32| pid_here(pid, Account::of(path)).cast_signed())
        };
        let held = Held { helper, switcher: here(&switcher).unwrap(), agent: here(&agent) };
        let one = held.agent == Some(held.switcher);
        let becomes = switching == Switching::Becomes && !stays_above();
        assert_eq!(
            one,
            becomes && point != Point::Called,
            "whether switcher and agent are one process"
        );
        held
    }

    pub fn kill_switcher(&self) {
        kill(Pid::from_raw(self.switcher), Signal::SIGKILL)
            .expect("the switcher has ended too early");
    }

    /// Releases the process that is held: the kernel does so when the tracer has ended.
    pub fn release(&self) {
        for pid in [self.agent, i32::try_from(self.helper.id()).ok()].into_iter().flatten() {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let tracer = status.lines().find_map(|line| line.strip_prefix("TracerPid:"));
            match tracer.map_or(0, |tracer| tracer.trim().parse().unwrap()) {
                0 => {}
                tracer => kill(Pid::from_raw(tracer), Signal::SIGKILL).unwrap(),
            }
        }
    }

    /// Waits until the agent has ended. A zombie has an empty command line.
    pub fn gone(&self) {
        let words =
            || fs::read(format!("/proc/{}/cmdline", self.agent.unwrap())).unwrap_or_default();
        wait_until("the agent has ended", || words().is_empty());
    }

    /// The result of the helper.
    pub fn end(&mut self) -> Output {
        let mut output =
            Output { status: self.helper.wait().unwrap(), stdout: Vec::new(), stderr: Vec::new() };
        for (stream, all) in [
            (
                self.helper.stdout.take().map(|stream| Box::new(stream) as Box<dyn std::io::Read>),
                &mut output.stdout,
            ),
            (
                self.helper.stderr.take().map(|stream| Box::new(stream) as Box<dyn std::io::Read>),
                &mut output.stderr,
            ),
        ] {
            stream.unwrap().read_to_end(all).unwrap();
        }
        output
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.release();
    }
}
