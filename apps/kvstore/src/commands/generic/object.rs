//! `OBJECT`: how a value is kept. Here all are kept alike; the encodings are those that Redis would choose.

use pmem::Medium;

use crate::commands::failure::{Failure, Outcome};
use crate::commands::help::reply_help;
use crate::commands::lookup::is_string;
use crate::commands::{Context, Request};
use crate::number;

const NO_FREQUENCY: Failure = Failure::text(
    "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note that when switching between \
     policies at runtime LRU and LFU data will take some time to adjust.",
);
/// The longest string that Redis keeps together with its object, in bytes.
const EMBEDDED: u64 = 44;
/// The longest integer, in digits and sign.
const DIGITS: u64 = 20;

/// `OBJECT ENCODING key`: of a value that was set as a whole.
pub fn encoding<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let key = request.get(2);
    let Some(meta) = context.find(key)? else { return null(context) };
    if !is_string(&meta) {
        // What Redis says of an encoding that it does not know.
        context.reply.bulk(b"unknown");
        return Ok(());
    }
    let mut value = Vec::new();
    if meta.len <= DIGITS {
        context.turn.get_range(key, 0, DIGITS, &mut value)?;
    }
    let encoding = match meta.len {
        _ if number::integer(&value).is_some() => "int",
        ..=EMBEDDED => "embstr",
        _ => "raw",
    };
    context.reply.bulk(encoding.as_bytes());
    Ok(())
}

/// `OBJECT REFCOUNT key`: no value is shared.
pub fn refcount<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    match context.exists(request.get(2))? {
        false => return null(context),
        true => context.reply.integer(1),
    }
    Ok(())
}

/// `OBJECT IDLETIME key`: nothing would need it, and it would have to be written at every read.
pub fn idletime<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    match context.exists(request.get(2))? {
        false => null(context),
        true => Err(Failure::text("ERR idle time not tracked: keys are never evicted here")),
    }
}

/// `OBJECT FREQ key`: Redis tracks it for the eviction of keys only, and there is none here.
pub fn freq<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    match context.exists(request.get(2))? {
        false => null(context),
        true => Err(NO_FREQUENCY),
    }
}

fn null<M: Medium>(context: &mut Context<'_, '_, M>) -> Outcome {
    context.reply.null();
    Ok(())
}

/// `OBJECT HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    reply_help(
        &mut context.reply,
        "OBJECT",
        &[
            (
                "ENCODING <key>",
                "Return the kind of internal representation used in order to store the value\n\
                 associated with a <key>.",
            ),
            (
                "FREQ <key>",
                "Return the access frequency index of the <key>. The returned integer is\n\
                 proportional to the logarithm of the recent access frequency of the key.",
            ),
            (
                "IDLETIME <key>",
                "Return the idle time of the <key>, that is the approximated number of\n\
                 seconds elapsed since the last access to the key.",
            ),
            (
                "REFCOUNT <key>",
                "Return the number of references of the value associated with the specified\n\
                 <key>.",
            ),
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Harness;

    #[test]
    fn object_tells_of_strings_what_redis_does() {
        let mut client = Harness::new();
        let (embedded, raw) = ("x".repeat(44), "x".repeat(45));
        client.send(&format!("mset i 12345 n -9223372036854775808 z 0123 e {embedded} r {raw} l 9223372036854775808"));
        client.send("set empty \"\"");
        for (line, reply) in [
            ("object encoding i", "$3|int|"),
            ("object encoding n", "$3|int|"),
            ("object encoding l", "$6|embstr|"),
            ("object encoding z", "$6|embstr|"),
            ("object encoding empty", "$6|embstr|"),
            ("object encoding e", "$6|embstr|"),
            ("object encoding r", "$3|raw|"),
            ("object encoding nothing", "$-1|"),
            ("object refcount r", ":1|"),
            ("object refcount nothing", "$-1|"),
            ("object freq nothing", "$-1|"),
            ("object idletime nothing", "$-1|"),
            ("object idletime r", "-ERR idle time not tracked: keys are never evicted here|"),
            ("object nonsense r", "-ERR unknown subcommand 'nonsense'. Try OBJECT HELP.|"),
            ("object encoding", "-ERR wrong number of arguments for 'object|encoding' command|"),
            ("object", "-ERR wrong number of arguments for 'object' command|"),
        ] {
            assert_eq!(client.send(line), reply, "{line}");
        }
        assert!(client.send("object freq r").starts_with("-ERR An LFU maxmemory policy is not selected, access"));
    }
}
