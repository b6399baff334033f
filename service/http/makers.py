"""From a parsed request to a job for the dispatcher: what is alike for all media."""

import secrets
from dataclasses import dataclass

from models.catalogue import Entry
from models.decoder import GenerationRequest
from models.family import PromptError, Understood
from models.spec import Modality, Task
from service.dispatch.base import Terms
from service.engine.request import Priority, Ticket
from service.http.context import Context
from service.http.errors import ApiError, invalid, model_not_found
from service.http.manner import DRAWN_BITS, Manner
from service.http.requests import MakingOptions
from service.http.results import Result
from service.http.services import Services


@dataclass(frozen=True)
class Maker:
    """Makes the job of one request. Every method raises ApiError 4xx that names the field."""

    services: Services
    context: Context
    manner: Manner

    def entry(self, model: str | None, modality: Modality) -> Entry:
        """The named model, else the first one of its kind."""
        entries = self.services.dispatcher.catalogue.entries
        mine = {id: entry for id, entry in entries.items() if entry.spec.modality == modality}
        entry = mine.get(model) if model is not None else next(iter(mine.values()), None)
        if entry is None:
            raise model_not_found(model or "(default)")
        if entry.spec.noncommercial and not self.services.settings.allow_noncommercial:
            raise ApiError(
                403,
                f"{entry.spec.id} has a non-commercial licence ({entry.spec.licence}), "
                "which this server does not serve.",
                "insufficient_scope",
                "model",
                "permission_error",
            )
        return entry

    def count(self, task: Task, entry: Entry, body: MakingOptions) -> int:
        """How many samples are made, of a task that the model knows."""
        spec, settings = entry.spec, self.services.settings
        if task not in spec.tasks:
            raise invalid(f"{spec.id} cannot do this: it knows {', '.join(sorted(spec.tasks))}.", "model")
        n = body.n or 1
        if n > settings.max_n:
            raise invalid(f"n is at most {settings.max_n}.", "n")
        return n

    def understand(self, entry: Entry, prompt: str) -> Understood:
        if self.services.settings.log_prompts:
            self.context.log["prompt"] = prompt
        try:
            return entry.family.understand(entry.spec, prompt)
        except PromptError as error:
            raise invalid(str(error), "prompt") from None

    async def result(self, prefix: str, id: str | None, param: str, noun: str) -> Result | None:
        if id is None:
            return None
        result = await self.services.results.result(prefix, id, self.context.owner)
        if result is None:
            message = f"There is no such result (any more); upload the {noun} instead."
            raise ApiError(404, message, f"{param.removesuffix('_id')}_not_found", param)
        return result

    def seed(self, body: MakingOptions) -> int:
        drawn = self.manner.seed()
        given = drawn if body.seed is None else body.seed
        return secrets.randbits(DRAWN_BITS) if given is None else given

    def terms(self, body: MakingOptions, digest: str) -> Terms:
        return Terms(
            kept=self.manner.kept,
            listed=self.manner.later,
            body=digest,
            webhook=self.services.webhooks.checked(body.webhook, self.manner.later),
        )

    def partials(self, body: MakingOptions, steps: int) -> int:
        """Previews of each sample."""
        return steps - 1 if body.stream and body.progress else body.partials

    def ticket(self, request: GenerationRequest, model: str, body: MakingOptions) -> Ticket:
        deadline = None
        if body.deadline_ms is not None:
            deadline = self.services.dispatcher.now() + body.deadline_ms / 1000
        return Ticket(
            id=self.manner.id,
            model=model,
            request=request,
            priority=Priority[(body.priority or "normal").upper()],
            deadline=deadline,
            allow_fewer_steps=deadline is not None if body.allow_fewer_steps is None else body.allow_fewer_steps,
            owner=self.context.owner,
            progress=self.manner.later or bool(body.stream and body.progress),
        )

    def note(self, request: GenerationRequest, model: str) -> None:
        """For the log line of this request."""
        self.context.model = model
        self.context.log |= {"model": model, "seed": request.seed, "n": request.n}
        if self.manner.kept:
            self.context.log["job"] = self.manner.id
