//! A family of processes, as jobs have them. The first argument names its kind. Each member writes
//! a line with its pid when it is ready, and then waits to be killed, at most two minutes, so that
//! a failed test leaves no process.
#![allow(clippy::unwrap_used, missing_docs)]

use std::io::Write as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let number = || words[1].parse::<u32>().unwrap();
    match words[0].as_str() {
        "single" => wait(),
        // Each is the child of the one before.
        "chain" => {
            for _ in 1..number() {
                if !fork() {
                    wait();
                }
            }
            wait();
        }
        // All but the first are its children.
        "wide" => {
            for _ in 1..number() {
                if fork() {
                    wait();
                }
            }
            wait();
        }
        // It leads a session with a child in it, and exits.
        "leader-exits" => {
            setsid();
            if fork() {
                wait();
            }
        }
        // The first one has a grandchild in a separate session, whose parent has exited.
        "detached" => {
            detach();
            wait();
        }
        // The same, but the first one exits, too: no ancestor of the grandchild is left in the
        // family.
        "orphan" => detach(),
        // It leads a session. A member of the session has no ancestor in the family, and no mark.
        "session" => {
            setsid();
            leave_behind();
            wait();
        }
        // The same with a process group.
        "group" => {
            // SAFETY: plain numbers.
            unsafe { libc::setpgid(0, 0) };
            leave_behind();
            wait();
        }
        "unmarked" => wait(),
        // Other users cannot read its environment in /proc.
        "undumpable" => {
            // SAFETY: plain numbers.
            unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0) };
            wait();
        }
        // It has as many keys as its user may have.
        "keys" => {
            let add = |number: u32| {
                let name = std::ffi::CString::new(format!("gh-test-{number}")).unwrap();
                // SAFETY: two strings, and plain numbers: the call of add_key(2).
                unsafe {
                    libc::syscall(
                        libc::SYS_add_key,
                        c"user".as_ptr(),
                        name.as_ptr(),
                        c"x".as_ptr(),
                        1,
                        -3,
                    )
                }
            };
            let refused = (0..1_000_000).find(|number| add(*number) < 0);
            assert!(refused.is_some_and(|number| number > 10), "{refused:?}");
            wait();
        }
        "ignores-term" => {
            ignore_term();
            wait();
        }
        // Writes a line on SIGTERM, and exits after 50 ms.
        "exits-on-term" => {
            on_term(exit);
            wait();
        }
        // Writes a line on SIGTERM, and does not exit.
        "survives-term" => {
            on_term(report);
            wait();
        }
        "stopped" => {
            if fork() {
                write_pid();
                // SAFETY: plain numbers.
                unsafe { libc::raise(libc::SIGSTOP) };
                pause();
            }
            wait();
        }
        // It leads a separate group at one moment, and is in its parent's group at the next.
        "changes-group" => {
            if fork() {
                write_pid();
                // SAFETY: plain numbers.
                let above = unsafe { libc::getpgid(libc::getppid()) };
                loop {
                    // SAFETY: plain numbers.
                    unsafe {
                        libc::setpgid(0, 0);
                        libc::setpgid(0, above);
                    }
                }
            }
            wait();
        }
        // Its child has exited, and it does not reap the child.
        "zombie" => {
            if fork() {
                write_pid();
                return;
            }
            wait();
        }
        // Its child has become the user that owns this program. It must be executed with
        // set-user-ID.
        "other-user" => {
            // SAFETY: plain numbers.
            let (own, other) = unsafe { (libc::getuid(), libc::geteuid()) };
            assert_ne!(own, other);
            let become_user = |user| {
                // SAFETY: plain numbers.
                assert_eq!(unsafe { libc::setresuid(user, user, user) }, 0);
            };
            if fork() {
                become_user(other);
                wait();
            }
            become_user(own);
            wait();
        }
        // Starts a process with this pid, this user and another kind. It must be executed as root.
        "at" => {
            let pids = [number()];
            // struct clone_args of clone(2), up to set_tid_size.
            let arguments =
                [0_u64, 0, 0, 0, libc::SIGCHLD as u64, 0, 0, 0, pids.as_ptr() as u64, 1];
            // SAFETY: without a stack it is as fork(2); there is one thread.
            match unsafe {
                libc::syscall(libc::SYS_clone3, arguments.as_ptr(), size_of_val(&arguments))
            } {
                0 => {
                    let user = words[2].parse().unwrap();
                    let cause = Command::new(std::env::current_exe().unwrap())
                        .arg(&words[3])
                        .uid(user)
                        .env_clear()
                        .exec();
                    panic!("{cause}");
                }
                -1 => panic!("{}", std::io::Error::last_os_error()),
                _ => reap(),
            }
        }
        // The first thread exits; another one continues. With an argument, it writes a line on
        // SIGTERM and exits, or its parent has exited.
        "zombie-leader" => {
            match words.get(1).map(String::as_str) {
                Some("exits-on-term") => on_term(exit),
                Some("orphan") if !is_orphaned() => return,
                _ => {}
            }
            std::thread::spawn(|| {
                let first = format!("/proc/self/task/{}/stat", std::process::id());
                while !std::fs::read_to_string(&first).unwrap().contains(") Z ") {
                    std::thread::sleep(std::time::Duration::from_millis(1));
                }
                wait();
            });
            // SAFETY: ends only this thread; no other thread uses its stack.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
        // Every member forks as fast as it can; there are at most this number of processes, all in
        // one session or each in a separate session.
        "fork-bomb" | "fork-bomb-in-sessions" => {
            let scattering = words[0] == "fork-bomb-in-sessions";
            let most = libc::rlimit { rlim_cur: number().into(), rlim_max: number().into() };
            // SAFETY: it is read only.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const most) }, 0);
            write_pid();
            let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while std::time::Instant::now() < end {
                // SAFETY: there is one thread, and no call waits for the children.
                unsafe {
                    libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                    if libc::fork() == 0 && scattering {
                        libc::setsid();
                    }
                }
            }
        }
        kind => panic!("unknown kind {kind:?}"),
    }
}

