// What the entries take from where they run, so that no types of Node or of workers are needed to build.

declare module 'node:fs/promises' {
  export function readFile(path: URL): Promise<Uint8Array<ArrayBuffer>>;
}

declare module '*.wasm' {
  const module: WebAssembly.Module;
  export default module;
}
