"""Where the files of each project kind go: one function a kind, from the same parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from edgekit.errors import BadConfig
from edgekit.export.c.interface import Interface
from edgekit.export.project.filling import fill
from edgekit.export.project.firmware import linker_script, startup
from edgekit.export.project.selftest import Format
from edgekit.export.project.upstream import BOARDS, TFLM
from edgekit.target import Target

ZIGLANG = "ziglang==0.17.0"
ANY, ARM, ESP = "any microcontroller", "Cortex-M boards", "ESP32 boards"
Files = dict[str, str]


@dataclass(frozen=True)
class Parts:
    """What every project is made of. code: the exported model's files that a compiler reads, by name; sources: those that
    are compiled; selftest, golden: texts of the two headers; values: what templates name."""

    iface: Interface
    target: Target
    form: Format
    code: Mapping[str, str]
    sources: tuple[str, ...]
    selftest: str
    golden: str
    values: Mapping[str, str]

    def fill(self, template: str, **more: str) -> str:
        return fill(template, {**more, **self.values})

    @property
    def suffix(self) -> str:
        return "c" if self.form == "c" else "cc"

    def under(self, folder: str) -> Files:
        """The two headers of the self-test."""
        return {f"{folder}selftest.h": self.selftest, f"{folder}golden.h": self.golden}

    def model(self, folder: str, suffix: str = "") -> Files:
        """The model's files; suffix: of C++ sources there."""
        paths = {name: PurePosixPath(name) for name in self.code}
        named = {n: p.with_suffix(suffix) if suffix and p.suffix == ".cc" else p for n, p in paths.items()}
        return {f"{folder}{named[name]}": text for name, text in self.code.items()}


def bare(parts: Parts, builds: tuple[str, ...]) -> Files:
    """Start-up code, linker script and a console over semihosting, for a Cortex-M without anything else."""
    target, core, (flash, ram) = parts.target, parts.target.cpu, parts.target.memory
    values = {
        "core_title": core.title,
        "headers": " ".join(sorted(name for name in parts.code if name.endswith(".h"))),
        "gcc": " ".join(core.gcc),
        "zig": f"-target thumb-freestanding-{core.zig_abi} -mcpu={core.zig_cpu}",
        "ziglang": ZIGLANG,
        "model_sources": " ".join(parts.sources),
    }
    made = {
        "main.c": parts.fill("main.c"),
        "console.h": fill("console.h", {}),
        "console.c": fill("console.c", {}),
        "startup.c": startup(core),
        "board.ld": linker_script(target.flash_origin, flash, target.ram_origin, ram),
        **parts.under(""),
        **{name: parts.fill(name, **values) for name in builds},
    }
    if clash := sorted(set(made) & set(parts.code)):
        raise BadConfig(f"the model's {clash[0]} would overwrite the project's", "choose another --name")
    return {**parts.model(""), **made}


def make(parts: Parts) -> Files:
    return bare(parts, ("Makefile",))


def cmake(parts: Parts) -> Files:
    if parts.form == "c":
        return bare(parts, ("CMakeLists.txt", "toolchain.cmake"))
    made = {"CMakeLists.txt": parts.fill("tflm.cmake"), "selftest.cc": parts.fill("tflm_main.cc"), **parts.under("")}
    return {**parts.model(""), **made}


def arduino(parts: Parts) -> Files:
    """A library in the Arduino layout (library specification 1.5) with one example, compiled as C++."""
    first = f"#include <{parts.iface.header}>\n" if parts.form == "c" else "#include <TensorFlowLite.h>\n"
    header = parts.iface.header if parts.form == "c" else f"{parts.iface.name}_model.h"
    return {
        "library.properties": parts.fill("library.properties", header=header),
        **parts.model("src/", ".cpp"),
        "examples/selftest/selftest.ino": parts.fill("selftest.ino", first=first),
        **parts.under("examples/selftest/"),
    }


def esp_idf(parts: Parts) -> Files:
    """An ESP-IDF project: the model as a component, the self-test as main."""
    component = f"components/{parts.iface.name}_model/"
    requires = "" if parts.form == "c" else " REQUIRES espressif__esp-tflite-micro"
    quoted = " ".join(f'"{name}"' for name in parts.sources)
    made = {
        "CMakeLists.txt": parts.fill("idf_CMakeLists.txt"),
        "sdkconfig.defaults": parts.fill("sdkconfig.defaults"),
        f"{component}CMakeLists.txt": parts.fill("idf_component.txt", quoted=quoted, component_requires=requires),
        "main/CMakeLists.txt": parts.fill("idf_main.txt"),
        f"main/main.{parts.suffix}": parts.fill("idf_main.c"),
        **parts.under("main/"),
    }
    if parts.form == "tflm":
        made[f"{component}idf_component.yml"] = parts.fill("idf_component.yml")
    return {**parts.model(component), **made}


