//! A link that loses, repeats and delays frames, as real networks do: for tests, and only in builds for them (feature
//! `testing`).
//!
//! It is made here, between the card and the stack, because that works with every network that a virtual machine can
//! have: QEMU's user network loses nothing, and a bridge that does takes a tap device and root. Both directions pass
//! it. What it does to a frame follows from a seed, so that a run with the same frames in the same order meets the same
//! faults.
//!
//! A frame that is delayed comes after the others of its burst: received ones when the card has no more of them, sent
//! ones when the card is told of the burst. So nothing waits longer than it takes to look at the card, and no timer is
//! needed.

use alloc::collections::VecDeque;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::str::FromStr;

use smoltcp::phy::{self, Device, DeviceCapabilities, RxToken, TxToken};
use smoltcp::time::Instant;

/// A device whose frames can be asked for and shown in bursts.
pub trait Burst: Device {
    /// Whether a received frame waits.
    fn has_received(&self) -> bool;
    /// Shows the other side what is to be sent.
    fn flush(&mut self);
}

/// How often something happens to a frame, each in a thousand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LinkFaults {
    /// It is lost.
    pub drop: u16,
    /// It comes twice.
    pub duplicate: u16,
    /// It comes after others that were sent later.
    pub reorder: u16,
    /// What the choice of frames follows from.
    pub seed: u64,
}

impl fmt::Display for LinkFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { drop, duplicate, reorder, seed } = self;
        write!(f, "of 1000 frames the link loses {drop}, repeats {duplicate} and delays {reorder} (seed {seed})")
    }
}

/// Not a list of `drop:`, `duplicate:`, `reorder:` (of 1000 frames, together at most that) and `seed:`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadFaults;

impl FromStr for LinkFaults {
    type Err = BadFaults;

    fn from_str(list: &str) -> Result<Self, BadFaults> {
        let mut faults = Self::default();
        for item in list.split(',') {
            let (name, number) = item.split_once(':').ok_or(BadFaults)?;
            let per_mille = || number.parse().ok().filter(|&number: &u16| number <= 1000).ok_or(BadFaults);
            match name {
                "drop" => faults.drop = per_mille()?,
                "duplicate" => faults.duplicate = per_mille()?,
                "reorder" => faults.reorder = per_mille()?,
                "seed" => faults.seed = number.parse().map_err(|_| BadFaults)?,
                _ => return Err(BadFaults),
            }
        }
        if faults.drop + faults.duplicate + faults.reorder <= 1000 { Ok(faults) } else { Err(BadFaults) }
    }
}

/// What happens to a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Pass,
    Drop,
    Duplicate,
    Delay,
}

/// What has happened to frames, in both directions together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FaultCounts {
    /// They were lost.
    pub dropped: u64,
    /// They came twice.
    pub duplicated: u64,
    /// They came late.
    pub delayed: u64,
}

/// Chooses what happens to the frames of one direction, and keeps those that are to come later.
pub struct Lane {
    faults: LinkFaults,
    state: u64,
    later: VecDeque<Vec<u8>>,
    counts: FaultCounts,
}

/// Frames that are kept for later at most, in each direction.
const KEPT: usize = 16;

impl Lane {
    fn new(faults: LinkFaults, salt: u64) -> Self {
        // An odd multiple of an odd number is not zero, which xorshift would never leave.
        let state = (faults.seed.wrapping_mul(2).wrapping_add(1)).wrapping_mul(0x9e37_79b9_7f4a_7c15 ^ salt);
        Self { faults, state, later: VecDeque::with_capacity(KEPT), counts: FaultCounts::default() }
    }

    fn fate(&mut self) -> Fate {
        self.state ^= self.state >> 12;
        self.state ^= self.state << 25;
        self.state ^= self.state >> 27;
        let chosen = ((self.state.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32) % 1000) as u16;
        let LinkFaults { drop, duplicate, reorder, .. } = self.faults;
        let (fate, count) = match chosen {
            at if at < drop => (Fate::Drop, &mut self.counts.dropped),
            at if at < drop + duplicate => (Fate::Duplicate, &mut self.counts.duplicated),
            at if at < drop + duplicate + reorder => (Fate::Delay, &mut self.counts.delayed),
            _ => return Fate::Pass,
        };
        if fate != Fate::Drop && self.later.len() >= KEPT {
            return Fate::Pass;
        }
        *count += 1;
        fate
    }
}

struct Lanes {
    inward: Lane,
    outward: Lane,
}

/// A device behind a link with faults; without any it is the device itself.
pub struct FaultInjector<D> {
    device: D,
    lanes: Option<Lanes>,
}

impl<D: Burst> FaultInjector<D> {
    /// The device, behind faults if there are any.
    pub fn new(device: D, faults: Option<LinkFaults>) -> Self {
        // The two directions shall not suffer in step.
        let lanes = |faults| Lanes { inward: Lane::new(faults, 0), outward: Lane::new(faults, 0x5555_5555_5555_5554) };
        Self { device, lanes: faults.map(lanes) }
    }

    /// The device.
    pub fn device(&mut self) -> &mut D {
        &mut self.device
    }

