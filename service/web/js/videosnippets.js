// The same request for video, for a shell, for Python, for JavaScript.

const quote = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
const json = JSON.stringify;

/** The files of a run by their names: { "input_reference-0.mkv": File }. */
export function filesOf(run) {
  return Object.fromEntries(named(run).map(({ name, file }) => [name, file]));
}

export function videoSnippet(language, run, base, withKey) {
  return { curl, python, javascript }[language](run, base, withKey);
}

function named(run) {
  return Object.entries(run.references).flatMap(([part, files]) =>
    files.map((file, at) => ({ part, file, name: `${part}${files.length > 1 ? `-${at}` : ""}.${file.name?.match(/\.([a-z0-9]{1,5})$/i)?.[1] ?? "zip"}` })),
  );
}

const hint = (files) => (files.length ? `# ${files.map(({ name }) => name).join(", ")}: saved by the links above\n` : "");
const comment = (text) => text.replace(/^# /, "// ");

function curl(run, base, withKey) {
  const files = named(run), key = withKey ? ` -H "authorization: Bearer $MASKSERVE_KEY"` : "";
  const parts = [
    ...files.map(({ part, name }) => `-F ${part}=@${name}`),
    ...Object.entries(run.body).map(([name, value]) => `--form-string ${quote(`${name}=${value}`)}`),
  ];
  return `${hint(files)}id=$(curl -sS --fail-with-body ${base}${run.path}${key} \\
  ${parts.join(" \\\n  ")} |
  python3 -c 'import json, sys; print(json.load(sys.stdin)["id"])')
until curl -sS ${base}/v1/videos/$id${key} | grep -qE '"status":"(completed|failed)"'; do sleep 1; done
curl -sS --fail-with-body ${base}/v1/videos/$id/content${key} -o video.mp4
`;
}

const literal = (value) => (typeof value === "boolean" ? (value ? "True" : "False") : json(value));

function python(run, base, withKey) {
  const files = named(run), { model, seed, ...more } = run.body;
  const key = withKey ? `, headers={"authorization": f"Bearer {os.environ['MASKSERVE_KEY']}"}` : "";
  const fields = [["model", json(model)], ["seed", seed], ...Object.entries(more).map(([name, value]) => [name, literal(value)])];
  const data = `{${fields.map(([name, value]) => `"${name}": ${value}`).join(", ")}}`;
  const parts = files.length ? `, files=[${files.map(({ part, name }) => `("${part}", open("${name}", "rb"))`).join(", ")}]` : "";
  return `${hint(files)}import time
${withKey ? "import os\n" : ""}import httpx

server = httpx.Client(base_url="${base}", timeout=60${key})
answer = server.post("${run.path}", ${files.length ? "data" : "json"}=${data}${parts})
answer.raise_for_status()
video = answer.json()
while video["status"] not in ("completed", "failed"):
    time.sleep(1)
    video = server.get(f"/v1/videos/{video['id']}").json()
open("video.mp4", "wb").write(server.get(f"/v1/videos/{video['id']}/content").raise_for_status().content)
`;
}

function javascript(run, base, withKey) {
  const files = named(run), headers = withKey ? `{ authorization: \`Bearer \${process.env.MASKSERVE_KEY}\` }` : "{}";
  const fields = Object.entries(run.body).map(([name, value]) => `form.append(${json(name)}, ${json(String(value))});`);
  const parts = files.map(({ part, name }) => `form.append(${json(part)}, new Blob([await readFile(${json(name)})]), ${json(name)});`);
  return `${comment(hint(files))}import { readFile, writeFile } from "node:fs/promises";

const headers = ${headers};
const form = new FormData();
${[...fields, ...parts].join("\n")}
const answer = await fetch("${base}${run.path}", { method: "POST", headers, body: form });
if (!answer.ok) throw new Error(await answer.text());
let video = await answer.json();
while (!["completed", "failed"].includes(video.status)) {
  await new Promise((go) => setTimeout(go, 1000));
  video = await (await fetch(\`${base}/v1/videos/\${video.id}\`, { headers })).json();
}
const content = await fetch(\`${base}/v1/videos/\${video.id}/content\`, { headers });
await writeFile("video.mp4", Buffer.from(await content.arrayBuffer()));
`;
}
