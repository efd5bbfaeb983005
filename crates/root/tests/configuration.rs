//! The configuration on a machine: which files are believed, and who may call. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::{chown, symlink};

use support::{CALLER, CONFIG, ask, on_machine, refusal, set_mode, write};

const GLEXEC: u32 = 2002;

#[test]
fn a_missing_file_is_a_refusal_of_its_own() {
    on_machine("a_missing_file_is_a_refusal_of_its_own", || {
        fs::create_dir("/etc/glexec.conf.d").unwrap();
        write("/etc/glexec.conf.d/a.conf", "linger = no\n");
        let (status, why) = refusal(&["load"]);
        assert_eq!(status, 202);
        assert!(why.contains("/etc/glexec.conf does not exist"), "{why}");
        assert_eq!(refusal(&["check"]).0, 202);
    });
}

#[test]
fn the_file_belongs_to_root_and_no_other_user_can_change_it() {
    on_machine("the_file_belongs_to_root_and_no_other_user_can_change_it", || {
        write(CONFIG, "linger = no\n");
        for mode in [0o600, 0o640, 0o644, 0o444] {
            set_mode(CONFIG, mode);
            assert!(ask(&["load"]).unwrap().contains("linger: false"));
        }
        for mode in [0o664, 0o646, 0o666] {
            set_mode(CONFIG, mode);
            assert_eq!(refusal(&["load"]).0, 202, "{mode:o}");
        }
        set_mode(CONFIG, 0o644);
        chown(CONFIG, Some(CALLER), None).unwrap();
        let (status, why) = refusal(&["load"]);
        assert_eq!(status, 202);
        assert!(why.contains("not trusted") && why.contains("user 2000"), "{why}");
        chown(CONFIG, Some(0), None).unwrap();
        for mode in [0o775, 0o777, 0o1777] {
            set_mode("/etc", mode);
            assert_eq!(refusal(&["load"]).0, 202, "{mode:o}");
        }
    });
}

#[test]
fn the_file_may_belong_to_the_account_glexec_in_a_directory_of_root() {
    on_machine("the_file_may_belong_to_the_account_glexec_in_a_directory_of_root", || {
        write(CONFIG, "linger = no\n");
        chown(CONFIG, Some(GLEXEC), Some(GLEXEC)).unwrap();
        set_mode(CONFIG, 0o600);
        assert!(ask(&["load"]).unwrap().contains("linger: false"));
        set_mode(CONFIG, 0o660);
        assert_eq!(refusal(&["load"]).0, 202);
        set_mode(CONFIG, 0o600);
        chown("/etc", Some(GLEXEC), None).unwrap();
        assert_eq!(refusal(&["load"]).0, 202);
    });
}

#[test]
fn a_link_a_fifo_and_a_directory_are_not_read_in_place_of_the_file() {
    on_machine("a_link_a_fifo_and_a_directory_are_not_read_in_place_of_the_file", || {
        write("/etc/real", "linger = no\n");
        symlink("/etc/real", CONFIG).unwrap();
        assert_eq!(refusal(&["load"]).0, 202);
        fs::remove_file(CONFIG).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(CONFIG).status().unwrap().success());
        assert_eq!(refusal(&["load"]).0, 202);
        fs::remove_file(CONFIG).unwrap();
        fs::create_dir(CONFIG).unwrap();
        assert_eq!(refusal(&["load"]).0, 202);
    });
}

