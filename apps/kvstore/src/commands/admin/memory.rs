//! `MEMORY`: what keys and clients take.

use pmem::Medium;

use crate::commands::arguments::{RequestOptions, integer, is};
use crate::commands::failure::{Outcome, SYNTAX};
use crate::commands::help::reply_help;
use crate::commands::{Context, Request};

/// `MEMORY USAGE key [SAMPLES count]`: the record in the pool, and a key's average part of the index in DRAM.
pub fn usage<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let mut options = RequestOptions::new(request, 3);
    while let Some(option) = options.next() {
        // A string has nothing to take samples of.
        if !is(option, "SAMPLES") || integer(options.value()?)? < 0 {
            return Err(SYNTAX);
        }
    }
    let key = request.get(2);
    match context.find(key)? {
        None => context.reply.null(),
        Some(meta) => {
            let pool = &context.shared.pool;
            let record = pmem::pool::record_bytes(key.len(), meta);
            context.reply.integer((record + pool.index_bytes / pool.keys.max(1)) as i64);
        }
    }
    Ok(())
}

/// `MEMORY STATS`: the fields of Redis's that mean something here.
pub fn stats<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    let (shared, reply) = (&*context.shared, &mut context.reply);
    let pool = &shared.pool;
    let overhead = pool.index_bytes + pool.other_bytes + shared.memory.used() as u64;
    let fields = [
        ("peak.allocated", shared.statistics.peak_bytes),
        ("total.allocated", pool.live_bytes),
        ("clients.normal", shared.memory.used() as u64),
        ("overhead.total", overhead),
        ("keys.count", pool.keys),
        ("keys.bytes-per-key", pool.live_bytes / pool.keys.max(1)),
        ("dataset.bytes", pool.live_bytes),
    ];
    reply.map(fields.len());
    for (name, value) in fields {
        reply.bulk(name.as_bytes());
        reply.integer(value as i64);
    }
    Ok(())
}

/// `MEMORY DOCTOR`
pub fn doctor<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    let shared = &*context.shared;
    let pool = &shared.pool;
    let mut problems = Vec::new();
    if pool.live_bytes > pool.capacity_bytes / 10 * 9 {
        problems.push("The pool is nearly full: remove keys, or move them to a larger one.");
    }
    if shared.memory.used() > shared.limits.memory / 10 * 9 {
        problems.push("Clients' requests and replies take nearly all the memory that they may.");
    }
    if pool.quarantined_bytes > 0 {
        problems.push("Parts of the pool are set aside because they are damaged: `cargo xtask pool check` names them.");
    }
    let text = match problems.is_empty() {
        true => {
            "Hi Sam, I can't find any memory issue in your instance. I can only account for what occurs on this base.\n"
                .into()
        }
        false => format!(
            "Sam, I detected a few issues in this Redis instance memory implants:\n\n * {}\n",
            problems.join("\n * ")
        ),
    };
    context.reply.text(&text);
    Ok(())
}

/// `MEMORY PURGE`: gives back what is kept for the next commands.
pub fn purge<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.shared.value = Vec::new();
    context.reply.ok();
    Ok(())
}

/// `MEMORY MALLOC-STATS`
pub fn malloc_stats<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    context.reply.bulk(b"Stats not supported for the current allocator");
    Ok(())
}

/// `MEMORY HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    reply_help(
        &mut context.reply,
        "MEMORY",
        &[
            ("DOCTOR", "Return memory problems reports."),
            ("MALLOC-STATS", "Return internal statistics report from the memory allocator."),
            ("PURGE", "Attempt to purge dirty pages for reclamation by the allocator."),
            ("STATS", "Return information about the memory usage of the server."),
            (
                "USAGE <key> [SAMPLES <count>]",
                "Return memory in bytes used by <key> and its value. Nested values are\n\
                 sampled up to <count> times (default: 5, 0 means sample all).",
            ),
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::Harness;

    fn number(reply: &str) -> u64 {
        reply.trim_matches([':', '|']).parse().unwrap_or_else(|_| panic!("{reply}"))
    }

    #[test]
    fn memory_usage_is_what_the_pool_and_the_index_take() {
        let mut client = Harness::new();
        client.send(&format!("set key {}", "x".repeat(1000)));
        let usage = number(&client.send("memory usage key"));
        let pool = client.pool.stats();
        assert_eq!(usage, pool.live_bytes + pool.index_bytes);
        assert_eq!(number(&client.send("memory usage key samples 5")), usage);
        client.send("expire key 100");
        assert_eq!(number(&client.send("memory usage key")), usage + 8);
        for (line, reply) in [
            ("memory usage nothing", "$-1|"),
            ("memory usage key samples", "-ERR syntax error|"),
            ("memory usage key samples -1", "-ERR syntax error|"),
            ("memory usage key samples x", "-ERR value is not an integer or out of range|"),
            ("memory purge", "+OK|"),
            ("memory malloc-stats", "$45|Stats not supported for the current allocator|"),
        ] {
            assert_eq!(client.send(line), reply, "{line}");
        }
        assert!(client.send("memory stats").contains("|$10|keys.count|:1|"));
    }

    #[test]
    fn memory_doctor_finds_a_pool_that_is_nearly_full() {
        let mut client = Harness::new();
        assert!(client.send("memory doctor").contains("Hi Sam, I can't find any memory issue"));
        let value = "x".repeat(50_000);
        for n in 0.. {
            if client.send(&format!("set {n} {value}")).starts_with("-OOM") {
                break;
            }
        }
        let told = client.send("memory doctor");
        assert!(told.contains("* The pool is nearly full"), "{told}");
    }
}
