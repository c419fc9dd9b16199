//! Event counters as descriptors; mio's and polling's wakers are made of them.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use hermit_abi::{EFD_CLOEXEC, EFD_NONBLOCK, EFD_SEMAPHORE, stat};

use super::errno::{Errno, result};
use super::fd::{open, room};
use super::object::Object;
use crate::io::{Counter, IoSlices, IoSlicesMut, Ready, Signal, Watch};
use crate::sync::{IrqLock, class};

struct EventFd {
    counter: IrqLock<Counter, class::Object>,
    nonblocking: AtomicBool,
    watch: Watch,
}

impl EventFd {
    /// Changes the counter, and repeats until it could be changed, unless the object does not block.
    fn change<R>(&self, wanted: Ready, mut change: impl FnMut(&mut Counter) -> Option<R>) -> Result<R, Errno> {
        loop {
            {
                let mut counter = self.counter.lock();
                let before = ready(&counter);
                let changed = change(&mut counter);
                let after = ready(&counter);
                if let Some(value) = changed {
                    // Published under the lock, so that the last publication is the counter's state. A second write to
                    // a counter that was readable before changes nothing that anybody waits for.
                    if before != after {
                        self.watch.publish(after);
                    }
                    return Ok(value);
                }
            }
            if self.nonblocking.load(Ordering::Relaxed) {
                return Err(Errno::EAGAIN);
            }
            let _ = self.watch.wait(wanted, None);
        }
    }
}

fn ready(counter: &Counter) -> Ready {
    let mut ready = Ready::empty();
    ready.set(Ready::IN, counter.is_readable());
    ready.set(Ready::OUT, counter.is_writable());
    ready
}

impl Object for EventFd {
    fn read(&self, into: &mut IoSlicesMut<'_>) -> Result<usize, Errno> {
        let part = into.iter_mut().find(|part| part.len() >= 8).ok_or(Errno::EINVAL)?;
        let value = self.change(Ready::IN, Counter::take)?;
        part[..8].copy_from_slice(&value.to_ne_bytes());
        Ok(8)
    }

    fn write(&self, from: &IoSlices<'_>) -> Result<usize, Errno> {
        let value = from.iter().find_map(|part| part.first_chunk()).ok_or(Errno::EINVAL)?;
        let value = u64::from_ne_bytes(*value);
        if value == u64::MAX {
            return Err(Errno::EINVAL);
        }
        self.change(Ready::OUT, |counter| counter.add(value))?;
        Ok(8)
    }

    fn look(&self, interest: Ready) -> Ready {
        self.watch.look(interest)
    }

    fn describe(&self, _about: &mut stat) {}

    fn nonblocking(&self) -> bool {
        self.nonblocking.load(Ordering::Relaxed)
    }

    fn set_nonblocking(&self, on: bool) {
        self.nonblocking.store(on, Ordering::Relaxed);
    }
}

/// Makes an event counter that begins at `value`.
#[unsafe(no_mangle)]
extern "C" fn sys_eventfd(value: u64, flags: i16) -> i32 {
    if flags & !(EFD_SEMAPHORE | EFD_NONBLOCK | EFD_CLOEXEC) != 0 {
        return result(Err(Errno::EINVAL));
    }
    if let Err(error) = room() {
        return result(Err(error));
    }
    let counter = Counter::new(value, flags & EFD_SEMAPHORE != 0);
    let watch = Watch::default();
    watch.publish(ready(&counter));
    let nonblocking = AtomicBool::new(flags & EFD_NONBLOCK != 0);
    result(open(Arc::new(EventFd { counter: IrqLock::new(counter), nonblocking, watch }), 0))
}
