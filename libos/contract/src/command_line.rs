//! The guest's command line: words with spaces between them, options first, then `--` and the program's arguments.
//!
//! Within a word `%20` is a space and `%25` a percent sign.

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// `protection=auto|pks|pku|none`: see [`ProtectionChoice`](crate::protection::ProtectionChoice).
pub const PROTECTION: &str = "protection";
/// `fault-policy=POLICY`: see [`FaultPolicy`](crate::policy::FaultPolicy).
pub const FAULT_POLICY: &str = "fault-policy";
/// `log=warn|info|debug`: see [`LogLevel`](crate::log_level::LogLevel).
pub const LOG: &str = "log";
/// `ip=dhcp|ADDRESS/PREFIX,GATEWAY[,DNS]`: the IPv4 address.
pub const IP: &str = "ip";
/// `name=NAME`: the program's name, its `argv[0]`.
pub const NAME: &str = "name";
/// `env.KEY=VALUE`: a variable of the program's environment begins so.
pub const ENVIRONMENT: &str = "env.";
/// The word before the program's arguments.
pub const ARGUMENTS: &str = "--";

/// A word that is no UTF-8 text, or has a percent sign without two hexadecimal digits, or a zero byte, which would end
/// the C string that carries the word to the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UTF-8 text with % as %25")
    }
}

impl core::error::Error for Malformed {}

/// Percent-encodes what would end a word: every byte up to the space, DEL, and `%` itself.
pub fn encode(word: &str) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(word.len());
    for character in word.chars() {
        match character {
            '\0'..=' ' | '\x7f' | '%' => {
                let byte = character as u8;
                encoded.extend(['%', DIGITS[usize::from(byte >> 4)].into(), DIGITS[usize::from(byte & 0xf)].into()]);
            }
            _ => encoded.push(character),
        }
    }
    encoded
}

/// Turns `%XX` into the byte with that hexadecimal value.
///
/// # Errors
/// When the word was not made by [`encode`] and says nothing.
pub fn decode(word: &str) -> Result<String, Malformed> {
    let bytes = word.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let (byte, after) = match (first, after) {
            (b'%', [high, low, after @ ..]) => (digit(*high)? << 4 | digit(*low)?, after),
            (b'%', _) => return Err(Malformed),
            (byte, after) => (*byte, after),
        };
        if byte == 0 {
            return Err(Malformed);
        }
        decoded.push(byte);
        rest = after;
    }
    String::from_utf8(decoded).map_err(|_| Malformed)
}

/// The value of a hexadecimal digit.
fn digit(digit: u8) -> Result<u8, Malformed> {
    char::from(digit).to_digit(16).map(|value| value as u8).ok_or(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_would_end_a_word_is_encoded_and_nothing_else() {
        assert_eq!(encode("a b\t%\x7f\u{e4}~"), "a%20b%09%25%7F\u{e4}~");
        assert_eq!(decode("a%20b%09%25%7f\u{e4}~").as_deref(), Ok("a b\t%\x7f\u{e4}~"));
    }

    #[test]
    fn words_that_say_nothing_are_refused() {
        for word in ["%", "a%2", "%zz", "%+5", "%0", "%00", "\0", "%ff", "%c3", "%%20", "%2%30"] {
            assert_eq!(decode(word), Err(Malformed), "{word:?}");
        }
    }

    proptest! {
        #[test]
        fn every_word_comes_back(word in "[^\\x00]*") {
            let encoded = encode(&word);
            prop_assert!(!encoded.contains(|c: char| c.is_ascii_whitespace() || c.is_ascii_control()), "{encoded:?}");
            prop_assert_eq!(decode(&encoded), Ok(word));
        }

        #[test]
        fn any_word_is_decoded_or_refused(word in "[%0-9a-fG\\PC]*") {
            if let Ok(decoded) = decode(&word) {
                prop_assert_eq!(decode(&encode(&decoded)), Ok(decoded));
            }
        }
    }
}
