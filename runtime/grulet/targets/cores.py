"""The cores that `grulet inspect --target` knows: compilers, emulated boards, and a stated model of cycles."""

from __future__ import annotations

from dataclasses import dataclass

from grulet.errors import GruletError

#: CoreMark/MHz, as Arm gives it.  Arm's manuals have a table of instruction timings for the M0+ and the M4; what the
#: others take is scaled from the M4 by this.
COREMARK = {"cortex-m4": 3.42, "cortex-m7": 5.01, "cortex-m33": 4.02, "cortex-m55": 4.20}
_M4_CYCLES = 1.3


@dataclass(frozen=True)
class Board:
    """One of qemu's boards.  ``code`` and ``data``: where its memories lie; ``tick``: ns of a SysTick tick."""

    machine: str
    code: int
    data: int
    tick: float


@dataclass(frozen=True)
class Build:
    """One way to compile grulet for a core: the instruction set it then runs, and sources beside a bundle's."""

    kernel: str
    title: str
    sources: tuple[str, ...] = ()

    @property
    def definitions(self) -> tuple[str, ...]:
        """For the compiler."""
        return tuple(f"-DGRULET_HAVE_{name.upper()}" for name in (self.kernel,) if self.sources)


BUNDLE = Build("generic", "bundle")


@dataclass(frozen=True)
class Core:
    """A CPU, as far as its memory and its time can be told beforehand.

    A microcontroller (``board``) has ``cycles_per_instruction``, which ``source`` explains; of an application processor
    the inner loops of ``kernel`` are modelled, and nothing if that is "".
    """

    name: str
    title: str
    compiler: str
    flags: tuple[str, ...]
    source: str
    pointer_bytes: int = 4
    board: Board | None = None
    cycles_per_instruction: float = 0.0
    builds: tuple[Build, ...] = (BUNDLE,)
    kernel: str = ""


def _scaled(name: str) -> float:
    return round(_M4_CYCLES * COREMARK["cortex-m4"] / COREMARK[name], 2)


def _scaling(name: str, more: str = "") -> str:
    of = f"{COREMARK['cortex-m4']} and {COREMARK[name]}"
    return f"{_scaled(name)} an instruction: the M4's {_M4_CYCLES} by the ratio of Arm's CoreMark/MHz ({of}){more}"


def _microcontroller(name: str, title: str, fpu: str, board: Board, cycles: float, source: str, *builds: Build) -> Core:
    flags = (f"-mcpu={name}", "-mthumb", *fpu.split())
    return Core(name, title, "arm-none-eabi-gcc", flags, source, 4, board, cycles, (BUNDLE, *builds))


_DSP = Build("dsp", "library, DSP", ("arm/grulet_products_dsp.c",))
_HELIUM = Build("helium", "library, Helium", ("arm/grulet_products_helium.c",))

#: Every target, by name.  Of the boards: tests/c/cortex_m, cmake/arm-none-eabi.cmake.
CORES = {
    core.name: core
    for core in (
        _microcontroller(
            "cortex-m0plus",
            "Cortex-M0+, floats in software",
            "-mfloat-abi=soft",
            Board("mps2-an385", 0, 0x21000000, 40.0),
            1.5,
            "1.5 an instruction, by Arm's timings: loads, stores and taken branches 2, others 1 (with the fast "
            "multiplier), and about half of the code is loads, stores and branches",
        ),
        _microcontroller(
            "cortex-m4",
            "Cortex-M4 with FPU",
            "-mfpu=fpv4-sp-d16 -mfloat-abi=hard",
            Board("mps2-an386", 0, 0x21000000, 40.0),
            _M4_CYCLES,
            f"{_M4_CYCLES} an instruction, by Arm's timings: a load 2, the one behind it 1; a taken branch 2 to 4; "
            "a float division 14; multiply-accumulate and most others 1",
            _DSP,
        ),
        _microcontroller(
            "cortex-m7",
            "Cortex-M7 with FPU",
            "-mfpu=fpv5-sp-d16 -mfloat-abi=hard",
            Board("mps2-an500", 0, 0x60000000, 40.0),
            _scaled("cortex-m7"),
            _scaling("cortex-m7", "; it issues two at once where it can"),
            _DSP,
        ),
        _microcontroller(
            "cortex-m33",
            "Cortex-M33 with FPU",
            "-mfpu=fpv5-sp-d16 -mfloat-abi=hard",
            Board("mps2-an505", 0x10000000, 0x80000000, 50.0),
            _scaled("cortex-m33"),
            _scaling("cortex-m33"),
            _DSP,
        ),
        _microcontroller(
            "cortex-m55",
            "Cortex-M55 with Helium",
            "-mfloat-abi=hard",
            Board("mps3-an547", 0, 0x60000000, 31.25),
            _scaled("cortex-m55"),
            _scaling("cortex-m55", ", although a Helium instruction takes 2"),
            _HELIUM,
        ),
        Core(
            "cortex-a7",
            "Cortex-A7, 32-bit",
            "arm-linux-gnueabihf-gcc",
            ("-mcpu=cortex-a7", "-mfpu=neon-vfpv4", "-mfloat-abi=hard"),
            "no model: LLVM has none of this core's own",
        ),
        Core("cortex-a53", "Cortex-A53, 64-bit", "aarch64-linux-gnu-gcc", (), "", 8, kernel="neon"),
        Core("cortex-a72", "Cortex-A72, 64-bit", "aarch64-linux-gnu-gcc", (), "", 8, kernel="neon"),
        Core("cortex-a76", "Cortex-A76, 64-bit", "aarch64-linux-gnu-gcc", (), "", 8, kernel="dotprod"),
    )
}


def core_of(name: str) -> Core:
    """The core of that name, in any case; `GruletError` names those that there are."""
    if (core := CORES.get(name.lower())) is None:
        raise GruletError(f"--target {name}: there is no such target; there are: {', '.join(CORES)}")
    return core
