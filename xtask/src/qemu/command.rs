//! QEMU's command line and the guest's.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use libos_contract::command_line::{ARGUMENTS, ENVIRONMENT, FAULT_POLICY, IP, LOG, NAME, PROTECTION, encode};
use libos_contract::exit::DEBUG_PORT;
use libos_contract::log_level::LogLevel;
use libos_contract::policy::FaultPolicy;
use libos_contract::protection::ProtectionChoice;

use super::files::{self, HostFile};
use super::firmware::Firmware;
use super::translator::{GuestTime, Plugin};
use crate::handed;
use crate::image::{ALIGNMENT, PmemImage};
use crate::size::{GIB, MIB};
use crate::tap::{Link, Tap};
use crate::trace::Region;

/// QEMU's boot loader for PVH keeps the command line in a buffer of 4,096 bytes, with a zero at the end, and writes
/// past that end without looking.
const LONGEST_COMMAND_LINE: usize = 4095;
/// Address bits of QEMU's translated processors if nothing else is said.
const USUAL_ADDRESS_BITS: u32 = 40;
/// Slots for NVDIMMs.
const SLOTS: usize = 4;
/// Bytes that are kept of each frame that is written down: its header's.
const DUMPED: u32 = 64;

/// What executes the guest's instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Accelerator {
    /// QEMU's own translator, which knows protection keys for supervisor pages.
    #[default]
    Tcg,
    /// The host's processor.
    Kvm,
}

/// How the guest reaches the network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Network {
    /// QEMU's user network: needs no rights, gives an address by DHCP.
    #[default]
    User,
    /// The tap device of this link, which has to exist ([`crate::tap::Tap`]), with its static addresses.
    Tap(Link),
    /// No network device.
    None,
}

impl Network {
    /// Makes the tap device, if this network is one. It has to outlive the machine that uses it.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn tap(self) -> Result<Option<Tap>> {
        match self {
            Self::Tap(link) => Tap::create(link).map(Some),
            Self::User | Self::None => Ok(None),
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tap(_) => "tap",
            Self::User => "QEMU's user network",
            Self::None => "none",
        })
    }
}

/// Everything about a machine that is to be started. The default is a machine as `run` starts it, without pmem and
/// without an image.
#[derive(Debug)]
pub struct MachineOptions {
    /// The guest image, an ELF file.
    pub image: PathBuf,
    /// The program's name, its `argv[0]`.
    pub name: String,
    /// The program's further arguments.
    pub arguments: Vec<String>,
    /// Variables of the program's environment.
    pub environment: Vec<(String, String)>,
    /// The images of the NVDIMMs, in order: `pmem0`, `pmem1` and so on.
    pub pmem: Vec<PmemImage>,
    /// Files of the host's that the guest finds in its file system.
    pub files: Vec<HostFile>,
    /// The platform says that it flushes the processor's caches when power fails (eADR).
    pub eadr: bool,
    /// The platform says that the NVDIMMs would not keep stores (NFIT: not armed), and the images are only read.
    pub unarmed: bool,
    /// RAM in bytes.
    pub memory: u64,
    /// Processors.
    pub smp: u32,
    /// What executes the guest.
    pub accelerator: Accelerator,
    /// What runs before the image.
    pub firmware: Firmware,
    /// Changes to the processor's features, each as QEMU writes it: `-pks` takes protection keys away.
    pub cpu_features: Vec<String>,
    /// What protects pmem.
    pub protection: ProtectionChoice,
    /// What follows a stray access.
    pub fault_policy: FaultPolicy,
    /// How much the library says of its work.
    pub log: LogLevel,
    /// How the guest reaches the network.
    pub network: Network,
    /// Whether QEMU waits for a debugger on port 1234 before it starts the guest.
    pub gdb: bool,
    /// Where QEMU listens, as a Unix socket, for a program that debugs the guest. The guest starts without it, and
    /// stands still from the moment that one connects.
    pub gdb_socket: Option<PathBuf>,
    /// Where the guest records what its scheduler, grants and interrupts do.
    pub trace: Option<Region>,
    /// Further words of the kernel's command line, before ` -- `.
    pub kernel_options: Vec<String>,
    /// A plugin for QEMU's translator.
    pub plugin: Option<Plugin>,
    /// How the guest's time passes.
    pub time: GuestTime,
    /// Where QEMU writes the frames that the network card sends and receives, in libpcap's format: the first
    /// 64 bytes of each.
    pub frames: Option<PathBuf>,
    /// What the battery-backed clock shows at the start, as `-rtc base=` takes it; else the host's time.
    pub clock: Option<String>,
}

