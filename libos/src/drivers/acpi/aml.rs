//! The one thing that we need from AML: the sleep types of S5.
//!
//! There is no interpreter here. The DSDT is searched for the encoding of `Name (\_S5_, Package () {a, b, ...})` with
//! integer constants for `a` and `b`, as firmware compilers emit it. An `\_S5_` that is a method, that names other
//! objects, or that stands in an SSDT is not found. Bytes of another object that look exactly the same would be taken
//! for it: the opcode, the name, the package opcode and a matching length make that no accident.

use super::table::HEADER_LENGTH;

/// What to write into SLP_TYP of the PM1 control registers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SleepType {
    /// For PM1a: 3 bits.
    pub pm1a: u8,
    /// For PM1b: 3 bits.
    pub pm1b: u8,
}

const NAME_OP: u8 = 0x08;
const PACKAGE_OP: u8 = 0x12;

/// Finds `\_S5_` in a DSDT.
pub fn find_s5(dsdt: &[u8]) -> Option<SleepType> {
    let aml = dsdt.get(HEADER_LENGTH..)?;
    (0..aml.len()).find_map(|start| sleep_type(&aml[start..]))
}

/// The sleep types, if `aml` begins with the definition.
fn sleep_type(aml: &[u8]) -> Option<SleepType> {
    let aml = aml.strip_prefix(&[NAME_OP])?;
    let aml = aml.strip_prefix(b"\\").unwrap_or(aml).strip_prefix(b"_S5_")?;
    let (elements, body) = package(aml.strip_prefix(&[PACKAGE_OP])?)?;
    if elements < 2 {
        return None;
    }
    let (pm1a, body) = small_integer(body)?;
    let (pm1b, _) = small_integer(body)?;
    Some(SleepType { pm1a, pm1b })
}

/// The number of elements and the bytes of a package, from its PkgLength on (ACPI 6.5, section 20.2.4).
fn package(aml: &[u8]) -> Option<(u8, &[u8])> {
    let lead = usize::from(*aml.first()?);
    let following = lead >> 6;
    let mut length = if following == 0 { lead & 0x3f } else { lead & 0x0f };
    for (index, byte) in aml.get(1..=following)?.iter().enumerate() {
        length |= usize::from(*byte) << (4 + 8 * index);
    }
    // The length counts its own bytes.
    let (elements, body) = aml.get(1 + following..length)?.split_first()?;
    Some((*elements, body))
}

/// An integer constant that fits SLP_TYP's 3 bits, and what follows it.
fn small_integer(aml: &[u8]) -> Option<(u8, &[u8])> {
    let (value, rest) = match aml {
        [0x00, rest @ ..] => (0, rest),
        [0x01, rest @ ..] => (1, rest),
        [0x0a, value, rest @ ..] => (*value, rest),
        [0x0b, value, 0, rest @ ..] => (*value, rest),
        [0x0c, value, 0, 0, 0, rest @ ..] => (*value, rest),
        _ => return None,
    };
    (value < 8).then_some((value, rest))
}
