//! The settings of a site.

use super::{Verified, answer, assert_refused, verify, verify_with};

#[test]
fn a_limited_proxy_is_refused_unless_the_site_allows_it() {
    for name in ["limited", "limited_then_full"] {
        assert_refused(&verify("none", &[], name), 203, "the proxy is limited");
        let allowed = verify("none", &["--allow-limited"], name);
        assert!(matches!(allowed, Verified::Identity(_)), "{name}: {allowed:?}");
    }
}

#[test]
fn a_users_own_certificate_is_never_accepted() {
    assert_refused(&verify("none", &["--allow-limited"], "bare"), 201, "no proxy");
    assert_refused(&verify("none", &["--allow-bare"], "bare"), 202, "unknown argument");
}

#[test]
fn a_proxy_that_is_valid_for_longer_than_the_limit_of_its_level_is_refused() {
    let (day, year) = (86_400, 31_536_000);
    for (name, limit, is_accepted) in [
        ("month", format!("1={year}"), true),
        ("month", format!("1={day}"), false),
        ("month", format!("leaf={day}"), false),
        ("month", format!("2={day}"), true),
        ("two_levels", format!("1={day}"), true),
        ("two_levels", "1=60".to_owned(), false),
        ("two_levels", "2=60".to_owned(), false),
        ("two_levels", "leaf=60".to_owned(), false),
        ("two_levels", "3=60".to_owned(), true),
    ] {
        let answer = verify("none", &["--max-lifetime", &limit], name);
        if is_accepted {
            assert!(matches!(answer, Verified::Identity(_)), "{name} {limit}: {answer:?}");
        } else {
            assert_refused(&answer, 202, "this site's limit");
        }
    }
}

#[test]
fn the_lowest_of_several_limits_applies() {
    let options = ["--max-lifetime=1=31536000", "--max-lifetime=leaf=60"];
    assert_refused(&verify("none", &options, "fresh"), 202, "level 1");
}

#[test]
fn a_missing_directory_and_wrong_arguments_are_faults_of_the_site() {
    assert_refused(&verify("absent", &[], "fresh"), 202, "cannot read the CA directory");
    for options in [&["--max-lifetime", "x"][..], &["x"], &["--ca-directory"]] {
        assert_refused(&answer(&mut verify_with("none", options)), 202, "--help");
    }
}
