//! The table of the functions that this library exports: the one list of what there is.
//!
//! `docs/abi.md` shows it, the guest program `abi` links every function in it, and the test `abi` compares it with what
//! the compiled library exports and with what the sources of `std` and its neighbours call.

use core::fmt;

/// Who calls a function on this target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// Rust's standard library, 1.95.
    Std,
    /// The `mio` crate, 1.x, which calls through `libc`.
    Mio,
    /// The `polling` crate, 3.x.
    Polling,
    /// The `libc` crate declares it, for whoever asks.
    Libc,
    /// The `num_cpus` crate, 1.x.
    NumCpus,
    /// Declared by `hermit-abi` alone; later versions of `std` may call it.
    Abi,
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Std => "std",
            Self::Mio => "mio",
            Self::Polling => "polling",
            Self::Libc => "libc",
            Self::NumCpus => "num_cpus",
            Self::Abi => "hermit-abi",
        })
    }
}

/// A function of the table.
#[derive(Clone, Copy, Debug)]
pub struct Function {
    /// The symbol.
    pub name: &'static str,
    /// What it does, and what it returns unless that is 0.
    pub does: &'static str,
    /// The errors that it fails with; empty if it cannot fail.
    pub errors: &'static str,
    /// Who calls it.
    pub callers: &'static [Caller],
}

