// Runs a WASI program as if it were a native one: node --no-warnings tools/run_wasm.mjs PROGRAM.wasm ARGUMENT...
// It gets the arguments and all files, by their absolute names, and this process ends with its exit status.
import { readFile } from "node:fs/promises";
import { WASI } from "node:wasi";

const [program, ...args] = process.argv.slice(2);
const wasi = new WASI({
  version: "preview1",
  args: [program, ...args],
  preopens: { "/": "/" },
  returnOnExit: true,
});
const { instance } = await WebAssembly.instantiate(await readFile(program), {
  wasi_snapshot_preview1: wasi.wasiImport,
});
process.exitCode = wasi.start(instance);
