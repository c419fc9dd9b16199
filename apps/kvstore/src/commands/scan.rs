//! Walking through the keys.

use pmem::Medium;

use super::arguments::{Options, integer, is};
use super::failure::{Failure, Outcome, SYNTAX};
use super::task::Task;
use super::{Context, Request};
use crate::budget;
use crate::glob::{LONGEST, Pattern};
use crate::number;

/// Keys that are asked of the pool at a time.
const STEP: usize = 128;
/// What passing the empty parts of the pool's table costs in such a step, in bytes that could be moved meanwhile.
const BUCKETS: u64 = 2048;

/// How far a walk through the keys has come.
#[derive(Default)]
pub struct Walk {
    /// Where it goes on.
    cursor: u64,
    /// Keys that it has passed.
    passed: usize,
    /// Keys of them that it has found.
    found: usize,
    /// It has begun; a cursor of 0 is then the end.
    begun: bool,
    /// What the keys are to match, if not all do.
    pattern: Option<Pattern>,
}

impl Walk {
    /// A walk from a cursor on.
    fn new(cursor: u64, pattern: Option<&[u8]>) -> Result<Self, Failure> {
        let pattern = pattern.map(|pattern| Pattern::new(pattern, LONGEST)).transpose()?;
        Ok(Self { cursor, pattern, ..Self::default() })
    }

    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.pattern.as_ref().map_or(0, Pattern::memory)
    }

    fn is_over(&self, most: usize) -> bool {
        self.begun && (self.cursor == 0 || self.passed >= most)
    }
}

/// `KEYS pattern`
pub fn keys<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let pattern = request.get(1);
    let start = context.reply.position();
    let begin = || Walk::new(0, Some(pattern));
    let walked = walk(context, pattern.len(), usize::MAX, true, begin)?;
    context.collected(walked, start, |reply, task| reply.array(task.walk.found));
    Ok(())
}

/// `SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]`
pub fn scan<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let cursor = number::unsigned(request.get(1)).ok_or(Failure::text("ERR invalid cursor"))?;
    let (mut options, mut pattern, mut count, mut strings) = (Options::new(request, 2), None, 10, true);
    while let Some(option) = options.next() {
        if is(option, "COUNT") {
            count = integer(options.value()?)?;
            if count < 1 {
                return Err(SYNTAX);
            }
        } else if is(option, "MATCH") {
            pattern = Some(options.value()?);
        } else if is(option, "TYPE") {
            strings = is(options.value()?, "string");
        } else {
            return Err(SYNTAX);
        }
    }
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let start = context.reply.position();
    let walked = walk(context, pattern.map_or(0, <[u8]>::len), count, strings, || Walk::new(cursor, pattern))?;
    context.collected(walked, start, |reply, task| {
        reply.array(2);
        reply.bulk(task.walk.cursor.to_string().as_bytes());
        reply.array(task.walk.found);
    });
    Ok(())
}

/// Replies with the living keys among the next `most` that match, or with none unless they are `wanted`. In pieces:
/// `None` when the command has paused. `reading` is what it costs to `begin`.
fn walk<M: Medium>(
    context: &mut Context<'_, '_, M>,
    reading: usize,
    most: usize,
    wanted: bool,
    begin: impl FnOnce() -> Result<Walk, Failure>,
) -> Result<Option<Task>, Failure> {
    let start = context.reply.position();
    let mut task = context.resume();
    if !task.walk.begun {
        task.walk = begin()?;
        context.budget.charge(reading as u64);
    }
    loop {
        let cost = step(context, &mut task.walk, most, wanted)?;
        context.check_reply(&task, start)?;
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
    wanted: bool,
) -> Result<u64, Failure> {
    let (reply, state) = (&mut context.reply, &*context.state);
    let mut cost = BUCKETS;
    let count = STEP.min(most - walk.passed);
    walk.begun = true;
    walk.cursor = context.turn.scan(walk.cursor, count, |key, meta| {
        walk.passed += 1;
        cost += budget::KEY + walk.pattern.as_ref().map_or(0, |pattern| pattern.cost(key.len()));
        let matches = |pattern: &Pattern| pattern.matches(key);
        if wanted && !state.expired(meta) && walk.pattern.as_ref().is_none_or(matches) {
            reply.bulk(key);
            walk.found += 1;
        }
    })?;
    Ok(cost)
}
