//! Families of processes (process_family.rs), and calls of kill for them.

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Output, Stdio};

use super::handover::KILL;
use super::{Account, PROXY, Site, is_rootless, messages, program, retained, wait_until};

/// The path of the program that makes them.
pub fn family_program() -> PathBuf {
    super::program("examples/process_family")
}

/// A family whose members have all started.
pub struct Family {
    pub child: Child,
    lines: BufReader<ChildStdout>,
    /// Its members, the first one included if it writes its pid.
    pub pids: Vec<u32>,
}

impl Family {
    /// Starts a family of this number of members for a sandbox, with its mark.
    pub fn of(sandbox: &Path, kind: &str, members: usize) -> Family {
        let mut mark = OsString::from("_GLEXEC_HELPERS_FAMILY=");
        mark.push(retained(sandbox));
        Family::with(sandbox, &[mark], kind, members)
    }

    /// Starts a family as the job user of a sandbox, with only these variables in its environment.
    pub fn with(sandbox: &Path, variables: &[OsString], kind: &str, members: usize) -> Family {
        let mut command = as_job_of(sandbox);
        command
            .args(["/usr/bin/env", "-i"])
            .args(variables)
            .arg(family_program())
            .args(kind.split(','));
        Family::start(&mut command, members).pid_here(Account::of(sandbox))
    }

    /// Replaces the pids that the members write by their pids in this namespace.
    pub fn pid_here(mut self, account: Account) -> Family {
        self.pids = pids_here(&self.pids, account);
        self
    }

    /// Starts a family without a mark.
    pub fn unmarked(account: Account, kind: &str, members: usize) -> Family {
        Family::start(&mut Family::command(account, kind), members)
    }

    /// The command for a family that has the mark and leads neither a session nor a group. The
    /// caller adds its kind.
    pub fn led(sandbox: &Path) -> Command {
        let mut command = Account::job().command(family_program());
        command.env_clear().env("_GLEXEC_HELPERS_FAMILY", retained(sandbox));
        command
    }

    /// The command, in a separate session, as the starter of a batch system starts jobs.
    pub fn command(account: Account, kind: &str) -> Command {
        let mut command = account.command("setsid");
        command.arg(family_program()).args(kind.split(',')).env_clear();
        command
    }

    pub fn start(command: &mut Command, members: usize) -> Family {
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        let mut family = Family { child, lines, pids: Vec::new() };
        for _ in 0..members {
            let pid = family.read_line().parse().unwrap();
            family.pids.push(pid);
        }
        family
    }

    /// The next line of a member.
    pub fn read_line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// The members that have not ended.
    pub fn alive(&self) -> Vec<u32> {
        self.pids.iter().copied().filter(|pid| is_alive(*pid)).collect()
    }

    /// Waits until each member is in one of these states (proc_pid_stat(5)).
    pub fn wait_for(&self, what: &str, condition: impl Fn(char) -> bool) {
        wait_until(what, || self.pids.iter().all(|pid| state(*pid).is_some_and(&condition)));
    }
}

impl Drop for Family {
    fn drop(&mut self) {
        for pid in self.alive() {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid.cast_signed()),
                nix::sys::signal::SIGKILL,
            );
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command that runs as the job user of a sandbox that is set up, in a separate session, as a
/// starter starts jobs. The caller adds its words. If the switcher makes namespaces, the command
/// goes through the switcher, so that it is in the namespaces of the job.
pub fn as_job_of(sandbox: &Path) -> Command {
    if !is_rootless() {
        let mut command = Account::of(sandbox).command("setsid");
        command.env_clear();
        return command;
    }
    let site = sandbox.parent().and_then(Path::parent).unwrap();
    let mut command = Account::batch().command("setsid");
    command.arg(program("glexec")).env_clear().env("PATH", "/usr/bin:/bin");
    command
        .env("GLEXEC_CLIENT_CERT", retained(sandbox).join(PROXY))
        .env("GLEXEC_STATE_DIR", site.join("leases"));
    command
}

/// A process of the job user that waits to be killed, for a minute.
pub struct Target {
    child: Child,
    pub pid: u32,
}

impl Target {
    pub fn start(sandbox: &Path) -> Target {
        let mut target = Target::through(as_job_of(sandbox));
        target.pid = pid_here(target.pid, Account::of(sandbox));
        target
    }

