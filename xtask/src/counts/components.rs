//! Which part of the program a source file belongs to.

/// A component, and the beginnings of its files' paths; the first that fits decides. Of crates from elsewhere the
/// version is left out.
const COMPONENTS: [(&str, &[&str]); 38] = [
    ("smoltcp: wire formats", &["smoltcp/src/wire/"]),
    ("smoltcp: TCP sockets", &["smoltcp/src/socket/tcp"]),
    ("smoltcp: interface", &["smoltcp/src/iface/"]),
    ("smoltcp: buffers", &["smoltcp/src/storage/"]),
    ("smoltcp: rest", &["smoltcp/"]),
    ("libos: network card", &["libos/src/drivers/virtio/", "libos/src/net/card", "libos/src/net/link"]),
    ("libos: TCP connections", &["libos/src/net/tcp/", "libos/src/net/slab", "libos/src/net/frame"]),
    ("libos: sockets", &["libos/src/net/socket", "libos/src/net/stack/"]),
    ("libos: network service", &["libos/src/net/service", "libos/src/net/attention"]),
    ("libos: network, rest", &["libos/src/net/"]),
    ("libos: system calls", &["libos/src/abi/"]),
    ("libos: readiness", &["libos/src/io/"]),
    ("libos: locks", &["libos/src/sync/", "libos/src/task/mutex", "lock_api/", "spin/"]),
    ("libos: threads and waiting", &["libos/src/task/", "libos/src/arch/x86_64/machine/switch"]),
    ("libos: keys and grants", &["libos/src/keys/", "libos/src/dax/", "libos/src/arch/x86_64/machine/key_rights"]),
    ("libos: copies to pmem", &["libos/src/arch/x86_64/machine/dax_copy", "pmem/medium/"]),
    ("libos: memory functions", &["libos/src/arch/x86_64/machine/memory_functions"]),
    (
        "libos: clock",
        &["libos/src/instant", "libos/src/time", "libos/src/unix_time", "libos/src/arch/x86_64/machine/tsc"],
    ),
    ("libos: traps and interrupts", &["libos/src/arch/x86_64/"]),
    ("libos: heap", &["libos/src/mm/", "talc/"]),
    ("libos: rest", &["libos/"]),
    ("pmem: checksum", &["pmem/src/crc32c", "pmem/src/pool/sums"]),
    ("pmem: index", &["pmem/src/pool/index", "pmem/src/pool/keyspace"]),
    ("pmem: records", &["pmem/src/pool/record", "pmem/src/pool/format", "pmem/src/pool/chain"]),
    ("pmem: log", &["pmem/src/pool/log", "pmem/src/pool/append", "pmem/src/pool/writer", "pmem/src/pool/segment"]),
    ("pmem: staging", &["pmem/src/pool/stage"]),
    ("pmem: turns", &["pmem/src/pool/turn", "pmem/src/pool/atomic"]),
    ("pmem: device", &["pmem/src/device/", "pmem/src/protection/", "pmem/src/medium"]),
    ("pmem: rest", &["pmem/"]),
    ("kvstore: parser", &["apps/kvstore/src/resp/parser", "apps/kvstore/src/resp/input"]),
    ("kvstore: replies", &["apps/kvstore/src/resp/", "apps/kvstore/src/number/"]),
    ("kvstore: commands", &["apps/kvstore/src/commands/"]),
    ("kvstore: server", &["apps/kvstore/src/server/", "apps/kvstore/src/session"]),
    ("kvstore: rest", &["apps/kvstore/"]),
    ("SipHash", &["siphasher/"]),
    ("mio", &["mio/"]),
    ("std", &["library/std/"]),
    ("core and alloc", &["library/"]),
];

/// The beginnings of the names of functions without source lines: they are in assembly.
const ASSEMBLY: [(&str, &[&str]); 2] =
    [("libos: memory functions", &["copy_", "fill_", "mem", "bcmp"]), ("libos: traps and interrupts", &[""])];

/// What belongs to nobody here: it is outside of the image.
pub const ELSEWHERE: &str = "outside of the image";

/// The component of an instruction in this function, whose source files are given from the innermost on. What core,
/// alloc and crates without a line above do is counted for who has it done, where the compiler has inlined it there;
/// else a crate is a component of its own.
pub fn component(function: &str, files: &[String]) -> String {
    const GENERIC: [&str; 2] = ["library/core/", "library/alloc/"];
    let files: Vec<_> = files.iter().map(|file| unversioned(file)).collect();
    let is_generic = |file: &str| GENERIC.iter().any(|generic| file.starts_with(generic));
    let own = files.iter().filter(|file| !is_generic(file)).find_map(|file| named(&COMPONENTS, file));
    let name = match files.first() {
        Some(first) => own.or_else(|| named(&COMPONENTS, first)).or_else(|| first.split('/').next()),
        None => named(&ASSEMBLY, function),
    };
    name.unwrap_or(ELSEWHERE).to_owned()
}

fn named(table: &[(&'static str, &[&str])], text: &str) -> Option<&'static str> {
    let fits = |(_, beginnings): &&(_, &[&str])| beginnings.iter().any(|beginning| text.starts_with(beginning));
    table.iter().find(fits).map(|(name, _)| *name)
}

/// A path without the version in its first folder: `smoltcp-0.14.0/src/lib.rs` becomes `smoltcp/src/lib.rs`.
fn unversioned(path: &str) -> String {
    let Some((folder, rest)) = path.split_once('/') else { return path.to_owned() };
    match folder.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|first: char| first.is_ascii_digit()) => format!("{name}/{rest}"),
        _ => path.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workspace;

    #[test]
    fn generic_code_is_its_callers_and_assembly_goes_by_name() {
        let of = |files: &[&str]| component("f", &files.iter().map(|&file| file.to_owned()).collect::<Vec<_>>());
        assert_eq!(of(&["smoltcp-0.14.0/src/wire/tcp.rs"]), "smoltcp: wire formats");
        assert_eq!(
            of(&["library/core/src/slice/mod.rs", "pmem/src/pool/log.rs", "apps/kvstore/src/main.rs"]),
            "pmem: log"
        );
        assert_eq!(of(&["library/core/src/fmt/mod.rs"]), "core and alloc");
        assert_eq!(of(&["hash-map-2.0.1/src/lib.rs", "mio-1.2.0/src/poll.rs"]), "mio");
        assert_eq!(of(&["hash-map-2.0.1/src/lib.rs", "library/core/src/fmt/mod.rs"]), "hash-map");
        assert_eq!(component("copy_forward_start", &[]), "libos: memory functions");
        assert_eq!(component("trap_entry", &[]), "libos: traps and interrupts");
    }

    #[test]
    fn every_path_of_the_workspace_is_there() {
        let own = ["libos/", "pmem/", "apps/"];
        for beginning in
            COMPONENTS.iter().flat_map(|(_, paths)| *paths).filter(|path| own.iter().any(|own| path.starts_with(own)))
        {
            let whole = workspace::root().join(beginning);
            let (folder, name) = (whole.parent().unwrap(), whole.file_name().unwrap().to_string_lossy().into_owned());
            let is_there = whole.is_dir()
                || folder.read_dir().is_ok_and(|mut entries| {
                    entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().starts_with(&name)))
                });
            assert!(is_there, "{beginning}");
        }
    }
}
