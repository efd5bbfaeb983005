//! A call of the switcher for another command than the agent.

use std::ffi::OsStr;
use std::path::Path;
use std::process::{Command, Stdio};

use error::{Context as _, Result};
use sys::spawn;
use sys::wait::End;

use super::outcome::CallOutcome;
use super::output::Output;
use super::program::CREDENTIAL;

/// Runs a command through a switcher, with the caller's environment, and waits for its end. The
/// command starts in the root directory, and its input is empty. It gets no copy of a proxy.
pub fn run_command(program: &Path, words: &[&OsStr]) -> Result<CallOutcome> {
    let (mut output, [stdout, stderr]) = Output::pipe(program)?;
    let mut command = Command::new(program);
    command.args(words).env_remove("GLEXEC_SOURCE_PROXY").env("GLEXEC_TARGET_PROXY", "/dev/null");
    for name in [CREDENTIAL, "X509_USER_PROXY"] {
        // A relative path begins in the caller's working directory.
        if let Some(path) = std::env::var_os(name).filter(|path| !path.is_empty()) {
            command.env(name, std::path::absolute(&path).at("find the credential", &path)?);
        }
    }
    command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let mut child = spawn::spawn_in_root(&mut command).at("execute the switcher", program)?;
    drop(command); // closes this process's copies of the child's descriptors
    let end = child.wait().at("wait for the switcher", program)?;
    Ok(CallOutcome {
        program: program.to_owned(),
        end: Some(End::from(end)),
        usage: None,
        output: output.read(),
    })
}
