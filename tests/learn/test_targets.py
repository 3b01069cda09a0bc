"""Several labels per image, and numbers: what the network learns, and what its run stores."""

import csv
import re
from copy import deepcopy

import numpy as np
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.block import DataBlock, MultiCategoryBlock, RegressionBlock
from fastai.data.transforms import IndexSplitter, Normalize
from fastai.torch_core import trainable_params
from fastai.vision.data import ImageBlock
from fastai.vision.learner import vision_learner
from PIL import Image
from sklearn.metrics import f1_score, root_mean_squared_error
from torch.nn.functional import logsigmoid

from ensemble.dataset.load import load
from ensemble.engines.local import train_all
from ensemble.errors import RecipeError
from ensemble.events import EpochEnded, ignore
from ensemble.inference import Predictor, predict
from ensemble.learn.build_learner import learner_of_recipe, set_up
from ensemble.learn.outputs import Outputs, scale_of
from ensemble.recipe import Recipe
from ensemble.runs import RunStore, history_of
from ensemble.runs.job import Job, jobs_of

COLOURS = {"blue": (40, 40, 200), "green": (40, 200, 40), "red": (200, 40, 40), "grey": (128,) * 3}
RECIPE = """
data: {{source: csv, path: {path}, valid: 0.25, test: test, size: 32, {data}}}
augment: none
model: {{arch: test_resnet, pretrained: false, head: keep}}
fit: {{strategy: scratch, epochs: 3, lr: 0.01, batch_size: 8}}
"""
LABELS = "target: labels, labels: {file: train.csv, id: image, label: colours}"
COLUMNS = "target: labels, labels: {file: train.csv, id: image, columns: [blue, green, red]}"
NUMBER = "target: number, labels: {file: train.csv, id: image, label: reds}"


