//! `LCS`: the longest common subsequence of two strings.

use std::collections::TryReserveError;

use pmem::Medium;

use crate::commands::arguments::{RequestOptions, integer, is};
use crate::commands::failure::{Failure, Outcome, SYNTAX};
use crate::commands::lookup::is_string;
use crate::commands::{Context, Request};
use crate::memory::Buffer;

/// Most that the table of Redis's algorithm may take, in bytes, four for each pair of bytes: it bounds the time that
/// others wait. Ours takes a bit for each.
const TABLE: u64 = 64 << 20;
/// Pairs of bytes that are compared while a byte is moved, at least.
const PAIRS: u64 = 4;

/// What is asked for.
#[derive(Default)]
struct Wanted {
    length: bool,
    indices: bool,
    match_lengths: bool,
    shortest_match: i64,
}

impl Wanted {
    fn parse(mut options: RequestOptions<'_>) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        while let Some(option) = options.next() {
            match option {
                _ if is(option, "IDX") => wanted.indices = true,
                _ if is(option, "LEN") => wanted.length = true,
                _ if is(option, "WITHMATCHLEN") => wanted.match_lengths = true,
                _ if is(option, "MINMATCHLEN") => wanted.shortest_match = integer(options.value()?)?,
                _ => return Err(SYNTAX),
            }
        }
        match wanted.length && wanted.indices {
            true => Err(Failure::text("ERR If you want both the length and indexes, please just use IDX.")),
            false => Ok(wanted),
        }
    }
}

/// `LCS key1 key2 [LEN] [IDX] [MINMATCHLEN length] [WITHMATCHLEN]`
pub fn lcs<M: Medium>(context: &mut Context<'_, '_, M>, request: Request<'_>) -> Outcome {
    let keys = [request.get(1), request.get(2)];
    let found = [context.look(keys[0])?, context.look(keys[1])?];
    if found.iter().flatten().any(|meta| !is_string(meta)) {
        return Err(Failure::text("ERR The specified keys must contain string values"));
    }
    let wanted = Wanted::parse(RequestOptions::new(request, 3))?;
    let lengths = found.map(|found| found.map_or(0, |meta| meta.len));
    let pairs = lengths.iter().fold(1u64, |pairs, length| pairs.saturating_mul(length + 1));
    if pairs.saturating_mul(4) > TABLE.min(context.shared.limits.parser.argument as u64) {
        return Err(Failure::text("ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len"));
    }
    let mut a = value(context, keys[0], lengths[0])?;
    let mut b = value(context, keys[1], lengths[1])?;
    let cuts = Cuts::new(a.bytes(), b.bytes())?;
    let reply = &mut context.reply;
    if wanted.indices {
        reply.map(2);
        reply.bulk(b"matches");
        let start = reply.position();
        let mut count = 0;
        cuts.walk(|found| {
            if found.length as i64 >= wanted.shortest_match {
                count += 1;
                found.write(reply, wanted.match_lengths);
            }
        });
        reply.before(start, |reply| reply.array(count));
        reply.bulk(b"len");
        reply.integer(cuts.length as i64);
    } else if wanted.length {
        reply.integer(cuts.length as i64);
    } else {
        reply.bulk(&cuts.common());
    }
    context.worked(pairs / PAIRS);
    Ok(())
}

/// The value of a key that has this length, 0 if it is not there.
fn value<M: Medium>(context: &mut Context<'_, '_, M>, key: &[u8], length: u64) -> Result<Buffer, Failure> {
    let mut value = Buffer::new(&context.shared.memory);
    if length > 0 {
        value.read(length as usize, |bytes| context.turn.get_range(key, 0, length, bytes))??;
    }
    Ok(value)
}

/// A run of bytes that are the same in both strings.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Match {
    a: usize,
    b: usize,
    length: usize,
}

impl Match {
    fn write(self, reply: &mut crate::resp::Reply<'_>, with_length: bool) {
        reply.array(if with_length { 3 } else { 2 });
        for start in [self.a, self.b] {
            reply.array(2);
            reply.integer(start as i64);
            reply.integer((start + self.length - 1) as i64);
        }
        if with_length {
            reply.integer(self.length as i64);
        }
    }
}

/// So many zeros, if there is memory for them.
fn zeros<T: Clone + Default>(count: usize) -> Result<Vec<T>, TryReserveError> {
    let mut zeros = Vec::new();
    zeros.try_reserve_exact(count)?;
    zeros.resize(count, T::default());
    Ok(zeros)
}

/// The longest common subsequence, as Redis finds it among several: for each pair of beginnings, whether that of `a`
/// without its last byte has more in common with that of `b` than the other way round.
struct Cuts<'s> {
    a: &'s [u8],
    b: &'s [u8],
    length: usize,
    /// A bit for each pair: which string is cut where their last bytes differ.
    cut_a: Vec<u64>,
}

impl<'s> Cuts<'s> {
    fn new(a: &'s [u8], b: &'s [u8]) -> Result<Self, TryReserveError> {
        let mut cuts = Self { a, b, length: 0, cut_a: zeros((a.len() * b.len()).div_ceil(64))? };
        // The row is as long as the shorter one.
        let (long, short) = if a.len() < b.len() { (b, a) } else { (a, b) };
        let swapped = a.len() < b.len();
        let mut row: Vec<u32> = zeros(short.len() + 1)?;
        for (i, &byte) in long.iter().enumerate() {
            let (mut diagonal, mut before) = (0, 0);
            for (j, &other) in short.iter().enumerate() {
                let (above, left) = (row[j + 1], before);
                before = if byte == other { diagonal + 1 } else { above.max(left) };
                if !swapped && above > left {
                    cuts.set(i, j);
                }
                if swapped && left > above {
                    cuts.set(j, i);
                }
                (diagonal, row[j + 1]) = (above, before);
            }
        }
        cuts.length = row.last().map_or(0, |length| *length as usize);
        Ok(cuts)
    }

