//! Walking through the keys.

use pmem::{Medium, Meta};

use crate::budget;
use crate::commands::arguments::{RequestOptions, integer, is};
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::lookup::type_name;
use crate::commands::task::Task;
use crate::commands::{Context, Request};
use crate::glob::{LONGEST, Pattern};
use crate::memory::Memory;
use crate::number;

/// Keys that are asked of the pool at a time.
const STEP: usize = 128;
/// What passing the empty parts of the pool's table costs in such a step, in bytes that could be moved meanwhile.
const BUCKETS: u64 = 2048;

/// How far a walk through the keys has come.
#[derive(Clone, Copy, Default)]
struct Place {
    /// Where it goes on.
    cursor: u64,
    /// Keys that it has passed.
    passed: usize,
    /// Keys of them that it has found.
    found: usize,
    /// It has begun; a cursor of 0 is then the end.
    begun: bool,
}

/// A walk through the keys.
#[derive(Default)]
pub struct Walk {
    place: Place,
    /// What the keys are to match, if not all do.
    pattern: Option<Pattern>,
}

impl Walk {
    /// A walk from a cursor on.
    fn new(cursor: u64, pattern: Option<&[u8]>, memory: &Memory) -> Result<Self, Failure> {
        let pattern = pattern.map(|pattern| Pattern::new(pattern, LONGEST, memory)).transpose()?;
        Ok(Self { place: Place { cursor, ..Place::default() }, pattern })
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.pattern.as_ref().map_or(0, Pattern::memory)
    }

    fn is_over(&self, most: usize) -> bool {
        self.place.begun && (self.place.cursor == 0 || self.place.passed >= most)
    }
}

/// `KEYS pattern`
pub fn keys<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let pattern = request.get(1);
    let start = context.reply_start();
    let memory = context.shared.memory.clone();
    let begin = || Walk::new(0, Some(pattern), &memory);
    let walked = walk(context, pattern.len(), usize::MAX, |_| true, begin)?;
    context.collected(walked, start, |reply, task| reply.array(task.walk.place.found));
    Ok(())
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub fn scan<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let cursor = number::unsigned(request.get(1)).ok_or(Failure::text("ERR invalid cursor"))?;
    let (mut options, mut pattern, mut count, mut wanted) = (RequestOptions::new(request, 2), None, 10, None);
    while let Some(option) = options.next() {
        if is(option, "COUNT") {
            count = integer(options.value()?)?;
            if count < 1 {
                return Err(SYNTAX);
            }
        } else if is(option, "MATCH") {
            pattern = Some(options.value()?);
        } else if is(option, "TYPE") {
            wanted = Some(options.value()?);
        } else {
            return Err(SYNTAX);
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let start = context.reply_start();
    let memory = context.shared.memory.clone();
    let begin = || Walk::new(cursor, pattern, &memory);
    let is_wanted = |meta| wanted.is_none_or(|name| is(name, type_name(meta)));
    let walked = walk(context, pattern.map_or(0, <[u8]>::len), count, is_wanted, begin)?;
    context.collected(walked, start, |reply, task| {
        reply.array(2);
        reply.bulk(task.walk.place.cursor.to_string().as_bytes());
        reply.array(task.walk.place.found);
    });
    Ok(())
}

/// Replies with the living keys among the next `most` that match and whose values are `wanted`. In pieces:
/// `None` when the command has paused. `reading` is what it costs to `begin`.
fn walk<M: Medium>(
    context: &mut Context<'_, '_, M>,
    reading: usize,
    most: usize,
    wanted: impl Fn(Meta) -> bool,
    begin: impl FnOnce() -> Result<Walk, Failure>,
) -> Result<Option<Task>, Failure> {
    let (start, resumed) = (context.reply_start(), context.task.is_some());
    let mut task = context.resume();
    if !task.walk.place.begun {
        task.walk = begin()?;
        context.budget.charge(reading as u64);
    }
    let mut done = false;
    loop {
        let (written, place) = (context.reply.position(), task.walk.place);
        let cost = step(context, &mut task.walk, most, &wanted)?;
        if let Err(failure) = context.reply.check() {
            context.reply.rewind(written);
            task.walk.place = place;
            return context.fall_short(failure.into(), task, resumed, done);
        }
        done = true;
        context.check_reply(start)?;
        let pauses = context.worked(cost);
        if task.walk.is_over(most) {
            return Ok(Some(task));
        }
        if pauses {
            context.pause(task);
            return Ok(None);
        }
    }
}

/// Walks past some keys. Returns what that cost beside what the pool has moved, in bytes.
fn step<M: Medium>(
    context: &mut Context<'_, '_, M>,
    walk: &mut Walk,
    most: usize,
    wanted: impl Fn(Meta) -> bool,
) -> Result<u64, Failure> {
    let (reply, shared) = (&mut context.reply, &*context.shared);
    let mut cost = BUCKETS;
    let count = STEP.min(most - walk.place.passed);
    let Walk { place, pattern } = walk;
    place.begun = true;
    place.cursor = context.turn.scan(place.cursor, count, |key, meta| {
        place.passed += 1;
        cost += budget::KEY + pattern.as_ref().map_or(0, |pattern| pattern.cost(key.len()));
        let matches = |pattern: &Pattern| pattern.matches(key);
        if !shared.expired(meta) && wanted(meta) && pattern.as_ref().is_none_or(matches) {
            reply.bulk(key);
            place.found += 1;
        }
    })?;
    Ok(cost)
}

#[cfg(test)]
mod tests {
    use crate::testing::Harness;

    #[test]
    fn keys_and_scan_ask_for_the_memory_of_their_pattern() {
        let mut client = Harness::new();
        let pattern = "a".repeat(60_000);
        for words in [&["keys", &pattern][..], &["scan", "0", "match", &pattern]] {
            let line = words.join(" ");
            let mut taken = client.shared.memory.charge();
            taken.grow(client.shared.memory.free() - (1 << 20)).unwrap();
            assert!(client.send(&line).starts_with("-OOM "), "{}", words[0]);
            drop(taken);
            assert!(client.send(&line).ends_with("*0|"), "{}", words[0]);
        }
        client.client.rest();
        assert_eq!(client.shared.memory.used(), client.client.memory());
    }
}
