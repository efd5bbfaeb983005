//! The environment of an epilogue, as its process has it. Needs root.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use support::{NO_LIMIT, Printed, Site, printed};

/// Writes the environment to a file.
const WRITE: &str = "exec /usr/bin/env -0 >$top/environment";

/// The epilogue's variables, after a run by this command.
fn variables(site: &Site, runner: &mut Command) -> (Printed, BTreeMap<String, String>) {
    let printed = printed(runner);
    let text = site.text("environment");
    let entries = text.split_terminator('\0').map(|entry| {
        let (name, value) = entry.split_once('=').unwrap();
        (name.to_owned(), value.to_owned())
    });
    (printed, entries.collect())
}

#[test]
fn every_variable_of_glexecs_page_is_set() {
    let site = Site::new(WRITE);
    let mut runner = site.runner(NO_LIMIT);
    let (printed, mut found) = variables(&site, runner.args(["/bin/payload", "a b", "", "x\ny=z"]));
    let pid = found.remove("GLEXEC_EPILOG_GLEXEC_PID").unwrap();
    assert!(pid.parse::<u32>().unwrap() > 1);
    found.retain(|name, _| name.starts_with("GLEXEC_"));
    let expected = [
        ("ARGV0", "/bin/payload"),
        ("ARGV1", "a b"),
        ("ARGV2", ""),
        ("ARGV3", "x\ny=z"),
        ("GLEXEC_USER", "batch"),
        ("GLEXEC_GROUP", "batch-group"),
        ("GLEXEC_UID", "61010"),
        ("GLEXEC_GID", "61011"),
        ("GLEXEC_SGIDS", "7:8:9"),
        ("GLEXEC_SID", "31"),
        ("GLEXEC_PGID", "32"),
        ("TARGET_USER", "job"),
        ("TARGET_GROUP", "job-group"),
        ("TARGET_UID", "61020"),
        ("TARGET_GID", "61021"),
        ("TARGET_SGIDS", ""),
        ("TARGET_PID", "41"),
        ("TARGET_PGID", "42"),
        ("TARGET_RC", "143"),
    ];
    let expected: BTreeMap<_, _> = expected
        .iter()
        .map(|(name, value)| (format!("GLEXEC_EPILOG_{name}"), (*value).to_owned()))
        .collect();
    assert_eq!(found, expected);
    assert_eq!(printed.status, "-");
}

#[test]
fn variables_of_these_names_from_before_are_cleared_and_others_of_glexecs_stay() {
    let site = Site::new(WRITE);
    let mut runner = site.runner(NO_LIMIT);
    runner.env("GLEXEC_EPILOG_ARGV7", "x").env("GLEXEC_EPILOG_OWN", "x");
    runner.env("GLEXEC_EPILOG_TARGET_UID", "0").env("GLEXEC_ENV", "e30=\nIFS=x");
    let (_, found) = variables(&site, &mut runner);
    assert!(!found.contains_key("GLEXEC_EPILOG_ARGV7"));
    assert!(!found.contains_key("GLEXEC_EPILOG_OWN"));
    assert_eq!(found["GLEXEC_EPILOG_TARGET_UID"], "61020");
    assert_eq!(found["GLEXEC_ENV"], "e30=\nIFS=x");
}

/// A library that leaves a trace when it is loaded; not by the program that runs the epilogue,
/// which may be linked dynamically.
fn library(site: &Site) -> String {
    let source = format!(
        "#define _GNU_SOURCE\n#include <errno.h>\n#include <fcntl.h>\n#include <string.h>\n\
         __attribute__((constructor)) static void load(void)\n\
         {{ if (strcmp(program_invocation_short_name, \"run_epilogue\")) creat(\"{}\", 0600); }}\n",
        site.path("obeyed").display()
    );
    let (source, library) = (site.put("trace.c", &source), site.path("trace.so"));
    let mut cc = Command::new("cc");
    let status = cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source).status();
    assert!(status.expect("cc is needed: run ci/provision as root").success());
    library.into_os_string().into_string().unwrap()
}

