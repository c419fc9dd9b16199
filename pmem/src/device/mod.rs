//! Persistent-memory devices: the real media.
//!
//! On the guest a [`Device`] is an NVDIMM that `libos` mapped once, under its own protection key; its grants open that
//! key for one thread and one scope. On Linux it is a mapped file, under a protection key of its own where there are
//! any (the crate `pmem-linux`). The two have the same names and the same rules; what differs is who enforces them.
//! This folder never interprets what a device holds.
//!
//! ```
//! use pmem::{Device, Load, Medium, Store};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = std::env::temp_dir().join(format!("pmem-device-{}", std::process::id()));
//! let device = Device::create(&path, 4096)?;
//! device.write(|grant| {
//!     grant.store(64, b"kept")?;
//!     // Durable when its lines were written back and a fence followed.
//!     grant.write_back(64..68)?;
//!     grant.fence();
//!     Ok::<_, pmem::OutOfRange>(())
//! })??;
//! // Here the device is closed: a stray store would fault, unless `device.protection()` is `none`.
//! drop(device);
//!
//! let mut bytes = [0; 4];
//! Device::open(&path)?.read(|grant| grant.load(64, &mut bytes))??;
//! assert_eq!(&bytes, b"kept");
//! # std::fs::remove_file(path)?;
//! # Ok(())
//! # }
//! ```
//!
//! # What does not compile
//!
//! A grant is a scope. What is read through it stays inside:
//!
//! ```
//! use pmem::{Load, ReadLock};
//!
//! fn first_word(lock: &ReadLock<'_>) -> u64 {
//!     lock.read(|grant| grant.view(0..8).unwrap().read_u64(0).unwrap())
//! }
//! ```
//!
//! A view cannot leave it:
//!
//! ```compile_fail
//! use pmem::{Load, ReadLock};
//!
//! fn first_word(lock: &ReadLock<'_>) -> u64 {
//!     let view = lock.read(|grant| grant.view(0..8).unwrap());
//!     view.read_u64(0).unwrap()
//! }
//! ```
//!
//! Nor can the grant itself, by any variable outside:
//!
//! ```compile_fail
//! use pmem::{ReadGrant, ReadLock};
//!
//! fn keep<'a>(lock: &'a ReadLock<'a>) {
//!     let mut kept: Option<&ReadGrant<'a>> = None;
//!     lock.read(|grant| kept = Some(grant));
//! }
//! ```
//!
//! It belongs to the thread that took it. This would compile if it did not, as it does with a plain number in the
//! grant's place:
//!
//! ```compile_fail
//! use pmem::{Load, ReadLock};
//!
//! fn elsewhere(lock: &ReadLock<'_>) {
//!     lock.read(|grant| std::thread::scope(|scope| { scope.spawn(|| grant.size()); }));
//! }
//! ```
//!
//! ```
//! use pmem::{Load, ReadLock};
//!
//! fn elsewhere(lock: &ReadLock<'_>) {
//!     lock.read(|grant| { let size = grant.size(); std::thread::scope(|scope| { scope.spawn(move || size); }); });
//! }
//! ```
//!
//! A read grant does not write, neither by a store nor by a writable view; a write grant does both:
//!
//! ```compile_fail
//! use pmem::{ReadLock, Store};
//!
//! fn write(lock: &ReadLock<'_>) {
//!     lock.read(|grant| grant.store(0, b"stray").unwrap());
//! }
//! ```
//!
//! ```compile_fail
//! use pmem::{ReadLock, Store};
//!
//! fn write(lock: &ReadLock<'_>) {
//!     lock.read(|grant| grant.view_mut(0..8).unwrap().fill(0).unwrap());
//! }
//! ```
//!
//! ```
//! use pmem::{ReadLock, Store};
//!
//! fn write(lock: &ReadLock<'_>) {
//!     lock.write(|grant| grant.store(0, b"meant").unwrap()).unwrap();
//!     lock.write(|grant| grant.view_mut(0..8).unwrap().fill(0).unwrap()).unwrap();
//! }
//! ```

#[cfg(target_os = "hermit")]
mod guest;

#[cfg(target_os = "hermit")]
pub use guest::{Device, OpenError, ReadGrant, ReadLock, WriteGrant};
pub use libos_contract::protection::{Protection, ProtectionChoice};
#[cfg(not(target_os = "hermit"))]
pub use pmem_linux::{Device, NoKey, OpenError, OpenOptions, ReadGrant, ReadLock, Shortage, WriteGrant};
pub use pmem_medium::{Durability, DurableBy};
