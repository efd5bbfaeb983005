//! The commands in README and docs work as they are written there.
//!
//! A comment on the line before each block of shell lines names the user who types it: `<!-- as
//! root -->`, `<!-- as condor, in the source -->`. The test types the blocks of one document in
//! their order on one machine, and those of one user in one session. A block whose comment ends
//! with `, instead` can replace the block of shell lines before it; on another machine, the test
//! types these. A block of text after `<!-- prints -->` is the output of the block before it; in a
//! line, `…` stands for any text. A block whose comment ends with `, below systemd` is typed by
//! `daemon_systemd.rs`.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod support;

use std::fs;
use std::path::Path;

use support::machine::Machine;
use support::messages;

/// A fenced block: the comment before it, its language, the number of its first line, and its
/// lines.
struct Block {
    comment: String,
    language: String,
    line: usize,
    lines: Vec<String>,
}

impl Block {
    /// Whether it can replace the block before it.
    fn is_instead(&self) -> bool {
        self.comment.ends_with(INSTEAD)
    }
}

const INSTEAD: &str = ", instead";

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// All blocks of a document. Fails for code that is not in a block.
fn blocks(document: &str) -> Vec<Block> {
    let text = text(document);
    let mut blocks: Vec<Block> = Vec::new();
    let (mut before, mut is_inside) = ("", false);
    for (number, line) in text.lines().enumerate() {
        let place = format!("{document}:{}", number + 1);
        match line.strip_prefix("```") {
            Some("") if is_inside => is_inside = false,
            Some(language) => {
                assert!(
                    !is_inside && !language.is_empty(),
                    "{place}: a block begins with its language"
                );
                let comment =
                    before.strip_prefix("<!-- ").and_then(|rest| rest.strip_suffix(" -->"));
                let comment = comment.unwrap_or_default().to_owned();
                blocks.push(Block {
                    comment,
                    language: language.to_owned(),
                    line: number + 2,
                    lines: Vec::new(),
                });
                is_inside = true;
            }
            None if is_inside => blocks.last_mut().unwrap().lines.push(line.to_owned()),
            None => assert!(
                !line.starts_with("    ") && !line.starts_with('\t'),
                "{place}: code that is in no block"
            ),
        }
        before = line;
    }
    assert!(!is_inside, "{document}: a block without an end");
    blocks
}

/// The user who types a block, and whether in the source; `None` if a script of the continuous
/// integration runs it. Fails without such a comment, or if the script does not run it.
fn user_of(document: &str, block: &Block) -> Option<(String, bool)> {
    let place = format!("{document}:{}", block.line);
    if block.comment == "run by .ci/run" {
        let ci = text(".ci/run");
        for line in block.lines.iter().filter(|line| !line.is_empty() && !line.starts_with('#')) {
            let script = line.split(' ').next().unwrap();
            assert!(
                ci.lines().any(|line| line.split(' ').next() == Some(script)),
                "{place}: .ci/run does not run {script}"
            );
        }
        return None;
    }
    if block.comment.ends_with(", below systemd") {
        assert_eq!(
            document, "docs/daemon.md",
            "{place}: daemon_systemd.rs types no other document"
        );
        return None;
    }
    let user = block.comment.strip_prefix("as ");
    let user =
        user.unwrap_or_else(|| panic!("{place}: no comment on the line before names a user"));
    let user = user.strip_suffix(INSTEAD).unwrap_or(user);
    let (user, is_in_source) = match user.strip_suffix(", in the source") {
        Some(user) => (user, true),
        None => (user, false),
    };
    assert!(["root", "pilot", "condor"].contains(&user), "{place}: unknown user {user}");
    Some((user.to_owned(), is_in_source))
}

/// A block as in a terminal session of the user: with the variables that were exported and the
/// working directory of the block before.
fn session(user: &str, is_in_source: bool, block: &Block) -> String {
    let place = if is_in_source { "cd ~/glexec-helpers" } else { "" };
    format!(
        "session=/var/tmp/session.{user}
        if [ -e $session ]; then . $session; fi
        {place}
        trap '{{ export -p; printf \"cd %q\\n\" \"$PWD\"; }} >$session' EXIT
        set -eE; trap 'echo \"failed with status $?: $BASH_COMMAND\" >&2' ERR
{}",
        block.lines.join("\n")
    )
}