#[test]
fn no_loader_and_no_interpreter_of_an_epilogue_obeys_the_payload() {
    let site = Site::new("");
    let top = site.top().display().to_string();
    let trace = format!("{top}/obeyed");
    let library = library(&site);
    let shell = site.put("trace.sh", &format!("touch {trace}\n")).display().to_string();
    site.put("Trace.pm", &format!("open my $f, '>', '{trace}'; 1;\n"));
    fs::create_dir(site.path("bin")).unwrap();
    site.put("bin/id", &format!("#!/bin/sh\ntouch {trace}\n"));
    let path = format!("{top}/bin");
    let split = format!("set -- $(printf a,b)\n[ $# = 1 ] || touch {trace}");
    // Module descriptions with which iconv(3) would load the library.
    site.put(
        "gconv-modules",
        &format!("module X// INTERNAL {library} 1\nmodule INTERNAL X// {library} 1\n"),
    );
    for (interpreter, text, name, value) in [
        ("/bin/sh", "id", "LD_PRELOAD", library.as_str()),
        ("/bin/sh", "id", "LD_AUDIT", &library),
        ("/bin/sh", "id", "ENV", &shell),
        ("/bin/sh", &split, "IFS", ","),
        ("/bin/sh", "id", "PATH", &path),
        ("/bin/sh", "echo x | iconv -f X -t UTF-8", "GCONV_PATH", &top),
        ("/bin/bash", "id", "BASH_ENV", &shell),
        ("/bin/bash", "id", "BASH_FUNC_id%%", "() { . \"$trace_sh\"; }"),
        ("/usr/bin/perl", "1;", "PERL5OPT", "-MTrace"),
        ("/usr/bin/perl", "require Trace;", "PERL5LIB", &top),
    ] {
        site.put("epilogue", &format!("#!{interpreter}\n{text}\n"));
        let mut runner = site.runner(NO_LIMIT);
        runner.env(name, value).env("PERL5LIB", &top).env("trace_sh", &shell);
        let printed = printed(&mut runner);
        assert!(!site.path("obeyed").exists(), "{name} acts in {interpreter}: {printed:?}");
    }
}

#[test]
fn the_variables_above_would_act_if_they_reached_an_interpreter() {
    let site = Site::new("");
    let (library, trace) = (library(&site), site.path("obeyed"));
    let shell = site.put("trace.sh", &format!("touch {}\n", trace.display()));
    site.put("Trace.pm", &format!("open my $f, '>', '{}'; 1;\n", trace.display()));
    for (program, word, name, value) in [
        ("/bin/sh", "-c :", "LD_PRELOAD", library.clone()),
        ("/bin/bash", "-c :", "BASH_ENV", shell.display().to_string()),
        ("/usr/bin/perl", "-e 1", "PERL5OPT", "-MTrace".to_owned()),
    ] {
        let mut command = Command::new(program);
        command.args(word.split(' ')).env("PERL5LIB", site.top()).env(name, value);
        assert!(command.status().unwrap().success());
        fs::remove_file(&trace).unwrap_or_else(|_| panic!("{name} does nothing in {program}"));
    }
}

#[test]
fn the_home_directory_is_none_of_the_payloads() {
    let site = Site::new(WRITE);
    let mut runner = site.runner(NO_LIMIT);
    let (_, found) = variables(&site, runner.env("HOME", "/home/job").env("USER", "job"));
    assert_eq!((found["HOME"].as_str(), found["USER"].as_str()), ("/nonexistent", "job"));
}

#[test]
fn it_is_told_ten_thousand_arguments() {
    let site = Site::new(WRITE);
    let mut runner = site.runner(NO_LIMIT);
    runner.args((0..10_000).map(|number| format!("argument {number}")));
    let (printed, found) = variables(&site, &mut runner);
    assert_eq!(found["GLEXEC_EPILOG_ARGV9999"], "argument 9999");
    assert!(!found.contains_key("GLEXEC_EPILOG_ARGV_OMITTED"));
    assert!(printed.status == "-" && !printed.line.contains("E2BIG"), "{}", printed.line);
}

#[test]
fn a_payload_with_too_long_arguments_or_variables_cannot_keep_it_from_running() {
    // With its variable's name it is longer than one string may be (MAX_ARG_STRLEN, execve(2)).
    let longest = "x".repeat((128 << 10) - 1);
    let variable = "y".repeat(100 << 10);
    for (arguments, more, variables_of_payload, count) in [
        (&["/bin/payload", "short", &longest, "short"][..], "", 0..0, 4),
        (&["/bin/payload"], "$(seq 30000)", 0..12, 30_001),
    ] {
        let site = Site::new(WRITE);
        let runner = site.runner(NO_LIMIT);
        // The kernel takes 2 MiB with this limit.
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!("ulimit -s 8192; exec \"$@\" {more}"), "sh"]);
        shell.arg(runner.get_program()).args(runner.get_args()).args(arguments).env_clear();
        shell.envs(variables_of_payload.map(|number| (format!("GLEXEC_{number}"), &variable)));
        let (printed, found) = variables(&site, &mut shell);
        let told = found.keys().filter(|name| name.starts_with("GLEXEC_EPILOG_ARGV")).count() - 1;
        let omitted = found["GLEXEC_EPILOG_ARGV_OMITTED"].parse::<usize>().unwrap();
        assert!(told > 0 && omitted > 0 && told + omitted == count, "{told} {omitted}");
        assert_eq!(found["GLEXEC_EPILOG_ARGV0"], "/bin/payload");
        assert_eq!(found["GLEXEC_EPILOG_TARGET_UID"], "61020");
        assert!(!found.contains_key("GLEXEC_0"));
        assert_eq!(printed.status, "-");
        let said = format!("(E2BIG): it got none of the payload's environment, and {omitted} arg");
        assert!(printed.line.contains(&said), "{}", printed.line);
    }
}
