//! One client without its socket: bytes in, requests executed, replies out.

use pmem::{Durable, Medium, Turn};

use super::outbox::Outbox;
use crate::budget::Budget;
use crate::commands::{self, Context, Failure, NO_MEMORY, Progress, REQUEST_TOO_LONG, TOO_LONG, Task};
use crate::memory::NoMemory;
use crate::resp::{Input, Parser, Step};
use crate::session::{Buffers, Closing, Others, Session};
use crate::shared::{ClientLimits, Shared};

/// A client's buffers and state.
pub struct Client {
    /// Bytes that have arrived.
    pub input: Input,
    /// Replies on their way.
    pub outbox: Outbox,
    /// What is known of it.
    pub session: Session,
    parser: Parser,
    /// How far the request has come that it asks for now, if that is done in pieces.
    task: Option<Task>,
    /// It had more to do in its last turn than it might.
    heavy: bool,
}

impl Client {
    /// A client that has just come.
    pub fn new(session: Session, shared: &Shared) -> Self {
        let memory = &shared.memory;
        Self {
            input: Input::new(memory),
            outbox: Outbox::new(memory),
            session,
            parser: Parser::new(shared.limits.parser, memory),
            task: None,
            heavy: false,
        }
    }

    /// Whether it reads its replies fast enough to be served.
    fn keeps_up(&self, limits: &ClientLimits) -> bool {
        self.whole_replies() < limits.backlog
    }

    /// Whether there is something to execute for it now.
    pub fn has_request(&mut self, limits: &ClientLimits) -> bool {
        self.session.closing.is_none()
            && self.keeps_up(limits)
            && !matches!(self.parser.step(&mut self.input), Ok(Step::Incomplete))
    }

    /// Whether it has asked for something that is not done yet.
    pub fn waits(&self) -> bool {
        self.task.is_some() || self.parser.has_more(&self.input)
    }

    /// Whether more bytes are wanted: everything that has arrived is executed, and its replies are not piling up.
    pub fn wants_input(&mut self, limits: &ClientLimits) -> bool {
        self.session.closing.is_none()
            && self.keeps_up(limits)
            && matches!(self.parser.step(&mut self.input), Ok(Step::Incomplete))
    }

    /// Room for what arrives. `None`: there is no memory for it, but first it is to be served what has arrived.
    pub fn room(&mut self, limits: &ClientLimits) -> Result<Option<&mut [u8]>, NoMemory> {
        let mut wanted = self.parser.wanted(&self.input);
        if self.input.room(wanted).is_err() {
            // The parser has not looked at what arrived last.
            if !self.wants_input(limits) {
                return Ok(None);
            }
            wanted = self.parser.wanted(&self.input);
        }
        self.input.room(wanted).map(Some)
    }

    /// Whether it goes behind the others in the next turn, for it had a lot to do in the last one.
    pub fn is_heavy(&self) -> bool {
        self.heavy
    }

    /// It got nothing of a turn: in the next one it is as good as the others.
    pub fn was_left_out(&mut self) {
        self.heavy = false;
    }

    /// There is no room for what arrives: it is dropped, and answered at its end. False: that cannot be.
    pub fn refuse_input(&mut self) -> bool {
        self.parser.refuse_for_memory(&mut self.input)
    }

