//! scripts/install and scripts/package: the files that they install, with which modes, and that all
//! of them are removed again.
//!
//! Needs root and what `ci/provision` sets up. The programs are those of the tests.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use support::clean_root::CleanRoot;
use support::installation::{PROGRAMS, section_of, stripped};
use support::prefix::{Place, SOURCE, assert_worked, package, script};
use support::{Account, failed, messages, program};

/// The links to programs that users call.
const LINKS: [(&str, &str); 17] = [
    ("bin/condor_glexec_pilot", "condor_glexec_pilot"),
    ("bin/glexec", "glexec"),
    ("bin/glexec_sessions", "glexec_sessions"),
    ("bin/glexec_unwrapenv", "glexec_unwrapenv"),
    ("bin/glexec_unwrapenv.pl", "glexec_unwrapenv"),
    ("bin/glexec_wrapenv", "glexec_wrapenv"),
    ("bin/glexec_wrapenv.pl", "glexec_wrapenv"),
    ("bin/mkgltempdir", "mkgltempdir"),
    ("sbin/glexec", "glexec"),
    ("sbin/glexec_accounts", "glexec_accounts"),
    ("sbin/glexec_unwrapenv.pl", "glexec_unwrapenv"),
    ("sbin/glexec_wrapenv.pl", "glexec_wrapenv"),
    ("sbin/glexecd", "glexecd"),
    ("sbin/legion_add_host_account", "glexec_accounts"),
    ("sbin/legion_list_host_accounts", "glexec_accounts"),
    ("sbin/legion_remove_host_account", "glexec_accounts"),
    ("sbin/mkgltempdir", "mkgltempdir"),
];

#[test]
fn all_files_belong_to_root_and_all_but_the_agent_are_readable_by_all_users() {
    let place = Place::new();
    place.install(&[]);
    for (path, entry) in place.entries() {
        let wanted = match (entry.0, path.file_name().unwrap().to_str().unwrap()) {
            ("directory", _) => 0o755,
            ("link", _) => 0o777,
            (_, "condor_glexec_agent") if !path.starts_with("prefix/share") => 0o711,
            _ if path.starts_with("prefix/libexec") => 0o755,
            _ => 0o644,
        };
        assert_eq!(entry, (entry.0, wanted, 0, 0), "{}", path.display());
    }
    for name in PROGRAMS {
        let path = place.path("libexec/glexec-helpers").join(name);
        assert!(path.is_file(), "{}", path.display());
        let section = section_of(name);
        let page = place.path(&format!("share/man/man{section}/{name}.{section}"));
        assert!(page.is_file(), "{}", page.display());
    }
    for name in ["share/doc/glexec-helpers/README.md", "share/doc/glexec-helpers/LICENSE"] {
        assert_eq!(
            fs::read(place.path(name)).unwrap(),
            fs::read(Path::new(SOURCE).join(name.rsplit('/').next().unwrap())).unwrap()
        );
    }
    for (link, name) in LINKS {
        let target = fs::read_link(place.path(link)).unwrap();
        assert_eq!(target, place.path("libexec/glexec-helpers").join(name), "{link}");
    }
    let output =
        Account::batch().command(place.path("bin/glexec")).arg("--version").output().unwrap();
    assert_worked(&output);
}

#[test]
fn an_install_without_glexec_verify_says_what_it_needs() {
    let place = Place::new();
    let programs = place.directory.path().join("programs");
    let mut copy = Command::new("cp");
    assert!(copy.args(["-r", stripped()]).arg(&programs).status().unwrap().success());
    fs::remove_file(programs.join("glexec_verify")).unwrap();
    let mut install = script("install", &["--prefix", &place.prefix, "--programs"]);
    failed(&install.arg(&programs).output().unwrap(), 0, &["glexec_verify", "libssl-dev"]);
    assert!(place.path("libexec/glexec-helpers/glexec").is_file());
    assert!(!place.path("libexec/glexec-helpers/glexec_verify").exists());
}

