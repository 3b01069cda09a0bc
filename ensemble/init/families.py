"""One recipe for each family of networks, as large and as long as this machine bears.

Where timm's hub answers, two frozen bodies with an exact last layer come first: they need no rate
and no epochs, and DINOv2's features are those that recent winners freeze.
"""

from dataclasses import dataclass

from ensemble.hardware import Machine
from ensemble.init.sizes import SMALL, scratch_size
from ensemble.recipe.shipped import BASE

BUDGET = {True: 600_000, False: 30_000}  # images per run, over all epochs, with and without a GPU
PRETRAINED = {
    "vgg": "vgg19",
    "resnet": "resnet34",
    "densenet": "densenet121",
    "efficientnet": "efficientnet_b0",
}
SCRATCH = {
    "vgg": "vgg11_bn",
    "resnet": "resnet10t",
    "densenet": "densenet121",
    "efficientnet": "efficientnet_b0",
}


PROBED = {  # with and without a GPU; DINOv3's own license wants consent, so it is no default
    "dinov2": {
        True: "vit_base_patch14_dinov2.lvd142m",
        False: "vit_small_patch14_dinov2.lvd142m",
    },
    "convnext": {True: "convnext_base.fb_in22k", False: "convnext_tiny.fb_in22k"},
}
DINOV2_SIZE = {
    True: 224,
    False: 112,
}  # px, a multiple of its patches; its own 518 cost five times more


@dataclass(frozen=True)
class Setting:
    """What the families depend on: the recipes' name, the images' short side in pixels and their
    number, and the machine.
    """

    name: str
    side: int
    n_train: int
    machine: Machine

    def epochs(self, fewest: int, most: int) -> int:
        """As many epochs as the machine's budget of images allows, within bounds."""
        return max(fewest, min(most, BUDGET[self.machine.has_gpu] // max(1, self.n_train)))


def families(setting: Setting) -> dict[str, str]:
    """The text of one recipe per family."""
    machine = setting.machine
    if machine.has_hub:
        probes = {name: _probe(setting, name) for name in PROBED}
        tuned = {family: _pretrained(setting, arch, "true") for family, arch in PRETRAINED.items()}
        return probes | tuned
    # on 1,150 digits efficientnet_lite0 reached 45 %, test_efficientnet 98 % (docs/log.md)
    archs = SCRATCH if machine.has_gpu else SCRATCH | {"efficientnet": "test_efficientnet"}
    texts = {family: _scratch(setting, arch) for family, arch in archs.items()}
    if machine.has_package:
        texts["efficientnet"] = _pretrained(setting, "tf_efficientnet_lite0", "package")
    return texts


def _pretrained(setting: Setting, arch: str, weights: str) -> str:
    source = "timm's hub" if weights == "true" else "the package index"
    n_epochs = setting.epochs(3, 15)
    if setting.machine.has_gpu:
        fit = f"""  strategy: fine_tune      # only the new head for frozen_epochs, then all layers
  frozen_epochs: 1
  epochs: {n_epochs}"""
    else:
        fit = f"""  strategy: feature_extract # only the head trains; with a GPU: fine_tune
  epochs: {n_epochs}"""
    return f"""# {arch} with ImageNet weights from {source}.
base: {setting.name}{BASE}
model:
  arch: {arch}
  pretrained: {weights}
  head: keep               # only the last layer is new; or {{pool: concat, hidden: [512]}}
fit:
{fit}
{_last_lines(setting)}"""


def _probe(setting: Setting, name: str) -> str:
    has_gpu = setting.machine.has_gpu
    arch, size = PROBED[name][has_gpu], ""
    if name == "dinov2":
        size = f"data: {{size: {DINOV2_SIZE[has_gpu]}}}          # its own 518 px see more, and cost more\n"
    return f"""# The features of a frozen {arch} and the exact last layer: no rate, no epochs.
base: {setting.name}{BASE}
{size}model:
  arch: {arch}
  pretrained: true         # from timm's hub
  head: keep
fit:
  strategy: linear_probe   # then fine_tune with model.pretrained: run:{setting.name}_{name}
seeds: [0]
"""


def _scratch(setting: Setting, arch: str) -> str:
    size = scratch_size(setting.side, setting.n_train, setting.machine)
    # on a CPU a small stem's sixteen times as many pixels cost too much
    has_small_stem = size <= SMALL and setting.machine.has_gpu
    stem = (
        "\n  stem: small              # 3×3, stride 1: otherwise the last feature maps would be 1×1"
    )
    return f"""# {arch} from scratch: timm's hub could not be reached when this was written.
# With it: model.pretrained: true, fit.strategy: fine_tune, and a larger size.
base: {setting.name}{BASE}
data: {{size: {size}}}
model:
  arch: {arch}
  pretrained: false{stem if has_small_stem else ""}
  head: {{pool: avg, hidden: [], dropout: 0.2}}
fit:
  strategy: scratch
  epochs: {setting.epochs(5, 30)}
{_last_lines(setting)}"""


def _last_lines(setting: Setting) -> str:
    n_train = setting.n_train
    batch_size = 16 if n_train < 500 else 32 if n_train < 5_000 else 64
    return f"""  lr: find                 # from a range test, whose curve is stored with the run
  batch_size: {batch_size}
seeds: [0]                 # [0, 1, 2]: three runs, a better blend
"""
