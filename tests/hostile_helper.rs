//! A hostile helper of the real agent: the job user's entries beside the sandbox are unchanged,
//! nothing is left beside the sandbox, and the agent ends.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{IoSlice, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use nix::sys::signal::{Signal, kill};
use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};
use nix::unistd::Pid;
use support::families::state;
use support::handover::{AGENT, filled, handed_over};
use support::snapshot::{Snapshot, snapshot};
use support::{Account, PROXY, Site, messages, own, program, wait_until, write};
use sys::{Name, Time};
use wire::frame::VERSION;
use wire::{Attributes, Dropped, Frame, Links, Totals};

const ATTRIBUTES: Attributes =
    Attributes { mode: 0o755, modified: Time { seconds: 0, nanoseconds: 0 } };

fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).unwrap()
}

fn placed() -> Frame<'static> {
    Frame::File { name: name(b"placed"), number: 0 }
}

fn close() -> Frame<'static> {
    Frame::Close { size: 0, attributes: ATTRIBUTES }
}

fn end(files: u64) -> Frame<'static> {
    let totals = Totals { files, ..Totals::default() };
    Frame::End { attributes: ATTRIBUTES, totals, dropped: Dropped::default() }
}

fn bytes_of(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

/// How the helper ends the conversation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It sends nothing more, and reads until the agent ends.
    Hears,
    /// It has ended, and has not read an answer.
    Gone,
}

/// A sandbox of the job user, one of the batch user, and other files of the job user beside them.
struct Scene {
    site: Site,
    used: PathBuf,
    fresh: PathBuf,
}

impl Scene {
    fn new() -> Scene {
        let site = Site::new();
        let (used, fresh) = (handed_over(&site, "used"), filled(&site, "fresh"));
        let precious = site.execute().join("precious");
        fs::create_dir(&precious).unwrap();
        write(precious.join("file"), "the job user's", 0o600);
        symlink(precious.join("file"), used.join("placed link")).unwrap();
        fs::create_dir(used.join("placed directory")).unwrap();
        own(&precious, Account::job());
        own(&used, Account::job());
        Scene { site, used, fresh }
    }

    fn all(&self) -> Snapshot {
        let mut all = snapshot(&self.site.execute());
        all.remove(Path::new(""));
        all
    }

    /// Sends everything at once to an agent for the sandbox; returns the agent's answer after its
    /// greeting, when it has ended.
    fn answer(&self, sandbox: &Path, words: &[u8], beside: &[RawFd], end: End) -> Vec<u8> {
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        // All of it is in the agent's queue before the agent starts.
        let (control, none) = ([ControlMessage::ScmRights(beside)], []);
        let control = if beside.is_empty() { &none[..] } else { &control[..] };
        let sent = sendmsg::<()>(
            ours.as_raw_fd(),
            &[IoSlice::new(words)],
            control,
            MsgFlags::empty(),
            None,
        );
        assert_eq!(sent, Ok(words.len()));
        if end == End::Gone {
            drop(ours);
            ours = UnixStream::pair().unwrap().0;
        } else {
            ours.shutdown(std::net::Shutdown::Write).unwrap();
        }
        let mut agent = Account::job().command(program(AGENT));
        agent.arg("serve").arg(sandbox).stdin(OwnedFd::from(theirs)).stderr(Stdio::piped());
        let mut agent = agent.spawn().unwrap();
        let mut answers = Vec::new();
        if end == End::Hears {
            ours.read_to_end(&mut answers).unwrap();
            answers = answers.split_off(bytes_of(&[Frame::Hello { version: 0 }]).len());
        }
        wait_until("the agent has ended", || agent.try_wait().unwrap().is_some());
        let output = agent.wait_with_output().unwrap();
        assert!(messages(&output).lines().count() <= 1, "{}", messages(&output));
        answers
    }

    /// The same; everything must be unchanged. The answer must contain the word, if there is one.
    fn changes_nothing(
        &self,
        what: &str,
        sandbox: &Path,
        words: &[u8],
        beside: &[RawFd],
        word: &str,
    ) {
        let before = self.all();
        for how in [End::Hears, End::Gone] {
            let answers = self.answer(sandbox, words, beside, how);
            let text = answers.escape_ascii().to_string();
            assert!(how == End::Gone || text.contains(word), "{what}: {word:?} is not in {text:?}");
            assert_eq!(self.all(), before, "{what}, and the helper {how:?}");
        }
    }
}

