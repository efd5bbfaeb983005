//! Controllers of a group, with the real hierarchy: as root, in a group of this test's own.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use cgroup::Place;

/// A group of this test, in which this process is.
struct Own {
    directory: PathBuf,
    /// The controller that was enabled for it.
    enabled: Option<String>,
}

impl Own {
    fn new() -> Own {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mut mounts = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
        let mount = mounts.find(|words| words[2] == "cgroup2");
        let top = mount.expect("a mount of cgroups of version 2 is necessary")[1].to_owned();
        let directory = Path::new(&top).join(format!("gh-test-controllers-{}", std::process::id()));
        fs::create_dir(&directory).expect("this test makes groups: run it as root");
        let enabled = match words(&directory, "cgroup.controllers").is_empty() {
            // A manager such as systemd would have enabled some.
            true => {
                // Those of another hierarchy are not in the list.
                let name = words(Path::new(&top), "cgroup.controllers").remove(0);
                let file = Path::new(&top).join("cgroup.subtree_control");
                fs::write(file, format!("+{name}")).unwrap();
                Some(name)
            }
            false => None,
        };
        enter(&directory);
        Own { directory, enabled }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        let top = self.directory.parent().unwrap();
        enter(top);
        let _ = fs::remove_dir(&self.directory);
        if let Some(name) = &self.enabled {
            let _ = fs::write(top.join("cgroup.subtree_control"), format!("-{name}"));
        }
    }
}

/// Moves this process.
fn enter(directory: &Path) {
    fs::write(directory.join("cgroup.procs"), std::process::id().to_string()).unwrap();
}

fn words(directory: &Path, name: &str) -> Vec<String> {
    let text = fs::read_to_string(directory.join(name)).unwrap();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_controller_is_enabled_for_a_group_where_no_other_process_is_and_disabled_after_it() {
    let own = Own::new();
    // Which ones there are depends on the machine: another hierarchy can have the others.
    let available = words(&own.directory, "cgroup.controllers");
    let controller = available.first().expect("the hierarchy has no controller at all").as_str();
    let place = Place::of_self().unwrap();
    assert_eq!(place.cgroup().path(), own.directory);
    assert!(place.cgroup().can_have(controller) && !place.cgroup().can_have("none"));
    let enabled = || words(&own.directory, "cgroup.subtree_control");
    let is_inside = || words(&own.directory, "cgroup.procs").contains(&process_id());
    let group = place.make_with(&[controller]).unwrap();
    assert_eq!((enabled(), is_inside()), (vec![controller.to_owned()], false));
    assert!(words(group.cgroup().path(), "cgroup.controllers").contains(&controller.to_owned()));
    // From here, another group is made in the place that has the controllers already.
    let below = Place::of_self().unwrap();
    assert_eq!(below.cgroup().path(), own.directory);
    let other = below.make_with(&[controller]).unwrap();
    other.remove().unwrap();
    assert_eq!(enabled(), [controller]);
    group.remove().unwrap();
    assert_eq!((enabled().is_empty(), is_inside()), (true, true));
    let groups = fs::read_dir(&own.directory).unwrap();
    assert_eq!(groups.filter(|entry| entry.as_ref().unwrap().path().is_dir()).count(), 0);

    // Another process in the directory makes it impossible, and nothing is changed.
    let mut sleep = Command::new("sleep").arg("600").stdout(Stdio::null()).spawn().unwrap();
    assert!(!place.cgroup().can_have(controller));
    assert!(place.make_with(&[controller]).is_err());
    assert_eq!((enabled().is_empty(), is_inside()), (true, true));
    let group = place.make_with(&[]).unwrap();
    group.cgroup().add(sys::Pid::from_raw(sleep.id().cast_signed())).unwrap();
    assert_eq!(group.cgroup().processes().len(), 1);
    assert!(group.cgroup().times().is_some());
    // What is in a group ends with it.
    let directory = group.cgroup().path().to_owned();
    group.remove().unwrap();
    assert!(!directory.exists() && !sleep.wait().unwrap().success());
}

fn process_id() -> String {
    std::process::id().to_string()
}
