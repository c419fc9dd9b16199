//! The network card as the stack has it: the card itself, or in builds for tests the card behind a link with faults.

use super::config::Config;
#[cfg(feature = "testing")]
use super::fault_injector::{Burst, FaultInjector};
use crate::drivers::virtio::net::NetworkCard;
#[cfg(feature = "testing")]
use crate::kprintln;

/// The stack's device.
#[cfg(not(feature = "testing"))]
pub type Card = NetworkCard;

/// The stack's device.
#[cfg(feature = "testing")]
pub type Card = FaultInjector<NetworkCard>;

/// The device that this card is for the stack.
#[cfg(not(feature = "testing"))]
pub fn for_stack(card: NetworkCard, _: &Config) -> Card {
    card
}

/// The device that this card is for the stack: behind the faults that the command line asks for.
#[cfg(feature = "testing")]
pub fn for_stack(card: NetworkCard, config: &Config) -> Card {
    if let Some(faults) = config.link_faults {
        kprintln!("holdfast: WARNING: {faults}");
    }
    FaultInjector::new(card, config.link_faults)
}

/// The card itself.
#[cfg(not(feature = "testing"))]
pub fn itself(card: &mut Card) -> &mut NetworkCard {
    card
}

/// The card itself.
#[cfg(feature = "testing")]
pub fn itself(card: &mut Card) -> &mut NetworkCard {
    card.device()
}

#[cfg(feature = "testing")]
impl Burst for NetworkCard {
    fn has_received(&self) -> bool {
        Self::has_received(self)
    }

    fn flush(&mut self) {
        Self::flush(self);
    }
}
