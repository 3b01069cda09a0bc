"""From pictures to batches: timm's own evaluation view, whole batches, and every row with its own label."""

import threading

import numpy as np
import pytest
import timm
import torch
from fastai.data.core import TfmdDL
from fastai.interpret import ClassificationInterpretation
from PIL import Image
from timm.data import create_transform, resolve_data_config

from ensemble.dataset.load import load
from ensemble.dataset.pixels import decode_pixels
from ensemble.errors import DataError
from ensemble.events import Note
from ensemble.learn import learner
from ensemble.learn.device import seed_everything
from ensemble.learn.loaders import normalization, split_loader
from ensemble.learn.pixel_loader import PixelDL, one_ahead
from ensemble.learn.preprocess import weights_config
from ensemble.learn.stored_image import StoredImage
from ensemble.recipe import Recipe

SHAPES = {"landscape": (460, 300), "portrait": (290, 431), "square": (377, 377)}


def saved(folder, named):
    for name, image in named.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.save(path)
    return folder


@pytest.fixture
def recipe_about(tmp_path):
    """recipe_about(folder, *overrides): a recipe about class folders, the same images for training and validation."""

    def recipe_about(folder, *said):
        path = tmp_path / "about.yaml"
        path.write_text(
            f"data: {{source: folder, path: {folder}, train: ., valid: ., size: 32}}\naugment: none\n"
            "model: {arch: test_resnet, pretrained: false, head: keep}\nfit: {batch_size: 4}\n"
        )
        return Recipe.load(path, said)

    return recipe_about


def by_timm(files, arch, **said):
    """What timm's own evaluation transform makes of pictures, as (images, 3, size, size) from 0 to 1."""
    config = (
        resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(arch).to_dict(), model=None)
        | said
    )
    mean, std = (torch.tensor(config[name])[:, None, None] for name in ("mean", "std"))
    transform = create_transform(**config)
    return torch.stack([transform(Image.open(file).convert("RGB")) for file in files]) * std + mean


def as_served(dls, images, part, normalize):
    """What the network is shown of a part, from 0 to 1."""
    mean, std = (torch.tensor(value)[:, None, None] for value in normalize)
    return (
        torch.cat([x.as_subclass(torch.Tensor) for (x,) in split_loader(dls, images, part, 3)])
        * std
        + mean
    )


def stats_of(arch):
    config = resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(arch).to_dict(), model=None)
    return config["mean"], config["std"]


class TestEvaluationView:
    @pytest.fixture
    def photos(self, rng, photo, tmp_path):
        named = {
            f"{name}/{i}.png": photo(rng, *size) for name, size in SHAPES.items() for i in range(2)
        }
        return saved(tmp_path / "photos", named)

    @pytest.mark.parametrize(
        ("arch", "filter_", "crop_pct"),
        [
            ("tf_efficientnet_lite0", "bicubic", 0.875),
            ("resnet34", "bicubic", 0.95),
            ("vgg11_bn", "bilinear", 0.875),
        ],
    )
    def test_a_photo_of_any_shape_is_shown_as_timm_shows_it(
        self, arch, filter_, crop_pct, photos, recipe_about, served
    ):
        recipe = recipe_about(
            photos, "data.size=auto", f"model.arch={arch}", "model.pretrained=true"
        )
        images, dls = served(recipe)
        geometry = images.store.geometry
        assert (geometry.size, geometry.interpolation, geometry.crop_pct) == (
            224,
            filter_,
            crop_pct,
        )
        assert not images.store.is_native
        expected = by_timm(load(recipe.data).valid.files, arch)
        assert (as_served(dls, images, "valid", stats_of(arch)) - expected).abs().max() <= 2 / 255

    @pytest.mark.parametrize("arch", ["tf_efficientnet_lite0", "vgg11_bn"])
    @pytest.mark.parametrize("size", [(48, 48), (60, 44), (40, 64), (64, 64)], ids=str)
    def test_small_images_of_one_size_are_enlarged_on_the_device_as_timm_does(
        self, size, arch, rng, photo, tmp_path, recipe_about, served
    ):
        small = saved(
            tmp_path / "small",
            {f"{name}/{i}.png": photo(rng, *size) for name in "ab" for i in range(3)},
        )
        recipe = recipe_about(small, "data.size=64", f"model.arch={arch}", "model.pretrained=true")
        images, dls = served(recipe)
        expected = by_timm(load(recipe.data).valid.files, arch, input_size=(3, 64, 64))
        assert (as_served(dls, images, "valid", stats_of(arch)) - expected).abs().max() <= 2 / 255

    @pytest.mark.parametrize(("resize", "crop_mode"), [("squish", "squash"), ("pad", "border")])
    @pytest.mark.parametrize("native", [False, True], ids=["resized before", "on the device"])
    def test_squishing_and_padding_are_timms_too(
        self, native, resize, crop_mode, rng, photo, tmp_path, recipe_about, served
    ):
        size = (60, 45) if native else (320, 240)
        photos = saved(
            tmp_path / "wide",
            {f"{name}/{i}.png": photo(rng, *size) for name in "ab" for i in (0, 1)},
        )
        recipe = recipe_about(
            photos, "data.size=64", f"data.resize={resize}", "model.arch=vgg11_bn"
        )
        images, dls = served(recipe)
        assert images.store.is_native == native
        said = {"input_size": (3, 64, 64), "crop_mode": crop_mode, "crop_pct": 1.0}
        shown = as_served(dls, images, "valid", stats_of("vgg11_bn"))
        expected = by_timm(load(recipe.data).valid.files, "vgg11_bn", **said)
        if resize == "pad":  # timm fills with grey, we with black: compare where the picture is
            inside = shown.amax(1, keepdim=True).gt(1e-3).expand_as(shown)
            assert 0.5 < inside.float().mean() < 0.9
            shown, expected = shown[inside], expected[inside]
        assert (shown - expected).abs().max() <= 2 / 255


