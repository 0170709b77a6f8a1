"""What a device says of itself: its processor, clocks, governor, temperature, throttling; and whether a profile is about it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from edgekit.errors import BadTarget
from edgekit.target import Target

# (implementer, part) of Arm's main ID register as /proc/cpuinfo shows them -> core. Source: util-linux, sys-utils/lscpu-arm.c;
# Kryo: Qualcomm's names of cores derived from Arm's, given as those.
PARTS: dict[tuple[int, int], str] = {
    **{
        (0x41, part): name
        for part, name in (
            *((0xB76, "ARM1176"), (0xC05, "Cortex-A5"), (0xC07, "Cortex-A7"), (0xC08, "Cortex-A8"), (0xC09, "Cortex-A9")),
            *((0xC0E, "Cortex-A17"), (0xC0F, "Cortex-A15"), (0xD01, "Cortex-A32"), (0xD03, "Cortex-A53")),
            *((0xD04, "Cortex-A35"), (0xD05, "Cortex-A55"), (0xD07, "Cortex-A57"), (0xD08, "Cortex-A72")),
            *((0xD09, "Cortex-A73"), (0xD0A, "Cortex-A75"), (0xD0B, "Cortex-A76"), (0xD0C, "Neoverse-N1")),
            *((0xD0D, "Cortex-A77"), (0xD0E, "Cortex-A76AE"), (0xD40, "Neoverse-V1"), (0xD41, "Cortex-A78")),
            *((0xD42, "Cortex-A78AE"), (0xD44, "Cortex-X1"), (0xD46, "Cortex-A510"), (0xD47, "Cortex-A710")),
            *((0xD48, "Cortex-X2"), (0xD49, "Neoverse-N2"), (0xD4B, "Cortex-A78C"), (0xD4C, "Cortex-X1C")),
            *((0xD4D, "Cortex-A715"), (0xD4E, "Cortex-X3"), (0xD4F, "Neoverse-V2"), (0xD80, "Cortex-A520")),
            *((0xD81, "Cortex-A720"), (0xD82, "Cortex-X4"), (0xD85, "Cortex-X925"), (0xD87, "Cortex-A725")),
        )
    },
    **{
        (0x51, part): name
        for part, name in (
            *((0x800, "Cortex-A73"), (0x801, "Cortex-A53"), (0x802, "Cortex-A75"), (0x803, "Cortex-A55")),
            *((0x804, "Cortex-A76"), (0x805, "Cortex-A55")),
        )
    },
}
_CORE = re.compile(r"(?:cortex-?[ax]\d+[a-z]*|neoverse-?[a-z]\d|arm1176)", re.IGNORECASE)
CLOCK_FAR, CLOCK_OFF = 0.3, 0.03  # relative difference of the highest clock: another device; worth a note
COOL_MC = 5000  # 0.001 degrees C by which a device may warm up without a note
# Bits of the Raspberry Pi firmware's get_throttled (raspberrypi/documentation, vcgencmd): now, and since it was switched on.
THROTTLED = {0: "under-voltage", 1: "clock capped", 2: "throttled", 3: "soft temperature limit"}


@dataclass(frozen=True)
class Facts:
    """machine: as `uname -m`; cores: (core, how many), most first, "" unknown; clocks in MHz by processor; celsius by sensor;
    throttled: what the firmware says holds now, None where it says nothing; governors: without repetition."""

    machine: str
    system: str = ""
    board: str = ""
    name: str = ""
    cores: tuple[tuple[str, int], ...] = ()
    processors: int = 0
    memory: int | None = None
    load: float | None = None
    governors: tuple[str, ...] = ()
    mhz: Mapping[str, float] = field(default_factory=dict)
    most_mhz: float | None = None
    allowed_mhz: float | None = None
    celsius: Mapping[str, float] = field(default_factory=dict)
    throttled: tuple[str, ...] | None = None

    @property
    def cpu(self) -> str:
        """ "4x Cortex-A72 at up to 1,500 MHz" """
        named = " + ".join(f"{count}x {core}" for core, count in self.cores)
        named = named or (f"{self.processors}x {self.name}" if self.name else self.machine)
        return named + (f" at up to {self.most_mhz:,.0f} MHz" if self.most_mhz else "")

    @property
    def hottest(self) -> float | None:
        return max(self.celsius.values(), default=None)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def read_facts(text: str) -> Facts:
    """What runner/facts.sh printed; lines that are no "key=value" are passed over (login messages)."""
    every: dict[str, list[str]] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and re.fullmatch(r"[a-z_]+(\.[\w.-]+)?", key):
            every.setdefault(key, []).append(value.strip())
    one = {key: values[-1] for key, values in every.items()}
    cores: dict[str, int] = {}
    for implementer, part in zip(every.get("implementer", ()), every.get("part", ()), strict=False):
        name = PARTS.get((_hex(implementer), _hex(part)), f"core {implementer}/{part}")
        cores[name] = cores.get(name, 0) + 1
    flags = one.get("throttled")
    return Facts(
        machine=one.get("machine", ""),
        system=one.get("system", ""),
        board=one.get("board", "").strip(),
        name=one.get("name", ""),
        cores=tuple(sorted(cores.items(), key=lambda item: -item[1])),
        processors=len(every.get("processor", ())),
        memory=None if (kb := _number(one.get("memory_kb"))) is None else round(kb * 1024),
        load=_number(one.get("load")),
        governors=tuple(
            dict.fromkeys(value for key, values in every.items() if key.startswith("governor.") for value in values)
        ),
        mhz={key.partition(".")[2]: value / 1e3 for key, value in _numbers(one, "khz.")},
        most_mhz=max((value / 1e3 for _, value in _numbers(one, "most_khz.")), default=None),
        allowed_mhz=max((value / 1e3 for _, value in _numbers(one, "allowed_khz.")), default=None),
        celsius={key.partition(".")[2]: value / 1e3 for key, value in _numbers(one, "temperature.")},
        throttled=None if flags is None else tuple(text for bit, text in THROTTLED.items() if _hex(flags) >> bit & 1),
    )


def _hex(text: str) -> int:
    try:
        return int(text, 16)
    except ValueError:
        return 0


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _numbers(one: Mapping[str, str], prefix: str) -> list[tuple[str, float]]:
    return [(key, value) for key in one if key.startswith(prefix) and (value := _number(one[key])) is not None]


def check_cpu(facts: Facts, target: Target, where: str) -> None:
    """Raises BadTarget when the device is not the profile's: other cores, another instruction set, a clock far from its."""
    wanted = {_key(core) for core in _CORE.findall(target.core)}
    has = {_key(core) for core, _ in facts.cores}
    own = f"{facts.board}: {facts.cpu}" if facts.board else facts.cpu
    fix = f"name the profile that it has (`edgekit targets list`), or write one with core = {_own_core(facts)!r}"
    if wanted:
        # Cores may be asleep and then do not show; of a phone's, a profile may name the large ones only.
        fits = bool(has) and (has <= wanted or (target.kind == "phone" and wanted <= has))
    else:  # a profile of one's own: by the processor's name, or its instruction set's
        text = _key(target.core)
        fits = bool(text) and (text in _key(facts.name) or text == _key(facts.machine))
    if not fits:
        raise BadTarget(f"{where} is not a {target.name}: the profile says {target.core}, the device {own}", fix)
    clock = target.clock_mhz
    if clock and facts.most_mhz and abs(facts.most_mhz / clock - 1) > CLOCK_FAR:
        raise BadTarget(
            f"{where} is not a {target.name}: the profile says {clock:,.0f} MHz, the device {facts.most_mhz:,.0f} MHz", fix
        )


