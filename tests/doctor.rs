//! `condor_glexec_pilot doctor`: it finds faults of a node, and its advice corrects them.
//!
//! Each test has a separate machine, on which the programs are installed, with a sudo rule and a
//! map for the account `pilot`, which also has subordinate ids.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use serde_json::Value;
use support::machine::Machine;
use support::messages;

/// What is installed on each machine.
const INSTALL: &str = r#"
set -eu
cd /root/glexec-helpers
scripts/install --programs /run/built
useradd --system job1
examples=/usr/local/share/doc/glexec-helpers/examples
rule=/etc/sudoers.d/glexec-sudo
sed 's/condor\b/pilot/; s/condor ALL/pilot ALL/; s/(job)/(job1)/' \
    $examples/glexec-sudo.sudoers >$rule
sed -i 's/Defaults:condor/Defaults:pilot/; s,/glexec-helpers/pilot_,/glexec-helpers/condor_,' $rule
chmod 440 $rule
visudo -cqf $rule
echo pilot job1 >/etc/glexec-sudo.map
cp -R testdata/credentials /home/pilot
chown -R pilot: /home/pilot/credentials
chmod 600 /home/pilot/credentials/*
"#;

/// The beginning of every script. `doctor` prints its report as the pilot and its exit status;
/// `follow` executes as root the advice of the findings that are not ok: commands in backquotes,
/// and lines for the sudo rule or the map.
const PRELUDE: &str = r#"
set -eu
cd /root/glexec-helpers
rule=/etc/sudoers.d/glexec-sudo
doctor=/usr/local/bin/condor_glexec_pilot
as_pilot() { runuser -u pilot -- env -C / "$@"; }
doctor() {
    as_pilot ${under:-} $doctor doctor --json "$@" || status=$?
    echo "status ${status:-0}"
    status=
}
follow() {
    as_pilot ${under:-} $doctor doctor --json "$@" >/root/report || true
    jq -r '.findings[] | select(.level != "ok") | .advice' /root/report |
        grep -o '`[^`]*`' | tr -d '`' | while read -r line; do
        case $line in
        Defaults*) echo "$line" >>/etc/sudoers.d/zzz ;;
        *' <account>') echo "${line%<account>}job1" >/etc/glexec-sudo.map ;;
        *) bash -euc "$line" ;;
        esac
    done
}
"#;

/// A report, with the exit status.
struct Report {
    all: Value,
    status: i32,
}

impl Report {
    /// The findings that are not ok: level and text.
    fn bad(&self) -> Vec<(&str, String)> {
        let findings = self.all["findings"].as_array().unwrap().iter();
        let of =
            |finding: &Value, name: &str| finding[name].as_str().unwrap_or_default().to_owned();
        let bad = findings.filter(|finding| finding["level"] != "ok");
        bad.map(|finding| {
            (
                finding["level"].as_str().unwrap(),
                format!("{}: {}", of(finding, "check"), of(finding, "text")),
            )
        })
        .collect()
    }
}

/// What the doctor reports on a new machine, each time that the script calls it.
fn reports(script: &str) -> Vec<Report> {
    let machine = Machine::after(INSTALL);
    let output = machine.script("root", &format!("{PRELUDE}{script}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", messages(&output));
    let lines: Vec<&str> = printed.lines().filter(|line| line.starts_with(['{', 's'])).collect();
    let report = |pair: &[&str]| Report {
        all: serde_json::from_str(pair[0])
            .unwrap_or_else(|error| panic!("{error}: {printed}{}", messages(&output))),
        status: pair[1].trim_start_matches("status ").parse().unwrap(),
    };
    lines.chunks(2).map(report).collect()
}

/// Fails unless the doctor finds a fault at this level, with these words, and reports no fault
/// after its advice was followed.
fn is_found_and_fixed(level: &str, words: &[&str], script: &str) {
    let reports = reports(script);
    let [before, after] = &reports[..] else { panic!("two reports, not {}", reports.len()) };
    let found = before.bad();
    let is_meant =
        |(of, text): &(&str, String)| *of == level && words.iter().all(|word| text.contains(word));
    assert!(found.iter().any(is_meant), "{found:?}");
    assert_eq!(before.status, i32::from(level == "problem"), "{found:?}");
    assert_eq!((after.bad(), after.status), (Vec::new(), 0));
}

#[test]
fn a_suitable_node_is_reported_with_the_switcher_that_isolates_payloads_best_and_the_reason() {
    let [report] = &reports("doctor")[..] else { panic!("one report") };
    assert_eq!((report.bad(), report.status), (Vec::new(), 0));
    assert_eq!(report.all["ready"], true);
    assert_eq!(report.all["switcher"], "/usr/local/libexec/glexec-helpers/glexec");
    assert_eq!(report.all["isolation"], "it gives each payload a separate user and pid namespace");
    let text_of = |program: &str| {
        let check = format!("switcher /usr/local/libexec/glexec-helpers/{program}");
        let mut findings = report.all["findings"].as_array().unwrap().iter();
        findings.find(|one| one["check"] == *check).unwrap()["text"].as_str().unwrap().to_owned()
    };
    let closed_world = "the kernel keeps payloads from other processes and their abstract sockets";
    let mut findings = report.all["findings"].as_array().unwrap().iter();
    assert!(findings.any(|one| one["check"] == "closed world" && one["text"] == closed_world));
    assert!(text_of("glexec").ends_with("; its sandbox changed its owner"));
    assert!(text_of("glexec-sudo").ends_with("; its sandbox was copied"));
}

#[test]
fn without_a_map_the_best_is_the_switcher_that_needs_no_administrator() {
    let [report, wrong] = &reports(
        "rm /etc/glexec-sudo.map; doctor; rm $rule; echo pilot job1 >/etc/glexec-sudo.map; doctor",
    )[..] else {
        panic!("two reports")
    };
    assert_eq!((report.bad(), report.status), (Vec::new(), 0));
    assert_eq!(report.all["switcher"], "/usr/local/libexec/glexec-helpers/glexec");
    // A switcher that does not work is only a warning if another one works.
    assert_eq!((wrong.bad()[0].0, wrong.bad().len(), wrong.status), ("warning", 1, 0));
    assert_eq!(wrong.all["switcher"], "/usr/local/libexec/glexec-helpers/glexec");
}

#[test]
fn without_a_named_switcher_a_payload_goes_through_the_first_that_works() {
    let machine = Machine::after(INSTALL);
    let run = "as_pilot $doctor run -- id -u";
    let without_ids = "sed -i '/^pilot:/d' /etc/subuid /etc/subgid";
    // A script in the place of gLExec.
    let glexec = "printf '#!/bin/sh\\nexec sudo -n -u job2 -- \"$@\"\\n' >/usr/sbin/glexec
        chmod 755 /usr/sbin/glexec
        sed -i 's/(job1)/(job1,job2)/' $rule; useradd --system job2; id -u job2";
    let script = format!(
        "{PRELUDE} id -u job1; {run}; {without_ids}; {run}; {glexec}; {run}
        rm /etc/glexec-sudo.map; {run}"
    );
    let output = machine.script("root", &script);
    let printed = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{printed}{}", messages(&output));
    let users: Vec<u32> = printed.lines().filter_map(|line| line.parse().ok()).collect();
    let [job, first, without_ids, of_glexec, with_glexec, without_map] = users[..] else {
        panic!("six users: {printed}")
    };
    assert!(first >= 100_000, "a subordinate user: {users:?}");
    assert_eq!((without_ids, with_glexec, without_map), (job, of_glexec, of_glexec));
}

#[test]
fn a_closed_parent_directory_is_found_and_fixed() {
    let script = "mkdir -p /srv/closed; chown pilot /srv/closed; chmod 700 /srv/closed
        mkdir -m 1777 /srv/closed/execute
        set -- --execute /srv/closed/execute; doctor \"$@\"; follow \"$@\"; doctor \"$@\"";
    is_found_and_fixed("problem", &["/srv/closed", "other users cannot search"], script);
}

#[test]
fn an_execute_directory_that_only_its_owner_may_write_to_is_found_and_fixed() {
    let script = "mkdir -m 755 /srv/execute; chown pilot /srv/execute
        set -- --execute /srv/execute; doctor \"$@\"; follow \"$@\"; doctor \"$@\"";
    is_found_and_fixed("problem", &["/srv/execute", "has mode 755"], script);
}

#[test]
fn the_advice_never_opens_a_home_to_all_users() {
    let [report] = &reports("chmod 755 /home/pilot; doctor --execute /home/pilot")[..] else {
        panic!("one report")
    };
    let advice: Vec<&str> = report.all["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|finding| finding["advice"].as_str())
        .collect();
    assert!(
        advice.iter().any(|advice| advice.contains("`mkdir -m 1777 /home/pilot/execute`")),
        "{advice:?}"
    );
    assert!(!advice.iter().any(|advice| advice.contains("chmod 1777")), "{advice:?}");
}

#[test]
fn a_missing_execute_directory_is_reported_once() {
    let [report] = &reports("doctor --execute /srv/none")[..] else { panic!("one report") };
    let found = report.bad();
    assert_eq!((found.len(), report.status), (1, 1), "{found:?}");
    assert!(found[0].1.contains("execute directory: /srv/none"), "{found:?}");
}

#[test]
fn where_nothing_works_and_sudo_has_no_map_the_samples_are_named() {
    let named = "--glexec /usr/local/libexec/glexec-helpers/glexec-sudo";
    let script = format!(
        "rm /etc/glexec-sudo.map; sed -i '/^pilot:/d' /etc/subuid /etc/subgid
        doctor; doctor {named}"
    );
    for report in reports(&script) {
        let findings = report.all["findings"].as_array().unwrap();
        let of = |name: &str| {
            findings
                .iter()
                .find(|finding| finding["check"].as_str().unwrap().ends_with(name))
                .unwrap()
        };
        let advice = of("glexec-sudo")["advice"].as_str().unwrap();
        assert!(
            advice.contains("glexec-sudo.map in /usr/local/share/doc/glexec-helpers/examples"),
            "{advice}"
        );
        assert_eq!(report.status, 1);
    }
}

#[test]
fn noexec_is_found_and_fixed() {
    let script = "mkdir /srv/execute; mount -t tmpfs -o noexec,mode=1777 tmpfs /srv/execute
        set -- --execute /srv/execute; doctor \"$@\"; follow \"$@\"; doctor \"$@\"";
    is_found_and_fixed("problem", &["/srv/execute", "noexec"], script);
}

#[test]
fn a_full_disk_is_found_and_fixed() {
    let script = "mkdir /srv/execute; mount -t tmpfs -o size=8m,mode=1777 tmpfs /srv/execute
        dd if=/dev/zero of=/srv/execute/filler bs=64k 2>/dev/null || true
        set -- --execute /srv/execute; doctor \"$@\"; rm /srv/execute/filler; doctor \"$@\"";
    is_found_and_fixed("problem", &["/srv/execute", "has room for 0 MB"], script);
}

#[test]
fn a_file_system_without_inodes_is_found_and_fixed() {
    let script = "mkdir /srv/execute; mount -t tmpfs -o nr_inodes=100,mode=1777 tmpfs /srv/execute
        mkdir /srv/execute/filler
        for n in $(seq 200); do : >/srv/execute/filler/$n || break; done 2>/dev/null
        set -- --execute /srv/execute; doctor \"$@\"; rm -r /srv/execute/filler; doctor \"$@\"";
    is_found_and_fixed("problem", &["/srv/execute", "and 0 files"], script);
}

#[test]
fn a_credential_that_others_can_read_is_found_and_fixed() {
    let script = "chmod 644 /home/pilot/credentials/valid.pem
        set -- --proxy /home/pilot/credentials/valid.pem
        doctor \"$@\"; follow \"$@\"; doctor \"$@\"";
    is_found_and_fixed("problem", &["valid.pem", "(mode 0644)"], script);
}

#[test]
fn an_expired_proxy_is_found_and_fixed() {
    let script = "cd /home/pilot/credentials; cp -p expired.pem proxy
        set -- --proxy /home/pilot/credentials/proxy
        doctor \"$@\"; cp valid.pem proxy; doctor \"$@\"";
    is_found_and_fixed("problem", &["/home/pilot/credentials/proxy", "has expired"], script);
}

#[test]
fn an_expired_token_is_found() {
    let [report] = &reports("doctor --proxy /home/pilot/credentials/expired.jwt")[..] else {
        panic!("one report")
    };
    assert!(report.bad()[0].1.contains("has expired"), "{:?}", report.bad());
    assert_eq!(report.status, 1);
}

#[test]
fn a_user_without_subordinate_ids_is_found_and_fixed() {
    let script = "rm /etc/glexec-sudo.map; sed -i '/^pilot:/d' /etc/subuid /etc/subgid
        doctor; follow; doctor";
    is_found_and_fixed("problem", &["no subordinate ids"], script);
}

#[test]
fn subordinate_ids_of_two_users_are_found_and_fixed() {
    let script = "rm /etc/glexec-sudo.map; first=$(grep ^pilot: /etc/subuid | cut -d: -f2)
        echo \"games:$first:1\" >>/etc/subuid
        doctor; sed -i '/^games:/d' /etc/subuid; doctor";
    is_found_and_fixed("problem", &["account games also has some of your subordinate ids"], script);
}

#[test]
fn no_new_privs_is_found_and_fixed() {
    is_found_and_fixed(
        "problem",
        &["no_new_privs"],
        "under='setpriv --no-new-privs'; doctor; under=; doctor",
    );
}

#[test]
fn a_sudo_that_stays_as_a_monitor_is_found_and_fixed() {
    let script = "echo 'Defaults:pilot use_pty' >/etc/sudoers.d/zz; doctor; follow; doctor";
    is_found_and_fixed("warning", &["glexec-sudo", "stays as the parent of each payload"], script);
}

#[test]
fn a_sudo_that_takes_the_input_for_its_log_is_found_and_fixed() {
    // Without --glexec the other switcher would hide it.
    let script = "echo 'Defaults:pilot log_input, use_pty' >/etc/sudoers.d/zz
        set -- --glexec /usr/local/libexec/glexec-helpers/glexec-sudo
        doctor \"$@\"; follow \"$@\"; doctor \"$@\"";
    is_found_and_fixed("problem", &["descriptor 0", "log_input"], script);
}

#[test]
fn a_session_that_moves_payloads_to_another_cgroup_is_found_and_fixed() {
    let script = r#"
        cgroup=$(findmnt -nr -t cgroup,cgroup2 -o TARGET | while read -r at; do
            name=$at/gh-test-$(cat /proc/sys/kernel/random/uuid)
            if mkdir "$name" 2>/dev/null; then echo "$name"; break; fi
        done)
        trap 'rmdir "$cgroup" || { sleep 1; rmdir "$cgroup"; }' EXIT
        printf '#!/bin/sh\necho $PPID >%s/cgroup.procs\n' "$cgroup" >/usr/local/sbin/move
        chmod 755 /usr/local/sbin/move
        echo 'session required pam_exec.so seteuid quiet /usr/local/sbin/move' >>/etc/pam.d/sudo
        echo 'Defaults:pilot pam_session' >/etc/sudoers.d/zz
        doctor; follow; doctor"#;
    is_found_and_fixed(
        "warning",
        &["glexec-sudo", "moves payloads out of this process's cgroup"],
        script,
    );
}

#[test]
fn programs_below_a_closed_directory_are_found_and_fixed() {
    // That account's home is closed to others.
    let script = "scripts/install --prefix /home/pilot/prefix --programs /run/built
        chown -R pilot: /home/pilot/prefix; rm /etc/glexec-sudo.map
        doctor=/home/pilot/prefix/bin/condor_glexec_pilot; doctor; follow; doctor";
    is_found_and_fixed("problem", &["/home/pilot", "other users cannot search"], script);
}

#[test]
fn an_agent_that_can_be_traced_is_found_and_fixed() {
    let script =
        "chmod 755 /usr/local/libexec/glexec-helpers/condor_glexec_agent; doctor; follow; doctor";
    is_found_and_fixed("warning", &["condor_glexec_agent", "could trace it"], script);
}

#[test]
fn a_switcher_that_leads_to_the_caller_is_found_and_fixed() {
    let script = "set -- --glexec /usr/local/libexec/glexec-helpers/glexec-sudo
        echo pilot pilot >/etc/glexec-sudo.map; doctor \"$@\"; follow \"$@\"; doctor \"$@\"";
    is_found_and_fixed("problem", &["glexec-sudo", "maps pilot to itself"], script);
    let script = "printf '#!/bin/sh\nexec \"$@\"\n' >/usr/local/bin/none
        chmod 755 /usr/local/bin/none; doctor --glexec none";
    let [report] = &reports(script)[..] else { panic!("one report") };
    assert!(
        report.bad()[0].1.contains("it runs commands as the calling user"),
        "{:?}",
        report.bad()
    );
    assert_eq!(report.status, 1);
}

/// A script in the place of `glexec`, as a set-user-ID program: the kernel ignores the bit. Its
/// --check-config prints the configuration and ends with the status in /etc/glexec.status. It
/// changes no owner.
const SET_USER_ID: &str = r#"
glexec=/usr/local/libexec/glexec-helpers/glexec
cat >/root/glexec <<'END'
#!/bin/sh
case $1 in --check-config) cat /etc/glexec.conf; exit "$(cat /etc/glexec.status)" ;;
--world) while [ "$1" != -- ]; do shift; done; shift ;;
--*) echo "copy it" >&2; exit 205 ;; esac
exec sudo -n -u job1 -- "$@"
END
install -m 4755 /root/glexec $glexec
configure() { printf "$2" >/etc/glexec.conf; echo "$1" >/etc/glexec.status; }
"#;

#[test]
fn a_set_user_id_glexec_without_a_configuration_is_found_and_fixed() {
    let script = format!("{SET_USER_ID} doctor; follow; doctor");
    is_found_and_fixed("problem", &["set-user-ID root", "there is no /etc/glexec.conf"], &script);
}

#[test]
fn a_set_user_id_glexec_that_is_not_only_roots_is_found_and_fixed() {
    let script = format!("{SET_USER_ID} configure 0 ''; chown pilot $glexec; chmod 4755 $glexec");
    let script = format!("{script}; doctor; follow; doctor");
    is_found_and_fixed("problem", &["set-user-ID of uid", "not of root"], &script);
    let script =
        format!("{SET_USER_ID} configure 0 ''; chmod 4775 $glexec; doctor; follow; doctor");
    is_found_and_fixed("problem", &["users other than root can write"], &script);
}

#[test]
fn a_set_user_id_glexec_that_is_mounted_nosuid_is_found_and_fixed() {
    let script = format!(
        "{SET_USER_ID} configure 0 ''; directory=$(dirname $glexec)
        mount --bind $directory $directory; mount -o remount,bind,nosuid $directory
        doctor; umount $directory; doctor"
    );
    is_found_and_fixed("problem", &["mounted nosuid"], &script);
}

#[test]
fn the_configuration_of_a_set_user_id_glexec_is_checked_by_itself() {
    let script = format!(
        "chmod 755 /usr/local/libexec/glexec-helpers/glexec; doctor; {SET_USER_ID}
        configure 0 ''; doctor; configure 0 'line 3: lcas_db_file has no effect\\n'; doctor
        configure 202 'line 7: unknown key lingers\\n'; doctor; configure 201 ''; doctor
        chmod 600 /etc/glexec.conf; doctor"
    );
    let reports = reports(&script);
    let found: Vec<(&str, &str, bool)> = reports
        .iter()
        .map(|report| {
            let mut findings = report.all["findings"].as_array().unwrap().iter();
            let finding = findings.find(|one| one["check"] == "set-user-ID glexec").unwrap();
            let of = |name: &str| finding[name].as_str().unwrap();
            (of("level"), of("text"), report.all["ready"].as_bool().unwrap())
        })
        .collect();
    for ((level, text, ready), (wanted, words)) in found.iter().zip([
        ("ok", "is not set-user-ID"),
        ("ok", "/etc/glexec.conf has no faults"),
        ("ok", "no faults: line 3: lcas_db_file has no effect"),
        ("problem", "line 7: unknown key lingers"),
        ("warning", "has no --check-config"),
        ("ok", "you may not read /etc/glexec.conf"),
    ]) {
        assert!(*level == wanted && text.contains(words), "{level} {text}: {words}");
        assert_eq!(*ready, wanted != "problem", "{text}");
    }
    assert_eq!(found.len(), 6);
    let isolation = |report: &Report| report.all["isolation"].as_str().unwrap().to_owned();
    assert!(isolation(&reports[0]).contains("namespace"));
    assert!(isolation(&reports[1]).contains("policy"));
}

/// The attributes that `doctor --condor` prints on a new machine, each time that the script calls
/// `condor`, as `NAME = VALUE`.
fn ads(script: &str) -> Vec<Vec<String>> {
    const CONDOR: &str = r#"
        libexec=/usr/local/libexec/glexec-helpers
        settings=$libexec/condor_glexec_user_job_wrapper.conf
        install -d -o pilot /srv/local /srv/local/execute
        condor() { as_pilot "$@" $doctor doctor --condor --execute /srv/local/execute; }
    "#;
    let output = Machine::after(INSTALL).script("root", &format!("{PRELUDE}{CONDOR}{script}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", messages(&output));
    let mut ads: Vec<&str> = printed.split("-\n").collect();
    assert_eq!(ads.pop(), Some(""), "the last line ends an ad: {printed}");
    let is_attribute = |line: &&str| line.contains(" = ");
    ads.iter().map(|ad| ad.lines().filter(is_attribute).map(str::to_owned).collect()).collect()
}

/// The value of an attribute.
fn value<'a>(ad: &'a [String], name: &str) -> Option<&'a str> {
    ad.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "))
}

#[test]
fn the_attributes_of_a_fit_node_are_those_of_its_ad_in_one_order() {
    let ads = ads("condor");
    let names = |line: &String| line.split(" = ").next().unwrap().to_owned();
    assert_eq!(
        ads[0].iter().map(names).collect::<Vec<_>>(),
        [
            "GLEXEC_FIT",
            "GLEXEC_REASON",
            "GLEXEC_SWITCHER",
            "GLEXEC_WORLD",
            "GLEXEC_FREE_UIDS",
            "GLEXEC_NO_NEW_PRIVS",
            "GLEXEC_VERSION"
        ]
    );
    let version = format!("\"{}\"", env!("CARGO_PKG_VERSION"));
    for (name, expected) in [
        ("GLEXEC_FIT", "True"),
        ("GLEXEC_REASON", "\"\""),
        ("GLEXEC_SWITCHER", "\"glexec\""),
        ("GLEXEC_WORLD", "\"closed\""),
        ("GLEXEC_NO_NEW_PRIVS", "False"),
        ("GLEXEC_VERSION", &version),
    ] {
        assert_eq!(value(&ads[0], name), Some(expected), "{name}: {:?}", ads[0]);
    }
}

#[test]
fn the_number_of_free_user_ids_falls_by_one_with_each_lease_and_rises_with_its_end() {
    let ads = ads(r#"
        sed -i '/^pilot:/d' /etc/subuid /etc/subgid
        echo pilot:400000:5 | tee -a /etc/subuid >>/etc/subgid
        lease() { as_pilot env GLEXEC_CLIENT_CERT=$1 ${2:-A=} $libexec/glexec /bin/true; }
        install -o pilot -m 600 /dev/null /srv/local/one
        install -o pilot -m 600 /dev/null /srv/local/two
        install -d -o pilot -m 700 /srv/local/state
        condor
        lease /srv/local/one; condor
        lease /srv/local/two GLEXEC_STATE_DIR=/srv/local/state; condor
        rm /srv/local/one; condor
        rm /srv/local/two; condor
    "#);
    let free: Vec<_> = ads.iter().map(|ad| value(ad, "GLEXEC_FREE_UIDS").unwrap()).collect();
    assert_eq!(free, ["5", "4", "3", "4", "5"]);
}

#[test]
fn the_attributes_say_what_a_job_gets_through_each_switcher() {
    let ads = ads(r#"
        echo 'world = shared' >$settings; condor
        echo "glexec = $libexec/glexec-sudo" >$settings; condor
        printf '#!/bin/sh\nexec %s/glexec "$@"\n' $libexec >'/usr/local/bin/a "b"\c'
        chmod 755 '/usr/local/bin/a "b"\c'
        echo 'glexec = /usr/local/bin/a "b"\c' >$settings; condor
        rm $settings; condor setpriv --no-new-privs
        echo 'world = closed' >$settings; echo 'handover = copy' >>$settings; condor
    "#);
    let names = ["GLEXEC_FIT", "GLEXEC_SWITCHER", "GLEXEC_WORLD", "GLEXEC_NO_NEW_PRIVS"];
    let found: Vec<_> =
        ads.iter().map(|ad| names.map(|name| value(ad, name).unwrap_or_default())).collect();
    assert_eq!(
        found,
        [
            ["True", r#""glexec""#, r#""shared""#, "False"],
            ["True", r#""glexec-sudo""#, r#""shared""#, "False"],
            ["True", r#""/usr/local/bin/a \"b\"\\c""#, r#""shared""#, "False"],
            ["False", "", "", "True"],
            ["False", r#""glexec""#, r#""shared""#, "False"],
        ],
        "{ads:?}"
    );
    let is_known = |ad: &Vec<String>| value(ad, "GLEXEC_FREE_UIDS").is_some();
    assert_eq!(ads.iter().map(is_known).collect::<Vec<_>>(), [true, false, false, false, true]);
    let reason = value(&ads[4], "GLEXEC_REASON").unwrap();
    assert!(reason.contains("there is no closed world"), "{reason}");
}

#[test]
fn what_an_examination_that_was_killed_has_left_is_removed_by_the_next_one() {
    // A program that each switcher calls kills the examination at its first call, at its second
    // one, and so on, until an examination needs fewer calls.
    let ads = ads(r#"
        trials=/srv/local/glexec_payloads/doctor
        put_before() {
            mv $1 $1.real
            cat >$1 <<END
#!/bin/sh
echo >>/srv/local/calls
[ \$(wc -l </srv/local/calls) != \$(cat /srv/local/at) ] ||
    pkill -KILL -u pilot -f 'doctor --condor'
exec $1.real "\$@"
END
            chmod 755 $1
        }
        kill_each_time() {
            echo "glexec = $libexec/$1" >$settings
            left=0 at=1
            while echo $at >/srv/local/at && : >/srv/local/calls && ! condor >/root/ad; do
                [ -z "$(ls $trials)" ] || left=$((left + 1))
                echo 0 >/srv/local/at
                condor
                [ -z "$(ls $trials)" ] || { ls -lR $trials && exit 1; }
                at=$((at + 1))
            done
            grep -q '^GLEXEC_FIT = True' /root/ad
            [ $left -gt 0 ] || exit 1
        }
        install -o pilot /dev/null /srv/local/calls
        put_before "$(command -v newuidmap)"
        put_before "$(command -v sudo)"
        kill_each_time glexec
        kill_each_time glexec-sudo
    "#);
    for ad in &ads {
        assert_eq!(value(ad, "GLEXEC_FIT"), Some("True"), "{ad:?}");
    }
    assert!(ads.len() > 4, "{ads:?}");
}
