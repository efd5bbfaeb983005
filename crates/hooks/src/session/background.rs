//! Processes that this one does not wait for.

use std::os::fd::BorrowedFd;
use std::path::Path;
use std::time::Instant;

use sys::fork::{self, Fork};
use sys::{Result, fd, inherited, process, signal, stdio, wait};

/// Does `work` in a process that is not a child of this one, in a session of its own, with no other
/// descriptors than those of `keep` and the null device. All signals are blocked there.
pub(crate) fn start(keep: &[BorrowedFd<'_>], work: impl FnOnce()) -> Result<()> {
    let between = match fork::fork()? {
        Fork::Parent(between) => between,
        Fork::Child => {
            if let Ok(Fork::Child) = fork::fork() {
                if prepare(keep).is_ok() {
                    work();
                }
            }
            process::_exit(0)
        }
    };
    wait::wait(between);
    Ok(())
}

fn prepare(keep: &[BorrowedFd<'_>]) -> Result<()> {
    process::setsid()?;
    process::chdir(Path::new("/"))?;
    stdio::redirect_to_null()?;
    inherited::release_all_but(keep)?;
    signal::default_sigchld();
    signal::block_all()
}

/// Whether a pipe from which nothing is read is at its end.
pub(crate) fn is_over(pipe: BorrowedFd<'_>) -> bool {
    fd::poll_readable([pipe], Some(Instant::now())).is_ok_and(|[is_over]| is_over)
}
