"""Importing `ensemble.learn` is cheap, and the command line sets threads before torch is there."""

import json
import os
import subprocess
import sys

WITHOUT_POLICY = {name: text for name, text in os.environ.items() if name != "OMP_WAIT_POLICY"}


def printed(code):
    """What a fresh Python prints as JSON."""
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=WITHOUT_POLICY,
        timeout=120,
    )
    return json.loads(ended.stdout.splitlines()[-1])


def test_counting_gpus_imports_torch_but_neither_fastai_nor_timm():
    loaded = printed(
        "import json, sys\n"
        "from ensemble.learn import learner, load_learner\n"
        "light = 'torch' not in sys.modules\n"
        "from ensemble.learn.device import visible_gpus\n"
        "visible_gpus()\n"
        "print(json.dumps([light, 'torch' in sys.modules, 'fastai' in sys.modules, 'timm' in sys.modules]))"
    )
    assert loaded == [True, True, False, False]


def test_the_command_line_lets_waiting_threads_sleep_before_torch_is_imported():
    policy, is_early = printed(
        "import json, os, sys\n"
        "from ensemble import cli\n"
        "cli.app = lambda **_: print(json.dumps([os.environ['OMP_WAIT_POLICY'], 'torch' not in sys.modules]))\n"
        "cli.main()"
    )
    assert (policy, is_early) == ("PASSIVE", True)
