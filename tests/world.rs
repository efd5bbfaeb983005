//! The closed world of a payload: what it sees, writes and leaves, by an observer inside and one
//! outside; by `glexec` without privilege.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use support::glexec::Rootless;
use support::pilot::stdout_of;
use support::world::{MACHINE, writes_to};
use support::{Account, failed, messages, own, succeeded, wait_until, write};

/// A call of `glexec` with the closed world.
fn closed(rootless: &Rootless, options: &[&str]) -> Command {
    let mut call = rootless.glexec();
    call.current_dir("/").args(["--world", "closed"]).args(options).arg("--");
    call
}

/// The output of a shell script in the closed world.
fn shell(rootless: &Rootless, options: &[&str], script: &str) -> Output {
    closed(rootless, options).args(["/bin/sh", "-c", script]).output().unwrap()
}

/// What a script prints that succeeds.
fn says(rootless: &Rootless, options: &[&str], script: &str) -> String {
    let output = shell(rootless, options, script);
    succeeded(&output);
    stdout_of(&output).trim().to_owned()
}

/// A directory of the batch user's with this mode.
fn directory(site: &support::Site, name: &str, mode: u32) -> PathBuf {
    let path = site.scratch().join(name);
    fs::create_dir(&path).unwrap();
    own(&path, Account::batch());
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn a_payload_writes_to_its_private_directories_and_named_ones_alone() {
    let rootless = Rootless::new();
    let (named, other) =
        (directory(&rootless.site, "named", 0o777), directory(&rootless.site, "other", 0o777));
    let (named, seen) = (named.to_str().unwrap(), other.to_str().unwrap());
    let script = writes_to(&format!("{MACHINE} {seen} {named} /tmp /var/tmp /dev/shm"));
    let written = says(&rootless, &["--writable", named, "--read-only", seen], &script);
    assert_eq!(written, format!("{named}\n/tmp\n/var/tmp\n/dev/shm"));
    assert!(Path::new(named).join("by-payload").exists());
    for outside in ["/tmp", "/var/tmp", "/dev/shm", seen] {
        assert!(!Path::new(outside).join("by-payload").exists(), "{outside}");
    }
}

#[test]
fn a_payload_has_a_name_and_sees_its_own_processes() {
    let rootless = Rootless::new();
    let script = "id -un; id -gn; echo $USER; echo ~; set -- /proc/[1-9]*; echo $#";
    // The guard and the shell.
    assert_eq!(says(&rootless, &[], script), "payload\npayload\npayload\n/\n2");
}

#[test]
fn a_call_that_joins_a_lease_has_processes_and_directories_of_its_own() {
    let rootless = Rootless::new();
    let mut first = closed(&rootless, &[]);
    first.args(["/bin/sh", "-c", "touch /tmp/first; echo begun; read x"]);
    let mut first = first.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(first.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    let script = "id -u; ls /tmp; set -- /proc/[1-9]*; echo $#";
    let second = says(&rootless, &[], script);
    let (user, rest) = second.split_once('\n').unwrap();
    // The guard and the shell.
    assert_eq!(rest, "2");
    // The same lease, and the first payload is not disturbed.
    let shared = rootless.glexec().args(["/bin/sh", "-c", "id -u"]).output().unwrap();
    assert_eq!(stdout_of(&shared).trim(), user);
    first.stdin.take().unwrap().write_all(b"\n").unwrap();
    assert!(first.wait().unwrap().success());
}

#[test]
fn homes_sockets_and_other_accounts_directories_are_not_there() {
    let rootless = Rootless::new();
    let script = "ls -A /home /root /run/dbus /run/user /run/nscd 2>/dev/null | grep -v :; :";
    assert_eq!(says(&rootless, &[], script), "");
    let private = directory(&rootless.site, "hidden", 0o755);
    write(private.join("file"), "secret", 0o644);
    let (path, file) = (private.to_str().unwrap(), private.join("file"));
    let hide = ["--read-only", path, "--hide", path];
    // What is named to be seen is seen, also in what is hidden.
    assert_eq!(says(&rootless, &hide, &format!("cat {}", file.display())), "secret");
    let hide = ["--hide", "/usr/share", "--hide", "/etc/hostname"];
    assert_eq!(says(&rootless, &hide, "ls -A /usr/share; cat /etc/hostname"), "");
}

#[test]
fn a_file_is_seen_where_the_caller_says_also_where_the_machine_has_no_such_place() {
    let rootless = Rootless::new();
    let from = directory(&rootless.site, "from", 0o777);
    write(from.join("file"), "content", 0o644);
    let from = from.to_str().unwrap();
    for at in ["/new", "/usr/new/deep", "/opt/x", "/tmp/x/y", "/etc/x"] {
        let bind = format!("{from}:{at}");
        let script = format!(
            "cat {at}/file; touch {at}/mine 2>/dev/null && echo written; \
                              ls -d /usr/bin /etc/passwd /bin/sh >/dev/null"
        );
        assert_eq!(says(&rootless, &["--read-only", &bind], &script), "content", "{at}");
        assert!(!Path::new(at).exists());
        let seen = says(&rootless, &["--bind", &bind], &script);
        assert_eq!(seen, "contentwritten", "{at}");
        fs::remove_file(Path::new(from).join("mine")).unwrap();
    }
    let file = format!("{from}/file:/etc/new-file");
    assert_eq!(says(&rootless, &["--read-only", &file], "cat /etc/new-file"), "content");
}

#[test]
fn a_payload_cannot_change_its_mounts() {
    let rootless = Rootless::new();
    for attempt in [
        "mount -t tmpfs x /mnt",
        "mount -o remount,rw /",
        "mount -o remount,bind,rw /usr",
        "umount /tmp",
        "umount -l /home",
        "unshare --user --map-root-user --mount true",
        "mount --bind / /tmp",
        "chroot / true",
        "nsenter --mount=/proc/1/ns/mnt true",
    ] {
        let output = shell(&rootless, &[], attempt);
        assert!(!output.status.success(), "{attempt}: {}", messages(&output));
    }
    // With namespaces of its own it cannot uncover what is below, either.
    let nested = "unshare --user --map-root-user --mount sh -c \
                  'umount /home || umount /tmp || mount -o remount,bind,rw /usr'";
    let output = shell(&rootless, &["--nested"], nested);
    assert!(!output.status.success(), "{}", messages(&output));
}

#[test]
fn no_path_leads_out_of_the_root() {
    let rootless = Rootless::new();
    let script = "test / -ef /.. && test / -ef /../../.. && test / -ef /proc/self/root && \
                  ! ls /proc/1/root/ 2>/dev/null && ! ls /proc/1/cwd/ 2>/dev/null";
    succeeded(&shell(&rootless, &[], script));
    // An open directory would lead out: it is not passed on.
    let mut call = closed(&rootless, &[]);
    let call = call.args(["/bin/true"]).stdin(fs::File::open("/").unwrap());
    failed(&call.output().unwrap(), 201, &["descriptor 0 is a directory"]);
}

#[test]
fn a_hard_link_to_what_is_read_only_cannot_be_made() {
    let rootless = Rootless::new();
    let directory = directory(&rootless.site, "both", 0o777);
    let (own, other) = (directory.join("own"), directory.join("other"));
    for path in [&own, &other] {
        fs::create_dir(path).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o777)).unwrap();
    }
    // A file of the payload's, so that no protection of links forbids it.
    let options = ["--writable", other.to_str().unwrap()];
    succeeded(&shell(&rootless, &options, &format!("echo x >{}/file", other.display())));
    let options = ["--writable", own.to_str().unwrap(), "--read-only", other.to_str().unwrap()];
    let script = format!("ln {}/file {}/link", other.display(), own.display());
    failed(&shell(&rootless, &options, &script), 1, &["Invalid cross-device link"]);
}

