//! The console: COM1, where the kernel's lines and the program's standard output go.

use core::fmt::{self, Write};

use uart_16550::backend::PioBackend;
use uart_16550::{Config, Uart16550};

use crate::sync::{IrqLock, class};

static CONSOLE: IrqLock<Option<Console>, class::Console> = IrqLock::new(None);

struct Console(Uart16550<PioBackend>);

impl Console {
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

impl Write for Console {
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
        *CONSOLE.lock() = Some(Console(uart));
    }
}

/// Writes bytes as they are, without interleaving with other writers; a line feed becomes carriage return and line feed.
pub fn write(bytes: &[u8]) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        console.write_bytes(bytes);
    }
}

/// Writes formatted text; the implementation of [`kprintln!`](crate::kprintln).
pub fn print(text: fmt::Arguments<'_>) {
    if let Some(console) = CONSOLE.lock().as_mut() {
        // Writing to the port cannot fail.
        let _ = console.write_fmt(text);
    }
}

/// Waits a little until nobody writes; whether that came about. For code that may have interrupted the writer.
pub(crate) fn wait_until_free() -> bool {
    const PATIENCE: u32 = 1_000_000;
    (0..PATIENCE).any(|_| {
        core::hint::spin_loop();
        !CONSOLE.is_locked()
    })
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

/// Prints a line on the console. Usable everywhere, interrupt handlers included.
#[macro_export]
macro_rules! kprintln {
    ($($argument:tt)*) => {
        $crate::console::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}
