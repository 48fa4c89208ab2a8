// The encoder by LiteRT, in a worker. What the runtime prints of itself is not shown.

export async function encoder(base) {
  const shown = {warn: console.warn, info: console.info};
  const nothing = () => {};
  Object.assign(console, {warn: nothing, info: nothing});
  try {
    const {loadLiteRt, loadAndCompile, Tensor} = await import(new URL("runtime/litert.js", base).href);
    const locateFile = (name) => new URL(`runtime/${name}`, base).href;
    self.Module = {print: nothing, printErr: nothing, locateFile};
    const [, model] = await Promise.all([
      loadLiteRt(new URL("runtime/", base).href),
      fetch(new URL("encoder.tflite", base)).then((answer) => answer.arrayBuffer()),
    ]);
    const compiled = await loadAndCompile(new Uint8Array(model), {accelerator: "wasm"});
    return async (mel, shape) => {
      const given = new Tensor(mel, shape), [found] = await compiled.run([given]);
      const vector = Float32Array.from(await found.data());
      given.delete();
      found.delete();
      return vector;
    };
  } finally {
    Object.assign(console, shown);
  }
}
