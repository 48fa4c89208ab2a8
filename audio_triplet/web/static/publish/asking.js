// A search of the archive, as `audio_triplet.search` does it: events, best first. All vectors are
// scored coarsely; what comes near the last hit is looked at by 16 bits, fetched where it must be.
import {fours, likenesses} from "./stores.js";

const NEVER = -4;
const AT_ONCE = 32;  // stretches that are fetched together
const LONG = 512;  // vectors; of a longer stretch only what may answer is fetched

// A raw vector as the archive's measure maps it, of unit norm.
export function mapped(vector, constants, dim) {
  const found = new Float32Array(dim);
  for (let row = 0; row < dim; row++) {
    const value = vector[row] - constants[row];  // first the mean, then the map, row by row
    for (let column = 0; column < dim; column++) found[column] += value * constants[dim + row * dim + column];
  }
  const norm = Math.max(Math.hypot(...found), 1e-6);
  return found.map((value) => value / norm);
}

// At most so many of the patches, evenly spread.
export function thinned(items, most) {
  if (items.length <= most) return items;
  return Array.from({length: most}, (_, n) => items[Math.round(n * (items.length - 1) / (most - 1))]);
}

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

export class Archive {
  // info: what the page reads first, and names; store: its vectors; spans: Float64Array, start and
  // end of each; owners: Uint32Array, the segment of each.
  constructor(info, store, spans, owners) {
    Object.assign(this, {info, store, spans, owners, dim: info.dim});
    this.runs = [];
    for (let first = 0, n = 1; n <= owners.length; n++) {
      if (n === owners.length || owners[n] !== owners[first]) {
        this.runs.push([first, n]);
        first = n;
      }
    }
  }

  fine(first, last) {
    return this.store.fine(first, last);
  }

  // Numbers of the vectors of a file's moment.
  within(file, start, end) {
    const found = [];
    for (const [first, last] of this.runs) {
      if (this.info.segments[this.owners[first]][0] !== file) continue;
      for (let n = first; n < last; n++) {
        if (this.spans[2 * n] >= start - 1e-6 && this.spans[2 * n + 1] <= end + 1e-6) found.push(n);
      }
    }
    return found;
  }

  // examples: [{vectors: [Float32Array of unit norm, mapped], starts: [seconds]}], each not empty.
  // without: numbers of recordings; keep: 1 for each vector that may be found, null: all.
  async ask(examples, {top = 10, without = new Set(), keep = null} = {}) {
    const question = new Question(examples, this, keep);
    const {segments} = this.info;
    let runs = [];
    for (const [first, last] of this.runs) {
      if (without.has(segments[this.owners[first]][1])) continue;
      for (const run of question.stretches(first, last)) if (run.bound > NEVER / 2) runs.push(run);
    }
    runs.sort((a, b) => b.bound - a.bound || a.first - b.first);
    // How far down the hits go by coarse scores, then by finer ones of what comes near that.
    let least = NEVER, near = [], hits = [];
    const {margin, most} = this.store;
    if (most === Infinity) {
      hits = this.best(question, runs, top);
      if (hits.length === top) least = hits.at(-1).score;
      runs = runs.filter((run) => run.bound >= least - margin);
    }
    const batch = most === Infinity ? Math.max(1, runs.length) : AT_ONCE;
    for (let at = 0; at < Math.min(runs.length, most) && (hits.length < top || runs[at].bound >= least - margin); at += batch) {
      const these = runs.slice(at, Math.min(at + batch, most));
      await Promise.all(these.map(async (run) => {
        run.fine = await this.fine(run.first, run.last);
        run.bound = question.windows(run.first, run.last, run.fine).scores.reduce((a, b) => Math.max(a, b), NEVER);
      }));
      near = [...near, ...these].sort((a, b) => b.bound - a.bound || a.first - b.first);
      hits = this.best(question, near, top);
      least = hits.length === top ? hits.at(-1).score : NEVER;
    }
    return this.named(hits);
  }

  // The best events of runs of vectors that are sorted by their bounds.
  best(question, runs, top) {
    const events = [];
    for (let n = 0; n < runs.length; n++) {
      for (const event of question.events(runs[n], top)) events.push(event);
      if (n % 16 === 15) {
        const settled = this.limited(events.filter((event) => event.score > runs[n + 1]?.bound), top);
        if (settled.isFull) return settled.taken;
      }
    }
    return this.limited(events, top).taken;
  }

