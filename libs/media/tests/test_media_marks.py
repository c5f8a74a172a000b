"""That a file says that a machine made it: read by others than us, kept in every format, and nothing else changed."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable
from io import BytesIO

import av
import numpy as np
import OpenEXR
import pygltflib
import pytest
import soundfile
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from media import CorruptOutput, check_media, is_marked, mark_place, marked
from media.riff import riff_chunks
from media.tests.media_files import exr, flat_hdr, glb, hdr, png, sound, video

WORD = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
OTHER = "<x:xmpmeta>digitalCapture</x:xmpmeta>"


def picture(form: str, *, alpha: bool = False, size: tuple[int, int] = (70, 41), **options: object) -> bytes:
    noise = np.random.default_rng(3).integers(0, 255, (size[1], size[0], 4 if alpha else 3), dtype=np.uint8)
    file = BytesIO()
    Image.fromarray(noise).save(file, form, **options)
    return file.getvalue()


def opus_in_ogg(seconds: float = 1.0) -> bytes:
    tone = np.sin(np.arange(round(48_000 * seconds)) * 0.05).astype(np.float32)
    file = BytesIO()
    soundfile.write(file, tone, 48_000, format="OGG", subtype="OPUS")
    return file.getvalue()


def odd_wav() -> bytes:
    file = BytesIO()
    soundfile.write(file, np.sin(np.arange(3001) * 0.05), 22_050, format="WAV", subtype="PCM_U8")
    return file.getvalue()


FILES: dict[str, tuple[str, bytes]] = {
    "png": ("image/png", picture("png")),
    "png, transparent": ("image/png", picture("png", alpha=True)),
    "jpeg": ("image/jpeg", picture("jpeg", exif=Image.Exif(), icc_profile=b"a profile")),
    "webp": ("image/webp", picture("webp")),
    "webp, lossless": ("image/webp", picture("webp", lossless=True)),
    "webp, lossless and transparent": ("image/webp", picture("webp", lossless=True, alpha=True)),
    "webp, transparent": ("image/webp", picture("webp", alpha=True)),
    "webp of odd length": ("image/webp", picture("webp", size=(31, 17), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")),
    "exr": ("image/x-exr", exr()),
    "exr, compressed": ("image/x-exr", exr(compression="zip16")),
    "hdr": ("image/vnd.radiance", hdr()),
    "hdr, flat": ("image/vnd.radiance", flat_hdr(5, 4)),
    "mp4": ("video/mp4", video(codec="libx264", sound="aac")),
    "mp4, in fragments": ("video/mp4", video(codec="libx264", options={"movflags": "+frag_keyframe+empty_moov"})),
    "webm": ("video/webm", video(form="webm", codec="libvpx-vp9", sound="libopus")),
    "webm, silent": ("video/webm", video(form="webm", codec="libvpx")),
    "wav": ("audio/wav", sound(0.5)),
    "wav of odd length": ("audio/wav", odd_wav()),
    "mp3": ("audio/mpeg", sound(1.0, "MP3")),
    "ogg": ("audio/ogg", sound(1.0, "OGG")),
    "ogg, opus": ("audio/ogg", opus_in_ogg()),
    "flac": ("audio/flac", sound(1.0, "FLAC")),
    "glb": ("model/gltf-binary", glb(maps=("baseColorTexture",))),
}
every_file = pytest.mark.parametrize(("mime", "data"), FILES.values(), ids=FILES)


def tags_of(data: bytes, *, packet: bool = False) -> dict[str, str]:
    """What FFmpeg reads of the container and its tracks, by names in small letters."""
    with av.open(BytesIO(data), "r", options={"export_xmp": "1"} if packet else {}) as container:
        found = dict(container.metadata)
        for track in container.streams:
            found |= track.metadata
    return {name.lower(): value for name, value in found.items()}


READERS: dict[str, Callable[[bytes], str]] = {
    "image/png": lambda data: str(Image.open(BytesIO(data)).info["xmp"]),
    "image/jpeg": lambda data: str(Image.open(BytesIO(data)).info["xmp"]),
    "image/webp": lambda data: str(Image.open(BytesIO(data)).info["xmp"]),
    "image/x-exr": lambda data: str(exr_header(data)["digitalSourceType"]),
    "image/vnd.radiance": lambda data: data.split(b"\n\n")[0].decode(),
    "video/mp4": lambda data: tags_of(data, packet=True)["xmp"],
    "video/webm": lambda data: tags_of(data)["digital_source_type"],
    "audio/wav": lambda data: tags_of(data)["comment"],
    "audio/mpeg": lambda data: tags_of(data)["digital_source_type"],
    "audio/ogg": lambda data: tags_of(data)["digital_source_type"],
    "audio/flac": lambda data: tags_of(data)["digital_source_type"],
    "model/gltf-binary": lambda data: str(pygltflib.GLTF2.load_from_bytes(data).asset.extras["digitalSourceType"]),
}


def exr_header(data: bytes) -> dict[str, object]:
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=".exr") as file:
        file.write(data)
        file.flush()
        header: dict[str, object] = OpenEXR.File(file.name, separate_channels=True).header()
        return header


def content(data: bytes, mime: str) -> str:
    """A hash over what is seen and heard: pixels, frames with their times, samples, vertices."""
    digest = hashlib.sha256()
    if mime in {"image/png", "image/jpeg", "image/webp"}:
        with Image.open(BytesIO(data)) as image:
            digest.update(f"{image.mode} {image.size} {image.info.get('icc_profile')}".encode() + image.tobytes())
    elif mime == "model/gltf-binary":
        model = pygltflib.GLTF2.load_from_bytes(data)
        model.asset.extras = {}
        digest.update(model.to_json().encode() + model.binary_blob())
    elif mime == "image/vnd.radiance":
        digest.update(data[data.index(b"\n\n") :])
    elif mime.startswith("audio/"):
        with soundfile.SoundFile(BytesIO(data)) as file:
            digest.update(f"{file.frames} {file.samplerate} {file.channels}".encode() + file.read().tobytes())
    else:
        with av.open(BytesIO(data), "r", format="exr_pipe" if mime == "image/x-exr" else None) as container:
            for frame in container.decode():
                digest.update(f"{frame.time} {frame.duration}".encode() + frame.to_ndarray().tobytes())
    return digest.hexdigest()


@every_file
def test_the_mark_is_found_by_a_reader_that_is_not_ours(mime: str, data: bytes) -> None:
    assert WORD in READERS[mime](marked(data, mime))


@every_file
def test_a_marked_file_has_the_same_content_and_is_whole(mime: str, data: bytes) -> None:
    made = marked(data, mime)
    assert content(made, mime) == content(data, mime)
    before, after = check_media(data), check_media(made)
    assert after.size == len(made)
    assert [getattr(after, name) for name in FACTS] == [getattr(before, name) for name in FACTS]


FACTS = ("mime", "width", "height", "duration_s", "frames", "fps", "sample_rate", "channels", "triangles", "maps")


@every_file
def test_the_same_bytes_are_marked_to_the_same_bytes_and_once(mime: str, data: bytes) -> None:
    made = marked(data, mime)
    assert not is_marked(data, mime)
    assert is_marked(made, mime)
    assert made == marked(data, mime) == marked(made, mime)


def test_every_format_that_is_finished_has_a_place_for_the_mark() -> None:
    assert {mime for mime, _ in FILES.values()} == set(READERS)
    assert all(mark_place(mime) for mime in READERS)
    assert mark_place("image/gif") is None
    with pytest.raises(CorruptOutput, match="image/gif has no place"):
        marked(b"GIF89a", "image/gif")


@every_file
def test_a_file_that_is_no_longer_whole_is_refused_and_nothing_else_happens(mime: str, data: bytes) -> None:
    for length in (12, 24, 40, len(data) // 2):
        try:
            marked(data[:length], mime)
        except CorruptOutput:
            continue


def test_of_what_others_said_in_xmp_only_our_word_is_left() -> None:
    said = PngInfo()
    said.add_itxt("XML:com.adobe.xmp", OTHER)
    for mime, data in (
        ("image/png", picture("png", pnginfo=said)),
        ("image/jpeg", picture("jpeg", xmp=OTHER.encode())),
        ("image/webp", picture("webp", xmp=OTHER.encode())),
    ):
        assert "digitalCapture" in str(Image.open(BytesIO(data)).info["xmp"])
        made = marked(data, mime)
        assert b"digitalCapture" not in made
        assert content(made, mime) == content(data, mime)
        assert WORD in READERS[mime](made)


def test_what_a_picture_says_of_its_camera_and_colours_stays() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a fox"
    for form in ("png", "jpeg", "webp"):
        made = marked(picture(form, exif=exif, icc_profile=b"a profile"), f"image/{form}")
        with Image.open(BytesIO(made)) as image:
            assert (image.getexif()[0x010E], image.info["icc_profile"]) == ("a fox", b"a profile")


def test_a_jpeg_still_begins_as_jfif_and_exif_ask() -> None:
    exif = Image.Exif()
    exif[0x010E] = "a fox"
    made = marked(picture("jpeg", exif=exif), "image/jpeg")
    assert made[2:4] == b"\xff\xe0"
    assert made.index(b"Exif\0") < made.index(b"http://ns.adobe.com/xap/1.0/")


def test_a_wav_that_was_written_into_a_pipe_says_how_long_it_is_afterwards() -> None:
    data = sound(0.5)
    at = data.index(b"data") + 4
    piped = data[:4] + b"\xff" * 4 + data[8:at] + b"\xff" * 4 + data[at + 4 :]
    made = marked(piped, "audio/wav")
    assert int.from_bytes(made[4:8], "little") == len(made) - 8
    assert dict(riff_chunks(made))[b"data"] == data[at + 4 :]
    assert check_media(made).duration_s == check_media(data).duration_s


def test_an_mp3_with_tags_of_its_own_has_ours_in_their_place() -> None:
    data = sound(1.0, "MP3")
    tag = b"ID3\x03\0\0\0\0\0\x19" + b"TIT2" + (15).to_bytes(4) + b"\0\0" + b"\0a prompt, told"
    made = marked(tag + tag + data, "audio/mpeg")
    assert made == marked(data, "audio/mpeg")
    assert tags_of(made)["comment"] == "AI-generated"


def test_an_mp4_whose_last_box_goes_to_the_end_of_the_file_is_ended_before_the_mark() -> None:
    data = video(codec="libx264")
    tail = b"\0\0\0\0free" + b"padding"
    made = marked(data + tail, "video/mp4")
    assert made[len(data) : len(data) + 8] == len(tail).to_bytes(4) + b"free"
    assert content(made, "video/mp4") == content(data, "video/mp4")


def test_an_ogg_whose_comments_take_more_pages_is_numbered_anew_to_its_end() -> None:
    long = ogg_with_comment("x" * 70_000)
    made = marked(long, "audio/ogg")
    assert len(made) < len(long) - 60_000
    assert numbers_of(made) == list(range(len(numbers_of(made))))
    assert content(made, "audio/ogg") == content(long, "audio/ogg")
    assert "comment" in tags_of(made)


def ogg_with_comment(text: str) -> bytes:
    file = BytesIO()
    with soundfile.SoundFile(file, "w", 22_050, 1, format="OGG", subtype="VORBIS") as sound_file:
        sound_file.comment = text
        sound_file.write(0.3 * np.sin(np.arange(22_050) * 0.05))
    return file.getvalue()


def numbers_of(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        assert data[at : at + 4] == b"OggS"
        (number,) = struct.unpack_from("<I", data, at + 18)
        found.append(number)
        at += 27 + data[at + 26] + sum(data[at + 27 : at + 27 + data[at + 26]])
    return found


def test_a_model_keeps_what_else_its_maker_said() -> None:
    made = marked(glb(), "model/gltf-binary")
    model = pygltflib.GLTF2.load_from_bytes(made)
    model.asset.extras["credit"] = "somebody"
    del model.asset.extras["digitalSourceType"]
    again = marked(b"".join(model.save_to_bytes()), "model/gltf-binary")
    assert pygltflib.GLTF2.load_from_bytes(again).asset.extras == {
        "ai_generated": True,
        "credit": "somebody",
        "digitalSourceType": WORD,
    }


def test_bytes_behind_the_end_of_a_picture_stay_where_they_are() -> None:
    made = marked(png(20, 10) + bytes(7), "image/png")
    assert made.endswith(b"IEND\xaeB`\x82" + bytes(7))
    assert check_media(made).width == 20
