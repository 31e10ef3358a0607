"""Dataset folder that features are written to, video by video."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import msgspec

from actspan.config.base import dump_toml, from_dict, read_toml, to_dict
from actspan.config.stages import FeatureSpec
from actspan.core.errors import ActSpanError, DataError
from actspan.core.files import atomic_file, folder_name_error, sha256
from actspan.core.types import Float32, Video
from actspan.core.wording import counted, listed
from actspan.data.annotations.annotation_set import Annotations
from actspan.data.annotations.format_table import DATASET_JSON
from actspan.data.annotations.formats import find_annotations, read_annotations, write_annotations
from actspan.data.features import Entry, read_array
from actspan.data.timebase import SPEC_FILE
from actspan.streams.addresses import Location
from actspan.streams.extract_request import ExtractRequest, Precision
from actspan.streams.feature_files import (
    JOURNAL,
    PROJECTION,
    FeatureWriter,
    Journal,
    JournalEntry,
    Projection,
    chunks_of,
    fit_projection,
)
from actspan.streams.snippet_features import Ending
from actspan.streams.stream_kinds import KINDS

_FEATURES = "features"
_LISTED = 5  # videos listed in a message


def check_extraction_folder(out: Path) -> None:
    """Raise DataError, before any work is done, if features cannot be written to the folder."""
    if fault := folder_name_error(out, "a dataset"):
        raise DataError(fault)
    if out.exists() and not out.is_dir():
        raise DataError(f"{out}: exists and is not a folder; choose another path")
    for name in {folder for of in KINDS.values() for folder in of.folders}:
        if (out / name).is_dir():
            raise DataError(f"{out}: contains {name}; write the features to another folder")
    features = out / _FEATURES
    if (out / JOURNAL).exists() or not features.is_dir():
        return
    if any(not file.name.startswith(".") for file in features.iterdir()):
        raise DataError(f"{features}: contains features that extract did not make; choose another")


class FeatureFolder:
    """A dataset folder during extraction; `actspan.streams.extraction` describes its contents.

    `spec` describes the features on disk: the extractor's output, projected if the request wants
    it. A projection in the folder is reused if it fits. `removed` are the videos whose features
    were made with other settings and are removed, if `request.force`.

    Raises
    ------
    ActSpanError, DataError
        The folder cannot be made, or contains features of other settings without `request.force`.
    """

    def __init__(self, request: ExtractRequest, spec: FeatureSpec) -> None:
        out = request.out
        self._out = out.absolute()  # the same in another process
        is_video = spec.extraction is None or spec.extraction.kind == "video"
        self._channels = request.channels
        self._precision: Precision = request.precision or ("float16" if is_video else "float32")
        self._unprojected = self.spec = spec
        self._projection: Projection | None = None
        try:
            (out / _FEATURES).mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ActSpanError(f"{out}: cannot be created: {error.strerror}") from error
        if self._channels is not None:
            self._find_projection()
        self.journal = Journal(out)
        kept = {self.settings, _checksum(spec, self._precision)}
        entries = self.journal.entries
        self.removed = tuple(name for name, entry in entries.items() if entry.settings not in kept)
        if self.removed and not request.force:
            raise DataError(
                f"{out}: contains features that were made with other settings or another backbone, "
                f"of {counted(len(self.removed), 'video')} ({listed(self.removed, _LISTED)}); "
                "choose another folder, or remove these features: --force"
            )
        for name in self.removed:
            self._file(name).unlink(missing_ok=True)
            del entries[name]
        self._write_spec()

    @property
    def settings(self) -> str:
        """Checksum of the settings that determine the features."""
        return _checksum(self.spec, self._precision)

    def _file(self, video: str) -> Path:
        return self._out / _FEATURES / f"{video}.npy"

    def is_done(self, video: str, path: Location) -> bool:
        """Return whether a video file is finished."""
        entry = self.journal.entries.get(video)
        return entry is not None and self._file(video).is_file() and entry.is_of(path)

    @contextmanager
    def writer(self, video: str) -> Iterator[FeatureWriter]:
        """Open the features of a video for writing; the file appears when the block succeeds."""
        assert self.spec.channels is not None
        path = self._file(video)
        with atomic_file(path) as stream:
            writer = FeatureWriter(stream, self.spec.channels, self._precision)
            yield writer
            writer.finish()

    def record(self, video: str, path: Location, ending: Ending) -> None:
        """Note in the journal that the features of a video are finished."""
        found = path.stat() if isinstance(path, Path) else None
        self.journal.add(
            JournalEntry(
                video=video,
                source=str(path),
                size=found.st_size if found else 0,
                modified=found.st_mtime_ns if found else 0,
                settings=self.settings,
                seconds=round(ending.seconds, 6),
                fps=ending.fps,
                note=ending.note,
            )
        )

    def rows(self, rows: Float32) -> Float32:
        """Return the rows to write for the extractor's output, projected if needed."""
        return rows if self._projection is None else self._projection.apply(rows)

    def _write_spec(self) -> None:
        with atomic_file(self._out / SPEC_FILE) as stream:
            stream.write(dump_toml({"features": self.spec}).encode())

    def _find_projection(self) -> None:
        """Load the folder's projection if it fits these features and this number of channels."""
        path, spec_file = self._out / PROJECTION, self._out / SPEC_FILE
        if not (path.is_file() and spec_file.is_file()):
            return
        found = read_toml(spec_file).get("features", {})
        described = from_dict(FeatureSpec, found, where=f"{spec_file} [features]")
        wanted = self._projected(sha256(path))
        if described == wanted:
            self._projection, self.spec = Projection.load(path), wanted

    def _projected(self, checksum: str) -> FeatureSpec:
        extraction = self._unprojected.extraction
        assert extraction is not None
        return msgspec.structs.replace(
            self._unprojected,
            channels=self._channels,
            extraction=msgspec.structs.replace(extraction, projection=checksum),
        )

    def project(self, training: Iterable[str]) -> None:
        """Project the features that are not projected yet; fit to the training videos if needed.

        Raises ConfigError if there are too few snippets for this number of channels.
        """
        if self._channels is None:
            return
        if self._projection is None:
            files = [self._file(video) for video in training if video in self.journal.entries]
            self._projection = fit_projection(files, self._channels)
            self.spec = self._projected(self._projection.save(self._out / PROJECTION))
            self._write_spec()
        for entry in list(self.journal.entries.values()):
            path = self._file(entry.video)
            if entry.settings == self.settings or not path.is_file():
                continue
            values = read_array(Entry(path), mapped=True)
            if values.shape[1] == self._unprojected.channels:  # otherwise already projected
                with self.writer(entry.video) as writer:
                    for rows in chunks_of(values):
                        writer.add(self.rows(rows.astype("float32")))
            self.journal.add(msgspec.structs.replace(entry, settings=self.settings))

    def write_annotations(self, source: Annotations | None, left_out: set[str]) -> bool:
        """Write the source's annotations; otherwise add the videos to the labels that exist.

        Videos whose features were removed are no longer listed, unless they have annotations.
        Return True if there are instances to train on.
        """
        entries = self.journal.entries
        existing = find_annotations(self._out)
        if source is not None:
            known = [v for v in source if v.id in entries and v.id not in left_out]
            videos = [self._adapted(video, entries[video.id]) for video in known]
            document: Mapping[str, object] = source.document
        elif existing is not None and existing.name != DATASET_JSON:
            return True  # The user's own format already contains labels.
        else:
            kept = None if existing is None else read_annotations(existing)
            without = set(self.removed) - set(entries)
            videos = [v for v in kept or () if v.id not in without or len(v.segments)]
            document = kept.document if kept else {}
            new = sorted(set(entries) - {video.id for video in videos})  # in any order of finishing
            journal = [entries[name] for name in new]
            videos += [Video(e.video, duration=e.seconds, fps=e.fps or None) for e in journal]
        write_annotations(self._out / DATASET_JSON, videos, document=document)
        return any(len(video.segments) for video in videos)

    def _adapted(self, video: Video, entry: JournalEntry) -> Video:
        """Return the video with the fields that describe the new features, not the old ones."""
        in_frames = self.spec.stride_frames is not None
        return replace(
            video,
            duration=video.duration if video.duration == video.duration else entry.seconds,
            fps=(entry.fps or None) if in_frames or video.fps is None else video.fps,
            feature_frames=None,
            snippet_stride=None,
            snippet_length=None,
        )


def _checksum(spec: FeatureSpec, precision: Precision) -> str:
    """Compute a checksum of all settings that determine the numbers, for the journal."""
    plain = {"precision": precision, **to_dict(spec)}
    return hashlib.sha256(msgspec.json.encode(plain, order="deterministic")).hexdigest()
