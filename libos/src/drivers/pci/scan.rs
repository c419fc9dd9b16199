//! Finding every function on every bus.

use super::config::{Address, ConfigSpace, Function};

/// Calls `visit` for each function: those of bus 0, and of the buses behind its bridges. Each bus is visited once,
/// whatever the bridges say.
pub fn scan<C: ConfigSpace>(space: &C, mut visit: impl FnMut(&Function<'_, C>)) {
    let (mut found, mut done) = ([false; 256], [false; 256]);
    found[0] = true;
    while let Some(bus) = (0..256).find(|&bus| found[bus] && !done[bus]) {
        done[bus] = true;
        for device in 0..32 {
            for number in 0..8 {
                let address = Address { bus: bus as u8, device, function: number };
                let Some(function) = Function::find(space, address) else {
                    // Without function 0 there is no device (section 3.2.2.3.4).
                    if number == 0 {
                        break;
                    }
                    continue;
                };
                visit(&function);
                if let Some(behind) = function.secondary_bus() {
                    found[usize::from(behind)] = true;
                }
                if number == 0 && !function.is_multifunction() {
                    break;
                }
            }
        }
    }
}
