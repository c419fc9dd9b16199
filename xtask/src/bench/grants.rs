//! What a grant costs: ticks of the time-stamp counter, of many grants one after the other in which nothing is done.

use std::fmt;
use std::hint::black_box;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result};
use pmem::device::{OpenOptions, Protection};
use pmem::{Device, Medium};
use serde_json::{Value, json};

use super::statistics::{Spread, display};
use crate::keys;

/// Operations that are timed together, so that the timing itself does not count.
const TOGETHER: u32 = 1000;
/// How often they are: the median leaves out what other work on the computer does to some.
const TIMES: u32 = 201;
/// The length of the device.
const LENGTH: u64 = 1 << 20;

/// What grants cost on this computer.
#[derive(Clone, Debug, PartialEq)]
pub struct Grants {
    /// Ticks of the time-stamp counter in a microsecond.
    pub ticks_per_microsecond: f64,
    /// What was timed.
    pub costs: Vec<Cost>,
}

/// What one operation costs.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// What is done.
    pub name: String,
    /// Ticks for each.
    pub ticks: Spread,
}

impl Grants {
    /// Times grants of a device without a key and, where the processor has keys, of one with a key, with their files in
    /// `directory`; and there the instruction that makes the difference.
    ///
    /// # Errors
    /// When there can be no device.
    pub fn measure(directory: &Path) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("holdfast-bench-").tempdir_in(directory)?;
        let (began, first) = (Instant::now(), ticks());
        let mut costs = Vec::new();
        for protection in protections() {
            let options = OpenOptions::new().protection(protection.into());
            let device = options.create(directory.path().join(protection.word()), LENGTH)?;
            costs.extend(of_device(&device, protection)?);
        }
        if keys::are_here() {
            costs.push(Cost { name: "RDPKRU and WRPKRU".to_owned(), ticks: each(rewrite_rights)? });
        }
        let microseconds = began.elapsed().as_secs_f64() * 1e6;
        Ok(Self { ticks_per_microsecond: (ticks() - first) as f64 / microseconds, costs })
    }

    /// For programs.
    pub fn to_json(&self) -> Value {
        let costs = self.costs.iter().map(|cost| (cost.name.clone(), cost.ticks.to_json()));
        json!({
            "tsc_ticks_per_microsecond": self.ticks_per_microsecond,
            "tsc_ticks": costs.collect::<serde_json::Map<_, _>>(),
        })
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| operation | ticks of the time-stamp counter (least to most) |\n|---|---|")?;
        for Cost { name, ticks } in &self.costs {
            let [least, median, most] = [ticks.least, ticks.median, ticks.most].map(display);
            writeln!(f, "| {name} | **{median}** ({least} to {most}) |")?;
        }
        let ticks = display(self.ticks_per_microsecond);
        writeln!(f, "\nThe counter has {ticks} ticks in a microsecond.")?;
        if !keys::are_here() {
            writeln!(f, "This processor has no protection keys: WRPKRU, and grants under a key, could not be timed.")?;
        }
        Ok(())
    }
}

/// The protections that there are here.
fn protections() -> Vec<Protection> {
    if keys::are_here() { vec![Protection::None, Protection::Pku] } else { vec![Protection::None] }
}

fn of_device(device: &Device, protection: Protection) -> Result<Vec<Cost>> {
    let cost = |kind, ticks| Cost { name: format!("{kind} grant, protection {protection}"), ticks };
    let read = each(|| {
        let _ = black_box(device.read(|_| black_box(())));
    })?;
    let write = each(|| {
        let _ = black_box(device.write(|_| black_box(())));
    })?;
    Ok(vec![cost("read", read), cost("write", write)])
}

/// How long `operation` takes.
fn each(mut operation: impl FnMut()) -> Result<Spread> {
    let mut timed = || {
        let before = ticks();
        for _ in 0..TOGETHER {
            operation();
        }
        (ticks() - before) as f64 / f64::from(TOGETHER)
    };
    Spread::of((0..TIMES).map(|_| timed())).context("nothing was timed")
}

/// The time-stamp counter.
fn ticks() -> u64 {
    // SAFETY: every processor of this architecture has the instruction, and Linux lets programs execute it.
    unsafe { core::arch::x86_64::_rdtsc() }
}

/// Reads this thread's rights, and writes the same ones.
fn rewrite_rights() {
    // SAFETY: only called where the kernel says that it uses the register (`keys::are_here`). Its value stays as it is.
    unsafe {
        core::arch::asm!("rdpkru", "wrpkru", in("ecx") 0, out("eax") _, out("edx") _, options(nostack, preserves_flags));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_protection_that_is_here_is_timed() {
        let directory = tempfile::tempdir().unwrap();
        let grants = Grants::measure(directory.path()).unwrap();
        assert_eq!(grants.costs.len(), if keys::are_here() { 5 } else { 2 });
        assert!(grants.ticks_per_microsecond > 0.0);
        for cost in &grants.costs {
            assert!(cost.ticks.median > 0.0, "{cost:?}");
        }
        let text = grants.to_string();
        assert!(text.contains("| write grant, protection none | **"), "{text}");
        assert_eq!(text.contains("has no protection keys"), !keys::are_here(), "{text}");
    }
}