/// Whether this is the child.
fn fork() -> bool {
    // SAFETY: there is one thread.
    match unsafe { libc::fork() } {
        -1 => panic!("{}", std::io::Error::last_os_error()),
        child => child == 0,
    }
}

fn setsid() {
    // SAFETY: no arguments.
    unsafe { libc::setsid() };
}

/// Leaves a grandchild in a separate session, whose parent has exited.
fn detach() {
    if is_orphaned() {
        wait();
    }
}

/// The same; returns whether this is the grandchild.
fn is_orphaned() -> bool {
    if fork() {
        setsid();
        if fork() {
            return true;
        }
        std::process::exit(0);
    }
    reap();
    false
}

/// Leaves a grandchild without a mark, whose parent has exited.
fn leave_behind() {
    if fork() {
        if fork() {
            let cause =
                Command::new(std::env::current_exe().unwrap()).arg("unmarked").env_clear().exec();
            panic!("{cause}");
        }
        std::process::exit(0);
    }
    reap();
}

fn reap() {
    // SAFETY: nothing is written.
    unsafe { libc::wait(std::ptr::null_mut()) };
}

fn ignore_term() {
    // SAFETY: no handler.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
}

fn on_term(handler: extern "C" fn(libc::c_int)) {
    // SAFETY: the handlers call nothing that a handler may not.
    unsafe { libc::signal(libc::SIGTERM, handler as libc::sighandler_t) };
}

extern "C" fn report(_: libc::c_int) {
    // SAFETY: it may be called by a handler (signal-safety(7)).
    unsafe { libc::write(1, c"asked\n".as_ptr().cast(), 6) };
}

extern "C" fn exit(signal: libc::c_int) {
    report(signal);
    // SAFETY: as above.
    unsafe {
        libc::usleep(50_000);
        libc::_exit(0);
    }
}

/// One write(2), so that lines of several processes do not mix.
fn write_pid() {
    std::io::stdout().write_all(format!("{}\n", std::process::id()).as_bytes()).unwrap();
}

fn pause() -> ! {
    // SAFETY: no pointers.
    unsafe { libc::alarm(120) };
    loop {
        // SAFETY: as above.
        unsafe { libc::pause() };
    }
}

fn wait() -> ! {
    write_pid();
    pause()
}
