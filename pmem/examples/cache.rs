//! A cache that is still there after a crash, in a pool:
//!
//!     cargo run -p pmem --example cache -- /tmp/cache
//!
//! For each number of its input it tells how many primes are not above it. Lists of primes that were computed once are
//! kept, until there is no room and the cache begins anew. Kill it in any way and start it again: what it has told it
//! does not compute again.

use std::error::Error;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;

use pmem::device::OpenError;
use pmem::{Device, FormatOptions, Medium, Pool};

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).ok_or("usage: cache FILE")?;
    let device = open_or_create(&path, 16 << 20)?;
    let mut pool = Pool::open_or_format(device, &FormatOptions::new(random_identity()))?;
    println!("{} so far; protection {}", pool.stats().keys, pool.medium().protection());
    for line in io::stdin().lines() {
        let number: u32 = line?.trim().parse()?;
        let (primes, how) = match find(&mut pool, number)? {
            Some(primes) => (primes, "found"),
            None => {
                let primes = primes_up_to(number);
                keep(&mut pool, number, &primes)?;
                (primes, "computed")
            }
        };
        println!("{} primes up to {number}, {how}", primes.len());
    }
    Ok(())
}

fn open_or_create(path: &str, len: u64) -> Result<Device, OpenError> {
    match Device::create(path, len) {
        Err(OpenError::Exists(_)) => Device::open(path),
        created => created,
    }
}

fn random_identity() -> [u8; 16] {
    let random = || RandomState::new().build_hasher().finish().to_le_bytes();
    [random(), random()].concat().try_into().expect("twice eight bytes")
}

/// The list that is kept for a number.
fn find(pool: &mut Pool<impl Medium>, number: u32) -> Result<Option<Vec<u32>>, pmem::Error> {
    let mut value = Vec::new();
    let (found, _) = pool.turn(|turn| turn.get(&number.to_le_bytes(), &mut value))?;
    let (words, _) = value.as_chunks();
    Ok(found?.map(|_| words.iter().copied().map(u32::from_le_bytes).collect()))
}

/// Keeps a list, durably.
fn keep(pool: &mut Pool<impl Medium>, number: u32, primes: &[u32]) -> Result<(), pmem::Error> {
    let value: Vec<u8> = primes.iter().flat_map(|prime| prime.to_le_bytes()).collect();
    let key = number.to_le_bytes();
    let (kept, _receipt) = pool.turn(|turn| match turn.put(&key, &value, None) {
        // It is only a cache.
        Err(pmem::Error::Full) => {
            turn.clear()?;
            turn.put(&key, &value, None)
        }
        put => put,
    })?;
    kept
}

/// The sieve of Eratosthenes.
fn primes_up_to(number: u32) -> Vec<u32> {
    let mut is_prime = vec![true; number as usize + 1];
    (2..=number)
        .filter(|&candidate| {
            let prime = is_prime[candidate as usize];
            if prime && u64::from(candidate).pow(2) <= u64::from(number) {
                (candidate * candidate..=number).step_by(candidate as usize).for_each(|n| is_prime[n as usize] = false);
            }
            prime
        })
        .collect()
}
