//! Which leases and payloads there were, as the lines of the audit tell it.
//!
//! The lines may begin in the middle: what an event tells of a lease or a payload whose beginning
//! is not among them is still known. Every line of a lease has all of its facts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::record::Record;

/// A lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lease {
    /// Its number.
    pub lease: String,
    /// The account.
    pub account: String,
    /// The user id of the account.
    pub uid: u32,
    /// `guest` or `owned`.
    pub kind: String,
    /// The user id of the client.
    pub client: u32,
    /// The name of the client.
    pub client_name: String,
    /// Whose credential it was for.
    pub identity: String,
    /// When it began; none if that was before the first line.
    pub begun: Option<Duration>,
    /// When it ended, and why; none if no line tells its end.
    pub ended: Option<(Duration, String)>,
    /// Its payloads, in the order of their lines.
    pub payloads: Vec<Payload>,
    /// The time of its last line.
    seen: Duration,
}

/// A payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Payload {
    /// Its number.
    pub payload: String,
    /// The id of its first process; none if no line tells it.
    pub pid: Option<i64>,
    /// Its command.
    pub command: Option<String>,
    /// When it began; none if that was before the first line.
    pub begun: Option<Duration>,
    /// When it ended, and how; none if no line tells its end.
    pub ended: Option<(Duration, String)>,
}

/// What the lines tell of the leases of one account, or of all.
#[derive(Debug, Default)]
pub struct History {
    uid: Option<u32>,
    /// In the order of their first lines.
    leases: Vec<Lease>,
    open: BTreeMap<String, usize>,
    boot: Option<String>,
    first: Option<Duration>,
}

/// Why a lease is over that no line has ended: the machine was started again.
pub const RESTART: &str = "restart of the machine";

impl History {
    /// A history without lines, of the accounts with this user id, or of all.
    pub fn new(uid: Option<u32>) -> History {
        History { uid, ..History::default() }
    }

    /// Adds a line. They are added in the order in which they were written.
    pub fn add(&mut self, record: &Record) {
        self.first.get_or_insert(record.time);
        match record.event.as_str() {
            "daemon_started" => self.started(record),
            "lease_begun" => {
                if let Some(lease) = self.lease(record) {
                    lease.begun.get_or_insert(record.time);
                }
            }
            "lease_ended" => {
                let why = record.text("reason").unwrap_or("ended").to_owned();
                if let Some(lease) = self.lease(record) {
                    // A line that a killed process may have written is written again.
                    lease.ended.get_or_insert((record.time, why));
                    let number = lease.lease.clone();
                    self.open.remove(&number);
                }
            }
            "payload_started" => {
                if let Some(payload) = self.payload(record) {
                    payload.begun = Some(record.time);
                    payload.pid = record.number("payload_pid");
                    payload.command = record.text("command").map(str::to_owned);
                }
            }
            "payload_ended" => {
                let end = record.text("end").unwrap_or("ended").to_owned();
                if let Some(payload) = self.payload(record) {
                    payload.ended = Some((record.time, end));
                }
            }
            "payload_lost" => {
                if let Some(payload) = self.payload(record) {
                    payload.ended.get_or_insert((record.time, "lost".to_owned()));
                    if payload.command.is_none() {
                        payload.command = record.text("command").map(str::to_owned);
                    }
                }
            }
            _ => {}
        }
    }

    /// The time of the first line.
    pub fn first(&self) -> Option<Duration> {
        self.first
    }

    /// The leases that there were at some time from `since` to before `until`.
    pub fn between(&self, since: Duration, until: Duration) -> Vec<Lease> {
        let is_within = |begun: Option<Duration>, ended: &Option<(Duration, String)>| {
            begun.is_none_or(|begun| begun < until)
                && ended.as_ref().is_none_or(|(ended, _)| *ended > since)
        };
        let leases = self.leases.iter().filter(|lease| is_within(lease.begun, &lease.ended));
        let of_time = |lease: &Lease| {
            let mut lease = lease.clone();
            lease.payloads.retain(|payload| is_within(payload.begun, &payload.ended));
            lease
        };
        leases.map(of_time).collect()
    }

    /// The leases at one time.
    pub fn at(&self, time: Duration) -> Vec<Lease> {
        // A time is written in milliseconds: one that begins in the same one has begun.
        let next = time.saturating_add(Duration::from_millis(1));
        self.between(time, next)
    }