  // The first events, at most so many of a recording unless there would be too few.
  limited(events, top) {
    const most = this.info.per_recording, counts = new Map(), taken = [], spare = [];
    const order = events.map((event, n) => [event, n]).sort((a, b) => b[0].score - a[0].score || a[1] - b[1]);
    for (const [event] of order) {
      const recording = this.info.segments[this.owners[event.first]][1];
      counts.set(recording, (counts.get(recording) ?? 0) + 1);
      if (counts.get(recording) <= most) taken.push(event);
      else if (spare.length < top) spare.push(event);
      if (taken.length === top) return {taken, isFull: true};
    }
    taken.push(...spare.slice(0, top - taken.length));
    return {taken: taken.sort((a, b) => b.score - a.score), isFull: false};
  }

  named(events) {
    return events.map(({score, first, last}) => {
      const [file, recording, labels] = this.info.segments[this.owners[first]];
      return {
        score, file, recording, labels, path: this.info.files[file].name,
        recorded_at: this.info.files[file].recorded_at,
        start_seconds: this.spans[2 * first], end_seconds: this.spans[2 * last + 1],
      };
    });
  }
}

class Question {
  constructor(examples, archive, keep = null) {
    this.archive = archive;
    this.keep = keep;
    this.rows = examples.flatMap((example) => example.vectors);
    this.fours = fours(this.rows, archive.dim);
    this.coarse = archive.store.scorer(this.rows);
    this.first = [];
    let longest = 0, count = 0;
    for (const {vectors, starts} of examples) {
      this.first.push(count);
      count += vectors.length;
      longest = Math.max(longest, starts[starts.length - 1] - starts[0]);
    }
    this.first.push(count);
    const hop = archive.info.hop_seconds;
    this.width = 1 + Math.round((longest + hop) / hop);  // a hop more, as between the query's
  }

  // The likenesses on the grid of time, and the score of each window.
  windows(first, last, fine = null) {
    const {spans, dim, info} = this.archive, q = this.rows.length;
    let slots = [];
    for (let n = first; n < last; n++) slots.push(Math.round((spans[2 * n] - spans[2 * first]) / info.hop_seconds));
    if (slots.some((slot, n) => n && slot <= slots[n - 1])) slots = slots.map((_, n) => n);
    const length = slots[slots.length - 1] + 1, width = Math.min(this.width, length);
    const gridded = new Float32Array(q * length).fill(NEVER);
    for (let n = first; n < last; n++) {
      if (this.keep && !this.keep[n]) continue;
      if (fine) likenesses(this.fours, q, dim, fine, (n - first) * dim, 1, gridded, slots[n - first], length);
      else this.coarse(n, gridded, slots[n - first], length);
    }
    const windows = length - width + 1, maxima = windowMaxima(gridded, q, length, width);
    const scores = new Float32Array(windows), each = new Float64Array(this.first.length - 1);
    for (let n = 0; n < windows; n++) {
      for (let example = 0; example < each.length; example++) {
        let sum = 0;
        for (let row = this.first[example]; row < this.first[example + 1]; row++) sum += maxima[row * windows + n];
        each[example] = sum / (this.first[example + 1] - this.first[example]);
      }
      scores[n] = leaningMean(each, info.leaning);
    }
    return {slots, length, width, gridded, scores};
  }

  // A run of vectors with the best score in it; of a long one, where its vectors have to be fetched,
  // those stretches of it that may answer.
  stretches(first, last) {
    const {slots, width, scores} = this.windows(first, last), {most} = this.archive.store;
    const bound = scores.reduce((a, b) => Math.max(a, b), NEVER);
    if (most === Infinity || last - first <= LONG) return [{first, last, bound}];
    const least = bound - 2 * this.archive.info.joined_within - this.archive.store.margin, found = [];
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

  // The events of a run of vectors, best first.
  events({first, last, fine}, most) {
    const {slots, length, width, gridded, scores} = this.windows(first, last, fine);
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

function leaningMean(each, leaning) {
  if (each.length === 1) return each[0];
  const best = Math.max(...each);
  let sum = 0;
  for (const value of each) sum += Math.exp((value - best) / leaning);
  return best + leaning * Math.log(sum / each.length);
}
