// The same request for a shell, for Python, for JavaScript.

import { toJson } from "./api.js";

const FILES = { edit: ["image", "mask"], variation: ["image"], generation: [] };

/** run: { kind, path, body }; base: the server's address. */
export function snippet(language, run, base, withKey) {
  return { curl, python, javascript }[language](run, base, withKey);
}

const quote = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
const json = JSON.stringify;
const FILES_HINT = { edit: "image.png and mask.png: saved by the links above", variation: "image.png: saved by the link above" };

function curl({ kind, path, body }, base, withKey) {
  const lines = [`curl -sS --fail-with-body ${base}${path}`];
  if (withKey) lines.push(`-H "authorization: Bearer $MASKSERVE_KEY"`);
  if (kind === "generation") lines.push("-H 'content-type: application/json'", `-d ${quote(toJson(body))}`);
  else {
    for (const name of FILES[kind]) lines.push(`-F ${name}=@${name}.png`);
    for (const [name, value] of Object.entries(body)) lines.push(`--form-string ${quote(`${name}=${value}`)}`);
  }
  const hint = FILES_HINT[kind] ? `# ${FILES_HINT[kind]}\n` : "";
  return `${hint}${lines.join(" \\\n  ")} |\n  python3 -c ${quote("import base64, json, sys; [open(f\"{i}.png\", \"wb\").write(base64.b64decode(d[\"b64_json\"])) for i, d in enumerate(json.load(sys.stdin)[\"data\"])]")}\n`;
}

const literal = (name, value) => (typeof value === "string" && name !== "seed" ? json(value) : String(value));

function python({ kind, body }, base, withKey) {
  const own = ["model", "prompt", "n"];
  const extra = Object.entries(body).filter(([name]) => !own.includes(name));
  const named = own.filter((name) => name in body && !(kind === "variation" && name === "prompt")).map((name) => `${name}=${literal(name, body[name])}`);
  if (kind === "variation" && body.prompt) extra.unshift(["prompt", body.prompt]);
  const files = FILES[kind].map((name) => `${name}=open("${name}.png", "rb")`);
  const call = { generation: "generate", edit: "edit", variation: "create_variation" }[kind];
  const key = withKey ? `os.environ["MASKSERVE_KEY"]` : `"not-needed"`;
  return `${FILES_HINT[kind] ? `# ${FILES_HINT[kind]}\n` : ""}import base64
${withKey ? "import os\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${base}/v1", api_key=${key})
result = client.images.${call}(
    ${[...named, ...files].join(", ")},
    extra_body={${extra.map(([name, value]) => `"${name}": ${literal(name, value)}`).join(", ")}},
)
for i, image in enumerate(result.data):
    open(f"{i}.png", "wb").write(base64.b64decode(image.b64_json))
`;
}

function javascript({ kind, path, body }, base, withKey) {
  const key = withKey ? `authorization: \`Bearer \${process.env.MASKSERVE_KEY}\`, ` : "";
  const tail = `if (!response.ok) throw new Error(await response.text());
const { data } = await response.json();
await Promise.all(data.map((image, i) => writeFile(\`\${i}.png\`, Buffer.from(image.b64_json, "base64"))));
`;
  if (kind === "generation") {
    return `import { writeFile } from "node:fs/promises";

const response = await fetch("${base}${path}", {
  method: "POST",
  headers: { ${key}"content-type": "application/json" },
  body: ${json(toJson(body))},
});
${tail}`;
  }
  const fields = Object.entries(body).map(([name, value]) => `form.append(${json(name)}, ${json(String(value))});`);
  const files = FILES[kind].map((name) => `form.append("${name}", new Blob([await readFile("${name}.png")]), "${name}.png");`);
  return `// ${FILES_HINT[kind]}
import { readFile, writeFile } from "node:fs/promises";

const form = new FormData();
${[...fields, ...files].join("\n")}
const response = await fetch("${base}${path}", { method: "POST", ${withKey ? `headers: { ${key.trim().replace(/,$/, "")} }, ` : ""}body: form });
${tail}`;
}