#[test]
fn requests_out_of_order_change_nothing() {
    let scene = Scene::new();
    let receive = [Frame::Upload, placed(), close(), end(1)];
    let two = [&receive[..], &[Frame::Upload]].concat();
    let retire = [&receive[..], &[Frame::Retire]].concat();
    for (what, frames, word) in [
        ("nothing to name", &[Frame::Publish][..], "nothing to publish"),
        ("nothing to delete", &[Frame::Delete, Frame::Publish], "nothing to publish"),
        ("two copies", &two, "a second copy"),
        ("a copy and a sandbox", &retire, "two things"),
        ("an answer", &[Frame::Done], "out of turn"),
        ("a record", &[placed()], "out of turn"),
        ("a greeting", &[Frame::Hello { version: VERSION }], "out of turn"),
        ("a failure", &[Frame::Failed { text: b"no" }], "out of turn"),
        ("a descriptor's content", &[Frame::Content { size: 1 }], "out of turn"),
        ("the end of a family that is not watched", &[Frame::EndFamily], "out of turn"),
    ] {
        scene.changes_nothing(what, &scene.used, &bytes_of(frames), &[], word);
    }
    // The name is taken by the sandbox itself.
    let publish = [&receive[..], &[Frame::Publish]].concat();
    scene.changes_nothing("a second sandbox", &scene.used, &bytes_of(&publish), &[], "EEXIST");
}

#[test]
fn a_proxy_is_put_into_the_sandbox_and_nowhere_else() {
    let scene = Scene::new();
    let put = |name: &'static [u8]| {
        bytes_of(&[Frame::PutProxy { name: Name::new(name).unwrap(), content: b"new" }])
    };
    let before = scene.all();
    scene.answer(&scene.used, &put(b"placed link"), &[], End::Hears);
    let mut after = scene.all();
    assert_eq!(fs::read(scene.used.join("placed link")).unwrap(), b"new");
    // The link has been removed, and the file that it led to is unchanged.
    for path in ["used", "used/placed link"] {
        after.insert(path.into(), before[Path::new(path)].clone());
    }
    assert_eq!(after, before);
    scene.changes_nothing("a directory", &scene.used, &put(b"placed directory"), &[], "EISDIR");
    for bad in [&b"\x02.."[..], b"\x10/etc/passwd", b"\x0d../fresh/input", b"\x00"] {
        let length = u32::try_from(bad.len() + 1).unwrap().to_le_bytes();
        scene.changes_nothing(
            "a path",
            &scene.used,
            &[&length[..], &[6], bad].concat(),
            &[],
            "malformed",
        );
    }
}

#[test]
fn a_sandbox_of_another_user_is_neither_read_nor_moved_nor_written_to() {
    let scene = Scene::new();
    let give = Frame::Download { links: Links::Keep, except: name(b"none") };
    let put = Frame::PutProxy { name: name(PROXY.as_bytes()), content: b"new" };
    for (frame, word) in
        [(give, "belongs to uid"), (Frame::Measure, "belongs to uid"), (put, "belongs to uid")]
    {
        scene.changes_nothing(&format!("{frame:?}"), &scene.fresh, &bytes_of(&[frame]), &[], word);
    }
    scene.changes_nothing(
        "moving",
        &scene.fresh,
        &bytes_of(&[Frame::Retire, Frame::Delete]),
        &[],
        "EPERM",
    );
    let link = scene.site.execute().join("placed");
    symlink(&scene.used, &link).unwrap();
    Account::other().owns(&link);
    scene.changes_nothing("a link", &link, &bytes_of(&[give]), &[], "ENOTDIR");
}

