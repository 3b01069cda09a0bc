"""Several labels, and numbers, of real images: ens beside scikit-learn on the same features.

    python bench/mosaics.py CIFAR10 [--seeds 5] [--images 700]

CIFAR10 is a folder with test/<class>/. Each seed draws mosaics of four test images at 64 px: labels
are the classes present, the number is how many of the four are animals. EfficientNet-Lite0 with
ImageNet weights is frozen at 128 px, without augmentation; ens trains its last layer for 15 epochs
at a rate of 0.01, on 70 % of the mosaics. scikit-learn gets the same network's features of the same
images: one logistic regression per label, and ridge regression.
"""

import argparse
import csv
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import roc_auc_score, root_mean_squared_error
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import ensemble
from ensemble.learn.features import split_network
from ensemble.recipe import Recipe
from ensemble.runs import Run

ANIMALS = {"bird", "cat", "deer", "dog", "frog", "horse"}
STRENGTHS = {"labels": (1e-4, 1e-3, 1e-2), "number": (1e4, 1e3, 1e2)}  # C, and ridge's alpha
RECIPE = """
data: {{source: csv, path: {path}, train: images, labels: {{file: truth.csv, id: image,
  label: {target}}}, target: {target}, metric: {metric}, valid: 0.3, split_seed: {seed}, size: 128}}
augment: none
model: {{arch: tf_efficientnet_lite0, pretrained: package, head: keep}}
fit: {{strategy: feature_extract, epochs: 15, lr: 0.01}}
seeds: [{seed}]
"""


def main() -> None:
    """Print every seed's scores, then their means."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--images", type=int, default=700)
    flags = parser.parse_args()
    start, scores = time.monotonic(), dict[str, list[float]]()
    for seed in range(flags.seeds):
        with tempfile.TemporaryDirectory() as work:
            draw_mosaics(flags.folder / "test", Path(work), flags.images, seed)
            for name, score in scores_of_seed(Path(work), seed):
                scores.setdefault(name, []).append(score)
                print(f"seed {seed}  {name:32} {score:.4f}", flush=True)
    for name, of_seeds in scores.items():
        print(f"{name:32} {np.mean(of_seeds):.4f} ± {np.std(of_seeds, ddof=1):.4f} (sd)")
    print(f"{(time.monotonic() - start) / 60:.1f} min, {torch.get_num_threads()} threads")


def draw_mosaics(images: Path, work: Path, n_mosaics: int, seed: int) -> None:
    """Write mosaics and truth.csv into a folder."""
    rng = np.random.default_rng(seed)
    files = sorted(images.glob("*/*.png"))
    (work / "images").mkdir()
    with (work / "truth.csv").open("w", newline="", encoding="utf-8") as stored:
        writer = csv.writer(stored)
        writer.writerow(["image", "labels", "number"])
        for i in range(n_mosaics):
            mosaic, chosen = Image.new("RGB", (64, 64)), rng.choice(len(files), 4, replace=False)
            for place, file in enumerate(files[j] for j in chosen):
                mosaic.paste(Image.open(file), (32 * (place % 2), 32 * (place // 2)))
            mosaic.save(work / "images" / f"{i:04d}.png")
            names = [files[j].parent.name for j in chosen]
            n_animals = sum(name in ANIMALS for name in names)
            writer.writerow([f"{i:04d}", " ".join(sorted(set(names))), n_animals])


def scores_of_seed(work: Path, seed: int) -> Iterable[tuple[str, float]]:
    """The scores on the validation mosaics, by target and model."""
    for target, metric in (("labels", "roc_auc"), ("number", "rmse")):
        path = work / f"{target}.yaml"
        text = RECIPE.format(path=work, target=target, metric=metric, seed=seed)
        path.write_text(text, encoding="utf-8")
        (run,) = ensemble.train(Recipe.load(path), runs=work / "runs")
        assert run.scores.score is not None
        yield f"{target}: ens", run.scores.score
        (train, train_true), (valid, valid_true) = features_of(run)
        for strength in STRENGTHS[target]:
            if target == "labels":
                one = LogisticRegression(C=strength, max_iter=2000)
                model = make_pipeline(StandardScaler(), OneVsRestClassifier(one))
                probs = model.fit(train, train_true).predict_proba(valid)
                yield f"labels: logistic, C {strength:g}", roc_auc_score(valid_true, probs)
            else:
                model = make_pipeline(StandardScaler(), Ridge(strength))
                values = model.fit(train, train_true).predict(valid)
                yield f"number: ridge, {strength:g}", root_mean_squared_error(valid_true, values)
        if target == "number":
            yield "number: mean value", float(np.std(valid_true))


def features_of(run: Run) -> list[tuple[Any, Any]]:
    """Features (images, 1280) and the truth, of the training and of the validation images."""
    learn = ensemble.load_learner(run)
    network = split_network(learn.model.eval(), Recipe.load(run.folder / "recipe.yaml").model)
    assert network is not None
    outputs = run.record().scale
    splits = []
    for loader in (learn.dls.train.new(shuffle=False, drop_last=False), learn.dls.valid):
        with torch.no_grad():
            batches = [(network.body(x).numpy(), y.numpy()) for x, y in loader]
        features, truth = (np.concatenate(columns) for columns in zip(*batches, strict=True))
        splits.append((features, truth * outputs.deviation + outputs.mean if outputs else truth))
    return splits


if __name__ == "__main__":
    main()
