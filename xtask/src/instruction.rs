//! Reads the machine code of a fault report: which instruction it is, and which memory it was about to touch.

use std::collections::BTreeMap;

use iced_x86::{
    Decoder, DecoderOptions, Formatter, Instruction, InstructionInfoFactory, IntelFormatter, OpAccess, Register,
    UsedMemory,
};

/// The registers that a report shows, `rip` and `rsp` among them.
const NAMES: [(&str, Register); 17] = [
    ("rip", Register::RIP),
    ("rsp", Register::RSP),
    ("rax", Register::RAX),
    ("rbx", Register::RBX),
    ("rcx", Register::RCX),
    ("rdx", Register::RDX),
    ("rsi", Register::RSI),
    ("rdi", Register::RDI),
    ("rbp", Register::RBP),
    ("r8", Register::R8),
    ("r9", Register::R9),
    ("r10", Register::R10),
    ("r11", Register::R11),
    ("r12", Register::R12),
    ("r13", Register::R13),
    ("r14", Register::R14),
    ("r15", Register::R15),
];

/// The values of registers, as far as a report has shown them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Registers(BTreeMap<&'static str, u64>);

impl Registers {
    /// Forgets everything: another report begins.
    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// Takes in the values that this line shows: `rip 0x… rsp 0x… rflags 0x… error code 0x…`, `rax 0x… rbx 0x… …`.
    pub(crate) fn read(&mut self, line: &str) {
        let words: Vec<&str> = line.split_whitespace().collect();
        for pair in words.windows(2) {
            let known = NAMES.iter().find(|(name, _)| *name == pair[0]);
            let value = pair[1].strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
            if let (Some((name, _)), Some(value)) = (known, value) {
                self.0.insert(name, value);
            }
        }
    }

    fn value(&self, register: Register) -> Option<u64> {
        let (name, _) = NAMES.iter().find(|(_, other)| *other == register)?;
        self.0.get(name).copied()
    }
}

/// The bytes of a report's line `  code: 48 89 08 …`; `None` for every other line.
pub(crate) fn code(line: &str) -> Option<Vec<u8>> {
    let digits = line.strip_prefix("  code:")?;
    let bytes: Option<Vec<u8>> = digits.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes.filter(|bytes| !bytes.is_empty())
}

/// The first instruction of `code` in Intel's syntax, and the memory that it was about to touch: `mov [rax], rcx
/// (writes 8 bytes at 0x0000100100123450)`. `None` if the bytes begin with no whole instruction.
pub(crate) fn describe(code: &[u8], registers: &Registers) -> Option<String> {
    let rip = registers.value(Register::RIP).unwrap_or(0);
    let instruction = Decoder::with_ip(64, code, rip, DecoderOptions::NONE).decode();
    if instruction.is_invalid() {
        return None;
    }
    let mut text = String::new();
    formatter().format(&instruction, &mut text);
    let mut factory = InstructionInfoFactory::new();
    let accesses: Vec<String> = factory
        .info(&instruction)
        .used_memory()
        .iter()
        .filter_map(|memory| access(&instruction, memory, registers))
        .collect();
    if !accesses.is_empty() {
        text = format!("{text}   ({})", accesses.join(", "));
    }
    Some(text)
}

fn formatter() -> IntelFormatter {
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_space_after_operand_separator(true);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    formatter
}

