//! The command table: which commands there are, what they take, and who executes them.
//!
//! Names, arities, flags and keys are those of Redis 7.0.

use pmem::Medium;

use super::admin::{client, config, connection, info, introspection, latency, memory, server, slowlog};
use super::docs::Doc;
use super::failure::{Failure, Outcome};
use super::flags::*;
use super::generic::object;
use super::key_specs::KeySpec;
use super::{Context, Request, docs, generic, key_specs, string};
use crate::by_command::Id;

/// The longest name of a command or subcommand, in bytes.
const LONGEST_NAME: usize = size_of::<u128>() - 1;
/// How many places the commands are spread over to be found, as a power of two.
const PLACES: u32 = 9;

/// Executes a command whose arity has been checked.
pub type Run<M> = fn(&mut Context<'_, '_, M>, Request<'_>) -> Outcome;

/// One command, or a subcommand.
pub struct Command<M: Medium + 'static> {
    /// The word that calls it, in lower case.
    pub name: &'static str,
    /// The same in one number, by which it is found.
    word: u128,
    /// Its name with its container's: `client|id`.
    pub full_name: &'static str,
    /// Its number, for [`Id`].
    number: usize,
    /// Number of arguments with the names of the command and its container; negative: at least so many.
    pub arity: i32,
    /// Which arguments are keys.
    pub key_specs: &'static [KeySpec],
    /// What it is like.
    pub flags: Flags,
    /// The chapter of Redis's documentation.
    pub group: &'static str,
    /// What it is documented with.
    pub doc: &'static Doc,
    /// What executes it; `None` for a container that does nothing by itself.
    pub run: Option<Run<M>>,
    /// Subcommands, sorted by name.
    pub subcommands: &'static [Command<M>],
}

impl<M: Medium + 'static> Command<M> {
    /// Full name, arity, keys, flags, function. The rest is found by the name.
    const fn new(
        full_name: &'static str,
        arity: i32,
        key_specs: &'static [KeySpec],
        flags: &[Flags],
        run: Run<M>,
    ) -> Self {
        let (flags, (number, group, doc)) = (Flags::union(flags), docs::of(full_name));
        let name = own_name(full_name);
        let word = word_of(name);
        Self { name, word, full_name, number, arity, key_specs, flags, group, doc, run: Some(run), subcommands: &[] }
    }

    /// A command that does nothing by itself.
    const fn container(full_name: &'static str, subcommands: &'static [Self]) -> Self {
        let (flags, (number, group, doc)) = (Flags::union(&[]), docs::of(full_name));
        let (name, word, key_specs) = (full_name, word_of(full_name), key_specs::NONE);
        Self { name, word, full_name, number, arity: -2, key_specs, flags, group, doc, run: None, subcommands }
    }

    /// The same with subcommands.
    const fn with(self, subcommands: &'static [Self]) -> Self {
        Self { subcommands, ..self }
    }

    /// How what is kept of it is found.
    pub fn id(&self) -> Id {
        Id { number: self.number, name: self.full_name }
    }

    /// The command or subcommand that a request for this command asks for. Fails as Redis does if there is none.
    pub fn meant_by(&'static self, request: Request<'_>) -> Result<&'static Self, Failure> {
        if request.len() == 1 || self.subcommands.is_empty() {
            return Ok(self);
        }
        self.subcommand(request.get(1)).ok_or_else(|| unknown_subcommand(self.name, request))
    }

    /// What executes it with so many arguments. Fails as Redis does if the number is wrong.
    pub fn function_for(&self, arguments: usize) -> Result<Run<M>, Failure> {
        self.run.filter(|_| self.takes(arguments)).ok_or_else(|| Failure::arity(self.full_name))
    }

    /// The command of that name.
    pub fn named(name: &[u8]) -> Option<&'static Self> {
        let word = in_a_word(name)?;
        let mut place = place_of(word);
        loop {
            let command = Self::PLACED[place]?;
            if command.word == word {
                return Some(command);
            }
            place = next_place(place);
        }
    }

    fn subcommand(&self, name: &[u8]) -> Option<&'static Self> {
        let word = in_a_word(name)?;
        self.subcommands.iter().find(|command| command.word == word)
    }

    /// The commands at the places where they are looked for: at the one that is its name's, or, where that was taken,
    /// at the next free one.
    const PLACED: &'static [Option<&'static Self>; 1 << PLACES] = &{
        let mut placed = [None; 1 << PLACES];
        let mut at = 0;
        while at < Self::TABLE.len() {
            let mut place = place_of(Self::TABLE[at].word);
            while placed[place].is_some() {
                place = next_place(place);
            }
            placed[place] = Some(&Self::TABLE[at]);
            at += 1;
        }
        placed
    };

    /// The command or subcommand of that full name: `client|id`.
    pub fn fully_named(name: &[u8]) -> Option<&'static Self> {
        let mut words = name.split(|byte| *byte == b'|');
        let command = Self::named(words.next()?)?;
        match (words.next(), words.next()) {
            (None, _) => Some(command),
            (Some(word), None) => command.subcommand(word),
            _ => None,
        }
    }

    /// The command or subcommand that a request with these two first words would call.
    pub fn called(name: &[u8], next: Option<&[u8]>) -> Option<&'static Self> {
        let command = Self::named(name)?;
        match next {
            Some(word) if !command.subcommands.is_empty() => command.subcommand(word),
            _ => Some(command),
        }
    }

    /// Whether it can be called with so many arguments, its name among them.
    pub fn takes(&self, arguments: usize) -> bool {
        match usize::try_from(self.arity) {
            Ok(exactly) => arguments == exactly,
            Err(_) => arguments >= self.arity.unsigned_abs() as usize,
        }
    }
}

