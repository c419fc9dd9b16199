use std::iter;
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::drivers::acpi::fixtures;

const GIB: u64 = 1 << 30;

fn at(address: u64) -> PhysAddr {
    PhysAddr::new(address)
}

fn memory() -> [Range<PhysAddr>; 2] {
    [at(0)..at(0xa_0000), at(0x10_0000)..at(0x1000_0000)]
}

fn header() -> Vec<u8> {
    let mut table = fixtures::table(b"NFIT", &[0; 4]);
    table.truncate(40);
    table
}

fn range(index: u16, base: u64, length: u64) -> Vec<u8> {
    let mut bytes = fixtures::nfit()[40..96].to_vec();
    bytes[4..6].copy_from_slice(&index.to_le_bytes());
    bytes[32..40].copy_from_slice(&base.to_le_bytes());
    bytes[40..48].copy_from_slice(&length.to_le_bytes());
    bytes
}

fn mapping(module: u32, range: u16, health: Health) -> Vec<u8> {
    let mut bytes = fixtures::nfit()[96..144].to_vec();
    bytes[4..8].copy_from_slice(&module.to_le_bytes());
    bytes[12..14].copy_from_slice(&range.to_le_bytes());
    bytes[44..46].copy_from_slice(&health.bits().to_le_bytes());
    bytes
}

fn table(structures: &[Vec<u8>]) -> Vec<u8> {
    [header()].iter().chain(structures).flatten().copied().collect()
}

fn refused(structures: &[Vec<u8>]) -> Vec<(u16, Reason)> {
    let nfit = parse(&table(structures), &memory()).unwrap();
    nfit.refused.iter().map(|refused| (refused.index, refused.reason)).collect()
}

#[test]
fn reads_the_table_of_qemu() {
    let nfit = parse(&fixtures::nfit(), &memory()).unwrap();
    let expected = SpaRange {
        index: 2,
        base: at(4 * GIB),
        length: GIB,
        proximity: Some(0),
        attributes: Attributes::WRITE_BACK | Attributes::NON_VOLATILE,
        read_only: false,
        health: Health::empty(),
        capabilities: None,
        flush_hints: Vec::new(),
    };
    assert_eq!(nfit, Nfit { ranges: vec![expected], refused: Vec::new() });
}

#[test]
fn an_unarmed_module_is_read_only_and_capabilities_hold_for_every_range() {
    let nfit = parse(&fixtures::nfit_unarmed(), &[]).unwrap();
    let seen: Vec<_> = nfit.ranges.iter().map(|r| (r.base, r.length, r.read_only, r.health)).collect();
    assert_eq!(seen, [(at(4 * GIB), GIB, false, Health::empty()), (at(5 * GIB), GIB / 2, true, Health::NOT_ARMED)]);
    let adr = Capabilities { cpu_cache_flush: false, memory_controller_flush: true };
    assert!(nfit.ranges.iter().all(|range| range.capabilities == Some(adr)));
    assert_eq!(nfit.ranges.iter().map(SpaRange::durable_by).collect::<Vec<_>>(), [DurableBy::Adr, DurableBy::Nothing]);
}

