"""The table of forms, and reading and writing by it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actspan.data.annotations import activitynet, authors, elan, labelstudio, table, thumos, vtt
from actspan.data.annotations.authors import AUTHORS_JSON
from actspan.data.annotations.base import Annotations, Hints, Source
from actspan.data.annotations.writing import FPS, Style
from actspan.errors import ActSpanError, AnnotationError, ConfigError
from actspan.files import atomic_file
from actspan.types import Video

DATASET_JSON = "annotations.json"
DATASET_TABLE = "annotations.csv"
# where the authors' repository keeps its annotations, seen from its root or its data folder
_AUTHORS_PLACES = (".", "activitynet_annotations", "data/activitynet_annotations")

Encoder = Callable[[Sequence[Video], Style], Iterator[tuple[str, bytes]]]


@dataclass(frozen=True, slots=True)
class Form:
    """One form of annotations.

    Attributes
    ----------
    name : str
        What `--from` and `--to` call it.
    what : str
        A line for people.
    fits : callable
        Whether a file or folder is of this form, by its names and content.
    read : callable
    encode : callable, optional
        Names and contents of the files that hold some videos; None: it can only be read.
    suffix : str
        Of the file that a dataset has its annotations in; none where it is for other tools.
    file_a_video : bool
        Whether every video is written to a file of its own.
    """

    name: str
    what: str
    fits: Callable[[Source], bool]
    read: Callable[[Source, Hints], Annotations]
    encode: Encoder | None = None
    suffix: str = ""
    file_a_video: bool = False


# the first that fits is taken
FORMS = {
    form.name: form
    for form in (
        Form(
            "activitynet",
            "JSON with a 'database' of videos (ActivityNet, HACS Segments, THUMOS14, ...)",
            activitynet.fits,
            activitynet.read,
            activitynet.encode,
            ".json",
        ),
        Form("authors", f"{AUTHORS_JSON} of the BSN authors", authors.fits, authors.read),
        Form("csv", "a table: video,start,end,label", table.fits, table.read, table.encode, ".csv"),
        Form(
            "elan",
            "ELAN's .eaf file, or a folder of them",
            elan.fits,
            elan.read,
            elan.encode,
            file_a_video=True,
        ),
        Form(
            "vtt",
            "WebVTT, as players read it: a .vtt file, or a folder of them",
            vtt.fits,
            vtt.read,
            vtt.encode,
            file_a_video=True,
        ),
        Form(
            "thumos14",
            "a folder of <Class>_val.txt and <Class>_test.txt",
            thumos.fits,
            thumos.read,
        ),
        Form(
            "labelstudio",
            "Label Studio's export: JSON or JSON-MIN",
            labelstudio.fits,
            labelstudio.read,
            labelstudio.encode,
        ),
    )
}


def find_annotations(folder: Path) -> Path | None:
    """Locate the annotation file of a dataset folder: `annotations.json`, the authors', a table."""
    named = (folder / DATASET_JSON, *(folder / p / AUTHORS_JSON for p in _AUTHORS_PLACES))
    return next((p for p in (*named, folder / DATASET_TABLE) if p.is_file()), None)


def read_annotations(
    path: Path | str,
    *,
    form: str | None = None,
    fps: float | None = None,
    tiers: Iterable[str] = (),
) -> Annotations:
    """Read annotations of any known form; which one it is shows in names and content.

    Parameters
    ----------
    path : Path or str
        A file, a dataset folder that holds one, or a folder of THUMOS14's or ELAN's files.
    form : str, optional
        A key of `FORMS`, where the content shall not decide.
    fps : float, optional
        Frames a second of videos that do not say theirs, where times are frame numbers.
    tiers : iterable of str
        Patterns of the tiers to read (ELAN); all unless given.

    Returns
    -------
    Annotations
        With what could not be read among its `problems`.

    Raises
    ------
    AnnotationError
        Missing, damaged, or of no known form; says which file and where.
    ConfigError
        There is no such form.

    Examples
    --------
    >>> found = read_annotations("TH14_annotations/")  # doctest: +SKIP
    >>> found.form, len(found.videos)  # doctest: +SKIP
    ('thumos14', 413)
    """
    path = Path(path)
    if not path.exists():
        raise AnnotationError(f"{path}: cannot be read: no such file or folder")
    found = find_annotations(path) if path.is_dir() else None
    source = Source(found or path)
    chosen = _detect(source) if form is None else form_named(form)
    return chosen.read(source, Hints(fps, tuple(tiers)))


def form_named(name: str) -> Form:
    """Look a form up by its name.

    Raises
    ------
    ConfigError
        There is none; names those that there are.
    """
    if name not in FORMS:
        raise ConfigError(f"no form {name!r} of annotations; there are: {', '.join(FORMS)}")
    return FORMS[name]


