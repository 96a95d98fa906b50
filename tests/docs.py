#!/usr/bin/env python3
"""Every C block of README.md and docs/ is compiled, run, and its output compared with the page.

    tests/docs.py BUILD_DIR [PAGE...]      speaks TAP; without pages: README.md and docs/**/*.md
    tests/docs.py BUILD_DIR PAGE --show    prints the programs made of a page's blocks, to be changed

A block with a main() is a program. Any other is a piece of one, and the HTML comment right before it
names the program:

    <!-- c: pixels -->          statements, run in main() after the pieces of `pixels` before them
    <!-- c: pixels top -->      declarations and functions, outside main()
    <!-- c: pixels top          the same, hidden from the reader: the comment holds the code
    #include <math.h>
    -->

Options behind the name, each one word: `needs=FILE` puts a data set into the folder in which the
program runs (an archive is unpacked), and the program is skipped by name where the data is absent;
`uses=COMMAND` that it runs COMMAND, and it is skipped by name where there is none; `fails=N` says that
main() returns N; `makes=FILE` that the program leaves FILE, a picture say, of which a copy lies beside
the page. A whole program takes them from `<!-- c: needs=FILE -->`.

Versions of gnuplot and dot draw the same in other bytes. So a copy of `pic.svg` or `pic.png` carries
the sha256 of what it was drawn from, pic.gp and pic.dat or pic.dot, and that must be what the program
leaves beside its picture now. A file without such sources is compared byte for byte.

The ```text block that follows a C block (before the next one) is what the block prints, stdout and
stderr together. In it, a line of only `⋮` stands for any number of lines, and `…` for any text within
a line; `↪` at the start of a line says that it goes on with the one before. A C block without a text block may print anything. Pieces may include headers that lie beside
the page. TAPER_DATA and TAPER_REQUIRE_ORACLE are as for all tests. With TAPER_GOLDEN=rewrite the text
blocks (but for those with wildcards) and the copies of made files are replaced by what was printed and
made; then read the diff.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import zlib

ROOT = pathlib.Path(__file__).resolve().parent.parent
FLAGS = ("-std=c11 -D_POSIX_C_SOURCE=200809L -g -Wall -Wextra -Wpedantic -Wno-unused "
         "-Wno-unused-parameter -Werror").split()
# Line buffered, so that stdout and stderr keep their order in the pipe.
STARTUP = """#include <stdio.h>
__attribute__((constructor)) static void line_buffered(void) { setvbuf(stdout, NULL, _IOLBF, BUFSIZ); }
"""
MARK = "\x1eblock {}\x1e"  # printed between pieces, so that each has its own output
FENCE = re.compile(r"^( *)```(\w*)\s*$")
COMMENT = re.compile(r"^ *<!-- c: *([^\n]*?) *(-->)?$")
TIMEOUT = 300
WIDTH = 98  # of a line that is folded
REWRITE = os.environ.get("TAPER_GOLDEN") == "rewrite"


class DocError(Exception):
    pass


class Block:
    """A C block: where it stands, its code, and the text that the page says it prints (or None), at
    lines[text_at[0]:text_at[1]] of the page."""

    def __init__(self, line, code, top):
        self.line, self.code, self.top, self.text, self.text_at = line, code, top, None, None


class Program:
    """Blocks of one name on one page, in order."""

    def __init__(self, page, name):
        self.page, self.name, self.blocks = page, name, []
        self.needs, self.uses, self.makes, self.status = [], [], [], 0
        self.printed = {}  # index of a block: what it printed, once the program has run

    def title(self):
        return f"{self.page}:{self.blocks[0].line} {self.name}".rstrip()

    def is_whole(self):
        return has_main(self.blocks[0].code)

    def source(self):
        """To be run here: it says on stderr where each block begins, and errors name the page."""
        return self.joined(lambda i: f'fflush(stdout), fprintf(stderr, "%s", "{escaped_mark(i)}");\n',
                           lambda b: located(self.page, b))

    def shown(self):
        """To be read and changed."""
        return self.joined(lambda i: "", lambda b: b.code + "\n\n")

    def joined(self, before, code):
        if self.is_whole():
            return code(self.blocks[0])
        top = [code(b) for b in self.blocks if b.top]
        body = [before(i) + code(b) for i, b in enumerate(self.blocks) if not b.top]
        head = "#include <stdio.h>\n#include <taper.h>\n"
        return head + "".join(top) + "int main(void) {\n" + "".join(body) + "return 0;\n}\n"


def has_main(code):
    return re.search(r"^int main\(", code, re.M) is not None


def escaped_mark(i):
    return MARK.format(i).replace("\x1e", r"\036")


def located(page, block):
    return f'#line {block.line + 1} "{page}"\n{block.code}\n'


def options(program, words, where):
    for word in words:
        key, _, value = word.partition("=")
        if key == "needs" and value:
            program.needs.append(value)
        elif key == "uses" and value:
            program.uses.append(value)
        elif key == "makes" and value:
            program.makes.append(value)
        elif key == "fails" and value.isdigit():
            program.status = int(value)
        else:
            raise DocError(f"{where}: what does {word!r} mean? (see tests/docs.py)")


def fenced(lines, i):
    """The fenced block that opens at lines[i]: its language, its text, the index after it."""
    indent, language = FENCE.match(lines[i]).groups()
    end = i + 1
    while end < len(lines) and lines[end].strip() != "```":
        end += 1
    if end == len(lines):
        raise DocError(f"line {i + 1}: the block is not closed")
    body = [l[len(indent):] if l.startswith(indent) else l for l in lines[i + 1:end]]
    return language, "\n".join(body), end + 1


def hidden(lines, i):
    """The code in a comment that opens at lines[i], and the index after it."""
    end = i + 1
    while end < len(lines) and lines[end].strip() != "-->":
        end += 1
    if end == len(lines):
        raise DocError(f"line {i + 1}: the comment is not closed")
    return "\n".join(lines[i + 1:end]), end + 1


class Page:
    """Reads a page into programs."""

    def __init__(self, name, text):
        self.name, self.programs, self.named = name, [], {}
        self.pending = None  # words of the comment right above, waiting for its block
        self.last = None     # the C block that a text block would belong to
        lines = text.split("\n")
        i = 0
        while i < len(lines):
            i = self.step(lines, i)

    def step(self, lines, i):
        comment = COMMENT.match(lines[i])
        if comment:
            self.pending = comment.group(1).split()
            if comment.group(2):
                return i + 1
            code, after = hidden(lines, i)
            self.add(i + 1, code)
            self.last = None
            return after
        if FENCE.match(lines[i]):
            language, body, after = fenced(lines, i)
            if language == "c":
                self.last = self.add(i + 1, body)
            elif language == "text" and self.last:
                self.last.text, self.last.text_at = body, (i + 1, after - 1)
                self.last = None
            return after
        if lines[i].strip() and self.pending is not None:
            raise DocError(f"{self.name}:{i + 1}: a '<!-- c: -->' comment stands right before its block")
        return i + 1

    def add(self, line, code):
        where = f"{self.name}:{line}"
        words, self.pending = self.pending or [], None
        if has_main(code):
            program = Program(self.name, "")
            self.programs.append(program)
        else:
            if not words or "=" in words[0]:
                raise DocError(f"{where}: a block without main() needs '<!-- c: NAME -->' before it")
            program = self.named.get(words[0])
            if not program:
                program = self.named[words[0]] = Program(self.name, words[0])
                self.programs.append(program)
            words = words[1:]
        block = Block(line, code, "top" in words)
        options(program, [w for w in words if w != "top"], where)
        program.blocks.append(block)
        return block


def data_file(name):
    for folder in (os.environ.get("TAPER_DATA"), ROOT / ".." / "shared" / "data"):
        if folder and (pathlib.Path(folder) / name).exists():
            return (pathlib.Path(folder) / name).resolve()
    return None


class Data:
    """Data sets for programs to find where they run; an archive is unpacked once for all of them."""

    def __init__(self):
        self.folder = tempfile.TemporaryDirectory(prefix="taper-data-")
        self.lock, self.unpacked = threading.Lock(), {}

    def unpack(self, path):
        with self.lock:
            if path not in self.unpacked:
                self.unpacked[path] = pathlib.Path(self.folder.name, str(len(self.unpacked)))
                with tarfile.open(path) as archive:
                    archive.extractall(self.unpacked[path])
        return list(self.unpacked[path].iterdir())

    def place(self, folder, path):
        for item in self.unpack(path) if path.suffix in (".tgz", ".tar") else [path]:
            os.symlink(item, folder / item.name)


DATA = Data()


def folded(line):
    """A long line that ends in a place of the source, as pages show it: in several, behind ↪."""
    if len(line) <= WIDTH or not re.search(r"\([^ ()]+:\d+\)$", line):
        return line
    return "\n".join(textwrap.wrap(line, WIDTH, subsequent_indent="  ↪ ", break_long_words=False,
                                   break_on_hyphens=False))


def matches(got, want):
    """Does the output fit the page's text, with its wildcards?"""
    parts, want = [], re.sub(r"\n *↪ ", " ", want)
    for line in want.rstrip("\n").split("\n"):
        if line.strip() == "⋮":
            parts.append(r"(?:[^\n]*\n)*")
        else:
            parts.append("[^\n]*".join(re.escape(p) for p in line.rstrip().split("…")) + "\n")
    got = "\n".join(l.rstrip() for l in got.rstrip("\n").split("\n")) + "\n"
    return re.fullmatch("".join(parts), got) is not None


