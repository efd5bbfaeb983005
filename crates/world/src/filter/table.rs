//! The table of refused calls. `docs/world.md` shows it, with what falls back.
//!
//! EPERM is the kernel's own answer to a user without privilege, and that of container engines. It
//! is used where a program has nothing else to try. ENOSYS is that of a kernel without the call,
//! and is used where programs then do without it.
//!
//! Not here are calls that today's kernels no longer have (nfsservctl, create_module, uselib), and
//! those of 32-bit programs alone (vm86), which the filter does not let run.

use sys::Errno;
use sys::Errno::{EAFNOSUPPORT, ENOSYS, EPERM};
use sys::seccomp::Rule::{self, Always, NoneOf, OneOf, WithBits};

/// One call, and when it fails.
#[derive(Debug)]
pub struct Line {
    /// Its name, that of its manual page.
    pub name: &'static str,
    /// Its number on x86_64 (the kernel's arch/x86/entry/syscalls/syscall_64.tbl).
    pub x86_64: u32,
    /// Its number on aarch64 (asm-generic/unistd.h), if it exists there.
    pub aarch64: Option<u32>,
    /// When it fails, and with which error.
    pub rule: Rule,
}

impl Line {
    /// Its number on this machine, and its rule.
    pub(super) fn rule_here(&self) -> Option<(u32, Rule)> {
        let number = if cfg!(target_arch = "x86_64") { Some(self.x86_64) } else { self.aarch64 };
        number.map(|number| (number, self.rule))
    }

    /// The error with which it fails.
    pub fn answer(&self) -> Errno {
        self.rule.answer()
    }
}

const fn line(name: &'static str, x86_64: u32, aarch64: u32, rule: Rule) -> Line {
    Line { name, x86_64, aarch64: Some(aarch64), rule }
}

const fn x86_64(name: &'static str, number: u32, rule: Rule) -> Line {
    Line { name, x86_64: number, aarch64: None, rule }
}

/// The newest call that the table was made with: file_setattr, of Linux 6.17. Newer calls have the
/// same number on both machines.
pub(super) const NEWEST: u32 = 469;

/// CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET of linux/sched.h.
const NEW_NAMESPACES: u32 = 0x7e02_0000;

/// All bits but CLONE_FS, CLONE_FILES and CLONE_SYSVSEM, which stop sharing something with other
/// threads. The others make namespaces (CLONE_NEWTIME is one of these bits), or do nothing.
const UNSHARES_MORE: u32 = !0x0004_0600;

/// Namespaces and mounts: a user namespace gives its maker all capabilities inside, and with them
/// the parts of the kernel that only root could reach before. `--nested` allows them.
pub(super) const NAMESPACES: &[Line] = &[
    // A new process in new namespaces; threads and plain processes stay possible.
    line("clone", 56, 220, WithBits(0, NEW_NAMESPACES, EPERM)),
    // The same with the flags in memory. C libraries and Go then use clone.
    line("clone3", 435, 435, Always(ENOSYS)),
    line("unshare", 272, 97, WithBits(0, UNSHARES_MORE, EPERM)),
    // Namespaces that another process has made: their descriptors can be passed.
    line("setns", 308, 268, Always(EPERM)),
    // Mounts: without a user namespace the kernel refuses them as well.
    line("mount", 165, 40, Always(EPERM)),
    line("umount2", 166, 39, Always(EPERM)),
    line("pivot_root", 155, 41, Always(EPERM)),
    // The same by descriptor. A mount that another process has made can be passed.
    line("open_tree", 428, 428, Always(EPERM)),
    line("move_mount", 429, 429, Always(EPERM)),
    line("fsopen", 430, 430, Always(EPERM)),
    line("fsconfig", 431, 431, Always(EPERM)),
    line("fsmount", 432, 432, Always(EPERM)),
    line("fspick", 433, 433, Always(EPERM)),
    line("mount_setattr", 442, 442, Always(EPERM)),
    line("open_tree_attr", 467, 467, Always(EPERM)),
];

/// TIOCSTI types into a terminal, TIOCLINUX pastes into a console: both can give commands to a
/// shell outside. TIOCSETD loads the kernel's module of a line discipline. asm-generic/ioctls.h.
const TERMINAL_INPUT: &[u32] = &[0x5412, 0x541c, 0x5423];

/// AF_UNIX, AF_INET, AF_INET6 and AF_NETLINK. Of the others, AF_VSOCK reaches the host of a virtual
/// machine, whatever the network namespace is; rare protocols load their modules; AF_ALG reaches
/// the kernel's cryptography.
const FAMILIES: &[u32] = &[1, 2, 10, 16];

/// The execution domain of Linux, that of 32-bit programs (PER_LINUX32), each with
/// ADDR_NO_RANDOMIZE, which gdb sets for the program that it debugs, and with UNAME26; and the
/// question for the present one. The others emulate other systems, or weaken a program.
const PERSONALITIES: &[u32] =
    &[0, 0x8, 0x2_0000, 0x2_0008, 0x4_0000, 0x4_0008, 0x6_0000, 0x6_0008, u32::MAX];

/// What no payload can ask for.
pub(super) const ALWAYS: &[Line] = &[
    // Keys: those of a user are shared by all its processes, and so by its other payloads.
    line("add_key", 248, 217, Always(ENOSYS)),
    line("request_key", 249, 218, Always(ENOSYS)),
    line("keyctl", 250, 219, Always(ENOSYS)),
    // Calls that the kernel grants to every user, each with a history of faults: programs that the
    // kernel runs, counters of the processor, faults of memory that a process answers itself, and
    // segments of 16-bit programs.
    line("bpf", 321, 280, Always(EPERM)),
    line("perf_event_open", 298, 241, Always(EPERM)),
    line("userfaultfd", 323, 282, Always(EPERM)),
    x86_64("modify_ldt", 154, Always(ENOSYS)),
    line("personality", 135, 92, NoneOf(0, PERSONALITIES, EPERM)),
    line("socket", 41, 198, NoneOf(0, FAMILIES, EAFNOSUPPORT)),
    line("socketpair", 53, 199, NoneOf(0, FAMILIES, EAFNOSUPPORT)),
    line("ioctl", 16, 29, OneOf(1, TERMINAL_INPUT, EPERM)),
    // The kernel's log: of all that happens on the machine, often readable by every user.
    line("syslog", 103, 116, Always(EPERM)),
    // A file by its number, past the directories that lead to it.
    line("open_by_handle_at", 304, 265, Always(EPERM)),
    // The rest is root's alone; a payload that has got a capability by a fault cannot use it here.
    line("init_module", 175, 105, Always(EPERM)),
    line("finit_module", 313, 273, Always(EPERM)),
    line("delete_module", 176, 106, Always(EPERM)),
    line("kexec_load", 246, 104, Always(EPERM)),
    line("kexec_file_load", 320, 294, Always(EPERM)),
    line("reboot", 169, 142, Always(EPERM)),
    line("swapon", 167, 224, Always(EPERM)),
    line("swapoff", 168, 225, Always(EPERM)),
    line("settimeofday", 164, 170, Always(EPERM)),
    line("clock_settime", 227, 112, Always(EPERM)),
    line("acct", 163, 89, Always(EPERM)),
    line("quotactl", 179, 60, Always(EPERM)),
    line("quotactl_fd", 443, 443, Always(EPERM)),
    x86_64("iopl", 172, Always(EPERM)),
    x86_64("ioperm", 173, Always(EPERM)),
];
