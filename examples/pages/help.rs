//! Reads the text that `--help` prints.
//!
//! All commands' have one form: paragraphs, of which the first says what the command is for. A
//! paragraph that begins with a heading ("Exit status: ...") begins a section, and indented lines
//! after it are a table.

/// A help text, taken apart.
pub struct Help {
    /// What the command is for: one sentence.
    pub about: String,
    /// How it is called, one way a line.
    pub usage: Vec<String>,
    /// What has no heading.
    pub description: Vec<Block>,
    /// What has one.
    pub sections: Vec<(String, Vec<Block>)>,
}

/// A piece of text.
pub enum Block {
    /// Lines that belong together.
    Paragraph(String),
    /// A line of a table: what is explained, and the explanation.
    Entry(String, String),
    /// A line to be typed as it is.
    Literal(String),
}

/// Lines of a table begin left of this column; what is further to the right continues an
/// explanation.
const EXPLANATIONS: usize = 8;

impl Help {
    /// Takes a text apart.
    pub fn read(text: &str) -> Help {
        let (about, rest) = text.split_once("\n\n").unwrap_or((text, ""));
        let mut help =
            Help { about: about.to_owned(), usage: vec![], description: vec![], sections: vec![] };
        for paragraph in rest.split("\n\n").map(|paragraph| paragraph.trim_end()) {
            match heading(paragraph) {
                Some(("Usage", calls)) => {
                    help.usage = calls.lines().map(|call| call.trim().to_owned()).collect()
                }
                Some((heading, rest)) => help.sections.push((heading.to_owned(), blocks(rest))),
                None => help.description.extend(blocks(paragraph)),
            }
        }
        help
    }
}

/// One or two words and a colon, of which the first has a capital.
fn heading(paragraph: &str) -> Option<(&str, &str)> {
    let (heading, rest) = paragraph.split_once(':')?;
    let is_one = heading.starts_with(|first: char| first.is_ascii_uppercase())
        && heading.chars().all(|c| c.is_ascii_alphabetic() || c == ' ')
        && heading.split(' ').count() <= 2;
    is_one.then(|| (heading, rest.strip_prefix(' ').unwrap_or(rest)))
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
            // What is explained needs the whole line.
            Some(last @ Block::Literal(_)) if indent >= EXPLANATIONS => {
                if let Block::Literal(explained) = last {
                    *last = Block::Entry(std::mem::take(explained), words.to_owned());
                }
            }
            _ => blocks.push(match words.split_once("  ") {
                Some((explained, explanation)) => {
                    Block::Entry(explained.to_owned(), explanation.trim_start().to_owned())
                }
                None => Block::Literal(words.to_owned()),
            }),
        }
    }
    blocks
}
