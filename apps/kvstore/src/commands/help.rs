//! What `HELP` of a command with subcommands answers.

use crate::resp::Reply;

/// The reply of a container's `HELP`, in Redis's form: what can be asked, and what that does, in one line or more.
pub fn reply_help(reply: &mut Reply<'_>, container: &str, subcommands: &[(&str, &str)]) {
    let help = [("HELP", "Prints this help.")];
    let start = reply.position();
    let mut lines = 1;
    reply.status(&format!("{container} <subcommand> [<arg> [value] [opt] ...]. Subcommands are:"));
    for (name, text) in subcommands.iter().chain(&help) {
        reply.status(name);
        text.lines().for_each(|line| reply.status(&format!("    {line}")));
        lines += 1 + text.lines().count();
    }
    reply.before(start, |reply| reply.array(lines));
}
