//! What is preserved and what is dropped when a sandbox is handed over, and the limits.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use support::handover::{
    CLEANUP, ODD, SETUP, across, across_and, assert_is_back, comes_across, data, filled,
    handed_over, mode, run, set_mode, text,
};
use support::mounts::{Mounts, in_memory};
use support::snapshot::{make_fifo, set_attribute, set_modified, snapshot};
use support::{Account, PROXY, Site, failed, messages, own, owner, succeeded, variables_of, write};

// What is preserved.

#[test]
fn names_with_any_bytes_are_preserved() {
    comes_across(|top| {
        let bytes: Vec<u8> = (1..=255).filter(|byte| *byte != b'/').collect();
        let more = ["...", "s.condor", "s.gh.00000000", "x.condor"].map(str::as_bytes);
        for name in bytes.chunks(9).chain(more).chain(ODD) {
            let name = OsString::from_vec(name.to_vec());
            let directory = top.join("d").join(&name);
            fs::create_dir_all(&directory).unwrap();
            write(directory.join(&name), name.as_bytes(), 0o644);
            symlink(&name, directory.join("link")).unwrap();
        }
    });
}

#[test]
fn contents_are_preserved() {
    comes_across(|top| {
        for (name, length) in
            [("empty", 0), ("one", 1), ("chunk", 262_144), ("more", 262_145), ("large", 3_000_001)]
        {
            let content: Vec<u8> =
                (0..length).map(|index| (index * 7 + index / 251) as u8).collect();
            write(top.join(name), content, 0o644);
        }
    });
}

#[test]
fn permission_bits_are_preserved_and_the_owner_can_read_and_write_what_comes_back() {
    let [(found, given), (mut of_job, back)] = across(|top| {
        for mode in (0o400..=0o777).step_by(0o11).chain([0o400, 0o444, 0o755, 0o777]) {
            write(top.join(format!("file {mode:o}")), "content", mode);
        }
        for mode in [0o500, 0o700, 0o711, 0o555, 0o777, 0o707] {
            let directory = top.join(format!("directory {mode:o}"));
            fs::create_dir(&directory).unwrap();
            write(directory.join("file"), "content", 0o640);
            set_mode(directory, mode);
        }
        // Cleanup closes a top below which others may write.
        set_mode(top, 0o700);
    });
    assert_eq!(given, found);
    for entry in of_job.values_mut() {
        entry.mode |= if entry.kind == "directory" { 0o700 } else { 0o600 };
    }
    assert_eq!(back, of_job);
}

#[test]
fn the_batch_user_can_read_and_remove_everything_that_comes_back() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    fs::create_dir_all(sandbox.join("d/sub")).unwrap();
    fs::create_dir(sandbox.join("closed")).unwrap();
    for (name, bits) in [("d/sub/file", 0), ("closed/file", 0o200), ("file", 0o044)] {
        write(sandbox.join(name), name, bits);
    }
    for (name, bits) in [("d/sub", 0o500), ("d", 0o500), ("closed", 0)] {
        set_mode(sandbox.join(name), bits);
    }
    own(&sandbox, Account::of(&sandbox));
    site.clean_up(&sandbox);
    let walk = r#"cd "$0" && cat file d/sub/file closed/file && rm -r d closed file && ls -A"#;
    let output = Account::batch().command("sh").args(["-c", walk]).arg(&sandbox).output().unwrap();
    let printed = format!("filed/sub/fileclosed/file{PROXY}\n");
    assert_eq!(
        (String::from_utf8_lossy(&output.stdout).as_ref(), messages(&output).as_str()),
        (printed.as_str(), "")
    );
}

#[test]
fn links_are_preserved_as_links_and_not_followed() {
    comes_across(|top| {
        fs::create_dir_all(top.join("directory/below")).unwrap();
        write(top.join("directory/file"), "file", 0o644);
        for (number, target) in
            ["directory", "directory/file", "nowhere", ".", "self"].into_iter().enumerate()
        {
            symlink(target, top.join(format!("link {number}"))).unwrap();
        }
        symlink("self", top.join("self")).unwrap();
        symlink("../..", top.join("directory/below/top")).unwrap();
        symlink("../../directory/file", top.join("directory/below/file")).unwrap();
        symlink("../below/../file", top.join("directory/below/back and forth")).unwrap();
        symlink(OsStr::from_bytes(b"\xff\n$(touch x)"), top.join("odd")).unwrap();
        symlink("x".repeat(4095), top.join("long")).unwrap();
    });
}

