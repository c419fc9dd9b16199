//! The fault policy in force. Which ones there are is in `libos_contract::policy`; what each does, in `fault.rs`.

use core::sync::atomic::{AtomicU8, Ordering};

use crate::keys::FaultPolicy;

static POLICY: AtomicU8 = AtomicU8::new(FaultPolicy::Strict as u8);

/// The policy in force.
pub fn fault_policy() -> FaultPolicy {
    let number = POLICY.load(Ordering::Relaxed);
    FaultPolicy::ALL.into_iter().find(|&policy| policy as u8 == number).unwrap_or_default()
}

/// Changes the policy, for faults from now on. The boot sets it to what the command line says.
pub fn set_fault_policy(policy: FaultPolicy) {
    POLICY.store(policy as u8, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_can_be_changed_and_read() {
        assert_eq!(fault_policy(), FaultPolicy::Strict);
        for policy in FaultPolicy::ALL.into_iter().rev() {
            set_fault_policy(policy);
            assert_eq!(fault_policy(), policy);
        }
    }
}
