"""From a parsed request to a job for the dispatcher: model, task, clips, sampling and length, all checked."""

import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256

from models.catalogue import Entry
from models.decoder import GenerationRequest
from models.spec import ClipTask, DecoderSpec, Sampling, Task
from service.dispatch.base import Known, Terms
from service.http.errors import invalid
from service.http.makers import Maker
from service.http.making import Job
from service.http.manner import DRAWN_BITS
from service.http.notes import note_of
from service.http.results import Result
from service.http.sampling import sampling_for
from service.http.video_inputs import Clip, clip_for, clip_of, cut_for, mask_for
from service.http.video_medium import VIDEO, packed_keep
from service.http.video_output import KeepClip, VideoOutput, footage_of, output_for
from service.http.video_requests import VideoEditFields, VideoFields, VideoOptions, VideoRemix
from service.http.video_shots import fps_for, shot_for

NAMES: Mapping[Task, str] = {"generate": "video_generation", "edit": "video_edit"}
Files = Mapping[str, list[bytes]]


@dataclass(frozen=True)
class VideoMaker(Maker):
    """Videos."""

    async def creation(self, body: VideoFields, files: Files) -> Job:
        result = await self._named(body.video_id)
        entry = self.entry(body.model or (result.model if result else None), "video")
        spec, sampling = entry.spec, sampling_for(entry.spec, body)
        output_for(spec, body, sampling.num_inference_steps, 0, 1.0)  # complain about words before decoding clips
        reference = await self._clip(spec, files.get("input_reference", []), result, "input_reference")
        end = await clip_for(self.services, spec, files.get("end_reference", []), "end_reference")
        shot = shot_for(spec, body, reference, end)
        request = replace(
            self._request("generate", entry, body, sampling, shot.frames, shot.task), past=shot.past, future=shot.future
        )
        output = output_for(spec, body, sampling.num_inference_steps, shot.delivered, shot.fps)
        return self._job(entry, body, request, replace(output, keep=shot.keep), files)

    async def edit(self, body: VideoEditFields, files: Files) -> Job:
        result = await self._named(body.video_id)
        entry = self.entry(body.model or (result.model if result else None), "video")
        spec, sampling = entry.spec, sampling_for(entry.spec, body)
        self.count("edit", entry, body)
        output_for(spec, body, sampling.num_inference_steps, 0, 1.0)
        clip = await self._clip(spec, files.get("video", []), result, "video")
        if clip is None:
            raise invalid("Missing required parameter: video.", "video", "missing_required_parameter")
        masks = files.get("mask", [])
        if len(masks) > 1:
            raise invalid("mask was given twice.", "mask")
        mask = await mask_for(self.services, masks[0] if masks else None, body.ranges, clip.frames)
        cut = cut_for(spec, mask)
        here = slice(cut.begin, cut.end)
        before, behind = clip.frames[: cut.begin], clip.frames[cut.end :]
        footage = footage_of(spec)
        request = replace(
            self._request("edit", entry, body, sampling, cut.end - cut.begin, cut.task),
            past=before[-footage.past :] if cut.task in ("prediction", "interpolation") else None,
            future=behind[: footage.future] if cut.task in ("past", "interpolation") else None,
            image=clip.frames[here],
            mask=mask[here],
        )
        fps = fps_for(body, footage, clip)
        keep = KeepClip(before, behind, clip.frames[here], mask[here], last_first=cut.task == "past")
        output = output_for(spec, body, sampling.num_inference_steps, len(clip.frames), fps)
        return self._job(entry, body, request, replace(output, keep=keep), files)

    async def remix(self, known: Known, body: VideoRemix) -> Job:
        """The same request with another seed."""
        job = await self.services.kind_of(known).job_of(known)
        drawn = self.manner.seed()
        drawn = secrets.randbits(DRAWN_BITS) if drawn is None else drawn
        request = replace(known.ticket.request, seed=drawn if body.seed is None else body.seed)
        ticket = replace(known.ticket, id=self.manner.id, request=request, deadline=None, states=(), progress=True)
        assert isinstance(job.output, VideoOutput)
        output = replace(
            job.output,
            prompt=body.prompt or job.output.prompt,
            remixed_from=known.ticket.id.replace("req_", "video_"),
        )
        self.note(request, ticket.model)
        digest = self.manner.digest("remix", known.ticket.id, body.model_dump())
        made = replace(
            job,
            ticket=ticket,
            output=output,
            base=self.manner.base,
            terms=Terms(kept=True, listed=True, body=digest),
            source=None if output.keep is None else packed_keep(output.keep),
        )
        return replace(made, terms=replace(made.terms, note=note_of(made)))

    async def _named(self, id: str | None) -> Result | None:
        if id is None:
            return None
        name = f"vid_{id.removeprefix('video_')}_0" if id.startswith("video_") else id
        return await self.result(VIDEO.prefix, name, "video_id", "video")

    async def _clip(self, spec: DecoderSpec, files: list[bytes], result: Result | None, param: str) -> Clip | None:
        if result is None:
            return await clip_for(self.services, spec, files, param)
        if files:
            raise invalid(f"Give either {param} or video_id.", "video_id")
        return clip_of(spec, result)

    def _request(
        self, task: Task, entry: Entry, body: VideoOptions, sampling: Sampling, frames: int, clip_task: ClipTask
    ) -> GenerationRequest:
        blocks = footage_of(entry.spec).blocks(frames)
        if sampling.block_steps and len(sampling.block_steps) != blocks:
            raise invalid(f"{blocks} blocks are made, block_steps are {len(sampling.block_steps)}.", "block_steps")
        return GenerationRequest(
            task=task,
            condition=None,
            sampling=sampling,
            seed=self.seed(body),
            n=self.count(task, entry, body),
            frames=frames,
            clip_task=clip_task,
            partials=blocks - 1 if body.stream and body.partial_video is None else body.partials,
        )

    def _job(
        self, entry: Entry, body: VideoOptions, request: GenerationRequest, output: VideoOutput, files: Files
    ) -> Job:
        self.note(request, entry.spec.id)
        digest = self.manner.digest(
            [request.task, request.clip_task, request.frames, body.seed],
            asdict(request.sampling),
            [entry.spec.id, output.format, output.fps, output.size, output.frames],
            [getattr(body, name, None) for name in ("video_id", "ranges", "include_input")],
            {name: [sha256(file).digest() for file in parts] for name, parts in sorted(files.items())},
        )
        keeps = self.manner.kept and output.keep is not None
        job = Job(
            medium=VIDEO,
            ticket=self.ticket(request, entry.spec.id, body),
            spec=entry.spec,
            output=output,
            understood=None,
            safety_identifier=body.safety_identifier or body.user,
            name=NAMES[request.task],
            base=self.manner.base,
            delivery="url" if self.manner.later else "b64_json",
            terms=self.terms(body, digest),
            source=packed_keep(output.keep) if keeps and output.keep is not None else None,
        )
        return replace(job, terms=replace(job.terms, note=note_of(job))) if job.terms.kept else job