def outputs(program, printed):
    """What each block of the program printed: {index: text}."""
    if program.is_whole():
        return {0: printed}
    pieces = re.split("\x1eblock (\\d+)\x1e", printed)
    return {int(n): text for n, text in zip(pieces[1::2], pieces[2::2])}


def compare(program, printed):
    for i, block in enumerate(program.blocks):
        if block.text is None:
            continue
        got = program.printed.get(i)
        if got is None:
            raise DocError(f"{program.page}:{block.line}: the block did not run; printed so far:\n{printed}")
        if not matches(got, block.text):
            raise DocError(f"{program.page}:{block.line}: printed\n{got}\nthe page says\n{block.text}")


def sources_sha256(picture):
    """Of the files that lie beside a picture, have its name and say what it shows; None without any."""
    found = [picture.with_suffix(s) for s in (".gp", ".dat", ".dot") if picture.with_suffix(s).is_file()]
    whole = "".join(f"{p.suffix} {p.stat().st_size}\n{p.read_text()}" for p in found)
    return hashlib.sha256(whole.encode()).hexdigest() if found else None


PNG_END = b"\0\0\0\0IEND\xaeB`\x82"


def with_sha256(picture, sha256):
    """The bytes of a picture that carries the sha256: a comment of an SVG, a text chunk of a PNG."""
    data = picture.read_bytes()
    text = f"drawn from sha256 {sha256}".encode()
    if picture.suffix == ".svg":
        return data.rstrip() + b"\n<!-- " + text + b" -->\n"
    chunk = b"tEXtSource\0" + text
    chunk = struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    return data.replace(PNG_END, chunk + PNG_END)


