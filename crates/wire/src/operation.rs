//! What the agent is called for: its arguments, which the batch user's programs write and the
//! agent reads. Each operation has exactly one form as arguments.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use error::Shown;
use sys::{Pid, Uid};

use super::payload_limits::PayloadLimits;

const SERVE: &str = "serve";
const ENTER: &str = "enter";
const ENTER_LIMITED: &str = "enter-limited";
const SIGNAL: &str = "signal";
const HUNT: &str = "hunt";
const HUNT_ACCOUNT: &str = "hunt-account";
const WATCH: &str = "watch";
const FOLLOW: &str = "follow";

/// Stands for the process of a hunt that names none.
const NO_PROCESS: &str = "-";

/// The largest signal number of Linux (signal(7)).
const MAX_SIGNAL: i32 = 64;

/// One operation of the agent.
///
/// `caller` is the uid of the batch user that calls. The agent sends no signal if it runs as that
/// user itself: then the switcher does not change the user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Answer the requests about one sandbox that come over descriptor 0.
    Serve {
        /// The sandbox.
        sandbox: PathBuf,
    },
    /// Make a sandbox the working directory, and become the job wrapper.
    Enter {
        /// The sandbox.
        sandbox: PathBuf,
        /// The mark that all processes of the job get.
        mark: OsString,
        /// The limits that the job gets.
        limits: PayloadLimits,
        /// The job wrapper.
        wrapper: PathBuf,
        /// The wrapper's arguments.
        arguments: Vec<OsString>,
    },
    /// Send a signal to one process.
    Signal {
        /// The batch user.
        caller: Uid,
        /// The process; above 0.
        pid: Pid,
        /// The signal's number.
        signal: i32,
    },
    /// Send a signal to a family.
    Hunt {
        /// The batch user.
        caller: Uid,
        /// A process of the family, or one above it that the switcher left there; above 0.
        root: Option<Pid>,
        /// The signal's number.
        signal: i32,
        /// With SIGKILL: how many seconds the processes may take to end before.
        grace: u32,
        /// The signal that asks them to end, at the beginning of these seconds.
        soft_kill_signal: i32,
        /// The family's mark.
        mark: OsString,
    },
    /// Send a signal to all processes of the job user.
    HuntAccount {
        /// The batch user.
        caller: Uid,
        /// The signal's number.
        signal: i32,
        /// With SIGKILL: how many seconds the processes may take to end before, once SIGTERM has
        /// asked them to.
        grace: u32,
        /// What happens to what the account leaves behind.
        remains: RemainsPolicy,
    },
    /// Kill a family when the other end of descriptor 0 is closed.
    Watch {
        /// The batch user.
        caller: Uid,
        /// The first process of the family, or one above it that the switcher left there; above 0.
        root: Pid,
        /// The family's mark.
        mark: OsString,
    },
    /// Stop a family while another process is stopped, until that or the other end of descriptor 0
    /// is gone.
    Follow {
        /// The batch user.
        caller: Uid,
        /// The process that is followed; above 0.
        leader: Pid,
        /// The first process of the family, or one above it that the switcher left there; above 0.
        root: Pid,
        /// The family's mark.
        mark: OsString,
    },
}

/// What happens to the files and System V IPC objects that an account without processes has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemainsPolicy {
    /// They are not looked for.
    Ignore,
    /// They are reported.
    Report,
    /// They are removed, and reported.
    Remove,
}

impl RemainsPolicy {
    const ALL: [RemainsPolicy; 3] =
        [RemainsPolicy::Ignore, RemainsPolicy::Report, RemainsPolicy::Remove];

    fn word(self) -> &'static str {
        match self {
            RemainsPolicy::Ignore => "ignore",
            RemainsPolicy::Report => "report",
            RemainsPolicy::Remove => "remove",
        }
    }
}

/// Why arguments are not an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalid {
    /// The first argument does not name an operation, or that takes another number of arguments.
    Form,
    /// This argument does not have a value that its operation accepts.
    Value(&'static str, OsString),
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Invalid::Form => f.write_str("unknown operation, or wrong number of arguments"),
            Invalid::Value(argument, value) => {
                write!(f, "bad value for {argument}: '{}'", Shown::os(value))
            }
        }
    }
}

impl std::error::Error for Invalid {}

