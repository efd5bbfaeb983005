//! What setup, cleanup and update_proxy do to the directory: real accounts, the real sudo adapter.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::fcntl::{AT_FDCWD, OFlag, openat};
use nix::sys::stat::{Mode, mkdirat};
use support::picture::{Picture, make_fifo, picture, set_attribute, set_modified};
use support::{Account, MAP, PROXY, Site, failed, own, owner, program, retained, said, succeeded, wait_until, write};

const SETUP: &str = "condor_glexec_setup";
const CLEANUP: &str = "condor_glexec_cleanup";
const UPDATE: &str = "condor_glexec_update_proxy";
const KILL: &str = "condor_glexec_kill";
const AGENT: &str = "condor_glexec_agent";

/// Something to do to a path, and what to call it.
type Deed<'a> = (&'a str, &'a dyn Fn(&Path));

/// Names that a shell, a parser of options or a decoder of text would trip over.
const ODD: [&[u8]; 9] =
    [b"-rf", b"two words", b"it's \"q\"", b"$(touch x)", b"new\nline", b"\xff", b"a;b|c&d", b"*", b"back\\slash"];

/// What a sandbox must hold that no other entry tells: a file, a link and a directory with another file.
fn furnish(top: &Path) {
    write(top.join("input"), "the input", 0o644);
    symlink("input", top.join("link")).unwrap();
    fs::create_dir(top.join("below")).unwrap();
    write(top.join("below/script"), "#!/bin/sh\n", 0o755);
}

/// A sandbox with that content.
fn furnished(site: &Site, name: impl AsRef<OsStr>) -> PathBuf {
    let sandbox = site.sandbox(name);
    furnish(&sandbox);
    own(&sandbox, Account::batch());
    sandbox
}

/// One that is set up.
fn with_job(site: &Site, name: impl AsRef<OsStr>) -> PathBuf {
    let sandbox = furnished(site, name);
    site.set_up(&sandbox);
    sandbox
}

