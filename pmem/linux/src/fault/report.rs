//! The report of a fault, on the error output: the lines that the guest prints on its console.
//!
//! Whatever needs no more than system calls is said first. The names of functions come last, since a symboliser
//! allocates, and what holds the allocator may be what has failed.

use core::array;
use core::fmt::{self, Write};

use libos_contract::report as said;
use libos_contract::report::{BACKTRACE, Code, Context, LAST_GRANTS, RIGHTS};
use libos_contract::rights::Rights;

use super::frame::Frame;
use super::{backtrace, end, system};
use crate::devices::{self, Name, OpenDevice};
use crate::record::{self, LastGrants};

/// Rights, with the names of the devices that they open.
struct Named(Rights);

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: [Option<Name>; 16] = array::from_fn(|key| devices::owner_of(key as u8).map(OpenDevice::name));
        self.0.describe(f, |key| names[usize::from(key)].as_ref().map(Name::as_str))
    }
}

/// Writes to the error output, each line by one system call.
pub(super) struct Output {
    line: [u8; 512],
    length: usize,
}

impl Output {
    pub(super) const fn new() -> Self {
        Self { line: [0; 512], length: 0 }
    }

    fn flush(&mut self) {
        system::write_error(&self.line[..self.length]);
        self.length = 0;
    }

    /// Writes a part of a line.
    pub(super) fn part(&mut self, part: fmt::Arguments<'_>) {
        // It does not fail: what cannot be written is left out.
        let _ = self.write_fmt(part);
    }

    /// Writes a line, or what is left of it.
    pub(super) fn line(&mut self, line: fmt::Arguments<'_>) {
        self.part(format_args!("{line}\n"));
    }
}

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.length == self.line.len() {
                self.flush();
            }
            self.line[self.length] = byte;
            self.length += 1;
            if byte == b'\n' {
                self.flush();
            }
        }
        Ok(())
    }
}

/// Writes a report whose first line is `headline`; the frames that its backtrace has.
pub(super) fn write(output: &mut Output, headline: fmt::Arguments<'_>, interrupted: &Frame<'_>) -> backtrace::Frames {
    output.line(headline);
    write_context(output, interrupted);
    if let Some(rights) = interrupted.rights() {
        output.line(format_args!("{RIGHTS}{}", Named(rights)));
    }
    output.line(format_args!("{}", interrupted.registers()));
    let (code, length) = code(interrupted);
    output.line(format_args!("{}", Code(&code[..length])));
    output.line(format_args!("{LAST_GRANTS}{}", LastGrants));
    // With its stack pointer in a device nothing leads to the callers, and looking there would be one more stray
    // access.
    let has_stack = devices::device_at(interrupted.stack_pointer() as usize).is_none();
    let frames = backtrace::Frames::new(interrupted.instruction(), has_stack);
    output.line(format_args!("{BACKTRACE}"));
    for (depth, &address) in frames.addresses().iter().enumerate() {
        output.line(format_args!("{}", said::Frame { depth, address }));
    }
    frames
}

/// Writes a report, with names, and ends the process by the signal that has come.
pub(super) fn last(interrupted: &Frame<'_>, headline: fmt::Arguments<'_>) -> ! {
    let mut output = Output::new();
    let frames = write(&mut output, headline, interrupted);
    end::within_bounds(interrupted.info());
    output.line(format_args!("  functions:"));
    backtrace::write_functions(&mut output, &frames);
    output.line(format_args!("  takers of the last grants:"));
    backtrace::write_takers(&mut output, record::takers().into_iter().take_while(|&taker| taker != 0));
    end::by(interrupted.info())
}

/// Writes who was running.
fn write_context(output: &mut Output, interrupted: &Frame<'_>) {
    let mut name = [0; 16];
    let context = Context {
        thread: u64::from(system::thread_id().unsigned_abs()),
        name: system::thread_name(&mut name),
        cpu: system::cpu(),
        handlers: u32::from(interrupted.is_in_handler()),
    };
    output.line(format_args!("{context}"));
}

/// The bytes of the interrupted instruction and what follows it, as far as they can be read, and none of a device's.
pub(super) fn code(interrupted: &Frame<'_>) -> ([u8; 15], usize) {
    const PAGE: u64 = 1 << 12;
    let start = interrupted.instruction();
    let mut code = [0; 15];
    if devices::device_at(start as usize).is_some() {
        return (code, 0);
    }
    // One page after the other: the second one may not be there.
    let in_page = ((PAGE - start % PAGE) as usize).min(code.len());
    let mut length = system::read_memory(start, &mut code[..in_page]);
    let next = start.wrapping_add(length as u64);
    if length == in_page && in_page < code.len() && devices::device_at(next as usize).is_none() {
        length += system::read_memory(next, &mut code[length..]);
    }
    (code, length)
}