#[test]
fn an_install_prints_the_next_steps_for_a_user_and_the_guide_for_an_administrator() {
    let place = Place::new();
    let install = |account: Option<Account>, directory: &str| {
        let path = place.directory.path().join(directory);
        fs::create_dir(&path).unwrap();
        let call =
            script("install", &["--programs", stripped(), "--prefix", path.to_str().unwrap()]);
        let mut command =
            account.map_or_else(|| Command::new("env"), |account| account.command("env"));
        if let Some(account) = account {
            account.owns(&path);
        }
        let output = command.arg("sh").args(call.get_args()).output().unwrap();
        assert_worked(&output);
        (path, String::from_utf8(output.stdout).unwrap())
    };
    let (path, printed) = install(None, "administrators");
    let guide = path.join("share/doc/glexec-helpers/docs/administrator.md");
    assert!(guide.is_file() && printed.trim_end().ends_with(guide.to_str().unwrap()), "{printed}");
    let (path, printed) = install(Some(Account::batch()), "pilots");
    let guide = path.join("share/doc/glexec-helpers/docs/pilots.md");
    assert!(guide.is_file() && printed.trim_end().ends_with(guide.to_str().unwrap()), "{printed}");
    // Its output can be typed.
    let typed: Vec<&str> = printed.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    let output = Account::batch().command("sh").args(["-euc", &typed.join("\n")]).output().unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    assert!(report.contains("/var/tmp"), "{typed:?}: {report}{}", messages(&output));
}

#[test]
fn a_build_names_the_missing_tool() {
    let place = Place::new();
    // All programs that the scripts call, except a compiler.
    let bin = place.directory.path().join("bin");
    fs::create_dir(&bin).unwrap();
    for name in ["bash", "dirname", "mktemp", "id", "rm", "getent", "true"] {
        std::os::unix::fs::symlink(Path::new("/usr/bin").join(name), bin.join(name)).unwrap();
    }
    let other = Account::other();
    let missing = |script: &str| {
        let mut command = other.command("/bin/bash");
        command.arg(format!("{SOURCE}/scripts/{script}")).env("PATH", &bin).output().unwrap()
    };
    let lines = |name: &str| {
        ["install", "demo"]
            .map(|script| failed(&missing(script), 1, &[name, "is missing: install"]))
    };
    assert!(lines("cargo").iter().all(|line| line.contains("a Rust toolchain")));
    std::os::unix::fs::symlink("true", bin.join("cargo")).unwrap();
    assert!(lines("cc").iter().all(|line| line.contains("gcc libc6-dev")));
}

/// Whether a program requires an interpreter, ld.so: a program header of type PT_INTERP (elf(5)).
fn is_dynamic(program: &Path) -> bool {
    let elf = fs::read(program).unwrap();
    let number = |at: usize, length: usize| {
        elf[at..at + length].iter().rev().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
    };
    let (start, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|index| number(start + index * size, 4) == 3)
}

#[test]
#[ignore = "builds all programs twice: minutes"]
fn programs_are_linked_as_asked_for() {
    for (words, dynamic) in [(&[][..], false), (&["--link", "dynamic"][..], true)] {
        let place = Place::new();
        let target = place.directory.path().join("target");
        let mut install = script("install", &["--prefix", &place.prefix]);
        let output = install.args(words).env("CARGO_TARGET_DIR", target).output().unwrap();
        assert!(output.status.success(), "{words:?}: {}", messages(&output));
        for name in PROGRAMS {
            let program = place.path("libexec/glexec-helpers").join(name);
            let dynamic = dynamic || name == "glexec_verify";
            assert_eq!(is_dynamic(&program), dynamic, "{name} {words:?}");
            let help = Command::new(&program).arg("--help").output().unwrap();
            assert!(help.status.success(), "{name} {words:?}: {help:?}");
        }
    }
}

#[test]
fn ways_to_link_that_make_no_sense_are_refused() {
    for (words, why) in [
        (&["--link", "both"][..], "--link: static or dynamic, not both"),
        (&["--link", "static", "--uninstall"], "--uninstall needs no programs"),
        (&["--link", "dynamic", "--programs", "/x"], "--link says how to build programs"),
    ] {
        let output = script("install", words).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        assert!(messages(&output).contains(why), "{words:?}: {}", messages(&output));
    }
}