impl Operation {
    /// The operation as arguments of the agent.
    pub fn to_args(&self) -> Vec<OsString> {
        match self {
            Operation::Serve { sandbox } => vec![SERVE.into(), sandbox.into()],
            Operation::Enter { sandbox, mark, limits, wrapper, arguments } => {
                let name = if limits.is_none() { ENTER } else { ENTER_LIMITED };
                let mut words = vec![name.into(), sandbox.into(), mark.clone()];
                words.extend((!limits.is_none()).then(|| limits.to_word()));
                words.push(wrapper.into());
                words.extend(arguments.iter().cloned());
                words
            }
            Operation::Signal { caller, pid, signal } => {
                vec![SIGNAL.into(), text(caller), text(pid), text(signal)]
            }
            Operation::Hunt { caller, root, signal, grace, soft_kill_signal, mark } => vec![
                HUNT.into(),
                text(caller),
                root.map_or(NO_PROCESS.into(), text),
                text(signal),
                text(grace),
                text(soft_kill_signal),
                mark.clone(),
            ],
            Operation::HuntAccount { caller, signal, grace, remains } => vec![
                HUNT_ACCOUNT.into(),
                text(caller),
                text(signal),
                text(grace),
                remains.word().into(),
            ],
            Operation::Watch { caller, root, mark } => {
                vec![WATCH.into(), text(caller), text(root), mark.clone()]
            }
            Operation::Follow { caller, leader, root, mark } => {
                vec![FOLLOW.into(), text(caller), text(leader), text(root), mark.clone()]
            }
        }
    }

    /// The operation that the agent's arguments stand for. Only what [`Operation::to_args`] writes
    /// is accepted.
    pub fn parse(arguments: &[OsString]) -> Result<Operation, Invalid> {
        let (name, rest) = arguments.split_first().ok_or(Invalid::Form)?;
        match (name.to_str(), rest) {
            (Some(SERVE), [sandbox]) => Ok(Operation::Serve { sandbox: sandbox.into() }),
            (Some(ENTER), [sandbox, mark, wrapper, arguments @ ..]) => Ok(Operation::Enter {
                sandbox: sandbox.into(),
                mark: mark.clone(),
                limits: PayloadLimits::default(),
                wrapper: wrapper.into(),
                arguments: arguments.to_vec(),
            }),
            (Some(ENTER_LIMITED), [sandbox, mark, limits, wrapper, arguments @ ..]) => {
                Ok(Operation::Enter {
                    sandbox: sandbox.into(),
                    mark: mark.clone(),
                    limits: limits_of(limits)?,
                    wrapper: wrapper.into(),
                    arguments: arguments.to_vec(),
                })
            }
            (Some(SIGNAL), [caller, pid, signal]) => Ok(Operation::Signal {
                caller: caller_of(caller)?,
                pid: pid_of(pid)?,
                signal: signal_of(signal)?,
            }),
            (Some(HUNT), [caller, root, signal, grace, soft_kill_signal, mark]) => {
                Ok(Operation::Hunt {
                    caller: caller_of(caller)?,
                    root: if root == NO_PROCESS { None } else { Some(pid_of(root)?) },
                    signal: signal_of(signal)?,
                    grace: grace_of(grace)?,
                    soft_kill_signal: signal_of(soft_kill_signal)?,
                    mark: mark.clone(),
                })
            }
            (Some(HUNT_ACCOUNT), [caller, signal, grace, remains]) => Ok(Operation::HuntAccount {
                caller: caller_of(caller)?,
                signal: signal_of(signal)?,
                grace: grace_of(grace)?,
                remains: policy_of(remains)?,
            }),
            (Some(WATCH), [caller, root, mark]) => Ok(Operation::Watch {
                caller: caller_of(caller)?,
                root: pid_of(root)?,
                mark: mark.clone(),
            }),
            (Some(FOLLOW), [caller, leader, root, mark]) => Ok(Operation::Follow {
                caller: caller_of(caller)?,
                leader: pid_of(leader)?,
                root: pid_of(root)?,
                mark: mark.clone(),
            }),
            _ => Err(Invalid::Form),
        }
    }
}

fn text(number: impl fmt::Display) -> OsString {
    number.to_string().into()
}

/// A number of this type, written as [`text`] writes it: without a plus sign or leading zeros.
fn number<T: std::str::FromStr + fmt::Display>(word: &OsStr) -> Option<T> {
    let word = word.to_str()?;
    word.parse().ok().filter(|number: &T| number.to_string() == word)
}

fn invalid(argument: &'static str, word: &OsStr) -> Invalid {
    Invalid::Value(argument, word.to_owned())
}

fn caller_of(word: &OsStr) -> Result<Uid, Invalid> {
    number(word).map(Uid::from_raw).ok_or_else(|| invalid("<caller>", word))
}

/// One process: never a group, nor all processes, for which 0 and negative numbers stand in
/// kill(2).
fn pid_of(word: &OsStr) -> Result<Pid, Invalid> {
    let pid = number(word).filter(|pid| *pid > 0).map(Pid::from_raw);
    pid.ok_or_else(|| invalid("<pid>", word))
}

fn signal_of(word: &OsStr) -> Result<i32, Invalid> {
    let signal = number(word).filter(|signal| (0..=MAX_SIGNAL).contains(signal));
    signal.ok_or_else(|| invalid("<signal>", word))
}

fn grace_of(word: &OsStr) -> Result<u32, Invalid> {
    number(word).ok_or_else(|| invalid("<grace>", word))
}

