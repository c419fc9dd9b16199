//! The incremental request parser.
//!
//! It keeps its place between calls, so a request that arrives in many pieces is looked at once, and its arguments stay
//! where they arrived: a request is a list of ranges in the input buffer. What a request may cost is bounded before it
//! is buffered; a request beyond the bounds is read to its end, forgotten as it arrives, and answered with an error.

mod whole;

use std::ops::Range;

use super::inline;
use super::input::Input;
use crate::memory::{Charge, Memory, NoMemory, Spares};

/// Redis's bound for inline requests and for the lines that announce lengths, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// Redis's `proto-max-bulk-len`, in bytes: a longer announcement is a protocol error.
const MAX_BULK: i64 = 512 * 1024 * 1024;
/// Redis's bound for the number of arguments that may be announced.
const MAX_ARGUMENTS_ANNOUNCED: i64 = i32::MAX as i64;

/// Bytes of `\r\n`.
const LINE_END: usize = 2;

/// What one request may cost.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Longest argument, in bytes: the longest value that the pool takes.
    pub argument: usize,
    /// Longest request, in bytes as sent.
    pub request: usize,
    /// Most arguments in a request.
    pub arguments: usize,
}

/// Where the parser stands after looking at the input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// More bytes are needed.
    Incomplete,
    /// A whole request is there: [`Parser::request`], then [`Parser::finish`].
    Request,
    /// A request has ended that had an argument beyond [`Limits::argument`]. [`Parser::finish`] goes on.
    ArgumentTooLong,
    /// A request has ended that was beyond [`Limits::request`] or [`Limits::arguments`]. [`Parser::finish`] goes on.
    RequestTooLong,
    /// A request has ended for which there was no memory. [`Parser::finish`] goes on.
    NoMemory,
}

/// The client does not speak the protocol: Redis's texts. The connection cannot go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolError {
    /// No line end within the bound of an inline request.
    InlineTooLong,
    /// No line end within the bound of the line that announces the number of arguments.
    CountTooLong,
    /// No line end within the bound of the line that announces an argument's length.
    LengthTooLong,
    /// The number of arguments is no number or out of range.
    InvalidCount,
    /// An argument's length is no number or out of range.
    InvalidLength,
    /// Something else than `$` begins an argument.
    ExpectedBulk(u8),
    /// An inline request's quotes do not match.
    UnbalancedQuotes,
}

impl ProtocolError {
    /// The error as Redis words it, with its code.
    pub fn text(self) -> Vec<u8> {
        let text: &[u8] = match self {
            Self::InlineTooLong => b"too big inline request",
            Self::CountTooLong => b"too big mbulk count string",
            Self::LengthTooLong => b"too big bulk count string",
            Self::InvalidCount => b"invalid multibulk length",
            Self::InvalidLength => b"invalid bulk length",
            Self::UnbalancedQuotes => b"unbalanced quotes in request",
            Self::ExpectedBulk(got) => &[&b"expected '$', got '"[..], &[got], b"'"].concat(),
        };
        [b"ERR Protocol error: ", text].concat()
    }
}

/// A complete request: the command's name and its arguments, at least one.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    text: &'a [u8],
    arguments: &'a [Range<usize>],
}

impl<'a> Request<'a> {
    /// Number of arguments, the command's name included.
    pub fn len(&self) -> usize {
        self.arguments.len()
    }

