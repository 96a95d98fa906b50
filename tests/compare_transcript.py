#!/usr/bin/env python3
"""Compare two transcripts number by number: compare_transcript.py EXPECTED ACTUAL

Words, layout and integers must be the same. A number with a point may differ by one unit of the last digit
printed (of the two, the finer), or by 1e-6 of the expected. Blanks before a number are not compared: its width
may change with its digits. Prints what differs, then how much was compared; the status is 1 if anything differs."""
import re, sys
from decimal import Decimal

NUMBER = re.compile(r"[ ]*(?<![\w.])-?\d+(?:\.\d*)?(?:e[+-]?\d+)?(?!\w)")
UNIT_SLACK = Decimal("1.0000001")


def equal(want, got):
    """Integers exactly, numbers with a point within the tolerance."""
    if not any(c in want for c in ".e"):
        return want == got
    if not any(c in got for c in ".e"):
        return False
    a, b = Decimal(want), Decimal(got)
    unit = Decimal(1).scaleb(min(a.as_tuple().exponent, b.as_tuple().exponent))
    return abs(a - b) <= max(unit * UNIT_SLACK, abs(a) * Decimal("1e-6"))


def compare_line(want, got, counts):
    """Is it the same line?"""
    if NUMBER.split(want) != NUMBER.split(got):
        return False
    pairs = list(zip((n.strip() for n in NUMBER.findall(want)), (n.strip() for n in NUMBER.findall(got))))
    for a, _ in pairs:
        counts["floats" if "." in a or "e" in a else "integers"] += 1
    counts["words"] += len(re.findall(r"[A-Za-z_]\w*", NUMBER.sub(" ", want)))
    return all(equal(a, b) for a, b in pairs)


def main(expected, actual):
    want, got = (open(f, encoding="utf-8").read().splitlines() for f in (expected, actual))
    counts = {"integers": 0, "floats": 0, "words": 0}
    bad = 0
    for i in range(max(len(want), len(got))):
        a, b = (text[i] if i < len(text) else "(no line)" for text in (want, got))
        if not compare_line(a, b, counts):
            bad += 1
            print(f"line {i + 1}:\n  expected {a}\n  actual   {b}")
    print(", ".join(f"{n} {what}" for what, n in counts.items()) + f" compared; {bad} lines differ")
    return bad > 0 or not want


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
