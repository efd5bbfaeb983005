//! Many jobs with one user log.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use crate::fixture::{Job, Pool, Submitted, Way};

/// Jobs that were submitted together.
#[derive(Debug)]
pub struct Cluster {
    submitted: Submitted,
    number: u32,
}

/// An event of a user log: its number, its time in seconds of the day, and its text.
#[derive(Clone, Debug)]
pub struct Event {
    pub number: u32,
    pub time: f64,
    pub text: String,
}

impl Cluster {
    /// Submits this many jobs, which run on the node of a way, or anywhere.
    pub fn submit(pool: &Pool, job: &Job, way: Option<&Way>, count: usize) -> Cluster {
        let first = &pool.ways[0];
        let submitted = job.write(pool, way.unwrap_or(first));
        let path = submitted.dir.join("submit");
        let mut text = fs::read_to_string(&path).unwrap();
        text = text.replace("\nqueue\n", &format!("\nqueue {count}\n"));
        if way.is_none() {
            text = text.replace("requirements =", "# requirements =");
        }
        fs::write(path, text).unwrap();
        let told = pool.central(&[
            "sh",
            "-ec",
            "cd \"$0\"; rm -f log; condor_submit -terse submit",
            &submitted.inside,
        ]);
        let number = told.split('.').next().unwrap().trim().parse().unwrap();
        Cluster { submitted, number }
    }

    /// The id of a job, for commands.
    pub fn id(&self, job: u32) -> String {
        format!("{}.{job}", self.number)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.submitted.dir.join(name)
    }

    /// The events of each job.
    pub fn events(&self) -> BTreeMap<u32, Vec<Event>> {
        let mut jobs: BTreeMap<u32, Vec<Event>> = BTreeMap::new();
        for text in self.submitted.log().split("\n...\n") {
            let text = text.trim_start_matches("...\n");
            // 005 (012.003.000) 2026-01-31 23:59:59.123 Job terminated.
            let mut words = text.split([' ', 'T']);
            let (Some(number), Some(id)) = (words.next(), words.next()) else { continue };
            let (Ok(number), Some(job)) = (number.parse(), id.split('.').nth(1)) else { continue };
            let time = words.nth(1).unwrap_or_default().split(':');
            let time = time.filter_map(|part| part.parse::<f64>().ok());
            let time = time.fold(0.0, |sum, part| sum * 60.0 + part);
            let event = Event { number, time, text: text.to_owned() };
            jobs.entry(job.parse().unwrap()).or_default().push(event);
        }
        jobs
    }
}
