"""A recipe is a frozen value: typos are refused, bases merge, the digest tells what matters."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from ensemble.errors import RecipeError
from ensemble.recipe import AUGMENT_PRESETS, ColumnSplit, Find, Folds, Recipe
from ensemble.recipe import explain as module

SMALLEST = {"data": {"source": "folder", "path": "x"}, "model": {"arch": "resnet18"}}


def write(folder, text, name="r.yaml"):
    path = folder / name
    path.write_text(text)
    return path


def made(**sections):
    return Recipe.model_validate({"name": "r", **SMALLEST, **sections})


def refusal(folder, text, overrides=()):
    with pytest.raises(RecipeError) as refused:
        Recipe.load(write(folder, text), overrides)
    message = str(refused.value)
    assert message.count("\n") < 3
    return message.replace(f"{folder}/", "")


def test_the_smallest_recipe_has_the_defaults_that_design_names(tmp_path):
    recipe = Recipe.load(
        write(tmp_path, "data: {source: digits}\nmodel: {arch: resnet18}\n", "my_digits.yaml")
    )
    assert recipe.name == "my_digits"
    assert (recipe.fit.strategy, recipe.fit.frozen_epochs, recipe.fit.epochs, recipe.fit.lr) == (
        "fine_tune",
        1,
        3,
        "find",
    )
    assert (recipe.data.valid, recipe.data.split_seed, recipe.seeds) == (0.2, 0, (0,))
    assert (recipe.augment, recipe.tta, recipe.views, recipe.refit) == (
        "standard",
        "none",
        (),
        False,
    )
    assert (recipe.model.head.pool, recipe.model.head.hidden, recipe.model.head.dropout) == (
        "concat",
        (512,),
        0.5,
    )
    assert recipe.augmentation == AUGMENT_PRESETS["standard"]


def test_every_kind_of_value_is_understood(tmp_path):
    text = """
