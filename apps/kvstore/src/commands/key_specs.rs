//! Where a command's keys are, and what it does with them: Redis's key specifications.

/// A range of arguments that are keys.
pub struct KeySpec {
    /// What people should know of it; empty for nothing.
    pub notes: &'static str,
    /// What becomes of the keys, in Redis's words.
    pub flags: &'static [&'static str],
    /// Index of the first key.
    pub first: usize,
    /// The last key, counted from the first; negative: from the end of the request.
    pub last: i32,
    /// Arguments from one key to the next.
    pub step: usize,
}

impl KeySpec {
    const fn new(flags: &'static [&'static str], first: usize, last: i32, step: usize) -> Self {
        Self { notes: "", flags, first, last, step }
    }

    const fn note(self, notes: &'static str) -> Self {
        Self { notes, ..self }
    }

    /// The indices of its keys in a request of so many arguments.
    pub fn keys(&self, arguments: usize) -> impl Iterator<Item = usize> + Clone + use<> {
        let last = match usize::try_from(self.last) {
            Ok(last) => self.first + last,
            Err(_) => arguments.saturating_sub(self.last.unsigned_abs() as usize),
        };
        (self.first..=last).step_by(self.step)
    }
}

const RO: &[&str] = &["RO"];
const RO_ACCESS: &[&str] = &["RO", "access"];
const RW_UPDATE: &[&str] = &["RW", "update"];
const RW_ACCESS_UPDATE: &[&str] = &["RW", "access", "update"];
const RW_ACCESS_DELETE: &[&str] = &["RW", "access", "delete"];
const OW_UPDATE: &[&str] = &["OW", "update"];
const OW_INSERT: &[&str] = &["OW", "insert"];

/// No keys.
pub const NONE: &[KeySpec] = &[];
/// A key whose value is read.
pub const READ: &[KeySpec] = &[KeySpec::new(RO_ACCESS, 1, 0, 1)];
/// Keys whose values are read.
pub const READ_ALL: &[KeySpec] = &[KeySpec::new(RO_ACCESS, 1, -1, 1)];
/// Two keys whose values are read.
pub const READ_BOTH: &[KeySpec] = &[KeySpec::new(RO_ACCESS, 1, 1, 1)];
/// A key of which something other than its value is read.
pub const LOOK: &[KeySpec] = &[KeySpec::new(RO, 1, 0, 1)];
/// The same behind a subcommand.
pub const SECOND: &[KeySpec] = &[KeySpec::new(RO, 2, 0, 1)];
/// Several of these.
pub const LOOK_ALL: &[KeySpec] = &[KeySpec::new(RO, 1, -1, 1)];
/// A key whose value or expiry is changed and not read.
pub const UPDATE: &[KeySpec] = &[KeySpec::new(RW_UPDATE, 1, 0, 1)];
/// A key whose value is read and changed.
pub const MODIFY: &[KeySpec] = &[KeySpec::new(RW_ACCESS_UPDATE, 1, 0, 1)];
/// A key to whose value something is added.
pub const EXTEND: &[KeySpec] = &[KeySpec::new(&["RW", "insert"], 1, 0, 1)];
/// A key that is read and removed.
pub const TAKE: &[KeySpec] = &[KeySpec::new(RW_ACCESS_DELETE, 1, 0, 1)];
/// Keys that are removed.
pub const REMOVE_ALL: &[KeySpec] = &[KeySpec::new(&["RM", "delete"], 1, -1, 1)];
/// A key that is written whatever there was.
pub const OVERWRITE: &[KeySpec] = &[KeySpec::new(OW_UPDATE, 1, 0, 1)];
/// A key that is written if there was none.
pub const INSERT: &[KeySpec] = &[KeySpec::new(OW_INSERT, 1, 0, 1)];
/// Keys and values that are written whatever there was.
pub const OVERWRITE_PAIRS: &[KeySpec] = &[KeySpec::new(OW_UPDATE, 1, -1, 2)];
/// Keys and values that are written if there were none.
pub const INSERT_PAIRS: &[KeySpec] = &[KeySpec::new(OW_INSERT, 1, -1, 2)];
/// `COPY`.
pub const COPY: &[KeySpec] = &[KeySpec::new(RO_ACCESS, 1, 0, 1), KeySpec::new(OW_UPDATE, 2, 0, 1)];
/// `RENAME`.
pub const RENAME: &[KeySpec] = &[KeySpec::new(RW_ACCESS_DELETE, 1, 0, 1), KeySpec::new(OW_UPDATE, 2, 0, 1)];
/// `RENAMENX`.
pub const RENAMENX: &[KeySpec] = &[KeySpec::new(RW_ACCESS_DELETE, 1, 0, 1), KeySpec::new(OW_INSERT, 2, 0, 1)];
/// `GETEX`.
pub const GETEX: &[KeySpec] =
    &[KeySpec::new(RW_ACCESS_UPDATE, 1, 0, 1).note("RW and UPDATE because it changes the TTL")];
/// `SET`.
pub const SET: &[KeySpec] = &[KeySpec::new(&["RW", "access", "update", "variable_flags"], 1, 0, 1)
    .note("RW and ACCESS due to the optional `GET` argument")];
/// `BITOP`.
pub const BITOP: &[KeySpec] = &[KeySpec::new(OW_UPDATE, 2, 0, 1), KeySpec::new(RO_ACCESS, 3, -1, 1)];
/// `BITFIELD`.
pub const BITFIELD: &[KeySpec] = &[KeySpec::new(&["RW", "access", "update", "variable_flags"], 1, 0, 1)
    .note("This command allows both access and modification of the key")];

/// The first key, the last one (negative: counted from the end) and the step between, as `COMMAND INFO` tells clients
/// that know no specifications; zeros without keys.
pub fn range(specs: &[KeySpec]) -> (usize, i32, usize) {
    match specs {
        [] => (0, 0, 0),
        [one] => (one.first, if one.last < 0 { one.last } else { one.first as i32 + one.last }, one.step),
        several => {
            let first = several.iter().map(|spec| spec.first).min().unwrap_or(0);
            let to_the_end = several.iter().filter(|spec| spec.last < 0).map(|spec| spec.last).max();
            let last = several.iter().map(|spec| spec.first as i32 + spec.last).max().unwrap_or(0);
            (first, to_the_end.unwrap_or(last), 1)
        }
    }
}
