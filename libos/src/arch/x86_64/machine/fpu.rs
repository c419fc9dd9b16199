//! Vector and floating-point state.
//!
//! A voluntary switch is a function call: the compiler has saved every vector register, and only MXCSR and the x87
//! control word live on. A trap may come anywhere, so its entry saves all enabled state with XSAVE (see
//! [`crate::arch::trap`]).

/// The size of the XSAVE area: legacy region and header (576 bytes), then AVX (256), a multiple of 64
/// (SDM volume 1, section 13.4). Only these three components are ever enabled in XCR0.
pub const XSAVE_AREA: usize = 832;

/// The XSAVE components that a trap saves: x87, SSE, AVX.
pub const XSAVE_MASK: u32 = 0b111;

/// MXCSR of a new thread: all exceptions masked, round to nearest.
pub const INITIAL_MXCSR: u32 = 0x1f80;

/// x87 control word of a new thread: all exceptions masked, 64-bit precision, round to nearest.
pub const INITIAL_X87_CONTROL: u16 = 0x037f;
