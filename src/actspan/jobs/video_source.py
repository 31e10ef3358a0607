"""Sources of a job from videos, decoded one after another: files, or a live video."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from actspan.config.streams import StreamKind
from actspan.core.errors import AnnotationError, BundleError, VideoError
from actspan.core.files import sha256
from actspan.core.problems import Problem, raise_errors, raise_nothing_left
from actspan.core.progress import Progress
from actspan.data.annotations.formats import find_annotations
from actspan.data.dataset import Recording
from actspan.data.videos import canonical_id, canonical_subset
from actspan.jobs.checkpoint import Plan, digest
from actspan.jobs.propose_request import ProposeRequest
from actspan.jobs.source import Source
from actspan.model.bundle import Bundle
from actspan.pipeline.decoded import FeatureSpool, decoded_pieces
from actspan.pipeline.outcomes import Piece
from actspan.streams.addresses import Address, Location, is_address
from actspan.streams.bundle_features import BundleFeatures
from actspan.streams.extraction import VideoProgress
from actspan.streams.extractors import usual_features
from actspan.streams.snippet_features import Ending, Part
from actspan.streams.stream_kinds import find_kind
from actspan.streams.video_decoding import FollowedVideo
from actspan.streams.video_lists import VideoList, find_videos, probe_videos, shortfall_note

_LIVE_WINDOW = 480  # snippets of a live video that are seen at once without labels: a minute


class DecodedSource(Source):
    """Videos whose features are computed while they are decoded, with the bundle's backbone.

    Memory does not depend on the length of videos in window mode. In rescale mode the features of
    one video are kept.
    """

    is_decoded = True

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        super().__init__(request, bundle)
        self._features: BundleFeatures | None = None
        self._spool: FeatureSpool | None = None  # None unless a classifier needs the features
        made = bundle.features.extraction
        self._set_kind("video" if made is None else made.kind)
        self.ends: dict[str, float] = {}
        self.ending_notes: dict[str, Problem] = {}

    def _set_kind(self, kind: StreamKind) -> None:
        self.has_backbone = kind == "video"
        self.decoders = ("av",) if kind in ("video", "audio") else ()
        self._noun = "video" if kind == "video" else "recording"

    def _open(self) -> BundleFeatures:
        if self._features is None:
            self._features = BundleFeatures(
                self.bundle,
                backbone=self.request.backbone,
                threads=self.request.threads,
                backend=self.request.backend,
            )
        return self._features

    def close(self) -> None:
        """Close the backbone, and remove the features that were kept for labels."""
        if self._features is not None:
            self._features.close()
        if self._spool is not None:
            self._spool.close()

    def features(self, video: str) -> Recording:
        """Return the features of the video that is decoded now, as far as it is decoded."""
        assert self._spool is not None
        return self._spool.recording()

    def _pieces(
        self, parts: Iterable[Part], names: Mapping[Location, str], progress: Progress
    ) -> Iterator[Piece]:
        """Yield the pieces of all videos as soon as they are complete."""
        shown = VideoProgress(progress, sum(self.ends.values()), self._noun)
        for path, parts_of_video in groupby(parts, key=lambda part: part.path):
            video = names[path]
            watched = self._watched(video, self._kept(parts_of_video), shown)
            yield from decoded_pieces(video, watched, self.config)

    def _watched(
        self, video: str, parts: Iterable[Part], progress: VideoProgress
    ) -> Iterator[Part]:
        """Yield the parts of one video, report them, and record its end."""
        for part in parts:
            progress.show(part.seconds, is_end=part.ending is not None)
            if isinstance(part.ending, Ending):
                self._finish(video, part.ending)
            yield part

    def _finish(self, video: str, ending: Ending) -> None:
        """Record the length of a decoded video, and what is missing in it."""
        self.ends[video] = ending.seconds
        if ending.note:
            self.ending_notes[video] = shortfall_note(video, self.file(video), ending.note)

    def _kept(self, parts: Iterable[Part]) -> Iterator[Part]:
        """Return the parts of one video, and keep their features if a classifier needs them."""
        if not self.request.labels.classify:
            return iter(parts)
        self._spool = self._spool or FeatureSpool()
        return self._spool.keep(parts)


class VideoSource(DecodedSource):
    """Video files; every one is opened before work starts."""

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        super().__init__(request, bundle)
        made = None if bundle.config.label_free else bundle.features.extraction
        kind = find_kind(request.videos) if made is None else made.kind
        found = find_videos(request.videos, kind, request.timeout)
        videos = _subset(found, request.subset, bundle.set_apart)
        if bundle.config.label_free is not None and kind != "video":
            spec = usual_features(kind, videos.paths.values())
            self.bundle = dataclasses.replace(bundle, features=spec)
            self._set_kind(kind)
        self.paths = self.files = videos.paths
        self.ids, self._problems = tuple(videos.paths), videos.problems
        self._annotations = None
        self.checksums = {"videos": digest(self.ids)}
        addresses = [str(path) for path in self.paths.values() if isinstance(path, Address)]
        if addresses:
            self.checksums["addresses"] = digest(addresses)
        if videos.annotations is not None and (path := videos.annotations.path).is_file():
            self._annotations = path
            self.checksums[path.name] = sha256(path)
        names = [name for name in request.videos if not is_address(name)]
        files = [Path(name.removeprefix("@")) for name in names]
        listed = [find_annotations(path) if path.is_dir() else path for path in files]
        self.protected = (*videos.files.values(), *(path for path in listed if path is not None))

    def check(self, progress: Progress, problems: Iterable[Problem] = ()) -> Plan:
        """Open every video, and keep those that can be decoded; see `Source.check`."""
        lengths, unreadable = probe_videos(self.files, progress, self._open().opener())
        all_problems = (*self._problems, *problems, *unreadable)
        if not lengths:
            raise_nothing_left(all_problems, len(self.files), self._noun)
        if self.request.on_error == "fail":
            raise_errors(all_problems)
        self.ends = lengths
        return self.plan(tuple(lengths), all_problems, seconds=tuple(lengths.values()))

    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Take the videos from a plan, and open those that are still missing."""
        opens = self._open().opener()
        self.ends = dict(zip(plan.videos, plan.seconds, strict=True))
        if self.request.on_error == "fail":
            raise_errors(probe_videos({v: self.files[v] for v in missing}, progress, opens)[1])

    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Decode videos, and yield their pieces."""
        names = {self.files[video]: video for video in videos}
        return self._pieces(self._open().run(names), names, progress)

    def record(self) -> dict[str, Any]:
        """Return where the videos are, and the annotations next to them."""
        files = {video: str(self.files[video].resolve()) for video in self.ends}
        origin = {"subset": self.request.subset, "files": files}
        if self._annotations is None:
            return origin
        folder, name = Path(self.request.videos[0]), self._annotations.name
        named = {"path": str(folder.resolve()), "annotations": name}
        return {**named, "annotations_sha256": self.checksums[name], **origin}


class LiveSource(DecodedSource):
    """A video that is still being recorded; it cannot be read twice, and needs a window model."""

    def __init__(self, request: ProposeRequest, bundle: Bundle) -> None:
        super().__init__(request, bundle)
        assert request.live is not None
        self._live = request.live
        self._video: FollowedVideo | None = None
        path = self._live.path
        self.ids = (canonical_id(path.stem),)
        self.ends = {self.ids[0]: 0.0}
        self.protected = (path,) if isinstance(path, Path) else ()
        if (label_free := self.config.label_free) is not None:
            soon = replace(label_free, window=min(label_free.window, _LIVE_WINDOW))
            self.config = replace(self.config, label_free=soon)
        made = bundle.features.extraction
        if made is not None and made.kind != "video":
            raise BundleError(
                f"{bundle.path}: takes {made.kind}, and only a video can be followed; give files "
                "that are complete"
            )
        if bundle.config.mode != "window":
            raise BundleError(
                f"{bundle.path}: processes whole videos (mode rescale), so it cannot follow one "
                "that has not ended. Train a model of windows: actspan train --mode window"
            )

    def check(self, progress: Progress, problems: Iterable[Problem] = ()) -> Plan:
        """Open the backbone, and wait for the head of the video."""
        self._open()
        self._video = self._live.open()
        return self.plan(self.ids, problems, seconds=(0.0,))

    def close(self) -> None:
        """Close the backbone and the video."""
        super().close()
        if self._video is not None:
            self._video.close()

    def restore(self, plan: Plan, missing: Iterable[str], progress: Progress) -> None:
        """Raise, because a live video cannot be read again."""
        raise VideoError(f"{self._live.path}: a live video cannot be resumed")

    def pieces(self, videos: Iterable[str], progress: Progress) -> Iterator[Piece]:
        """Decode the video as it comes, and yield its windows."""
        assert self._video is not None
        parts = self._open().follow(self._video)
        return self._pieces(parts, {self._live.path: self.ids[0]}, progress)

    def file(self, video: str) -> str:
        """Return the path of the video."""
        return str(self._live.path)


def _subset(sources: VideoList, subset: str | None, set_apart: tuple[str, ...]) -> VideoList:
    """Keep the videos of one subset, by the annotations next to them or by the bundle's split."""
    if subset is None:
        return sources
    annotations = sources.annotations
    if annotations is None:
        raise AnnotationError(
            f"subset {subset!r}: only a dataset folder with videos/ and annotations has subsets"
        )
    videos = annotations.videos
    if canonical_subset(subset) == "validation":
        videos = videos.with_set_apart(set_apart, "validation")
    chosen = set(videos.subset(subset, annotations.path).ids)
    paths = {video: path for video, path in sources.paths.items() if video in chosen}
    problems = tuple(p for p in sources.problems if p.video in chosen or not p.video)
    return VideoList(paths, annotations, problems)
