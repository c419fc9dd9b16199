//! What a descriptor is ready for.

use bitflags::bitflags;

bitflags! {
    /// The conditions that `poll` reports, with the ABI's bit values.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub struct Ready: u16 {
        /// A read does not block: there is data, an end of file, an error or a connection to accept.
        const IN = hermit_abi::POLLIN as u16;
        /// A write does not block: there is room, or it fails at once.
        const OUT = hermit_abi::POLLOUT as u16;
        /// An error waits in `SO_ERROR`.
        const ERR = hermit_abi::POLLERR as u16;
        /// Both directions are closed.
        const HUP = hermit_abi::POLLHUP as u16;
        /// The peer sends no more.
        const RDHUP = hermit_abi::POLLRDHUP as u16;
        /// The descriptor is not open.
        const NVAL = hermit_abi::POLLNVAL as u16;
        /// The same as [`Ready::IN`] under another name.
        const RDNORM = hermit_abi::POLLRDNORM as u16;
        /// The same as [`Ready::OUT`] under another name.
        const WRNORM = hermit_abi::POLLWRNORM as u16;
    }
}

impl Ready {
    /// What `poll` reports whether it was asked for or not.
    pub const ALWAYS: Self = Self::ERR.union(Self::HUP).union(Self::NVAL);

    /// The answer to a poller that asked for `events`.
    pub fn answer(self, events: i16) -> i16 {
        let mut full = self;
        full.set(Self::RDNORM, self.contains(Self::IN));
        full.set(Self::WRNORM, self.contains(Self::OUT));
        (full & (Self::asked(events) | Self::ALWAYS)).bits() as i16
    }

    /// The conditions named by a `pollfd`'s `events`.
    pub fn asked(events: i16) -> Self {
        Self::from_bits_truncate(events as u16)
    }
}

/// Where an object says what it has become ready for, so that whoever waits for it can wake.
pub trait Signal: Default + Send + Sync + 'static {
    /// The object's whole readiness is now `ready`.
    fn publish(&self, ready: Ready);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_answered_unasked_and_the_rest_only_when_asked_for() {
        let ready = Ready::IN | Ready::OUT | Ready::HUP;
        assert_eq!(ready.answer(hermit_abi::POLLIN), hermit_abi::POLLIN | hermit_abi::POLLHUP);
        assert_eq!(ready.answer(0), hermit_abi::POLLHUP);
        assert_eq!(Ready::OUT.answer(hermit_abi::POLLWRNORM), hermit_abi::POLLWRNORM);
        assert_eq!(Ready::IN.answer(hermit_abi::POLLOUT), 0);
    }
}
