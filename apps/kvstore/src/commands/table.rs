//! The command table: which commands there are, what they take, and who executes them.
//!
//! Names, arities, flags, keys and documentation are those of Redis 7.0.

use pmem::Medium;

use super::failure::{Failure, Outcome};
use super::flags::Flags;
use super::{
    Context, Request, client, config, connection, counters, expiry, info, introspection, keys, scan, server, set,
    strings,
};

/// Executes a command whose arity has been checked.
pub type Run<M> = fn(&mut Context<'_, '_, M>, Request<'_>) -> Outcome;

/// Which arguments are keys: the first, the last (negative: counted from the end) and the distance between two.
#[derive(Clone, Copy)]
pub struct Keys {
    /// Index of the first key, 0 if there is none.
    pub first: usize,
    /// Index of the last key.
    pub last: i32,
    /// Arguments from one key to the next.
    pub step: usize,
}

const NO_KEYS: Keys = Keys { first: 0, last: 0, step: 0 };
const ONE_KEY: Keys = Keys { first: 1, last: 1, step: 1 };
const TWO_KEYS: Keys = Keys { first: 1, last: 2, step: 1 };
const ALL_KEYS: Keys = Keys { first: 1, last: -1, step: 1 };
const PAIRS: Keys = Keys { first: 1, last: -1, step: 2 };

/// One command, or a subcommand.
pub struct Command<M: Medium + 'static> {
    /// The word that calls it, in lower case.
    pub name: &'static str,
    /// Its name with its container's: `client|id`.
    pub full_name: &'static str,
    /// Number of arguments with the names of the command and its container; negative: at least so many.
    pub arity: i32,
    /// Which arguments are keys.
    pub keys: Keys,
    /// What it is like.
    pub flags: Flags,
    /// The chapter of Redis's documentation.
    pub group: &'static str,
    /// The version of Redis that had it first.
    pub since: &'static str,
    /// What it costs.
    pub complexity: &'static str,
    /// What it does.
    pub summary: &'static str,
    /// What executes it; `None` for a container that does nothing by itself.
    pub run: Option<Run<M>>,
    /// Subcommands, sorted by name.
    pub subcommands: &'static [Command<M>],
}

impl<M: Medium + 'static> Command<M> {
    /// The command that a request asks for, with its function. Fails as Redis does if there is none, or if the number
    /// of arguments is wrong.
    pub fn find(request: Request<'_>) -> Result<(&'static Self, Run<M>), Failure> {
        let command = Self::named(request.get(0)).ok_or_else(|| unknown(request))?;
        let command = match command.run {
            Some(_) if request.len() == 1 || command.subcommands.is_empty() => command,
            None if request.len() == 1 => return Err(Failure::arity(command.name)),
            _ => {
                search(command.subcommands, request.get(1)).ok_or_else(|| unknown_subcommand(command.name, request))?
            }
        };
        match command.run {
            Some(run) if command.takes(request.len()) => Ok((command, run)),
            _ => Err(Failure::arity(command.full_name)),
        }
    }

    /// The command of that name.
    pub fn named(name: &[u8]) -> Option<&'static Self> {
        search(Self::TABLE, name)
    }

    /// Whether it can be called with so many arguments, its name among them.
    pub fn takes(&self, arguments: usize) -> bool {
        match usize::try_from(self.arity) {
            Ok(exactly) => arguments == exactly,
            Err(_) => arguments >= self.arity.unsigned_abs() as usize,
        }
    }
}

