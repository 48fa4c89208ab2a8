// What the page knows of the archive, what it asks the worker for, and what that costs.

const worker = new Worker(new URL("./worker.js", import.meta.url));
const waiting = new Map();
let last = 0;

export const library = {info: null, filter: () => ({})};

worker.onmessage = ({data: {id, answer, error, seconds, cost}}) => {
  const {resolve, reject} = waiting.get(id);
  waiting.delete(id);
  if (error === undefined) resolve({answer, seconds, cost});
  else reject(new Error(error));
};

export const failed = (action) => {
  worker.onerror = (event) => action(`The search cannot be loaded: ${event.message ?? "its files are not here"}.`);
};

export function ask(action, given = {}, transferred = []) {
  return new Promise((resolve, reject) => {
    waiting.set(++last, {resolve, reject});
    worker.postMessage({id: last, action, given}, transferred);
  });
}

export const megabytes = (bytes) => `${(bytes / 1e6).toFixed(bytes < 1e6 ? 2 : 1)} MB`;