#[test]
fn hard_links_are_preserved() {
    comes_across(|top| {
        fs::create_dir_all(top.join("a/b")).unwrap();
        write(top.join("first"), "shared", 0o640);
        symlink("first", top.join("link")).unwrap();
        for (old, new) in
            [("first", "second"), ("first", "a/third"), ("first", "a/b/fourth"), ("link", "a/link")]
        {
            fs::hard_link(top.join(old), top.join(new)).unwrap();
        }
        write(top.join("a/pair"), "another", 0o600);
        fs::hard_link(top.join("a/pair"), top.join("a/b/pair")).unwrap();
    });
}

#[test]
fn empty_directories_are_preserved() {
    comes_across(|top| {
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::create_dir(top.join("empty")).unwrap();
    });
}

#[test]
fn modification_times_are_preserved_to_the_nanosecond() {
    comes_across(|top| {
        fs::create_dir(top.join("directory")).unwrap();
        for (number, name) in ["file", "directory/file", "other"].into_iter().enumerate() {
            write(top.join(name), "content", 0o644);
            set_modified(
                &top.join(name),
                -1_000_000_000 * number as i64,
                999_999_999 - number as i64,
            );
        }
        symlink("file", top.join("link")).unwrap();
        set_modified(&top.join("link"), 1_000_000_000, 1);
        set_modified(&top.join("directory"), 1_234_567_890, 123_456_789);
        set_modified(top, 2_000_000_000, 987_654_321);
    });
}

#[test]
fn holes_are_preserved() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let mut file = File::create(sandbox.join("sparse")).unwrap();
    for offset in [1 << 20, 5 << 20] {
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.write_all(&[b'x'; 4096]).unwrap();
    }
    file.set_len(8 << 20).unwrap();
    File::create(sandbox.join("hollow")).unwrap().set_len(8 << 30).unwrap();
    own(&sandbox, Account::batch());
    let sizes =
        || ["sparse", "hollow"].map(|name| fs::metadata(sandbox.join(name)).unwrap().blocks());
    let (content, before) = (fs::read(sandbox.join("sparse")).unwrap(), sizes());
    for step in [Site::set_up, Site::clean_up] {
        step(&site, &sandbox);
        assert!(fs::read(sandbox.join("sparse")).unwrap() == content);
        assert_eq!(fs::metadata(sandbox.join("hollow")).unwrap().len(), 8 << 30);
        assert_eq!(sizes(), before);
    }
}

#[test]
fn a_flat_directory_of_10000_files_is_preserved() {
    let site = Site::new();
    let _mounts = in_memory(&site, "");
    let sandbox = site.sandbox("s");
    for number in 0..10_000 {
        fs::write(sandbox.join(format!("file {number}")), number.to_string()).unwrap();
    }
    own(&sandbox, Account::batch());
    for step in [Site::set_up, Site::clean_up] {
        step(&site, &sandbox);
        assert_eq!(fs::read_dir(&sandbox).unwrap().count(), 10_001);
        for number in 0..10_000 {
            assert_eq!(text(sandbox.join(format!("file {number}"))), number.to_string());
        }
    }
}

#[test]
fn user_attributes_are_preserved() {
    comes_across(|top| {
        fs::create_dir(top.join("directory")).unwrap();
        write(top.join("file"), "content", 0o644);
        set_attribute(&top.join("file"), "user.one", "1");
        set_attribute(&top.join("file"), "user.more than one", &"x".repeat(1000));
        set_attribute(&top.join("directory"), "user.empty", "");
        set_attribute(top, "user.top", "of all");
    });
}

// What is dropped.

#[test]
fn set_user_id_set_group_id_and_sticky_bits_are_dropped() {
    let fill = |top: &Path| {
        fs::create_dir(top.join("directory")).unwrap();
        write(top.join("program"), "content", 0o755);
    };
    let set = |top: &Path| {
        set_mode(top.join("program"), 0o6755);
        set_mode(top.join("directory"), 0o7755);
        set_mode(top, 0o3755);
    };
    for (mut before, after) in across_and(fill, set) {
        assert!(before.values().any(|entry| entry.mode == 0o6755), "the bits are set");
        before.values_mut().for_each(|entry| entry.mode &= 0o777);
        assert_eq!(after, before);
    }
}

