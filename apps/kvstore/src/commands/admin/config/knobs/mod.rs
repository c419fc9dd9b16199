//! The parameters of `CONFIG`: all of Redis 7.0's, and some of our own.

mod facts;
mod kept;
mod live;

use super::kind::{Kind, Why};
use crate::commands::arguments::is;
use crate::shared::Shared;

/// A parameter.
pub struct Knob {
    /// Its name.
    pub name: &'static str,
    /// Its name of old, if it has one.
    pub alias: Option<&'static str>,
    role: Role,
}

/// What becomes of a value.
enum Role {
    /// It has its effect.
    Live { kind: Kind, get: fn(&Shared) -> String, set: fn(&mut Shared, &str) -> Result<(), Why> },
    /// It is told back.
    Kept { kind: Kind, default: &'static str },
    /// It is refused, as Redis does, too.
    Refused { get: fn(&Shared) -> String, why: &'static str },
    /// It is refused, as Redis does, too; the value never changes.
    Constant { value: &'static str, why: &'static str },
    /// It is refused unless it is what is true here anyway.
    Only { get: fn(&Shared) -> String, why: &'static str },
}

const IMMUTABLE: &str = "can't set immutable config";

impl Knob {
    const fn new(name: &'static str, role: Role) -> Self {
        Self { name, alias: None, role }
    }

    const fn live(
        name: &'static str,
        kind: Kind,
        get: fn(&Shared) -> String,
        set: fn(&mut Shared, &str) -> Result<(), Why>,
    ) -> Self {
        Self::new(name, Role::Live { kind, get, set })
    }

    const fn kept(name: &'static str, kind: Kind, default: &'static str) -> Self {
        Self::new(name, Role::Kept { kind, default })
    }

    const fn told(name: &'static str, get: fn(&Shared) -> String) -> Self {
        Self::new(name, Role::Refused { get, why: IMMUTABLE })
    }

    const fn immutable(name: &'static str, value: &'static str) -> Self {
        Self::new(name, Role::Constant { value, why: IMMUTABLE })
    }

    const fn protected(name: &'static str, value: &'static str) -> Self {
        Self::new(name, Role::Constant { value, why: "can't set protected config" })
    }

    const fn only(name: &'static str, why: &'static str, get: fn(&Shared) -> String) -> Self {
        Self::new(name, Role::Only { get, why })
    }

    const fn alias(self, alias: &'static str) -> Self {
        Self { alias: Some(alias), ..self }
    }

    /// All of them.
    pub fn all() -> impl Iterator<Item = &'static Self> {
        [live::KNOBS, facts::KNOBS, kept::KNOBS].into_iter().flatten()
    }

    /// The one that is called so, now or of old, and its name.
    pub fn named(name: &[u8]) -> Option<(&'static str, &'static Self)> {
        let names = Self::all().flat_map(|knob| knob.names().map(move |known| (known, knob)));
        names.into_iter().find(|(known, _)| is(name, known))
    }

    /// What it is called.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + use<> {
        std::iter::once(self.name).chain(self.alias)
    }

    /// Its value.
    pub fn get(&self, shared: &Shared) -> String {
        match self.role {
            Role::Live { get, .. } | Role::Refused { get, .. } | Role::Only { get, .. } => get(shared),
            Role::Kept { default, .. } => shared.settings.kept.get(self.name).map_or(default, String::as_str).into(),
            Role::Constant { value, .. } => value.into(),
        }
    }

    /// Why no value can be set, if so.
    pub fn refusal(&self) -> Option<&'static str> {
        match self.role {
            Role::Refused { why, .. } | Role::Constant { why, .. } => Some(why),
            _ => None,
        }
    }

    /// The value that `text` is, in the form in which it is told, if it can be set.
    pub fn check(&self, shared: &Shared, text: &[u8]) -> Result<String, Why> {
        match self.role {
            Role::Live { kind, .. } | Role::Kept { kind, .. } => kind.check(text),
            Role::Only { get, .. } if get(shared).as_bytes() == text => Ok(get(shared)),
            Role::Only { why, .. } | Role::Refused { why, .. } | Role::Constant { why, .. } => Err(why.into()),
        }
    }

    /// Sets a checked value. It may still be refused.
    pub fn set(&self, shared: &mut Shared, value: &str) -> Result<(), Why> {
        match self.role {
            Role::Live { set, .. } => set(shared, value),
            Role::Kept { .. } => {
                shared.settings.kept.insert(self.name, value.into());
                Ok(())
            }
            Role::Only { .. } | Role::Refused { .. } | Role::Constant { .. } => Ok(()),
        }
    }
}
