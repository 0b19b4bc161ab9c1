# SPDX-License-Identifier: MIT
"""
GDB and per-CPU memory, in a process and in a core file: the command percpu, functions $percpu_ptr and $percpu_sum,
and printers; and stepping that passes critical sections. percpu-gdb(7) is the manual page.

Only memory is read, nothing in the process is called, and no page comes into being by being looked at, but in
published pools. What is known of the process, by what there is of symbols:

    percpu_abi                 number of copies, mode: even of a stripped shared library
    types of the program       how to print copies, counters, histograms, groups
    debug information of       which addresses are per-CPU pointers, and of what: whether they live; pools, and
    the library                names of caches

Without the last, a pointer is taken to be what the user says it is, as long as its copies are memory.
"""

import os
import re
import struct

import gdb
import gdb.printing

STRIDE_SHIFT = 18  # PERCPU_STRIDE_SHIFT
STRIDE = 1 << STRIDE_SHIFT
GRANULE = 8
KEPT = 0x10000  # PERCPU__KEPT
FORMATS = "xduotacfsz"  # of print, for one value


def fail(text):
    """One line for the user, and no traceback."""
    raise gdb.GdbError(text)


# ---- memory ----


def inferior():
    """The process or core; its memory may be read."""
    if not gdb.selected_inferior().threads():
        fail("There is no process and no core file.")
    return gdb.selected_inferior()


def byte_order():
    return ">" if "big" in gdb.execute("show endian", to_string=True) else "<"


def unpack(address, shape):
    """Numbers at an address, in the order of bytes that the machine has."""
    shape = byte_order() + shape
    return struct.unpack(shape, inferior().read_memory(address, struct.calcsize(shape)))


def words(address, nr):
    return unpack(address, "%dQ" % nr)


def is_core():
    connection = getattr(inferior(), "connection", None)
    return connection is not None and connection.type == "core"


def unreadable():
    return "not in this core" if is_core() else "cannot be read"


class Pages:
    """Which pages there are; where nobody can tell, all of them. absent: what one is that is not there."""

    absent = None

    def exist(self, address, size):
        return True