data: {source: csv, path: x, valid: {folds: 5}, size: 64, normalize: [[0, 0, 0], [1, 1, 1]], positive: "1"}
augment: {flip: true, mixup: 0.2}
model: {arch: resnet18, pretrained: package, head: keep, options: {drop_rate: 0.1}}
fit: {lr: {find: slide}, batch_size: auto, early_stop: {patience: 2}, weight_decay: 0}
tta: [flip, crops]
seeds: [0, 1]
"""
    recipe = Recipe.load(write(tmp_path, text))
    assert recipe.data.valid == Folds(folds=5)
    assert recipe.data.normalize == ((0, 0, 0), (1, 1, 1))
    assert recipe.augmentation.mixup == 0.2
    assert recipe.model.head == "keep"
    assert recipe.fit.lr == Find(find="slide")
    assert recipe.views == ("flip", "crops")
    assert made(data={"source": "csv", "valid": {"column": "part"}}).data.valid == ColumnSplit(
        column="part"
    )
    assert made(fit={"lr": 1}).fit.lr == 1.0
    assert made(tta="flip").views == ("flip",)


def test_a_recipe_cannot_be_changed():
    with pytest.raises(ValidationError):
        made().fit.epochs = 7


def sections(section):
    yield section
    for field in section.model_fields.values():
        for inner in module.sections_in(field.annotation):
            yield from sections(inner)


def test_every_option_is_explained_where_it_is_declared():
    everything = {*sections(Recipe)}
    assert len(everything) == 19
    assert [
        key
        for section in everything
        for key, field in section.model_fields.items()
        if not field.description
    ] == []


HEAD = "data: {source: folder}\nmodel: {arch: x}\n"
REFUSED = {
    "fit:\n  learnin_rate: 1\n": "r.yaml:4: fit.learnin_rate is not a key of a recipe\nallowed here: strategy,",
    "fit:\n  batchsize: 8\n": "r.yaml:4: fit.batchsize is not a key of a recipe\ndid you mean fit.batch_size?",
    "epochs: 3\n": "r.yaml:3: epochs is not a key of a recipe\ndid you mean fit.epochs?",
    "<<: {a: 1}\n": "r.yaml:3: << is not a key of a recipe\nallowed here: data, augment,",
    "folds: 5\n": "r.yaml:3: folds is not a key of a recipe",
    "name: other\n": "r.yaml:3: name is not a key of a recipe\nthe file's name is the recipe's name",
    "fit:\n  epochs: ten\n": 'r.yaml:4: fit.epochs: "ten" is not allowed\nallowed: epochs after the frozen ones, a',
    "fit: {epochs: '3'}\n": 'r.yaml:3: fit.epochs: "3" is not allowed',
    "fit: {epochs: 2.5}\n": "r.yaml:3: fit.epochs: 2.5 is not allowed",
    "fit: {epochs: true}\n": "r.yaml:3: fit.epochs: true is not allowed",
    "fit: {lr: 1e999}\n": "r.yaml:3: fit.lr: Infinity is not allowed",
    "fit: {lr: -1}\n": "allowed: find, {find: slide|steep|minimum} or a number above 0",
    "fit: {lr: {find: best}}\n": 'fit.lr.find: "best" is not allowed\nallowed: valley, slide, steep or minimum',
    "fit: {batch_size: 1}\n": "fit.batch_size: 1 is not allowed\nallowed: images per step, from 2, or auto",
    "fit: {pseudo: {share: 0.5}}\n": "r.yaml:3: fit.pseudo.from is missing\nit is the teachers: a submission",
    "fit: {pseudo: {form: x}}\n": "(1 more after this)\ndid you mean fit.pseudo.from?",
    "fit: {pseudo: {from: x, share: 1}}\n": "fit.pseudo.share: 1 is not allowed\nallowed: largest share of",
    "fit:\n": "r.yaml:3: fit: null is not allowed\nallowed: a map: strategy, epochs, lr",
    "fit: {epochs: -1, keep: all}\n": "(1 more after this)",
    "tta: [flip, rotate]\n": 'tta.1: "rotate" is not allowed\nallowed: none, flip, dihedral, crops, scales',
    "seeds: []\n": "r.yaml:3: seeds: [] is not allowed",
    "seeds: 3\n": "allowed: a list of whole numbers",
    "augment: strong\n": 'augment: "strong" is not allowed\nallowed: none, light, standard, heavy',
    "resources: {gpus: 1}\n": "resources.gpus is not a key of a recipe\ndid you mean resources.gpu?",
}


@pytest.mark.parametrize("text", REFUSED)
def test_a_wrong_key_or_value_is_told_with_file_line_key_value_and_what_is_allowed(text, tmp_path):
    assert REFUSED[text] in refusal(tmp_path, HEAD + text)


DATA_REFUSED = {
    "valid: {folds: x}": 'data.valid.folds: "x" is not allowed\nallowed: number of folds, 2 to 20',
    "valid: {}": "data.valid.column is missing",
    "valid: 1.0": "data.valid: 1.0 is not allowed",
    "valid: true": "data.valid: true is not allowed",
    "normalize: [[0, 0, 0], [0, 1, 1]]": "data.normalize.1.0: 0 is not allowed",
    "labels: {file: a.csv, id: name}": "data.labels.label is missing\nit is the column that names the class",
    "folds: 5": "data.folds is not a key of a recipe",
}


@pytest.mark.parametrize("text", DATA_REFUSED)
def test_a_wrong_data_section_is_told_with_its_key(text, tmp_path):
    message = refusal(tmp_path, f"model: {{arch: x}}\ndata:\n  source: folder\n  {text}\n")
    assert DATA_REFUSED[text] in message
    assert message.startswith("r.yaml:4: ")


def test_a_missing_section_is_told_with_what_it_is(tmp_path):
    assert (
        refusal(tmp_path, "data: {source: folder}\n")
        == "r.yaml: model is missing\nit is a map: arch, pretrained, head, …"
    )


def test_a_file_name_that_cannot_start_a_run_id_is_refused(tmp_path):
    with pytest.raises(
        RecipeError,
        match='name: "my recipe!" is not allowed\nallowed: the recipe file\'s name: letters',
    ):
        Recipe.load(write(tmp_path, HEAD, "my recipe!.yaml"))


def test_maps_of_a_base_merge_and_lists_and_scalars_replace(tmp_path):
    write(
        tmp_path,
        HEAD + "seeds: [0, 1, 2]\nfit: {epochs: 9, lr: 0.1}\naugment: {flip: true}\n",
        "b.base.yaml",
    )
    path = write(tmp_path, "base: b.base.yaml\nseeds: [5]\nfit: {epochs: 2}\naugment: none\n")
    recipe = Recipe.load(path)
    assert recipe.seeds == (5,)
    assert (recipe.fit.epochs, recipe.fit.lr) == (2, 0.1)
    assert recipe.augment == "none"


def test_a_mistake_in_a_base_is_told_with_the_base_and_its_line(tmp_path):
    write(tmp_path, HEAD + "fit:\n  epochs: x\n", "b.base.yaml")
    assert refusal(tmp_path, "base: b.base.yaml\nseeds: [1]\n").startswith(
        "b.base.yaml:4: fit.epochs:"
    )
    assert refusal(tmp_path, "base: b.base.yaml\nfit: {epochs: y}\n").startswith(
        "r.yaml:2: fit.epochs:"
    )


def test_bases_lie_beside_the_recipe_that_names_them(tmp_path):
    (tmp_path / "shared").mkdir()
    write(tmp_path / "shared", HEAD, "top.yaml")
    write(tmp_path / "shared", "base: top.yaml\nrefit: true\n", "mid.yaml")
    assert Recipe.load(write(tmp_path, "base: shared/mid.yaml\n")).refit


@pytest.mark.parametrize(
    ("base", "said"),
    [
        ("r.yaml", "its bases are circular"),
        ("other.yaml", "its bases are circular"),
        ("none.yaml", "r.yaml:1: base: none.yaml does not exist (looked for none.yaml)"),
        ("[a, b]", "r.yaml:1: base: ['a', 'b'] is not a file name"),
        ("n" * 300, "does not exist"),
        (".", "does not exist"),
    ],
)
def test_a_base_that_leads_nowhere_is_refused(base, said, tmp_path):
    write(tmp_path, "base: r.yaml\n", "other.yaml")
    assert said in refusal(tmp_path, f"base: {base}\n")


def test_more_than_eight_bases_are_refused(tmp_path):
    for i in range(9):
        write(tmp_path, f"base: {i + 1}.yaml\n", f"{i}.yaml")
    write(tmp_path, HEAD, "9.yaml")
    with pytest.raises(RecipeError, match="0.yaml: more than 8 recipes deep"):
        Recipe.load(tmp_path / "0.yaml")
    assert Recipe.load(tmp_path / "2.yaml").model.arch == "x"


def test_overrides_win_and_reach_sections_that_the_file_does_not_have(tmp_path):
    path = write(tmp_path, HEAD + "fit: {epochs: 9}\n")
    recipe = Recipe.load(
        path, ("fit.epochs=1", "fit.early_stop.patience=3", "seeds=[1, 2]", "data.valid=val")
    )
    assert recipe.fit.epochs == 1
    assert recipe.fit.early_stop.patience == 3
    assert recipe.seeds == (1, 2)
    assert recipe.data.valid == "val"


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("fit.epochs", "--set fit.epochs: write KEY=VALUE with a dotted key"),
        ("=3", "--set =3: write KEY=VALUE"),
        ("fit..epochs=3", "--set fit..epochs=3: write KEY=VALUE"),
        ("fit.epoch=3", "--set: fit.epoch is not a key of a recipe\ndid you mean fit.epochs?"),
        ("fit.epochs=many", '--set: fit.epochs: "many" is not allowed'),
        ("fit.epochs=[", "--set:1: not valid YAML"),
    ],
)
def test_a_wrong_override_is_told_as_one(override, said, tmp_path):
    assert said in refusal(tmp_path, HEAD, (override,))


DEFAULTS = made().model_dump(mode="json", exclude={"resources", "seeds", "refit"})
CHANGES = {
    "augment": "none",
    "tta": ["flip"],
    "fit.epochs": 5,
    "fit.lr": 0.01,
    "fit.early_stop": {"patience": 2},
    "model.head": {"hidden": []},
    "model.options": {"b": 1, "a": 2},
    "data.valid": {"folds": 5},
    "data.size": 64,
}


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def put(values, dotted, value):
    *parents, last = dotted.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
    values.setdefault(last, value)


def reordered(value, draw):
    if not isinstance(value, dict):
        return value
    return {key: reordered(value[key], draw) for key in draw(st.permutations(sorted(value)))}


@given(st.data())
def test_defaults_written_out_and_the_order_of_keys_do_not_change_the_digest(data):
    values = json.loads(json.dumps(SMALLEST))
    for key in data.draw(st.lists(st.sampled_from(sorted(CHANGES)), unique=True)):
        put(values, key, CHANGES[key])
    digest = made(**values).digest
    written = json.loads(json.dumps(values))
    for key, default in leaves(DEFAULTS):
        untouched = not any(key.startswith(f"{changed}.") for changed, _ in leaves(values))
        if untouched and data.draw(st.booleans()):
            put(written, key, default)
    assert made(**reordered(written, data.draw)).digest == digest


@pytest.mark.parametrize("key", CHANGES)
def test_every_change_that_matters_changes_the_digest(key):
    values = json.loads(json.dumps(SMALLEST))
    put(values, key, CHANGES[key])
    assert made(**values).digest != made().digest


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1), st.floats(0, 8))
def test_seeds_resources_and_a_refit_do_not_change_the_digest(seeds, gpu):
    assert made(seeds=seeds, refit=True, resources={"gpu": gpu, "cpu": 2}).digest == made().digest


@pytest.mark.parametrize("root", ["/home/me", "/mnt/disk 2", "C:\\Users\\me", "\\\\server\\share"])
def test_absolute_paths_do_not_change_the_digest_and_relative_ones_do(root):
    def told(prefix):
        data = {"source": "csv", "path": f"{prefix}x", "valid": f"{prefix}v", "test": f"{prefix}t"}
        labels = {"file": f"{prefix}l.csv", "id": "id", "label": "label"}
        return made(
            data={**data, "labels": labels}, model={"arch": "a", "pretrained": f"{prefix}w.pth"}
        ).digest

    assert told(f"{root}/") == told("/other/")
    assert told("here/") != told("there/")


def test_the_digest_is_eight_hex_digits_that_no_version_may_change():
    assert made().digest == "8878135a"
    assert made(fit={"epochs": 5, "lr": 0.01}, tta=["flip"]).digest == "c6606019"
