//! Redis's glob patterns (`stringmatchlen`): `*`, `?`, `[a-z]`, `[^a]` and `\`.
//!
//! A pattern is read once, and becomes a set of bits for each byte: which of its elements take that byte. A text is
//! then matched byte by byte, in one go, with a set of the places in the pattern that its beginning may have come to
//! (the bit-parallel automaton of Baeza-Yates and Gonnet). Nothing is ever tried again, so the time is the text's
//! length times the words of a set, whatever the pattern: one word for up to 63 elements.

use crate::memory::{Charge, Memory, NoMemory};

/// Bytes of the longest key that any pool takes.
pub const LONGEST: usize = u16::MAX as usize;
/// Bits of a word.
const BITS: usize = u64::BITS as usize;

/// A pattern that was read.
pub struct Pattern {
    /// Words of a set of places. Place `n` is before element `n`; the last one is behind them all.
    words: usize,
    /// For each byte the elements that take it, as a set of the places before them.
    takes: Vec<u64>,
    /// The places at which a star stands.
    stars: Vec<u64>,
    /// The number of elements, stars not counted.
    elements: usize,
    /// The pattern is a single star, which Redis does not even look at: it alone takes a text of no bytes.
    everything: bool,
    /// For both sets.
    charge: Charge,
}

/// One element of a pattern.
enum Element<'a> {
    Star,
    Any,
    Literal(u8),
    /// What stands between the brackets.
    Class {
        negated: bool,
        inside: &'a [u8],
    },
}

impl Pattern {
    /// Reads a pattern for texts of at most `longest` bytes. Fails if there is no memory for it.
    ///
    /// What takes more bytes than that takes none of them: the elements beyond are not read.
    pub fn new(pattern: &[u8], longest: usize, memory: &Memory) -> Result<Self, NoMemory> {
        let elements = elements(pattern).filter(|element| !matches!(element, Element::Star));
        let elements = elements.take(longest + 1).count();
        let words = elements / BITS + 1;
        let mut charge = memory.charge();
        let (takes, stars) = (zeros(words * 256, &mut charge)?, zeros(words, &mut charge)?);
        let mut read = Self { words, takes, stars, elements, everything: pattern == b"*", charge };
        read.fill(pattern);
        Ok(read)
    }

    fn fill(&mut self, pattern: &[u8]) {
        let mut place = 0;
        for element in elements(pattern) {
            if let Element::Star = element {
                self.stars[place / BITS] |= 1 << (place % BITS);
                continue;
            }
            if place == self.elements {
                return;
            }
            let mut take = |byte: u8| self.takes[usize::from(byte) * self.words + place / BITS] |= 1 << (place % BITS);
            match element {
                Element::Literal(byte) => take(byte),
                Element::Class { negated, inside } => {
                    let taken = members(inside);
                    (0..=u8::MAX).filter(|byte| taken[usize::from(*byte)] != negated).for_each(take);
                }
                Element::Any | Element::Star => (0..=u8::MAX).for_each(take),
            }
            place += 1;
        }
    }

    /// Whether all of `text` matches.
    pub fn matches(&self, text: &[u8]) -> bool {
        if self.everything || text.is_empty() {
            // To Redis no star takes nothing of nothing, except the one that it does not look at.
            return self.everything || self.elements == 0 && self.stars[0] & 1 == 0;
        }
        if text.len() < self.elements {
            return false;
        }
        match self.words {
            1 => self.run(text, [0]),
            words => self.run(text, vec![0; words]),
        }
    }

    fn run(&self, text: &[u8], mut places: impl AsMut<[u64]>) -> bool {
        let places = places.as_mut();
        places[0] = 1;
        for &byte in text {
            let takes = &self.takes[usize::from(byte) * self.words..][..self.words];
            let mut carry = 0;
            for ((place, take), star) in places.iter_mut().zip(takes).zip(&self.stars) {
                let next = *place & take;
                *place = *place & star | next << 1 | carry;
                carry = next >> (BITS - 1);
            }
        }
        places[self.elements / BITS] >> (self.elements % BITS) & 1 == 1
    }

    /// What matching a text of `len` bytes costs, in bytes that could be moved meanwhile.
    pub fn cost(&self, len: usize) -> u64 {
        (len * self.words) as u64
    }

    /// Bytes of memory that it takes.
    pub fn memory(&self) -> usize {
        self.charge.bytes()
    }
}

fn zeros(count: usize, charge: &mut Charge) -> Result<Vec<u64>, NoMemory> {
    let mut zeros = Vec::new();
    charge.reserve(&mut zeros, count)?;
    zeros.resize(count, 0);
    Ok(zeros)
}

/// The elements of a pattern, in order.
fn elements(pattern: &[u8]) -> impl Iterator<Item = Element<'_>> {
    let mut rest = pattern;
    std::iter::from_fn(move || {
        let (&first, behind) = rest.split_first()?;
        rest = behind;
        Some(match first {
            b'*' => Element::Star,
            b'?' => Element::Any,
            b'[' => {
                let negated = rest.first() == Some(&b'^');
                let inside = &rest[usize::from(negated)..];
                let len = class_len(inside);
                rest = inside.get(len + 1..).unwrap_or_default();
                Element::Class { negated, inside: &inside[..len] }
            }
            b'\\' if !rest.is_empty() => {
                let literal = rest[0];
                rest = &rest[1..];
                Element::Literal(literal)
            }
            literal => Element::Literal(literal),
        })
    })
}

