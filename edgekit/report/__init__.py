"""Reports: numbers with how they were obtained, as text, JSON and markdown. Nothing else formats numbers."""

from edgekit.report.model import RunReport, TargetResult

__all__ = ["RunReport", "TargetResult"]