#[test]
fn nothing_that_is_shared_in_memory_leaves_the_world() {
    let rootless = Rootless::new();
    let names = "ls /dev/shm /dev/mqueue; ipcs -m | grep -c 0x";
    let before = Command::new("sh").args(["-c", names]).output().unwrap().stdout;
    let script = "ipcmk -M 4096 >/dev/null; ipcmk -S 1 >/dev/null; ipcs -m | grep -c 0x; \
                  echo x >/dev/shm/by-payload; ls /dev/mqueue; hostname";
    let hostname = fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    assert_eq!(says(&rootless, &[], script), format!("1\n{}", hostname.trim()));
    assert_eq!(Command::new("sh").args(["-c", names]).output().unwrap().stdout, before);
}

#[test]
fn without_a_network_there_is_loopback_alone() {
    let rootless = Rootless::new();
    let script = "ls /sys/class/net >/dev/null; tail -n +3 /proc/net/dev | cut -d: -f1; \
                  python3 -c 'import socket; s = socket.socket(); s.bind((\"127.0.0.1\", 0)); \
                  s.listen(1); socket.create_connection(s.getsockname()); print(\"connected\")'";
    let seen = says(&rootless, &["--network", "none"], script);
    assert_eq!(seen.split_whitespace().collect::<Vec<_>>(), ["lo", "connected"]);
}

#[test]
fn a_full_private_directory_is_an_error_of_its_payload_alone() {
    let rootless = Rootless::new();
    let script = "dd if=/dev/zero of=/tmp/fill bs=64k 2>&1 | grep -o 'No space left'; \
                  i=0; while true >/var/tmp/$i; do i=$((i + 1)); done 2>/dev/null; \
                  rm /tmp/fill; echo more >/tmp/again && cat /tmp/again";
    let full = says(&rootless, &["--tmp-size", "4M"], script);
    assert_eq!(full, "No space left\nmore");
    succeeded(&shell(&rootless, &[], "dd if=/dev/zero of=/tmp/x bs=1M count=64 2>/dev/null"));
}

