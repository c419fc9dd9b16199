//! Who called the instruction that went astray, and the names of all of them.

use core::ffi::c_void;

use super::report::Output;

/// The most frames that a backtrace shows.
const MOST: usize = 48;

/// The interrupted instruction's address, and the return addresses of its callers, innermost first.
pub(super) struct Frames {
    addresses: [u64; MOST],
    count: usize,
}

impl Frames {
    /// Those of what a signal interrupted at `instruction`, found through the running handler's own frames. An
    /// instruction to which no frame leads, where there is no code or no stack for example, is the only one.
    pub(super) fn new(instruction: u64, has_stack: bool) -> Self {
        let mut frames = Self { addresses: [0; MOST], count: 0 };
        let find = |frame: &backtrace::Frame| {
            let address = frame.ip() as u64;
            // The handler's frames come first, and end with the one that the signal has made. Who calls a thread's
            // first function is nowhere.
            if address != 0 && (frames.count != 0 || address == instruction) {
                frames.addresses[frames.count] = address;
                frames.count += 1;
            }
            frames.count < MOST
        };
        if has_stack {
            backtrace::trace(find);
        }
        if frames.count == 0 {
            frames.addresses[0] = instruction;
            frames.count = 1;
        }
        frames
    }

    pub(super) fn addresses(&self) -> &[u64] {
        &self.addresses[..self.count]
    }
}

/// Writes a line for each frame with the function that is there, and below it those that it was inlined into. It takes
/// locks and allocates.
pub(super) fn write_functions(output: &mut Output, frames: &Frames) {
    for (depth, &address) in frames.addresses().iter().enumerate() {
        // A return address is behind the call, which may be another line's or function's.
        let exact = if depth == 0 { address } else { address - 1 };
        let mut is_first = true;
        backtrace::resolve(exact as *mut c_void, |symbol| {
            match is_first {
                true => output.part(format_args!("    #{depth} ")),
                false => output.part(format_args!("       inlined into ")),
            }
            write_symbol(output, symbol);
            is_first = false;
        });
        if is_first {
            output.line(format_args!("    #{depth} ?"));
        }
    }
}

/// Writes a line for each of a thread's last grants with the function that took it: of what was inlined there, the
/// innermost that is not of this crate.
pub(super) fn write_takers(output: &mut Output, takers: impl Iterator<Item = u64>) {
    for (place, address) in (1..).zip(takers) {
        output.part(format_args!("    #{place} "));
        let mut is_named = false;
        backtrace::resolve(address as *mut c_void, |symbol| {
            let name = symbol.name().map_or_else(String::new, |name| format!("{name:#}"));
            if !is_named && !name.contains(concat!(env!("CARGO_CRATE_NAME"), "::")) {
                write_symbol(output, symbol);
                is_named = true;
            }
        });
        if !is_named {
            output.line(format_args!("?"));
        }
    }
}

/// Ends a line with a function's name and place.
fn write_symbol(output: &mut Output, symbol: &backtrace::Symbol) {
    match symbol.name() {
        Some(name) => output.part(format_args!("{name:#}")),
        None => output.part(format_args!("?")),
    }
    if let (Some(file), Some(line)) = (symbol.filename(), symbol.lineno()) {
        output.part(format_args!(" ({}:{line})", file.display()));
    }
    output.line(format_args!(""));
}
