//! Commands that are done in pieces.
//!
//! A command on many keys would have all other clients wait. So it does a piece in one turn and goes on in the next
//! ones, until its reply is there; its client's later requests wait for it, and other clients' do not. What it changes
//! is durable piece by piece, and others see it piece by piece: only what one turn does is one step.

use pmem::Medium;

use super::failure::{Failure, REPLY_TOO_LONG};
use super::generic::Walk;
use super::{Context, Request};
use crate::memory::Buffer;
use crate::resp::Reply;

/// How far a command has come that is done in pieces.
#[derive(Default)]
pub struct Task {
    /// How many of its keys are done.
    pub done: usize,
    /// Keys that it has found or changed.
    pub count: usize,
    /// Where it stands, if it walks through all keys.
    pub walk: Walk,
    /// The value that it makes, if it does.
    pub result: Option<Buffer>,
    /// Bytes of its reply that have been written: they wait behind the seal for the others.
    pub written: usize,
}

impl Task {
    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.walk.memory() + self.result.as_ref().map_or(0, Buffer::memory)
    }
}

/// How far a request has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// It is answered, or its client is to be closed.
    Done,
    /// It goes on in another turn.
    Paused,
}

impl<M: Medium> Context<'_, '_, M> {
    /// Takes up the command where the last turn left it, or at its beginning.
    pub fn resume(&mut self) -> Task {
        self.task.take().unwrap_or_default()
    }

    /// Leaves the command for another turn.
    pub fn pause(&mut self, task: Task) {
        *self.task = Some(task);
    }

    /// Counts a piece of work, in bytes beside those that the pool has moved. Says whether the command is to pause, if
    /// it can.
    pub fn worked(&mut self, work: u64) -> bool {
        self.budget.charge(work);
        self.budget.count_moved(self.turn.moved());
        self.budget.is_spent()
    }

    /// Does `piece` for `size` of the request's keys at a time, from where the last turn left. `None` when the command
    /// has paused.
    pub fn in_pieces(
        &mut self,
        request: Request<'_>,
        size: usize,
        mut piece: impl FnMut(&mut Self, &mut Task, std::ops::Range<usize>) -> Result<(), Failure>,
    ) -> Result<Option<Task>, Failure> {
        let resumed = self.task.is_some();
        let mut task = self.resume();
        let (keys, begun) = (request.len() - 1, task.done);
        loop {
            let end = (task.done + size).min(keys);
            let range = 1 + task.done..1 + end;
            let written = self.reply.position();
            let outcome = piece(self, &mut task, range.clone()).and_then(|()| Ok(self.reply.check()?));
            if let Err(failure) = outcome {
                self.reply.rewind(written);
                let done = task.done > begun;
                return self.fall_short(failure, task, resumed, done);
            }
            task.done = end;
            let pauses = self.worked(range.len() as u64 * crate::budget::KEY);
            if task.done == keys {
                return Ok(Some(task));
            }
            if pauses {
                self.pause(task);
                return Ok(None);
            }
        }
    }

    /// Ends a piece for want of memory, or for another `failure`. What is `done` is done, and the rest is tried again
    /// later. If nothing is, the task is as it was, so that it can be taken up once more.
    pub fn fall_short(
        &mut self,
        failure: Failure,
        task: Task,
        resumed: bool,
        done: bool,
    ) -> Result<Option<Task>, Failure> {
        if failure.is_no_memory() && (done || resumed) {
            self.pause(task);
        }
        if failure.is_no_memory() && done { Ok(None) } else { Err(failure) }
    }

    /// Where the reply begins: what earlier turns have written of it is there already.
    pub fn reply_start(&self) -> usize {
        self.reply.position() - self.task.as_ref().map_or(0, |task| task.written)
    }

    /// Refuses a reply that began at `start` and has become too long.
    pub fn check_reply(&self, start: usize) -> Result<(), Failure> {
        if self.reply.position() - start > self.shared.limits.reply { Err(REPLY_TOO_LONG) } else { Ok(()) }
    }

    /// Ends a piece of a command whose reply, with a head, began at `start`: puts the head that `head` writes before it
    /// if the command is `done`, or else keeps what is there.
    pub fn collected(&mut self, done: Option<Task>, start: usize, head: impl FnOnce(&mut Reply<'_>, &Task)) {
        match (done, self.task.as_mut()) {
            (Some(task), _) => self.reply.before(start, |reply| head(reply, &task)),
            (None, Some(task)) => task.written = self.reply.position() - start,
            (None, None) => {}
        }
    }
}
