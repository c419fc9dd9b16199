//! What the library says of its work, as much of it as the boot option `log=` asks for.
//!
//! Not by the crate `log`: that has one logger for each program, and it is the program's to choose.

use core::fmt;
use core::sync::atomic::{AtomicU8, Ordering};

use libos_contract::log_level::LogLevel;

use super::print;

static LEVEL: AtomicU8 = AtomicU8::new(LogLevel::Info as u8);

/// Shows what is of this level, or of one before it.
pub(crate) fn set_level(level: LogLevel) {
    LEVEL.store(level as u8, Ordering::Relaxed);
}

/// Says what the machine has.
pub(crate) fn info(text: fmt::Arguments<'_>) {
    if shows(LogLevel::Info) {
        print(format_args!("holdfast: {text}\n"));
    }
}

/// Says what is being done. Usable everywhere, interrupt handlers included.
pub(crate) fn debug(text: fmt::Arguments<'_>) {
    if shows(LogLevel::Debug) {
        print(format_args!("holdfast: debug: {text}\n"));
    }
}

fn shows(level: LogLevel) -> bool {
    level as u8 <= LEVEL.load(Ordering::Relaxed)
}
