//! One direction of a connection: what to read, what to hold, when the end is passed on.

use std::io::{self, Read, Write};

/// How many times a pipe reads or writes before others have their turn.
const TURNS: usize = 8;

/// Where a pipe's bytes go; unlike [`Write`] alone it can be told that no more will come.
pub(super) trait Sink: Write {
    /// Passes the end of the stream on.
    fn end(&mut self) -> io::Result<()>;
}

/// What a pipe waits for now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// News from one of its ends.
    Waiting,
    /// Its next turn: there is more to do right away.
    Ready,
    /// Nothing: the end of the stream has been passed on.
    Finished,
}

/// The state of one direction. It holds at most one buffer's worth of bytes, and none while its reader keeps up; it
/// does not read on before it has written what it holds, so a slow reader slows its writer and nobody else.
#[derive(Debug)]
pub(super) struct Pipe {
    held: Vec<u8>,
    written: usize,
    /// The last read may not have been the last that succeeds.
    pub(super) readable: bool,
    /// The last write may not have been the last that succeeds.
    pub(super) writable: bool,
    ended: bool,
    finished: bool,
}

impl Pipe {
    /// A pipe between two sockets that have just been connected.
    pub(super) fn new() -> Self {
        Self { held: Vec::new(), written: 0, readable: true, writable: true, ended: false, finished: false }
    }

    /// Moves bytes until an end blocks, the stream is over or the turn is. `scratch` is the buffer to read into; its
    /// contents mean nothing.
    ///
    /// # Errors
    /// What reading or writing fails with. The connection is broken then.
    pub(super) fn pump(
        &mut self,
        source: &mut impl Read,
        sink: &mut impl Sink,
        scratch: &mut [u8],
    ) -> io::Result<Progress> {
        if self.finished {
            return Ok(Progress::Finished);
        }
        for _ in 0..TURNS {
            if self.written < self.held.len() {
                if !self.writable {
                    return Ok(Progress::Waiting);
                }
                let count = self.write(sink, None)?;
                self.written += count;
                if self.written == self.held.len() {
                    (self.held, self.written) = (Vec::new(), 0);
                }
            } else if self.ended {
                sink.end()?;
                self.finished = true;
                return Ok(Progress::Finished);
            } else if !self.readable {
                return Ok(Progress::Waiting);
            } else {
                match source.read(scratch) {
                    Ok(0) => self.ended = true,
                    Ok(count) => {
                        let fresh = &scratch[..count];
                        let written = if self.writable { self.write(sink, Some(fresh))? } else { 0 };
                        self.held.extend_from_slice(&fresh[written..]);
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.readable = false,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(Progress::Ready)
    }

    /// Writes once, `fresh` bytes or those held, and says how many were taken.
    fn write(&mut self, sink: &mut impl Sink, fresh: Option<&[u8]>) -> io::Result<usize> {
        match sink.write(fresh.unwrap_or(&self.held[self.written..])) {
            Ok(0) => Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => Ok(count),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                Ok(0)
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its steps one by one: bytes, nothing yet, or an error; then the end.
    struct Script(std::collections::VecDeque<Result<Vec<u8>, io::ErrorKind>>);

    impl Read for Script {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            match self.0.pop_front() {
                None => Ok(0),
                Some(Err(kind)) => Err(kind.into()),
                Some(Ok(mut bytes)) => {
                    let count = bytes.len().min(into.len());
                    into[..count].copy_from_slice(&bytes[..count]);
                    if count < bytes.len() {
                        self.0.push_front(Ok(bytes.split_off(count)));
                    }
                    Ok(count)
                }
            }
        }
    }

    /// Takes `room` bytes, then blocks.
    #[derive(Default)]
    struct Bounded {
        taken: Vec<u8>,
        room: usize,
        ended: bool,
    }

    impl Write for Bounded {
        fn write(&mut self, from: &[u8]) -> io::Result<usize> {
            let count = from.len().min(self.room);
            if count == 0 {
                return Err(io::ErrorKind::WouldBlock.into());
            }
            self.room -= count;
            self.taken.extend_from_slice(&from[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Sink for Bounded {
        fn end(&mut self) -> io::Result<()> {
            self.ended = true;
            Ok(())
        }
    }

    fn script(steps: &[Result<&str, io::ErrorKind>]) -> Script {
        Script(steps.iter().map(|step| step.map(|text| text.as_bytes().to_vec())).collect())
    }

    #[test]
    fn bytes_and_then_the_end_arrive() {
        let mut source = script(&[Ok("hello "), Err(io::ErrorKind::Interrupted), Ok("world")]);
        let mut sink = Bounded { room: 100, ..Bounded::default() };
        let mut pipe = Pipe::new();
        assert_eq!(pipe.pump(&mut source, &mut sink, &mut [0; 8]).unwrap(), Progress::Finished);
        assert_eq!(sink.taken, b"hello world");
        assert!(sink.ended);
        assert_eq!(pipe.pump(&mut source, &mut sink, &mut [0; 8]).unwrap(), Progress::Finished);
    }

    #[test]
    fn a_source_without_news_is_waited_for() {
        let mut source = script(&[Ok("a"), Err(io::ErrorKind::WouldBlock), Ok("b")]);
        let mut sink = Bounded { room: 100, ..Bounded::default() };
        let mut pipe = Pipe::new();
        assert_eq!(pipe.pump(&mut source, &mut sink, &mut [0; 8]).unwrap(), Progress::Waiting);
        assert_eq!(sink.taken, b"a");
        assert!(!pipe.readable);
        pipe.readable = true;
        assert_eq!(pipe.pump(&mut source, &mut sink, &mut [0; 8]).unwrap(), Progress::Finished);
        assert_eq!(sink.taken, b"ab");
    }

    #[test]
    fn a_slow_sink_stops_the_reading_and_the_end_waits_for_the_bytes() {
        let mut source = script(&[Ok("0123456789")]);
        let mut sink = Bounded { room: 3, ..Bounded::default() };
        let mut pipe = Pipe::new();
        assert_eq!(pipe.pump(&mut source, &mut sink, &mut [0; 8]).unwrap(), Progress::Waiting);
        assert_eq!(sink.taken, b"012");
        assert_eq!(pipe.held.len() - pipe.written, 5);
        assert_eq!(source.0.len(), 1, "the rest is not read before the held bytes are gone");
        sink.room = 100;
        pipe.writable = true;
        assert_eq!(pipe.pump(&mut source, &mut sink, &mut [0; 8]).unwrap(), Progress::Finished);
        assert_eq!(sink.taken, b"0123456789");
        assert_eq!(pipe.held.capacity(), 0);
    }

    #[test]
    fn a_fast_pair_gives_others_their_turn() {
        let mut source = script(&[Ok("x"); 100]);
        let mut sink = Bounded { room: 1000, ..Bounded::default() };
        let mut pipe = Pipe::new();
        assert_eq!(pipe.pump(&mut source, &mut sink, &mut [0; 8]).unwrap(), Progress::Ready);
        assert_eq!(sink.taken.len(), TURNS);
    }

    #[test]
    fn errors_of_both_ends_come_out() {
        let mut pipe = Pipe::new();
        let mut sink = Bounded { room: 1, ..Bounded::default() };
        let error = pipe.pump(&mut script(&[Err(io::ErrorKind::ConnectionReset)]), &mut sink, &mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}
