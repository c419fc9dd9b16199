//! What commands are like, in the words of Redis's `COMMAND INFO`.

/// A set of properties of a command.
#[derive(Clone, Copy)]
pub struct Flags(u32);

macro_rules! define {
    ($names:ident: $($bit:literal $name:ident $text:literal,)*) => {
        $(#[doc = concat!("Redis's `", $text, "`.")] pub const $name: Flags = Flags(1 << $bit);)*
        /// In the order in which Redis lists them.
        const $names: &[(Flags, &str)] = &[$(($name, $text)),*];
    };
}

define! { FLAGS:
    0 WRITE "write",
    1 READONLY "readonly",
    2 DENYOOM "denyoom",
    3 ADMIN "admin",
    4 NOSCRIPT "noscript",
    5 LOADING "loading",
    6 STALE "stale",
    8 FAST "fast",
    9 NO_AUTH "no_auth",
    10 NO_MULTI "no_multi",
    11 ALLOW_BUSY "allow_busy",
}

// Categories of access control. What `categories` derives from flags is not given.
define! { CATEGORIES:
    16 KEYSPACE "@keyspace",
    17 READ "@read",
    18 WRITING "@write",
    19 STRING "@string",
    20 BITMAP "@bitmap",
    21 ADMINISTRATION "@admin",
    22 QUICK "@fast",
    23 SLOW "@slow",
    24 DANGEROUS "@dangerous",
    25 CONNECTION "@connection",
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
        self.listed(FLAGS)
    }

    /// The categories of access control, those that follow from flags too.
    pub fn categories(self) -> impl Iterator<Item = &'static str> + Clone {
        let mut all = vec![self, if self.has(FAST) { QUICK } else { SLOW }];
        for (flag, categories) in [(WRITE, &[WRITING][..]), (READONLY, &[READ]), (ADMIN, &[ADMINISTRATION, DANGEROUS])]
        {
            if self.has(flag) {
                all.extend_from_slice(categories);
            }
        }
        Self::union(&all).listed(CATEGORIES)
    }

    fn listed(self, names: &'static [(Self, &'static str)]) -> impl Iterator<Item = &'static str> + Clone {
        names.iter().filter(move |(flag, _)| self.has(*flag)).map(|(_, name)| *name)
    }
}
