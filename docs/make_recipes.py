"""Write docs/recipes.md from the recipe's declarations; a test keeps it up to date."""

import json
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ensemble.recipe import (
    AUGMENT_PRESETS,
    Augment,
    Data,
    Fit,
    Head,
    IdPattern,
    LabelsFile,
    LabelsPattern,
    Model,
    Recipe,
    Resources,
    TableColumn,
    TestTable,
)

PAGE = Path(__file__).parent / "recipes.md"
SECTIONS = {
    "": Recipe,
    "data": Data,
    "data.labels (as a map)": LabelsFile,
    "data.labels (as a pattern)": LabelsPattern,
    "data.test (as a map)": TestTable,
    "data.group (as a map)": TableColumn,
    "data.group (as a pattern)": IdPattern,
    "model": Model,
    "model.head": Head,
    "fit": Fit,
    "augment (as a map)": Augment,
    "resources": Resources,
}
INTRO = """# Recipe keys

Generated from `ensemble/recipe/` by `python docs/make_recipes.py`.

`base: FILE` starts from another recipe's values: maps are merged, all other values are replaced. `--set KEY=VALUE`
overrides a dotted key. An unknown key is an error, and so is a value that the table does not allow.
"""
SCRATCH = """## model.options of scratch_plain and scratch_residual

Blocks of convolutions, then dense layers, then the classifier; set `pretrained: false`. `scratch_residual` adds each
block's input to its output. `fit.penalty` names its modules: `body`, `body.block1`, …, `dense`, `dense.1`, …,
`classifier`.

| key | default | meaning |
|---|---|---|
| `filters` | `[32, 64, 128, 256]` | one entry per block |
| `kernel` | `3` | side of the convolutions, one for all or a list with one per block |
| `padding` | `same` | same or none (plain networks) |
| `pool` | `2` | max pooling after a block, 1 for none; one for all or a list |
| `convs` | `1`, residual `2` | convolutions per block |
| `batch_norm` | `true` | batch norm after every convolution and dense layer |
| `dropout` | `0.0` | dropout of whole feature maps after a block, one for all or a list |
| `end` | `avg` | how feature maps become a vector: flatten, avg or max; flatten fixes `data.size` |
| `dense` | `[]` | widths of the dense layers before the classes |
| `dense_dropout` | `0.0` | dropout after each of these dense layers |
"""


def page() -> str:
    """The whole text."""
    parts = [INTRO]
    for title, section in SECTIONS.items():
        parts.append(
            f"## {title or 'Top level'}\n\n| key | default | meaning |\n|---|---|---|\n{_rows(section)}"
        )
    parts.append(SCRATCH)
    presets = "".join(
        f"| `{name}` | {_changes(preset)} |\n" for name, preset in AUGMENT_PRESETS.items()
    )
    parts.append(f"## augment (as a name)\n\n| preset | changes |\n|---|---|\n{presets}")
    return "\n".join(parts)


def _rows(section: type[BaseModel]) -> str:
    """A table row for each key of a section."""
    rows = ""
    for name, field in section.model_fields.items():
        default = _default(field.get_default(call_default_factory=True))
        if name != "name":
            rows += f"| `{name}` | {default} | {field.description or ''} |\n"
    return rows


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "below"
    return f"`{json.dumps(value)}`"


def _changes(preset: Augment) -> str:
    changes = preset.model_dump(exclude_defaults=True)
    return (
        ", ".join(f"{name} {json.dumps(amount)}" for name, amount in changes.items()) or "nothing"
    )


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