/// A name in lower case, in one number that no other name has. None for what is longer than any name.
const fn in_a_word(name: &[u8]) -> Option<u128> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    // Before the first byte there is a mark, so that zeros there show.
    const MARK: u64 = 1;
    // Half a word is less work, and enough for most names.
    const HALF: usize = size_of::<u64>();
    if name.len() < HALF {
        return Some(lower_case(MARK, name) as u128);
    }
    let (first, rest) = name.split_at(HALF - 1);
    Some((lower_case(MARK, first) as u128) << (8 * rest.len()) | lower_case(0, rest) as u128)
}

/// These bytes in lower case, behind those in `word`.
const fn lower_case(mut word: u64, bytes: &[u8]) -> u64 {
    let mut at = 0;
    while at < bytes.len() {
        word = word << 8 | bytes[at].to_ascii_lowercase() as u64;
        at += 1;
    }
    word
}

/// Where a name is looked for first.
const fn place_of(word: u128) -> usize {
    /// The golden ratio, in 64 bits: near numbers come far apart.
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let folded = word as u64 ^ (word >> 64) as u64;
    (folded.wrapping_mul(FACTOR) >> (u64::BITS - PLACES)) as usize
}

/// Where it is looked for next.
const fn next_place(place: usize) -> usize {
    (place + 1) % (1 << PLACES)
}

/// That of a command's name; one that is too long does not compile.
const fn word_of(name: &str) -> u128 {
    match in_a_word(name.as_bytes()) {
        Some(word) => word,
        None => panic!("the name is too long"),
    }
}

/// There is no command of the name that a request begins with.
pub fn unknown(request: Request<'_>) -> Failure {
    const MOST: usize = 128;
    let mut arguments = Vec::new();
    for argument in request.from(1) {
        if arguments.len() >= MOST {
            break;
        }
        let shown = &c_string(argument)[..c_string(argument).len().min(MOST - arguments.len())];
        arguments.extend_from_slice(&[b"'", shown, b"' "].concat());
    }
    let name = c_string(request.get(0));
    let name = &name[..name.len().min(MOST)];
    Failure::owned([b"ERR unknown command '", name, b"', with args beginning with: ", &arguments].concat())
}