/// Bytes from one member of a class to the next: a byte, one behind a backslash, or a range.
fn member_len(class: &[u8]) -> usize {
    match class {
        [b'\\', _, ..] => 2,
        [_, b'-', _, ..] => 3,
        _ => 1,
    }
}

/// Where the class that `text` begins with ends: at its bracket, or with the pattern.
fn class_len(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() && text[at] != b']' {
        at += member_len(&text[at..]);
    }
    at
}

/// Which bytes stand in a class.
fn members(mut inside: &[u8]) -> [bool; 256] {
    let mut members = [false; 256];
    while !inside.is_empty() {
        let (member, rest) = inside.split_at(member_len(inside));
        match *member {
            [byte] | [_, byte] => members[usize::from(byte)] = true,
            // Redis compares what is a signed number in C.
            [start, _, end] => {
                let (start, end) = (start as i8, end as i8);
                (start.min(end)..=start.max(end)).for_each(|byte| members[usize::from(byte as u8)] = true);
            }
            _ => {}
        }
        inside = rest;
    }
    members
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(pattern: &[u8], longest: usize) -> Pattern {
        Pattern::new(pattern, longest, &Memory::new(16 << 20)).unwrap()
    }

    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        read(pattern, text.len()).matches(text)
    }

    #[test]
    fn patterns_match_as_in_redis() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("**", "", false),
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
            ("a[b-]c]d", "abd", true),
            ("*[*]*", "a*b", true),
            ("*?", "a", true),
            ("?*", "", false),
        ] {
            assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn a_place_behind_the_first_word_is_as_good_as_one_in_it() {
        for len in [62, 63, 64, 65, 127, 128, 129, 1000] {
            let text = "a".repeat(len);
            assert!(matches(text.as_bytes(), text.as_bytes()));
            assert!(matches(format!("*{text}").as_bytes(), format!("b{text}").as_bytes()));
            assert!(!matches(format!("{text}?").as_bytes(), text.as_bytes()));
            assert!(!matches(text.as_bytes(), format!("{text}a").as_bytes()));
        }
    }

    /// What was quadratic, or worse, costs what its length and its words do.
    #[test]
    fn stars_and_long_classes_cost_no_more_than_the_text_is_long() {
        let text = "a".repeat(20_000);
        let class = format!("*[{}]b", "x".repeat(20_000));
        for pattern in ["a*a*a*a*a*a*a*a*a*a*b", &class] {
            let pattern = read(pattern.as_bytes(), LONGEST);
            assert!(!pattern.matches(text.as_bytes()));
            assert_eq!(pattern.cost(text.len()), text.len() as u64);
        }
    }

    #[test]
    fn a_pattern_takes_no_more_memory_than_the_longest_key_calls_for() {
        let most = read(&b"[a]".repeat(LONGEST), LONGEST);
        assert!(most.matches(&b"a".repeat(LONGEST)));
        let more = read(&b"[a]".repeat(10 * LONGEST), LONGEST);
        assert!(!more.matches(&b"a".repeat(LONGEST)));
        assert!(more.memory() <= most.memory() + 4096);
    }

    /// Redis's way, without regard to its cost.
    fn reference(pattern: &[u8], text: &[u8]) -> bool {
        fn go(pattern: &[u8], text: &[u8]) -> bool {
            let Some((&first, rest)) = pattern.split_first() else { return text.is_empty() };
            if first == b'*' {
                return (0..=text.len()).any(|given| go(rest, &text[given..]));
            }
            let Some((&byte, behind)) = text.split_first() else { return false };
            match first {
                b'?' => go(rest, behind),
                b'\\' if !rest.is_empty() => rest[0] == byte && go(&rest[1..], behind),
                b'[' => class(rest, byte).is_some_and(|rest| go(rest, behind)),
                literal => literal == byte && go(rest, behind),
            }
        }
        fn class(mut class: &[u8], byte: u8) -> Option<&[u8]> {
            let negated = class.first() == Some(&b'^');
            class = &class[usize::from(negated)..];
            let mut found = false;
            loop {
                match *class {
                    [b'\\', escaped, ref rest @ ..] => {
                        found |= escaped == byte;
                        class = rest;
                    }
                    [b']', ref rest @ ..] => {
                        class = rest;
                        break;
                    }
                    [] => break,
                    [start, b'-', end, ref rest @ ..] => {
                        let (start, end) = (start as i8, end as i8);
                        found |= (start.min(end)..=start.max(end)).contains(&(byte as i8));
                        class = rest;
                    }
                    [literal, ref rest @ ..] => {
                        found |= literal == byte;
                        class = rest;
                    }
                }
            }
            (found != negated).then_some(class)
        }
        match text {
            [] => pattern.is_empty() || pattern == b"*",
            text => go(pattern, text),
        }
    }

    proptest! {
        #[test]
        fn any_pattern_means_what_it_means_to_redis(
            pattern in "[abc*?\\[\\]^\\\\-]{0,12}",
            text in "[abc\\[\\]^*-]{0,8}",
        ) {
            prop_assert_eq!(matches(pattern.as_bytes(), text.as_bytes()), reference(pattern.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn any_bytes_do_no_harm(pattern: Vec<u8>, text: Vec<u8>) {
            prop_assert_eq!(matches(&pattern, &text), reference(&pattern, &text));
        }
    }
}
