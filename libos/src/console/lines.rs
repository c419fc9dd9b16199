//! Whose line the console is in: lines of several writers do not mix.
//!
//! `std` writes to the standard error in pieces (`eprintln!` with arguments), and so may anybody who flushes. The
//! beginning of a line is held back until its end comes, for a moment; what takes longer or does not fit is shown, and
//! whoever writes then begins a line of his own.

use core::time::Duration;

use crate::instant::Instant;

/// How long the beginning of a line is held back.
const HOLD: Duration = Duration::from_millis(20);
/// The longest beginning that is held back, in bytes.
const LONGEST: usize = 256;
/// How many writers' beginnings are held back at a time.
const WRITERS: usize = 4;

/// Who writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writer {
    /// The number of the thread; 0 is the library.
    pub thread: u32,
    /// The standard output, or the standard error.
    pub descriptor: u8,
}

impl Writer {
    /// The library, which writes whole lines.
    pub const LIBRARY: Self = Self { thread: 0, descriptor: 0 };
}

/// The beginning of a line.
#[derive(Clone, Copy, Debug)]
struct Beginning {
    writer: Writer,
    bytes: [u8; LONGEST],
    /// 0 if this place is free.
    length: usize,
    /// When it is shown even without its end.
    due: Instant,
}

impl Beginning {
    const NONE: Self = Self { writer: Writer::LIBRARY, bytes: [0; LONGEST], length: 0, due: Instant::BOOT };

    fn is(&self, writer: Writer) -> bool {
        self.length > 0 && self.writer == writer
    }

    /// Adds bytes at the end; whether they fit.
    fn push(&mut self, bytes: &[u8]) -> bool {
        let Some(room) = self.bytes.get_mut(self.length..self.length + bytes.len()) else { return false };
        room.copy_from_slice(bytes);
        self.length += bytes.len();
        true
    }
}

/// What has been written and not been shown, and in whose line the console is.
#[derive(Debug)]
pub struct Lines {
    /// Who has written the line that the console is in; `None` at the start of a line.
    open: Option<Writer>,
    held: [Beginning; WRITERS],
}

impl Lines {
    /// At the start of a line.
    pub const fn new() -> Self {
        Self { open: None, held: [Beginning::NONE; WRITERS] }
    }

    /// Writes bytes, as far as whole lines go, to `out`. If the beginning of a line is left over: when
    /// [`Lines::release_due`] is to be called.
    pub fn write(
        &mut self,
        writer: Writer,
        bytes: &[u8],
        now: Instant,
        out: &mut impl FnMut(&[u8]),
    ) -> Option<Instant> {
        let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let (whole, rest) = bytes.split_at(whole);
        if !whole.is_empty() {
            // What the same thread wrote before comes before, whichever descriptor it went to.
            self.release(out, |held| held.writer.thread == writer.thread && held.writer != writer);
            self.release(out, |held| held.writer == writer);
            self.show(writer, whole, out);
        }
        if rest.is_empty() { None } else { self.hold(writer, rest, now, out) }
    }

    /// Holds the beginning of a line back, or what has come to it.
    fn hold(&mut self, writer: Writer, bytes: &[u8], now: Instant, out: &mut impl FnMut(&[u8])) -> Option<Instant> {
        // In a line that has begun to be shown there is nothing to hold back.
        if self.open != Some(writer) {
            let at = self.held.iter().position(|held| held.is(writer));
            if let Some(held) =
                at.or_else(|| self.held.iter().position(|held| held.length == 0)).map(|at| &mut self.held[at])
            {
                if held.length == 0 {
                    (held.writer, held.due) = (writer, now + HOLD);
                }
                if held.push(bytes) {
                    return Some(held.due);
                }
            }
        }
        self.release(out, |held| held.writer == writer);
        self.show(writer, bytes, out);
        None
    }

    /// Shows the beginnings that were held back long enough; when to call it again.
    pub fn release_due(&mut self, now: Instant, out: &mut impl FnMut(&[u8])) -> Option<Instant> {
        self.release(out, |held| held.due <= now);
        self.held.iter().filter(|held| held.length > 0).map(|held| held.due).min()
    }

    /// Shows all beginnings that are held back.
    pub fn release_all(&mut self, out: &mut impl FnMut(&[u8])) {
        self.release(out, |_| true);
    }

    /// Begins a line of this writer's, unless the console is in one.
    pub fn begin(&mut self, writer: Writer, out: &mut impl FnMut(&[u8])) {
        if self.open.is_some_and(|open| open != writer) {
            out(b"\n");
        }
        self.open = None;
    }

    fn release(&mut self, out: &mut impl FnMut(&[u8]), which: impl Fn(&Beginning) -> bool) {
        for at in 0..WRITERS {
            let held = self.held[at];
            if held.length > 0 && which(&held) {
                self.held[at].length = 0;
                self.show(held.writer, &held.bytes[..held.length], out);
            }
        }
    }

