"""Limits and verdicts."""

from __future__ import annotations

from dataclasses import replace

import pytest

from edgekit.errors import BadConfig
from edgekit.gate import Limit, check_comparable, judge, judge_growth
from edgekit.measure import Measurement, unavailable
from edgekit.report import RunReport, TargetResult
from edgekit.report.gate import distinct, remark, summary, value_and_bound, verdicts_markdown, verdicts_text

FLASH = Measurement("flash", 34192.0, "B", "emulated", tool="zig 0.17")
ACCURACY = Measurement("accuracy", 0.89, "", "computed")
LATENCY = Measurement("latency", 50.0, "ms", "estimated", 0.12, "calibrated on 12 boards")
PLANNED = Measurement("ram", 9000.0, "B", "planned")
MISSING = unavailable("instructions", "no emulator for cortex-m55")


def report(*results: TargetResult) -> RunReport:
    return RunReport("net.onnx", "00" * 32, results)


MCU = TargetResult("mcu", "c", (FLASH, ACCURACY, LATENCY, PLANNED, MISSING))


def verdict(limit: Limit) -> tuple[bool, str]:
    (only,) = judge(report(MCU), [limit])
    return only.ok, remark(only)


def test_a_kept_limit_says_nothing() -> None:
    assert verdict(Limit("flash", 34192)) == (True, "")


def test_over_and_under_are_exact() -> None:
    assert verdict(Limit("flash", 31072)) == (False, "over by 3,120 B")
    assert verdict(Limit("flash", 34191)) == (False, "over by 1 B")
    assert verdict(Limit("accuracy", 0.9, "min")) == (False, "under by 0.0100")


def test_a_difference_too_small_for_the_usual_digits_is_not_shown_as_zero() -> None:
    assert verdict(Limit("accuracy", 0.890004, "min")) == (False, "under by 4e-06")
    assert verdict(Limit("latency", 49.999999, accept="estimated")) == (False, "over by 1e-06 ms")


def test_a_missing_metric_fails_with_its_reason() -> None:
    assert verdict(Limit("instructions", 1e9)) == (False, "unavailable: no emulator for cortex-m55")
    assert verdict(Limit("file", 1e9)) == (False, "not measured")


def test_an_estimate_counts_only_when_accepted() -> None:
    assert verdict(Limit("latency", 60)) == (False, 'it is estimated, and weaker than accept = "planned"')
    assert verdict(Limit("latency", 60, accept="estimated"))[0]
    assert not verdict(Limit("latency", 60, accept="measured"))[0]


def test_a_plan_counts_unless_more_is_asked_for() -> None:
    assert verdict(Limit("ram", 9000))[0]
    assert not verdict(Limit("ram", 9000, accept="emulated"))[0]


def test_an_estimate_with_too_large_an_error_fails() -> None:
    assert verdict(Limit("latency", 60, accept="estimated", at_most_error=0.2))[0]
    ok, why = verdict(Limit("latency", 60, accept="estimated", at_most_error=0.1))
    assert (ok, why) == (False, 'its error of 12 % is above at_most_error = "10 %"')


def test_a_limit_on_a_target_that_was_not_measured_fails() -> None:
    assert verdict(Limit("flash", 1e9, target="pi")) == (False, "not measured on this target (measured: mcu)")


def test_a_limit_without_target_is_judged_on_each_and_said_once_when_the_same() -> None:
    other = TargetResult("pi", "tflite", (ACCURACY, Measurement("flash", 1.0, "B", "computed")))
    assert len(judge(report(MCU, other), [Limit("accuracy", 0.5, "min")])) == 1
    both = judge(report(MCU, other), [Limit("flash", 10)])
    assert [(v.target, v.ok) for v in both] == [("mcu", False), ("pi", True)]


def test_text_and_markdown() -> None:
    verdicts = judge(report(MCU), [Limit("flash", 31072, target="mcu"), Limit("accuracy", 0.8, "min")])
    assert verdicts_text("kws", verdicts) == (
        "kws\n"
        "\n"
        "      target  metric       value       limit  how\n"
        "────  ──────  ────────  ────────  ──────────  ────────  ───────────────\n"
        "FAIL  mcu     flash     34,192 B  ≤ 31,072 B  emulated  over by 3,120 B\n"
        "ok    mcu     accuracy    0.8900    ≥ 0.8000  computed\n"
        "\n"
        "1 of 2 limits violated"
    )
    assert "| FAIL | mcu | flash | 34,192 B | ≤ 31,072 B | emulated | over by 3,120 B |" in verdicts_markdown("kws", verdicts)
    assert summary(verdicts[1:]) == "1 limit kept"


