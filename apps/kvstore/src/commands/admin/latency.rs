//! `LATENCY`: how long commands take.

use std::collections::BTreeSet;
use std::fmt::Write;

use pmem::Medium;

use crate::budget;
use crate::commands::arguments::is;
use crate::commands::failure::Outcome;
use crate::commands::help::reply_help;
use crate::commands::table::Command;
use crate::commands::{Context, Request};
use crate::latency::{Event, Histogram, Sample};
use crate::resp::Reply;

/// `LATENCY LATEST`
pub fn latest<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    let (events, reply) = (context.shared.latency.events(), &mut context.reply);
    reply.array(events.len());
    for (name, event) in events {
        let (time, millis) = event.samples.back().copied().unwrap_or_default();
        reply.array(4);
        reply.bulk(name.as_bytes());
        [time, millis, event.longest].into_iter().for_each(|number| reply.integer(number as i64));
    }
    Ok(())
}

/// `LATENCY HISTORY event`
pub fn history<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let event = context.shared.latency.events().find(|(name, _)| name.as_bytes() == request.get(2));
    let samples: Vec<Sample> = event.iter().flat_map(|(_, event)| event.samples.iter().copied()).collect();
    context.reply.array(samples.len());
    for (time, millis) in samples {
        context.reply.array(2);
        context.reply.integer(time as i64);
        context.reply.integer(millis as i64);
    }
    Ok(())
}

/// `LATENCY RESET [event ...]`
pub fn reset<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let all = request.len() == 2;
    let forgotten = context.shared.latency.forget(|event| all || request.from(2).any(|name| is(name, event)));
    context.reply.integer(forgotten as i64);
    Ok(())
}

/// `LATENCY HISTOGRAM [command ...]`
pub fn histogram<M: Medium + 'static>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    // However often a command is named, it is noted once: there are not many.
    let mut wanted = BTreeSet::new();
    for command in request.from(2).filter_map(Command::<M>::fully_named) {
        if wanted.insert(command.full_name) {
            wanted.extend(command.subcommands.iter().map(|command| command.full_name));
        }
    }
    context.budget.charge(request.len() as u64 * budget::KEY);
    let known = context.shared.latency.commands();
    let found: Vec<(&str, &Histogram)> =
        known.filter(|(name, _)| request.len() == 2 || wanted.contains(name)).collect();
    context.reply.map(found.len());
    for (name, histogram) in found {
        context.reply.bulk(name.as_bytes());
        describe(&mut context.reply, histogram);
    }
    Ok(())
}

fn describe(reply: &mut Reply<'_>, histogram: &Histogram) {
    let classes = histogram.cumulated();
    reply.map(2);
    reply.bulk(b"calls");
    reply.integer(histogram.calls() as i64);
    reply.bulk(b"histogram_usec");
    reply.map(classes.clone().count());
    for (micros, calls) in classes {
        reply.integer(micros as i64);
        reply.integer(calls as i64);
    }
}

/// `LATENCY DOCTOR`
pub fn doctor<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    let latency = &context.shared.latency;
    let text = match latency.events().len() {
        0 if latency.threshold == 0 => "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis \
            instance. You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it. If we \
            weren't in a deep space mission I'd suggest to take a look at https://redis.io/topics/latency-monitor.\n"
            .into(),
        0 => "Dave, no latency spike was observed during the lifetime of this Redis instance, not in the slightest \
            bit. I honestly think you ought to sit down calmly, take a stress pill, and think things over.\n"
            .into(),
        _ => report(latency.events()),
    };
    context.reply.text(&text);
    Ok(())
}

