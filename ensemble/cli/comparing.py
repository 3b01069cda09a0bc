"""`ens compare`: paired tests of runs and recipes, on one split or over several."""

from pathlib import Path
from typing import Annotated

import typer

from ensemble.cli.options import Json, Metric, Positive, Runs, same


def compare(
    sides: Annotated[
        list[str], typer.Argument(metavar="A B...", help="run ids, recipes, or patterns of them")
    ],
    metric: Metric = None,
    positive: Positive = None,
    splits: Annotated[
        bool,
        typer.Option(
            "--splits", help="two recipes over all their data.split_seed: how much is the split"
        ),
    ] = False,
    json: Json = False,
    runs: Runs = None,
) -> None:
    """Compare runs or recipes by paired tests: better, worse, or not distinguishable."""
    from ensemble import display
    from ensemble.blending import compare as comparing
    from ensemble.display import comparisons
    from ensemble.runs import RunStore

    if splits:
        _over_splits(sides, metric, positive, json, runs)
        return
    compared = comparing.sides(RunStore(runs), sides)
    scoring, metric_note = comparing.scoring_of_sides(compared, metric, positive)
    differences = comparing.compare(compared, scoring)
    if json:
        display.show_json([difference.as_dict() for difference in differences])
        return
    comparisons.show_differences(differences)
    if metric_note:
        display.say(metric_note)
    display.next_commands(f"ens blend{same(runs)}")


def _over_splits(
    names: list[str], metric: str | None, positive: str | None, json: bool, runs: Path | None
) -> None:
    from ensemble import display
    from ensemble.blending.split_runs import missing_lines, split_runs
    from ensemble.blending.splits import compare_splits
    from ensemble.display import comparisons
    from ensemble.runs import RunStore

    first, second = split_runs(RunStore(runs), names)
    differences, metric_note = compare_splits(first, second, metric, positive)
    missing = [f"{line}{same(runs)}" for line in missing_lines(first, second)]
    if json:
        fields = [difference.as_dict() for difference in differences]
        display.show_json({"differences": fields, "missing": missing})
        return
    comparisons.show_splits(differences)
    if metric_note:
        display.say(metric_note)
    if missing:
        display.say("splits of one recipe alone are left out; to train the other on them:")
        for line in missing:
            display.say(f"  {line}")
    split_seed = max(*first.by_split, *second.by_split) + 1
    files = f"recipes/{first.recipe}.yaml recipes/{second.recipe}.yaml"
    display.next_commands(f"ens train {files} --set data.split_seed={split_seed}{same(runs)}")
