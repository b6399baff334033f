"""From a parsed request to a job for the dispatcher: model, prompt, sampling, picture and mask, all checked."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from models.catalogue import Entry
from models.decoder import GenerationRequest
from models.family import Understood
from models.spec import Task
from service.http.errors import invalid
from service.http.image_inputs import Files, Source, source_for
from service.http.image_medium import IMAGE
from service.http.image_output import ImageOutput, Keep, output_for
from service.http.image_requests import (
    ImageEditFields,
    ImageGenerationRequest,
    ImageOptions,
    ImageVariationRequest,
)
from service.http.makers import Maker
from service.http.making import Job
from service.http.notes import note_of
from service.http.results import Result
from service.http.sampling import plan_for, sampling_for
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
class ImageMaker(Maker):
    """Pictures."""

    def generation(self, body: ImageGenerationRequest) -> Job:
        entry = self.entry(body.model, "image")
        return self._job("generate", entry, body, self.understand(entry, body.prompt))

    async def edit(self, body: ImageEditFields, files: Files) -> Job:
        result = await self.result(IMAGE.prefix, body.image_id, "image_id", "picture")
        entry = self.entry(body.model or (result.model if result else None), "image")
        understood = self.understand(entry, body.prompt)
        self._job("edit", entry, body, understood)  # complain about words before decoding pictures
        source = await source_for(self.services, entry.spec, files, result)
        return self._job("edit", entry, body, understood, source, files=files, result=result)

    async def variation(self, body: ImageVariationRequest, files: Files) -> Job:
        result = await self.result(IMAGE.prefix, body.image_id, "image_id", "picture")
        entry = self.entry(body.model or (result.model if result else None), "image")
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
        n = self.count(task, entry, body)
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
            seed=self.seed(body),
            n=n,
            plan=plan,
            image=source.image if source is not None else None,
            mask=source.image_mask if source is not None and task == "edit" else None,
            tokens=source.tokens if source is not None else None,
            strength=0.5 if strength is None else strength,
            partials=self.partials(body, steps),
        )
        self.note(request, spec.id)
        job = Job(
            medium=IMAGE,
            ticket=self.ticket(request, spec.id, body),
            spec=spec,
            output=output,
            understood=understood.revised or None,
            safety_identifier=body.safety_identifier or body.user,
            name=NAMES[task],
            base=self.manner.base,
            delivery=body.response_format or ("url" if self.manner.later else "b64_json"),
            terms=self.terms(body, self._digest(body, request, output, files)),
            source=self._source(files, result) if keep is not None else None,
        )
        return replace(job, terms=replace(job.terms, note=note_of(job))) if job.terms.kept else job

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

    def _variation_condition(self, entry: Entry, body: ImageVariationRequest, result: Result | None) -> Understood:
        """The prompt's, else that of the picture it varies, else none."""
        if body.prompt is not None:
            return self.understand(entry, body.prompt)
        return NOTHING if result is None or result.model != entry.spec.id else result.understood
