//! The load: Debian's `redis-benchmark`, and what it prints; and our own clients where that cannot do it.

use std::net::SocketAddr;
use std::process::Stdio;
use std::thread;

use anyhow::{Context, Result, bail};

use super::computer::Computer;
use super::redis::Redis;
use super::workload::Workload;
use crate::traffic::{Clients, Traffic};

/// What a run of the load saw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// Requests a second.
    pub rate: f64,
    /// Half of the answers took at most so many milliseconds.
    pub p50: f64,
    /// And 99 of 100 so many.
    pub p99: f64,
}

/// Runs a load to its end.
///
/// # Errors
/// When it cannot be run, or a server answers with an error.
pub fn run(
    workload: &Workload,
    requests: u64,
    address: SocketAddr,
    redis: &Redis,
    computer: &Computer,
) -> Result<Seen> {
    if let Some(traffic) = workload.traffic() {
        return run_clients(traffic, requests, address, computer);
    }
    let mut command = computer.on_load_cpu(redis.program("redis-benchmark"));
    command.args(arguments(workload, requests, address)).stdin(Stdio::null());
    let output = command.output().context("cannot run redis-benchmark")?;
    let text = String::from_utf8_lossy(&output.stdout);
    match parse(&text) {
        Some(seen) if output.status.success() => Ok(seen),
        _ => bail!("redis-benchmark failed:\n{text}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Runs clients of our own, on a thread of this process.
fn run_clients(traffic: Traffic, requests: u64, address: SocketAddr, computer: &Computer) -> Result<Seen> {
    let run = || {
        computer.stay_on_load_cpu()?;
        Clients::connect(traffic, address)?.run(requests)
    };
    let answers = thread::scope(|scope| scope.spawn(run).join().unwrap_or_else(|_| bail!("the clients panicked")))?;
    let milliseconds = |percent| answers.percentile(percent).as_secs_f64() * 1e3;
    Ok(Seen { rate: answers.rate(), p50: milliseconds(50), p99: milliseconds(99) })
}

/// The arguments of `redis-benchmark` for a load.
pub fn arguments(workload: &Workload, requests: u64, address: SocketAddr) -> Vec<String> {
    let options = [
        ("-p", u64::from(address.port())),
        ("-c", workload.connections.into()),
        ("-P", workload.pipeline.into()),
        ("-d", workload.value),
        ("-r", workload.keys()),
        ("-n", requests),
    ];
    let options = options.into_iter().flat_map(|(name, value)| [name.to_owned(), value.to_string()]);
    let host = ["-h".to_owned(), address.ip().to_string()].into_iter();
    let rest = ["-t".to_owned(), workload.request.to_string().to_lowercase(), "--csv".to_owned()];
    host.chain(options).chain(rest).collect()
}

/// The last line that `redis-benchmark --csv` prints: the request, then the rate, and the mean, least, 50th, 95th, and
/// 99th percentile and longest time to an answer in milliseconds.
fn parse(text: &str) -> Option<Seen> {
    let (_, line) = text.lines().map(|line| (line.len(), line)).rfind(|(len, _)| *len > 0)?;
    let fields: Vec<f64> =
        line.split(',').skip(1).map(|it| it.trim_matches('"').parse().ok()).collect::<Option<_>>()?;
    match fields[..] {
        [rate, _, _, p50, _, p99, _] if rate > 0.0 && rate.is_finite() => Some(Seen { rate, p50, p99 }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::workload::Group;
    use super::*;

    #[test]
    fn what_redis_benchmark_prints_is_read() {
        let head = r#""test","rps","avg_latency_ms","min_latency_ms","p50_latency_ms","p95_latency_ms","p99_latency_ms","max_latency_ms""#;
        let line = r#""SET","75131.48","0.625","0.088","0.615","0.871","1.031","1.575""#;
        let seen = Seen { rate: 75_131.48, p50: 0.615, p99: 1.031 };
        assert_eq!(parse(&format!("{head}\n{line}\n\n")), Some(seen));
        for wrong in [
            "",
            head,
            r#""SET","0.00","0.6","0.1","0.6","0.9","1.0","1.6""#,
            r#""SET","75131.48""#,
            r#""SET","inf","0.6","0.1","0.6","0.9","1.0","1.6""#,
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_load_is_told_in_full() {
        let arguments = arguments(&Workload::of(Group::Standard)[1], 800, ([10, 7, 0, 2], 7000).into()).join(" ");
        assert_eq!(arguments, "-h 10.7.0.2 -p 7000 -c 50 -P 16 -d 64 -r 100000 -n 800 -t get --csv");
    }
}
