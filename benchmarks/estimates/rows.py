"""Rows of published latencies: which engine, core, clock, precision and network each is about, or why it cannot be used."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.estimates.models import work_of
from edgekit.errors import BadData
from edgekit.estimate import MACS, Work, macs_of

# (runtime in the table, family, kernels). One family shares its kernels' proportions; "ours" are those that edgekit ships for.
ENGINES: tuple[tuple[str, str, bool], ...] = (
    (r"TFLM\+CMSIS-NN \(MVE\)$", "cmsis-mve", True),
    (r"TFLM\+CMSIS-NN$", "cmsis", True),
    (r"microTVM\+CMSIS-NN$|TFLM\+CMSIS\(modified\)$", "cmsis", False),
    (r"TFLM\+ESP-NN$", "esp-nn", True),
    (r"TFLM( ref)?$", "tflm-ref", True),
    (r"XNNPACK$", "xnnpack", True),
    (r"TFLite$", "tflite", True),
    (r"ONNX Runtime$", "onnx", True),
    (r"X-CUBE-AI|ST Edge AI", "x-cube-ai", False),
    (r"ncnn$", "ncnn", False),
    (r"Paddle-Lite$", "paddle", False),
    (r"Plumerai$", "plumerai", False),
    (r"Bosch HALE$", "hale", False),
    (r"TinyEngine$", "tinyengine", False),
    (r"TinyMaix$", "tinymaix", False),
    (r"microTVM native$", "microtvm", False),
)
# Cores as the tables name them, most specific first. Qualcomm's Kryo names stand for Arm's cores that they are made of.
CORES: tuple[tuple[str, str], ...] = (
    (r"M0\+?\b|CM0", "m0"), (r"M3\b|CM3\b", "m3"), (r"M4|CM4", "m4"), (r"M7|CM7", "m7"), (r"M33|CM33", "m33"),
    (r"M55", "m55"), (r"M85", "m85"), (r"LX6", "lx6"), (r"LX7", "lx7"), (r"RISC-V \(PIE", "rv32-pie"),
    (r"RV32IMA?C\b", "rv32"), (r"RXv2", "rxv2"), (r"ARM11|ARMv6", "arm11"),
    (r"A53|SD625|SD410", "a53"), (r"A55", "a55"), (r"A57", "a57"), (r"A72", "a72"), (r"Kryo ?280|SD835|A73", "a73"),
    (r"Kryo ?260", "a73"), (r"Kryo ?385|SD845|A75", "a75"), (r"Kryo ?460", "a76"), (r"Kryo ?485|SD855|A76", "a76"),
    (r"A77", "a77"),
    (r"X1\b", "x1"), (r"X3\b", "x3"), (r"X4\b", "x4"), (r"A78", "a78"), (r"SD821|Kryo@|Kryo \(", "kryo"),
    (r"Apple A7", "apple-a7"), (r"Apple A12", "apple-a12"), (r"A7\b", "a7"), (r"A9\b", "a9"),
)  # fmt: skip
# Where a table says the phone but not the core. Read: Pixel 1 to 4 and natrium (Mi 5s Plus) in LineageOS's device data
# (https://github.com/LineageOS/lineage_wiki, _data/devices: sailfish, walleye, blueline, flame, natrium), SD855 in Linux
# (arch/arm64/boot/dts/qcom/sm8150.dtsi), STM32H743 as in its profile, SD888 as in the Galaxy S21's. Not read: iPhone XS;
# SM8550's slower cores.
PHONES: tuple[tuple[str, str, tuple[float, ...]], ...] = (
    (r"Pixel \(1\)|Pixel 1\b", "kryo", (2150, 2150, 1600, 1600)),
    (r"Pixel 2", "a73", (2350,) * 4),
    (r"Pixel 3", "a75", (2500,) * 4),
    (r"Pixel 4|SD855", "a76", (2840, 2420, 2420, 2420)),
    (r"iPhone XS", "apple-a12", (2490, 2490)),
    (r"STM32H743", "m7", (480,)),
    (r"natrium", "kryo", (2350, 2350, 2190, 2190)),
    (r"SM8550", "x3", (3200, 2800, 2800, 2800)),
    (r"SD888", "x1", (2840, 2420, 2420, 2420)),
)
# Cores with half-precision arithmetic: ncnn uses it unasked.
HALF = ("a55", "a75", "a76", "a77", "a78", "x1", "x3", "x4", "apple-a12")  # fmt: skip
XNNPACK_SINCE = 6  # TensorFlow Lite 2.x runs float32 on XNNPACK unless told otherwise; int8 on kernels of its own: its builds
# left signed integers out of the delegate by default (tensorflow fc3ace6e2e7, 2022-02-15). X-LINUX-AI 5 is taken to have put
# them in: its times are half of those that ST published before for the same files, and Raspberry Pi 2's a clock.
INT8_XNNPACK = re.compile(r"X-LINUX-AI [5-9]")
HELIUM = ("m55", "m85")
INT8, FLOAT = ("int8", "uint8"), ("float32", "float", "fp32/fp16/bf16 auto")


@dataclass(frozen=True)
class Row:
    """One published latency. key: the same for rows about the same layers. family: of its kernels; work: of its network."""

    device: str
    core: str
    mhz: float
    kind: str
    engine: str
    family: str
    version: str
    ours: bool
    threads: int
    precision: str
    model: str
    key: str
    work: Work
    how: str
    ms: float
    table: str = ""

    @property
    def case(self) -> tuple[object, ...]:
        """What two rows share that publish the same measurement."""
        return (self.device, self.engine, self.version, self.threads, self.precision, self.key)


# Products of input and output channels of a file that is only counted: a stem of three colours, a body of narrow layers.
STEM, BODY = 3 * 16, 64 * 64


def counts(path: Path) -> dict[str, Work]:
    """model_features.csv: model key -> work."""
    names = {
        "first": "macs_conv_cin_le4", "conv": "macs_conv_other", "pointwise": "macs_pointwise", "depthwise": "macs_depthwise",
        "dense": "macs_fc", "outputs": "out_elems_mac_ops", "moved": "out_elems_other", "weights": "weight_elems",
        "ops": "n_ops",
    }  # fmt: skip
    found = dict[str, Work]()
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            amounts = {k: float(row[n] or 0) for k, n in names.items()}
            amounts["idle"] = 0.2 * amounts["first"]
            amounts["taps"] = amounts["first"] / STEM + amounts["conv"] / BODY
            found[row["model_key"]] = amounts
    return found


def number(text: str) -> float | None:
    """A finite number, None for anything else."""
    try:
        found = float(text)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def core_of(text: str, device: str, mhz: float, threads: int) -> tuple[str, float] | None:
    """(core, MHz) of a row: the fastest core named, the mean clock of as many of the fastest as there are threads."""
    found = [(match.start(), name) for pattern, name in CORES if (match := re.search(pattern, text))]
    for pattern, core, clocks in PHONES:
        if re.search(pattern, device):
            used = clocks[:threads]
            return (min(found)[1] if found else core), sum(used) / len(used) / clocks[0] * (mhz or clocks[0])
    return (min(found)[1], mhz) if found and mhz else None


def key_of(amounts: Work) -> str:
    return "/".join(f"{amounts[kind]:.2g}" for kind in MACS)


NEEDED = ("device", "cpu_core", "clock_mhz", "runtime", "model", "latency_ms")
COLUMNS = (
    *NEEDED, "runtime_version", "threads", "model_precision", "input_shape", "macs", "source", "note", "class", "accelerator",
    "model_key",
)  # fmt: skip


def parse(line: Mapping[str, str], known: Mapping[str, Work]) -> Row | str:
    """A Row, or why there is none."""
    if line["accelerator"] or line["class"].endswith("npu"):
        return "not on the CPU"
    if line["class"] == "mcu-sim":
        return "a simulator's ticks: no device's time"
    if "not in the page" in line["note"]:
        return "the size of its input was not published with it"
    engine = next(((family, ours) for pattern, family, ours in ENGINES if re.match(pattern, line["runtime"])), None)
    if engine is None:
        return f"engine {line['runtime']} is not known here"
    if "little" in line["cpu_core"] or "NPU" in line["cpu_core"]:
        return "on the slower cores, or a vendor's mixture"
    threads, clock = number(line["threads"] or "1"), number(line["clock_mhz"] or "0")
    ms, macs = number(line["latency_ms"]), number(line["macs"] or "0")
    wrong = [
        f"{name} '{line[name]}'"
        for name, value in (("threads", threads), ("clock_mhz", clock), ("macs", macs), ("latency_ms", ms))
        if value is None or value < 0 or (name in {"threads", "latency_ms"} and value == 0)
    ]
    if wrong or ms is None or threads is None or clock is None:
        return f"no number: {', '.join(wrong)}"
    core = core_of(line["cpu_core"], line["device"], clock, int(threads))
    if core is None:
        return f"core '{line['cpu_core']}' at '{line['clock_mhz']}' MHz is not known here"
    precision = line["model_precision"].split(" ")[0]
    kind = "int8" if precision in INT8 else "float32" if line["model_precision"] in FLOAT or precision == "float32" else ""
    if kind == "float32" and line["model_precision"].startswith("fp32/fp16") and core[0] in HALF:
        kind = "float16"
    if not kind:
        return f"precision {line['model_precision']}"
    amounts, how = work_of(line["model"], line["input_shape"], macs, known.get(line["model_key"]))
    if amounts is None:
        return how
    assert macs_of(amounts) > 0
    family, ours = engine
    if family == "cmsis" and core[0] in HELIUM:
        family = "cmsis-mve"  # CMSIS-NN takes Helium where a core has it
    if family == "tflite" and (release := re.match(r"2\.(\d+)", line["runtime_version"])) and int(release[1]) >= XNNPACK_SINCE:
        family = "xnnpack" if kind != "int8" or INT8_XNNPACK.search(line["runtime_version"]) else "tflite"
    return Row(
        line["device"], *core, line["class"], line["runtime"], family, line["runtime_version"], ours,
        int(threads), kind, line["model"], key_of(amounts), amounts, how, ms,
        line["source"] if ".md" in line["source"] else "",
    )  # fmt: skip


def read(
    path: Path, known: Mapping[str, Work]
) -> tuple[list[Row], list[tuple[Mapping[str, str], str]], list[tuple[Mapping[str, str], Row]]]:
    """(rows for the fit, each measurement once; lines that cannot be used, with the reason; usable lines with their rows)."""
    rows = dict[tuple[object, ...], Row]()
    left: list[tuple[Mapping[str, str], str]] = []
    pairs: list[tuple[Mapping[str, str], Row]] = []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, restval="")
        if missing := [name for name in NEEDED if name not in (reader.fieldnames or ())]:
            raise BadData(f"{path} has no column {', '.join(missing)}", "its form is that of published_latency.csv")
        for given in reader:
            line = dict.fromkeys(COLUMNS, "") | {k: v.strip() for k, v in given.items() if k and isinstance(v, str)}
            found = parse(line, known)
            if isinstance(found, str):
                left.append((line, found))
                continue
            pairs.append((line, found))
            rows.setdefault((*found.case, round(found.ms, 3)), found)
    return list(rows.values()), left, pairs


# Latencies on NUCLEO-L4R5ZI at 120 MHz that the EdgeMark study published (TFLM with CMSIS-NN of 2024): name, ms.
EDGEMARK = (("mlperf_tiny_kws", 110.6), ("mlperf_tiny_ic", 407.7), ("mlperf_tiny_ad", 8.92))
RECENT = "2024 (EdgeMark)"


def edgemark() -> list[Row]:
    """EDGEMARK as rows."""
    found = []
    for name, ms in EDGEMARK:
        amounts, how = work_of(name, "", None, None)
        assert amounts is not None
        found.append(
            Row("NUCLEO-L4R5ZI (STM32L4R5)", "m4", 120.0, "mcu", "TFLM+CMSIS-NN", "cmsis", RECENT, True, 1, "int8", name,
                key_of(amounts), amounts, how, ms)
        )  # fmt: skip
    return found


# tflm_baseline.csv names files; these are the networks in them.
FILES = {
    "kws_ref_model": "mlperf_tiny_kws", "pretrainedResnet_quant": "mlperf_tiny_ic", "ad01_int8": "mlperf_tiny_ad",
    "vww_96_int8": "mlperf_tiny_vww", "person_detect": "person_detect",
}  # fmt: skip
SHAPES = {"person_detect": "1x96x96x1"}
COUNTED = "instructions"  # the version of rows that count instructions on an emulated core; one is one cycle at 1 MHz


def instructions(path: Path) -> list[Row]:
    """tflm_baseline.csv as rows: what TFLM's kernels cost on emulated cores. They tell proportions, never a speed."""
    found = []
    with path.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            if line["model"] not in FILES or line["opt"] not in {"O2", "O3"}:
                continue
            name, core = FILES[line["model"]], line["core"]
            amounts, how = work_of(name, SHAPES.get(name, ""), None, None)
            assert amounts is not None
            ref = line["kernels"] != "cmsis"
            family = "tflm-ref" if ref else "cmsis-mve" if core in HELIUM else "cmsis"
            found.append(
                Row(f"emulated {core}", core, 1.0, "mcu", f"{COUNTED} {line['opt']}", family, COUNTED, False, 1, "int8", name,
                    key_of(amounts), amounts, how, float(line["instructions"]) / 1e3)
            )  # fmt: skip
    return found
