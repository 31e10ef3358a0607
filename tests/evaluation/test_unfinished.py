from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actspan import evaluate_recall
from actspan.core.errors import ActSpanError, ResultError
from actspan.core.storage import FolderStorage
from actspan.jobs.checkpoint import Checkpoint
from actspan.jobs.driver import propose
from actspan.jobs.propose_request import ProposeRequest
from tests.examples import write_bundle, write_dataset


@pytest.fixture(scope="module")
def partial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that has computed everything, and failed to write the answer."""
    folder = tmp_path_factory.mktemp("sharded")
    write_bundle(folder / "bundle")
    write_dataset(folder / "set", videos=20)
    request = ProposeRequest(folder / "bundle", folder / "set", folder / "run.json", shard_size=3)

    def fail(what: str, done: int, total: int) -> None:
        if (what, done) == ("propose", total):
            raise ActSpanError("full disk")

    with pytest.raises(ActSpanError, match="full disk"):
        propose(request, fail)
    propose(ProposeRequest(request.model, request.dataset, folder / "whole.json"))
    return folder


@pytest.mark.parametrize("subset", ["validation", None])
@pytest.mark.parametrize("budget", [5, 100])
def test_shards_count_like_the_whole(partial: Path, subset: str | None, budget: int) -> None:
    options = {"subset": subset, "max_proposals": budget, "blocked": ["video1"]}
    whole = evaluate_recall(partial / "set", partial / "whole.json", **options)  # type: ignore[arg-type]
    parts = evaluate_recall(partial / "set", partial / "run.json.partial", **options)  # type: ignore[arg-type]
    for name in ("recall", "average_recall", "proposals_per_video"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    assert parts.summary() == whole.summary()
    assert not any(note.startswith("unfinished") for note in parts.notes)
    assert (parts.videos, parts.instances, parts.proposals, parts.missing, sorted(parts.extra)) == (
        whole.videos,
        whole.instances,
        whole.proposals,
        whole.missing,
        sorted(whole.extra),
    )


def test_videos_of_shards_that_are_missing_are_named(partial: Path) -> None:
    folder = FolderStorage(partial / "run.json.partial")
    store = Checkpoint.find(folder)
    assert store is not None
    name = next(n for n in sorted(folder.names()) if n.endswith(".shard"))
    data = (folder.path / name).read_bytes()
    (folder.path / name).unlink()
    try:
        found = evaluate_recall(partial / "set", folder.path, subset=None)
        assert found.missing == store.plan.shards[0]
        assert "unfinished: 6 of 7 shards; complete it with propose --resume" in found.notes
    finally:
        (folder.path / name).write_bytes(data)


def test_a_folder_without_a_plan_is_no_unfinished_run(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="contains no unfinished run"):
        evaluate_recall(write_dataset(tmp_path / "set"), "memory://nowhere")
    with pytest.raises(ResultError, match=r"no result\.json in this folder"):
        evaluate_recall(tmp_path / "set", tmp_path)
