//! The X.509 proxy of a job.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::Path;
use std::process::Command;

use crate::fixture::{EXECUTING, End, Job, LIMIT, SUBMITTER, pool, until};

/// Says that it has its proxy, and ends when it has another one.
const READS: &str = r#"
set -e
first=$(sha256sum <"$X509_USER_PROXY")
echo "$first" && stat -c %a "$X509_USER_PROXY"
for second in $(seq 100); do
    [ "$(sha256sum <"$X509_USER_PROXY")" = "$first" ] || break
    sleep 1
done
sha256sum <"$X509_USER_PROXY"
"#;

/// Puts a new certificate with its key, which HTCondor takes for a proxy, in the place of a file.
fn renew(path: &Path, subject: &str) {
    let new = path.with_extension("new");
    let (certificate, key) = (new.with_extension("cert"), new.with_extension("key"));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", subject]);
    let made = openssl.arg("-keyout").arg(&key).arg("-out").arg(&certificate).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    let content = [fs::read(&certificate).unwrap(), fs::read(&key).unwrap()].concat();
    fs::write(&new, content).unwrap();
    fs::set_permissions(&new, fs::Permissions::from_mode(0o600)).unwrap();
    chown(&new, Some(SUBMITTER), Some(SUBMITTER)).unwrap();
    fs::rename(new, path).unwrap();
}

#[test]
#[ignore = "needs a pool: scripts/pool test"]
fn a_job_has_its_proxy_and_gets_a_renewed_one() {
    const JOB: Job = Job::new("proxy", READS).with("x509userproxy = proxy\nstream_output = True");
    let pool = pool();
    for way in &pool.ways {
        let job = JOB.write(pool, way);
        let proxy = job.dir.join("proxy");
        renew(&proxy, "/CN=first");
        pool.central(&["sh", "-ec", "cd \"$0\"; condor_submit submit", &job.inside]);
        job.wait(EXECUTING, 1);
        let begun = until(LIMIT, || (job.out().lines().count() >= 2).then_some(()));
        assert!(begun.is_some(), "{}: {} {}", way.name, job.out(), job.read("err"));
        renew(&proxy, "/CN=second");
        assert_eq!(job.end(), End::Exited(0), "{}: {}", way.name, job.read("err"));
        let out = job.out();
        let lines: Vec<&str> = out.lines().collect();
        assert!(lines.len() == 3 && lines[1] == "600", "{}: {out}", way.name);
        assert_ne!(lines[0], lines[2], "{}: the proxy was not renewed", way.name);
    }
}