def check_made(program, folder):
    beside = (ROOT / program.page).parent
    for name in program.makes:
        made, copy = folder / name, beside / name
        if not made.is_file() or not made.stat().st_size:
            raise DocError(f"{name} was not made")
        sha256 = sources_sha256(made)
        if REWRITE:
            copy.write_bytes(with_sha256(made, sha256) if sha256 else made.read_bytes())
        elif not copy.is_file():
            raise DocError(f"{copy} is missing")
        elif (sha256.encode() not in copy.read_bytes()) if sha256 else made.read_bytes() != copy.read_bytes():
            raise DocError(f"{copy} shows something else than the program draws now (make golden)")


def missing(program):
    """What the program cannot do without and this machine lacks, or None."""
    absent = [n for n in program.needs if not data_file(n)]
    absent += [c for c in program.uses if not shutil.which(c)]
    if absent and os.environ.get("TAPER_REQUIRE_ORACLE") == "1":
        raise DocError(f"{absent[0]} is required here and is missing")
    return absent[0] if absent else None


def run(program, build):
    """None if the program does what its page says; raises DocError, or returns what is missing."""
    lacks = missing(program)
    if lacks:
        return lacks
    folder = pathlib.Path(tempfile.mkdtemp(prefix="taper-docs-"))
    try:
        printed, status = compile_and_run(program, build, folder)
        program.printed = outputs(program, printed)
        if status != program.status:
            raise DocError(f"main() returned {status}, not {program.status}; it printed\n{printed}")
        check_made(program, folder / "cwd")
    finally:
        shutil.rmtree(folder)
    if not REWRITE:
        compare(program, printed)
    return None


