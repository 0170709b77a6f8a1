"""Devices: what a board has (`Target`, one TOML file each in targets/) and how one is named."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgekit.cores import CORES, SOURCE_ONLY, Core
from edgekit.errors import BadTarget
from edgekit.latency import Calibration, from_tables

CLASSES: dict[str, str] = {"mcu": "nucleo-l4r5zi", "rpi": "raspberry-pi-4", "phone": "pixel-4"}
KINDS = ("mcu", "sbc", "phone")
ENGINES = ("c", "tflm", "tflite", "onnx")
ACCELERATORS = ("gpu", "nnapi", "qnn", "coreml", "ethos-u55")  # see edgekit.delegates
SCHEMES = ("int8", "int16x8", "int4", "float16", "dynamic", "float32")
# Every one of these that a profile gives must have its source in [sources].
FIGURES = (
    "clock_mhz", "cores", "flash", "ram", "flash_origin", "ram_origin", "flash_wait_states", "memory_bandwidth_gbs",
    "icache", "dcache", "l2_cache", "itcm", "dtcm", "channel_multiple", "active_mw",
)  # fmt: skip
SIZES = ("flash", "ram", "icache", "dcache", "l2_cache", "itcm", "dtcm")
# What each key of a profile means, in the order that `targets new` writes them.
FIELDS: dict[str, str] = {
    "name": "what --target takes; the file's name without .toml",
    "title": "maker, board and chip, for people",
    "aliases": "other names that find it; case, spaces and punctuation do not matter",
    "kind": "mcu (bare metal, firmware is built for it), sbc (Linux) or phone",
    "core": "mcu: a core that edgekit builds for; else free text, the fastest cores first: '4x Cortex-A72'",
    "isa": "instruction set and what it has for networks; may be left out for an mcu",
    "isa_extensions": "names of what matters to kernels: dsp, mve, neon, dotprod, fp16, i8mm, pie",
    "clock_mhz": "clock that the core runs at, MHz",
    "cores": "cores of the fastest kind that threads may use, or all",
    "flash": "bytes for code and constants: 512 KiB, 2 MiB",
    "ram": "bytes of the one range that arena, data and stack share",
    "flash_origin": "address of flash, for the linker: 0x08000000 on an STM32 [0]",
    "ram_origin": "address of RAM, for the linker [0x20000000]",
    "flash_wait_states": "waits for a flash word at clock_mhz",
    "memory_bandwidth_gbs": "GB/s to RAM, by its type",
    "icache": "bytes of a core's instruction cache",
    "dcache": "bytes of a core's data cache",
    "l2_cache": "bytes of the cache behind it",
    "itcm": "bytes of tightly coupled memory for code",
    "dtcm": "bytes of tightly coupled memory for data",
    "channel_multiple": "channels are fastest in multiples of so many; pruning rounds to it",
    "active_mw": "power while a network runs at clock_mhz, mW; energy is given only where this is",
    "engines": "what runs models there, best first: c, tflm, tflite, onnx",
    "schemes": "quantizations that make sense there, best first",
    "accelerators": "delegates whose refusals `inspect` lists: gpu, nnapi, qnn, coreml, ethos-u55; no times are known of them",
    "unverified": "figures above whose source was not checked",
    "note": "what the user is to be told beside the name",
    "sources": "for every figure, where it is from: data sheet, section, version",
    "latency": "coefficients of estimated latency; `edgekit targets calibrate` writes them",
}
TEXTS = ("name", "title", "kind", "core", "isa", "note")
LISTS = ("aliases", "engines", "schemes", "unverified", "isa_extensions", "accelerators")


@dataclass(frozen=True)
class Target:
    """A device. flash, ram: bytes the program may use (None: no such limit is known); origins: their addresses.

    core: a key of CORES or SOURCE_ONLY for microcontrollers, free text otherwise. engines: what can run models there, best
    first. schemes: quantizations that make sense there, best first. sources: figure -> where it is from; unverified: figures
    whose source was not checked. note: what to tell the user beside the name ("class default, not your board").
    """

    name: str
    title: str
    kind: str
    core: str
    isa: str = ""
    clock_mhz: float | None = None
    cores: int = 1
    flash: int | None = None
    ram: int | None = None
    flash_origin: int = 0
    ram_origin: int = 0x20000000
    flash_wait_states: int | None = None
    memory_bandwidth_gbs: float | None = None
    icache: int | None = None
    dcache: int | None = None
    l2_cache: int | None = None
    itcm: int | None = None
    dtcm: int | None = None
    channel_multiple: int | None = None
    active_mw: float | None = None
    isa_extensions: tuple[str, ...] = ()
    engines: tuple[str, ...] = ("c",)
    schemes: tuple[str, ...] = ("int8",)
    accelerators: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    unverified: tuple[str, ...] = ()
    note: str = ""
    latency: tuple[Calibration, ...] = ()

    @property
    def cpu(self) -> Core:
        """The core as compilers know it. Raises BadTarget when firmware cannot be built for it."""
        if self.core not in CORES:
            why = f"nothing is compiled for the core of '{self.name}' ({self.core})"
            raise BadTarget(why, f"cores with firmware: {', '.join(CORES)}")
        return CORES[self.core]

    @property
    def cortex_m(self) -> bool:
        """Whether the core is one of Arm's, with what their tools and start-up code need."""
        return self.core in CORES and self.cpu.family == "arm"

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures that the profile gives, in their order; those not in `unverified` have a source that was read."""
        return tuple(key for key in FIGURES if key in self.sources)

    @property
    def memory(self) -> tuple[int, int]:
        """(flash, ram) in bytes. Raises BadTarget when the profile lacks one."""
        if self.flash is None or self.ram is None:
            raise BadTarget(f"the profile of '{self.name}' has no flash or RAM size", "use a microcontroller's profile")
        return self.flash, self.ram


def parse_size(text: str | int) -> int:
    """Bytes of '512K', '2 MiB', '1.5MB', '4096' (K, M, G are powers of 1024). Raises BadTarget."""
    if isinstance(text, int) and not isinstance(text, bool):
        return text
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmg]?)(?:i?b)?\s*", str(text), re.IGNORECASE)
    if not match:
        raise BadTarget(f"'{text}' is not a size", "write it as 512K or 1.5M")
    return round(float(match[1]) * 1024.0 ** " kmg".index(match[2].lower() or " "))


def _folders() -> list[Path]:
    """Where profiles lie: in an installed package, or beside the package in a checkout."""
    here = Path(__file__).resolve().parent
    return [folder for folder in (here / "_targets", here.parent / "targets") if folder.is_dir()]


def profiles() -> dict[str, Path]:
    """Profile name -> its TOML file, sorted by name."""
    found = {path.stem: path for folder in reversed(_folders()) for path in folder.glob("*.toml")}
    return dict(sorted(found.items()))


def _key(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())


def load_target(path: Path) -> Target:
    """Read one profile. Raises BadTarget, naming the file and every fault in it."""
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadTarget(f"cannot read the device profile {path}: {error}") from error
    return from_table(table, str(path))


def from_table(table: Mapping[str, Any], where: str) -> Target:
    """A Target from a parsed profile. Raises BadTarget with every fault: unknown keys, wrong types, figures without source."""
    faults: list[str] = []
    known = (*TEXTS, *LISTS, *FIGURES, "sources", "latency")
    for key in table:
        if key not in known:
            close = difflib.get_close_matches(key, known, 1)
            faults.append(f"unknown key '{key}'" + (f", did you mean '{close[0]}'?" if close else ""))
    values: dict[str, Any] = {}
    for key in TEXTS:
        if key in table:
            values[key] = _typed(table, key, str, "a text", faults)
    for key in LISTS:
        if key in table:
            items = _typed(table, key, list, "a list of texts", faults) or []
            if not all(isinstance(item, str) for item in items):
                faults.append(f"'{key}' must be a list of texts")
            values[key] = tuple(items)
    for key in FIGURES:
        if key in table:
            values[key] = _figure(table, key, faults)
    sources = _typed(table, "sources", dict, "a table", faults) if "sources" in table else {}
    values["sources"] = dict(sources or {})
    faults += [f"'{key}' is missing" for key in ("name", "title", "kind", "core") if key not in table]
    for key, allowed in (("kind", KINDS), ("engines", ENGINES), ("schemes", SCHEMES), ("accelerators", ACCELERATORS)):
        given = [values[key]] if key == "kind" and key in values else values.get(key, ())
        faults += [f"'{key}' has '{item}', not one of {', '.join(allowed)}" for item in given if item not in allowed]
    if values.get("kind") == "mcu":
        if values.get("core") not in {**CORES, **SOURCE_ONLY}:
            faults.append(f"'core' of a microcontroller must be one of {', '.join((*CORES, *SOURCE_ONLY))}")
        faults += [f"'{key}' is missing (a microcontroller needs it)" for key in ("flash", "ram") if key not in table]
    if "latency" in table:
        values["latency"] = from_tables(table["latency"], faults)
    sourced, doubted = values["sources"], values.get("unverified", ())
    faults += [f"'{key}' has no source in [sources]" for key in FIGURES if key in table and not sourced.get(key)]
    faults += [f"[sources] names '{key}', which this profile does not give" for key in sourced if key not in table]
    faults += [f"'unverified' names '{key}', which this profile does not give" for key in doubted if key not in table]
    if faults:
        raise BadTarget(f"the device profile {where} is not valid:\n  " + "\n  ".join(faults))
    if "isa" not in values and values["kind"] == "mcu":
        values["isa"] = _described(values["core"])[1]
    return Target(**values)


def _typed(table: Mapping[str, Any], key: str, kind: type, what: str, faults: list[str]) -> Any:
    if isinstance(table[key], kind):
        return table[key]
    faults.append(f"'{key}' must be {what}")
    return None


def _figure(table: Mapping[str, Any], key: str, faults: list[str]) -> float | int | None:
    value = table[key]
    if key in SIZES:
        try:
            size = parse_size(value)
        except BadTarget:
            faults.append(f"'{key}' is not a size like \"512 KiB\"")
            return None
        if size <= 0:
            faults.append(f"'{key}' must be positive")
        return size
    whole = key not in {"clock_mhz", "memory_bandwidth_gbs", "active_mw"}
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)) or value < 0:
        faults.append(f"'{key}' must be a {'whole ' if whole else ''}number, not negative")
        return None
    return value


def _described(core: str) -> tuple[str, str]:
    """(title, ISA) of a microcontroller's core."""
    return (CORES[core].title, CORES[core].isa) if core in CORES else SOURCE_ONLY[core]


