//! Changing the owner of a tree instead of copying it: in a real user namespace, with real
//! processes of the job and of other accounts.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use support::handover::{mode, run, set_mode, text};
use support::mounts::{Mounts, in_memory};
use support::owner::{Tree, inode, job, number, open_path, open_to_write, shell_with};
use support::snapshot::{make_fifo, set_attribute, set_modified, snapshot};
use support::{Account, Site, failed, is_long, messages, moments, program, write};

/// Fails unless the program refused, named this and changed nothing.
fn refuses(tree: &Tree, what: &str, words: &[&str]) {
    let before = (snapshot(&tree.top), owners(&tree.top), tree.site.entries());
    let output = tree.run(what);
    let line = failed(&output, 1, words);
    assert!(line.starts_with("refused: "), "{line}");
    assert_eq!((snapshot(&tree.top), owners(&tree.top), tree.site.entries()), before, "{line}");
}

fn owners(top: &Path) -> Vec<Account> {
    snapshot(top).keys().map(|below| Account::of(&top.join(below))).collect()
}

fn set_list(path: &Path, entry: &str) {
    run(
        "setfacl",
        &["-m", entry, "--"]
            .map(OsStr::new)
            .into_iter()
            .chain([path.as_os_str()])
            .collect::<Vec<_>>(),
    );
}

// Both directions.

#[test]
fn a_tree_is_given_and_taken_back_with_its_inodes() {
    let tree = Tree::new();
    let file = tree.file("file", "content", 0o640);
    let below = tree.directory("directory", 0o750);
    tree.file("directory/again", "more", 0o755);
    fs::hard_link(&file, below.join("linked")).unwrap();
    symlink("file", tree.path("link")).unwrap();
    job().owns(tree.path("link"));
    set_attribute(&file, "user.note", "kept");
    for name in ["file", "directory/again", "link", "directory", ""] {
        set_modified(&tree.path(name), 1_000_000_000, 7);
    }
    let (before, inodes) = (snapshot(&tree.top), [inode(&file), inode(&below)]);
    for round in 0..3 {
        let messages = tree.taken();
        assert_eq!(
            number(&messages, "written") + number(&messages, "outer_names"),
            0,
            "{messages}"
        );
        assert_eq!(snapshot(&tree.top), before, "round {round}");
        tree.is_back();
        tree.done("give");
        assert_eq!(snapshot(&tree.top), before, "round {round}");
        support::handover::assert_owner(&tree.top, job());
    }
    assert_eq!([inode(&file), inode(&below)], inodes);
}

#[test]
fn what_was_given_in_part_is_given_again_or_taken_back_exactly() {
    let tree = Tree::new();
    tree.directory("directory", 0o711);
    tree.file("directory/closed", "content", 0o400);
    tree.done("take-unread");
    set_mode(tree.path("directory/closed"), 0o400);
    set_mode(tree.path("directory"), 0o500);
    set_modified(&tree.path("directory"), 1_000_000_000, 7);
    let before = snapshot(&tree.top);
    tree.done("begin");
    assert_eq!(Account::of(&tree.path("directory/closed")), job());
    assert_eq!(Account::of(&tree.top), Account::batch());
    tree.done("undo");
    set_mode(&tree.top, 0o755);
    assert_eq!(snapshot(&tree.top), before);
    tree.is_back();
    tree.done("begin");
    set_mode(&tree.top, 0o755);
    tree.done("give");
    assert_eq!(snapshot(&tree.top), before);
    support::handover::assert_owner(&tree.top, job());
}

#[test]
fn what_comes_back_is_its_owners_to_read_and_write_and_has_no_special_bits() {
    let tree = Tree::new();
    let cases = [
        ("closed", 0, 0o600),
        ("program", 0o4755, 0o755),
        ("group", 0o2755, 0o755),
        ("locked", 0o2644, 0o644),
        ("read-only", 0o444, 0o644),
    ];
    for (name, bits, _) in cases {
        tree.file(name, name, bits);
    }
    let directories = [("d none", 0, 0o700), ("d special", 0o7555, 0o755), ("d 711", 0o711, 0o711)];
    for (name, bits, _) in directories {
        tree.directory(name, 0o755);
        tree.file(&format!("{name}/file"), "content", 0o600);
        set_mode(tree.path(name), bits);
    }
    let messages = tree.taken();
    for (name, _, bits) in cases.into_iter().chain(directories) {
        assert_eq!(mode(&tree.path(name)), bits, "{name}");
    }
    assert_eq!(number(&messages, "bits"), 4, "{messages}");
    tree.is_back();
}

// What is refused before anything changes.

#[test]
fn an_entry_of_a_third_user_or_group_is_refused_and_named() {
    for direction in ["give", "take"] {
        let tree = Tree::new();
        tree.directory("directory", 0o755);
        if direction == "give" {
            tree.taken();
        }
        let root = tree.path("directory/root's");
        write(&root, "root's", 0o644);
        refuses(&tree, direction, &["/directory/root's: its user or group"]);
        let ours = if direction == "give" { Account::batch() } else { job() };
        // A group that only one of the two users is in.
        Account { uid: ours.uid, gid: Account::other().gid }.owns(&root);
        refuses(&tree, direction, &["/directory/root's: its user or group"]);
        ours.owns(&root);
        tree.done(direction);
    }
}