class TestBatches:
    def test_whole_batches_equal_those_made_item_by_item_bit_for_bit(self, recipe_of, served):
        for said in ("data.size=32", "data.size=48", "data.size=16"):
            images, dls = served(recipe_of(said, "augment=heavy"))
            for whole in dls:
                plain = whole.new(cls=TfmdDL, num_workers=0)
                batches = []
                for loader in (whole, plain):
                    loader.rng = seed_everything(0, "test")
                    batches.append(list(loader))
                assert len(batches[0]) == len(batches[1]) > 0
                for (x, y), (their_x, their_y) in zip(*batches, strict=True):
                    assert torch.equal(x, their_x)
                    assert torch.equal(y, their_y)
                    assert (type(x), type(y)) == (type(their_x), type(their_y))

    def test_a_row_keeps_its_pixels_and_its_label(self, recipe_of, served):
        recipe = recipe_of()
        data = load(recipe.data)
        images, dls = served(recipe)
        for part, table in zip(("train", "valid", "test"), data.tables, strict=True):
            pixels = StoredImage(images).read(images.splits[part].tolist())
            shown = pixels.permute(0, 2, 3, 1).numpy()
            assert all(
                np.array_equal(mine, Image.open(file))
                for mine, file in zip(shown, table.files, strict=True)
            )
            if part == "test":
                assert [data.classes[code] for code in images.targets[images.splits[part]]] == list(
                    table.labels
                )
        x, y = dls.valid.one_batch()
        assert [dls.vocab[code] for code in y] == list(data.valid.labels)
        assert dls.vocab == list(data.classes)

    def test_an_epoch_shows_every_training_image_once_in_another_order(self, recipe_of, served):
        images, dls = served(recipe_of(), batch_size=19)
        epochs = [torch.cat([x.as_subclass(torch.Tensor) for x, _ in dls.train]) for _ in range(2)]
        assert len(epochs[0]) == 38
        assert not torch.equal(*epochs)
        assert torch.allclose(
            *(epoch.flatten(1).sum(1).sort().values for epoch in epochs), atol=1e-3
        )

    def test_augmentation_changes_training_batches_only(self, recipe_of, served):
        plain, changed = (served(recipe_of(f"augment={name}"))[1] for name in ("none", "heavy"))
        shown = [torch.cat([x for x, _ in dls.valid]) for dls in (plain, changed)]
        assert torch.allclose(*shown, atol=1e-5)  # fastai interpolates with the identity
        firsts = []
        for dls in (plain, changed):
            dls.train.rng = seed_everything(0, "test")
            firsts.append(next(iter(dls.train)))
        assert torch.equal(firsts[0][1], firsts[1][1])
        assert not torch.allclose(firsts[0][0], firsts[1][0])

    def test_a_set_smaller_than_the_batch_is_one_batch(self, recipe_of, served):
        images, dls = served(recipe_of(), batch_size=500)
        assert [len(x) for x, _ in dls.train] == [38]

    def test_the_statistics_of_the_data_set_are_those_of_its_training_pixels(
        self, recipe_of, served
    ):
        recipe = recipe_of()
        images, _ = served(recipe)
        config = ((0.5,) * 3, (0.2,) * 3)
        pixels = np.concatenate(
            [np.asarray(Image.open(file)).reshape(-1, 3) for file in load(recipe.data).train.files]
        )
        mean, std = normalization("dataset", config, images)
        assert np.allclose(mean, pixels.mean(0) / 255)
        assert np.allclose(std, pixels.std(0) / 255)
        assert normalization("auto", config, images) == config
        assert normalization("imagenet", config, images) == (
            (0.485, 0.456, 0.406),
            (0.229, 0.224, 0.225),
        )
        assert normalization(((0, 0, 0), (1, 1, 1)), config, images) == ((0, 0, 0), (1, 1, 1))


