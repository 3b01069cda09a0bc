"""`ens init`: from a folder of images to recipes that suit the images and this machine."""

import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from ensemble.dataset.detect import Layout, detect_layout
from ensemble.errors import EnsembleError
from ensemble.files import write_text
from ensemble.hardware import Machine
from ensemble.recipe import Recipe
from ensemble.recipe.shipped import BASE

SMALL = 64  # px: smaller images are enlarged, or the network gets a small stem
BUDGET = {True: 600_000, False: 30_000}  # images per run, over all epochs, with and without a GPU
FEW = 2  # images of a class: one for training, one for validation

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")  # of a recipe, with room for the family
_YAML_WORDS = {"no", "yes", "on", "off", "true", "false", "null", "y", "n"}
_PRETRAINED = {
    "vgg": "vgg19",
    "resnet": "resnet34",
    "densenet": "densenet121",
    "efficientnet": "efficientnet_b0",
}
_SCRATCH = {
    "vgg": "vgg11_bn",
    "resnet": "resnet10t",
    "densenet": "densenet121",
    "efficientnet": "efficientnet_b0",
}


@dataclass(frozen=True)
class NewRecipes:
    """What the images are, and the recipes written for them on this machine, the base first."""

    layout: Layout
    machine: Machine
    files: tuple[Path, ...]


def write_recipes(
    path: str, name: str | None, folder: Path, machine: Machine | None = None
) -> NewRecipes:
    """Recognize an image set and write its recipes; overwrites nothing. Raises EnsembleError."""
    name = name or _name_of(path)
    if not _NAME.fullmatch(name):
        raise EnsembleError(
            f"--name {name[:100]!r}: allowed are letters, digits, dot, dash, underscore, 80 at most"
        )
    layout = detect_layout(path)
    machine = machine or Machine.here()
    texts = {folder / f"{name}{BASE}": _base(path, layout, machine)}
    for family, text in _families(name, layout, machine).items():
        texts[folder / f"{name}_{family}.yaml"] = text
    for file in texts:
        if file.exists():
            raise EnsembleError(f"{file}: exists and is not overwritten\nchoose another --name")
    for file, text in texts.items():
        write_text(file, text)
    base, *recipes = texts
    for file in recipes:
        Recipe.load(file)
    return NewRecipes(layout, machine, (base, *recipes))


def _name_of(path: str) -> str:
    """A recipe name from the folder's or archive's name."""
    stem = Path(path).absolute().name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9-]+", "_", stem).strip("_-")[:60] or "images"


def _base(path: str, layout: Layout, machine: Machine) -> str:
    """The recipe that the four families share: the images and how they are seen."""
    lines = [
        f"# {layout.n_train:,} labeled images of {len(layout.counts)} classes. "
        "Settings shared by all recipes of this data set.",
        "data:",
        f"  source: {layout.source}",
        f"  path: {_quoted(_data_path(path, layout))}",
        f"  train: {_quoted(layout.train)}",
        *_labels(layout),
        _valid(layout),
        _test(layout),
        *_sample(layout),
        *_size(layout, machine),
        "augment: standard         # none | light | standard | heavy, or a map of changes",
    ]
    return "\n".join(lines) + "\n"


def _labels(layout: Layout) -> list[str]:
    if not layout.labels:
        return []
    file, id_column, label_column = map(_quoted, layout.labels)
    return [f"  labels: {{file: {file}, id: {id_column}, label: {label_column}}}"]


def _valid(layout: Layout) -> str:
    if layout.valid:
        return f"  valid: {_quoted(layout.valid)}"
    return (
        "  valid: 0.2               # stratified; {folds: 5}: every row is validated, 5 × the cost"
    )


def _test(layout: Layout) -> str:
    if layout.test:
        return f"  test: {_quoted(layout.test)}"
    if min(layout.counts.values()) > FEW:
        return (
            "  test: 0.15               # no test folder found: held out first, for a final score"
        )
    return f"  # test: 0.15             # not held out: a class has {FEW} images or fewer"


def _sample(layout: Layout) -> list[str]:
    """The sample submission, and the positive class that it may be about."""
    if not layout.sample_submission:
        return []
    lines = [f"  sample_submission: {_quoted(layout.sample_submission)}"]
    if len(layout.counts) == 2:
        positive = _in_quotes(list(layout.counts)[-1])
        lines.append(
            f"  positive: {positive}   # CHECK, if the sample has one column of probabilities"
        )
    return lines


def _size(layout: Layout, machine: Machine) -> list[str]:
    """The input size, where the weights' own is not what this machine should use."""
    side = layout.sizes.side
    if not (machine.has_hub or machine.has_package):
        size = _scratch_size(layout, machine)
        return [f"  size: {size:<18} # px; larger is slower and usually better"]
    if side <= SMALL:
        size = 224 if machine.has_gpu and machine.has_hub else 96
        return [
            f"  size: {size:<18} # stored at {side} px, enlarged on the device",
            "  resize: squish           # nothing is cropped",
        ]
    if machine.has_gpu:
        return []
    return ["  size: auto               # the weights' own; 128 is three times faster"]


