//! Who was running, and what its registers and its code were.

use core::fmt;

/// The thread that was running, and where.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The thread's number.
    pub thread: u64,
    /// Its name.
    pub name: &'a str,
    /// The CPU's number.
    pub cpu: u32,
    /// How many handlers were at work on top of it.
    pub handlers: u32,
}

impl fmt::Display for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { thread, name, cpu, handlers } = self;
        // The name with quotes, and with escapes for what would end the line.
        write!(f, "  thread {thread} {name:?} on cpu {cpu}")?;
        match handlers {
            0 => Ok(()),
            1 => f.write_str(", in a handler that interrupted it"),
            _ => write!(f, ", in a handler that interrupted it, {handlers} levels deep"),
        }
    }
}

/// The registers of what was interrupted: several lines, without a line feed at the end.
#[derive(Clone, Copy, Debug)]
pub struct Registers {
    /// The instruction's address.
    pub rip: u64,
    /// The stack pointer.
    pub rsp: u64,
    /// The flags.
    pub rflags: u64,
    /// The exception's error code.
    pub error_code: u64,
    /// The general registers, in the order of [`Self::NAMES`].
    pub general: [u64; 15],
}

impl Registers {
    /// The names of the general registers, in the order in which they are shown.
    pub const NAMES: [&'static str; 15] =
        ["rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
}

impl fmt::Display for Registers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rip, rsp, rflags, error_code, .. } = self;
        write!(f, "  rip {rip:#018x} rsp {rsp:#018x} rflags {rflags:#x} error code {error_code:#x}")?;
        for (number, (name, value)) in Self::NAMES.iter().zip(self.general).enumerate() {
            f.write_str(if number % 4 == 0 { "\n  " } else { "  " })?;
            write!(f, "{name:3} {value:#018x}")?;
        }
        Ok(())
    }
}

/// The bytes of the interrupted instruction and of what follows it, as far as they could be read.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a>(pub &'a [u8]);

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            [] => f.write_str("  code: unreadable"),
            bytes => {
                f.write_str("  code:")?;
                bytes.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use core::array;

    #[test]
    fn a_name_cannot_end_its_line() {
        let context = Context { thread: 4, name: "a\nb", cpu: 0, handlers: 0 };
        assert_eq!(context.to_string(), r#"  thread 4 "a\nb" on cpu 0"#);
        let context = Context { handlers: 1, ..context };
        assert!(context.to_string().ends_with(" on cpu 0, in a handler that interrupted it"));
        let context = Context { handlers: 3, ..context };
        assert!(context.to_string().ends_with(", in a handler that interrupted it, 3 levels deep"));
    }

    #[test]
    fn registers_stand_four_in_a_line() {
        let general = array::from_fn(|place| place as u64);
        let registers = Registers { rip: 0x20_828e, rsp: 0x10, rflags: 0x202, error_code: 0x23, general };
        let text = registers.to_string();
        let lines: alloc::vec::Vec<_> = text.lines().collect();
        assert_eq!(lines[0], "  rip 0x000000000020828e rsp 0x0000000000000010 rflags 0x202 error code 0x23");
        assert_eq!(
            lines[1],
            "  rax 0x0000000000000000  rbx 0x0000000000000001  rcx 0x0000000000000002  rdx 0x0000000000000003"
        );
        assert!(lines[2].contains("  r8  0x0000000000000007"));
        assert!(lines[4].ends_with("  r15 0x000000000000000e"));
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn code_is_bytes_or_none() {
        assert_eq!(Code(&[0x48, 0x89, 0x07]).to_string(), "  code: 48 89 07");
        assert_eq!(Code(&[]).to_string(), "  code: unreadable");
    }
}
