"""An example value for each name in requests and responses, so that all examples in the OpenAPI document are of one track."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

Schema = Mapping[str, Any]

_DATA: Final = json.loads(Path(__file__).with_suffix(".json").read_text())
EXAMPLES: Final[Mapping[str, Any]] = _DATA["named"]
IN: Final[Mapping[str, Mapping[str, Any]]] = _DATA["in"]
"""Those of names that mean something else in a model, in a request or in an error."""

BY_KIND: Final = {"boolean": False, "integer": 0, "object": {}, "date-time": EXAMPLES["created_at"]}
"""Examples of what has none by its name."""


def example_of(schema: Schema, models: Mapping[str, Schema], owner: str, name: str) -> Any:
    """Return an example of the schema, which is `name` in `owner`; None, which no text accepts, where a name has none."""
    if "contentSchema" in schema:
        return json.dumps(example_of(schema["contentSchema"], models, owner, name))
    named = {**EXAMPLES, **IN.get(owner, {})}
    if name in named:
        return named[name]
    if "$ref" in schema:
        model = schema["$ref"].rpartition("/")[2]
        return example_of(models[model], models, model, "")
    if "properties" in schema:
        return {field: example_of(each, models, owner, field) for field, each in schema["properties"].items()}
    if schema.get("type") == "array":
        return [example_of(schema["items"], models, owner, "")]
    kind = schema.get("format", schema.get("type", "enum"))
    return schema.get("default", schema.get("enum", [BY_KIND.get(kind)])[0])
