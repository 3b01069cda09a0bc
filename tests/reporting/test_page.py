"""The report as text: complete, escaped and of a limited size for every kind of runs."""

import re
from collections import Counter
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import ensemble
from ensemble.blending import Options
from ensemble.errors import SelectionError
from ensemble.predictions import Predictions
from ensemble.reporting.collect import collect
from ensemble.reporting.images import CHANGED, NOT_OPENED
from ensemble.reporting.mistakes import mistakes_of
from ensemble.reporting.page import render
from ensemble.reporting.values import Axis
from ensemble.runs import Listing, RunStore, StoredRun, publish

SECTIONS = ("runs", "blend", "recipes", "mistakes", "images", "each")
VOID = {"meta", "link", "img", "br", "path", "rect", "image"}
STYLE = Path(ensemble.__file__).parent / "reporting/templates/page.css"


class Outline(HTMLParser):
    """A page's ids, link targets, headings, open elements, words, images without alt text."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.targets, self.headings = [], [], []
        self.open, self.words, self.unlabeled = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, pairs):
        attributes = dict(pairs)
        self.ids += [attributes["id"]] if "id" in attributes else []
        target = attributes.get("href", "")
        self.targets += [target[1:]] if target.startswith("#") else []
        self.headings += [int(tag[1])] if re.fullmatch("h[1-6]", tag) else []
        assert tag not in ("script", "iframe", "object", "form")
        assert not any(name.startswith("on") for name in attributes)
        is_unlabeled_img = tag == "img" and "alt" not in attributes
        is_unlabeled_svg = tag == "svg" and not attributes.get("aria-label")
        if is_unlabeled_img or is_unlabeled_svg:
            self.unlabeled.append((tag, attributes))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, text):
        self.words.append(text)


def checked(page, n_groups):
    """The outline of a page, which must be complete."""
    outline = Outline(page)
    assert outline.open == []
    assert [name for name, n in Counter(outline.ids).items() if n > 1] == []
    assert set(outline.targets) <= set(outline.ids)
    assert {f"{section}{i}" for section in SECTIONS for i in range(1, n_groups + 1)} <= set(
        outline.ids
    )
    assert outline.headings[0] == 1
    assert all(
        after <= before + 1
        for before, after in zip(outline.headings, outline.headings[1:], strict=False)
    )
    assert outline.unlabeled == []
    assert re.findall(r'(?:src|href)="(?!#|data:)', page) == []
    assert "url(" not in page
    return outline


@pytest.mark.parametrize("n_classes", [2, 10, 120])
def test_a_page_is_complete_and_smaller_than_five_megabytes(pages, n_classes):
    page = pages[str(n_classes)]
    outline = checked(page, 1)
    words = " ".join(outline.words)
    for text in (
        "cross-fitted",
        "chance",
        "most common class",
        "95 % interval",
        "Range test, 30 steps",
    ):
        assert text in words
    assert "not available" in words
    assert len(page) < 5e6
    assert page.count('class="matrix"') == (10 if n_classes > 15 else 0)


def test_the_page_is_the_same_for_the_same_runs(pages, photos, page_of):
    assert page_of(photos) == pages["photos"]


def test_available_images_are_shown_with_their_copies(pages):
    page = pages["photos"]
    words = " ".join(checked(page, 1).words)
    assert "not available" not in words
    assert "exact copy, two labels" in words
    assert page.count("data:image/png") > 12


def test_a_page_without_its_images_says_why(photos, tmp_path):
    runs = photos.all().runs
    moved = [run.model_copy(update={"folder": tmp_path / run.id}) for run in runs]
    for run, old in zip(moved, runs, strict=True):
        run.folder.mkdir()
        for file in old.folder.iterdir():
            (run.folder / file.name).write_bytes(file.read_bytes())
        (run.folder / "recipe.yaml").write_text(
            "data: {source: folder, path: nowhere, valid: 0.4}\nmodel: {arch: resnet18}\n"
        )
    report = collect(Listing(moved, [], []), {}, lambda *_: None)
    assert "nowhere" in report.groups[0].data.details
    assert NOT_OPENED in unescape(render(report))
    changed = [
        run.model_copy(update={"data": run.data.model_copy(update={"valid": "changed"})})
        for run in runs
    ]
    assert CHANGED in render(collect(Listing(changed, [], []), {}, lambda *_: None))


def test_odd_runs_are_shown_or_named_and_every_name_is_escaped(pages):
    page = pages["odd"]
    outline = checked(page, 3)
    words = " ".join(outline.words)
    assert "<script>alert" in words
    assert "日本テリア & <b>" in words
    assert "<i>alone</i>" in words
    assert "a blend needs a second run" in words
    assert "imported predictions" in words
    assert re.search(r"Left out, damaged:\s+\S*damaged-1-s0", words)
    assert "1 of 5 folds" in words


def test_damaged_curves_are_named_and_each_file_is_read_once(
    tmp_path, runs_of, page_of, monkeypatch
):
    store = runs_of(tmp_path, "made", 3, 2)
    for run in store.finished():
        (run.folder / "history.csv").write_text("epoch,phase\n1,frozen\n")
        (run.folder / "lr_find.csv").write_text("rate,smoothed_loss\nx,nan\n")
    read_text, names = StoredRun.read_text, []

    def counting(run, name):
        names.append(name)
        return read_text(run, name)

    monkeypatch.setattr(StoredRun, "read_text", counting)
    words = " ".join(checked(page_of(store), 1).words)
    assert "No curves: history.csv" in words
    assert len(re.findall(r"Left out, damaged:\s+\S+history.csv", words)) == 2
    assert len(re.findall(r"Left out, damaged:\s+\S+lr_find.csv", words)) == 2
    assert (names.count("history.csv"), names.count("lr_find.csv")) == (2, 2)


def test_the_blend_is_that_of_the_newest_submission(tmp_path, runs_of, page_of):
    store = runs_of(tmp_path, "made", 3, 4)
    runs = [run for run in store.finished() if run.scores.accuracy >= 0.71]
    rows, members = runs[0].data.valid, frozenset(run.id for run in runs)
    page = page_of(store, {rows: ("mine.csv", Options(weights="greedy", min_acc=0.71), members)})
    assert (
        "the options of <code>mine.csv</code>: greedy weights, arithmetic mean, "
        "runs of at least 71.00 %" in page
    )
    options = Options(weights="greedy", min_acc=0.71, min_score=0.5)
    page = page_of(store, {rows: ("mine.csv", options, members - {runs[0].id})})
    assert "≥ 71.00 %, accuracy ≥ 0.5" in page
    assert (
        "mine.csv</code>, <b>which has other members</b>: "
        "this blend is chosen in the same way from the 4 runs here" in page
    )


def test_no_run_is_an_error_with_the_next_step(tmp_path):
    with pytest.raises(SelectionError, match="quickstart"):
        collect(RunStore(tmp_path).all(), {}, lambda *_: None)


def test_a_pattern_without_a_run_is_named(tmp_path, fake_run, failing_ens):
    fake_run(tmp_path / "runs", "a-1-s0")
    told = failing_ens(1, "report", "b*", "--runs", tmp_path / "runs")
    assert "matches b*\n`ens runs` lists" in told


def test_mistakes_count_the_predicted_classes_of_each_true_class():
    probs = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    predictions = Predictions(np.array(list("wxyz")), ("a", "b"), probs, np.array([0, 0, 0, 1]))
    mistakes = mistakes_of(predictions, lambda image_id: f"uri of {image_id}")
    assert mistakes.confusion.tolist() == [[1, 2], [0, 1]]
    first, second = mistakes.shown
    assert (first.id, first.true, first.predicted, first.thumbnail) == ("x", "a", "b", "uri of x")
    assert (first.confidence, first.prob_of_true) == pytest.approx((0.8, 0.2))
    assert second.id == "y"
    (pair,) = mistakes.pairs
    assert (pair.true, pair.predicted, pair.n, pair.n_true) == ("a", "b", 2, 3)
    assert sum(each.n for each in mistakes.bins) == 4


def test_an_axis_holds_every_interval_between_round_ticks(made_up, rng):
    from ensemble.metrics import wilson

    axis = Axis.over([wilson(0.97, 288), wilson(0.99, 288)])
    assert axis.low <= 0.943
    assert axis.high == 1
    assert [axis.position(value) for value in (axis.low, axis.high, 2)] == [0, 100, 100]


def luminance(color):
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first, second):
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def themes():
    """The colors of the light and of the dark theme by their names, as #rrggbb."""
    text = STYLE.read_text(encoding="utf-8")
    for block in re.findall(r":root \{(.*?)\}", text, re.DOTALL):
        colors = dict(re.findall(r"--([\w-]+): #(\w+);", block))
        yield {
            name: f"#{value if len(value) == 6 else ''.join(2 * digit for digit in value)}"
            for name, value in colors.items()
        }


