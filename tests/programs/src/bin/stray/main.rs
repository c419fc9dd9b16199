//! Stray accesses to persistent memory: `stray CONTEXT SHAPE BEFORE` makes one, and `stray WAY` makes one of a kind of
//! its own.
//!
//! [`contexts`] are the situations in which somebody goes astray, [`shapes`] the instructions that do it; every pair is
//! a cell of the matrix that `cargo xtask faults --directed` runs. Under protection each ends as the matrix says,
//! nearly all in a fault report with nothing changed; without it each changes the image or reads it. BEFORE is what the
//! 16 bytes at the target hold, as two hexadecimal numbers, low word first, with a comma: a compare-and-exchange must
//! know it.
//!
//! The shapes are in assembly, so that it is known which instruction does it.

#[cfg(target_os = "hermit")]
mod contexts;
#[cfg(target_os = "hermit")]
mod page_tables;
#[cfg(target_os = "hermit")]
mod shapes;
#[cfg(target_os = "hermit")]
mod ways;

#[cfg(target_os = "hermit")]
fn main() {
    use libos::arch::key_rights;
    use libos::dax::fault_count;

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    println!("stray: {}", arguments.first().map_or("", String::as_str));
    match arguments.as_slice() {
        [way] => ways::go(way),
        [context, shape, before] => {
            println!("stray: {shape}");
            shapes::choose(shape, before);
            contexts::enter(context);
            shapes::tell();
        }
        _ => panic!("usage: stray CONTEXT SHAPE BEFORE, or stray WAY"),
    }
    println!("stray: survived");
    println!("stray: {} stray accesses, rights {}", fault_count(), key_rights::current());
}

#[cfg(not(target_os = "hermit"))]
fn main() {
    eprintln!("stray runs in the guest");
}
