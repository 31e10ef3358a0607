"""Draw a film: a figure that rests, walks, and does what segments say, in front of a plain wall."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

WIDTH, HEIGHT, FPS = 640, 360, 25
FINE = 2  # drawn this many times larger, so that edges are smooth
BLEND = 0.25  # seconds from one pose to another
FLOOR, TALL = 0.86 * HEIGHT, 0.6 * HEIGHT
WALL, GROUND, SHADE = ((222, 226, 230), (196, 199, 202)), (158, 140, 122), (140, 123, 106)
SKIN, HAIR, SHIRT, TROUSERS = (214, 160, 126), (66, 48, 40), (44, 123, 150), (52, 58, 82)
THING = (206, 96, 58)

Point = tuple[float, float]


class Pose(NamedTuple):
    """Angles of limbs from hanging down, forwards, in radians; each pair is the left, the right."""

    lean: float = 0.0
    shoulders: Point = (0.1, -0.1)
    elbows: Point = (0.15, 0.15)
    hips: Point = (0.06, -0.06)
    knees: Point = (0.0, 0.0)
    rise: float = 0.0  # of the feet above the floor, in body heights
    turn: float = 1.0  # cosine of the angle to the picture's plane
    holds: float = 0.0  # size of the thing between the hands


def rest(t: float) -> Pose:
    """Stand and breathe."""
    sway = 0.02 * np.sin(2 * t)
    return Pose(lean=sway, shoulders=(0.12 + sway, -0.12 - sway))


def walk(t: float) -> Pose:
    """Take two steps per second."""
    swing, lifted = np.sin(2 * np.pi * t), np.cos(2 * np.pi * t)
    return Pose(
        lean=0.06,
        shoulders=(-0.6 * swing, 0.6 * swing),
        elbows=(0.4, 0.4),
        hips=(0.5 * swing, -0.5 * swing),
        knees=(0.75 * max(lifted, 0), 0.75 * max(-lifted, 0)),
    )


def wave(t: float) -> Pose:
    """Wave with one arm."""
    return Pose(shoulders=(2.5, -0.1), elbows=(0.45 + 0.55 * np.sin(9 * t), 0.15))


def jump(t: float) -> Pose:
    """Jump once per second, with a swing of both arms."""
    at = t % 1.0
    flight = np.clip((at - 0.35) / 0.5, 0, 1)
    crouch = max(0.0, 1 - abs(at - 0.22) / 0.2, 1 - abs(at - 0.9) / 0.12)
    arms = 2.7 * np.sin(np.pi * flight) - 0.7 * crouch
    return Pose(
        lean=0.45 * crouch,
        shoulders=(arms + 0.1, arms - 0.1),
        hips=(0.9 * crouch + 0.05, 0.9 * crouch - 0.05),
        knees=(1.6 * crouch, 1.6 * crouch),
        rise=0.8 * flight * (1 - flight),
    )


def throw(t: float) -> Pose:
    """Raise one arm behind the head, slowly, and throw, fast."""
    times, at = (0.0, 0.6, 0.8, 1.2), t % 1.2
    arm = np.interp(at, times, (0, 3.7, 0.8, 0))
    lean = np.interp(at, times, (0, -0.22, 0.3, 0))
    bent = np.interp(at, times, (0.2, 1.0, 0.0, 0.2))
    return Pose(lean, (arm, 0.6 - arm / 3), (bent, 0.3), (0.35, -0.35), (0.25, 0.1))


def climb(t: float) -> Pose:
    """Raise one knee and the other arm in turn."""
    swing = np.sin(2.2 * np.pi * t)
    left, right = max(swing, 0), max(-swing, 0)
    return Pose(
        lean=0.1,
        shoulders=(1.5 + 1.3 * right, 1.5 + 1.3 * left),
        elbows=(1.2 - right, 1.2 - left),
        hips=(1.4 * left, 1.4 * right),
        knees=(1.6 * left, 1.6 * right),
        rise=0.05 * abs(swing),
    )


def spin(t: float) -> Pose:
    """Turn about the vertical axis, with the arms spread."""
    return Pose(shoulders=(1.5, -1.5), elbows=(0.0, 0.0), turn=float(np.cos(4.5 * t)))


def lift(t: float) -> Pose:
    """Squat, and lift a weight above the head."""
    high = 0.5 - 0.5 * np.cos(2.8 * t)
    low = 1 - high
    arms = 0.5 + 2.5 * high
    return Pose(
        lean=0.4 * low,
        shoulders=(arms, arms - 0.05),
        elbows=(0.1, 0.1),
        hips=(1.2 * low + 0.1, 1.2 * low - 0.1),
        knees=(1.9 * low, 1.9 * low),
        holds=0.08,
    )


ACTIONS: dict[str, Callable[[float], Pose]] = {
    act.__name__: act for act in (walk, wave, jump, throw, climb, spin, lift)
}


class Act(NamedTuple):
    """Action of the film, in seconds."""

    start: float
    end: float
    label: str


def pose_at(t: float, acts: Sequence[Act]) -> Pose:
    """Return the pose at a time; it changes smoothly where an action starts or ends."""
    found = np.concatenate([np.ravel(part) for part in rest(t)])
    for start, end, label in acts:
        share = np.clip(min(t - start, end - t) / BLEND + 0.5, 0, 1)
        if share > 0:
            action = np.concatenate([np.ravel(part) for part in ACTIONS[label](max(t - start, 0))])
            found += share**2 * (3 - 2 * share) * (action - found)
    lean, a, b, c, d, e, f, g, h, *others = found.tolist()
    return Pose(lean, (a, b), (c, d), (e, f), (g, h), *others)


def limb(start: Point, angles: tuple[float, float], lengths: tuple[float, float]) -> list[Point]:
    """Return the joints of an arm or a leg, y upwards."""
    joints = [start]
    for angle, length in zip(angles, lengths, strict=True):
        x, y = joints[-1]
        joints.append((x + length * np.sin(angle), y - length * np.cos(angle)))
    return joints


def paint(draw: Any, pose: Pose, middle: float) -> None:
    """Draw the figure with its middle at x; the lower foot is on the floor unless it jumps."""
    neck = (0.3 * np.sin(pose.lean), 0.3 * np.cos(pose.lean))
    legs, arms = [], []
    for side, offset in enumerate((0.035, -0.035)):
        thigh = pose.hips[side]
        legs.append(limb((offset, 0), (thigh, thigh - pose.knees[side]), (0.25, 0.25)))
        upper = pose.shoulders[side]
        start = (neck[0] + 1.4 * offset, neck[1] - 0.04)
        arms.append(limb(start, (upper, upper + pose.elbows[side]), (0.17, 0.17)))
    low = min(leg[-1][1] for leg in legs)
    scale = TALL * FINE

    def place(x: float, y: float) -> Point:
        high = FLOOR * FINE - (y - low + 0.03 + pose.rise) * scale
        return middle * FINE + x * pose.turn * scale, high

    def stroke(joints: Sequence[Point], width: float, colour: tuple[int, ...]) -> None:
        points, radius = [place(*joint) for joint in joints], width * scale / 2
        draw.line(points, fill=colour, width=round(2 * radius))
        for x, y in points:
            draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def disc(x: float, y: float, radius: float, colour: tuple[int, ...]) -> None:
        x, y = place(x, y)
        radius *= scale
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)

    def darker(colour: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(round(0.78 * value) for value in colour)

    spread = (0.17 - 0.2 * pose.rise) * scale
    x, y = middle * FINE, FLOOR * FINE
    draw.ellipse((x - spread, y - 0.2 * spread, x + spread, y + 0.2 * spread), fill=SHADE)
    stroke(legs[1], 0.075, darker(TROUSERS))
    stroke(arms[1], 0.055, darker(SKIN))
    stroke(legs[0], 0.075, TROUSERS)
    stroke([(0, 0.02), (0.92 * neck[0], 0.92 * neck[1])], 0.15, SHIRT)
    stroke([arms[1][0], arms[1][1]], 0.06, darker(SHIRT))
    head = (neck[0] + 0.14 * np.sin(pose.lean), neck[1] + 0.13)
    disc(head[0] - 0.012, head[1] + 0.018, 0.078, HAIR)
    disc(head[0] + 0.008, head[1] - 0.004, 0.07, SKIN)
    hand = arms[0][-1]
    if pose.holds > 0.01:
        disc(*hand, pose.holds, THING)
    stroke(arms[0], 0.055, SKIN)
    stroke([arms[0][0], arms[0][1]], 0.062, SHIRT)


def draw_film(path: Path, seconds: float, acts: Sequence[Act]) -> None:
    """Write a film in H.264; the figure walks to the middle, and otherwise stays where it is."""
    import av
    from PIL import Image, ImageDraw

    shades = np.linspace(*WALL, HEIGHT * FINE)[:, np.newaxis].repeat(WIDTH * FINE, axis=1)
    shades[round((FLOOR - 18) * FINE) :] = GROUND
    wall = Image.fromarray(shades.astype(np.uint8))
    path.parent.mkdir(exist_ok=True)
    to_walk = sum(act.end - act.start for act in acts if act.label == "walk")
    with av.open(str(path), "w", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.height, stream.width, stream.pix_fmt = HEIGHT, WIDTH, "yuv420p"
        stream.options = {"crf": "18", "g": str(FPS)}
        for number in range(round(seconds * FPS)):
            t = number / FPS
            to_walk -= any(a.label == "walk" and a.start <= t < a.end for a in acts) / FPS
            picture = wall.copy()
            middle = WIDTH * (0.5 - 0.1 * to_walk)
            paint(ImageDraw.Draw(picture), pose_at(t, acts), middle)
            small = picture.resize((WIDTH, HEIGHT), Image.Resampling.BOX)
            container.mux(stream.encode(av.VideoFrame.from_image(small)))
        container.mux(stream.encode())
