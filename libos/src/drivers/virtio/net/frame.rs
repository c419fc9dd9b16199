//! What a frame has around it in a buffer, with the modern transport (section 5.1.6).

/// The header before every frame.
pub(super) const HEADER_LEN: usize = 12;
/// The largest Ethernet frame without a VLAN tag or checksum.
pub(super) const FRAME_LEN: usize = 1514;
/// In the header's flags: the checksum is to be completed.
pub(super) const NEEDS_CHECKSUM: u8 = 1;
/// In the header's flags: the device has checked the checksum.
pub(super) const CHECKSUM_VALID: u8 = 2;
