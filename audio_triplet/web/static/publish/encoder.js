// The encoder by LiteRT, in a worker: by WebAssembly, with threads where the host's headers allow;
// then by WebGPU where there is one and it gives the same. What the runtime prints is not shown.
import {bytesOf, packedOf} from "./loading.js";

const SAME = 0.99999;  // cosine that WebGPU's embedding must have with WebAssembly's

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

function runner(compiled, Tensor) {
  return async (mel, shape) => {
    const given = new Tensor(mel, shape), [found] = await compiled.run([given]);
    const vector = Float32Array.from(await found.data());
    given.delete();
    found.delete();
    return vector;
  };
}

// By WebGPU; null where there is none, or where it does not give the same.
async function byGraphics(lib, model, plain, shape) {
  const adapter = await navigator.gpu?.requestAdapter({powerPreference: "high-performance"});
  if (!adapter || (adapter.info ?? adapter).isFallbackAdapter) return null;
  try {
    const compiled = await lib.loadAndCompile(model, {accelerator: "webgpu", gpuOptions: {precision: "fp32"}});
    const embed = runner(compiled, lib.Tensor), probe = Float32Array.from({length: shape[1] * shape[2]}, (_, n) => Math.sin(n * n / 7) * 2 - 2);
    const [ours, theirs] = [await plain(probe, shape), await embed(probe, shape)];
    const cosine = ours.reduce((sum, value, n) => sum + value * theirs[n], 0) / Math.hypot(...ours) / Math.hypot(...theirs);
    return cosine >= SAME ? embed : null;
  } catch {
    return null;
  }
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
      const embed = await byGraphics(lib, model, plain, shape);
      if (embed) Object.assign(found, {embed, served: "WebGPU"});
      return found.served;
    });
    return found;
  });
}
