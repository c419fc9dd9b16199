//! What an unmodified std program expects, group by group: `std_suite GROUP`. Each check prints `ok NAME`, a failed one
//! panics. Nothing in here knows of libos, and on Linux the same checks pass: they ask for what std promises.
#![forbid(unsafe_code)]

mod basics;
mod datagrams;
mod events;
mod memory;
mod streams;
mod sync;
mod threads;
mod timing;

#[cfg(target_os = "hermit")]
use libos as _;

fn main() {
    let group = std::env::args().nth(1).unwrap_or_default();
    let checks = match group.as_str() {
        "basics" => basics::CHECKS,
        "datagrams" => datagrams::CHECKS,
        "events" => events::CHECKS,
        "memory" => memory::CHECKS,
        "streams" => streams::CHECKS,
        "sync" => sync::CHECKS,
        "threads" => threads::CHECKS,
        "timing" => timing::CHECKS,
        _ => panic!("there is no such group"),
    };
    for (name, check) in checks {
        check();
        println!("ok {name}");
    }
    println!("{group}: {} checks are ok", checks.len());
}

/// A name and what it checks.
type Check = (&'static str, fn());
