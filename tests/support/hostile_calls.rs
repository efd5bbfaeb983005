//! Asks the kernel for what a payload must not get. Prints a line for each attempt: its group, its
//! name, and `granted`, `error N` or `killed by N`. With arguments, nothing else is tried than to
//! reach them: abstract Unix sockets, by their names, and processes, by their pids. Each attempt is
//! a process of its own.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::CStr;
use std::os::fd::AsRawFd as _;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixStream};

use libc::{c_int, c_long};

fn main() {
    let names: Vec<_> = std::env::args().skip(1).collect();
    for name in &names {
        match name.parse() {
            Ok(pid) => process(pid),
            Err(_) => attempt("socket", name, || connect(name)),
        }
    }
    if !names.is_empty() {
        return;
    }
    namespaces();
    mounts();
    terminal();
    keys();
    kernel();
    set_id();
    #[cfg(target_arch = "x86_64")]
    other_abis();
    allowed();
}

/// Makes an attempt in a child, and prints its result. The attempt returns what a system call
/// does.
fn attempt(group: &str, name: &str, work: impl FnOnce() -> c_long) {
    // SAFETY: this process has one thread.
    let child = unsafe { libc::fork() };
    assert!(child >= 0);
    if child == 0 {
        let status = work();
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap();
        // SAFETY: ends this process.
        unsafe { libc::_exit(if status >= 0 { 0 } else { errno }) }
    }
    let mut status = 0;
    // SAFETY: the status lives during the call.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    let result = match status {
        status if libc::WIFSIGNALED(status) => format!("killed by {}", libc::WTERMSIG(status)),
        0 => "granted".to_owned(),
        status => format!("error {}", libc::WEXITSTATUS(status)),
    };
    println!("{group} {name}: {result}");
}

/// A system call with these arguments. What it points to outlives it.
fn call(number: c_long, arguments: &[c_long]) -> c_long {
    let argument = |place: usize| arguments.get(place).copied().unwrap_or(0);
    // SAFETY: numbers, and pointers to memory that outlives the call and that the kernel may write.
    unsafe {
        libc::syscall(
            number,
            argument(0),
            argument(1),
            argument(2),
            argument(3),
            argument(4),
            argument(5),
        )
    }
}

fn text(text: &CStr) -> c_long {
    text.as_ptr() as c_long
}

const NAMESPACES: [(&str, c_long); 8] = [
    ("user", 0x1000_0000),
    ("mount", 0x0002_0000),
    ("cgroup", 0x0200_0000),
    ("uts", 0x0400_0000),
    ("ipc", 0x0800_0000),
    ("pid", 0x2000_0000),
    ("net", 0x4000_0000),
    ("time", 0x0000_0080),
];
const USER: c_long = NAMESPACES[0].1;

/// clone(2) without a stack: in the child it returns 0, like fork(2), and the child ends.
fn clone(flags: c_long) -> c_long {
    let child = call(libc::SYS_clone, &[flags | c_long::from(libc::SIGCHLD)]);
    if child == 0 {
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) }
    }
    child
}

fn clone3(flags: c_long) -> c_long {
    let mut arguments = [0_u64; 11];
    (arguments[0], arguments[4]) = (flags.cast_unsigned(), 17); // flags, exit_signal
    let child = call(libc::SYS_clone3, &[arguments.as_mut_ptr() as c_long, 88]);
    if child == 0 {
        // SAFETY: ends this process.
        unsafe { libc::_exit(0) }
    }
    child
}

fn namespaces() {
    for (name, flag) in NAMESPACES {
        // A user namespace beside it gives the right to make the other one.
        attempt("namespace", &format!("unshare {name}"), || {
            call(libc::SYS_unshare, &[flag | USER])
        });
        if name != "time" {
            attempt("namespace", &format!("clone {name}"), || clone(flag | USER));
        }
        attempt("namespace", &format!("clone3 {name}"), || clone3(flag | USER));
    }
    // An upper half that the kernel ignores must not hide the lower one.
    attempt("namespace", "clone user, upper half", || clone(USER | (1 << 32)));
    attempt("namespace", "setns", || {
        let own = std::fs::File::open("/proc/self/ns/net").unwrap();
        call(libc::SYS_setns, &[c_long::from(own.as_raw_fd()), 0])
    });
}