/// A picture without the proxy, which is written anew.
fn data(sandbox: &Path) -> Picture {
    let mut all = picture(sandbox);
    all.remove(Path::new(PROXY));
    all
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

fn set_mode(path: impl AsRef<Path>, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

fn text(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap()
}

fn run(program: &str, arguments: &[&OsStr]) -> String {
    let output = Command::new(program).args(arguments).output().expect("it is installed: run ci/provision");
    assert!(output.status.success(), "{program} {arguments:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails unless every entry of the tree is the account's.
fn all_of(path: &Path, account: Account) {
    for below in picture(path).keys() {
        assert_eq!(owner(&path.join(below)), account, "{}", below.display());
    }
}

/// Fails unless the sandbox is back: the batch user's, with this data, the retained proxy, and nothing beside it.
fn is_back(site: &Site, sandbox: &Path, expected: &Picture, what: &str) {
    assert_eq!(site.entries(), [sandbox.file_name().unwrap()], "{what}");
    assert_eq!(data(sandbox), *expected, "{what}");
    assert_eq!(text(sandbox.join(PROXY)), "the proxy\n", "{what}");
    all_of(sandbox, Account::batch());
}

/// Fails unless the sandbox is still set up.
fn is_with_job(site: &Site, sandbox: &Path, what: &str) {
    let name = sandbox.file_name().unwrap();
    assert_eq!(site.entries(), [name, retained(sandbox).file_name().unwrap()], "{what}");
    all_of(sandbox, Account::job());
    all_of(&retained(sandbox), Account::batch());
    assert_eq!(picture(&retained(sandbox)).into_keys().collect::<Vec<_>>(), [Path::new(""), Path::new(PROXY)]);
}

/// Takes what `furnish` makes through both directions: what setup found and made of it, and what the job left and
/// cleanup made of that. `finish` does what a change of owner would undo.
fn across_and(furnish: impl Fn(&Path), finish: impl Fn(&Path)) -> [(Picture, Picture); 2] {
    let site = Site::new();
    let make = |sandbox: &Path, account| {
        furnish(sandbox);
        own(sandbox, account);
        finish(sandbox);
    };
    let (given, left) = (site.sandbox("given"), site.sandbox("left"));
    make(&given, Account::batch());
    let found = picture(&given);
    site.set_up(&given);
    site.set_up(&left);
    make(&left, Account::job());
    let of_job = data(&left);
    site.clean_up(&left);
    [(found, picture(&given)), (of_job, data(&left))]
}

fn across(furnish: impl Fn(&Path)) -> [(Picture, Picture); 2] {
    across_and(furnish, |_| ())
}

/// Fails unless what `furnish` makes comes across in both directions, exactly.
fn comes_across(furnish: impl Fn(&Path)) {
    for (before, after) in across(furnish) {
        assert_eq!(after, before);
    }
}

// Before and after.

#[test]
fn setup_takes_only_a_directory_of_the_batch_users_with_a_proxy() {
    let site = Site::new();
    let spoil: [Deed; 7] = [
        ("missing", &|sandbox| fs::remove_dir_all(sandbox).unwrap()),
        ("somebody-elses", &|sandbox| Account::other().owns(sandbox)),
        ("file", &|sandbox| {
            fs::remove_dir_all(sandbox).unwrap();
            write(sandbox, "a file", 0o644);
            Account::batch().owns(sandbox);
        }),
        ("link", &|sandbox| {
            fs::rename(sandbox, site.path().join("elsewhere")).unwrap();
            symlink(site.path().join("elsewhere"), sandbox).unwrap();
            Account::batch().owns(sandbox);
        }),
        ("no-proxy", &|sandbox| fs::remove_file(sandbox.join(PROXY)).unwrap()),
        ("empty-proxy", &|sandbox| fs::write(sandbox.join(PROXY), "").unwrap()),
        ("linked-proxy", &|sandbox| {
            fs::rename(sandbox.join(PROXY), sandbox.join("other")).unwrap();
            symlink("other", sandbox.join(PROXY)).unwrap();
        }),
    ];
    for (name, spoil) in spoil {
        let sandbox = site.sandbox(name);
        spoil(&sandbox);
        let before = site.entries();
        let output = site.call(SETUP, &site.switcher(), &sandbox).output().unwrap();
        failed(&output, 1, &[name]);
        assert_eq!(site.entries(), before, "{name}");
    }
}

#[test]
fn after_setup_all_of_the_sandbox_is_the_job_users_with_a_proxy_of_its_own() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    let before = picture(&sandbox);
    site.set_up(&sandbox);
    all_of(&sandbox, Account::job());
    assert_eq!(picture(&sandbox), before);
    assert_eq!(text(sandbox.join(PROXY)), "the proxy\n");
}

#[test]
fn after_setup_the_batch_user_retains_the_proxy_alone_out_of_the_jobs_reach() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    is_with_job(&site, &sandbox, "after setup");
    let proxy = retained(&sandbox).join(PROXY);
    assert_eq!((text(&proxy).as_str(), mode(&proxy)), ("the proxy\n", 0o600));
    for (program, path) in
        [("cat", &proxy), ("ls", &retained(&sandbox)), ("rm", &proxy), ("rmdir", &retained(&sandbox))]
    {
        let output = Account::job().command(program).arg(path).output().unwrap();
        assert!(said(&output).contains("ermi"), "{program} says {}", said(&output));
    }
}

#[test]
fn every_call_of_the_switcher_gets_the_retained_proxy() {
    let site = Site::new();
    let log = site.scratch().join("log");
    let body = format!(r#"(echo "$GLEXEC_CLIENT_CERT"; cat "$GLEXEC_CLIENT_CERT") >> {}"#, log.display());
    let switcher = site.script("logs", &format!("{body}\nexec {} \"$@\"", site.switcher().display()));
    let sandbox = furnished(&site, "s");
    let credential = retained(&sandbox).join(PROXY);
    let new = new_proxy(&site, "the proxy\n");
    let target = Account::job().command("sleep").arg("60").spawn().unwrap();
    let mut run = site.helper("condor_glexec_run");
    run.arg(&switcher).arg(PROXY).arg(&sandbox).args(["/bin/true", "-", "-", "-", "/bin/true"]);
    let mut calls = [
        site.call(SETUP, &switcher, &sandbox),
        run,
        update(&site, &switcher, &new, &sandbox),
        kill(&site, &switcher, &sandbox, target.id(), "KILL"),
        site.call(CLEANUP, &switcher, &sandbox),
    ];
    for call in &mut calls {
        succeeded(&call.output().unwrap());
    }
    reap(target);
    assert_eq!(text(&log), format!("{}\nthe proxy\n", credential.display()).repeat(calls.len()));
}

#[test]
fn after_cleanup_the_sandbox_is_the_batch_users_and_stands_alone() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    write(sandbox.join("output"), "the output", 0o600);
    own(&sandbox, Account::job());
    let left = data(&sandbox);
    site.clean_up(&sandbox);
    is_back(&site, &sandbox, &left, "after cleanup");
}

#[test]
fn cleanup_puts_the_retained_proxy_in_place_of_whatever_the_job_left() {
    let site = Site::new();
    let secret = site.scratch().join("secret");
    write(&secret, "secret", 0o644);
    let leave: [Deed; 5] = [
        ("nothing", &|_| ()),
        ("file", &|proxy| write(proxy, "forged", 0o777)),
        ("link", &|proxy| symlink(&secret, proxy).unwrap()),
        ("fifo", &|proxy| make_fifo(proxy)),
        ("directory", &|proxy| fs::create_dir_all(proxy.join("a/b")).unwrap()),
    ];
    for (name, leave) in leave {
        let sandbox = with_job(&site, name);
        let proxy = sandbox.join(PROXY);
        fs::remove_file(&proxy).unwrap();
        leave(&proxy);
        own(&sandbox, Account::job());
        site.clean_up(&sandbox);
        assert_eq!((text(&proxy).as_str(), mode(&proxy)), ("the proxy\n", 0o600), "{name}");
        assert_eq!(owner(&proxy), Account::batch(), "{name}");
        assert!(fs::symlink_metadata(&proxy).unwrap().is_file(), "{name}");
    }
    assert_eq!(text(&secret), "secret");
}

#[test]
fn the_parent_may_be_roots_with_mode_1777() {
    let site = Site::new();
    assert_eq!((owner(&site.execute()).uid, mode(&site.execute())), (0, 0o1777));
    let sandbox = furnished(&site, "s");
    let before = data(&sandbox);
    site.set_up(&sandbox);
    site.clean_up(&sandbox);
    is_back(&site, &sandbox, &before, "there and back");
}

#[test]
fn cleanup_has_deleted_everything_when_it_ends() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    for number in 0..300 {
        write(sandbox.join(number.to_string()), "content", 0o644);
    }
    own(&sandbox, Account::batch());
    site.set_up(&sandbox);
    site.clean_up(&sandbox);
    assert_eq!(site.entries(), ["s"]);
}

// Odd names.

#[test]
fn odd_paths_of_a_sandbox_go_through_setup_update_proxy_and_cleanup() {
    let site = Site::new();
    for odd in ODD.map(OsStr::from_bytes) {
        let parent = site.execute().join(odd);
        fs::create_dir(&parent).unwrap();
        set_mode(&parent, 0o1777);
        let sandbox = with_job(&site, Path::new(odd).join(odd));
        all_of(&sandbox, Account::job());
        succeeded(&update(&site, &site.switcher(), &new_proxy(&site, "renewed"), &sandbox).output().unwrap());
        assert_eq!(text(sandbox.join(PROXY)), "renewed");
        let left = data(&sandbox);
        site.clean_up(&sandbox);
        assert_eq!(data(&sandbox), left, "{odd:?}");
        assert_eq!(text(sandbox.join(PROXY)), "renewed");
        assert_eq!(fs::read_dir(&parent).unwrap().count(), 1, "{odd:?}");
    }
}

#[test]
fn an_odd_name_of_the_proxy_goes_through_setup_update_proxy_and_cleanup() {
    let site = Site::new();
    for odd in ODD.map(OsStr::from_bytes) {
        let sandbox = site.sandbox("s");
        fs::rename(sandbox.join(PROXY), sandbox.join(odd)).unwrap();
        let call = |name| {
            let mut call = site.helper(name);
            call.arg(site.switcher()).arg(odd).arg(&sandbox).args(["0", "0"]);
            succeeded(&call.output().unwrap());
        };
        call(SETUP);
        let mut update = site.helper(UPDATE);
        update.arg(site.switcher()).arg(new_proxy(&site, "renewed")).arg(odd).arg(&sandbox);
        succeeded(&update.output().unwrap());
        for copy in [&sandbox, &retained(&sandbox)] {
            assert_eq!(text(copy.join(odd)), "renewed", "{odd:?}");
        }
        call(CLEANUP);
        assert_eq!(fs::read_dir(&sandbox).unwrap().count(), 1, "{odd:?}");
        fs::remove_dir_all(&sandbox).unwrap();
    }
}

#[test]
fn a_failure_in_an_odd_sandbox_is_still_one_line() {
    let site = Site::new();
    let sandbox = site.sandbox(OsStr::from_bytes(b"new\nline\xff"));
    fs::remove_file(sandbox.join(PROXY)).unwrap();
    let output = site.call(SETUP, &site.switcher(), &sandbox).output().unwrap();
    failed(&output, 1, &["new\\nline\\xff", PROXY]);
}

// What comes across.

#[test]
fn names_come_across_with_any_bytes() {
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
fn contents_come_across() {
    comes_across(|top| {
        for (name, length) in [("empty", 0), ("one", 1), ("chunk", 262_144), ("more", 262_145), ("large", 3_000_001)] {
            let content: Vec<u8> = (0..length).map(|index| (index * 7 + index / 251) as u8).collect();
            write(top.join(name), content, 0o644);
        }
    });
}

#[test]
fn permission_bits_come_across() {
    comes_across(|top| {
        for mode in (0o400..=0o777).step_by(0o11).chain([0o400, 0o444, 0o755, 0o777]) {
            write(top.join(format!("file {mode:o}")), "content", mode);
        }
        for mode in [0o500, 0o700, 0o711, 0o555, 0o777, 0o707] {
            let directory = top.join(format!("directory {mode:o}"));
            fs::create_dir(&directory).unwrap();
            write(directory.join("file"), "content", 0o640);
            set_mode(directory, mode);
        }
        // With others writing below it, cleanup would close it.
        set_mode(top, 0o700);
    });
}

#[test]
fn links_come_across_as_links_and_are_not_followed() {
    let outside = tempfile::tempdir_in("/var/tmp").unwrap();
    write(outside.path().join("secret"), "secret", 0o644);
    comes_across(|top| {
        fs::create_dir(top.join("directory")).unwrap();
        let targets =
            [Path::new("directory"), Path::new("nowhere"), Path::new(".."), Path::new("self"), outside.path()];
        for (number, target) in targets.into_iter().enumerate() {
            symlink(target, top.join(format!("link {number}"))).unwrap();
        }
        symlink("self", top.join("self")).unwrap();
        symlink(outside.path().join("secret"), top.join("directory/secret")).unwrap();
        symlink(OsStr::from_bytes(b"\xff\n$(touch x)"), top.join("odd")).unwrap();
        symlink("x".repeat(4095), top.join("long")).unwrap();
    });
}

#[test]
fn hard_links_come_across_as_hard_links() {
    comes_across(|top| {
        fs::create_dir_all(top.join("a/b")).unwrap();
        write(top.join("first"), "shared", 0o640);
        symlink("first", top.join("link")).unwrap();
        for (old, new) in [("first", "second"), ("first", "a/third"), ("first", "a/b/fourth"), ("link", "a/link")] {
            fs::hard_link(top.join(old), top.join(new)).unwrap();
        }
        write(top.join("a/pair"), "another", 0o600);
        fs::hard_link(top.join("a/pair"), top.join("a/b/pair")).unwrap();
    });
}

#[test]
fn empty_directories_come_across() {
    comes_across(|top| {
        fs::create_dir_all(top.join("a/b/c")).unwrap();
        fs::create_dir(top.join("empty")).unwrap();
    });
}

#[test]
fn modification_times_come_across_to_the_nanosecond() {
    comes_across(|top| {
        fs::create_dir(top.join("directory")).unwrap();
        for (number, name) in ["file", "directory/file", "other"].into_iter().enumerate() {
            write(top.join(name), "content", 0o644);
            set_modified(&top.join(name), -1_000_000_000 * number as i64, 999_999_999 - number as i64);
        }
        symlink("file", top.join("link")).unwrap();
        set_modified(&top.join("link"), 1_000_000_000, 1);
        set_modified(&top.join("directory"), 1_234_567_890, 123_456_789);
        set_modified(top, 2_000_000_000, 987_654_321);
    });
}

#[test]
fn holes_come_across_as_holes() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    let mut file = File::create(sandbox.join("sparse")).unwrap();
    for offset in [1 << 20, 5 << 20] {
        file.seek(SeekFrom::Start(offset)).unwrap();
        file.write_all(&[b'x'; 4096]).unwrap();
    }
    file.set_len(8 << 20).unwrap();
    File::create(sandbox.join("hollow")).unwrap().set_len(1 << 30).unwrap();
    own(&sandbox, Account::batch());
    let sizes = || ["sparse", "hollow"].map(|name| fs::metadata(sandbox.join(name)).unwrap().blocks());
    let (content, before) = (fs::read(sandbox.join("sparse")).unwrap(), sizes());
    for step in [Site::set_up, Site::clean_up] {
        step(&site, &sandbox);
        assert!(fs::read(sandbox.join("sparse")).unwrap() == content);
        assert_eq!(fs::metadata(sandbox.join("hollow")).unwrap().len(), 1 << 30);
        assert_eq!(sizes(), before);
    }
}

#[test]
fn attributes_of_the_user_come_across() {
    comes_across(|top| {
        fs::create_dir(top.join("directory")).unwrap();
        write(top.join("file"), "content", 0o444);
        set_attribute(&top.join("file"), "user.one", "1");
        set_attribute(&top.join("file"), "user.more than one", &"x".repeat(1000));
        set_attribute(&top.join("directory"), "user.empty", "");
        set_attribute(top, "user.top", "of all");
    });
}

// What is dropped.

#[test]
fn set_user_id_set_group_id_and_sticky_bits_are_dropped() {
    let furnish = |top: &Path| {
        fs::create_dir(top.join("directory")).unwrap();
        write(top.join("program"), "content", 0o755);
    };
    let set = |top: &Path| {
        set_mode(top.join("program"), 0o6755);
        set_mode(top.join("directory"), 0o7755);
        set_mode(top, 0o3755);
    };
    for (mut before, after) in across_and(furnish, set) {
        assert!(before.values().any(|entry| entry.mode == 0o6755), "the bits are set");
        before.values_mut().for_each(|entry| entry.mode &= 0o777);
        assert_eq!(after, before);
    }
}

#[test]
fn devices_sockets_and_fifos_are_dropped() {
    let furnish = |top: &Path| {
        fs::create_dir(top.join("directory")).unwrap();
        make_fifo(&top.join("fifo"));
        make_fifo(&top.join("directory/fifo"));
        UnixListener::bind(top.join("socket")).unwrap();
        let device = top.join("device");
        run("mknod", &[device.as_os_str(), OsStr::new("c"), OsStr::new("1"), OsStr::new("3")]);
        write(top.join("file"), "content", 0o644);
    };
    for (mut before, after) in across(furnish) {
        let count = before.len();
        before.retain(|_, entry| matches!(entry.kind, "file" | "directory" | "link"));
        assert_eq!(before.len(), count - 4);
        assert_eq!(after, before);
    }
}

/// The names of all extended attributes of a file, as root sees them.
fn all_attributes(path: &Path) -> Vec<String> {
    let listed = run(
        "getfattr",
        &["-m", "-", "--absolute-names", "--"]
            .map(OsStr::new)
            .into_iter()
            .chain([path.as_os_str()])
            .collect::<Vec<_>>(),
    );
    listed.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
}

fn set_list(path: &Path, options: &[&str]) {
    let arguments = options.iter().map(OsStr::new).chain([OsStr::new("--"), path.as_os_str()]);
    run("setfacl", &arguments.collect::<Vec<_>>());
}

#[test]
fn access_control_lists_are_dropped_and_the_group_keeps_what_its_entry_and_the_mask_allow() {
    let furnish = |top: &Path| {
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
    let (given, left) = (site.sandbox("given"), with_job(&site, "left"));
    fs::remove_dir_all(left.join("below")).unwrap();
    for (sandbox, account) in [(&given, Account::batch()), (&left, Account::job())] {
        furnish(sandbox);
        own(sandbox, account);
    }
    site.set_up(&given);
    check(&given);
    site.clean_up(&left);
    check(&left);
}

#[test]
fn a_default_list_of_the_parent_is_not_handed_down() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    let before = data(&sandbox);
    set_list(&site.execute(), &["-d", "-m", "u:gh-other:rwx,g::rwx,m::rwx"]);
    for step in [Site::set_up, Site::clean_up] {
        step(&site, &sandbox);
        assert_eq!(data(&sandbox), before);
        assert!(
            before
                .keys()
                .all(|below| sandbox.join(below).is_symlink() || all_attributes(&sandbox.join(below)).is_empty())
        );
    }
}

#[test]
fn attributes_that_are_not_the_users_are_dropped() {
    let site = Site::new();
    let (given, left) = (site.sandbox("given"), with_job(&site, "left"));
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
        let sandbox = with_job(&site, name);
        set_mode(&sandbox, bits);
        site.clean_up(&sandbox);
        assert_eq!(mode(&sandbox), bits | 0o700, "{name}");
    }
}

