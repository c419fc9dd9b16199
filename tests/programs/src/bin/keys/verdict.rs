//! How a case says that something is not as it should be: by an error with a sentence, so that the next case can run.

use std::fmt::{Debug, Display};

/// What a case came to.
pub(crate) type Verdict = Result<(), String>;

/// A case: its name within its source, and what it does.
pub(crate) type Case = (&'static str, fn() -> Verdict);

/// Fails unless `is` is what it should be.
pub(crate) fn same<T: PartialEq + Debug>(what: impl Display, is: T, should: T) -> Verdict {
    if is == should { Ok(()) } else { Err(format!("{what}: {is:?}, should be {should:?}")) }
}

/// Fails unless `condition`.
pub(crate) fn holds(what: impl Display, condition: bool) -> Verdict {
    if condition { Ok(()) } else { Err(format!("not so: {what}")) }
}
