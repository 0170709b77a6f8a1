"""What projects need from others: boards as other tools name them, and TensorFlow Lite Micro as each ecosystem packs it.

Facts as of the repositories named; nothing here was flashed. docs/projects.md says what was compiled against what.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgekit.export.tflm import CMSIS_COMMIT, COMMIT


@dataclass(frozen=True)
class Board:
    """A profile's names elsewhere. platformio: (platform, board, framework); idf: the chip of `idf.py set-target`."""

    zephyr: str
    platformio: tuple[str, str, str]
    idf: str = ""


# Zephyr: directories of zephyrproject-rtos/zephyr boards/; PlatformIO: boards/*.json of platformio/platform-*.
BOARDS: dict[str, Board] = {
    "arduino-nano-33-ble": Board("arduino_nano_33_ble", ("nordicnrf52", "nano33ble", "arduino")),
    "esp32-devkitc": Board("esp32_devkitc/esp32/procpu", ("espressif32", "esp32dev", "arduino"), "esp32"),
    "esp32-s3-devkitc-1": Board("esp32s3_devkitc/esp32s3/procpu", ("espressif32", "esp32-s3-devkitc-1", "arduino"), "esp32s3"),
    "nucleo-f401re": Board("nucleo_f401re", ("ststm32", "nucleo_f401re", "arduino")),
    "nucleo-h7a3zi-q": Board("nucleo_h7a3zi_q", ("ststm32", "nucleo_h7a3zi_q", "arduino")),
    "nucleo-l4r5zi": Board("nucleo_l4r5zi", ("ststm32", "nucleo_l4r5zi", "arduino")),
    "nucleo-u575zi-q": Board("nucleo_u575zi_q", ("ststm32", "nucleo_u575zi_q", "arduino")),
    "raspberry-pi-pico": Board("rpi_pico", ("raspberrypi", "pico", "arduino")),
}


@dataclass(frozen=True)
class Upstream:
    """TensorFlow Lite Micro in one ecosystem. component and version: exact; source: where the version is from; note: what
    is known, and not known, about it."""

    component: str
    version: str
    source: str
    note: str


TREE = Upstream(
    "tensorflow/tflite-micro",
    COMMIT,
    "the commit that edgekit's memory plan and tests are about",
    f"CMSIS-NN {CMSIS_COMMIT} comes with it",
)
TFLM: dict[str, Upstream] = {
    "cmake": TREE,
    "stm32cube": TREE,
    "esp-idf": Upstream(
        "espressif/esp-tflite-micro",
        "1.3.5",
        "ESP Component Registry, which has later ones too",
        "Its ESP-NN kernels are not known to round as TensorFlow Lite Micro's own: `different` may be above 0",
    ),
    "zephyr": Upstream(
        "zephyrproject-rtos/tflite-micro",
        "8d404de73acf7687831e16d88e86e4f73cfddf8e",
        "submanifests/optional.yaml of zephyrproject-rtos/zephyr at 01dc2a0fc3f6",
        "Enable it with: west config manifest.project-filter -- +tflite-micro && west update",
    ),
    "arduino": Upstream(
        "tensorflow/tflite-micro-arduino-examples",
        "07d1cca59a20508b9ab1e69e0cc76a3ace815eaa",
        "its own history; it left the Library Manager in 2022",
        "Made for the Arduino Nano 33 BLE; older than the commit that edgekit's memory plan is about",
    ),
}
TFLM["platformio"] = TFLM["arduino"]
