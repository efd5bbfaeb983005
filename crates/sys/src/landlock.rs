//! Landlock (landlock(7)): what a process forbids itself and its descendants, and cannot undo. They
//! are a *domain* then. [`super::prctl::set_no_new_privs`] comes before.

use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};

use super::{Errno, OPath, Result};

/// LANDLOCK_ACCESS_FS_REFER of linux/landlock.h, since version 2 of the interface: links and
/// renames from one directory to another.
const REFER: u64 = 1 << 13;
/// LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and LANDLOCK_SCOPE_SIGNAL, since version 6.
const SCOPES: u64 = 1 | (1 << 1);

/// struct landlock_ruleset_attr. Versions before 6 know the first two fields, or the first one;
/// they accept a longer structure whose rest is zero.
#[repr(C)]
struct Attributes {
    handled_access_fs: u64,
    handled_access_net: u64,
    scoped: u64,
}

/// struct landlock_path_beneath_attr.
#[repr(C, packed)]
struct PathBeneath {
    allowed_access: u64,
    parent_fd: RawFd,
}

/// What a domain is kept from, on this kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Isolation {
    /// Nothing: there is no Landlock, or it is too old.
    None,
    /// Processes outside: it cannot trace them, so it cannot read their memory, open their
    /// descriptors, or enter their directories in /proc. Linux 5.19.
    Tracing,
    /// Also: it sends no signal to a process outside, and nothing to an abstract Unix socket that a
    /// process outside has made (unix(7)). Linux 6.12.
    TracingSignalsAndSockets,
}

/// The best isolation that this kernel has.
pub fn best_isolation() -> Isolation {
    const VERSION: libc::c_uint = 1; // LANDLOCK_CREATE_RULESET_VERSION
    let none = std::ptr::null::<Attributes>();
    // SAFETY: without attributes the kernel reads no memory of this process.
    let version =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, none, 0_usize, VERSION) };
    match version {
        6.. => Isolation::TracingSignalsAndSockets,
        2.. => Isolation::Tracing,
        _ => Isolation::None,
    }
}

/// Isolates this thread, and all that it starts or executes, from all other processes. They can
/// still trace it, and send it signals. With [`Isolation::Tracing`], a process of the domain cannot
/// mount either, whatever its rights.
pub fn isolate(isolation: Isolation) -> Result<()> {
    match isolation {
        Isolation::None => Ok(()),
        // A domain must forbid something. It forbids links and renames from one directory to
        // another, but for those below the root directory.
        Isolation::Tracing => {
            let ruleset = create(REFER, 0)?;
            allow_below_root(&ruleset, REFER)?;
            restrict(&ruleset)
        }
        Isolation::TracingSignalsAndSockets => restrict(&create(0, SCOPES)?),
    }
}

fn create(handled_access_fs: u64, scoped: u64) -> Result<OwnedFd> {
    let attributes = Attributes { handled_access_fs, handled_access_net: 0, scoped };
    let (length, flags) = (size_of::<Attributes>(), 0 as libc::c_uint);
    let attributes = std::ptr::from_ref(&attributes);
    // SAFETY: the structure lives during the call and has this length; the kernel copies it.
    let ruleset =
        unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, attributes, length, flags) };
    let ruleset = Errno::result(ruleset)?;
    // SAFETY: the kernel has made this descriptor for this process, and nothing else owns it. A
    // descriptor fits into its type.
    Ok(unsafe { OwnedFd::from_raw_fd(ruleset as RawFd) })
}

fn allow_below_root(ruleset: &OwnedFd, allowed_access: u64) -> Result<()> {
    const PATH_BENEATH: libc::c_uint = 1; // LANDLOCK_RULE_PATH_BENEATH
    let root = OPath::root()?;
    let rule = PathBeneath { allowed_access, parent_fd: root.as_fd().as_raw_fd() };
    let (rule, flags) = (std::ptr::from_ref(&rule), 0 as libc::c_uint);
    // SAFETY: the structure lives during the call and is that of this kind of rule; the kernel
    // copies it.
    let status = unsafe {
        let ruleset = ruleset.as_raw_fd();
        libc::syscall(libc::SYS_landlock_add_rule, ruleset, PATH_BENEATH, rule, flags)
    };
    Errno::result(status).map(drop)
}

fn restrict(ruleset: &OwnedFd) -> Result<()> {
    let flags = 0 as libc::c_uint;
    // SAFETY: the call reads no memory of this process.
    let status =
        unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), flags) };
    Errno::result(status).map(drop)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::process::{Child, Command};

    use super::*;

    /// A process that ends with the value.
    struct Sleeper(Child);

    impl Sleeper {
        fn new() -> Sleeper {
            Sleeper(Command::new("sleep").arg("1000").spawn().unwrap())
        }

        /// Whether this thread may look into the process as a tracer may.
        fn can_be_traced(&self) -> bool {
            std::fs::read_link(format!("/proc/{}/cwd", self.0.id())).is_ok()
        }
    }

    impl Drop for Sleeper {
        fn drop(&mut self) {
            let _ = self.0.kill();
            let _ = self.0.wait();
        }
    }

    /// Does something in a thread that is isolated.
    fn isolated<T: Send>(isolation: Isolation, work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                assert_eq!(crate::prctl::set_no_new_privs(), Ok(()));
                assert_eq!(isolate(isolation), Ok(()));
                work()
            });
            thread.join().unwrap()
        })
    }

    #[test]
    fn an_isolated_process_traces_its_own_children_only() {
        let best = best_isolation();
        assert!(best >= Isolation::Tracing, "this needs Linux 5.19 with Landlock: {best:?}");
        let outside = Sleeper::new();
        assert!(outside.can_be_traced());
        for isolation in [Isolation::Tracing, best] {
            let found =
                isolated(isolation, || (outside.can_be_traced(), Sleeper::new().can_be_traced()));
            assert_eq!(found, (false, true), "{isolation:?}");
        }
    }

    #[test]
    fn an_isolated_process_renames_and_links_as_before() {
        let place = tempfile::tempdir().unwrap();
        let (from, to) = (place.path().join("from"), place.path().join("to"));
        let made = isolated(Isolation::Tracing, || {
            std::fs::create_dir(&from)
                .and_then(|()| std::fs::create_dir(&to))
                .and_then(|()| std::fs::write(from.join("file"), ""))
                .and_then(|()| std::fs::rename(from.join("file"), to.join("file")))
                .and_then(|()| std::fs::hard_link(to.join("file"), from.join("link")))
        });
        assert!(made.is_ok(), "{made:?}");
    }
}
