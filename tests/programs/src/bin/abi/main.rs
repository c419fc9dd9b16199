//! The functions that a program for this target finds in libos: without one of them this program does not link. Each
//! check of what they do prints `ok …`.

#[cfg(target_os = "hermit")]
mod semantics;

fn main() {
    #[cfg(target_os = "hermit")]
    guest::main();
    #[cfg(not(target_os = "hermit"))]
    eprintln!("abi runs in the guest");
}

#[cfg(target_os = "hermit")]
mod guest {
    /// Declares functions by their names alone, and lists them.
    macro_rules! link {
        ($($name:ident($($caller:ident),*) $does:literal $errors:literal;)*) => {
            #[allow(clashing_extern_declarations, reason = "these are names alone, and are not called")]
            unsafe extern "C" {
                $(fn $name();)*
            }
            const LINKED: &[(&str, unsafe extern "C" fn())] = &[$((stringify!($name), $name)),*];
        };
    }
    libos::abi_functions!(link);

    pub(crate) fn main() {
        for (name, function) in LINKED {
            println!("{name} {:p}", *function as *const ());
        }
        println!("abi: {} functions", LINKED.len());
        for (name, check) in crate::semantics::CHECKS {
            check();
            println!("ok {name}");
        }
    }
}
