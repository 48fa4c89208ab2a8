// Keeps what a page has loaded, for a time without a network: then `service.js` answers with it. Only
// scripts are asked for again, which browsers have at hand.

const nameOf = (base, site) => `archive ${base.pathname} ${site}`;
let waiting = globalThis.caches ? [] : null, cache = null;

const stored = (address, bytes) => cache.put(address, new Response(bytes)).catch(() => {});  // there may be no room

// A file that came: it is kept as soon as there is a place.
export function came(address, bytes) {
  if (cache) stored(address, bytes);
  else waiting?.push([address, bytes]);
}

// Keeps what came and will come, and files by name, of a site; what was kept of an earlier one goes.
// Without a site nothing is kept.
export async function begin(base, site, names = []) {
  const came = waiting;
  waiting = null;
  if (!site) return;
  const name = nameOf(base, site), earlier = (await caches.keys()).filter((one) => one.startsWith(nameOf(base, "")) && one !== name);
  await Promise.all(earlier.map((one) => caches.delete(one)));
  const opened = await caches.open(name);
  await opened.addAll(names.map((one) => new URL(one, base).href));
  cache = opened;
  for (const [address, bytes] of came) await stored(address, bytes);
}
