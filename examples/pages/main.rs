//! Writes man pages and shell completions, for scripts/install: `pages <directory>`. Not installed.
//!
//! A page has the text that `--help` prints, in the form of man(7). So both always say the same.
//! The page of the configuration comes from its table of keys.

mod configuration;
mod help;
mod lists;
mod page;
mod runner;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use clap::{Arg, ArgAction, Command, ValueHint};
use clap_complete::Shell;
use command::Program;
use glexec_helpers::cli::{cleanup, kill, mkgltempdir, pilot, run, setup, update_proxy};

/// The programs that do not use clap.
const TABLES: [&Program; 7] = [
    &agent::agent::PROGRAM,
    &agent::wrapper::PROGRAM,
    &glexec::command::PROGRAM,
    &glexec::sessions::PROGRAM,
    &glexec_sudo::command::PROGRAM,
    &envwrap::wrap::PROGRAM,
    &envwrap::unwrap::PROGRAM,
];

/// Those of an administrator: their pages are in section 8.
const OF_ADMINISTRATORS: [&Program; 4] = [
    &accountd::command::PROGRAM,
    &accounts::legion::ADD,
    &accounts::legion::LIST,
    &accounts::legion::REMOVE,
];

fn main() -> Result<()> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let [top] = &words[..] else { bail!("usage: pages <directory>") };
    let definitions = [
        setup::definition(),
        run::definition(),
        cleanup::definition(),
        kill::definition(),
        update_proxy::definition(),
        pilot::definition(),
        mkgltempdir::definition(),
    ];

    let mut pages: Vec<page::Page> = definitions.iter().map(page_of).collect();
    for program in TABLES {
        pages.push(page::Page::new(program.name, &program.help()));
    }
    for program in OF_ADMINISTRATORS {
        pages.push(page::Page::of_administrators(program.name, &program.help()));
    }
    let mut page = page::Page::of_administrators(
        accounts::command::PROGRAM.name,
        &accounts::command::PROGRAM.help(),
    );
    page.commands =
        accounts::command::COMMANDS.map(|command| help::Help::read(&command.help())).into();
    pages.push(page);
    // Its crate is not in this workspace.
    let verify = include_str!("../../crates/verify/src/help.txt");
    pages.push(page::Page::new("glexec_verify", verify));
    pages.push(page::Page::of_file("glexec.conf", configuration::help()));
    pages.push(page::Page::of_file("glexec-accounts", lists::accounts()));
    pages.push(page::Page::of_file("glexec-clients", lists::clients()));
    let names: Vec<_> = pages.iter().map(|page| (page.name.as_str(), page.section)).collect();
    for page in &pages {
        let place = format!("man/man{0}/{1}.{0}", page.section, page.name);
        write(top, &place, page.render(&names).as_bytes())?;
    }

    let runs_a_command = |arg: Arg| arg.value_hint(ValueHint::CommandWithArguments);
    let manager = accounts::command::COMMANDS
        .iter()
        .fold(options_of(&accounts::command::PROGRAM), |definition, command| {
            definition.subcommand(with_accounts(command))
        });
    let tables = TABLES.map(definition_of).into_iter();
    let tables = tables.chain(OF_ADMINISTRATORS.map(with_accounts)).chain([manager]);
    let completed =
        definitions.into_iter().chain(tables).map(|definition| match definition.get_name() {
            "condor_glexec_pilot" => {
                definition.mut_subcommand("run", |run| run.mut_arg("command", runs_a_command))
            }
            "glexec" | "glexec-sudo" | "glexec_unwrapenv" => {
                definition.mut_arg("command", runs_a_command)
            }
            _ => definition,
        });
    for definition in completed {
        let name = definition.get_name().to_owned();
        let runner = [runner::PILOT, runner::GLEXEC, runner::GLEXEC_SUDO, runner::UNWRAPENV]
            .into_iter()
            .find(|runner| runner.name == name);
        let places = [
            (Shell::Bash, format!("bash-completion/completions/{name}")),
            (Shell::Zsh, format!("zsh/site-functions/_{name}")),
            (Shell::Fish, format!("fish/vendor_completions.d/{name}.fish")),
        ];
        for (shell, place) in places {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut definition.clone(), &name, &mut script);
            if let Some(runner) = &runner {
                script.extend(runner.completion(shell).into_bytes());
            }
            write(top, &place, &script)?;
        }
    }
    Ok(())
}

/// A table of options as a definition for clap, from which the completions are generated.
fn options_of(program: &Program) -> Command {
    // Of a command of a program its own name.
    let name = program.name.rsplit(' ').next().unwrap_or(program.name);
    let definition = Command::new(name).about(program.about).disable_help_flag(true);
    let options = program.flags().map(|flag| {
        let name = if flag.long.is_empty() { flag.help } else { flag.long };
        let option = Arg::new(name).help(flag.help);
        let option = match flag.value {
            "" => option.action(ArgAction::SetTrue),
            // Most values are paths.
            value => option.action(ArgAction::Set).value_name(value).value_hint(ValueHint::AnyPath),
        };
        let option = if flag.short == '\0' { option } else { option.short(flag.short) };
        if flag.long.is_empty() { option } else { option.long(flag.long) }
    });
    definition.args(options)
}

/// The same with a command after the options.
fn definition_of(program: &Program) -> Command {
    options_of(program).arg(Arg::new("command").num_args(1..).trailing_var_arg(true))
}

/// The same with names of accounts.
fn with_accounts(program: &Program) -> Command {
    options_of(program).arg(Arg::new("operand").num_args(0..).value_hint(ValueHint::Username))
}

/// The page of a command, with a section for each of its subcommands.
fn page_of(definition: &Command) -> page::Page {
    let name = definition.get_name();
    let mut page = page::Page::new(name, &help_of(definition, &[name, "--help"]));
    for command in definition.get_subcommands().map(Command::get_name) {
        page.commands.push(help::Help::read(&help_of(definition, &[name, command, "--help"])));
    }
    page
}

/// What a command prints when it is called with these words, which ask for help.
fn help_of(definition: &Command, call: &[&str]) -> String {
    match definition.clone().try_get_matches_from(call) {
        Err(help) => help.to_string(),
        Ok(_) => String::new(),
    }
}

fn write(top: &OsString, place: &str, content: &[u8]) -> Result<()> {
    let path = Path::new(top).join(place);
    let written =
        path.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(&path, content));
    written.with_context(|| path.display().to_string())
}
