//! The audit on made-up leaves: what should pass passes, and each kind of mistake is found and named.

use super::*;
use crate::dax::{Key, KeyAllocator, Protection};
use crate::mm::attributes::{Attributes, Flags, Permissions};

const WINDOW: VirtAddr = VirtAddr::new(0x1000_0000_0000);
const PHYSICAL: PhysAddr = PhysAddr::new(0x1_0000_0000);
const PAGE: u64 = 4096;

fn region() -> Region {
    Region {
        physical: Range::of(PHYSICAL, 2 * PAGE),
        window: WINDOW,
        key: 1,
        user: false,
        read_only: false,
        mapped: true,
    }
}

fn leaf(virtual_address: VirtAddr, physical_address: PhysAddr, attributes: Attributes) -> Leaf {
    Leaf { virtual_address, physical_address, size: PAGE, flags: attributes.flags(), encryption: 0 }
}

fn identity_leaf(at: PhysAddr, attributes: Attributes) -> Leaf {
    leaf(at.identity_mapped(), at, attributes)
}

fn check_all(region: Region, leaves: &[Leaf]) -> Result<Audit, AuditError> {
    check(&[region], |see| leaves.iter().for_each(|&leaf| see(leaf)))
}

fn run(leaves: &[Leaf]) -> Result<Audit, AuditError> {
    check_all(region(), leaves)
}

fn first_key() -> Option<Key> {
    KeyAllocator::new().allocate().ok()
}

fn keyed() -> Attributes {
    Attributes::pmem(Protection::Pks, first_key(), false)
}

fn good() -> [Leaf; 3] {
    [
        identity_leaf(PhysAddr::new(PAGE), Attributes::DATA),
        leaf(WINDOW, PHYSICAL, keyed()),
        leaf(WINDOW + PAGE, PHYSICAL + PAGE, keyed()),
    ]
}

#[test]
fn a_device_mapped_once_under_its_key_passes() {
    assert_eq!(run(&good()), Ok(Audit { leaves: 3, pmem_leaves: 2 }));
}

#[test]
fn a_write_protected_page_of_a_device_passes() {
    let [other, first, second] = good();
    let protected = Leaf { flags: first.flags.with_permissions(Permissions::Read), ..first };
    assert_eq!(run(&[other, protected, second]), Ok(Audit { leaves: 3, pmem_leaves: 2 }));
}

#[test]
fn keys_and_addresses_that_are_wrong_are_found() {
    let [_, first, second] = good();
    let open = leaf(WINDOW, PHYSICAL, Attributes::DATA);
    assert_eq!(run(&[open, second]), Err(AuditError::WrongKey { leaf: open, expected: 1 }));
    let alias = identity_leaf(PHYSICAL, keyed());
    assert_eq!(run(&[first, second, alias]), Err(AuditError::Alias(alias)));
    let encrypted_alias = Leaf { encryption: 1 << 47, ..identity_leaf(PHYSICAL, Attributes::DATA) };
    assert_eq!(run(&[first, second, encrypted_alias]), Err(AuditError::Alias(encrypted_alias)));
    let stray = identity_leaf(PhysAddr::new(PAGE), keyed());
    assert_eq!(run(&[first, second, stray]), Err(AuditError::StrayKey(stray)));
    assert_eq!(run(&[first]), Err(AuditError::Incomplete { device: 0, mapped: PAGE }));
    let straddling = Leaf { size: 4 * PAGE, ..first };
    assert_eq!(run(&[straddling]), Err(AuditError::Alias(straddling)));
}

#[test]
fn permissions_that_are_wrong_are_found() {
    let [_, first, second] = good();
    let code = Leaf { flags: first.flags.with_permissions(Permissions::ReadExecute), ..first };
    assert_eq!(run(&[code, second]), Err(AuditError::Executable(code)));
    let read_only = Region { read_only: true, ..region() };
    assert_eq!(check_all(read_only.clone(), &[first, second]), Err(AuditError::Writable(first)));
    let closed = [first, second].map(|leaf| Leaf { flags: leaf.flags.with_permissions(Permissions::Read), ..leaf });
    assert!(check_all(read_only, &closed).is_ok());
}

#[test]
fn a_writable_and_executable_leaf_is_found_wherever_it_is() {
    let [_, first, second] = good();
    let both = Leaf { flags: Flags::from_bits(0b11), ..identity_leaf(PhysAddr::new(PAGE), Attributes::DATA) };
    assert!(both.flags.is_writable() && both.flags.is_executable());
    assert_eq!(run(&[first, second, both]), Err(AuditError::Executable(both)));
}

#[test]
fn attributes_that_are_wrong_are_found() {
    let [other, first, second] = good();
    for number in 1..8 {
        let uncached = leaf(WINDOW, PHYSICAL, keyed().with_cacheability(Cacheability::entry(number).unwrap()));
        assert_eq!(run(&[uncached, second]), Err(AuditError::Uncached(uncached)));
    }
    let user = leaf(WINDOW, PHYSICAL, Attributes::pmem(Protection::Pku, first_key(), false));
    assert_eq!(run(&[user, second]), Err(AuditError::WrongMode(user)));
    let other_user = identity_leaf(PhysAddr::new(PAGE), Attributes::pmem(Protection::Pku, None, false));
    assert_eq!(run(&[other_user, first, second]), Err(AuditError::WrongMode(other_user)));
    let supervisor = Region { user: true, ..region() };
    assert_eq!(check_all(supervisor, &[other, first, second]), Err(AuditError::WrongMode(first)));
    let encrypted = Leaf { encryption: 1 << 47, ..first };
    assert_eq!(run(&[encrypted, second]), Err(AuditError::Encrypted(encrypted)));
}

#[test]
fn a_device_that_has_gone_away_is_mapped_nowhere() {
    let gone = || Region { key: 0, mapped: false, ..region() };
    let other = identity_leaf(PhysAddr::new(PAGE), Attributes::DATA);
    assert_eq!(check_all(gone(), &[other]), Ok(Audit { leaves: 1, pmem_leaves: 0 }));
    let left = leaf(WINDOW, PHYSICAL, Attributes::pmem(Protection::Pks, None, false));
    assert_eq!(check_all(gone(), &[other, left]), Err(AuditError::Alias(left)));
}

#[test]
fn registers_that_do_not_protect_are_found() {
    let keys = KeyRegister { on: true, holds: Rights::CLOSED, should_hold: Rights::CLOSED };
    let good = Registers { cpu: 3, write_protect: true, keys: Some(keys) };
    assert_eq!(check_registers(&good), Ok(()));
    assert_eq!(check_registers(&Registers { keys: None, ..good }), Ok(()));
    let unprotected = Registers { write_protect: false, ..good };
    assert_eq!(check_registers(&unprotected), Err(AuditError::WriteProtectOff { cpu: 3 }));
    let off = Registers { keys: Some(KeyRegister { on: false, ..keys }), ..good };
    assert_eq!(check_registers(&off), Err(AuditError::KeysOff { cpu: 3 }));
    let holds = Rights::CLOSED.with(first_key().unwrap(), crate::dax::Access::Write);
    let open = Registers { keys: Some(KeyRegister { holds, ..keys }), ..good };
    let expected = AuditError::WrongRights { cpu: 3, holds, should_hold: Rights::CLOSED };
    assert_eq!(check_registers(&open), Err(expected));
}
