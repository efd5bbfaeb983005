//! A help text as a man page.

use roff::{Inline, Roff, bold, italic, roman};

use crate::help::{Block, Help};

/// The page of one command, or of a file.
pub struct Page {
    /// The command or file.
    pub name: String,
    /// The section of the manual.
    pub section: u8,
    /// Its subcommands.
    pub commands: Vec<Help>,
    help: Help,
}

impl Page {
    /// The page of a command from the text that its `--help` prints.
    pub fn new(name: &str, text: &str) -> Page {
        Page { name: name.to_owned(), section: 1, commands: Vec::new(), help: Help::read(text) }
    }

    /// The page of an administrator's command, in section 8.
    pub fn of_administrators(name: &str, text: &str) -> Page {
        Page { section: 8, ..Page::new(name, text) }
    }

    /// The page of a file's format, in section 5.
    pub fn of_file(name: &str, help: Help) -> Page {
        Page { name: name.to_owned(), section: 5, commands: Vec::new(), help }
    }

    /// The source of the page; `all` are the names and sections of all pages.
    pub fn render(&self, all: &[(&str, u8)]) -> String {
        let Page { name, section, help, commands } = self;
        let mut roff = Roff::new();
        // Without a date, the same source gives the same bytes.
        let version = concat!("glexec-helpers ", env!("CARGO_PKG_VERSION"));
        let manual = match section {
            1 => "User Commands",
            5 => "File Formats",
            _ => "System Administration",
        };
        let number = section.to_string();
        roff.control("TH", [&name.to_uppercase(), number.as_str(), "\"\"", version, manual]);
        // No hyphenation, and no adjustment to the right margin.
        roff.control("nh", []).control("ad", ["l"]);

        roff.control("SH", ["NAME"]).text([roman(format!("{name} - {}", phrase(&help.about)))]);
        roff.control("SH", ["SYNOPSIS"]);
        let callable = if commands.is_empty() { std::slice::from_ref(help) } else { commands };
        synopsis(&mut roff, name, callable.iter().flat_map(|help| &help.usage));
        roff.control("SH", ["DESCRIPTION"]).text(marked(&help.about));
        help.description.iter().for_each(|block| set(&mut roff, block));
        for (heading, blocks) in &help.sections {
            roff.control("SH", [heading.to_uppercase().as_str()]);
            begin(&mut roff, blocks);
        }
        for command in commands {
            chapter(&mut roff, name, command);
        }

        roff.control("SH", ["SEE ALSO"]);
        let others: Vec<_> = all.iter().filter(|(other, _)| other != name).collect();
        for (number, (other, section)) in others.iter().enumerate() {
            let comma = if number + 1 == others.len() { "" } else { "," };
            roff.text([bold(*other), roman(format!("({section}){comma}"))]);
        }
        // A terminal may show ASCII only.
        roff.render().replace('…', "...")
    }
}

/// The section about a subcommand.
fn chapter(roff: &mut Roff, name: &str, help: &Help) {
    let words =
        help.usage.first().map(|call| call.split(' ').take(2).collect::<Vec<_>>().join(" "));
    roff.control("SH", [words.unwrap_or_default().as_str()]);
    synopsis(roff, name, &help.usage);
    roff.control("PP", []).text(marked(&help.about));
    help.description.iter().for_each(|block| set(roff, block));
    for (heading, blocks) in &help.sections {
        roff.control("SS", [heading.as_str()]);
        begin(roff, blocks);
    }
}

/// The usage lines, each on a separate line.
fn synopsis<'a>(roff: &mut Roff, name: &str, calls: impl IntoIterator<Item = &'a String>) {
    for (number, call) in calls.into_iter().enumerate() {
        if number > 0 {
            roff.control("br", []);
        }
        match call.strip_prefix(name) {
            Some(arguments) => roff.text([vec![bold(name)], marked(arguments)].concat()),
            // The path of a file.
            None => roff.text([bold(call.as_str())]),
        };
    }
}

/// The content after a heading. In a help text the first sentence continues the heading; here it
/// begins with a capital letter.
fn begin(roff: &mut Roff, blocks: &[Block]) {
    for (number, block) in blocks.iter().enumerate() {
        match block {
            Block::Paragraph(text) if number == 0 => {
                roff.text(marked(&first_letter(text, char::to_ascii_uppercase)));
            }
            Block::Literal(line) if number == 0 => literal(roff, line),
            block => set(roff, block),
        }
    }
}

/// A block after another one.
fn set(roff: &mut Roff, block: &Block) {
    match block {
        Block::Paragraph(text) => {
            roff.control("PP", []).text(marked(text));
        }
        Block::Entry(explained, explanation) => {
            roff.control("TP", []).text([bold(explained.as_str())]).text(marked(explanation));
        }
        Block::Literal(line) => {
            roff.control("PP", []);
            literal(roff, line);
        }
    }
}

/// Lines that are not filled.
fn literal(roff: &mut Roff, lines: &str) {
    roff.control("nf", []);
    for line in lines.lines() {
        roff.text([bold(line)]);
    }
    roff.control("fi", []);
}

/// A text with its <arguments> in italics.
fn marked(text: &str) -> Vec<Inline> {
    let mut inlines = Vec::new();
    for piece in text.split_inclusive('>') {
        match piece.strip_suffix('>').and_then(|_| piece.rsplit_once('<')) {
            Some((before, argument)) => {
                inlines.extend([roman(before), italic(format!("<{argument}"))])
            }
            None => inlines.push(roman(piece)),
        }
    }
    inlines
}

/// A sentence without its capital letter and its full stop, as apropos(1) shows it.
fn phrase(sentence: &str) -> String {
    first_letter(sentence.trim_end_matches('.'), char::to_ascii_lowercase)
}

fn first_letter(text: &str, change: fn(&char) -> char) -> String {
    let mut characters = text.chars();
    let first = characters.next().map(|first| change(&first));
    first.into_iter().chain(characters).collect()
}