impl Default for MachineOptions {
    fn default() -> Self {
        Self {
            image: PathBuf::new(),
            name: "app".to_owned(),
            arguments: Vec::new(),
            environment: Vec::new(),
            pmem: Vec::new(),
            files: Vec::new(),
            eadr: false,
            unarmed: false,
            memory: 256 * MIB,
            smp: 1,
            accelerator: Accelerator::default(),
            firmware: Firmware::default(),
            cpu_features: Vec::new(),
            protection: ProtectionChoice::default(),
            fault_policy: FaultPolicy::default(),
            log: LogLevel::default(),
            network: Network::default(),
            gdb: false,
            gdb_socket: None,
            trace: None,
            kernel_options: Vec::new(),
            plugin: None,
            time: GuestTime::default(),
            frames: None,
            clock: None,
        }
    }
}

impl MachineOptions {
    /// Looks whether a machine can be started with these options, before there is an image to boot.
    ///
    /// # Errors
    /// When the guest's files cannot be handed to it, or its command line cannot be said.
    pub fn check(&self) -> Result<()> {
        files::check(&self.files, self.memory)?;
        self.kernel_command_line().map(drop)
    }

    /// QEMU's arguments; it inherits the socket `qmp` and the archive with the guest's files.
    ///
    /// # Errors
    /// When something cannot be said on the kernel's command line.
    pub(super) fn qemu_arguments(&self, qmp: BorrowedFd<'_>, archive: Option<&File>) -> Result<Vec<OsString>> {
        let mut arguments = Arguments(Vec::new());
        arguments.option("-name", &format!("holdfast-{}", escape_commas(&self.name)));
        arguments.option("-machine", if self.eadr { "q35,nvdimm=on,nvdimm-persistence=cpu" } else { "q35,nvdimm=on" });
        match self.accelerator {
            Accelerator::Tcg if self.plugin.is_some() => arguments.option("-accel", "tcg,thread=single"),
            Accelerator::Tcg => arguments.option("-accel", "tcg"),
            Accelerator::Kvm => arguments.option("-accel", "kvm"),
        }
        if let Some(option) = self.time.option() {
            arguments.option("-icount", option);
        }
        if let Some(file) = self.firmware.file() {
            arguments.path_option("-bios", "", &file, "");
        }
        arguments.option("-cpu", &self.processor_option());
        arguments.option("-smp", &self.smp.to_string());
        arguments.option("-m", &self.memory_option());
        arguments.flags(&["-nodefaults", "-no-user-config", "-no-reboot"]);
        arguments.option("-display", "none");
        arguments.option("-chardev", "stdio,id=console,signal=off");
        arguments.option("-serial", "chardev:console");
        arguments.option("-chardev", &format!("socket,id=qmp,fd={}", qmp.as_raw_fd()));
        arguments.option("-mon", "chardev=qmp,mode=control");
        arguments.option("-device", &format!("isa-debug-exit,iobase={DEBUG_PORT:#x},iosize=4"));
        arguments.nvdimms(&self.pmem, self.unarmed);
        arguments.card(self.network);
        if let Some(file) = &self.frames {
            let prefix = "filter-dump,id=frames,netdev=n0,file=";
            arguments.path_option("-object", prefix, file, &format!(",maxlen={DUMPED}"));
        }
        if self.gdb {
            arguments.option("-gdb", "tcp:127.0.0.1:1234");
            arguments.flags(&["-S"]);
        }
        if let Some(socket) = &self.gdb_socket {
            arguments.path_option("-gdb", "unix:", socket, ",server=on,wait=off");
        }
        if let Some(region) = &self.trace {
            let length = region.length();
            let prefix = "memory-backend-file,id=trace,share=on,mem-path=";
            let path = handed::path(region.file().as_fd());
            arguments.path_option("-object", prefix, &path, &format!(",size={length}"));
            arguments.option("-device", "ivshmem-plain,memdev=trace");
        }
        if let Some(clock) = &self.clock {
            arguments.option("-rtc", &format!("base={clock}"));
        }
        if let Some(plugin) = &self.plugin {
            if plugin.single_step {
                arguments.flags(&["-singlestep"]);
            }
            let mut value = list_item("file=", plugin.library.as_os_str());
            for (name, option) in &plugin.options {
                value.push(list_item(&format!(",{name}="), option));
            }
            arguments.0.extend(["-plugin".into(), value]);
        }
        arguments.path_option("-kernel", "", &self.image, "");
        if let Some(archive) = archive {
            arguments.path_option("-initrd", "", &handed::path(archive.as_fd()), "");
        }
        arguments.option("-append", &self.kernel_command_line()?);
        Ok(arguments.0)
    }