#[test]
fn cleanup_closes_the_top_if_group_or_others_may_write_to_a_directory_in_it() {
    let site = Site::new();
    for (top, below) in [(0o775, 0o755), (0o757, 0o755), (0o755, 0o720), (0o755, 0o702)] {
        let sandbox = with_job(&site, format!("{top:o} {below:o}"));
        set_mode(&sandbox, top);
        set_mode(sandbox.join("below"), below);
        site.clean_up(&sandbox);
        assert_eq!((mode(&sandbox), mode(&sandbox.join("below"))), (0o700, below), "{top:o}");
    }
}

// Mount points.

/// What is mounted below a directory until this is dropped, wherever a helper has moved it meanwhile.
struct Mounts<'a>(&'a Path);

impl Mounts<'_> {
    fn add(&self, arguments: &[OsString], at: &Path) {
        run("mount", &arguments.iter().map(OsString::as_os_str).chain([at.as_os_str()]).collect::<Vec<_>>());
    }
}

impl Drop for Mounts<'_> {
    fn drop(&mut self) {
        for line in text("/proc/self/mounts").lines() {
            let at = Path::new(line.split(' ').nth(1).unwrap());
            if at.starts_with(self.0) {
                Command::new("umount").arg("--lazy").arg(at).status().unwrap();
            }
        }
    }
}

/// Mounts a memory file system, a directory of the same device, and a single file, in turn; each must be named by the
/// failure of the helper, and must have kept its content.
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
        let mounts = Mounts(site.path());
        mounts.add(&arguments, &sandbox.join(name));
        if name == "below" {
            write(sandbox.join("below/content"), "kept", 0o666);
        }
        let before = (picture(sandbox), site.entries());
        let output = site.call(helper, &site.switcher(), sandbox).output().unwrap();
        failed(&output, status, &["mount point", name]);
        assert_eq!((picture(sandbox), site.entries()), before, "{arguments:?}");
        drop(mounts);
    }
    assert_eq!(text(outside.join("content")), "kept");
}

#[test]
fn a_mount_point_is_an_error_of_setup_that_names_it_and_is_not_emptied() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    refuses_mounts(&site, SETUP, &sandbox, 2);
    site.set_up(&sandbox);
}

#[test]
fn a_mount_point_is_an_error_of_cleanup_that_names_it_and_is_not_emptied() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let left = data(&sandbox);
    refuses_mounts(&site, CLEANUP, &sandbox, 1);
    site.clean_up(&sandbox);
    is_back(&site, &sandbox, &left, "without mounts");
}

// Limits.

/// Makes so many levels of directories below a directory, and a file in the lowest.
fn dig(top: &Path, levels: usize, account: Account) {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut here = openat(AT_FDCWD, top, flags, Mode::empty()).unwrap();
    for _ in 0..levels {
        mkdirat(&here, "d", Mode::from_bits_truncate(0o755)).unwrap();
        here = openat(&here, "d", flags, Mode::empty()).unwrap();
    }
    openat(&here, "bottom", OFlag::O_CREAT | OFlag::O_CLOEXEC, Mode::from_bits_truncate(0o644)).unwrap();
    run("chown", &["-R".as_ref(), format!("{}:{}", account.uid, account.gid).as_ref(), top.as_os_str()]);
}

/// How many levels of directories there are, and whether the lowest has the file.
fn depth(top: &Path) -> (usize, bool) {
    let flags = OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let mut here = openat(AT_FDCWD, top, flags, Mode::empty()).unwrap();
    let mut levels = 0;
    while let Ok(next) = openat(&here, "d", flags, Mode::empty()) {
        (here, levels) = (next, levels + 1);
    }
    (levels, openat(&here, "bottom", OFlag::O_CLOEXEC, Mode::empty()).is_ok())
}

