"""`ens report` and `ens doctor`: the runs on one page, and what this machine can do."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.options import SUBMISSIONS, Json, Patterns, Runs, same

Page = Annotated[Path, typer.Option("--report", metavar="FILE", help="where the report goes")]


def report(
    patterns: Patterns = None,
    out: Annotated[
        Path, typer.Option("-o", "--out", metavar="FILE", help="the page to write")
    ] = Path("report.html"),
    submissions: Annotated[
        Path,
        typer.Option(metavar="DIR", help="submissions; the newest sets the blend's options"),
    ] = SUBMISSIONS,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain",
            help="show where a network looks in the most confident mistakes; loads its weights",
        ),
    ] = False,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Write one HTML page: scores, blend, recipes, mistakes, images, every run."""
    from ensemble import display
    from ensemble.numbers import megabytes

    notes = write_page(out, submissions, runs, patterns, explain)
    n_bytes = out.stat().st_size
    if json:
        display.show_json({"report": str(out), "n_bytes": n_bytes, "notes": notes})
        return
    for note in notes:
        display.say(note)
    size = megabytes(n_bytes)
    display.say(f"{out}: {size}, one file that needs no network; open it in a browser")
    display.next_commands(f"ens blend{same(runs)}")


def doctor(json: Json = False, runs: Runs = None) -> None:
    """Check this machine: GPU, memory, disk, images, weights, Kaggle; suggest fixes."""
    from ensemble import display
    from ensemble.display.doctor import show_findings
    from ensemble.doctor import examine

    findings = examine(runs)
    if json:
        display.show_json([finding.as_dict() for finding in findings])
    else:
        show_findings(findings)
        display.next_commands("ens quickstart", "ens init PATH")
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def write_page(
    out: Path,
    submissions: Path,
    runs: Path | None,
    patterns: list[str] | None = None,
    explain: bool = False,
) -> list[str]:
    """Collect what the runs hold and write the page; returns a line about each part that it lacks.

    Raises EnsembleError.
    """
    from ensemble import api, display
    from ensemble.display import live
    from ensemble.errors import SelectionError
    from ensemble.reporting.page import check_page
    from ensemble.runs import Listing, RunStore

    check_page(out)
    store = RunStore(runs)
    listing = store.all(patterns or (), check=True)
    display.warn_left_out(listing)
    if not listing.runs:
        raise SelectionError(f"{store.none_found(patterns or ())}\n{api.NONE_TO_REPORT}")
    with live.progress() as emit:
        collected = api.write_page(out, listing, submissions, explain, emit)
    newly_damaged = [folder for folder in collected.damaged if folder not in listing.damaged]
    display.warn_left_out(Listing([], newly_damaged, []))
    return [
        f"the page shows no images of {group.name}: {group.data.details}"
        for group in collected.groups
        if group.data.details
    ]