    /// The argument at `index`; the command's name is 0. An argument that is not there is empty: arity has been checked
    /// before anyone asks.
    pub fn get(&self, index: usize) -> &'a [u8] {
        self.arguments.get(index).map_or(&[], |range| &self.text[range.clone()])
    }

    /// How many bytes lie between its first argument's beginning and its last one's end.
    pub fn span(&self) -> usize {
        match self.arguments {
            [first, .., last] => last.end - first.start,
            [only] => only.len(),
            [] => 0,
        }
    }

    /// The length of its longest argument, in bytes.
    pub fn longest(&self) -> usize {
        self.arguments.iter().map(Range::len).max().unwrap_or(0)
    }

    /// The arguments from `index` on.
    pub fn from(&self, index: usize) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let text = self.text;
        self.arguments.get(index..).unwrap_or(&[]).iter().map(move |range| &text[range.clone()])
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before a request's first byte.
    Start,
    /// Inside the line of an inline request.
    Inline,
    /// Inside the line `*<count>`.
    Count,
    /// Inside the line `$<length>`.
    Length,
    /// Inside an argument: bytes left, its line end included.
    Body(usize),
    /// The request is complete: what [`Parser::step`] says until [`Parser::finish`].
    Complete(Step),
    /// The client does not speak the protocol: what [`Parser::step`] says from now on.
    Failed(ProtocolError),
}

/// The parser of one connection.
pub struct Parser {
    limits: Limits,
    state: State,
    /// Bytes of the input, from its start, that have been understood as part of the current request.
    position: usize,
    /// Bytes of the current line, from `position`, known to hold no line end.
    scanned: usize,
    /// Arguments still to come.
    remaining: usize,
    /// Where the arguments are: in the input, or for an inline request in `unquoted`.
    arguments: Vec<Range<usize>>,
    inline: bool,
    unquoted: Vec<u8>,
    /// Set when the request is beyond the limits: it is dropped as it arrives.
    refused: Option<Step>,
    /// For `arguments` and for `unquoted`.
    charges: [Charge; 2],
}

/// Arguments that a list of them has room for at first, and that it keeps room for.
const FEW: usize = 16;

impl Parser {
    /// A parser before the first byte of a connection.
    pub fn new(limits: Limits, memory: &Memory) -> Self {
        Self {
            limits,
            state: State::Start,
            position: 0,
            scanned: 0,
            remaining: 0,
            arguments: Vec::new(),
            inline: false,
            unquoted: Vec::new(),
            refused: None,
            charges: [memory.charge(), memory.charge()],
        }
    }

    /// Looks at the input as far as it goes, at most to the end of one request. Asking again changes nothing until more
    /// bytes arrive or [`Self::finish`] is called.
    pub fn step(&mut self, input: &mut Input) -> Result<Step, ProtocolError> {
        let state = self.state;
        match state {
            State::Complete(step) => Ok(step),
            State::Start if input.pending().is_empty() => Ok(Step::Incomplete),
            State::Start if self.whole(input) => {
                self.state = State::Complete(Step::Request);
                Ok(Step::Request)
            }
            _ => self.step_by_step(input),
        }
    }

    /// As [`Self::step`], the long way.
    fn step_by_step(&mut self, input: &mut Input) -> Result<Step, ProtocolError> {
        loop {
            let progress = match self.state {
                State::Start => Ok(self.start(input)),
                State::Inline => self.inline(input),
                State::Count => self.count(input),
                State::Length => self.length(input),
                State::Body(left) => Ok(self.body(input, left)),
                State::Complete(step) => return Ok(step),
                State::Failed(error) => return Err(error),
            };
            match progress {
                Ok(true) => {}
                Ok(false) => return Ok(Step::Incomplete),
                Err(error) => self.state = State::Failed(error),
            }
        }
    }

    /// The request that [`Step::Request`] announced.
    pub fn request<'a>(&'a self, input: &'a Input) -> Request<'a> {
        let text = if self.inline { &self.unquoted } else { input.pending() };
        Request { text, arguments: &self.arguments }
    }

    /// Forgets the complete request; the input goes on behind it.
    pub fn finish(&mut self, input: &mut Input) {
        self.restart(input);
        self.arguments.clear();
        if self.arguments.capacity() > FEW {
            self.charges[0].release(&mut self.arguments);
        }
        if self.inline {
            self.inline = false;
            self.charges[1].release(&mut self.unquoted);
        }
        self.refused = None;
    }

