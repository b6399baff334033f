// The same request for a shell, for Python, for JavaScript.

const FILES = { edit: ["image", "mask"], variation: ["image"], generation: [] };

/** run: { kind, path, body }; base: the server's address. */
export function snippet(language, run, base, withKey) {
  return { curl, python, javascript }[language](run, base, withKey);
}

const quote = (text) => `'${String(text).replaceAll("'", `'\\''`)}'`;
const raw = (value) => value?.rawJSON ?? value;
const json = (body, indent) => JSON.stringify(body, null, indent);

function curl({ kind, path, body }, base, withKey) {
  const lines = [`curl -s ${base}${path}`];
  if (withKey) lines.push(`-H "authorization: Bearer $MASKSERVE_KEY"`);
  if (kind === "generation") lines.push("-H 'content-type: application/json'", `-d ${quote(json(body))}`);
  else {
    for (const name of FILES[kind]) lines.push(`-F ${name}=@${name}.png`);
    for (const [name, value] of Object.entries(body)) lines.push(`-F ${quote(`${name}=${raw(value)}`)}`);
  }
  return `${lines.join(" \\\n  ")} |\n  python3 -c ${quote("import base64, json, sys; [open(f\"{i}.png\", \"wb\").write(base64.b64decode(d[\"b64_json\"])) for i, d in enumerate(json.load(sys.stdin)[\"data\"])]")}\n`;
}

const literal = (value) => (typeof value === "string" ? json(value) : String(raw(value)));

function python({ kind, body }, base, withKey) {
  const own = ["model", "prompt", "n"];
  const extra = Object.entries(body).filter(([name]) => !own.includes(name));
  const named = own.filter((name) => name in body && !(kind === "variation" && name === "prompt")).map((name) => `${name}=${literal(body[name])}`);
  if (kind === "variation" && body.prompt) extra.unshift(["prompt", body.prompt]);
  const files = FILES[kind].map((name) => `${name}=open("${name}.png", "rb")`);
  const call = { generation: "generate", edit: "edit", variation: "create_variation" }[kind];
  const key = withKey ? `os.environ["MASKSERVE_KEY"]` : `"not-needed"`;
  return `import base64
${withKey ? "import os\n" : ""}from openai import OpenAI

client = OpenAI(base_url="${base}/v1", api_key=${key})
result = client.images.${call}(
    ${[...named, ...files].join(", ")},
    extra_body={${extra.map(([name, value]) => `"${name}": ${literal(value)}`).join(", ")}},
)
for i, image in enumerate(result.data):
    open(f"{i}.png", "wb").write(base64.b64decode(image.b64_json))
`;
}

function javascript({ kind, path, body }, base, withKey) {
  const key = withKey ? `authorization: \`Bearer \${process.env.MASKSERVE_KEY}\`, ` : "";
  const tail = `const { data } = await response.json();
await Promise.all(data.map((image, i) => writeFile(\`\${i}.png\`, Buffer.from(image.b64_json, "base64"))));
`;
  if (kind === "generation") {
    return `import { writeFile } from "node:fs/promises";

const response = await fetch("${base}${path}", {
  method: "POST",
  headers: { ${key}"content-type": "application/json" },
  body: JSON.stringify(${json(body)}),
});
${tail}`;
  }
  const fields = Object.entries(body).map(([name, value]) => `form.append(${json(name)}, ${json(String(raw(value)))});`);
  const files = FILES[kind].map((name) => `form.append("${name}", new Blob([await readFile("${name}.png")]), "${name}.png");`);
  return `import { readFile, writeFile } from "node:fs/promises";

const form = new FormData();
${[...fields, ...files].join("\n")}
const response = await fetch("${base}${path}", { method: "POST", ${withKey ? `headers: { ${key.trim().replace(/,$/, "")} }, ` : ""}body: form });
${tail}`;
}