def _board(text: str) -> tuple[str, str] | None:
    """(core, options) of "cortex-m4:flash=512K,ram=128K" or "core=cortex-m4,flash=512K,ram=128K"; None for anything else.
    Raises BadTarget for a core that is not known."""
    if match := re.match(r"core\s*=([^,]*),?(.*)", text, re.IGNORECASE | re.DOTALL):
        core, rest = match[1].strip().lower(), match[2]
    else:
        core, colon, rest = text.partition(":")
        core = core.strip().lower()
        if not colon or not (core in {**CORES, **SOURCE_ONLY} or re.match(r"\s*(flash|ram|clock)\s*=", rest, re.IGNORECASE)):
            return None
    if core not in {**CORES, **SOURCE_ONLY}:
        close = difflib.get_close_matches(core, [*CORES, *SOURCE_ONLY], 1, 0.5)
        near = f"did you mean {close[0]}? " if close else ""
        what = f"'{core}' in the inline board '{text}' is not a core that edgekit knows"
        raise BadTarget(what, f"{near}cores: {', '.join((*CORES, *SOURCE_ONLY))}")
    return core, rest


def _inline(core: str, rest: str, text: str) -> Target:
    """A board of `core` from "flash=512K,ram=128K,clock=84M"; text: as it was given."""
    form = "write it as cortex-m4:flash=512K,ram=128K,clock=84M"
    options: dict[str, str] = {}
    for item in rest.split(","):
        key, equals, value = item.partition("=")
        key = key.strip().lower()
        if not equals or key not in {"flash", "ram", "clock"}:
            raise BadTarget(f"'{item.strip()}' in the inline board '{text}' is not flash=, ram= or clock=", form)
        if key in options:
            raise BadTarget(f"the inline board '{text}' says {key} twice", form)
        options[key] = value.strip()
    if missing := [key for key in ("flash", "ram") if key not in options]:
        raise BadTarget(f"the inline board '{text}' lacks {' and '.join(missing)}", form)
    clock = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([MG]?)(?:Hz)?", options.get("clock", "0"), re.IGNORECASE)
    if not clock:
        raise BadTarget(f"'{options['clock']}' is not a clock rate", "write it as 84M")
    mhz = float(clock[1]) * {"": 1e-6, "M": 1.0, "G": 1e3}[clock[2].upper()]
    flash, ram = parse_size(options["flash"]), parse_size(options["ram"])
    if not flash or not ram:
        raise BadTarget(f"the inline board '{text}' has no {'RAM' if flash else 'flash'}", form)
    sources = dict.fromkeys(["flash", "ram", *(["clock_mhz"] if mhz else [])], "command line")
    return Target(
        name=f"{core}:{rest}".replace(" ", ""),
        title=f"a {_described(core)[0]} board",
        kind="mcu",
        core=core,
        isa=_described(core)[1],
        clock_mhz=mhz or None,
        flash=flash,
        ram=ram,
        engines=("c", "tflm"),
        sources=sources,
    )