    /// `-cpu`: the processor with all that QEMU has, and with address bits for NVDIMMs beyond the usual 40.
    fn processor_option(&self) -> String {
        let mut option = "max".to_owned();
        let bits = address_bits(self.memory, self.pmem_room());
        if bits > USUAL_ADDRESS_BITS && self.accelerator == Accelerator::Tcg {
            option.push_str(&format!(",phys-bits={bits}"));
        }
        for feature in &self.cpu_features {
            option.push_str(&format!(",{feature}"));
        }
        option
    }

    /// What the NVDIMMs take of the address space: QEMU aligns each to a gibibyte.
    fn pmem_room(&self) -> u64 {
        self.pmem.iter().map(|image| image.length().next_multiple_of(GIB) + GIB).sum()
    }

    /// `-m`: the RAM, and room in the address space for the NVDIMMs.
    fn memory_option(&self) -> String {
        let mut option = format!("{}M", self.memory.div_ceil(MIB));
        if !self.pmem.is_empty() {
            let most = (self.memory + self.pmem_room()).div_ceil(MIB);
            option.push_str(&format!(",slots={},maxmem={most}M", self.pmem.len().max(SLOTS)));
        }
        option
    }

    /// The kernel's command line: `protection=… fault-policy=… [log=…] ip=… name=… [env.NAME=VALUE …] -- ARGUMENT …`.
    fn kernel_command_line(&self) -> Result<String> {
        let mut words =
            vec![format!("{PROTECTION}={}", self.protection), format!("{FAULT_POLICY}={}", self.fault_policy)];
        if self.log != LogLevel::default() {
            words.push(format!("{LOG}={}", self.log));
        }
        match self.network {
            Network::User => words.push(format!("{IP}=dhcp")),
            Network::Tap(link) => words.push(link.guest_option()),
            Network::None => {}
        }
        words.push(format!("{NAME}={}", encode(&self.name)));
        for (name, value) in &self.environment {
            if name.is_empty() || name.contains('=') {
                bail!("`{name}` is no name of an environment variable");
            }
            words.push(format!("{ENVIRONMENT}{}={}", encode(name), encode(value)));
        }
        words.extend(self.kernel_options.iter().cloned());
        if !self.arguments.is_empty() {
            words.push(ARGUMENTS.to_owned());
            for argument in &self.arguments {
                if argument.is_empty() {
                    bail!("an empty argument cannot be passed to the guest's program");
                }
                words.push(encode(argument));
            }
        }
        let line = words.join(" ");
        if line.len() > LONGEST_COMMAND_LINE {
            bail!(
                "the guest's command line would have {} bytes, and QEMU's boot loader takes {LONGEST_COMMAND_LINE}; \
                 pass less to the program, or a file with --file",
                line.len()
            );
        }
        Ok(line)
    }
}

/// How many address bits a processor needs for so much RAM and so much room for NVDIMMs. After RAM, which goes around
/// what is below 4 GiB, QEMU lays a gibibyte for each slot and 32 GiB for PCI; where all that does not end before AMD's
/// HyperTransport region, which is just below 1 TiB, it puts RAM and all that follows behind that.
fn address_bits(memory: u64, pmem_room: u64) -> u32 {
    const TIB: u64 = 1 << 40;
    let top = memory + pmem_room + (4 + SLOTS as u64 + 32 + 4) * GIB;
    let top = if top < TIB - 12 * GIB { top } else { top + TIB };
    top.next_power_of_two().ilog2().max(USUAL_ADDRESS_BITS)
}

/// QEMU's option values are lists at commas; a comma inside a value is written twice.
fn escape_commas(value: &str) -> String {
    value.replace(',', ",,")
}

