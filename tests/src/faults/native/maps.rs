//! What is mapped where in a process, by `/proc/PID/smaps`, with protection keys.

use std::fs;
use std::io;
use std::ops::Range;
use std::sync::LazyLock;

/// A map of memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// Its addresses.
    pub range: Range<u64>,
    /// Whether it can be written to, as far as paging goes.
    pub writable: bool,
    /// What is mapped: a file, a name in brackets, or nothing.
    pub name: String,
    /// Its protection key.
    pub key: u8,
}

/// All maps of a process, in the order of addresses.
///
/// # Errors
/// When the process is gone.
pub fn maps(pid: u32) -> io::Result<Vec<Mapping>> {
    // With keys; without them the other file says the same faster.
    static FILE: LazyLock<&str> = LazyLock::new(|| if xtask::keys::are_here() { "smaps" } else { "maps" });
    let file = *FILE;
    Ok(parse(&fs::read_to_string(format!("/proc/{pid}/{file}"))?))
}

fn parse(text: &str) -> Vec<Mapping> {
    let mut maps: Vec<Mapping> = Vec::new();
    for line in text.lines() {
        if let Some(map) = parse_map(line) {
            maps.push(map);
        } else if let (Some(key), Some(map)) = (line.strip_prefix("ProtectionKey:"), maps.last_mut()) {
            map.key = key.trim().parse().unwrap_or_default();
        }
    }
    maps
}

/// Reads `7f00-7f10 rw-s 00000000 00:1b 12 /tmp/pmem0.img`.
fn parse_map(line: &str) -> Option<Mapping> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let address = |text| u64::from_str_radix(text, 16).ok();
    let range = address(start)?..address(end)?;
    let writable = words.next()?.as_bytes().get(1) == Some(&b'w');
    let name = words.skip(3).collect::<Vec<_>>().join(" ");
    Some(Mapping { range, writable, name, key: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_are_read_with_their_keys() {
        let text = "555555554000-555555577000 r--p 00000000 fe:00 1234                       /bin/a b\n\
            Size:                140 kB\nProtectionKey:         0\nVmFlags: rd mr mw me\n\
            7ffff6000000-7ffff7000000 rw-s 00000000 00:1b 12                       /tmp/pmem0.img\n\
            ProtectionKey:         1\n7ffff7000000-7ffff7001000 rw-p 00000000 00:00 0\n";
        let map = |range, writable, name: &str, key| Mapping { range, writable, name: name.to_owned(), key };
        let expected = [
            map(0x5555_5555_4000..0x5555_5557_7000, false, "/bin/a b", 0),
            map(0x7fff_f600_0000..0x7fff_f700_0000, true, "/tmp/pmem0.img", 1),
            map(0x7fff_f700_0000..0x7fff_f700_1000, true, "", 0),
        ];
        assert_eq!(parse(text), expected);
    }

    #[test]
    fn this_process_has_a_stack_that_can_be_written_to() {
        let maps = maps(std::process::id()).unwrap();
        assert!(maps.iter().any(|map| map.name == "[stack]" && map.writable), "{maps:?}");
        assert!(maps.is_sorted_by_key(|map| map.range.start));
    }
}
