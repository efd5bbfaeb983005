//! Filters of the system calls of a process and its descendants (seccomp(2)).
//!
//! A filter sees the arguments of a system call, but not the memory that they point to. So a call
//! whose argument in memory would decide (openat2(2), clone3(2)), or one that starts other calls
//! (io_uring(7)), can only fail as a whole, with ENOSYS: programs then do without it, as on an
//! older kernel.

mod assembly;
mod set_id;

use libc::sock_fprog;

use super::{Errno, Result};
use assembly::{Abi, Foreign};

/// Whether a process may call openat2(2): only one that never makes a file set-user-ID by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openat2 {
    /// It may.
    Allowed,
    /// The call fails with ENOSYS: its mode is in memory.
    Unavailable,
}

/// When a call fails, and with which error. The place of an argument is its number, from 0 on. Of
/// an argument the lower 32 bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// Always.
    Always(Errno),
    /// If the argument at this place has one of these bits.
    WithBits(usize, u32, Errno),
    /// If the argument at this place is one of these numbers.
    OneOf(usize, &'static [u32], Errno),
    /// If the argument at this place is none of these numbers.
    NoneOf(usize, &'static [u32], Errno),
    /// If the flags at the first place create a file, and the mode at the second would make it
    /// set-user-ID or set-group-ID: EPERM.
    CreatesSetId(usize, usize),
}

impl Rule {
    /// The error with which a call fails.
    pub fn answer(self) -> Errno {
        match self {
            Rule::Always(cause)
            | Rule::WithBits(_, _, cause)
            | Rule::OneOf(_, _, cause)
            | Rule::NoneOf(_, _, cause) => cause,
            Rule::CreatesSetId(..) => Errno::EPERM,
        }
    }
}

/// Filters the system calls of this thread, and of all that it starts or executes, so that they
/// cannot make files set-user-ID or set-group-ID; it cannot undo that. The same calls of the
/// machine's other ABIs are filtered; all calls of an unknown ABI fail.
/// [`super::prctl::set_no_new_privs`] comes before. ENOSYS on a machine whose system calls are not
/// in the tables.
pub fn forbid_set_id_files(openat2: Openat2) -> Result<()> {
    let abis = set_id::ABIS.iter().map(|(abi, calls)| (*abi, set_id::rules(calls, openat2)));
    install(&abis.collect::<Vec<_>>(), Foreign::Fails)
}

/// The same as [`forbid_set_id_files`], and in addition each of these rules for a call of this
/// machine's own ABI, by its number. A call with a number above `newest` fails with ENOSYS, as on a
/// kernel that does not have it. A process that makes a call of another ABI, such as a 32-bit
/// program, is killed by SIGSYS: with an error at each call it could not even exit.
pub fn restrict(rules: &[(u32, Rule)], newest: u32, openat2: Openat2) -> Result<()> {
    let native = set_id::ABIS.first().map(|(abi, calls)| {
        let all = [set_id::rules(calls, openat2), rules.to_vec()].concat();
        (Abi { end: Some(newest.saturating_add(1)), ..*abi }, all)
    });
    install(&Vec::from_iter(native), Foreign::IsKilled)
}

fn install(abis: &[(Abi, Vec<(u32, Rule)>)], foreign: Foreign) -> Result<()> {
    if abis.is_empty() {
        return Err(Errno::ENOSYS);
    }
    let mut program = assembly::filter(abis, foreign);
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let program = sock_fprog { len: length, filter: program.as_mut_ptr() };
    // Without this flag kernels before 5.16 mitigate Speculative Store Bypass for the process,
    // which slows it down; the filter does not need that.
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the structure and the program live during the call, and the length is that of the
    // program; the kernel copies both.
    let status = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags,
            std::ptr::from_ref(&program),
        )
    };
    Errno::result(status).map(drop)
}
