"""Fields that several of the operators' bodies have."""

from typing import Annotated, Final

from pydantic import Field, StringConstraints

Name = Annotated[str, StringConstraints(max_length=2048, pattern=r"^[^\x00]*$")]
"""Text that every database can store."""
DRY_RUN: Final[bool] = Field(False, description="whether to count only")
