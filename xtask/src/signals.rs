//! Ctrl-C and its kin.

use std::thread;

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Calls `action` for every request to end: Ctrl-C, SIGTERM, or the terminal going away. From now on these no longer
/// end this process by themselves.
///
/// # Errors
/// When the system refuses.
pub fn on_interrupt(mut action: impl FnMut() + Send + 'static) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot watch for Ctrl-C")?;
    thread::spawn(move || {
        for _ in signals.forever() {
            action();
        }
    });
    Ok(())
}
