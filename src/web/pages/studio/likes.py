"""What one likes, newest first, each with the mark of its record."""

from fastapi import APIRouter, Response

from api.requests.parameters import PageQuery
from api.routers.likes import list_my_liked_tracks
from web.ask import OwnAsk, PageRoute, wanted
from web.rendering import RenderDep
from web.state_words import shown

router = APIRouter(route_class=PageRoute, include_in_schema=False)

PAGE = 50


@router.get("/studio/likes")
async def show_likes(ask: OwnAsk, render: RenderDep, cursor: str | None = None) -> Response:
    page = await ask(list_my_liked_tracks, wanted(PageQuery, cursor=cursor, limit=PAGE))
    likes = [{**each, "mark": shown(each["mirror"])} for each in page["items"]]
    return render("studio/likes.html", likes=likes, cursor=page["cursor"], is_first_page=cursor is None)
