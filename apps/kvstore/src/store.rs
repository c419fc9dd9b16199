//! Opening the persistent memory and the pool in it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Instant;

#[cfg(target_os = "hermit")]
use pmem::device::Durability;
#[cfg(not(target_os = "hermit"))]
use pmem::device::{OpenError, OpenOptions, Protection, ProtectionChoice};
#[cfg(not(target_os = "hermit"))]
use pmem::protection;
use pmem::{Device, FormatOptions, Pool};

use crate::log;
use crate::options::Options;
use crate::recovery::{Announcer, Threads};

/// An opened store.
pub struct Store {
    /// The pool.
    pub pool: Pool<Device>,
    /// What protects it from stray stores, for people.
    pub protection: String,
}

/// Opens the device and the pool in it, whose index may have `memory` bytes; a blank device gets a new pool. The error
/// is for people.
pub fn open(options: &Options, memory: u64) -> Result<Store, String> {
    let device = device(options)?;
    let (name, protection) = (device.name(), device.protection());
    let mut uuid = [0; 16];
    uuid[..8].copy_from_slice(&random().to_le_bytes());
    uuid[8..].copy_from_slice(&random().to_le_bytes());
    let mut announcer = Announcer::new();
    let pool = match Pool::is_blank(&device) {
        Ok(true) => Pool::format_with(device, &FormatOptions::new(uuid), |progress| {
            if let Some(line) = announcer.making(progress, Instant::now()) {
                log::say(line);
            }
        }),
        Ok(false) => Pool::open_with(device, memory, &Threads::for_this_machine(), |progress| {
            if let Some(line) = announcer.line(progress, Instant::now()) {
                log::say(line);
            }
        }),
        Err(error) => Err(error),
    };
    let mut pool = pool.map_err(|error| {
        let advice = match error {
            pmem::Error::NoMemory { .. } => format!(
                "of this machine's memory it may have {} MiB; give it more with `--memory`, of which the pool gets two fifths",
                memory >> 20
            ),
            pmem::Error::ReadOnly => {
                "a store keeps what it is told: give this machine an NVDIMM that is armed, with an image that can be written"
                    .into()
            }
            _ => "`cargo xtask pool check FILE` looks into the image from the host, and says more".into(),
        };
        format!("{name}: {error} ({advice})")
    })?;
    pool.limit_memory(memory);
    Ok(Store { pool, protection })
}

/// On the guest the device is there or not.
#[cfg(target_os = "hermit")]
fn device(options: &Options) -> Result<Device, String> {
    let device = Device::open(options.device.to_string_lossy()).map_err(|error| error.to_string())?;
    // A device that keeps nothing is refused anyway.
    if (device.durable_by().durability(), options.durable) == (Durability::Process, Durability::Power) {
        return Err(format!(
            "{}: by what the platform says, what is stored there does not survive a loss of power \
             (`--durable process` serves there)",
            device.name()
        ));
    }
    Ok(device)
}

/// On the host it is a file, created when it does not exist.
#[cfg(not(target_os = "hermit"))]
fn device(options: &Options) -> Result<Device, String> {
    const SIZE: u64 = 1 << 30;
    let path = std::path::Path::new(&options.device);
    let open = OpenOptions::new().durability(options.durable).protection(match options.protection {
        // As in the guest: nothing is served unprotected unless it is asked for.
        ProtectionChoice::Auto => Protection::Pku.into(),
        chosen => chosen,
    });
    let opened = match path.exists() {
        true => open.open(path),
        false => open.create(path, options.size.unwrap_or(SIZE)),
    };
    let device = opened.map_err(|error| match error {
        OpenError::NoKey(..) => format!("{error} (`--protection none` serves without)"),
        OpenError::NotDurable { .. } => format!("{error} (`--durable process` serves there)"),
        _ => error.to_string(),
    })?;
    if let Some(policy) = options.fault_policy {
        protection::set_fault_policy(policy).map_err(|error| format!("--fault-policy {policy}: {error}"))?;
    }
    match options.size {
        Some(size) if size != device.size() => {
            Err(format!("{} has {} bytes, not the {size} of --size", device.name(), device.size()))
        }
        _ => {
            // A full disk ends a program that stores to a sparse file, and the device says so when it happens.
            if let Some(shortage) = device.shortage() {
                log::warn(format_args!("WARNING: {}: {shortage}", device.name()));
            }
            Ok(device)
        }
    }
}

/// A random number: std seeds its hashers with the system's entropy.
pub fn random() -> u64 {
    RandomState::new().build_hasher().finish()
}