#[test]
fn drop_ins_are_read_in_the_order_of_their_names_if_they_are_trusted() {
    on_machine("drop_ins_are_read_in_the_order_of_their_names_if_they_are_trusted", || {
        write(CONFIG, "log_level = 1\nlinger = no\n");
        fs::create_dir("/etc/glexec.conf.d").unwrap();
        for (name, level) in
            [("20.conf", 5), ("10.conf", 4), (".30.conf", 2), ("40.conf~", 2), ("50.rpmsave", 2)]
        {
            write(&format!("/etc/glexec.conf.d/{name}"), &format!("log_level = {level}\n"));
        }
        let config = ask(&["load"]).unwrap();
        assert!(config.contains("log_level: 5") && config.contains("linger: false"), "{config}");
        set_mode("/etc/glexec.conf.d/10.conf", 0o666);
        assert_eq!(refusal(&["load"]).0, 202);
        set_mode("/etc/glexec.conf.d/10.conf", 0o644);
        set_mode("/etc/glexec.conf.d", 0o777);
        assert_eq!(refusal(&["load"]).0, 202);
    });
}

#[test]
fn faults_refuse_all_and_a_file_of_noise_too() {
    on_machine("faults_refuse_all_and_a_file_of_noise_too", || {
        write(CONFIG, "linger = no\nunknown = 1\nepilogue = /bin/true\n");
        let (status, why) = refusal(&["load"]);
        assert_eq!(status, 202);
        assert!(why.contains("/etc/glexec.conf, line 2: unknown: there is no such key"), "{why}");
        assert!(why.contains("and 1 more"), "{why}");
        write(CONFIG, "user_identity_switch_by = lcmaps\nepilogue=/a\nepilogue_group=b\n");
        assert!(refusal(&["load"]).1.contains("line 3: epilogue_group"));
        fs::write(CONFIG, vec![b'#'; 8 << 20]).unwrap();
        let (status, why) = refusal(&["load"]);
        assert!(status == 202 && why.contains("larger than"), "{why}");
    });
}

#[test]
fn a_caller_is_listed_or_refused_also_root() {
    on_machine("a_caller_is_listed_or_refused_also_root", || {
        write(CONFIG, "user_white_list = caller, .pool , 4000\n");
        for account in ["caller", "pool07", "alice"] {
            assert_eq!(ask(&["may", account]), Ok(String::new()), "{account}");
        }
        for account in ["other", "root", "glexec"] {
            assert_eq!(refusal(&["may", account]).0, 203, "{account}");
        }
        write(CONFIG, "user_white_list = root\n");
        assert_eq!(ask(&["may", "root"]), Ok(String::new()));
        write(CONFIG, "");
        assert_eq!(refusal(&["may", "caller"]).0, 203);
    });
}

#[test]
fn check_config_names_the_files_that_are_wrong() {
    on_machine("check_config_names_the_files_that_are_wrong", || {
        fs::create_dir("/etc/grid-security/certificates").unwrap();
        write(support::GRID_MAPFILE, "\"/CN=a\" alice\n\"/CN=b\n");
        write("/etc/ban", "CN=a\n");
        write(CONFIG, "user_white_list = caller\nban_file = /etc/ban\nuse_lcas = yes\n");
        let findings = ask(&["check"]).unwrap();
        for finding in [
            "/etc/glexec.conf, line 3: use_lcas: no effect: ",
            "/etc/grid-security/grid-mapfile, line 2: grid_mapfile: ",
            "/etc/ban, line 1: ban_file: it is not a subject",
        ] {
            assert!(findings.split('\t').any(|line| line.starts_with(finding)), "{findings}");
        }
        assert_eq!(findings.split('\t').count(), 3, "{findings}");
        set_mode("/etc/grid-security", 0o777);
        let findings = ask(&["check"]).unwrap();
        assert_eq!(findings.matches("not trusted").count(), 3, "{findings}");
        set_mode("/etc/grid-security", 0o755);
        write(CONFIG, "mapping = caller\nban_file = /etc/ban\n");
        let findings = ask(&["check"]).unwrap();
        assert!(findings.contains("user_white_list: it is missing"), "{findings}");
        assert!(findings.contains("line 2: ban_file: no effect: with mapping = caller"));
        assert!(findings.contains("/etc/glexec.caller-map: caller_map: cannot"), "{findings}");
    });
}
