//! The plugin's entrance, which looks at what has loaded it.

use std::ffi::{c_char, c_int};
use std::ptr::slice_from_raw_parts;

use crate::count::Counter;
use crate::options::Options;
use crate::qemu::{self, Info, PluginId, Qemu};
use crate::record::Recorder;

/// The version of QEMU's plugin API that this is written for.
const API_VERSION: c_int = 1;

/// What QEMU looks at before it calls anything; one that does not have this version any more says so and refuses the
/// plugin.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = API_VERSION;

/// Called by QEMU when it has loaded the plugin. Returns 0 if all is well.
///
/// # Safety
/// Called by QEMU, as `include/qemu/qemu-plugin.h` has it: `info` is valid for the call, and `argv` has `argc` texts.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: PluginId,
    info: *const Info,
    argc: c_int,
    argv: *const *const c_char,
) -> c_int {
    // SAFETY: the caller's.
    let (info, arguments) = unsafe {
        let arguments = &*slice_from_raw_parts(argv, if argv.is_null() { 0 } else { argc.max(0) as usize });
        (&*info, arguments)
    };
    // SAFETY: the caller's; the texts are not used after this call.
    let arguments = arguments.iter().map(|&argument| unsafe { qemu::text(argument) });
    // SAFETY: as before.
    let target = unsafe { qemu::text(info.target_name) };
    match judge(target, info).and_then(|()| start(id, Options::parse(arguments)?)) {
        Ok(()) => 0,
        Err(error) => {
            eprintln!("holdfast-trace: {error}");
            1
        }
    }
}

/// Begins to do what the options say.
fn start(id: PluginId, options: Options) -> Result<(), String> {
    let lacking = |name| format!("this QEMU does not export {name}, without which the guest cannot be followed");
    let qemu = Qemu::find().map_err(lacking)?;
    match options {
        Options::Record(options) => Recorder::open(qemu, options)?.start(id),
        Options::Count(options) => Counter::open(qemu, &options)?.start(id),
    }
}

/// Whether this is a QEMU that the plugin knows.
fn judge(target: &str, info: &Info) -> Result<(), String> {
    if !(info.least_version..=info.current_version).contains(&API_VERSION) || info.current_version > API_VERSION {
        return Err(format!(
            "this QEMU has versions {} to {} of the plugin API; the plugin is written for version {API_VERSION} (QEMU 7.2)",
            info.least_version, info.current_version
        ));
    }
    if target != "x86_64" || !info.system_emulation {
        return Err(format!("this QEMU emulates {target}; the plugin is written for machines of x86_64"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::ptr::null;

    use super::*;

    #[test]
    fn only_a_qemu_that_is_known_is_accepted() {
        let info = |least_version, current_version, system_emulation| Info {
            target_name: null(),
            least_version,
            current_version,
            system_emulation,
            initial_cpus: 1,
            most_cpus: 1,
        };
        assert_eq!(judge("x86_64", &info(0, 1, true)), Ok(()));
        for (least, current) in [(2, 4), (0, 0), (1, 2)] {
            assert!(
                judge("x86_64", &info(least, current, true)).unwrap_err().contains("version 1"),
                "{least} {current}"
            );
        }
        assert!(judge("aarch64", &info(0, 1, true)).unwrap_err().contains("aarch64"));
        assert!(judge("x86_64", &info(0, 1, false)).is_err());
    }

    #[test]
    fn what_is_no_qemu_is_refused_and_not_crashed() {
        let arguments = [
            c"mode=record",
            c"out=/nowhere/trace",
            c"image=/nowhere/image",
            c"window=0x1000+0x1000",
            c"text=0x1000+0x1000",
        ]
        .map(|argument| argument.as_ptr());
        let info = Info {
            target_name: c"x86_64".as_ptr(),
            least_version: 0,
            current_version: 1,
            system_emulation: true,
            initial_cpus: 1,
            most_cpus: 1,
        };
        // SAFETY: everything is as QEMU would pass it.
        let status = unsafe { qemu_plugin_install(1, &info, arguments.len() as c_int, arguments.as_ptr()) };
        assert_eq!(status, 1);
    }
}
