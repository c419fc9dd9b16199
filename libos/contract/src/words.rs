//! Words with a meaning: read, and listed for people.

use core::fmt;

/// Words in a sentence.
struct List<'a, T> {
    words: &'a [T],
    last: &'a str,
}

impl<T: fmt::Display> fmt::Display for List<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, word) in self.words.iter().enumerate() {
            match index {
                0 => {}
                _ if index + 1 == self.words.len() => write!(f, " {} ", self.last)?,
                _ => f.write_str(", ")?,
            }
            word.fmt(f)?;
        }
        Ok(())
    }
}

/// Lists `words` in a sentence, `last` before the last of them: `a, b or c`.
pub fn list<'a, T: fmt::Display>(words: &'a [T], last: &'a str) -> impl fmt::Display + 'a {
    List { words, last }
}

/// A word that is none of those that there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown<T: 'static> {
    what: &'static str,
    all: &'static [T],
}

impl<T: fmt::Display> Unknown<T> {
    /// The words that there are, in a sentence.
    pub fn expected(&self) -> impl fmt::Display {
        list(self.all, "or")
    }
}

impl<T: fmt::Display> fmt::Display for Unknown<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} is {}", self.what, self.expected())
    }
}

impl<T: fmt::Debug + fmt::Display> core::error::Error for Unknown<T> {}

/// Finds the one of `all`, which are `what`, that has this word.
///
/// # Errors
/// When none has it.
pub fn read<T: Copy>(
    what: &'static str,
    all: &'static [T],
    word_of: fn(T) -> &'static str,
    word: &str,
) -> Result<T, Unknown<T>> {
    all.iter().copied().find(|one| word_of(*one) == word).ok_or(Unknown { what, all })
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn lists_read_as_sentences() {
        assert_eq!(list(&["a", "b", "c"], "or").to_string(), "a, b or c");
        assert_eq!(list(&["a", "b"], "and").to_string(), "a and b");
        assert_eq!(list(&["a"], "or").to_string(), "a");
    }
}
