"""The command line: `edgekit <command> ...`. Commands are loaded when they are run; this file holds their names only."""

from __future__ import annotations

from edgekit.cli.app import App

# command -> what `edgekit --help` says; each lives in a module of its name.
COMMANDS: dict[str, str] = {
    "inspect": "What a model is made of, needs, and can run on.",
    "quantize": "Make a float model int8, calibrated on data.",
    "prune": "Leave out what matters least, and recover.",
    "distill": "Teach a small model what a large one knows.",
    "apply": "Make an artefact again from its recipe, bit for bit.",
    "export": "Write deployable files for a target.",
    "bench": "Measure a model on targets.",
    "verify": "Prove that every engine gives the same answers.",
    "check": "Hold models to the limits of edgekit.toml (the CI gate).",
    "init": "Write the first edgekit.toml of a model.",
    "targets": "List devices, or show one.",
    "doctor": "What is installed, what is missing, and how to get it.",
}

main = App(COMMANDS)