    /// Executes its complete requests, as far as its `share` of the turn's budget goes. The replies stay sealed.
    /// Without memory for a request it stays the next one.
    pub fn execute<M: Medium + 'static>(
        &mut self,
        turn: &mut Turn<'_, M>,
        shared: &mut Shared,
        others: &mut dyn Others,
        share: &mut Budget,
    ) -> Result<(), NoMemory> {
        self.session.active_ms = shared.now_ms;
        let mut result = Ok(());
        while self.session.closing.is_none() && self.keeps_up(&shared.limits) && !share.is_spent() {
            match self.execute_one(turn, shared, others, share) {
                Ok(Progress::Done) => share.count_moved(turn.moved()),
                Ok(Progress::Paused) => break,
                Err(NoMemory) => {
                    share.count_moved(turn.moved());
                    result = Err(NoMemory);
                    break;
                }
            }
        }
        self.heavy = share.is_overworked();
        result
    }

    /// Executes a request, or the next piece of one. Paused: there is none, or it goes on in another turn.
    fn execute_one<M: Medium + 'static>(
        &mut self,
        turn: &mut Turn<'_, M>,
        shared: &mut Shared,
        others: &mut dyn Others,
        budget: &mut Budget,
    ) -> Result<Progress, NoMemory> {
        let step = self.parser.step(&mut self.input);
        if step == Ok(Step::Incomplete) {
            return Ok(Progress::Paused);
        }
        self.outbox.prepare()?;
        let reply = self.outbox.writer(self.session.protocol);
        let (session, task) = (&mut self.session, &mut self.task);
        let mut context = Context { turn, shared, session, others, reply, budget, task };
        match step {
            Ok(Step::Incomplete) => {}
            Ok(Step::Request) => {
                if commands::execute(&mut context, self.parser.request(&self.input))? == Progress::Paused {
                    return Ok(Progress::Paused);
                }
            }
            Ok(Step::ArgumentTooLong) => commands::refuse(&mut context, TOO_LONG),
            Ok(Step::RequestTooLong) => commands::refuse(&mut context, REQUEST_TOO_LONG),
            Ok(Step::NoMemory) => commands::refuse(&mut context, NO_MEMORY),
            Err(error) => {
                commands::refuse(&mut context, Failure::owned(error.text()));
                self.session.closing = Some(Closing::AfterReplies);
                return Ok(Progress::Done);
            }
        }
        self.parser.finish(&mut self.input);
        budget.take_request();
        Ok(Progress::Done)
    }

    /// Answers the next request, for which there is no memory, with an error, and counts it; if there is none for that
    /// either, the client is closed.
    pub fn refuse_request<M: Medium>(
        &mut self,
        turn: &mut Turn<'_, M>,
        shared: &mut Shared,
        others: &mut dyn Others,
        budget: &mut Budget,
    ) {
        if self.parser.step(&mut self.input).is_err() {
            return self.abandon();
        }
        let reply = self.outbox.writer(self.session.protocol);
        let (session, task) = (&mut self.session, &mut self.task);
        commands::refuse(&mut Context { turn, shared, session, others, reply, budget, task }, NO_MEMORY);
        self.parser.finish(&mut self.input);
        budget.take_request();
    }

    /// Releases the replies that are whole: they answer to a turn that is durable.
    pub fn release(&mut self, receipt: &Durable) {
        self.outbox.release(receipt, self.unfinished());
    }

    /// Bytes of whole replies that wait.
    pub fn whole_replies(&self) -> usize {
        self.outbox.waiting() - self.unfinished()
    }

    /// Bytes of a reply of which more will come.
    fn unfinished(&self) -> usize {
        self.task.as_ref().map_or(0, |task| task.written)
    }

    /// The turn that this client took part in has failed: none of its replies may be sent, and which of its requests
    /// were meant cannot be said.
    pub fn fail(&mut self) {
        self.outbox.discard_sealed();
        self.abandon();
    }

    /// The connection is of no use any more: what it holds is free at once.
    pub fn abandon(&mut self) {
        self.session.closing = Some(Closing::Now);
        self.task = None;
        self.outbox.clear();
        self.parser.clear(&mut self.input);
    }

    /// Gives back what an idle client does not need.
    pub fn rest(&mut self) {
        self.input.rest();
        self.parser.rest();
    }

    /// Bytes of memory that its buffers hold.
    pub fn memory(&self) -> usize {
        let task = self.task.as_ref().map_or(0, Task::memory);
        self.input.memory() + self.parser.memory() + self.outbox.memory() + task
    }

    /// Notes in the session what the buffers hold. `blocked`: its socket takes no more replies.
    pub fn count_buffers(&mut self, blocked: bool) -> Buffers {
        let requests = self.input.pending().len();
        let replies = self.outbox.memory();
        self.session.buffers = Buffers {
            requests,
            requests_free: self.input.memory().saturating_sub(requests),
            arguments: self.parser.memory() + self.task.as_ref().map_or(0, Task::memory),
            replies,
            replies_peak: replies.max(self.session.buffers.replies_peak),
            replies_waiting: self.outbox.waiting(),
            blocked,
        };
        self.session.buffers
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::Harness;

    /// What an idle connection costs beside its entry in the list of connections.
    #[test]
    fn an_idle_client_holds_no_memory() {
        let mut client = Harness::new();
        assert_eq!(client.send("set k v"), "+OK|");
        assert_eq!(client.bytes(b"*2\r\n$3\r\nget\r\n$1\r\nk\r\n"), b"$1\r\nv\r\n");
        assert!(client.client.memory() > 0, "while it is busy it keeps its buffers");
        client.client.rest();
        assert_eq!(client.client.memory(), 0);
        assert_eq!(client.send("get k"), "$1|v|");
    }
}