/// QEMU's arguments for NVDIMMs with these images and a card on this network: for a machine that has something else in
/// it, and the same devices.
pub fn devices(pmem: &[PmemImage], network: Network) -> Vec<OsString> {
    let mut arguments = Arguments(Vec::new());
    arguments.nvdimms(pmem, false);
    arguments.card(network);
    arguments.0
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn nvdimms(&mut self, images: &[PmemImage], unarmed: bool) {
        let (backend, device) = if unarmed { (",readonly=on", ",unarmed=on") } else { ("", "") };
        for (index, image) in images.iter().enumerate() {
            let prefix = format!("memory-backend-file,id=pmem{index},share=on,mem-path=");
            let suffix = format!(",size={},align={ALIGNMENT}{backend}", image.length());
            self.path_option("-object", &prefix, image.path(), &suffix);
            self.option("-device", &format!("nvdimm,id=nvdimm{index},memdev=pmem{index}{device}"));
        }
    }

    fn card(&mut self, network: Network) {
        match network {
            Network::User => self.option("-netdev", "user,id=n0"),
            Network::Tap(Link { name, .. }) => {
                self.option("-netdev", &format!("tap,id=n0,ifname={name},script=no,downscript=no"));
            }
            Network::None => return,
        }
        self.option("-device", "virtio-net-pci,disable-legacy=on,netdev=n0");
    }

    fn option(&mut self, name: &str, value: &str) {
        self.0.push(name.into());
        self.0.push(value.into());
    }

    fn flags(&mut self, flags: &[&str]) {
        self.0.extend(flags.iter().map(OsString::from));
    }

    /// An option whose value has a path in it. `-kernel` takes the path as it is, the list-valued options want commas
    /// doubled.
    fn path_option(&mut self, name: &str, prefix: &str, path: &Path, suffix: &str) {
        let mut value = if prefix.is_empty() { path.into() } else { list_item(prefix, path.as_os_str()) };
        value.push(suffix);
        self.0.push(name.into());
        self.0.push(value);
    }
}

/// An item of a list: `prefix` as it is, then a value with its commas doubled.
fn list_item(prefix: &str, value: &OsStr) -> OsString {
    let mut item = prefix.as_bytes().to_vec();
    for &byte in value.as_bytes() {
        item.push(byte);
        if byte == b',' {
            item.push(byte);
        }
    }
    OsString::from_vec(item)
}

#[cfg(test)]
mod tests {
    use super::*;
    use libos_contract::protection::Protection;

