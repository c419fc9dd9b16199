"""Commands for GDB that know Holdfast's threads.

GDB takes the CPUs of the virtual machine for threads. The threads of the program and of libos are data in the guest's memory:
this script finds them there by the image's debug information, lists them, and lets GDB look at the stack of one that does not
run. It only reads memory and registers, and changes neither.

`cargo xtask run --gdb` builds the image with the debug information that this needs, and prints the command that loads this
script. docs/debugging.md tells how to use it.
"""

import gdb
import gdb.unwinder

# libos::task::thread: ThreadState and NO_CPU.
STATES = {0: "ready", 1: "waiting", 2: "finished"}
NO_CPU = 0xFFFFFFFF
# IA32_PKRS: two bits for each key (Intel SDM volume 3A, section 4.6.2).
KEYS = range(1, 16)
ACCESS_DISABLE, WRITE_DISABLE = 1, 2
# What libos::arch::switch leaves at a thread's saved stack pointer, from there upwards: eight bytes of MXCSR and x87 control
# word, then these registers, eight bytes each. Then comes what the thread had on its stack.
SAVED = ("r15", "r14", "r13", "r12", "rbx", "rbp", "rip")
# The last of the words that `std::thread::current::CURRENT` has instead of a thread's handle: NONE, BUSY and DESTROYED.
LAST_WITHOUT_HANDLE = 2
# Functions of how a thread waits rather than of what for: to be passed over, as far as something is left.
HOW = ("libos::task::", "libos::arch::", "core::", "<core::", "trap_common")
BELOW = ("libos::", "libos[", "std::", "<std::", "alloc::", "<alloc::", *HOW)


class NotThere(gdb.GdbError):
    """Something that the image's debug information should have is not in it."""


def static(name):
    """The value of a Rust static."""
    symbol = gdb.lookup_global_symbol(name) or gdb.lookup_static_symbol(name)
    if symbol is None:
        raise NotThere(f"{name} is not known here: load the image that `cargo xtask run --gdb` names")
    return symbol.value()


def atomic(value):
    """The number in one of `core::sync::atomic`'s types."""
    return int(value["v"]["value"])


def string(value):
    """A `&str`, as a Python string."""
    length = int(value["length"])
    if length == 0:
        return ""
    return bytes(gdb.selected_inferior().read_memory(int(value["data_ptr"]), length)).decode(errors="replace")


def symbol(name):
    """The value of a symbol of the linker script, which has no type."""
    with gdb.with_parameter("language", "c"):
        try:
            return int(gdb.parse_and_eval(f"(unsigned long)&{name}"))
        except gdb.error as error:
            raise NotThere(f"{name} is not known here: load the image that `cargo xtask run --gdb` names") from error


def std_name(thread):
    """The name that the program gave a thread by `std::thread::Builder`: it is in the handle that `std` keeps among the
    thread's thread-local variables. `None` if it gave none, or this `std` keeps no word under the name that the linker script knows."""
    if symbol("std_thread_handle_size") != 8:
        return None
    handle = word(int(thread["tls"]["block"]["pointer"]) + symbol("std_thread_handle_offset"))
    if handle <= LAST_WITHOUT_HANDLE:
        return None
    inner = gdb.lookup_type("std::thread::thread::Inner").pointer()
    name = gdb.Value(handle).cast(inner)["name"]
    if not any(field.name == "Some" for field in name.type.fields()):
        return None
    # A `CString`, with the zero at its end.
    return string(name["Some"]["__0"]["inner"]["inner"])[:-1]


def word(address):
    """Eight bytes of the guest's memory."""
    return int.from_bytes(bytes(gdb.selected_inferior().read_memory(address, 8)), "little")


