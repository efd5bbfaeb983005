//! Jobs that run and end, without an event from outside. All are submitted together, for each way,
//! and a test looks at the results of one of them.

use std::sync::OnceLock;
use std::time::Duration;

use crate::fixture::{End, Job, Pool, Submitted, TERMINATED, Way, pool, until};
use crate::{ends, files, surroundings};

/// The results, by way and by job.
#[derive(Debug)]
struct Batch(Vec<(Way, Vec<(&'static str, Submitted)>)>);

fn batch() -> &'static Batch {
    static BATCH: OnceLock<Batch> = OnceLock::new();
    BATCH.get_or_init(|| Batch::run(pool()))
}

impl Batch {
    fn run(pool: &Pool) -> Batch {
        let jobs: Vec<Job> = [ends::jobs(), files::jobs(), surroundings::jobs()].concat();
        let mut all = Vec::new();
        for way in &pool.ways {
            let submitted: Vec<_> =
                jobs.iter().map(|job| (job.name, job.write(pool, way))).collect();
            all.push((way.clone(), submitted));
        }
        let submit =
            "for job; do (cd \"$job\" && condor_submit -terse -append 'priority = 0' submit)
            done";
        let directories = all.iter().flat_map(|(_, jobs)| jobs).map(|(_, job)| job.inside.as_str());
        let words: Vec<&str> = ["sh", "-ec", submit, "sh"].into_iter().chain(directories).collect();
        pool.central(&words);
        let jobs = || all.iter().flat_map(|(_, submitted)| submitted);
        let limit = Duration::from_secs(100) * u32::try_from(pool.ways.len()).unwrap();
        let ended = until(limit, || {
            jobs().all(|(_, job)| !job.events(TERMINATED).is_empty()).then_some(())
        });
        let late = jobs().filter(|(_, job)| job.events(TERMINATED).is_empty());
        let late: Vec<_> = late.map(|(_, job)| (&job.inside, job.log())).collect();
        assert!(ended.is_some(), "these jobs have not ended: {late:#?}");
        Batch(all)
    }
}

/// The result of a job, for this way.
pub fn result(way: &Way, name: &str) -> &'static Submitted {
    let (_, jobs) = batch().0.iter().find(|(other, _)| other == way).unwrap();
    &jobs.iter().find(|(other, _)| *other == name).expect(name).1
}

/// The results of a job: that of plain HTCondor, and that of each way through a switcher with its
/// name.
pub fn results(name: &str) -> (&'static Submitted, Vec<(&'static str, &'static Submitted)>) {
    let pool = pool();
    let plain = pool.ways.iter().find(|way| way.is_plain()).expect("a node of plain HTCondor");
    let ours = pool.ours().map(|way| (way.name.as_str(), result(way, name))).collect();
    (result(plain, name), ours)
}

/// Checks that the job has ended so and has written this to its output, on each node.
pub fn all_are(name: &str, end: End, output: &str) {
    let (plain, ours) = results(name);
    for (way, result) in [("none", plain)].into_iter().chain(ours) {
        assert_eq!(result.ended(), end, "{name}, {way}: {}", result.read("err"));
        assert_eq!(result.out(), output, "{name}, {way}: {}", result.read("err"));
    }
}

/// Checks that the job has ended in the same way and has written the same as in plain HTCondor, and
/// returns what it has written.
pub fn all_are_as_plain(name: &str) -> String {
    let (plain, ours) = results(name);
    assert_eq!(plain.ended(), End::Exited(0), "{name}: {}", plain.read("err"));
    for (way, result) in ours {
        assert_eq!(result.ended(), plain.ended(), "{name}, {way}: {}", result.read("err"));
        assert_eq!(result.out(), plain.out(), "{name}, {way}");
        assert_eq!(result.read("err"), plain.read("err"), "{name}, {way}");
    }
    plain.out()
}