class TestStreaming:
    """Images that are decoded when a batch needs them."""

    @pytest.mark.parametrize("size", [32, 24])  # stored as they are, and resized
    def test_training_past_the_disk_budget_leaves_the_same_bytes_and_says_so(self, fit, size):
        streamed, cached = (
            fit(f"data.size={size}", f"resources.disk={disk}") for disk in (0, "null")
        )
        assert cached.files == streamed.files
        why = "decoded pixels would exceed the disk budget"
        notes = [
            {event.text for event in fitted.events if isinstance(event, Note)}
            for fitted in (streamed, cached)
        ]
        assert f"{why}: every epoch decodes the images again" in notes[0] - notes[1]

    def test_random_crops_differ_by_epoch_and_image_and_repeat_with_the_seed(
        self, recipe_of, served
    ):
        images, dls = served(recipe_of("augment={crop: 0.3}"))
        train = dls.train.new(shuffle=False, drop_last=False)
        shown = []
        for seed in (0, 1, 0):
            train.rng = seed_everything(seed, "crops")
            shown.append(torch.cat([x for x, _ in train]).as_subclass(torch.Tensor))
        assert torch.equal(shown[0], shown[2])
        assert not any(
            torch.equal(one, other) for one, other in zip(shown[0], shown[1], strict=True)
        )
        assert shown[0].shape == (38, 3, 32, 32)
        plain = torch.cat([x for x, *_ in split_loader(dls, images, "train", 16)])
        valid = torch.cat([x for x, _ in dls.valid])
        without = served(recipe_of())[1]
        assert torch.equal(valid, torch.cat([x for x, _ in without.valid]))
        assert not torch.allclose(plain, shown[0], atol=1e-2)

    def test_an_image_that_is_deleted_before_it_is_cropped_is_an_error_with_its_name(
        self, recipe_of, served
    ):
        images, dls = served(recipe_of("augment={crop: 0.3}"))
        for file in images.files:
            file.unlink()
        with pytest.raises(DataError, match="png: can no longer be read .*\nput it back"):
            dls.train.one_batch()

    def test_a_training_with_crops_is_repeated_to_the_same_bytes(self, fit):
        first, again = (fit("augment={crop: 0.3}", "fit.epochs=2") for _ in range(2))
        assert first.files == again.files

    def test_the_next_batch_is_made_ahead_in_order_and_its_error_reaches_the_user(self):
        is_second_made = threading.Event()

        def make(number):
            if number == 1:
                is_second_made.set()
            return 1 // (3 - number)

        batches = one_ahead(make, range(5))
        assert next(batches) == 0
        assert is_second_made.wait(10)
        assert [next(batches), next(batches)] == [0, 1]
        with pytest.raises(ZeroDivisionError):
            next(batches)


