"""What the terminal shows: every number, in plain lines, with all text escaped."""

import json
from io import StringIO
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from ensemble import display, events
from ensemble.blending import Options, make_blend
from ensemble.display import blends, live, results
from ensemble.display.text import LOG_WIDTH, _console, minutes, table
from ensemble.engines.jobs import Failure
from ensemble.errors import EnsembleError
from ensemble.metrics import Interval
from ensemble.numbers import interval_in_metric
from ensemble.predictions import Predictions
from ensemble.runs import Damaged
from ensemble.submission import write_submission


@pytest.fixture(autouse=True)
def _wide(monkeypatch):
    for console in (display.out, display.err):
        monkeypatch.setattr(console, "width", LOG_WIDTH)


@pytest.fixture
def run_on(tmp_path, fake_run):
    """run_on(data, name, info, **as fake_run): a run on this data set; info updates DataInfo."""

    def make(data, name, info=None, **options):
        run = fake_run(tmp_path / "runs", name, **options)
        return run.model_copy(
            update={"data": run.data.model_copy(update={"name": data} | (info or {}))}
        )

    return make


def row_of(text, name):
    return next(line for line in text.splitlines() if line.lstrip().startswith(name))


def test_numbers_are_written_one_way():
    assert display.percent(0.94716) == "94.72 %"
    assert display.percent(0.5, 1) == "50.0 %"
    assert (
        interval_in_metric(Interval(0.9472, 0.9427, 0.9515), "accuracy") == "94.72 % (94.27–95.15)"
    )
    assert [minutes(s) for s in (0.4, 99, 100, 5999, 6000)] == [
        "0 s",
        "99 s",
        "1.7 min",
        "100.0 min",
        "1.7 h",
    ]


@pytest.mark.parametrize(
    "text",
    [
        "labels.csv:100: 'x'",
        "[bold]a[/bold] [/x]",
        "C:\\new\\x",
        "a :smile: b",
        "x" * 300,
        "{'a': 1}",
    ],
)
def test_a_message_is_shown_character_by_character(text, capsys):
    display.say(text)
    display.next_commands(text)
    display.show_error(EnsembleError(text))
    shown = capsys.readouterr()
    assert shown.out == f"{text}\nnext:  {text}\n"
    assert shown.err == f"error: {text}\n"


def test_an_error_has_at_most_three_lines_all_on_stderr(capsys):
    display.show_error(EnsembleError("one\n\ntwo\nthree\nfour"))
    assert capsys.readouterr() == ("", "error: one\ntwo\nthree\n")
    display.show_error(EnsembleError())
    assert capsys.readouterr() == ("", "error: \n")


def test_several_next_commands_are_listed_one_per_line(capsys):
    display.next_commands("ens runs", "ens blend")
    assert capsys.readouterr().out == "next:  ens runs\n       ens blend\n"


def test_json_is_one_value_unchanged(capsys):
    value = {"é": ["[bold]", 0.1, None, "x" * 300]}
    display.show_json(value)
    assert json.loads(capsys.readouterr().out) == value


def test_the_leaderboard_has_one_table_per_data_set_best_first(run_on, capsys):
    runs = [
        run_on("flowers", "a-1-s0", accuracy=0.8),
        run_on("flowers", "b-1-s0", accuracy=0.9, arch="vgg19.tv_in1k"),
        run_on("digits", "c-1-s0", accuracy=0.7),
    ]
    display.show_runs(runs)
    shown = capsys.readouterr().out
    first, second = shown.split("digits: ")
    assert first.startswith("flowers: 200 validation images, 3 classes")
    assert first.index("b-1-s0") < first.index("a-1-s0")
    row = row_of(first, "b-1-s0")
    for cell in ("vgg19.tv_in1k", "90.00 % (85.06–93.43)", "2 of 3", "2 s"):
        assert cell in row
    assert "33.50 %" in row_of(first, "most common class")
    assert "33.33 %" in row_of(first, "chance")
    assert "c-1-s0" in second
    assert "a-1-s0" not in second


