//! One client without its socket: bytes in, requests executed, replies out.

use pmem::{Medium, Turn};

use super::outbox::Outbox;
use crate::commands::{self, Context, Failure, REQUEST_TOO_LONG, TOO_LONG};
use crate::resp::{Input, Parser, Step};
use crate::session::{Buffers, Closing, Others, Session};
use crate::state::{ClientLimits, State};

/// Most requests of one client in one turn: the others want their replies, too.
const REQUESTS: usize = 256;

/// What a turn may still do, so that no turn takes long.
pub struct Budget(usize);

impl Budget {
    /// The budget of a turn, in requests.
    pub fn new(requests: usize) -> Self {
        Self(requests)
    }

    /// Whether nothing is left of it.
    pub fn is_spent(&self) -> bool {
        self.0 == 0
    }
}

/// A client's buffers and state.
pub struct Client {
    /// Bytes that have arrived.
    pub input: Input,
    /// Replies on their way.
    pub outbox: Outbox,
    /// What is known of it.
    pub session: Session,
    parser: Parser,
}

impl Client {
    /// A client that has just come.
    pub fn new(session: Session, limits: &ClientLimits) -> Self {
        Self { input: Input::default(), outbox: Outbox::default(), session, parser: Parser::new(limits.parser) }
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

    /// Executes its complete requests, within bounds. The replies stay sealed.
    pub fn execute<M: Medium + 'static>(
        &mut self,
        turn: &mut Turn<'_, M>,
        state: &mut State,
        others: &mut dyn Others,
        budget: &mut Budget,
    ) {
        self.session.active_ms = state.now_ms;
        let mut requests = REQUESTS.min(budget.0);
        budget.0 -= requests;
        while requests > 0 && self.session.closing.is_none() && self.keeps_up(&state.limits) {
            let step = self.parser.step(&mut self.input);
            let reply = self.outbox.writer(self.session.protocol);
            let mut context = Context { turn, state, session: &mut self.session, others, reply };
            match step {
                Ok(Step::Incomplete) => break,
                Ok(Step::Request) => commands::execute(&mut context, self.parser.request(&self.input)),
                Ok(Step::ArgumentTooLong) => commands::refuse(&mut context, TOO_LONG),
                Ok(Step::RequestTooLong) => commands::refuse(&mut context, REQUEST_TOO_LONG),
                Err(error) => {
                    commands::refuse(&mut context, Failure::owned(error.text()));
                    self.session.closing = Some(Closing::AfterReplies);
                    break;
                }
            }
            self.parser.finish(&mut self.input);
            requests -= 1;
        }
        budget.0 += requests;
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
            arguments: self.parser.memory(),
            replies,
            replies_peak: replies.max(self.session.buffers.replies_peak),
            replies_waiting: self.outbox.waiting(),
            blocked,
        };
        self.session.buffers
    }
}
