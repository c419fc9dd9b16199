//! `SLOWLOG`: the commands that took long.
//!
//! What is measured is the execution of a command, in all its pieces if it has several, and the reading of its request:
//! the clock is looked at once a request, when it ends, and its time is what has passed since the one before it ended.
//! What it changes is committed together with what other commands of the turn change: that is no command's time.

use pmem::Medium;

use crate::clock::Nanos;
use crate::commands::arguments::is;
use crate::commands::failure::{Failure, Outcome};
use crate::commands::help::reply_help;
use crate::commands::{Context, Request};
use crate::number;

/// `SLOWLOG GET [count]`
pub fn get<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    const NO_COUNT: Failure = Failure::text("ERR count should be greater than or equal to -1");
    let count = match request.len() {
        2 => 10,
        3 => match number::integer(request.get(2)) {
            Some(-1) => usize::MAX,
            Some(count) => usize::try_from(count).map_err(|_| NO_COUNT)?,
            None => return Err(NO_COUNT),
        },
        _ => return Err(Failure::subcommand_syntax("SLOWLOG", request.get(1))),
    };
    let entries = context.shared.slow_log.entries().take(count);
    let reply = &mut context.reply;
    reply.array(entries.len());
    for entry in entries {
        reply.array(6);
        reply.integer(entry.id as i64);
        reply.integer(entry.time as i64);
        reply.integer((entry.took / 1000) as i64);
        reply.array(entry.arguments.len());
        entry.arguments.iter().for_each(|argument| reply.bulk(argument));
        reply.bulk(entry.address.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(())
}

/// `SLOWLOG LEN`
pub fn len<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.reply.integer(context.shared.slow_log.entries().len() as i64);
    Ok(())
}

/// `SLOWLOG RESET`
pub fn reset<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.shared.slow_log.clear();
    context.reply.ok();
    Ok(())
}

/// `SLOWLOG HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    reply_help(
        &mut context.reply,
        "SLOWLOG",
        &[
            (
                "GET [<count>]",
                "Return top <count> entries from the slowlog (default: 10, -1 mean all).\n\
                 Entries are made of:\n\
                 id, timestamp, time in microseconds, arguments array, client IP and port,\n\
                 client name",
            ),
            ("LEN", "Return the length of the slowlog."),
            ("RESET", "Reset the slowlog."),
        ],
    );
    Ok(())
}

/// Notes how long a request took that has been executed.
pub fn note<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>, took: Nanos) {
    let (shared, session) = (&mut *context.shared, &*context.session);
    if shared.slow_log.wants(took) {
        let shown = (0..request.len()).map(|at| if is_secret(request, at) { b"(redacted)" } else { request.get(at) });
        let client = (session.ends.peer.to_string(), &session.name[..]);
        shared.slow_log.log((shared.now_ms / 1000, took), shown, client);
    }
}

/// Parameters whose values are not told to others, as in Redis.
const SECRETS: [&str; 5] = ["masterauth", "masteruser", "requirepass", "tls-client-key-file-pass", "tls-key-file-pass"];

/// Whether an argument is a name or a password of a user, which are not told to others.
fn is_secret(request: Request<'_>, at: usize) -> bool {
    let follows_auth = |distance: usize| at > distance && is(request.get(at - distance), "AUTH");
    match request.get(0) {
        name if is(name, "AUTH") => at > 0,
        // Names and values take turns from the third word on.
        name if is(name, "CONFIG") && is(request.get(1), "SET") => {
            at > 2 && at % 2 == 1 && SECRETS.iter().any(|secret| is(request.get(at - 1), secret))
        }
        name if is(name, "HELLO") => follows_auth(1) || follows_auth(2),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Harness;

    #[test]
    fn slowlog_tells_the_latest_first() {
        let mut client = Harness::new();
        client.shared.slow_log.slower_than = -1;
        client.send("client setname me");
        client.send("config set slowlog-log-slower-than 0");
        client.send("set k v");
        client.send("auth default secret");
        client.send("hello 3 auth default secret");
        client.send("hello 2");
        assert_eq!(client.send("slowlog len"), ":5|");
        let entry = |id, arguments: &str| format!("*6|:{id}|:1700000000|:N|{arguments}|$11|127.0.0.1:1|$2|me|");
        // How long each took is not the same twice.
        let told = client.send("slowlog get -1");
        let parts = told.split('|').collect::<Vec<_>>();
        let mut shown: Vec<String> = parts.iter().map(|part| part.to_string()).collect();
        for at in 3..shown.len() {
            if shown[at - 1] == ":1700000000" {
                shown[at] = ":N".into();
            }
        }
        let expected = [
            "*6|".into(),
            entry(5, "*2|$7|slowlog|$3|len"),
            entry(4, "*2|$5|hello|$1|2"),
            entry(3, "*5|$5|hello|$1|3|$4|auth|$10|(redacted)|$10|(redacted)"),
            entry(2, "*3|$4|auth|$10|(redacted)|$10|(redacted)"),
            entry(1, "*3|$3|set|$1|k|$1|v"),
            entry(0, "*4|$6|config|$3|set|$23|slowlog-log-slower-than|$1|0"),
        ];
        assert_eq!(shown.join("|"), expected.concat());
        client.send("config set slowlog-log-slower-than -1 slowlog-max-len 3");
        for (line, reply) in [
            ("slowlog get 0", "*0|"),
            ("slowlog get -2", "-ERR count should be greater than or equal to -1|"),
            ("slowlog get x", "-ERR count should be greater than or equal to -1|"),
            ("slowlog get 1 2", "-ERR unknown subcommand or wrong number of arguments for 'get'. Try SLOWLOG HELP.|"),
            ("slowlog reset", "+OK|"),
            ("slowlog len", ":0|"),
        ] {
            assert_eq!(client.send(line), reply, "{line}");
        }
    }

    #[test]
    fn slowlog_does_not_tell_the_secrets_of_config_set() {
        let mut client = Harness::new();
        client.shared.slow_log.slower_than = 0;
        client.send("config set maxmemory-samples 6 RequirePass hush1 masterauth hush2 masteruser hush3");
        let told = client.send("slowlog get");
        assert!(!told.contains("hush"), "{told}");
        let kept = "|$3|set|$17|maxmemory-samples|$1|6|$11|RequirePass|$10|(redacted)|$10|masterauth|$10|(redacted)|";
        assert!(told.contains(kept), "{told}");
    }

    #[test]
    fn a_command_in_pieces_is_logged_once() {
        let mut client = Harness::new();
        client.shared.slow_log.slower_than = -1;
        client.send("setbit k 7999999 1");
        client.send("config set slowlog-log-slower-than 0");
        client.send(&format!("bitop or r{}", " k".repeat(40)));
        assert_eq!(client.send("slowlog len"), ":2|");
        let told = client.send("slowlog get 2");
        assert!(told.contains("|*32|$5|bitop|"), "{told}");
        assert!(told.contains("|$23|... (12 more arguments)|"), "{told}");
        assert!(client.send("latency histogram bitop").starts_with("*2|$5|bitop|*4|$5|calls|:1|$14|histogram_usec|"));
    }
}
