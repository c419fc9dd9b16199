//! The protection matrix: every case of the tests that Linux's PKS series had, of kvm-unit-tests' `pks.c`, and of our
//! own list, on both backends, each as a test with its own name: `pks::pks_test::check_defaults`.
//!
//! The guest's half is the program `keys`. This half boots machines and judges them: many cases share one machine, a
//! case that ends its machine has one of its own, and cases about CPUs run on machines with one, two, four and eight
//! (`pku::ours::migration_in_grant::smp_4`).

mod alone;
mod cases;
mod shared;
mod sweep;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Failed, Trial};
use xtask::qemu::Protection;

/// What protects, in turn.
const BACKENDS: [Protection; 2] = [Protection::Pks, Protection::Pku];

/// A test of this name that passes unless `check` finds a reason why not.
fn trial(name: String, check: impl FnOnce() -> Result<(), String> + Send + 'static) -> Trial {
    Trial::test(name, || check().map_err(Failed::from))
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = BACKENDS.into_iter().flat_map(|backend| {
        shared::trials(backend).into_iter().chain(alone::trials(backend)).chain(sweep::trials(backend))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
