"""What `ens doctor` found: a line each, and below it how to mend it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble.display.text import count, escape, out, say

if TYPE_CHECKING:
    from ensemble.doctor import Finding

SIGNS = {"good": "[green]ok[/]   ", "note": "[yellow]note[/] ", "bad": "[bold red]bad[/]  "}


def show_findings(found: "Sequence[Finding]") -> None:
    """Every finding, then how many need a hand."""
    width = max(len(one.name) for one in found)
    for one in found:
        out.print(f"{SIGNS[one.state]} {one.name:<{width}}  {escape(one.text)}", soft_wrap=True)
        if one.fix:
            out.print(f"{'':{width + 6}}  [dim]→ {escape(one.fix)}[/]", soft_wrap=True)
    bad = [one.name for one in found if one.state == "bad"]
    say(
        f"{count(len(bad), 'thing')} to mend: {', '.join(bad)}"
        if bad
        else "nothing stands in the way of a training"
    )
