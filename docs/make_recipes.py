"""Write docs/recipes.md from the recipe's own declarations: `python docs/make_recipes.py`; a test holds it fresh."""

import json
from pathlib import Path

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from ensemble.recipe import AUGMENT_PRESETS, Augment, Data, Fit, Head, Model, Recipe, Resources

PAGE = Path(__file__).parent / "recipes.md"
SECTIONS = {
    "": Recipe, "data": Data, "model": Model, "model.head": Head, "fit": Fit, "augment (as a map)": Augment,
    "resources": Resources,
}  # fmt: skip
INTRO = """# Recipe keys

Generated from `ensemble/recipe.py` by `python docs/make_recipes.py`.

`base: FILE` takes another recipe's values: maps merge, everything else replaces. `--set KEY=VALUE` overrides a dotted
key. A key that is not below is an error, and so is a value of another kind. Some values are part of the contract and
not in this version yet; they are refused, never ignored: `fit.batch_size: auto`, `fit.feature_views` above 0,
`refit: true`, `augment.randaug`, mixup together with cutmix, and folds, column splits and groups in `data`.
"""


def page() -> str:
    """The whole text."""
    parts = [INTRO]
    for title, section in SECTIONS.items():
        parts.append(f"## {title or 'Top level'}\n\n| key | default | meaning |\n|---|---|---|\n{_rows(section)}")
    presets = "".join(f"| `{name}` | {_changes(preset)} |\n" for name, preset in AUGMENT_PRESETS.items())
    parts.append(f"## augment (as a name)\n\n| preset | changes |\n|---|---|\n{presets}")
    return "\n".join(parts)


def _rows(section: type[BaseModel]) -> str:
    rows = ""
    for name, field in section.model_fields.items():
        if name != "name":
            rows += (
                f"| `{name}` | {_default(field.get_default(call_default_factory=True))} | {field.description or ''} |\n"
            )
    return rows


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, BaseModel):
        return "below"
    return f"`{json.dumps(value)}`"


def _changes(preset: Augment) -> str:
    said = preset.model_dump(exclude_defaults=True)
    return ", ".join(f"{name} {json.dumps(value)}" for name, value in said.items()) or "nothing"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
