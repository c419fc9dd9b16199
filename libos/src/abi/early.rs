//! Standard output until `abi::stdio` and the descriptor table land; deleted with that change.
use core::slice;
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_write(_fd: i32, buf: *const u8, len: usize) -> isize {
    // SAFETY: the caller's.
    crate::console::write(unsafe { slice::from_raw_parts(buf, len) });
    len as isize
}
#[repr(C)]
struct IoVec {
    base: *const u8,
    len: usize,
}
#[unsafe(no_mangle)]
unsafe extern "C" fn sys_writev(_fd: i32, iov: *const IoVec, n: i32) -> isize {
    let mut total = 0;
    // SAFETY: the caller's.
    for v in unsafe { slice::from_raw_parts(iov, n as usize) } {
        // SAFETY: the caller's.
        total += unsafe { sys_write(1, v.base, v.len) };
    }
    total
}
