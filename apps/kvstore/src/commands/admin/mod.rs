//! Commands for operators and client libraries: of the connection, of the other clients, and of the server.

pub mod client;
pub mod config;
pub mod connection;
pub mod info;
pub mod introspection;
pub mod latency;
pub mod memory;
pub mod server;
pub mod slowlog;
