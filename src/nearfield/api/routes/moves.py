"""Moves: another generation beside the live one, filled, verified, switched to, taken back, given up."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from nearfield.api.answers import CollectionAnswer, collection_json
from nearfield.api.move_answers import (
    EstimateAnswer,
    GenerationsAnswer,
    GenerationShown,
    GenerationWithReport,
    LiveAnswer,
    VerificationAnswer,
    shadow_json,
    shown_json,
)
from nearfield.api.move_bodies import EstimateBody, MoveBody, ShadowBody, VerifyBody
from nearfield.api.reading import JsonRoute, json_response
from nearfield.api.state import Running
from nearfield.domain.moves import Gates
from nearfield.domain.moves_json import estimate_json, verification_json

router = APIRouter(route_class=JsonRoute, tags=["moves"])


@router.get("/v1/collections/{name}/generations", responses={200: {"model": GenerationsAnswer}})
async def list_generations(name: str, backend: Running) -> Response:
    """The live generation and those beside it, and how far each is."""
    return await json_response({"generations": [shown_json(one) for one in await backend.moves.generations(name)]})


@router.post("/v1/collections/{name}/generations", responses={202: {"model": GenerationShown}})
async def begin_move(name: str, body: MoveBody, backend: Running) -> Response:
    """Begin to fill a generation beside the live one, or go on with it, also after a restart.

    It is filled in the background and follows every write from then on; searches go on as they are.
    """
    made = await backend.moves.begin(name, body.wish())
    return await json_response(shown_json(await backend.moves.status(name, made.number)), status=202)


@router.post("/v1/collections/{name}/generations/estimate", responses={200: {"model": EstimateAnswer}})
async def estimate_move(name: str, body: EstimateBody, backend: Running) -> Response:
    """What a move would take, measured on a sample: time, memory, disk, and money where a price is given."""
    return await json_response(estimate_json(await backend.moves.estimate(name, body.wish(), price=body.price)))


@router.post("/v1/collections/{name}/generations/rollback", responses={200: {"model": LiveAnswer}})
async def roll_back(name: str, backend: Running) -> Response:
    """Go back to the generation that was live before, at once; it has followed every write since."""
    return await json_response({"generation": await backend.moves.rollback(name)})


@router.get("/v1/collections/{name}/generations/{number}", responses={200: {"model": GenerationWithReport}})
async def show_generation(name: str, number: int, backend: Running) -> Response:
    """One generation, how far it is, and what its last verification found."""
    shown = shown_json(await backend.moves.status(name, number))
    shadow = shadow_json(await backend.moving.shadowed(name, number))
    more = {"report": await backend.moves.report(name, number), "shadow": shadow}
    return await json_response(shown | more, large=True)


@router.post("/v1/collections/{name}/generations/{number}/shadow", status_code=204)
async def shadow_generation(name: str, number: int, body: ShadowBody, backend: Running) -> Response:
    """Make a share of the searches on this generation too, and count what differs: shown with the generation.

    Nobody waits for it. It ends when the generation goes live or is given up. The counts last as long as the process.
    """
    await backend.moving.shadow(name, number, body.share)
    return Response(status_code=204)


@router.post("/v1/collections/{name}/generations/{number}/verify", responses={200: {"model": VerificationAnswer}})
async def verify_generation(name: str, number: int, body: VerifyBody, backend: Running) -> Response:
    """Hold a generation against the store and beside the live one; it is ready where every gate holds.

    Waits until it has caught up. The answer comes when every question was asked of both, and is kept with it.
    """
    await backend.moves.caught_up(name, number)
    gates = Gates(body.min_recall, body.max_ndcg_drop, body.max_p95_ms)
    found = await backend.moving.verify(name, number, gates=gates, questions=body.questions)
    return await json_response(verification_json(found), large=True)


@router.post("/v1/collections/{name}/generations/{number}/switch", responses={200: {"model": CollectionAnswer}})
async def switch_generation(name: str, number: int, backend: Running) -> Response:
    """Let a ready generation take the place of the live one, which is kept for a rollback. No search fails."""
    return await json_response(collection_json(await backend.moves.switch(name, number)))


@router.delete("/v1/collections/{name}/generations/{number}", status_code=204)
async def drop_generation(name: str, number: int, backend: Running) -> Response:
    """Give up a generation beside the live one: abandon a move, or let go of what was kept for a rollback."""
    await backend.moves.drop(name, number)
    return Response(status_code=204)