fn mounts() {
    let here = c_long::from(libc::AT_FDCWD);
    let (root, tmpfs) = (text(c"/tmp"), text(c"tmpfs"));
    attempt("mount", "mount", || call(libc::SYS_mount, &[tmpfs, root, tmpfs]));
    attempt("mount", "remount", || {
        let flags = (libc::MS_REMOUNT | libc::MS_BIND) as c_long;
        call(libc::SYS_mount, &[tmpfs, text(c"/"), tmpfs, flags])
    });
    attempt("mount", "umount2", || call(libc::SYS_umount2, &[text(c"/proc"), 2]));
    attempt("mount", "pivot_root", || call(libc::SYS_pivot_root, &[root, root]));
    attempt("mount", "open_tree", || call(libc::SYS_open_tree, &[here, root]));
    attempt("mount", "open_tree, cloned", || call(libc::SYS_open_tree, &[here, root, 1]));
    attempt("mount", "open_tree_attr", || call(467, &[here, root]));
    attempt("mount", "move_mount", || call(libc::SYS_move_mount, &[here, root, here, root]));
    attempt("mount", "fsopen", || call(libc::SYS_fsopen, &[tmpfs]));
    attempt("mount", "fsconfig", || call(libc::SYS_fsconfig, &[-1]));
    attempt("mount", "fsmount", || call(libc::SYS_fsmount, &[-1]));
    attempt("mount", "fspick", || call(libc::SYS_fspick, &[here, text(c"/")]));
    attempt("mount", "mount_setattr", || {
        let attributes = [0_u64; 4];
        call(libc::SYS_mount_setattr, &[here, text(c"/"), 0, attributes.as_ptr() as c_long, 32])
    });
}

/// Types into a terminal, which this process makes and has as its own.
fn terminal() {
    let types = |request: c_long| {
        move || {
            // SAFETY: descriptors of this process, and memory that outlives the calls.
            unsafe {
                let (mut main, mut slave): (c_int, c_int) = (0, 0);
                let none = std::ptr::null_mut();
                let made = libc::openpty(
                    &raw mut main,
                    &raw mut slave,
                    none,
                    std::ptr::null(),
                    std::ptr::null(),
                );
                assert_eq!(made, 0);
                assert!(libc::setsid() > 0);
                assert_eq!(libc::ioctl(slave, libc::TIOCSCTTY, 0), 0);
                let word = c"rm -rf /\n";
                let status = call(libc::SYS_ioctl, &[c_long::from(slave), request, text(word)]);
                let cause = *libc::__errno_location();
                let mut typed: c_int = 0;
                assert_eq!(libc::ioctl(slave, libc::FIONREAD, &raw mut typed), 0);
                *libc::__errno_location() = cause;
                if typed > 0 { 0 } else { status }
            }
        }
    };
    attempt("terminal", "ioctl TIOCSTI", types(0x5412));
    // The kernel ignores the upper half.
    attempt("terminal", "ioctl TIOCSTI, upper half", types(0x5412 | (1 << 32)));
    attempt("terminal", "ioctl TIOCLINUX", types(0x541c));
    attempt("terminal", "ioctl TIOCSETD", types(0x5423));
}

fn keys() {
    let (kind, name, session) = (text(c"user"), text(c"name"), -3);
    attempt("key", "add_key", || {
        call(libc::SYS_add_key, &[kind, name, text(c"secret"), 6, session])
    });
    attempt("key", "request_key", || call(libc::SYS_request_key, &[kind, name, 0, session]));
    attempt("key", "keyctl", || call(libc::SYS_keyctl, &[0, session, 1]));
}