#[test]
fn the_samples_name_the_programs_where_they_are() {
    let place = Place::new();
    let libexec = place.path("elsewhere/lib");
    place.install(&["--libexec", libexec.to_str().unwrap()]);
    let examples = place.path("share/doc/glexec-helpers/examples");
    let text = |name: &str| fs::read_to_string(examples.join(name)).unwrap();
    let rule = format!("condor ALL=(job) NOPASSWD: {}/condor_glexec_agent\n", libexec.display());
    assert!(text("glexec-sudo.sudoers").ends_with(&rule));
    let output = Command::new("visudo")
        .arg("-cf")
        .arg(examples.join("glexec-sudo.sudoers"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", messages(&output));
    let configuration = text("condor_config.glexec");
    assert!(
        configuration.contains(&format!("\nGLEXEC = {}/glexec-sudo\n", libexec.display())),
        "{configuration}"
    );
    // A job without a proxy would be started again without limit.
    assert!(
        configuration.contains("\nSTART = ($(START)) && (TARGET.x509userproxy =!= UNDEFINED)\n"),
        "{configuration}"
    );
    for name in
        ["glexec-sudo.sudoers", "glexec-sudo.map", "condor_config.glexec", "glexec-epilogue"]
    {
        assert!(!text(name).contains("/usr/local"), "{name}");
    }
}

#[test]
fn an_uninstall_leaves_nothing_also_after_two_installs() {
    let place = Place::new();
    place.install(&[]);
    let once = place.entries();
    place.install(&[]);
    assert_eq!(place.entries(), once);
    assert_worked(&place.uninstall());
    assert_eq!(place.entries(), BTreeMap::new());
    failed(&place.uninstall(), 1, &["nothing is installed", &place.prefix]);
}

#[test]
fn a_destination_that_does_not_exist_is_made() {
    let place = Place::new();
    let destination = place.directory.path().join("new/destination");
    place.install(&["--destdir", destination.to_str().unwrap()]);
    let below = destination.join(place.prefix.trim_start_matches('/'));
    assert!(below.join("libexec/glexec-helpers/glexec").is_file());
}

#[test]
fn an_uninstall_keeps_what_was_there_before_or_was_added_or_changed_since() {
    let place = Place::new();
    fs::create_dir_all(place.path("share/man/man1")).unwrap();
    place.install(&[]);
    let [changed, added] =
        ["share/man/man1/glexec.1", "libexec/glexec-helpers/mine"].map(|name| place.path(name));
    fs::write(&changed, "another page").unwrap();
    fs::write(&added, "my own").unwrap();
    let output = place.uninstall();
    failed(&output, 0, &["left", changed.to_str().unwrap()]);
    let files = place
        .entries()
        .into_iter()
        .filter(|(_, entry)| entry.0 != "directory")
        .map(|(path, _)| path);
    let left: Vec<PathBuf> = files.map(|path| place.directory.path().join(path)).collect();
    assert_eq!(left, [added.clone(), changed.clone()]);
    fs::remove_file(changed).unwrap();
    assert!(place.path("share/man/man1").is_dir(), "it was not made by the install");
}

#[test]
fn an_install_removes_what_only_the_install_before_created() {
    let place = Place::new();
    place.install(&["--libexec", place.path("old/libexec").to_str().unwrap()]);
    place.install(&[]);
    assert!(!place.path("old").exists());
    assert_worked(&place.uninstall());
    assert_eq!(place.entries(), BTreeMap::new());
}

#[test]
fn a_running_program_continues_while_it_is_replaced() {
    let place = Place::new();
    place.install(&[]);
    let opened: Vec<File> = PROGRAMS
        .map(|name| File::open(place.path("libexec/glexec-helpers").join(name)).unwrap())
        .into_iter()
        .collect();
    place.install(&[]);
    for (name, file) in PROGRAMS.iter().zip(opened) {
        assert_eq!(file.metadata().unwrap().nlink(), 0, "{name} was written to, not replaced");
    }
}

#[test]
fn a_program_of_others_in_the_place_of_a_link_is_not_replaced() {
    let place = Place::new();
    let theirs = place.path("sbin/glexec");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, "another glexec").unwrap();
    let before = place.entries();
    let words = ["--prefix", &place.prefix, "--programs", stripped()];
    let output = script("install", &words).output().unwrap();
    failed(&output, 1, &["in the way", theirs.to_str().unwrap()]);
    assert_eq!(place.entries(), before);
    assert_eq!(fs::read(theirs).unwrap(), b"another glexec");
}

#[test]
fn a_path_that_a_rule_or_a_list_could_misread_is_refused() {
    for path in ["relative", "/with blank", "/with,comma", "/up/../down", "/new\nline"] {
        for option in ["--prefix", "--libexec", "--destdir"] {
            let output = script("install", &[option, path, "--uninstall"]).output().unwrap();
            assert_eq!(
                (output.status.code(), output.stdout.as_slice()),
                (Some(1), &b""[..]),
                "{option} {path}"
            );
            assert!(
                messages(&output).starts_with(&format!("install: {option}: ")),
                "{}",
                messages(&output)
            );
        }
    }
}

#[test]
fn a_package_is_reproducible() {
    let place = Place::new();
    let [one, two] =
        ["one", "two"].map(|name| fs::read(package(&place.directory.path().join(name))).unwrap());
    assert!(one == two);
}

#[test]
fn the_demo_runs_from_an_installed_package_and_a_purge_leaves_nothing() {
    let place = Place::new();
    let root = CleanRoot::new();
    let done = |words: &[&str]| {
        let output = root.command(words).output().unwrap();
        assert!(
            output.status.success(),
            "{words:?}: {}{}",
            String::from_utf8_lossy(&output.stdout),
            messages(&output)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    // Nothing is built: only the demo needs the source in the package, and cargo is not in PATH.
    for name in ["scripts/demo", "ci/provision"] {
        let copy = root.path("/tmp/source").join(name);
        fs::create_dir_all(copy.parent().unwrap()).unwrap();
        fs::copy(Path::new(SOURCE).join(name), copy).unwrap();
    }
    fs::copy(program("examples/starter"), root.path("/tmp/starter")).unwrap();
    done(&["/tmp/source/ci/provision"]);
    // This machine may have it.
    done(&["dpkg", "--purge", "glexec-helpers"]);
    assert!(!root.path("/usr/libexec/glexec-helpers").exists());
    let before = root.changes();

    fs::copy(package(place.directory.path()), root.path("/tmp/package.deb")).unwrap();
    done(&["dpkg", "--install", "/tmp/package.deb"]);
    let demo = [
        "/tmp/source/scripts/demo",
        "--programs",
        "/usr/libexec/glexec-helpers",
        "--starter",
        "/tmp/starter",
    ];
    let through_sudo = done(&demo);
    assert!(through_sudo.ends_with("All as claimed.\n"), "{through_sudo}");
    let batch = Account::batch();
    let (user, group) = (format!("--reuid={}", batch.uid), format!("--regid={}", batch.gid));
    // Another machine may lack what ci/provision has installed. The switcher keeps its list of
    // leases.
    done(&["rm", "/usr/bin/pgrep", "/usr/bin/ps"]);
    let as_batch =
        ["setpriv", &user, &group, "--clear-groups", "env", "GLEXEC_STATE_DIR=/tmp/leases"];
    let through_glexec = done(&[&as_batch[..], &demo].concat());
    assert!(through_glexec.ends_with("All as claimed.\n"), "{through_glexec}");

    done(&["dpkg", "--purge", "glexec-helpers"]);
    let mut after = root.changes();
    // dpkg's own files, the index of all pages, and what was removed above.
    let claims = format!("var/tmp/glexec-{}", batch.uid);
    let own = [
        "var/lib/dpkg",
        "var/log/dpkg.log",
        "var/cache/man",
        "usr/bin/pgrep",
        "usr/bin/ps",
        &claims,
    ];
    after.retain(|path, entry| {
        before.get(path) != Some(entry) && !own.iter().any(|own| path.starts_with(own))
    });
    assert_eq!(after.keys().collect::<Vec<_>>(), Vec::<&PathBuf>::new());
}
