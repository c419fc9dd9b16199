//! Makes the guest's console readable: names for code addresses, and for a fault report the instruction that faulted.
//!
//! The guest prints numbers, because it has no symbols and must need nothing that may be broken. What they mean is
//! known here, where the image is.

use std::path::Path;

use anyhow::Result;
use libos_contract::report::FAULT;

use crate::instruction::{self, Registers};
use crate::stripped;
use crate::symbols::Symbols;

/// Annotates the console of one machine, line by line.
pub struct Annotator {
    symbols: Symbols,
    /// The registers of the report that is being printed.
    registers: Registers,
}

impl Annotator {
    /// For a machine that runs this image, or one that was made of it by [`stripped::make`].
    ///
    /// # Errors
    /// When the file cannot be read or is no ELF image with code in it.
    pub fn load(image: &Path) -> Result<Self> {
        Ok(Self { symbols: Symbols::load(&stripped::with_symbols(image))?, registers: Registers::default() })
    }

    /// The next line, with what it means added: functions, files and lines behind the addresses of code, and the
    /// instruction, its direction and its length behind a report's bytes of code. It may become several lines.
    pub fn annotate(&mut self, line: &str) -> String {
        if line.starts_with(FAULT) {
            self.registers.clear();
        }
        if let Some(code) = instruction::code(line) {
            return match instruction::describe(&code, &self.registers) {
                Some(instruction) => format!("{line}   {instruction}"),
                None => line.to_owned(),
            };
        }
        if line.starts_with("  r") {
            self.registers.read(line);
        }
        self.symbols.annotate(line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A report as libos prints it.
    const REPORT: &str = "\
holdfast: FAULT stray write of pmem0 at offset 0x123450 (address 0x0000100100123450, key 1), policy strict: machine stopped
  thread 3 \"main\" on cpu 0
  rights 0x55555554 (key 0 always open, the others closed)
  rip 0x00000000002035bb rsp 0x00006001bfffde30 rflags 0x246 error code 0x23
  rax 0x0000100100000000  rbx 0x000000000025d740  rcx 0x5741525453594152  rdx 0x0000000000000010
  r8  0x0000000000000000  r9  0x0000000000000001  r10 0x0000000000000002  r11 0x0000000000000003
  code: 48 89 88 50 34 12 00 5d c3
  backtrace:";

    fn annotated(annotator: &mut Annotator, text: &str) -> Vec<String> {
        text.lines().map(|line| annotator.annotate(line)).collect()
    }

    #[test]
    fn a_report_tells_which_instruction_was_about_to_touch_what() {
        let mut annotator = Annotator::load(&std::env::current_exe().unwrap()).unwrap();
        let lines = annotated(&mut annotator, REPORT);
        assert_eq!(
            lines[6],
            "  code: 48 89 88 50 34 12 00 5d c3   mov [rax+0x123450], rcx   (writes 8 bytes at 0x0000100100123450)"
        );
    }

    #[test]
    fn a_report_uses_no_registers_of_the_one_before() {
        let mut annotator = Annotator::load(&std::env::current_exe().unwrap()).unwrap();
        annotated(&mut annotator, REPORT);
        let lines = annotated(&mut annotator, "holdfast: FAULT again\n  code: 48 89 08");
        assert_eq!(lines[1], "  code: 48 89 08   mov [rax], rcx   (writes 8 bytes)");
    }

    #[test]
    fn code_that_is_no_instruction_is_left_as_it_is() {
        let mut annotator = Annotator::load(&std::env::current_exe().unwrap()).unwrap();
        assert_eq!(annotator.annotate("  code: 06"), "  code: 06");
        assert_eq!(annotator.annotate("  code: unreadable"), "  code: unreadable");
    }
}
