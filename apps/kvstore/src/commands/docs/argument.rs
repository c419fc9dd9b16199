//! What `COMMAND DOCS` says of a command's arguments.

/// One argument, or several of which one is chosen or that belong together.
#[derive(Clone, Copy)]
pub struct Argument {
    /// What it is called.
    pub name: &'static str,
    /// Its type, in Redis's word.
    pub kind: &'static str,
    /// For a key, which of the command's key specifications finds it.
    pub key_spec: Option<usize>,
    /// The word that it follows, or that it is.
    pub token: Option<&'static str>,
    /// The version that had it first, if the command is older.
    pub since: Option<&'static str>,
    /// The version since which it should not be used.
    pub deprecated_since: Option<&'static str>,
    /// Whether it can be left out.
    pub optional: bool,
    /// Whether it can be given several times.
    pub multiple: bool,
    /// Whether its token is then repeated, too.
    pub multiple_token: bool,
    /// What a choice or a block consists of.
    pub parts: &'static [Argument],
}

impl Argument {
    const fn new(kind: &'static str, name: &'static str) -> Self {
        Self {
            name,
            kind,
            key_spec: None,
            token: None,
            since: None,
            deprecated_since: None,
            optional: false,
            multiple: false,
            multiple_token: false,
            parts: &[],
        }
    }

    /// Follows this word.
    pub const fn after(self, token: &'static str) -> Self {
        Self { token: Some(token), ..self }
    }

    /// Is there since this version.
    pub const fn since(self, version: &'static str) -> Self {
        Self { since: Some(version), ..self }
    }

    /// Should not be used since this version.
    pub const fn deprecated(self, version: &'static str) -> Self {
        Self { deprecated_since: Some(version), ..self }
    }

    /// Can be left out.
    pub const fn optional(self) -> Self {
        Self { optional: true, ..self }
    }

    /// Can be given several times.
    pub const fn multiple(self) -> Self {
        Self { multiple: true, ..self }
    }

    /// Can be given several times, each with its token.
    pub const fn multiple_token(self) -> Self {
        Self { multiple_token: true, ..self }
    }

    /// The names of the properties that Redis calls flags.
    pub fn flags(&self) -> impl Iterator<Item = &'static str> + Clone {
        let flags = [(self.optional, "optional"), (self.multiple, "multiple"), (self.multiple_token, "multiple_token")];
        flags.into_iter().filter(|(is, _)| *is).map(|(_, name)| name)
    }
}

/// A key, found by the command's key specification of that index.
pub const fn key(name: &'static str, spec: usize) -> Argument {
    Argument { key_spec: Some(spec), ..Argument::new("key", name) }
}

/// A string.
pub const fn string(name: &'static str) -> Argument {
    Argument::new("string", name)
}

/// An integer.
pub const fn integer(name: &'static str) -> Argument {
    Argument::new("integer", name)
}

/// A floating-point number.
pub const fn double(name: &'static str) -> Argument {
    Argument::new("double", name)
}

/// A glob pattern.
pub const fn pattern(name: &'static str) -> Argument {
    Argument::new("pattern", name)
}

/// A Unix time.
pub const fn unix_time(name: &'static str) -> Argument {
    Argument::new("unix-time", name)
}

/// A word of the command's own.
pub const fn token(name: &'static str, token: &'static str) -> Argument {
    Argument::new("pure-token", name).after(token)
}

/// One of several.
pub const fn one_of(name: &'static str, parts: &'static [Argument]) -> Argument {
    Argument { parts, ..Argument::new("oneof", name) }
}

/// Several that belong together.
pub const fn block(name: &'static str, parts: &'static [Argument]) -> Argument {
    Argument { parts, ..Argument::new("block", name) }
}
