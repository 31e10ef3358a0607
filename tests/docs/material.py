"""Small files that the pages of the documentation assume, by the names in their marks."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from click.testing import CliRunner
from pyarrow import csv, parquet
from safetensors.torch import load_file

from actspan.cli import main
from actspan.data.annotations.formats import read_annotations
from tests.conftest import ROOT
from tests.data.annotation_files import task, timeline_region, write_elan, write_label_studio
from tests.docs.annotated_sets import SETS
from tests.examples import write_bmn_bundle, write_bundle, write_dataset
from tests.model.bmn_checkpoints import jjboy_arrays
from tests.streams.encoders import write_encoder, write_network_of_free_axes
from tests.streams.example_videos import steady, write_audio, write_video
from tests.streams.test_audio import tone, write_wav

NAMES = ("one", "two", "three")
INSTANCE = (0.5, 1.5)  # seconds, in every video
TINY = ["--epochs", "1", "--length", "20", "--tem-hidden", "8", "--pem-hidden", "8"]


def actspan(*words: object) -> None:
    """Run a command that must work."""
    done = CliRunner().invoke(main, list(map(str, words)))
    assert done.exit_code == 0, done.output


def train(dataset: Path, out: Path, *words: str) -> None:
    """Train small networks and a classifier."""
    actspan("train", "--dataset", dataset, "--out", out, *TINY, "--classifier", *words)


class Material:
    """Files that are made once, and copied to where a page expects them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def place(self, names: str, target: Path) -> None:
        """Write what a mark names into a folder, which is the working folder."""
        for name in filter(None, map(str.strip, names.split(","))):
            if name in SETS:
                SETS[name]()
            else:
                kind, path = name.split()
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                copy(self._made(kind), target / path)

    def contents(self, kind: str) -> dict[str, bytes]:
        """Return the files of a folder."""
        made = self._made(kind)
        return {path.name: path.read_bytes() for path in made.iterdir() if path.is_file()}

    def _made(self, kind: str) -> Path:
        path = self._folder / kind
        if not path.exists():
            getattr(self, f"_make_{kind.replace('-', '_')}")(path)
        return path

    def _make_folder(self, path: Path) -> None:
        path.mkdir()

    # features, models and runs

    def _make_features(self, path: Path) -> None:
        write_dataset(path, videos=6)

    def _make_camera_features(self, path: Path) -> None:
        """Write features whose videos have a camera and a group in their names."""
        write_dataset(path, videos=12)
        document = json.loads((path / "annotations.json").read_text())
        for i, (name, video) in enumerate(list(document["database"].items())):
            video["camera"] = f"c{i // 4}"
            document["database"][f"p{i % 4}_{name}"] = document["database"].pop(name)
            (path / "features" / f"{name}.npy").rename(path / "features" / f"p{i % 4}_{name}.npy")
        (path / "annotations.json").write_text(json.dumps(document))

    def _make_annotations(self, path: Path) -> None:
        copy(self._made("camera-features") / "annotations.json", path)

    def _make_segments(self, path: Path) -> None:
        """Write a table with a column of persons."""
        lines = [
            f"v{i},{i + 1}.5,{i + 4}.5,act,training,60,{person}"
            for i, person in enumerate(("anna", "anna", "ben", "ben", "carl", "carl"))
        ]
        path.write_text("\n".join(["video,start,end,label,subset,duration,person", *lines]))

    def _make_store(self, path: Path) -> None:
        actspan("pack", self._made("features"), "--out", path)

    def _make_bundle(self, path: Path) -> None:
        write_bundle(path)

    def _make_bmn_bundle(self, path: Path) -> None:
        write_bmn_bundle(path)

    def _make_settings(self, path: Path) -> None:
        path.write_text("[pipeline.soft_nms]\ndecay = 0.4\n")

    def _make_checkpoint_tem(self, path: Path) -> None:
        torch.save({"state_dict": load_file(self._made("bundle") / "tem.safetensors")}, path)

    def _make_checkpoint_pem(self, path: Path) -> None:
        torch.save({"state_dict": load_file(self._made("bundle") / "pem.safetensors")}, path)

    def _make_checkpoint_bmn(self, path: Path) -> None:
        state = {name: torch.from_numpy(array) for name, array in jjboy_arrays().items()}
        torch.save({"epoch": 9, "state_dict": state}, path)

    def _make_run(self, path: Path) -> None:
        self._propose(path, "--subset", "validation")

    def _make_camera_run(self, path: Path) -> None:
        self._propose(path, dataset="camera-features")

    def _make_result(self, path: Path) -> None:
        copy(self._made("run") / "result.json", path)

    def _make_scores(self, path: Path) -> None:
        """Write labels of videos, as a classifier of whole videos gives them."""
        videos = read_annotations(self._made("features")).videos
        path.write_text(json.dumps({v.id: [{"label": "act", "score": 0.9}] for v in videos}))

    def _make_labelled_run(self, path: Path) -> None:
        self._propose(path, "--subset", "validation", "--labels-from", self._made("scores"))

    def _propose(self, out: Path, *words: object, dataset: str = "features") -> None:
        """Write a run of the bundle."""
        places = ["--model", self._made("bundle"), "--dataset", self._made(dataset)]
        actspan("propose", *places, *words, "--out", out)

    def _make_annotations_of_run(self, path: Path) -> None:
        copy(self._made("features") / "annotations.json", path)

    def _make_films_of_run(self, path: Path) -> None:
        path.mkdir()
        for video in read_annotations(self._made("features")).videos:
            assert video.duration is not None
            write_video(path / f"{video.id}.mp4", steady(video.duration, fps=2))

    def _make_two_annotations(self, path: Path) -> None:
        """Write ground truth of the videos in the page about evaluation."""
        entry = {"duration": 60.0, "subset": "validation"}
        instances = [{"segment": [4.0, 5.5], "label": "jump"}]
        database = {name: entry | {"annotations": instances} for name in ("video_1", "video_2")}
        path.write_text(json.dumps({"database": database}))

    def _make_two_detections(self, path: Path) -> None:
        found = {"segment": [3.98, 5.46], "score": 0.82, "label": "jump"}
        path.write_text(json.dumps({"results": {"video_1": [found], "video_2": []}}))

    # speed

    def _make_bench(self, path: Path) -> None:
        words = ["--seconds", "0.02", "--videos", "2", "--batch", "1", "--json"]
        actspan("bench", "--model", self._made("bundle"), *words, path.with_suffix(".json"))
        path.with_suffix(".json").rename(path)

    def _make_guide(self, path: Path) -> None:
        """Copy the logs and the report of the guide."""
        copy(ROOT / "tests" / "bench" / "guide", path)

    def _make_logs(self, path: Path) -> None:
        """Copy logs of two networks, which a command groups by name."""
        (path / "logs").mkdir(parents=True)
        for net in ("tem", "pem"):
            log = ROOT / "tests" / "bench" / "guide" / "t4" / f"{net}_bs1.txt"
            copy(log, path / f"{net}.log")
            copy(log, path / "logs" / f"{net}.log")

    def _make_claims(self, path: Path) -> None:
        path.write_text("3275.55 x 4 = 13102.2\n")

    def _make_program(self, path: Path) -> None:
        """Write the command of an installation."""
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m actspan "$@"\n')
        path.chmod(0o755)

    # videos

    def _make_video(self, path: Path) -> None:
        write_video(path.with_suffix(".mp4"), steady(3.0)).rename(path)

    def _make_recording(self, path: Path) -> None:
        """Write eight seconds in a container that is readable from front to back."""
        write_video(path.with_suffix(".ts"), steady(8.0), codec="mpeg2video").rename(path)

    def _make_films(self, path: Path) -> None:
        path.mkdir()
        for name in NAMES:
            write_video(path / f"{name}.mp4", steady(2.5))

    def _make_film_features(self, path: Path) -> None:
        actspan("extract", self._made("films"), "--out", path)
        document = json.loads((path / "annotations.json").read_text())
        for name, subset in zip(NAMES, ("training", "training", "validation"), strict=True):
            entry = {"segment": list(INSTANCE), "label": "jump"}
            document["database"][name] |= {"subset": subset, "annotations": [entry]}
        (path / "annotations.json").write_text(json.dumps(document))

    def _make_film_model(self, path: Path) -> None:
        train(self._made("film-features"), path)

    def _make_live_model(self, path: Path) -> None:
        train(self._made("film-features"), path, "--mode", "window")

    def _make_annotated_films(self, path: Path) -> None:
        copy(self._made("films"), path / "videos")
        copy(self._made("film-features") / "annotations.json", path / "annotations.json")

    def _make_list(self, path: Path) -> None:
        path.write_text("video.mp4\n")

    def _make_moments(self, path: Path) -> None:
        rows = [f"{name},{INSTANCE[0]},{INSTANCE[1]},jump,training" for name in NAMES]
        path.write_text("\n".join(["video,start,end,label,subset", *rows]))

    def _make_sessions(self, path: Path) -> None:
        path.mkdir()
        for name in NAMES:
            tiers = {"a": [(*INSTANCE, "jump")]}
            write_elan(path / f"{name}.eaf", tiers, media=f"{name}.mp4")

    def _make_export(self, path: Path) -> None:
        regions = [timeline_region(13, 37, "jump")]
        write_label_studio(path, [task(f"{name}.mp4", *regions) for name in NAMES])

    # other streams

    def _make_table(self, path: Path) -> None:
        names, columns = ["time", "ax", "ay", "az"], [np.arange(1000) / 50, *noise(3)]
        csv.write_csv(pa.table(dict(zip(names, columns, strict=True))), path)

    def _make_bare_table(self, path: Path) -> None:
        table = pa.table(dict(zip(["ax", "ay", "az"], noise(3), strict=True)))
        csv.write_csv(table, path, csv.WriteOptions(include_header=False))

    def _make_uptime_table(self, path: Path) -> None:
        parquet.write_table(pa.table({"uptime": 20.0 * np.arange(1000), "ax": noise(1)[0]}), path)

    def _make_walks(self, path: Path) -> None:
        """Write annotated tables of sensors."""
        (path / "recordings").mkdir(parents=True)
        database = {}
        for i, subset in enumerate(("training", "training", "validation")):
            copy(self._made("table"), path / "recordings" / f"w{i}.csv")
            entry = {"segment": [4.0 + i, 9.0], "label": "walk"}
            database[f"w{i}"] = {"duration": 20.0, "subset": subset, "annotations": [entry]}
        (path / "annotations.json").write_text(json.dumps({"database": database}))

    def _make_walk_model(self, path: Path) -> None:
        features = self._folder / "walk-features"
        actspan("extract", self._made("walks"), "--out", features, "--stride", "0.5s")
        train(features, path)

    def _make_array(self, path: Path) -> None:
        """Write features of a recording, for a model of 32 channels."""
        np.save(path.with_suffix(".npy"), noise(32).T.astype(np.float32))
        path.with_suffix(".npy").rename(path)

    def _make_sound(self, path: Path) -> None:
        write_wav(path, tone(3000, 1.0))

    def _make_sound_film(self, path: Path) -> None:
        write_audio(path.with_suffix(".mp4")).rename(path)

    def _make_tracks(self, path: Path) -> None:
        """Write places of two paws, as DeepLabCut writes them."""
        path.mkdir()
        names = [(joint, axis) for joint in ("left_paw", "right_paw") for axis in ("x", "y")]
        lines = [",".join(("scorer", *["net"] * 4))]
        for title, row in zip(("bodyparts", "coords"), zip(*names, strict=True), strict=True):
            lines.append(",".join((title, *row)))
        lines += [f"{i},{i},2,{i},9" for i in range(90)]
        (path / "a.csv").write_text("\n".join(lines) + "\n")

    # ONNX files

    def _make_encoder(self, path: Path) -> None:
        path.mkdir()
        write_encoder(path / "encoder.onnx", ["n", 3, 8, 8])

    def _make_tem(self, path: Path) -> None:
        copy(self._made("bundle") / "tem.onnx", path)

    def _make_speech(self, path: Path) -> None:
        write_network_of_free_axes(path)


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(count, 1000))


def copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, dirs_exist_ok=True)
    else:
        shutil.copy(source, target)