#[test]
fn an_invalid_tree_leaves_nothing_beside_the_sandbox() {
    let scene = Scene::new();
    let words = |frames: &[Frame<'_>]| bytes_of(&[&[Frame::Upload], frames].concat());
    let up = Frame::Up { attributes: ATTRIBUTES };
    let kept = Frame::File { name: name(b"placed"), number: 7 };
    let climbing = [&words(&[])[..], &[4, 0, 0, 0, 16, 2, b'.', b'.']].concat();
    for (what, bytes, word) in [
        ("wrong totals", words(&[placed(), close(), end(2)]), "totals"),
        ("the same name twice", words(&[placed(), close(), placed()]), "EEXIST"),
        ("up above the top", words(&[up]), "out of turn"),
        (
            "a link to nothing",
            words(&[kept, close(), Frame::Link { name: name(b"b"), number: 8 }]),
            "ENOENT",
        ),
        ("a name that climbs", climbing, "malformed"),
        (
            "a link that was left behind",
            words(&[Frame::DroppedLink { name: name(b"placed") }]),
            "out of turn",
        ),
        ("too long a frame", [&words(&[])[..], &[255; 8]].concat(), "too long"),
        ("an end of the helper's own", words(&[placed(), Frame::Failed { text: b"no" }]), ""),
    ] {
        scene.changes_nothing(what, &scene.used, &bytes, &[], word);
    }
    // A connection that ends at any moment.
    let frames = [Frame::Upload, kept, Frame::Data { offset: 0, bytes: b"x" }, up, end(1)];
    for (count, _) in frames.iter().enumerate() {
        let bytes = bytes_of(&frames[..=count]);
        scene.changes_nothing("an end", &scene.used, &bytes, &[], "");
        scene.changes_nothing(
            "an end within a frame",
            &scene.used,
            &bytes[..bytes.len() - 1],
            &[],
            "",
        );
    }
    let whole = bytes_of(&[Frame::Upload, placed(), close(), end(1)]);
    scene.changes_nothing("a copy that is never named", &scene.used, &whole, &[], "");
}

#[test]
fn the_agent_does_not_read_descriptors_that_are_no_files_of_the_sandbox() {
    let scene = Scene::new();
    let words = bytes_of(&[Frame::Upload, placed(), Frame::Content { size: 1 << 20 }]);
    let (reader, _writer) = nix::unistd::pipe().unwrap();
    let (socket, _other) = UnixStream::pair().unwrap();
    let memory = tempfile::tempfile_in("/dev/shm").unwrap();
    memory.set_len(1 << 20).unwrap();
    let open = |path: &str| OwnedFd::from(File::open(path).unwrap());
    for passed in [
        open("/dev/zero"),
        open("/dev/null"),
        open("/"),
        reader,
        OwnedFd::from(socket),
        OwnedFd::from(memory),
    ] {
        scene.changes_nothing(
            "a descriptor",
            &scene.used,
            &words,
            &[passed.as_raw_fd()],
            "no file of the sandbox",
        );
    }
    scene.changes_nothing("none", &scene.used, &words, &[], "without exactly one descriptor");
    let null = open("/dev/null");
    scene.changes_nothing(
        "two",
        &scene.used,
        &words,
        &[null.as_raw_fd(); 2],
        "without exactly one descriptor",
    );
    scene.changes_nothing(
        "as many as there can be",
        &scene.used,
        &words,
        &[null.as_raw_fd(); 253],
        "unexpected descriptor",
    );
}

/// The renames in a directory.
struct Renames(File);

impl Renames {
    fn in_directory(path: &Path) -> Renames {
        let path = CString::new(path.as_os_str().as_encoded_bytes()).unwrap();
        // SAFETY: plain numbers and a path; the kernel returns a new descriptor, which no other
        // value owns.
        let watch = unsafe {
            let watch = libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC);
            assert!(
                watch >= 0 && libc::inotify_add_watch(watch, path.as_ptr(), libc::IN_MOVE) >= 0
            );
            OwnedFd::from_raw_fd(watch)
        };
        Renames(File::from(watch))
    }

    fn are_any(&mut self) -> bool {
        self.0.read(&mut [0; 4096]).is_ok()
    }
}

