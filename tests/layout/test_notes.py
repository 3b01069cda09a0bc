"""What `ens init` says about how it read a table: nothing is matched or left out in silence."""

import pytest
from PIL import Image

from ensemble.layout.understanding import understand


@pytest.fixture
def labeled(tmp_path):
    """labeled(text, names): the understanding of labels.csv with this text beside images."""

    def labeled(text, names=tuple(f"{i:03d}.png" for i in range(4))):
        for i, name in enumerate(names):
            (tmp_path / "train").mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (i, 0, 0)).save(tmp_path / "train" / name)
        (tmp_path / "labels.csv").write_text(text)
        return understand(tmp_path)

    return labeled


def rows(form):
    return "".join(f"{form(i)},{'ab'[i % 2]}\n" for i in range(4))


@pytest.mark.parametrize(
    ("form", "note"),
    [
        (lambda i: f"{i}", "without leading zeros: '0' is '000.png'"),
        (lambda i: f"{i:03d}.0", "without the ids' `.0`: '000.0' is '000.png'"),
        (lambda i: f"C:\\x\\{i:03d}.png", "without the ids' leading path: 'C:\\\\x\\\\000.png' is"),
        (lambda i: f"{i:03d}.PNG", ""),
        (lambda i: f"{i:03d}", ""),
    ],
)
def test_a_loose_match_of_ids_is_said(form, note, labeled):
    understood = labeled("id,label\n" + rows(form))
    assert understood.counts == {"a": 2, "b": 2}
    assert len(understood.notes) == bool(note)
    assert not note or note in understood.notes[0]


def test_a_table_without_a_header_is_said(labeled):
    assert labeled(rows(lambda i: f"{i:03d}.png")).notes == (
        "labels.csv has no header: its first row names an image, too",
    )


def test_blanks_around_cells_are_said(labeled):
    understood = labeled("id, label\n" + "".join(f"{i:03d}, {'ab'[i % 2]}\n" for i in range(4)))
    assert understood.counts == {"a": 2, "b": 2}
    assert understood.notes == ("labels.csv: blanks around 5 cells are left out: ' b' is 'b'",)