def test_text_has_the_contrast_that_wcag_asks_for_in_light_and_dark():
    light, dark = themes()
    for theme in (light, dark):
        for name in ("ink", "muted", "blue", "orange", "green", "pink"):
            for ground in ("paper", "sheet", "glow"):
                assert contrast(theme[name], theme[ground]) >= 4.5, (name, ground)


@pytest.mark.parametrize(
    ("losses", "points"),
    [("nan", "0.1,nan\n"), ("inf", "0.001,2.0\n"), ("1e300", "0.001,2.0\n0.002,2.0\n")],
    ids=["nan", "infinite, one point", "huge, a level curve"],
)
def test_curves_that_diverged_are_drawn_as_far_as_they_can_be(
    tmp_path, runs_of, page_of, losses, points
):
    store = runs_of(tmp_path, "made", 3, 1)
    (run,) = store.finished()
    rows = "".join(f"{i},unfrozen,{losses},{losses},0.5,1,0\n" for i in (1, 2))
    (run.folder / "history.csv").write_text(
        "epoch,phase,train_loss,valid_loss,accuracy,seconds,is_best\n" + rows
    )
    (run.folder / "lr_find.csv").write_text("rate,smoothed_loss\n" + points)
    checked(page_of(store), 1)


def test_folds_are_one_run_and_folds_that_do_not_fit_are_named(
    tmp_path, fake_run, made_up, page_of
):
    for name, classes in (("good", "ab"), ("bad", "ac")):
        for fold in (0, 1):
            ids = [f"{fold}{i:03d}" for i in range(20)]
            guess = made_up(np.random.default_rng(fold), classes=classes if fold else "ab", ids=ids)
            run = fake_run(tmp_path, f"{name}-1-s0-f{fold}", predictions=guess)
            info = run.data.model_copy(update={"valid": f"both of {name}"})
            publish(run.model_copy(update={"fold": fold, "n_folds": 2, "data": info}))
    words = " ".join(checked(page_of(RunStore(tmp_path)), 1).words)
    assert "good-1-s0" in words
    assert re.search(r"Left out, unfinished:\s+bad-1-s0: its folds do not belong together", words)
    assert "median of 2 folds" in words