fn limits_of(word: &OsStr) -> Result<PayloadLimits, Invalid> {
    PayloadLimits::parse(word).ok_or_else(|| invalid("<limits>", word))
}

fn policy_of(word: &OsStr) -> Result<RemainsPolicy, Invalid> {
    let policy = RemainsPolicy::ALL.into_iter().find(|policy| word == policy.word());
    policy.ok_or_else(|| invalid("<remains>", word))
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;
    use std::path::Path;

    use fastrand::Rng;

    use super::*;

    /// Any bytes but NUL, which no argument can hold.
    fn word(rng: &mut Rng) -> OsString {
        let length = rng.usize(..12);
        OsString::from_vec((0..length).map(|_| rng.u8(1..)).collect())
    }

    fn limits(rng: &mut Rng) -> PayloadLimits {
        let mut limit = |least: u64| Some(rng.u64(least..)).filter(|limit| limit % 2 == 0);
        PayloadLimits {
            file_size: limit(0),
            processor_seconds: limit(0),
            processes: limit(0),
            processors: limit(1),
        }
    }

    fn operation(rng: &mut Rng) -> Operation {
        let (caller, pid) = (Uid::from_raw(rng.u32(..)), Pid::from_raw(rng.i32(1..)));
        let (signal, grace) = (rng.i32(0..=MAX_SIGNAL), rng.u32(..));
        match rng.u8(..7) {
            0 => Operation::Serve { sandbox: word(rng).into() },
            1 => Operation::Enter {
                sandbox: word(rng).into(),
                mark: word(rng),
                limits: limits(rng),
                wrapper: word(rng).into(),
                arguments: (0..rng.usize(..4)).map(|_| word(rng)).collect(),
            },
            2 => Operation::Signal { caller, pid, signal },
            3 => Operation::Hunt {
                caller,
                root: Some(pid).filter(|_| rng.bool()),
                signal,
                grace,
                soft_kill_signal: rng.i32(0..=MAX_SIGNAL),
                mark: word(rng),
            },
            4 => Operation::HuntAccount {
                caller,
                signal,
                grace,
                remains: RemainsPolicy::ALL[rng.usize(..RemainsPolicy::ALL.len())],
            },
            5 => Operation::Follow {
                caller,
                leader: Pid::from_raw(rng.i32(1..)),
                root: pid,
                mark: word(rng),
            },
            _ => Operation::Watch { caller, root: pid, mark: word(rng) },
        }
    }

    /// The samples of a folder of `testdata/operations`: arguments, each with a NUL behind it.
    fn samples(folder: &str) -> Vec<(PathBuf, Vec<OsString>)> {
        let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/operations");
        let folder = top.join(folder);
        let files =
            std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
        let read = |path: PathBuf| {
            let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            let words = bytes.split_inclusive(|byte| *byte == 0);
            let words = words.map(|word| OsString::from_vec(word[..word.len() - 1].to_vec()));
            (path, words.collect())
        };
        files.flatten().map(|file| read(file.path())).collect()
    }

    #[test]
    fn what_is_written_is_read_as_the_same_operation() {
        let mut rng = Rng::with_seed(1);
        for _ in 0..500 {
            let operation = operation(&mut rng);
            assert_eq!(Operation::parse(&operation.to_args()), Ok(operation));
        }
    }

    #[test]
    fn what_is_accepted_is_written_as_the_same_arguments() {
        let mut rng = Rng::with_seed(2);
        let mut refused = 0;
        for _ in 0..1_000 {
            let mut words = operation(&mut rng).to_args();
            let at = rng.usize(..words.len());
            match rng.u8(..4) {
                0 => drop(words.remove(at)),
                1 => words.insert(at, word(&mut rng)),
                2 => words[at] = word(&mut rng),
                _ => words[at].push(if rng.bool() { "0" } else { " " }),
            }
            match Operation::parse(&words) {
                Ok(operation) => assert_eq!(operation.to_args(), words),
                Err(_) => refused += 1,
            }
        }
        assert!((100..900).contains(&refused), "{refused} were refused: this test tells little");
    }

    #[test]
    fn valid_samples_are_accepted_and_malformed_ones_are_refused() {
        let (valid, malformed) = (samples("valid"), samples("malformed"));
        assert!(valid.len() >= 6 && malformed.len() >= 20);
        for (path, words) in valid {
            let operation = Operation::parse(&words);
            assert_eq!(operation.map(|operation| operation.to_args()), Ok(words), "{path:?}");
        }
        for (path, words) in malformed {
            assert!(Operation::parse(&words).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_refusal_names_the_argument_and_its_value() {
        let words = ["signal", "1000", "-1", "9"].map(OsString::from);
        let refusal = Operation::parse(&words).map_err(|invalid| invalid.to_string());
        assert_eq!(refusal, Err("bad value for <pid>: '-1'".to_owned()));
    }
}