    /// Starts one by a call of a switcher, with the pid that it writes.
    pub fn through(mut switcher: Command) -> Target {
        switcher
            .args(["/bin/sh", "-c", "echo $$; exec sleep 60"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = switcher.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Target { child, pid: line.trim().parse().unwrap() }
    }

    pub fn is_alive(&self) -> bool {
        is_alive(self.pid)
    }

    /// Waits for its end, and returns the signal that ended it.
    pub fn killed_by(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt as _;
        let status = self.child.wait().unwrap();
        // A switcher that stays above its command returns 128 and the signal, as a shell does.
        status.signal().or(status.code().map(|code| code - 128)).unwrap()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The pid in this namespace of a process of this account, which wrote its pid in a separate pid
/// namespace.
pub fn pid_here(inner: u32, account: Account) -> u32 {
    pids_here(&[inner], account)[0]
}

fn pids_here(inner: &[u32], account: Account) -> Vec<u32> {
    if !is_rootless() {
        return inner.to_vec();
    }
    let inner_pid = |pid: u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let of = |name: &str| {
            Some(status.lines().find_map(|line| line.strip_prefix(name))?.trim().to_owned())
        };
        let is = of("Uid:")?.starts_with(&account.uid.to_string());
        is.then(|| of("NSpid:")?.split('\t').next_back()?.parse::<u32>().ok()).flatten()
    };
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let known: Vec<(u32, u32)> = pids.filter_map(|pid| Some((pid, inner_pid(pid)?))).collect();
    let find = |inner: &u32| {
        let mut found = known
            .iter()
            .filter(|(_, written)| written == inner)
            .map(|(pid, _)| *pid)
            .collect::<Vec<_>>();
        // A process that is in no other namespace; otherwise the process that was started last.
        let last = found.pop().unwrap_or(*inner);
        found.into_iter().find(|pid| pid == inner).unwrap_or(last)
    };
    inner.iter().map(find).collect()
}

/// Whether any thread of a process has not ended.
pub fn is_alive(pid: u32) -> bool {
    !living_threads(pid).is_empty()
}

/// The letters for the states of a process's threads that have not ended.
pub fn living_threads(pid: u32) -> Vec<char> {
    let stats = threads(pid).filter_map(|thread| fs::read_to_string(thread.join("stat")).ok());
    stats.map(|stat| letter(&stat)).filter(|letter| !matches!(letter, 'Z' | 'X')).collect()
}

fn threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(format!("/proc/{pid}/task"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|thread| thread.path())
}

/// The letter for the state of a process; `None` if it does not exist.
pub fn state(pid: u32) -> Option<char> {
    fs::read_to_string(format!("/proc/{pid}/stat")).ok().map(|stat| letter(&stat))
}

fn letter(stat: &str) -> char {
    stat.rsplit(") ").next().unwrap().chars().next().unwrap()
}

/// kill with options, through the site's switcher, without retries.
pub fn hunt(site: &Site, options: &[&str], sandbox: &Path, pid: &str, signal: &str) -> Command {
    let mut command = site.helper(KILL);
    command
        .args(options)
        .arg(site.switcher())
        .arg(retained(sandbox).join(PROXY))
        .args([pid, signal, "0", "0"]);
    command
}

/// The report that kill prints when it has succeeded.
pub fn report(output: &Output) -> String {
    assert_eq!((output.status.code(), messages(output).as_str()), (Some(0), ""));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// The living processes that have the mark of a sandbox.
pub fn marked_with(sandbox: &Path) -> Vec<u32> {
    let mark = format!("_GLEXEC_HELPERS_FAMILY={}", retained(sandbox).display());
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let marked = |pid: &u32| {
        // A thread that has ended shows no environment.
        let environments =
            threads(*pid).map(|thread| fs::read(thread.join("environ")).unwrap_or_default());
        let is = |environment: Vec<u8>| {
            environment.split(|byte| *byte == 0).any(|entry| entry == mark.as_bytes())
        };
        environments.into_iter().any(is) && is_alive(*pid)
    };
    pids.filter(marked).collect()
}

/// The agents with this operation, and the switchers that call them, that have this path among
/// their arguments.
pub fn agents(operation: &str, path: &Path) -> Vec<u32> {
    let (operation, path) =
        (format!("condor_glexec_agent\0{operation}\0"), format!("{}\0", path.display()));
    let pids = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let is = |pid: &u32| {
        let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words = String::from_utf8_lossy(&words);
        words.contains(&operation) && words.contains(&path) && is_alive(*pid)
    };
    pids.filter(is).collect()
}
