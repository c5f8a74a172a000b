// The Khronos validator over a GLB: {"path"} on stdin, its report on stdout.
import { readFileSync } from "node:fs";
import validator from "gltf-validator";

const { path } = JSON.parse(readFileSync(0, "utf8"));
const report = await validator.validateBytes(new Uint8Array(readFileSync(path)), {
  maxIssues: 0,
  externalResourceFunction: (uri) => Promise.reject(`the file points outside itself, to ${uri}`),
});
process.stdout.write(JSON.stringify(report));
