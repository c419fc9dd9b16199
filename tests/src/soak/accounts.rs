//! What a guest says that it holds, and what may be different after a load.
//!
//! Everything that belongs to connections, threads and descriptors has to be exactly what it was. So has RAM, apart
//! from what is kept to be used again: the heap never gives frames back, ended threads' stacks are kept for the next
//! ones, and frames that held page tables stay page tables. How many of each is a number of its own, so that no other
//! frame may be missing. They are bounded by the highest load, which came before; what is left of uncertainty is that
//! another order of requests fragments the heap differently. More threads may live at one moment than ever before: how
//! many stacks there were at most is a number, too, and bounds the page tables.

use std::collections::BTreeMap;

/// Numbers by name.
pub type Numbers = BTreeMap<String, u64>;

/// What has to be as it was.
const EXACT: [&str; 9] = [
    "threads",
    "timers",
    "descriptors",
    "connections",
    "listeners",
    "datagram_sockets",
    "connection_timers",
    "buffered_bytes",
    "card_buffers",
];

/// By how many pieces the heap may have grown: none. A table that has grown is one piece before and after.
const HEAP_PIECES: u64 = 0;
/// By how many bytes: tables keep their room, and double it when more entries are there at once than ever before.
const HEAP_BYTES: u64 = 64 << 10;
/// By how many bytes of frames: the same load in another order fragments the heap differently.
const HEAP_FRAMES: u64 = 16 << 20;
/// The bytes of a stack's page tables: two of its own (its part of the address space is 1 GiB).
const STACK_TABLES: u64 = 2 * 4096;
/// How many stacks are being unmapped at most while another one is mapped already: they are counted until that is done.
const STACKS_UNMAPPED_AT_ONCE: u64 = 32;

/// Reads `name=number` words.
pub fn parse(line: &str) -> Option<Numbers> {
    line.split(' ')
        .map(|word| {
            let (name, number) = word.split_once('=')?;
            Some((name.to_owned(), number.parse().ok()?))
        })
        .collect()
}

/// What each number has grown by.
pub fn difference(before: &Numbers, after: &Numbers) -> Numbers {
    let grown = |(name, &number): (&String, &u64)| (name.clone(), number - before.get(name).copied().unwrap_or(0));
    after.iter().map(grown).collect()
}

/// How many of a hundred.
pub fn per_cent(part: u64, whole: u64) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

/// Whether no connection is left but the one that asks.
pub fn is_at_rest(numbers: &Numbers) -> bool {
    numbers["connections"] == 1 && numbers["connection_timers"] <= 1
}

/// RAM that is free, the heap's, a page table, or kept for threads to come. All the rest is of the boot, and of threads
/// that live.
fn known_frames(numbers: &Numbers) -> u64 {
    ["free_bytes", "heap_grown", "page_table_bytes", "unused_stack_bytes"].into_iter().map(|name| numbers[name]).sum()
}

/// What the machine holds now and should not.
pub fn violations(before: &Numbers, after: &Numbers) -> Vec<String> {
    let mut violations = Vec::new();
    for name in EXACT {
        if before[name] != after[name] {
            violations.push(format!("{name}: {} before, {} after", before[name], after[name]));
        }
    }
    let more_stacks = after["most_stacks"] - before["most_stacks"];
    let bounded = [
        ("heap_pieces", HEAP_PIECES),
        ("heap_bytes", HEAP_BYTES),
        ("heap_grown", HEAP_FRAMES),
        ("page_table_bytes", STACK_TABLES * (more_stacks + STACKS_UNMAPPED_AT_ONCE)),
    ];
    for (name, tolerance) in bounded {
        if after[name] > before[name] + tolerance {
            let grown = after[name] - before[name];
            violations.push(format!("{name} has grown by {grown} from {}; {tolerance} is argued for", before[name]));
        }
    }
    let (frames, left) = (known_frames(before), known_frames(after));
    if frames != left {
        violations.push(format!("of {frames} bytes of RAM that were free or kept, {left} are"));
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: &str = "heap_pieces=100 heap_bytes=9000 heap_grown=1048576 free_bytes=4096000 page_table_bytes=8192 unused_stack_bytes=65536 \
        most_stacks=10 threads=4 timers=1 descriptors=6 connections=1 listeners=2 datagram_sockets=0 connection_timers=1 \
        buffered_bytes=131072 card_buffers=256";

    fn with(name: &str, number: u64) -> Numbers {
        let mut numbers = parse(REST).unwrap();
        numbers.insert(name.to_owned(), number);
        numbers
    }

    #[test]
    fn the_same_is_no_violation_and_each_leak_is_one() {
        let rest = parse(REST).unwrap();
        assert!(violations(&rest, &rest).is_empty() && is_at_rest(&rest));
        for name in EXACT {
            assert_eq!(violations(&rest, &with(name, rest[name] + 1)).len(), 1, "{name}");
        }
        assert_eq!(violations(&rest, &with("heap_pieces", 101)).len(), 1);
        assert_eq!(violations(&rest, &with("heap_bytes", 9000 + HEAP_BYTES + 1)).len(), 1);
        assert_eq!(violations(&rest, &with("free_bytes", 4096000 - 4096)).len(), 1);
    }

    #[test]
    fn page_tables_grow_with_the_most_stacks_only() {
        let before = parse(REST).unwrap();
        let mut after = with("page_table_bytes", 8192 + STACK_TABLES * 100);
        after.insert("free_bytes".to_owned(), 4096000 - STACK_TABLES * 100);
        assert_eq!(violations(&before, &after).len(), 1);
        after.insert("most_stacks".to_owned(), 10 + 100);
        assert!(violations(&before, &after).is_empty());
    }

    #[test]
    fn what_goes_from_one_store_to_another_is_not_missing() {
        let rest = parse(REST).unwrap();
        let mut later = with("unused_stack_bytes", 0);
        later.insert("free_bytes".to_owned(), 4096000 + 65536);
        assert!(violations(&rest, &later).is_empty());
    }

    #[test]
    fn other_lines_are_no_numbers() {
        assert_eq!(parse("on"), None);
        assert_eq!(parse("a=1 b=x"), None);
    }
}
