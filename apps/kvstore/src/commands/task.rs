//! Commands that are done in pieces.
//!
//! A command on many keys would have all other clients wait. So it does a piece in one turn and goes on in the next
//! ones, until its reply is there; its client's later requests wait for it, and other clients' do not. What it changes
//! is durable piece by piece, and others see it piece by piece: only what one turn does is one step.

use pmem::Medium;

use super::failure::{Failure, REPLY_TOO_LONG};
use super::scan::Walk;
use super::{Context, Request};
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
    /// The parts of its reply that are there already.
    pub collected: Vec<u8>,
}

impl Task {
    /// Bytes of memory that it holds.
    pub fn memory(&self) -> usize {
        self.collected.capacity() + self.walk.memory()
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
        let mut task = self.resume();
        let keys = request.len() - 1;
        loop {
            let end = (task.done + size).min(keys);
            let range = 1 + task.done..1 + end;
            piece(self, &mut task, range.clone())?;
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

    /// Refuses a reply that has become too long: what the task has collected, and what was written since `start`.
    pub fn check_reply(&self, task: &Task, start: usize) -> Result<(), Failure> {
        let written = task.collected.len() + self.reply.position() - start;
        if written > self.state.limits.reply { Err(REPLY_TOO_LONG) } else { Ok(()) }
    }

    /// Ends a piece of a command that collects its reply, of which this turn's part was written from `start` on: puts
    /// the head that `head` writes and the other turns' parts before it, if the command is `done`, or else keeps it.
    pub fn collected(&mut self, done: Option<Task>, start: usize, head: impl FnOnce(&mut Reply<'_>, &Task)) {
        match (done, self.task.as_mut()) {
            (Some(task), _) => self.reply.before(start, |reply| {
                head(reply, &task);
                reply.raw(&task.collected);
            }),
            (None, Some(task)) => self.reply.move_to(start, &mut task.collected),
            (None, None) => {}
        }
    }
}