    /// Forgets the input and what it knows of it, and gives the memory of both back.
    pub fn clear(&mut self, input: &mut Input) {
        input.consume(usize::MAX);
        input.rest();
        self.finish(input);
        let [words, text] = &mut self.charges;
        words.release(&mut self.arguments);
        text.release(&mut self.unquoted);
    }

    /// Whether it is the server's turn: a request is complete, or bytes have arrived that have not been looked at.
    pub fn has_more(&self, input: &Input) -> bool {
        match self.state {
            State::Complete(_) => true,
            State::Start => !input.pending().is_empty(),
            _ => false,
        }
    }

    /// Gives its memory back if no request is arriving.
    pub fn rest(&mut self) {
        if self.state == State::Start {
            self.charges[0].release_first(&mut self.arguments, FEW, Spares::arguments);
        }
    }

    /// There is no memory for what is arriving: it is dropped as it arrives, and answered in the end. False: that
    /// cannot be, for what is arriving is a line.
    pub fn refuse_for_memory(&mut self, input: &mut Input) -> bool {
        let in_request = matches!(self.state, State::Length | State::Body(_));
        if in_request {
            self.refuse(input, Step::NoMemory);
        }
        in_request
    }

    /// How many more bytes the argument that is arriving needs, 0 if that is not known: a hint for the next read.
    pub fn wanted(&self, input: &Input) -> usize {
        match self.state {
            State::Body(left) if self.refused.is_none() => left.saturating_sub(input.pending().len() - self.position),
            _ => 0,
        }
    }

    /// Bytes of memory that the parser holds beside the input.
    pub fn memory(&self) -> usize {
        self.charges.iter().map(Charge::bytes).sum()
    }

    fn start(&mut self, input: &Input) -> bool {
        let Some(&first) = input.pending().first() else { return false };
        self.state = match first {
            b'*' => State::Count,
            _ => State::Inline,
        };
        true
    }

    /// Whether the request is all there, and was read in one go.
    fn whole(&mut self, input: &Input) -> bool {
        if input.pending().first() != Some(&b'*') {
            return false;
        }
        if self.arguments.capacity() < FEW {
            let room = self.charges[0].reserve_first(&mut self.arguments, FEW, Spares::arguments);
            if room.is_err() {
                return false;
            }
        }
        let Some(length) = whole::read(input.pending(), &self.limits, &mut self.arguments) else {
            self.arguments.clear();
            return false;
        };
        self.position = length;
        true
    }