# -------------------------------------------------------------------------------------------------------------- growth


def grown(now: Measurement | None, then: Measurement | None, rule: float) -> tuple[bool, str, str]:
    """(kept, remark, limit as shown) of one rule."""

    def side(m: Measurement | None) -> RunReport:
        return report(TargetResult("mcu", "c", () if m is None else (m,)))

    metric = next(m.metric for m in (now, then) if m is not None)
    (only,) = judge_growth(side(now), side(then), {"mcu": {metric: rule}})
    return only.ok, remark(only), value_and_bound(only)[1]


def test_growth_is_allowed_up_to_its_rule() -> None:
    was = replace(FLASH, value=10_000.0)
    assert grown(replace(FLASH, value=10_200.0), was, 0.02) == (True, "", "≤ 10,200 B (10,000 B +2 %)")
    assert grown(replace(FLASH, value=10_201.0), was, 0.02)[:2] == (False, "over by 1 B")
    assert grown(replace(FLASH, value=10_001.0), was, 0.0)[:2] == (False, "over by 1 B")
    assert grown(was, was, 0.0)[0]
    assert grown(replace(FLASH, value=1.0), was, 0.0)[0]


def test_the_bound_of_whole_numbers_is_whole() -> None:
    was = replace(FLASH, value=9_999.0)
    assert grown(replace(FLASH, value=10_198.0), was, 0.02)[2] == "≤ 10,198 B (9,999 B +2 %)"
    assert grown(replace(FLASH, value=10_199.0), was, 0.02)[:2] == (False, "over by 1 B")


def test_accuracy_grows_by_falling() -> None:
    assert grown(replace(ACCURACY, value=0.882), replace(ACCURACY, value=0.9), 0.02)[0]
    assert grown(replace(ACCURACY, value=0.87), replace(ACCURACY, value=0.9), 0.02)[1] == "under by 0.0120"
    assert grown(replace(ACCURACY, value=0.95), replace(ACCURACY, value=0.9), 0.0)[0]


def test_a_figure_missing_on_either_side_fails_its_rule() -> None:
    gone = unavailable("flash", "no compiler")
    assert grown(gone, FLASH, 0.5) == (False, "unavailable: no compiler", "+50 %")
    assert grown(FLASH, gone, 0.5)[:2] == (False, "the earlier figure is unavailable: no compiler")
    assert grown(FLASH, None, 0.5)[:2] == (False, "the earlier figure is not measured")
    assert grown(None, FLASH, 0.5)[:2] == (False, "not measured")


def test_a_plan_is_not_compared_with_a_measurement() -> None:
    ok, why, _ = grown(FLASH, replace(FLASH, how="planned"), 0.5)
    assert (ok, why) == (False, "it is emulated and the earlier figure planned: not comparable")


def test_different_toolchains_are_named_both() -> None:
    other = replace(MCU, measurements=(replace(FLASH, tool="gcc 13.2"), ACCURACY))
    with pytest.raises(BadConfig) as caught:
        check_comparable("kws", report(MCU), report(other), "main")
    assert "'zig 0.17'" in caught.value.message
    assert "in main with 'gcc 13.2'" in caught.value.message
    check_comparable("kws", report(MCU), report(MCU), "main")
    check_comparable("kws", report(MCU), report(replace(other, target="pi")), "main")


def test_an_estimate_of_unknown_error_does_not_keep_at_most_error() -> None:
    unsure = report(TargetResult("mcu", "c", (replace(LATENCY, error=None),)))
    (only,) = judge(unsure, [Limit("latency", 60, accept="estimated", at_most_error=0.2)])
    assert (only.ok, remark(only)) == (False, 'its error is not known, and at_most_error = "20 %"')


@pytest.mark.parametrize(
    ("metric", "a", "b"), [("latency", 60.04, 59.96), ("latency", 123.441, 123.439), ("accuracy", 0.90001, 0.90002)]
)
def test_numbers_that_differ_are_never_shown_alike(metric: str, a: float, b: float) -> None:
    one, other = distinct(metric, a, b)
    assert one != other
    assert distinct(metric, a, a)[0] == distinct(metric, a, a)[1]
