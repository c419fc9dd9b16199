//! Starts QEMU, and other servers, so that they never outlive this process.
//!
//! `PR_SET_PDEATHSIG` makes Linux kill a child when its parent dies, and the parent it means is the *thread* that
//! forked. A test starts machines from threads of its own, which may end earlier than the machine. So one
//! thread starts them all, and it lives as long as the process.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::LazyLock;
use std::sync::mpsc::{self, Sender, SyncSender};
use std::thread;

use rustix::io::{FdFlags, fcntl_setfd};
use rustix::process::{Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit};

/// Descriptors that a process may want at most.
const DESCRIPTORS: u64 = 1 << 16;

type Request = (Command, SyncSender<io::Result<Child>>);

static LAUNCHER: LazyLock<Sender<Request>> = LazyLock::new(|| {
    raise_descriptor_limit();
    let (requests, inbox) = mpsc::channel::<Request>();
    thread::spawn(move || {
        for (mut command, reply) in inbox {
            // The asker waits for the reply; should it be gone, so is its interest in the child.
            let _ = reply.send(command.spawn());
        }
    });
    requests
});

/// Lets this process and the machines that it starts have enough descriptors for thousands of connections: a
/// forwarder takes two for each, QEMU takes one, and the ordinary limit is 1024 in all.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let most = limit.maximum.map_or(DESCRIPTORS, |maximum| maximum.min(DESCRIPTORS));
    if limit.current.is_some_and(|current| current < most) {
        // With the limit as it is there are fewer connections at a time, and the others wait.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
    }
}

/// Spawns `command`, which is killed when this process ends, in a process group of its own, so that Ctrl-C in the
/// terminal reaches only xtask. The child inherits these open descriptors, under the same numbers, and with files their
/// locks.
pub(crate) fn spawn(mut command: Command, inherited: &[BorrowedFd<'_>]) -> io::Result<Child> {
    let descriptors: Vec<RawFd> = inherited.iter().map(AsRawFd::as_raw_fd).collect();
    command.process_group(0);
    let in_child = move || {
        set_parent_process_death_signal(Some(Signal::KILL))?;
        for &descriptor in &descriptors {
            // SAFETY: the child has a copy of every descriptor of this process as it was at the fork. They are
            // borrowed by `spawn` until the child has executed its program, so each number names the open file it was
            // taken from.
            let descriptor = unsafe { BorrowedFd::borrow_raw(descriptor) };
            fcntl_setfd(descriptor, FdFlags::empty())?;
        }
        Ok(())
    };
    // SAFETY: the closure runs between fork and exec, where only async-signal-safe work is allowed: it makes two
    // kinds of system calls (prctl, fcntl), reads memory that it owns, and neither allocates, locks nor panics.
    unsafe { command.pre_exec(in_child) };
    let (reply, answer) = mpsc::sync_channel(1);
    let gone = || io::Error::other("the thread that starts machines is gone");
    LAUNCHER.send((command, reply)).map_err(|_| gone())?;
    answer.recv().map_err(|_| gone())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::process::Stdio;

    #[test]
    fn a_child_outlives_the_thread_that_asked_for_it() {
        let child = thread::spawn(|| {
            let mut command = Command::new("cat");
            command.stdin(Stdio::piped()).stdout(Stdio::null());
            spawn(command, &[]).unwrap()
        });
        let mut child = child.join().unwrap();
        drop(child.stdin.take());
        // `cat` ends by itself at the end of its input; a kill at the thread's end would show as a signal.
        assert!(child.wait().unwrap().success());
    }

    #[test]
    fn the_child_keeps_the_lock_of_an_inherited_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let locked = File::open(file.path()).unwrap();
        locked.try_lock().unwrap();
        let mut command = Command::new("cat");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        let mut child = spawn(command, &[locked.as_fd()]).unwrap();
        drop(locked);
        let other = File::open(file.path()).unwrap();
        assert!(other.try_lock().is_err());
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(other.try_lock().is_ok());
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let error = spawn(Command::new("holdfast-has-no-such-program"), &[]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
