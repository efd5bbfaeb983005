//! A filter that keeps a process, and all that descends from it, from making files set-user-ID or
//! set-group-ID (seccomp(2)).
//!
//! What a call would make of a file's mode stands in its arguments, which a filter sees; what is in
//! memory it does not see. So a call whose mode is in memory, or that has the kernel make other
//! calls, does not exist for such a process (ENOSYS): programs then do as on a kernel that is too
//! old for it. The same calls under the numbers of a foreign ABI are filtered as well; an ABI that
//! is not known here has no call at all.
//!
//! mkdir(2) is let through: the kernel takes neither bit from its mode. A directory below a
//! set-group-ID one still becomes one, too.

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_JUMP, BPF_K, BPF_LD, BPF_RET, BPF_STMT,
    BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, seccomp_data, sock_filter, sock_fprog,
};

use super::{Errno, Result};

/// Whether openat2(2) is left to a process, which must be one that never makes a file with these
/// bits by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openat2 {
    /// It exists.
    Allowed,
    /// It does not exist: its mode is in memory.
    Missing,
}

/// How a call is judged. The numbers are the places of its arguments.
#[derive(Clone, Copy)]
enum Rule {
    /// By the mode at this place.
    Mode(usize),
    /// By the mode at the second place, if the flags at the first say that a file is made; it is
    /// not looked at otherwise.
    ModeIfMade(usize, usize),
    /// Not at all.
    Missing,
}

use Rule::{Missing, Mode, ModeIfMade};

/// Calls that are named alike have the same number in every ABI since Linux 5.1.
const OPENAT2: u32 = 437;
const FCHMODAT2: (u32, Rule) = (452, Mode(2));
/// io_uring_setup, io_uring_enter, io_uring_register: somebody else could pass a ring on, so all
/// three.
const IO_URING: [(u32, Rule); 3] = [(425, Missing), (426, Missing), (427, Missing)];

/// The system calls of one ABI.
struct Abi {
    /// AUDIT_ARCH_* of linux/audit.h.
    arch: u32,
    /// Numbers from here on are those of another ABI, which this one carries.
    end: Option<u32>,
    /// Its calls that can set the mode of a file.
    calls: &'static [(u32, Rule)],
}

/// The ABIs that a machine of this kind may have (the tables of arch/*/entry/syscalls, and
/// asm-generic/unistd.h).
#[cfg(target_arch = "x86_64")]
const ABIS: &[Abi] = &[
    Abi {
        arch: 0xc000_003e,      // AUDIT_ARCH_X86_64
        end: Some(0x4000_0000), // __X32_SYSCALL_BIT
        calls: &[
            (2, ModeIfMade(1, 2)),   // open
            (85, Mode(1)),           // creat
            (90, Mode(1)),           // chmod
            (91, Mode(1)),           // fchmod
            (133, Mode(1)),          // mknod
            (257, ModeIfMade(2, 3)), // openat
            (259, Mode(2)),          // mknodat
            (268, Mode(2)),          // fchmodat
        ],
    },
    Abi {
        arch: 0x4000_0003, // AUDIT_ARCH_I386
        end: None,
        calls: &[
            (5, ModeIfMade(1, 2)),   // open
            (8, Mode(1)),            // creat
            (14, Mode(1)),           // mknod
            (15, Mode(1)),           // chmod
            (94, Mode(1)),           // fchmod
            (295, ModeIfMade(2, 3)), // openat
            (297, Mode(2)),          // mknodat
            (306, Mode(2)),          // fchmodat
        ],
    },
];

#[cfg(target_arch = "aarch64")]
const ABIS: &[Abi] = &[
    Abi {
        arch: 0xc000_00b7, // AUDIT_ARCH_AARCH64
        end: None,
        calls: &[
            (33, Mode(2)),          // mknodat
            (52, Mode(1)),          // fchmod
            (53, Mode(2)),          // fchmodat
            (56, ModeIfMade(2, 3)), // openat
        ],
    },
    Abi {
        arch: 0x4000_0028, // AUDIT_ARCH_ARM
        end: None,
        calls: &[
            (5, ModeIfMade(1, 2)),   // open
            (8, Mode(1)),            // creat
            (14, Mode(1)),           // mknod
            (15, Mode(1)),           // chmod
            (94, Mode(1)),           // fchmod
            (322, ModeIfMade(2, 3)), // openat
            (324, Mode(2)),          // mknodat
            (333, Mode(2)),          // fchmodat
        ],
    },
];

/// Without a table nothing can be promised.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ABIS: &[Abi] = &[];

/// The bits that no file gets.
const BITS: u32 = libc::S_ISUID | libc::S_ISGID;

