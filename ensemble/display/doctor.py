"""What `ens doctor` found: a line per check, and below it how to fix it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from ensemble.display.text import count, escape, out, say

if TYPE_CHECKING:
    from ensemble.doctor import Finding

STATES = {"good": "[green]ok[/]   ", "note": "[yellow]note[/] ", "bad": "[bold red]bad[/]  "}


def show_findings(findings: "Sequence[Finding]") -> None:
    """Every finding, then how many problems there are."""
    width = max(len(finding.name) for finding in findings)
    for finding in findings:
        state, name, text = STATES[finding.state], f"{finding.name:<{width}}", escape(finding.text)
        out.print(f"{state} {name}  {text}", soft_wrap=True)
        if finding.fix:
            out.print(f"{'':{width + 6}}  [dim]→ {escape(finding.fix)}[/]", soft_wrap=True)
    bad = [finding.name for finding in findings if finding.state == "bad"]
    if bad:
        say(f"{count(len(bad), 'problem')} to fix: {', '.join(bad)}")
    else:
        say("no problems: training can start")
