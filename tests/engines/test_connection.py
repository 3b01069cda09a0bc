"""On a machine with other users Ray trusts only what belongs to this user."""

import os
import subprocess
import sys
import time

import psutil
import pytest

from ensemble.engines import connection
from ensemble.engines.connection import check_ray, running_cluster
from ensemble.errors import EnsembleError


@pytest.fixture
def address_file(tmp_path, monkeypatch):
    """Where `ray start` writes the address of the cluster that it started."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    (tmp_path / "ray").mkdir()
    return tmp_path / "ray" / "ray_current_cluster"


def test_the_environment_names_the_cluster_before_the_one_that_was_started_here(
    address_file, monkeypatch
):
    assert running_cluster() is None
    address_file.write_text("10.0.0.1:6379\n")
    assert running_cluster() == "10.0.0.1:6379"
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.2:6379")
    assert running_cluster() == "10.0.0.2:6379"
    monkeypatch.setenv("RAY_ADDRESS", "local")
    assert running_cluster() is None


def test_the_cluster_of_another_user_is_joined_only_by_its_address(
    address_file, give_to_another_user
):
    address_file.write_text("10.0.0.1:6379")
    give_to_another_user(address_file)
    with pytest.raises(EnsembleError) as error:
        running_cluster()
    assert "another user of this machine started" in str(error.value)
    assert "--address '10.0.0.1:6379'" in str(error.value)


def test_a_ray_without_tokens_is_refused_with_the_command_that_installs_a_newer_one(monkeypatch):
    check_ray()
    monkeypatch.setattr(connection, "MINIMUM", (999, 0))
    with pytest.raises(
        EnsembleError,
        match="anyone who can reach its ports can run code.*\npip install 'ray>=2.59'",
    ):
        check_ray()


@pytest.mark.slow
def test_a_new_cluster_listens_on_loopback_alone_requires_a_token_and_keeps_its_session_private(
    tiny, tmp_path
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
    addresses, modes, tokens = set(), set(), set()
    with subprocess.Popen(
        command, cwd=tmp_path, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        while process.poll() is None:
            command_process = psutil.Process(process.pid)
            for child in [command_process, *command_process.children(recursive=True)]:
                addresses |= listening_addresses(child)
                modes |= session_modes(child)
                tokens |= token_lengths(child)
            time.sleep(0.2)
        output = process.stdout.read().decode()
    assert process.returncode == 0, output
    assert addresses
    assert {address.removeprefix("::ffff:") for address in addresses} <= {"127.0.0.1", "::1"}
    assert tokens == {("token", 64)}
    assert modes == {0o700}
    assert list((tmp_path / "runs").glob("small-*/run.json"))


def listening_addresses(process):
    """The addresses that a process listens on."""
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return set()
    return {
        connection.laddr.ip for connection in connections if connection.status == psutil.CONN_LISTEN
    }


def is_ray_server(process):
    return any(name in process.name() for name in ("raylet", "gcs_server"))


def session_modes(process):
    """The mode of the folder around the session of one of Ray's servers."""
    try:
        words = " ".join(process.cmdline()).replace("=", " ").split()
        folders = [word for word in words if "/ens-ray-" in word and is_ray_server(process)]
        parents = {"/".join(folder.split("/")[:3]) for folder in folders}
        return {os.stat(parent).st_mode & 0o777 for parent in parents}
    except (psutil.Error, FileNotFoundError):
        return set()


def token_lengths(process):
    """The kind and length of the token of one of Ray's servers, hidden from its command line."""
    try:
        env, command_line = process.environ(), " ".join(process.cmdline())
        if not is_ray_server(process):
            return set()
    except psutil.Error:
        return set()
    token = env.get("RAY_AUTH_TOKEN", "")
    assert token not in command_line
    return {(env.get("RAY_AUTH_MODE"), len(token))}
