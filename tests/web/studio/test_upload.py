"""Uploads by the form that needs no script."""

from tests.api.world import upload
from tests.media_samples import samples
from tests.web.studio.forms import form_to, send

FORM = "/studio/upload"


def sends(browser, audio, name="song.mp3", **fields):
    files = {
        "file": (name, audio, "application/octet-stream"),
        "image": ("", b"", "application/octet-stream"),
    }
    return send(browser, browser.get(FORM), FORM, files=files, **fields)


def test_a_file_becomes_a_track_whose_page_says_what_comes_next(sign_in, alice):
    page = sends(
        sign_in(alice), samples.mp3(1), title="First Take", album="Pressings", support_gate='{"type": "any"}'
    )
    assert page.url.path.startswith("/studio/tracks/")
    assert "Uploaded. It is being sent to your PDS." in page.text
    assert form_to(page, page.url.path).fields[2:4] == [("title", "First Take"), ("album", "Pressings")]
    assert ("support_gate", "any") in form_to(page, page.url.path).fields


def test_what_is_no_audio_is_refused_with_what_to_do(sign_in, alice):
    page = sends(sign_in(alice), b"words", "words.txt", title="Words")
    assert page.status_code in {400, 415}
    assert 'role="alert"' in page.text
    assert "Nothing was changed." in page.text
    assert form_to(page, FORM)


def test_the_same_audio_again_leads_to_its_track(client, sign_in, alice):
    track = upload(client, alice)
    page = sends(sign_in(alice), samples.mp3(1), title="Again")
    assert page.status_code == 409
    assert f'href="/studio/tracks/{track["id"]}"' in page.text


def test_a_file_may_be_larger_than_the_fields_of_other_forms(world, alice):
    browser = world.serve(max_upload_bytes=5_000_000)
    browser.headers["Accept"] = "text/html"
    browser.cookies.set("mastertape_session", alice.token)
    page = sends(browser, samples.tone(200), "long.wav", title="Long")
    assert page.status_code == 200, page.text
    assert "Uploaded." in page.text