    fn line(options: &MachineOptions) -> String {
        let arguments = options.qemu_arguments(std::io::stdin().as_fd(), None).unwrap();
        arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn words_are_encoded_so_that_they_stay_one_word() {
        assert_eq!(encode("plain"), "plain");
        assert_eq!(encode("two words"), "two%20words");
        assert_eq!(encode("100%"), "100%25");
        assert_eq!(encode("a\tb\nc\x7f"), "a%09b%0Ac%7F");
        assert_eq!(encode("größe"), "größe");
    }

    #[test]
    fn the_guests_arguments_follow_the_dashes() {
        let options = MachineOptions {
            name: "kvstore".into(),
            arguments: vec!["--port".into(), "6379".into(), "a b".into()],
            environment: vec![("RUST_BACKTRACE".into(), "1 2".into())],
            ..MachineOptions::default()
        };
        assert_eq!(
            options.kernel_command_line().unwrap(),
            "protection=auto fault-policy=strict ip=dhcp name=kvstore env.RUST_BACKTRACE=1%202 -- --port 6379 a%20b"
        );
    }

    #[test]
    fn what_the_guest_could_not_read_back_is_refused() {
        let empty = MachineOptions { arguments: vec![String::new()], ..MachineOptions::default() };
        assert!(empty.kernel_command_line().unwrap_err().to_string().contains("empty argument"));
        let bad = MachineOptions { environment: vec![("A=B".into(), "c".into())], ..MachineOptions::default() };
        assert!(bad.kernel_command_line().unwrap_err().to_string().contains("A=B"));
    }

    #[test]
    fn a_command_line_beyond_the_boot_loaders_4096_bytes_is_refused_with_the_limit() {
        let with = |length: usize| {
            let options = MachineOptions { arguments: vec!["x".repeat(length)], ..MachineOptions::default() };
            options.kernel_command_line()
        };
        let others = with(1).unwrap().len() - 1;
        assert_eq!(with(4095 - others).unwrap().len(), 4095);
        for length in [4096 - others, 60_000] {
            let error = with(length).unwrap_err().to_string();
            assert!(error.contains(&format!("{} bytes", length + others)) && error.contains("4095"), "{error}");
        }
        // What counts is the length of what is passed: a space becomes three bytes.
        let encoded = MachineOptions { arguments: vec![" ".repeat(1400)], ..MachineOptions::default() };
        assert!(encoded.kernel_command_line().is_err());
    }

    #[test]
    fn an_nvdimm_of_2_tib_gets_address_bits() {
        assert_eq!(address_bits(256 * MIB, 0), 40);
        assert_eq!(address_bits(256 * MIB, 900 * GIB), 40);
        assert_eq!(address_bits(256 * MIB, 990 * GIB), 42);
        assert_eq!(address_bits(256 * MIB, 2049 * GIB), 42);
        let directory = tempfile::tempdir().unwrap();
        let image = PmemImage::open(&directory.path().join("large.img"), Some(2048 * GIB)).unwrap();
        let line = line(&MachineOptions { pmem: vec![image], ..MachineOptions::default() });
        assert!(line.contains("-cpu\nmax,phys-bits=42\n") && line.contains("maxmem=2098432M"), "{line}");
    }

    #[test]
    fn a_machine_without_pmem_has_no_memory_slots() {
        let line = line(&MachineOptions::default());
        assert!(line.contains("-m\n256M\n"), "{line}");
        assert!(!line.contains("nvdimm,"), "{line}");
    }

    #[test]
    fn an_nvdimm_gets_its_file_its_size_and_room_in_the_address_space() {
        let directory = tempfile::tempdir().unwrap();
        let image = PmemImage::open(&directory.path().join("a,b.img"), Some(64 * MIB)).unwrap();
        let line = line(&MachineOptions { pmem: vec![image], ..MachineOptions::default() });
        assert!(line.contains("-m\n256M,slots=4,maxmem=2304M\n"), "{line}");
        assert!(line.contains("a,,b.img,size=67108864,align=2097152\n"), "{line}");
        assert!(line.contains("nvdimm,id=nvdimm0,memdev=pmem0"), "{line}");
    }

    #[test]
    fn an_unarmed_nvdimm_is_only_read() {
        let directory = tempfile::tempdir().unwrap();
        for unarmed in [true, false] {
            let image = PmemImage::open(&directory.path().join("pmem0.img"), Some(64 * MIB)).unwrap();
            let line = line(&MachineOptions { pmem: vec![image], unarmed, ..MachineOptions::default() });
            assert_eq!(line.contains(",align=2097152,readonly=on\n"), unarmed, "{line}");
            assert_eq!(line.contains("memdev=pmem0,unarmed=on\n"), unarmed, "{line}");
        }
    }

    #[test]
    fn features_network_and_debugger_reach_qemu() {
        let options = MachineOptions {
            cpu_features: vec!["-pks".into()],
            network: Network::Tap(crate::tap::FIRST),
            protection: Protection::None.into(),
            gdb: true,
            ..MachineOptions::default()
        };
        let line = line(&options);
        assert!(line.contains("-cpu\nmax,-pks\n"), "{line}");
        assert!(line.contains("ifname=holdfast0"), "{line}");
        assert!(line.contains("protection=none"), "{line}");
        assert!(line.contains("ip=10.77.0.2/24,10.77.0.1"), "{line}");
        assert!(line.contains("\n-S\n"), "{line}");
    }

    #[test]
    fn a_plugin_gets_its_options_and_if_it_wants_one_instruction_at_a_time() {
        for single_step in [true, false] {
            let options = vec![("out", "/c,d".into()), ("text", "0x1".into())];
            let plugin = Plugin { library: "/lib/a,b.so".into(), options, single_step };
            let line = line(&MachineOptions { plugin: Some(plugin), ..MachineOptions::default() });
            assert!(line.contains("-accel\ntcg,thread=single\n"), "{line}");
            assert_eq!(line.contains("-singlestep\n"), single_step, "{line}");
            assert!(line.contains("-plugin\nfile=/lib/a,,b.so,out=/c,,d,text=0x1\n"), "{line}");
        }
    }

    #[test]
    fn time_and_frames_are_asked_for_by_themselves() {
        let options = MachineOptions { frames: Some("/a,b".into()), time: GuestTime::Steady, ..Default::default() };
        let asked = line(&options);
        assert!(asked.contains("-icount\nshift=1\n"), "{asked}");
        assert!(asked.contains("-object\nfilter-dump,id=frames,netdev=n0,file=/a,,b,maxlen=64\n"), "{asked}");
        let usual = line(&MachineOptions::default());
        assert!(!usual.contains("-icount") && !usual.contains("filter-dump"), "{usual}");
    }

    #[test]
    fn a_debuggers_socket_does_not_hold_the_guest_back() {
        let options = MachineOptions { gdb_socket: Some("/run/a,b/gdb".into()), ..MachineOptions::default() };
        let line = line(&options);
        assert!(line.contains("-gdb\nunix:/run/a,,b/gdb,server=on,wait=off\n"), "{line}");
        assert!(!line.contains("\n-S\n"), "{line}");
    }
}
