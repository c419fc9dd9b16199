//! Redis's glob patterns (`stringmatchlen`): `*`, `?`, `[a-z]`, `[^a]` and `\`.
//!
//! The matcher never recurses: it remembers the last star only, so its time is bounded by the product of the lengths,
//! whatever the pattern.

/// Whether all of `text` matches `pattern`.
pub fn matches(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on after a mismatch: behind the last star, with one more byte of text given to it.
    let mut retry: Option<(usize, usize)> = None;
    loop {
        if pattern.get(p) == Some(&b'*') {
            p += 1;
            if p == pattern.len() {
                return true;
            }
            retry = Some((p, t));
            continue;
        }
        let next = match text.get(t) {
            Some(&byte) if p < pattern.len() => element(pattern, p, byte),
            Some(_) => None,
            None => return p == pattern.len(),
        };
        match (next, retry) {
            (Some(next), _) => {
                p = next;
                t += 1;
            }
            (None, Some((star, given))) => {
                p = star;
                t = given + 1;
                retry = Some((star, t));
            }
            (None, None) => return false,
        }
    }
}

/// Matches `byte` against the element at `at`, which is no star; returns where the next element begins.
fn element(pattern: &[u8], at: usize, byte: u8) -> Option<usize> {
    match pattern[at] {
        b'?' => Some(at + 1),
        b'[' => class(pattern, at + 1, byte),
        b'\\' if at + 1 < pattern.len() => (pattern[at + 1] == byte).then_some(at + 2),
        literal => (literal == byte).then_some(at + 1),
    }
}

/// Matches `byte` against the class whose inside begins at `at`. One that is not closed ends with the pattern.
fn class(pattern: &[u8], mut at: usize, byte: u8) -> Option<usize> {
    let negated = pattern.get(at) == Some(&b'^');
    at += usize::from(negated);
    let mut found = false;
    loop {
        match pattern[at.min(pattern.len())..] {
            [] => break,
            [b'\\', escaped, ..] => {
                found |= escaped == byte;
                at += 2;
            }
            [b']', ..] => {
                at += 1;
                break;
            }
            [start, b'-', end, ..] => {
                found |= (start.min(end)..=start.max(end)).contains(&byte);
                at += 3;
            }
            [literal, ..] => {
                found |= literal == byte;
                at += 1;
            }
        }
    }
    (found != negated).then_some(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "abc", true),
            ("a*c", "abbc", true),
            ("a*c", "abb", false),
            ("*b*d*", "abcde", true),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hello", false),
            ("h[^e]llo", "hbllo", true),
            ("h[a-b]llo", "hbllo", true),
            ("h[b-a]llo", "hallo", true),
            ("[\\]]", "]", true),
            ("[]a]", "a]", false),
            ("[abc", "b", true),
            ("[^", "b", true),
            ("[", "b", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
            ("\\", "\\", true),
            ("a\\", "a\\", true),
            ("[a-", "-", true),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn many_stars_are_not_exponential() {
        let text = "a".repeat(10_000);
        assert!(!matches("a*a*a*a*a*a*a*a*a*a*b".as_bytes(), text.as_bytes()));
    }

    /// The definition, without regard to its cost.
    fn model(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (None, _) => false,
            (Some(b'*'), _) => (0..=text.len()).any(|given| model(&pattern[1..], &text[given..])),
            (_, None) => false,
            (_, Some(&byte)) => element(pattern, 0, byte).is_some_and(|next| model(&pattern[next..], &text[1..])),
        }
    }

    proptest! {
        #[test]
        fn stars_mean_what_they_are_defined_to(pattern in "[ab*?\\[\\]^\\\\-]{0,8}", text in "[ab]{0,8}") {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), model(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_bytes_do_no_harm(pattern: Vec<u8>, text: Vec<u8>) {
            matches(&pattern, &text);
        }
    }
}