    /// A daemon that was started. If the machine was started since, its leases have ended by then.
    /// That is seen by the boot id; the line with the one before may be missing, so a lease of
    /// which a line is younger than the start of the machine goes on.
    fn started(&mut self, record: &Record) {
        let boot = record.text("boot").map(str::to_owned);
        if boot.is_none() || boot == self.boot {
            return;
        }
        self.boot = boot;
        let booted = record.time("booted").unwrap_or(record.time).min(record.time);
        let open = &mut self.open;
        let of_before = |lease: &&mut Lease| {
            lease.seen < booted && lease.ended.is_none() && open.remove(&lease.lease).is_some()
        };
        for lease in self.leases.iter_mut().filter(of_before) {
            lease.ended = Some((booted, RESTART.to_owned()));
            for payload in lease.payloads.iter_mut().filter(|one| one.ended.is_none()) {
                payload.ended = Some((booted, RESTART.to_owned()));
            }
        }
    }

    /// The lease that a line is about; none if it is of another account, or lacks a fact.
    fn lease(&mut self, record: &Record) -> Option<&mut Lease> {
        let number = |name: &str| u32::try_from(record.number(name)?).ok();
        let text = |name: &str| record.text(name).map(str::to_owned);
        let (uid, name) = (number("uid")?, text("lease")?);
        if self.uid.is_some_and(|wanted| wanted != uid) {
            return None;
        }
        let index = match self.open.get(&name) {
            Some(index) => *index,
            // A line of a lease that has ended: a supervisor that was killed is reported later.
            None => match self.leases.iter().rposition(|lease| lease.lease == name) {
                Some(index) => index,
                None => {
                    self.leases.push(Lease {
                        account: text("account")?,
                        uid,
                        kind: text("kind")?,
                        client: number("client")?,
                        client_name: text("client_name").unwrap_or_default(),
                        identity: text("identity").unwrap_or_default(),
                        lease: name.clone(),
                        ..Lease::default()
                    });
                    self.open.insert(name, self.leases.len() - 1);
                    self.leases.len() - 1
                }
            },
        };
        let lease = self.leases.get_mut(index)?;
        lease.seen = record.time;
        Some(lease)
    }

