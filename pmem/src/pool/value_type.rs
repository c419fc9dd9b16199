//! Types of values: what a program says that a value is.

use core::fmt;

/// What kind of value a key has. The pool keeps it beside the value, as it keeps the expiry, and acts on it nowhere; a
/// number that this version has no name for is kept like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ValueType(u8);

impl ValueType {
    /// Bytes. What a value is of which nothing else is said.
    pub const STRING: ValueType = ValueType(0);
    /// A hash, from fields to values.
    pub const HASH: ValueType = ValueType(1);
    /// A list.
    pub const LIST: ValueType = ValueType(2);
    /// A set.
    pub const SET: ValueType = ValueType(3);
    /// A sorted set.
    pub const SORTED_SET: ValueType = ValueType(4);
    /// A stream.
    pub const STREAM: ValueType = ValueType(5);

    /// Those that have names, in the order of their numbers.
    const NAMES: [&'static str; 6] = ["string", "hash", "list", "set", "zset", "stream"];

    /// The type of this number.
    pub const fn new(number: u8) -> ValueType {
        ValueType(number)
    }

    /// The number that the medium has.
    pub const fn number(self) -> u8 {
        self.0
    }

    /// What Redis calls it, if it has a name.
    pub fn name(self) -> Option<&'static str> {
        Self::NAMES.get(usize::from(self.0)).copied()
    }

    /// The type that has this name.
    pub fn of_name(name: &str) -> Option<ValueType> {
        Self::NAMES.iter().position(|known| *known == name).map(|number| ValueType(number as u8))
    }
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "type {}", self.0),
        }
    }
}
