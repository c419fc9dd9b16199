//! What protection keys must do, case by case: `keys SOURCE::CASE…` runs these cases and prints `ok NAME` or
//! `FAILED NAME: why` for each; `keys list` prints the names of all.
//!
//! The sources are the tests that Linux's PKS series had (`pks_test`, its form of 2020, and `test_pks`), the hardware
//! tests of kvm-unit-tests, and `ours`: what those left out. What the tests of Linux do with pages of its own is done
//! here with persistent-memory devices, each of which has a key. All cases run on both backends: with PKS the guarded
//! pages are supervisor pages and the register is IA32_PKRS, with PKU they are user pages and the register is PKRU;
//! what a source says of user pages holds for supervisor pages then, and the other way round.
//!
//! Every machine that runs this has [`probe::KEYS`] NVDIMMs, the first of them with a leaf of 1 GiB, the others
//! smaller.

#[cfg(target_os = "hermit")]
mod attempt;
#[cfg(target_os = "hermit")]
mod cpus;
#[cfg(target_os = "hermit")]
mod kvm_unit_tests;
#[cfg(target_os = "hermit")]
mod ours;
#[cfg(target_os = "hermit")]
mod pks_test;
#[cfg(target_os = "hermit")]
mod pks_test_2020;
#[cfg(target_os = "hermit")]
mod probe;
#[cfg(target_os = "hermit")]
mod tables;
#[cfg(target_os = "hermit")]
mod test_pks;
#[cfg(target_os = "hermit")]
mod traps;
#[cfg(target_os = "hermit")]
mod verdict;

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("keys runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    use libos::arch::key_rights;
    use libos::dax::Rights;

    use super::verdict::{Case, Verdict, same};
    use super::{attempt, kvm_unit_tests, ours, pks_test, pks_test_2020, probe, test_pks};

    /// Every source with its cases.
    fn sources() -> impl Iterator<Item = (&'static str, &'static [Case])> {
        let others = [
            ("pks_test", pks_test::CASES),
            ("pks_test_2020", pks_test_2020::CASES),
            ("test_pks", test_pks::CASES),
            ("kvm_unit_tests", kvm_unit_tests::CASES),
        ];
        others.into_iter().chain(ours::FILES.iter().map(|&cases| ("ours", cases)))
    }

    fn cases() -> impl Iterator<Item = (String, fn() -> Verdict)> {
        sources().flat_map(|(source, cases)| cases.iter().map(move |&(name, run)| (format!("{source}::{name}"), run)))
    }

    pub(crate) fn main() {
        attempt::prepare();
        for wanted in std::env::args().skip(1) {
            if wanted == "list" {
                cases().for_each(|(name, _)| println!("case {name}"));
                continue;
            }
            let verdict = match cases().find(|(name, _)| *name == wanted) {
                Some((_, run)) => run().and_then(|()| leaves_nothing_open()),
                None => Err("the program has no such case".to_owned()),
            };
            match verdict {
                Ok(()) => println!("ok {wanted}"),
                Err(why) => println!("FAILED {wanted}: {why}"),
            }
            // One case's failure is not to be the next one's.
            probe::force(|_| Rights::CLOSED);
        }
        println!("keys: done");
    }

    fn leaves_nothing_open() -> Verdict {
        same("the rights after the case", key_rights::current(), Rights::CLOSED)
    }
}
