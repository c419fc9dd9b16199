//! The functions that a program for this target finds in libos: without one of them this program does not link.

/// Declares functions by their names alone, and lists them.
macro_rules! functions {
    ($list:ident: $($name:ident),* $(,)?) => {
        #[cfg(target_os = "hermit")]
        unsafe extern "C" {
            $(fn $name();)*
        }
        #[cfg(target_os = "hermit")]
        const $list: &[(&str, unsafe extern "C" fn())] = &[$((stringify!($name), $name)),*];
    };
}

// What std 1.95 calls.
functions! { STD:
    sys_abort,
    sys_accept,
    sys_available_parallelism,
    sys_bind,
    sys_clock_gettime,
    sys_close,
    sys_connect,
    sys_dup,
    sys_exit,
    sys_free,
    sys_freeaddrinfo,
    sys_fstat,
    sys_futex_wait,
    sys_futex_wake,
    sys_get_errno,
    sys_getaddrinfo,
    sys_getdents64,
    sys_getpeername,
    sys_getpid,
    sys_getsockname,
    sys_getsockopt,
    sys_ioctl,
    sys_join,
    sys_listen,
    sys_lseek,
    sys_lstat,
    sys_malloc,
    sys_mkdir,
    sys_open,
    sys_poll,
    sys_read,
    sys_read_entropy,
    sys_readv,
    sys_realloc,
    sys_recv,
    sys_recvfrom,
    sys_rmdir,
    sys_send,
    sys_sendto,
    sys_setsockopt,
    sys_shutdown,
    sys_socket,
    sys_spawn2,
    sys_stat,
    sys_unlink,
    sys_usleep,
    sys_write,
    sys_writev,
    sys_yield,
}

// What mio, polling and the libc crate call besides.
functions! { OTHERS:
    sys_alloc,
    sys_alloc_zeroed,
    sys_dealloc,
    sys_errno,
    sys_eventfd,
    sys_fcntl,
    sys_nanosleep,
}

fn main() {
    #[cfg(target_os = "hermit")]
    {
        use libos as _;
        for (name, function) in STD.iter().chain(OTHERS) {
            println!("{name} {:p}", *function as *const ());
        }
        println!("abi: {} functions for std, {} for others", STD.len(), OTHERS.len());
    }
    #[cfg(not(target_os = "hermit"))]
    eprintln!("abi runs in the guest");
}
