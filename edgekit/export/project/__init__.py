"""Firmware around a generated model: start-up code, linker script, main and build files."""
