//! Parameters that cannot be set: facts about the server, and what it does not have.

use super::Knob;

const NO_TLS: &str = "there is no TLS";
const NO_REPLICATION: &str = "there is no replication";
const FROM_MEMORY: &str = "it follows from the machine's memory";
const AT_START: &str = "it is chosen when the server starts";

/// In no order.
pub const KNOBS: &[Knob] = &[
    // Of our own: what keeps stray accesses out.
    Knob::told("protection", |shared| shared.info.protection.clone()),
    Knob::told("databases", |_| "1".into()),
    Knob::only("bind", AT_START, |shared| shared.info.bind.clone()),
    Knob::only("port", AT_START, |shared| shared.info.port.to_string()),
    Knob::only("proto-max-bulk-len", FROM_MEMORY, |shared| shared.limits.parser.argument.to_string()),
    Knob::only("client-query-buffer-limit", FROM_MEMORY, |shared| shared.limits.parser.request.to_string()),
    Knob::only("client-output-buffer-limit", FROM_MEMORY, |shared| {
        format!("normal {} 0 0 slave 0 0 0 pubsub 0 0 0", shared.limits.reply)
    }),
    Knob::only("maxmemory-clients", FROM_MEMORY, |shared| shared.limits.memory.to_string()),
    Knob::only("requirepass", "there are no passwords", |_| String::new()),
    Knob::only("masterauth", NO_REPLICATION, |_| String::new()),
    Knob::only("masteruser", NO_REPLICATION, |_| String::new()),
    Knob::only("min-replicas-to-write", NO_REPLICATION, |_| "0".into()).alias("min-slaves-to-write"),
    Knob::only("tls-port", NO_TLS, |_| "0".into()),
    Knob::only("tls-ca-cert-dir", NO_TLS, |_| String::new()),
    Knob::only("tls-ca-cert-file", NO_TLS, |_| String::new()),
    Knob::only("tls-cert-file", NO_TLS, |_| String::new()),
    Knob::only("tls-ciphers", NO_TLS, |_| String::new()),
    Knob::only("tls-ciphersuites", NO_TLS, |_| String::new()),
    Knob::only("tls-client-cert-file", NO_TLS, |_| String::new()),
    Knob::only("tls-client-key-file", NO_TLS, |_| String::new()),
    Knob::only("tls-client-key-file-pass", NO_TLS, |_| String::new()),
    Knob::only("tls-dh-params-file", NO_TLS, |_| String::new()),
    Knob::only("tls-key-file", NO_TLS, |_| String::new()),
    Knob::only("tls-key-file-pass", NO_TLS, |_| String::new()),
    Knob::only("tls-protocols", NO_TLS, |_| String::new()),
    Knob::immutable("aclfile", ""),
    Knob::immutable("always-show-logo", "no"),
    Knob::immutable("aof_rewrite_cpulist", ""),
    Knob::immutable("appenddirname", "appendonlydir"),
    Knob::immutable("appendfilename", "appendonly.aof"),
    Knob::immutable("bgsave_cpulist", ""),
    Knob::immutable("bio_cpulist", ""),
    Knob::immutable("cluster-config-file", "nodes.conf"),
    Knob::immutable("cluster-port", "0"),
    Knob::protected("dbfilename", "dump.rdb"),
    Knob::immutable("disable-thp", "yes"),
    Knob::immutable("enable-debug-command", "no"),
    Knob::immutable("enable-module-command", "no"),
    Knob::immutable("enable-protected-configs", "no"),
    Knob::immutable("io-threads-do-reads", "no"),
    Knob::immutable("logfile", ""),
    Knob::immutable("pidfile", ""),
    Knob::immutable("rdbchecksum", "yes"),
    Knob::immutable("server_cpulist", ""),
    Knob::immutable("set-proc-title", "yes"),
    Knob::immutable("socket-mark-id", "0"),
    Knob::immutable("supervised", "no"),
    Knob::immutable("syslog-enabled", "no"),
    Knob::immutable("syslog-facility", "local0"),
    Knob::immutable("syslog-ident", "redis"),
    Knob::immutable("tcp-backlog", "511"),
    Knob::immutable("unixsocket", ""),
    Knob::immutable("unixsocketperm", "0"),
    Knob::immutable("cluster-enabled", "no"),
    Knob::immutable("daemonize", "no"),
    Knob::immutable("io-threads", "1"),
    Knob::immutable("replicaof", "").alias("slaveof"),
    Knob::protected("dir", "/"),
];
