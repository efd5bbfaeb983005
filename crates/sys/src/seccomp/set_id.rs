//! The calls that can make a file set-user-ID or set-group-ID.
//!
//! mkdir(2) is allowed: the kernel ignores both bits in its mode. A new directory in a set-group-ID
//! directory is still set-group-ID.

use super::assembly::Abi;
use super::{Errno, Openat2, Rule};
use Rule::{Always, CreatesSetId};

/// The bits that cannot be set.
pub(super) const BITS: u32 = libc::S_ISUID | libc::S_ISGID;

/// The flags with which open(2) uses its mode: O_CREAT, and the bit of O_TMPFILE that is not
/// O_DIRECTORY. They are the same in all these ABIs.
pub(super) const CREATES: u32 = (libc::O_CREAT | (libc::O_TMPFILE & !libc::O_DIRECTORY)) as u32;

/// The call fails if the mode at this place has one of the bits.
const fn mode(place: usize) -> Rule {
    Rule::WithBits(place, BITS, Errno::EPERM)
}

/// Calls that are newer than Linux 5.1 have the same number in every ABI.
const OPENAT2: u32 = 437;
const FCHMODAT2: (u32, Rule) = (452, mode(2));
/// io_uring_setup, io_uring_enter, io_uring_register. All three: another process could pass a ring
/// to a filtered one.
const IO_URING: [(u32, Rule); 3] =
    [(425, Always(Errno::ENOSYS)), (426, Always(Errno::ENOSYS)), (427, Always(Errno::ENOSYS))];

/// All rules of an ABI that has these calls.
pub(super) fn rules(calls: &[(u32, Rule)], openat2: Openat2) -> Vec<(u32, Rule)> {
    let unavailable = (openat2 == Openat2::Unavailable).then_some((OPENAT2, Always(Errno::ENOSYS)));
    calls.iter().copied().chain([FCHMODAT2]).chain(IO_URING).chain(unavailable).collect()
}

/// The ABIs of this machine (the kernel's arch/*/entry/syscalls and asm-generic/unistd.h), its own
/// first, and the calls that only this ABI has by these numbers.
#[cfg(target_arch = "x86_64")]
pub(super) const ABIS: &[(Abi, &[(u32, Rule)])] = &[
    (
        Abi {
            arch: 0xc000_003e,      // AUDIT_ARCH_X86_64
            end: Some(0x4000_0000), // __X32_SYSCALL_BIT
        },
        &[
            (2, CreatesSetId(1, 2)),   // open
            (85, mode(1)),             // creat
            (90, mode(1)),             // chmod
            (91, mode(1)),             // fchmod
            (133, mode(1)),            // mknod
            (257, CreatesSetId(2, 3)), // openat
            (259, mode(2)),            // mknodat
            (268, mode(2)),            // fchmodat
        ],
    ),
    (
        Abi { arch: 0x4000_0003, end: None }, // AUDIT_ARCH_I386
        &[
            (5, CreatesSetId(1, 2)),   // open
            (8, mode(1)),              // creat
            (14, mode(1)),             // mknod
            (15, mode(1)),             // chmod
            (94, mode(1)),             // fchmod
            (295, CreatesSetId(2, 3)), // openat
            (297, mode(2)),            // mknodat
            (306, mode(2)),            // fchmodat
        ],
    ),
];

#[cfg(target_arch = "aarch64")]
pub(super) const ABIS: &[(Abi, &[(u32, Rule)])] = &[
    (
        Abi { arch: 0xc000_00b7, end: None }, // AUDIT_ARCH_AARCH64
        &[
            (33, mode(2)),            // mknodat
            (52, mode(1)),            // fchmod
            (53, mode(2)),            // fchmodat
            (56, CreatesSetId(2, 3)), // openat
        ],
    ),
    (
        Abi { arch: 0x4000_0028, end: None }, // AUDIT_ARCH_ARM
        &[
            (5, CreatesSetId(1, 2)),   // open
            (8, mode(1)),              // creat
            (14, mode(1)),             // mknod
            (15, mode(1)),             // chmod
            (94, mode(1)),             // fchmod
            (322, CreatesSetId(2, 3)), // openat
            (324, mode(2)),            // mknodat
            (333, mode(2)),            // fchmodat
        ],
    ),
];

/// Without the tables there is no filter.
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(super) const ABIS: &[(Abi, &[(u32, Rule)])] = &[];
