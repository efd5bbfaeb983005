//! Tests that take minutes: `scripts/pool test --long`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cluster::{Cluster, Event};
use crate::fixture::{EVICTED, EXECUTING, End, HELD, Job, Pool, REMOVED, TERMINATED, pool, until};

#[test]
#[ignore = "needs a pool: scripts/pool test --long"]
fn three_hundred_megabytes_of_output_come_back() {
    const JOB: Job = Job::new(
        "large",
        "dd if=/dev/urandom of=large bs=1M count=300 status=none; sha256sum large",
    );
    let pool = pool();
    let all: Vec<_> = pool.ways.iter().map(|way| (way, JOB.submit(pool, way))).collect();
    for (way, submitted) in all {
        assert_eq!(submitted.end(), End::Exited(0), "{}", way.name);
        let sum = "cd \"$0\"; sha256sum large";
        let found = pool.central(&["sh", "-ec", sum, &submitted.inside]);
        assert_eq!(found, submitted.out(), "{}", way.name);
    }
}

/// The seconds from the first start of a job to the last end.
fn duration(events: &BTreeMap<u32, Vec<Event>>) -> f64 {
    let times = |number: u32| {
        let all = events.values().flatten();
        all.filter(move |event| event.number == number).map(|event| event.time)
    };
    let begin = times(EXECUTING).fold(f64::INFINITY, f64::min);
    times(TERMINATED).fold(0.0, f64::max) - begin
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Rounds of the measurement below; the nodes take turns in each.
const ROUNDS: usize = 5;

#[test]
#[ignore = "needs a pool: scripts/pool test --long"]
fn forty_short_jobs_in_turn_are_measured() {
    const JOB: Job = Job::new("short", "sleep 1");
    let pool = Pool::start("short", "none,hookless,rootless,sudo", 2, 0);
    let mut taken: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        for way in &pool.ways {
            let cluster = Cluster::submit(&pool, &JOB, Some(way), 40);
            wait_for_ends(&cluster, 40, Duration::from_secs(300));
            taken.entry(&way.name).or_default().push(duration(&cluster.events()));
        }
    }
    println!("seconds of 40 jobs: {taken:.2?}");
    let plain = median(taken["none"].clone());
    for (way, times) in taken {
        let found = median(times);
        println!("{way}: {found:.2} s, {:+.1} %", (found / plain - 1.0) * 100.0);
    }
}

/// Waits until this many jobs have ended or were removed.
fn wait_for_ends(cluster: &Cluster, count: usize, limit: Duration) {
    let ended = || {
        let events = cluster.events();
        let is_end = |event: &Event| [TERMINATED, REMOVED].contains(&event.number);
        events.values().filter(|events| events.iter().any(is_end)).count()
    };
    let all = until(limit, || (ended() >= count).then_some(()));
    assert!(all.is_some(), "{} of {count} jobs have ended", ended());
}

/// What happens to a job from outside.
const ACTIONS: [&str; 6] = ["remove", "hold", "vacate", "vacate-fast", "kill", "none"];

/// A generator of numbers that look random (xorshift); the seed is fixed, so a failure can be had
/// again.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit as u64) as usize
    }
}

#[test]
#[ignore = "needs a pool: scripts/pool test --long"]
fn of_many_jobs_with_random_events_none_is_lost_or_runs_twice_unasked() {
    const JOB: Job = Job::new("many", "echo \"done $1\" >\"result.$1\"; sleep 5").with(
        "arguments = $(Process)\ntransfer_output_files = result.$(Process)\n\
         output = out.$(Process)\nerror = err.$(Process)",
    );
    let count: usize =
        std::env::var("GH_POOL_JOBS").map_or(2000, |count| count.parse().expect("a number"));
    let pool = Pool::start("many", "rootless,sudo", 2, 8);
    let cluster = Cluster::submit(&pool, &JOB, None, count);
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let plan: Vec<&str> = (0..count)
        .map(|_| ACTIONS[random.below(2 * ACTIONS.len()).min(ACTIONS.len() - 1)])
        .collect();
    let mut done = vec![false; count];
    let end = until(Duration::from_secs(3600), || {
        let events = cluster.events();
        let mut chosen: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        let mut ended = 0;
        for (job, events) in &events {
            let has = |number: u32| events.iter().any(|event| event.number == number);
            if has(TERMINATED) || has(REMOVED) {
                ended += 1;
            } else if has(EXECUTING) && !done[*job as usize] {
                done[*job as usize] = true;
                chosen.entry(plan[*job as usize]).or_default().push(cluster.id(*job));
            }
        }
        for (action, ids) in chosen {
            act(&pool, action, &ids);
        }
        (ended == count).then_some(())
    });
    assert!(end.is_some(), "not all jobs have ended");
    let events = cluster.events();
    for (number, name) in [
        (EXECUTING, "starts"),
        (TERMINATED, "ends"),
        (REMOVED, "removed"),
        (EVICTED, "evicted"),
        (HELD, "held"),
    ] {
        let all = events.values().flatten();
        println!("{name}: {}", all.filter(|event| event.number == number).count());
    }
    let killed = events.values().flatten().filter(|event| event.text.contains("(signal 9)"));
    println!("killed: {}", killed.count());
    for (job, events) in &events {
        let times = |number: u32| events.iter().filter(|event| event.number == number).count();
        let shown: Vec<_> = events.iter().map(|event| &event.text).collect();
        let ends = times(TERMINATED) + times(REMOVED);
        // A job that is held and released in the moment of its end is written as ended once more.
        assert!((1..=1 + times(HELD)).contains(&ends), "{job}: {shown:#?}");
        let asked = times(EVICTED) + times(HELD);
        assert!(times(EXECUTING) <= 1 + asked, "{job} ran again unasked: {shown:#?}");
        let result = std::fs::read_to_string(cluster.path(&format!("result.{job}")));
        let is_whole = result.is_ok_and(|text| text == format!("done {job}\n"));
        let text = events.iter().find(|event| event.number == TERMINATED).map(|event| &event.text);
        if let Some(text) = text.filter(|text| text.contains("return value 0")) {
            assert!(is_whole, "{job}: its result is lost: {text}");
        }
    }
    for way in pool.ours() {
        pool.wait_until_nothing_is_left(way);
    }
}

/// Does this to these jobs.
fn act(pool: &Pool, action: &str, ids: &[String]) {
    let call = |command: &[&str]| {
        let words: Vec<&str> =
            command.iter().copied().chain(ids.iter().map(String::as_str)).collect();
        // A job may have ended meanwhile.
        pool.run("central", &words);
    };
    match action {
        "remove" => call(&["condor_rm"]),
        "hold" => {
            call(&["condor_hold"]);
            call(&["condor_release"]);
        }
        "vacate" => call(&["condor_vacate_job"]),
        "vacate-fast" => call(&["condor_vacate_job", "-fast"]),
        "kill" => {
            for id in ids {
                let job = id.split('.').nth(1).unwrap();
                let word = format!("condor_glexec_user_job_wrapper .* {job}$");
                for way in pool.ours() {
                    pool.run(&way.node, &["pkill", "-KILL", "-u", "pilot", "-f", &word]);
                }
            }
        }
        _ => (),
    }
}