def stm32cube(parts: Parts) -> Files:
    """Folders to add to a project of STM32CubeIDE or CubeMX, and one call in its main()."""
    name = parts.iface.name
    model = {f"{'Inc' if path.endswith('.h') else 'Src'}/{path}": text for path, text in parts.model("").items()}
    return {
        **model,
        f"Src/{name}_selftest.{parts.suffix}": parts.fill("cube_selftest.c"),
        f"Inc/{name}_selftest.h": parts.fill("cube_selftest.h"),
        **parts.under("Inc/"),
    }


def zephyr(parts: Parts) -> Files:
    """A Zephyr module with a sample that is also a test for twister."""
    paths = [f'"${{CMAKE_CURRENT_LIST_DIR}}/../src/{name}"' for name in parts.sources]
    tflm = parts.form == "tflm"
    config = ["CONFIG_CPP=y", "CONFIG_STD_CPP17=y", "CONFIG_REQUIRES_FULL_LIBC=y", "CONFIG_TENSORFLOW_LITE_MICRO=y"]
    if parts.target.cortex_m:
        config.append("CONFIG_TENSORFLOW_LITE_MICRO_CMSIS_NN_KERNELS=y")
    values = {
        "zephyr_sources": " ".join(paths),
        "kconfig_depends": "\n\tdepends on TENSORFLOW_LITE_MICRO" if tflm else "",
        "config": "\n".join(config) if tflm else "# Real numbers: CONFIG_FPU=y on a core that has an FPU.",
        "modules": "\n    modules:\n      - tflite-micro" if tflm else "",
    }
    return {
        **parts.model("src/"),
        "zephyr/module.yml": parts.fill("zephyr_module.yml"),
        "zephyr/CMakeLists.txt": parts.fill("zephyr_module.cmake", **values),
        "zephyr/Kconfig": parts.fill("zephyr_Kconfig", **values),
        "samples/selftest/CMakeLists.txt": parts.fill("zephyr_sample.cmake", **values),
        "samples/selftest/prj.conf": parts.fill("zephyr_prj.conf", **values),
        "samples/selftest/testcase.yaml": parts.fill("zephyr_testcase.yaml", **values),
        f"samples/selftest/src/main.{parts.suffix}": parts.fill("zephyr_main.c"),
        **parts.under("samples/selftest/src/"),
    }


def platformio(parts: Parts) -> Files:
    """A PlatformIO project: the model in lib/, the self-test in src/; the environment "native" runs on this computer."""
    first = f"#include <{parts.iface.header}>\n" if parts.form == "c" else "#include <TensorFlowLite.h>\n"
    sections = []
    if parts.target.name in BOARDS:
        platform, board, framework = BOARDS[parts.target.name].platformio
        lines = [f"[env:{board}]", f"platform = {platform}", f"board = {board}", f"framework = {framework}"]
        lines += ["monitor_speed = 115200", "build_flags = -O2"]
        if parts.form == "tflm":
            lines += [f"; {TFLM['platformio'].note}", "lib_deps ="]
            lines.append(f"  https://github.com/{TFLM['platformio'].component}.git#{TFLM['platformio'].version}")
        sections.append(lines)
    else:
        sections.append(["; An environment for your board: [env:name] with platform, board and framework = arduino."])
    if parts.form == "c":
        sections.append(["; The same check on this computer: pio run -e native -t exec", "[env:native]", "platform = native"])
    library = f"lib/{parts.iface.name}/"
    return {
        "platformio.ini": parts.fill("platformio.ini", environment="\n\n".join("\n".join(lines) for lines in sections)),
        f"{library}library.json": parts.fill("library.json"),
        **parts.model(f"{library}src/"),
        "src/main.cpp": parts.fill("platformio_main.cpp", first=first),
        **parts.under("src/"),
    }


@dataclass(frozen=True)
class Kind:
    """write: the files. cores: ANY, ARM or ESP that each format is for; a format that is not there has no such project.
    against: what edgekit's tests compile the C project with."""

    write: Callable[[Parts], Files]
    cores: Mapping[Format, str]
    against: str

    def fits(self, target: Target, form: Format) -> bool:
        """Whether the target's core is one of those."""
        return {ARM: target.cortex_m, ESP: not target.cortex_m}.get(self.cores[form], True)


_EMULATED = "with zig, and runs on an emulated core"
_ARDUINO = "as C++11 and C++17 against a stub of Arduino.h, and runs on the host"
KINDS: dict[str, Kind] = {
    "make": Kind(make, {"c": ARM}, _EMULATED),
    "cmake": Kind(cmake, {"c": ARM, "tflm": ARM}, _EMULATED),
    "arduino": Kind(arduino, {"c": ANY, "tflm": ARM}, _ARDUINO),
    "esp-idf": Kind(
        esp_idf, {"c": ESP, "tflm": ESP}, "against stubs of ESP-IDF's CMake functions and headers, and runs on the host"
    ),
    "stm32cube": Kind(stm32cube, {"c": ARM, "tflm": ARM}, "against a stub of HAL's types, and runs on the host"),
    "zephyr": Kind(
        zephyr, {"c": ANY, "tflm": ANY}, "against stubs of Zephyr's CMake functions and headers, and runs on the host"
    ),
    "platformio": Kind(platformio, {"c": ANY, "tflm": ARM}, _ARDUINO),
}
