"""Restricts a query parameter to listed values, which OpenAPI and the refusal name."""

from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema


@dataclass(frozen=True)
class OneOf:
    """For `Annotated[str, OneOf(values)]`."""

    values: tuple[str, ...]

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        values = [str(value) for value in self.values]
        message = f"must be one of: {', '.join(values)}"
        return core_schema.custom_error_schema(
            core_schema.literal_schema(values), custom_error_type="one_of", custom_error_message=message
        )