class LivePages(Pages):
    """As /proc tells of a process."""

    absent = "never touched"

    def __init__(self, pid):
        self.size = os.sysconf("SC_PAGESIZE")
        self.map = open("/proc/%d/pagemap" % pid, "rb")
        # A page of a file may be there without being mapped here.
        with open("/proc/%d/maps" % pid, errors="replace") as maps:
            ranges = [line.split()[0].split("-") for line in maps if " /memfd:" in line]
        self.files = [(int(start, 16), int(end, 16)) for start, end in ranges]

    def exist(self, address, size):
        if any(start <= address < end for start, end in self.files):
            return True
        first = address // self.size
        self.map.seek(first * 8)
        entries = self.map.read(((address + size - 1) // self.size - first + 1) * 8)
        return any(entry >> 62 for entry, in struct.iter_unpack("=Q", entries))


class CorePages(Pages):
    """As the program headers of a core file tell: GDB takes what is left out there for zeros."""

    absent = "not in this core"

    def __init__(self, path):
        order = byte_order()
        with open(path, "rb") as core:
            start, _, _, _, size, nr = struct.unpack(order + "32xQQIHHH", core.read(58))
            core.seek(start)
            headers = [struct.unpack_from(order + "II6Q", core.read(size)) for _ in range(nr)]
        self.segments = [(header[3], header[3] + header[5]) for header in headers if header[0] == 1]

    def exist(self, address, size):
        return any(start <= address and address + size <= end for start, end in self.segments)


def pages():
    connection = getattr(inferior(), "connection", None)
    try:
        if connection and connection.type == "native":
            return LivePages(inferior().pid)
        core = re.search(r"core dump file:\s*`(.*)', file type elf64", gdb.execute("info files", to_string=True))
        return CorePages(core.group(1)) if core else Pages()
    except (OSError, struct.error):
        return Pages()


# ---- the library ----


def variables(name):
    """The variable in each module that has it, for plugins may have a copy of the library linked in."""
    found = {}
    for objfile in gdb.objfiles():
        symbol = objfile.lookup_global_symbol(name)
        if symbol:
            value = symbol.value()
            found[int(value.address)] = value
    return found


def read_abi():
    """rseq_offset, cpu_limit and nr_copies of struct percpu_abi, from any copy of the library that has started."""
    inferior()
    places = list(variables("percpu_abi"))
    try:
        places.append(int(gdb.parse_and_eval("(unsigned long)&percpu_abi")))  # without debug information
    except gdb.error:
        pass
    if not places:
        fail("There is no percpu_abi: libpercpu is not here, or was linked in and then stripped of all symbols.")
    for place in places:
        abi = unpack(place, "qII")
        if abi[2]:
            return abi
    fail("libpercpu has not started: no operation has come yet.")


def nr_copies():
    return read_abi()[2]


def copy_of(address, cpu):
    return address + ((cpu + 1) << STRIDE_SHIFT)


def name_of(cpu, nr):
    return "fallback" if cpu == nr - 1 else "cpu %d" % cpu


class NotKnown(Exception):
    """The library's debug information, or its memory, is not here."""


class Area:
    """What the library knows of an address of a guard unit."""

    def __init__(self, chunk, address, tags_distance):
        offset = (address & (STRIDE - 1)) // GRANULE
        heads, free_heads = (self.bits(chunk["bitmaps"][name]) for name in ("head", "free_head"))
        first = (heads & ((2 << offset) - 1)).bit_length() - 1
        after = heads >> (first + 1)
        self.start = int(chunk["base"]) + first * GRANULE
        self.bytes = (after & -after).bit_length() * GRANULE
        self.pool = chunk["pool"]
        self.lives = 0 <= first < int(chunk["area_map"]["tail"]) and not free_heads >> first & 1
        # An area that a CPU keeps ready lives for its chunk, but was freed.
        if self.lives and words(self.start + tags_distance, 1)[0] & KEPT:
            self.lives = False

    @staticmethod
    def bits(array):
        nr = array.type.range()[1] + 1
        return sum(word << 64 * i for i, word in enumerate(words(int(array.address), nr)))


def find_chunk(address):
    """The chunk that has the address in one of its units, and the way from pointers to their tags; or NotKnown."""
    roots, distances = variables("percpu__root"), variables("percpu__tags_distance")
    if not roots or len(roots) != len(distances):
        raise NotKnown()
    for root, distance in zip(roots.values(), distances.values()):
        try:
            per_leaf = root.type.target().target()["chunk"].type.range()[1] + 1
            above, below = divmod(address >> STRIDE_SHIFT, per_leaf)
            if above > root.type.range()[1] or not int(root[above]):
                continue
            chunk = root[above]["chunk"][below]
            if int(chunk):
                return chunk.dereference(), int(distance)
        except (gdb.error, KeyError):
            raise NotKnown()
    return None, 0


def guarded(address):
    """Whether the address lies in a guard unit, where per-CPU pointers point. False: also where it is not known."""
    try:
        chunk = find_chunk(address)[0]
        return chunk is not None and address - int(chunk["base"]) < STRIDE
    except (NotKnown, gdb.error):
        return False


def describe(address):
    """(lives, what it is): of a per-CPU pointer, or of anything else. NotKnown: cannot tell."""
    try:
        chunk, distance = find_chunk(address)
        if chunk is None:
            return False, "not a per-CPU pointer"
        unit = (address - int(chunk["base"])) >> STRIDE_SHIFT
        area = Area(chunk, address - (unit << STRIDE_SHIFT), distance)
        if not area.lives:
            return False, "freed, or never allocated"
        where = "%d bytes of each copy" % area.bytes
        name = area.pool["name"].string(errors="replace")
        if name:
            where += ", pool %s" % name
        if address != area.start + (unit << STRIDE_SHIFT):
            where = "byte %d of " % ((address - area.start) & (STRIDE - 1)) + where
        if unit:
            return False, "in the copy of %s of per-CPU pointer 0x%x, %s" % (
                name_of(unit - 1, nr_copies()), address - (unit << STRIDE_SHIFT), where)
        return True, where
    except gdb.MemoryError:
        raise NotKnown()


def demand(address, size):
    """Refuses what is no per-CPU pointer to so many bytes that live, as far as that is known."""
    if not address:
        fail("NULL is not a per-CPU pointer.")
    try:
        lives, what = describe(address)
    except NotKnown:
        for cpu in range(nr_copies()):
            try:
                inferior().read_memory(copy_of(address, cpu), size)
                return
            except gdb.MemoryError:
                pass
        fail("0x%x: not a per-CPU pointer, or its copies are not in this core" % address if is_core() else
             "0x%x: not a per-CPU pointer: its copies are not memory" % address)
    if not lives:
        fail("0x%x: %s" % (address, what))


# ---- what the user means ----


def in_section(address):
    """The per-CPU pointer of a DEFINE_PER_CPU variable; None: the address is not in such a section."""
    for line in gdb.execute("info files", to_string=True).splitlines():
        found = re.match(r"\s*(0x\w+) - (0x\w+) is percpu_static(?: in (.*))?", line)
        if not found or not int(found.group(1), 16) <= address < int(found.group(2), 16):
            continue
        objfile = gdb.lookup_objfile(found.group(3) or gdb.current_progspace().filename)
        area = objfile.lookup_global_symbol("percpu__module_area")
        return int(area.value()) + address - int(found.group(1), 16) if area else None
    return None


def resolve(value):
    """Address and type of the object of which there are copies, from a pointer to it or from itself."""
    inferior()
    if value.type.code in (gdb.TYPE_CODE_REF, gdb.TYPE_CODE_RVALUE_REF):
        value = value.referenced_value()
    kind = value.type.strip_typedefs()
    if value.address is not None:
        place = int(value.address)
        moved = in_section(place)
        if moved or kind.code != gdb.TYPE_CODE_PTR or guarded(place):
            return moved or place, value.type
    if kind.code != gdb.TYPE_CODE_PTR:
        fail("That is no per-CPU pointer, nor what one points to, but of type %s." % value.type)
    if kind.target().strip_typedefs().code in (gdb.TYPE_CODE_VOID, gdb.TYPE_CODE_FUNC):
        fail("A pointer to what? Cast it, as in (long *) EXPR.")
    address = int(value) & ((1 << 64) - 1)
    return in_section(address) or address, kind.target()


def checked_cpu(value):
    """The number of a copy."""
    cpu, nr = int(value), nr_copies()
    if not 0 <= cpu < nr:
        fail("There is no copy %d: they are 0 to %d, the last one the fallback." % (cpu, nr - 1))
    return cpu


# ---- copies ----


def value_at(address, kind):
    return gdb.Value(address).cast(kind.pointer()).dereference()


class Copies:
    """The copies of an object: a value each, or why there is none."""

    def __init__(self, address, kind):
        demand(address, kind.sizeof)
        self.kind = kind
        self.nr = nr_copies()
        self.pages = pages()
        self.address = address

    def read(self, cpu):
        """(value, None) or (None, why)."""
        place = copy_of(self.address, cpu)
        if not self.pages.exist(place, self.kind.sizeof):
            return None, self.pages.absent
        try:
            value = value_at(place, self.kind)
            value.fetch_lazy()
            return value, None
        except gdb.MemoryError:
            return None, unreadable()

    def sum(self):
        """In the object's own type, and whether every copy was there."""
        total, whole = 0, True
        for cpu in range(self.nr):
            value, why = self.read(cpu)
            if value is not None:
                total += int(value)
            whole = whole and (value is not None or why == LivePages.absent)
        return gdb.Value(total & ((1 << 64) - 1)).cast(self.kind), whole


def is_number(kind):
    return kind.strip_typedefs().code == gdb.TYPE_CODE_INT and kind.sizeof <= 8


def copies_of_words(address, nr):
    """The words of every copy that was touched."""
    here = pages()
    for cpu in range(nr_copies()):
        place = copy_of(address, cpu)
        if here.exist(place, nr * 8):
            yield words(place, nr)
        elif here.absent != LivePages.absent:
            raise gdb.MemoryError("the copy of " + name_of(cpu, nr_copies()))


def sums_of_words(address, nr):
    return [sum(column) & ((1 << 64) - 1) for column in zip([0] * nr, *copies_of_words(address, nr))]


def signed(word):
    return (word & ((1 << 63) - 1)) - (word & (1 << 63))


# ---- printers: each is given a value, and says what a user wants to know of it ----


class PointerPrinter:
    """A per-CPU pointer, whatever its type says: it points into a guard unit. And what seems to lie there."""

    def __init__(self, address, kind):
        self.address, self.kind = address, kind

    def to_string(self):
        address, kind = self.address, self.kind
        text = "(%s __percpu *) 0x%x" % (kind, address)
        try:
            lives, what = describe(address)
            if not lives:
                return "%s, %s" % (text, what)
            if is_number(kind):
                copies = Copies(address, kind)
                return "%s, sum %s" % (text, copies.sum()[0].format_string())
        except (NotKnown, gdb.GdbError):
            pass
        return text


class Printer:
    """Names and values, or why there are none."""

    def __init__(self, value):
        self.value = value
        self.found, self.why = [], None
        try:
            if self.is_there():
                self.found = list(self.rows())
            else:
                self.why = "not initialised"
        except gdb.MemoryError:
            self.why = unreadable()
        except gdb.GdbError as error:
            self.why = str(error)

    def to_string(self):
        return self.why

    def children(self):
        return iter(self.found)


class CounterPrinter(Printer):
    def is_there(self):
        return int(self.value["copies"]) != 0

    def rows(self):
        total = sums_of_words(int(self.value["copies"]), 2)[0]
        yield "value", signed((int(self.value["base"]) + total) & ((1 << 64) - 1))
        yield "read", signed((int(self.value["base"]) + int(self.value["folded"])) & ((1 << 64) - 1))
        yield "error", (int(self.value["bounds"][0]) + 1) * nr_copies()


class GroupPrinter(Printer):
    CLAIMED = 1 << 63
    GROUP_BYTES, NR_SPARE = 128, 31  # of a page of spare groups, which begins with the address of the next

    def is_there(self):
        return int(self.value["nr_fields"]) != 0

    def display_hint(self):
        return "array"

    def rows(self):
        nr = int(self.value["nr_fields"])
        step = 16 if nr == 2 else 32  # bytes from slot to slot
        sums = [0] * nr
        for group in self.groups(int(self.value["of"][nr]), 1 + 2 * step // 8):
            slot = 1 + (group[0] & ~self.CLAIMED & step) // 8
            sums = [a + b for a, b in zip(sums, group[slot:slot + nr])]
        sums = [total + int(self.value["loose"][i]) for i, total in enumerate(sums)]
        for i, total in enumerate(sums):
            yield str(i), total & ((1 << 64) - 1)

    def groups(self, address, nr):
        yield from copies_of_words(address, nr)
        page = int(self.value["spare"])
        while page:
            for i in range(1, self.NR_SPARE + 1):
                yield words(page + i * self.GROUP_BYTES, nr)
            page = words(page, 1)[0]


class HistogramPrinter(Printer):
    SUMMARY = 4  # words before the counts: sum, max, inverse_min, reserved

    def is_there(self):
        return int(self.value["copies"]) != 0

    def rows(self):
        shape = self.value["shape"]
        self.unit_shift, self.precision_bits = int(shape["unit_shift"]), int(shape["precision_bits"])
        self.counts = [0] * int(shape["nr_buckets"])
        total, self.min, self.max = 0, (1 << 64) - 1, 0
        for copy in copies_of_words(int(self.value["copies"]), self.SUMMARY + len(self.counts)):
            total += copy[0]
            self.max = max(self.max, copy[1])
            self.min = min(self.min, ~copy[2] & ((1 << 64) - 1))
            self.counts = [a + b for a, b in zip(self.counts, copy[self.SUMMARY:])]
        self.nr = sum(self.counts)
        yield "nr", self.nr
        if not self.nr:
            return
        yield "min", self.min
        yield "mean", (total & ((1 << 64) - 1)) / self.nr
        for percent in (50, 90, 99):
            yield "p%d" % percent, self.percentile(percent)
        yield "max", self.max

    def begin_of(self, bucket):
        doublings = max((bucket >> self.precision_bits) - 1, 0)
        return (bucket - (doublings << self.precision_bits)) << doublings << self.unit_shift

    def percentile(self, percent):
        """As percpu_histogram_percentile."""
        rank = -(-self.nr * percent // 100)
        seen = 0
        for bucket, count in enumerate(self.counts[:-1]):
            seen += count
            if seen >= rank:
                low, high = self.begin_of(bucket), self.begin_of(bucket + 1) - 1
                return min(max(low + (high - low) // 2, self.min), self.max)
        return self.max


class PoolPrinter(Printer):
    def is_there(self):
        return int(self.value["name"]) != 0

    def rows(self):
        index, limit = self.value["chunk_index"], int(self.value["limit_granules"])
        yield "name", self.value["name"]
        yield "taken_bytes", int(index["live_granules"]) * GRANULE
        yield "limit_bytes", "none" if limit >= 1 << 61 else limit * GRANULE
        yield "chunks", int(index["nr_chunks"])
        yield "published", "yes" if int(self.value["shared"]) else "no"


class CachePrinter(Printer):
    """What the list of every CPU holds; and the name, from the library's own struct, which begins with this one."""

    def is_there(self):
        return int(self.value["magazines"]) != 0

    def rows(self):
        try:
            own = self.value.address.cast(gdb.lookup_type("struct percpu__cache").pointer())
            yield "name", own["name"].string(errors="replace")
        except (gdb.error, AttributeError):
            pass
        yield "object_bytes", self.value["size"]
        yield "ready", sum(copy[0] & 0xffff for copy in copies_of_words(int(self.value["magazines"]), 1))


class Printers(gdb.printing.PrettyPrinter):
    BY_NAME = {
        "percpu_counter": CounterPrinter,
        "percpu_group": GroupPrinter,
        "percpu_histogram": HistogramPrinter,
        "percpu_pool": PoolPrinter,
        "percpu_cache": CachePrinter,
    }

    def __init__(self):
        super().__init__("percpu")

    def __call__(self, value):
        kind = value.type.strip_typedefs()
        try:
            if not gdb.selected_inferior().threads():
                return None
            if value.address is not None and guarded(int(value.address)):
                return PointerPrinter(int(value.address), value.type)
            if kind.code == gdb.TYPE_CODE_PTR and guarded(int(value)):
                return PointerPrinter(int(value), kind.target())
            if kind.code == gdb.TYPE_CODE_STRUCT and kind.name in self.BY_NAME:
                return self.BY_NAME[kind.name](value)
        except gdb.error:
            pass
        return None


# ---- functions and commands ----


def told(function):
    """The function; whatever goes wrong in it is one line."""
    def call(*args):
        try:
            return function(*args)
        except gdb.MemoryError as error:
            fail("%s: %s" % (error, unreadable()))
        except NotKnown:
            fail("Only debug information of libpercpu tells that.")
        except (gdb.error, TypeError, ValueError) as error:
            fail(str(error))
    return call


class PtrFunction(gdb.Function):
    """$percpu_ptr(P, CPU): the address of that copy, as percpu_ptr gives it. Arithmetic alone, of any pointer."""

    def __init__(self):
        super().__init__("percpu_ptr")

    @told
    def invoke(self, value, cpu):
        address, kind = resolve(value)
        return gdb.Value(copy_of(address, checked_cpu(cpu))).cast(kind.pointer())


class SumFunction(gdb.Function):
    """$percpu_sum(P): the sum over all copies of an integer, as percpu_sum gives it."""

    def __init__(self):
        super().__init__("percpu_sum")

    @told
    def invoke(self, value):
        address, kind = resolve(value)
        if not is_number(kind):
            fail("Only integers are summed, not %s." % kind)
        total, whole = Copies(address, kind).sum()
        if not whole:
            fail("0x%x: not every copy is in this core" % address)
        return total


class PercpuCommand(gdb.Command):
    """Per-CPU memory of libpercpu."""

    def __init__(self):
        super().__init__("percpu", gdb.COMMAND_DATA, prefix=True)


class PrintCommand(gdb.Command):
    """The copies of per-CPU memory, CPU by CPU; of integers the sum, too.
Usage: percpu print [/FMT] [-cpu N] EXPR
EXPR is a per-CPU pointer, or what one points to: p, &p->field, p->field, (long (*)[4])p.
/FMT is a letter as of print; -cpu N shows one copy alone. CPUs that have the same are on one line."""

    def __init__(self):
        super().__init__("percpu print", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    @told
    def invoke(self, text, from_tty):
        found = re.match(r"(?:/([a-z]+)\s*)?(?:-cpu\s+(\S+)\s+)?(.*)", text.strip(), re.DOTALL)
        letter, cpu, expression = found.groups()
        if not expression or letter and letter not in FORMATS:
            fail("Usage: percpu print [/FMT] [-cpu N] EXPR")
        address, kind = resolve(gdb.parse_and_eval(expression))
        copies = Copies(address, kind)
        cpus = range(copies.nr) if cpu is None else [checked_cpu(gdb.parse_and_eval(cpu))]
        self.show(copies, cpus, {"format": letter} if letter else {}, cpu is None and is_number(kind))

    @staticmethod
    def show(copies, cpus, options, with_sum):
        print("(%s __percpu *) 0x%x, %d copies" % (copies.kind, copies.address, copies.nr))
        runs = []  # [first, last, text]
        for cpu in cpus:
            value, why = copies.read(cpu)
            text = why or value.format_string(**options)
            if runs and runs[-1][2] == text and cpu != copies.nr - 1:
                runs[-1][1] = cpu
            else:
                runs.append([cpu, cpu, text])
        lines = [(name_of(first, copies.nr) + ("-%d" % last if last > first else ""), text)
                 for first, last, text in runs]
        if with_sum:
            total, whole = copies.sum()
            lines.append(("sum", total.format_string(**options) + ("" if whole else ", of those that are here")))
        width = max(len(name) for name, _ in lines)
        for name, text in lines:
            print("  %-*s  %s" % (width, name, text.replace("\n", "\n" + " " * (width + 4))))


class CpusCommand(gdb.Command):
    """How many copies there are, and in which mode they are updated.
Usage: percpu cpus"""

    def __init__(self):
        super().__init__("percpu cpus", gdb.COMMAND_DATA, gdb.COMPLETE_NONE)

    @told
    def invoke(self, text, from_tty):
        rseq_offset, _, nr = read_abi()
        print("%d CPUs and the fallback copy, 0x%x bytes apart; %s mode" % (
            nr - 1, STRIDE, "rseq" if rseq_offset else "atomic"))


class InfoCommand(gdb.Command):
    """What an address is: per-CPU pointer, in which copy, of an allocation of what size, in which pool.
Usage: percpu info EXPR"""

    def __init__(self):
        super().__init__("percpu info", gdb.COMMAND_DATA, gdb.COMPLETE_EXPRESSION)

    @told
    def invoke(self, text, from_tty):
        inferior()
        address = int(gdb.parse_and_eval(text)) & ((1 << 64) - 1)
        lives, what = describe(address)
        print("0x%x: %s%s" % (address, "per-CPU pointer, " if lives else "", what))


class ListCommand(gdb.Command):
    """What the library has on a list of its own."""

    def __init__(self, name, variable, kind, field):
        super().__init__(name, gdb.COMMAND_DATA, gdb.COMPLETE_NONE)
        self.variable, self.kind, self.field = variable, kind, field

    @told
    def invoke(self, text, from_tty):
        inferior()
        # Other modules may have variables of that name.
        lists = [symbol.value() for symbol in gdb.lookup_static_symbols(self.variable)
                 if str(symbol.type) == "struct %s *" % self.kind]
        if not lists:
            raise NotKnown()
        for at in lists:
            while int(at):
                print("0x%x  %s" % (int(at), (at[self.field] if self.field else at.dereference()).format_string()))
                at = at["next"]


class PoolsCommand(ListCommand):
    """All pools.
Usage: percpu pools"""

    def __init__(self):
        super().__init__("percpu pools", "registry", "percpu_pool", None)


class CachesCommand(ListCommand):
    """All object caches, and how many objects the CPUs have ready.
Usage: percpu caches"""

    def __init__(self):
        super().__init__("percpu caches", "caches", "percpu__cache", "pub")


# ---- stepping over critical sections ----


class Section:
    """A restartable sequence. armed: where it begins; start to end: where the kernel restarts it; exits: how it is left."""

    def __init__(self, armed, start, end, abort, exits):
        self.armed, self.start, self.end, self.abort = armed, start, end, abort
        self.exits = {end} | exits

    def has(self, address):
        return self.armed <= address < self.end or address == self.abort


class Sections:
    """All sequences of the process: those that its modules announce to the kernel and to debuggers."""

    found = None

    @classmethod
    def forget(cls, event=None):
        cls.found = None
        Lines.known = {}

    @classmethod
    def all(cls):
        if cls.found is None:
            cls.found = list(cls.read())
        return cls.found

    @staticmethod
    def ranges(name):
        for line in gdb.execute("info files", to_string=True).splitlines():
            line = line.split()
            if len(line) >= 5 and line[3] == "is" and line[4] == name:
                yield int(line[0], 16), int(line[2], 16)

    @classmethod
    def read(cls):
        exits = {}
        for start, end in cls.ranges("__rseq_exit_point_array"):
            numbers = words(start, (end - start) // 8)
            for begins, leaves in zip(numbers[::2], numbers[1::2]):
                exits.setdefault(begins, set()).add(leaves)
        for start, end in cls.ranges("__rseq_cs_ptr_array"):
            for descriptor in words(start, (end - start) // 8):
                begins, size, abort = unpack(descriptor, "8x3Q")
                armed = cls.target_of_jump(abort)
                if not begins - 64 <= armed <= begins:
                    armed = begins
                yield Section(armed, begins, begins + size, abort, exits.get(begins, set()))

    @staticmethod
    def target_of_jump(address):
        """Where a sequence goes after its abort: to its beginning."""
        text = gdb.selected_frame().architecture().disassemble(address)[0]["asm"].split()
        return int(text[1], 16) if len(text) > 1 and text[1].startswith("0x") else 0


class Lines:
    """Which statements begin where, by source file: GDB's stepping stops there alone."""

    known = {}

    @classmethod
    def at(cls, symtab, address):
        name = symtab.filename
        if name not in cls.known:
            begin = cls.known[name] = {}
            text = gdb.execute("maintenance info line-table %s$" % re.escape(os.path.basename(name)), to_string=True)
            for line, row in re.findall(r"^\d+ +(\d+) +(0x[0-9a-f]+).* Y\b", text, re.MULTILINE):
                begin.setdefault(int(row, 16), set()).add(int(line))
        return cls.known[name].get(address, set())


class Stepper:
    """
    GDB steps by the instruction, and each of its stops is a preemption: a sequence that is stepped begins again, and
    again. So before GDB's own command this goes on, from breakpoint to breakpoint, to the last instruction of the line:
    sequences and calls are run through. GDB's command does the rest.
    """

    LIMIT = 20000  # breakpoints, for a loop in one line
    RETURNS = ("ret", "retq", "repz", "bnd", "hlt", "ud2", "eret", "udf")
    CALLS = ("call", "callq", "bl", "blr")
    JUMPS = ("b", "br", "cbz", "cbnz", "tbz", "tbnz")
    ALWAYS = ("jmp", "jmpq", "b", "br")
    busy, current = False, None

    def __init__(self, command):
        self.command = command
        self.thread = gdb.selected_thread()
        self.guards = []
        pc = self.pc()
        self.line = gdb.newest_frame().find_sal()
        self.function = self.function_of(pc)
        self.bounds = self.bounds_of(pc)
        self.sections = [section for section in Sections.all() if section.has(pc) or self.is_mine(section.start)]

    # -- functions, inlined or not --

    @staticmethod
    def function_of(address):
        """The block of the innermost one; None: no debug information."""
        block = gdb.block_for_pc(address)
        while block and not block.function:
            block = block.superblock
        return block

    @classmethod
    def around(cls, block):
        block = block.superblock
        while block and not block.function:
            block = block.superblock
        return block

    @classmethod
    def bounds_of(cls, address):
        """The whole function, whatever is inlined there."""
        block, bounds = cls.function_of(address), None
        while block:
            bounds = block.start, block.end
            block = cls.around(block)
        return bounds

    def is_mine(self, address):
        return bool(self.bounds) and self.bounds[0] <= address < self.bounds[1]

    def is_inlined(self, address):
        """In a function that the first one has inlined: to `next` that is one of its instructions."""
        block = self.function_of(address)
        if not block or not self.function or block.start == self.function.start:
            return False
        while block and block.start != self.function.start:
            block = self.around(block)
        return block is not None

    # -- moving --

    @staticmethod
    def pc():
        return int(gdb.newest_frame().pc())

    def breakpoint(self, address, condition=None):
        made = gdb.Breakpoint("*0x%x" % address, internal=True)
        made.thread, made.silent, made.condition = self.thread.global_num, True, condition
        return made

    def guard(self):
        """GDB's command stops where it interrupts a sequence, so that it comes to an end."""
        self.guards = [self.breakpoint(section.abort) for section in self.sections]

    def unguard(self):
        for made in self.guards:
            made.delete()
        self.guards = []

    def is_restarted(self):
        return gdb.selected_thread() and gdb.selected_thread().num == self.thread.num and \
            any(self.pc() == section.abort for section in self.sections)

    def run_to(self, addresses, condition=None):
        """Runs to one of them. If something else comes in between, that goes first. false: the process has ended."""
        breakpoints = [self.breakpoint(address, condition) for address in addresses]
        try:
            gdb.execute("continue", to_string=True)
        finally:
            for made in breakpoints:
                made.delete()
        if not gdb.selected_thread():
            return False
        if gdb.selected_thread().num != self.thread.num or self.pc() not in addresses:
            fail("Stopped before the end of the line.")
        return True

    # -- where GDB's command would stop --

    def is_end(self, address):
        """The beginning of another line, of the same function or of one that is not inlined in it."""
        if self.command == "finish":
            return not self.is_inlined(address) and self.function_of(address).start != self.function.start
        if self.command != "step" and self.is_inlined(address):
            # As an instruction of the line where it is called. Which that is GDB alone knows, where no statement begins.
            block, lines = self.function_of(address), Lines.at(self.line.symtab, address)
            if lines:
                return bool(lines - {self.line.line})
            return block.start == address and self.around(block).start == self.function.start
        sal = gdb.find_pc_line(address)
        if not sal.symtab or not self.is_mine(address):
            return True
        return (sal.line, sal.symtab.filename) != (self.line.line, self.line.symtab.filename) and \
            sal.line in Lines.at(sal.symtab, address)

    def go(self):
        for _ in range(self.LIMIT):
            pc = self.pc()
            inside = [section for section in self.sections if section.has(pc)]
            if inside:
                if not self.run_to(inside[0].exits) or self.command in ("stepi", "nexti"):
                    return
                if self.is_end(self.pc()):
                    self.go_before(self.pc())
                    return
            elif self.command in ("stepi", "nexti") or not self.advance(pc):
                return

    def go_before(self, end):
        """
        The last instruction was a sequence's, and GDB's command will do one more. There is one that does no more than
        to come here: at the end of the way round the sequence, for those who could not run it. Where there is none GDB
        stops one line further on.
        """
        for at in gdb.newest_frame().architecture().disassemble(self.bounds[0], self.bounds[1] - 1):
            name, _, operands = at["asm"].partition(" ")
            if name in self.ALWAYS and self.target(operands) == end:
                gdb.execute("set var $pc = 0x%x" % at["addr"])
                break

    def disassemble(self, address):
        instruction = gdb.newest_frame().architecture().disassemble(address)[0]
        name, _, operands = instruction["asm"].partition(" ")
        return name, operands, address + instruction["length"]

    def advance(self, pc):
        """Runs as far as is known to be the same line. false: the next instruction ends it, or nobody knows."""
        at = pc
        while True:
            name, operands, behind = self.disassemble(at)
            is_jump = name[0] == "j" or name in self.JUMPS or name.startswith("b.")
            is_plain = name not in self.RETURNS and name not in self.CALLS and not is_jump
            if at != pc and (not is_plain or any(section.has(at) for section in self.sections)):
                return self.run_to({at})
            if name in self.RETURNS:
                return False
            if name in self.CALLS:
                return self.pass_call(operands, behind)
            if is_jump:
                return self.pass_jump(pc, name, operands, behind)
            if self.is_end(behind):
                return self.run_to({at}) and False if at != pc else False
            at = behind

    def pass_jump(self, pc, name, operands, behind):
        target = self.target(operands)
        if target is None:
            return False
        if not self.run_to({target} if name in self.ALWAYS else {target, behind}):
            return False
        sal = gdb.find_pc_line(self.pc())
        if self.is_end(self.pc()):
            gdb.execute("set var $pc = 0x%x" % pc)  # GDB's command does it again: a jump leaves no other trace
            return False
        if sal.symtab and self.pc() != int(sal.pc) and not self.is_inlined(self.pc()):
            self.line = sal  # in the middle of another one: GDB goes on to its end
        return True

    def pass_call(self, operands, behind):
        target = self.target(operands)
        if self.command == "step" and target is not None and gdb.find_pc_line(target).symtab:
            return False  # GDB steps into it
        if self.is_end(behind):
            return False
        return self.run_to({behind}, "(unsigned long)$sp == 0x%x" % int(gdb.parse_and_eval("(unsigned long)$sp")))

    @staticmethod
    def target(operands):
        """Where a jump or a call goes; None: GDB alone finds out."""
        addresses = re.findall(r"\b0x[0-9a-f]+\b(?= <|$)", operands)
        register = re.fullmatch(r"\*?%?(r\w+|x\d+)", operands.strip())
        if register:
            return int(gdb.parse_and_eval("(unsigned long)$" + register.group(1)))
        if "*" in operands or not addresses:
            return None
        return int(addresses[-1], 16)


def may_step():
    thread = gdb.selected_thread()
    return bool(thread and thread.is_valid() and not thread.is_running() and not is_core()) and \
        not gdb.parameter("non-stop") and not Stepper.busy


def before_stepping(command):
    """Called by GDB before its own command."""
    Stepper.current = None
    if not may_step():
        return
    Stepper.busy = True
    try:
        stepper = Stepper(command)
        if stepper.sections and (command != "finish" or gdb.selected_frame().type() == gdb.INLINE_FRAME):
            stepper.go()
            stepper.guard()
            Stepper.current = stepper
    except gdb.error:
        pass  # nothing is known of this place: GDB's own command says what is to be said
    finally:
        Stepper.busy = False


def after_stepping(command):
    """And behind it. It may have met a sequence all the same: then it stands where the kernel sends those it interrupts."""
    stepper, Stepper.current = Stepper.current, None
    if not stepper:
        return
    stepper.unguard()
    if not may_step():
        return
    Stepper.busy = True
    try:
        for _ in range(stepper.LIMIT):
            if not stepper.is_restarted():
                break
            stepper.go()
            stepper.guard()
            try:
                gdb.execute(command)
            finally:
                stepper.unguard()
    except gdb.error:
        pass
    finally:
        Stepper.busy = False


def hook_stepping():
    for event in gdb.events.new_objfile, gdb.events.clear_objfiles, gdb.events.exited:
        event.connect(Sections.forget)
    of_user = gdb.execute("help user-defined", to_string=True)
    for command in "next", "step", "nexti", "stepi", "until", "finish":
        for hook, function in ("hook", "before_stepping"), ("hookpost", "after_stepping"):
            if not re.search(r"^%s-%s " % (hook, command), of_user, re.MULTILINE):
                gdb.execute("define %s-%s\npython %s(\"%s\")\nend" % (hook, command, function, command))


for each in (PercpuCommand, PrintCommand, CpusCommand, InfoCommand, PoolsCommand, CachesCommand,
             PtrFunction, SumFunction):
    each()
gdb.printing.register_pretty_printer(gdb.current_objfile(), Printers(), replace=True)
hook_stepping()
