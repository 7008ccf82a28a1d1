"""Keep the rules of a minified stylesheet that the pages can use.

Tabler's stylesheet is 630 KB, of which these pages need little. A rule stays when every class that
its selector names is a word in our templates, scripts or Python; selectors without a class always
stay.
"""

import re
from collections.abc import Iterator

_CLASS = re.compile(r"\.((?:[A-Za-z_-]|\\.)(?:[\w-]|\\.)*)")
_NEGATION = re.compile(r":not\([^()]*(?:\([^()]*\)[^()]*)*\)")
_GROUPS = ("@media", "@supports", "@layer", "@container")
WORD = re.compile(r"[A-Za-z_][\w-]*")


def trim(css: str, words: frozenset[str]) -> str:
    """Give `css` without the rules that need a class outside `words`."""
    return "".join(_kept(css, words))


def _kept(css: str, words: frozenset[str]) -> Iterator[str]:
    for prelude, body in _statements(css):
        if body is None:
            yield prelude
        elif prelude.startswith(_GROUPS):
            inner = trim(body, words)
            if inner:
                yield f"{prelude}{{{inner}}}"
        elif prelude.startswith("@"):
            yield f"{prelude}{{{body}}}"
        else:
            selectors = [s for s in _split_selectors(prelude) if _usable(s, words)]
            if selectors:
                yield f"{','.join(selectors)}{{{body}}}"


def _statements(css: str) -> Iterator[tuple[str, str | None]]:
    """Yield each statement: what stands before its braces, and what is between them."""
    position = 0
    while position < len(css):
        opening, semicolon = css.find("{", position), css.find(";", position)
        if opening == -1:
            return
        if -1 < semicolon < opening:
            yield css[position : semicolon + 1].lstrip(), None
            position = semicolon + 1
            continue
        closing = _closing_brace(css, opening)
        yield css[position:opening].strip(), css[opening + 1 : closing]
        position = closing + 1


def _closing_brace(css: str, opening: int) -> int:
    depth = 0
    for match in re.compile(r"[{}]").finditer(css, opening):
        depth += 1 if match.group() == "{" else -1
        if depth == 0:
            return match.start()
    raise ValueError("the stylesheet ends inside a rule")


def _split_selectors(prelude: str) -> list[str]:
    return re.split(r",(?![^(]*\))", prelude)


def _usable(selector: str, words: frozenset[str]) -> bool:
    named = _CLASS.findall(_NEGATION.sub("", selector))
    return all(name.replace("\\", "") in words for name in named)
