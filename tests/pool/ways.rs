//! The node of each way to run jobs, also of those that only a few tests use.

use crate::fixture::{End, Job, LIMIT, PILOT, REMOVED, Way, pool, until};

/// All ways of the pool.
fn all() -> impl Iterator<Item = &'static Way> {
    pool().ways.iter().chain(&pool().others)
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_with_files_runs_and_one_that_resists_is_removed_through_each_switcher() {
    const FILES: Job = Job::new(
        "each",
        r#"cat data; id -u; ls /var/lib/pool; echo made >made
        [ "$(cut -d' ' -f6 /proc/$$/stat)" = $$ ] && echo leads its session
        exit 3"#,
    )
    .with("transfer_input_files = data")
    .and(&[("data", b"data\n")]);
    const RESISTS: Job = Job::new(
        "each-removed",
        r#"trap '' TERM
        child='trap "" TERM; exec -a "child.$0" sleep 100000'
        setsid bash -c "$child" "$1" &
        while :; do sleep 1; done"#,
    )
    .with("arguments = {word}");
    let pool = pool();
    let ways: Vec<&Way> = all().filter(|way| !way.is_plain()).collect();
    let all: Vec<_> =
        ways.iter().map(|way| (FILES.submit(pool, way), RESISTS.submit(pool, way))).collect();
    for (way, (files, resists)) in ways.iter().zip(all) {
        assert_eq!(files.end(), End::Exited(3), "{}: {}", way.name, files.read("err"));
        let (out, made) = (files.out(), files.read("made"));
        assert!(out.starts_with("data\n") && made == "made\n", "{}: {out}{made}", way.name);
        assert!(!out.contains(&PILOT.to_string()), "{}: {out}", way.name);
        assert!(out.contains("leads its session"), "{}: {out}", way.name);
        let is_closed = ["rootless", "hookless", "glexecd"].contains(&way.name.as_str());
        assert_eq!(!out.contains("log"), is_closed, "{}: {out}", way.name);
        let children = || pool.processes(&format!("child.{}", RESISTS.word(way))).len();
        let begun = until(LIMIT, || (children() == 1).then_some(()));
        assert!(begun.is_some(), "{}: {}", way.name, resists.log());
        pool.central(&["condor_rm", &resists.id()]);
        resists.wait(REMOVED, 1);
        assert!(until(LIMIT, || (children() == 0).then_some(())).is_some(), "{}", way.name);
    }
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn the_ad_of_a_node_says_what_a_job_gets_there() {
    for way in all() {
        let node = format!("Machine == \"{}\"", way.node);
        let attributes = ["GLEXEC_FIT", "GLEXEC_SWITCHER", "GLEXEC_WORLD", "GLEXEC_REASON"];
        let values = |names: &[&str]| {
            let call = ["condor_status", "-constraint", &node, "-af:r"];
            let text = pool().central(&[&call, names].concat());
            text.lines().next().unwrap_or_default().to_owned()
        };
        let expected = match way.name.as_str() {
            "none" => "undefined undefined undefined undefined",
            "rootless" | "hookless" => "true \"glexec\" \"closed\" \"\"",
            "sudo" => "true \"glexec-sudo\" \"shared\" \"\"",
            "setuid" => "true \"glexec setuid\" \"shared\" \"\"",
            "glexecd" => "true \"glexecd\" \"closed\" \"\"",
            other => panic!("{other}"),
        };
        let mut found = String::new();
        // The first examination takes a moment.
        let is_so = until(LIMIT, || {
            found = values(&attributes);
            (found == expected).then_some(())
        });
        assert!(is_so.is_some(), "{}: {found}, not {expected}", way.name);
        let is_rootless = ["rootless", "hookless"].contains(&way.name.as_str());
        let free = values(&["GLEXEC_FREE_UIDS"]);
        assert_eq!(free.parse::<u32>().is_ok(), is_rootless, "{}: {free}", way.name);
    }
}
