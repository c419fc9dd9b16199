//! The unit tests of std's modules, against the std that every program links.
//!
//! They lie in std's source and say `crate` for std. Here `crate` has all that std has; each module with tests is laid
//! over std's own, with the test files in the places where std has them. What else such a module adds is what std has
//! there in private, made of what is public.
#![cfg(test)]
#![feature(assert_matches, can_vector, const_default, const_trait_impl, core_io_borrowed_buf, hash_set_entry)]
#![feature(internal_output_capture, io_error_uncategorized, read_buf, tcp_linger, test, thread_id_value)]
#![feature(try_reserve_kind, write_all_vectored)]
#![allow(internal_features)]

extern crate libos as _;
// The name by which tests of collections tell std from the crate that they are in.
extern crate std as realstd;
extern crate test;

pub use std::*;

#[path = "src/test_helpers.rs"]
mod test_helpers;

#[path = "src/net"]
pub mod net {
    pub use std::net::*;
    // One test names it without saying from where, on a target that is neither Unix nor Windows.
    pub use std::os::fd::AsRawFd;

    pub mod test;

    #[path = "ip_addr/tests.rs"]
    mod ip_addr;
    #[path = "socket_addr/tests.rs"]
    mod socket_addr;
    #[path = "tcp/tests.rs"]
    mod tcp;
    #[path = "udp/tests.rs"]
    mod udp;
}

#[path = "src/sys/net/connection/socket"]
mod lookup {
    use std::net::{SocketAddr, ToSocketAddrs};

    fn lookup_host(name: &str, port: u16) -> std::io::Result<std::vec::IntoIter<SocketAddr>> {
        (name, port).to_socket_addrs()
    }

    mod tests;
}

#[path = "src/thread"]
pub mod thread {
    pub use std::thread::*;

    // As std has it on this target, whose threads have no other number.
    pub(crate) fn current_os_id() -> u64 {
        std::thread::current().id().as_u64().get()
    }

    mod tests;
}

#[path = "src/io"]
pub mod io {
    pub use std::io::*;

    pub const DEFAULT_BUF_SIZE: usize = 8 << 10;

    #[path = "copy/tests.rs"]
    mod copy;
    #[path = "cursor/tests.rs"]
    mod cursor;
    #[path = "util/tests.rs"]
    mod util;

    mod stdio {
        pub use std::io::*;
        pub use std::sync::{Arc, Mutex};

        mod tests;
    }
}

#[path = "src/collections/hash"]
pub mod collections {
    pub use std::collections::*;

    mod map {
        pub use std::collections::hash_map::*;

        mod tests;
    }

    mod set {
        pub use std::collections::hash_set::*;

        mod tests;
    }
}
