// The encoder by LiteRT, in a worker: by WebAssembly, with threads where the host's headers allow;
// then by WebGPU where there is one and it gives the same. What the runtime prints is not shown.
import {bytesOf, packedOf} from "./loading.js";

const SAME = 0.99999;  // cosine that WebGPU's embedding must have with WebAssembly's
const TURNS = 3, HOPELESS = 4;  // timings; times that WebAssembly takes

const nothing = () => {};

// Which of the runtime's builds this browser runs.
async function build(supportsFeature) {
  if (!await supportsFeature("relaxedSimd")) return "litert_wasm_compat_internal";
  const isShared = self.crossOriginIsolated && navigator.hardwareConcurrency > 1 && await supportsFeature("threads");
  return isShared ? "litert_wasm_threaded_internal" : "litert_wasm_internal";
}

async function quietly(action) {
  const shown = {warn: console.warn, info: console.info, log: console.log};
  Object.assign(console, {warn: nothing, info: nothing, log: nothing});
  try {
    return await action();
  } finally {
    Object.assign(console, shown);
  }
}

// The model has no norm, which WebGPU does not know.
function runner(compiled, Tensor) {
  return async (mel, shape) => {
    const given = new Tensor(mel, shape), [found] = await compiled.run([given]);
    const vector = Float32Array.from(await found.data()), norm = Math.max(Math.hypot(...vector), 1e-6);
    given.delete();
    found.delete();
    return vector.map((value) => value / norm);
  };
}

// What speaks against another way to embed: that it gives something else than the plain one, or takes
// longer; null: nothing. The first run does not count, in which it warms up.
export async function against(way, plain, probe, now = () => performance.now()) {
  const [ours, theirs] = [await plain(probe), await way(probe)], times = [0, 0];
  if (!(ours.reduce((sum, value, n) => sum + value * theirs[n], 0) >= SAME)) return "gives something else";
  for (let turn = 0; turn < TURNS && times[1] <= HOPELESS * times[0]; turn++) {
    for (const [n, run] of [plain, way].entries()) {
      const begin = now();
      await run(probe);
      times[n] += now() - begin;
    }
  }
  return times[1] < times[0] ? null : "is slower";
}

// {embed(mel, shape), scripts, served}: `served` says by what, and `faster()` tries WebGPU; `scripts`:
// the runtime's files that were taken.
export async function encoder(base) {
  return quietly(async () => {
    const lib = await import(new URL("runtime/litert.js", base).href);
    const name = await build(lib.supportsFeature);
    const script = new URL(`runtime/${name}.js`, base).href;
    const [wasmBinary, model] = await Promise.all([
      packedOf(`runtime/${name}.wasm.gz`, base), bytesOf("encoder.tflite", base).then((bytes) => new Uint8Array(bytes)),
    ]);
    self.Module = {print: nothing, printErr: nothing, wasmBinary, mainScriptUrlOrBlob: script};
    const runtime = await lib.loadLiteRt(script);
    const threads = name.includes("threaded") ? runtime.liteRtWasm.getThreadCount() : 1;
    const plain = runner(await lib.loadAndCompile(model, {accelerator: "wasm"}), lib.Tensor);
    const scripts = ["runtime/litert.js", "runtime/wasm_utils.js", `runtime/${name}.js`];
    const found = {embed: plain, scripts, served: `WebAssembly, ${threads === 1 ? "one thread" : `${threads} threads`}`};
    found.faster = (shape) => quietly(async () => {
      if (await navigator.gpu?.requestAdapter().catch(() => null)) await tryGraphics(lib, model, plain, shape, found);
      return found.served;
    });
    return found;
  });
}

// Lets WebGPU embed where it is better; where it fails, then or later, WebAssembly goes on.
async function tryGraphics(lib, model, plain, shape, found) {
  const byPlain = found.served, probe = Float32Array.from({length: shape[1] * shape[2]}, (_, n) => Math.sin(n * n / 7) * 2 - 2);
  const without = (why) => Object.assign(found, {embed: plain, served: `${byPlain}; WebGPU ${why} here`});
  try {
    const way = runner(await lib.loadAndCompile(model, {accelerator: "webgpu", gpuOptions: {precision: "fp32"}}), lib.Tensor);
    const flaw = await against((mel) => way(mel, shape), (mel) => plain(mel, shape), probe);
    if (flaw) return without(flaw);
    const embed = (...given) => way(...given).catch(() => without("fails").embed(...given));
    return Object.assign(found, {embed, served: "WebGPU"});
  } catch {
    return without("fails");
  }
}