class TestLearner:
    """The plain fastai Learner that users get."""

    @pytest.fixture
    def learn(self, recipe_of):
        learn = learner(recipe_of("data.size=48"))
        with learn.no_bar(), learn.no_logging():
            yield learn

    @pytest.mark.filterwarnings(
        "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
    )
    def test_batches_and_results_can_be_shown(self, learn):
        import matplotlib.pyplot as plt

        learn.dls.show_batch(max_n=4)
        assert len(plt.gcf().axes) == 4
        assert {axes.get_title() for axes in plt.gcf().axes} <= {"blue", "green", "red"}
        plt.close("all")
        learn.show_results(max_n=4)
        plt.close("all")
        found = ClassificationInterpretation.from_learner(learn)
        assert found.confusion_matrix().sum() == 10
        found.plot_top_losses(3)
        plt.close("all")

    def test_it_predicts_its_splits_a_test_loader_of_paths_and_single_images(
        self, learn, recipe_of
    ):
        data = load(recipe_of().data)
        probs, targets = learn.get_preds()
        assert probs.shape == (10, 3)
        assert [data.classes[code] for code in targets] == list(data.valid.labels)
        files = list(data.valid.files)
        by_path, nothing = learn.get_preds(dl=learn.dls.test_dl(files, bs=4))
        assert nothing is None
        assert torch.allclose(by_path, probs, atol=2e-3)  # resized by Pillow and on the device
        as_text, _ = learn.get_preds(dl=learn.dls.test_dl([str(file) for file in files]))
        assert torch.allclose(as_text, by_path, atol=1e-6)
        for file, row in zip(files[:3], by_path, strict=False):
            label, code, alone = learn.predict(file)
            assert label == data.classes[code]
            assert torch.allclose(alone, row, atol=1e-6)

    def test_it_finds_rates_and_fits_as_any_learner(self, learn, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert learn.lr_find(num_it=20, show_plot=False).valley > 0
        learn.fit_one_cycle(1, 3e-3)
        loss, accuracy = learn.validate()
        assert 0 <= accuracy <= 1

    def test_an_image_of_another_size_is_resized_as_if_it_were_stored(
        self, learn, recipe_of, rng, photo, tmp_path
    ):
        geometry = weights_config(recipe_of("data.size=48")).geometry
        path = tmp_path / "large.jpg"
        photo(rng, 300, 200).save(path)
        (x,) = learn.dls.test_dl([path]).one_batch()
        assert x.shape == (1, 3, 48, 48)
        expected = torch.from_numpy(decode_pixels(path, geometry).copy()).permute(2, 0, 1) / 255
        mean, std = (torch.tensor(value)[:, None, None] for value in stats_of("test_resnet"))
        assert (x[0].as_subclass(torch.Tensor) * std + mean - expected).abs().max() < 1e-5


class TestUnreadable:
    @pytest.fixture
    def damage(self, recipe_of):
        """damage(part, n): make files of a part of the tiny images unreadable; returns their ids."""

        def damage(part, n):
            table = getattr(load(recipe_of().data), part)
            for file in table.files[:n]:
                file.write_bytes(b"not a picture")
            return list(table.ids[:n])

        return damage

    def test_training_images_are_dropped_and_counted(self, damage, fit):
        names = damage("train", 3)
        made = fit()
        assert made.trained.unreadable == {"train": names}
        (told,) = [
            event.text
            for event in made.events
            if isinstance(event, Note) and "unreadable" in event.text
        ]
        assert told.startswith("3 unreadable train images dropped, the first: ")
        assert str(names[0].split("/")[-1]) in told

    def test_a_validation_image_stops_the_run_unless_it_may_be_skipped(self, damage, fit):
        names = damage("valid", 2)
        with pytest.raises(
            DataError,
            match="2 unreadable validation images, the first: .*\nfix or remove them, or",
        ):
            fit()
        made = fit("data.skip_unreadable=true")
        assert made.trained.unreadable == {"valid": names}
        assert len(made.trained.valid.ids) == 8
        assert set(made.trained.valid.ids).isdisjoint(names)
        assert any(
            "2 unreadable valid images dropped" in event.text
            for event in made.events
            if hasattr(event, "text")
        )

    def test_a_test_image_keeps_its_row_with_the_class_shares_of_training(
        self, damage, fit, recipe_of
    ):
        names = damage("test", 2)
        train = load(recipe_of().data).train
        made = fit()
        test = made.trained.test
        assert made.trained.unreadable == {"test": names}
        assert list(test.ids) == list(load(recipe_of().data).test.ids)
        shares = np.array([train.labels.count(name) / len(train) for name in test.classes])
        rows = np.isin(test.ids, names)
        assert rows.sum() == 2
        assert np.allclose(test.probs[rows], shares, atol=1e-6)
        assert not np.isclose(test.probs[~rows], shares, atol=1e-4).all(1).any()
        assert any(
            "2 unreadable test images given the class shares of the training images" in event.text
            for event in made.events
            if isinstance(event, Note)
        )

    def test_all_test_images_may_be_unreadable(self, damage, fit):
        damage("test", 12)
        test = fit().trained.test
        assert len(test.ids) == 12
        assert (test.probs == test.probs[0]).all()

    @pytest.mark.parametrize(("part", "n"), [("train", 38), ("valid", 10)])
    def test_without_a_readable_image_there_is_nothing_to_train(self, part, n, damage, fit):
        damage(part, n)
        with pytest.raises(DataError, match=f"no {part} image is readable, the first: "):
            fit("data.skip_unreadable=true")


class TestSamePicture:
    def test_an_image_under_two_labels_keeps_the_label_of_each_row(
        self, rng, photo, tmp_path, recipe_about, served
    ):
        twice = photo(rng, 32, 32)
        others = {f"{name}/{i}.png": photo(rng, 32, 32) for name in "ab" for i in range(2)}
        folder = saved(tmp_path / "twice", {"a/same.png": twice, "b/same.png": twice, **others})
        images, dls = served(recipe_about(folder, "fit.batch_size=6"))
        assert len(images.store.pixels) == 5
        (x, y), *_ = dls.valid
        first, second = (
            i
            for i, row in enumerate(images.rows[images.splits["valid"]])
            if row == images.rows[images.splits["valid"]][2]
        )
        assert torch.equal(x[first], x[second])
        assert [dls.vocab[y[first]], dls.vocab[y[second]]] == ["a", "b"]

    def test_an_image_in_train_and_test_keeps_the_label_of_each_row(
        self, rng, photo, tmp_path, recipe_about, served
    ):
        twice = photo(rng, 32, 32)
        train = {f"train/{name}/{i}.png": photo(rng, 32, 32) for name in "ab" for i in range(3)}
        test = {"test/b/again.png": twice, "test/a/new.png": photo(rng, 32, 32)}
        folder = saved(tmp_path / "both", {**train, "train/a/first.png": twice, **test})
        recipe = recipe_about(folder, "data.train=train", "data.valid=train", "data.test=test")
        images, _ = served(recipe)
        data = load(recipe.data)
        for part, table in zip(("train", "valid", "test"), data.tables, strict=True):
            assert [data.classes[code] for code in images.targets[images.splits[part]]] == list(
                table.labels
            )
        mine = images.rows[images.splits["train"]][list(data.train.ids).index("a/first")]
        assert images.rows[images.splits["test"]][list(data.test.ids).index("b/again")] == mine


@pytest.mark.parametrize("n_grouped", [2, 3, 100])
@pytest.mark.parametrize("drop_last", [True, False])
def test_batches_that_are_transformed_together_equal_those_transformed_singly(
    n_grouped, drop_last, recipe_about, tiny_images, tmp_path, monkeypatch
):
    recipe = recipe_about(tiny_images(tmp_path / "images"))
    train = learner(recipe).dls.train.new(drop_last=drop_last, bs=7)

    def batches():
        train.rng = seed_everything(0, "test")
        return [(x.clone(), y.clone()) for x, y in train]

    plain = batches()
    monkeypatch.setattr(PixelDL, "n_grouped", n_grouped)
    grouped = batches()
    assert len(grouped) == len(plain) == len(train)
    for (x, y), (x_plain, y_plain) in zip(grouped, plain, strict=True):
        assert torch.equal(x, x_plain)
        assert torch.equal(y, y_plain)


@pytest.mark.parametrize(
    ("augment", "is_grouped"),
    [
        ("heavy", True),
        ("{randaug: 5}", False),
        ("{crop: 0.5}", False),
    ],
    ids=["drawn for each image", "drawn for parts of a batch", "decoded every epoch"],
)
def test_a_gpu_transforms_small_batches_together_where_that_changes_nothing(
    augment, is_grouped, recipe_about, tiny_images, tmp_path, monkeypatch
):
    recipe = recipe_about(tiny_images(tmp_path / "images"), f"augment={augment}")
    train = learner(recipe).dls.train.new(bs=4)
    assert train.n_grouped == 1, "on the CPU every batch is its own"
    monkeypatch.setattr(
        PixelDL, "device", property(lambda _: torch.device("cuda"))
    )  # nothing is sent there
    assert (train.n_grouped > 1) == is_grouped
    monkeypatch.setattr(train, "bs", 100_000)
    assert train.n_grouped == 1, "a large batch fills the room alone"
