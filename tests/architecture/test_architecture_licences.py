"""Every package we depend on may be used, changed and passed on freely; the few others are named with a reason."""

from __future__ import annotations

import json
import re
from importlib.metadata import PackageMetadata, metadata

import pytest
from packaging.requirements import Requirement

from tests.architecture.source import ROOT

EXCEPTIONS = ROOT / "docs/decisions/0003-licences.md"
PERMISSIVE = {
    "0BSD",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "CC0-1.0",
    "ISC",
    "MIT",
    "MIT-0",
    "MIT-CMU",
    "PSF-2.0",
    "Unlicense",
    "Zlib",
}
# What packages without an SPDX expression write instead.
OLD_NAMES = {
    "3-clause bsd license": "BSD-3-Clause",
    "apache 2": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
}


def locked() -> list[str]:
    """The packages of the larger lock that this platform installs."""
    lines = re.findall(r"^([\w.\[\]-]+==[^\\\n]+)", (ROOT / "requirements-dev.lock").read_text("utf-8"), re.MULTILINE)
    requirements = [Requirement(line.strip()) for line in lines]
    return [one.name for one in requirements if one.marker is None or one.marker.evaluate()]


def excepted() -> set[str]:
    return set(re.findall(r"^\| `([\w.-]+)` \|", EXCEPTIONS.read_text(encoding="utf-8"), re.MULTILINE))


@pytest.mark.parametrize("package", locked())
def test_a_package_is_permissive_or_named_with_a_reason(package: str) -> None:
    licences = licences_of(metadata(package))
    if package in excepted():
        assert not licences or not licences <= PERMISSIVE, f"{package} needs no exception any more"
    else:
        assert licences, f"{package} does not say what its licence is"
        assert licences <= PERMISSIVE, (
            f"{package} is under {licences - PERMISSIVE}: replace it, or name it in {EXCEPTIONS.name}"
        )


def test_no_exception_outlives_its_package() -> None:
    assert excepted() <= set(locked())


def test_the_node_packages_of_tests_are_permissive_and_pinned_by_their_hashes() -> None:
    lock = json.loads((ROOT / "tests/outside/package-lock.json").read_text(encoding="utf-8"))
    packages = {path: about for path, about in lock["packages"].items() if path}
    assert packages
    assert [path for path, about in packages.items() if not terms(about.get("license", "none")) <= PERMISSIVE] == []
    assert [path for path, about in packages.items() if not about.get("integrity", "").startswith("sha512-")] == []


@pytest.mark.parametrize("licence", ["GPL-3.0-only", "MIT AND AGPL-3.0-or-later", "MPL-2.0", "LicenseRef-Proprietary"])
def test_a_licence_that_asks_for_more_is_seen(licence: str) -> None:
    assert not terms(licence) <= PERMISSIVE


def licences_of(package: PackageMetadata) -> set[str]:
    if "License-Expression" in package:
        return terms(package["License-Expression"])
    classifiers = [
        one.rpartition(" :: ")[2] for one in package.get_all("Classifier") or [] if one.startswith("License")
    ]
    named = [one for one in classifiers if one != "DFSG approved"]
    if not named and "License" in package:
        named = [package["License"].strip()]
    return {OLD_NAMES.get(one.lower(), one) for one in named}


def terms(expression: str) -> set[str]:
    """The licences of an SPDX expression. `OR` gives a choice: one permissive side is enough."""
    sides = [set(re.split(r"\s+AND\s+", side.strip("() "))) for side in re.split(r"\s+OR\s+", expression)]
    return next((side for side in sides if side <= PERMISSIVE), set().union(*sides))
