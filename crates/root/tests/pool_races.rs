//! 50 processes at once over the 20 accounts of a pool: no account is leased to two identities.
//! Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Mutex;
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

/// Who has which account at the moment.
type Owners = Mutex<BTreeMap<String, String>>;

fn claim(owners: &Owners, account: &str, identity: &str) {
    let before = owners.lock().unwrap().insert(account.to_owned(), identity.to_owned());
    assert_eq!(before, None, "{account} is leased to {identity}, too");
}

fn give_up(owners: &Owners, account: &str) {
    owners.lock().unwrap().remove(account);
}

/// Leases and ends leases by the usual protocol without this program's lock, as other software
/// does, until it is told to stop.
fn other_software(name: &str, owners: &Owners, stop: &AtomicBool) {
    let lease = format!("{GRIDMAPDIR}/%2fcn%3d{name}");
    let remove = || fs::remove_file(&lease).unwrap();
    while !stop.load(Ordering::Relaxed) {
        for account in pool() {
            let file = format!("{GRIDMAPDIR}/{account}");
            if fs::metadata(&file).unwrap().nlink() != 1 {
                continue;
            }
            fs::hard_link(&file, &lease).unwrap();
            if fs::metadata(&lease).unwrap().nlink() == 2 {
                claim(owners, &account, name);
                std::thread::yield_now();
                give_up(owners, &account);
                remove();
                break;
            }
            remove();
        }
    }
}

fn beside_other_software(rounds: usize) {
    write(CONFIG, "grid_mapfile_wildcards = yes\n");
    write(GRID_MAPFILE, "\"/CN=*\" .pool\n");
    let (owners, stop) = (Owners::default(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        for name in ["one", "two"] {
            let (owners, stop) = (&owners, &stop);
            scope.spawn(move || other_software(name, owners, stop));
        }
        // Ends the threads also if an assertion fails.
        let _stop = Stop(&stop);
        let mut askers = askers();
        for round in 0..rounds {
            let (got, _) = ask_all(&mut askers, |number| {
                let subject = format!("/CN={round}/CN={number}");
                (subject.clone(), vec!["subject".into(), GET.into(), subject])
            });
            got.iter().for_each(|(identity, account)| claim(&owners, account, identity));
            assert!((POOL - 2..=POOL).contains(&got.len()), "{}", got.len());
            got.values().for_each(|account| give_up(&owners, account));
            let of_round = format!("%2fcn%3d{round}%2f");
            let is_of_round = |lease: &PathBuf| lease.to_string_lossy().contains(&of_round);
            leases()
                .into_iter()
                .filter(is_of_round)
                .for_each(|lease| fs::remove_file(lease).unwrap());
        }
    });
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
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