/// Puts the sandboxes of a site into memory: ext4 takes seconds for a deep tree where another was removed just now, and
/// what unmounts it needs no path to its depths.
fn in_memory(site: &Site) -> Mounts<'_> {
    let mounts = Mounts(site.path());
    mounts.add(&["-t", "tmpfs", "-o", "mode=1777", "none"].map(OsString::from), &site.execute());
    mounts
}

/// The same call with the limit of open files that most machines have.
fn limited(call: &Command) -> Command {
    let mut limited = Account::batch().command("prlimit");
    limited.args(["--nofile=1024", "--"]).arg(call.get_program()).args(call.get_args()).env_clear();
    limited.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?)))).stdin(Stdio::null());
    limited
}

#[test]
fn a_tree_of_4096_levels_comes_across() {
    let site = Site::new();
    let _mounted = in_memory(&site);
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
    let _mounted = in_memory(&site);
    let deep = site.sandbox("s");
    dig(&deep, 4097, Account::batch());
    failed(&site.call(SETUP, &site.switcher(), &deep).output().unwrap(), 2, &["4096 levels"]);
    assert_eq!((depth(&deep), owner(&deep)), ((4097, true), Account::batch()));
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn cleanup_refuses_4097_levels_and_leaves_them_where_they_were() {
    let site = Site::new();
    let _mounted = in_memory(&site);
    let deep = site.sandbox("s");
    site.set_up(&deep);
    dig(&deep, 4097, Account::job());
    failed(&site.call(CLEANUP, &site.switcher(), &deep).output().unwrap(), 1, &["4096 levels"]);
    assert_eq!((depth(&deep), owner(&deep)), ((4097, true), Account::job()));
    assert_eq!(site.entries(), ["s", "s.condor"]);
}

#[test]
fn names_of_255_bytes_come_across() {
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
    let (longest, longer) = (furnished(&site, "s".repeat(243)), furnished(&site, "t".repeat(244)));
    let before = data(&longer);
    for helper in [SETUP, CLEANUP] {
        failed(&site.call(helper, &site.switcher(), &longer).output().unwrap(), 1, &["too long"]);
    }
    site.set_up(&longest);
    site.clean_up(&longest);
    assert_eq!(data(&longer), before);
    assert_eq!(site.entries().len(), 2);
}

// A job that removed its directory.

#[test]
fn cleanup_of_a_directory_that_the_job_removed_leaves_the_proxy_alone() {
    let site = Site::new();
    let precious = furnished(&site, "precious");
    let before = picture(&precious);
    let replace: [Deed; 4] = [
        ("gone", &|_| ()),
        ("file", &|path| write(path, "not a directory", 0o644)),
        ("link", &|path| symlink(&precious, path).unwrap()),
        ("fifo", &|path| make_fifo(path)),
    ];
    for (name, replace) in replace {
        let sandbox = with_job(&site, name);
        fs::remove_dir_all(&sandbox).unwrap();
        replace(&sandbox);
        if name != "gone" {
            Account::job().owns(&sandbox);
        }
        let output = site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap();
        failed(&output, 1, &["the job removed its directory"]);
        assert_eq!(picture(&sandbox).into_keys().collect::<Vec<_>>(), [Path::new(""), Path::new(PROXY)], "{name}");
        assert_eq!(text(sandbox.join(PROXY)), "the proxy\n");
        all_of(&sandbox, Account::batch());
        assert_eq!(site.entries().len(), 2, "{name}: {:?}", site.entries());
        site.clean_up(&sandbox);
        fs::remove_dir_all(&sandbox).unwrap();
    }
    assert_eq!(picture(&precious), before);
}

#[test]
fn cleanup_does_not_take_a_bystanders_directory_for_the_jobs() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    fs::remove_dir_all(&sandbox).unwrap();
    fs::create_dir(&sandbox).unwrap();
    write(sandbox.join("lure"), "lure", 0o644);
    own(&sandbox, Account::other());
    let before = (picture(&sandbox), picture(&retained(&sandbox)));
    failed(&site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap(), 1, &["belongs to uid"]);
    assert_eq!((picture(&sandbox), picture(&retained(&sandbox))), before);
    assert_eq!(site.entries(), ["s", "s.condor"]);
}

#[test]
fn what_the_job_made_unreadable_comes_back_at_most_wider_for_its_owner() {
    let site = Site::new();
    let sandbox = site.sandbox("s");
    site.set_up(&sandbox);
    for (name, bits) in
        [("closed", 0), ("unlisted", 0o300), ("unsearched", 0o600), ("read-only", 0o500), ("blind", 0o200)]
    {
        let directory = sandbox.join(name);
        fs::create_dir_all(directory.join("deeper")).unwrap();
        write(directory.join("file"), name, 0o044);
        write(directory.join("deeper/file"), name, 0);
        set_mode(directory.join("deeper"), bits);
        set_mode(directory, bits);
    }
    write(sandbox.join("unreadable"), "content", 0);
    own(&sandbox, Account::job());
    set_mode(&sandbox, 0);
    let before = data(&sandbox);
    site.clean_up(&sandbox);
    assert_eq!(site.entries(), ["s"]);
    let mut after = data(&sandbox);
    assert!(after.keys().eq(before.keys()));
    for (path, entry) in &mut after {
        let left = &before[path];
        assert_eq!(entry.mode & !0o700, left.mode & !0o700, "{}", path.display());
        assert_eq!(entry.mode & left.mode, left.mode, "{}", path.display());
        entry.mode = left.mode;
    }
    assert_eq!(after, before);
}

// Nothing is lost.

/// Switchers that fail: what they do, setup's exit status, and a word of its message.
fn failing(site: &Site) -> Vec<(PathBuf, i32, &'static str)> {
    let scripts = [
        ("201", "exit 201", 2, "client error"),
        ("202", "exit 202", 3, "internal error"),
        ("203", "exit 203", 3, "authorization error"),
        ("126", "exit 126", 2, "could not be executed"),
        ("127", "exit 127", 2, "not found"),
        ("killed", "kill -9 $$", 2, "137"),
        ("hangs", "exec sleep 4", 2, "GLEXEC_HELPERS_IDLE_TIMEOUT"),
        ("idles", "exit 0", 2, "status 0"),
        ("same-user", r#"exec "$@""#, 2, "as the calling user"),
        ("babbles", "echo babble >&0; sleep 1", 2, "protocol"),
    ];
    let made = scripts.map(|(name, body, status, word)| (site.script(name, body), status, word));
    made.into_iter().chain([(site.path().join("missing"), 2, "missing")]).collect()
}

fn ended(output: &Output, status: i32, word: &str, what: &Path) {
    let text = said(output);
    assert_eq!(output.status.code(), Some(status), "{}: {text}", what.display());
    assert!(text.lines().last().is_some_and(|line| line.contains(word)), "{}: {text}", what.display());
}

#[test]
fn a_setup_that_fails_leaves_the_sandbox_as_it_was_and_nothing_beside_it() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    let before = picture(&sandbox);
    for (switcher, status, word) in failing(&site) {
        let mut call = site.call(SETUP, &switcher, &sandbox);
        let output = call.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "1").output().unwrap();
        ended(&output, status, word, &switcher);
        assert_eq!(picture(&sandbox), before, "{}", switcher.display());
        assert_eq!(site.entries(), ["s"], "{}", switcher.display());
        all_of(&sandbox, Account::batch());
    }
    site.set_up(&sandbox);
}

#[test]
fn a_cleanup_that_fails_leaves_the_jobs_files_where_they_were_and_the_next_completes() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let (left, before) = (data(&sandbox), picture(&sandbox));
    for (switcher, _, word) in failing(&site) {
        let mut call = site.call(CLEANUP, &switcher, &sandbox);
        let output = call.env("GLEXEC_HELPERS_IDLE_TIMEOUT", "1").output().unwrap();
        ended(&output, 1, word, &switcher);
        assert_eq!(picture(&sandbox), before, "{}", switcher.display());
        is_with_job(&site, &sandbox, &switcher.to_string_lossy());
    }
    site.clean_up(&sandbox);
    is_back(&site, &sandbox, &left, "after a cleanup that works");
}

