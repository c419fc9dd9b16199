//! Channels and locks, with threads that contend for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, TryRecvError, TrySendError};
use std::sync::{Arc, Barrier, Condvar, LazyLock, Mutex, Once, OnceLock, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use crate::Check;

pub(super) const CHECKS: &[Check] = &[
    ("channel", channel),
    ("bounded-channel-blocks-its-sender", bounded_channel),
    ("rendezvous-channel", rendezvous),
    ("channel-timeout", channel_timeout),
    ("channel-end", channel_end),
    ("mutex-counts", mutex_counts),
    ("mutex-try-lock", mutex_try_lock),
    ("rwlock", rwlock),
    ("condvar-hands-over", condvar_hands_over),
    ("condvar-timeout", condvar_timeout),
    ("condvar-notify-all", condvar_notify_all),
    ("once", once),
    ("barrier", barrier),
];

fn channel() {
    let (sender, receiver) = mpsc::channel();
    let senders: Vec<_> = (0..8)
        .map(|from| {
            let sender = sender.clone();
            thread::spawn(move || (0..1000).for_each(|number| sender.send((from, number)).unwrap()))
        })
        .collect();
    drop(sender);
    let mut next = [0; 8];
    for (from, number) in receiver {
        assert_eq!(number, next[from], "messages of one sender stay in order");
        next[from] += 1;
    }
    assert_eq!(next, [1000; 8]);
    senders.into_iter().for_each(|thread| thread.join().unwrap());
}

fn bounded_channel() {
    let (sender, receiver) = mpsc::sync_channel(2);
    sender.send(1).unwrap();
    sender.send(2).unwrap();
    assert!(matches!(sender.try_send(3), Err(TrySendError::Full(3))));
    let late = thread::spawn(move || sender.send(3).unwrap());
    assert_eq!(receiver.iter().collect::<Vec<_>>(), [1, 2, 3]);
    late.join().unwrap();
}

fn rendezvous() {
    let (sender, receiver) = mpsc::sync_channel(0);
    let thread = thread::spawn(move || (0..500).for_each(|number| sender.send(number).unwrap()));
    assert!(receiver.iter().eq(0..500));
    thread.join().unwrap();
}

fn channel_timeout() {
    let (sender, receiver) = mpsc::channel::<()>();
    let before = Instant::now();
    assert_eq!(receiver.recv_timeout(Duration::from_millis(20)), Err(RecvTimeoutError::Timeout));
    assert!(before.elapsed() >= Duration::from_millis(20));
    assert_eq!(receiver.try_recv(), Err(TryRecvError::Empty));
    drop(sender);
    assert_eq!(receiver.recv_timeout(Duration::from_secs(60)), Err(RecvTimeoutError::Disconnected));
}

fn channel_end() {
    let (sender, receiver) = mpsc::channel();
    drop(receiver);
    assert!(sender.send(1).is_err());
}

fn mutex_counts() {
    let count = Arc::new(Mutex::new(0u64));
    let threads: Vec<_> = (0..8)
        .map(|_| {
            let count = count.clone();
            thread::spawn(move || {
                for _ in 0..2000 {
                    let mut count = count.lock().unwrap();
                    let seen = *count;
                    // Others run now and then while this one holds the lock.
                    if seen.is_multiple_of(64) {
                        thread::yield_now();
                    }
                    *count = seen + 1;
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    assert_eq!(*count.lock().unwrap(), 16_000);
}

fn mutex_try_lock() {
    let mutex = Mutex::new(());
    let held = mutex.lock().unwrap();
    thread::scope(|scope| scope.spawn(|| assert!(mutex.try_lock().is_err())).join().unwrap());
    drop(held);
    assert!(mutex.try_lock().is_ok());
}

fn rwlock() {
    let lock = Arc::new(RwLock::new((0u64, 0u64)));
    let readers = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                for _ in 0..500 {
                    let mut pair = lock.write().unwrap();
                    pair.0 += 1;
                    thread::yield_now();
                    pair.1 += 1;
                }
            });
            scope.spawn(|| {
                for _ in 0..500 {
                    let pair = lock.read().unwrap();
                    assert_eq!(pair.0, pair.1);
                    readers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!((*lock.read().unwrap(), readers.into_inner()), ((1500, 1500), 1500));
    let (first, second) = (lock.read().unwrap(), lock.read().unwrap());
    assert_eq!(*first, *second);
    assert!(lock.try_write().is_err());
}

fn condvar_hands_over() {
    let pair = Arc::new((Mutex::new(0u32), Condvar::new()));
    let other = pair.clone();
    let thread = thread::spawn(move || take_turns(&other, 1));
    take_turns(&pair, 0);
    thread.join().unwrap();
    assert_eq!(*pair.0.lock().unwrap(), 2000);
}

fn take_turns((turn, changed): &(Mutex<u32>, Condvar), own: u32) {
    for _ in 0..1000 {
        let mut turn = changed.wait_while(turn.lock().unwrap(), |turn| *turn % 2 != own).unwrap();
        *turn += 1;
        changed.notify_one();
    }
}

fn condvar_timeout() {
    let (mutex, condvar) = (Mutex::new(()), Condvar::new());
    let before = Instant::now();
    let wait = Duration::from_millis(25);
    let (_guard, result) = condvar.wait_timeout_while(mutex.lock().unwrap(), wait, |()| true).unwrap();
    assert!(result.timed_out() && before.elapsed() >= wait, "{:?}", before.elapsed());
}

fn condvar_notify_all() {
    let pair = Arc::new((Mutex::new((0, false)), Condvar::new()));
    let threads: Vec<_> = (0..10)
        .map(|_| {
            let pair = pair.clone();
            thread::spawn(move || {
                let mut state = pair.0.lock().unwrap();
                state.0 += 1;
                drop(pair.1.wait_while(state, |state| !state.1).unwrap());
            })
        })
        .collect();
    while pair.0.lock().unwrap().0 < 10 {
        thread::yield_now();
    }
    pair.0.lock().unwrap().1 = true;
    pair.1.notify_all();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

fn once() {
    static ONCE: Once = Once::new();
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    static CELL: OnceLock<usize> = OnceLock::new();
    static LAZY: LazyLock<usize> = LazyLock::new(|| CALLS.fetch_add(100, Ordering::SeqCst));
    let slow = || {
        thread::sleep(Duration::from_millis(5));
        CALLS.fetch_add(1, Ordering::SeqCst)
    };
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| {
                ONCE.call_once(|| assert!(slow() < 102));
                let first = *CELL.get_or_init(slow);
                assert_eq!(*LAZY, first + 1);
            });
        }
    });
    assert_eq!(CALLS.load(Ordering::SeqCst), 102);
}

fn barrier() {
    let (barrier, arrived) = (Barrier::new(5), AtomicUsize::new(0));
    let leaders = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..5 {
            scope.spawn(|| {
                for round in 1..=20 {
                    arrived.fetch_add(1, Ordering::SeqCst);
                    if barrier.wait().is_leader() {
                        leaders.fetch_add(1, Ordering::SeqCst);
                    }
                    assert!(arrived.load(Ordering::SeqCst) >= round * 5);
                    barrier.wait();
                }
            });
        }
    });
    assert_eq!((arrived.into_inner(), leaders.into_inner()), (100, 20));
}
