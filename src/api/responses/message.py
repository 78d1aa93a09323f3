"""The answer where there is nothing else to say."""

from pydantic import BaseModel


class MessageBody(BaseModel):
    """What was done."""

    message: str
