//! The pool, on media in DRAM. One program: what the pool compiles to for such a medium is most of what there is to
//! compile, and so it is compiled once.

mod chain;
mod checkpoint;
mod damage;
mod expiring;
mod failing;
mod media;
mod model;
mod operations;
mod outdated;
mod parts;
mod repair;
mod scrub;
mod turns;
mod types;
mod upkeep;
