//! A family of processes, as jobs have them. The first word says of what kind; each member writes a
//! line with its number once it is as it should be, and then waits to be killed (two minutes at
//! most, so that a failed test leaves nobody).
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
        // It leads a session with a child in it, and ends.
        "leader-exits" => {
            setsid();
            if fork() {
                wait();
            }
        }
        // The first one has a grandchild in a session of its own, which has lost its parent.
        "detached" => {
            detach();
            wait();
        }
        // The same, but the first one ends, too: nobody is left of whom it descends.
        "orphan" => detach(),
        // It leads a session, and a member of that descends from nobody and has no mark.
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
        // It does not show with which environment it was started.
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
        // Says that it was asked to end, and takes a moment.
        "exits-on-term" => {
            on_term(leave);
            wait();
        }
        // Says that it was asked to end, and stays.
        "survives-term" => {
            on_term(stay);
            wait();
        }
        "stopped" => {
            if fork() {
                say();
                // SAFETY: plain numbers.
                unsafe { libc::raise(libc::SIGSTOP) };
                pause();
            }
            wait();
        }
        // It leads a group of its own at one moment, and is in its parent's at the next.
        "changes-group" => {
            if fork() {
                say();
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
        // Its child has ended, and it does not care.
        "zombie" => {
            if fork() {
                say();
                return;
            }
            wait();
        }
        // Its child has become the user that this program belongs to; to be executed with
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
        // Has this number, is this user's, and of another kind; to be executed as root.
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
        // The first thread ends; another one goes on. It says that it was asked to end, or has lost
        // its parent, if it is told to.
        "zombie-leader" => {
            match words.get(1).map(String::as_str) {
                Some("exits-on-term") => on_term(leave),
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
            // SAFETY: ends this thread alone; nothing on its stack is anybody else's.
            unsafe { libc::syscall(libc::SYS_exit, 0) };
        }
        // Every member has children as fast as it can, all together at most as many as this; or
        // each in a session of its own.
        "fork-bomb" | "fork-bomb-in-sessions" => {
            let scattering = words[0] == "fork-bomb-in-sessions";
            let most = libc::rlimit { rlim_cur: number().into(), rlim_max: number().into() };
            // SAFETY: it is read only.
            assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NPROC, &raw const most) }, 0);
            say();
            let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
            while std::time::Instant::now() < end {
                // SAFETY: there is one thread; nobody waits for the children.
                unsafe {
                    libc::signal(libc::SIGCHLD, libc::SIG_IGN);
                    if libc::fork() == 0 && scattering {
                        libc::setsid();
                    }
                }
            }
        }
        kind => panic!("{kind:?} is not known"),
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

/// Leaves a grandchild in a session of its own to whoever adopts it.
fn detach() {
    if is_orphaned() {
        wait();
    }
}

/// The same; whether this is the grandchild.
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

/// Leaves a grandchild without a mark to whoever adopts it.
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

extern "C" fn stay(_: libc::c_int) {
    // SAFETY: it may be called by a handler (signal-safety(7)).
    unsafe { libc::write(1, c"asked\n".as_ptr().cast(), 6) };
}

extern "C" fn leave(signal: libc::c_int) {
    stay(signal);
    // SAFETY: as above.
    unsafe {
        libc::usleep(50_000);
        libc::_exit(0);
    }
}

/// One write, so that lines of several processes do not mix.
fn say() {
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
    say();
    pause()
}
