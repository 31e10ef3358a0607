"""Video inference: segments of complete videos or of recordings in progress, and their clips."""

from actspan.moments.answers import Selection, VideoMoments, check_answer_file, write_answers
from actspan.moments.clips import Clip, cut_clips, make_clip_folder
from actspan.moments.follow import FollowRequest, News, follow_video
from actspan.moments.job import Found, VideosRequest, propose_videos
from actspan.moments.stream import GrowingVideo

__all__ = [
    "Clip",
    "FollowRequest",
    "Found",
    "GrowingVideo",
    "News",
    "Selection",
    "VideoMoments",
    "VideosRequest",
    "check_answer_file",
    "cut_clips",
    "follow_video",
    "make_clip_folder",
    "propose_videos",
    "write_answers",
]
