"""Images: which there are, what they hold, whether they can run here; and making more of them known."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.responses import Response

from backend.api import cursor
from backend.api.call import Call, answer
from backend.api.operations import PAGING, operation
from backend.api.wire import ImageView, Page, PutImage
from backend.errors import InvalidRequest, NotFound
from backend.executors.base import HeldImage
from backend.spec.images import Image, mistakes, reference
from backend.store import keys
from backend.store.base import Condition, Delete, Put
from backend.store.codec import encode
from backend.store.records import RegisteredImage


@operation("GET", "/images", answer=Page, items=ImageView, query=PAGING, on="any")
async def list_images(call: Call) -> Response:
    """Images that stages can name, and whether they can run here"""
    images, missing, held = call.services.images, call.services.missing(), await call.services.held_images()
    views = [_view(call, image, missing.get(name, ""), held) for name, image in images.items()]
    return answer(cursor.part(call, views, images.revision))


@operation("GET", "/images/{name}", answer=ImageView, on="any")
async def get_image(call: Call) -> Response:
    """One image"""
    return answer(await _named(call, call.name()))


@operation("PUT", "/images/{name}", body=PutImage, answer=ImageView, role="admin")
async def put_image(call: Call) -> Response:
    """Make an image known by a name, or change what the name stands for"""
    name, body, services = call.name(), await call.body(PutImage), call.services
    image = Image(
        name,
        body.description,
        body.interpreter,
        body.suffix,
        body.tools,
        body.container,
        dict(sorted(body.holds.items())),
    )
    if wrong := list(mistakes(image)):
        raise InvalidRequest(f"image {name}: {'; '.join(wrong)}")
    record = RegisteredImage(image, services.clock.now(), call.who.name)

    async def attempt() -> int | None:
        found = await services.store.get(keys.image(name))
        condition = Condition(keys.image(name), modified=found.modified if found else 0)
        view = _view(call, image, "", {}, record)
        change = Put(keys.image(name), encode(record))
        return await call.commit([condition], [change], name, answer=view, container=body.container)

    await call.tried(f"image {name}", attempt)
    await services.images.load()
    return answer(await _named(call, name))


@operation("DELETE", "/images/{name}", status=204, role="admin")
async def delete_image(call: Call) -> Response:
    """Forget an image that was registered; runs that need it fail from then on"""
    name, services = call.name(), call.services
    found = await services.store.get(keys.image(name))
    if found is None:
        if name in services.images and services.images.registered(name) is None:
            raise InvalidRequest(f"the image {name} comes along with Khantui; only registered ones can be removed")
        raise NotFound(f"there is no image {name!r}", hint="khantui images lists them")
    if await call.commit([Condition(found.key, modified=found.modified)], [Delete(found.key)], name) is None:
        raise call.conflict(f"image {name}")
    await services.images.load()
    return Response(status_code=204)


async def _named(call: Call, name: str) -> ImageView:
    services = call.services
    if name not in services.images:
        raise NotFound(f"there is no image {name!r}", hint="khantui images lists them")
    return _view(call, services.images[name], services.missing().get(name, ""), await services.held_images())


def _view(
    call: Call, image: Image, reason: str, held: Mapping[str, HeldImage], record: RegisteredImage | None = None
) -> ImageView:
    services = call.services
    record = record or services.images.registered(image.name)
    container = reference(image, services.registry, services.image_version)
    there = held.get(container)
    executors = [name for name, can in (("sandbox", image.tools), ("kubernetes", container)) if can]
    return ImageView(
        name=image.name,
        description=image.description,
        available=not reason,
        reason=reason,
        interpreter=image.interpreter,
        suffix=image.suffix,
        container=container,
        tools=image.tools,
        holds=image.holds,
        executors=tuple(executors),
        digest=there.digest if there else container.partition("@")[2],
        size=there.size if there else None,
        registered=record.at if record else None,
        registered_by=record.by if record else "",
    )
