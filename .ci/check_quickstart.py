"""Check what `ens quickstart` left in this folder, and that the environment holds the base dependencies alone."""

import csv
import re
import tomllib
from importlib.metadata import distributions
from pathlib import Path


def names(requirements: list[str]) -> set[str]:
    """The distributions that requirements name."""
    return {
        re.split(r"[<>=]", requirement)[0].lower().replace("_", "-") for requirement in requirements
    }


def check_environment() -> None:
    """No package that only an extra names may hide that a base dependency is missing."""
    project = tomllib.loads(
        (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    )["project"]
    extras = names(
        [
            requirement
            for extra in project["optional-dependencies"].values()
            for requirement in extra
        ]
    )
    installed = names([distribution.metadata["Name"] for distribution in distributions()])
    surplus = (extras - names(project["dependencies"])) & installed
    assert not surplus, f"only extras name {', '.join(sorted(surplus))}"


def check_submission() -> None:
    """A row for each test digit, no id twice, no class but the ten."""
    with Path("submissions", "quickstart.csv").open(encoding="utf-8", newline="") as stored:
        header, *rows = csv.reader(stored)
    assert header == ["id", "label"], header
    assert len({row[0] for row in rows}) == len(rows) == 359, len(rows)
    assert {row[1] for row in rows} == set("0123456789")


def check_report() -> None:
    """The whole page, with its pictures and the four networks."""
    page = Path("report.html").read_text(encoding="utf-8")
    assert page.rstrip().endswith("</html>")
    assert "data:image/png" in page or "<svg" in page
    missing = [
        arch
        for arch in ("vgg", "resnet", "densenet", "efficientnet")
        if f"digits_{arch}" not in page
    ]
    assert not missing, missing


check_environment()
check_submission()
check_report()
print("environment, submissions/quickstart.csv and report.html are as they should be")