def _scratch_size(layout: Layout, machine: Machine) -> int:
    side = layout.sizes.side
    if side <= SMALL:
        return max(32, 8 * round(side / 8))
    if machine.has_gpu:
        return 160
    return 96 if layout.n_train <= 5_000 else 64


def _families(name: str, layout: Layout, machine: Machine) -> dict[str, str]:
    """The text of one recipe per family."""
    if machine.has_hub:
        return {
            family: _pretrained(name, arch, "true", layout, machine)
            for family, arch in _PRETRAINED.items()
        }
    # on 1,150 digits efficientnet_lite0 reached 45 %, test_efficientnet 98 % (docs/log.md)
    archs = _SCRATCH if machine.has_gpu else _SCRATCH | {"efficientnet": "test_efficientnet"}
    texts = {family: _scratch(name, arch, layout, machine) for family, arch in archs.items()}
    if machine.has_package:
        arch = "tf_efficientnet_lite0"
        texts["efficientnet"] = _pretrained(name, arch, "package", layout, machine)
    return texts


def _pretrained(name: str, arch: str, weights: str, layout: Layout, machine: Machine) -> str:
    source = "timm's hub" if weights == "true" else "the package index"
    n_epochs = _epochs(layout, machine, 3, 15)
    if machine.has_gpu:
        fit = f"""  strategy: fine_tune      # only the new head for frozen_epochs, then all layers
  frozen_epochs: 1
  epochs: {n_epochs}"""
    else:
        fit = f"""  strategy: feature_extract # only the head trains; with a GPU: fine_tune
  epochs: {n_epochs}"""
    return f"""# {arch} with ImageNet weights from {source}.
base: {name}{BASE}
model:
  arch: {arch}
  pretrained: {weights}
  head: keep               # only the last layer is new; or {{pool: concat, hidden: [512]}}
fit:
{fit}
{_last_lines(layout)}"""


def _scratch(name: str, arch: str, layout: Layout, machine: Machine) -> str:
    size = _scratch_size(layout, machine)
    # on a CPU a small stem's sixteen times as many pixels cost too much
    has_small_stem = size <= SMALL and machine.has_gpu
    stem = (
        "\n  stem: small              # 3×3, stride 1: otherwise the last feature maps would be 1×1"
    )
    return f"""# {arch} from scratch: timm's hub could not be reached when this was written.
# With it: model.pretrained: true, fit.strategy: fine_tune, and a larger size.
base: {name}{BASE}
data: {{size: {size}}}
model:
  arch: {arch}
  pretrained: false{stem if has_small_stem else ""}
  head: {{pool: avg, hidden: [], dropout: 0.2}}
fit:
  strategy: scratch
  epochs: {_epochs(layout, machine, 5, 30)}
{_last_lines(layout)}"""


def _last_lines(layout: Layout) -> str:
    n_train = layout.n_train
    batch_size = 16 if n_train < 500 else 32 if n_train < 5_000 else 64
    return f"""  lr: find                 # from a range test, whose curve is stored with the run
  batch_size: {batch_size}
seeds: [0]                 # [0, 1, 2]: three runs, a better blend
"""


def _epochs(layout: Layout, machine: Machine, fewest: int, most: int) -> int:
    return max(fewest, min(most, BUDGET[machine.has_gpu] // max(1, layout.n_train)))


def _data_path(path: str, layout: Layout) -> str:
    """An archive as the user wrote it, else the folder where the layout begins."""
    if Path(path).is_file():
        return path
    return str(layout.root if Path(path).is_absolute() else _relative(path, layout.root))


def _relative(path: str, root: Path) -> Path:
    """The layout's root relative to ENS_DATA or the current folder, as the user's path is."""
    for parent in (os.environ.get("ENS_DATA"), "."):
        folder = (Path(parent) / path).absolute() if parent else None
        if folder and root.absolute().is_relative_to(folder):
            return Path(path) / root.absolute().relative_to(folder)
    return root


def _quoted(text: str) -> str:
    """A value that YAML reads as this text, in quotes only where it needs them."""
    is_plain = re.fullmatch(r"[A-Za-z][A-Za-z_./-]*", text) and text.lower() not in _YAML_WORDS
    return text if is_plain else _in_quotes(text)


def _in_quotes(text: str) -> str:
    """In single quotes, or escaped where line ends or control characters would not survive."""
    if not text.isprintable():
        return yaml.safe_dump(text, default_style='"', width=sys.maxsize).strip()
    return "'" + text.replace("'", "''") + "'"
