//! Reading decisions out of a fuzzer's bytes.

/// The bytes of one input, which run out: then every decision is the first one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Input<'d>(&'d [u8]);

impl<'d> Input<'d> {
    pub(crate) fn new(data: &'d [u8]) -> Self {
        Input(data)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    /// A number of `bytes` bytes.
    pub(crate) fn number(&mut self, bytes: usize) -> u64 {
        self.bytes(bytes).iter().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A number below `below`, of no more bytes than it takes.
    pub(crate) fn below(&mut self, below: u64) -> u64 {
        let bytes = (64 - below.saturating_sub(1).leading_zeros()).div_ceil(8) as usize;
        self.number(bytes) % below.max(1)
    }

    /// The next bytes, at most `most`.
    pub(crate) fn bytes(&mut self, most: usize) -> &'d [u8] {
        let (bytes, rest) = self.0.split_at(most.min(self.0.len()));
        self.0 = rest;
        bytes
    }
}
