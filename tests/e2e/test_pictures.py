"""The pictures of the documents: with TEST_DEEP they are taken, and with TEST_PICTURES too they replace those in docs/images."""

import os

import pytest

from demo import pictures
from tests.e2e.pages.browser_checks import PICTURES

pytestmark = [pytest.mark.pds, pytest.mark.browser]


@pytest.mark.skipif(not os.environ.get("TEST_DEEP"), reason="slow")
def test_each_picture_of_the_documents_can_be_taken_anew(tmp_path):
    known = {each.name for each in pictures.FOLDER.iterdir()}
    pictures.main(pictures.FOLDER if PICTURES else tmp_path)
    assert {each.name for each in (pictures.FOLDER if PICTURES else tmp_path).iterdir()} == known
