"""`ens submit` with Kaggle's real client and a local server: quota, question, upload, score,
ledger.
"""

import json
import shlex
from pathlib import Path

import numpy as np
import pytest

from ensemble.layout.understanding import understand
from ensemble.predictions import Predictions
from ensemble.runs import publish
from ensemble.submission.csv_answers import answers, share_differing
from ensemble.submission.ledger import Ledger

CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def ens(tmp_path, monkeypatch, run_ens):
    """ens("submit …"): exit status, stdout and stderr of a command run in tmp_path."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("builtins.input", lambda: (_ for _ in ()).throw(EOFError))
    return lambda line: run_ens(*shlex.split(line))


@pytest.fixture
def competition(tmp_path, rng, fake_run, made_up, kaggle_site, ens):
    """competition(name): runs about 60 test images of three classes, and the CSV of a blend of
    them, NAME.csv.
    """
    ids = [f"t{i:03d}" for i in range(60)]
    sample = tmp_path / "sample_submission.csv"
    sample.write_text("id,cat,ant,bee\n" + "".join(f"{name},0.3,0.3,0.4\n" for name in ids))

    def competition(*runs, test=None):
        for name in runs:
            guess = test or made_up(rng, 60, CLASSES, 0.9, ids)
            kaggle_site.truth = dict(zip(ids, (CLASSES[i % 3] for i in range(60)), strict=True))
            hidden = Predictions(guess.ids, guess.classes, guess.probs)
            run = fake_run("runs", name, predictions=made_up(rng, 200, CLASSES, 0.9), test=hidden)
            fields = {
                "sample_submission": "sample_submission.csv",
                "class_counts": dict.fromkeys(CLASSES, 70),
            }
            publish(run.model_copy(update={"data": run.data.model_copy(update=fields)}))
        return sample.read_bytes()

    return competition


SUBMIT = "submit submissions/one.csv --competition birds"


def test_a_submission_is_checked_shown_sent_scored_and_recorded(competition, ens, kaggle_site):
    sample = competition("a-1-s0", "b-1-s0")
    ens("blend --name one --metric log_loss")
    code, out, err = ens(f"{SUBMIT} --yes")
    assert (code, err) == (0, "")
    assert (
        "submissions/one.csv: 60 rows, probabilities, same bytes when computed again from 2 members"
        in out
    )
    assert (
        "competition birds, message 'one: 2 members, accuracy weights, cross-fitted log loss 0."
        in out
    )
    assert "quota: 0 submissions made today, 5 left today" in out
    assert "suspicious" not in out
    assert kaggle_site.calls == [
        "GetSubmissionLimits",
        "ListSubmissions",
        "StartSubmissionUpload",
        "CreateSubmission",
        "ListSubmissions",
    ]
    (sent,) = kaggle_site.submissions
    text = Path("submissions/one.csv").read_text()
    assert sent["text"] == text
    score = kaggle_site.scored(text)["publicScore"]
    assert f"one.csv: public score {score}, cross-fitted log loss 0." in out
    (entry,) = Ledger(Path("submissions")).entries()
    manifest = json.loads(Path("submissions/one.json").read_text())
    assert (entry.public, entry.status, entry.ref, entry.manifest) == (
        score,
        "complete",
        1000,
        "one.json",
    )
    assert entry.sha256 == manifest["csv_sha256"]
    assert entry.log_loss_high == manifest["scores"]["cross_fitted"]["log_loss"]["high"]
    assert Path("sample_submission.csv").read_bytes() == sample


def test_an_upload_is_recorded_with_the_score_by_the_metric_of_its_blend(competition, ens):
    competition("a-1-s0", "b-1-s0")
    ens("blend --name one --metric roc_auc")
    ens("blend --name two --metric accuracy --average geometric")
    code, out, err = ens(f"{SUBMIT} --yes")
    assert (code, err) == (0, "")
    assert "2 members, accuracy weights, cross-fitted roc_auc 0." in out
    (entry,) = Ledger(Path("submissions")).entries()
    scores = json.loads(Path("submissions/one.json").read_text())["scores"]["cross_fitted"]
    assert (entry.metric, entry.score, entry.score_low) == (
        "roc_auc",
        scores["score"]["value"],
        scores["score"]["low"],
    )
    assert entry.accuracy == scores["accuracy"]["value"]
    ens("submit submissions/two.csv --competition birds --yes")
    code, out, err = ens("runs --submissions")
    assert (code, err) == (0, "")
    assert "roc_auc 0." in out
    assert "best cross-fitted accuracy of 2" in out


def test_a_dry_run_does_all_but_the_upload_and_without_a_terminal_the_answer_is_no(
    competition, ens, kaggle_site, monkeypatch
):
    competition("a-1-s0", "b-1-s0")
    by_hand = {
        "ref": 1,
        "description": "by hand",
        "date": "2024-01-01T00:00:00Z",
        "fileName": "x.csv",
        "text": "id,label",
    }
    kaggle_site.submissions = [by_hand]
    ens("blend --name one")
    code, out, _ = ens(f"{SUBMIT} --dry-run")
    assert code == 0
    assert "quota: 1 submission made today, 4 left today" in out
    assert "nothing was sent" in out
    code, out, err = ens(SUBMIT)
    assert (code, err) == (1, "error: nothing was sent\n--yes sends without asking\n")
    assert "send it to birds? [y/N]" in out
    assert set(kaggle_site.calls) == {"GetSubmissionLimits", "ListSubmissions"}
    assert "looks suspicious" not in out
    assert not Ledger(Path("submissions")).path.exists()
    kaggle_site.submissions, kaggle_site.n_left = [], 0  # all zero: no team yet
    assert (
        "quota: unknown; Kaggle shows none before a team's first submission"
        in ens(f"{SUBMIT} --dry-run")[1]
    )
    monkeypatch.setattr("builtins.input", lambda: "y")
    assert ens(SUBMIT)[0] == 0
    assert len(kaggle_site.submissions) == 1


def test_a_late_score_is_requested_again_and_nothing_is_sent_twice(competition, ens, kaggle_site):
    competition("a-1-s0", "b-1-s0")
    kaggle_site.delay = 2  # the list is read once before the upload
    ens("blend --name one")
    out = ens(f"{SUBMIT} --yes --wait 0")[1]
    assert "no score yet; repeat the same `ens submit` to check again" in out
    assert "pending" in ens("runs --submissions")[1]
    out = ens(f"{SUBMIT} --yes --wait 0")[1]
    assert "one.csv: public score" in out
    assert len(kaggle_site.submissions) == 1
    out = ens(f"{SUBMIT} --dry-run")[1]
    assert "looks suspicious: the same file was sent as one.csv on" in out


def test_what_cannot_be_recorded_is_not_sent(competition, ens, kaggle_site):
    competition("a-1-s0", "b-1-s0")
    ens("blend --name one")
    Path("submissions/.ledger.csv.lock").mkdir()
    code, _, err = ens(f"{SUBMIT} --yes")
    assert (code, "submissions/ledger.csv: cannot be written" in err) == (1, True)
    assert kaggle_site.submissions == []
    Path("submissions/.ledger.csv.lock").rmdir()
    assert ens(f"{SUBMIT} --yes --message 'caf\udce9'")[0] == 0  # an argument that is not UTF-8
    assert [entry.message for entry in Ledger(Path("submissions")).entries()] == ["caf?"]


def test_an_upload_missing_from_the_ledger_is_not_repeated_without_asking(
    competition, ens, kaggle_site
):
    competition("a-1-s0", "b-1-s0")
    ens("blend --name one")
    ens(f"{SUBMIT} --yes")
    Path("submissions/ledger.csv").unlink()  # as where the connection was cut before the answer
    code, out, _ = ens(SUBMIT)
    assert (code, len(kaggle_site.submissions)) == (1, 1)
    assert (
        "looks suspicious: Kaggle already has one.csv with this message, sent on 2024-01-01" in out
    )


def test_a_private_score_is_recorded_once_it_exists(competition, ens, kaggle_site, monkeypatch):
    competition("a-1-s0", "b-1-s0")
    ens("blend --name one")
    ens(f"{SUBMIT} --yes")
    public = Ledger(Path("submissions")).entries()[0].public
    monkeypatch.setattr(
        kaggle_site, "scored", lambda text: {"status": "COMPLETE", "privateScore": "0.5"}
    )
    ens(f"{SUBMIT} --yes")
    first = Ledger(Path("submissions")).entries()[0]
    assert (first.public, first.private) == (public, "0.5")


def test_the_next_command_of_a_dry_run_keeps_the_message(competition, ens, kaggle_site):
    competition("a-1-s0", "b-1-s0")
    ens("blend --name one")
    assert (
        "--competition birds --message 'two nets'\n"
        in ens(f"{SUBMIT} --dry-run --message 'two nets'")[1]
    )


@pytest.mark.parametrize(
    ("refuse", "expected"),
    [
        (
            {"upload": (403, "")},
            "birds: Kaggle did not accept submissions/one.csv: Could not submit to competition",
        ),
        (
            {"CreateSubmission": (400, "the deadline has passed")},
            "Kaggle refuses the request about birds (400): the deadline",
        ),
        ({"CreateSubmission": (400, "bad secret-key")}, "Kaggle answers 400 for birds"),
        ({"StartSubmissionUpload": (403, "rules")}, "you have not accepted its rules"),
        ({"GetSubmissionLimits": (401, "no")}, "Kaggle refuses the credentials (401)"),
    ],
    ids=["upload", "deadline", "secret", "rules", "credentials"],
)
def test_a_refusal_by_kaggle_is_explained_and_not_recorded(
    refuse, expected, competition, ens, kaggle_site
):
    competition("a-1-s0", "b-1-s0")
    ens("blend --name one")
    kaggle_site.refuse = refuse
    code, _, err = ens(f"{SUBMIT} --yes")
    assert code == 1
    assert expected in err
    assert err.count("\n") <= 3
    assert "secret-key" not in err
    assert Ledger(Path("submissions")).entries() == []


def test_a_used_up_quota_and_a_file_that_cannot_be_scored_are_errors(competition, ens, kaggle_site):
    competition("a-1-s0", "b-1-s0")
    ens("blend --name one")
    kaggle_site.truth = {}
    code, _, err = ens(f"{SUBMIT} --yes")
    assert (
        code,
        "birds: Kaggle could not score one: 2 members" in err,
        "ids do not match" in err,
    ) == (1, True, True)
    assert Ledger(Path("submissions")).entries()[0].status == "error"
    kaggle_site.n_left = 1
    code, _, err = ens(f"{SUBMIT} --yes")
    assert (code, "no submissions left today; more after 00:00 UTC" in err) == (
        1,
        True,
    )


def test_a_changed_file_is_never_sent(competition, ens, kaggle_site):
    competition("a-1-s0", "b-1-s0")
    ens("blend --name one")
    with Path("submissions/one.csv").open("a") as stored:
        stored.write("more,0,0,1\n")
    code, _, err = ens(f"{SUBMIT} --yes")
    assert (code, "has 62 lines, its members give 61" in err) == (1, True)
    assert kaggle_site.calls == []


def test_what_looks_suspicious_is_shown_before_writing_and_before_sending(
    competition, ens, kaggle_site, rng, made_up
):
    competition("a-1-s0", "b-1-s0")
    ens("blend --name one 'a*' 'b*'")
    ens(f"{SUBMIT} --yes")
    probs = made_up(rng, 60, CLASSES, 0.9).probs
    ids = np.array([f"t{i:03d}" for i in range(60)])
    competition("c-1-s0", test=Predictions(ids, ("bee", "cat", "ant"), probs))
    out = ens("blend --name two 'c*'")[1]
    assert "looks suspicious: the last submission, one.csv, agrees on" in out
    code, out, err = ens("submit submissions/two.csv --competition birds")
    assert (code, "nothing was sent" in err) == (1, True)
    assert "looks suspicious: the last submission, one.csv, agrees on" in out
    assert ens("submit submissions/two.csv --competition birds --yes")[0] == 0
    assert len(kaggle_site.submissions) == 2


def test_runs_submissions_shows_the_ledger_and_two_final_picks_with_reasons(
    competition, ens, kaggle_site
):
    competition("a-1-s0", "b-1-s0", "c-1-s0")
    for name, which in (("one", "'a*'"), ("two", "'b*'"), ("three", "'c*'")):
        ens(f"blend --name {name} {which}")
        ens(f"submit submissions/{name}.csv --competition birds --yes")
    code, out, _ = ens("runs --submissions")
    assert code == 0
    assert "birds: 3 submissions" in out
    assert "first final pick: " in out
    assert "second final pick: " in out
    (birds,) = json.loads(ens("runs --submissions --json")[1])
    assert [entry["file"] for entry in birds["submissions"]] == ["one.csv", "two.csv", "three.csv"]
    first, second = birds["picks"]
    assert (first["file"], first["reason"]) == ("one.csv", "best cross-fitted accuracy of 3")
    texts = {
        name: answers(Path(f"submissions/{name}.csv").read_text())
        for name in ("one", "two", "three")
    }
    most = max(
        share_differing(texts["one"], texts["two"]), share_differing(texts["one"], texts["three"])
    )
    assert second["reason"] == (
        f"differs from it on {100 * most:.1f} % of the rows, "
        "the most of 2 whose accuracy is within its interval"
    )
    nothing = ens("runs --submissions --out elsewhere")[1]
    assert "no submissions from elsewhere" in nothing
    assert nothing.endswith("next:  ens blend --out elsewhere\n")


def test_no_blend_is_named_like_a_sample_submission(competition, ens):
    sample = competition("a-1-s0", "b-1-s0")
    code, _, err = ens("blend --name sample_submission --out . --force")
    assert (code, "named like a sample submission" in err) == (1, True)
    assert Path("sample_submission.csv").read_bytes() == sample


def test_of_several_sample_submissions_the_one_with_as_many_rows_as_test_images_is_taken(
    tmp_path, tiny_images
):
    tiny_images(tmp_path / "c" / "train")
    tiny_images(tmp_path / "c" / "test")
    folder = tmp_path / "c" / "test"
    names = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.png"))
    for file, ids in (("sampleSubmission.csv", names[:3]), ("sample_submission_2.csv", names)):
        rows = "".join(f"{name},red\n" for name in ids)
        (tmp_path / "c" / file).write_text("id,label\n" + rows)
    understood = understand(tmp_path / "c")
    assert understood.sample.file == "sample_submission_2.csv"
    assert understood.notes == (
        "sample submissions: sampleSubmission.csv, sample_submission_2.csv; "
        "sample_submission_2.csv has all test images",
    )


def test_a_damaged_ledger_does_not_stop_a_blend_and_is_reported(competition, ens):
    competition("a-1-s0", "b-1-s0")
    Path("submissions").mkdir()
    Path("submissions/ledger.csv").write_text("no,ledger\n1,2\n")
    code, out, err = ens("blend --name one")
    assert code == 0
    assert (
        "not compared with the last submission: submissions/ledger.csv: not a ledger" in out + err
    )
    assert Path("submissions/one.csv").exists()


def of_target(target, part, seed):
    """Predictions of several labels or of a number; the truth is the same for every seed."""
    ids = np.array([f"{part}{i:02d}" for i in range(60)])
    of_seed = np.random.default_rng([seed, len(part)])
    if target == "number":
        truth = np.arange(60) % 5 + 0.0
        probs = truth[:, None] + of_seed.normal(0, 1, (60, 1))
    else:
        truth = np.stack([np.arange(60) % 2, np.arange(60) % 3 == 0], 1).astype(np.uint8)
        probs = 0.25 + 0.5 * truth + of_seed.uniform(-0.25, 0.25, (60, 2))
    classes = ("grade",) if target == "number" else ("cat", "dog")
    known = truth if part == "valid" else None
    return Predictions(ids, classes, probs.astype(np.float32), known, None, target)


@pytest.mark.parametrize(("target", "metric"), [("labels", "f1_samples"), ("number", "rmse")])
def test_blends_of_labels_and_of_numbers_are_sent_and_recorded(
    target, metric, ens, kaggle_site, tmp_path
):
    for name, seed in (("a", 1), ("b", 2)):
        for part in ("valid", "test"):
            of_target(target, part, seed).save(tmp_path / f"{part}.npz")
        words = f"import {name} --arch net --valid valid.npz --test test.npz --data pets"
        assert ens(f"{words} --target {target}")[0] == 0
    assert ens("blend --name one")[0] == 0
    header, *rows = (tmp_path / "submissions/one.csv").read_text().splitlines()
    assert header == ("id,labels" if target == "labels" else "id,grade")
    kaggle_site.truth = dict(row.split(",") for row in rows)
    code, out, err = ens(f"{SUBMIT} --yes")
    assert (code, err) == (0, "")
    assert "same bytes when computed again from 2 members" in out
    assert kaggle_site.submissions[0]["text"].splitlines() == [header, *rows]
    (entry,) = Ledger(tmp_path / "submissions").entries()
    manifest = json.loads((tmp_path / "submissions/one.json").read_text())
    score = manifest["scores"]["cross_fitted"]["score"]
    assert (entry.metric, entry.accuracy, entry.public) == (metric, None, "1.00000")
    assert entry.score == pytest.approx(score["value"])
    code, out, err = ens("runs --submissions")
    assert (code, err) == (0, "")
    assert "one.csv" in out
    assert "sent as one.csv" in ens(f"{SUBMIT} --dry-run")[1]
