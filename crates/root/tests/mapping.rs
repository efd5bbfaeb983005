//! Which account a credential gets, with accounts of /etc/passwd and a gridmapdir. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::Path;
use std::process::{Command, Stdio};

use support::{
    Asker, CALLER_MAP, CONFIG, GRID_MAPFILE, GRIDMAPDIR, POOL, ask, leases, on_machine, pool,
    refusal, set_mode, write,
};

const GET: &str = "lcmaps_get_account";
const VERIFY: &str = "lcmaps_verify_account";

fn proxy(map: &str) {
    write(CONFIG, "min_uid = 1000\nmin_gid = 1000\n");
    write(GRID_MAPFILE, map);
}

fn by_caller(map: &str) {
    write(CONFIG, "mapping = caller\n");
    write(CALLER_MAP, map);
}

fn subject(mode: &str, subject: &str) -> Result<String, (u8, String)> {
    ask(&["subject", mode, subject])
}

fn link(account: &str, lease: &str) {
    fs::hard_link(format!("{GRIDMAPDIR}/{account}"), format!("{GRIDMAPDIR}/{lease}")).unwrap();
}

/// The account, without its groups.
fn name(answer: &str) -> &str {
    answer.split(' ').next().unwrap()
}

#[test]
fn a_subject_has_the_account_of_its_line_with_its_groups() {
    on_machine("a_subject_has_the_account_of_its_line_with_its_groups", || {
        proxy("\"/O=Grid/CN=A B\" alice\n/CN=r root\n/CN=l low\n/CN=n nobody\n/CN=x x\n");
        assert_eq!(subject(GET, "/O=Grid/CN=A B"), Ok("alice 5000".to_owned()));
        assert_eq!(subject(VERIFY, "/O=Grid/CN=A B"), Ok("alice 5000".to_owned()));
        for unusable in ["/CN=r", "/CN=l", "/CN=n", "/CN=x", "/CN=unknown", ""] {
            assert_eq!(subject(GET, unusable).unwrap_err().0, 203, "{unusable}");
        }
        assert_eq!(refusal(&["subject", "other", "/CN=a"]).0, 201);
        assert_eq!(leases().len(), 0);
    });
}

#[test]
fn a_banned_subject_has_no_account_and_a_ban_file_that_is_missing_bans_all() {
    on_machine("a_banned_subject_has_no_account_and_a_ban_file_that_is_missing_bans_all", || {
        proxy("\"/CN=a\" alice\n\"/CN=b\" .pool\n");
        write(CONFIG, "ban_file = /etc/ban\n");
        assert_eq!(subject(GET, "/CN=a").unwrap_err().0, 202);
        write("/etc/ban", "/CN=b\n");
        assert_eq!(subject(GET, "/CN=a").map(|_| ()), Ok(()));
        assert_eq!(subject(GET, "/CN=b").unwrap_err().0, 203);
        assert_eq!(leases().len(), 0);
    });
}

#[test]
fn a_map_that_another_user_can_change_is_not_believed() {
    on_machine("a_map_that_another_user_can_change_is_not_believed", || {
        proxy("\"/CN=a\" alice\n\"/CN=b\" .pool\n");
        for path in [GRID_MAPFILE, "/etc/grid-security"] {
            let mode = fs::metadata(path).unwrap().mode();
            set_mode(path, mode | 0o022);
            assert_eq!(subject(GET, "/CN=a").unwrap_err().0, 202, "{path}");
            set_mode(path, mode);
            chown(path, Some(2002), None).unwrap();
            assert_eq!(subject(GET, "/CN=a").unwrap_err().0, 202, "{path}: the account glexec");
            chown(path, Some(0), None).unwrap();
        }
        set_mode(GRIDMAPDIR, 0o1777);
        assert_eq!(subject(GET, "/CN=b").unwrap_err().0, 202);
        assert_eq!(subject(GET, "/CN=a").map(|_| ()), Ok(()));
    });
}

#[test]
fn a_lease_is_a_link_with_the_usual_name_and_stays() {
    on_machine("a_lease_is_a_link_with_the_usual_name_and_stays", || {
        proxy("\"/O=Grid/CN=A B\" .pool\n");
        assert_eq!(subject(VERIFY, "/O=Grid/CN=A B").unwrap_err().0, 203);
        assert_eq!(leases().len(), 0, "a question leases nothing");
        let first = subject(GET, "/O=Grid/CN=A B").unwrap();
        assert_eq!(first, "pool01 5000");
        for mode in [GET, VERIFY] {
            assert_eq!(subject(mode, "/O=Grid/CN=A B"), Ok(first.clone()));
        }
        let inode = |name: &str| fs::metadata(format!("{GRIDMAPDIR}/{name}")).unwrap().ino();
        assert_eq!(inode("%2fo%3dgrid%2fcn%3da%20b"), inode("pool01"));
    });
}

