//! Reads the text that `--help` prints.
//!
//! The help texts of all commands have the same layout. A text consists of paragraphs, separated by
//! empty lines. The first paragraph says what the command is for. A paragraph that begins with a
//! heading of one or two words and a colon ("Exit status: ...") begins a section. Indented lines
//! are a table: a name and its explanation, or an example to be typed as it is.

/// A help text, divided into its parts.
pub struct Help {
    /// What the command is for, in one sentence.
    pub about: String,
    /// The usage lines.
    pub usage: Vec<String>,
    /// The paragraphs without a heading.
    pub description: Vec<Block>,
    /// The sections: heading and content.
    pub sections: Vec<(String, Vec<Block>)>,
}

/// A piece of text.
pub enum Block {
    /// Lines that belong together.
    Paragraph(String),
    /// A row of a table: what is explained, and the explanation.
    Entry(String, String),
    /// Lines to be typed as they are.
    Literal(String),
}

/// The names in a table begin left of this column. A line that begins further to the right
/// continues an explanation.
const EXPLANATIONS: usize = 8;

impl Help {
    /// Divides a text.
    pub fn read(text: &str) -> Help {
        let (about, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut help =
            Help { about: about.to_owned(), usage: vec![], description: vec![], sections: vec![] };
        for paragraph in rest.split("\n\n").map(|paragraph| paragraph.trim_end()) {
            match heading(paragraph) {
                Some(("Usage", calls)) => help.usage = usage(calls),
                Some((heading, rest)) => help.sections.push((heading.to_owned(), blocks(rest))),
                None => help.description.extend(blocks(paragraph)),
            }
        }
        help
    }
}

/// The usage lines. A line that does not begin with a command's name continues the one before it.
fn usage(calls: &str) -> Vec<String> {
    let mut usage: Vec<String> = Vec::new();
    for line in calls.lines().map(str::trim) {
        match usage.last_mut() {
            Some(before) if line.starts_with(['<', '[']) => {
                before.push(' ');
                before.push_str(line);
            }
            _ => usage.push(line.to_owned()),
        }
    }
    usage
}

/// The heading of a paragraph, and the rest of the paragraph: one or two words that begin with a
/// capital letter, and a colon.
fn heading(paragraph: &str) -> Option<(&str, &str)> {
    let (heading, rest) = paragraph.split_once(':')?;
    let is_heading = heading.starts_with(|first: char| first.is_ascii_uppercase())
        && heading.chars().all(|c| c.is_ascii_alphabetic() || c == ' ')
        && heading.split(' ').count() <= 2;
    is_heading.then(|| (heading, rest.strip_prefix(' ').unwrap_or(rest)))
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let words = line.trim_start();
        let indent = line.len() - words.len();
        match blocks.last_mut() {
            Some(Block::Paragraph(so_far)) if indent == 0 => {
                so_far.push('\n');
                so_far.push_str(words);
            }
            _ if indent == 0 => blocks.push(Block::Paragraph(words.to_owned())),
            Some(Block::Entry(_, so_far)) if indent >= EXPLANATIONS => {
                so_far.push('\n');
                so_far.push_str(words);
            }
            // The name has a line for itself, and the explanation begins on the next line.
            Some(last @ Block::Literal(_)) if indent >= EXPLANATIONS => {
                if let Block::Literal(name) = last {
                    *last = Block::Entry(std::mem::take(name), words.to_owned());
                }
            }
            // The line before ends with a backslash, as in a shell.
            Some(Block::Literal(so_far)) if so_far.ends_with('\\') => {
                so_far.push_str("\n  ");
                so_far.push_str(words);
            }
            _ => blocks.push(match words.split_once("  ") {
                Some((name, explanation)) => {
                    Block::Entry(name.to_owned(), explanation.trim_start().to_owned())
                }
                None => Block::Literal(words.to_owned()),
            }),
        }
    }
    blocks
}
