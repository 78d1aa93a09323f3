"""The three bodies that PATCH takes."""

from tests.api.world import form


def as_json(client, person, track, fields, **headers):
    return client.patch(f"/tracks/{track['id']}", json=fields, headers={**person.headers, **headers})


def as_multipart(client, person, track, fields, **headers):
    parts = {name: (None, value) for name, value in form(fields).items()}
    return client.patch(f"/tracks/{track['id']}", files=parts, headers={**person.headers, **headers})


def as_form(client, person, track, fields, **headers):
    return client.patch(f"/tracks/{track['id']}", data=form(fields), headers={**person.headers, **headers})