#[test]
fn devices_sockets_and_fifos_are_dropped() {
    let fill = |top: &Path| {
        fs::create_dir(top.join("directory")).unwrap();
        make_fifo(&top.join("fifo"));
        make_fifo(&top.join("directory/fifo"));
        UnixListener::bind(top.join("socket")).unwrap();
        let device = top.join("device");
        run("mknod", &[device.as_os_str(), OsStr::new("c"), OsStr::new("1"), OsStr::new("3")]);
        write(top.join("file"), "content", 0o644);
    };
    for (mut before, after) in across(fill) {
        let count = before.len();
        before.retain(|_, entry| matches!(entry.kind, "file" | "directory" | "link"));
        assert_eq!(before.len(), count - 4);
        assert_eq!(after, before);
    }
}

/// The names of all extended attributes of a file, read as root.
fn all_attributes(path: &Path) -> Vec<String> {
    let listed = run(
        "getfattr",
        &["-m", "-", "--absolute-names", "--"]
            .map(OsStr::new)
            .into_iter()
            .chain([path.as_os_str()])
            .collect::<Vec<_>>(),
    );
    listed
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

fn set_list(path: &Path, options: &[&str]) {
    let arguments = options.iter().map(OsStr::new).chain([OsStr::new("--"), path.as_os_str()]);
    run("setfacl", &arguments.collect::<Vec<_>>());
}

#[test]
fn access_control_lists_are_dropped_and_the_group_keeps_what_its_entry_and_the_mask_allow() {
    let fill = |top: &Path| {
        fs::create_dir(top.join("directory")).unwrap();
        set_mode(top.join("directory"), 0o750);
        write(top.join("file"), "content", 0o640);
        write(top.join("masked"), "content", 0o670);
        set_list(&top.join("file"), &["-m", "u:gh-other:rwx"]);
        set_list(&top.join("masked"), &["-m", "u:gh-other:rwx,m::---"]);
        set_list(&top.join("directory"), &["-m", "u:gh-other:rwx,d:u:gh-other:rwx"]);
        set_list(top, &["-m", "g:gh-other:rwx"]);
        assert_eq!(
            (mode(&top.join("file")), mode(&top.join("masked"))),
            (0o670, 0o600),
            "the mask is shown as the group's bits"
        );
    };
    let expected = [("", 0o755), ("directory", 0o750), ("file", 0o640), ("masked", 0o600)];
    let check = |sandbox: &Path| {
        for (name, bits) in expected {
            let path = sandbox.join(name);
            assert_eq!((mode(&path), all_attributes(&path)), (bits, vec![]), "{name}");
        }
    };
    let site = Site::new();
    let (given, left) = (site.sandbox("given"), handed_over(&site, "left"));
    fs::remove_dir_all(left.join("below")).unwrap();
    for (sandbox, account) in [(&given, Account::batch()), (&left, Account::job())] {
        fill(sandbox);
        own(sandbox, account);
    }
    site.set_up(&given);
    check(&given);
    site.clean_up(&left);
    check(&left);
}

#[test]
fn a_default_access_control_list_of_the_parent_is_not_inherited() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    let before = data(&sandbox);
    set_list(&site.execute(), &["-d", "-m", "u:gh-other:rwx,g::rwx,m::rwx"]);
    for step in [Site::set_up, Site::clean_up] {
        step(&site, &sandbox);
        assert_eq!(data(&sandbox), before);
        assert!(before.keys().all(|below| sandbox.join(below).is_symlink()
            || all_attributes(&sandbox.join(below)).is_empty()));
    }
}