#[test]
fn a_mount_point_is_refused_and_named() {
    let tree = Tree::new();
    tree.directory("directory", 0o755);
    tree.file("file", "content", 0o644);
    let outside = tree.site.path().join("outside");
    fs::create_dir(&outside).unwrap();
    write(outside.join("file"), "kept", 0o644);
    for (source, name) in [(outside.clone(), "directory"), (outside.join("file"), "file")] {
        let mounts = Mounts::below(tree.site.path());
        mounts.add(&[OsStr::new("--bind"), source.as_os_str()], &tree.path(name));
        refuses(&tree, "take", &[&format!("/{name}: "), "mount point"]);
        drop(mounts);
    }
    assert_eq!(Account::of(&outside.join("file")), Account::named("root"));
    tree.taken();
}

#[test]
fn a_directory_that_others_may_write_to_is_refused_and_named() {
    for bits in [0o775, 0o757] {
        let tree = Tree::new();
        tree.directory("directory", bits);
        refuses(&tree, "take", &["/directory: group or others may write"]);
        // Made after the tree was read, it is closed.
        tree.done("take-unread");
        assert_eq!(mode(&tree.path("directory")), 0o755);
        tree.is_back();
    }
}

#[test]
fn what_could_not_be_undone_exactly_is_not_given() {
    let outside = |tree: &Tree| tree.site.path().join("outside");
    type Makes<'a> = &'a dyn Fn(&Tree);
    let cases: [(Makes<'_>, &str); 7] = [
        (&|tree| drop(tree.file("x", "", 0o4755)), "/x: it is set-user-ID"),
        (&|tree| drop(tree.directory("x", 0o1755)), "/x: it is set-user-ID"),
        (&|tree| make_fifo(&tree.path("x")), "/x: it is a device, a socket or a FIFO"),
        (
            &|tree| fs::hard_link(tree.file("x", "", 0o644), outside(tree)).unwrap(),
            "has hard links outside of it",
        ),
        (&|tree| set_list(&tree.file("x", "", 0o644), "u:gh-other:r"), "/x: it has the attribute"),
        (
            &|tree| set_list(&tree.directory("x", 0o755), "d:u:gh-other:r"),
            "/x: it has the attribute",
        ),
        (
            &|tree| {
                let program = tree.file("x", "", 0o755);
                run("setcap", &[OsStr::new("cap_net_raw+ep"), program.as_os_str()]);
            },
            "/x: it has the attribute security.capability",
        ),
    ];
    for (make, why) in cases {
        let tree = Tree::new();
        tree.taken();
        make(&tree);
        support::own(&tree.top, Account::batch());
        if why.contains("set-user-ID") {
            set_mode(tree.path("x"), if tree.path("x").is_dir() { 0o1755 } else { 0o4755 });
        }
        if why.contains("capability") {
            make(&tree);
            Account::batch().owns(tree.path("x"));
            run("setcap", &[OsStr::new("cap_net_raw+ep"), tree.path("x").as_os_str()]);
        }
        refuses(&tree, "give", &[why]);
    }
}

// Hard links.

#[test]
fn a_file_with_a_name_outside_is_copied_and_the_outer_name_stays_the_jobs() {
    let tree = Tree::new();
    let (outside, below) = (tree.site.path().join("outside"), tree.directory("below", 0o755));
    let first = tree.file("first", "content", 0o644);
    fs::hard_link(&first, below.join("second")).unwrap();
    fs::hard_link(&first, &outside).unwrap();
    set_attribute(&first, "user.note", "kept");
    set_modified(&first, 1_000_000_000, 7);
    symlink("first", tree.path("link")).unwrap();
    job().owns(tree.path("link"));
    let outer_link = tree.site.path().join("outer link");
    fs::hard_link(tree.path("link"), &outer_link).unwrap();
    let before = snapshot(&tree.top);
    let messages = tree.taken();
    // The two names in the tree are one file still, and another one than outside.
    let mut expected = before.clone();
    expected.get_mut(Path::new("")).unwrap().modified = snapshot(&tree.top)[Path::new("")].modified;
    assert_eq!(snapshot(&tree.top), expected);
    assert_eq!(number(&messages, "outer_names"), 2, "{messages}");
    tree.is_back();
    for outer in [&outside, &outer_link] {
        assert_eq!(Account::of(outer), job());
    }
    assert_ne!(inode(&first), inode(&outside));
    assert_eq!(fs::metadata(&outside).unwrap().nlink(), 1);
    assert_eq!(text(&outside), "content");
}

#[test]
fn a_file_with_all_its_names_inside_is_not_copied() {
    let tree = Tree::new();
    let first = tree.file("first", "content", 0o4755);
    let deep = tree.directory("a", 0o755).join("deep");
    fs::create_dir(&deep).unwrap();
    job().owns(&deep);
    for name in ["second", "a/third", "a/deep/fourth"] {
        fs::hard_link(&first, tree.path(name)).unwrap();
    }
    let before = inode(&first);
    let messages = tree.taken();
    assert_eq!((inode(&first), mode(&first)), (before, 0o755));
    assert_eq!((number(&messages, "files"), number(&messages, ", links")), (1, 3), "{messages}");
    assert!(messages.contains("Copied { written: 0, unproved: 0, outer_names: 0"), "{messages}");
    tree.is_back();
}

// Writers.

/// After it was taken back, a file that some process could still write to holds what it held, and
/// is another inode than the one that is written to.
fn writers_are_shaken_off(tree: &Tree, path: &Path, write: impl FnOnce()) {
    let before = (text(path), inode(path));
    let messages = tree.taken();
    assert_eq!(number(&messages, "written"), 1, "{messages}");
    write();
    assert_eq!(text(path), before.0, "what was written arrived");
    assert_ne!(inode(path), before.1);
    tree.is_back();
}

#[test]
fn a_descriptor_that_is_left_open_for_writing_does_not_change_what_came_back() {
    let tree = Tree::new();
    let path = tree.file("file", "content", 0o644);
    let mut writer = open_to_write(&path);
    writers_are_shaken_off(&tree, &path, || writer.write_all(b"evil").unwrap());
}

#[test]
fn a_shared_mapping_that_is_left_does_not_change_what_came_back() {
    let tree = Tree::new();
    let path = tree.file("file", "content", 0o644);
    let file = File::options().read(true).write(true).open(&path).unwrap();
    // SAFETY: maps the file for this test alone, and the mapping is not removed.
    let mapped = unsafe {
        let access = libc::PROT_READ | libc::PROT_WRITE;
        libc::mmap(std::ptr::null_mut(), 4096, access, libc::MAP_SHARED, file.as_raw_fd(), 0)
    };
    assert_ne!(mapped, libc::MAP_FAILED);
    drop(file);
    // SAFETY: the mapping has the length of the file at least.
    let write = || unsafe { std::ptr::copy_nonoverlapping(b"evil".as_ptr(), mapped.cast(), 4) };
    writers_are_shaken_off(&tree, &path, write);
}

#[test]
fn a_descriptor_in_the_queue_of_a_socket_does_not_change_what_came_back() {
    let tree = Tree::new();
    let path = tree.file("file", "content", 0o644);
    let (one, other) = sys::socket::socketpair().unwrap();
    let (mut sender, mut receiver) = (wire::Channel::new(one), wire::Channel::new(other));
    receiver.accept_passed(true);
    {
        let file = File::options().read(true).write(true).open(&path).unwrap();
        assert!(sender.pass(wire::Frame::Content { size: 7 }, &file).unwrap().is_some());
    }
    writers_are_shaken_off(&tree, &path, || {
        receiver.receive().unwrap();
        let device = fs::metadata(&path).unwrap().dev();
        let received = receiver.passed().unwrap().regular_on(device).unwrap();
        (&received).write_all(b"evil").unwrap();
    });
}

#[test]
fn a_descriptor_of_another_account_does_not_change_what_came_back() {
    let tree = Tree::new();
    let path = tree.file("file", "content", 0o644);
    let mut shell = Account::other().command("/bin/sh");
    shell.args(["-c", "read go; echo evil"]).stdin(Stdio::piped());
    let mut holder = shell.stdout(Stdio::from(open_to_write(&path))).spawn().unwrap();
    writers_are_shaken_off(&tree, &path, || {
        drop(holder.stdin.take());
        assert!(holder.wait().unwrap().success());
    });
}

#[test]
fn a_file_with_several_names_and_a_writer_is_copied_once() {
    let tree = Tree::new();
    let path = tree.file("file", "content", 0o644);
    fs::hard_link(&path, tree.path("second")).unwrap();
    let mut writer = open_to_write(&path);
    writers_are_shaken_off(&tree, &path, || writer.write_all(b"evil").unwrap());
    assert_eq!(inode(&path), inode(&tree.path("second")));
}

#[test]
fn a_tree_in_memory_is_refused_as_long_as_a_process_of_the_job_may_run() {
    let call = |tree: &Tree| tree.program("take").args(["copy", "running"]).output().unwrap();
    let tree = Tree::new();
    let _mounts = in_memory(&tree.site, "");
    let tree = Tree { top: tree.site.execute().join("tree"), ..tree };
    fs::create_dir(&tree.top).unwrap();
    job().owns(&tree.top);
    let path = tree.file("file", "content", 0o644);
    failed(&call(&tree), 1, &["refused: ", "without a descriptor"]);
    assert_eq!((Account::of(&path), Account::of(&tree.top)), (job(), job()));
    tree.taken();
    let on_disk = Tree::new();
    on_disk.file("file", "content", 0o644);
    support::succeeded(&call(&on_disk));
}

#[test]
fn a_reader_that_is_left_is_no_reason_to_copy() {
    let tree = Tree::new();
    let path = tree.file("file", "content", 0o644);
    let mut reader = File::open(&path).unwrap();
    let messages = tree.taken();
    assert_eq!(number(&messages, "written"), 0, "{messages}");
    let mut content = String::new();
    reader.read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
}

#[test]
fn a_descriptor_without_access_cannot_be_opened_again_for_writing() {
    let cases = [("open to all", 0o666, None), ("listed", 0o644, Some("rw")), ("own", 0o644, None)];
    for (name, bits, list) in cases {
        let tree = Tree::new();
        let path = tree.file(name, "content", bits);
        if let Some(rights) = list {
            set_list(&path, &format!("u:{}:{rights}", job().uid));
        }
        let handle = open_path(&path);
        let before = mode(&path);
        tree.taken();
        // A mode that a copy would have is what the file has; but then it is another file.
        let expected = if list.is_some() { 0o644 } else { before };
        assert_eq!(mode(&path), expected, "{name}");
        // The top lets pass all users.
        set_mode(&tree.top, 0o755);
        let script = "echo evil >/proc/self/fd/0";
        let output = shell_with(job(), handle, script);
        // A file that others could write to was copied: the handle leads to the job's.
        assert_eq!(output.status.success(), name != "own", "{name}: {}", messages(&output));
        assert_eq!(text(&path), "content", "{name}");
        tree.is_back();
    }
}

// Attributes.

#[test]
fn access_lists_and_capabilities_are_removed_and_the_users_attributes_stay() {
    let tree = Tree::new();
    let listed = tree.file("listed", "content", 0o640);
    let masked = tree.file("masked", "content", 0o670);
    let directory = tree.directory("directory", 0o750);
    let program = tree.file("program", "content", 0o755);
    set_list(&listed, &format!("u:{}:rwx", job().uid));
    set_list(&masked, &format!("u:{}:rwx,m::r", job().uid));
    set_list(&directory, &format!("u:{0}:rx,d:u:{0}:rwx", job().uid));
    run("setcap", &[OsStr::new("cap_net_raw+ep"), program.as_os_str()]);
    set_attribute(&listed, "user.note", "kept");
    tree.taken();
    let found = [&listed, &masked, &directory, &program].map(|path| {
        let all = ["-m", "-", "--absolute-names", "--"].map(OsStr::new);
        let listed =
            run("getfattr", &all.into_iter().chain([path.as_os_str()]).collect::<Vec<_>>());
        let names = listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        (mode(path), names.collect::<Vec<_>>().join(" "))
    });
    let expected = [(0o640, "user.note"), (0o640, ""), (0o750, ""), (0o755, "")];
    assert_eq!(found, expected.map(|(bits, names)| (bits, names.to_owned())));
    tree.is_back();
}

#[test]
fn devices_sockets_and_fifos_are_removed_and_counted() {
    let tree = Tree::new();
    tree.directory("directory", 0o755);
    make_fifo(&tree.path("fifo"));
    UnixListener::bind(tree.path("directory/socket")).unwrap();
    let device = tree.path("device");
    run("mknod", &[device.as_os_str(), OsStr::new("c"), OsStr::new("0"), OsStr::new("0")]);
    for name in ["fifo", "directory/socket", "device"] {
        job().owns(tree.path(name));
    }
    set_modified(&tree.top, 1_000_000_000, 7);
    let messages = tree.taken();
    assert_eq!(number(&messages, "specials"), 3, "{messages}");
    assert_eq!(snapshot(&tree.top).len(), 2);
    assert_eq!(fs::metadata(&tree.top).unwrap().mtime(), 1_000_000_000);
    tree.is_back();
}

// Links.

#[test]
fn links_that_leave_become_copies_read_with_the_job_users_rights_or_are_removed() {
    let tree = Tree::new();
    let outside = tree.site.path().join("outside");
    fs::create_dir(&outside).unwrap();
    set_mode(&outside, 0o755);
    write(outside.join("open"), "open to all", 0o644);
    write(outside.join("secret"), "the batch user's", 0o640);
    Account::batch().owns(outside.join("secret"));
    tree.directory("below", 0o555);
    tree.file("input", "the input", 0o644);
    let links = [
        ("absolute", outside.join("open")),
        ("below/climbs", "../../../outside/open".into()),
        ("secret", outside.join("secret")),
        ("directory", outside.clone()),
        ("stays", "below/../input".into()),
        ("from without", tree.path("input")),
    ];
    for (name, target) in &links {
        symlink(target, tree.path(name)).unwrap();
        job().owns(tree.path(name));
    }
    set_modified(&tree.path("below"), 1_000_000_000, 7);
    assert_eq!(tree.copy_link_targets(), "replaced 3\n");
    assert_eq!(tree.copy_link_targets(), "replaced 0\n");
    let messages = tree.taken();
    assert_eq!(
        number(
            &messages,
            "dropped: Dropped { specials: 0, bits: 0, attributes: 0, unreadable: 0, links"
        ),
        2,
        "{messages}"
    );
    for (name, content) in [
        ("absolute", "open to all"),
        ("below/climbs", "open to all"),
        ("from without", "the input"),
        ("stays", "the input"),
    ] {
        assert_eq!(text(tree.path(name)), content, "{name}");
        assert_eq!(tree.path(name).is_symlink(), name == "stays", "{name}");
    }
    assert_eq!(inode(&tree.path("absolute")), inode(&tree.path("below/climbs")));
    assert!(!tree.path("secret").is_symlink() && !tree.path("directory").is_symlink());
    assert_eq!(fs::metadata(tree.path("below")).unwrap().mtime(), 1_000_000_000);
    tree.is_back();
}

// Processes that work in the tree meanwhile.

/// A process of the job in a directory, which makes a file there when it is told to.
fn planter(directory: &Path) -> Child {
    let mut shell = job().command("/bin/sh");
    shell.current_dir(directory).stdin(Stdio::piped()).stderr(Stdio::null());
    shell.args(["-c", "read go; echo evil >planted"]).spawn().unwrap()
}

#[test]
fn a_process_in_a_directory_of_the_tree_can_plant_nothing_in_it() {
    let tree = Tree::new();
    let directory = tree.directory("directory", 0o755);
    let mut planters = [planter(&tree.top), planter(&directory)];
    tree.taken();
    for planter in &mut planters {
        drop(planter.stdin.take());
        assert!(!planter.wait().unwrap().success());
    }
    assert!(!tree.path("planted").exists() && !directory.join("planted").exists());
    tree.is_back();
}

/// Starts a process of the job that goes on until its input ends.
fn left_over(what: &str, paths: &[&Path]) -> Child {
    let mut command = job().command(program("examples/leftover"));
    let mut child =
        command.arg(what).args(paths).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    child
}

#[test]
fn directories_that_are_moved_out_meanwhile_stay_the_jobs() {
    let in_memory_too = [false, true];
    for memory in in_memory_too {
        let tree = Tree::new();
        let _mounts = memory.then(|| in_memory(&tree.site, ""));
        let mut outside = 0;
        let rounds = if is_long() { 40 } else { 8 };
        for round in 0..rounds {
            outside += moved_out(&tree, round);
        }
        assert!(outside > 25 * rounds as usize, "only {outside} entries were outside");
    }
}

/// One round; how many entries are outside at its end.
fn moved_out(tree: &Tree, round: u32) -> usize {
    let _ = fs::remove_dir_all(&tree.top);
    fs::create_dir(&tree.top).unwrap();
    let aside = tree.site.execute().join("aside");
    let _ = fs::remove_dir_all(&aside);
    fs::create_dir(&aside).unwrap();
    for directory in 0..8 {
        let path = tree.path(&format!("d{directory}/inner"));
        fs::create_dir_all(&path).unwrap();
        for file in 0..20 {
            fs::write(path.join(file.to_string()), "content").unwrap();
        }
    }
    for path in [&tree.top, &aside] {
        support::own(path, job());
        set_mode(path, 0o755);
    }
    // The whole directories, and those in them.
    let moved = ["d0", "d1/inner", "d2", "d3/inner", "d5", "d6/inner"];
    let movers: Vec<_> = moved
        .iter()
        .map(|name| {
            let other = aside.join(name.replace('/', " "));
            fs::create_dir(&other).unwrap();
            job().owns(&other);
            left_over("moves directories", &[&tree.path(name), &other])
        })
        .collect();
    let output = tree.run("take-unread");
    assert!(output.status.success(), "round {round}: {}", messages(&output));
    for mut mover in movers {
        drop(mover.stdin.take());
        mover.wait().unwrap();
    }
    let (inside, outside) = (owners(&tree.top), owners(&aside));
    assert!(inside.iter().all(|owner| *owner == Account::batch()), "round {round}");
    assert!(outside.iter().all(|owner| *owner == job()), "round {round}");
    outside.len()
}

#[test]
fn an_entry_of_a_third_user_that_appears_meanwhile_stays_and_is_named() {
    let tree = Tree::new();
    tree.directory("directory", 0o755);
    tree.file("directory/file", "content", 0o644);
    write(tree.path("directory/root's"), "root's", 0o600);
    let messages = tree.done("take-unread");
    assert_eq!(number(&messages, "foreign"), 1, "{messages}");
    assert!(messages.contains("/directory/root's"), "{messages}");
    assert_eq!(Account::of(&tree.path("directory/root's")), Account::named("root"));
    assert_eq!(Account::of(&tree.path("directory/file")), Account::batch());
}

#[test]
fn a_lease_of_the_job_is_broken_and_the_file_comes_back() {
    let tree = Tree::new();
    let path = tree.file("file", "content", 0o644);
    // It does not ignore the signal that announces the break, and ends.
    let script = "import fcntl, sys, time\n\
        file = open(sys.argv[1], 'r+')\n\
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_WRLCK)\n\
        print('begun', flush=True)\n\
        time.sleep(600)\n";
    let mut python = job().command("/usr/bin/python3");
    python.args(["-c", script]).arg(&path).stdout(Stdio::piped());
    let mut holder = python.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    tree.taken();
    holder.wait().unwrap();
    tree.is_back();
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_lease_that_the_job_does_not_give_up_is_broken_by_the_kernel() {
    let tree = Tree::new();
    let path = tree.file("file", "content", 0o644);
    tree.file("other", "content", 0o644);
    let mut holder = left_over("holds a lease on a file", &[&path]);
    let messages = tree.taken();
    // It has the file open for writing.
    assert_eq!(number(&messages, "written"), 1, "{messages}");
    drop(holder.stdin.take());
    holder.wait().unwrap();
    tree.is_back();
}

// Failures.

#[test]
fn a_full_disk_is_an_error_that_names_the_file_and_the_next_call_goes_on() {
    let tree = Tree::new();
    let _mounts = in_memory(&tree.site, "size=24m");
    let tree = Tree { top: tree.site.execute().join("tree"), ..tree };
    fs::create_dir(&tree.top).unwrap();
    job().owns(&tree.top);
    tree.directory("directory", 0o755);
    let content = vec![b'x'; 16 << 20];
    let large = tree.file("directory/large", &content, 0o644);
    let writer = open_to_write(&large);
    let output = tree.run("take");
    failed(&output, 1, &["cannot copy", "/directory/large", "ENOSPC"]);
    assert!(fs::read(&large).unwrap() == content);
    assert_eq!(tree.site.entries(), ["tree"], "the copy that was begun is gone");
    run("mount", &["-o".as_ref(), "remount,size=48m".as_ref(), tree.site.execute().as_os_str()]);
    let messages = tree.taken();
    assert_eq!(number(&messages, "written"), 1, "{messages}");
    drop(writer);
    assert!(fs::read(&large).unwrap() == content);
    tree.is_back();
}

/// The calls that change something.
const CHANGING: [&str; 12] = [
    "fchownat",
    "fchown",
    "fchmod",
    "fremovexattr",
    "fsetxattr",
    "renameat",
    "unlinkat",
    "linkat",
    "symlinkat",
    "utimensat",
    "mkdirat",
    "pwrite64",
];

/// Runs the program while strace(1) injects something at a call; with what strace has seen.
fn injected(tree: &Tree, what: &str, call: &str, inject: &str) -> (Output, String) {
    let log = tree.site.path().join("log");
    let _ = fs::remove_file(&log);
    let program = tree.program(what);
    let mut strace = Command::new("strace");
    strace.args(["-u", "gh-batch", "-f", "-q", "-o"]).arg(&log);
    strace.args(["-e", &format!("trace={call}"), "-e", &format!("inject={call}:{inject}")]);
    strace.arg(program.get_program()).args(program.get_args());
    let output = strace.current_dir("/").stdin(Stdio::null()).output().unwrap();
    (output, text(&log))
}

/// Runs the program and kills all of it at a call; whether it made so many.
fn killed_at(tree: &Tree, what: &str, call: &str, number: u32) -> bool {
    let (_, log) = injected(tree, what, call, &format!("signal=SIGKILL:when={number}"));
    log.contains("killed by SIGKILL")
}

/// A tree with something for each kind of change.
fn varied() -> Tree {
    let tree = Tree::new();
    for name in ["one", "two"] {
        tree.directory(name, 0o2750);
        tree.file(&format!("{name}/file"), name, 0o640);
        tree.file(&format!("{name}/program"), name, 0o4755);
        tree.file(&format!("{name}/open"), name, 0o666);
        fs::hard_link(tree.path(&format!("{name}/file")), tree.path(&format!("{name} again")))
            .unwrap();
        symlink("file", tree.path(&format!("{name}/link"))).unwrap();
        job().owns(tree.path(&format!("{name}/link")));
        make_fifo(&tree.path(&format!("{name}/fifo")));
        job().owns(tree.path(&format!("{name}/fifo")));
        set_list(&tree.path(&format!("{name}/program")), &format!("u:{}:r", job().uid));
        set_attribute(&tree.path(&format!("{name}/open")), "user.note", name);
    }
    tree
}

/// Takes a [`varied`] tree again and again, while something happens at each changing call in turn,
/// and then once more: nothing is lost at any time. Returns how many calls were tried: each one in
/// a long run, else one of two, and others for another `name`.
fn at_each_call_of_take(name: &str, happens: impl Fn(&Tree, &str, u32) -> bool) -> u32 {
    let reference = varied();
    reference.taken();
    let contents = |tree: &Tree| {
        let mut all = snapshot(&tree.top);
        all.retain(|_, entry| entry.kind != "fifo");
        all.into_iter().map(|(path, entry)| (path, entry.content)).collect::<Vec<_>>()
    };
    let expected = snapshot(&reference.top);
    let same = |tree: &Tree| {
        let mut found = snapshot(&tree.top);
        for (path, entry) in &mut found {
            entry.modified = expected[path].modified;
        }
        found == expected
    };
    let (is_tried, mut index) = (moments(2, name), 0);
    let mut tried = 0;
    for call in CHANGING {
        for number in 1.. {
            index += 1;
            if !is_tried(index) {
                continue;
            }
            let tree = varied();
            let before = contents(&tree);
            if !happens(&tree, call, number) {
                break;
            }
            tried += 1;
            assert_eq!(contents(&tree), before, "{call} {number}: a file is not whole");
            sweep(&tree);
            tree.taken();
            assert!(same(&tree), "{call} {number}: {:#?}", snapshot(&tree.top));
            sweep(&tree);
            tree.is_back();
        }
    }
    tried
}

#[test]
fn a_take_that_is_killed_at_any_call_is_completed_by_the_next() {
    let kills =
        at_each_call_of_take("killed", |tree, call, number| killed_at(tree, "take", call, number));
    assert!(kills > 8, "only {kills} kills");
}

/// What is compared of a tree of many files: mode, time and content.
fn sketch(top: &Path) -> BTreeMap<PathBuf, (u32, i64, Vec<u8>)> {
    let (mut all, mut pending) = (BTreeMap::new(), vec![top.to_path_buf()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).unwrap().flatten() {
            let (path, found) = (entry.path(), entry.metadata().unwrap());
            let content = if found.is_file() { fs::read(&path).unwrap() } else { Vec::new() };
            all.insert(path.clone(), (found.mode(), found.mtime(), content));
            if found.is_dir() {
                pending.push(path);
            }
        }
    }
    all
}

#[test]
fn a_give_or_take_that_is_killed_at_any_time_is_completed_by_the_next() {
    let tree = Tree::new();
    for directory in 0..40 {
        let path = tree.directory(&directory.to_string(), 0o755);
        for file in 0..50 {
            write(path.join(file.to_string()), format!("{directory} {file}"), 0o644);
            job().owns(path.join(file.to_string()));
        }
        fs::hard_link(path.join("0"), path.join("again")).unwrap();
        set_modified(&path, 1_000_000_000, 7);
    }
    let before = sketch(&tree.top);
    let mut random = fastrand::Rng::with_seed(7);
    let mut killed = 0;
    for what in ["take", "give"].into_iter().cycle().take(24) {
        let mut program = tree.program(what);
        program.process_group(0).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = program.spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(random.u64(5..60)));
        let group = nix::unistd::Pid::from_raw(child.id().cast_signed());
        let _ = nix::sys::signal::killpg(group, nix::sys::signal::SIGKILL);
        // Its output ends when the last of its processes has ended.
        killed += u32::from(!child.wait_with_output().unwrap().status.success());
        sweep(&tree);
        let (found, expected) = (sketch(&tree.top), &before);
        let same =
            |path: &PathBuf| found.get(path).map(|entry| &entry.2) == Some(&expected[path].2);
        assert!(found.len() == before.len() && before.keys().all(same), "{what}: a file is lost");
        if what == "take" {
            tree.taken();
            assert_eq!(Account::of(&tree.path("0/0")), Account::batch());
        } else if Account::of(&tree.top) == Account::batch() {
            set_mode(&tree.top, 0o755);
            tree.done("give");
        }
        set_mode(&tree.top, 0o755);
        assert!(sketch(&tree.top) == before, "{what}");
    }
    assert!(killed > 5, "only {killed} were killed");
}

#[test]
fn a_take_in_which_any_call_fails_says_so_and_is_completed_by_the_next() {
    let failures = at_each_call_of_take("error", |tree, call, number| {
        let error = format!("error=ENOSPC:when={number}");
        let (output, log) = injected(tree, "take", call, &error);
        if !log.contains("INJECTED") {
            return false;
        }
        // What could not be removed beside the tree is the next sweep's.
        if !output.status.success() {
            let line = failed(&output, 1, &["ENOSPC"]);
            assert!(line.contains("tree"), "{line}");
        }
        true
    });
    assert!(failures > 8, "only {failures} failures");
}

#[test]
fn a_file_of_which_nothing_can_be_proved_is_copied() {
    let tree = Tree::new();
    for number in 0..40 {
        tree.file(&number.to_string(), number.to_string(), 0o644);
    }
    let before = snapshot(&tree.top);
    // The first calls are others than those for a lease.
    let (output, _) = injected(&tree, "take", "fcntl", "error=EINVAL:when=20+");
    let messages = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(number(&messages, "unproved") > 10, "{messages}");
    assert_eq!(number(&messages, "written"), 0, "{messages}");
    assert_eq!(snapshot(&tree.top), before);
    tree.is_back();
}

#[test]
fn a_tree_on_an_overlay_is_taken_back() {
    let tree = Tree::new();
    let mounts = Mounts::below(tree.site.path());
    // An overlay on an overlay would not do for what is changed.
    mounts.add(&["-t", "tmpfs", "-o", "mode=1777", "none"], &tree.site.execute());
    let layers = ["lower", "upper", "work"].map(|name| tree.site.execute().join(name));
    layers.iter().for_each(|layer| fs::create_dir(layer).unwrap());
    let below = Tree { site: Site::new(), top: layers[0].join("tree") };
    fs::create_dir(&below.top).unwrap();
    job().owns(&below.top);
    below.directory("directory", 0o755);
    below.file("directory/file", "content", 0o644);
    below.file("written", "content", 0o644);
    let merged = tree.site.scratch().join("merged");
    fs::create_dir(&merged).unwrap();
    let [lower, upper, work] = layers.map(|layer| layer.display().to_string());
    let options = format!("lowerdir={lower},upperdir={upper},workdir={work}");
    mounts.add(&["-t", "overlay", "-o", &options, "none"], &merged);
    set_mode(&merged, 0o777);
    let tree = Tree { site: tree.site, top: merged.join("tree") };
    let mut writer = open_to_write(&tree.path("written"));
    tree.taken();
    writer.write_all(b"evil").unwrap();
    for name in ["directory/file", "written"] {
        assert_eq!(text(tree.path(name)), "content", "{name}");
    }
    support::handover::assert_owner(&tree.top, Account::batch());
}

/// Makes directories, each in the one before.
fn deep(tree: &Tree, levels: usize) {
    let mut here = sys::Dir::open(&tree.top).unwrap();
    let name = sys::Name::new(b"d").unwrap();
    for _ in 0..levels {
        here = here.create_dir(name).unwrap();
        sys::owner::set(&here, owner_of(job())).unwrap();
    }
}

fn owner_of(account: Account) -> sys::Owner {
    let (uid, gid) = (sys::Uid::from_raw(account.uid), sys::Gid::from_raw(account.gid));
    sys::Owner { uid, gid }
}

#[test]
fn a_tree_of_4096_levels_is_taken_and_given_and_a_deeper_one_is_refused() {
    for (levels, fits) in [(4096, true), (4097, false)] {
        let tree = Tree::new();
        let _mounts = in_memory(&tree.site, "");
        let tree = Tree { top: tree.site.execute().join("tree"), ..tree };
        fs::create_dir(&tree.top).unwrap();
        job().owns(&tree.top);
        deep(&tree, levels);
        let call = |what: &str| {
            let program = tree.program(what);
            support::under(&program, &["prlimit", "--nofile=1024:1024", "--"]).output().unwrap()
        };
        if fits {
            for what in ["take", "give", "take"] {
                let output = call(what);
                assert!(output.status.success(), "{what}: {}", messages(&output));
            }
        } else {
            failed(&call("take"), 1, &["refused", "deeper than 4096 levels"]);
            assert_eq!(Account::of(&tree.top), job());
        }
    }
}

#[test]
#[ignore = "long: scripts/test --long"]
fn a_million_files_need_no_more_memory_than_a_few() {
    for linked in [false, true] {
        let tree = Tree::new();
        let _mounts = in_memory(&tree.site, "nr_inodes=3m");
        let tree = Tree { top: tree.site.execute().join("tree"), ..tree };
        fs::create_dir(&tree.top).unwrap();
        for number in 0..1000 {
            let directory = tree.path(&format!("d{number}"));
            fs::create_dir(&directory).unwrap();
            for file in 0..1000 {
                let path = directory.join(file.to_string());
                if linked && file % 2 == 1 {
                    fs::hard_link(directory.join((file - 1).to_string()), path).unwrap();
                } else {
                    File::create(&path).unwrap();
                    job().owns(&path);
                }
            }
            job().owns(&directory);
        }
        job().owns(&tree.top);
        for what in ["take", "give", "take"] {
            let (output, peak) = support::attack::ended(tree.program(what));
            assert!(output.status.success(), "{what}: {}", messages(&output));
            assert!(peak < 64 << 10, "{what}: {peak} KiB");
        }
    }
}

/// What the next helper removes beside a sandbox.
fn sweep(tree: &Tree) {
    for name in tree.site.entries() {
        if name != "tree" {
            assert!(name.to_string_lossy().starts_with("tree.gh."), "{name:?}");
            fs::remove_dir_all(tree.site.execute().join(name)).unwrap();
        }
    }
}

#[test]
fn a_give_that_is_killed_at_any_call_is_undone_or_completed() {
    let plain = || {
        let tree = Tree::new();
        for name in ["one", "two"] {
            tree.directory(name, 0o755);
            tree.file(&format!("{name}/file"), name, 0o400);
            symlink("file", tree.path(&format!("{name}/link"))).unwrap();
            fs::hard_link(tree.path(&format!("{name}/file")), tree.path(name).join("again"))
                .unwrap();
            set_mode(tree.path(name), 0o555);
        }
        support::own(&tree.top, Account::batch());
        tree
    };
    let mut kills = 0;
    for (call, again) in CHANGING.into_iter().flat_map(|call| [(call, "undo"), (call, "give")]) {
        for number in 1.. {
            let tree = plain();
            let before = snapshot(&tree.top);
            if !killed_at(&tree, "give", call, number) {
                break;
            }
            kills += 1;
            let given = Account::of(&tree.top) == job();
            if again == "give" && !given {
                set_mode(&tree.top, 0o755);
                tree.done("give");
                support::handover::assert_owner(&tree.top, job());
            } else {
                tree.done("undo");
                set_mode(&tree.top, 0o755);
                tree.is_back();
            }
            set_mode(&tree.top, 0o755);
            assert_eq!(snapshot(&tree.top), before, "{call} {number}");
        }
    }
    assert!(kills > 8, "only {kills} kills");
}