/// The flags with which open(2) looks at its mode: O_CREAT, and what makes O_TMPFILE of
/// O_DIRECTORY. They are the same in all these ABIs.
const MAKES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;

/// Filters this process, and all that it starts or executes, for good. It must be without new
/// privileges (PR_SET_NO_NEW_PRIVS, prctl(2)). ENOSYS on a machine whose system calls are not in
/// the tables.
pub fn forbid_set_id_files(openat2: Openat2) -> Result<()> {
    if ABIS.is_empty() {
        return Err(Errno::ENOSYS);
    }
    let mut program = filter(openat2);
    let length = u16::try_from(program.len()).map_err(|_| Errno::EINVAL)?;
    let program = sock_fprog { len: length, filter: program.as_mut_ptr() };
    // What a filter decides here is no secret: without that flag older kernels slow down all that
    // the process computes.
    let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
    // SAFETY: the kernel copies the program, which is as long as it says, and lives until then.
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

/// The filter as the kernel takes it.
fn filter(openat2: Openat2) -> Vec<sock_filter> {
    let mut program = vec![load(std::mem::offset_of!(seccomp_data, arch))];
    for abi in ABIS {
        let judged = judge(abi, openat2);
        program.extend(unless(BPF_JEQ, abi.arch, judged));
    }
    program.push(refuse(Errno::ENOSYS));
    program
}

/// What is done with a call of an ABI.
fn judge(abi: &Abi, openat2: Openat2) -> Vec<sock_filter> {
    let mut program = vec![load(std::mem::offset_of!(seccomp_data, nr))];
    if let Some(end) = abi.end {
        program.extend(unless(BPF_JGE, end, vec![refuse(Errno::ENOSYS)]));
    }
    let missing = (openat2 == Openat2::Missing).then_some((OPENAT2, Missing));
    for (number, rule) in
        abi.calls.iter().copied().chain([FCHMODAT2]).chain(IO_URING).chain(missing)
    {
        let judged = match rule {
            Missing => vec![refuse(Errno::ENOSYS)],
            Mode(place) => refuse_bits(place),
            ModeIfMade(flags, mode) => {
                let mut judged = vec![load_argument(flags)];
                judged.extend(unless(BPF_JSET, MAKES, refuse_bits(mode)));
                judged.push(allow());
                judged
            }
        };
        program.extend(unless(BPF_JEQ, number, judged));
    }
    program.push(allow());
    program
}

/// Refuses a call with one of the bits in the argument at this place, and allows any other.
fn refuse_bits(place: usize) -> Vec<sock_filter> {
    let mut program = vec![load_argument(place)];
    program.extend(unless(BPF_JSET, BITS, vec![refuse(Errno::EPERM)]));
    program.push(allow());
    program
}

/// Passes over a part of a program, unless the comparison of what was loaded with a number holds.
/// The part ends with a decision.
fn unless(comparison: u32, number: u32, part: Vec<sock_filter>) -> Vec<sock_filter> {
    // Far from the 255 instructions that a jump can pass over: a test builds them all.
    let length = u8::try_from(part.len()).unwrap_or(u8::MAX);
    // SAFETY: makes a value of its arguments.
    let jump = unsafe { BPF_JUMP(code(BPF_JMP | comparison | BPF_K), number, 0, length) };
    std::iter::once(jump).chain(part).collect()
}

fn load(offset: usize) -> sock_filter {
    // SAFETY: makes a value of its arguments.
    unsafe { BPF_STMT(code(BPF_LD | BPF_W | BPF_ABS), offset as u32) }
}

/// The half of an argument in which a mode or flags are; both kinds of machine have it first.
fn load_argument(place: usize) -> sock_filter {
    load(std::mem::offset_of!(seccomp_data, args) + place * size_of::<u64>())
}

fn refuse(cause: Errno) -> sock_filter {
    // SAFETY: makes a value of its arguments.
    unsafe { BPF_STMT(code(BPF_RET | BPF_K), SECCOMP_RET_ERRNO | cause as u32) }
}

fn allow() -> sock_filter {
    // SAFETY: makes a value of its arguments.
    unsafe { BPF_STMT(code(BPF_RET | BPF_K), SECCOMP_RET_ALLOW) }
}

/// The kernel's instructions have 16 bits for what they do, of which 8 are used.
fn code(bits: u32) -> u16 {
    bits as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_filter_is_short_enough_to_be_passed_over() {
        for abi in ABIS {
            assert!(judge(abi, Openat2::Missing).len() < 255);
        }
        assert!(filter(Openat2::Missing).len() > filter(Openat2::Allowed).len());
    }
}
