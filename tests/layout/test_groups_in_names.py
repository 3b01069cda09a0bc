"""Images whose names say that they belong together: copies of one image, photos of one patient."""

import pytest

from ensemble.dataset.load import load
from ensemble.layout.understanding import understand
from ensemble.recipe import Recipe

HASH = "3f9a01bc" * 4
COPIES = {
    "augmented": ("{}", "{}_aug1", "{}_aug_2", "{}_flip"),
    "plants": ("{}", "{}_flipLR", "{}_90deg", "{}_new30degFlipLR"),
    "roboflow": (f"{{}}_jpg.rf.a{HASH}", f"{{}}_jpg.rf.b{HASH}"),
    "patients": ("patient{}_0", "patient{}_1"),
    "eyes": ("{}_left", "{}_right"),
    "cameras": ("{}_rgb", "{}_depth"),
    "breasts": ("{}-CC", "{}-MLO"),
}


@pytest.mark.parametrize("kind", COPIES)
def test_images_that_belong_together_stay_in_one_split(kind, layout, ens):
    names = [
        f"{c}/{form.format(f'{c}{i}')}" for c in "ab" for i in range(8) for form in COPIES[kind]
    ]
    ens("init", layout([f"{name}.png" for name in names]), "--name", "a")
    data = load(Recipe.load("recipes/a_resnet.yaml").data)
    groups = [set(part.groups) for part in (data.train, data.valid, data.test)]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 16


@pytest.mark.parametrize(
    "forms", [("{c}/{i}.png",), ("{c}/apple_{c}_{i}.png",), ("{c}/photo ({i}).png",)]
)
def test_names_that_only_look_alike_are_no_groups(forms, layout):
    names = [
        form.format(c=c, i=i) for c in ("rotated", "fresh") for i in range(12) for form in forms
    ]
    assert understand(layout(names)).groups == ()


def test_persons_that_are_the_classes_are_no_groups(layout, classes):
    assert (
        understand(layout(classes("faces", *(f"subject{i:02d}b" for i in range(12))))).groups == ()
    )
