//! Configurations as sites have deployed them (testdata/configuration). Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use support::{CALLER_MAP, CONFIG, GRID_MAPFILE, ask, on_machine, write};

/// The files of these samples, by their names.
fn samples() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata/configuration");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let file = |path: std::path::PathBuf| {
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(path).unwrap())
    };
    entries.map(file).collect()
}

/// The directories that the samples and the defaults name.
fn make_directories() {
    fs::create_dir("/etc/grid-security/certificates").unwrap();
    write(GRID_MAPFILE, "");
    write(CALLER_MAP, "");
}

#[test]
fn each_sample_has_the_findings_that_are_written_beside_it() {
    let samples = samples();
    on_machine("each_sample_has_the_findings_that_are_written_beside_it", || {
        make_directories();
        let configurations = samples.iter().filter(|(name, _)| name.ends_with(".conf"));
        let mut count = 0;
        for (name, text) in configurations {
            count += 1;
            write(CONFIG, text);
            let findings = ask(&["check"]).unwrap();
            let of_file = |line: &&str| line.starts_with("/etc/glexec.conf, ");
            let found: Vec<&str> = findings.split('\t').filter(of_file).collect();
            let expected: Vec<&str> =
                samples[&name.replace(".conf", ".findings")].lines().collect();
            assert_eq!(found.len(), expected.len(), "{name}: {found:#?}");
            for (found, expected) in found.iter().zip(expected) {
                let begin = format!("/etc/glexec.conf, {expected}");
                assert!(found.starts_with(&begin), "{name}: {found} instead of {begin}");
            }
            assert_eq!(ask(&["load"]).is_err(), name.starts_with("wrong"), "{name}");
        }
        assert_eq!(count, 5);
    });
}

#[test]
fn the_maps_of_the_samples_are_understood() {
    let samples = samples();
    on_machine("the_maps_of_the_samples_are_understood", || {
        make_directories();
        write(CONFIG, &samples["lcmaps-pool.conf"]);
        write(GRID_MAPFILE, &samples["lcmaps-pool.map"]);
        let robot = r#"/DC=org/DC=example/O=Pilots/CN=Robot: pilot (team "north")"#;
        assert_eq!(ask(&["subject", "", robot]).as_deref(), Ok("pool01 5000"));
        write(CONFIG, &samples["caller.conf"]);
        write(CALLER_MAP, &samples["caller.map"]);
        let path = "/var/lib/site/production/token";
        fs::write(
            "/etc/passwd",
            fs::read_to_string("/etc/passwd").unwrap() + "pilot:x:2005:2005::/:\n",
        )
        .unwrap();
        assert_eq!(ask(&["caller", "", "pilot", path]).as_deref(), Ok("alice 5000"));
        assert_eq!(ask(&["caller", "", "pilot", "/mnt/token"]).as_deref(), Ok("pool02 5000"));
    });
}

/// The blocks of a language in a document.
fn blocks<'a>(text: &'a str, language: &str) -> Vec<&'a str> {
    let begin = format!("```{language}\n");
    text.split(&begin).skip(1).map(|rest| rest.split("```").next().unwrap()).collect()
}

#[test]
fn the_configurations_of_the_guide_have_no_fault() {
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/from-glexec.md");
    let guide = fs::read_to_string(guide).unwrap();
    on_machine("the_configurations_of_the_guide_have_no_fault", || {
        make_directories();
        let configurations = blocks(&guide, "ini");
        assert_eq!(configurations.len(), 3);
        for configuration in configurations {
            write(CONFIG, configuration);
            assert_eq!(ask(&["load"]).map(|_| ()), Ok(()), "{configuration}");
        }
        let [map] = blocks(&guide, "text")[..] else { panic!("one map") };
        write(CALLER_MAP, map);
        assert_eq!(ask(&["check"]).as_deref(), Ok(""));
    });
}
