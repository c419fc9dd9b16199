//! What commands are like, in the words of Redis's `COMMAND INFO`.

/// A set of properties of a command.
#[derive(Clone, Copy)]
pub struct Flags(u32);

macro_rules! define {
    ($($bit:literal $name:ident $text:literal,)*) => {
        impl Flags {
            $(#[doc = concat!("Redis's `", $text, "`.")] pub const $name: Self = Self(1 << $bit);)*
            const NAMES: &[(Self, &str)] = &[$((Self::$name, $text)),*];
        }
    };
}

// Below bit 16 what Redis lists as flags, above it categories of access control, and our own above bit 24.
define! {
    0 WRITE "write",
    1 READONLY "readonly",
    2 DENYOOM "denyoom",
    3 ADMIN "admin",
    4 NOSCRIPT "noscript",
    5 LOADING "loading",
    6 STALE "stale",
    7 FAST "fast",
    8 NO_AUTH "no_auth",
    9 ALLOW_BUSY "allow_busy",
    10 NO_MULTI "no_multi",
    16 KEYSPACE "@keyspace",
    17 STRING "@string",
    18 CONNECTION "@connection",
    19 DANGEROUS "@dangerous",
    24 DEPRECATED "deprecated",
}

impl Flags {
    /// The union of some flags.
    pub const fn union(flags: &[Self]) -> Self {
        let (mut bits, mut at) = (0, 0);
        while at < flags.len() {
            bits |= flags[at].0;
            at += 1;
        }
        Self(bits)
    }

    /// Whether all of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The names of the flags proper.
    pub fn names(self) -> impl Iterator<Item = &'static str> + Clone {
        self.within(0..16)
    }

    /// The categories of access control, those that follow from flags too.
    pub fn categories(self) -> impl Iterator<Item = &'static str> + Clone {
        let implied = [
            (self.has(Self::WRITE), "@write"),
            (self.has(Self::READONLY), "@read"),
            (self.has(Self::ADMIN), "@admin"),
            (self.has(Self::ADMIN) && !self.has(Self::DANGEROUS), "@dangerous"),
            (self.has(Self::FAST), "@fast"),
            (!self.has(Self::FAST), "@slow"),
        ];
        implied.into_iter().filter(|(is, _)| *is).map(|(_, name)| name).chain(self.within(16..24))
    }

    fn within(self, bits: std::ops::Range<u32>) -> impl Iterator<Item = &'static str> + Clone {
        let wanted = move |flag: &Self| bits.contains(&flag.0.trailing_zeros()) && self.has(*flag);
        Self::NAMES.iter().filter(move |(flag, _)| wanted(flag)).map(|(_, name)| *name)
    }
}