/// One of the instruction's accesses in words: `writes 8 bytes at 0x…`.
fn access(instruction: &Instruction, memory: &UsedMemory, registers: &Registers) -> Option<String> {
    let verb = match memory.access() {
        OpAccess::Read | OpAccess::CondRead => "reads",
        OpAccess::Write | OpAccess::CondWrite => "writes",
        OpAccess::ReadWrite | OpAccess::ReadCondWrite => "reads and writes",
        OpAccess::None | OpAccess::NoMemAccess => return None,
    };
    // A string instruction keeps what is left to do in its registers: at a fault rcx counts from there on.
    let repeated = instruction.has_rep_prefix() || instruction.has_repne_prefix();
    let each = if repeated { instruction.memory_size() } else { memory.memory_size() }.size() as u64;
    let count = if repeated { registers.value(Register::RCX) } else { Some(1) };
    let length = match count.and_then(|count| count.checked_mul(each)) {
        // The sizes of XSAVE's areas depend on what the system has enabled.
        None | Some(0) => String::new(),
        Some(1) => " 1 byte".to_owned(),
        Some(bytes) => format!(" {bytes} bytes"),
    };
    let value = |register: Register, _, _| match register {
        // Their bases are 0 in 64-bit mode; those of FS and GS are in no report.
        Register::CS | Register::DS | Register::ES | Register::SS => Some(0),
        register => registers.value(register.full_register()).map(|value| match register.size() {
            4 => value & u64::from(u32::MAX),
            _ => value,
        }),
    };
    let place = match memory.virtual_address(0, value) {
        Some(address) => format!(" at {address:#018x}"),
        None => String::new(),
    };
    Some(format!("{verb}{length}{place}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(code: &str, shown: &str) -> String {
        let mut registers = Registers::default();
        shown.lines().for_each(|line| registers.read(line));
        let code = super::code(&format!("  code: {code}")).unwrap();
        describe(&code, &registers).unwrap_or_else(|| "nothing".into())
    }

    #[test]
    fn each_kind_of_access_has_its_direction_length_and_place() {
        let registers = "rax 0x0000100100123450  rcx 0x0000000000000010  rdi 0x0000100100000ff8  rsi 0x0000000000300000\n\
                         rip 0x0000000000201000 rsp 0x0000100100002000 rflags 0x246 error code 0x23";
        for (code, expected) in [
            ("48 89 08", "mov [rax], rcx   (writes 8 bytes at 0x0000100100123450)"),
            ("88 48 05", "mov [rax+5], cl   (writes 1 byte at 0x0000100100123455)"),
            ("48 8b 08 90 90", "mov rcx, [rax]   (reads 8 bytes at 0x0000100100123450)"),
            ("8b 05 10 00 00 00", "mov eax, [0x201016]   (reads 4 bytes at 0x0000000000201016)"),
            ("f0 48 0f b1 08", "lock cmpxchg [rax], rcx   (reads and writes 8 bytes at 0x0000100100123450)"),
            ("0f e7 00", "movntq [rax], mm0   (writes 8 bytes at 0x0000100100123450)"),
            ("c5 fd e7 00", "vmovntdq [rax], ymm0   (writes 32 bytes at 0x0000100100123450)"),
            ("0f 11 04 08", "movups [rax+rcx], xmm0   (writes 16 bytes at 0x0000100100123460)"),
            ("0f ae 00", "fxsave [rax]   (writes 512 bytes at 0x0000100100123450)"),
            ("48 0f ae 20", "xsave64 [rax]   (reads and writes at 0x0000100100123450)"),
            ("51", "push rcx   (writes 8 bytes at 0x0000100100001ff8)"),
            ("66 0f ae 30", "clwb [rax]   (reads 1 byte at 0x0000100100123450)"),
            ("64 48 89 08", "mov fs:[rax], rcx   (writes 8 bytes)"),
            ("48 ff c0", "inc rax"),
            ("48 89", "nothing"),
            ("06", "nothing"),
        ] {
            assert_eq!(described(code, registers), expected, "{code}");
        }
    }

    #[test]
    fn string_instructions_say_how_much_is_left() {
        let registers = "rcx 0x0000000000000180  rsi 0x0000000000300000  rdi 0x0000100100000000";
        assert_eq!(
            described("f3 a4", registers),
            "rep movsb [rdi], [rsi]   (writes 384 bytes at 0x0000100100000000, reads 384 bytes at 0x0000000000300000)"
        );
        assert_eq!(described("f3 48 ab", registers), "rep stosq [rdi]   (writes 3072 bytes at 0x0000100100000000)");
        assert_eq!(
            described("a4", registers),
            "movsb [rdi], [rsi]   (writes 1 byte at 0x0000100100000000, reads 1 byte at 0x0000000000300000)"
        );
    }

    #[test]
    fn without_registers_there_is_no_place() {
        assert_eq!(described("48 89 08", ""), "mov [rax], rcx   (writes 8 bytes)");
        assert_eq!(described("f3 aa", ""), "rep stosb [rdi]   (writes)");
    }

    #[test]
    fn other_lines_are_no_code() {
        for line in ["code: 48", "  code:", "  code: unreadable", "  code: 48 x", "  code: 100", "holdfast:   code: 48"]
        {
            assert_eq!(code(line), None, "{line}");
        }
        assert_eq!(code("  code: 48 89 08"), Some(vec![0x48, 0x89, 0x08]));
    }
}