#[test]
fn what_survives_a_loss_of_power_is_what_the_platform_says() {
    let with = |structure: Option<[u8; 16]>| {
        let all: Vec<_> = iter::once(range(1, 4 * GIB, GIB)).chain(structure.map(Vec::from)).collect();
        parse(&table(&all), &[]).unwrap().ranges[0].durable_by()
    };
    let says = |highest: u8, bits: u8| Some([7, 0, 16, 0, highest, 0, 0, 0, bits, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(with(None), DurableBy::Adr);
    assert_eq!(with(says(31, 0b10)), DurableBy::Adr);
    assert_eq!(with(says(31, 0b11)), DurableBy::Eadr);
    assert_eq!(with(says(31, 0b00)), DurableBy::Memory, "it says that it flushes nothing");
}

#[test]
fn sorts_by_base_and_joins_the_modules_of_an_interleaved_range() {
    let mut hints = vec![6, 0, 32, 0, 7, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0];
    hints.extend_from_slice(&0xfd00_0000u64.to_le_bytes());
    hints.extend_from_slice(&0xfd00_0040u64.to_le_bytes());
    let nfit = parse(
        &table(&[
            range(1, 8 * GIB, GIB),
            range(2, 4 * GIB, GIB),
            mapping(7, 1, Health::NOT_ARMED),
            mapping(8, 1, Health::SAVE_FAILED),
            hints,
        ]),
        &[],
    )
    .unwrap();
    assert_eq!(nfit.ranges.iter().map(|range| range.index).collect::<Vec<_>>(), [2, 1]);
    assert_eq!(nfit.ranges[1].health, Health::NOT_ARMED | Health::SAVE_FAILED);
    assert!(nfit.ranges[1].read_only);
    assert_eq!(nfit.ranges[1].flush_hints, [at(0xfd00_0000), at(0xfd00_0040)]);
}

#[test]
fn passes_over_other_memory_and_unknown_structures() {
    let mut volatile = range(1, 0, GIB);
    volatile[16] ^= 1;
    let nfit = parse(&table(&[volatile, vec![99, 0, 4, 0], range(2, 4 * GIB, GIB)]), &[]).unwrap();
    assert_eq!((nfit.ranges.len(), nfit.refused.len()), (1, 0));
}

#[test]
fn refuses_ranges_that_cannot_be_used() {
    assert_eq!(refused(&[range(1, 4 * GIB, 0)]), [(1, Reason::Empty)]);
    assert_eq!(refused(&[range(0, 4 * GIB, GIB)]), [(0, Reason::Index)]);
    let same = [range(3, 4 * GIB, GIB), range(3, 6 * GIB, GIB)];
    assert_eq!(refused(&same), [(3, Reason::Index), (3, Reason::Index)]);
    assert_eq!(refused(&[range(1, 4 * GIB + 512, GIB)]), [(1, Reason::Unaligned)]);
    assert_eq!(refused(&[range(1, 4 * GIB, GIB + 64)]), [(1, Reason::Unaligned)]);
    assert_eq!(refused(&[range(1, u64::MAX - 4095, 8192)]), [(1, Reason::BeyondAddressSpace)]);
    assert_eq!(refused(&[range(1, PHYSICAL_ADDRESS_END.as_u64() - 4096, 8192)]), [(1, Reason::BeyondAddressSpace)]);
    let overlapping = [range(1, 4 * GIB, GIB), range(2, 5 * GIB - 4096, GIB), range(3, 6 * GIB, GIB)];
    assert_eq!(refused(&overlapping), [(1, Reason::OverlapsRange), (2, Reason::OverlapsRange)]);
    assert_eq!(refused(&[range(1, 0x0fff_f000, GIB)]), [(1, Reason::OverlapsMemory)]);
    let unmapped = [range(1, 4 * GIB, GIB), mapping(1, 1, Health::MAP_FAILED)];
    assert_eq!(refused(&unmapped), [(1, Reason::NotMapped)]);

    let text = Refused { index: 1, base: at(4 * GIB), length: 64, reason: Reason::Unaligned }.to_string();
    assert_eq!(text, "NFIT: range 1 at 0x100000000 with 0x40 bytes is refused: it is not aligned to 4 KiB");
}

#[test]
fn names_the_bad_structure() {
    assert_eq!(parse(&[0; 39], &[]), Err(NfitError::TooShort));
    assert_eq!(parse(&table(&[vec![9, 0, 0, 0]]), &[]), Err(NfitError::Structure(40)));
    assert_eq!(parse(&table(&[range(1, GIB, GIB), vec![0, 0, 8, 0, 1, 0, 0, 0]]), &[]), Err(NfitError::Structure(96)));
    assert_eq!(parse(&table(&[vec![1, 0, 48, 0]]), &[]), Err(NfitError::Structure(40)));
    assert_eq!(parse(&table(&[vec![1]]), &[]), Err(NfitError::Structure(40)));
    let hints = vec![6, 0, 16, 0, 7, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0, 0, 0];
    assert_eq!(parse(&table(&[hints]), &[]), Err(NfitError::Structure(40)));
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = parse(&content, &[]);
        let _ = parse(&table(&[content]), &[]);
    }

    #[test]
    fn damaged_tables_are_read_or_refused(at in 0usize..424, value: u8, end in 0usize..=424) {
        let mut table = fixtures::nfit_unarmed();
        table[at] = value;
        let _ = parse(&table[..end], &[]);
    }

    #[test]
    fn accepted_ranges_are_whole_apart_and_sorted(
        ranges in prop::collection::vec((0u16..6, 0u64..64, 0u64..8, 0u64..3), 0..6), memory in 0u64..16,
    ) {
        let structures: Vec<_> = ranges
            .iter()
            .map(|(index, base, pages, odd)| range(*index, base * 4096 + (odd / 2) * 64, pages * 4096))
            .collect();
        let memory = at(0)..at(memory * 4096);
        let nfit = parse(&table(&structures), core::slice::from_ref(&memory)).unwrap();
        prop_assert_eq!(nfit.ranges.len() + nfit.refused.len(), structures.len());
        let mut free_from = memory.end;
        for range in &nfit.ranges {
            prop_assert!(range.base >= free_from && range.length > 0);
            prop_assert!(range.base.is_aligned(4096) && range.length % 4096 == 0);
            free_from = range.base + range.length;
        }
    }
}
