//! Which credentials are gone. A child looks: a path may lead to a file server that does not
//! answer, or to a file system of the caller's, and then only the child waits.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::AsFd as _;
use std::time::{Duration, Instant, SystemTime};

use command::location::Location;
use command::refusal::{Refusal, Result};
use sys::fork::{self, Fork};
use sys::signal::{self, SIGKILL};
use sys::{fd, inherited, process, stdio, wait};

/// How long the child may take. What it has not said then counts as not gone.
const TIMEOUT: Duration = Duration::from_secs(2);

/// For each credential, with the time of its lease's last use, whether it is gone.
pub(crate) fn gone(credentials: &[(&Location, SystemTime)]) -> Result<Vec<bool>> {
    if credentials.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |cause| {
        Refusal::internal(format!("cannot look for ended leases: {cause}: try again later"))
    };
    let (reader, writer) = fd::pipe().map_err(failed)?;
    let child = match fork::fork().map_err(failed)? {
        Fork::Child => {
            look(credentials, writer);
            process::_exit(0)
        }
        Fork::Parent(child) => child,
    };
    drop(writer);
    let answers = read(reader, credentials.len());
    let _ = signal::kill(child, SIGKILL);
    // A child that has not answered may be blocked in the kernel.
    if answers.len() == credentials.len() {
        wait::wait(child);
    }
    Ok((0..credentials.len()).map(|at| answers.get(at) == Some(&1)).collect())
}

/// One byte for each credential.
fn look(credentials: &[(&Location, SystemTime)], mut writer: File) {
    // A child that is blocked keeps no file of its parent's open.
    if stdio::redirect_to_null().is_err() || inherited::release_all_but(&[writer.as_fd()]).is_err()
    {
        return;
    }
    for (credential, last_use) in credentials {
        if writer.write_all(&[u8::from(credential.is_gone(*last_use))]).is_err() {
            return;
        }
    }
}

fn read(mut reader: File, most: usize) -> Vec<u8> {
    let until = Instant::now() + TIMEOUT;
    let mut answers = Vec::new();
    let mut part = [0; 512];
    while answers.len() < most && Instant::now() < until {
        if fd::poll_readable([reader.as_fd()], Some(until)) != Ok([true]) {
            continue;
        }
        match reader.read(&mut part) {
            Ok(0) | Err(_) => break,
            Ok(length) => answers.extend_from_slice(&part[..length]),
        }
    }
    answers
}