#[test]
fn a_setup_that_fails_early_has_not_touched_the_sandbox() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    // Met when most of the tree has been sent: the batch user can neither read it nor change its mode.
    write(sandbox.join("below/root's"), "unreadable", 0o600);
    let touched = || {
        let found = fs::metadata(&sandbox).unwrap();
        (found.ino(), found.ctime(), found.ctime_nsec(), picture(&sandbox))
    };
    let before = touched();
    failed(&site.call(SETUP, &site.switcher(), &sandbox).output().unwrap(), 2, &["below/root's"]);
    assert_eq!(touched(), before);
    assert_eq!(site.entries(), ["s"]);
}

#[test]
fn cleaning_up_twice_is_harmless() {
    let site = Site::new();
    let (never, sandbox) = (furnished(&site, "never"), with_job(&site, "s"));
    let (untouched, left) = (picture(&never), data(&sandbox));
    site.clean_up(&sandbox);
    let first = picture(&sandbox);
    site.clean_up(&sandbox);
    site.clean_up(&never);
    assert_eq!((picture(&sandbox), data(&sandbox), picture(&never)), (first, left, untouched));
    assert_eq!(site.entries(), ["never", "s"]);
}

// The states that a killed helper leaves, built by hand.

/// What stands under a name, and whose it is.
#[derive(Clone, Copy)]
enum Part {
    /// The whole data.
    Batch,
    Job,
    /// Some of it: begun or half deleted.
    HalfBatch,
    HalfJob,
    /// The marked directory with the proxy.
    Marked,
    /// The same without the proxy: begun or half deleted.
    MarkedEmpty,
}
use Part::{Batch, HalfBatch, HalfJob, Job, Marked, MarkedEmpty};

const CONDOR: &str = ".condor";
/// Temporary names: the retained directory's or the batch user's copy; the agent's copy; and one for an exchange.
const A: &str = ".gh.0000000a";
const B: &str = ".gh.0000000b";
const C: &str = ".gh.0000000c";

type State = (&'static str, &'static [(&'static str, Part)]);

/// Builds a state of the sandbox `s` from a tree of the same data.
fn lay(site: &Site, original: &Path, parts: &[(&str, Part)]) {
    for (suffix, part) in parts {
        let path = site.execute().join(format!("s{suffix}"));
        let account = if matches!(part, Job | HalfJob) { Account::job() } else { Account::batch() };
        match part {
            Batch | Job => _ = run("cp", &["-a".as_ref(), original.as_os_str(), path.as_os_str()]),
            _ => fs::create_dir(&path).unwrap(),
        }
        match part {
            HalfBatch | HalfJob => furnish(&path),
            Marked => write(path.join(PROXY), "the proxy\n", 0o600),
            _ => {}
        }
        own(&path, account);
        match part {
            Marked | MarkedEmpty => set_mode(&path, 0o1700),
            HalfBatch | HalfJob => set_mode(&path, 0o700),
            _ => {}
        }
    }
}

/// Fails unless a cleanup brings everything back from each of the states, and leaves nothing beside it.
fn restored(states: &[State]) {
    let site = Site::new();
    let original = site.path().join("original");
    fs::rename(furnished(&site, "s"), &original).unwrap();
    fs::create_dir(original.join("more")).unwrap();
    write(original.join("more/data"), "that half a copy lacks", 0o640);
    own(&original, Account::batch());
    let expected = data(&original);
    let sandbox = site.execute().join("s");
    let mut wrong = Vec::new();
    for (what, parts) in states {
        lay(&site, &original, parts);
        let output = site.call(CLEANUP, &site.switcher(), &sandbox).output().unwrap();
        let alone = output.status.success() && site.entries() == ["s"];
        if !alone || data(&sandbox) != expected || text(sandbox.join(PROXY)) != "the proxy\n" {
            wrong.push(format!("{what}: {:?} {}", site.entries(), said(&output)));
        } else {
            all_of(&sandbox, Account::batch());
        }
        for entry in site.entries() {
            fs::remove_dir_all(site.execute().join(entry)).unwrap();
        }
    }
    assert!(wrong.is_empty(), "not restored:\n{}", wrong.join("\n"));
}

#[test]
fn cleanup_restores_the_sandbox_after_a_setup_that_was_killed() {
    restored(&[
        ("in step 1, before the mark", &[("", Batch), (A, HalfBatch)]),
        ("in step 1, before the proxy", &[("", Batch), (A, MarkedEmpty)]),
        ("in step 1, before the name", &[("", Batch), (A, Marked)]),
        ("after step 1", &[("", Batch), (CONDOR, Marked)]),
        ("in step 2", &[("", Batch), (CONDOR, Marked), (B, HalfJob)]),
        ("after step 2", &[("", Batch), (CONDOR, Marked), (B, Job)]),
        ("after step 3", &[("", Batch), (A, Marked), (B, Job)]),
        ("after step 4", &[(CONDOR, Batch), (A, Marked), (B, Job)]),
        ("after step 4, its agent not", &[(CONDOR, Batch), (A, Marked)]),
        ("after step 5", &[("", Job), (CONDOR, Batch), (A, Marked)]),
        ("after step 6", &[("", Job), (CONDOR, Marked), (A, Batch)]),
        ("in step 7", &[("", Job), (CONDOR, Marked), (A, HalfBatch)]),
        ("after step 7", &[("", Job), (CONDOR, Marked)]),
        ("while it was undone", &[("", Batch), (CONDOR, MarkedEmpty)]),
    ]);
}

#[test]
fn cleanup_restores_the_sandbox_after_a_setup_that_was_killed_in_the_middle_of_an_exchange() {
    restored(&[
        ("in step 6, no name", &[("", Job), (A, Marked), (C, Batch)]),
        ("in step 6, both named", &[("", Job), (CONDOR, Marked), (C, Batch)]),
    ]);
}

#[test]
fn cleanup_completes_what_a_killed_cleanup_began() {
    restored(&[
        ("in step 2", &[("", Job), (CONDOR, Marked), (A, HalfBatch)]),
        ("after step 2", &[("", Job), (CONDOR, Marked), (A, Batch)]),
        ("after step 3", &[("", Job), (CONDOR, Batch), (A, Marked)]),
        ("after step 4", &[(CONDOR, Batch), (A, Marked), (B, Job)]),
        ("after step 4, its agent not", &[(CONDOR, Batch), (A, Marked)]),
        ("after step 5", &[("", Batch), (A, Marked), (B, Job)]),
        ("in step 6, the agent first", &[("", Batch), (A, Marked), (B, HalfJob)]),
        ("in step 6", &[("", Batch), (A, Marked)]),
        ("at its end", &[("", Batch), (A, MarkedEmpty)]),
    ]);
}

#[test]
fn cleanup_completes_what_a_killed_cleanup_began_in_the_middle_of_an_exchange() {
    restored(&[
        ("in step 3, no name", &[("", Job), (A, Batch), (C, Marked)]),
        ("in step 3, one name", &[("", Job), (CONDOR, Batch), (C, Marked)]),
        ("after step 4", &[(CONDOR, Batch), (C, Marked), (B, Job)]),
        ("after step 5", &[("", Batch), (C, Marked), (B, Job)]),
    ]);
}

#[test]
fn the_mark_tells_the_retained_directory_from_a_sandbox_with_the_sticky_bit() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    set_mode(&sandbox, 0o1700);
    let mut expected = data(&sandbox);
    site.set_up(&sandbox);
    assert_eq!((mode(&retained(&sandbox)), mode(&sandbox)), (0o1700, 0o700));
    site.clean_up(&sandbox);
    expected.get_mut(Path::new("")).unwrap().mode = 0o700;
    is_back(&site, &sandbox, &expected, "there and back");
}

#[test]
fn a_planted_condor_is_an_error_and_is_not_touched() {
    let site = Site::new();
    let precious = furnished(&site, "precious");
    let plant: [(Deed, Account); 5] = [
        (("own-file", &|path| write(path, "a file", 0o600)), Account::batch()),
        (("job-file", &|path| write(path, "a file", 0o600)), Account::job()),
        (("link", &|path| symlink(&precious, path).unwrap()), Account::batch()),
        (("others-directory", &|path| fs::create_dir(path).unwrap()), Account::other()),
        (("jobs-directory", &|path| fs::create_dir(path).unwrap()), Account::job()),
    ];
    for ((name, plant), account) in plant {
        let sandbox = furnished(&site, name);
        let planted = retained(&sandbox);
        plant(&planted);
        if name.ends_with("directory") {
            write(planted.join(PROXY), "planted", 0o600);
            set_mode(&planted, 0o1700);
        }
        if name == "link" {
            account.owns(&planted)
        } else {
            own(&planted, account)
        }
        for whose in [Account::batch(), Account::job()] {
            own(&sandbox, whose);
            let before = (picture(&sandbox), picture(&planted), picture(&precious), site.entries());
            for helper in [SETUP, CLEANUP] {
                let output = site.call(helper, &site.switcher(), &sandbox).output().unwrap();
                failed(&output, 1, &[&format!("{name}.condor")]);
            }
            let output = update(&site, &site.switcher(), &new_proxy(&site, "renewed"), &sandbox).output().unwrap();
            failed(&output, 1, &[&format!("{name}.condor")]);
            assert_eq!((picture(&sandbox), picture(&planted), picture(&precious), site.entries()), before, "{name}");
            assert_eq!((owner(&sandbox), owner(&planted)), (whose, account), "{name}");
        }
    }
}

#[test]
fn an_unmarked_condor_of_the_batch_users_is_the_data_and_wins() {
    let site = Site::new();
    for left in [Some(Account::job()), None] {
        let sandbox = furnished(&site, "s");
        let expected = data(&sandbox);
        fs::rename(&sandbox, retained(&sandbox)).unwrap();
        if let Some(account) = left {
            fs::create_dir(&sandbox).unwrap();
            write(sandbox.join("input"), "not the data", 0o644);
            own(&sandbox, account);
        }
        site.clean_up(&sandbox);
        is_back(&site, &sandbox, &expected, "from .condor");
        fs::remove_dir_all(&sandbox).unwrap();
    }
}

#[test]
fn a_condor_of_the_shell_helpers_is_retained() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let left = data(&sandbox);
    set_mode(retained(&sandbox), 0o700);
    succeeded(&update(&site, &site.switcher(), &new_proxy(&site, "the proxy\n"), &sandbox).output().unwrap());
    is_with_job(&site, &sandbox, "after update_proxy");
    set_mode(retained(&sandbox), 0o755);
    fs::remove_file(sandbox.join(PROXY)).unwrap();
    set_modified(&sandbox, left[Path::new("")].modified.0, left[Path::new("")].modified.1);
    site.clean_up(&sandbox);
    is_back(&site, &sandbox, &left, "after cleanup");
}

#[test]
fn with_a_marked_condor_or_none_the_sandbox_is_the_data_whoever_owns_it() {
    restored(&[
        ("marked, the batch user's", &[("", Batch), (CONDOR, Marked)]),
        ("marked, the job user's", &[("", Job), (CONDOR, Marked)]),
        ("none, the batch user's", &[("", Batch)]),
        ("none, and a copy begun", &[("", Batch), (A, HalfBatch)]),
    ]);
}

fn is_temporary(name: &str) -> bool {
    let digits = name.strip_prefix("s.gh.").unwrap_or_default();
    digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[test]
fn temporary_names_begin_with_the_sandboxs_and_none_is_inside_condor() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    fs::hard_link(sandbox.join("input"), sandbox.join("same")).unwrap();
    own(&sandbox, Account::batch());
    let new = new_proxy(&site, "renewed");
    let log = site.path().join("log");
    let calls = [
        site.call(SETUP, &site.switcher(), &sandbox),
        update(&site, &site.switcher(), &new, &sandbox),
        site.call(CLEANUP, &site.switcher(), &sandbox),
    ];
    let mut made = 0;
    for call in calls {
        let mut traced = Command::new("strace");
        traced.args(["-f", "-qq", "-y", "-u", "gh-batch", "-e", "trace=%file", "-o"]).arg(&log).arg("--");
        traced.arg(call.get_program()).args(call.get_args()).env_clear().current_dir("/").stdin(Stdio::null());
        succeeded(&traced.envs(call.get_envs().filter_map(|(name, value)| Some((name, value?)))).output().unwrap());
        let execute = format!("<{}", site.execute().display());
        for line in text(&log).lines().filter(|line| !line.contains(") = -1 ")) {
            if !["mkdir", "O_CREAT", "rename", "link", "mknod"].iter().any(|word| line.contains(word)) {
                continue;
            }
            for part in line.split(&execute).skip(1) {
                let Some((directory, rest)) = part.split_once(">, \"") else { continue };
                let name = rest.split('"').next().unwrap();
                let allowed = match directory {
                    "" => ["s", "s.condor"].contains(&name) || is_temporary(name),
                    "/s.condor" => name == PROXY,
                    _ => true,
                };
                assert!(allowed, "{line}");
                made += usize::from(is_temporary(name));
            }
        }
    }
    assert!(made >= 5, "temporary names are seen: {made}");
}

/// Leaves what killed helpers and agents left, and what only looks like it; returns the names of the latter.
fn leave(site: &Site) -> [&'static str; 6] {
    let left = [("s.gh.0000000a", Account::batch()), ("s.gh.0000000b", Account::job())];
    let similar = [
        ("s.gh.0000000c", Account::other()),
        ("s.ghost", Account::batch()),
        ("s.gh.mine", Account::batch()),
        ("s.gh.0123456789", Account::job()),
        ("s2.gh.0000000d", Account::batch()),
        ("xs.gh.0000000e", Account::job()),
    ];
    for (name, account) in left.into_iter().chain(similar) {
        let path = site.execute().join(name);
        fs::create_dir(&path).unwrap();
        furnish(&path);
        own(&path, account);
        set_mode(path.join("below"), 0);
    }
    similar.map(|(name, _)| name)
}

fn sorted(names: &[&str]) -> Vec<OsString> {
    let mut names: Vec<_> = names.iter().map(OsString::from).collect();
    names.sort();
    names
}

#[test]
fn setup_removes_what_killed_helpers_left_and_nothing_else() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    let similar = leave(&site);
    site.set_up(&sandbox);
    assert_eq!(site.entries(), sorted(&[&similar[..], &["s", "s.condor"]].concat()));
}