#[test]
fn devices_are_the_harmless_ones_and_those_that_are_named() {
    let rootless = Rootless::new();
    let harmless = "core\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\n\
                    tty\nurandom\nzero";
    assert_eq!(says(&rootless, &[], "ls /dev"), harmless);
    let script = "echo x >/dev/null; head -c 3 /dev/zero | wc -c; ls /dev/kmsg; \
                  python3 -c 'import pty; print(len(pty.openpty()))'";
    assert_eq!(says(&rootless, &["--device", "/dev/kmsg"], script), "3\n/dev/kmsg\n2");
    let none = shell(&rootless, &["--device", "/dev/none"], "true");
    failed(&none, 201, &["/dev/none", "ENOENT"]);
    failed(&shell(&rootless, &["--device", "/dev/stdin"], "true"), 201, &["/dev/stdin", "ELOOP"]);
    failed(&shell(&rootless, &["--device", "/dev/pts"], "true"), 201, &["not a device"]);
}

#[test]
fn a_root_directory_is_read_only_and_has_the_sandbox_and_the_kernels_files() {
    let rootless = Rootless::new();
    let image = directory(&rootless.site, "image", 0o755);
    for name in ["bin", "lib", "lib64", "sbin"] {
        std::os::unix::fs::symlink(Path::new("usr").join(name), image.join(name)).unwrap();
    }
    for name in ["usr", "etc", "tmp", "dev", "proc"] {
        fs::create_dir(image.join(name)).unwrap();
    }
    write(image.join("etc/os-release"), "ID=image\n", 0o644);
    write(image.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n", 0o644);
    support::own(&image, Account::batch());
    let (image, bind) = (image.to_str().unwrap(), "/usr:/usr");
    let script = format!(
        "cat /etc/os-release; id -un; ls / | tr '\\n' ' '; {}; ls /dev/null; test / -ef /..; \
         head -1 /etc/passwd",
        writes_to("/ /etc /usr /tmp /var/tmp /dev/shm")
    );
    let seen = says(&rootless, &["--root", image, "--read-only", bind], &script);
    assert_eq!(
        seen,
        "ID=image\npayload\nbin dev etc lib lib64 proc sbin sys tmp usr var \
         /tmp\n/var/tmp\n/dev/shm\n\
         /dev/null\nroot:x:0:0::/root:/bin/sh"
    );
}

#[test]
fn what_cannot_be_in_a_world_is_a_usage_error() {
    let rootless = Rootless::new();
    let link = rootless.site.scratch().join("link");
    std::os::unix::fs::symlink("/usr", &link).unwrap();
    own(&link, Account::job());
    for (options, words) in [
        (&["--writable", "/none"][..], &["/none", "ENOENT"][..]),
        (&["--writable", "relative"], &["--writable", "absolute"]),
        (&["--writable", link.to_str().unwrap()], &["neither root's nor yours"]),
        (&["--tmp-size", "little"], &["--tmp-size", "little"]),
        (&["--network", "host"], &["--network", "machine or none"]),
        (&["--cwd", "/none"], &["/none", "--cwd"]),
    ] {
        failed(&shell(&rootless, options, "true"), 201, words);
    }
    let mut call = rootless.glexec();
    let shared = call.args(["--world", "shared", "--hide", "/usr", "--", "/bin/true"]).output();
    failed(&shared.unwrap(), 201, &["--hide", "--world shared"]);
}

#[test]
fn glexec_gives_the_machines_world_unless_it_is_asked() {
    let rootless = Rootless::new();
    let open = directory(&rootless.site, "open", 0o777);
    let touch = |call: &mut Command| {
        let script = format!("touch {}/mine", open.display());
        call.args(["/bin/sh", "-c", &script]).output().unwrap()
    };
    succeeded(&touch(&mut rootless.glexec()));
    fs::remove_file(open.join("mine")).unwrap();
    let refused = touch(rootless.glexec().current_dir("/").env("GLEXEC_WORLD", "closed"));
    assert!(!refused.status.success() && !open.join("mine").exists());
    failed(&touch(rootless.glexec().env("GLEXEC_WORLD", "x")), 201, &["GLEXEC_WORLD", "closed"]);
}

#[test]
fn no_mount_is_left_on_the_machine_after_many_runs() {
    let rootless = Rootless::new();
    let mounts = || fs::read_to_string("/proc/self/mountinfo").unwrap();
    let before = mounts();
    let namespaces: Vec<PathBuf> =
        (0..20).map(|_| says(&rootless, &[], "readlink /proc/self/ns/mnt").into()).collect();
    assert_eq!(mounts(), before);
    wait_until("no process is in one of the namespaces", || {
        fs::read_dir("/proc").unwrap().flatten().all(|process| {
            fs::read_link(process.path().join("ns/mnt"))
                .map_or(true, |namespace| !namespaces.contains(&namespace))
        })
    });
}
