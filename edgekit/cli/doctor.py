"""edgekit doctor"""

from __future__ import annotations

from edgekit.cli.common import FINE, VIOLATED, cli_command, show, working


@cli_command
def command(as_json: bool) -> int:
    """What is installed, what is missing, what it is for, and how to get it. Exit code 1 when edgekit cannot work."""
    from edgekit.doctor import diagnose, healthy
    from edgekit.report.doctor import doctor_json, doctor_text

    with working("looking around"):
        findings = diagnose()
    show(doctor_text(findings), doctor_json(findings), as_json)
    return FINE if healthy(findings) else VIOLATED