#[test]
fn cleanup_removes_what_killed_helpers_left_and_nothing_else() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let similar = leave(&site);
    site.clean_up(&sandbox);
    assert_eq!(site.entries(), sorted(&[&similar[..], &["s"]].concat()));
}

// A process held at a system call.

/// A switcher that waits, once called, until it may go on to the real one.
struct Gate {
    called: PathBuf,
    open: PathBuf,
    switcher: PathBuf,
}

impl Gate {
    fn new(site: &Site) -> Gate {
        let (called, open) = (site.scratch().join("called"), site.scratch().join("open"));
        let body = format!(
            "echo $$ > {called}.new; mv {called}.new {called}
            until [ -e {open} ] || [ ! -e {called} ]; do sleep 0.01; done
            exec {} \"$@\"",
            site.switcher().display(),
            called = called.display(),
            open = open.display()
        );
        Gate { switcher: site.script("gate", &body), called, open }
    }

    /// The process that will be the switcher, and then the agent.
    fn pid(&self) -> u32 {
        wait_until("the switcher is called", || self.called.exists());
        text(&self.called).trim().parse().unwrap()
    }

    fn open(&self) {
        fs::write(&self.open, "").unwrap();
    }
}

/// Holds a process, or what it becomes, before its `count`th system call of this name, for as long as this lives.
struct Held(Child);

impl Held {
    fn at(call: &str, count: u32, pid: u32) -> Held {
        let inject = format!("inject={call}:delay_enter=60000000:when={count}");
        let mut tracer = Command::new("strace");
        tracer.args(["-f", "-qq", "-o", "/dev/null", "-e", &format!("trace={call}"), "-e", &inject]);
        let held = Held(
            tracer
                .args(["-p", &pid.to_string()])
                .stderr(Stdio::null())
                .spawn()
                .expect("strace is installed: run ci/provision"),
        );
        let untraced = || text(format!("/proc/{pid}/status")).contains("TracerPid:\t0\n");
        wait_until("strace holds the process", || !untraced());
        held
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // The kernel lets go what a tracer held that is gone.
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn piped(mut call: Command) -> Child {
    call.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Somebody else takes a name in the parent of the sandboxes.
fn take(path: &Path) {
    fs::create_dir(path).unwrap();
    Account::other().owns(path);
}

#[test]
fn a_name_taken_during_setup_leaves_the_data_in_condor_and_says_so() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), furnished(&site, "s"));
    let before = picture(&sandbox);
    let setup = piped(site.call(SETUP, &gate.switcher, &sandbox));
    let publish = Held::at("renameat2", 1, gate.pid());
    gate.open();
    wait_until("the sandbox has gone to .condor", || !sandbox.exists() && retained(&sandbox).join("input").exists());
    take(&sandbox);
    drop(publish);
    failed(&setup.wait_with_output().unwrap(), 2, &["all of it is in", "s.condor"]);
    assert_eq!(picture(&retained(&sandbox)), before);
    assert_eq!((owner(&sandbox), picture(&sandbox).len()), (Account::other(), 1));
    fs::remove_dir(&sandbox).unwrap();
    let expected = data(&retained(&sandbox));
    site.clean_up(&sandbox);
    is_back(&site, &sandbox, &expected, "once the name is free");
}

