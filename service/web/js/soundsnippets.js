// The same request for sound, for a shell, for Python, for JavaScript.

import { toJson } from "./api.js";

const quote = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
const json = JSON.stringify;
const HINT = "sound.wav: saved by the link above";

export function soundSnippet(language, run, base, withKey) {
  const body = { ...run.body };
  return { curl, python, javascript }[language](run, body, base, withKey);
}

function curl({ kind, path }, body, base, withKey) {
  const lines = [`curl -sS --fail-with-body ${base}${path}`];
  if (withKey) lines.push(`-H "authorization: Bearer $MASKSERVE_KEY"`);
  if (kind === "generation") lines.push("-H 'content-type: application/json'", `-d ${quote(toJson(body))}`);
  else lines.push("-F audio=@sound.wav", ...Object.entries(body).map(([name, value]) => `--form-string ${quote(`${name}=${value}`)}`));
  const save = `import base64, json, sys; [open(f"{i}.wav", "wb").write(base64.b64decode(d["b64_json"])) for i, d in enumerate(json.load(sys.stdin)["data"])]`;
  return `${kind === "generation" ? "" : `# ${HINT}\n`}${lines.join(" \\\n  ")} |\n  python3 -c ${quote(save)}\n`;
}

function python({ kind, path }, body, base, withKey) {
  const key = withKey ? `, headers={"authorization": f"Bearer {os.environ['MASKSERVE_KEY']}"}` : "";
  const said = toJson(body).replaceAll(":true", ":True").replaceAll(":false", ":False");
  const send = kind === "generation" ? `json=${said}` : `data=${said}, files={"audio": open("sound.wav", "rb")}`;
  return `${kind === "generation" ? "" : `# ${HINT}\n`}import base64
${withKey ? "import os\n" : ""}import httpx

answer = httpx.post("${base}${path}", ${send}${key}, timeout=600)
answer.raise_for_status()
for i, sound in enumerate(answer.json()["data"]):
    open(f"{i}.wav", "wb").write(base64.b64decode(sound["b64_json"]))
`;
}

function javascript({ kind, path }, body, base, withKey) {
  const key = withKey ? `authorization: \`Bearer \${process.env.MASKSERVE_KEY}\`` : "";
  const tail = `if (!response.ok) throw new Error(await response.text());
const { data } = await response.json();
await Promise.all(data.map((sound, i) => writeFile(\`\${i}.wav\`, Buffer.from(sound.b64_json, "base64"))));
`;
  if (kind === "generation") {
    return `import { writeFile } from "node:fs/promises";

const response = await fetch("${base}${path}", {
  method: "POST",
  headers: { ${key && `${key}, `}"content-type": "application/json" },
  body: ${json(toJson(body))},
});
${tail}`;
  }
  const fields = Object.entries(body).map(([name, value]) => `form.append(${json(name)}, ${json(String(value))});`);
  return `// ${HINT}
import { readFile, writeFile } from "node:fs/promises";

const form = new FormData();
${fields.join("\n")}
form.append("audio", new Blob([await readFile("sound.wav")]), "sound.wav");
const response = await fetch("${base}${path}", { method: "POST", ${key && `headers: { ${key} }, `}body: form });
${tail}`;
}
