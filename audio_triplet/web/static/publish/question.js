// A question to an archive: windows as long as it is that score best, as `audio_triplet.search` has
// them. All vectors are scored coarsely, and the stretches of sound that may answer come best first.
import {AT_ONCE} from "./products.js";

export const NEVER = -4;
const LONG = 512;  // vectors; of a longer stretch only what may answer is fetched,
const SLACK = 0.1;  // by coarse scores, which are off by less
const BINS = 4096, FIRST = 2500, MORE = 8;  // runs that are put in order; then so many times more

// The maxima over windows of a width: rows of `length` → rows of `length - width + 1`.
export function windowMaxima(values, rows, length, width) {
  const windows = length - width + 1, found = new Float32Array(rows * windows);
  let have = 1, line = new Float32Array(length);
  for (let row = 0; row < rows; row++) {
    line.set(values.subarray(row * length, (row + 1) * length));
    for (have = 1; 2 * have <= width; have *= 2) {
      for (let n = 0; n + have < length; n++) line[n] = Math.max(line[n], line[n + have]);
    }
    const rest = width - have;
    for (let n = 0; n < windows; n++) found[row * windows + n] = Math.max(line[n], line[n + rest]);
  }
  return found;
}

function leaningMean(each, leaning) {
  if (each.length === 1) return each[0];
  const best = Math.max(...each);
  let sum = 0;
  for (const value of each) sum += Math.exp((value - best) / leaning);
  return best + leaning * Math.log(sum / each.length);
}

// How much each patch of an example counts: louder ones more, together 1.
function sharesOf({vectors, energies}, power) {
  const loud = vectors.map((_, n) => (energies ? Math.max(energies[n], 1e-30) ** power : 1));
  const all = loud.reduce((a, b) => a + b, 0);
  return loud.map((one) => one / all);
}

const mostOf = (values) => values.reduce((a, b) => Math.max(a, b), NEVER);

