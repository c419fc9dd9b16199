//! A process that this thread follows by ptrace(2): its threads, what stops them, and its end.
//!
//! Nothing here waits without a bound: a process that gets signals without end, or a thread that does not stop, is
//! noticed by the clock.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::thread::{sleep, yield_now};
use std::time::{Duration, Instant};

use libc::{c_int, pid_t};

use super::ptrace::{self, Event};
use crate::faults::debugger::{Result, Unfollowed};
use crate::gdb::Stop;

/// How long threads may take to stop when they are told to, and a killed process to end.
const PATIENCE: Duration = Duration::from_secs(30);
/// How often it is looked for an event before it is slept in between, and for how long.
const LOOKS: u32 = 50;
const NAP: Duration = Duration::from_micros(100);
/// What is seen of threads: those that they start, and their ends. They end with the one that follows them.
const OPTIONS: c_int = libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_TRACEEXIT | libc::PTRACE_O_EXITKILL;
/// The signals of a stop that was asked for and of one at a stop point, as the debugger's stub of a guest has them.
const ASKED: u8 = 2;
const TRAPPED: u8 = 5;

/// A process, which is killed with this.
#[derive(Debug)]
pub struct Process {
    pid: pid_t,
    pub(super) threads: Vec<Thread>,
    /// The index of the thread whose registers are asked for.
    pub(super) selected: usize,
    pub(super) memory: File,
    /// Where stop points are, and the bytes of code that they have replaced.
    pub(super) points: BTreeMap<u64, u8>,
    /// The process's status, once it is known: from the moment on at which it is about to end.
    ending: Option<c_int>,
    /// Whether the process is gone.
    gone: bool,
    /// The addresses to which protection keys have denied accesses.
    denied: Vec<u64>,
}

/// A thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Thread {
    pub(super) id: pid_t,
    pub(super) state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Running,
    /// It gets this signal when it runs again, 0 for none.
    Stopped(c_int),
    Gone,
}

