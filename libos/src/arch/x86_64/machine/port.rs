//! I/O ports.

use core::arch::asm;

macro_rules! port_functions {
    ($read:ident, $write:ident, $type:ty, $register:tt, $in:literal, $out:literal) => {
        #[doc = concat!("Reads from an I/O port with `", $in, "`.")]
        ///
        /// # Safety
        /// Reading this port has no effect that breaks memory safety.
        pub unsafe fn $read(port: u16) -> $type {
            let value: $type;
            // SAFETY: the caller answers for the device's reaction; the instruction itself touches no memory.
            unsafe { asm!($in, in("dx") port, out($register) value, options(nomem, nostack, preserves_flags)) };
            value
        }

        #[doc = concat!("Writes to an I/O port with `", $out, "`.")]
        ///
        /// # Safety
        /// Writing this value to this port has no effect that breaks memory safety.
        pub unsafe fn $write(port: u16, value: $type) {
            // SAFETY: the caller answers for the device's reaction; memory that the device reads is written before,
            // because the instruction counts as one that may access memory.
            unsafe { asm!($out, in("dx") port, in($register) value, options(nostack, preserves_flags)) };
        }
    };
}

port_functions!(inb, outb, u8, "al", "in al, dx", "out dx, al");
port_functions!(inw, outw, u16, "ax", "in ax, dx", "out dx, ax");
port_functions!(inl, outl, u32, "eax", "in eax, dx", "out dx, eax");