// Numbers of the scores that are one, the largest first, equal ones as they are; no more are put in
// order than are asked for.
export function* descending(values) {
  let low = Infinity, high = -Infinity;
  for (let n = 0; n < values.length; n++) {
    const value = values[n];
    if (value <= NEVER / 2) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  const counts = new Uint32Array(BINS + 1), scale = high > low ? (BINS - 1) / (high - low) : 0;  // bin 0: no score
  const bins = new Uint16Array(values.length);
  for (let n = 0; n < values.length; n++) {
    bins[n] = values[n] <= NEVER / 2 ? 0 : 1 + Math.floor((values[n] - low) * scale);
    counts[bins[n]]++;
  }
  for (let above = BINS + 1, wanted = FIRST; above > 1; wanted *= MORE) {
    let from = above, have = 0;
    while (from > 1 && have < wanted) have += counts[--from];
    const chosen = new Uint32Array(have);
    for (let n = 0, to = 0; n < bins.length; n++) if (bins[n] >= from && bins[n] < above) chosen[to++] = n;
    yield* chosen.sort((a, b) => values[b] - values[a] || a - b);
    above = from;
  }
}

export class Question {
  // examples: [{vectors: [Float32Array of unit norm, mapped], starts: [seconds], energies: [number],
  // or none}], each not empty.
  // keep: 1 for each vector that may be found, null: all.
  constructor(examples, archive, keep = null) {
    this.archive = archive;
    this.keep = keep;
    this.rows = examples.flatMap((example) => example.vectors);
    this.coarse = archive.store.scorer(this.rows);
    this.shares = examples.flatMap((example) => sharesOf(example, archive.info.energy_power));
    this.first = [];
    let longest = 0, count = 0;
    for (const {vectors, starts} of examples) {
      this.first.push(count);
      count += vectors.length;
      longest = Math.max(longest, starts[starts.length - 1] - starts[0]);
    }
    this.first.push(count);
    this.each = new Float64Array(examples.length);
    const hop = archive.info.hop_seconds;
    this.width = 1 + Math.floor((longest + hop) / hop + 0.5 + 1e-6);  // a hop more, as between the query's; halves up
  }

  // The score of what each row finds at best: values[at], values[at + step], …
  scored(values, at = 0, step = 1) {
    const {each, first, shares} = this;
    for (let example = 0; example < each.length; example++) {
      let sum = 0;
      for (let row = first[example]; row < first[example + 1]; row++) sum += shares[row] * values[at + row * step];
      each[example] = sum;
    }
    return leaningMean(each, this.archive.info.leaning);
  }

  // For each run of vectors what no window in it can score more than.
  tops(without) {
    const {keep, archive: {runs, recordingOf}} = this, count = runs.length - 1, rows = this.rows.length;
    const found = new Float32Array(count).fill(NEVER), most = new Float32Array(rows).fill(NEVER);
    let run = 0, isKept = false;
    for (let begin = 0; begin < runs[count]; begin += AT_ONCE) {
      const end = Math.min(runs[count], begin + AT_ONCE), scores = this.coarse(begin, end);
      for (let n = begin, at = 0; n < end; n++, at += rows) {
        if (!keep || keep[n]) {
          isKept = true;
          for (let row = 0; row < rows; row++) if (scores[at + row] > most[row]) most[row] = scores[at + row];
        }
        if (n + 1 < runs[run + 1]) continue;
        if (isKept && !(without.size && without.has(recordingOf(n)))) found[run] = this.scored(most);
        most.fill(NEVER);
        isKept = false;
        run++;
      }
    }
    return found;
  }

  // {first, last, bound}: stretches by the best score in them, the best first.
  * ranked(without) {
    const {runs} = this.archive, tops = this.tops(without), waiting = [];  // the best at the end
    const precedes = (a, b) => a.bound < b.bound || (a.bound === b.bound && a.first > b.first);
    for (const run of descending(tops)) {
      while (waiting.length && waiting.at(-1).bound > tops[run]) yield waiting.pop();
      for (const stretch of this.stretches(runs[run], runs[run + 1])) {
        if (stretch.bound <= NEVER / 2) continue;
        let low = 0, high = waiting.length;
        while (low < high) {
          const middle = (low + high) >> 1;
          if (precedes(waiting[middle], stretch)) low = middle + 1;
          else high = middle;
        }
        waiting.splice(low, 0, stretch);
      }
    }
    while (waiting.length) yield waiting.pop();
  }

  // The likenesses on the grid of time, and the score of each window. known: Float32Array[vectors,
  // rows], null: coarse ones.
  windows(first, last, known = null) {
    const {spans, info} = this.archive, q = this.rows.length;
    let slots = [];
    for (let n = first; n < last; n++) slots.push(Math.round((spans[2 * n] - spans[2 * first]) / info.hop_seconds));
    if (slots.some((slot, n) => n && slot <= slots[n - 1])) slots = slots.map((_, n) => n);
    const length = slots[slots.length - 1] + 1, width = Math.min(this.width, length);
    const gridded = new Float32Array(q * length).fill(NEVER);
    for (let begin = first; begin < last; begin += AT_ONCE) {
      const end = Math.min(last, begin + AT_ONCE), scores = known?.subarray((begin - first) * q) ?? this.coarse(begin, end);
      for (let n = begin, at = 0; n < end; n++, at += q) {
        if (this.keep && !this.keep[n]) continue;
        for (let row = 0; row < q; row++) gridded[row * length + slots[n - first]] = scores[at + row];
      }
    }
    const windows = length - width + 1, maxima = windowMaxima(gridded, q, length, width);
    const scores = Float32Array.from({length: windows}, (_, n) => this.scored(maxima, n, windows));
    return {slots, length, width, gridded, scores};
  }

  // A run of vectors with the best score in it; of a long one, where its vectors have to be fetched,
  // those stretches of it that may answer.
  stretches(first, last) {
    const {slots, width, scores} = this.windows(first, last), {store, info} = this.archive, bound = mostOf(scores);
    if (store.isWhole || last - first <= LONG) return [{first, last, bound}];
    const least = bound - 2 * info.joined_within - SLACK, found = [];
    for (let n = 0; n < scores.length; n++) {
      if (scores[n] < least) continue;
      const from = slots.findIndex((slot) => slot >= n - width), to = slots.findLastIndex((slot) => slot < n + 2 * width);
      const before = found.at(-1);
      if (before && first + from < before.last) {
        before.last = first + to + 1;
        before.bound = Math.max(before.bound, scores[n]);
      } else found.push({first: first + from, last: first + to + 1, bound: scores[n]});
    }
    return found;
  }

  // A stretch whose likenesses are known better, and how much it scores then.
  refined({first, last}, known) {
    return {first, last, known, bound: mostOf(this.windows(first, last, known).scores)};
  }

  // The events of a stretch, best first.
  events({first, last, known}, most) {
    const {slots, length, width, gridded, scores} = this.windows(first, last, known);
    const left = Float32Array.from(scores), found = [], joined = this.archive.info.joined_within;
    while (found.length < most) {
      let peak = 0;
      for (let n = 1; n < left.length; n++) if (left[n] > left[peak]) peak = n;
      const score = left[peak];
      if (score <= NEVER / 2) break;
      let low = peak, high = peak;
      while (low > 0 && left[low - 1] >= score - joined) low--;
      while (high + 1 < left.length && left[high + 1] >= score - joined) high++;
      let begin = length, end = -1;
      for (let row = 0; row < this.rows.length; row++) {
        for (let at = low; at <= high; at++) {
          let best = at;
          for (let n = at; n < at + width; n++) if (gridded[row * length + n] > gridded[row * length + best]) best = n;
          begin = Math.min(begin, best);
          end = Math.max(end, best);
        }
      }
      const from = slots.findIndex((slot) => slot >= begin), to = slots.findLastIndex((slot) => slot <= end);
      found.push({score, first: first + from, last: first + to});
      left.fill(NEVER, Math.max(0, begin - width + 1), end + 1);
      left.fill(NEVER, low, high + 1);
    }
    return found;
  }
}