impl Process {
    /// Takes hold of all threads of a process, and stops them.
    ///
    /// # Errors
    /// When that is not permitted, or the process is gone.
    pub fn seize(pid: u32) -> Result<Self> {
        let memory = File::options().read(true).write(true).open(format!("/proc/{pid}/mem"))?;
        let mut ids = Vec::new();
        for entry in fs::read_dir(format!("/proc/{pid}/task"))? {
            ids.extend(entry?.file_name().to_string_lossy().parse::<pid_t>());
        }
        ids.sort_unstable();
        let mut process = Self {
            pid: pid as pid_t,
            threads: Vec::new(),
            selected: 0,
            memory,
            points: BTreeMap::new(),
            ending: None,
            gone: false,
            denied: Vec::new(),
        };
        for id in ids {
            ptrace::request(libc::PTRACE_SEIZE, id, OPTIONS as usize)?;
            process.threads.push(Thread { id, state: State::Running });
        }
        process.stop_all()?;
        Ok(process)
    }

    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid as u32
    }

    /// Whether there is nothing left of it.
    pub fn is_gone(&self) -> bool {
        self.gone
    }

    /// Its status of waitpid(2), once it is about to end.
    pub fn ending(&self) -> Option<c_int> {
        self.ending
    }

    /// The addresses to which protection keys have denied accesses, in their order.
    pub fn denied(&self) -> &[u64] {
        &self.denied
    }

    /// Forgets what was denied, and takes the signals away that stopped threads were to get for it.
    pub fn forgive(&mut self) {
        self.denied.clear();
        for thread in self.threads.iter_mut().filter(|thread| thread.state != State::Gone) {
            thread.state = State::Stopped(0);
        }
    }

    /// The threads that are there, by their numbers from 1.
    pub fn living(&self) -> impl Iterator<Item = u32> {
        let living = self.threads.iter().enumerate().filter(|(_, thread)| thread.state != State::Gone);
        living.map(|(index, _)| index as u32 + 1)
    }

    /// The rights of a thread to protection keys.
    ///
    /// # Errors
    /// When it is gone, or the processor has no keys.
    pub fn rights(&self, thread: u32) -> Result<u32> {
        Ok(ptrace::rights(self.threads[thread as usize - 1].id)?)
    }

    /// The thread whose registers are asked for.
    pub(super) fn selected(&self) -> pid_t {
        self.threads[self.selected].id
    }

    /// Lets all threads run that do not.
    pub(super) fn continue_all(&mut self) -> Result<()> {
        (0..self.threads.len()).try_for_each(|index| self.start(index, libc::PTRACE_CONT))
    }

    fn start(&mut self, index: usize, how: libc::c_uint) -> Result<()> {
        let thread = &mut self.threads[index];
        if let State::Stopped(signal) = thread.state {
            thread.state = State::Running;
            match ptrace::request(how, thread.id, signal as usize) {
                // It was killed in the meantime, and what is left of it comes as an event.
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result?,
            }
        }
        Ok(())
    }

    /// Waits until a thread comes to a stop point or the process is about to end; all stand still then.
    pub(super) fn wait_for_stop(&mut self, timeout: Duration) -> Result<Option<Stop>> {
        let deadline = Instant::now() + timeout;
        while let Some((index, event)) = self.next(deadline)? {
            match event {
                Event::Signal(libc::SIGTRAP) if self.is_at_point(index)? => {
                    self.stop_all()?;
                    return Ok(Some(stop(TRAPPED, index)));
                }
                Event::Ending if self.ending.is_some() => {
                    self.stop_all()?;
                    return Ok(Some(stop(0, index)));
                }
                Event::Ended(_) => {}
                _ => self.start(index, libc::PTRACE_CONT)?,
            }
            if Instant::now() >= deadline {
                break;
            }
        }
        Ok(None)
    }

    /// Stops all threads. Whether one of them is at a stop point, which it has just come to, is the stop's signal.
    pub(super) fn stop_all(&mut self) -> Result<Stop> {
        for thread in self.threads.iter().filter(|thread| thread.state == State::Running) {
            // It may be gone, and then its end comes as an event.
            let _ = ptrace::request(libc::PTRACE_INTERRUPT, thread.id, 0);
        }
        let deadline = Instant::now() + PATIENCE;
        let mut reason = stop(ASKED, self.selected);
        while self.threads.iter().any(|thread| thread.state == State::Running) {
            let Some((index, event)) = self.next(deadline)? else {
                return Err(Unfollowed("a thread does not stop".into()));
            };
            if event == Event::Signal(libc::SIGTRAP) && self.is_at_point(index)? {
                reason = stop(TRAPPED, index);
            }
        }
        Ok(reason)
    }

    /// Lets one thread execute one instruction; none, as far as it can be told, if that takes longer than `timeout`.
    pub(super) fn step_one(&mut self, index: usize, timeout: Duration) -> Result<Option<Stop>> {
        let deadline = Instant::now() + timeout;
        self.start(index, libc::PTRACE_SINGLESTEP)?;
        while let Some((whose, event)) = self.next(deadline)? {
            match event {
                Event::Signal(signal) if whose == index => {
                    if signal == libc::SIGTRAP {
                        self.threads[index].state = State::Stopped(0);
                    }
                    return Ok(Some(stop(signal as u8, index)));
                }
                Event::Stopped | Event::Cloned if whose == index => self.start(index, libc::PTRACE_SINGLESTEP)?,
                Event::Ending if self.ending.is_some() => return Ok(Some(stop(0, index))),
                _ => {}
            }
        }
        self.stop_all()?;
        Ok(None)
    }

    /// The next event; a thread that it stops is stopped then. `None` if there is none before the deadline.
    fn next(&mut self, deadline: Instant) -> Result<Option<(usize, Event)>> {
        let mut looks = 0;
        loop {
            if self.gone {
                return Err(Unfollowed("the process has ended".into()));
            }
            if let Some((id, event)) = ptrace::next_event()? {
                let index = self.index(id);
                self.note(index, event)?;
                return Ok(Some((index, event)));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            looks += 1;
            if looks < LOOKS { yield_now() } else { sleep(NAP) }
        }
    }

    /// The index of a thread, which may be a new one.
    fn index(&mut self, id: pid_t) -> usize {
        let known = self.threads.iter().position(|thread| thread.id == id);
        known.unwrap_or_else(|| {
            self.threads.push(Thread { id, state: State::Running });
            self.threads.len() - 1
        })
    }

    fn note(&mut self, index: usize, event: Event) -> Result<()> {
        let thread = &mut self.threads[index];
        let is_first = thread.id == self.pid;
        thread.state = match event {
            Event::Signal(signal) => State::Stopped(signal),
            Event::Stopped | Event::Cloned | Event::Ending => State::Stopped(0),
            Event::Ended(_) => State::Gone,
        };
        match event {
            Event::Signal(libc::SIGSEGV) => self.denied.extend(ptrace::denied(thread.id)?),
            Event::Ending => {
                let status = ptrace::message(thread.id)?;
                // One thread may end while the others go on; by a signal it does not.
                if is_first || libc::WIFSIGNALED(status) {
                    self.ending = Some(status);
                }
            }
            // The first thread's end comes when all others have ended.
            Event::Ended(status) if is_first => (self.ending, self.gone) = (self.ending.or(Some(status)), true),
            _ => {}
        }
        Ok(())
    }

    /// Whether a thread has trapped at a stop point; it stands before the instruction then, and has no signal to get.
    fn is_at_point(&mut self, index: usize) -> Result<bool> {
        let id = self.threads[index].id;
        let mut registers = ptrace::general(id)?;
        let place = registers.rip.wrapping_sub(1);
        if !self.points.contains_key(&place) {
            return Ok(false);
        }
        registers.rip = place;
        ptrace::set_general(id, registers)?;
        self.threads[index].state = State::Stopped(0);
        Ok(true)
    }

    /// Kills it, and waits until it is gone.
    pub fn kill(&mut self) {
        // Some may wait for leave to end already.
        let _ = self.continue_all();
        // SAFETY: the number is that of a child that was not waited for, so it is no other process's.
        let killed = !self.gone && unsafe { libc::kill(self.pid, libc::SIGKILL) } == 0;
        let deadline = Instant::now() + PATIENCE;
        while killed && !self.gone {
            let Ok(Some((index, _))) = self.next(deadline) else { break };
            // A thread that is about to end waits for leave to do so.
            let _ = self.start(index, libc::PTRACE_CONT);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn stop(signal: u8, index: usize) -> Stop {
    Stop { signal, cpu: index as u32 + 1, watched: None }
}