#[test]
fn attributes_that_are_not_the_users_are_dropped() {
    let site = Site::new();
    let (given, left) = (site.sandbox("given"), handed_over(&site, "left"));
    for (sandbox, account) in [(&given, Account::batch()), (&left, Account::job())] {
        let program = sandbox.join("program");
        write(&program, "content", 0o755);
        own(sandbox, account);
        run("setcap", &[OsStr::new("cap_net_raw+ep"), program.as_os_str()]);
        set_attribute(&program, "user.kept", "1");
        assert_eq!(all_attributes(&program).len(), 2);
    }
    site.set_up(&given);
    site.clean_up(&left);
    for sandbox in [given, left] {
        assert_eq!(all_attributes(&sandbox.join("program")), ["user.kept"]);
    }
}

#[test]
fn the_directory_that_cleanup_returns_has_all_rights_for_its_owner() {
    let site = Site::new();
    for (name, bits) in [("none", 0), ("closed", 0o055), ("read-only", 0o555), ("all", 0o751)] {
        let sandbox = handed_over(&site, name);
        set_mode(&sandbox, bits);
        site.clean_up(&sandbox);
        assert_eq!(mode(&sandbox), bits | 0o700, "{name}");
    }
}

#[test]
fn cleanup_closes_the_top_if_group_or_others_may_write_to_a_directory_in_it() {
    let site = Site::new();
    for (top, below) in [(0o775, 0o755), (0o757, 0o755), (0o755, 0o720), (0o755, 0o702)] {
        let sandbox = handed_over(&site, format!("{top:o} {below:o}"));
        set_mode(&sandbox, top);
        set_mode(sandbox.join("below"), below);
        site.clean_up(&sandbox);
        assert_eq!((mode(&sandbox), mode(&sandbox.join("below"))), (0o700, below), "{top:o}");
    }
}

// Mount points.

/// Mounts a memory file system, a directory of the same device, and a single file, one after the
/// other. The helper must fail and name each, and the content of each must stay.
fn refuses_mounts(site: &Site, helper: &str, sandbox: &Path, status: i32) {
    let outside = site.path().join("outside");
    fs::create_dir(&outside).unwrap();
    set_mode(&outside, 0o777);
    write(outside.join("content"), "kept", 0o666);
    let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
    let bind = |source: &Path| vec!["--bind".into(), source.into()];
    let mounts = [
        ("below", words(&["-t", "tmpfs", "none"])),
        ("below", bind(&outside)),
        ("input", bind(&outside.join("content"))),
    ];
    for (name, arguments) in mounts {
        let mounts = Mounts::below(site.path());
        mounts.add(&arguments, &sandbox.join(name));
        if name == "below" {
            write(sandbox.join("below/content"), "kept", 0o666);
        }
        let before = (snapshot(sandbox), site.entries());
        let output = site.call(helper, &site.switcher(), sandbox).output().unwrap();
        failed(&output, status, &["mount point", name]);
        assert_eq!((snapshot(sandbox), site.entries()), before, "{arguments:?}");
        drop(mounts);
    }
    assert_eq!(text(outside.join("content")), "kept");
}

#[test]
fn a_mount_point_is_an_error_of_setup_that_names_it_and_is_not_emptied() {
    let site = Site::new();
    let sandbox = filled(&site, "s");
    refuses_mounts(&site, SETUP, &sandbox, 2);
    site.set_up(&sandbox);
}

#[test]
fn a_mount_point_is_an_error_of_cleanup_that_names_it_and_is_not_emptied() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    let left = data(&sandbox);
    refuses_mounts(&site, CLEANUP, &sandbox, 1);
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &left, "without mounts");
}

#[test]
fn what_is_mounted_on_the_sandbox_is_not_taken_for_it() {
    let site = Site::new();
    let sandbox = handed_over(&site, "s");
    // The mounted directory looks like a sandbox in which only the retained proxy is left to
    // remove.
    let outside = site.path().join("outside");
    fs::create_dir(&outside).unwrap();
    own(&outside, Account::batch());
    let mounts = Mounts::below(site.path());
    mounts.add(&["--bind".as_ref(), outside.as_os_str()], &sandbox);
    let before = (snapshot(&sandbox), site.entries());
    for (helper, status) in [(CLEANUP, 1), (SETUP, 1)] {
        failed(
            &site.call(helper, &site.switcher(), &sandbox).output().unwrap(),
            status,
            &["mounted on it"],
        );
        assert_eq!((snapshot(&sandbox), site.entries()), before);
    }
    drop(mounts);
    let left = data(&sandbox);
    site.clean_up(&sandbox);
    assert_is_back(&site, &sandbox, &left, "without the mount");
}

