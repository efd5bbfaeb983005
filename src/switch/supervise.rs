//! What the caller's own process does while a payload runs: it hands every signal on, and waits.

use std::fs::File;
use std::io::Read as _;

use crate::sys::process;
use crate::sys::signal::{self, SIGCHLD, SIGCONT, SIGKILL, SIGTSTP, SIGTTIN, SIGTTOU};

/// Waits for the end of a guard, and returns the status that it tells: the payload's.
pub fn until_end(guard: i32, mut ended: File) -> u8 {
    loop {
        let Ok(told) = signal::wait() else { continue };
        match told.number {
            SIGCHLD => {
                if process::reap_if_ended(guard) {
                    break;
                }
            }
            // The guard has a signal of its own for that: this one would stop nobody who is in no session of a shell's.
            SIGTSTP | SIGTTIN | SIGTTOU => {
                let _ = signal::send_by_number(guard, SIGTSTP);
                signal::stop_self();
                let _ = signal::send_by_number(guard, SIGCONT);
            }
            number => {
                let _ = signal::send_by_number(guard, number);
            }
        }
    }
    let mut status = [0; 4];
    match ended.read_exact(&mut status) {
        Ok(()) => u8::try_from(i32::from_ne_bytes(status)).unwrap_or(u8::MAX),
        // Somebody has killed the guard, and with it everything below.
        Err(_) => 128 + SIGKILL as u8,
    }
}