def rewrite(programs):
    """Replace the text blocks of the pages by what their C blocks printed. Did lines move by it?"""
    pages, moved = {p.page for p in programs}, False
    for page in pages:
        lines = (ROOT / page).read_text().split("\n")
        before = len(lines)
        blocks = [(b, p.printed.get(i)) for p in programs if p.page == page for i, b in enumerate(p.blocks)]
        for block, got in sorted(blocks, key=lambda pair: -pair[0].line):
            if block.text is None or got is None or "…" in block.text or "⋮" in block.text:
                continue
            indent = lines[block.text_at[1]].split("`")[0]
            lines[slice(*block.text_at)] = [
                (indent + l).rstrip() for line in got.rstrip("\n").split("\n") for l in folded(line).split("\n")]
        (ROOT / page).write_text("\n".join(lines))
        moved = moved or len(lines) != before
    return moved


def compile_and_run(program, build, folder):
    cc = os.environ.get("CC", "cc")
    include = ["-I", ROOT / "include", "-I", (ROOT / program.page).parent]
    link = ["-L", build, f"-Wl,-rpath,{build}", "-ltaper", "-lm"]
    (folder / "program.c").write_text(program.source())
    (folder / "startup.c").write_text(STARTUP)
    sources = [folder / "program.c", folder / "startup.c"]
    made = subprocess.run([cc, *FLAGS, *include, *sources, "-o", folder / "program", *link], stdout=subprocess.PIPE,
                          stderr=subprocess.STDOUT, text=True)
    if made.returncode:
        raise DocError(f"does not compile:\n{made.stdout}")
    (folder / "cwd").mkdir()
    for name in program.needs:
        DATA.place(folder / "cwd", data_file(name))
    try:
        ran = subprocess.run([folder / "program"], cwd=folder / "cwd", stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True, errors="replace", timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        raise DocError(f"still running after {TIMEOUT} s") from None
    return ran.stdout, ran.returncode


def report(number, program, verdict):
    """One TAP line; `verdict` is a finished future of run()."""
    try:
        lacks = verdict.result()
    except DocError as error:
        print(f"not ok {number} {program.title()}")
        print("\n".join(f"# {line}" for line in str(error).split("\n")))
        return False
    print(f"ok {number} {program.title()}" + (f" # skip (missing: {lacks})" if lacks else ""))
    return True


def read_pages(names):
    programs = []
    for name in names:
        if not (ROOT / name).is_file():
            raise DocError(f"{name}: there is no such page")
        programs += Page(name, (ROOT / name).read_text()).programs
    return programs


def main(arguments):
    show = "--show" in arguments
    arguments = [a for a in arguments if a != "--show"]
    if not arguments:
        sys.exit(__doc__)
    build = pathlib.Path(arguments[0]).resolve()
    every = ["README.md"] + sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))
    again = True
    while again:  # errors name lines of the page, which a rewritten text may have moved
        try:
            programs = read_pages(arguments[1:] or every)
        except DocError as error:
            sys.exit(f"1..1\nnot ok 1 {error}")
        if show:
            print("\n".join(p.shown() for p in programs))
            return 0
        print(f"1..{len(programs)}")
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            verdicts = [pool.submit(run, p, build) for p in programs]
            passed = [report(n, p, v) for n, (p, v) in enumerate(zip(programs, verdicts), 1)]
        again = REWRITE and all(passed) and rewrite(programs)
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