def find_target(text: str | Target) -> Target:
    """The device `text` names (a Target is its own): a profile's name or alias (case, spaces and punctuation do not matter),
    a .toml file, an inline board (cortex-m4:flash=512K,ram=128K,clock=84M, or core=cortex-m4,flash=512K and so on) or a class
    (mcu, rpi, phone). Raises BadTarget with near names."""
    if isinstance(text, Target):
        return text
    text = text.strip()
    if board := _board(text):
        return _inline(*board, text)
    if text.endswith(".toml"):
        return load_target(Path(text))
    paths = profiles()
    if text.lower() in CLASSES:
        return replace(load_target(paths[CLASSES[text.lower()]]), note=f"default of the class '{text.lower()}', not your board")
    if text.lower() in paths:
        return load_target(paths[text.lower()])
    names: dict[str, str] = {}
    for name, path in paths.items():
        target = load_target(path)
        for label in (name, target.title, *target.aliases):
            names.setdefault(_key(label), name)
    if _key(text) in names:
        return load_target(paths[names[_key(text)]])
    if text.lower() in {**CORES, **SOURCE_ONLY}:
        raise BadTarget(f"'{text}' is a core, not a board", f"say its memory: {text.lower()}:flash=512K,ram=128K,clock=84M")
    close = [names[label] for label in difflib.get_close_matches(_key(text), names, 3, 0.6)]
    near = f"did you mean {' or '.join(dict.fromkeys(close))}? " if close else ""
    raise BadTarget(
        f"unknown target '{text}'", f"{near}`edgekit targets list` shows all; or describe it: cortex-m4:flash=512K,ram=128K"
    )


def template(core: str | None = None) -> str:
    """A profile to fill in, every key explained; of a microcontroller with `core` when that is given."""
    example = {
        "name": '"my-board"', "title": '"Maker Board (Chip)"', "aliases": "[]", "kind": '"mcu"',
        "core": f'"{core or "cortex-m4"}"',
        "clock_mhz": "120", "flash": '"512 KiB"', "ram": '"128 KiB"', "engines": '["c", "tflm"]', "schemes": '["int8"]',
    }  # fmt: skip
    lines: list[str] = []
    for key, meaning in FIELDS.items():
        if key in {"sources", "latency"}:
            continue
        lines += [f"# {meaning}", f"{key} = {example[key]}" if key in example else f"# {key} ="]
    lines += [f"# {FIELDS['latency']}", "", f"# {FIELDS['sources']}", "[sources]"]
    lines += [f'{key} = "data sheet, section"' for key in FIGURES if key in example]
    return "\n".join(lines) + "\n"
