"""Tables that people wrote by hand or with a spreadsheet: every cell is read, or the file is refused."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.dataset.csvfile import read_csv, read_table
from ensemble.errors import DataError

CELLS = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=("Cs",)), max_size=8
)


@pytest.fixture
def table_of(tmp_path):
    """table_of(text, name): the table that a file with this text holds."""

    def table_of(text, name="labels.csv"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_table(path)

    return table_of


@given(st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=8), st.sampled_from(",;\t|"))
def test_whatever_a_csv_writer_wrote_is_read_back(tmp_path_factory, rows, delimiter):
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter).writerows([("id", "label", "part"), *rows])
    path = tmp_path_factory.mktemp("csv") / "labels.csv"
    path.write_bytes(text.getvalue().encode())
    kept = [row for row in rows if any(cell.strip() for cell in row)]
    if not kept:
        with pytest.raises(DataError, match="a header and at least one row"):
            read_table(path)
        return
    table = read_table(path)
    assert table.header == ("id", "label", "part")
    for position, name in enumerate(table.header):
        assert table.column(name) == tuple(row[position].strip() for row in kept)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("id,label\na,cat\nb,dog\n", "labels.csv"),
        ("id;label\na;cat\nb;dog\n", "labels.csv"),
        ("id\tlabel\na\tcat\nb\tdog\n", "labels.csv"),
        ("id\tlabel\na\tcat\nb\tdog\n", "labels.tsv"),
        ("id label\na cat\nb dog\n", "labels.txt"),
        ("id label\r\na cat\r\n\r\nb dog\r\n", "labels.txt"),
        ("id, label\na, cat\nb, dog\n", "labels.csv"),
        ('"id", "label"\n"a", "cat"\n"b", "dog"\n', "labels.csv"),
        ("id,label,\na,cat,\n,,\nb,dog,\n,,\n", "labels.csv"),
        ("id,label\na,cat,,\nb,dog,,\n", "labels.csv"),
        ("\ufeffid,label\na,cat\nb,dog\n", "labels.csv"),
        (" , \n\nid,label\na,cat\nb,dog\n", "labels.csv"),
    ],
)
def test_a_table_is_the_same_however_it_is_written(text, name, table_of):
    table = table_of(text, name)
    assert table.header == ("id", "label")
    assert (table.column("id"), table.column("label")) == (("a", "b"), ("cat", "dog"))


def test_the_delimiter_is_the_one_that_splits_every_row_alike(table_of):
    table = table_of('"id, of the image";label\na;"cat, black"\nb;dog\n')
    assert table.header == ("id, of the image", "label")
    assert table.column("label") == ("cat, black", "dog")
    assert table_of("id;price\na;0,5\nb;1,5\n").column("price") == ("0,5", "1,5")
    assert table_of("id\tname, long\na\tx\n").header == ("id", "name, long")


def test_a_text_with_blanks_inside_its_cells_is_not_split_at_blanks(table_of):
    assert table_of("id label\nmy photo.jpg cat\n", "labels.txt").header == ("id label",)
    assert table_of("id label\na cat\n", "labels.csv").header == ("id label",)


def test_blanks_that_are_left_out_are_said_once_with_an_example(table_of):
    table = table_of("id, label\na, cat\nb,dog \n")
    line = "labels.csv: blanks around 3 cells are left out: 'dog ' is 'dog'"
    assert table.stripped_line("id", "label") == line
    assert table.stripped_line("id") == ""


def test_an_unnamed_column_stays_where_it_holds_text(table_of):
    table = table_of(",image,label\n0,a,cat\n1,b,dog\n")
    assert table.header == ("", "image", "label")
    assert table.column("") == ("0", "1")


def test_a_row_is_known_by_its_line_in_the_file(table_of):
    table = table_of('id,label\n\na,"c\nat"\n,\nb,dog\n')
    assert [table.where(row).rpartition(":")[2] for row in range(2)] == ["3", "6"]


def test_another_encoding_is_refused_with_the_command_that_converts_it(table_of):
    with pytest.raises(DataError) as refused:
        table_of("id,label\na,Félin\n".encode("latin-1"))
    assert "iconv -f WINDOWS-1252 -t UTF-8 labels.csv" in str(refused.value)
    assert str(refused.value).count("\n") == 1


@pytest.mark.parametrize("codec", ["utf-16", "utf-16-be"])
def test_utf_16_is_known_by_its_mark(codec, table_of):
    mark = "\ufeff" if codec == "utf-16-be" else ""
    table = table_of(f"{mark}id\tlabel\r\na\tFélin\r\n".encode(codec))
    assert (table.header, table.cells) == (("id", "label"), (("a", "Félin"),))


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;\r"])
def test_the_line_that_names_excels_separator_is_no_header(line, table_of, tmp_path):
    table = table_of(f"{line}\nid;label\na;cat\nb;dog\n")
    assert (table.header, table.where(1)) == (("id", "label"), f"{table.path}:4")
    header, rows = read_csv(tmp_path / "labels.csv", ";")
    assert (header, rows[0]) == (["id", "label"], {"id": "a", "label": "cat"})


def test_the_cells_of_a_sample_stay_as_they_are(tmp_path):
    path = tmp_path / "sample.csv"
    path.write_text("id , label\na , 0\n")
    assert read_csv(path) == (["id ", " label"], [{"id ": "a ", " label": " 0"}])
