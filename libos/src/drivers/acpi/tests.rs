use std::vec::Vec;

use proptest::prelude::*;

use super::fixtures::{self, RSDP, seal};
use super::*;

fn tables() -> Vec<Vec<u8>> {
    vec![fixtures::facp(), fixtures::apic(), fixtures::dsdt(), fixtures::nfit()]
}

#[test]
fn reads_the_tables_of_qemu() {
    let info = AcpiInfo::read(&fixtures::machine(&tables(), false), Some(RSDP)).unwrap();
    assert_eq!(info.cpus, [Cpu { apic_id: 0, uid: 0, enabled: true }]);
    assert_eq!(info.local_apic_address, PhysAddr::new(0xfee0_0000));
    assert!(info.has_8259);
    assert_eq!(info.io_apics, [IoApic { id: 0, address: PhysAddr::new(0xfec0_0000), gsi_base: 0 }]);
    assert_eq!(info.overrides.len(), 5);
    let nmi = LocalNmi { uid: None, lint: 1, polarity: Polarity::Bus, trigger: Trigger::Bus };
    assert_eq!(info.local_nmis, [nmi]);
    let fadt = Fadt {
        dsdt: Some(PhysAddr::new(0x0ffd_f040)),
        sci_interrupt: 9,
        acpi_enable: Some((0xb2, 2)),
        pm1_event: [Some(EventBlock { status: 0x600, enable: 0x602 }), None],
        pm1_control: [Some(0x604), None],
        gpe_enable: [0x628..0x630, 0..0],
        pm_timer: Some(PmTimer { port: 0x608, bits: 24 }),
        fixed_power_button: true,
        reset: Some(Reset { port: 0xcf9, value: 0x0f }),
        century: Some(0x32),
    };
    assert_eq!(info.fadt, fadt);
    assert_eq!(info.s5, Some(SleepType { pm1a: 0, pm1b: 0 }));
    assert_eq!(info.nfit, Some(fixtures::nfit()));
}

#[test]
fn finds_the_root_pointer_and_follows_either_root_table() {
    for xsdt in [false, true] {
        let memory = fixtures::machine(&tables(), xsdt);
        for rsdp in [None, Some(RSDP)] {
            assert_eq!(AcpiInfo::read(&memory, rsdp).unwrap().fadt.sci_interrupt, 9);
        }
        assert_eq!(AcpiInfo::read(&memory, Some(RSDP + 16)).unwrap_err(), AcpiError::NoRootPointer);
    }
    assert_eq!(AcpiInfo::read(&fixtures::FakeMemory::default(), None).unwrap_err(), AcpiError::NoRootPointer);
}

#[test]
fn routes_interrupts_as_the_madt_overrides_them() {
    let mut info = AcpiInfo::read(&fixtures::machine(&tables(), false), None).unwrap();
    assert_eq!(info.isa_route(0), Route { gsi: 2, level: false, active_low: false });
    assert_eq!(info.isa_route(4), Route { gsi: 4, level: false, active_low: false });
    assert_eq!(info.sci_route(), Route { gsi: 9, level: true, active_low: false });
    info.overrides.clear();
    assert_eq!(info.sci_route(), Route { gsi: 9, level: true, active_low: true });
}

#[test]
fn lists_all_processors() {
    let madt = Madt::parse(&fixtures::apic_3_cpus()).unwrap();
    assert_eq!(madt.cpus.iter().map(|cpu| cpu.apic_id).collect::<Vec<_>>(), [0, 1, 2]);
}

#[test]
fn reads_x2apic_entries_and_a_moved_local_apic() {
    let mut table = fixtures::apic();
    table.truncate(44);
    table.extend_from_slice(&[5, 12, 0, 0, 0, 0, 0xe0, 0xfd, 1, 0, 0, 0]);
    table.extend_from_slice(&[9, 16, 0, 0, 0x2c, 1, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0]);
    table.extend_from_slice(&[10, 12, 0x0f, 0, 7, 0, 0, 0, 1, 0, 0, 0]);
    let madt = Madt::parse(&table).unwrap();
    assert_eq!(madt.local_apic_address, PhysAddr::new(0x1_fde0_0000));
    assert_eq!(madt.cpus, [Cpu { apic_id: 300, uid: 7, enabled: true }]);
    let nmi = LocalNmi { uid: Some(7), lint: 1, polarity: Polarity::Low, trigger: Trigger::Level };
    assert_eq!(madt.local_nmis, [nmi]);
}

#[test]
fn names_what_is_wrong() {
    let read = |tables: &[Vec<u8>]| AcpiInfo::read(&fixtures::machine(tables, true), None).unwrap_err();
    assert_eq!(read(&tables()[1..]), AcpiError::Missing(Signature::FADT));

    let mut flipped = tables();
    flipped[1][50] ^= 1;
    assert_eq!(read(&flipped), AcpiError::Checksum(Signature::MADT));
    assert_eq!(read(&flipped).to_string(), "ACPI: table APIC: wrong checksum");

    let mut endless = tables();
    endless[1][45] = 0;
    seal(&mut endless[1], 9);
    assert_eq!(read(&endless), AcpiError::Entry(Signature::MADT, 44));

    let mut long = tables();
    long[3][4..8].copy_from_slice(&u32::MAX.to_le_bytes());
    assert_eq!(read(&long), AcpiError::Length(Signature::NFIT, u32::MAX));

    let mut cut = tables();
    cut[3].truncate(100);
    assert!(matches!(read(&cut), AcpiError::Unreadable(_)));
}

