//! Tries every way to make a file set-user-ID or set-group-ID, in the directory that is its first
//! argument. Prints one line for each way, with the error's number or 0. The last lines name the
//! entries that then have such bits. The system calls that take a plain path exist on x86 only.
#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::CString;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

fn main() {
    let place = PathBuf::from(std::env::args_os().nth(1).unwrap());
    let new = |name: &str| c_path(&place.join(name));
    for name in ["file", "open file"] {
        std::fs::write(place.join(name), "").unwrap();
    }
    std::fs::create_dir(place.join("directory")).unwrap();
    let file = new("file");
    #[cfg(target_arch = "x86_64")]
    let directory = new("directory");
    let open = std::fs::File::open(place.join("open file")).unwrap();
    let open = libc::c_long::from(open.as_raw_fd());
    let creates = libc::c_long::from(libc::O_CREAT | libc::O_WRONLY);
    let (here, none) = (libc::c_long::from(libc::AT_FDCWD), 0);
    for (bits, what) in [(0o4755, "uid"), (0o2755, "gid"), (0o6000, "both")] {
        let try_new = |way: &str, number, arguments: &dyn Fn(libc::c_long) -> [libc::c_long; 5]| {
            let path = new(&format!("{way} {what}"));
            call(&format!("{way} {what}"), number, arguments(path.as_ptr() as libc::c_long));
        };
        let path = file.as_ptr() as libc::c_long;
        #[cfg(target_arch = "x86_64")]
        call(&format!("chmod {what}"), libc::SYS_chmod, [path, bits, none, none, none]);
        call(&format!("fchmod {what}"), libc::SYS_fchmod, [open, bits, none, none, none]);
        call(&format!("fchmodat {what}"), libc::SYS_fchmodat, [here, path, bits, none, none]);
        call(&format!("fchmodat2 {what}"), 452, [here, path, bits, none, none]);
        #[cfg(target_arch = "x86_64")]
        call(
            &format!("chmod of a directory {what}"),
            libc::SYS_chmod,
            [directory.as_ptr() as libc::c_long, bits, none, none, none],
        );
        #[cfg(target_arch = "x86_64")]
        try_new("open", libc::SYS_open, &|path| [path, creates, bits, none, none]);
        try_new("openat", libc::SYS_openat, &|path| [here, path, creates, bits, none]);
        #[cfg(target_arch = "x86_64")]
        try_new("creat", libc::SYS_creat, &|path| [path, bits, none, none, none]);
        let regular = bits | libc::c_long::from(libc::S_IFREG);
        #[cfg(target_arch = "x86_64")]
        try_new("mknod", libc::SYS_mknod, &|path| [path, regular, none, none, none]);
        try_new("mknodat", libc::SYS_mknodat, &|path| [here, path, regular, none, none]);
        #[cfg(target_arch = "x86_64")]
        let nameless = libc::c_long::from(libc::O_TMPFILE | libc::O_WRONLY);
        #[cfg(target_arch = "x86_64")]
        call(
            &format!("open without a name {what}"),
            libc::SYS_open,
            [directory.as_ptr() as libc::c_long, nameless, bits, none, none],
        );
        // flags, mode, resolve
        let how = [creates.cast_unsigned(), bits.cast_unsigned(), 0_u64];
        try_new("openat2", libc::SYS_openat2, &|path| {
            [here, path, how.as_ptr() as libc::c_long, 24, none]
        });
        #[cfg(target_arch = "x86_64")]
        {
            let low = low(&file);
            let low_of = |way: &str| low_path(&place, way, what);
            call_32_bit(&format!("chmod32 {what}"), 15, [low, bits, none]);
            call_32_bit(&format!("fchmod32 {what}"), 94, [open, bits, none]);
            call_32_bit(&format!("open32 {what}"), 5, [low_of("open32"), creates, bits]);
            call_32_bit(&format!("creat32 {what}"), 8, [low_of("creat32"), bits, none]);
            call_32_bit(&format!("mknod32 {what}"), 14, [low_of("mknod32"), regular, none]);
            call_32_bit(&format!("fchmodat32 {what}"), 306, [here, low, bits]);
            call_32_bit(&format!("mknodat32 {what}"), 297, [here, low_of("mknodat32"), regular]);
            call_32_bit(&format!("fchmodat2 32 {what}"), 452, [here, low, bits]);
            call(
                &format!("chmod of x32 {what}"),
                0x4000_0000 + libc::SYS_chmod,
                [path, bits, none, none, none],
            );
        }
    }
    for number in [425, 426, 427] {
        call(&format!("io_uring {number}"), number, [none; 5]);
    }
    // Calls without such bits work as before, also with a mode that the kernel ignores.
    #[cfg(target_arch = "x86_64")]
    let path = file.as_ptr() as libc::c_long;
    #[cfg(target_arch = "x86_64")]
    call("plain chmod", libc::SYS_chmod, [path, 0o1755, none, none, none]);
    #[cfg(target_arch = "x86_64")]
    call(
        "plain open",
        libc::SYS_open,
        [path, libc::c_long::from(libc::O_RDONLY), 0o6000, none, none],
    );
    call(
        "plain openat",
        libc::SYS_openat,
        [here, new("plain").as_ptr() as libc::c_long, creates, 0o644, none],
    );
    #[cfg(target_arch = "x86_64")]
    call(
        "plain mkdir",
        libc::SYS_mkdir,
        [new("plain mkdir").as_ptr() as libc::c_long, 0o6755, none, none, none],
    );
    for entry in std::fs::read_dir(&place).unwrap().flatten() {
        let mode = entry.metadata().unwrap().permissions().mode();
        if mode & 0o6000 != 0 {
            println!("{:04o} {}", mode & 0o7777, entry.file_name().display());
        }
    }
}

