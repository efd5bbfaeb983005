//! `glexec` set-user-ID root with proxies: an authority, certificates and proxies of openssl.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use support::handover::{run, set_mode};
use support::setuid::{LIBEXEC, Setuid};
use support::{Account, executable, failed, messages, own, program, write};

const ALICE: &str = "/DC=org/DC=example/CN=Alice Example";

/// The directory of testdata/ca/make, which is made once.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("ca-of-setuid");
        let _ = fs::remove_dir_all(&directory);
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/testdata/ca/make");
        let status = Command::new(script).arg(&directory).status().unwrap();
        assert!(status.success(), "testdata/ca/make failed; it needs openssl: run ci/provision");
        directory
    })
}

/// A site that maps proxies, with these lines of a grid-mapfile and of the configuration.
fn site(map: &str, lines: &str) -> Setuid {
    program("glexec_verify");
    let setuid = Setuid::new();
    let authorities = setuid.path("/mnt/authorities");
    run("cp", &["-R".as_ref(), made().join("authorities").as_os_str(), authorities.as_os_str()]);
    run("chmod", &["-R".as_ref(), "u=rwX,go=rX".as_ref(), authorities.as_os_str()]);
    setuid.write("/mnt/grid-mapfile", map);
    setuid.configure(&format!(
        "user_white_list = gh-batch\nmin_uid = 900\nmin_gid = 900\n\
         ca_directory = /mnt/authorities/valid\ngrid_mapfile = /mnt/grid-mapfile\n\
         gridmapdir = /mnt/gridmapdir\n{lines}"
    ));
    setuid
}

fn alice(lines: &str) -> Setuid {
    site(&format!("\"{ALICE}\" gh-job\n"), lines)
}

/// A call with a proxy of testdata/ca/make.
fn call(setuid: &Setuid, name: &str) -> Command {
    let path = setuid.site.scratch().join(format!("{name}.pem"));
    if !path.exists() {
        write(&path, fs::read(made().join(format!("credentials/{name}.pem"))).unwrap(), 0o600);
        own(&path, Account::batch());
    }
    let mut call = setuid.glexec();
    call.env("GLEXEC_CLIENT_CERT", path);
    call
}

fn user(setuid: &Setuid, name: &str) -> Output {
    call(setuid, name).args(["/usr/bin/id", "-un"]).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), messages(output))
}

#[test]
fn a_proxy_maps_to_the_account_of_its_subject_which_the_log_tells() {
    let setuid = alice("");
    for name in ["fresh", "two_levels", "rsa", "key_first", "month"] {
        assert_eq!(text(&user(&setuid, name)), "gh-job\n", "{name}");
        let told = setuid.logged();
        let subject = format!("]: Used DN: \"{ALICE}\"");
        assert!(told.iter().any(|line| line.ends_with(&subject)), "{told:?}");
    }
}

#[test]
fn a_proxy_that_is_not_valid_is_201() {
    let setuid = alice("");
    for (name, why) in [
        ("expired", "expired"),
        ("user_expired", "expired"),
        ("future", "not yet valid"),
        ("foreign_ca", "no trusted authority"),
        ("wrong_key", "the key does not belong"),
        ("no_key", "no key"),
        ("wrong_subject", "subject name violation"),
        ("path_length", "path length"),
        ("bare", "no proxy"),
        ("old", "no proxy"),
        ("empty", "no certificate"),
        ("truncated", "truncated"),
        ("malformed", "malformed"),
    ] {
        let output = user(&setuid, name);
        failed(&output, 201, &[why]);
        assert!(output.stdout.is_empty());
    }
    let mut any = setuid.glexec();
    failed(&any.arg("/usr/bin/id").output().unwrap(), 201, &["no certificate"]);
}

#[test]
fn a_subject_that_is_banned_revoked_or_not_mapped_is_203() {
    let setuid = site(
        &format!("\"{ALICE}\" gh-job\n\"/DC=org/DC=example/CN=Bob Revoked\" gh-job\n"),
        "ban_file = /mnt/ban\n",
    );
    setuid.write("/mnt/ban", format!("\"{ALICE}\"\n"));
    failed(&user(&setuid, "fresh"), 203, &["banned"]);
    failed(&user(&setuid, "revoked"), 203, &["revoked"]);
    failed(&user(&setuid, "sub_authority"), 203, &["no account", "grid-mapfile"]);
    setuid.write("/mnt/ban", "");
    assert_eq!(text(&user(&setuid, "fresh")), "gh-job\n");
}

#[test]
fn a_limited_proxy_is_accepted_only_by_configuration() {
    for (lines, is_accepted) in [("", false), ("allow_limited_proxies = yes\n", true)] {
        let setuid = alice(lines);
        for name in ["limited", "limited_then_full"] {
            let output = user(&setuid, name);
            match is_accepted {
                true => assert_eq!(text(&output), "gh-job\n"),
                false => drop(failed(&output, 203, &["limited"])),
            }
        }
        failed(&user(&setuid, "restricted"), 203, &["policy"]);
    }
}

#[test]
fn a_proxy_that_is_valid_for_longer_than_the_site_allows_is_202() {
    let setuid = alice("max_proxy_lifetime = 1=604800, leaf=604800\n");
    failed(&user(&setuid, "month"), 202, &[]);
    assert_eq!(text(&user(&setuid, "fresh")), "gh-job\n");
}

