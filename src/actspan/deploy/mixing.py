"""Mixed precision of a TEM: as many layers in int8 as leave the proposals of real videos.

Nearly all of the error of a quantised TEM comes from its first layers, which see features of very
different ranges. So they are left in higher precision one after the other, until AR@AN and AUC of
annotated videos stay within a limit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actspan.core.temporary import temporary_folder
from actspan.core.wording import counted
from actspan.data.dataset import Dataset
from actspan.deploy.reference import SampleVideos, dataset_videos
from actspan.deploy.variants import FAST_RECALL
from actspan.evaluation.recall import evaluate_recall
from actspan.model.bundle import Bundle
from actspan.model.nets import FORMS, Net
from actspan.pipeline.core import Pipeline
from actspan.runtime.backends import BACKENDS
from actspan.runtime.opening import check_backend, open_net
from actspan.runtime.openvino import OpenVinoSession
from actspan.runtime.session import Session, SessionOptions, with_any_batch

_SUBSET = "validation"
_JUDGED = ("AR@1", "AR@5", "AR@10", "AR@50", "AR@100", "AUC")


@dataclass(frozen=True, slots=True)
class _Mix:
    """A TEM whose first `left` layers are not quantised, and what it changes, in points."""

    left: int
    model: Any  # of OpenVINO
    changes: Mapping[str, float]

    @property
    def worst(self) -> float:
        return max(map(abs, self.changes.values()))

    @property
    def order(self) -> tuple[bool, bool, float]:
        """Sort key: within the limit everywhere, else of AR@100 and AUC, else the closest."""
        main = max(abs(self.changes[name]) for name in ("AR@100", "AUC"))
        return self.worst > FAST_RECALL, main > FAST_RECALL, self.worst


def mix_layers(
    without: Callable[[int], Any], layers: int, bundle: Bundle, dataset: Path
) -> tuple[Any, str]:
    """Return a TEM with as few unquantised layers as the proposals need, and a line about it.

    Parameters
    ----------
    without : callable
        Returns OpenVINO's model in which all layers but the first `count` and the last are
        quantised.
    layers : int
        Number of layers before the last one.
    bundle : Bundle
        With exported networks.
    dataset : path
        Annotated features: of its validation videos, or of all if there are none.

    Raises
    ------
    DataError, BackendError
        The dataset cannot be used; OpenVINO refuses a model.
    """
    videos = _videos(dataset, bundle)
    if not videos.truth:
        note = "nothing shows what int8 changes, as no video is annotated: actspan verify"
        return without(0), f"{videos.name}: {note}"
    tried = []
    for mix in _mixes(without, layers, bundle, videos):
        tried.append(mix)
        if mix.worst <= FAST_RECALL:
            break
    best = min(tried, key=lambda mix: mix.order)
    return best.model, _line(best, layers, videos)


def _videos(path: Path, bundle: Bundle) -> SampleVideos:
    has_part = any(video.subset == _SUBSET for video in Dataset.load(path).videos)
    return dataset_videos(path, _SUBSET if has_part else None, bundle)


def _mixes(
    without: Callable[[int], Any], layers: int, bundle: Bundle, videos: SampleVideos
) -> Iterator[_Mix]:
    """Yield mixes from the fastest to the most exact one."""
    import openvino

    fast = "openvino:bf16" if check_backend("openvino:bf16").usable else "openvino"
    others: list[Net] = [net for net in ("pem",) if net in bundle.nets]

    def recall(tem: Session, backend: str) -> Mapping[str, float]:
        sessions = {net: open_net(bundle, net, backend=backend) for net in others}
        return _recall({"tem": tem, **sessions}, bundle, videos)

    exact = recall(open_net(bundle, "tem", backend="openvino"), "openvino")
    with temporary_folder() as folder:
        for left in range(layers + 1):
            model, path = without(left), Path(folder, f"{left}.xml")
            openvino.save_model(model, str(path), compress_to_fp16=False)
            found = recall(_open_mix(path), fast)
            yield _Mix(left, model, {name: found[name] - exact[name] for name in _JUDGED})


def _open_mix(path: Path) -> Session:
    backend = BACKENDS["openvino:int8"]
    return with_any_batch(OpenVinoSession(path, backend, SessionOptions()), FORMS["tem"])


def _recall(
    sessions: Mapping[Net, Session], bundle: Bundle, videos: SampleVideos
) -> Mapping[str, float]:
    """Return AR@AN and AUC of the proposals with these networks, percent; close the networks."""
    with Pipeline(sessions, bundle.config, threads=1, edge=videos.edge) as pipeline:
        outcomes = pipeline.run(videos.jobs())
        proposals = {o.id: o.proposals for o in outcomes if o.proposals is not None}
    return evaluate_recall(videos.truth, proposals, subset=None).summary()


def _line(mix: _Mix, layers: int, videos: SampleVideos) -> str:
    kept = f"the last {layers - mix.left}" if 0 < mix.left < layers else "no"
    kept = kept if mix.left else "all"
    figures = ", ".join(f"{name} {change:+.2f}" for name, change in mix.changes.items())
    within = "" if mix.worst <= FAST_RECALL else f", more than {FAST_RECALL:g}"
    return (
        f"TEM: int8 in {kept} of {counted(layers, 'layer')} before the last one: {figures} points"
        f"{within}, on {counted(videos.count, 'video')} of {videos.name}"
    )
