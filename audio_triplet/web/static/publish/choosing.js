// Which moments are searched at all, and which word is meant: as `data.sound_filter` and
// `search.words` have it.

const DAY = 24 * 60;

// A pattern as Python's fnmatch reads it; it may begin at any folder. A plain word is looked for.
export function globbed(text) {
  const pattern = /[*?[]/.test(text) ? text : `*${text}*`;
  let source = "";
  for (let n = 0; n < pattern.length; n++) {
    const letter = pattern[n], close = letter === "[" ? pattern.indexOf("]", n + 2 + (pattern[n + 1] === "!")) : -1;
    if (letter === "*") source += ".*";
    else if (letter === "?") source += ".";
    else if (close > 0) {
      const inside = pattern.slice(n + 1, close).replace(/[\\\]^]/g, "\\$&");
      source += inside.startsWith("!") ? `[^${inside.slice(1)}]` : `[${inside}]`;
      n = close;
    } else source += letter.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
  }
  return new RegExp(`^(?:.*/)?${source}$`, "su");
}

// 4-7, 4:30-7, 22-4, several apart by commas or blanks → [[from, to]] in minutes.
export function ranges(text) {
  return text.split(/[\s,;]+/).filter(Boolean).map((range) => {
    const match = /^(\d{1,2})(?::(\d\d))?-(\d{1,2})(?::(\d\d))?$/.exec(range);
    const [begin, end] = match ? [60 * match[1] + Number(match[2] ?? 0), 60 * match[3] + Number(match[4] ?? 0)] : [0, 0];
    if (!match || begin >= DAY || end > DAY || begin === end || match[2] > 59 || match[4] > 59) {
      throw new Error(`${range}: write a range of hours such as 4-7, 4:30-7 or 22-4`);
    }
    return [begin, end];
  });
}

// Microseconds of the day at which a recording began, as its recorder showed; −1: not known.
export function clockOf(text) {
  const match = /T(\d\d):(\d\d):(\d\d)(\.\d+)?/.exec(text);
  return match ? Math.round(1e6 * (3600 * match[1] + 60 * match[2] + Number(match[3]) + Number(match[4] ?? 0))) : -1;
}

export const minuteAt = (clock, seconds) =>
  (clock < 0 ? -1 : Math.floor((clock + Math.round(1e6 * seconds)) / 60e6) % DAY);

// Uint8Array, 1 for each vector that may be found; null: all.
export function kept(archive, {path = "", hours = ""}) {
  const times = ranges(hours), pattern = path ? globbed(path) : null;
  if (!pattern && !times.length) return null;
  const {owners, spans, info: {files, segments}} = archive;
  const takes = files.map(({name}) => !pattern || pattern.test(name)), clocks = files.map((file) => clockOf(file.recorded_at));
  return Uint8Array.from(owners, (owner, n) => {
    const file = segments[owner][0];
    if (!takes[file]) return 0;
    if (!times.length) return 1;
    const minute = minuteAt(clocks[file], spans[2 * n]);
    return minute >= 0 && times.some(([begin, end]) =>
      (begin < end ? minute >= begin && minute < end : minute >= begin || minute < end)) ? 1 : 0;
  });
}

const PLURALS = [["ies", "y"], ["sses", "ss"], ["xes", "x"], ["ches", "ch"], ["shes", "sh"], ["s", ""]];

export const plain = (name) => name.replace(/[_-]/g, " ").toLowerCase().split(/\s+/).filter(Boolean).join(" ");

export function singular(name) {
  const word = plain(name);
  for (const [plural, one] of PLURALS) {
    if (word.endsWith(plural) && !word.endsWith("ss")) return word.slice(0, word.length - plural.length) + one;
  }
  return word;
}

// The known words that are a word: spelt like it, else those that differ in the plural.
export function matching(word, known) {
  const same = known.filter((one) => plain(one) === plain(word));
  return same.length ? same : known.filter((one) => singular(one) === singular(word));
}