def test_runs_on_other_validation_rows_have_their_own_table(run_on, rng, made_up, capsys):
    display.show_runs([run_on("d", "a-1-s0"), run_on("d", "b-1-s0", predictions=made_up(rng, 50))])
    shown = capsys.readouterr().out
    assert "d: 200 validation images" in shown
    assert "d: 50 validation images" in shown


def test_unreadable_validation_images_do_not_narrow_the_interval(run_on, capsys):
    display.show_runs(
        [run_on("d", "a-1-s0", {"n_valid": 210, "unreadable": {"valid": ["x"] * 10}}, accuracy=0.9)]
    )
    assert "90.00 % (85.06–93.43)" in capsys.readouterr().out


def test_the_leaderboard_fits_a_terminal_of_80_columns_and_hides_no_part_of_an_id(
    run_on, monkeypatch, capsys
):
    monkeypatch.setattr(display.out, "width", 80)
    name = "a_very_long_recipe_name_that_somebody_chose-12345678-s0"
    display.show_runs([run_on("d", name), run_on("d", "b-1-s0")])
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 80
    assert name in "".join(
        line[:36].split(" ")[1] if line.startswith(" ") else "" for line in lines
    )
    assert any("b-1-s0" in line and "90.00 % (85.06–93.43)" in line for line in lines)


def test_names_with_brackets_are_names(run_on, capsys):
    runs = [run_on("pets [/x] [small]", "a[bold]-1-s0", arch="net[red]")]
    display.show_runs(runs, [Damaged(runs[0].folder, "runs/[red]x/run.json:100: cannot be read")])
    blends.show_blend(make_blend(runs))
    shown = capsys.readouterr().out
    assert shown.startswith("pets [/x] [small]: 200 validation images")
    assert shown.count("a[bold]-1-s0") == 2
    assert "net[red]" in shown
    assert "damaged: runs/[red]x/run.json:100: cannot be read\n" in shown
    assert "1 run on pets [/x] [small], 200 rows\n" in shown


def test_a_blend_shows_its_group_its_members_why_and_the_honest_score_first(run_on, capsys):
    runs = [
        run_on("flowers", "a-1-s0", accuracy=0.96, created="2024-01-02T00:00:00+00:00"),
        run_on("flowers", "b-1-s0", accuracy=0.9, arch="vgg19"),
        run_on("flowers", "c-1-s0", accuracy=0.8, arch="vgg19"),
        run_on("digits", "d-1-s0"),
    ]
    made = make_blend(runs, Options(min_acc=0.95, per_arch=1))
    blends.show_blend(made)
    shown = capsys.readouterr().out
    assert shown.startswith("3 runs on flowers, 200 rows; 1 on digits left out: --data digits\n")
    assert "≥ 95.00 %" in row_of(shown, "a-1-s0")
    assert "96.00 %" in row_of(shown, "a-1-s0")
    assert "kept for vgg19" in row_of(shown, "b-1-s0")
    assert f"{made.members[1].weight:.4f}" in row_of(shown, "b-1-s0")
    assert "left out: c-1-s0 at 80.00 %" in shown
    row = row_of(shown, "accuracy ←")
    assert interval_in_metric(made.valid.accuracy, "accuracy") in row
    assert f"{made.valid.log_loss.value:.4f} (" in row
    assert display.percent(made.valid.fitted_accuracy) in row
    assert made.valid.verdict in row
    assert display.percent(made.best.accuracy.value) in row_of(shown, "best member")
    assert "accuracy weights are almost equal weights" not in shown
    assert "(not applied; --calibrate applies it)" in shown


def test_without_a_threshold_every_run_is_in(run_on, capsys):
    blends.show_blend(make_blend([run_on("d", "a-1-s0")]))
    assert "every run" in row_of(capsys.readouterr().out, "a-1-s0")


def test_other_rows_of_the_same_data_set_are_left_out_by_that_name(run_on, rng, made_up):
    old = run_on("d", "a-1-s0", predictions=made_up(rng, 50))
    new = run_on("d", "b-1-s0", created="2024-01-02T00:00:00+00:00")
    assert (
        blends.group_line(make_blend([old, new]))
        == "1 run on d, 200 rows; 1 on d left out (other rows)"
    )


