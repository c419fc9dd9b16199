//! What values a parameter takes, as Redis checks them.

use std::borrow::Cow;

use crate::commands::arguments::is;
use crate::number;

/// What values a parameter takes.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// `yes` or `no`.
    YesNo,
    /// An integer in a range.
    Integer(i64, i64),
    /// A number of bytes in a range, perhaps with a unit: `100mb`.
    Memory(u64, u64),
    /// One of some words.
    OneOf(&'static [&'static str]),
    /// Some of some words.
    SomeOf(&'static [&'static str]),
    /// Any text.
    Text,
    /// Pairs of seconds and changes.
    SavePoints,
    /// Classes of keyspace events.
    Events,
    /// Numbers from 0 to 100.
    Percentiles,
    /// Three numbers from -2000 to 2000.
    OomScores,
}

/// Why a value is refused.
pub type Why = Cow<'static, str>;

/// Longest text that is kept, in bytes: more would be a way to use up memory.
const LONGEST: usize = 4096;

impl Kind {
    /// The value as `CONFIG GET` writes it.
    pub fn check(self, value: &[u8]) -> Result<String, Why> {
        match self {
            Self::YesNo => word(&["yes", "no"], value).ok_or("argument must be 'yes' or 'no'".into()),
            Self::Integer(least, most) => {
                let number = number::integer(value).ok_or("argument couldn't be parsed into an integer")?;
                in_range(number, least, most)
            }
            Self::Memory(least, most) => in_range(bytes(value).ok_or("argument must be a memory value")?, least, most),
            Self::OneOf(words) => word(words, value).ok_or_else(|| not_among(words)),
            Self::SomeOf(words) => {
                let chosen: Option<Vec<String>> = elements(value).map(|element| word(words, element)).collect();
                chosen.map(|chosen| chosen.join(" ")).ok_or_else(|| not_among(words))
            }
            Self::Text if value.len() > LONGEST => Err("argument is too long".into()),
            Self::Text => Ok(String::from_utf8_lossy(value).into_owned()),
            Self::SavePoints => save_points(value).ok_or("Invalid save parameters".into()),
            Self::Events => events(value).ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.".into()),
            Self::Percentiles => percentiles(value),
            Self::OomScores => oom_scores(value),
        }
    }
}

/// The word that `value` is, whatever its case.
fn word(words: &[&str], value: &[u8]) -> Option<String> {
    words.iter().find(|word| is(value, word)).map(|word| word.to_string())
}

fn not_among(words: &[&str]) -> Why {
    format!("argument(s) must be one of the following: {}", words.join(", ")).into()
}

fn in_range<N: PartialOrd + std::fmt::Display>(number: N, least: N, most: N) -> Result<String, Why> {
    match number >= least && number <= most {
        true => Ok(number.to_string()),
        false => Err(format!("argument must be between {least} and {most} inclusive").into()),
    }
}

/// What is separated by spaces; nothing is nothing.
fn elements(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|byte| *byte == b' ').filter(move |_| !value.is_empty())
}

/// A number of bytes: `k` is a thousand, `kb` is 1024, and so on.
fn bytes(value: &[u8]) -> Option<u64> {
    const UNITS: [(&str, u64); 8] = [
        ("", 1),
        ("b", 1),
        ("k", 1_000),
        ("kb", 1 << 10),
        ("m", 1_000_000),
        ("mb", 1 << 20),
        ("g", 1_000_000_000),
        ("gb", 1 << 30),
    ];
    let digits = value.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, unit) = value.split_at(digits);
    let (_, factor) = UNITS.iter().find(|(name, _)| is(unit, name))?;
    let number: u64 = match digits {
        [] => 0,
        digits => std::str::from_utf8(digits).ok()?.parse().ok()?,
    };
    number.checked_mul(*factor)
}

fn save_points(value: &[u8]) -> Option<String> {
    let numbers: Option<Vec<i32>> =
        elements(value).map(|element| std::str::from_utf8(element).ok()?.parse().ok()).collect();
    let numbers = numbers?;
    let valid = numbers.len().is_multiple_of(2) && numbers.chunks(2).all(|pair| pair[0] >= 1 && pair[1] >= 0);
    valid.then(|| joined(&numbers))
}