#[test]
fn a_lease_of_other_software_is_used() {
    on_machine("a_lease_of_other_software_is_used", || {
        proxy("\"/CN=a\" .pool\n\"/CN=b\" .pool\n");
        link("pool13", "%2fcn%3da");
        link("pool01", "%2fcn%3dc%3avo");
        assert_eq!(subject(VERIFY, "/CN=a").as_deref(), Ok("pool13"));
        assert_eq!(subject(GET, "/CN=a").as_deref(), Ok("pool13"));
        assert_eq!(subject(GET, "/CN=b").as_deref().map(name), Ok("pool02"));
    });
}

#[test]
fn the_account_whose_lease_ended_first_is_leased_first() {
    on_machine("the_account_whose_lease_ended_first_is_leased_first", || {
        proxy("\"/CN=a\" .pool\n\"/CN=b\" .pool\n");
        let age = |name: &str, day: &str| {
            let done =
                Command::new("touch").args(["-d", day, &format!("{GRIDMAPDIR}/{name}")]).status();
            assert!(done.unwrap().success());
        };
        age("pool09", "2020-01-01");
        age("pool05", "2020-01-02");
        assert_eq!(subject(GET, "/CN=a").as_deref(), Ok("pool09"));
        assert_eq!(subject(GET, "/CN=b").as_deref(), Ok("pool05"));
    });
}

#[test]
fn files_that_are_no_accounts_of_the_pool_are_not_leased() {
    on_machine("files_that_are_no_accounts_of_the_pool_are_not_leased", || {
        proxy("\"/CN=a\" .pool\n\"/CN=b\" .poo\n\"/CN=c\" .r\n\"/CN=d\" .low\n");
        for name in pool() {
            fs::remove_file(format!("{GRIDMAPDIR}/{name}")).unwrap();
        }
        for name in ["pool01~", ".pool02", "poolx3", "pool", "%pool04", "root", "pool99", "pool05x"]
        {
            write(&format!("{GRIDMAPDIR}/{name}"), "");
        }
        fs::create_dir(format!("{GRIDMAPDIR}/pool06")).unwrap();
        std::os::unix::fs::symlink("root", format!("{GRIDMAPDIR}/pool07")).unwrap();
        for subject_of in ["/CN=a", "/CN=b", "/CN=c", "/CN=d"] {
            let (status, why) = subject(GET, subject_of).unwrap_err();
            assert_eq!(status, 202);
            assert!(why.contains("no account of the pool"), "{why}");
        }
        write(&format!("{GRIDMAPDIR}/pool08"), "");
        assert_eq!(subject(GET, "/CN=a").as_deref(), Ok("pool08"));
    });
}

#[test]
fn several_accounts_are_tried_in_their_order() {
    on_machine("several_accounts_are_tried_in_their_order", || {
        proxy("\"/CN=a\" .none,.pool,alice\n\"/CN=b\" .none,alice\n\"/CN=c\" alice,.pool\n");
        assert_eq!(subject(GET, "/CN=a").as_deref().map(name), Ok("pool01"));
        assert_eq!(subject(GET, "/CN=b").as_deref().map(name), Ok("alice"));
        assert_eq!(subject(GET, "/CN=c").as_deref().map(name), Ok("alice"));
        assert_eq!(leases().len(), 1);
    });
}

#[test]
fn a_lease_that_is_not_plain_is_a_refusal() {
    on_machine("a_lease_that_is_not_plain_is_a_refusal", || {
        proxy("\"/CN=a\" .pool\n\"/CN=b\" .pool\n\"/CN=c\" .pool\n\"/CN=d\" .other\n");
        link("pool01", "%2fcn%3da");
        link("pool01", "%2fcn%3dother");
        let (status, why) = subject(GET, "/CN=a").unwrap_err();
        assert!(status == 202 && why.contains("several identities"), "{why}");
        write(&format!("{GRIDMAPDIR}/%2fcn%3db"), "");
        let (status, why) = subject(GET, "/CN=b").unwrap_err();
        assert!(status == 202 && why.contains("the file of its account is gone"), "{why}");
        write(&format!("{GRIDMAPDIR}/no~account"), "");
        link("no~account", "%2fcn%3dc");
        let (status, why) = subject(GET, "/CN=c").unwrap_err();
        assert!(status == 202 && why.contains("not that of an account"), "{why}");
        link("pool02", "%2fcn%3dd");
        let (status, why) = subject(GET, "/CN=d").unwrap_err();
        assert!(status == 202 && why.contains("of no pool"), "{why}");
    });
}

#[test]
fn a_callers_credential_has_the_account_of_the_longest_prefix() {
    on_machine("a_callers_credential_has_the_account_of_the_longest_prefix", || {
        by_caller("caller /mnt .pool\ncaller /mnt/a alice\n");
        let caller = |path: &str| ask(&["caller", GET, "caller", path]);
        assert_eq!(caller("/mnt/a/token").as_deref(), Ok("alice 5000"));
        assert_eq!(caller("/mnt/b").as_deref().map(name), Ok("pool01"));
        assert_eq!(caller("/tmp/b").unwrap_err().0, 203);
        assert_eq!(ask(&["caller", GET, "other", "/mnt/b"]).unwrap_err().0, 203);
    });
}