    fn show(&mut self, writer: Writer, bytes: &[u8], out: &mut impl FnMut(&[u8])) {
        self.begin(writer, out);
        out(bytes);
        self.open = (bytes.last() != Some(&b'\n')).then_some(writer);
    }
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    /// [`HOLD`], as a number of nanoseconds.
    const HELD_FOR: u64 = HOLD.as_nanos() as u64;
    const A: Writer = Writer { thread: 1, descriptor: 1 };
    const A_ERRORS: Writer = Writer { thread: 1, descriptor: 2 };
    const B: Writer = Writer { thread: 2, descriptor: 2 };

    /// What is shown when this is written, each at its time.
    fn shown(writes: &[(Writer, &str, u64)]) -> String {
        let (mut lines, mut shown) = (Lines::new(), Vec::new());
        let mut out = |bytes: &[u8]| shown.extend_from_slice(bytes);
        for &(writer, text, now) in writes {
            let now = Instant::from_nanos(now);
            lines.release_due(now, &mut out);
            lines.write(writer, text.as_bytes(), now, &mut out);
        }
        lines.release_all(&mut out);
        String::from_utf8(shown).unwrap()
    }

    #[test]
    fn lines_in_pieces_stay_whole() {
        let writes = [(A, "one ", 0), (B, "other ", 1), (A, "two", 2), (B, "line\n", 3), (A, " three\n", 4)];
        assert_eq!(shown(&writes), "other line\none two three\n");
    }

    #[test]
    fn what_takes_long_is_shown_and_others_begin_a_line_of_their_own() {
        let prompt = [(A, "name? ", 0), (B, "log\n", HELD_FOR), (A, "x\n", HELD_FOR + 1)];
        assert_eq!(shown(&prompt), "name? \nlog\nx\n");
        // Alone, nothing is cut.
        assert_eq!(shown(&[(A, ".", 0), (A, ".", HELD_FOR), (A, ".\n", 3 * HELD_FOR)]), "...\n");
    }

    #[test]
    fn a_thread_that_writes_to_both_is_shown_in_its_order() {
        assert_eq!(shown(&[(A, "out", 0), (A_ERRORS, "error\n", 1), (A, " more\n", 2)]), "out\nerror\n more\n");
    }

    #[test]
    fn what_does_not_fit_is_shown_at_once() {
        let long = "l".repeat(LONGEST + 1);
        let short = "s".repeat(LONGEST);
        assert_eq!(shown(&[(A, &long, 0), (B, "b\n", 1)]), std::format!("{long}\nb\n"));
        assert_eq!(shown(&[(A, &short, 0), (A, "e", 1), (B, "b\n", 1)]), std::format!("{short}e\nb\n"));
        let many: Vec<_> = (0..6).map(|thread| (Writer { thread, descriptor: 1 }, "x", 0)).collect();
        assert_eq!(shown(&many).matches('x').count(), 6);
    }

    proptest! {
        /// Every byte is shown once, each writer's in its order.
        #[test]
        fn nothing_is_lost_or_doubled(writes in prop::collection::vec((0u32..6, 1u8..3, 0usize..300, 1usize..400, 0..2 * HELD_FOR), 0..40)) {
            let mut now = Instant::BOOT;
            let mut by_writer = std::collections::BTreeMap::<_, Vec<u8>>::new();
            let (mut lines, mut shown) = (Lines::new(), Vec::new());
            for (thread, descriptor, length, line, later) in &writes {
                now = now + Duration::from_nanos(*later);
                // Letters tell the writers apart.
                let letter = b'A' + *thread as u8 * 2 + descriptor;
                let text: Vec<u8> = (1..=*length).map(|at| if at % line == 0 { b'\n' } else { letter }).collect();
                by_writer.entry((thread, descriptor)).or_default().extend(text.iter().filter(|&&byte| byte != b'\n'));
                let mut out = |bytes: &[u8]| shown.extend_from_slice(bytes);
                lines.release_due(now, &mut out);
                lines.write(Writer { thread: *thread, descriptor: *descriptor }, &text, now, &mut out);
            }
            lines.release_all(&mut |bytes: &[u8]| shown.extend_from_slice(bytes));
            for text in shown.split(|&byte| byte == b'\n') {
                prop_assert!(text.windows(2).all(|pair| pair[0] == pair[1]), "two writers in one line");
            }
            for ((thread, descriptor), text) in by_writer {
                let letter = b'A' + *thread as u8 * 2 + descriptor;
                prop_assert_eq!(shown.iter().filter(|&&byte| byte == letter).count(), text.len());
            }
        }
    }
}
