"""Recipes that are broken, hostile or wrong."""

import shlex

import pytest

GOOD = "data: {source: folder, path: pictures}\nmodel: {arch: resnet18, pretrained: false}\n"
CHAIN = {f"{i}.yaml": f"base: {i + 1}.yaml\n" for i in range(9)} | {
    "9.yaml": GOOD,
    "r.yaml": "base: 0.yaml\n",
}
BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{below}'] * 9)}]\n"
    for below, name in zip("abcdefgh", "bcdefghi", strict=True)
)

FILES = {
    "empty": ("", ["r.yaml", "mapping"]),
    "only comments": ("# nothing\n# here\n", ["r.yaml", "mapping"]),
    "only a document mark": ("---\n", ["r.yaml", "mapping"]),
    "a picture": (b"\x89PNG\r\n\x1a\n\xff\xfe\x00", ["r.yaml", "not a text file in UTF-8"]),
    "UTF-16": ("data: 1\n".encode("utf-16"), ["r.yaml", "not a text file in UTF-8"]),
    "Latin-1": ("data: {path: Grün}\n".encode("latin-1"), ["r.yaml", "not a text file in UTF-8"]),
    "a NUL": (GOOD + "# \0\n", ["r.yaml", "not valid YAML"]),
    "a control character": (GOOD + "fit: \a\n", ["r.yaml", "not valid YAML"]),
    "300 kB": (GOOD + "# more\n" * 45_000, ["r.yaml", "315,", "at most 262,144"]),
    "a list": ("- data\n- model\n", ["r.yaml", "mapping"]),
    "a word": ("password hunter2\n", ["r.yaml", "mapping"]),
    "a number": ("42\n", ["r.yaml", "mapping"]),
    "two documents": (GOOD + "---\n" + GOOD, ["r.yaml:3", "not valid YAML"]),
    "a later version of YAML": ("%YAML 3.0\n---\n" + GOOD, ["r.yaml:1", "not valid YAML"]),
    "tabs": ("data:\n\tsource: folder\n", ["r.yaml:2", "not valid YAML"]),
    "crooked lines": ("data:\n  source: folder\n path: x\n", ["r.yaml:3", "not valid YAML"]),
    "an open bracket": ("data: {source: folder\n", ["r.yaml:2", "not valid YAML"]),
    "an open quote": ("data: {source: 'folder}\n", ["r.yaml:2", "not valid YAML"]),
    "a false escape": ('data: {source: "\\q"}\n', ["r.yaml:1", "not valid YAML"]),
    "a colon in a value": ("data: source: folder\n", ["r.yaml:1", "not valid YAML"]),
    "a bare percent": ("data: %x\n", ["r.yaml:1", "not valid YAML"]),
    "a call of Python": (
        "data: !!python/object/apply:os.system ['touch pwned']\n",
        ["r.yaml:1", "tag"],
    ),
    "a new Python object": (
        "data: !!python/object/new:os.stat_result [[1]]\n",
        ["r.yaml:1", "tag"],
    ),
    "a name of Python": ("model: 1\ndata: !!python/name:os.system\n", ["r.yaml:2", "tag"]),
    "a module of Python": ("data: !!python/module:antigravity\n", ["r.yaml:1", "tag"]),
    "a tag of its own": ("data: !vault hunter2\n", ["r.yaml:1", "tag"]),
    "bytes": ("data: !!binary aHVudGVyMg==\n", ["r.yaml:1", "tag"]),
    "a set": ("data: !!set {folder}\n", ["r.yaml:1", "tag"]),
    "a date": ("data: !!timestamp 2024-01-01\n", ["r.yaml:1", "tag"]),
    "an unknown tag handle": ("data: !hunter2!x y\n", ["r.yaml:1", "not valid YAML"]),
    "text with the tag of a number": ("data: !!int many\n", ["r.yaml", "not valid YAML"]),
    "text with the tag of a flag": ("data: !!bool perhaps\n", ["r.yaml", "not valid YAML"]),
    "a number with the tag of a map": ("data: !!map 3\n", ["r.yaml"]),
    "an alias of nothing": ("data: *hunter2\n", ["r.yaml:1", "not valid YAML"]),
    "an anchor twice": ("data: [&hunter2 a, &hunter2 b]\n", ["r.yaml"]),
    "an alias bomb": (BOMB, ["r.yaml", "too large or too deep"]),
    "an alias of itself": ("data: &a {path: *a}\n", ["r.yaml", "too large or too deep"]),
    "a list that holds itself": ("seeds: &a [*a]\n", ["r.yaml", "too large or too deep"]),
    "50 lists in each other": (
        "seeds: " + "[" * 50 + "]" * 50,
        ["r.yaml", "too large or too deep"],
    ),
    "50,000 maps in each other": ("{a: " * 50_000, ["r.yaml", "not valid YAML"]),
    "20,000 seeds": (
        GOOD + f"seeds: [{', '.join('1' * 20_000)}]\n",
        ["r.yaml", "too large or too deep"],
    ),
    "a key twice": (
        GOOD + "fit:\n  epochs: 1\n  epochs: 2\n",
        ["r.yaml:5", "fit.epochs", "line 4"],
    ),
    "a section twice": (GOOD + "model: {arch: vgg19}\n", ["r.yaml:3", "model", "line 2"]),
    "a list as key": ("? [a, b]\n: 1\n", ["r.yaml:1", "key"]),
    "a map as key": ("{{a: 1}: 2}\n", ["r.yaml:1", "key"]),
    "a merge key": (
        GOOD + "x: &x {epochs: 1}\nfit: {<<: *x}\n",
        ["r.yaml", "is not a key of a recipe"],
    ),
    "5,000 digits": (GOOD + f"seeds: [{'1' * 5000}]\n", ["r.yaml", "not valid YAML"]),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_that_is_no_recipe(case, refused, write):
    content, said = FILES[case]
    write("r.yaml", content)
    refused("train r.yaml", *said)


VALUES = {
    "an unknown section": (
        "fitt: {epochs: 3}",
        ["r.yaml:3", "fitt is not a key", "did you mean fit?"],
    ),
    "a key without its section": ("epochs: 3", ["r.yaml:3", "epochs", "did you mean fit.epochs?"]),
    "an unknown key": ("fit: {learnin_rate: 1}", ["r.yaml:3", "fit.learnin_rate is not a key"]),
    "an unknown key in a map of maps": (
        "fit: {penalty: {dense: {l3: 1}}}",
        ["r.yaml:3", "fit.penalty.dense.l3"],
    ),
    "an unknown change of images": ("augment: {spin: 3}", ["r.yaml:3", "augment.spin"]),
    "an unknown preset": ("augment: strong", ["augment", '"strong"', "standard, heavy"]),
    "the key name": ("name: other", ["r.yaml:3", "name is not a key", "the file's name"]),
    "an empty section": ("fit:", ["r.yaml:3", "fit: null"]),
    "a list as section": ("fit: [epochs, 3]", ["r.yaml:3", "fit", "a map"]),
    "text as section": ("fit: fast", ["r.yaml:3", 'fit: "fast"', "a map"]),
    "text as number": ("fit: {epochs: ten}", ["fit.epochs", '"ten"', "a whole number"]),
    "a quoted number": ("fit: {epochs: '3'}", ["fit.epochs", '"3"', "a whole number"]),
    "a flag as number": ("fit: {epochs: true}", ["fit.epochs", "true"]),
    "half an epoch": ("fit: {epochs: 2.5}", ["fit.epochs", "2.5"]),
    "minus one epoch": ("fit: {epochs: -1}", ["fit.epochs", "-1"]),
    "a million epochs": ("fit: {epochs: 1000000}", ["fit.epochs", "1000000"]),
    "an infinite rate": ("fit: {lr: 1e999}", ["fit.lr", "Infinity"]),
    "no number as rate": ("fit: {lr: .nan}", ["fit.lr", '".nan"']),
    "rate 0": ("fit: {lr: 0}", ["fit.lr", "above 0"]),
    "rate 11": ("fit: {lr: 11}", ["fit.lr", "11"]),
    "an unknown rule of rates": (
        "fit: {lr: {find: best}}",
        ["fit.lr.find", "valley, slide, steep or minimum"],
    ),
    "a list of rates": ("fit: {lr: [1e-3, 1e-2]}", ["fit.lr", "allowed"]),
    "a batch of one": ("fit: {batch_size: 1}", ["fit.batch_size", "from 2, or auto"]),
    "a batch named big": ("fit: {batch_size: big}", ["fit.batch_size", '"big"']),
    "a smoothing of 1": ("fit: {label_smoothing: 1.0}", ["fit.label_smoothing", "1.0"]),
    "no patience": ("fit: {early_stop: {patience: 0}}", ["fit.early_stop.patience", "from 1"]),
    "early_stop: true": ("fit: {early_stop: true}", ["fit.early_stop", "true"]),
    "a negative penalty": ("fit: {penalty: {dense: {l2: -1}}}", ["fit.penalty.dense.l2", "-1"]),
    "an unknown strategy": (
        "fit: {strategy: magic}",
        ["fit.strategy", "fine_tune, feature_extract"],
    ),
    "a word that YAML 1.1 reads as a flag": ("refit: yes", ["refit", '"yes"', "true"]),
    "an unknown view": ("tta: [flip, rotate]", ["tta.1", '"rotate"']),
    "no views in a list": ("tta: []", ["tta", "allowed"]),
    "no seeds": ("seeds: []", ["seeds", "allowed"]),
    "one bare seed": ("seeds: 3", ["seeds", "a list of whole numbers"]),
    "a negative seed": ("seeds: [-1]", ["seeds.0", "-1"]),
    "a seed of 2^32": ("seeds: [4294967296]", ["seeds.0", "4294967296"]),
    "a seed of text": ("seeds: [one]", ["seeds.0", '"one"']),
    "a negative GPU": ("resources: {gpu: -1}", ["resources.gpu", "-1"]),
    "no core": ("resources: {cpu: 0}", ["resources.cpu", "0"]),
    "a turn of 400 degrees": ("augment: {rotate: 400}", ["augment.rotate", "0 to 180"]),
    "a probability of 2": ("augment: {erase: 2}", ["augment.erase", "0 to 1"]),
    "a wrong value of 100 kB": (f"tta: {'x' * 100_000}", ["tta", "allowed"]),
    "escape codes in a value": ('tta: "\\e[2J\\e[31m"', ["tta", "allowed"]),
    "rich's markup in a key": ("'[bold]x[/nope]': 1", ["[bold]x[/nope] is not a key"]),
    "markup of HTML in a key": ("'<script>alert(1)</script>': 1", ["<script>", "is not a key"]),
    "a key of ten lines": ('"a\\nb\\nc\\nd\\ne\\nf": 1', ["a"]),
    "a key that is empty": ("'': 1", ["is not a key of a recipe"]),
}


@pytest.mark.parametrize("case", VALUES)
def test_a_key_or_value_that_no_recipe_has(case, refused, write):
    text, said = VALUES[case]
    write("r.yaml", f"{GOOD}{text}\n")
    refused("train r.yaml", *said)


SECTIONS = {
    "no data": ("model: {arch: x}", ["r.yaml", "data is missing"]),
    "no model": ("data: {source: digits}", ["r.yaml", "model is missing"]),
    "no source": ("data: {path: x}\nmodel: {arch: x}", ["r.yaml:1", "data.source is missing"]),
    "no arch": (
        "data: {source: digits}\nmodel: {pretrained: false}",
        ["r.yaml:2", "model.arch is missing"],
    ),
    "an arch that is a number": ("data: {source: digits}\nmodel: {arch: 18}", ["model.arch", "18"]),
    "weights that are a number": (
        "data: {source: digits}\nmodel: {arch: x, pretrained: 1}",
        ["model.pretrained"],
    ),
    "options that are a list": (
        "data: {source: digits}\nmodel: {arch: x, options: [1]}",
        ["model.options"],
    ),
    "weights among the options": (
        "data: {source: digits}\nmodel: {arch: x, options: {checkpoint_path: evil.pth}}",
        ["model.options", "evil.pth", "see model.pretrained"],
    ),
    "a folder of weights among the options": (
        "data: {source: digits}\nmodel: {arch: x, options: {cache_dir: /tmp}}",
        ["model.options", "cache_dir"],
    ),
    "an address of weights among the options": (
        "data: {source: digits}\nmodel: {arch: x, options: {pretrained_cfg: {url: 'http://evil'}}}",
        ["model.options", "pretrained_cfg"],
    ),
    "a dense layer of width 0": (
        "data: {source: digits}\nmodel: {arch: x, head: {hidden: [0]}}",
        ["hidden.0"],
    ),
    "a dropout of 1": (
        "data: {source: digits}\nmodel: {arch: x, head: {dropout: 1}}",
        ["model.head.dropout"],
    ),
    "an unknown head": (
        "data: {source: digits}\nmodel: {arch: x, head: drop}",
        ["model.head", "keep"],
    ),
    "an unknown source": (
        "data: {source: web}\nmodel: {arch: x}",
        ["data.source", "folder (class folders), csv"],
    ),
    "a list of paths": ("data: {source: folder, path: [a, b]}\nmodel: {arch: x}", ["data.path"]),
    "all images for validation": (
        "data: {source: digits, valid: 1.0}\nmodel: {arch: x}",
        ["data.valid", "1.0"],
    ),
    "validation: true": (
        "data: {source: digits, valid: true}\nmodel: {arch: x}",
        ["data.valid", "true"],
    ),
    "one fold": (
        "data: {source: digits, valid: {folds: 1}}\nmodel: {arch: x}",
        ["data.valid.folds", "1"],
    ),
    "folds and a column": (
        "data: {source: csv, valid: {folds: 2, column: x}}\nmodel: {arch: x}",
        ["data.valid"],
    ),
    "an empty split": (
        "data: {source: csv, valid: {}}\nmodel: {arch: x}",
        ["data.valid.column is missing"],
    ),
    "labels without a column": (
        "data: {source: csv, labels: {file: a, id: b}}\nmodel: {arch: x}",
        ["labels.label"],
    ),
    "labels that are a number": (
        "data: {source: csv, labels: 3}\nmodel: {arch: x}",
        ["data.labels"],
    ),
    "a deviation of 0": (
        "data: {source: digits, normalize: [[0, 0, 0], [1, 0, 1]]}\nmodel: {arch: x}",
        ["data.normalize.1.1"],
    ),
    "two channels": (
        "data: {source: digits, normalize: [[0, 0], [1, 1]]}\nmodel: {arch: x}",
        ["data.normalize.0"],
    ),
    "images of 4 px": (
        "data: {source: digits, size: 4}\nmodel: {arch: x}",
        ["data.size", "8 to 2048"],
    ),
    "a share of 0": (
        "data: {source: digits, sample: 0}\nmodel: {arch: x}",
        ["data.sample", "above 0 up to 1"],
    ),
    "a positive class that is a number": (
        "data: {source: digits, positive: 1}\nmodel: {arch: x}",
        ["data.positive"],
    ),
}


@pytest.mark.parametrize("case", SECTIONS)
def test_a_section_that_lacks_something_or_means_nothing(case, refused, write):
    text, said = SECTIONS[case]
    write("r.yaml", text)
    refused("train r.yaml", *said)


BASES = {
    "no such base": ({"r.yaml": "base: b.yaml\n" + GOOD}, ["r.yaml:1", "b.yaml does not exist"]),
    "its own base": ({"r.yaml": "base: r.yaml\n"}, ["r.yaml", "circular"]),
    "two that are each other's base": (
        {"r.yaml": "base: b.yaml\n", "b.yaml": "base: r.yaml\n"},
        ["circular"],
    ),
    "its own base by another way": ({"r.yaml": "base: ../work/./r.yaml\n"}, ["circular"]),
    "ten bases": (CHAIN, ["r.yaml", "more than 8 recipes deep"]),
    "a list of bases": ({"r.yaml": "base: [a.yaml]\n" + GOOD}, ["r.yaml:1", "is not a file name"]),
    "a number as base": ({"r.yaml": "base: 3\n" + GOOD}, ["r.yaml:1", "is not a file name"]),
    "an empty name": ({"r.yaml": "base: ''\n" + GOOD}, ["r.yaml:1", "base"]),
    "a folder as base": (
        {"r.yaml": "base: bases\n" + GOOD, "bases/b.yaml": GOOD},
        ["r.yaml:1", "bases"],
    ),
    "a device as base": ({"r.yaml": "base: /dev/zero\n" + GOOD}, ["r.yaml:1", "/dev/zero"]),
    "a name of 5,000 letters": (
        {"r.yaml": f"base: {'b' * 5000}\n" + GOOD},
        ["r.yaml:1", "does not exist"],
    ),
    "a NUL in the name": ({"r.yaml": 'base: "b\\0.yaml"\n' + GOOD}, ["r.yaml:1", "does not exist"]),
    "a picture as base": (
        {"r.yaml": "base: b.yaml\n" + GOOD, "b.yaml": b"\x89PNG\xff"},
        ["b.yaml", "UTF-8"],
    ),
    "a broken base": (
        {"r.yaml": "base: b.yaml\n" + GOOD, "b.yaml": "a: [1\n"},
        ["b.yaml:2", "not valid YAML"],
    ),
    "a base with a wrong value": (
        {"r.yaml": "base: b.yaml\n" + GOOD, "b.yaml": "\n\nfit: {epochs: x}\n"},
        ["b.yaml:3", "fit.epochs"],
    ),
    "a base with a key twice": (
        {"r.yaml": "base: b.yaml\n" + GOOD, "b.yaml": "tta: flip\ntta: flip\n"},
        ["b.yaml:2", "tta appears twice"],
    ),
    "somebody's password as base": (
        {"r.yaml": "base: ../outside/secret.txt\n" + GOOD},
        ["secret.txt", "mapping"],
    ),
    "somebody's settings as base": (
        {"r.yaml": "base: s.yml\n" + GOOD, "s.yml": "hunter2: 1\ntoken: hunter2\n"},
        ["s.yml", "not a recipe"],
    ),
    "somebody's list of passwords as base": (
        {"r.yaml": "base: s.yml\n" + GOOD, "s.yml": "*hunter2 x\n"},
        ["s.yml", "not valid YAML"],
    ),
}


@pytest.mark.parametrize("case", BASES)
def test_a_base_that_cannot_be_one(case, refused, write):
    files, said = BASES[case]
    for name, content in files.items():
        write(name, content)
    refused("train r.yaml", *said)


COMMANDS = {
    "no such recipe": ("train none.yaml", ["none.yaml: no such recipe"]),
    "a folder as recipe": ("train pictures", ["pictures", "cannot be read"]),
    "a recipe below a file": ("train r.yaml/x.yaml", ["r.yaml/x.yaml"]),
    "a recipe whose name is too long": (f"train {'n' * 300}.yaml", ["cannot be read"]),
    "a base alone": (
        "train r.base.yaml",
        ["r.base.yaml", "a base file is shared by several recipes"],
    ),
    "a name with a space": ("train 'my recipe.yaml'", ["name", "my recipe", "letters, digits"]),
    "a name that begins with a dot": ("train .hidden.yaml", ["name", "letters, digits"]),
    "a name that is an option": ("train -- -x.yaml", ["name", "letters, digits"]),
    "a setting without a value": (
        "train r.yaml --set fit.epochs",
        ["--set fit.epochs", "KEY=VALUE"],
    ),
    "a setting without a key": ("train r.yaml --set =3", ["--set =3", "KEY=VALUE"]),
    "a setting with two dots": (
        "train r.yaml --set fit..epochs=3",
        ["--set fit..epochs=3", "dotted key"],
    ),
    "a setting of broken YAML": ("train r.yaml --set 'seeds=[1'", ["--set", "not valid YAML"]),
    "a setting of Python": ("train r.yaml --set 'seeds=!!python/name:os.system'", ["--set", "tag"]),
    "a setting of no key": (
        "train r.yaml --set fit.epoch=3",
        ["--set: fit.epoch", "did you mean fit.epochs?"],
    ),
    "a setting of a wrong value": ("train r.yaml --set fit.epochs=x", ["--set: fit.epochs"]),
    "a setting of a section": ("train r.yaml --set data=3", ["--set: data: 3"]),
    "a setting of the name": ("train r.yaml --set name=x", ["--set: name is not a key"]),
    "a setting of the base": ("train r.yaml --set base=b.yaml", ["--set: base is not a key"]),
    "a setting below a number": (
        "train r.yaml --set seeds.x=1",
        ["seeds", "a list of whole numbers"],
    ),
    "a range test without a recipe": ("lr-find none.yaml", ["none.yaml: no such recipe"]),
    "a search without a recipe": ("tune none.yaml", ["none.yaml: no such recipe"]),
    "a search of no key": ("tune r.yaml --vary =1..2", ["--vary =1..2", "KEY=LOW..HIGH"]),
    "a search of one value": (
        "tune r.yaml --vary fit.lr=1",
        ["--vary fit.lr=1", "two different plain values"],
    ),
    "a search backwards": ("tune r.yaml --vary fit.lr=1..0.1", ["--vary fit.lr", "is not a range"]),
    "a search from text": (
        "tune r.yaml --vary fit.lr=low..high",
        ["--vary fit.lr", "is not a range"],
    ),
    "a search of lists": ("tune r.yaml --vary 'fit.lr=[1],[2]'", ["--vary fit.lr"]),
    "a search of an unknown key": (
        "tune r.yaml --vary fit.rate=1..2",
        ["--set: fit.rate is not a key"],
    ),
    "a search beyond what is allowed": ("tune r.yaml --vary fit.lr=1..100", ["--set: fit.lr: 100"]),
}


@pytest.mark.parametrize("case", COMMANDS)
def test_a_recipe_or_setting_named_wrongly(case, refused, write, folders):
    for name in ("r.yaml", "r.base.yaml", "my recipe.yaml", ".hidden.yaml", "-x.yaml"):
        write(name, GOOD)
    command, said = COMMANDS[case]
    refused(command, *said)


def test_a_recipe_quotes_nothing_but_keys_and_short_values(refused, write):
    """A private file given as a recipe, in each form in which YAML's own messages would repeat it."""
    for text in (
        "hunter2\n",
        "hunter2: hunter2\n",
        "a: *hunter2\n",
        "a: !hunter2 b\n",
        "a: !hunter2!b c\n",
    ):
        refused(f"train {shlex.quote(str(write('private.txt', text)))}", "private.txt")


CASES = FILES | VALUES | SECTIONS | BASES | COMMANDS
