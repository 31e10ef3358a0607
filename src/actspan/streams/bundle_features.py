"""Features of new videos, computed exactly as those that a bundle was trained on."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any

from actspan.config.stages import ExtractionConfig
from actspan.core.errors import BundleError
from actspan.core.files import sha256
from actspan.model.bundle import Bundle
from actspan.model.nets import video_net
from actspan.runtime.opening import find_backend
from actspan.streams.addresses import Location
from actspan.streams.backbone import BackboneFile, find_backbone
from actspan.streams.extract_request import Grid
from actspan.streams.extractors import SnippetExtractor, opener
from actspan.streams.feature_files import PROJECTION, Projection
from actspan.streams.hub_backbone import hub_backbone
from actspan.streams.snippet_features import Extractor, Part
from actspan.streams.stream_features import StreamExtractor
from actspan.streams.video_decoding import FollowedVideo

_EXTRACT_AGAIN = "extract features of your videos with this version and train on them"


class BundleFeatures(AbstractContextManager["BundleFeatures"]):
    """Extractor of the features that a bundle expects.

    Parameters
    ----------
    bundle : Bundle
    backbone : str, optional
        Path of the encoder, `onnx:FILE`, if the bundle was trained on features of one. Its
        preprocessing is recorded in the bundle. An encoder of a hub is found without it.
    threads : int, optional
        Threads of the backbone; all cores unless given.
    backend : str
        Backend of the backbone too, if it opens ONNX files.

    Raises
    ------
    BundleError
        The bundle does not say how its features were made, or they cannot be made here.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        backbone: str | None = None,
        threads: int | None = None,
        backend: str = "auto",
    ) -> None:
        features, wanted = bundle.features, bundle.features.extraction
        if not bundle.takes_features:
            lacking = video_net(bundle.config).upper()
            what = f"contains no {lacking}, which features of a video need"
            raise BundleError(f"{bundle.path}: {what}")
        if wanted is None:
            origin = f"of {features.backbone}" if features.backbone else "of unknown origin"
            raise BundleError(
                f"{bundle.path}: was trained on features {origin} that actspan extract did not "
                "make, so they cannot be made of a video here. Give features (--dataset), or "
                f"{_EXTRACT_AGAIN}"
            )
        self.kind = wanted.kind
        self._projection = _projection(bundle, wanted)
        self._extractor: SnippetExtractor
        if wanted.kind != "video":
            if backbone is not None:
                raise BundleError(f"{bundle.path}: takes {wanted.kind}: leave --backbone out")
            self._extractor = StreamExtractor(wanted, Grid.of(features))
        else:
            usable = backend != "auto" and find_backend(backend)[0].suffix == ".onnx"
            self._extractor = Extractor(
                _backbone(bundle, wanted, backbone),
                Grid.of(features),
                streams=wanted.streams,
                frames=wanted.frames,
                threads=threads,
                backend=backend if usable else "auto",
            )
        extracted, projection = self._extractor.spec.channels, self._projection
        inputs = extracted if projection is None else len(projection.mean)
        channels = extracted if projection is None else projection.channels
        if (inputs, channels) != (extracted, features.channels):
            self._extractor.close()
            raise BundleError(
                f"{bundle.path}: expects features of {features.channels} channels, but its "
                f"backbone and projection give {channels}; {_EXTRACT_AGAIN}"
            )

    def __exit__(self, *details: object) -> None:
        self.close()

    def close(self) -> None:
        """Free the backbone. May be called twice."""
        self._extractor.close()

    def opener(self) -> Callable[[Location], Any]:
        """Return the function that opens a file, to find out whether it can be used."""
        return opener(self._extractor)

    def run(self, paths: Iterable[Location]) -> Iterator[Part]:
        """Extract videos one after another, as `Extractor.run`."""
        return map(self._projected, self._extractor.run(paths))

    def follow(self, video: FollowedVideo) -> Iterator[Part]:
        """Extract one video that is still being recorded, as `Extractor.follow`."""
        assert isinstance(self._extractor, Extractor)
        return map(self._projected, self._extractor.follow(video))

    def _projected(self, part: Part) -> Part:
        if self._projection is None:
            return part
        return replace(part, rows=self._projection.apply(part.rows))


def _backbone(bundle: Bundle, wanted: ExtractionConfig, video_backbone: str | None) -> BackboneFile:
    """Return the backbone of the bundle's features, after checking that it is the same one."""
    assert wanted.pictures is not None
    assert wanted.sha256 is not None
    name, trained = bundle.features.backbone or "", f"{bundle.path}: was trained on features of"
    if name.startswith(("onnx:", "hf:")):
        path = _custom_encoder(name, video_backbone, trained)
        backbone = BackboneFile(name, path, sha256(path), wanted.pictures)
    else:
        backbone = find_backbone("default")
        if name != backbone.name:
            raise BundleError(
                f"{trained} {name or 'an unnamed backbone'}, which this version does not have; "
                f"{_EXTRACT_AGAIN}"
            )
        if video_backbone not in (None, "default", backbone.name):
            raise BundleError(f"{trained} {name}, not of {video_backbone}: leave --backbone out")
    if backbone.sha256 != wanted.sha256:
        raise BundleError(
            f"{backbone.path}: is not the backbone that {bundle.path} was trained with: its "
            f"SHA-256 begins with {backbone.sha256[:12]}, not {wanted.sha256[:12]}"
        )
    if backbone.pictures != wanted.pictures:
        names = wanted.pictures.__struct_fields__
        pairs = ((n, getattr(wanted.pictures, n), getattr(backbone.pictures, n)) for n in names)
        changes = ", ".join(f"{n} {old}, here {new}" for n, old, new in pairs if old != new)
        raise BundleError(
            f"{trained} pictures that were prepared in another way ({changes}); {_EXTRACT_AGAIN}"
        )
    return backbone


def _custom_encoder(name: str, video_backbone: str | None, trained: str) -> Path:
    """Return the file of a backbone that is not the default one."""
    kind, _, file = (video_backbone or "").partition(":")
    if name.startswith("hf:") and kind != "onnx":
        if video_backbone not in (None, name):
            raise BundleError(f"{trained} {name}, not of {video_backbone}: leave --backbone out")
        return hub_backbone(name)
    if kind != "onnx" or not file:
        raise BundleError(
            f"{trained} a custom encoder; pass its path: --backbone "
            f"onnx:FOLDER/{name.removeprefix('onnx:')}"
        )
    path = Path(file)
    if not path.is_file():
        raise BundleError(f"{path}: no such file; the encoder {name} is needed")
    return path


def _projection(bundle: Bundle, wanted: ExtractionConfig) -> Projection | None:
    if wanted.projection is None:
        return None
    path = bundle.path / PROJECTION
    remedy = f"copy {PROJECTION} there from the dataset that it was trained on"
    if not path.is_file():
        raise BundleError(f"{path}: missing, and the model needs projected features: {remedy}")
    if sha256(path) != wanted.projection:
        raise BundleError(f"{path}: is not the projection of the model's features: {remedy}")
    return Projection.load(path)
