//! The lists of the account daemon, and its audit, on a machine of their own. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown, symlink};
use std::path::Path;
use std::sync::Barrier;
use std::time::{Duration, Instant};

use command::accounts;
use root::accounts::audit::record::Record;
use root::accounts::audit::{self, Event};
use root::accounts::clients::Clients;
use root::accounts::edit;
use root::accounts::list::AccountList;
use root::accounts::list_file::ListFile;
use root::accounts::resolve::resolve;
use root::config::Config;
use support::{on_machine, pool, set_mode};
use sys::Uid;

const ACCOUNTS: &str = "/etc/glexec/accounts";

/// Writes a file with mode 0600.
fn write(path: &str, text: &str) {
    fs::create_dir_all(Path::new(path).parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    set_mode(path, 0o600);
}

fn names(list: &AccountList) -> Vec<String> {
    let name = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    list.entries().iter().map(|entry| name(&entry.account)).collect()
}

#[test]
fn only_a_file_of_roots_with_mode_0600_and_one_name_is_a_list() {
    on_machine("only_a_file_of_roots_with_mode_0600_and_one_name_is_a_list", || {
        assert!(Clients::read().unwrap_err().text.contains("No such file"));
        assert_eq!(AccountList::read(), Ok(AccountList::default()));
        write(Clients::PATH, "caller\n");
        let caller = accounts::named(b"caller").unwrap().unwrap();
        assert!(Clients::read().unwrap().contains(&caller));
        for mode in [0o640, 0o604, 0o644, 0o700, 0o4600] {
            set_mode(Clients::PATH, mode);
            let why = Clients::read().unwrap_err().text;
            assert!(why.contains("run chmod 600 on it"), "{mode:o}: {why}");
        }
        set_mode(Clients::PATH, 0o600);
        fs::hard_link(Clients::PATH, "/etc/glexec/second").unwrap();
        assert!(Clients::read().unwrap_err().text.contains("more than one hard link"));
        fs::remove_file("/etc/glexec/second").unwrap();
        chown(Clients::PATH, Some(2000), None).unwrap();
        assert!(Clients::read().unwrap_err().text.contains("user 2000 is not trusted"));
        fs::rename(Clients::PATH, "/etc/glexec/other").unwrap();
        chown("/etc/glexec/other", Some(0), None).unwrap();
        symlink("/etc/glexec/other", Clients::PATH).unwrap();
        assert!(Clients::read().unwrap_err().text.contains("symbolic link"));
        fs::remove_file(Clients::PATH).unwrap();
        fs::create_dir(Clients::PATH).unwrap();
        assert!(Clients::read().unwrap_err().text.contains("regular file"));
        fs::remove_dir(Clients::PATH).unwrap();
        write(Clients::PATH, &"#".repeat((1 << 20) + 1));
        assert!(Clients::read().unwrap_err().text.contains("larger than 1048576 bytes"));
        write(Clients::PATH, "caller\n");
        set_mode("/etc/glexec", 0o777);
        assert!(Clients::read().unwrap_err().text.contains("all users may write"));
    });
}

#[test]
fn a_changed_list_is_read_again_and_a_bad_one_is_told_once() {
    on_machine("a_changed_list_is_read_again_and_a_bad_one_is_told_once", || {
        let mut list = ListFile::new(ACCOUNTS, AccountList::parse);
        assert!(list.changed().is_err(), "it is missing");
        assert!(list.changed().unwrap().is_none(), "the same error is not returned again");
        // Changes of one length, one after the other: in one step of the clock, too.
        for number in 0..200 {
            write(ACCOUNTS, &format!("pool{:02}\n", number % 20 + 1));
            let read = list.changed().unwrap().expect("the change is not noticed");
            assert_eq!(names(&read), [format!("pool{:02}", number % 20 + 1)]);
        }
        write(ACCOUNTS, "pool01\npool02 x y\n");
        let error = list.changed().unwrap_err().to_string();
        assert!(error.starts_with("/etc/glexec/accounts, line 2: "), "{error}");
        for _ in 0..3 {
            assert!(list.changed().unwrap().is_none());
        }
        write(ACCOUNTS, "pool01\n\npool02 x y\n");
        let error = list.changed().unwrap_err().to_string();
        assert!(error.starts_with("/etc/glexec/accounts, line 3: "), "{error}");
        write(ACCOUNTS, "pool03\n");
        assert_eq!(names(&list.changed().unwrap().unwrap()), ["pool03"]);
        // Once its times are past, a file that has not changed is not read again.
        let begun = Instant::now();
        while list.changed().unwrap().is_some() {
            assert!(begun.elapsed() < Duration::from_secs(60), "it is read again and again");
            std::thread::sleep(Duration::from_millis(50));
        }
    });
}

#[test]
fn a_file_is_replaced_atomically_and_no_change_of_several_is_lost() {
    on_machine("a_file_is_replaced_atomically_and_no_change_of_several_is_lost", || {
        fs::create_dir("/etc/glexec").unwrap();
        let path = Path::new(ACCOUNTS);
        let together = Barrier::new(21);
        std::thread::scope(|scope| {
            for account in pool() {
                let together = &together;
                scope.spawn(move || {
                    let new = [(account.into_bytes(), None)];
                    together.wait();
                    assert_eq!(edit::change(path, b"", |text| edit::add(text, path, &new)), Ok(1));
                });
            }
            together.wait();
            while let Ok(list) = AccountList::read() {
                if list.entries().len() == 20 {
                    break;
                }
            }
        });
        let mut found = names(&AccountList::read().unwrap());
        found.sort();
        assert_eq!(found, pool());
        assert_eq!(fs::metadata(path).unwrap().mode() & 0o7777, 0o600);
        let mut entries = fs::read_dir("/etc/glexec").unwrap();
        assert!(entries.next().is_some() && entries.next().is_none(), "nothing else is there");
        // What a killed change has left does not keep the next from its work; a bad file does.
        fs::write("/etc/glexec/.accounts.new", "half").unwrap();
        let names = [b"pool01".to_vec()];
        assert_eq!(edit::change(path, b"", |text| edit::remove(text, path, &names)), Ok(1));
        let inode = fs::metadata(path).unwrap().ino();
        assert_eq!(edit::change(path, b"", |text| edit::remove(text, path, &names)), Ok(0));
        assert_eq!(fs::metadata(path).unwrap().ino(), inode, "nothing changes, nothing is written");
        write(ACCOUNTS, "pool01 x y\n");
        assert!(edit::change(path, b"", |text| edit::remove(text, path, &names)).is_err());
        assert_eq!(fs::read_to_string(path).unwrap(), "pool01 x y\n");
    });
}

#[test]
fn an_account_that_may_not_be_a_target_is_named_and_does_not_spoil_the_list() {
    on_machine("an_account_that_may_not_be_a_target_is_named_and_does_not_spoil_the_list", || {
        let passwd = fs::read_to_string("/etc/passwd").unwrap();
        fs::write("/etc/passwd", passwd + "twin:x:3001:3001::/:\ninroot:x:4001:4001::/:\n")
            .unwrap();
        let group = fs::read_to_string("/etc/group").unwrap();
        fs::write("/etc/group", group.replace("root:x:0:", "root:x:0:inroot")).unwrap();
        let list = "pool01\nroot\nlow\nnobody\nabsent\ntwin\ninroot\nalice \"/CN=a\"\n";
        write(ACCOUNTS, list);
        let list = AccountList::read().unwrap();
        let found: Vec<String> = resolve(list.entries(), &Config::default())
            .unwrap()
            .into_iter()
            .map(|resolved| match resolved.target {
                Ok(target) => format!("{} {:?}", target.account.user, target.groups),
                Err(why) => why,
            })
            .collect();
        let expected = [
            "3001 [Gid(5000)]",
            "it is root",
            "its uid 500 is below min_uid (1000)",
            "uid 65534 is that of nobody, as whom glexec asks the name service",
            "there is no such account",
            "its uid 3001 is also that of pool01, which is listed",
            "its group 0 is below min_gid (1000)",
            "4000 [Gid(5000)]",
        ];
        assert_eq!(found, expected);
    });
}

#[test]
fn a_hundred_thousand_accounts_are_read_and_found_in_seconds() {
    on_machine("a_hundred_thousand_accounts_are_read_and_found_in_seconds", || {
        let name = |id: u32| format!("p{id}");
        let passwd: String =
            (70_000..170_000).map(|id| format!("{}:x:{id}:{id}::/:\n", name(id))).collect();
        fs::write("/etc/passwd", passwd).unwrap();
        let list: String = (70_000..170_000).map(|id| name(id) + "\n").collect();
        write(ACCOUNTS, &list);
        let list = AccountList::read().unwrap();
        let resolved = resolve(list.entries(), &Config::default()).unwrap();
        assert_eq!(resolved.iter().filter(|one| one.target.is_ok()).count(), 100_000);
    });
}

fn audit_lines(path: &Path) -> Vec<Record> {
    let text = fs::read_to_string(path).unwrap();
    // A blank line can be between: see audit::file.
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.map(|line| Record::parse(line.as_bytes()).expect("not a whole line")).collect()
}

#[test]
fn lines_of_many_processes_are_whole_and_none_is_lost_at_a_rotation() {
    on_machine("lines_of_many_processes_are_whole_and_none_is_lost_at_a_rotation", || {
        let path = Path::new("/etc/log/audit.jsonl");
        audit::set_file(Some(path.into()));
        let names: Vec<String> = (0..4).map(|one| format!("guest{one}").repeat(40)).collect();
        std::thread::scope(|scope| {
            for name in &names {
                scope.spawn(move || {
                    for uid in 0..500 {
                        let uid = Uid::from_raw(uid);
                        audit::write(&Event::Freed { account: name.as_bytes(), uid });
                    }
                });
            }
            for number in 0..10 {
                let rotated = path.with_extension(format!("jsonl.{number}"));
                while !path.exists() {
                    std::thread::yield_now();
                }
                fs::rename(path, rotated).unwrap();
            }
        });
        let files = fs::read_dir("/etc/log").unwrap().map(|entry| entry.unwrap().path());
        let lines: Vec<Record> = files.flat_map(|file| audit_lines(&file)).collect();
        assert_eq!(lines.len(), 2000);
        for name in &names {
            let mut uids: Vec<i64> = lines
                .iter()
                .filter(|line| line.text("account") == Some(name))
                .filter_map(|line| line.number("uid"))
                .collect();
            uids.sort_unstable();
            assert_eq!(uids, (0..500).collect::<Vec<_>>());
        }
        for file in fs::read_dir("/etc/log").unwrap() {
            assert_eq!(file.unwrap().metadata().unwrap().mode() & 0o7777, 0o600);
        }
        assert_eq!(fs::metadata("/etc/log").unwrap().mode() & 0o7777, 0o700);
    });
}

#[test]
fn the_audit_is_written_to_no_file_that_another_user_can_change() {
    on_machine("the_audit_is_written_to_no_file_that_another_user_can_change", || {
        let path = Path::new("/etc/log/audit.jsonl");
        audit::set_file(Some(path.into()));
        let write = || audit::write(&Event::DaemonStopped);
        write();
        let count = || audit_lines(path).len();
        assert_eq!(count(), 1);
        fs::hard_link(path, "/etc/other").unwrap();
        write();
        fs::remove_file("/etc/other").unwrap();
        chown(path, Some(2000), None).unwrap();
        write();
        chown(path, Some(0), None).unwrap();
        set_mode(path, 0o622);
        write();
        set_mode(path, 0o600);
        set_mode("/etc/log", 0o777);
        write();
        set_mode("/etc/log", 0o700);
        fs::rename(path, "/etc/other").unwrap();
        symlink("/etc/other", path).unwrap();
        write();
        fs::remove_file(path).unwrap();
        fs::rename("/etc/other", path).unwrap();
        assert_eq!(count(), 1, "each of these was refused");
        // An incomplete line, as a full disk leaves it, does not spoil the next one.
        fs::write(path, "{\"time\":").unwrap();
        write();
        let text = fs::read_to_string(path).unwrap();
        assert!(text.starts_with("{\"time\":\n{") && text.ends_with("}\n"), "{text}");
    });
}
