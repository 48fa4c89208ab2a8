// Colours of points and cells, as the four bytes of a picture's pixel.

export const pack = (red, green, blue) => (255 << 24 | blue << 16 | green << 8 | red) >>> 0;
export const css = (pixel) => `rgb(${pixel & 255} ${pixel >> 8 & 255} ${pixel >> 16 & 255})`;

// From #rgb, #rrggbb.
export function parsed(text) {
  const hex = text.trim().slice(1), full = hex.length === 3 ? [...hex].map((digit) => digit + digit).join("") : hex;
  const value = parseInt(full, 16);
  return pack(value >> 16 & 255, value >> 8 & 255, value & 255);
}

// A colour of the page's style sheet.
export const styled = (name) => parsed(getComputedStyle(document.documentElement).getPropertyValue(name));

export function hue(degrees, lightness = 0.58, saturation = 0.65) {
  const part = (shift) => {
    const k = (shift + degrees / 30) % 12, a = saturation * Math.min(lightness, 1 - lightness);
    return Math.round(255 * (lightness - a * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return pack(part(0), part(8), part(4));
}

// Viridis from its second tenth on, which is seen on dark and on light: one order of brightness, for every eye.
const STOPS = [[84, 62, 140], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]];
export const RAMP = Uint32Array.from({length: 256}, (_, place) => {
  const at = place / 255 * (STOPS.length - 1), first = Math.min(STOPS.length - 2, Math.floor(at)), part = at - first;
  return pack(...STOPS[first].map((from, channel) => Math.round(from + part * (STOPS[first + 1][channel] - from))));
});
export const ramp = (share) => RAMP[Math.max(0, Math.min(255, Math.round(255 * share)))];