/// What there was, for people. Redis's advice on disks, forks and huge pages has no object here.
fn report<'a>(events: impl Iterator<Item = (&'static str, &'a Event)>) -> String {
    let mut text =
        "Dave, I have observed latency spikes in this Redis instance. You don't mind talking about it, do you \
        Dave?\n\n"
            .to_string();
    for (number, (name, event)) in events.enumerate() {
        let millis = || event.samples.iter().map(|(_, millis)| *millis);
        let count = event.samples.len() as u64;
        let average = millis().sum::<u64>() / count.max(1);
        let deviation = millis().map(|millis| millis.abs_diff(average)).sum::<u64>() / count.max(1);
        let first = event.samples.front().map_or(0, |(time, _)| *time);
        let last = event.samples.back().map_or(0, |(time, _)| *time);
        let period = last.saturating_sub(first) as f64 / count.max(1) as f64;
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "{}. {name}: {count} latency spikes (average {average}ms, mean deviation {deviation}ms, period {period:.2} \
             sec). Worst all time event {}ms.",
            number + 1,
            event.longest
        );
    }
    text.push_str(
        "\nI have a few advices for you:\n\n- Check your Slow Log to understand what are the commands you are running \
         which are too slow to execute. Please check https://redis.io/commands/slowlog for more information.\n",
    );
    text
}

/// `LATENCY HELP`
pub fn help<M: Medium>(context: &mut Context<'_, '_, M>, _: Request<'_>) -> Outcome {
    reply_help(
        &mut context.reply,
        "LATENCY",
        &[
            ("DOCTOR", "Return a human readable latency analysis report."),
            ("HISTORY <event>", "Return time-latency samples for the <event> class."),
            ("LATEST", "Return the latest latency samples for all events."),
            (
                "RESET [<event> ...]",
                "Reset latency data of one or more <event> classes.\n\
                 (default: reset all data for all event classes)",
            ),
            (
                "HISTOGRAM [COMMAND ...]",
                "Return a cumulative distribution of latencies in the format of a histogram for the specified command \
                 names.\nIf no commands are specified then all histograms are replied.",
            ),
        ],
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::by_command::Id;
    use crate::commands::table::Command;
    use crate::testing::{Harness, Memory};

    fn id(name: &str) -> Id {
        Command::<Memory>::named(name.as_bytes()).unwrap().id()
    }

    #[test]
    fn latency_tells_of_events() {
        let mut client = Harness::new();
        assert!(client.send("latency doctor").contains("Latency monitoring is disabled in this Redis instance."));
        assert_eq!(client.send("config set latency-monitor-threshold 100"), "+OK|");
        assert!(client.send("latency doctor").contains("Dave, no latency spike was observed"));
        for (second, millis) in [(10, 100), (12, 300), (12, 200)] {
            client.shared.latency.note(id("keys"), false, second, millis * 1_000_000);
        }
        client.shared.latency.note(id("get"), true, 13, 150_000_000);
        for (line, reply) in [
            ("latency latest", "*2|*4|$7|command|:12|:300|:300|*4|$12|fast-command|:13|:150|:150|"),
            ("latency history command", "*2|*2|:10|:100|*2|:12|:300|"),
            ("latency history nothing", "*0|"),
            ("latency reset nothing FAST-command", ":1|"),
            ("latency latest", "*1|*4|$7|command|:12|:300|:300|"),
        ] {
            assert_eq!(client.send(line), reply, "{line}");
        }
        let told = client.send("latency doctor");
        let line = "1. command: 2 latency spikes (average 200ms, mean deviation 100ms, period 1.00 sec). Worst all time \
                    event 300ms.";
        assert!(told.contains(line), "{told}");
        assert_eq!(client.send("latency reset"), ":1|");
    }

    #[test]
    fn latency_histogram_counts_calls_of_commands_and_of_subcommands() {
        let mut client = Harness::new();
        for line in ["get k", "get k", "get", "client id", "client getname"] {
            client.send(line);
        }
        client.send("config set latency-tracking no");
        client.send("hello 3");
        let told = client.send("latency histogram get client nothing set");
        let calls: Vec<&str> = told.split("|$5|calls|").skip(1).map(|part| &part[..2]).collect();
        assert!(told.starts_with("%3|$14|client|getname|%2|$5|calls|:1|$14|histogram_usec|%1|:"), "{told}");
        assert_eq!(calls, [":1", ":1", ":2"]);
        assert!(client.send("latency histogram").starts_with("%3|"));
        let again = client.send(&format!("latency histogram get{}", " client client|id get".repeat(1000)));
        assert_eq!(again, client.send("latency histogram get client"), "each is told once");
        client.send("config resetstat");
        assert_eq!(client.send("latency histogram"), "%0|");
    }
}
