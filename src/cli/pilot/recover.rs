//! `condor_glexec_pilot recover` and `condor_glexec_pilot renew-proxy`

use std::path::Path;
use std::process::ExitCode;

use anyhow::anyhow;
use clap::ArgMatches;

use super::{Status, Told, absolute, text};
use crate::batch::pilot::credential;
use crate::batch::pilot::recover::AbandonedSandbox;
use crate::batch::pilot::renew::New;

/// Runs `recover`.
pub fn recover(matches: &ArgMatches) -> ExitCode {
    let wanted = left(matches)
        .and_then(|left| Ok((left, absolute(matches, "output")?, crate::cli::cleanup::links()?)));
    let (left, output, links) = match wanted {
        Ok(wanted) => wanted,
        Err(error) => return super::refuse(&error),
    };
    let recovered = super::with_diary(&left.path(), &mut Told::default(), |step_log| {
        step_log.request = left.request();
        match matches.get_flag("discard") {
            true => left.discard(step_log),
            false => left.recover(links, output.as_deref(), step_log),
        }
    });
    ended(recovered)
}

/// Runs `renew-proxy`.
pub fn renew(matches: &ArgMatches) -> ExitCode {
    let read =
        |name: &str| text(matches, name).map(|path| credential::read(Path::new(path))).transpose();
    let wanted = left(matches)
        .and_then(|left| Ok((left, New { credential: read("credential")?, proxy: read("file")? })));
    let (left, new) = match wanted {
        Ok(wanted) => wanted,
        Err(error) => return super::refuse(&error),
    };
    ended(super::with_diary(&left.path(), &mut Told::default(), |step_log| {
        step_log.request = left.request();
        step_log.step("renew-proxy", |_| left.renew(&new))
    }))
}

fn left(matches: &ArgMatches) -> anyhow::Result<AbandonedSandbox> {
    let sandbox =
        Path::new(text(matches, "sandbox").ok_or_else(|| anyhow!("there is no sandbox"))?);
    Ok(AbandonedSandbox::find(
        sandbox,
        text(matches, "glexec").cloned(),
        crate::cli::idle_limit()?,
    )?)
}

fn ended(done: error::Result<()>) -> ExitCode {
    let status = match done {
        Ok(()) => Status::Success,
        Err(error) => {
            super::say(error);
            Status::Failed
        }
    };
    ExitCode::from(status as u8)
}
