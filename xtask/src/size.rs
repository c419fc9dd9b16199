//! Byte sizes on the command line and in messages.

use anyhow::{Context, Result, bail};

/// One mebibyte in bytes.
pub const MIB: u64 = 1 << 20;
/// One gibibyte in bytes.
pub const GIB: u64 = 1 << 30;

/// Parses a size: a decimal number of bytes with an optional binary suffix `K`, `M`, `G` or `T` (upper or lower case,
/// and `KiB`-style spellings too).
///
/// # Errors
/// When the text is no such size, or the size does not fit into 64 bits.
pub fn parse(text: &str) -> Result<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, suffix) = text.split_at(digits);
    if number.is_empty() {
        bail!("`{text}` is not a size: write for example 64M or 1G");
    }
    let shift = match suffix.to_ascii_lowercase().as_str() {
        "" | "b" => 0,
        "k" | "kib" => 10,
        "m" | "mib" => 20,
        "g" | "gib" => 30,
        "t" | "tib" => 40,
        _ => bail!("`{text}` is not a size: the unit `{suffix}` is unknown; use K, M, G or T"),
    };
    let number: u64 = number.parse().with_context(|| format!("`{text}` is too large a size"))?;
    number.checked_mul(1 << shift).with_context(|| format!("`{text}` is too large a size"))
}

/// `bytes` in the largest unit that leaves at least one, with one decimal: `1.0 GiB`.
pub fn display(bytes: u64) -> String {
    for (unit, name) in [(1 << 40, "TiB"), (GIB, "GiB"), (MIB, "MiB"), (1 << 10, "KiB")] {
        if bytes >= unit {
            let tenths = u128::from(bytes) * 10 / u128::from(unit);
            return format!("{}.{} {name}", tenths / 10, tenths % 10);
        }
    }
    format!("{bytes} bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_parse_with_every_suffix() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("64k", 65536), ("64M", 64 * MIB), ("1G", GIB), ("2GiB", 2 * GIB), ("1T", 1 << 40)]
        {
            assert_eq!(parse(text).unwrap(), bytes, "{text}");
        }
    }

    #[test]
    fn what_is_no_size_is_refused_with_the_text_in_the_message() {
        for text in ["", "M", "-1G", "1.5G", "1X", "1 G", "99999999999999999999", "99999999999T"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn sizes_print_in_a_fitting_unit() {
        assert_eq!(display(0), "0 bytes");
        assert_eq!(display(1536), "1.5 KiB");
        assert_eq!(display(GIB), "1.0 GiB");
        assert_eq!(display(u64::MAX), "16777215.9 TiB");
    }
}