fn unknown_subcommand(container: &str, request: Request<'_>) -> Failure {
    let name = c_string(request.get(1));
    let name = &name[..name.len().min(128)];
    let help = format!("'. Try {} HELP.", container.to_ascii_uppercase());
    Failure::owned([b"ERR unknown subcommand '", name, help.as_bytes()].concat())
}

/// What C sees of a text.
fn c_string(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or(text)
}

/// What follows the container's name.
const fn own_name(full_name: &'static str) -> &'static str {
    let mut at = 0;
    while at < full_name.len() {
        if full_name.as_bytes()[at] == b'|' {
            return full_name.split_at(at + 1).1;
        }
        at += 1;
    }
    full_name
}

/// The rows of the table.
impl<M: Medium + 'static> Command<M> {
    /// Every command, sorted by name, as they are listed.
    pub const TABLE: &'static [Self] = &[
        Self::new("append", 3, key_specs::EXTEND, &[WRITE, DENYOOM, FAST, STRING], string::append),
        Self::new(
            "auth",
            -2,
            key_specs::NONE,
            &[NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY, CONNECTION],
            connection::auth,
        ),
        Self::new("bitcount", -2, key_specs::READ, &[READONLY, BITMAP], string::bitcount),
        Self::new("bitfield", -2, key_specs::BITFIELD, &[WRITE, DENYOOM, BITMAP], string::bitfield),
        Self::new("bitfield_ro", -2, key_specs::READ, &[READONLY, FAST, BITMAP], string::bitfield_ro),
        Self::new("bitop", -4, key_specs::BITOP, &[WRITE, DENYOOM, BITMAP], string::bitop),
        Self::new("bitpos", -3, key_specs::READ, &[READONLY, BITMAP], string::bitpos),
        Self::container("client", Self::CLIENT),
        Self::new("command", -1, key_specs::NONE, &[LOADING, STALE, CONNECTION], introspection::command)
            .with(Self::COMMAND),
        Self::container("config", Self::CONFIG),
        Self::new("copy", -3, key_specs::COPY, &[WRITE, DENYOOM, KEYSPACE], generic::copy),
        Self::new("dbsize", 1, key_specs::NONE, &[READONLY, FAST, KEYSPACE], generic::dbsize),
        Self::new("decr", 2, key_specs::MODIFY, &[WRITE, DENYOOM, FAST, STRING], string::decr),
        Self::new("decrby", 3, key_specs::MODIFY, &[WRITE, DENYOOM, FAST, STRING], string::decrby),
        Self::new("del", -2, key_specs::REMOVE_ALL, &[WRITE, KEYSPACE], generic::del),
        Self::new("echo", 2, key_specs::NONE, &[LOADING, STALE, FAST, CONNECTION], connection::echo),
        Self::new("exists", -2, key_specs::LOOK_ALL, &[READONLY, FAST, KEYSPACE], generic::exists),
        Self::new("expire", -3, key_specs::UPDATE, &[WRITE, FAST, KEYSPACE], generic::expire),
        Self::new("expireat", -3, key_specs::UPDATE, &[WRITE, FAST, KEYSPACE], generic::expireat),
        Self::new("expiretime", 2, key_specs::READ, &[READONLY, FAST, KEYSPACE], generic::expiretime),
        Self::new("flushall", -1, key_specs::NONE, &[WRITE, KEYSPACE, DANGEROUS], generic::flush),
        Self::new("flushdb", -1, key_specs::NONE, &[WRITE, KEYSPACE, DANGEROUS], generic::flush),
        Self::new("get", 2, key_specs::READ, &[READONLY, FAST, STRING], string::get),
        Self::new("getbit", 3, key_specs::READ, &[READONLY, FAST, BITMAP], string::getbit),
        Self::new("getdel", 2, key_specs::TAKE, &[WRITE, FAST, STRING], string::getdel),
        Self::new("getex", -2, key_specs::GETEX, &[WRITE, FAST, STRING], string::getex),
        Self::new("getrange", 4, key_specs::READ, &[READONLY, STRING], string::getrange),
        Self::new("getset", 3, key_specs::MODIFY, &[WRITE, DENYOOM, FAST, STRING], string::getset),
        Self::new(
            "hello",
            -1,
            key_specs::NONE,
            &[NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY, CONNECTION],
            connection::hello,
        ),
        Self::new("incr", 2, key_specs::MODIFY, &[WRITE, DENYOOM, FAST, STRING], string::incr),
        Self::new("incrby", 3, key_specs::MODIFY, &[WRITE, DENYOOM, FAST, STRING], string::incrby),
        Self::new("incrbyfloat", 3, key_specs::MODIFY, &[WRITE, DENYOOM, FAST, STRING], string::incrbyfloat),
        Self::new("info", -1, key_specs::NONE, &[LOADING, STALE, DANGEROUS], info::info),
        Self::new("keys", 2, key_specs::NONE, &[READONLY, KEYSPACE, DANGEROUS], generic::keys),
        Self::container("latency", Self::LATENCY),
        Self::new("lcs", -3, key_specs::READ_BOTH, &[READONLY, STRING], string::lcs),
        Self::container("memory", Self::MEMORY),
        Self::new("mget", -2, key_specs::READ_ALL, &[READONLY, FAST, STRING], string::mget),
        Self::new("mset", -3, key_specs::OVERWRITE_PAIRS, &[WRITE, DENYOOM, STRING], string::mset),
        Self::new("msetnx", -3, key_specs::INSERT_PAIRS, &[WRITE, DENYOOM, STRING], string::msetnx),
        Self::container("object", Self::OBJECT),
        Self::new("persist", 2, key_specs::UPDATE, &[WRITE, FAST, KEYSPACE], generic::persist),
        Self::new("pexpire", -3, key_specs::UPDATE, &[WRITE, FAST, KEYSPACE], generic::pexpire),
        Self::new("pexpireat", -3, key_specs::UPDATE, &[WRITE, FAST, KEYSPACE], generic::pexpireat),
        Self::new("pexpiretime", 2, key_specs::READ, &[READONLY, FAST, KEYSPACE], generic::pexpiretime),
        Self::new("ping", -1, key_specs::NONE, &[FAST, CONNECTION], connection::ping),
        Self::new("psetex", 4, key_specs::OVERWRITE, &[WRITE, DENYOOM, STRING], string::psetex),
        Self::new("pttl", 2, key_specs::READ, &[READONLY, FAST, KEYSPACE], generic::pttl),
        Self::new(
            "quit",
            -1,
            key_specs::NONE,
            &[NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY, CONNECTION],
            connection::quit,
        ),
        Self::new("randomkey", 1, key_specs::NONE, &[READONLY, KEYSPACE], generic::randomkey),
        Self::new("rename", 3, key_specs::RENAME, &[WRITE, KEYSPACE], generic::rename),
        Self::new("renamenx", 3, key_specs::RENAMENX, &[WRITE, FAST, KEYSPACE], generic::renamenx),
        Self::new(
            "reset",
            1,
            key_specs::NONE,
            &[NOSCRIPT, LOADING, STALE, FAST, NO_AUTH, ALLOW_BUSY, CONNECTION],
            connection::reset,
        ),
        Self::new("scan", -2, key_specs::NONE, &[READONLY, KEYSPACE], generic::scan),
        Self::new("select", 2, key_specs::NONE, &[LOADING, STALE, FAST, CONNECTION], connection::select),
        Self::new("set", -3, key_specs::SET, &[WRITE, DENYOOM, STRING], string::set),
        Self::new("setbit", 4, key_specs::MODIFY, &[WRITE, DENYOOM, BITMAP], string::setbit),
        Self::new("setex", 4, key_specs::OVERWRITE, &[WRITE, DENYOOM, STRING], string::setex),
        Self::new("setnx", 3, key_specs::INSERT, &[WRITE, DENYOOM, FAST, STRING], string::setnx),
        Self::new("setrange", 4, key_specs::UPDATE, &[WRITE, DENYOOM, STRING], string::setrange),
        Self::new(
            "shutdown",
            -1,
            key_specs::NONE,
            &[ADMIN, NOSCRIPT, LOADING, STALE, NO_MULTI, ALLOW_BUSY],
            server::shutdown,
        ),
        Self::container("slowlog", Self::SLOWLOG),
        Self::new("strlen", 2, key_specs::LOOK, &[READONLY, FAST, STRING], string::strlen),
        Self::new("substr", 4, key_specs::READ, &[READONLY, STRING], string::getrange),
        Self::new("time", 1, key_specs::NONE, &[LOADING, STALE, FAST], server::time),
        Self::new("touch", -2, key_specs::LOOK_ALL, &[READONLY, FAST, KEYSPACE], generic::exists),
        Self::new("ttl", 2, key_specs::READ, &[READONLY, FAST, KEYSPACE], generic::ttl),
        Self::new("type", 2, key_specs::LOOK, &[READONLY, FAST, KEYSPACE], generic::r#type),
        Self::new("unlink", -2, key_specs::REMOVE_ALL, &[WRITE, FAST, KEYSPACE], generic::del),
    ];

    const CLIENT: &'static [Self] = &[
        Self::new("client|getname", 2, key_specs::NONE, &[NOSCRIPT, LOADING, STALE, CONNECTION], client::getname),
        Self::new("client|help", 2, key_specs::NONE, &[LOADING, STALE, CONNECTION], client::help),
        Self::new("client|id", 2, key_specs::NONE, &[NOSCRIPT, LOADING, STALE, CONNECTION], client::id),
        Self::new("client|info", 2, key_specs::NONE, &[NOSCRIPT, LOADING, STALE, CONNECTION], client::info),
        Self::new("client|kill", -3, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE, CONNECTION], client::kill),
        Self::new("client|list", -2, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE, CONNECTION], client::list),
        Self::new(
            "client|no-evict",
            3,
            key_specs::NONE,
            &[ADMIN, NOSCRIPT, LOADING, STALE, CONNECTION],
            client::no_evict,
        ),
        Self::new("client|reply", 3, key_specs::NONE, &[NOSCRIPT, LOADING, STALE, CONNECTION], client::reply),
        Self::new("client|setinfo", 4, key_specs::NONE, &[NOSCRIPT, LOADING, STALE, CONNECTION], client::setinfo),
        Self::new("client|setname", 3, key_specs::NONE, &[NOSCRIPT, LOADING, STALE, CONNECTION], client::setname),
    ];

    const COMMAND: &'static [Self] = &[
        Self::new("command|count", 2, key_specs::NONE, &[LOADING, STALE, CONNECTION], introspection::count),
        Self::new("command|docs", -2, key_specs::NONE, &[LOADING, STALE, CONNECTION], introspection::docs),
        Self::new("command|getkeys", -4, key_specs::NONE, &[LOADING, STALE, CONNECTION], introspection::getkeys),
        Self::new(
            "command|getkeysandflags",
            -4,
            key_specs::NONE,
            &[LOADING, STALE, CONNECTION],
            introspection::getkeysandflags,
        ),
        Self::new("command|help", 2, key_specs::NONE, &[LOADING, STALE, CONNECTION], introspection::help),
        Self::new("command|info", -2, key_specs::NONE, &[LOADING, STALE, CONNECTION], introspection::info),
        Self::new("command|list", -2, key_specs::NONE, &[LOADING, STALE, CONNECTION], introspection::list),
    ];

    const LATENCY: &'static [Self] = &[
        Self::new("latency|doctor", 2, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE], latency::doctor),
        Self::new("latency|help", 2, key_specs::NONE, &[LOADING, STALE], latency::help),
        Self::new("latency|histogram", -2, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE], latency::histogram),
        Self::new("latency|history", 3, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE], latency::history),
        Self::new("latency|latest", 2, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE], latency::latest),
        Self::new("latency|reset", -2, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE], latency::reset),
    ];

    const MEMORY: &'static [Self] = &[
        Self::new("memory|doctor", 2, key_specs::NONE, &[], memory::doctor),
        Self::new("memory|help", 2, key_specs::NONE, &[LOADING, STALE], memory::help),
        Self::new("memory|malloc-stats", 2, key_specs::NONE, &[], memory::malloc_stats),
        Self::new("memory|purge", 2, key_specs::NONE, &[], memory::purge),
        Self::new("memory|stats", 2, key_specs::NONE, &[], memory::stats),
        Self::new("memory|usage", -3, key_specs::SECOND, &[READONLY], memory::usage),
    ];

    const OBJECT: &'static [Self] = &[
        Self::new("object|encoding", 3, key_specs::SECOND, &[READONLY, KEYSPACE], object::encoding),
        Self::new("object|freq", 3, key_specs::SECOND, &[READONLY, KEYSPACE], object::freq),
        Self::new("object|help", 2, key_specs::NONE, &[LOADING, STALE, KEYSPACE], object::help),
        Self::new("object|idletime", 3, key_specs::SECOND, &[READONLY, KEYSPACE], object::idletime),
        Self::new("object|refcount", 3, key_specs::SECOND, &[READONLY, KEYSPACE], object::refcount),
    ];

    const SLOWLOG: &'static [Self] = &[
        Self::new("slowlog|get", -2, key_specs::NONE, &[ADMIN, LOADING, STALE], slowlog::get),
        Self::new("slowlog|help", 2, key_specs::NONE, &[LOADING, STALE], slowlog::help),
        Self::new("slowlog|len", 2, key_specs::NONE, &[ADMIN, LOADING, STALE], slowlog::len),
        Self::new("slowlog|reset", 2, key_specs::NONE, &[ADMIN, LOADING, STALE], slowlog::reset),
    ];

    const CONFIG: &'static [Self] = &[
        Self::new("config|get", -3, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE], config::get),
        Self::new("config|help", 2, key_specs::NONE, &[LOADING, STALE], config::help),
        Self::new("config|resetstat", 2, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE], config::resetstat),
        Self::new("config|rewrite", 2, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE], config::rewrite),
        Self::new("config|set", -4, key_specs::NONE, &[ADMIN, NOSCRIPT, LOADING, STALE], config::set),
    ];
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = Command<&'static pmem::Device>;

    #[test]
    fn the_table_is_sorted_and_each_command_is_found() {
        for table in std::iter::once(Row::TABLE).chain(Row::TABLE.iter().map(|command| command.subcommands)) {
            assert!(table.is_sorted_by(|a, b| a.name < b.name));
        }
        for command in Row::TABLE {
            assert_eq!(Row::named(command.name.to_uppercase().as_bytes()).unwrap().full_name, command.full_name);
            assert!(command.run.is_some() || !command.subcommands.is_empty());
            let distance = Row::PLACED.iter().position(|placed| placed.is_some_and(|it| it.name == command.name));
            let away = (distance.unwrap() + Row::PLACED.len() - place_of(command.word)) % Row::PLACED.len();
            assert!(away <= 2, "{} is found {away} places away from its own", command.name);
        }
    }

    #[test]
    fn what_only_looks_like_a_name_is_none() {
        for name in [&b"get\0"[..], b"\0get", b"getrang\0e", b"", b"\0", b"ge", b"gett", b"get ", &[b'g'; 16], &[0; 40]]
        {
            assert!(Row::named(name).is_none(), "{name:?}");
        }
    }
}
