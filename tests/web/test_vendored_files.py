"""What lies under static/vendor is what the npm packages of the lock file contain."""

from pathlib import Path

import pytest

from devpds.node import FOLDER, install
from web import rendering

VENDOR = Path(rendering.__file__).parent / "static" / "vendor"
FILES = {
    "htmx.min.js": "htmx.org/dist/htmx.min.js",
    "htmx.LICENSE": "htmx.org/LICENSE",
}


@pytest.mark.pds
def test_each_vendored_file_is_that_of_its_npm_package():
    install()
    assert {each.name for each in VENDOR.iterdir()} == set(FILES)
    for name, source in FILES.items():
        assert (VENDOR / name).read_bytes() == (FOLDER / "node_modules" / source).read_bytes(), name