fn search<M: Medium>(table: &'static [Command<M>], name: &[u8]) -> Option<&'static Command<M>> {
    let lower = name.iter().map(u8::to_ascii_lowercase);
    let found = table.binary_search_by(|command| command.name.bytes().cmp(lower.clone()));
    found.ok().map(|at| &table[at])
}

fn unknown(request: Request<'_>) -> Failure {
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

/// Name, arity, keys, flags, group, since, summary, complexity, function, subcommands.
macro_rules! commands {
    (@subcommands) => { &[] };
    (@subcommands $subcommands:expr) => { $subcommands };
    ($($name:literal, $arity:literal, $keys:ident, [$($flag:ident)*], $group:literal, $since:literal, $summary:literal,
       $complexity:literal, $run:expr $(, $subcommands:expr)?;)*) => {
        &[$(Self {
            name: own_name($name),
            full_name: $name,
            arity: $arity,
            keys: $keys,
            flags: Flags::union(&[$(Flags::$flag),*]),
            group: $group,
            since: $since,
            summary: $summary,
            complexity: $complexity,
            run: $run,
            subcommands: commands!(@subcommands $($subcommands)?),
        }),*]
    };
}

/// The rows of the table. One line each, however long: it is read as a table.
#[rustfmt::skip]
impl<M: Medium + 'static> Command<M> {
    /// Every command, sorted by name.
    pub const TABLE: &'static [Self] = commands! {
        "append", 3, ONE_KEY, [WRITE DENYOOM FAST STRING], "string", "2.0.0", "Append a value to a key", "O(1)", Some(strings::append);
        "auth", -2, NO_KEYS, [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY CONNECTION], "connection", "1.0.0", "Authenticate to the server", "O(N) where N is the number of passwords defined for the user", Some(connection::auth);
        "client", -2, NO_KEYS, [], "connection", "2.4.0", "A container for client connection commands", "Depends on subcommand", None, Self::CLIENT;
        "command", -1, NO_KEYS, [LOADING STALE CONNECTION], "server", "2.8.13", "Get array of Redis command details", "O(N) where N is the total number of Redis commands", Some(introspection::command), Self::COMMAND;
        "config", -2, NO_KEYS, [], "server", "2.0.0", "A container for server configuration commands", "Depends on subcommand", None, Self::CONFIG;
        "copy", -3, TWO_KEYS, [WRITE DENYOOM KEYSPACE], "generic", "6.2.0", "Copy a key", "O(N) worst case for collections, where N is the number of nested items", Some(keys::copy);
        "dbsize", 1, NO_KEYS, [READONLY FAST KEYSPACE], "server", "1.0.0", "Return the number of keys in the selected database", "O(1)", Some(keys::dbsize);
        "decr", 2, ONE_KEY, [WRITE DENYOOM FAST STRING], "string", "1.0.0", "Decrement the integer value of a key by one", "O(1)", Some(counters::decr);
        "decrby", 3, ONE_KEY, [WRITE DENYOOM FAST STRING], "string", "1.0.0", "Decrement the integer value of a key by the given number", "O(1)", Some(counters::decrby);
        "del", -2, ALL_KEYS, [WRITE KEYSPACE], "generic", "1.0.0", "Delete a key", "O(N) where N is the number of keys that will be removed", Some(keys::del);
        "echo", 2, NO_KEYS, [LOADING STALE FAST CONNECTION], "connection", "1.0.0", "Echo the given string", "O(1)", Some(connection::echo);
        "exists", -2, ALL_KEYS, [READONLY FAST KEYSPACE], "generic", "1.0.0", "Determine if a key exists", "O(N) where N is the number of keys to check", Some(keys::exists);
        "expire", -3, ONE_KEY, [WRITE FAST KEYSPACE], "generic", "1.0.0", "Set a key's time to live in seconds", "O(1)", Some(expiry::expire);
        "expireat", -3, ONE_KEY, [WRITE FAST KEYSPACE], "generic", "1.2.0", "Set the expiration for a key as a UNIX timestamp", "O(1)", Some(expiry::expireat);
        "expiretime", 2, ONE_KEY, [READONLY FAST KEYSPACE], "generic", "7.0.0", "Get the expiration Unix timestamp for a key", "O(1)", Some(expiry::expiretime);
        "flushall", -1, NO_KEYS, [WRITE KEYSPACE DANGEROUS], "server", "1.0.0", "Remove all keys from all databases", "O(N) where N is the total number of keys in all databases", Some(keys::flush);
        "flushdb", -1, NO_KEYS, [WRITE KEYSPACE DANGEROUS], "server", "1.0.0", "Remove all keys from the current database", "O(N) where N is the number of keys in the selected database", Some(keys::flush);
        "get", 2, ONE_KEY, [READONLY FAST STRING], "string", "1.0.0", "Get the value of a key", "O(1)", Some(strings::get);
        "getdel", 2, ONE_KEY, [WRITE FAST STRING], "string", "6.2.0", "Get the value of a key and delete the key", "O(1)", Some(strings::getdel);
        "getex", -2, ONE_KEY, [WRITE FAST STRING], "string", "6.2.0", "Get the value of a key and optionally set its expiration", "O(1)", Some(set::getex);
        "getrange", 4, ONE_KEY, [READONLY STRING], "string", "2.4.0", "Get a substring of the string stored at a key", "O(N) where N is the length of the returned string", Some(strings::getrange);
        "getset", 3, ONE_KEY, [WRITE DENYOOM FAST STRING DEPRECATED], "string", "1.0.0", "Set the string value of a key and return its old value", "O(1)", Some(strings::getset);
        "hello", -1, NO_KEYS, [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY CONNECTION], "connection", "6.0.0", "Handshake with Redis", "O(1)", Some(connection::hello);
        "incr", 2, ONE_KEY, [WRITE DENYOOM FAST STRING], "string", "1.0.0", "Increment the integer value of a key by one", "O(1)", Some(counters::incr);
        "incrby", 3, ONE_KEY, [WRITE DENYOOM FAST STRING], "string", "1.0.0", "Increment the integer value of a key by the given amount", "O(1)", Some(counters::incrby);
        "incrbyfloat", 3, ONE_KEY, [WRITE DENYOOM FAST STRING], "string", "2.6.0", "Increment the float value of a key by the given amount", "O(1)", Some(counters::incrbyfloat);
        "info", -1, NO_KEYS, [LOADING STALE DANGEROUS], "server", "1.0.0", "Get information and statistics about the server", "O(1)", Some(info::info);
        "keys", 2, NO_KEYS, [READONLY KEYSPACE DANGEROUS], "generic", "1.0.0", "Find all keys matching the given pattern", "O(N) with N being the number of keys in the database, under the assumption that the key names in the database and the given pattern have limited length", Some(scan::keys);
        "mget", -2, ALL_KEYS, [READONLY FAST STRING], "string", "1.0.0", "Get the values of all the given keys", "O(N) where N is the number of keys to retrieve", Some(strings::mget);
        "mset", -3, PAIRS, [WRITE DENYOOM STRING], "string", "1.0.1", "Set multiple keys to multiple values", "O(N) where N is the number of keys to set", Some(strings::mset);
        "msetnx", -3, PAIRS, [WRITE DENYOOM STRING], "string", "1.0.1", "Set multiple keys to multiple values, only if none of the keys exist", "O(N) where N is the number of keys to set", Some(strings::msetnx);
        "persist", 2, ONE_KEY, [WRITE FAST KEYSPACE], "generic", "2.2.0", "Remove the expiration from a key", "O(1)", Some(expiry::persist);
        "pexpire", -3, ONE_KEY, [WRITE FAST KEYSPACE], "generic", "2.6.0", "Set a key's time to live in milliseconds", "O(1)", Some(expiry::pexpire);
        "pexpireat", -3, ONE_KEY, [WRITE FAST KEYSPACE], "generic", "2.6.0", "Set the expiration for a key as a UNIX timestamp specified in milliseconds", "O(1)", Some(expiry::pexpireat);
        "pexpiretime", 2, ONE_KEY, [READONLY FAST KEYSPACE], "generic", "7.0.0", "Get the expiration Unix timestamp for a key in milliseconds", "O(1)", Some(expiry::pexpiretime);
        "ping", -1, NO_KEYS, [FAST CONNECTION], "connection", "1.0.0", "Ping the server", "O(1)", Some(connection::ping);
        "psetex", 4, ONE_KEY, [WRITE DENYOOM STRING], "string", "2.6.0", "Set the value and expiration in milliseconds of a key", "O(1)", Some(set::psetex);
        "pttl", 2, ONE_KEY, [READONLY FAST KEYSPACE], "generic", "2.6.0", "Get the time to live for a key in milliseconds", "O(1)", Some(expiry::pttl);
        "quit", -1, NO_KEYS, [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY CONNECTION], "connection", "1.0.0", "Close the connection", "O(1)", Some(connection::quit);
        "randomkey", 1, NO_KEYS, [READONLY KEYSPACE], "generic", "1.0.0", "Return a random key from the keyspace", "O(1)", Some(keys::randomkey);
        "rename", 3, TWO_KEYS, [WRITE KEYSPACE], "generic", "1.0.0", "Rename a key", "O(1)", Some(keys::rename);
        "renamenx", 3, TWO_KEYS, [WRITE FAST KEYSPACE], "generic", "1.0.0", "Rename a key, only if the new key does not exist", "O(1)", Some(keys::renamenx);
        "reset", 1, NO_KEYS, [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY CONNECTION], "connection", "6.2.0", "Reset the connection", "O(1)", Some(connection::reset);
        "scan", -2, NO_KEYS, [READONLY KEYSPACE], "generic", "2.8.0", "Incrementally iterate the keys space", "O(1) for every call", Some(scan::scan);
        "select", 2, NO_KEYS, [LOADING STALE FAST CONNECTION], "connection", "1.0.0", "Change the selected database for the current connection", "O(1)", Some(connection::select);
        "set", -3, ONE_KEY, [WRITE DENYOOM STRING], "string", "1.0.0", "Set the string value of a key", "O(1)", Some(set::set);
        "setex", 4, ONE_KEY, [WRITE DENYOOM STRING], "string", "2.0.0", "Set the value and expiration of a key", "O(1)", Some(set::setex);
        "setnx", 3, ONE_KEY, [WRITE DENYOOM FAST STRING], "string", "1.0.0", "Set the value of a key, only if the key does not exist", "O(1)", Some(strings::setnx);
        "setrange", 4, ONE_KEY, [WRITE DENYOOM STRING], "string", "2.2.0", "Overwrite part of a string at key starting at the specified offset", "O(1), not counting the time taken to copy the new string in place", Some(strings::setrange);
        "shutdown", -1, NO_KEYS, [ADMIN NOSCRIPT LOADING STALE NO_MULTI ALLOW_BUSY], "server", "1.0.0", "Synchronously save the dataset to disk and then shut down the server", "O(N) when saving, where N is the total number of keys in all databases when saving data, otherwise O(1)", Some(server::shutdown);
        "strlen", 2, ONE_KEY, [READONLY FAST STRING], "string", "2.2.0", "Get the length of the value stored in a key", "O(1)", Some(strings::strlen);
        "substr", 4, ONE_KEY, [READONLY STRING DEPRECATED], "string", "1.0.0", "Get a substring of the string stored at a key", "O(N) where N is the length of the returned string", Some(strings::getrange);
        "time", 1, NO_KEYS, [LOADING STALE FAST], "server", "2.6.0", "Return the current server time", "O(1)", Some(server::time);
        "touch", -2, ALL_KEYS, [READONLY FAST KEYSPACE], "generic", "3.2.1", "Alters the last access time of a key(s). Returns the number of existing keys specified.", "O(N) where N is the number of keys that will be touched", Some(keys::exists);
        "ttl", 2, ONE_KEY, [READONLY FAST KEYSPACE], "generic", "1.0.0", "Get the time to live for a key in seconds", "O(1)", Some(expiry::ttl);
        "type", 2, ONE_KEY, [READONLY FAST KEYSPACE], "generic", "1.0.0", "Determine the type stored at key", "O(1)", Some(keys::r#type);
        "unlink", -2, ALL_KEYS, [WRITE FAST KEYSPACE], "generic", "4.0.0", "Delete a key asynchronously in another thread. Otherwise it is just as DEL, but non blocking.", "O(1) for each key removed regardless of its size", Some(keys::del);
    };

    const CLIENT: &'static [Self] = commands! {
        "client|getname", 2, NO_KEYS, [NOSCRIPT LOADING STALE CONNECTION], "connection", "2.6.9", "Get the current connection name", "O(1)", Some(client::getname);
        "client|help", 2, NO_KEYS, [LOADING STALE CONNECTION], "connection", "5.0.0", "Show helpful text about the different subcommands", "O(1)", Some(client::help);
        "client|id", 2, NO_KEYS, [NOSCRIPT LOADING STALE CONNECTION], "connection", "5.0.0", "Returns the client ID for the current connection", "O(1)", Some(client::id);
        "client|info", 2, NO_KEYS, [NOSCRIPT LOADING STALE CONNECTION], "connection", "6.2.0", "Returns information about the current client connection.", "O(1)", Some(client::info);
        "client|setinfo", 4, NO_KEYS, [NOSCRIPT LOADING STALE CONNECTION], "connection", "7.2.0", "Sets information specific to the client or connection.", "O(1)", Some(client::setinfo);
        "client|setname", 3, NO_KEYS, [NOSCRIPT LOADING STALE CONNECTION], "connection", "2.6.9", "Set the current connection name", "O(1)", Some(client::setname);
    };

    const COMMAND: &'static [Self] = commands! {
        "command|count", 2, NO_KEYS, [LOADING STALE CONNECTION], "server", "2.8.13", "Get total number of Redis commands", "O(1)", Some(introspection::count);
        "command|docs", -2, NO_KEYS, [LOADING STALE CONNECTION], "server", "7.0.0", "Get array of specific Redis command documentation", "O(N) where N is the number of commands to look up", Some(introspection::docs);
        "command|getkeys", -4, NO_KEYS, [LOADING STALE CONNECTION], "server", "2.8.13", "Extract keys given a full Redis command", "O(N) where N is the number of arguments to the command", Some(introspection::getkeys);
        "command|help", 2, NO_KEYS, [LOADING STALE CONNECTION], "server", "5.0.0", "Show helpful text about the different subcommands", "O(1)", Some(introspection::help);
        "command|info", -2, NO_KEYS, [LOADING STALE CONNECTION], "server", "2.8.13", "Get array of specific Redis command details, or all when no argument is given.", "O(N) where N is the number of commands to look up", Some(introspection::info);
        "command|list", -2, NO_KEYS, [LOADING STALE CONNECTION], "server", "7.0.0", "Get an array of Redis command names", "O(N) where N is the total number of Redis commands", Some(introspection::list);
    };

    const CONFIG: &'static [Self] = commands! {
        "config|get", -3, NO_KEYS, [ADMIN NOSCRIPT LOADING STALE], "server", "2.0.0", "Get the values of configuration parameters", "O(N) when N is the number of configuration parameters provided", Some(config::get);
        "config|help", 2, NO_KEYS, [LOADING STALE], "server", "5.0.0", "Show helpful text about the different subcommands", "O(1)", Some(config::help);
        "config|resetstat", 2, NO_KEYS, [ADMIN NOSCRIPT LOADING STALE], "server", "2.0.0", "Reset the stats returned by INFO", "O(1)", Some(config::resetstat);
        "config|set", -4, NO_KEYS, [ADMIN NOSCRIPT LOADING STALE], "server", "2.0.0", "Set configuration parameters to the given values", "O(N) when N is the number of configuration parameters provided", Some(config::set);
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    type Table = Command<&'static pmem::Device>;

    #[test]
    fn the_table_is_sorted_for_the_search() {
        for table in std::iter::once(Table::TABLE).chain(Table::TABLE.iter().map(|command| command.subcommands)) {
            assert!(table.is_sorted_by(|a, b| a.name < b.name));
        }
        for command in Table::TABLE {
            assert_eq!(Table::named(command.name.to_uppercase().as_bytes()).unwrap().full_name, command.full_name);
            assert!(command.run.is_some() || !command.subcommands.is_empty());
        }
    }
}
