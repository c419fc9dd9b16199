//! Persistent memory for programs.
