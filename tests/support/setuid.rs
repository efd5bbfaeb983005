//! `glexec` set-user-ID root, in a private mount namespace of a test: with an /etc of its own above
//! this machine's, and a /dev with a system log that the test reads.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use super::installation::PROGRAMS;
use super::{Account, Site, own, program, write};

/// $0 is the directory of the built programs, $1 the socket of the log; the names of programs
/// follow. Only root can change what is on the path of the programs, as when they are installed.
const MOUNT: &str = r#"
    built=$0 log=$1
    shift
    mount -t tmpfs -o mode=755 tmpfs /mnt
    mkdir /mnt/etc /mnt/work /mnt/libexec /mnt/dev
    mount -t overlay -o lowerdir=/etc,upperdir=/mnt/etc,workdir=/mnt/work overlay /etc
    rm -rf /etc/glexec.conf /etc/glexec.conf.d /etc/glexec
    mkdir -p /run/glexec
    mount -t tmpfs -o mode=755 tmpfs /run/glexec
    # The audit of the account daemon.
    mount -t tmpfs -o mode=755 tmpfs /var/log
    # Of the program that verifies only what a test has built before.
    for name; do [ ! -e "$built/$name" ] || cp "$built/$name" /mnt/libexec/; done
    chmod 755 /mnt/libexec/*
    chmod 711 /mnt/libexec/condor_glexec_agent
    chmod 4755 /mnt/libexec/glexec
    cd /mnt/dev
    for device in null zero full random urandom tty; do
        : >"$device"
        mount --bind "/dev/$device" "$device"
    done
    mkdir pts shm
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts pts
    ln -s pts/ptmx ptmx
    ln -s /proc/self/fd fd
    mount -t tmpfs -o mode=1777 shm shm
    : >log
    mount --bind "$log" log
    mount --rbind /mnt/dev /dev
    echo ready
    exec cat
"#;

/// Where the programs are.
pub const LIBEXEC: &str = "/mnt/libexec";

/// A site with `glexec` of root's. It is removed on drop.
pub struct Setuid {
    pub site: Site,
    /// A process in the mount namespace.
    holder: Child,
    socket: PathBuf,
    packets: Receiver<String>,
}

/// A configuration with which the batch user may run commands as the job user.
pub const CONFIGURATION: &str = "\
[glexec]
mapping = caller
user_white_list = gh-batch
min_uid = 900
min_gid = 900
";

impl Setuid {
    /// With a configuration that maps the batch user's credentials to the job user, and these lines
    /// after it.
    pub fn with(lines: &str) -> Setuid {
        let setuid = Setuid::without_configuration();
        setuid.configure(&format!("{CONFIGURATION}{lines}"));
        setuid.write("/etc/glexec.caller-map", "gh-batch / gh-job\n");
        setuid
    }

    pub fn new() -> Setuid {
        Setuid::with("")
    }

    pub fn without_configuration() -> Setuid {
        let site = Site::new();
        let credential = site.scratch().join("credential");
        write(&credential, "a token\n", 0o600);
        own(&credential, Account::batch());
        let socket = site.path().join("log");
        let packets = receive(UnixDatagram::bind(&socket).unwrap());
        let mut unshare = Command::new("unshare");
        unshare.args(["--mount", "--propagation", "private", "sh", "-euc", MOUNT]);
        unshare.arg(program("glexec").parent().unwrap()).arg(&socket).args(PROGRAMS);
        let mut holder = unshare
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("unshare of util-linux");
        let mut line = String::new();
        BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the namespace cannot be made: see the message of mount");
        Setuid { site, holder, socket, packets }
    }

    /// The path, in this process's namespace, of an absolute path in the test's.
    pub fn path(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root", self.holder.id())).join(path.trim_start_matches('/'))
    }

    /// Writes a file of root's there, mode 0644.
    pub fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        write(self.path(path), content, 0o644);
    }

    /// Replaces the configuration.
    pub fn configure(&self, text: &str) {
        self.write("/etc/glexec.conf", text);
    }

    /// A command there as an account, without supplementary groups, in the root directory and with
    /// few variables.
    pub fn command(&self, account: Account, program: impl AsRef<OsStr>) -> Command {
        self.command_with_groups(account, &[], program)
    }

    /// The same with these supplementary groups.
    pub fn command_with_groups(
        &self,
        account: Account,
        groups: &[u32],
        program: impl AsRef<OsStr>,
    ) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--mount=/proc/{}/ns/mnt", self.holder.id())).arg("setpriv");
        command.args([format!("--reuid={}", account.uid), format!("--regid={}", account.gid)]);
        match groups {
            [] => command.arg("--clear-groups"),
            groups => {
                let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
                command.arg(format!("--groups={}", groups.join(",")))
            }
        };
        command.arg("--").arg(program).env_clear().env("PATH", "/usr/bin:/bin");
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    /// The credential of the batch user.
    pub fn credential(&self) -> PathBuf {
        self.site.scratch().join("credential")
    }

    /// The switcher as the batch user, with the credential; without a command.
    pub fn glexec(&self) -> Command {
        self.glexec_as(Account::batch())
    }

    /// The same as another account.
    pub fn glexec_as(&self, account: Account) -> Command {
        let mut command = self.command(account, Path::new(LIBEXEC).join("glexec"));
        command.env("GLEXEC_CLIENT_CERT", self.credential());
        command
    }

    /// A shell of the batch user, with the credential: for calls after something that a shell does.
    /// `$GLEXEC` is the switcher.
    pub fn shell(&self, script: &str) -> Command {
        let mut command = self.command(Account::batch(), "/bin/sh");
        command.args(["-c", script]);
        command.env("GLEXEC", Path::new(LIBEXEC).join("glexec"));
        command.env("GLEXEC_CLIENT_CERT", self.credential());
        command
    }

    /// Runs a shell script as a payload.
    pub fn runs(&self, script: &str) -> Output {
        self.glexec().args(["/bin/sh", "-c", script]).output().unwrap()
    }

    /// What a payload that succeeds prints, without the last newline.
    pub fn says(&self, script: &str) -> String {
        let output = self.runs(script);
        let messages = super::messages(&output);
        assert_eq!((output.status.code(), messages.as_str()), (Some(0), ""), "{script}");
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// The packets that the system log has got and that were not asked for yet.
    pub fn logged(&self) -> Vec<String> {
        const LAST: &str = "the last one";
        UnixDatagram::unbound().unwrap().send_to(LAST.as_bytes(), &self.socket).unwrap();
        let next = || self.packets.recv_timeout(super::TIMEOUT).unwrap();
        std::iter::from_fn(|| Some(next()).filter(|packet| packet != LAST)).collect()
    }
}

/// Reads packets at once: a socket takes only few, and its writers wait.
fn receive(log: UnixDatagram) -> Receiver<String> {
    let (sender, packets) = channel();
    std::thread::spawn(move || {
        let mut packet = [0; 8192];
        while let Ok(length) = log.recv(&mut packet) {
            let text = String::from_utf8_lossy(&packet[..length]).into_owned();
            if sender.send(text).is_err() {
                break;
            }
        }
    });
    packets
}

impl Drop for Setuid {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Waits for the end of a child, at most [`super::TIMEOUT`].
pub fn ends(child: &mut Child) -> std::process::ExitStatus {
    let mut status = None;
    super::wait_until("the process ends", || {
        status = child.try_wait().unwrap();
        status.is_some()
    });
    status.unwrap()
}
