"""`ens train --dry-run`: near what training then takes, and nothing is left behind."""

import sys
import time

import pytest

from ensemble.cli import main
from ensemble.dataset.load import load
from ensemble.events import ignore
from ensemble.learn.cost import cost_of
from ensemble.learn.train import train
from ensemble.runs import RunStore


@pytest.mark.parametrize(
    "said",
    [
        ("fit.epochs=30",),
        ("fit.strategy=fine_tune", "fit.frozen_epochs=10", "fit.epochs=10", "fit.feature_views=0"),
        ("fit.strategy=fine_tune", "fit.frozen_epochs=10", "fit.epochs=10", "fit.lr=find"),
    ],
    ids=["scratch", "phases", "cached"],
)
def test_what_is_reckoned_is_near_what_it_takes(said, recipe_of, tmp_path):
    recipe, store = recipe_of("model.arch=resnet10t", *said), RunStore(tmp_path / "runs")
    data = load(recipe.data)
    cost = cost_of(recipe, data, 0, "dry", store, ignore)
    assert not store.root.exists()
    started = time.perf_counter()
    trained = train(recipe, data, 0, "real", store)
    seconds = time.perf_counter() - started - trained.seconds["data"]
    assert 0.1 * seconds < cost.seconds < 10 * seconds  # busy machines; a wrong unit is off by more
    assert [phase.n_epochs for phase in cost.phases] == [
        int(name.rpartition(" ")[2]) for name in trained.phases
    ]
    assert cost.disk_bytes > 4 * trained.n_parameters
    assert cost.memory_bytes > 2**20


def test_decoding_is_counted_where_images_are_not_in_the_cache_yet(recipe_of, tmp_path):
    recipe, store = recipe_of("model.arch=resnet10t"), RunStore(tmp_path / "runs")
    data = load(recipe.data)
    first, again = (cost_of(recipe, data, 0, "dry", store, ignore) for _ in range(2))
    assert (first.n_decoded, again.n_decoded) == (60, 0)
    assert first.decode_seconds > 0 == again.decode_seconds
    rest = (
        first.rate_seconds
        + first.predict_seconds
        + first.refit_seconds
        + sum(p.seconds for p in first.phases)
    )
    assert first.seconds == pytest.approx(rest + first.decode_seconds)


def test_cropped_views_are_decoded_once_each(recipe_of, tmp_path):
    frozen = (
        "fit.strategy=feature_extract",
        "fit.epochs=6",
        "fit.feature_views=3",
        "augment.crop=0.5",
    )
    recipe, store = recipe_of("model.arch=resnet10t", *frozen), RunStore(tmp_path / "runs")
    data = load(recipe.data)
    plain = recipe_of("model.arch=resnet10t", *frozen[:2])
    cost, plain_cost = (cost_of(one, data, 0, "dry", store, ignore) for one in (recipe, plain))
    assert cost.phases[0].once_seconds > plain_cost.phases[0].once_seconds


def test_it_reckons_what_the_command_would_train_and_names_the_same_command(
    recipe_file, tmp_path, monkeypatch, capsys
):
    path, runs = recipe_file(), tmp_path / "runs"

    def ens(*said):
        monkeypatch.setattr(sys, "argv", ["ens", "train", str(path), *said, "--runs", str(runs)])
        with pytest.raises(SystemExit) as ended:
            main()
        shown = capsys.readouterr()
        return ended.value.code, shown.out, shown.err

    assert not ens()[0]
    assert "scratch: 1 ×" not in ens("--dry-run")[1]
    code, shown, _ = ens("--dry-run", "--force", "--jobs", "2")
    assert not code
    assert "scratch: 1 ×" in shown
    assert f"next:  ens train {path} --force --runs {runs} --jobs 2\n" in shown
    (tmp_path / "wrong.yaml").write_text(path.read_text().replace("test_resnet", "resnet43"))
    code, shown, told = ens(str(tmp_path / "wrong.yaml"), "--force", "--dry-run")
    assert code == 1
    assert "scratch: 1 ×" in shown
    assert "1 of 2 runs could not be reckoned" in told


def test_the_command_trains_nothing_and_names_the_next(recipe_file, tmp_path, monkeypatch, capsys):
    path = recipe_file()
    monkeypatch.setattr(
        sys, "argv", ["ens", "train", str(path), "--dry-run", "--runs", str(tmp_path / "runs")]
    )
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code
    shown = capsys.readouterr().out
    assert "scratch: 1 ×" in shown
    assert "decoding: 60 images took " in shown
    assert "total: " in shown
    assert f"next:  ens train {path} --runs" in shown
    assert not (tmp_path / "runs").exists()
