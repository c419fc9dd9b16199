//! The file system: there is none. What outlives the program belongs in persistent memory, through the `pmem` crate.

use core::ffi::{c_char, c_void};

use super::errno::{Errno, result};

macro_rules! absent {
    ($($name:ident($($argument:ty),*) -> $result:ty;)*) => {
        $(
            #[doc = concat!("`", stringify!($name), "`: always ENOSYS.")]
            #[unsafe(no_mangle)]
            extern "C" fn $name($(_: $argument),*) -> $result {
                <$result>::from(result::<i32>(Err(Errno::ENOSYS)))
            }
        )*
    };
}

absent! {
    sys_open(*const c_char, i32, u32) -> i32;
    sys_stat(*const c_char, *mut c_void) -> i32;
    sys_lstat(*const c_char, *mut c_void) -> i32;
    sys_mkdir(*const c_char, u32) -> i32;
    sys_rmdir(*const c_char) -> i32;
    sys_unlink(*const c_char) -> i32;
    sys_getdents64(i32, *mut c_void, usize) -> i64;
}
