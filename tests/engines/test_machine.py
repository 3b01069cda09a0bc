"""On a machine with other users Ray and its workers trust only what is this user's own."""

import os
import subprocess
import sys
import tempfile
import time

import psutil
import pytest

from ensemble.dataset.content import content_hash
from ensemble.dataset.load import load
from ensemble.engines import machine
from ensemble.engines.machine import check_ray, cluster_here, worker_cache
from ensemble.engines.parcels import images_here
from ensemble.engines.worker import read_files
from ensemble.errors import DataError, EnsembleError
from ensemble.runs.job import Job


def give_away(path, monkeypatch):
    """Let a file be somebody else's."""
    if os.getuid() == 0:
        os.chown(path, 12345, 12345, follow_symlinks=False)
    else:
        monkeypatch.setattr(os, "getuid", lambda: 12345)


@pytest.fixture
def temporary(tmp_path, monkeypatch):
    """The machine's temporary folder, and where a worker's cache lies in it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path / f"ens-cache-{os.getuid()}"


class TestWorkerCache:
    @pytest.mark.parametrize("mode", [None, 0o755, 0o700, 0o750])
    def test_it_is_this_users_alone(self, mode, temporary):
        if mode is not None:
            temporary.mkdir()
            temporary.chmod(mode)
        assert worker_cache() == temporary
        assert temporary.stat().st_mode & 0o777 == 0o700

    @pytest.mark.parametrize("kind", ["writable", "another user's", "a link", "a file"])
    def test_one_that_somebody_else_may_write_in_is_refused(
        self, kind, temporary, tmp_path, monkeypatch
    ):
        if kind == "a link":
            (tmp_path / "theirs").mkdir()
            temporary.symlink_to(tmp_path / "theirs")
        elif kind == "a file":
            temporary.write_text("")
        else:
            temporary.mkdir()
        if kind == "writable":
            temporary.chmod(0o777)
        if kind == "another user's":
            give_away(temporary, monkeypatch)
            temporary.rename(tmp_path / f"ens-cache-{os.getuid()}")
        with pytest.raises(
            EnsembleError, match="somebody else made it or may write in it.*\n.*ENS_CACHE"
        ):
            worker_cache()


class TestReceived:
    @pytest.mark.parametrize("planted", [b"another image", None])
    def test_a_planted_file_is_fetched_again_whatever_the_index_says(self, planted, tiny, tmp_path):
        recipe = tiny("sent", f"data.path={tmp_path / 'images'}")
        known = load(recipe.data)
        away = Job(tiny("away", "data.path=nowhere"), 0)
        asked = []

        def read(paths):
            asked.append(len(paths))
            return read_files(paths)

        first = images_here(away, known, read)
        file = first.train.files[0]
        if planted is not None:
            file.write_bytes(planted)
        again = images_here(away, known, read)
        assert asked == [60] + [1] * (planted is not None)
        assert again.hashes == first.hashes
        assert all(
            content_hash(path.read_bytes()) == content for path, content in again.hashes.items()
        )

    def test_an_image_that_changed_since_it_was_hashed_is_told_and_not_kept(self, tiny, tmp_path):
        known = load(tiny("sent", f"data.path={tmp_path / 'images'}").data)
        known.valid.files[0].write_bytes(b"another image")
        with pytest.raises(
            DataError,
            match=f"{known.valid.files[0].name}: was changed while this command was using it",
        ):
            images_here(Job(tiny("away", "data.path=nowhere"), 0), known, read_files)
        assert not [
            path
            for path in (tmp_path / "cache").rglob("*")
            if path.is_file() and path.read_bytes() == b"another image"
        ]


class TestCluster:
    @pytest.fixture
    def note(self, tmp_path, monkeypatch):
        """Where `ray start` writes which cluster it began."""
        monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        (tmp_path / "ray").mkdir()
        return tmp_path / "ray" / "ray_current_cluster"

    def test_the_one_that_is_named_or_was_begun_here_is_taken(self, note, monkeypatch):
        assert cluster_here() is None
        note.write_text("10.0.0.1:6379\n")
        assert cluster_here() == "10.0.0.1:6379"
        monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
        assert cluster_here() == "10.0.0.2:6379"
        monkeypatch.setenv("RAY_ADDRESS", "local")
        assert cluster_here() is None

    def test_one_that_another_user_began_is_not_joined_unasked(self, note, monkeypatch):
        note.write_text("10.0.0.1:6379")
        give_away(note, monkeypatch)
        with pytest.raises(EnsembleError) as told:
            cluster_here()
        assert "another user of this machine began" in str(told.value)
        assert "--address '10.0.0.1:6379'" in str(told.value)

    def test_a_ray_without_tokens_is_refused_with_the_command(self, monkeypatch):
        check_ray()
        monkeypatch.setattr(machine, "FLOOR", (999, 0))
        with pytest.raises(
            EnsembleError,
            match="lets everybody who reaches its ports run code.*\npip install 'ray>=2.59'",
        ):
            check_ray()

    @pytest.mark.slow
    def test_a_new_one_listens_on_loopback_alone_asks_for_a_token_and_keeps_its_session_to_itself(
        self, tiny, tmp_path
    ):
        tiny("small", "fit.epochs=1")
        command = [sys.executable, "-m", "ensemble", "train", "small.yaml", "--engine", "ray"]
        hidden = ("RAY_", "ENS_CACHE")
        env = {name: text for name, text in os.environ.items() if not name.startswith(hidden)}
        env |= {
            "RAY_ADDRESS": "local",
            "PYTHONPATH": os.pathsep.join(sys.path),
            "ENS_CACHE": str(tmp_path / "cache"),
        }
        with subprocess.Popen(
            command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            addresses, sessions, tokens = set(), set(), set()
            while process.poll() is None:
                seen = looked_at(psutil.Process(process.pid))
                for found, more in zip((addresses, sessions, tokens), seen, strict=True):
                    found |= more
                time.sleep(0.2)
            said = process.stdout.read().decode()
        assert process.returncode == 0, said
        assert addresses
        assert {address.removeprefix("::ffff:") for address in addresses} <= {"127.0.0.1", "::1"}
        assert tokens == {("token", 64)}
        assert sessions == {0o700}
        assert list((tmp_path / "runs").glob("small-*/run.json"))


def looked_at(process):
    """Of a command and its children: the addresses they listen on, the modes of Ray's folders, Ray's tokens."""
    addresses, modes, tokens = set(), set(), set()
    for own in [process, *process.children(recursive=True)]:
        try:
            addresses |= {
                made.laddr.ip
                for made in own.net_connections("tcp")
                if made.status == psutil.CONN_LISTEN
            }
            if "raylet" in own.name() or "gcs_server" in own.name():
                env, words = own.environ(), " ".join(own.cmdline())
                token = env.get("RAY_AUTH_TOKEN", "")
                assert token not in words
                tokens.add((env.get("RAY_AUTH_MODE"), len(token)))
                folder = next(
                    word for word in words.replace("=", " ").split() if "/ens-ray-" in word
                )
                around = "/".join(folder.split("/")[:3])
                modes.add(os.stat(around).st_mode & 0o777)
        except (psutil.Error, FileNotFoundError, StopIteration):
            continue
    return addresses, modes, tokens