#[test]
fn a_sandbox_with_the_sticky_bit_is_not_taken_for_the_retained_directory_after_a_kill() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), furnished(&site, "s"));
    set_mode(&sandbox, 0o1700);
    let mut expected = data(&sandbox);
    let mut setup = piped(site.call(SETUP, &gate.switcher, &sandbox));
    let publish = Held::at("renameat2", 1, gate.pid());
    gate.open();
    wait_until("the sandbox has gone to .condor", || retained(&sandbox).join("input").exists());
    setup.kill().unwrap();
    setup.wait().unwrap();
    site.clean_up(&sandbox);
    drop(publish);
    expected.get_mut(Path::new("")).unwrap().mode = 0o700;
    assert_eq!(data(&sandbox), expected);
    all_of(&sandbox, Account::batch());
}

#[test]
fn a_name_taken_during_cleanup_leaves_the_data_in_condor_and_says_so() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), with_job(&site, "s"));
    let expected = data(&sandbox);
    let cleanup = piped(site.call(CLEANUP, &gate.switcher, &sandbox));
    gate.pid();
    // The first is the exchange; the second would give the data its name.
    let naming = Held::at("renameat2", 2, cleanup.id());
    gate.open();
    wait_until("the agent has moved the sandbox away", || !sandbox.exists());
    take(&sandbox);
    drop(naming);
    failed(&cleanup.wait_with_output().unwrap(), 1, &["all of it is in", "s.condor"]);
    assert_eq!(data(&retained(&sandbox)), expected);
    assert_eq!((owner(&sandbox), picture(&sandbox).len()), (Account::other(), 1));
    fs::remove_dir(&sandbox).unwrap();
    wait_until("the agent has deleted what it moved away", || {
        !site.entries().iter().any(|name| owner(&site.execute().join(name)) == Account::job())
    });
    site.clean_up(&sandbox);
    is_back(&site, &sandbox, &expected, "once the name is free");
}

#[test]
fn an_agent_whose_setup_is_gone_deletes_its_unfinished_copy_and_exits() {
    let site = Site::new();
    let (gate, sandbox) = (Gate::new(&site), furnished(&site, "s"));
    let mut setup = piped(site.call(SETUP, &gate.switcher, &sandbox));
    let agent = gate.pid();
    let copying = Held::at("symlinkat", 1, agent);
    gate.open();
    let copies = || {
        let here = site.entries().into_iter().map(|name| site.execute().join(name));
        here.filter(|path| path.exists() && owner(path) == Account::job()).count()
    };
    wait_until("the agent has begun its copy", || copies() > 0);
    setup.kill().unwrap();
    setup.wait().unwrap();
    drop(copying);
    wait_until("the copy is deleted", || copies() == 0);
    // A dead process that nobody has waited for yet has no words either.
    let words = || fs::read(format!("/proc/{agent}/cmdline")).unwrap_or_default();
    wait_until("the agent is gone", || words().is_empty());
    let expected = data(&sandbox);
    site.clean_up(&sandbox);
    is_back(&site, &sandbox, &expected, "after cleanup");
}

// Exit statuses.

#[test]
fn setup_ends_with_0_1_2_or_3() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    let status = |switcher: &Path, map: &Path| {
        let mut call = site.call(SETUP, switcher, &sandbox);
        let output = call.env("GLEXEC_SUDO_MAP", map).output().unwrap();
        (output.status.code().unwrap(), said(&output).lines().count())
    };
    let forbidden = site.path().join("map");
    write(&forbidden, "gh-batch gh-other\n", 0o644);
    assert_eq!(status(&site.switcher(), &forbidden), (3, 3), "sudoers does not allow it: after two retries");
    assert_eq!(status(Path::new("/bin/false"), Path::new(MAP)), (2, 1));
    assert_eq!(status(&site.switcher(), Path::new(MAP)), (0, 0));
    assert_eq!(status(&site.switcher(), Path::new(MAP)), (1, 1), "it is set up already");
}

#[test]
fn cleanup_ends_with_0_or_1() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let status = |switcher: &Path, sandbox: &Path, map: &Path| {
        let mut call = site.call(CLEANUP, switcher, sandbox);
        call.env("GLEXEC_SUDO_MAP", map).output().unwrap().status.code()
    };
    let forbidden = site.path().join("map");
    write(&forbidden, "gh-batch gh-other\n", 0o644);
    assert_eq!(status(&site.switcher(), &sandbox, &forbidden), Some(1), "retries used up");
    assert_eq!(status(Path::new("/bin/false"), &sandbox, Path::new(MAP)), Some(1), "retries do not help");
    assert_eq!(status(&site.switcher(), &site.execute().join("none"), Path::new(MAP)), Some(1), "no such sandbox");
    assert_eq!(status(&site.switcher(), &sandbox, Path::new(MAP)), Some(0));
    let usage = site.helper(CLEANUP).arg(site.switcher()).output().unwrap();
    failed(&usage, 1, &["usage"]);
}

// update_proxy.

/// A new proxy in a directory of the batch user's.
fn new_proxy(site: &Site, content: &str) -> PathBuf {
    let path = site.scratch().join("new proxy");
    write(&path, content, 0o600);
    own(&path, Account::batch());
    path
}

fn update(site: &Site, switcher: &Path, new: &Path, sandbox: &Path) -> Command {
    let mut command = site.helper(UPDATE);
    command.arg(switcher).arg(new).arg(PROXY).arg(sandbox);
    command
}

/// Fails unless this copy of the proxy is a file of the account's with this content, and 0600.
fn holds(directory: &Path, content: &str, account: Account) {
    let proxy = directory.join(PROXY);
    assert!(fs::symlink_metadata(&proxy).unwrap().is_file());
    assert_eq!((text(&proxy).as_str(), mode(&proxy), owner(&proxy)), (content, 0o600, account));
}

#[test]
fn update_proxy_replaces_both_copies_at_once() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let copies = [(sandbox.clone(), Account::job()), (retained(&sandbox), Account::batch())];
    let mut readers = copies.each_ref().map(|(directory, _)| File::open(directory.join(PROXY)).unwrap());
    succeeded(&update(&site, &site.switcher(), &new_proxy(&site, "renewed"), &sandbox).output().unwrap());
    for (directory, account) in &copies {
        holds(directory, "renewed", *account);
    }
    for reader in &mut readers {
        let mut seen = String::new();
        reader.read_to_string(&mut seen).unwrap();
        assert_eq!(seen, "the proxy\n", "who had opened the old one reads the old one");
    }
    is_with_job(&site, &sandbox, "after update_proxy");
}

#[test]
fn update_proxy_takes_a_new_proxy_from_another_file_system() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let memory = tempfile::tempdir_in("/dev/shm").unwrap();
    let new = memory.path().join("new");
    write(&new, "from memory", 0o600);
    own(memory.path(), Account::batch());
    assert_ne!(fs::metadata(&new).unwrap().dev(), fs::metadata(&sandbox).unwrap().dev(), "another file system");
    succeeded(&update(&site, &site.switcher(), &new, &sandbox).output().unwrap());
    holds(&sandbox, "from memory", Account::job());
    holds(&retained(&sandbox), "from memory", Account::batch());
    assert!(!new.exists());
}

#[test]
fn update_proxy_writes_through_no_link_that_the_job_planted() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let (of_job, of_batch) = (sandbox.join("input"), site.scratch().join("precious"));
    write(&of_batch, "precious", 0o666);
    for target in [of_job.clone(), of_batch.clone(), retained(&sandbox).join(PROXY)] {
        fs::remove_file(sandbox.join(PROXY)).unwrap();
        symlink(&target, sandbox.join(PROXY)).unwrap();
        Account::job().owns(sandbox.join(PROXY));
        succeeded(&update(&site, &site.switcher(), &new_proxy(&site, "renewed"), &sandbox).output().unwrap());
        holds(&sandbox, "renewed", Account::job());
        holds(&retained(&sandbox), "renewed", Account::batch());
    }
    assert_eq!((text(&of_job).as_str(), text(&of_batch).as_str()), ("the input", "precious"));
    is_with_job(&site, &sandbox, "after update_proxy");
}