#[test]
fn only_callers_in_the_list_may_omit_the_key() {
    let setuid = alice("omission_private_key_white_list = gh-batch\n");
    assert_eq!(text(&user(&setuid, "no_key")), "gh-job\n");
    failed(&user(&setuid, "wrong_key"), 201, &["the key does not belong"]);
    let setuid = alice("omission_private_key_white_list = gh-other\n");
    failed(&user(&setuid, "no_key"), 201, &["no key"]);
}

/// Adds pool accounts.
fn pool(setuid: &Setuid, count: u32) {
    let passwd = fs::read_to_string(setuid.path("/etc/passwd")).unwrap();
    let accounts: String = (1..=count)
        .map(|number| format!("pool{number:02}:x:{0}:{0}::/:/bin/sh\n", 7000 + number))
        .collect();
    setuid.write("/etc/passwd", passwd + &accounts);
    fs::create_dir(setuid.path("/mnt/gridmapdir")).unwrap();
    for number in 1..=count {
        setuid.write(&format!("/mnt/gridmapdir/pool{number:02}"), "");
    }
}

#[test]
fn subjects_lease_accounts_of_a_pool_and_keep_them() {
    let map = format!("\"{ALICE}\" .pool\n\"/DC=org/DC=example/CN=Carol\" .pool\n");
    let setuid = site(&map, "");
    pool(&setuid, 2);
    let verify = |name: &str| {
        let mut call = call(&setuid, name);
        call.env("GLEXEC_MODE", "lcmaps_verify_account").args(["/usr/bin/id", "-un"]);
        call.output().unwrap()
    };
    failed(&verify("fresh"), 203, &["no account to verify"]);
    let first = text(&user(&setuid, "fresh"));
    let second = text(&user(&setuid, "sub_authority"));
    let mut both = [first.clone(), second.clone()];
    both.sort();
    assert_eq!(both, ["pool01\n", "pool02\n"]);
    for _ in 0..3 {
        assert_eq!(text(&user(&setuid, "two_levels")), first);
        assert_eq!(text(&verify("fresh")), first);
        assert_eq!(text(&user(&setuid, "sub_authority")), second);
    }
}

// The program that verifies.

#[test]
fn the_verifying_program_must_be_roots_and_gives_exactly_one_answer() {
    let setuid = alice("");
    let path = setuid.path(&format!("{LIBEXEC}/glexec_verify"));
    set_mode(&path, 0o777);
    failed(&user(&setuid, "fresh"), 202, &["glexec_verify"]);
    fs::remove_file(&path).unwrap();
    failed(&user(&setuid, "fresh"), 202, &["glexec_verify"]);
    let identity = format!("identity not-after 1 level 1 full {ALICE}");
    for script in [
        "exit 0",
        "echo error 201",
        "echo x",
        &format!("echo {identity}; echo {identity}"),
        &format!("printf '%s' '{identity}'"),
        &format!("printf '%s\\n' '{identity}'; head -c 10000 /dev/zero"),
        "kill -9 $$",
    ] {
        executable(&path, format!("#!/bin/sh\n{script}\n").as_bytes());
        failed(&user(&setuid, "fresh"), 202, &["cannot verify the proxy"]);
    }
}

#[test]
fn the_verifying_program_has_no_right_of_the_caller_or_of_root() {
    let setuid = alice("");
    let path = setuid.path(&format!("{LIBEXEC}/glexec_verify"));
    let script = "ids=$(id -u)/$(id -g)/$(id -G)/$(grep CapEff /proc/self/status | cut -f2)
        echo error 203 $ids $(ls /proc/$$/fd | tr '\\n' ,) $(env | grep -c LD_) $(pwd) $0 $*";
    executable(&path, format!("#!/bin/sh\n{script}\n").as_bytes());
    call(&setuid, "fresh");
    let mut shell = setuid.shell("LD_AUDIT=/x exec \"$GLEXEC\" /usr/bin/id");
    shell.env("GLEXEC_CLIENT_CERT", setuid.site.scratch().join("fresh.pem"));
    let output = shell.output().unwrap();
    let line = failed(&output, 203, &["65534/65534/65534/0000000000000000"]);
    assert!(line.contains(" 0 / /mnt/libexec/glexec_verify --ca-directory"), "{line}");
}

#[test]
fn a_hard_link_to_glexec_in_another_users_directory_uses_no_program_from_there() {
    let setuid = alice("");
    let place = setuid.path("/mnt/place");
    fs::create_dir(&place).unwrap();
    fs::hard_link(setuid.path(&format!("{LIBEXEC}/glexec")), place.join("glexec")).unwrap();
    let answer = format!("#!/bin/sh\necho identity not-after 1 level 1 full {ALICE}\n");
    executable(&place.join("glexec_verify"), answer.as_bytes());
    own(&place, Account::batch());
    Account { uid: 0, gid: 0 }.owns(place.join("glexec"));
    set_mode(place.join("glexec"), 0o4755);
    let path = call(&setuid, "fresh");
    let credential = path.get_envs().find(|(name, _)| *name == "GLEXEC_CLIENT_CERT").unwrap().1;
    let mut linked = setuid.command(Account::batch(), "/mnt/place/glexec");
    linked.env("GLEXEC_CLIENT_CERT", credential.unwrap()).arg("/usr/bin/id");
    let output = linked.output().unwrap();
    failed(&output, 202, &["glexec_verify"]);
    assert!(output.stdout.is_empty());
}
