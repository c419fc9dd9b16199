//! Splitting an inline command, such as a person types into telnet, by Redis's quoting rules (`sdssplitargs`).

use std::ops::Range;

/// Splits `line` into `words`, ranges of `text` to which the unquoted words are appended.
///
/// `"..."` understands `\n \r \t \b \a \\ \" \xHH`, `'...'` understands `\'`; a closing quote must end the word.
/// Returns false if the quotes are unbalanced.
pub fn split(line: &[u8], text: &mut Vec<u8>, words: &mut Vec<Range<usize>>) -> bool {
    let mut at = 0;
    loop {
        while at < line.len() && is_space(line[at]) {
            at += 1;
        }
        if at == line.len() {
            return true;
        }
        let start = text.len();
        match word(line, at, text) {
            Some(end) => at = end,
            None => return false,
        }
        words.push(start..text.len());
    }
}

/// How many words there are in `line` at most: each NUL may end one of no bytes, and no other is shorter than a byte
/// and a space.
pub fn most_words(line: &[u8]) -> usize {
    let nuls = line.iter().filter(|byte| **byte == 0).count();
    nuls + (line.len() - nuls) / 2 + 1
}

/// Unquotes the word that starts at `at`; returns where it ends.
fn word(line: &[u8], mut at: usize, text: &mut Vec<u8>) -> Option<usize> {
    while let Some(&byte) = line.get(at) {
        match byte {
            b'"' => return closed(line, double_quoted(line, at + 1, text)?),
            b'\'' => return closed(line, single_quoted(line, at + 1, text)?),
            // Redis takes lines as C strings: a NUL ends the word, as a space does.
            0 => return Some(at + 1),
            _ if is_space(byte) => return Some(at),
            _ => text.push(byte),
        }
        at += 1;
    }
    Some(at)
}

/// A closing quote at `at - 1` must be followed by a space or nothing.
fn closed(line: &[u8], at: usize) -> Option<usize> {
    match line.get(at) {
        None => Some(at),
        Some(&byte) if is_space(byte) || byte == 0 => Some(at),
        Some(_) => None,
    }
}

fn double_quoted(line: &[u8], mut at: usize, text: &mut Vec<u8>) -> Option<usize> {
    loop {
        match (line.get(at)?, line.get(at + 1)) {
            (b'\\', Some(b'x')) if hex(line, at + 2).is_some() => {
                text.push(hex(line, at + 2)?);
                at += 4;
            }
            (b'\\', Some(&escaped)) => {
                text.push(match escaped {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'b' => 8,
                    b'a' => 7,
                    other => other,
                });
                at += 2;
            }
            (b'"', _) => return Some(at + 1),
            (&byte, _) => {
                text.push(byte);
                at += 1;
            }
        }
    }
}

fn single_quoted(line: &[u8], mut at: usize, text: &mut Vec<u8>) -> Option<usize> {
    loop {
        match (line.get(at)?, line.get(at + 1)) {
            (b'\\', Some(b'\'')) => {
                text.push(b'\'');
                at += 2;
            }
            (b'\'', _) => return Some(at + 1),
            (&byte, _) => {
                text.push(byte);
                at += 1;
            }
        }
    }
}

fn hex(line: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*line.get(at)?).to_digit(16);
    Some((digit(at)? * 16 + digit(at + 1)?) as u8)
}

/// C's `isspace`.
fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | 0x0b | 0x0c | b'\r')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(line: &[u8]) -> Option<Vec<Vec<u8>>> {
        let (mut text, mut words) = (Vec::new(), Vec::new());
        split(line, &mut text, &mut words).then(|| words.into_iter().map(|word| text[word].to_vec()).collect())
    }

    #[test]
    fn splits_and_unquotes_as_redis_does() {
        assert_eq!(words(b"").unwrap(), Vec::<Vec<u8>>::new());
        assert_eq!(words(b"  set\ta  b ").unwrap(), [&b"set"[..], b"a", b"b"]);
        assert_eq!(words(br#""a b" 'c d' """#).unwrap(), [&b"a b"[..], b"c d", b""]);
        assert_eq!(words(br#""\x41\x4g\n\"\\" 'it\'s\n'"#).unwrap(), [&b"Ax4g\n\"\\"[..], b"it's\\n"]);
        assert_eq!(words(br#"a"b c""#).unwrap(), [&b"ab c"[..]]);
    }

    proptest! {
        #[test]
        fn no_line_has_more_words_than_are_reserved_for(line in "[a \0\"']{0,12}") {
            let (mut text, mut words) = (Vec::new(), Vec::new());
            split(line.as_bytes(), &mut text, &mut words);
            prop_assert!(words.len() <= most_words(line.as_bytes()), "{} of {line:?}", words.len());
        }
    }

    #[test]
    fn refuses_unbalanced_quotes() {
        for line in [&b"\"a"[..], b"'a", b"\"a\"b", b"'a'b", b"\"a\\", b"\"a\\\""] {
            assert_eq!(words(line), None, "{:?}", line);
        }
    }
}
