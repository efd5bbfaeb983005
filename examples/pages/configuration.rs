//! The page of the configuration, glexec.conf(5): the keys from their table, and the form of the
//! files that they name.

use root::config::keys::{self, Key};

use crate::help::{Block, Help};

/// The page as a help text.
pub fn help() -> Help {
    let about = "Configuration of glexec where it has root's rights.".to_owned();
    let usage = [root::config::FILE.to_owned(), format!("{}/*.conf", root::config::DROP_INS)];
    let (without, with): (Vec<&Key>, Vec<&Key>) =
        keys::all().partition(|key| key.is_without_effect());
    let mut ignored = vec![paragraph(
        "These keys of gLExec are accepted, so that its file can stay as it is, but they do \
         nothing; glexec --check-config names them.",
    )];
    ignored.extend(without.into_iter().map(entry));
    let sections = vec![
        ("Syntax".to_owned(), SYNTAX.map(paragraph).into()),
        ("Keys".to_owned(), with.into_iter().map(entry).collect()),
        ("Ignored keys".to_owned(), ignored),
        ("Files".to_owned(), FILES.map(|(name, text)| row(name, text)).into()),
        ("Pool accounts".to_owned(), POOLS.map(paragraph).into()),
        ("Accounts".to_owned(), vec![paragraph(ACCOUNTS)]),
    ];
    Help { about, usage: usage.into(), description: DESCRIPTION.map(paragraph).into(), sections }
}

const DESCRIPTION: [&str; 3] = [
    "A glexec that is installed set-user-ID root, and the account daemon, read this \
     configuration. It is that of gLExec, with some keys added. A glexec without root's rights \
     does not read it.",
    "The files and all directories on their paths must belong to root, and no other user may be \
     able to write to them, also not by an access control list; no part of a path may be a \
     symbolic link. The configuration itself may belong to an account named glexec instead, if \
     its directory belongs to root. The same rule, without that exception, applies to all files \
     that the configuration names. If it is broken, or if the first file does not exist, or if a \
     line is wrong, no command runs, and the status is 202.",
    "glexec --check-config names file, line and key of all that is wrong or has no effect.",
];

const SYNTAX: [&str; 4] = [
    "A line is key = value, or blank. Only lines before the first section header and those of the \
     section [glexec] are read; other sections are ignored.",
    "A comment begins with # at the beginning of a line or after a blank. A value in double or \
     single quotes keeps its blanks and #.",
    "A key that is not known is an error; so is a key that a file has twice. The files of the \
     directory are read in the order of their names after the first file, and a key in a later \
     file replaces that of an earlier one. Files whose names begin with a dot, or do not end with \
     .conf, are not read.",
    "A file has at most 1 MiB. The value yes or no can be written in any case; all other words \
     are as they are shown here.",
];

const FILES: [(&str, &str); 3] = [
    (
        "grid_mapfile",
        "Lines \"subject\" account[,account...]. The subject is in the form /C=.../O=.../CN=...; \
         in the quotes, \\\" and \\\\ stand for one character, and \\x41 for the byte with that \
         hexadecimal number. An account is a name, or .prefix for an account of a pool. The first \
         line that matches counts. Of several accounts the first is used, or the one after it if \
         it is a pool without a free account. /E= and /Email= are compared as /emailAddress=, and \
         /USERID= as /UID=. A line that is not understood before that line is an error.",
    ),
    (
        "ban_file",
        "A subject on each line, with or without quotes. A * stands for any text. What follows a \
         quoted subject is ignored. A line that is not understood is an error for all subjects.",
    ),
    (
        "caller_map",
        "Lines account path-prefix target. Credentials of the calling account whose path is the \
         prefix, or is below it, have the target, which is the name of an account, or .prefix for \
         an account of a pool. The longest prefix counts. The paths of credentials are compared \
         after symbolic links in them were resolved. A word with blanks is in quotes, as in \
         grid_mapfile.",
    ),
];

const POOLS: [&str; 3] = [
    "gridmapdir has an empty file for each account of a pool. A pool .prefix has the accounts \
     whose names are the prefix and digits. A lease is a hard link to that file. The name of a \
     subject's link is the subject, letters in lower case, and each byte that is neither letter \
     nor digit as % and two hexadecimal digits. Other software that uses this protocol can share \
     the directory. Of the free accounts, the one whose lease ended first is leased. A subject's \
     lease stays until an administrator removes the link; the modification time says when it was \
     last used.",
    "With mapping = caller, the link is named %glexec: and the account. The file says to which \
     user, credential and machine it is leased. The lease ends by itself when the credential is \
     gone and no call uses it: the next call of the same user, or of any user if no account is \
     free, kills what is left of the account's processes and removes the link.",
    "glexec locks the file .glexec.lock in the directory.",
];

const ACCOUNTS: &str = "\
     Accounts and groups are those of /etc/passwd and /etc/group. Other accounts are asked from \
     getent(1), which runs as nobody, has 10 seconds, and must answer. An account of /etc/passwd \
     has the supplementary groups of /etc/group only.";

fn paragraph(text: &str) -> Block {
    Block::Paragraph(text.to_owned())
}

fn entry(key: &Key) -> Block {
    let default = match key.default {
        "" => String::new(),
        default => format!(" Default: {default}."),
    };
    row(&format!("{} = {}", key.name, key.value), &format!("{}{default}", key.text))
}

fn row(name: &str, text: &str) -> Block {
    Block::Entry(name.to_owned(), text.to_owned())
}
