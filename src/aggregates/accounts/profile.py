"""What an account says of itself; the name of an artist stays here, since the record has none."""

from datetime import datetime

from aggregates import published_events
from aggregates.published import Published
from aggregates.values import Artwork


class Created(published_events.Created):
    TOPIC = "profile.created.v1"
    did: str
    profile_id: int
    bio: str | None
    avatar_url: str | None
    created_at: str
    collection: str
    rkey: str


class Adopted(published_events.Adopted, Created):
    """`avatar_url` is the address that the record names."""

    TOPIC = "profile.adopted.v1"


class Edited(published_events.Edited):
    TOPIC = "profile.edited.v1"


class AvatarReplaced(published_events.PublishedEvent):
    """A picture was set, for the first time or in place of another."""

    TOPIC = "profile.avatar_replaced.v1"
    TOUCHES_RECORD = True
    avatar: Artwork

    def assign(self, profile: "Profile") -> None:
        profile.avatar, profile.avatar_url = self.avatar, None


class AvatarRemoved(published_events.PublishedEvent):
    """The picture was removed; its bytes stay until the sweep."""

    TOPIC = "profile.avatar_removed.v1"
    TOUCHES_RECORD = True

    def assign(self, profile: "Profile") -> None:
        profile.avatar = profile.avatar_url = None


class Profile(Published, created_event_name="Created"):
    TOPIC = "profile"
    METADATA = ("bio",)
    SHOWN = (*METADATA, "avatar", "avatar_url", *Published.SHOWN)

    Created = Created
    Adopted = Adopted
    Edited = Edited
    AvatarReplaced = AvatarReplaced
    AvatarRemoved = AvatarRemoved

    profile_id: int
    bio: str | None
    avatar_url: str | None
    """Of a picture that is elsewhere."""

    def __init__(self) -> None:  # the library would make another
        super().__init__()
        self.avatar: Artwork | None = None
        self.edited_at: datetime | None = None

    def set_avatar(self, avatar: Artwork | None, *, at: datetime) -> None:
        """Set the picture, or remove it with None; the same is no change."""
        self.require_live()
        if avatar is not None and avatar != self.avatar:
            self.trigger_event(Profile.AvatarReplaced, avatar=avatar, timestamp=at)
        elif avatar is None and (self.avatar or self.avatar_url) is not None:
            self.trigger_event(Profile.AvatarRemoved, timestamp=at)
