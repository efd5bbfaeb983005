//! A filter for a process and its descendants: they cannot make files set-user-ID or set-group-ID
//! (seccomp(2)).
//!
//! A filter sees the arguments of a system call, but not the memory that they point to. So a call
//! with the mode in memory (openat2(2)), or one that starts other calls (io_uring(7)), fails with
//! ENOSYS: programs then do without it, as on an older kernel. The same calls of the machine's
//! other ABIs are filtered; all calls of an unknown ABI fail.
//!
//! mkdir(2) is allowed: the kernel ignores both bits in its mode. A new directory in a set-group-ID
//! directory is still set-group-ID.

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JGE, BPF_JMP, BPF_JSET, BPF_JUMP, BPF_K, BPF_LD, BPF_RET, BPF_STMT,
    BPF_W, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, seccomp_data, sock_filter, sock_fprog,
};

use super::{Errno, Result};

/// Whether a process may call openat2(2): only one that never makes a file with these bits by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Openat2 {
    /// It may.
    Allowed,
    /// The call fails with ENOSYS: its mode is in memory.
    Unavailable,
}

/// What the filter does with a call. The numbers are the places of its arguments.
#[derive(Clone, Copy)]
enum Rule {
    /// It fails if the mode at this place has one of the bits.
    Mode(usize),
    /// The same for the mode at the second place, if the flags at the first create a file.
    ModeIfCreated(usize, usize),
    /// It fails.
    Unavailable,
}

use Rule::{Mode, ModeIfCreated, Unavailable};

/// Calls that are newer than Linux 5.1 have the same number in every ABI.
const OPENAT2: u32 = 437;
const FCHMODAT2: (u32, Rule) = (452, Mode(2));
/// io_uring_setup, io_uring_enter, io_uring_register. All three: another process could pass a ring
/// to a filtered one.
const IO_URING: [(u32, Rule); 3] = [(425, Unavailable), (426, Unavailable), (427, Unavailable)];

/// The system calls of one ABI.
struct Abi {
    /// AUDIT_ARCH_* of linux/audit.h.
    arch: u32,
    /// From this number on the calls are those of another ABI with the same AUDIT_ARCH_* (x32).
    end: Option<u32>,
    /// The calls that can set the mode of a file.
    calls: &'static [(u32, Rule)],
}

/// The ABIs of this machine (the kernel's arch/*/entry/syscalls and asm-generic/unistd.h).
#[cfg(target_arch = "x86_64")]
const ABIS: &[Abi] = &[
    Abi {
        arch: 0xc000_003e,      // AUDIT_ARCH_X86_64
        end: Some(0x4000_0000), // __X32_SYSCALL_BIT
        calls: &[
            (2, ModeIfCreated(1, 2)),   // open
            (85, Mode(1)),              // creat
            (90, Mode(1)),              // chmod
            (91, Mode(1)),              // fchmod
            (133, Mode(1)),             // mknod
            (257, ModeIfCreated(2, 3)), // openat
            (259, Mode(2)),             // mknodat
            (268, Mode(2)),             // fchmodat
        ],
    },
    Abi {
        arch: 0x4000_0003, // AUDIT_ARCH_I386
        end: None,
        calls: &[
            (5, ModeIfCreated(1, 2)),   // open
            (8, Mode(1)),               // creat
            (14, Mode(1)),              // mknod
            (15, Mode(1)),              // chmod
            (94, Mode(1)),              // fchmod
            (295, ModeIfCreated(2, 3)), // openat
            (297, Mode(2)),             // mknodat
            (306, Mode(2)),             // fchmodat
        ],
    },
];

#[cfg(target_arch = "aarch64")]
const ABIS: &[Abi] = &[
    Abi {
        arch: 0xc000_00b7, // AUDIT_ARCH_AARCH64
        end: None,
        calls: &[
            (33, Mode(2)),             // mknodat
            (52, Mode(1)),             // fchmod
            (53, Mode(2)),             // fchmodat
            (56, ModeIfCreated(2, 3)), // openat
        ],
    },
    Abi {
        arch: 0x4000_0028, // AUDIT_ARCH_ARM
        end: None,
        calls: &[
            (5, ModeIfCreated(1, 2)),   // open
            (8, Mode(1)),               // creat
            (14, Mode(1)),              // mknod
            (15, Mode(1)),              // chmod
            (94, Mode(1)),              // fchmod
            (322, ModeIfCreated(2, 3)), // openat
            (324, Mode(2)),             // mknodat
            (333, Mode(2)),             // fchmodat
        ],
    },
];

