//! `condor_glexec_pilot sweep`, and the hooks of HTCondor that call it.

use std::io::Read as _;
use std::path::Path;
use std::process::ExitCode;

use anyhow::bail;
use clap::{ArgMatches, Command};

use super::status::PilotStatus;
use super::{options, steps, wrap};
use crate::batch::wrap::scratch::Scratch;
use crate::batch::wrap::settings::Settings;
use crate::batch::wrap::{executable, run, sweep};
use crate::cli::definition::{flag, option};

/// The definition of the subcommand.
pub fn definition() -> Command {
    Command::new("sweep")
        .about("Ends and removes what a 'wrap' that was killed has left.")
        .override_usage("condor_glexec_pilot sweep [options]")
        .next_line_help(true)
        .after_help(
            "\
sweep is for the start of a node, and for HTCondor's HOOK_JOB_EXIT (by the name
of the link condor_glexec_hook_job_exit). It ends all processes of each job
whose wrap was killed. With --job, the files go back to the scratch directory,
which is the working directory; only this job is looked for. Without it, the
files of all such jobs whose scratch directories are gone are removed, and what
a 'doctor --condor' that was killed has left. What runs is not touched.
'doctor --condor' does the same.

Exit status:
  0    nothing is left
  1    something is left; sweep can be called again
  240  usage error or bad input

Example:
  condor_glexec_pilot sweep --directory /var/lib/condor/glexec_payloads
",
        )
        .arg(option("settings", "FILE", "The file with the settings of wrap"))
        .arg(option(
            "directory",
            "DIR",
            "The directory of the sandboxes [default: as the settings say]",
        ))
        .arg(flag("job", "Brings the files of the job in the working directory back"))
}

/// Runs the subcommand.
pub fn main(matches: &ArgMatches) -> ExitCode {
    let swept = wrap::settings_path(matches).and_then(|path| {
        let mut settings = Settings::read(&path)?;
        if let Some(directory) = options::path(matches, "directory")? {
            settings.directory = Some(directory);
        }
        sweep(&settings, matches.get_flag("job"))
    });
    match swept {
        Ok(()) => PilotStatus::Success.into(),
        Err(error) => {
            super::say(format_args!("{error:#}"));
            PilotStatus::Failed.into()
        }
    }
}

/// A hook's environment is a job's in part. So the switcher's comes from the settings alone.
fn sweep(settings: &Settings, is_of_job: bool) -> anyhow::Result<()> {
    sys::environment::take()?;
    wrap::set_environment(settings)?;
    let scratch = is_of_job.then(|| Scratch::of_working_directory(None)).transpose()?;
    let directory = match (&settings.directory, &scratch) {
        (Some(directory), _) => directory.clone(),
        (None, Some(scratch)) => run::directory(settings, scratch)?,
        (None, None) => bail!("the settings name no directory: give --directory"),
    };
    steps::record_quietly(&directory, |step_log| {
        sweep::sweep(settings, &directory, scratch.as_ref(), step_log)
    })?;
    Ok(())
}

/// HOOK_JOB_EXIT: what the job's wrapper has left goes back to the scratch directory.
pub fn job_exit(settings: &Path) -> ExitCode {
    let _ = input();
    let _ = sys::inherited::set_cloexec_above_2();
    let settings = Settings::read(settings).map_err(anyhow::Error::from);
    let swept = settings.and_then(|settings| sweep(&settings, true));
    match swept {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            super::say(format_args!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// HOOK_PREPARE_JOB: commands of the job that the starter would run as its own user are removed. A
/// job that cannot be executed is refused: HTCondor holds it.
pub fn prepare_job(settings: &Path) -> ExitCode {
    let job = input();
    // What runs in front of the job decides where its program is.
    let is_chained = Settings::read(settings).is_ok_and(|settings| settings.wrapper.is_some());
    let scratch = std::env::current_dir().unwrap_or_default();
    if let Some(why) = executable::why_not(&job, &scratch).filter(|_| !is_chained) {
        println!("HookStatusMessage = \"{}\"", why.replace('\\', "\\\\").replace('"', "\\\""));
        return ExitCode::FAILURE;
    }
    for attribute in ["PreCmd", "PreArguments", "PostCmd", "PostArguments", "ToolDaemonCmd"] {
        println!("{attribute} = undefined");
    }
    ExitCode::SUCCESS
}

/// The job's ClassAd, which a starter writes to a hook.
fn input() -> Vec<u8> {
    const MAX_SIZE: u64 = 64 << 20;
    let mut ad = Vec::new();
    let _ = std::io::stdin().lock().take(MAX_SIZE).read_to_end(&mut ad);
    ad
}