#[test]
fn update_proxy_renews_the_retained_proxy_though_the_job_put_a_directory_in_place_of_its_own() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    fs::remove_file(sandbox.join(PROXY)).unwrap();
    fs::create_dir(sandbox.join(PROXY)).unwrap();
    write(sandbox.join(PROXY).join("kept"), "kept", 0o644);
    own(&sandbox, Account::job());
    let before = picture(&sandbox);
    let new = new_proxy(&site, "renewed");
    failed(&update(&site, &site.switcher(), &new, &sandbox).output().unwrap(), 1, &[PROXY, "irectory"]);
    holds(&retained(&sandbox), "renewed", Account::batch());
    assert_eq!(picture(&sandbox), before);
    assert!(!new.exists());
    is_with_job(&site, &sandbox, "after update_proxy");
}

#[test]
fn update_proxy_without_a_switcher_renews_the_copy_within_reach() {
    let site = Site::new();
    let (before, during) = (furnished(&site, "before"), with_job(&site, "during"));
    for sandbox in [&before, &during] {
        succeeded(&update(&site, Path::new("-"), &new_proxy(&site, "renewed"), sandbox).output().unwrap());
    }
    holds(&before, "renewed", Account::batch());
    holds(&during, "the proxy\n", Account::job());
    holds(&retained(&during), "renewed", Account::batch());
    assert_eq!(site.entries(), ["before", "during", "during.condor"]);
}

#[test]
fn update_proxy_ends_with_0_or_1_and_consumes_the_new_proxy_but_for_a_usage_error() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let real = site.switcher();
    let fails = |name: &str, body: &str| site.script(name, body);
    let nowhere = site.path().join("nowhere/s");
    let cases: [(&str, PathBuf, &Path, &str, i32); 7] = [
        ("it works", real.clone(), &sandbox, "renewed", 0),
        ("the switcher fails for good", fails("201", "exit 201"), &sandbox, "renewed", 1),
        ("the switcher fails for now", fails("202", "exit 202"), &sandbox, "renewed", 1),
        ("the new proxy is empty", real.clone(), &sandbox, "", 1),
        ("the switcher is missing", site.path().join("missing"), &sandbox, "renewed", 1),
        ("there is no sandbox", real.clone(), &site.execute().join("none"), "renewed", 1),
        ("there is not even its parent", real.clone(), &nowhere, "renewed", 1),
    ];
    let mut wrong = Vec::new();
    for (what, switcher, sandbox, content, status) in cases {
        let new = new_proxy(&site, content);
        let output = update(&site, &switcher, &new, sandbox).output().unwrap();
        if output.status.code() != Some(status) || new.exists() {
            wrong.push(format!("{what}: {:?}, still there: {}, {}", output.status.code(), new.exists(), said(&output)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    is_with_job(&site, &sandbox, "after all of them");
    let new = new_proxy(&site, "renewed");
    failed(&site.helper(UPDATE).arg(&real).arg(&new).arg(PROXY).output().unwrap(), 1, &["usage"]);
    assert_eq!(text(&new), "renewed");
}

// kill.

fn kill(site: &Site, switcher: &Path, sandbox: &Path, pid: u32, signal: &str) -> Command {
    let mut command = site.helper(KILL);
    command.arg(switcher).arg(retained(sandbox).join(PROXY)).args([&pid.to_string(), signal, "2", "0"]);
    command
}

/// The signal that has killed a child, which is waited for.
fn reap(mut child: Child) -> Option<i32> {
    child.wait().unwrap().signal()
}

#[test]
fn kill_gets_the_path_of_the_retained_proxy_and_reaches_a_process_of_the_jobs() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    let target = Account::job().command("sleep").arg("60").spawn().unwrap();
    succeeded(&kill(&site, &site.switcher(), &sandbox, target.id(), "TERM").output().unwrap());
    assert_eq!(reap(target), Some(15));
}

#[test]
fn kill_ends_with_1_2_or_3_when_no_signal_was_sent() {
    let site = Site::new();
    let sandbox = with_job(&site, "s");
    for account in [Account::other(), Account::batch()] {
        let mut target = account.command("sleep").arg("60").spawn().unwrap();
        let output = kill(&site, &site.switcher(), &sandbox, target.id(), "KILL").output().unwrap();
        // Ours is not waited for before it is certain that it was not hit.
        target.kill().unwrap();
        target.wait().unwrap();
        failed(&output, 2, &["not the job user's"]);
    }
    // More than any kernel's highest.
    let gone = kill(&site, &site.switcher(), &sandbox, 2_147_483_647, "KILL").output().unwrap();
    failed(&gone, 2, &["no such process"]);
    let target = Account::job().command("sleep").arg("60").spawn().unwrap();
    let status = |switcher: &Path, signal: &str| {
        let output = kill(&site, switcher, &sandbox, target.id(), signal).output().unwrap();
        output.status.code()
    };
    assert_eq!(status(&site.switcher(), "NONSENSE"), Some(1));
    assert_eq!(status(&site.script("201", "exit 201"), "KILL"), Some(2));
    assert_eq!(status(&site.script("203", "exit 203"), "KILL"), Some(3));
    assert_eq!(status(&site.switcher(), "KILL"), Some(0));
    assert_eq!(reap(target), Some(9));
}

// The switcher's pipe, and the agent.

#[test]
fn nothing_that_outlives_a_helper_holds_its_callers_output() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    let lingering = site.scratch().join("lingering");
    let body = format!("sleep 20 & echo $! > {}\nexec {} \"$@\"", lingering.display(), site.switcher().display());
    let switcher = site.script("lingers", &body);
    let calls = [
        site.call(SETUP, &switcher, &sandbox),
        update(&site, &switcher, &new_proxy(&site, "renewed"), &sandbox),
        site.call(CLEANUP, &switcher, &sandbox),
    ];
    for mut call in calls {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut helper = call.stdout(writer.try_clone().unwrap()).stderr(writer).spawn().unwrap();
        drop(call); // which holds the writing end, too
        let mut all = String::new();
        reader.read_to_string(&mut all).unwrap();
        let pid = nix::unistd::Pid::from_raw(text(&lingering).trim().parse().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::SIGKILL).expect("what lingers is still alive at the end of file");
        assert_eq!((all.as_str(), helper.wait().unwrap().code()), ("", Some(0)));
    }
}

#[test]
fn what_the_switcher_says_becomes_part_of_the_message() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    let switcher = site.script("talks", "echo the moon\necho '  is wrong\x1b[m' >&2\nexit 201");
    let output = site.call(SETUP, &switcher, &sandbox).output().unwrap();
    failed(&output, 2, &["talks", "201", "the moon; is wrong\\u{1b}"]);
    assert_eq!(output.stdout, b"");
}

#[test]
fn the_agent_is_the_one_beside_the_helper() {
    let site = Site::new();
    let sandbox = furnished(&site, "s");
    let (programs, log) = (site.path().join("programs"), site.scratch().join("log"));
    fs::create_dir(&programs).unwrap();
    for name in [SETUP, CLEANUP, AGENT] {
        fs::copy(program(name), programs.join(name)).unwrap();
    }
    let body = format!("echo \"$1\" >> {}\nexec {} \"$@\"", log.display(), site.switcher().display());
    let switcher = site.script("logs", &body);
    for name in [SETUP, CLEANUP] {
        let mut call = Account::batch().command(programs.join(name));
        call.env("GLEXEC_SUDO_MAP", MAP).env("GLEXEC_HELPERS_IDLE_TIMEOUT", "30");
        call.arg(&switcher).arg(PROXY).arg(&sandbox).args(["0", "0"]);
        succeeded(&call.output().unwrap());
    }
    assert_eq!(text(&log), format!("{}\n", programs.join(AGENT).display()).repeat(2));
    // Without it, there is no other.
    fs::remove_file(programs.join(AGENT)).unwrap();
    let mut call = Account::batch().command(programs.join(SETUP));
    call.env("GLEXEC_SUDO_MAP", MAP).env("GLEXEC_HELPERS_IDLE_TIMEOUT", "30");
    call.arg(&switcher).arg(PROXY).arg(&sandbox).args(["0", "0"]);
    failed(&call.output().unwrap(), 2, &[AGENT]);
}