/// Passes the rows of the table to the macro `$then`.
#[doc(hidden)]
#[macro_export]
macro_rules! abi_functions {
    ($then:ident) => {
        $then! {
            // Memory
            sys_malloc(Std) "allocates; null if memory is full or the alignment is no power of two" "";
            sys_realloc(Std, Libc) "changes the size of an allocation; null if memory is full, and the old one is intact then" "";
            sys_free(Std) "frees an allocation" "";
            sys_alloc(Libc) "as `sys_malloc`" "";
            sys_alloc_zeroed(Libc) "as `sys_malloc`, and the memory is zero" "";
            sys_dealloc(Libc) "as `sys_free`" "";
            // The program
            sys_exit(Std, Libc) "drains connections, finishes changes of persistent memory and ends the machine with a status" "";
            sys_abort(Std, Libc) "reports who gave up, with a backtrace, and ends the machine with status 101" "";
            sys_getpid(Std) "1: there is one process" "";
            sys_get_errno(Std, Polling) "the number of this thread's last error" "";
            sys_errno(Libc) "as `sys_get_errno`" "";
            sys_read_entropy(Std) "fills a buffer with random bytes; how many, which is all" "EFAULT, EINVAL (a flag)";
            // Threads
            sys_spawn2(Std) "starts a thread with a stack of this size; its identifier, or 0 if memory is full. Priority and CPU are not looked at" "";
            sys_join(Std) "waits until the thread's function has returned; returns at once if there is no such thread" "";
            sys_yield(Std) "lets other threads run" "";
            sys_available_parallelism(Std, Libc) "how many CPUs there are, at least 1" "";
            sys_get_processor_count(NumCpus) "as `sys_available_parallelism`" "";
            sys_futex_wait(Std, Libc) "waits for a wake if the word has this value; null waits for ever. The errors are returned and not left in errno" "EAGAIN (the value differs), ETIMEDOUT, EINVAL";
            sys_futex_wake(Std, Libc) "wakes up to so many waiters; how many there were" "";
            // Time
            sys_clock_gettime(Std, Libc) "reads the clock REALTIME (1) or MONOTONIC (4)" "EINVAL, EFAULT";
            sys_usleep(Std) "sleeps for at least so many microseconds" "";
            sys_nanosleep(Libc) "sleeps for at least this span" "EFAULT, EINVAL";
            // Descriptors
            sys_read(Std, Polling, Libc) "reads; how many bytes, 0 at the end" "EBADF, EFAULT, EISDIR, EAGAIN, EINVAL, ENOTCONN, ECONNRESET, ETIMEDOUT";
            sys_write(Std, Polling, Libc) "writes; how many bytes" "EBADF, EFAULT, EAGAIN, EINVAL, ENOSPC, EFBIG, EPIPE, ENOTCONN, ECONNRESET";
            sys_readv(Std, Libc) "as `sys_read`, into several buffers" "as `sys_read`; EINVAL for more than 1024 buffers";
            sys_writev(Std, Libc) "as `sys_write`, from several buffers" "as `sys_write`; EINVAL for more than 1024 buffers";
            sys_close(Std, Mio, Libc) "closes a descriptor; never waits, a connection winds up in the background" "EBADF";
            sys_dup(Std, Libc) "another descriptor for the same open object" "EBADF, EMFILE";
            sys_fcntl(Mio, Libc) "F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL (of these flags, O_NONBLOCK and O_APPEND)" "EBADF, EINVAL, EMFILE";
            sys_ioctl(Std, Libc) "FIONBIO: whether calls block" "EBADF, EFAULT, ENOTTY";
            sys_lseek(Std) "moves a file's position; where it is" "EBADF, EINVAL, ESPIPE (not a file)";
            sys_fstat(Std, Libc) "describes what is open" "EBADF, EFAULT";
            sys_fsync(Abi) "always fails: no file here is stored anywhere; what is to last belongs in `pmem::Device`" "EBADF, ENOSYS";
            sys_eventfd(Mio, Polling, Libc) "makes a counter to wake a poller with; its descriptor" "EINVAL, EMFILE, ENOMEM";
            sys_poll(Std, Mio, Polling, Libc) "waits until descriptors are ready; how many are, 0 after the time. Fails with exactly -1, since `std` takes every other number for success" "EFAULT, EINVAL";
            // Files
            sys_open(Std, Libc) "opens a file or a directory; the descriptor" "ENOENT, ENOTDIR, EISDIR, EEXIST, EACCES, EINVAL, ENOSPC, EMFILE, ENAMETOOLONG, EFAULT, ENOMEM";
            sys_stat(Std, Libc) "describes what a path names" "ENOENT, ENOTDIR, ENAMETOOLONG, EFAULT";
            sys_lstat(Std, Libc) "as `sys_stat`: there are no symbolic links" "as `sys_stat`";
            sys_mkdir(Std, Libc) "makes a directory" "ENOENT, ENOTDIR, EEXIST, ENOSPC, ENAMETOOLONG, EFAULT";
            sys_rmdir(Std, Libc) "removes an empty directory" "ENOENT, ENOTDIR, ENOTEMPTY, EBUSY, EINVAL, EACCES, ENAMETOOLONG, EFAULT";
            sys_unlink(Std, Libc) "removes a file's name; who has it open keeps it" "ENOENT, ENOTDIR, EISDIR, EACCES, ENAMETOOLONG, EFAULT";
            sys_getdents64(Std, Libc) "lists an open directory; how many bytes, 0 after its end" "EBADF, EFAULT, ENOTDIR, EINVAL (the buffer does not hold all of it)";
            // Sockets
            sys_socket(Std, Mio, Libc) "makes a socket; its descriptor" "EAFNOSUPPORT, EPROTONOSUPPORT, EINVAL, EMFILE, ENOBUFS, ENOMEM";
            sys_bind(Std, Mio, Libc) "gives a socket its address" "EBADF, ENOTSOCK, EFAULT, EINVAL, EAFNOSUPPORT, EADDRINUSE, EADDRNOTAVAIL, ENOMEM";
            sys_listen(Std, Mio, Libc) "accepts connections from now on" "EBADF, ENOTSOCK, EINVAL, EOPNOTSUPP, EADDRINUSE, ENOMEM";
            sys_accept(Std, Mio, Libc) "takes a connection that has come in; its descriptor" "EBADF, ENOTSOCK, EFAULT, EINVAL, EAGAIN, EMFILE, EOPNOTSUPP, ECONNABORTED, ENOMEM";
            sys_connect(Std, Mio, Libc) "connects" "EBADF, ENOTSOCK, EFAULT, EINVAL, EAFNOSUPPORT, EISCONN, EALREADY, EINPROGRESS, ECONNREFUSED, ETIMEDOUT, ENETUNREACH, EHOSTUNREACH, EADDRNOTAVAIL, ENOMEM";
            sys_shutdown(Std, Libc) "closes one direction of a connection, or both" "EBADF, ENOTSOCK, EINVAL, ENOTCONN";
            sys_send(Std, Libc) "as `sys_write`, with flags" "as `sys_write`; ENOTSOCK, EDESTADDRREQ, EMSGSIZE";
            sys_sendto(Std, Libc) "sends a datagram to an address" "as `sys_send`; EAFNOSUPPORT, EINVAL, EACCES, ENETUNREACH, ECONNREFUSED, EHOSTUNREACH";
            sys_recv(Std, Libc) "as `sys_read`, with the flag MSG_PEEK" "as `sys_read`; ENOTSOCK, ECONNREFUSED, EHOSTUNREACH";
            sys_recvfrom(Std, Libc) "as `sys_recv`, and says who sent it" "as `sys_recv`";
            sys_getsockname(Std, Libc) "the address of this end, whole" "EBADF, ENOTSOCK, EFAULT, EINVAL";
            sys_getpeername(Std, Libc) "the address of the other end, whole" "EBADF, ENOTSOCK, EFAULT, ENOTCONN";
            sys_setsockopt(Std, Mio, Libc) "sets an option" "EBADF, ENOTSOCK, EFAULT, EINVAL, ENOPROTOOPT, EADDRINUSE, EADDRNOTAVAIL, ENOBUFS";
            sys_getsockopt(Std, Mio, Libc) "asks for an option" "EBADF, ENOTSOCK, EFAULT, EINVAL, ENOPROTOOPT";
            sys_getaddrinfo(Std, Libc) "looks a name up; fails with an `EAI_` number" "EAI_NONAME, EAI_NODATA, EAI_AGAIN, EAI_FAIL, EAI_SERVICE, EAI_FAMILY, EAI_SOCKTYPE, EAI_BADFLAGS";
            sys_freeaddrinfo(Std, Libc) "frees what `sys_getaddrinfo` gave" "";
        }
    };
}

