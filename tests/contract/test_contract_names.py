"""What prompt-service calls a manifest's files is what storage-service keeps them under, letter by letter (R117)."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from prompt_service.manifests import path_of, plan_of
from schemas.parts import ManifestItem, ManifestSpec
from storage_service.layouts import Placement, logical_path

TENANT, JOB = UUID(int=7), UUID(int=8)
FORMATS = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}
SEGMENT = st.from_regex(r"[a-zA-Z0-9_-]{1,100}", fullmatch=True)
TYPED = st.one_of(
    st.text(max_size=400),
    st.sampled_from(["", "..", "a/b\\c", "CON", "x.mp4", "x.glb", "長い名前" * 100, "y" * 255, "w" * 100_000, "🔥"]),
)
ITEMS = st.lists(st.builds(ManifestItem, name=TYPED, group=st.none() | TYPED), min_size=1, max_size=20)


@given(SEGMENT, SEGMENT, ITEMS, st.sampled_from(sorted(FORMATS)))
def test_storage_leaves_a_manifests_names_as_they_are(
    channel: str, project: str, items: list[ManifestItem], ending: str
) -> None:
    manifest = ManifestSpec(channel=channel, project=project, atmosphere="a", items=items)
    for entry in plan_of(manifest).entries:
        name = path_of(manifest, entry, ending)
        place = Placement(TENANT, JOB, None, "image", name, FORMATS[ending], "primary", 0)
        assert logical_path(place) == f"{TENANT}/{name}"
