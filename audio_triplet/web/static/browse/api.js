// The API of `browse`, see docs/browse_api.md.
const token = new URLSearchParams(location.search).get("token") ?? "";

// Percent-encodes text; bytes of names that are no UTF-8 come as \udc80 … \udcff.
export function encoded(text) {
  return [...String(text)].map((char) => {
    const code = char.codePointAt(0);
    if (code >= 0xdc80 && code <= 0xdcff) return "%" + (code - 0xdc00).toString(16);
    return code >= 0xd800 && code <= 0xdfff ? "%EF%BF%BD" : encodeURIComponent(char);
  }).join("");
}

export function address(path, fields = {}) {
  const pairs = Object.entries(fields).filter(([, value]) => value !== undefined && value !== "");
  return path + "?" + pairs.map(([name, value]) => name + "=" + encoded(value)).join("&");
}

// An address that a player, a picture or a link can use: they cannot send headers.
export const served = (path, fields) => address(path, {...fields, token});

async function answer(response) {
  const found = await response.json();
  if (!response.ok) throw new Error(found.error);
  return found;
}

export const get = async (path, fields) =>
  answer(await fetch(address(path, fields), {headers: {"X-Token": token}}));

export async function post(path, content) {
  const isForm = content instanceof FormData;
  const headers = {"X-Token": token, ...(isForm ? {} : {"Content-Type": "application/json"})};
  return answer(await fetch(path, {method: "POST", headers, body: isForm ? content : JSON.stringify(content)}));
}

// Numbers as the server has them: an ArrayBuffer.
export async function bytes(path, fields) {
  const response = await fetch(address(path, fields), {headers: {"X-Token": token}});
  if (!response.ok) throw new Error((await response.json()).error);
  return response.arrayBuffer();
}