macro_rules! functions {
    ($($name:ident($($caller:ident),*) $does:literal $errors:literal;)*) => {
        /// Every function that this library exports.
        pub const FUNCTIONS: &[Function] = &[
            $(Function { name: stringify!($name), does: $does, errors: $errors, callers: &[$(Caller::$caller),*] }),*
        ];
    };
}
abi_functions!(functions);

/// What `hermit-abi` declares and this library leaves out, so that who calls it does not link, and why.
pub const LEFT_OUT: &[(&str, &[&str])] = &[
    (
        "of the kernel's own tasks and queues, which nothing outside of Hermit's old runtime used: threads wait on futexes",
        &[
            "sys_add_queue",
            "sys_block_current_task",
            "sys_block_current_task_with_timeout",
            "sys_destroy_queue",
            "sys_init_queue",
            "sys_notify",
            "sys_wait",
            "sys_wakeup_taskt",
            "sys_sem_destroy",
            "sys_sem_init",
            "sys_sem_post",
            "sys_sem_timedwait",
            "sys_sem_trywait",
        ],
    ),
    (
        "there are no priorities and no CPU to choose: `sys_spawn2` starts threads",
        &["sys_get_priority", "sys_set_priority", "sys_spawn"],
    ),
    ("pages are the library's: programs allocate", &["sys_getpagesize", "sys_mmap", "sys_mprotect", "sys_munmap"]),
    (
        "old names or forms of what is in the table",
        &["sys_getaddrbyname", "sys_network_init", "sys_opendir", "sys_shutdown_socket"],
    ),
];

/// The table as `docs/abi.md` has it.
#[derive(Clone, Copy, Debug)]
pub struct Markdown;

impl fmt::Display for Markdown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("| Function | What it does | Errors | Who calls it |\n|---|---|---|---|\n")?;
        for Function { name, does, errors, callers } in FUNCTIONS {
            write!(f, "| `{name}` | {does} | {errors} | ")?;
            for (number, caller) in callers.iter().enumerate() {
                write!(f, "{}{caller}", if number == 0 { "" } else { ", " })?;
            }
            f.write_str(" |\n")?;
        }
        f.write_str("\nDeclared by `hermit-abi` and left out:\n\n")?;
        for (why, names) in LEFT_OUT {
            for (number, name) in names.iter().enumerate() {
                write!(f, "{}`{name}`", if number == 0 { "- " } else { ", " })?;
            }
            writeln!(f, ": {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::string::ToString;

    use super::*;

    #[test]
    fn the_documentation_shows_this_table() {
        let text = include_str!("../../../docs/abi.md");
        let table = Markdown.to_string();
        assert!(text.contains(&table), "docs/abi.md has another table; this is the one of the code:\n{table}");
    }

    #[test]
    fn no_function_is_listed_twice_or_is_both_there_and_left_out() {
        let names = FUNCTIONS.iter().map(|function| function.name);
        let all = || names.clone().chain(LEFT_OUT.iter().flat_map(|(_, names)| names.iter().copied()));
        assert_eq!(all().collect::<BTreeSet<_>>().len(), all().count());
    }
}