    fn set(&mut self, i: usize, j: usize) {
        let at = i * self.b.len() + j;
        self.cut_a[at / 64] |= 1 << (at % 64);
    }

    fn cuts_a(&self, i: usize, j: usize) -> bool {
        let at = i * self.b.len() + j;
        self.cut_a[at / 64] >> (at % 64) & 1 == 1
    }

    /// Shows the matches, the last one first.
    fn walk(&self, mut show: impl FnMut(Match)) {
        let (mut i, mut j) = (self.a.len(), self.b.len());
        let mut run: Option<Match> = None;
        while i > 0 && j > 0 {
            if self.a[i - 1] == self.b[j - 1] {
                (i, j) = (i - 1, j - 1);
                let length = run.map_or(0, |run| run.length);
                run = Some(Match { a: i, b: j, length: length + 1 });
            } else {
                run.take().map(&mut show);
                match self.cuts_a(i - 1, j - 1) {
                    true => i -= 1,
                    false => j -= 1,
                }
            }
        }
        run.map(show);
    }

    /// The subsequence itself.
    fn common(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.length);
        self.walk(|found| bytes.extend(self.a[found.a..found.a + found.length].iter().rev()));
        bytes.reverse();
        bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::Harness;

    #[test]
    fn lcs_answers_as_redis() {
        let mut client = Harness::new();
        for (line, reply) in [
            ("mset a ohmytext b mynewtext", "+OK|"),
            ("lcs a b", "$6|mytext|"),
            ("lcs a b len", ":6|"),
            ("lcs a b idx", "*4|$7|matches|*2|*2|*2|:4|:7|*2|:5|:8|*2|*2|:2|:3|*2|:0|:1|$3|len|:6|"),
            ("lcs a b idx minmatchlen 4", "*4|$7|matches|*1|*2|*2|:4|:7|*2|:5|:8|$3|len|:6|"),
            ("lcs a b idx minmatchlen 4 withmatchlen", "*4|$7|matches|*1|*3|*2|:4|:7|*2|:5|:8|:4|$3|len|:6|"),
            ("lcs a b idx minmatchlen -1", "*4|$7|matches|*2|*2|*2|:4|:7|*2|:5|:8|*2|*2|:2|:3|*2|:0|:1|$3|len|:6|"),
            ("lcs a nothing", "$0||"),
            ("lcs a nothing idx", "*4|$7|matches|*0|$3|len|:0|"),
            ("lcs nothing nothing len", ":0|"),
            ("lcs a b len idx", "-ERR If you want both the length and indexes, please just use IDX.|"),
            ("lcs a b minmatchlen", "-ERR syntax error|"),
            ("lcs a b minmatchlen x", "-ERR value is not an integer or out of range|"),
            ("lcs a b nonsense", "-ERR syntax error|"),
            ("lcs a", "-ERR wrong number of arguments for 'lcs' command|"),
        ] {
            assert_eq!(client.send(line), reply, "{line}");
        }
    }

    #[test]
    fn lcs_of_strings_too_long_is_refused() {
        let mut client = Harness::new();
        client.send("setrange a 9999 x");
        client.send("setrange b 9999 x");
        let refused = "-ERR Insufficient memory, transient memory for LCS exceeds proto-max-bulk-len|";
        assert_eq!(client.send("lcs a b"), refused);
        assert_eq!(client.send("lcs a nothing len"), ":0|");
    }

    #[test]
    fn lcs_gives_the_memory_of_its_strings_back() {
        let mut client = Harness::new();
        client.send("setrange a 99999 x");
        client.send("set b x");
        let before = client.shared.memory.used();
        for _ in 0..10 {
            assert_eq!(client.send("lcs a b"), "$1|x|");
        }
        let used = client.shared.memory.used();
        assert!(used <= before + 4096, "{used} after {before}");
    }

    /// The length, by the definition.
    fn longest(a: &[u8], b: &[u8]) -> usize {
        match (a, b) {
            ([a, rest_a @ ..], [b, rest_b @ ..]) if a == b => 1 + longest(rest_a, rest_b),
            ([_, rest_a @ ..], [_, rest_b @ ..]) => longest(rest_a, b).max(longest(a, rest_b)),
            _ => 0,
        }
    }

    proptest! {
        #[test]
        fn what_is_found_is_common_and_none_is_longer(a in "[abc]{0,9}", b in "[abc]{0,9}") {
            let cuts = Cuts::new(a.as_bytes(), b.as_bytes()).unwrap();
            let common = cuts.common();
            prop_assert_eq!(common.len(), cuts.length);
            prop_assert_eq!(cuts.length, longest(a.as_bytes(), b.as_bytes()));
            for whole in [a.as_bytes(), b.as_bytes()] {
                let mut rest = whole.iter();
                prop_assert!(common.iter().all(|byte| rest.any(|other| other == byte)));
            }
        }
    }
}