fn c_path(path: &Path) -> CString {
    CString::new(path.as_os_str().as_encoded_bytes()).unwrap()
}

/// Makes a system call, and prints its result.
fn call(way: &str, number: libc::c_long, [a, b, c, d, e]: [libc::c_long; 5]) {
    // SAFETY: numbers, and pointers to memory that outlives the call; the kernel writes to none of
    // it.
    let status = unsafe { libc::syscall(number, a, b, c, d, e) };
    let cause =
        if status < 0 { std::io::Error::last_os_error().raw_os_error().unwrap() } else { 0 };
    println!("{way}: {cause}");
}

/// The same as a 32-bit program does it.
#[cfg(target_arch = "x86_64")]
fn call_32_bit(way: &str, number: libc::c_long, [a, b, c]: [libc::c_long; 3]) {
    let mut status = number;
    // SAFETY: as above; pointers are below 4 GiB. The compiler keeps rbx for itself.
    unsafe {
        std::arch::asm!(
            "xchg {b}, rbx", "int 0x80", "xchg {b}, rbx",
            b = inout(reg) a => _, inout("rax") status,
            in("rcx") b, in("rdx") c, in("rsi") 0, in("rdi") 0,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
    let status = status as i32;
    println!("{way}: {}", if status < 0 { -status } else { 0 });
}

/// Copies a path to an address that a 32-bit program can use.
#[cfg(target_arch = "x86_64")]
fn low(path: &CString) -> libc::c_long {
    let bytes = path.as_bytes_with_nul();
    // SAFETY: a new mapping, large enough for what is copied to it.
    unsafe {
        let room = libc::mmap(
            std::ptr::null_mut(),
            4096,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_32BIT,
            -1,
            0,
        );
        assert!(room != libc::MAP_FAILED && bytes.len() <= 4096);
        std::ptr::copy_nonoverlapping(bytes.as_ptr(), room.cast(), bytes.len());
        room as libc::c_long
    }
}

#[cfg(target_arch = "x86_64")]
fn low_path(place: &Path, way: &str, what: &str) -> libc::c_long {
    low(&c_path(&place.join(format!("{way} {what}"))))
}
