"""Verdicts as JUnit XML, in the form of Jenkins' junit-10.xsd: a suite a model, a test case a limit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from edgekit.gate import Verdict
from edgekit.report.gate import FEW, MANY, reasons, remark, text_rows, title_of, value_and_bound, why_title

if TYPE_CHECKING:
    from edgekit.checking import ModelCheck

# Characters that XML 1.0 has no way to write.
FORBIDDEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def check_junit(checks: Sequence[ModelCheck], why: bool = False) -> str:
    """<testsuites> with no times and no dates: the same checks give the same bytes."""
    root = Element("testsuites", {"name": "edgekit check", **_counts([v for check in checks for v in check.verdicts])})
    for check in checks:
        suite = SubElement(root, "testsuite", {"name": _clean(check.name), **_counts(check.verdicts)})
        explained = {(w.metric, w.target): w for w in reasons(check, why)}
        for v in check.verdicts:
            name = title_of(v) + ("" if v.limit.target else ", every target")  # no figures: a history goes by names
            case = SubElement(suite, "testcase", classname=_clean(f"{check.name}.{v.target}"), name=name)
            if v.ok:
                continue
            value, bound = value_and_bound(v)
            lines = [f"{title_of(v)} on {v.target}: {value}, limit {bound}"]
            if (found := explained.get((v.limit.metric, v.target))) is not None:
                lines += ["", why_title(found, check.base_name), text_rows(found, MANY if why else FEW)]
            failure = SubElement(case, "failure", message=_clean(remark(v)), type="limit" if v.over is not None else "missing")
            failure.text = _clean("\n".join(lines))
        if check.notes:
            SubElement(suite, "system-out").text = _clean("\n".join(check.notes))
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode")


def _counts(verdicts: Sequence[Verdict]) -> dict[str, str]:
    failed = sum(not v.ok for v in verdicts)
    return {"tests": str(len(verdicts)), "failures": str(failed), "errors": "0"}


def _clean(text: str) -> str:
    return FORBIDDEN.sub("�", text)