fn kernel() {
    let none: &[c_long] = &[];
    for (name, number, arguments) in [
        ("bpf", libc::SYS_bpf, none),
        ("perf_event_open", libc::SYS_perf_event_open, none),
        ("userfaultfd", libc::SYS_userfaultfd, &[1]),
        ("io_uring_setup", 425, none),
        ("openat2", 437, none),
        ("syslog", libc::SYS_syslog, &[10]),
        ("open_by_handle_at", libc::SYS_open_by_handle_at, none),
        ("init_module", libc::SYS_init_module, none),
        ("finit_module", libc::SYS_finit_module, none),
        ("delete_module", libc::SYS_delete_module, none),
        ("kexec_load", libc::SYS_kexec_load, none),
        // Not every C library has a name for it.
        ("kexec_file_load", if cfg!(target_arch = "x86_64") { 320 } else { 294 }, none),
        ("reboot", libc::SYS_reboot, none),
        ("swapon", libc::SYS_swapon, none),
        ("swapoff", libc::SYS_swapoff, none),
        ("settimeofday", libc::SYS_settimeofday, none),
        ("clock_settime", libc::SYS_clock_settime, none),
        ("acct", libc::SYS_acct, none),
        ("quotactl", libc::SYS_quotactl, none),
        ("quotactl_fd", 443, none),
        ("personality, executable data", libc::SYS_personality, &[0x0040_0000]),
        ("personality, page zero", libc::SYS_personality, &[0x0010_0000]),
        ("a call after the newest", 470, none),
        ("a call that no kernel has", 1000, none),
        ("socket of a virtual machine's host", libc::SYS_socket, &[40, 1]),
        ("socket of the kernel's cryptography", libc::SYS_socket, &[38, 5]),
        ("socket of raw packets", libc::SYS_socket, &[17, 3]),
        ("socket of CAN, upper half", libc::SYS_socket, &[29 | (1 << 32), 3, 1]),
        ("socketpair of TIPC", libc::SYS_socketpair, &[30, 1]),
        #[cfg(target_arch = "x86_64")]
        ("iopl", libc::SYS_iopl, &[3]),
        #[cfg(target_arch = "x86_64")]
        ("ioperm", libc::SYS_ioperm, &[0x80, 1, 1]),
        #[cfg(target_arch = "x86_64")]
        ("modify_ldt", libc::SYS_modify_ldt, none),
    ] {
        attempt("kernel", name, || call(number, arguments));
    }
}

