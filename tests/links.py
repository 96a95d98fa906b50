#!/usr/bin/env python3
"""Every link and picture of the Markdown pages leads somewhere, and text stays text.

    tests/links.py [PAGE...]     speaks TAP; without pages: *.md, and docs/**/*.md

A link into the tree must name a file or folder that is there, and one with #part a heading of that page,
written as GitHub writes it. A picture must have a text for those who cannot see it. Addresses of the web
are not asked. Code is no link. Where lines are folded, none within a paragraph may begin as an item of a
list or a heading does: "1. " for a sentence that ends in 1, "- " for a minus.
"""

import pathlib
import re
import sys
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parent.parent
FENCED = re.compile(r"^( *)```.*?^\1```[ ]*$", re.M | re.S)
INDENTED = re.compile(r"(?<=\n\n)(?:(?: {4}|\t).*\n?)+")
COMMENT = re.compile(r"<!--.*?-->", re.S)
SPAN = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.S)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^()\s]*(?:\([^()\s]*\)[^()\s]*)*)\)")
HTML = re.compile(r"<(?:img|a)\b[^>]*?\b(?:src|href)=\"([^\"]*)\"")
HEADING = re.compile(r"^#{1,6} +(.*?)(?: +#*)?$", re.M)


def blank(match):
    """As many lines of nothing."""
    return "\n" * match.group(0).count("\n")


def without_code(text):
    for pattern in (FENCED, COMMENT, INDENTED, SPAN):
        text = pattern.sub(blank, text)
    return text


def anchors(path):
    """The #parts of a page: lower case, punctuation gone, blanks as hyphens, -1 behind the second."""
    seen, found = {}, set()
    for heading in HEADING.findall(COMMENT.sub(blank, FENCED.sub(blank, path.read_text()))):
        words = LINK.sub(r"\2", heading).replace("`", "").strip().lower()
        part = re.sub(r"[^\w\- ]", "", words).replace(" ", "-")
        n = seen[part] = seen.get(part, -1) + 1
        found.add(f"{part}-{n}" if n else part)
    return found


def fault(page, target):
    """What is wrong with a link from the page, or None."""
    name, _, part = urllib.parse.unquote(target).partition("#")
    if re.match(r"[a-z][a-z0-9+.-]*:", target):
        return None
    at = (page.parent / name).resolve() if name else page
    if not at.exists():
        return "there is no such file"
    if part and at.suffix == ".md" and part not in anchors(at):
        return f"{at.name} has no such heading"
    return None


def folds(text):
    """Lines that a fold turned into something else: their number, and how they begin."""
    above, paragraph = "", False
    for number, line in enumerate(text.split("\n"), 1):
        if not above.strip():
            paragraph = bool(line.strip()) and not re.match(r" *([-*+>|#]|\d+[.)] )", line)
        item = re.match(r"(?:1[.)]|[-*+]|#{1,6}|>) ", line)
        if item and paragraph and not above.rstrip().endswith(":"):
            yield number, item.group().strip()
        above = line


def faults(page):
    text = without_code(page.read_text())
    for number, begin in folds(text):
        yield f"line {number}: {begin}: a line within a paragraph that begins as a list or a heading does"
    links = [(m.start(), m.group(3), bool(m.group(1)) and not m.group(2)) for m in LINK.finditer(text)]
    links += [(m.start(), m.group(1), False) for m in HTML.finditer(text)]
    for start, target, silent in sorted(links):
        wrong = "a picture without a text" if silent else fault(page, target)
        if wrong:
            yield f"line {text.count(chr(10), 0, start) + 1}: {target}: {wrong}"


def main(names):
    pages = [pathlib.Path(n).resolve() for n in names]
    pages = pages or sorted(ROOT.glob("*.md")) + sorted((ROOT / "docs").rglob("*.md"))
    print(f"1..{len(pages)}")
    good = True
    for number, page in enumerate(pages, 1):
        wrong = list(faults(page))
        good = good and not wrong
        shown = page.relative_to(ROOT) if ROOT in page.parents else page.name
        print(f"{'not ok' if wrong else 'ok'} {number} {shown}")
        print("".join(f"# {line}\n" for line in wrong), end="")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