    /// What has happened to frames.
    pub fn counts(&self) -> FaultCounts {
        let Some(Lanes { inward, outward }) = &self.lanes else { return FaultCounts::default() };
        FaultCounts {
            dropped: inward.counts.dropped + outward.counts.dropped,
            duplicated: inward.counts.duplicated + outward.counts.duplicated,
            delayed: inward.counts.delayed + outward.counts.delayed,
        }
    }

    /// Whether a received frame waits.
    pub fn has_received(&self) -> bool {
        self.device.has_received() || self.lanes.as_ref().is_some_and(|lanes| !lanes.inward.later.is_empty())
    }

    /// Shows the other side what is to be sent.
    pub fn flush(&mut self) {
        if let Some(lanes) = &mut self.lanes {
            while !lanes.outward.later.is_empty()
                && let Some(token) = self.device.transmit(Instant::ZERO)
                && let Some(frame) = lanes.outward.later.pop_front()
            {
                token.consume(frame.len(), |into| into.copy_from_slice(&frame));
            }
        }
        self.device.flush();
    }
}

impl<D: Burst> Device for FaultInjector<D> {
    type RxToken<'a>
        = Received<'a, D>
    where
        Self: 'a;
    type TxToken<'a>
        = Sender<'a, D>
    where
        Self: 'a;

    fn receive(&mut self, now: Instant) -> Option<(Received<'_, D>, Sender<'_, D>)> {
        let (inward, outward) = match &mut self.lanes {
            Some(Lanes { inward, outward }) => (Some(inward), Some(outward)),
            None => (None, None),
        };
        if let Some(inward) = inward {
            if self.device.has_received() {
                let (token, answer) = self.device.receive(now)?;
                let fate = inward.fate();
                return Some((Received::Faulty(token, inward, fate), Sender { token: answer, lane: outward }));
            }
            inward.later.front()?;
            let answer = self.device.transmit(now)?;
            let frame = inward.later.pop_front()?;
            return Some((Received::Late(frame), Sender { token: answer, lane: outward }));
        }
        let (token, answer) = self.device.receive(now)?;
        Some((Received::Whole(token), Sender { token: answer, lane: None }))
    }

    fn transmit(&mut self, now: Instant) -> Option<Sender<'_, D>> {
        let lane = self.lanes.as_mut().map(|lanes| &mut lanes.outward);
        Some(Sender { token: self.device.transmit(now)?, lane })
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.device.capabilities()
    }
}

/// A received frame.
pub enum Received<'a, D: Device + 'a> {
    /// As it came.
    Whole(D::RxToken<'a>),
    /// With something happening to it.
    Faulty(D::RxToken<'a>, &'a mut Lane, Fate),
    /// One that came before.
    Late(Vec<u8>),
}

impl<D: Device> RxToken for Received<'_, D> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, f: F) -> R {
        match self {
            Self::Whole(token) | Self::Faulty(token, _, Fate::Pass) => token.consume(f),
            // Nobody wants an empty frame.
            Self::Faulty(_, _, Fate::Drop) => f(&[]),
            Self::Faulty(token, lane, fate) => token.consume(|frame| {
                lane.later.push_back(frame.to_vec());
                f(if fate == Fate::Delay { &[] } else { frame })
            }),
            Self::Late(frame) => f(&frame),
        }
    }
}

/// Room for one frame.
pub struct Sender<'a, D: Device + 'a> {
    token: D::TxToken<'a>,
    lane: Option<&'a mut Lane>,
}

impl<D: Device> TxToken for Sender<'_, D> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, f: F) -> R {
        let Some(lane) = self.lane else { return self.token.consume(len, f) };
        let fate = lane.fate();
        if fate == Fate::Pass {
            return self.token.consume(len, f);
        }
        let mut frame = vec![0; len];
        let result = f(&mut frame);
        if fate == Fate::Duplicate {
            self.token.consume(len, |into| into.copy_from_slice(&frame));
        }
        if fate != Fate::Drop {
            lane.later.push_back(frame);
        }
        result
    }

    fn set_meta(&mut self, meta: phy::PacketMeta) {
        self.token.set_meta(meta);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_from_the_command_line() {
        let read = |list: &str| list.parse::<LinkFaults>();
        assert_eq!(read("drop:20"), Ok(LinkFaults { drop: 20, ..LinkFaults::default() }));
        let all = LinkFaults { drop: 1, duplicate: 2, reorder: 3, seed: 4 };
        assert_eq!(read("reorder:3,drop:1,seed:4,duplicate:2"), Ok(all));
        for bad in ["", "drop", "drop:x", "drop:1001", "lose:1", "drop:600,reorder:401", "drop:-1", "seed:"] {
            assert_eq!(read(bad), Err(BadFaults), "{bad}");
        }
    }

    #[test]
    fn each_fate_is_met_as_often_as_was_asked() {
        for seed in 0..20 {
            let mut lane = Lane::new(LinkFaults { drop: 20, duplicate: 5, reorder: 10, seed }, 0);
            for _ in 0..100_000 {
                lane.fate();
            }
            let FaultCounts { dropped, duplicated, delayed } = lane.counts;
            assert!((1700..2300).contains(&dropped), "{dropped}");
            assert!((380..630).contains(&duplicated), "{duplicated}");
            assert!((850..1150).contains(&delayed), "{delayed}");
        }
    }
}
