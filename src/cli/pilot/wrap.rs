//! `condor_glexec_pilot wrap`, and the names of the links to it.
//!
//! Standard error is the job's. What the batch system must know goes to the error file that its
//! starter reads, and to the log.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::builder::ValueParser;
use clap::{Arg, ArgMatches, Command};
use error::Shown;
use sys::spawn::Inherited;
use sys::wait::End;
use sys::{Name, process};

use super::{options, steps, sweep};
use crate::batch::wrap::run::{self, Ended, Order};
use crate::batch::wrap::scratch::Scratch;
use crate::batch::wrap::settings::Settings;
use crate::batch::wrap::{NAME as LINK, environment, marker};
use crate::cli::definition::option;
use crate::cli::descriptors;

/// The names of the links that HTCondor calls as hooks.
const PREPARE_JOB: &str = "condor_glexec_hook_prepare_job";
const JOB_EXIT: &str = "condor_glexec_hook_job_exit";

/// The file that a starter reads as the error of its wrapper.
const ERROR_FILE: &str = ".job_wrapper_failure";

/// The variable that tells the wrapper that the starter reads that file.
const ERROR_FILE_VARIABLE: &str = "_CONDOR_WRAPPER_ERROR_FILE";

/// PATH for the switcher, whose own PATH would be the job's.
const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// The definition of the subcommand.
pub fn definition() -> Command {
    Command::new("wrap")
        .about("Runs the job of an HTCondor starter as another user.")
        .override_usage("condor_glexec_pilot wrap [options] -- <job> [arg…]")
        .next_line_help(true)
        .after_help(
            "\
HTCondor's starter calls wrap as USER_JOB_WRAPPER, by the name of the link
condor_glexec_user_job_wrapper, with the job and its arguments. The working
directory is the job's scratch directory. wrap moves the job's files to a
sandbox, gives it to the job user, runs the job, and moves the files back. It
ends as the job does: with its exit status, or by its signal. All signals go to
the job. If this program is killed, the job is killed too; 'sweep' brings the
files back.

The environment is the job's: wrap believes no variable in it. The settings are
in the file condor_glexec_user_job_wrapper.conf beside the link, one KEY = VALUE
per line. The file and its directory must belong to you or to root, and no other
user may write to them. Without the file, all have their defaults:
  glexec        the identity switcher [the first that works here]
  directory     where the sandboxes are made, one directory for each slot; on
                another file system than the scratch directory, the files are
                copied there and back [glexec_payloads beside the execute
                directory; in it, if that is a file system of its own]
  credential    the file with the switcher's credential [a dummy credential]
  wrapper       a program that runs in front of each job, as the job user, with
                the job and its arguments as its arguments [none]
  accounts      slot: each slot has an account of its own, by the place of its
                sandboxes; all processes of the account end with the job, and
                what it left in /tmp, /var/tmp and /dev/shm is removed [shared]
  disk          what the job's files may use of the file system: slot (Disk of
                the machine), request (RequestDisk of the job), or a number of
                bytes, also with K, M, G or T; a job that exceeds it is killed
                [no limit]
  world         closed: the job sees its files at the path of the scratch
                directory, and neither the batch system's files nor other jobs'
                [closed through glexec without privilege or the account
                daemon; else shared]
  hide, show, writable
                for a closed world, and can be repeated: what else is hidden,
                what is visible nevertheless, what else the job can write to
  handover, links, idle_timeout, log, sudo_map, state_dir
                as the variables GLEXEC_HELPERS_HANDOVER, GLEXEC_HELPERS_LINKS,
                GLEXEC_HELPERS_IDLE_TIMEOUT, GLEXEC_HELPERS_LOG (a path or
                syslog), GLEXEC_SUDO_MAP and GLEXEC_STATE_DIR

Exit status: that of the job. A job that cannot be executed ends with 126, or
127 if there is no such program. If the job could not begin because of this
node, the reason is in the starter's error file, and HTCondor runs the job
again; 'doctor --condor' then says that the node is not fit. If the files cannot
be brought back, wrap ends by SIGKILL.
",
        )
        .arg(option("settings", "FILE", "The file with the settings"))
        .arg(
            Arg::new("command")
                .value_name("job")
                .num_args(1..)
                .required(true)
                .trailing_var_arg(true)
                .value_parser(ValueParser::os_string())
                .hide(true),
        )
}

/// A name by which HTCondor calls this program without arguments of its own.
#[derive(Clone, Copy, Debug)]
pub enum Link {
    /// USER_JOB_WRAPPER.
    Wrapper,
    /// HOOK_PREPARE_JOB.
    PrepareJob,
    /// HOOK_JOB_EXIT.
    JobExit,
}

impl Link {
    /// The name of this call, if it is that of a link.
    pub fn of_this_call() -> Option<Link> {
        let program = std::env::args_os().next()?;
        match Path::new(&program).file_name()?.to_str()? {
            LINK => Some(Link::Wrapper),
            PREPARE_JOB => Some(Link::PrepareJob),
            JOB_EXIT => Some(Link::JobExit),
            _ => None,
        }
    }

    /// Does what the link is for.
    pub fn main(self, umask: u32) -> ExitCode {
        let mut words = std::env::args_os();
        let program = words.next().unwrap_or_default();
        match self {
            Link::Wrapper => {
                let _ = sys::inherited::set_cloexec_above_2();
                let descriptors = descriptors::raise_limit().ok();
                let inherited = Inherited { umask, descriptors };
                call(settings_beside(&program), words.collect(), inherited)
            }
            Link::PrepareJob => sweep::prepare_job(&settings_beside(&program)),
            Link::JobExit => sweep::job_exit(&settings_beside(&program)),
        }
    }
}

