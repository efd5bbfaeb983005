//! A hostile agent: afterwards everything is as it was before, and a line names the reason.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use support::attack::{IDLE, Scene, hostile_agent_as};
use support::handover::{CLEANUP, SETUP, mode, set_mode};
use support::{Account, PROXY, failed};
use sys::{Name, Time};
use wire::frame::{CHUNK, MAX_LENGTH, VERSION};
use wire::{Attributes, Dropped, Frame, Links, Needs, Totals};

const ATTRIBUTES: Attributes =
    Attributes { mode: 0o755, modified: Time { seconds: 0, nanoseconds: 0 } };
const END: Frame<'_> = Frame::End {
    attributes: ATTRIBUTES,
    totals: Totals {
        directories: 0,
        files: 0,
        symlinks: 0,
        links: 0,
        bytes: 0,
        passed: 0,
        attributes: 0,
    },
    dropped: Dropped { specials: 0, bits: 0, attributes: 0, unreadable: 0, links: 0 },
};

fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).unwrap()
}

fn bytes_of(frames: &[Frame<'_>]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes);
    }
    bytes
}

/// A frame of this kind with these bytes, which the project's encoder would not make.
fn raw(kind: u8, fields: &[&[u8]]) -> Vec<u8> {
    let fields = fields.concat();
    let length = u32::try_from(fields.len() + 1).unwrap().to_le_bytes();
    [&length[..], &[kind], &fields].concat()
}

#[test]
fn a_hostile_agent_changes_nothing() {
    let scene = Scene::new();
    for (way, word) in [
        ("another version", "version"),
        ("no greeting", "an unexpected first message"),
        ("wrong totals", "totals"),
        ("the same name twice", "EEXIST"),
        ("a file where a directory was", "EEXIST"),
        ("up above the top", "out of turn"),
        ("a link to nothing", "ENOENT"),
        ("data without a file", "out of turn"),
        ("data beyond all sizes", "out of turn"),
        ("a size below what was sent", "EPROTO"),
        ("the name of the proxy", "EEXIST"),
        ("an end in the middle", "totals"),
        ("done at once", "out of turn"),
    ] {
        scene.attack(CLEANUP, way, None, word);
    }
    for way in ["another version", "no greeting", "wrong totals"] {
        scene.attack(SETUP, way, None, "");
    }
    scene.end();
}

#[test]
fn no_name_leads_out_of_the_copy() {
    let scene = Scene::new();
    let number = 0u32.to_le_bytes();
    let long = [b'n'; 255];
    for bad in [
        &b""[..],
        b".",
        b"..",
        b"/",
        b"/etc/injected",
        b"../injected",
        b"below/injected",
        b"injected\0",
    ] {
        let bad = [&[u8::try_from(bad.len()).unwrap()], bad].concat();
        for (kind, rest) in [(16, &[][..]), (17, &number), (21, &[0; 20]), (22, &number), (26, &[])]
        {
            scene.send(&format!("{kind} {bad:?}"), &raw(kind, &[&bad, rest]), "malformed");
        }
    }
    // A name whose stated length is longer than its frame.
    scene.send("a name that ends early", &raw(16, &[&[200], b"short"]), "malformed");
    // The longest name is valid.
    scene.send("a long name", &bytes_of(&[Frame::Directory { name: name(&long) }, END]), "totals");
    scene.end();
}

#[test]
fn frames_that_are_too_long_or_invalid_are_refused_unread() {
    let scene = Scene::new();
    for length in [MAX_LENGTH + 1, 1 << 30, 0x7fff_ffff, 0xffff_ffff] {
        let bytes = [&u32::try_from(length).unwrap().to_le_bytes()[..], &[18]].concat();
        scene.send(&format!("{length} bytes"), &bytes, "too long");
    }
    scene.send("no byte", &0u32.to_le_bytes(), "malformed");
    for kind in [14, 27, 30, 200, 255] {
        scene.send(&format!("kind {kind}"), &raw(kind, &[]), "malformed");
    }
    scene.send("bytes behind a frame's last field", &raw(7, &[b"x"]), "malformed");
    scene.end();
}

