//! The serial port, and its lock.

use core::fmt::{self, Write};

use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

use super::lines::{Lines, Writer};
use crate::arch::thread_id;
use crate::sync::{IrqLock, Once, class};
use crate::time::{Instant, now};

static CONSOLE: IrqLock<Option<Console>, class::Console> = IrqLock::new(None);

/// Has [`release_due`] called at a time; named once there are timers.
static ALARM: Once<fn(Instant)> = Once::new();

struct Console {
    port: Port,
    lines: Lines,
}

struct Port(Uart16550<PioBackend>);

impl Port {
    fn write_bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                self.write_byte(b'\r');
            }
            self.write_byte(byte);
        }
    }

    fn write_byte(&mut self, byte: u8) {
        while self.0.try_send_byte(byte).is_err() {
            core::hint::spin_loop();
        }
    }
}

impl Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write_bytes(text.as_bytes());
        Ok(())
    }
}

/// Prepares the serial port.
pub(crate) fn init() {
    // SAFETY: 0x3f8 is COM1's port on every PC, and only this module uses it.
    if let Ok(mut uart) = unsafe { Uart16550::new_port(0x3f8) }
        && uart.init(Config::default()).is_ok()
    {
        *CONSOLE.lock() = Some(Console { port: Port(uart), lines: Lines::new() });
    }
}

/// From now on, beginnings of lines are held back for a moment: `alarm` has [`release_due`] called at a time, which
/// may be earlier than a former one.
pub(crate) fn hold_beginnings(alarm: fn(Instant)) {
    ALARM.call_once(|| alarm);
}

/// Works on the console, if there is one, and sets the alarm for what is held back.
fn with(work: impl FnOnce(&mut Lines, &mut dyn FnMut(&[u8])) -> Option<Instant>) {
    let due = CONSOLE.lock().as_mut().and_then(|console| {
        let Console { port, lines } = console;
        work(lines, &mut |bytes| port.write_bytes(bytes))
    });
    // Without the console's lock, after which no other is taken.
    if let (Some(due), Some(alarm)) = (due, ALARM.get()) {
        alarm(due);
    }
}

/// Writes what the running thread has written to a descriptor, as it is; a line feed becomes carriage return and line
/// feed.
pub fn write(descriptor: u8, bytes: &[u8]) {
    let writer = Writer { thread: thread_id(), descriptor };
    with(|lines, mut out| {
        let due = lines.write(writer, bytes, now(), &mut out);
        if ALARM.is_completed() {
            return due;
        }
        lines.release_all(&mut out);
        None
    });
}

/// Shows what was held back long enough. Callable by interrupt handlers.
pub(crate) fn release_due() {
    with(|lines, mut out| lines.release_due(now(), &mut out));
}

/// Shows all that was held back. For the machine's end.
pub(crate) fn flush() {
    with(|lines, mut out| {
        lines.release_all(&mut out);
        None
    });
}

/// Writes formatted text, whole lines; the implementation of [`kprintln!`](crate::kprintln).
pub fn print(text: fmt::Arguments<'_>) {
    if let Some(Console { port, lines }) = CONSOLE.lock().as_mut() {
        lines.begin(Writer::LIBRARY, &mut |bytes: &[u8]| port.write_bytes(bytes));
        // Writing to the port cannot fail.
        let _ = port.write_fmt(text);
    }
}

/// How often code that must not wait for ever looks whether the console is free.
const PATIENCE: u32 = 1_000_000;

/// Waits a little until nobody writes; whether that came about. For code that may have interrupted the writer.
pub(crate) fn wait_until_free() -> bool {
    (0..PATIENCE).any(|_| {
        core::hint::spin_loop();
        !CONSOLE.is_locked()
    })
}

/// Lets whoever writes come to an end, and nobody begin, until [`break_lock`]. Gives up after a little: the code that
/// failed may itself have been writing.
pub(crate) fn keep_others_out() {
    let _ = (0..PATIENCE).any(|_| {
        core::hint::spin_loop();
        CONSOLE.try_lock().map(core::mem::forget).is_some()
    });
}

/// Lets the fatal path write even if the code that failed was writing.
///
/// # Safety
/// Nothing else runs any more: interrupts are disabled for good, and whoever holds the lock never continues.
pub(crate) unsafe fn break_lock() {
    if CONSOLE.is_locked() {
        // SAFETY: the holder never continues, so it does not release the lock a second time.
        unsafe { CONSOLE.force_unlock() };
    }
}
