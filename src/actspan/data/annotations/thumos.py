"""THUMOS14's official annotations: a text file per class and subset, with one segment per line.

`BaseballPitch_val.txt`, `BaseballPitch_test.txt`, ...; a line is `video start end`, in seconds:

    video_validation_0000051  67.5 75.9

`Ambiguous_val.txt` and `Ambiguous_test.txt` contain segments that nobody could decide: the official
evaluation counts neither them nor detections that touch them. Durations are not in these files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from actspan.core.errors import AnnotationError
from actspan.data.annotations.annotation_set import Annotations, ReadOptions
from actspan.data.annotations.fields import Facts, seconds
from actspan.data.annotations.source import Source, text_of
from actspan.data.annotations.video_builder import VideoBuilder
from actspan.data.videos import canonical_subset

_CLASS_FILE = re.compile(r"(?P<label>.+)_(?P<subset>val|test)\.txt")


def fits(source: Source) -> bool:
    """Return whether the source is such a file, or a folder with such files at any depth."""
    return next(_class_files(source.path), None) is not None


def _class_files(path: Path) -> Iterator[Path]:
    files: Iterable[Path] = path.rglob("*.txt") if path.is_dir() else [path]
    return (file for file in files if _CLASS_FILE.fullmatch(file.name))


def read(source: Source, options: ReadOptions) -> Annotations:
    """Read all class files of a folder, or one of them; count the files beside them as ignored."""
    files = sorted(_class_files(source.path))
    if not files:
        raise AnnotationError(
            f"{source.path}: holds no files <Class>_val.txt or <Class>_test.txt, as THUMOS14 has"
        )
    builder = VideoBuilder(source.path, options)
    for file in files:
        _read_class(file, builder)
    beside = sorted(path for folder in {file.parent for file in files} for path in folder.iterdir())
    for other in beside:
        if other.is_file() and other not in files and not other.name.startswith("."):
            builder.ignored["files", other.name] += 1
    return builder.built("thumos14")


def _read_class(file: Path, builder: VideoBuilder) -> None:
    found = _CLASS_FILE.fullmatch(file.name)
    assert found is not None
    facts = Facts(subset=canonical_subset(found["subset"]))
    for line, text in enumerate(text_of(file).splitlines(), start=1):
        fields = text.split()
        if not fields:
            continue
        try:
            if len(fields) != 3:
                raise ValueError(f"{text.strip()!r} is not 'video start end'")
            instance = (seconds(fields[1]), seconds(fields[2]), found["label"])
            builder.add(fields[0], instance, facts)
        except ValueError as error:
            builder.reject(fields[0], f"{file}:{line}", error)
