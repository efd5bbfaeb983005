//! A set-user-ID `glexec`: only if an administrator asks for it, and an upgrade keeps it.
//!
//! Needs root and what `ci/provision` sets up. The programs are those of the tests.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::process::Stdio;

use support::clean_root::CleanRoot;
use support::glexec::Rootless;
use support::installation::{PROGRAMS, stripped};
use support::prefix::{Place, assert_worked, package, script};
use support::{Account, messages, variables_of};

/// Mode, owner and group of the installed `glexec`.
fn glexec_of(place: &Place) -> (u32, u32, u32) {
    let found = fs::metadata(place.path("libexec/glexec-helpers/glexec")).unwrap();
    (found.mode() & 0o7777, found.uid(), found.gid())
}

#[test]
fn setuid_makes_glexec_alone_set_user_id_root_and_an_upgrade_keeps_it() {
    let place = Place::new();
    place.install(&[]);
    assert_eq!(glexec_of(&place), (0o755, 0, 0));
    for words in [&["--setuid"][..], &[]] {
        place.install(words);
        assert_eq!(glexec_of(&place), (0o4755, 0, 0));
    }
    let others = PROGRAMS.iter().filter(|name| **name != "glexec");
    for name in others {
        let found = fs::metadata(place.path("libexec/glexec-helpers").join(name)).unwrap();
        assert_eq!(found.mode() & 0o7000, 0, "{name}");
    }
    // What an administrator has made of it.
    let path = place.path("libexec/glexec-helpers/glexec");
    let group = Account::batch().gid;
    std::os::unix::fs::chown(&path, None, Some(group)).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4750)).unwrap();
    place.install(&[]);
    assert_eq!(glexec_of(&place), (0o4750, 0, group));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
    place.install(&[]);
    assert_eq!(glexec_of(&place), (0o755, 0, 0));
    place.install(&["--setuid"]);
    assert_worked(&place.uninstall());
    assert_eq!(place.entries(), BTreeMap::new());
}

#[test]
fn setuid_is_refused_to_other_users_and_where_others_could_replace_the_program() {
    let place = Place::new();
    let refused = |account: Account, words: &[&str]| {
        let call = script("install", &["--prefix", &place.prefix, "--programs", stripped()]);
        let mut command = account.command(call.get_program());
        let output = command.args(call.get_args()).args(words).output().unwrap();
        assert_eq!(place.entries(), BTreeMap::new(), "{words:?}");
        messages(&output)
    };
    let root = Account::named("root");
    let top = place.directory.path();
    Account::batch().owns(top);
    assert!(refused(Account::batch(), &["--setuid"]).contains("as root"));
    let why = "must belong to root, and no other user may write to it";
    assert!(refused(root, &["--setuid"]).contains(why));
    root.owns(top);
    for mode in [0o775, 0o757] {
        fs::set_permissions(top, fs::Permissions::from_mode(mode)).unwrap();
        assert!(refused(root, &["--setuid"]).contains(why), "{mode:o}");
    }
    assert!(refused(root, &["--setuid", "--uninstall"]).contains("excludes"));
}

#[test]
fn a_payload_that_runs_is_not_affected_by_an_upgrade_to_set_user_id() {
    let (place, rootless) = (Place::new(), Rootless::new());
    place.install(&[]);
    let glexec = rootless.glexec();
    let mut command = Account::batch().command(place.path("bin/glexec"));
    command.env_clear().envs(variables_of(&glexec));
    command.args(["/bin/sh", "-c", "echo begun; read word; echo $word; exit 7"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    output.read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    place.install(&["--setuid"]);
    child.stdin.take().unwrap().write_all(b"on\n").unwrap();
    let mut rest = String::new();
    output.read_to_string(&mut rest).unwrap();
    assert_eq!((rest.as_str(), child.wait().unwrap().code()), ("on\n", Some(7)));
}

#[test]
fn a_package_has_no_set_user_id_program_and_an_upgrade_keeps_the_administrators_bit() {
    let place = Place::new();
    let root = CleanRoot::new();
    let done = |words: &[&str]| {
        let output = root.command(words).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", messages(&output));
    };
    fs::copy(package(place.directory.path()), root.path("/tmp/package.deb")).unwrap();
    let install = || done(&["dpkg", "--install", "/tmp/package.deb"]);
    let glexec = "/usr/libexec/glexec-helpers/glexec";
    let mode = || fs::metadata(root.path(glexec)).unwrap().mode() & 0o7777;
    install();
    assert_eq!(mode(), 0o755);
    let text = fs::read_to_string(root.path("/usr/share/doc/glexec-helpers/README.Debian"));
    let text = text.unwrap().replace("\\\n", " ");
    let line = text.lines().find(|line| line.contains("--update --add")).expect("the command");
    done(&line.split_ascii_whitespace().collect::<Vec<_>>());
    assert_eq!(mode(), 0o4755);
    install();
    assert_eq!(mode(), 0o4755);
    for link in ["/usr/sbin/glexec", "/usr/sbin/glexec_wrapenv.pl", "/usr/bin/mkgltempdir"] {
        done(&["test", "-x", link]);
    }
}