def test_a_submission_says_what_it_left_out_and_what_it_filled_in(run_on, tmp_path, capsys):
    sample = tmp_path / "sample.csv"
    sample.write_text("id,label\nt00000,a\nt00001,a\n")
    info = {"sample_submission": str(sample), "unreadable": {"test": ["t00007"]}}
    written = write_submission(make_blend([run_on("d", "a-1-s0", info)]), tmp_path, "mine")
    rows = [line.split(",") for line in written.path.read_text().splitlines()[1:]]
    blends.show_submission(written)
    assert capsys.readouterr().out.splitlines() == [
        f"{tmp_path / 'mine.csv'}: 2 rows, class_name, checked; mine.json explains it",
        *(f"  {image}: class {answer!r}" for image, answer in rows),
        "48 test images are not in the sample submission and were left out",
        "1 unreadable test image got the class shares of the training set: t00007",
    ]


def test_the_test_score_is_one_sentence(run_on, rng, made_up):
    guess = made_up(rng, 100, accuracy=0.9)
    labelled = Predictions(
        np.array([f"t{key}" for key in guess.ids]), guess.classes, guess.probs, guess.targets
    )
    made = make_blend([run_on("d", "a-1-s0", test=labelled)])
    assert blends.sentence(made.test, "test digits") == (
        "blend 90.0 % (82.6–94.5) on 100 test digits; best single 90.0 %; not distinguishable at n=100"
    )


def test_the_json_of_a_blend_holds_its_members_scores_and_file(run_on, tmp_path, capsys):
    made = make_blend([run_on("d", "a-1-s0"), run_on("d", "b-1-s0")])
    written = write_submission(made, tmp_path)
    display.show_json(results.blend_json(made, written))
    value = json.loads(capsys.readouterr().out)
    assert [member["run"] for member in value["members"]] == ["a-1-s0", "b-1-s0"]
    assert value["cross_fitted"]["accuracy"]["value"] == made.valid.accuracy.value
    assert (value["data"], value["submission"]) == ("d", str(written.path))
    assert (value["test"], results.blend_json(made, None)["submission"]) == (None, None)


def test_training_writes_one_plain_line_per_epoch_on_stderr_without_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(type(display.err), "is_terminal", False)
    run = "a[bold]-1-s0"
    with live.progress() as emit:
        emit(events.RunStarted(run, 1, 2))
        emit(events.Note(run, "labels.csv:100: [red] dropped"))
        for done in range(50):
            emit(events.Step(run, "frozen", done, 50, 0.5))
        emit(events.EpochEnded(run, "frozen", 1, 3, 0.7, 0.6, 0.9, 1.25, is_best=True))
        emit(events.EpochEnded(run, "unfrozen", 2, 3, 0.6, 0.65, 0.89, 1.25, is_best=False))
        emit(events.RunEnded(run, 0.9, 0.6, 200))
        emit(events.RunEnded(run, 0.9, 0.6, 200, skipped=True))
        emit(events.RunFailed(run, "no images\nadd some"))
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.splitlines() == [
        f"[1/2] {run}",
        "  labels.csv:100: [red] dropped",
        "  frozen epoch 1: train loss 0.7000, valid loss 0.6000, accuracy 90.00 %, 1.2 s best",
        "  unfrozen epoch 2: train loss 0.6000, valid loss 0.6500, accuracy 89.00 %, 1.2 s",
        "  finished: accuracy 90.00 %, log loss 0.6000, 3.3 min",
        "  finished before, skipped: accuracy 90.00 %, log loss 0.6000, 3.3 min",
        "  failed: no images; add some",
    ]