/// Whether a line of the output is as the document announces it.
fn is_as_announced(announced: &str, found: &str) -> bool {
    let Some((before, after)) = announced.split_once('…') else { return announced == found };
    let Some(mut rest) = found.strip_prefix(before) else { return false };
    let mut after = after;
    while let Some((middle, end)) = after.split_once('…') {
        let Some(at) = rest.find(middle) else { return false };
        (rest, after) = (&rest[at + middle.len()..], end);
    }
    rest.ends_with(after)
}

/// The blocks of a document, without or with the blocks that replace others.
fn blocks_of(document: &str, with_replacements: bool) -> Vec<Block> {
    let mut chosen: Vec<Block> = Vec::new();
    for block in blocks(document) {
        if block.is_instead() && with_replacements {
            let replaced = chosen.iter().rposition(|before| before.language == "sh");
            chosen.truncate(replaced.unwrap_or_else(|| {
                panic!("{document}:{}: there is no block to replace", block.line)
            }));
        }
        if !block.is_instead() || with_replacements {
            chosen.push(block);
        }
    }
    chosen
}

/// Types all blocks of a document.
fn typed(document: &str, with_replacements: bool) {
    let machine = Machine::new();
    let (mut wrong, mut printed, mut count) = (Vec::new(), String::new(), 0);
    for block in blocks_of(document, with_replacements) {
        let place = format!("{document}:{}", block.line);
        if block.language == "sh" {
            let Some((user, is_in_source)) = user_of(document, &block) else { continue };
            let output = machine.script(&user, &session(&user, is_in_source, &block));
            printed = String::from_utf8_lossy(&output.stdout).into_owned();
            count += 1;
            if !output.status.success() {
                wrong.push(format!(
                    "{place}, as {user}: {}\n{printed}{}",
                    output.status,
                    messages(&output)
                ));
            }
        } else if block.comment == "prints" {
            let found: Vec<_> = printed.lines().collect();
            let pairs = block.lines.iter().zip(&found);
            let is_so = found.len() == block.lines.len()
                && pairs.clone().all(|(line, found)| is_as_announced(line, found));
            if !is_so {
                wrong.push(format!("{place}: the output is different:\n{printed}"));
            }
        }
    }
    assert!(count > 0 && wrong.is_empty(), "of {count} blocks:\n\n{}", wrong.join("\n\n"));
}

/// README, SECURITY and docs.
fn all() -> Vec<String> {
    let directory = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs")).unwrap();
    let names =
        directory.map(|entry| format!("docs/{}", entry.unwrap().file_name().to_str().unwrap()));
    let names = names.filter(|name| name.ends_with(".md"));
    let all: Vec<_> = names.chain(["README.md".to_owned(), "SECURITY.md".to_owned()]).collect();
    assert!(all.len() > 8, "{all:?}");
    all
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let (mut count, mut wrong) = (0, Vec::new());
    for document in all() {
        let text = text(&document);
        for link in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let mut target = Path::new(env!("CARGO_MANIFEST_DIR")).join(&document);
            if !file.is_empty() {
                target.set_file_name(file);
            }
            let Ok(there) = fs::read_to_string(&target) else {
                wrong.push(format!("{document}: {link}"));
                continue;
            };
            let mut headings = there.lines().filter_map(|line| line.strip_prefix("## "));
            if !heading.is_empty()
                && !headings.any(|line| line.to_lowercase().replace(' ', "-") == heading)
            {
                wrong.push(format!("{document}: {link}: no such heading"));
            }
            count += 1;
        }
    }
    assert!(count > 20 && wrong.is_empty(), "of {count}: {wrong:#?}");
}

/// The strings in the Rust sources below a folder, without tests and comments.
fn strings_below(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: std::path::PathBuf| match path.is_dir() {
        true => strings_below(&path),
        false => strings(fs::read_to_string(path).unwrap().split("#[cfg(test)]").next().unwrap()),
    };
    entries.flat_map(of).collect()
}

/// The strings of a Rust source, each without line breaks.
fn strings(source: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut rest = source;
    while let Some(at) = rest.find(['"', '/', '\'', 'r']) {
        let is_word = rest[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        rest = &rest[at..];
        let hashes = rest[1..].len() - rest[1..].trim_start_matches('#').len();
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            rest = comment.split_once("*/").map_or("", |(_, after)| after);
        } else if rest.starts_with('r') && !is_word && rest[1 + hashes..].starts_with('"') {
            let (text, after) =
                rest[2 + hashes..].split_once(&format!("\"{}", "#".repeat(hashes))).unwrap();
            found.push(text.to_owned());
            rest = after;
        } else if let Some(text) = rest.strip_prefix('"') {
            let (text, after) = to_quote(text);
            found.push(text);
            rest = after;
        } else {
            // A character, which can be a quote; or a lifetime.
            let character = ["'\"'", "'\\\"'", "'\\''", "'/'"]
                .into_iter()
                .find(|character| rest.starts_with(character));
            rest = &rest[character.map_or(1, str::len)..];
        }
    }
    found
}