#[test]
fn a_request_that_an_agent_receives_after_its_helper_has_ended_is_not_begun() {
    let scene = Scene::new();
    let free = scene.site.execute().join("free");
    let receive = [Frame::Upload, placed(), close(), end(1)];
    for (sandbox, first, late) in
        [(&scene.used, &[Frame::Sweep][..], Frame::Retire), (&free, &receive, Frame::Publish)]
    {
        for is_late in [true, false] {
            let before = scene.all();
            let (ours, theirs) = UnixStream::pair().unwrap();
            let mut agent = Account::job().command(program(AGENT));
            agent.arg("serve").arg(sandbox).stdin(OwnedFd::from(theirs)).stderr(Stdio::null());
            let mut agent = agent.spawn().unwrap();
            let answer = |expected: Frame<'_>| {
                let expected = bytes_of(&[expected]);
                let mut received = vec![0; expected.len()];
                (&ours).read_exact(&mut received).unwrap();
                assert_eq!(received, expected);
            };
            answer(Frame::Hello { version: VERSION });
            let mut renames = Renames::in_directory(&scene.site.execute());
            (&ours).write_all(&bytes_of(first)).unwrap();
            answer(Frame::Done);
            let pid = Pid::from_raw(agent.id().cast_signed());
            kill(pid, Signal::SIGSTOP).unwrap();
            wait_until("it is stopped", || state(agent.id()) == Some('T'));
            (&ours).write_all(&bytes_of(&[late])).unwrap();
            if is_late {
                ours.shutdown(std::net::Shutdown::Both).unwrap();
            }
            kill(pid, Signal::SIGCONT).unwrap();
            if !is_late {
                answer(Frame::Done);
            }
            drop(ours);
            agent.wait().unwrap();
            assert_eq!(renames.are_any(), !is_late, "{late:?}");
            if is_late {
                assert_eq!(scene.all(), before);
            } else if late == Frame::Publish {
                fs::remove_dir_all(&free).unwrap();
            }
        }
    }
}

#[test]
fn a_change_is_undone_if_the_helper_ended_before_it_received_the_answer() {
    let scene = Scene::new();
    let before = scene.all();
    for frames in [&[Frame::Retire][..], &[Frame::Retire, Frame::Delete]] {
        scene.answer(&scene.used, &bytes_of(frames), &[], End::Gone);
        assert_eq!(scene.all(), before, "{frames:?}");
    }
    let free = scene.site.execute().join("free");
    let named = [Frame::Upload, placed(), close(), end(1), Frame::Publish];
    scene.answer(&free, &bytes_of(&named), &[], End::Gone);
    assert_eq!(scene.all(), before);
}

#[test]
fn an_agent_that_watches_ends_the_family_however_the_connection_ends() {
    let scene = Scene::new();
    let before = scene.all();
    let mark = "a family of this test";
    let late: [(&[Frame<'_>], &str); 4] = [
        (&[], "\\x0e"),
        (&[Frame::EndFamily, Frame::EndFamily], "out of turn"),
        (&[Frame::Watch { root: sys::Pid::from_raw(1), mark: b"other" }], "out of turn"),
        (&[Frame::Done], "\\x0e"),
    ];
    for (frames, word) in late {
        let mut member = Account::job().command("sleep");
        let mut member = member.arg("60").env("_GLEXEC_HELPERS_FAMILY", mark).spawn().unwrap();
        let root = sys::Pid::from_raw(member.id().cast_signed());
        let watch = [Frame::Watch { root, mark: mark.as_bytes() }];
        let words = bytes_of(&[&watch[..], frames].concat());
        let answers = scene.answer(&scene.used, &words, &[], End::Hears);
        let text = answers.escape_ascii().to_string();
        assert!(text.contains(word), "{frames:?}: {word:?} is not in {text:?}");
        wait_until("the member has ended", || member.try_wait().unwrap().is_some());
    }
    assert_eq!(scene.all(), before);
}

#[test]
fn an_agent_watches_for_no_helper_of_its_own_user() {
    let scene = Scene::new();
    let mut member = Account::job().command("sleep");
    let mut member = member.arg("60").spawn().unwrap();
    let root = sys::Pid::from_raw(member.id().cast_signed());
    let words = bytes_of(&[Frame::Watch { root, mark: b"a mark" }]);
    // A script of the job user makes the pair of sockets.
    let script = "import os, socket, subprocess, sys\n\
        ours, theirs = socket.socketpair()\n\
        agent = subprocess.Popen(sys.argv[1:4], stdin=theirs)\n\
        theirs.close()\n\
        ours.sendall(bytes.fromhex(sys.argv[4]))\n\
        ours.shutdown(socket.SHUT_WR)\n\
        sys.stdout.buffer.write(b\"\".join(iter(lambda: ours.recv(4096), b\"\")))\n\
        agent.wait()";
    let hex: String = words.iter().map(|byte| format!("{byte:02x}")).collect();
    let mut helper = Account::job().command("python3");
    helper.args(["-c", script]).arg(program(AGENT)).arg("serve").arg(&scene.used).arg(hex);
    let answers = helper.output().unwrap().stdout.escape_ascii().to_string();
    assert!(answers.contains("as the calling user"), "{answers}");
    assert!(member.try_wait().unwrap().is_none(), "it was killed");
    member.kill().unwrap();
    member.wait().unwrap();
}
