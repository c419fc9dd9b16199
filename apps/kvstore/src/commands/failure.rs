//! Why a command failed, in Redis's words.

use std::borrow::Cow;
use std::collections::TryReserveError;

use crate::memory::NoMemory;
use crate::resp::Reply;
use crate::shared::is_fatal;

/// The result of a command that writes its own reply.
pub type Outcome = Result<(), Failure>;

/// What there is no room in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Lack {
    Pool,
    Memory,
}

/// An error reply: whatever the command had written before is taken back.
#[derive(Debug)]
pub struct Failure {
    text: Cow<'static, [u8]>,
    /// The medium does not work as it should: what was staged before may be lost, too.
    fatal: bool,
    /// What there was no room in. Nothing has been changed: it can be tried again when there is some.
    lack: Option<Lack>,
}

/// Something in a request is not where or what it should be.
pub const SYNTAX: Failure = Failure::text("ERR syntax error");
/// The key holds a value of another type than the command is for.
pub const WRONG_TYPE: Failure = Failure::text("WRONGTYPE Operation against a key holding the wrong kind of value");
/// A number is no integer, or does not fit.
pub const NOT_AN_INTEGER: Failure = Failure::text("ERR value is not an integer or out of range");
/// A number is no floating-point number.
pub const NOT_A_FLOAT: Failure = Failure::text("ERR value is not a valid float");
/// There is one database, number 0.
pub const NO_SUCH_DATABASE: Failure = Failure::text("ERR DB index is out of range");
/// A command needs a key that is not there.
pub const NO_SUCH_KEY: Failure = Failure::text("ERR no such key");
/// A value would become, or an argument is, longer than the pool takes.
pub const TOO_LONG: Failure = Failure::text("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
/// The pool has no room for another record.
pub const FULL: Failure =
    Failure { text: Cow::Borrowed(OUT_OF_MEMORY.as_bytes()), fatal: false, lack: Some(Lack::Pool) };
/// There is no memory for a request or for its reply.
pub const NO_MEMORY: Failure =
    Failure { lack: Some(Lack::Memory), text: Cow::Borrowed(OUT_OF_MEMORY.as_bytes()), fatal: false };
/// Redis's words for it, and for want of memory of any kind.
const OUT_OF_MEMORY: &str = "OOM command not allowed when used memory > 'maxmemory'.";
/// A request is longer than is buffered. Redis would close the connection.
pub const REQUEST_TOO_LONG: Failure =
    Failure::text("ERR request exceeds maximum allowed size (client-query-buffer-limit)");
/// A reply is longer than is buffered. Redis would close the connection.
pub const REPLY_TOO_LONG: Failure =
    Failure::text("ERR reply exceeds maximum allowed size (client-output-buffer-limit)");

impl Failure {
    /// A fixed error: a code, a space and a text.
    pub const fn text(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text.as_bytes()), fatal: false, lack: None }
    }

    /// An error that quotes something.
    pub fn owned(text: impl Into<Vec<u8>>) -> Self {
        Self { text: Cow::Owned(text.into()), fatal: false, lack: None }
    }

    /// The expiry of a command is not in the range of time.
    pub fn expire_time(command: &str) -> Self {
        Self::owned(format!("ERR invalid expire time in '{command}' command"))
    }

    /// Wrong number of arguments.
    pub fn arity(command: &str) -> Self {
        Self::owned(format!("ERR wrong number of arguments for '{command}' command"))
    }

    /// The word that it begins with, by which errors are counted.
    pub fn code(&self) -> &str {
        /// Redis looks for its end in so many bytes.
        const LONGEST: usize = 32;
        let end = self.text.iter().take(LONGEST).position(|byte| *byte == b' ');
        end.and_then(|end| std::str::from_utf8(&self.text[..end]).ok()).unwrap_or("ERR")
    }

    /// A subcommand was given what it does not take.
    pub fn subcommand_syntax(container: &str, subcommand: &[u8]) -> Self {
        let help = format!("'. Try {container} HELP.");
        let start = &b"ERR unknown subcommand or wrong number of arguments for '"[..];
        Self::owned([start, subcommand, help.as_bytes()].concat())
    }

    /// Writes the error reply.
    pub fn write(&self, reply: &mut Reply<'_>) {
        reply.error(&self.text);
    }

    /// Whether there was no room in the pool, and nothing has been changed.
    pub fn is_full(&self) -> bool {
        self.lack == Some(Lack::Pool)
    }

    /// Whether there was no memory for it, and nothing has been changed.
    pub fn is_no_memory(&self) -> bool {
        self.lack == Some(Lack::Memory)
    }

    /// Whether nothing of the current turn may be acknowledged.
    pub fn is_fatal(&self) -> bool {
        self.fatal
    }
}

impl From<TryReserveError> for Failure {
    fn from(_: TryReserveError) -> Self {
        Self::text(OUT_OF_MEMORY)
    }
}

impl From<NoMemory> for Failure {
    fn from(_: NoMemory) -> Self {
        NO_MEMORY
    }
}

impl From<pmem::Error> for Failure {
    #[cold]
    fn from(error: pmem::Error) -> Self {
        match error {
            pmem::Error::Full | pmem::Error::IndexFull | pmem::Error::NoMemory { .. } => FULL,
            pmem::Error::TooLarge { what: "a value", .. } => TOO_LONG,
            error if is_fatal(&error) => Self { fatal: true, ..Self::owned(format!("ERR the pool failed: {error}")) },
            error => Self::owned(format!("ERR {error}")),
        }
    }
}