def _detect(source: Source) -> Form:
    for form in FORMS.values():
        if form.fits(source):
            return form
    path = source.path
    if path.is_dir():
        raise AnnotationError(
            f"{path}: holds neither {DATASET_JSON} nor {AUTHORS_JSON}, nor {DATASET_TABLE}, "
            "nor .eaf or .vtt files, nor THUMOS14's <Class>_val.txt"
        )
    if source.may_be_json and not isinstance(source.json.document, dict):
        kind = type(source.json.document).__name__
        raise AnnotationError(
            f"{path}: a JSON object is needed, or a list of Label Studio's tasks, not {kind}"
        )
    raise AnnotationError(
        f"{path}: of no known form: neither ActivityNet's form (an object 'database' of videos), "
        "nor the BSN authors' (videos with 'duration_second'), nor a .csv, .eaf, .vtt or "
        "<Class>_val.txt"
    )


def encode_annotations(
    videos: Iterable[Video],
    form: str,
    *,
    media: Callable[[Video], str] | None = None,
    fps: float = FPS,
    document: Mapping[str, Any] | None = None,
) -> dict[str, bytes]:
    """Annotations as files in memory.

    Parameters
    ----------
    videos : iterable of Video
        With `scores` where their instances are proposals that a person is to correct.
    form : str
        A key of `FORMS`.
    media : callable, optional
        The link to a video: an address, or a path as seen from the files. ELAN and Label Studio
        open it; Label Studio needs it.
    fps : float
        Frames a second of videos that do not say theirs, where times are frame numbers.
    document : mapping, optional
        What shall stand beside the videos, where a form has room for it: version, taxonomy.

    Returns
    -------
    dict of file name to bytes
        One file of all videos, or one each (ELAN, WebVTT); for Label Studio its tasks, and the
        labelling interface that shows them. Names hold nothing that leads to another folder.

    Raises
    ------
    ConfigError
        The form is not known, can only be read, or needs `media`.
    AnnotationError
        Two videos would be written to the same file, or some text cannot be written.

    Examples
    --------
    >>> video = Video("clip", 60.0, segments=[[1.5, 4.0]], labels=("jump",))
    >>> print(encode_annotations([video], "csv")["annotations.csv"].decode())
    video,start,end,label,subset,duration
    clip,1.5,4.0,jump,,60.0
    <BLANKLINE>
    """
    encode = writable_form(form).encode
    assert encode is not None
    return dict(encode(tuple(videos), Style(document or {}, media, fps)))


def write_annotations(
    path: Path | str,
    videos: Iterable[Video],
    *,
    form: str | None = None,
    media: Callable[[Video], str] | None = None,
    fps: float = FPS,
    document: Mapping[str, Any] | None = None,
    overwrite: bool = True,
) -> tuple[Path, ...]:
    """Write annotations; each file appears when it is whole.

    Parameters
    ----------
    path : Path or str
        A file, or a folder that is there; for forms of a file a video a folder, which is made.
    form : str, optional
        A key of `FORMS`; by the suffix unless given, ActivityNet's for any that is not known.
    media, fps, document
        As `encode_annotations`.
    overwrite : bool
        Replace files that are there.

    Returns
    -------
    tuple of Path
        The files that were written.

    Raises
    ------
    ConfigError, AnnotationError
        As `encode_annotations`; or a file is there and shall not be replaced.
    ActSpanError
        A file cannot be written.
    """
    path = Path(path)
    chosen = form or _by_suffix(path).name
    encoded = encode_annotations(videos, chosen, media=media, fps=fps, document=document)
    files = _placed(path, encoded, FORMS[chosen].file_a_video)
    there = [str(file) for file in files if file.exists()]
    if there and not overwrite:
        more = f" and {len(there) - 1} more of them are" if len(there) > 1 else " is"
        raise AnnotationError(f"{there[0]}{more} there already; --force replaces what is there")
    for file, content in files.items():
        with atomic_file(file) as stream:
            stream.write(content)
    return tuple(files)


def _placed(path: Path, encoded: Mapping[str, bytes], in_folder: bool) -> dict[Path, bytes]:
    """Where each file goes: into a folder, or beside each other under one name."""
    if not in_folder and not path.is_dir():
        first, *others = encoded
        names = {first: path, **{name: path.with_suffix(Path(name).suffix) for name in others}}
        return {names[name]: content for name, content in encoded.items()}
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ActSpanError(f"{path}: cannot be made a folder: {error.strerror}") from error
    return {path / name: content for name, content in encoded.items()}


def writable_form(name: str) -> Form:
    """Look up a form that can be written.

    Raises
    ------
    ConfigError
        There is none of that name, or it can only be read.
    """
    form = form_named(name)
    if form.encode is None:
        there = ", ".join(f.name for f in FORMS.values() if f.encode is not None)
        raise ConfigError(f"{name} can only be read; these can be written: {there}")
    return form


def _by_suffix(path: Path) -> Form:
    suffix = path.suffix.lower()
    return next((f for f in FORMS.values() if f.suffix == suffix and suffix), FORMS["activitynet"])