/// Without the tables there is no filter.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
const ABIS: &[Abi] = &[];

/// The bits that cannot be set.
const BITS: u32 = libc::S_ISUID | libc::S_ISGID;

/// The flags with which open(2) uses its mode: O_CREAT, and the bit of O_TMPFILE that is not
/// O_DIRECTORY. They are the same in all these ABIs.
const CREATES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;

/// Filters the system calls of this thread, and of all that it starts or executes; it cannot undo
/// that. [`super::prctl::set_no_new_privs`] comes before. ENOSYS on a machine whose system calls
/// are not in the tables.
pub fn forbid_set_id_files(openat2: Openat2) -> Result<()> {
    if ABIS.is_empty() {
        return Err(Errno::ENOSYS);
    }
    let mut program = filter(openat2);
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

/// The program of the filter.
fn filter(openat2: Openat2) -> Vec<sock_filter> {
    let mut program = vec![load(std::mem::offset_of!(seccomp_data, arch))];
    for abi in ABIS {
        let judged = judge(abi, openat2);
        program.extend(unless(BPF_JEQ, abi.arch, judged));
    }
    program.push(refuse(Errno::ENOSYS));
    program
}

/// The part of the program for the calls of one ABI.
fn judge(abi: &Abi, openat2: Openat2) -> Vec<sock_filter> {
    let mut program = vec![load(std::mem::offset_of!(seccomp_data, nr))];
    if let Some(end) = abi.end {
        program.extend(unless(BPF_JGE, end, vec![refuse(Errno::ENOSYS)]));
    }
    let unavailable = (openat2 == Openat2::Unavailable).then_some((OPENAT2, Unavailable));
    for (number, rule) in
        abi.calls.iter().copied().chain([FCHMODAT2]).chain(IO_URING).chain(unavailable)
    {
        let judged = match rule {
            Unavailable => vec![refuse(Errno::ENOSYS)],
            Mode(place) => refuse_bits(place),
            ModeIfCreated(flags, mode) => {
                let mut judged = vec![load_argument(flags)];
                judged.extend(unless(BPF_JSET, CREATES, refuse_bits(mode)));
                judged.push(allow());
                judged
            }
        };
        program.extend(unless(BPF_JEQ, number, judged));
    }
    program.push(allow());
    program
}

/// Refuses a call that has one of the bits in the argument at this place, and allows any other.
fn refuse_bits(place: usize) -> Vec<sock_filter> {
    let mut program = vec![load_argument(place)];
    program.extend(unless(BPF_JSET, BITS, vec![refuse(Errno::EPERM)]));
    program.push(allow());
    program
}

/// Skips a part of the program, unless the comparison of the loaded value with a number is true.
/// The part ends with a decision.
fn unless(comparison: u32, number: u32, part: Vec<sock_filter>) -> Vec<sock_filter> {
    // A jump can skip 255 instructions: a test checks that every part is shorter.
    let length = u8::try_from(part.len()).unwrap_or(u8::MAX);
    // SAFETY: makes a value of its arguments.
    let jump = unsafe { BPF_JUMP(code(BPF_JMP | comparison | BPF_K), number, 0, length) };
    std::iter::once(jump).chain(part).collect()
}

fn load(offset: usize) -> sock_filter {
    // SAFETY: makes a value of its arguments.
    unsafe { BPF_STMT(code(BPF_LD | BPF_W | BPF_ABS), offset as u32) }
}

/// The lower half of an argument, which has the mode or flags; both machines are little-endian.
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

/// The constants of libc have 32 bits, the field of an instruction 16; 8 are used.
fn code(bits: u32) -> u16 {
    bits as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_of_the_filter_is_short_enough_to_be_skipped() {
        for abi in ABIS {
            assert!(judge(abi, Openat2::Unavailable).len() < 255);
        }
        assert!(filter(Openat2::Unavailable).len() > filter(Openat2::Allowed).len());
    }
}