def test_runs_with_other_test_images_are_shown_without_a_blend(
    tmp_path, fake_run, made_up, rng, page_of
):
    fake_run(tmp_path, "a-1-s0")
    fake_run(tmp_path, "b-1-s0", test=made_up(rng, n=30))
    words = " ".join(checked(page_of(RunStore(tmp_path)), 1).words)
    assert re.search(r"No blend: .*do not have the same rows", words)


def test_of_very_many_classes_the_weakest_are_listed(tmp_path, runs_of, page_of):
    page = page_of(runs_of(tmp_path, "made", 300, 1, n=600))
    checked(page, 1)
    assert "The weakest 200 of 300 classes" in page
    assert len(page) < 1e6


def test_a_blend_by_log_loss_is_reported_in_nats(tmp_path, runs_of, page_of):
    store = runs_of(tmp_path, "made", 3, 2)
    rows = store.finished()[0].data.valid
    submission = ("mine.csv", Options(metric="log_loss", calibrate=True), frozenset())
    words = " ".join(Outline(page_of(store, {rows: submission})).words)
    assert re.search(r"both cross-fitted:\s+[+−]0\.\d{4} nats", words)
    assert "contribution, nats" in words


@pytest.mark.parametrize(
    ("metric", "level", "order"), [("quadratic_kappa", "0.0000", -1), ("log_loss", "1.0986", 1)]
)
def test_the_first_screen_is_in_the_metric_of_the_runs(
    metric, level, order, tmp_path, fake_run, made_up
):
    for i in range(3):
        guess = made_up(np.random.default_rng(i), 210, ("0", "1", "2"), 0.8 + 0.03 * i)
        run = fake_run(tmp_path, f"r{i}-{i}-s0", predictions=guess)
        publish(run.model_copy(update={"data": run.data.model_copy(update={"metric": metric})}))
    report = collect(RunStore(tmp_path).all(), {}, lambda *_: None)
    (group,) = report.groups
    screen = render(report).split('<main id="main">')[1].split("Leaderboard</h3>")[0]
    score = group.blend.blend.valid.score
    assert f'<div class="big">{score.value:.4f}</div>' in screen
    assert f"{score.low:.4f}–{score.high:.4f}" in screen
    assert f"<b>{level}</b>" in screen
    assert f"accuracy <b>{100 * group.blend.blend.valid.accuracy.value:.2f} %</b>" in screen
    assert ("(lower is better)" in screen) == (metric == "log_loss")
    scores = [view.score.value for view in group.runs]
    assert scores == sorted(scores, key=lambda score: order * score)