#[test]
fn invalid_values_are_refused() {
    let scene = Scene::new();
    let file = Frame::File { name: name(b"injected"), number: 0 };
    let up = |mode, nanoseconds| Frame::Up {
        attributes: Attributes { mode, modified: Time { seconds: 0, nanoseconds } },
    };
    let directory = Frame::Directory { name: name(b"injected") };
    let (long, large) = (vec![b'x'; 4097], vec![b'x'; 65_537]);
    let link = |target| Frame::Symlink {
        name: name(b"injected"),
        number: 0,
        modified: ATTRIBUTES.modified,
        target,
    };
    let close = |size| Frame::Close { size, attributes: ATTRIBUTES };
    for (what, frames, word) in [
        ("set-user-id", &[directory, up(0o4755, 0)][..], "malformed"),
        ("the sticky bit", &[directory, up(0o1777, 0)], "malformed"),
        ("all bits", &[directory, up(u32::MAX, 0)], "malformed"),
        ("too many nanoseconds", &[directory, up(0o755, 1_000_000_000)], "malformed"),
        (
            "a capability",
            &[file, Frame::Attribute { name: b"security.capability", value: b"x" }],
            "malformed",
        ),
        (
            "a list",
            &[file, Frame::Attribute { name: b"system.posix_acl_access", value: b"x" }],
            "malformed",
        ),
        (
            "root's",
            &[directory, Frame::Attribute { name: b"trusted.overlay.opaque", value: b"y" }],
            "malformed",
        ),
        ("no attribute's name", &[file, Frame::Attribute { name: b"user.", value: b"" }], "EINVAL"),
        (
            "too large a value",
            &[file, Frame::Attribute { name: b"user.a", value: &large }],
            "malformed",
        ),
        ("a link to nowhere", &[link(b"")], "malformed"),
        ("too long a target", &[link(&long)], "malformed"),
        ("a NUL in a target", &[link(b"a\0b")], "malformed"),
        ("too large a hole", &[file, close(i64::MAX as u64)], "complete"),
        ("a size that is none", &[file, close(u64::MAX)], "complete"),
        (
            "data at the end of all files",
            &[file, Frame::Data { offset: i64::MAX as u64 - 1, bytes: b"x" }],
            "write",
        ),
        (
            "data backwards",
            &[file, Frame::Data { offset: 9, bytes: b"x" }, Frame::Data { offset: 8, bytes: b"x" }],
            "turn",
        ),
        ("empty data", &[file, Frame::Data { offset: 0, bytes: b"" }], "turn"),
    ] {
        scene.send(what, &bytes_of(frames), word);
    }
    scene.end();
}

#[test]
fn records_and_requests_out_of_order_are_refused() {
    let scene = Scene::new();
    let (injected, proxy) = (name(b"injected"), name(PROXY.as_bytes()));
    let modified = ATTRIBUTES.modified;
    let file = |number| Frame::File { name: injected, number };
    let close = Frame::Close { size: 0, attributes: ATTRIBUTES };
    for frame in [
        Frame::Hello { version: VERSION },
        Frame::Upload,
        Frame::Measure,
        Frame::Download { links: Links::Keep, except: injected },
        Frame::Publish,
        Frame::Retire,
        Frame::Delete,
        Frame::Sweep,
        Frame::PutProxy { name: proxy, content: b"injected" },
        Frame::Done,
        Frame::Needed { needs: Needs::default() },
        Frame::Taken,
        close,
        Frame::Attribute { name: b"system", value: b"" },
    ] {
        let word =
            if matches!(frame, Frame::Attribute { .. }) { "malformed" } else { "out of turn" };
        scene.send(&format!("{frame:?}"), &bytes_of(&[frame]), word);
    }
    for frame in [
        file(0),
        Frame::Directory { name: injected },
        Frame::Up { attributes: ATTRIBUTES },
        Frame::Done,
    ] {
        scene.send(
            &format!("{frame:?} within a file"),
            &bytes_of(&[file(0), frame]),
            "out of turn",
        );
    }
    scene.send("an end within a file", &bytes_of(&[file(0), END]), "totals");
    let two = [file(7), close, Frame::File { name: name(b"another"), number: 7 }];
    scene.send("a number twice", &bytes_of(&two), "EEXIST");
    let taken = [file(7), close, Frame::Link { name: injected, number: 7 }];
    scene.send("a link of a taken name", &bytes_of(&taken), "EEXIST");
    let link = Frame::Symlink { name: proxy, number: 0, modified, target: b"/etc/passwd" };
    scene.send("a link with the proxy's name", &bytes_of(&[link, END]), "totals");
    scene.end();
}

