//! 50 processes at once over the 20 accounts of a pool: no account is leased to two identities.
//! Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::sync::atomic::{AtomicBool, Ordering};

use support::{
    Asker, CALLER_MAP, CONFIG, GRID_MAPFILE, GRIDMAPDIR, POOL, leases, on_machine, pool, write,
};

const CALLERS: usize = 50;
const FEW: usize = 20;
const MANY: usize = 1000;
const GET: &str = "lcmaps_get_account";

/// The accounts that identities got, and how many got none.
type Got = (BTreeMap<String, String>, usize);

/// Asks all processes at once, each about its identity. Fails if an account is given to two
/// identities, or an identity gets two accounts.
fn ask_all(askers: &mut [Asker], question: impl Fn(usize) -> (String, Vec<String>)) -> Got {
    let questions: Vec<_> = (0..askers.len()).map(question).collect();
    for (asker, (_, words)) in askers.iter_mut().zip(&questions) {
        asker.send(&words.iter().map(String::as_str).collect::<Vec<_>>());
    }
    let (mut account_of, mut refused) = (BTreeMap::new(), 0);
    let mut identity_of: BTreeMap<String, String> = BTreeMap::new();
    for (asker, (identity, _)) in askers.iter_mut().zip(questions) {
        match asker.answer() {
            Ok(answer) => {
                let account = answer.split(' ').next().unwrap().to_owned();
                let before = identity_of.insert(account.clone(), identity.clone());
                assert!(
                    before.is_none_or(|before| before == identity),
                    "{account} is leased twice"
                );
                let before = account_of.insert(identity, account.clone());
                assert!(before.is_none_or(|before| before == account), "a second account");
            }
            Err((status, why)) => {
                assert!(status == 202 && why.contains("no account of the pool"), "{why}");
                refused += 1;
            }
        }
    }
    (account_of, refused)
}

fn askers() -> Vec<Asker> {
    (0..CALLERS).map(|_| Asker::new()).collect()
}

fn end_leases() {
    leases().iter().for_each(|lease| fs::remove_file(lease).unwrap());
}

/// Subjects: of the 50 processes five ask for the first, the others each for another one.
fn subjects(rounds: usize) {
    write(CONFIG, "grid_mapfile_wildcards = yes\n");
    write(GRID_MAPFILE, "\"/CN=*\" .pool\n");
    let mut askers = askers();
    for round in 0..rounds {
        let (got, refused) = ask_all(&mut askers, |number| {
            let subject = format!("/CN={round}/CN={}", number.saturating_sub(4));
            (subject.clone(), vec!["subject".into(), GET.into(), subject])
        });
        assert_eq!(got.len(), POOL);
        assert!((CALLERS - POOL - 4..=CALLERS - POOL).contains(&refused), "{refused}");
        assert_eq!(leases().len(), POOL);
        end_leases();
    }
}

/// Credentials: those of the round before are gone.
fn credentials(rounds: usize) {
    write(CONFIG, "mapping = caller\n");
    write(CALLER_MAP, "caller / .pool\n");
    let mut askers = askers();
    for round in 0..rounds {
        let path = |number: usize| format!("/mnt/{round}.{}", number.saturating_sub(4));
        (0..CALLERS).for_each(|number| write(&path(number), "token"));
        let (got, _) = ask_all(&mut askers, |number| {
            let words = ["caller", GET, "caller", &path(number)];
            (path(number), words.map(str::to_owned).to_vec())
        });
        assert_eq!((got.len(), leases().len()), (POOL, POOL));
        (0..CALLERS).for_each(|number| drop(fs::remove_file(path(number))));
        for asker in &mut askers {
            asker.ask(&["drop"]).unwrap();
        }
    }
}

/// Leases and ends leases by the usual protocol without this program's lock, as other software
/// does, until it is told to stop.
fn other_software(stop: &AtomicBool) {
    let lease = |number: usize| format!("{GRIDMAPDIR}/%2fcn%3dother{number}");
    for number in (0..).take_while(|_| !stop.load(Ordering::Relaxed)) {
        for account in pool() {
            let account = format!("{GRIDMAPDIR}/{account}");
            if fs::metadata(&account).unwrap().nlink() != 1 {
                continue;
            }
            match fs::hard_link(&account, lease(number)) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::AlreadyExists => break,
                Err(error) => panic!("{error}"),
            }
            if fs::metadata(lease(number)).unwrap().nlink() == 2 {
                // It has the account: for as long no other identity gets it.
                for _ in 0..100 {
                    let owner = fs::metadata(lease(number)).unwrap().ino();
                    assert_eq!(owner, fs::metadata(&account).unwrap().ino());
                }
                break;
            }
            fs::remove_file(lease(number)).unwrap();
        }
        drop(fs::remove_file(lease(number)));
    }
}

/// Beside other software: each account that has two links belongs to one identity, so none is
/// counted twice.
fn beside_other_software(rounds: usize) {
    write(CONFIG, "grid_mapfile_wildcards = yes\n");
    write(GRID_MAPFILE, "\"/CN=*\" .pool\n");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let others: Vec<_> = (0..1).map(|_| scope.spawn(|| other_software(&stop))).collect();
        let mut askers = askers();
        for round in 0..rounds {
            let (got, _) = ask_all(&mut askers, |number| {
                let subject = format!("/CN={round}/CN={number}");
                (subject.clone(), vec!["subject".into(), GET.into(), subject])
            });
            assert!((POOL - 1..=POOL).contains(&got.len()), "{}", got.len());
            let of_round = format!("%2fcn%3d{round}%2f");
            for lease in leases() {
                if lease.to_string_lossy().contains(&of_round) {
                    fs::remove_file(lease).unwrap();
                }
            }
        }
        stop.store(true, Ordering::Relaxed);
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

#[test]
fn no_account_is_leased_to_two_subjects() {
    on_machine("no_account_is_leased_to_two_subjects", || subjects(FEW));
}

#[test]
fn no_account_is_leased_to_two_credentials() {
    on_machine("no_account_is_leased_to_two_credentials", || credentials(FEW));
}

#[test]
fn no_account_is_leased_twice_beside_other_software() {
    on_machine("no_account_is_leased_twice_beside_other_software", || beside_other_software(FEW));
}

#[test]
#[ignore = "takes minutes: scripts/test --long runs it"]
fn no_account_is_leased_to_two_subjects_a_thousand_times() {
    on_machine("no_account_is_leased_to_two_subjects_a_thousand_times", || subjects(MANY));
}

#[test]
#[ignore = "takes minutes: scripts/test --long runs it"]
fn no_account_is_leased_to_two_credentials_a_thousand_times() {
    on_machine("no_account_is_leased_to_two_credentials_a_thousand_times", || credentials(MANY));
}

#[test]
#[ignore = "takes minutes: scripts/test --long runs it"]
fn no_account_is_leased_twice_beside_other_software_a_thousand_times() {
    const NAME: &str = "no_account_is_leased_twice_beside_other_software_a_thousand_times";
    on_machine(NAME, || beside_other_software(MANY));
}