    fn payload(&mut self, record: &Record) -> Option<&mut Payload> {
        let name = record.text("payload")?.to_owned();
        let lease = self.lease(record)?;
        let index = match lease.payloads.iter().position(|payload| payload.payload == name) {
            Some(index) => index,
            None => {
                lease.payloads.push(Payload { payload: name, ..Payload::default() });
                lease.payloads.len() - 1
            }
        };
        lease.payloads.get_mut(index)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use command::utc::with_milliseconds;

    use super::{History, Lease, RESTART};
    use crate::accounts::audit::record::Record;

    /// The time of a test's second.
    fn at(second: u64) -> Duration {
        Duration::from_secs(1_795_489_800 + second)
    }

    fn line(second: u64, event: &str, rest: &str) -> Record {
        let time = with_milliseconds(at(second));
        let line = format!("{{\"time\":\"{time}\",\"event\":\"{event}\",\"pid\":1{rest}}}");
        Record::parse(line.as_bytes()).unwrap()
    }

    fn of_lease(second: u64, event: &str, lease: &str, uid: u32, rest: &str) -> Record {
        let facts = format!(
            ",\"lease\":\"{lease}\",\"account\":\"g{uid}\",\"uid\":{uid},\"kind\":\"guest\",\
             \"client\":1000,\"client_name\":\"condor\",\"identity\":\"/CN={lease}\"{rest}"
        );
        line(second, event, &facts)
    }

    fn boot(second: u64, id: &str, booted: u64) -> Record {
        let booted = with_milliseconds(at(booted));
        let rest = format!(",\"boot\":\"{id}\",\"booted\":\"{booted}\"");
        line(second, "daemon_started", &rest)
    }

    fn history(uid: Option<u32>, records: &[Record]) -> History {
        let mut history = History::new(uid);
        records.iter().for_each(|record| history.add(record));
        history
    }

    fn identities(leases: &[Lease]) -> Vec<&str> {
        leases.iter().map(|lease| lease.identity.as_str()).collect()
    }

    #[test]
    fn an_account_had_the_lease_that_began_before_and_ended_after() {
        let records = [
            boot(0, "x", 0),
            of_lease(10, "lease_begun", "a", 1, ""),
            of_lease(12, "lease_begun", "o", 2, ""),
            of_lease(20, "lease_ended", "a", 1, ",\"reason\":\"released\""),
            of_lease(30, "lease_begun", "b", 1, ""),
        ];
        let history = history(Some(1), &records);
        for (second, expected) in [
            (5, &[][..]),
            (10, &["/CN=a"]),
            (15, &["/CN=a"]),
            (20, &[]),
            (29, &[]),
            (30, &["/CN=b"]),
            (9999, &["/CN=b"]),
        ] {
            assert_eq!(identities(&history.at(at(second))), expected, "{second}");
        }
        assert_eq!(identities(&history.between(at(19), at(31))), ["/CN=a", "/CN=b"]);
        let ended = history.at(at(15))[0].ended.clone();
        assert_eq!(ended, Some((at(20), "released".to_owned())));
    }

    #[test]
    fn a_lease_that_began_before_the_first_line_is_known_from_any_line_of_it() {
        let records = [
            of_lease(10, "payload_ended", "a", 1, ",\"payload\":\"p\",\"end\":\"exited 0\""),
            of_lease(20, "lease_ended", "a", 1, ",\"reason\":\"expired\""),
        ];
        let history = history(Some(1), &records);
        let [lease] = &history.at(at(0))[..] else { panic!() };
        assert_eq!((lease.begun, lease.payloads.len()), (None, 1));
        assert_eq!(history.at(at(15))[0].payloads, [], "the payload has ended then");
        assert_eq!(history.at(at(20)), []);
        assert_eq!(history.first(), Some(at(10)));
    }

    #[test]
    fn a_restart_of_the_machine_ends_leases_and_one_of_the_daemon_does_not() {
        let payload = ",\"payload\":\"p\",\"payload_pid\":7,\"command\":\"x\"";
        let records = [
            boot(0, "x", 0),
            of_lease(10, "lease_begun", "a", 1, ""),
            of_lease(11, "payload_started", "a", 1, payload),
            boot(20, "x", 0),
            line(25, "daemon_stopped", ""),
            boot(40, "y", 35),
            of_lease(50, "lease_begun", "b", 1, ""),
        ];
        let history = history(None, &records);
        assert_eq!(identities(&history.at(at(30))), ["/CN=a"]);
        assert_eq!(history.at(at(35)), []);
        let lease = &history.at(at(30))[0];
        assert_eq!(lease.ended, Some((at(35), RESTART.to_owned())));
        assert_eq!(lease.payloads[0].ended, Some((at(35), RESTART.to_owned())));
        assert_eq!((lease.payloads[0].pid, lease.payloads[0].begun), (Some(7), Some(at(11))));
        assert_eq!(identities(&history.at(at(60))), ["/CN=b"]);
    }

    #[test]
    fn a_restart_of_the_daemon_after_a_rotation_ends_no_lease() {
        let records = [
            of_lease(10, "lease_begun", "a", 1, ""),
            boot(20, "x", 5),
            of_lease(30, "lease_begun", "b", 2, ""),
        ];
        let history = history(None, &records);
        assert_eq!(identities(&history.at(at(30))), ["/CN=a", "/CN=b"]);
    }

    #[test]
    fn a_payload_that_is_reported_after_the_end_of_its_lease_belongs_to_that_lease() {
        let payload = ",\"payload\":\"p\",\"end\":\"killed 9\"";
        let records = [
            of_lease(10, "lease_begun", "a", 1, ""),
            of_lease(20, "lease_ended", "a", 1, ",\"reason\":\"admin\""),
            of_lease(21, "payload_ended", "a", 1, payload),
        ];
        let history = history(None, &records);
        assert_eq!(history.between(at(0), at(99)).len(), 1);
        assert_eq!(history.at(at(25)), []);
    }

    #[test]
    fn what_is_told_again_after_a_kill_changes_nothing() {
        let end = ",\"payload\":\"p\",\"end\":\"exited 0\"";
        let (lost, other) = (",\"payload\":\"p\",\"command\":\"x\"", ",\"payload\":\"q\"");
        let other = format!("{other},\"command\":\"y\"");
        let records = [
            of_lease(10, "lease_begun", "a", 1, ""),
            of_lease(11, "lease_begun", "a", 1, ""),
            of_lease(12, "payload_ended", "a", 1, end),
            of_lease(13, "payload_lost", "a", 1, lost),
            of_lease(14, "payload_lost", "a", 1, &other),
            of_lease(20, "lease_ended", "a", 1, ",\"reason\":\"expired\""),
            of_lease(21, "lease_ended", "a", 1, ",\"reason\":\"interrupted\""),
        ];
        let [lease] = &history(None, &records).between(at(0), at(99))[..] else { panic!() };
        assert_eq!((lease.begun, &lease.ended), (Some(at(10)), &Some((at(20), "expired".into()))));
        let ends: Vec<_> = lease.payloads.iter().map(|one| one.ended.clone().unwrap()).collect();
        assert_eq!(ends, [(at(12), "exited 0".into()), (at(14), "lost".into())]);
        assert_eq!(lease.payloads[1].command.as_deref(), Some("y"));
    }

    #[test]
    fn owned_accounts_have_several_leases_at_once() {
        let records =
            [of_lease(10, "lease_begun", "a", 1, ""), of_lease(11, "lease_begun", "b", 1, "")];
        assert_eq!(identities(&history(Some(1), &records).at(at(12))), ["/CN=a", "/CN=b"]);
    }
}
