"""The OpenAPI document says enough to call the API by, and its examples are as its schemas say.

What is missing is named with the place to write it: an example belongs into src/api/examples.json, a
description to the field or the parameter.
"""

import jsonschema_rs
import pytest

from tests.api.auth.route_table import ROUTES, WITH_KEY, Who
from tests.servers.databases import ON_SQLITE

pytestmark = ON_SQLITE
JSON = "application/json"


@pytest.fixture
def document(world):
    return world.app.openapi()


def assert_none(found):
    missing = sorted(set(found))
    assert not missing, "\n".join(missing)


def operations(document):
    for path, found in document["paths"].items():
        for method, operation in found.items():
            yield f"{method.upper()} {path}", operation


def resolved(document, part):
    """The part itself, or what it refers to."""
    *_, kind, name = ["", "", *part.get("$ref", "").split("/")]
    return document["components"][kind][name] if name else part


def undescribed(schema):
    """The fields of a body, and of the objects in it, that have no description."""
    for name, each in schema.get("properties", {}).items():
        if not each.get("description"):
            yield name
        yield from (f"{name}.{below}" for below in undescribed(each))


def bodies(document):
    """Each request body and each 2xx answer that has a schema or is JSON: its place, kind and content."""
    for route, operation in operations(document):
        for kind, content in operation.get("requestBody", {}).get("content", {}).items():
            yield f"the body of {route}", kind, content
        for status, response in operation["responses"].items():
            for kind, content in response.get("content", {}).items():
                if status.startswith("2") and kind == JSON:
                    yield f"{status} of {route}", kind, content


def faults(document, schema, example):
    """Where the example is not as the schema says."""
    whole = {**schema, "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    for error in validator.iter_errors(example):
        yield f"{'.'.join(map(str, error.instance_path)) or 'the whole'}: {error.message}"


def test_every_operation_has_an_id_of_its_own_and_a_summary(document):
    ids = [operation.get("operationId") for _, operation in operations(document)]
    assert len(set(ids)) == len(ids)
    assert None not in ids
    assert_none(route for route, operation in operations(document) if not operation.get("summary"))


def test_an_operation_names_credentials_exactly_where_it_needs_one(document):
    needing = {
        route for route, operation in operations(document) if {} not in operation.get("security", [{}])
    }
    assert needing == {route for route, row in ROUTES.items() if row.who is not Who.OPEN} - WITH_KEY
    schemes = document["components"]["securitySchemes"].keys()
    assert all(
        each.keys() <= schemes
        for _, operation in operations(document)
        for each in operation.get("security", ())
    )


def test_every_parameter_is_described(document):
    assert_none(
        f"{route}: {parameter['name']} has no description"
        for route, operation in operations(document)
        for parameter in (resolved(document, each) for each in operation.get("parameters", ()))
        if not parameter.get("description")
    )


def test_every_field_of_a_request_is_described(document):
    assert_none(
        f"{where} ({kind}): {name} has no description"
        for where, kind, content in bodies(document)
        if where.startswith("the body")
        for name in undescribed(content["schema"])
    )


def test_every_body_has_an_example_that_is_as_its_schema_says(document):
    assert_none(
        f"{where} ({kind}): {fault}; see src/api/examples.json"
        for where, kind, content in bodies(document)
        for fault in faults(document, content["schema"], content.get("example"))
    )


def test_every_json_answer_names_its_fields(document):
    """All but those that a standard or a probe defines."""
    nameless = {where for where, _, content in bodies(document) if "$ref" not in content["schema"]}
    assert {where for where in nameless if not where.startswith("the body")} == {
        f"200 of GET {path}" for path in ("/healthz", "/readyz", "/jwks.json", "/oauth-client-metadata.json")
    }


def test_every_error_has_an_example_for_each_of_its_codes(document):
    examples, shape = document["components"]["examples"], {"$ref": "#/components/schemas/ErrorBody"}
    for route, operation in operations(document):
        for status, response in operation["responses"].items():
            if status < "400":
                continue
            named = response["content"][JSON]["examples"]
            assert ", ".join(named) == response["description"], (route, status)
            assert {each["$ref"] for each in named.values()} == {
                f"#/components/examples/{code}" for code in named
            }
            assert named.keys() <= examples.keys()
    for code, example in examples.items():
        detail = example["value"]["detail"]
        assert detail["error"] == code
        assert example["description"].startswith(detail["message"])
        assert None not in detail.values(), f"{detail}: a field has no example; see src/api/examples.json"
        assert list(faults(document, shape, example["value"])) == []


def test_whole_numbers_that_nothing_limits_have_64_bits_in_generated_clients(document):
    operation = document["paths"]["/tracks/{track_id}"]["get"]
    [parameter, *_] = operation["parameters"]
    answer = resolved(document, operation["responses"]["200"]["content"][JSON]["schema"])
    assert (parameter["name"], parameter["schema"]["format"]) == ("track_id", "int64")
    assert answer["properties"]["id"]["format"] == "int64"