// Limits.

/// Makes this number of levels of directories, and a file in the lowest.
fn dig(top: &Path, levels: usize, account: Account) {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut here = openat(AT_FDCWD, top, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        mkdirat(&here, "d", Mode::from_bits_truncate(0o755)).unwrap();
        here = openat(&here, "d", flags, Mode::empty()).unwrap();
    }
    openat(&here, "bottom", OFlag::O_CREAT | OFlag::O_CLOEXEC, Mode::from_bits_truncate(0o644))
        .unwrap();
    run(
        "chown",
        &["-R".as_ref(), format!("{}:{}", account.uid, account.gid).as_ref(), top.as_os_str()],
    );
}

/// The number of levels of directories, and whether the lowest has the file.
fn depth(top: &Path) -> (usize, bool) {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut here = openat(AT_FDCWD, top, flags, Mode::empty()).unwrap();
    let mut levels = 0;
    while let Ok(next) = openat(&here, "d", flags, Mode::empty()) {
        (here, levels) = (next, levels + 1);
    }
    (levels, openat(&here, "bottom", OFlag::O_CLOEXEC, Mode::empty()).is_ok())
}

/// The same call with the limit of open files that most machines have.
fn limited(call: &Command) -> Command {
    let mut limited = Account::batch().command("prlimit");
    limited.args(["--nofile=1024", "--"]).arg(call.get_program()).args(call.get_args()).env_clear();
    limited.envs(variables_of(call)).stdin(Stdio::null());
    limited
}

#[test]
fn a_tree_of_4096_levels_is_preserved() {
    let site = Site::new();
    let _mounted = in_memory(&site, "");
    let deep = site.sandbox("s");
    dig(&deep, 4096, Account::batch());
    for (helper, account) in [(SETUP, Account::job()), (CLEANUP, Account::batch())] {
        succeeded(&limited(&site.call(helper, &site.switcher(), &deep)).output().unwrap());
        assert_eq!((depth(&deep), owner(&deep)), ((4096, true), account), "{helper}");
    }
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn a_tree_of_4097_levels_is_refused_and_stays_as_it_was() {
    let site = Site::new();
    let _mounted = in_memory(&site, "");
    let deep = site.sandbox("s");
    dig(&deep, 4097, Account::batch());
    failed(&site.call(SETUP, &site.switcher(), &deep).output().unwrap(), 2, &["4096 levels"]);
    assert_eq!((depth(&deep), owner(&deep)), ((4097, true), Account::batch()));
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn cleanup_refuses_4097_levels_and_leaves_them_where_they_were() {
    let site = Site::new();
    let _mounted = in_memory(&site, "");
    let deep = site.sandbox("s");
    site.set_up(&deep);
    dig(&deep, 4097, Account::job());
    failed(&site.call(CLEANUP, &site.switcher(), &deep).output().unwrap(), 1, &["4096 levels"]);
    assert_eq!((depth(&deep), owner(&deep)), ((4097, true), Account::job()));
    assert_eq!(site.entries(), ["s", "s.condor"]);
}

#[test]
fn names_of_255_bytes_are_preserved() {
    let long = OsString::from_vec(vec![b'\xe9'; 255]);
    comes_across(|top| {
        fs::create_dir_all(top.join(&long).join(&long)).unwrap();
        write(top.join(&long).join(&long).join(&long), "content", 0o644);
        fs::hard_link(top.join(&long).join(&long).join(&long), top.join("same")).unwrap();
        symlink(&long, top.join("link")).unwrap();
    });
}

#[test]
fn a_sandbox_name_that_is_too_long_is_refused() {
    let site = Site::new();
    let (longest, longer) = (filled(&site, "s".repeat(243)), filled(&site, "t".repeat(244)));
    let before = data(&longer);
    for helper in [SETUP, CLEANUP] {
        failed(&site.call(helper, &site.switcher(), &longer).output().unwrap(), 1, &["too long"]);
    }
    site.set_up(&longest);
    site.clean_up(&longest);
    assert_eq!(data(&longer), before);
    assert_eq!(site.entries().len(), 2);
}