def _own_core(facts: Facts) -> str:
    return " + ".join(f"{count}x {core}" for core, count in facts.cores) or facts.name or facts.machine


def _key(text: str) -> str:
    return re.sub(r"\([rt]m?\)|[^a-z0-9]", "", text.lower())


def remarks(before: Facts, after: Facts, target: Target | None = None) -> list[str]:
    """What may have spoiled a measurement, or sets it apart from others."""
    found: list[str] = []
    if target is not None and target.clock_mhz and before.most_mhz:
        gap = before.most_mhz / target.clock_mhz - 1
        if abs(gap) > CLOCK_OFF:
            found.append(f"its clock goes to {before.most_mhz:,.0f} MHz, the profile's to {target.clock_mhz:,.0f} MHz")
    if before.most_mhz and before.allowed_mhz and before.allowed_mhz < before.most_mhz * (1 - CLOCK_OFF):
        found.append(f"its clock was capped at {before.allowed_mhz:,.0f} of {before.most_mhz:,.0f} MHz")
    if slow := [g for g in before.governors if g in {"powersave", "ondemand", "conservative", "schedutil"}]:
        found.append(f"governor {', '.join(slow)}: the clock follows the load; 'performance' gives steadier times")
    if after.throttled:
        found.append(f"throttled: the firmware says {', '.join(after.throttled)}")
    hot, cold = after.hottest, before.hottest
    if hot is not None and cold is not None and (hot - cold) * 1e3 > COOL_MC:
        found.append(f"it warmed from {cold:.0f} to {hot:.0f} °C")
    busy = before.load
    if busy is not None and before.processors and busy > before.processors / 2:
        found.append(f"it was busy with something else: load {busy:.1f} on {before.processors} processors")
    return found


def settled(before: Facts, after: Facts) -> str:
    """Clock, governor and temperature around the measurement in one line, "" where the device tells none of them."""
    parts: Sequence[str] = [
        f"governor {', '.join(before.governors)}" if before.governors else "",
        f"{max(before.mhz.values()):,.0f} MHz before, {max(after.mhz.values()):,.0f} after" if before.mhz and after.mhz else "",
        f"{before.hottest:.0f} °C before, {after.hottest:.0f} after" if before.hottest and after.hottest else "",
        "not throttled" if after.throttled == () else "",
    ]
    return ", ".join(part for part in parts if part)