/// A string up to its closing quote, and the rest after it.
fn to_quote(source: &str) -> (String, &str) {
    let (mut text, mut rest) = (String::new(), source);
    loop {
        let at = rest.find(['"', '\\']).expect("a string ends");
        text += &rest[..at];
        if rest[at..].starts_with('"') {
            return (text, &rest[at + 1..]);
        }
        // A line break disappears with the blanks after it. Of any other escape the character is
        // enough here.
        rest = match rest[at + 1..].strip_prefix('\n') {
            Some(next_line) => next_line.trim_start(),
            None => &rest[at + 1..],
        };
        if let Some(quoted) = rest.strip_prefix(['"', '\\']) {
            text += &rest[..1];
            rest = quoted;
        }
    }
}

#[test]
fn strings_of_a_source_are_found_without_its_comments() {
    let source = r##"
        /// "in a comment"
        fn a<'a>() { /* "in another" */
            let quotes = ['"', '\'', '\"', 'r'];
            say("a phrase of \"two\" \
                 lines"); // "beside it"
            say(r"raw \", r#"with "quotes""#, r); // it's all
        }
        #[cfg(test)]
    "##;
    assert_eq!(strings(source), [r#"a phrase of "two" lines"#, r"raw \", r#"with "quotes""#]);
}

#[test]
fn the_administrators_table_quotes_messages_of_the_programs() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let said = [strings_below(&top.join("src")), strings_below(&top.join("crates"))].concat();
    let guide = text("docs/administrator.md");
    let table = guide.split("## Troubleshooting").nth(1).unwrap().split("\n## ").next().unwrap();
    let symptoms = table.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let quoted = symptoms.flat_map(|symptom| symptom.split('"').skip(1).step_by(2));
    // The placeholders for a path or a number are not searched for.
    let pieces: Vec<&str> =
        quoted.flat_map(|words| words.split(['…', '<', '>'])).map(str::trim).collect();
    let is_in_a_program = |piece: &str| said.iter().any(|text| text.contains(piece));
    let missing: Vec<_> =
        pieces.iter().filter(|piece| !is_in_a_program(piece) && **piece != "sandbox").collect();
    assert!(
        pieces.len() > 12 && missing.is_empty(),
        "no program has these texts, of {}: {missing:?}",
        pieces.len()
    );
}

#[test]
fn the_lines_for_administrators_work_with_the_package() {
    let [first, other] = [false, true].map(|way| blocks_of("docs/administrator.md", way).len());
    assert_eq!(
        (first, blocks("docs/administrator.md").len()),
        (other, other + 2),
        "two blocks have a replacement"
    );
    typed("docs/administrator.md", true);
}

macro_rules! documents {
    ($($test:ident $document:literal)*) => {
        $(#[test]
        fn $test() {
            typed($document, false);
        })*

        #[test]
        fn every_shell_line_is_typed_by_a_test() {
            for document in all() {
                for block in blocks(&document) {
                    let is_typed = match block.language.as_str() {
                        "sh" => user_of(&document, &block).is_some(),
                        "text" | "json" | "ini" => false,
                        other => panic!("{document}:{}: unknown language {other}", block.line),
                    };
                    let has_test = [$($document),*].contains(&document.as_str());
                    assert!(!is_typed || has_test, "{document} has no test");
                }
            }
        }
    };
}

documents! {
    the_lines_of_the_readme_work "README.md"
    the_lines_for_administrators_work "docs/administrator.md"
    the_lines_for_pilots_work "docs/pilots.md"
    the_lines_about_htcondor_work "docs/htcondor.md"
    the_lines_about_glexec_work "docs/glexec.md"
    the_lines_about_the_closed_world_work "docs/world.md"
    the_lines_about_glexec_verify_work "docs/verify.md"
    the_lines_about_the_epilogue_work "docs/epilogue.md"
    the_lines_about_session_scripts_work "docs/session-scripts.md"
    the_lines_about_what_is_beside_glexec_work "docs/beside.md"
}
