//! What the guest printed: read from QEMU's pipe line by line, kept, and waited for.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Exit;

/// Lines that a console keeps; older ones are dropped.
const KEPT_LINES: usize = 1 << 16;
/// Bytes after which a line is broken, so that a guest that prints no newline cannot fill the memory.
const LONGEST_LINE: u64 = 1 << 14;

/// News from a running machine, for who wants them as they come.
#[derive(Debug)]
pub enum Event {
    /// The guest printed this line.
    Line(String),
    /// QEMU itself said this.
    Diagnostic(String),
    /// The machine is gone. Nothing follows.
    Exited(Exit),
}

/// The lines of one machine, and its end.
#[derive(Debug, Default)]
pub struct Console {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    lines: VecDeque<String>,
    /// How many lines were dropped before the first one kept.
    dropped: usize,
    diagnostics: Vec<String>,
    exit: Option<Exit>,
}

impl Console {
    /// Everything that the guest printed so far, oldest first.
    pub fn lines(&self) -> Vec<String> {
        self.state().lines.iter().cloned().collect()
    }

    /// Everything that QEMU itself said so far.
    pub fn diagnostics(&self) -> Vec<String> {
        self.state().diagnostics.clone()
    }

    /// How the machine ended, once it has.
    pub fn exit(&self) -> Option<Exit> {
        self.state().exit
    }

    /// Waits until the machine has ended, and says how; `None` after `timeout`.
    pub fn wait_for_exit(&self, timeout: Duration) -> Option<Exit> {
        self.wait(timeout, |state| state.exit)
    }

    /// Waits for the first line, past or future, that `wanted` makes something of. `None` when the machine ends
    /// without it, or after `timeout`.
    pub fn wait_for_line<T>(&self, timeout: Duration, mut wanted: impl FnMut(&str) -> Option<T>) -> Option<T> {
        let mut seen = 0;
        self.wait(timeout, |state| {
            let fresh = state.lines.iter().skip(seen.max(state.dropped) - state.dropped);
            let found = fresh.map(String::as_str).find_map(&mut wanted);
            seen = state.dropped + state.lines.len();
            match (found, state.exit) {
                (Some(found), _) => Some(Some(found)),
                (None, Some(_)) => Some(None),
                (None, None) => None,
            }
        })
        .flatten()
    }

    pub(super) fn push_line(&self, line: String) {
        let mut state = self.state();
        if state.lines.len() == KEPT_LINES {
            state.lines.pop_front();
            state.dropped += 1;
        }
        state.lines.push_back(line);
        self.changed.notify_all();
    }

    pub(super) fn push_diagnostic(&self, line: String) {
        let mut state = self.state();
        // QEMU says little; what it repeats without end is not worth keeping.
        if state.diagnostics.len() < KEPT_LINES {
            state.diagnostics.push(line);
        }
    }

    pub(super) fn set_exit(&self, exit: Exit) {
        self.state().exit = Some(exit);
        self.changed.notify_all();
    }

    fn wait<T>(&self, timeout: Duration, mut ready: impl FnMut(&State) -> Option<T>) -> Option<T> {
        let deadline = Instant::now() + timeout;
        let mut state = self.state();
        loop {
            if let Some(value) = ready(&state) {
                return Some(value);
            }
            let left = deadline.checked_duration_since(Instant::now())?;
            state = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A thread that panicked while it held the lock has left complete lines behind all the same.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads lines from `pipe` until it ends, and hands each to `sink`, fit for a terminal.
pub(super) fn read_lines(pipe: impl Read, mut sink: impl FnMut(String)) {
    let mut reader = BufReader::new(pipe);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LONGEST_LINE).read_until(b'\n', &mut line) {
            Ok(1..) => sink(printable(&line)),
            // The pipe ends with QEMU; an error on it means no more.
            Ok(0) | Err(_) => return,
        }
    }
}

/// `line` as text without its end and without control characters: what a guest prints may come from its network, and
/// must not drive the terminal.
fn printable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    let mut printable = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() && character != '\t' {
            printable.extend(character.escape_default());
        } else {
            printable.push(character);
        }
    }
    printable
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::thread;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn lines_lose_their_ends_and_their_control_characters() {
        let mut lines = Vec::new();
        read_lines(&b"one\r\ntwo\x1b[31m\xff\n\nlast"[..], |line| lines.push(line));
        assert_eq!(lines, ["one", "two\\u{1b}[31m\u{fffd}", "", "last"]);
    }

    #[test]
    fn a_line_without_an_end_is_broken() {
        let endless = vec![b'x'; LONGEST_LINE as usize * 2 + 1];
        let mut lengths = Vec::new();
        read_lines(&endless[..], |line| lengths.push(line.len()));
        assert_eq!(lengths, [LONGEST_LINE as usize, LONGEST_LINE as usize, 1]);
    }

    #[test]
    fn waiting_finds_past_and_future_lines() {
        let console = Arc::new(Console::default());
        console.push_line("first".into());
        assert_eq!(console.wait_for_line(LONG, |line| (line == "first").then_some(1)), Some(1));
        let other = Arc::clone(&console);
        let waiter =
            thread::spawn(move || other.wait_for_line(LONG, |line| line.strip_prefix("port ").map(str::to_owned)));
        console.push_line("port 7".into());
        assert_eq!(waiter.join().unwrap().as_deref(), Some("7"));
    }

    #[test]
    fn waiting_ends_with_the_machine() {
        let console = Arc::new(Console::default());
        let other = Arc::clone(&console);
        let waiter = thread::spawn(move || other.wait_for_line(LONG, |line| (line == "never").then_some(())));
        console.push_line("something".into());
        console.set_exit(Exit::Guest(3));
        assert_eq!(waiter.join().unwrap(), None);
        assert_eq!(console.wait_for_exit(LONG), Some(Exit::Guest(3)));
    }

    #[test]
    fn waiting_gives_up_at_the_timeout() {
        assert_eq!(Console::default().wait_for_exit(Duration::ZERO), None);
    }

    #[test]
    fn old_lines_are_dropped_and_new_ones_still_found() {
        let console = Console::default();
        for number in 0..=KEPT_LINES {
            console.push_line(number.to_string());
        }
        assert_eq!(console.lines().len(), KEPT_LINES);
        assert_eq!(console.lines()[0], "1");
        let last = KEPT_LINES.to_string();
        assert!(console.wait_for_line(Duration::ZERO, |line| (line == last).then_some(())).is_some());
    }
}
