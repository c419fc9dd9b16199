//! The format of a snapshot: a header, a line for each block that the guest has executed, and an end that says how many
//! there were. A block is what QEMU translates at once: instructions up to a jump or a page's end.

use std::fmt::Write;

const HEADER: &str = "holdfast-count 1";

/// What was counted of a block of instructions since the machine's start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Block {
    /// Where it begins: a virtual address.
    pub address: u64,
    /// How often it was executed.
    pub executions: u64,
    /// Its instructions. There can be two blocks with the same beginning, which differ in how many they have.
    pub instructions: Vec<Accesses>,
}

/// Loads and stores that an instruction did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Accesses {
    /// All of them.
    pub all: u64,
    /// Those that were a device's and not memory.
    pub device: u64,
}

/// What a snapshot looks like.
pub fn write(blocks: &[Block]) -> String {
    let mut text = format!("{HEADER}\n");
    // Writing to a text cannot fail.
    for Block { address, executions, instructions } in blocks {
        let _ = write!(text, "{address:x} {executions}");
        for Accesses { all, device } in instructions {
            let _ = if *device == 0 { write!(text, " {all}") } else { write!(text, " {all}/{device}") };
        }
        text.push('\n');
    }
    let _ = writeln!(text, "end {}", blocks.len());
    text
}

/// Reads a snapshot; `None` if it is none, or not whole.
pub fn read(text: &str) -> Option<Vec<Block>> {
    let mut lines = text.strip_prefix(HEADER)?.strip_prefix('\n')?.lines();
    let mut blocks = Vec::new();
    loop {
        let line = lines.next()?;
        if let Some(number) = line.strip_prefix("end ") {
            return (number.parse() == Ok(blocks.len()) && lines.next().is_none()).then_some(blocks);
        }
        blocks.push(block(line)?);
    }
}

fn block(line: &str) -> Option<Block> {
    let mut words = line.split(' ');
    let address = u64::from_str_radix(words.next()?, 16).ok()?;
    let executions = words.next()?.parse().ok()?;
    let instructions = words.map(accesses).collect::<Option<_>>()?;
    Some(Block { address, executions, instructions })
}

fn accesses(word: &str) -> Option<Accesses> {
    let (all, device) = word.split_once('/').unwrap_or((word, "0"));
    Some(Accesses { all: all.parse().ok()?, device: device.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(address: u64) -> Block {
        let instructions = [(0, 0), (4, 0), (u64::MAX, 3)].map(|(all, device)| Accesses { all, device });
        Block { address, executions: 5, instructions: instructions.into() }
    }

    #[test]
    fn a_snapshot_is_read_as_it_was_written() {
        let blocks = [block(0x20_0000), Block::default(), block(u64::MAX)];
        assert_eq!(read(&write(&blocks)).as_deref(), Some(&blocks[..]));
        assert_eq!(read(&write(&[])), Some(Vec::new()));
    }

    #[test]
    fn what_is_not_whole_is_refused() {
        let whole = write(&[block(16), block(32), block(48)]);
        for length in 0..whole.trim_end().len() {
            assert_eq!(read(&whole[..length]), None, "{length}");
        }
        for (right, wrong) in [
            ("end 3", "end 4"),
            ("10 5 0 4 18446744073709551615/3", "10"),
            ("10 5", "x 5"),
            (" 4 ", " 4/ "),
            (" 4 ", "  "),
        ] {
            assert_eq!(read(&whole.replacen(right, wrong, 1)), None, "{wrong}");
        }
        assert_eq!(read(&format!("{whole}0 1 2 3 4\n")), None);
    }
}