#[test]
fn hardware_reduced_machines_have_no_fixed_hardware() {
    let mut table = fixtures::facp();
    table[114] |= 1 << 4;
    let fadt = Fadt::parse(&table).unwrap();
    assert_eq!((fadt.pm1_event, fadt.pm1_control, fadt.pm_timer), ([None; 2], [None; 2], None));
    assert!(!fadt.fixed_power_button && fadt.acpi_enable.is_none());
}

#[test]
fn an_acpi_1_0_fadt_is_enough() {
    let mut table = fixtures::facp();
    table.truncate(116);
    let fadt = Fadt::parse(&table).unwrap();
    assert_eq!((fadt.pm1_control[0], fadt.reset, fadt.dsdt), (Some(0x604), None, Some(PhysAddr::new(0x0ffd_f040))));
}

#[test]
fn reads_sleep_types_in_every_integer_encoding() {
    let s5 = |aml: &[u8]| aml::find_s5(&fixtures::table(b"DSDT", aml));
    let found = |pm1a, pm1b| Some(SleepType { pm1a, pm1b });
    assert_eq!(s5(b"\x08_S5_\x12\x08\x04\x0a\x05\x0a\x06\x00\x00"), found(5, 6));
    assert_eq!(s5(b"..\x08\\_S5_\x12\x05\x02\x01\x0b\x07\x00"), None, "the second integer is outside the package");
    assert_eq!(s5(b"..\x08\\_S5_\x12\x06\x02\x01\x0b\x07\x00"), found(1, 7));
    assert_eq!(s5(b"\x08_S5_\x12\x40\x00\x02\x01\x01"), None, "a length of 0");
    assert_eq!(s5(b"\x08_S5_\x12\x45\x00\x02\x01\x01"), found(1, 1), "a length in two bytes");
    assert_eq!(s5(b"\x08_S5_\x12\x05\x02\x0a\x08\x00"), None, "8 does not fit SLP_TYP");
    assert_eq!(s5(b"\x08_S5_\x12\x03\x01\x01"), None, "one element");
    assert_eq!(s5(b"\x10_S5_\x12\x04\x02\x01\x01"), None, "not a name");
    assert_eq!(s5(b"\x08_S5_\x12"), None);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(rsdp in any::<[u8; 36]>(), memory in prop::collection::vec(any::<u8>(), 0..512)) {
        let mut rsdp = rsdp;
        rsdp[..8].copy_from_slice(b"RSD PTR ");
        rsdp[16..20].copy_from_slice(&0x1000u32.to_le_bytes());
        rsdp[24..32].copy_from_slice(&0x1000u64.to_le_bytes());
        seal(&mut rsdp[..20], 8);
        seal(&mut rsdp, 32);
        let memory = fixtures::FakeMemory(vec![(PhysAddr::new(0xe_0000), rsdp.to_vec()), (PhysAddr::new(0x1000), memory)]);
        let _ = AcpiInfo::read(&memory, None);
    }

    #[test]
    fn any_content_behind_a_right_header_is_read_or_refused(content in prop::collection::vec(any::<u8>(), 0..300)) {
        let _ = Fadt::parse(&fixtures::table(b"FACP", &content));
        let _ = Madt::parse(&fixtures::table(b"APIC", &content));
        let _ = aml::find_s5(&fixtures::table(b"DSDT", &content));
    }

    #[test]
    fn damaged_tables_are_read_or_refused(
        which in 0usize..4, at in any::<prop::sample::Index>(), value: u8, length in any::<prop::sample::Index>(),
    ) {
        let mut tables = tables();
        let table = &mut tables[which];
        let at = 36 + at.index(table.len() - 36);
        table[at] = value;
        table.truncate(36 + length.index(table.len() - 35));
        let real = table.len() as u32;
        table[4..8].copy_from_slice(&real.to_le_bytes());
        seal(table, 9);
        if which == 0 {
            let _ = Fadt::parse(table);
        } else {
            let _ = AcpiInfo::read(&fixtures::machine(&tables, false), None);
        }
    }

    #[test]
    fn packages_of_any_bytes_do_no_harm(tail in prop::collection::vec(any::<u8>(), 0..24)) {
        let mut aml = b"\x08_S5_\x12".to_vec();
        aml.extend_from_slice(&tail);
        if let Some(found) = aml::find_s5(&fixtures::table(b"DSDT", &aml)) {
            prop_assert!(found.pm1a < 8 && found.pm1b < 8);
        }
    }
}