#[test]
fn a_text_of_an_agent_becomes_one_line_without_control_bytes() {
    let scene = Scene::new();
    let text = [b"two\nlines \x1b[2J\r\0 and \xff", &[b'x'; 2000][..]].concat();
    let line = scene.send("an odd text", &bytes_of(&[Frame::Failed { text: &text }]), "two");
    assert!(line.trim_end().bytes().all(|byte| (b' '..0x7f).contains(&byte)), "{line:?}");
    scene.send("a text that is too long", &raw(8, &[&[b'x'; 2049]]), "malformed");
    scene.send(
        "the longest text that a frame can hold",
        &raw(8, &[&vec![b'x'; CHUNK / 4]]),
        "malformed",
    );
    scene.end();
}

#[test]
fn an_agent_that_does_not_publish_gets_the_sandbox_put_back_with_its_mode() {
    let mut scene = Scene::new();
    // With the sticky bit, which the sandbox must not have while it has the retained name.
    set_mode(&scene.fresh, 0o1755);
    scene.take_snapshot();
    scene.attack(SETUP, "no publishing", None, "not today");
    assert_eq!(mode(&scene.fresh), 0o1755);
}

#[test]
fn an_agent_that_stops_sending_is_given_up() {
    let scene = Scene::new();
    for helper in [SETUP, CLEANUP] {
        scene.attack(helper, "silence", None, IDLE);
        scene.attack(helper, "an end of the connection", None, "status 0");
    }
    for way in ["silence after a directory", "silence within a file", "silence after the tree"] {
        scene.attack(CLEANUP, way, None, IDLE);
    }
    scene.end();
}

#[test]
fn an_agent_of_another_user_gets_nothing() {
    let scene = Scene::new();
    let (site, used) = (&scene.site, &scene.used);
    let other = hostile_agent_as("/usr/bin/sudo -n -u gh-job2 --", site, "wrong totals", None);
    let line = scene.changes_nothing(CLEANUP, "another user's", site.call(CLEANUP, &other, used));
    assert!(line.contains("belongs to uid"), "{line}");
    let new = site.scratch().join("new");
    support::write(&new, "another", 0o600);
    Account::batch().owns(&new);
    let mut update = site.helper("condor_glexec_update_proxy");
    let output = update.arg(other).arg(&new).arg(support::PROXY).arg(used).output().unwrap();
    failed(&output, 1, &["belongs to uid"]);
    scene.end();
}

#[test]
fn an_agent_of_root_or_of_the_batch_user_gets_nothing() {
    let scene = Scene::new();
    let hostile_agent = support::program("examples").join("hostile_agent");
    let own =
        scene.site.script("own", &format!("exec '{}' 'wrong totals'", hostile_agent.display()));
    // A copy with set-user-ID root, for the batch user only.
    let copy = scene.site.path().join("roots");
    support::installation::install(&hostile_agent, &copy);
    std::os::unix::fs::chown(&copy, Some(0), Some(Account::batch().gid)).unwrap();
    set_mode(&copy, 0o4750);
    let roots =
        scene.site.script("root", &format!("exec '{}' 'as root: wrong totals'", copy.display()));
    for (switcher, whom) in [(own, "as the calling user"), (roots, "as root")] {
        for (helper, sandbox) in [(SETUP, &scene.fresh), (CLEANUP, &scene.used)] {
            let line =
                scene.changes_nothing(helper, whom, scene.site.call(helper, &switcher, sandbox));
            assert!(line.contains(whom), "{line}");
        }
    }
    scene.end();
}