    fn inline(&mut self, input: &mut Input) -> Result<bool, ProtocolError> {
        let Some(end) = self.find(input, b'\n') else {
            return match input.pending().len() > MAX_LINE {
                true => Err(ProtocolError::InlineTooLong),
                false => Ok(false),
            };
        };
        if end > MAX_LINE {
            return Err(ProtocolError::InlineTooLong);
        }
        let line = &input.pending()[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let [words, text] = &mut self.charges;
        let room = words.reserve(&mut self.arguments, inline::most_words(line));
        if room.and(text.reserve(&mut self.unquoted, line.len())).is_err() {
            self.position = end + 1;
            self.state = State::Complete(Step::NoMemory);
            return Ok(true);
        }
        if !inline::split(line, &mut self.unquoted, &mut self.arguments) {
            return Err(ProtocolError::UnbalancedQuotes);
        }
        self.position = end + 1;
        if self.arguments.is_empty() {
            self.restart(input);
        } else {
            self.inline = true;
            self.state = State::Complete(Step::Request);
        }
        Ok(true)
    }

    fn count(&mut self, input: &mut Input) -> Result<bool, ProtocolError> {
        let Some(line) = self.line(input, ProtocolError::CountTooLong)? else { return Ok(false) };
        let count = crate::number::integer(&input.pending()[line.start + 1..line.end])
            .filter(|count| *count <= MAX_ARGUMENTS_ANNOUNCED)
            .ok_or(ProtocolError::InvalidCount)?;
        // A request of no arguments is nothing, as in Redis.
        match usize::try_from(count) {
            Ok(count @ 1..) => {
                self.remaining = count;
                self.state = State::Length;
                if count > self.limits.arguments {
                    self.refuse(input, Step::RequestTooLong);
                }
            }
            _ => self.restart(input),
        }
        Ok(true)
    }

    fn length(&mut self, input: &mut Input) -> Result<bool, ProtocolError> {
        // Redis waits for the whole line before it looks at its first byte.
        let Some(line) = self.line(input, ProtocolError::LengthTooLong)? else { return Ok(false) };
        let text = &input.pending()[line];
        match text.split_first() {
            Some((b'$', digits)) => {
                let length = crate::number::integer(digits)
                    .filter(|length| (0..=MAX_BULK).contains(length))
                    .ok_or(ProtocolError::InvalidLength)? as usize;
                self.state = State::Body(length + LINE_END);
                if length > self.limits.argument {
                    self.refuse(input, Step::ArgumentTooLong);
                } else if self.position + length > self.limits.request {
                    self.refuse(input, Step::RequestTooLong);
                }
                Ok(true)
            }
            Some((&other, _)) => Err(ProtocolError::ExpectedBulk(other)),
            None => Err(ProtocolError::ExpectedBulk(b'\r')),
        }
    }

    /// Redis does not look at the two bytes behind an argument, and neither do we.
    fn body(&mut self, input: &mut Input, left: usize) -> bool {
        let available = input.pending().len() - self.position;
        if self.refused.is_some() {
            let dropped = available.min(left);
            input.consume(self.position + dropped);
            self.position = 0;
            if dropped < left {
                self.state = State::Body(left - dropped);
                return false;
            }
        } else {
            if available < left {
                return false;
            }
            let argument = self.position..self.position + left - LINE_END;
            self.position += left;
            match self.add(argument) {
                Ok(()) => {}
                Err(NoMemory) => self.refuse(input, Step::NoMemory),
            }
        }
        self.remaining -= 1;
        self.state = match self.remaining {
            0 => State::Complete(self.refused.unwrap_or(Step::Request)),
            _ => State::Length,
        };
        true
    }

    /// Notes where an argument is.
    fn add(&mut self, argument: Range<usize>) -> Result<(), NoMemory> {
        if self.arguments.len() == self.arguments.capacity() {
            let capacity = (2 * self.arguments.len()).max(FEW);
            self.charges[0].reserve(&mut self.arguments, capacity)?;
        }
        self.arguments.push(argument);
        Ok(())
    }

    /// The line at `position`, without its end; moves behind it.
    fn line(&mut self, input: &Input, too_long: ProtocolError) -> Result<Option<Range<usize>>, ProtocolError> {
        let length = input.pending().len() - self.position;
        match self.find(input, b'\r') {
            Some(end) if end > MAX_LINE => Err(too_long),
            // Redis waits for the byte behind the `\r`, and does not look at it.
            Some(end) if end + 1 == length => {
                self.scanned = end;
                Ok(None)
            }
            Some(end) => {
                let start = self.position;
                self.position += end + LINE_END;
                Ok(Some(start..start + end))
            }
            None if length > MAX_LINE => Err(too_long),
            None => Ok(None),
        }
    }

    /// Distance from `position` to the next `byte`; what has been searched is not searched again.
    fn find(&mut self, input: &Input, byte: u8) -> Option<usize> {
        let line = &input.pending()[self.position..];
        match line[self.scanned..].iter().position(|&other| other == byte) {
            Some(distance) => Some(std::mem::take(&mut self.scanned) + distance),
            None => {
                self.scanned = line.len();
                None
            }
        }
    }

    /// From here on the request is dropped as it arrives.
    fn refuse(&mut self, input: &mut Input, step: Step) {
        input.consume(self.position);
        self.position = 0;
        self.charges[0].release(&mut self.arguments);
        self.refused.get_or_insert(step);
    }

    fn restart(&mut self, input: &mut Input) {
        input.consume(self.position);
        self.position = 0;
        self.state = State::Start;
    }
}

#[cfg(test)]
mod tests;