def _mosaic(names):
    pixels = np.zeros((32, 32, 3), np.uint8)
    for i, name in enumerate(names):
        top, left = 16 * (i // 2), 16 * (i % 2)
        pixels[top : top + 16, left : left + 16] = COLOURS[name]
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def mosaics(tmp_path_factory):
    """A folder of 64 labeled and 8 test images of four squares, and a table of their colours."""
    folder = tmp_path_factory.mktemp("mosaics")
    rng = np.random.default_rng(0)
    rows = []
    for split, n in (("train", 64), ("test", 8)):
        (folder / split).mkdir()
        for i in range(n):
            names = rng.choice(list(COLOURS), 4).tolist()
            _mosaic(names).save(folder / split / f"{split}{i:02d}.png")
            colours = sorted(set(names) - {"grey"})
            ones = [int(name in colours) for name in ("blue", "green", "red")]
            # counted in thousands, so that a number that is not scaled cannot be learned
            rows.append(
                (f"train{i:02d}", " ".join(colours), *ones, 1000 * names.count("red") + 5000)
            )
        if split == "train":
            with (folder / "train.csv").open("w", newline="") as stored:
                writer = csv.writer(stored)
                writer.writerow(["image", "colours", "blue", "green", "red", "reds"])
                writer.writerows(rows)
    return folder


@pytest.fixture
def recipe_for(mosaics, tmp_path):
    """recipe_for(data, *overrides): the small recipe about the mosaics."""

    def recipe_for(data, *overrides):
        path = tmp_path / "mosaics.yaml"
        path.write_text(RECIPE.format(path=mosaics, data=data))
        return Recipe.load(path, overrides)

    return recipe_for


@pytest.fixture
def trained(recipe_for, tmp_path):
    """trained(data, *overrides): the finished run and the epochs that its training reported."""

    def trained(data, *overrides):
        recipe, events = recipe_for(data, *overrides), []
        store = RunStore(tmp_path / "runs")
        runs, failures = train_all(jobs_of([recipe]), store, events.append)
        assert not failures, failures
        return runs[0], [event for event in events if isinstance(event, EpochEnded)]

    return trained


def _truth(mosaics, ids):
    with (mosaics / "train.csv").open() as stored:
        rows = {row["image"]: row for row in csv.DictReader(stored)}
    return [rows[image_id] for image_id in ids]


def test_a_run_on_labels_learns_each_label_and_stores_what_is_true(trained, mosaics):
    run, epochs = trained(LABELS, "fit.epochs=12")
    valid, test = run.valid(), run.test()
    assert (valid.target, valid.classes) == ("labels", ("blue", "green", "red"))
    assert epochs[-1].train_loss < 0.7 * epochs[0].train_loss
    names = [row["colours"].split() for row in _truth(mosaics, valid.ids)]
    expected = [[int(name in each) for name in valid.classes] for each in names]
    assert valid.targets.tolist() == expected
    assert ((valid.probs > 0.5) == valid.targets).mean() > 0.8
    assert (test.target, test.targets, test.probs.shape) == ("labels", None, (8, 3))
    assert not np.allclose(test.probs.sum(1), 1)
    assert (epochs[0].accuracy, run.scores.accuracy) == (None, None)


def test_columns_of_ones_mean_the_same_as_their_names_in_a_cell(trained):
    by_text, by_columns = trained(LABELS)[0], trained(COLUMNS)[0]
    assert by_text.data.valid == by_columns.data.valid
    assert by_text.valid().probs.tobytes() == by_columns.valid().probs.tobytes()
    assert by_text.data.class_counts == by_columns.data.class_counts


def test_a_run_on_numbers_answers_in_their_unit(trained, mosaics):
    run, epochs = trained(NUMBER, "fit.epochs=15")
    valid = run.valid()
    assert (valid.target, valid.classes) == ("number", ("reds",))
    assert valid.targets.tolist() == [float(row["reds"]) for row in _truth(mosaics, valid.ids)]
    errors = valid.probs[:, 0] - valid.targets
    assert np.sqrt(np.mean(errors**2)) < 0.6 * valid.targets.std()
    assert 4000 < valid.probs.mean() < 8000
    scale = run.record().scale
    assert scale.least == 5000
    assert run.data.mean == scale.mean
    assert run.prior()[0] == pytest.approx(scale.mean)


@pytest.mark.parametrize(("data", "metric"), [(LABELS, "f1_samples"), (NUMBER, "rmse")])
def test_epochs_and_the_run_are_scored_by_the_metric_in_its_unit(data, metric, trained):
    run, epochs = trained(data, f"data.metric={metric}", "fit.monitor=metric")
    valid = run.valid()
    if data == LABELS:
        expected = f1_score(valid.targets, valid.probs > 0.5, average="samples", zero_division=0)
        best = max(epoch.score for epoch in epochs)
    else:
        expected = root_mean_squared_error(valid.targets, valid.probs[:, 0])
        best = min(epoch.score for epoch in epochs)
    assert run.scores.score == pytest.approx(expected, rel=1e-5)
    assert best == pytest.approx(expected, rel=1e-5)
    assert history_of(run)[0].accuracy is None


@pytest.mark.parametrize("numbers", [[0, 1, 2, 3, 4, 4, 0], [5000, 9000, 7000], [0.25, 1.7, -3.1]])
def test_what_a_batch_compares_with_is_what_is_true_again(numbers):
    truth = np.array(numbers, np.float64)
    outputs = Outputs("number", scale_of(truth))
    decoded = outputs.decoded(torch.from_numpy(outputs.encoded(truth))).numpy()
    if (truth == truth.round()).all():  # grades must be whole for the kappa of an epoch
        assert decoded.tolist() == truth.tolist()
    np.testing.assert_allclose(decoded, truth, rtol=1e-5)


def _plain_loaders(mosaics, ids, n_train, block, label_of, stats):
    """fastai's own loaders of these images: the first n_train for training, none shuffled."""
    pipeline = DataBlock(
        blocks=(ImageBlock, block),
        get_x=lambda image_id: mosaics / "train" / f"{image_id}.png",
        get_y=label_of,
        splitter=IndexSplitter(list(range(n_train, len(ids)))),
        batch_tfms=[Normalize.from_stats(*stats, cuda=False)],
    )
    return pipeline.dataloaders(ids, bs=8, val_bs=16, shuffle=False, drop_last=True, num_workers=0)


@pytest.mark.parametrize("data", [LABELS, NUMBER])
def test_losses_are_those_of_plain_fastai_with_its_own_blocks(data, recipe_for, mosaics):
    is_labels = data == LABELS
    recipe = recipe_for(data, *([] if is_labels else ["fit.loss=mse"]))
    images = load(recipe.data)
    built = set_up(Job(recipe, 0), images, RunStore(), lambda event: None)
    ids, n_train = [*images.train.ids, *images.valid.ids], len(images.train)
    rows = {row["image"]: row for row in _truth(mosaics, ids)}
    reds = np.array([float(rows[image_id]["reds"]) for image_id in images.train.ids])
    stats = built.preprocess.mean, built.preprocess.std
    names = ["blue", "green", "red"]
    block = MultiCategoryBlock(vocab=names) if is_labels else RegressionBlock(n_out=1)

    def label_of(image_id):
        if is_labels:
            return rows[image_id]["colours"].split()
        return (float(rows[image_id]["reds"]) - reds.mean()) / reds.std()

    dls = _plain_loaders(mosaics, ids, n_train, block, label_of, stats)
    torch.manual_seed(0)
    n_out = 3 if is_labels else 1
    plain = vision_learner(dls, "test_resnet", n_out=n_out, pretrained=False, normalize=False)
    plain.model[1] = torch.nn.Sequential(*(m for m in plain.model[1] if "Dropout" not in str(m)))
    plain.splitter, plain.opt_func, plain.wd = trainable_params, built.learn.opt_func, 0.01
    ours = built.learn
    ours.model, ours.splitter, ours.opt = deepcopy(plain.model), trainable_params, None
    ours.dls.train = ours.dls.train.new(shuffle=False)
    losses = []
    for learn in (plain, ours):
        with learn.no_bar(), learn.no_logging():
            learn.fit(2, 1e-5)  # larger steps magnify sums in another order (channels last)
        losses.append([row[:2] for row in learn.recorder.values])
    np.testing.assert_allclose(losses[1], losses[0], atol=1e-4)
    assert losses[0][0] != losses[0][-1]


def test_label_weights_and_smoothing_are_those_of_binary_cross_entropy(recipe_for):
    recipe = recipe_for(LABELS, "fit.class_weights=balanced", "fit.label_smoothing=0.2")
    built = set_up(Job(recipe, 0), load(recipe.data), RunStore(), lambda event: None)
    x, y = built.learn.dls.valid.one_batch()
    logits = torch.linspace(-3, 3, y.numel()).reshape(y.shape)
    truth = built.images.targets[built.images.splits["train"]]
    positive = torch.tensor((truth == 0).sum(0) / truth.sum(0))
    soft = y.as_subclass(torch.Tensor) * 0.8 + 0.1
    per_cell = positive * soft * -logsigmoid(logits) + (1 - soft) * -logsigmoid(-logits)
    assert float(built.learn.loss_func(logits, y)) == pytest.approx(float(per_cell.mean()))


class SeesTargets(Callback):
    """Keeps the targets of training batches as the loss gets them."""

    order = 95

    def before_fit(self):
        self.targets = []

    def before_batch(self):
        if self.training:
            self.targets.append(self.yb[0].clone())


def test_mixup_mixes_labels_and_numbers(recipe_for):
    for data in (LABELS, NUMBER):
        recipe = recipe_for(data, "augment={mixup: 0.4}")
        learn = set_up(Job(recipe, 0), load(recipe.data), RunStore(), lambda event: None).learn
        spy = SeesTargets()
        learn.fit(1, 1e-3, cbs=[spy])
        images = learn.dls.train.stored_image.images
        truth = torch.tensor(images.encoded[images.splits["train"]]).unique()
        assert spy.targets
        assert not any(torch.isin(targets, truth).all() for targets in spy.targets)
        low, high = truth.min() - 1e-6, truth.max() + 1e-6
        assert all(low <= y.min() and y.max() <= high for y in spy.targets)


def test_clip_keeps_answers_within_the_training_numbers(trained):
    overrides = ("fit.lr=1", "fit.epochs=1")
    wild, clipped = (trained(NUMBER, f"data.clip={clip}", *overrides)[0] for clip in (False, True))
    scale = wild.record().scale
    expected = wild.valid().probs.clip(scale.least, scale.most)
    assert not np.array_equal(expected, wild.valid().probs)
    np.testing.assert_allclose(clipped.valid().probs, expected)


@pytest.mark.parametrize("data", [LABELS, NUMBER])
def test_a_frozen_body_with_cached_features_trains_as_one_without(data, trained):
    overrides = ("fit.strategy=feature_extract", "fit.epochs=2")
    cached, afresh = (trained(data, *overrides, f"fit.feature_views={n}")[0] for n in (1, 0))
    assert cached.record().feature_views == 1
    np.testing.assert_allclose(cached.valid().probs, afresh.valid().probs, rtol=1e-3)


@pytest.mark.parametrize("data", [LABELS, NUMBER])
def test_folds_a_refit_and_prediction_from_the_stored_networks_agree(
    data, trained, mosaics, tmp_path
):
    run, _ = trained(data, "data.valid={folds: 2}", "refit=true", "tta=flip", "fit.epochs=1")
    valid, test = run.valid(), run.test()
    assert len(valid.ids) == 64
    assert set(_truth(mosaics, valid.ids)[0]) == {
        "image",
        "colours",
        "blue",
        "green",
        "red",
        "reds",
    }
    out = tmp_path / "answers.csv"
    predict([mosaics / "test"], Predictor.of_run(run), out, ignore)
    with out.open() as stored:
        rows = list(csv.DictReader(stored))
    answers = [[float(row[name]) for name in test.classes] for row in rows]
    assert [row["id"] for row in rows] == test.ids.tolist()
    np.testing.assert_allclose(answers, test.probs, rtol=1e-4)
    assert run.test_refit().target == test.target
    if data == NUMBER:
        assert 4000 < run.test_refit().probs.mean() < 8000


def test_a_training_of_numbers_resumes_to_the_same_bytes(recipe_for, tmp_path):
    recipe, folder = recipe_for(NUMBER), tmp_path / "runs"
    whole = train_all(jobs_of([recipe]), RunStore(tmp_path / "whole"), ignore)[0][0]

    def interrupt(event):
        if isinstance(event, EpochEnded) and event.epoch == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_all(jobs_of([recipe]), RunStore(folder), interrupt)
    resumed = train_all(jobs_of([recipe]), RunStore(folder), ignore)[0][0]
    assert resumed.valid().probs.tobytes() == whole.valid().probs.tobytes()


def test_the_learner_from_python_shows_and_predicts_numbers_in_their_unit(recipe_for, mosaics):
    recipe = recipe_for(NUMBER)
    learn = learner_of_recipe(recipe)
    _, y = learn.dls.train.one_batch()
    assert abs(float(y.mean())) < 2
    decoded = learn.dls.train.decode_batch(learn.dls.train.one_batch())
    assert 5000 <= decoded[0][1] <= 9000
    with learn.no_bar():
        value, _, _ = learn.predict(mosaics / "test" / "test00.png")
    assert 1000 < float(value) < 12_000


@pytest.mark.parametrize(
    ("data", "override", "message"),
    [
        (NUMBER, "augment={cutmix: 1.0}", "augment.cutmix belongs to data.target: class or labels"),
        (NUMBER, "fit.label_smoothing=0.1", "fit.label_smoothing belongs to data.target: class or"),
        (NUMBER, "fit.class_weights=balanced", "fit.class_weights belongs to data.target: class"),
        (NUMBER, "fit.sampler=balanced", "fit.sampler: balanced belongs to data.target: class"),
        (LABELS, "fit.sampler=balanced", "fit.sampler: balanced belongs to data.target: class"),
        (LABELS, "fit.loss=mse", "fit.loss: mse belongs to data.target: number, this is labels"),
        (LABELS, "fit.monitor=accuracy", "fit.monitor: accuracy belongs to data.target: class"),
    ],
)
def test_a_setting_of_another_target_is_refused(data, override, message, recipe_for):
    recipe = recipe_for(data, override)
    with pytest.raises(RecipeError, match=re.escape(message)):
        set_up(Job(recipe, 0), load(recipe.data), RunStore(), ignore)