#[test]
fn a_credentials_lease_ends_when_it_is_gone_and_no_call_uses_it() {
    on_machine("a_credentials_lease_ends_when_it_is_gone_and_no_call_uses_it", || {
        by_caller("caller / .pool\nother / .pool\n");
        write("/mnt/a", "token");
        let mut user = Asker::new();
        let held = user.ask(&["caller", GET, "caller", "/mnt/a"]).unwrap();
        assert_eq!(ask(&["caller", VERIFY, "caller", "/mnt/a"]), Ok(held.clone()));
        assert_eq!(refusal(&["caller", VERIFY, "caller", "/mnt/b"]).0, 203);
        fs::remove_file("/mnt/a").unwrap();
        write("/mnt/b", "token");
        let other = ask(&["caller", GET, "caller", "/mnt/b"]).unwrap();
        assert_eq!(leases().len(), 2, "a call still uses the first");
        let left = Command::new("setpriv")
            .args(["--reuid", "3001", "--regid", "3001", "--clear-groups", "sleep", "1000"])
            .spawn();
        let mut left = left.unwrap();
        user.ask(&["drop"]).unwrap();
        assert_eq!(ask(&["caller", GET, "other", "/mnt/b"]).map(|_| ()), Ok(()));
        assert_eq!(leases().len(), 3, "another user's call ends none while accounts are free");
        assert_eq!(ask(&["caller", GET, "caller", "/mnt/b"]), Ok(other));
        assert_eq!(leases().len(), 2);
        assert!(!Path::new(&format!("{GRIDMAPDIR}/%glexec:{}", name(&held))).exists());
        assert_eq!(name(&held), "pool01");
        assert!(!left.wait().unwrap().success(), "what the lease left was killed");
    });
}

#[test]
fn a_pool_without_a_free_account_takes_back_the_leases_of_other_users_that_are_over() {
    const NAME: &str =
        "a_pool_without_a_free_account_takes_back_the_leases_of_other_users_that_are_over";
    on_machine(NAME, || {
        by_caller("caller / .pool\nother / .pool\n");
        for number in 0..POOL {
            let path = format!("/mnt/{number}");
            write(&path, "token");
            ask(&["caller", GET, "caller", &path]).unwrap();
        }
        write("/mnt/other", "token");
        let call = ["caller", GET, "other", "/mnt/other"];
        let (status, why) = refusal(&call);
        assert!(status == 202 && why.contains("no account of the pool .pool is free"), "{why}");
        fs::remove_file("/mnt/7").unwrap();
        assert_eq!(ask(&call).as_deref().map(name), Ok("pool08"));
        proxy("\"/CN=a\" .pool\n");
        assert_eq!(subject(GET, "/CN=a").unwrap_err().0, 202, "no subject gets one of these");
    });
}

#[test]
fn a_damaged_lease_is_ended_and_one_of_another_machine_is_not() {
    on_machine("a_damaged_lease_is_ended_and_one_of_another_machine_is_not", || {
        by_caller("caller / .pool\n");
        write("/mnt/a", "token");
        link("pool01", "%glexec:pool01");
        let record = ["glexec-lease 1", "elsewhere", "2000", "8:1 /x", "/gone"].join("\0");
        write(&format!("{GRIDMAPDIR}/pool02"), &record);
        link("pool02", "%glexec:pool02");
        let leased = ask(&["caller", GET, "caller", "/mnt/a"]).unwrap();
        assert_eq!(leases().len(), 2, "{leased}");
        assert!(Path::new(&format!("{GRIDMAPDIR}/%glexec:pool02")).exists());
    });
}

#[test]
fn a_credential_on_a_file_system_that_does_not_answer_keeps_its_lease_and_delays_calls_only() {
    const NAME: &str =
        "a_credential_on_a_file_system_that_does_not_answer_keeps_its_lease_and_delays_calls_only";
    on_machine(NAME, || {
        by_caller("caller / .pool\nother / .pool\n");
        fs::create_dir("/mnt/hangs").unwrap();
        write("/mnt/hangs/a", "token");
        let leased = ask(&["caller", GET, "caller", "/mnt/hangs/a"]).unwrap();
        // A FUSE file system whose requests no process reads.
        let script = "exec 9<>/dev/fuse && mount -i -t fuse -o \
            fd=9,rootmode=40000,user_id=2000,group_id=2000,allow_other none /mnt/hangs && \
            echo mounted && exec sleep 1000";
        let mut server =
            Command::new("sh").args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap();
        let mut said = [0; 8];
        server.stdout.as_mut().unwrap().read_exact(&mut said).unwrap();
        write("/mnt/b", "token");
        for caller in ["caller", "other"] {
            assert_ne!(ask(&["caller", GET, caller, "/mnt/b"]).unwrap(), leased, "{caller}");
        }
        assert_eq!(leases().len(), 3);
        server.kill().unwrap();
        server.wait().unwrap();
    });
}
