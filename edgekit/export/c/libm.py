"""Functions of <math.h> that a freestanding toolchain's runtime library may lack, in C.

Weak, so that a library that has them wins and several exports link into one firmware. They build on expf, logf, sqrtf, floorf
and fmodf, which compiler runtimes have. Errors are a few units of float32's last place, near zero too. erff: Abramowitz and
Stegun, formula 7.1.26 (1.5e-7); the others: series near zero, identities elsewhere.
"""

from __future__ import annotations

import re

# Function -> (its parameters, its body).
BODIES: dict[str, tuple[str, str]] = {
    "expm1f": (
        "float x",
        """\
  if (x < -0.3f || x > 0.3f) return expf(x) - 1.0f;
  float sum = 1.0f;
  for (int k = 7; k > 1; k--) sum = 1.0f + x / (float)k * sum;
  return x * sum;
""",
    ),
    "log1pf": (
        "float x",
        """\
  const float u = 1.0f + x;
  if (u == 1.0f) return x;
  return u - 1.0f == x ? logf(u) : logf(u) * (x / (u - 1.0f));
""",
    ),
    "tanhf": (
        "float x",
        """\
  const float a = x < 0.0f ? -x : x, s = x * x;
  if (!(a >= 0.3f)) return x * (1.0f + s * (-1.0f / 3.0f + s * (2.0f / 15.0f + s * (-17.0f / 315.0f + s * (62.0f / 2835.0f)))));
  const float t = 1.0f - 2.0f / (expf(2.0f * a) + 1.0f);
  return x < 0.0f ? -t : t;
""",
    ),
    "erff": (
        "float x",
        """\
  const float a = x < 0.0f ? -x : x, s = x * x;
  if (!(a >= 0.5f))
    return 1.1283791671f * x * (1.0f - s * (1.0f / 3.0f - s * (0.1f - s * (1.0f / 42.0f - s * (1.0f / 216.0f - s / 1320.0f)))));
  const float t = 1.0f / (1.0f + 0.3275911f * a);
  const float p = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
  const float y = 1.0f - p * expf(-s);
  return x < 0.0f ? -y : y;
""",
    ),
    "powf": (
        "float x, float y",
        """\
  if (y == 0.0f || x == 1.0f) return 1.0f;
  const float whole = floorf(y);
  if (whole == y && y >= -16.0f && y <= 16.0f) { /* exact where products are */
    float product = 1.0f;
    for (int i = (int)(y < 0.0f ? -y : y); i > 0; i--) product *= x;
    return y < 0.0f ? 1.0f / product : product;
  }
  const float r = expf(y * logf(x < 0.0f ? -x : x));
  if (x >= 0.0f) return r;
  return whole != y ? __builtin_nanf("") : fmodf(y, 2.0f) != 0.0f ? -r : r;
""",
    ),
    "rintf": (
        "float x",
        """\
  if (!(x > -8388608.0f && x < 8388608.0f)) return x;
  volatile float shifted = x < 0.0f ? x - 8388608.0f : x + 8388608.0f; /* no bits are left for a fraction */
  return x < 0.0f ? shifted + 8388608.0f : shifted - 8388608.0f;
""",
    ),
    "sinhf": (
        "float x",
        """\
  const float a = x < 0.0f ? -x : x, t = expm1f(a);
  const float y = a > 20.0f ? 0.5f * t : 0.5f * (t + t / (t + 1.0f));
  return x < 0.0f ? -y : y;
""",
    ),
    "coshf": ("float x", "  const float e = expf(x < 0.0f ? -x : x);\n  return 0.5f * e + 0.5f / e;\n"),
    "atanf": (
        "float x",
        """\
  const float a = x < 0.0f ? -x : x;
  const int far = a > 2.4142136f, middle = !far && a > 0.41421356f;
  const float z = far ? -1.0f / a : middle ? (a - 1.0f) / (a + 1.0f) : a, s = z * z;
  float sum = 0.0f;
  for (int k = 15; k > 0; k -= 2) sum = 1.0f / (float)k - s * sum;
  const float y = (far ? 1.57079633f : middle ? 0.78539816f : 0.0f) + z * sum;
  return x < 0.0f ? -y : y;
""",
    ),
    "asinf": ("float x", "  return atanf(x / sqrtf((1.0f - x) * (1.0f + x)));\n"),
    "acosf": ("float x", "  return 2.0f * atanf(sqrtf((1.0f - x) / (1.0f + x)));\n"),
    "atan2f": (
        "float y, float x",
        """\
  if (x == 0.0f && y == 0.0f) return 0.0f;
  const float angle = x == 0.0f ? 1.57079633f : atanf(y < 0.0f ? -y / x : y / x);
  const float turned = x < 0.0f ? angle + 3.14159265f : angle;
  return y < 0.0f ? -turned : turned;
""",
    ),
    "asinhf": (
        "float x",
        """\
  const float a = x < 0.0f ? -x : x;
  const float y = a > 1e9f ? logf(a) + 0.69314718f : log1pf(a + a * a / (1.0f + sqrtf(a * a + 1.0f)));
  return x < 0.0f ? -y : y;
""",
    ),
    "acoshf": (
        "float x",
        """\
  const float t = x - 1.0f;
  return x > 1e9f ? logf(x) + 0.69314718f : log1pf(t + sqrtf(t * (t + 2.0f)));
""",
    ),
    "atanhf": ("float x", "  return 0.5f * log1pf(2.0f * x / (1.0f - x));\n"),
}
BASE = ("expf", "floorf", "fmodf", "logf", "sqrtf")


def definitions(called: str) -> str:
    """C text of those of BODIES that the C text `called` calls, and of what they call; "" where it calls none."""
    used: set[str] = set()
    text = called
    while more := {name for name in BODIES if re.search(rf"\b{name}\(", text)} - used:
        used |= more
        text = "\n".join(BODIES[name][1] for name in sorted(more))
    bodies = "\n".join(BODIES[name][1] for name in sorted(used))
    names = [*sorted(used), *(name for name in BASE if re.search(rf"\b{name}\(", bodies))]
    two = dict.fromkeys(("fmodf", *(n for n, (given, _) in BODIES.items() if "," in given)), "float, float")
    lines = [f"float {name}({two.get(name, 'float')});\n" for name in names]
    return "".join(lines) + "".join(
        f"__attribute__((weak)) float {name}({BODIES[name][0]}) {{\n{BODIES[name][1]}}}\n" for name in sorted(used)
    )