def places(tree):
    """Where the values of a `BTreeMap` lie, in the order of their keys."""
    if int(tree["length"]) == 0:
        return
    root = tree["root"]["Some"]["__0"]
    node = root["node"]["pointer"]
    parameters = str(node.type.target()).split("LeafNode", 1)[1]
    inner = gdb.lookup_type("alloc::collections::btree::node::InternalNode" + parameters)
    edges = next(field.bitpos // 8 for field in inner.fields() if field.name == "edges")

    def walk(node, height):
        leaf = node.dereference()
        values = leaf["vals"]
        size = values.type.target().sizeof
        for number in range(int(leaf["len"]) + 1):
            if height > 0:
                child = gdb.Value(word(int(node) + edges + 8 * number)).cast(node.type)
                yield from walk(child, height - 1)
            if number < int(leaf["len"]):
                yield int(values.address) + number * size

    yield from walk(node, int(root["height"]))


class Thread:
    """A thread of the guest."""

    def __init__(self, value):
        self.id = int(value["head"]["id"]["__0"]["__0"])
        self.name = std_name(value) or string(value["name"])
        self.state = STATES.get(atomic(value["state"]), "?")
        self.running = bool(atomic(value["running"]))
        self.cpu = atomic(value["cpu"])
        self.futex = atomic(value["futex"])
        saved = value["saved"]["value"]
        self.stack_pointer = int(saved["stack_pointer"])
        self.rights = int(saved["rights"]["__0"])

    def registers(self):
        """The registers with which it goes on, if it does not run."""
        registers = {name: word(self.stack_pointer + 8 * (1 + at)) for at, name in enumerate(SAVED)}
        registers["rsp"] = self.stack_pointer + 8 * (1 + len(SAVED))
        return registers

    def status(self):
        """What it does."""
        if self.running:
            return f"running on CPU {self.cpu}"
        if self.state == "waiting" and self.futex:
            return f"waiting, futex {self.futex:#x}"
        return self.state

    def open_keys(self):
        """To which protection keys it has rights while it does not run."""
        rights = {key: self.rights >> 2 * key & 3 for key in KEYS}
        opened = [
            f"key {key} {'read' if bits & WRITE_DISABLE else 'write'}"
            for key, bits in rights.items()
            if not bits & ACCESS_DISABLE
        ]
        return ", ".join(opened) or "closed"


def threads():
    """Every thread that has not ended, by number. CPUs without one of them are idle."""
    inner = gdb.lookup_type("alloc::sync::ArcInner<libos::task::thread::Thread>").pointer()
    tree = static("libos::task::thread::THREADS")["data"]["value"]
    return [Thread(gdb.Value(word(place)).cast(inner)["data"]) for place in places(tree)]


def thread(number):
    """The thread of this number."""
    for candidate in threads():
        if candidate.id == number:
            return candidate
    raise gdb.GdbError(f"there is no thread {number}: `holdfast threads` lists them")


class Unwinder(gdb.unwinder.Unwinder):
    """Says that the CPU's innermost frame was called by a thread that does not run, as long as one is chosen."""

    def __init__(self):
        super().__init__("holdfast")
        self.chosen = None
        self.innermost = None

    def choose(self, chosen):
        """Shows this thread's stack from now on, or the CPU's own if `None`."""
        self.chosen = None
        gdb.invalidate_cached_frames()
        if chosen is not None:
            self.innermost = int(gdb.newest_frame().read_register("rsp"))
            self.chosen = chosen
            gdb.invalidate_cached_frames()

    def first_frame(self):
        """The first frame of what is chosen: behind the CPU's innermost one, and the functions inlined into that."""
        frame = gdb.newest_frame()
        while self.chosen is not None and int(frame.read_register("rsp")) == self.innermost:
            frame = frame.older()
        return frame

    def __call__(self, pending):
        if self.chosen is None or int(pending.read_register("rsp")) != self.innermost:
            return None
        # GDB takes a caller's frame below its callee's for a corrupt stack; nothing lies below 0.
        info = pending.create_unwind_info(FrameId(gdb.Value(0), pending.read_register("rip")))
        for name, number in self.chosen.registers().items():
            info.add_saved_register(name, gdb.Value(number).cast(pending.read_register(name).type))
        return info


class FrameId:
    """What tells one frame from another, for GDB."""

    def __init__(self, sp, pc):
        self.sp = sp
        self.pc = pc


UNWINDER = Unwinder()


def frames(of):
    """The frames of a thread, the innermost first."""
    if of.running:
        cpu(of.cpu).switch()
    UNWINDER.choose(None if of.running else of)
    frame = UNWINDER.first_frame()
    # Below a thread's first function there is nothing.
    while frame is not None and frame.name() is not None:
        yield frame
        frame = frame.older()


def cpu(number):
    """GDB's thread for a CPU."""
    return next(thread for thread in gdb.selected_inferior().threads() if thread.num == number + 1)


class keeping_selection:
    """What GDB has selected is selected again afterwards."""

    def __enter__(self):
        self.thread, self.chosen = gdb.selected_thread(), UNWINDER.chosen

    def __exit__(self, *_):
        self.thread.switch()
        UNWINDER.choose(self.chosen)


def describe(frame):
    """A frame in one line."""
    line = frame.find_sal()
    place = f" at {line.symtab.filename}:{line.line}" if line.symtab else ""
    return f"{frame.name() or hex(frame.pc())}{place}"


def purpose(of):
    """The innermost function that says what a thread is at."""
    names = [frame.name() or hex(frame.pc()) for frame in frames(of)]
    program = (name for name in names if not name.startswith(BELOW))
    library = (name for name in names if not name.startswith(HOW))
    return next(program, None) or next(library, None) or next(iter(names), "?")


class Holdfast(gdb.Command):
    """What GDB does not know of Holdfast by itself: its threads."""

    def __init__(self):
        super().__init__("holdfast", gdb.COMMAND_STATUS, prefix=True)


class Threads(gdb.Command):
    """holdfast threads: every thread of the guest, what it does, its rights to persistent memory and where it is."""

    def __init__(self):
        super().__init__("holdfast threads", gdb.COMMAND_STATUS)

    def invoke(self, argument, from_tty):
        with keeping_selection():
            for each in threads():
                rights = "" if each.running else f" [{each.open_keys()}]"
                mark = "*" if UNWINDER.chosen is not None and UNWINDER.chosen.id == each.id else " "
                gdb.write(f"{mark}{each.id:4} {each.name:12} {each.status()}{rights} in {purpose(each)}\n")


class Backtrace(gdb.Command):
    """holdfast backtrace [NUMBER]: the stack of one of the guest's threads, or of all of them."""

    def __init__(self):
        super().__init__("holdfast backtrace", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        chosen = [thread(number(argument))] if argument else threads()
        with keeping_selection():
            for each in chosen:
                gdb.write(f"thread {each.id} `{each.name}`, {each.status()}\n")
                for level, frame in enumerate(frames(each)):
                    gdb.write(f"  #{level:<3} {describe(frame)}\n")


class Select(gdb.Command):
    """holdfast thread [NUMBER]: looks at a thread of the guest from now on; without a number, at the CPU's own stack again.

    `backtrace`, `frame`, `up`, `info locals` and `print` then work on it. The CPU's innermost function stays on
    top; the frames of a thread that does not run come behind it. When the machine goes on, the choice ends."""

    def __init__(self):
        super().__init__("holdfast thread", gdb.COMMAND_STACK)

    def invoke(self, argument, from_tty):
        if not argument:
            UNWINDER.choose(None)
            return
        chosen = thread(number(argument))
        if chosen.running:
            cpu(chosen.cpu).switch()
            UNWINDER.choose(None)
            gdb.write(f"thread {chosen.id} `{chosen.name}` runs: this is CPU {chosen.cpu}\n")
            return
        UNWINDER.choose(chosen)
        frame = UNWINDER.first_frame()
        frame.select()
        gdb.write(f"thread {chosen.id} `{chosen.name}`, {chosen.status()}; its frames begin at {frame.level()}\n")


def number(argument):
    """A thread's number, as typed."""
    try:
        return int(argument)
    except ValueError as error:
        raise gdb.GdbError(f"`{argument}` is no thread's number: `holdfast threads` lists them") from error


gdb.unwinder.register_unwinder(None, UNWINDER, replace=True)
gdb.events.cont.connect(lambda _: UNWINDER.choose(None))
for command in (Holdfast, Threads, Backtrace, Select):
    command()