/// The file of the settings beside the path that this program was called by.
fn settings_beside(program: &OsStr) -> PathBuf {
    let beside = |path: &Path| path.with_file_name(format!("{LINK}.conf"));
    let named = Path::new(program);
    match named.parent().and_then(|parent| parent.canonicalize().ok()) {
        Some(parent) if named.is_absolute() => beside(&parent.join(LINK)),
        _ => std::env::current_exe().map(|path| beside(&path)).unwrap_or_default(),
    }
}

/// The path of the settings that an option names, or else that beside this program.
pub fn settings_path(matches: &ArgMatches) -> anyhow::Result<PathBuf> {
    match options::path(matches, "settings")? {
        Some(path) => Ok(path),
        None => settings_of_program(),
    }
}

/// The path of the settings beside this program.
pub fn settings_of_program() -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("find this program")?;
    Ok(program.with_file_name(format!("{LINK}.conf")))
}

/// Runs the subcommand.
pub fn main(matches: &ArgMatches, inherited: Inherited) -> ExitCode {
    match settings_path(matches) {
        Ok(path) => call(path, options::values(matches, "command").cloned().collect(), inherited),
        Err(error) => super::refuse(&error),
    }
}

/// Runs a job with these settings, and ends as it does.
fn call(settings: PathBuf, command: Vec<OsString>, inherited: Inherited) -> ExitCode {
    let variables = match sys::environment::take() {
        Ok(variables) => variables,
        Err(cause) => {
            return super::refuse(&anyhow::anyhow!("cannot clear the environment: {cause}"));
        }
    };
    let named = environment::value(&variables, "_CONDOR_SCRATCH_DIR");
    let is_starter = environment::value(&variables, ERROR_FILE_VARIABLE).is_some();
    let scratch = match Scratch::of_working_directory(named) {
        Ok(scratch) => scratch,
        Err(error) => return super::refuse(&error.into()),
    };
    let order = Settings::read(&settings).and_then(|settings| {
        set_environment(&settings)?;
        check(&command)?;
        Ok(settings)
    });
    let settings = match order {
        Ok(settings) => settings,
        Err(error) => return fail(&scratch, is_starter, None, &error),
    };
    let order = Order { settings, scratch, variables, command, inherited };
    let ended = steps::record_quietly(&order.scratch.path, |step_log| run::run(&order, step_log));
    end(ended, &order, is_starter)
}

/// Ends as the job has ended.
fn end(ended: Ended, order: &Order, is_starter: bool) -> ExitCode {
    match ended {
        Ended::Job(End::Exited(status)) => ExitCode::from(u8::try_from(status).unwrap_or(u8::MAX)),
        Ended::Job(End::Killed(number)) | Ended::Stopped(number) => process::die_of_signal(number),
        Ended::NotExecuted(error) => {
            // As a shell reports it: this stream is the job's.
            command::say(LINK, &error);
            let is_missing = error.to_string().contains("No such file");
            ExitCode::from(if is_missing { 127 } else { 126 })
        }
        Ended::Refused(error) => {
            command::say(LINK, &error);
            ExitCode::FAILURE
        }
        Ended::FilesMissing(error) => {
            command::say(LINK, format_args!("the job's files are not back: {error}"));
            process::die_of_signal(sys::signal::SIGKILL)
        }
        Ended::NotBegun(error) => {
            fail(&order.scratch, is_starter, order.directory().ok().as_deref(), &error)
        }
    }
}

/// Reports that the node failed before the job began.
fn fail(
    scratch: &Scratch,
    is_starter: bool,
    directory: Option<&Path>,
    error: &error::Error,
) -> ExitCode {
    let text = format!("{LINK}: {error}");
    let wait = directory.and_then(|directory| marker::set(directory, &text).ok());
    if let Some(wait) = wait.filter(|_| is_starter) {
        std::thread::sleep(wait);
    }
    match (is_starter, Name::new(ERROR_FILE.as_bytes())) {
        (true, Some(name)) => {
            let written = scratch.dir.create_file(name).map_err(std::io::Error::from);
            let written = written.and_then(|mut file| {
                std::io::Write::write_all(&mut file, format!("{text}\n").as_bytes())
            });
            if let Err(cause) = written {
                let shown = Shown::os(&scratch.path);
                command::say(LINK, format_args!("cannot write {shown}/{ERROR_FILE}: {cause}"));
            }
        }
        _ => command::say(LINK, error),
    }
    ExitCode::FAILURE
}

/// The environment of the switcher.
pub fn set_environment(settings: &Settings) -> error::Result<()> {
    let optional = [
        ("GLEXEC_HELPERS_LOG", settings.log.as_deref()),
        ("GLEXEC_SUDO_MAP", settings.sudo_map.as_deref()),
        ("GLEXEC_STATE_DIR", settings.state_dir.as_deref()),
        ("PATH", Some(OsStr::new(PATH))),
    ];
    let variables = optional.into_iter().filter_map(|(name, value)| Some((name.as_ref(), value?)));
    error::Context::at(sys::environment::set(variables), "set the variables of", "the switcher")
}

/// A starter gives the job's absolute path.
fn check(command: &[OsString]) -> error::Result<()> {
    match command.first() {
        Some(program) if program.as_bytes().starts_with(b"/") => Ok(()),
        Some(program) => {
            Err(error::Error::refused(program, "the job's program must be an absolute path"))
        }
        None => Err(error::Error::refused("the job", "there is no program to run")),
    }
}
