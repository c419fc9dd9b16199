//! How much an interrupted instruction had left to do, as far as its code tells.

/// How many bytes the string instruction with a repeat prefix that `code` begins with has left, `count` being in RCX:
/// MOVS or STOS (SDM volume 2, section 2.1: prefixes, REX, then the opcode). `None` for every other instruction.
pub fn left_to_repeat(code: &[u8], count: u64) -> Option<u64> {
    let prefixes =
        code.iter().take_while(|byte| matches!(byte, 0xf2 | 0xf3 | 0x66 | 0x67 | 0x2e | 0x36 | 0x3e)).count();
    let (prefixes, rest) = code.split_at(prefixes);
    if !prefixes.iter().any(|byte| matches!(byte, 0xf2 | 0xf3)) {
        return None;
    }
    let (wide, opcode) = match rest {
        [rex @ 0x40..=0x4f, opcode, ..] => (rex & 8 != 0, opcode),
        [opcode, ..] => (false, opcode),
        [] => return None,
    };
    let size = match opcode {
        0xa4 | 0xaa => 1,
        0xa5 | 0xab if wide => 8,
        0xa5 | 0xab if prefixes.contains(&0x66) => 2,
        0xa5 | 0xab => 4,
        _ => return None,
    };
    count.checked_mul(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_stores_have_their_count_times_their_width_left() {
        let widths: [(&[u8], u64); 5] = [
            (&[0xf3, 0xa4], 1),
            (&[0xf3, 0xab], 4),
            (&[0xf3, 0x48, 0xa5], 8),
            (&[0x66, 0xf3, 0xab], 2),
            (&[0xf3, 0x66, 0xa5], 2),
        ];
        for (code, width) in widths {
            assert_eq!(left_to_repeat(code, 24), Some(24 * width), "{code:02x?}");
        }
    }

    #[test]
    fn nothing_is_known_of_other_instructions() {
        let others: [&[u8]; 5] = [&[0x48, 0x89, 0x07], &[0xa4], &[0xf3, 0xc3], &[0xf3], &[]];
        for code in others {
            assert_eq!(left_to_repeat(code, 24), None, "{code:02x?}");
        }
        assert_eq!(left_to_repeat(&[0xf3, 0x48, 0xab], u64::MAX), None);
    }
}