/// Makes files set-user-ID and set-group-ID, in a new directory.
fn set_id() {
    let place = std::env::temp_dir().join(format!("gh-test-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    std::env::set_current_dir(&place).unwrap();
    std::fs::write("file", "").unwrap();
    let open = std::fs::File::open("file").unwrap();
    let (here, open) = (c_long::from(libc::AT_FDCWD), c_long::from(open.as_raw_fd()));
    let creates = c_long::from(libc::O_CREAT | libc::O_WRONLY);
    let file = text(c"file");
    for (what, bits) in [("uid", 0o4755), ("gid", 0o2755)] {
        let attempt = |name: &str, number, arguments: &[c_long]| {
            attempt("set-id", &format!("{name} {what}"), || call(number, arguments));
        };
        let regular = bits | c_long::from(libc::S_IFREG);
        attempt("fchmod", libc::SYS_fchmod, &[open, bits]);
        attempt("fchmodat", libc::SYS_fchmodat, &[here, file, bits]);
        attempt("fchmodat2", 452, &[here, file, bits]);
        attempt("openat", libc::SYS_openat, &[here, text(c"openat"), creates, bits]);
        attempt("mknodat", libc::SYS_mknodat, &[here, text(c"mknodat"), regular]);
        #[cfg(target_arch = "x86_64")]
        {
            attempt("chmod", libc::SYS_chmod, &[file, bits]);
            attempt("open", libc::SYS_open, &[text(c"open"), creates, bits]);
            attempt("creat", libc::SYS_creat, &[text(c"creat"), bits]);
            attempt("mknod", libc::SYS_mknod, &[text(c"mknod"), regular]);
        }
        for name in ["openat", "mknodat", "open", "creat", "mknod"] {
            let _ = std::fs::remove_file(name);
        }
    }
    std::fs::remove_dir_all(&place).unwrap();
}

/// The calls of 32-bit programs by their numbers: getpid, unshare and ioctl; and those of x32.
#[cfg(target_arch = "x86_64")]
fn other_abis() {
    attempt("abi", "32-bit getpid", || call_32_bit(20, [0, 0, 0]));
    attempt("abi", "32-bit unshare", || call_32_bit(310, [USER, 0, 0]));
    attempt("abi", "32-bit ioctl", || call_32_bit(54, [0, 0x5412, 0]));
    attempt("abi", "x32 getpid", || call(0x4000_0000 + libc::SYS_getpid, &[]));
    attempt("abi", "x32 unshare", || call(0x4000_0000 + libc::SYS_unshare, &[USER]));
}

/// A system call as a 32-bit program makes it.
#[cfg(target_arch = "x86_64")]
fn call_32_bit(number: c_long, [a, b, c]: [c_long; 3]) -> c_long {
    let mut status = number;
    // SAFETY: numbers only. The compiler keeps rbx for itself.
    unsafe {
        std::arch::asm!(
            "xchg {b}, rbx", "int 0x80", "xchg {b}, rbx",
            b = inout(reg) a => _, inout("rax") status,
            in("rcx") b, in("rdx") c, in("rsi") 0, in("rdi") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    let status = c_long::from(status as i32);
    if status < 0 {
        // SAFETY: the place of this thread's error number.
        unsafe { *libc::__errno_location() = (-status) as c_int };
    }
    status
}

/// What every program may do.
fn allowed() {
    attempt("allowed", "process", || clone(0));
    attempt("allowed", "thread", || {
        std::thread::spawn(|| ()).join().unwrap();
        0
    });
    attempt("allowed", "own directory", || {
        call(libc::SYS_unshare, &[c_long::from(libc::CLONE_FS | libc::CLONE_FILES)])
    });
    attempt("allowed", "trace of a child", || call(libc::SYS_ptrace, &[0]));
    attempt("allowed", "question for the personality", || {
        call(libc::SYS_personality, &[0xffff_ffff])
    });
    attempt("allowed", "fixed addresses", || call(libc::SYS_personality, &[0x0004_0000]));
    attempt("allowed", "socket", || call(libc::SYS_socket, &[2, 1]));
    attempt("allowed", "own memory", || read_memory(c_long::from(std::process::id())));
    attempt("allowed", "own abstract socket", || {
        // Not the process id: in its own pid namespace each payload has the same one, and the names
        // are those of the machine's network.
        let name = format!("gh-{:016x}", fastrand::u64(..));
        let address = SocketAddr::from_abstract_name(name).unwrap();
        let _listener = std::os::unix::net::UnixListener::bind_addr(&address).unwrap();
        UnixStream::connect_addr(&address).map_or(-1, |_| 0)
    });
}

/// Reaches for another process.
fn process(pid: c_long) {
    const SEIZE: c_long = 0x4206; // PTRACE_SEIZE
    attempt("process", "signal", || call(libc::SYS_kill, &[pid, 0]));
    attempt("process", "signal through a descriptor", || {
        let process = call(libc::SYS_pidfd_open, &[pid]);
        if process < 0 { process } else { call(libc::SYS_pidfd_send_signal, &[process, 0]) }
    });
    attempt("process", "trace", || call(libc::SYS_ptrace, &[SEIZE, pid]));
    attempt("process", "its descriptors", || {
        let process = call(libc::SYS_pidfd_open, &[pid]);
        if process < 0 { process } else { call(libc::SYS_pidfd_getfd, &[process]) }
    });
    attempt("process", "its memory", || read_memory(pid));
    for name in ["root", "cwd", "exe", "fd", "mem", "environ", "ns/mnt"] {
        attempt("process", name, || {
            let path = format!("/proc/{pid}/{name}");
            std::fs::File::open(path).map_or(-1, |_| 0)
        });
    }
}

/// Reads the memory of a process, where there is none: the kernel says so only if this is allowed.
fn read_memory(pid: c_long) -> c_long {
    let mut byte = 0_u8;
    let (here, there) = ([(&raw mut byte) as c_long, 1], [1, 1]);
    let (here, there) = (here.as_ptr() as c_long, there.as_ptr() as c_long);
    let status = call(libc::SYS_process_vm_readv, &[pid, here, 1, there, 1]);
    let cause = std::io::Error::last_os_error().raw_os_error();
    if status < 0 && cause == Some(libc::EFAULT) { 0 } else { status }
}

/// Connects to an abstract socket.
fn connect(name: &str) -> c_long {
    let address = SocketAddr::from_abstract_name(name).unwrap();
    UnixStream::connect_addr(&address).map_or(-1, |_| 0)
}
