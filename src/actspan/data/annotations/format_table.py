"""The table of annotation formats, and what a file of none of them is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from actspan.core.errors import ConfigError
from actspan.core.files import folder_kind
from actspan.core.types import Video
from actspan.core.wording import listed
from actspan.data.annotations import (
    activitynet,
    edl,
    elan,
    fiftyone,
    labelstudio,
    losslesscut,
    otio,
    praat,
    projects,
    table,
    table_lines,
    text_files,
    tracks,
    writing,
)
from actspan.data.annotations.activitynet import AUTHORS_JSON
from actspan.data.annotations.annotation_set import Annotations, ReadOptions, Source
from actspan.data.annotations.video_builder import has_files, read_files
from actspan.data.annotations.writing import WriteOptions

DATASET_JSON = "annotations.json"
DATASET_TABLE = "annotations.csv"

_COLUMNS = "the columns video, start, end, label"
_REMEDIES = {
    ".xlsx .xls .ods": f"a spreadsheet: save the sheet as CSV with {_COLUMNS}",
    ".html .htm .docx .doc .odt .pdf": f"a document: save its table as CSV with {_COLUMNS}",
    ".sbv .ass .ssa .ttml .dfxp .sub": "subtitles: save them as WebVTT (.vtt) or SubRip (.srt)",
    ".gz .zip .tar .7z .xz": "packed: unpack it, and give what is inside",
    ".mp4 .avi .mkv .mov .webm .mpg": "a video: annotations are needed here",
    ".txt": "only Audacity's labels, <Class>_val.txt and <Class>_test.txt are; save a table as "
    ".csv or .tsv",
    ".anvil": "of Anvil: export it to ELAN (.eaf), or as a table",
    ".xml": "XML (CVAT, Anvil, ...): export it as CSV or JSON with times in seconds",
}
_DEFAULT_REMEDY = "export it as CSV (video, start, end, label) or JSON"

Encoder = Callable[[Sequence[Video], WriteOptions], Iterator[tuple[str, bytes]]]
Notes = Callable[[Sequence[Video], WriteOptions], Iterator[str]]


@dataclass(frozen=True, slots=True)
class Format:
    """One format of annotations."""

    name: str  # in `--from` and `--to`
    what: str  # a description for people
    fits: Callable[[Source], bool]  # whether a source has this format, by names and content
    read: Callable[[Source, ReadOptions], Annotations] | None  # None if it can only be written
    encode: Encoder | None = None  # None if it can only be read
    needs: str = ""  # what JSON must have for `read`, for messages
    in_folder: str = ""  # files that are read from a folder, if it reads folders
    suffix: str = ""  # of a dataset's annotation file; empty for formats of other tools
    writes_folder: bool = False  # it is written as files in a folder, mostly one per video
    has_tiers: bool = False  # its files have tiers that can be selected
    has_own_unit: bool = False  # it fixes the unit of its times
    links_videos: bool = False  # its files say where a video is
    notes: Notes | None = None  # yields what is assumed or left out in writing


# The first format that fits a source is used. ActivityNet's would fit FiftyOne's files, too, if a
# video is called "actions".
ALL_FORMATS = (
    Format("fiftyone", "FiftyOne's temporal detections: labels.json, or the folder with it",
           fiftyone.fits, fiftyone.read, fiftyone.encode_fiftyone,
           "not FiftyOne's temporal detections: 'classes' and an object 'labels' of videos are "
           "needed in labels.json", fiftyone.LABELS, writes_folder=True, has_own_unit=True,
           links_videos=True),
    Format("activitynet", "JSON with a 'database' of videos (ActivityNet, HACS Segments, THUMOS14, "
           "...)", activitynet.fits, activitynet.read, activitynet.encode,
           "not ActivityNet's format: an object 'database' of videos is needed", DATASET_JSON,
           suffix=".json"),
    Format("authors", f"{AUTHORS_JSON} of the BSN authors", activitynet.fits_authors,
           activitynet.read_authors, None,
           "not the BSN authors' format: videos with 'duration_second' are needed", AUTHORS_JSON),
    Format("losslesscut", "LosslessCut's .llc projects, or its .csv: start,end,name",
           losslesscut.fits, losslesscut.read, losslesscut.encode_losslesscut,
           in_folder=".llc files", writes_folder=True, has_own_unit=True, links_videos=True),
    Format("csv", "a table: video,start,end,label", table_lines.fits, table.read, table.encode,
           in_folder=DATASET_TABLE, suffix=".csv"),
    Format("elan", "ELAN's .eaf file, or a folder of them", partial(has_files, ".eaf"),
           elan.read, writing.encode_elan, in_folder=".eaf files", writes_folder=True,
           has_tiers=True, has_own_unit=True, links_videos=True),
    Format("vtt", "WebVTT, as players read it: a .vtt file, or a folder of them",
           partial(has_files, ".vtt"), partial(read_files, "vtt", ".vtt", text_files.read_vtt),
           text_files.encode_vtt, in_folder=".vtt files", writes_folder=True, has_own_unit=True),
    Format("srt", "SubRip subtitles: an .srt file, or a folder of them",
           partial(has_files, ".srt"), partial(read_files, "srt", ".srt", text_files.read_srt),
           in_folder=".srt files", has_own_unit=True),
    Format("textgrid", "Praat's .TextGrid file, or a folder of them",
           partial(has_files, ".textgrid"),
           partial(read_files, "textgrid", ".textgrid", praat.read_textgrid),
           praat.encode_textgrid, in_folder=".TextGrid files", writes_folder=True, has_tiers=True,
           has_own_unit=True, notes=praat.unknown_ends),
    Format("edl", "an edit decision list of CMX 3600: an .edl file, or a folder of them",
           partial(has_files, ".edl"), edl.read, edl.encode_edl, in_folder=".edl files",
           writes_folder=True, has_own_unit=True, links_videos=True),
    Format("otio", "OpenTimelineIO's .otio file, or a folder of them",
           partial(has_files, ".otio"), partial(read_files, "otio", ".otio", otio.read_otio),
           otio.encode_otio, in_folder=".otio files", writes_folder=True, has_own_unit=True,
           links_videos=True),
    Format("thumos14", "a folder of <Class>_val.txt and <Class>_test.txt", text_files.fits_thumos,
           text_files.read_thumos, in_folder="<Class>_val.txt and <Class>_test.txt of THUMOS14"),
    Format("audacity", "Audacity's labels: a .txt file, or a folder of them", tracks.fits_audacity,
           partial(read_files, "audacity", ".txt", tracks.read_audacity), tracks.encode_audacity,
           in_folder=".txt files of Audacity's labels", writes_folder=True, has_own_unit=True,
           notes=tracks.changed_ids),
    Format("labelstudio", "Label Studio's export: JSON or JSON-MIN", labelstudio.fits,
           labelstudio.read, writing.encode_labelstudio, "not a list of Label Studio tasks",
           has_own_unit=True, links_videos=True, notes=writing.assumed_rate),
    Format("boris", "a project of BORIS (.boris, JSON)", partial(projects.fits, projects.BORIS),
           projects.read_boris, projects.encode_boris,
           "not a project of BORIS: 'observations' and 'behaviors_conf' are needed",
           has_own_unit=True, links_videos=True),
    Format("via", "a project of VGG Image Annotator 3 (JSON)", partial(projects.fits, projects.VIA),
           projects.read_via, None,
           "not a project of VGG Image Annotator 3: the objects 'attribute', 'file', 'view', "
           "'metadata' are needed", has_own_unit=True),
    Format("youtube", "chapters in the description of a YouTube video", lambda _: False, None,
           tracks.encode_youtube, writes_folder=True, notes=tracks.left_out_of_chapters),
)  # fmt: skip
FORMATS = {format.name: format for format in ALL_FORMATS}


def format_named(name: str) -> Format:
    """Return the format with this name; raise ConfigError with the known ones if there is none."""
    if name not in FORMATS:
        raise ConfigError(f"no annotation format {name!r}; choose one of: {', '.join(FORMATS)}")
    return FORMATS[name]


def unknown_format(source: Source) -> str:
    """Return the message about a source that no format fits: what it is, and what to do."""
    path, forms = source.path, f"known are: {'; '.join(f.what for f in ALL_FORMATS if f.read)}"
    if path.is_dir():
        in_folders = ", ".join(f.in_folder for f in ALL_FORMATS if f.in_folder)
        return (
            f"{path}{folder_kind(path)}: contains none of: {in_folders}; give the path "
            "of a file of another format"
        )
    if source.json is None:
        suffix = path.suffix.lower()
        remedy = next(
            (r for known, r in _REMEDIES.items() if suffix in known.split()), _DEFAULT_REMEDY
        )
        what = f"{path.suffix} is not read: {remedy}" if path.suffix else remedy
        return f"{path}: unknown format; {what}; {forms}"
    document = source.document[0]
    what = type(document).__name__
    if isinstance(document, dict):
        what = f"an object with {listed(map(repr, document), most=6) or 'no keys'}"
    elif isinstance(document, list) and document and isinstance(document[0], dict) and document[0]:
        what = f"a list of objects with {listed(map(repr, document[0]), most=6)}"
    return f"{path}: JSON in an unknown format, {what}; {forms}"