fn joined<T: ToString>(numbers: &[T]) -> String {
    numbers.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

/// Classes of events, each once and in Redis's order; `A` stands for all that begin with those of generic commands.
fn events(value: &[u8]) -> Option<String> {
    const ALL: &[u8] = b"g$lshzxetd";
    const CLASSES: &[u8] = b"g$lshzxetdnKEm";
    if value.iter().any(|class| *class != b'A' && !CLASSES.contains(class)) {
        return None;
    }
    let has = |class: &u8| value.contains(class) || value.contains(&b'A') && ALL.contains(class);
    let all = ALL.iter().all(has);
    let mut text = String::from(if all { "A" } else { "" });
    // With all of them, Redis leaves out that of new keys as well.
    let listed = CLASSES.iter().filter(|class| has(class) && !(all && (ALL.contains(class) || **class == b'n')));
    text.extend(listed.map(|class| char::from(*class)));
    Some(text)
}

fn percentiles(value: &[u8]) -> Result<String, Why> {
    let mut shown = Vec::new();
    for element in elements(value) {
        let number: f64 = std::str::from_utf8(element)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or("Invalid latency-tracking-info-percentiles parameters")?;
        if !(0.0..=100.0).contains(&number) {
            return Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]".into());
        }
        shown.push(format!("{number:.6}").trim_end_matches('0').trim_end_matches('.').to_string());
    }
    Ok(shown.join(" "))
}

fn oom_scores(value: &[u8]) -> Result<String, Why> {
    const OUTSIDE: &str = "Invalid oom-score-adj-values, elements must be between -2000 and 2000.";
    let scores: Vec<i64> = elements(value)
        .map(|element| number::integer(element).filter(|score| (-2000..=2000).contains(score)).ok_or(OUTSIDE))
        .collect::<Result<_, _>>()?;
    if scores.len() != 3 {
        return Err("wrong number of arguments".into());
    }
    Ok(joined(&scores))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_checked_and_written_as_redis_does() {
        const POLICIES: Kind = Kind::OneOf(&["allkeys-lru", "noeviction"]);
        for (kind, value, checked) in [
            (Kind::YesNo, "YES", Ok("yes")),
            (Kind::YesNo, "1", Err("argument must be 'yes' or 'no'")),
            (Kind::Integer(0, 10), "7", Ok("7")),
            (Kind::Integer(0, 10), "07", Err("argument couldn't be parsed into an integer")),
            (Kind::Integer(0, 10), "11", Err("argument must be between 0 and 10 inclusive")),
            (Kind::Memory(0, u64::MAX), "100mb", Ok("104857600")),
            (Kind::Memory(0, u64::MAX), "1G", Ok("1000000000")),
            (Kind::Memory(0, u64::MAX), "12b", Ok("12")),
            (Kind::Memory(0, u64::MAX), "-1", Err("argument must be a memory value")),
            (Kind::Memory(0, u64::MAX), "1tb", Err("argument must be a memory value")),
            (Kind::Memory(0, u64::MAX), "99999999999999999999g", Err("argument must be a memory value")),
            (Kind::Memory(1024, 4096), "1", Err("argument must be between 1024 and 4096 inclusive")),
            (POLICIES, "AllKeys-LRU", Ok("allkeys-lru")),
            (POLICIES, "lru", Err("argument(s) must be one of the following: allkeys-lru, noeviction")),
            (Kind::SomeOf(&["now", "force"]), "Force now", Ok("force now")),
            (Kind::SavePoints, "", Ok("")),
            (Kind::SavePoints, "3600 1 300 100", Ok("3600 1 300 100")),
            (Kind::SavePoints, "3600", Err("Invalid save parameters")),
            (Kind::SavePoints, "0 1", Err("Invalid save parameters")),
            (Kind::Events, "", Ok("")),
            (Kind::Events, "KEA", Ok("AKE")),
            (Kind::Events, "Kxg$", Ok("g$xK")),
            (Kind::Events, "q", Err("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")),
            (Kind::Percentiles, "50 99.90", Ok("50 99.9")),
            (
                Kind::Percentiles,
                "101",
                Err("latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"),
            ),
            (Kind::OomScores, "0 200 800", Ok("0 200 800")),
            (Kind::OomScores, "0 200", Err("wrong number of arguments")),
        ] {
            let expected = checked.map(str::to_string).map_err(Cow::from);
            assert_eq!(kind.check(value.as_bytes()), expected, "{kind:?} {value}");
        }
        assert!(Kind::Text.check(&[b'x'; LONGEST + 1]).is_err());
    }
}
