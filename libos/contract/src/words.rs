//! Words with a meaning, listed for people.

use core::fmt;

/// Lists `words` in a sentence, `last` before the last of them: `a, b or c`.
pub fn list<'a, T: fmt::Display>(words: &'a [T], last: &'a str) -> impl fmt::Display + 'a {
    fmt::from_fn(move |f| {
        for (index, word) in words.iter().enumerate() {
            match index {
                0 => {}
                _ if index + 1 == words.len() => write!(f, " {last} ")?,
                _ => f.write_str(", ")?,
            }
            word.fmt(f)?;
        }
        Ok(())
    })
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
