//! The pages of the account daemon's lists, glexec-accounts(5) and glexec-clients(5).

use root::accounts::clients::Clients;
use root::accounts::list::AccountList;

use crate::help::{Block, Help};

const TRUST: &str = "The file must be a regular file of root's with mode 0600, and no other user \
     may be able to replace it or a directory of its path; no part of the path may be a symbolic \
     link. It has at most 1 MiB and 100000 entries. The daemon reads it again when it has changed. \
     A line that is not understood is an error that the system log names, with its number; the \
     daemon goes on with the list that it has. A daemon that starts needs a list without such a \
     line.";

const WORDS: &str = "Blanks separate words. A comment begins with # at the beginning of a word. \
     Blank lines are ignored.";

/// The page of the accounts.
pub fn accounts() -> Help {
    let description = [
        "Each line has the name of an account, and its owner if it has one. glexec_accounts(8) \
         changes the file; an editor can, too.",
        "An account with an owner is leased for that owner only, with several payloads at once if \
         it asks for them. The account may be its login: at the end of a lease no more than its \
         payloads is ended. An account without an owner is a guest account. It is leased to one \
         credential of one client at a time; when the lease ends, all processes of the account are \
         ended, and what it has left in public places is removed.",
        TRUST,
    ];
    let form = [
        WORDS,
        "The owner is the subject of a proxy, in double quotes; in the quotes, \\\" and \\\\ stand \
         for one character, and \\x41 for the byte with that hexadecimal number. /E= and /Email= \
         are compared as /emailAddress=, and /USERID= as /UID=. Or it is the name of an account: \
         then it is the owner if it calls with a credential that is no proxy (mapping = caller, \
         glexec.conf(5)).",
        "An account must not be there twice. One that does not exist, or may not be a target \
         (min_uid, min_gid; root never may), or has the user id of another one before it, is not \
         leased; glexec_accounts list says so.",
    ];
    let example = "guest01\nguest02\nalice \"/C=XX/O=Grid/CN=Alice Example\"\ncms condor";
    help(
        "The accounts that the account daemon leases.",
        AccountList::PATH,
        &description,
        &form,
        example,
    )
}

/// The page of the clients.
pub fn clients() -> Help {
    let description = [
        "Each line has one user that the account daemon serves: the batch system's account, or \
         that of a pilot. The user must also be able to connect to the socket, as a member of its \
         group. glexec_accounts allow does both.",
        "The kernel tells the daemon the user of a connection. Root is served only if a line names \
         it.",
        TRUST,
    ];
    let form = [WORDS, "A user is a name or a user id. It must not be there twice."];
    help(
        "The users that the account daemon serves.",
        Clients::PATH,
        &description,
        &form,
        "condor\n4711",
    )
}

fn help(about: &str, path: &str, description: &[&str], form: &[&str], example: &str) -> Help {
    let paragraph = |text: &&str| Block::Paragraph((*text).to_owned());
    Help {
        about: about.to_owned(),
        usage: vec![path.to_owned()],
        description: description.iter().map(paragraph).collect(),
        sections: vec![
            ("Syntax".to_owned(), form.iter().map(paragraph).collect()),
            ("Example".to_owned(), vec![Block::Literal(example.to_owned())]),
        ],
    }
}
