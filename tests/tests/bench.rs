//! The store's machine can be measured beside one with Redis on Linux: `cargo xtask bench --against redis-linux` does
//! it for longer. How fast they are nobody looks at here.

use xtask::bench::guest::{Against, Hardware, Options, measure_image};
use xtask::bench::{Earlier, Group, Runs};
use xtask::guest;
use xtask::qemu::{Network, Protection};
use xtask::size::MIB;

#[test]
fn both_machines_are_measured_in_turns() {
    let options = Options {
        against: Some(Against::RedisOnLinux),
        groups: vec![Group::Standard],
        runs: Runs { rounds: 1, seconds: 0.01 },
        protection: Protection::Pks.into(),
        hardware: Hardware { smp: 1, memory: 256 * MIB, network: Network::User },
        document: None,
    };
    let report = measure_image(&guest::image("kvstore").unwrap(), &options).unwrap();
    let json = report.to_json();
    let rows = json["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 6, "{json:#}");
    for contender in rows.iter().flat_map(|row| row["contenders"].as_array().unwrap()) {
        for figure in ["requests_per_second", "p99_milliseconds", "server_cpu_microseconds_per_request"] {
            assert!(contender["figures"][figure]["spread"]["median"].as_f64().unwrap() > 0.0, "{figure}: {json:#}");
        }
    }
    let targets = json["targets"].as_array().unwrap();
    assert!(targets.iter().all(|target| target["reached"].is_boolean()), "{json:#}");
    let mounted = json["configuration"]["Linux's file system"].as_str().unwrap();
    assert!(mounted.contains("/dev/pmem0 /data ext4") && mounted.contains("dax=always"), "{mounted}");
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, json.to_string()).unwrap();
    let unchanged = Earlier::load(file.path()).unwrap().compare(&report);
    assert!(unchanged.contains(" = |") && !unchanged.contains("yes |"), "{unchanged}");
}