@pytest.mark.parametrize("is_terminal", [False, True])
def test_each_line_names_its_run_while_several_runs_train(is_terminal, monkeypatch, capsys):
    monkeypatch.setattr(type(display.err), "is_terminal", is_terminal)
    with live.progress() as emit:
        for number, run in enumerate(("a-1-s0", "b-1-s0", "c-1-s0"), start=1):
            emit(events.RunStarted(run, number, 3))
            emit(events.Step(run, "frozen", 1, 4, 0.5))
        emit(events.EpochEnded("a-1-s0", "frozen", 1, 3, 0.7, 0.6, 0.9, 1.25, is_best=True))
        emit(events.Step("a-1-s0", "frozen", 4, 4, 0.25))
        emit(events.RunLeft("c-1-s0", "another process is training it"))
        emit(events.RunEnded("b-1-s0", 0.9, 0.6, 20))
        emit(events.Note("a-1-s0", "alone"))
        emit(events.RunEnded("a-1-s0", 0.9, 0.6, 20))
    shown = capsys.readouterr().err
    for line in (
        "  a-1-s0: frozen epoch 1:",
        "  c-1-s0: another process",
        "  b-1-s0: finished:",
        "  alone",
        "  finished:",
    ):
        assert line in shown


def test_bars_in_a_terminal_leave_the_same_lines(monkeypatch, capsys):
    monkeypatch.setattr(type(display.err), "is_terminal", True)
    with live.progress() as emit:
        for run in ("a-1-s0", "b-1-s0"):
            emit(events.RunStarted(run, 1, 2))
            for phase in ("frozen", "unfrozen"):
                for done in range(1, 4):
                    emit(events.Step(run, phase, done, 3, 0.5))
            emit(events.RunEnded(run, 0.9, 0.6, 20))
        emit(events.RunFailed("c-1-s0", "no images"))
    shown = capsys.readouterr()
    assert shown.out == ""
    for text in ("a-1-s0", "b-1-s0", "finished: accuracy 90.00 %", "failed:"):
        assert text in shown.err


def test_a_notebook_is_a_log_although_its_kernel_claims_a_terminal(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert _console(stderr=True).is_terminal
    monkeypatch.setenv("JPY_PARENT_PID", "123")
    assert not _console(stderr=True).is_terminal
    assert _console(stderr=True).width == LOG_WIDTH


def test_failures_of_a_sweep_are_listed_on_stderr(capsys):
    display.show_failures([Failure("a[bold]-1-s0", "images/[x].png:100: unreadable")])
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "a[bold]-1-s0" in shown.err
    assert "images/[x].png:100: unreadable" in shown.err


@pytest.mark.parametrize(("total", "is_shown"), [(1, False), (2, True)])
def test_the_failure_of_the_only_run_is_shown_by_the_error_alone(
    total, is_shown, monkeypatch, capsys
):
    monkeypatch.setattr(type(display.err), "is_terminal", False)
    with live.progress() as emit:
        emit(events.RunStarted("a-1-s0", 1, total))
        emit(events.RunFailed("a-1-s0", "no such file"))
    assert ("failed: no such file" in capsys.readouterr().err) == is_shown


def test_a_range_test_says_in_one_line_what_was_chosen(capsys):
    suggestions = {"valley": 1e-3, "slide": None}
    test = SimpleNamespace(n_steps=40, suggestions=suggestions, rule="valley", chosen=1e-3, note="")
    display.show_range_test(test)
    shown = capsys.readouterr().out
    assert "1.00e-03" in row_of(shown, "valley chosen")
    assert "none: too few points" in row_of(shown, "slide")
    assert shown.splitlines()[-1] == "chosen: 1.00e-03 by the valley rule"


def test_after_training_each_run_names_the_figure_of_its_curves(run_on, capsys):
    run, imported = run_on("d", "a-1-s0"), run_on("d", "b-1-s0")
    (run.folder / "curves.png").write_bytes(b"")
    display.show_curves([run, imported])
    assert capsys.readouterr().out == f"curves: {run.folder / 'curves.png'}\n"


def test_a_narrow_terminal_folds_cells_and_hides_no_column_and_no_digit():
    shown = table("members", "member", "why")
    for name in ("valid accuracy", "weight", "differs from others"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_row("a-0-s0", "every run", "66.67 %", "0.4651", "16.67 %")
    for width in (140, 44):
        output = StringIO()
        Console(file=output, width=width).print(shown)
        words = output.getvalue().split()
        assert {"member", "a-0-s0", "66.67", "0.4651", "16.67"} <= set(words)
        assert "…" not in output.getvalue()
