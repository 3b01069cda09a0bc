"""Output of any encoding, to full disks and closed pipes: the work is done, and the exit status is the work's."""

import io
import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ensemble.cli import main
from ensemble.cli.streams import PLAIN, any_output

ENCODINGS = ["utf-8", "cp1252", "ascii", "latin-1", "cp437", "shift_jis", "cp500", "utf-16"]
COMMANDS = {
    "help": ("--help", 0),
    "a command's help": ("blend --help", 0),
    "tables": ("runs", 0),
    "per class": ("runs --per-class", 0),
    "JSON": ("runs --json", 0),
    "a blend": ("blend --name s", 0),
    "a blend as JSON": ("blend --name s --json", 0),
    "tests": ("compare a-1-s0 b-1-s0", 0),
    "doctor": ("doctor", None),
    "an error": ("blend 'zzz–→*'", 1),
    "wrong usage": ("blend --no-such-option", 2),
}


@pytest.fixture
def runs(tmp_path, fake_run, made_up, rng, monkeypatch):
    """Two runs whose classes and test ids no 8-bit encoding holds."""
    monkeypatch.chdir(tmp_path)
    classes = ("ä–→", "学", "cat")
    for name in ("a-1-s0", "b-1-s0"):
        test = made_up(rng, classes=classes, ids=["é", "学", "…", "x"])
        fake_run("runs", name, predictions=made_up(rng, 40, classes), test=test)


@pytest.fixture
def ens(monkeypatch):
    """ens(command, encoding): exit status, stdout and stderr, each decoded from that encoding."""

    def ens(command, encoding="utf-8", errors="strict"):
        import shlex

        streams = [io.TextIOWrapper(io.BytesIO(), encoding, errors) for _ in range(2)]
        monkeypatch.setattr(sys, "argv", ["ens", *shlex.split(command)])
        monkeypatch.setattr(sys, "stdout", streams[0])
        monkeypatch.setattr(sys, "stderr", streams[1])
        with pytest.raises(SystemExit) as ended:
            main()
        monkeypatch.undo()
        shown = [stream.buffer.getvalue().decode(encoding) for stream in streams]
        return ended.value.code or 0, *shown

    return ens


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("case", COMMANDS)
def test_every_command_speaks_every_encoding_with_the_status_of_its_work(case, encoding, runs, ens):
    command, status = COMMANDS[case]
    code, out, err = ens(command, encoding)
    assert code in (0, 1) if status is None else code == status, err
    assert "Traceback" not in err
    assert "UnicodeEncodeError" not in err
    assert err if status else out
    if "--json" in command:
        assert "学" in json.dumps(json.loads(out), ensure_ascii=False) or "blend" in command


def test_signs_of_our_own_have_plain_forms(runs, ens):
    _, out, _ = ens("runs", "ascii")
    assert "\\u2013" not in out.replace("\\xe4\\u2013", "")
    assert "(" in out
    assert "-" in out


def test_names_that_are_not_unicode_are_shown_as_escapes(ens, tmp_path):
    code, _, err = ens(f"verify '{tmp_path}/\udcff.csv'")
    assert code == 1
    assert "\\udcff.csv" in err


@given(text=st.text(), encoding=st.sampled_from(ENCODINGS))
def test_any_text_can_be_written_in_any_encoding(text, encoding):
    stream = io.TextIOWrapper(io.BytesIO(), encoding, newline="")
    stream.reconfigure(errors="ens.plain")
    stream.write(text)
    stream.flush()
    shown = stream.buffer.getvalue().decode(encoding)
    expected = {letter: {letter, PLAIN.get(letter), ascii(letter)[1:-1]} for letter in text}
    assert shown == text or any(
        shown.find(form or "\0") >= 0 for letter in text for form in expected[letter]
    )


def test_plain_forms_are_ascii():
    assert all(form.isascii() for form in PLAIN.values())


@pytest.fixture
def process(tmp_path):
    """process(command, out, err): the real command; its exit status and what it says on stderr where it is caught."""

    def process(command, out=subprocess.PIPE, err=subprocess.PIPE):
        done = subprocess.run(
            [sys.executable, "-m", "ensemble", *command.split()],
            cwd=tmp_path,
            stdout=out,
            stderr=err,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    return process


@pytest.fixture
def full():
    with open("/dev/full", "w") as device:
        yield device


@pytest.fixture
def closed_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


needs_full_device = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")


@needs_full_device
@pytest.mark.parametrize("command", ["runs", "runs --json", "--help", "blend --name s"])
def test_a_full_disk_behind_stdout_is_one_line_and_status_1(command, runs, process, full):
    code, _, err = process(command, out=full)
    assert code == 1
    assert err == "error: the output cannot be written (No space left on device)\n"


@pytest.mark.parametrize("command", ["runs", "runs --json", "--help"])
def test_a_reader_that_has_gone_is_no_error_to_tell(command, runs, process, closed_pipe):
    code, _, err = process(command, out=closed_pipe)
    assert (code, err) == (1, "")


@needs_full_device
@pytest.mark.parametrize(("command", "status"), [("runs", 0), ("blend zzz", 1), ("nonsense", 2)])
def test_a_full_disk_behind_stderr_leaves_the_status_of_the_work(
    command, status, runs, process, full
):
    assert process(command, err=full)[0] == status


def test_errors_of_other_files_are_not_taken_for_the_output(capsys):
    with pytest.raises(OSError, match="another file"), any_output():
        raise OSError(28, "No space left on device: another file")


@pytest.mark.parametrize(
    "command", ["runs", "runs --json", "blend --name s --json", "recipes --json", "--help"]
)
def test_a_closed_stdout_is_no_error(command, runs, tmp_path):
    """As `ens … >&-` starts it: sys.stdout is None."""
    line = f"exec {sys.executable} -m ensemble {command} >&-"
    done = subprocess.run(
        ["/bin/sh", "-c", line], cwd=tmp_path, stderr=subprocess.PIPE, text=True, timeout=60
    )  # noqa: S603
    assert "Traceback" not in done.stderr
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("status", "expected"), [(0, 1), (1, 1), (2, 2), (130, 130), (143, 143), ("text", 1)]
)
def test_a_reader_that_has_gone_leaves_a_status_above_1(status, expected, closed_pipe, monkeypatch):
    monkeypatch.setattr(sys, "stdout", os.fdopen(os.dup(closed_pipe), "w"))

    @any_output()
    def command():
        print("what is shown before the signal")
        raise SystemExit(status)

    with pytest.raises(SystemExit) as ended:
        command()
    assert ended.value.code == expected
    sys.stdout.close()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (
            PermissionError(13, "Permission denied", "x.csv"),
            "x.csv: cannot be used (Permission denied)",
        ),
        (
            PermissionError(1, "Operation not permitted", "x.csv"),
            "x.csv: cannot be used (Operation not permitted)",
        ),
        (
            OSError(28, "No space left on device", "x.csv"),
            "x.csv: cannot be written (No space left on device)",
        ),
        (
            OSError(30, "Read-only file system", "x.csv"),
            "x.csv: cannot be written (Read-only file system)",
        ),
    ],
)
def test_only_what_a_disk_refuses_is_said_not_to_be_written(error, text, monkeypatch, capsys):
    def refuse(prog_name):
        raise error

    monkeypatch.setattr("ensemble.cli.app", refuse)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert text in capsys.readouterr().err
