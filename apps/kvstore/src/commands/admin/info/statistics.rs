//! What was counted of commands and of errors.

use std::fmt::Write;

use crate::shared::Shared;

/// The lines of the section for commands.
pub fn commands(text: &mut String, shared: &Shared) {
    for (name, command) in shared.statistics.commands() {
        let micros = command.time as f64 / 1000.0;
        let each = if command.calls == 0 { 0.0 } else { micros / command.calls as f64 };
        let _ = write!(
            text,
            "cmdstat_{name}:calls={},usec={},usec_per_call={each:.2},rejected_calls={},failed_calls={}\r\n",
            command.calls, micros as u64, command.rejected, command.failed
        );
    }
}

/// The lines of the section for errors.
pub fn errors(text: &mut String, shared: &Shared) {
    for (code, count) in shared.statistics.errors() {
        let _ = write!(text, "errorstat_{code}:count={count}\r\n");
    }
}
