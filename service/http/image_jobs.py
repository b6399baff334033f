"""From a parsed request to a job for the dispatcher: model, prompt, sampling, picture and mask, all checked."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from models.catalogue import Entry
from models.decoder import GenerationRequest
from models.family import PromptError, Understood
from models.spec import Task
from service.dispatch.base import Terms
from service.engine.request import Priority, Ticket
from service.http.context import Context
from service.http.errors import ApiError, invalid, model_not_found
from service.http.image_inputs import Files, Source, source_for
from service.http.image_medium import IMAGE
from service.http.image_output import ImageOutput, Keep, output_for
from service.http.image_requests import (
    ImageEditFields,
    ImageGenerationRequest,
    ImageOptions,
    ImageVariationRequest,
)
from service.http.image_sampling import plan_for, sampling_for
from service.http.making import Job
from service.http.manner import DRAWN_BITS, Manner
from service.http.notes import note_of
from service.http.results import Result
from service.http.services import Services
from service.media.encode import encode
from service.packed import pack

NOTHING = Understood(None, "")
NO_FILES = Files([])
NAMES: Mapping[Task, str] = {
    "generate": "image_generation",
    "edit": "image_edit",
    "variation": "image_generation",
}


@dataclass(frozen=True)
class JobMaker:
    """Makes the job of one request. Every method raises ApiError 4xx that names the field."""

    services: Services
    context: Context
    manner: Manner

    def generation(self, body: ImageGenerationRequest) -> Job:
        entry = self._entry(body.model)
        return self._job("generate", entry, body, self._understand(entry, body.prompt))

    async def edit(self, body: ImageEditFields, files: Files) -> Job:
        result = await self._result(body.image_id)
        entry = self._entry(body.model or (result.model if result else None))
        understood = self._understand(entry, body.prompt)
        self._job("edit", entry, body, understood)  # complain about words before decoding pictures
        source = await source_for(self.services, entry.spec, files, result)
        return self._job("edit", entry, body, understood, source, files=files, result=result)

    async def variation(self, body: ImageVariationRequest, files: Files) -> Job:
        result = await self._result(body.image_id)
        entry = self._entry(body.model or (result.model if result else None))
        understood = self._variation_condition(entry, body, result)
        self._job("variation", entry, body, understood)
        source = await source_for(self.services, entry.spec, files, result)
        return self._job("variation", entry, body, understood, source, body.strength, files)

    def _job(
        self,
        task: Task,
        entry: Entry,
        body: ImageOptions,
        understood: Understood,
        source: Source | None = None,
        strength: float | None = None,
        files: Files = NO_FILES,
        result: Result | None = None,
    ) -> Job:
        spec, settings = entry.spec, self.services.settings
        if task not in spec.tasks:
            raise invalid(f"{spec.id} cannot do this: it knows {', '.join(sorted(spec.tasks))}.", "model")
        n = body.n or 1
        if n > settings.max_n:
            raise invalid(f"n is at most {settings.max_n}.", "n")
        sampling = sampling_for(spec, body)
        plan = plan_for(spec, body)
        if plan is not None and task == "generate" and plan.total != spec.length:
            raise invalid(f"The plan reveals {plan.total} of {spec.length} tokens.", "plan")
        keep = None
        if source is not None and task == "edit":
            keep = Keep(source.pixels, source.mask)
        steps = plan.steps if plan is not None else sampling.num_inference_steps
        size = source.size if source is not None else spec.size
        output = output_for(spec, body, steps, settings.resample, size, keep, self.manner.later)
        request = GenerationRequest(
            task=task,
            condition=understood.condition,
            sampling=sampling,
            seed=self._seed(body),
            n=n,
            plan=plan,
            image=source.image if source is not None else None,
            mask=source.image_mask if source is not None and task == "edit" else None,
            tokens=source.tokens if source is not None else None,
            strength=0.5 if strength is None else strength,
            partials=steps - 1 if body.stream and body.progress else body.partial_images or 0,
        )
        self.context.model = spec.id
        self.context.log |= {"model": spec.id, "seed": request.seed, "n": n}
        if self.manner.kept:
            self.context.log["job"] = self.manner.id
        job = Job(
            medium=IMAGE,
            ticket=self._ticket(request, spec.id, body),
            spec=spec,
            output=output,
            understood=understood.revised or None,
            safety_identifier=body.safety_identifier or body.user,
            name=NAMES[task],
            base=self.manner.base,
            delivery=body.response_format or ("url" if self.manner.later else "b64_json"),
            terms=self._terms(body, request, output, files),
            source=self._source(files, result) if keep is not None else None,
        )
        return replace(job, terms=replace(job.terms, note=note_of(job))) if job.terms.kept else job

    def _seed(self, body: ImageOptions) -> int:
        drawn = self.manner.seed()
        given = drawn if body.seed is None else body.seed
        return secrets.randbits(DRAWN_BITS) if given is None else given

    def _terms(self, body: ImageOptions, request: GenerationRequest, output: ImageOutput, files: Files) -> Terms:
        return Terms(
            kept=self.manner.kept,
            listed=self.manner.later,
            body=self._digest(body, request, output, files),
            webhook=self.services.webhooks.checked(body.webhook, self.manner.later),
        )

    def _digest(self, body: ImageOptions, request: GenerationRequest, output: ImageOutput, files: Files) -> str:
        """Of what decides the result, however it was said and in which form it is wanted."""
        return self.manner.digest(
            [request.task, request.condition, request.n, request.strength, str(request.plan), body.seed],
            asdict(request.sampling),
            [self.context.model, output.format, output.compression, *output.size],
            getattr(body, "image_id", None),
            [sha256(file).digest() for file in files.images],
            None if files.mask is None else sha256(files.mask).digest(),
        )

    def _source(self, files: Files, result: Result | None) -> bytes | None:
        if not self.manner.kept:
            return None
        files = files if result is None else Files([encode(result.media)], files.mask)
        return pack([files.images, files.mask])

    def _ticket(self, request: GenerationRequest, model: str, body: ImageOptions) -> Ticket:
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

    def _entry(self, model: str | None) -> Entry:
        """The named model, else the first image model."""
        entries = self.services.dispatcher.catalogue.entries
        images = {id: entry for id, entry in entries.items() if entry.spec.modality == "image"}
        entry = images.get(model) if model is not None else next(iter(images.values()), None)
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

    def _understand(self, entry: Entry, prompt: str) -> Understood:
        if self.services.settings.log_prompts:
            self.context.log["prompt"] = prompt
        try:
            return entry.family.understand(entry.spec, prompt)
        except PromptError as error:
            raise invalid(str(error), "prompt") from None

    def _variation_condition(self, entry: Entry, body: ImageVariationRequest, result: Result | None) -> Understood:
        """The prompt's, else that of the picture it varies, else none."""
        if body.prompt is not None:
            return self._understand(entry, body.prompt)
        return NOTHING if result is None or result.model != entry.spec.id else result.understood

    async def _result(self, id: str | None) -> Result | None:
        if id is None:
            return None
        result = await self.services.results.result(IMAGE.prefix, id, self.context.owner)
        if result is None:
            message = "There is no such result (any more); upload the picture instead."
            raise ApiError(404, message, "image_not_found", "image_id")
        return result
