//! Holdfast's library operating system.
#![cfg_attr(not(test), no_std)]
