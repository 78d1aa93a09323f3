"""The three bodies that PATCH takes, and what clients of plyr.fm send in them."""

from tests.api.world import did_of, form

CLIENTS_OF_PLYR = [
    ("title", " as sent ", "title", " as sent "),
    ("description", "", "description", None),
    ("album", "Other", "album", "Other"),
    ("album", "", "album", None),
    ("features", '["@bob.test", "alice.test"]', "features", [{"did": did_of("bob"), "handle": "bob.test"}]),
    ("features", "[]", "features", []),
    ("tags", '[" Deep  House ", "-lo-fi-", "deep house", ""]', "tags", ["deep house", "lo-fi"]),
    ("tags", "[]", "tags", []),
    ("support_gate", '{"type": "any"}', "support_gate", {"type": "any"}),
    ("support_gate", "null", "support_gate", None),
    ("support_gate", "Null", "support_gate", None),
    ("unlisted", "true", "unlisted", True),
    ("unlisted", "True", "unlisted", True),
    ("unlisted", "false", "unlisted", False),
    ("self_labels", '["porn", "sexual", "porn"]', "self_labels", ["porn", "sexual"]),
    ("self_labels", "[]", "self_labels", []),
    ("remove_image", "True", "image_url", None),
]
"""What the clients of plyr.fm send in form fields, and the effect that its documentation names."""


def as_json(client, person, track, fields, **headers):
    return client.patch(f"/tracks/{track['id']}", json=fields, headers={**person.headers, **headers})


def as_multipart(client, person, track, fields, **headers):
    parts = {name: (None, value) for name, value in form(fields).items()}
    return client.patch(f"/tracks/{track['id']}", files=parts, headers={**person.headers, **headers})


def as_form(client, person, track, fields, **headers):
    return client.patch(f"/tracks/{track['id']}", data=form(fields), headers={**person.headers, **headers})
