"""Write what `make faults` has measured into the table of docs/reliability.md."""

import json
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- faults: begin -->", "<!-- faults: end -->"
COLUMNS = {
    "accepted": "accepted",
    "executed": "executed",
    "more_than_once": "more than once",
    "at_most": "of at most",
    "visible": "in the history",
    "refused": "refused",
    "unconfirmed": "unconfirmed",
    "unanswered": "unanswered",
    "slowest_s": "slowest answer, s",
    "recovery_s": "recovered after, s",
}


def main(folder: Path) -> None:
    """Replace the table's rows by those in the folder, one JSON file each."""
    rows = sorted((json.loads(path.read_text()) for path in folder.glob("*.json")), key=_place)
    lines = [
        f"| {' | '.join(['fault', 'broker', *COLUMNS.values()])} |",
        f"| --- | --- |{' ---: |' * len(COLUMNS)}",
        *(
            f"| {' | '.join(str(row[name]) for name in ('fault', 'broker', *COLUMNS))} |"
            for row in rows
        ),
    ]
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    PAGE.write_text("\n".join([f"{before}{BEGIN}", *lines, f"{END}{after}"]), encoding="utf-8")


def _place(row: dict[str, Any]) -> tuple[str, ...]:
    """Keep faults of one family together, and the brokers of one fault."""
    return row["family"], row["fault"], row["broker"]


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / ".ci" / "out" / "faults")
