//! What this process gives up before it reads a credential: input of others is decoded by OpenSSL,
//! so an error there must not be worth much.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use crate::refusal::{Refusal, Result};

/// The address space in bytes. A credential needs little; a revocation list can have many MiB,
/// and needs ten times as much when it is read.
const MEMORY: u64 = 512 << 20;

/// The processor time in seconds. A check takes milliseconds.
const SECONDS: u64 = 10;

/// Executes this program again with an empty environment, if it is not empty. Variables of OpenSSL
/// (OPENSSL_CONF, SSL_CERT_DIR, ...) have an effect as soon as its library is loaded, so it is not
/// enough to remove them here.
pub fn clear_environment() -> Result<()> {
    if std::env::vars_os().next().is_none() {
        return Ok(());
    }
    let arguments = std::env::args_os().skip(1);
    let error = Command::new("/proc/self/exe").args(arguments).env_clear().exec();
    Err(Refusal::site(format!(
        "cannot execute glexec_verify with an empty environment through /proc: {error}"
    )))
}

/// Limits this process: no core file, no trace, no child process, no privilege through execve(2),
/// no file that is written, and little memory and time.
pub fn set_limits() -> Result<()> {
    let limits = sys::rlimit::Limits {
        memory: MEMORY,
        seconds: SECONDS,
        // Standard streams, one file of the directory at a time, and the random device.
        descriptors: 16,
    };
    let set = sys::prctl::set_no_new_privs()
        .and_then(|()| sys::prctl::clear_dumpable())
        .and_then(|()| sys::rlimit::confine(&limits));
    set.map_err(|error| Refusal::site(format!("cannot limit this process: {error}")))
}
