//! One client without its socket: bytes in, requests executed, replies out.

use pmem::{Medium, Turn};

use super::outbox::Outbox;
use crate::budget::Budget;
use crate::commands::{self, Context, Failure, Progress, REQUEST_TOO_LONG, TOO_LONG, Task};
use crate::resp::{Input, Parser, Step};
use crate::session::{Buffers, Closing, Others, Session};
use crate::state::{ClientLimits, State};

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
    pub fn new(session: Session, limits: &ClientLimits) -> Self {
        Self {
            input: Input::default(),
            outbox: Outbox::default(),
            session,
            parser: Parser::new(limits.parser),
            task: None,
            heavy: false,
        }
    }

    /// Whether it reads its replies fast enough to be served.
    fn keeps_up(&self, limits: &ClientLimits) -> bool {
        self.outbox.waiting() < limits.backlog
    }

    /// Whether there is something to execute for it now.
    pub fn has_request(&mut self, limits: &ClientLimits) -> bool {
        self.session.closing.is_none()
            && self.keeps_up(limits)
            && !matches!(self.parser.step(&mut self.input), Ok(Step::Incomplete))
    }

    /// Whether more bytes are wanted: everything that has arrived is executed, and its replies are not piling up.
    pub fn wants_input(&mut self, limits: &ClientLimits) -> bool {
        self.session.closing.is_none()
            && self.keeps_up(limits)
            && matches!(self.parser.step(&mut self.input), Ok(Step::Incomplete))
    }

    /// Room for what arrives.
    pub fn room(&mut self) -> &mut [u8] {
        let wanted = self.parser.wanted(&self.input);
        self.input.room(wanted)
    }

    /// Whether it goes behind the others in the next turn, for it had a lot to do in the last one.
    pub fn is_heavy(&self) -> bool {
        self.heavy
    }

    /// It got nothing of a turn: in the next one it is as good as the others.
    pub fn was_left_out(&mut self) {
        self.heavy = false;
    }

    /// Executes its complete requests, as far as its share of the budget goes. The replies stay sealed.
    pub fn execute<M: Medium + 'static>(
        &mut self,
        turn: &mut Turn<'_, M>,
        state: &mut State,
        others: &mut dyn Others,
        budget: &mut Budget,
    ) {
        self.session.active_ms = state.now_ms;
        let mut share = budget.share();
        while self.session.closing.is_none() && self.keeps_up(&state.limits) && !share.is_spent() {
            if self.execute_one(turn, state, others, &mut share) == Progress::Paused {
                break;
            }
            share.count_moved(turn.moved());
        }
        self.heavy = share.is_overworked();
        budget.put_back(share);
    }

    /// Executes a request, or the next piece of one. Paused: there is none, or it goes on in another turn.
    fn execute_one<M: Medium + 'static>(
        &mut self,
        turn: &mut Turn<'_, M>,
        state: &mut State,
        others: &mut dyn Others,
        budget: &mut Budget,
    ) -> Progress {
        let step = self.parser.step(&mut self.input);
        let reply = self.outbox.writer(self.session.protocol);
        let (session, task) = (&mut self.session, &mut self.task);
        let mut context = Context { turn, state, session, others, reply, budget, task };
        match step {
            Ok(Step::Incomplete) => return Progress::Paused,
            Ok(Step::Request) => {
                if commands::execute(&mut context, self.parser.request(&self.input)) == Progress::Paused {
                    return Progress::Paused;
                }
            }
            Ok(Step::ArgumentTooLong) => commands::refuse(&mut context, TOO_LONG),
            Ok(Step::RequestTooLong) => commands::refuse(&mut context, REQUEST_TOO_LONG),
            Err(error) => {
                commands::refuse(&mut context, Failure::owned(error.text()));
                self.session.closing = Some(Closing::AfterReplies);
                return Progress::Done;
            }
        }
        self.parser.finish(&mut self.input);
        budget.take_request();
        Progress::Done
    }

    /// The turn that this client took part in has failed: none of its replies may be sent, and which of its requests
    /// were meant cannot be said.
    pub fn fail(&mut self) {
        self.outbox.discard_sealed();
        self.abandon();
    }

    /// The connection is of no use any more.
    pub fn abandon(&mut self) {
        self.session.closing = Some(Closing::Now);
    }

    /// Notes in the session what the buffers hold. `blocked`: its socket takes no more replies.
    pub fn count_buffers(&mut self, blocked: bool) -> Buffers {
        let requests = self.input.pending().len();
        let replies = self.outbox.memory();
        self.session.buffers = Buffers {
            requests,
            requests_free: self.input.memory() - requests,
            arguments: self.parser.memory() + self.task.as_ref().map_or(0, Task::memory),
            replies,
            replies_peak: replies.max(self.session.buffers.replies_peak),
            replies_waiting: self.outbox.waiting(),
            blocked,
        };
        self.session.buffers
    }
}
