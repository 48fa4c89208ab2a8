// A search of the archive, as `audio_triplet.search` does it: events, best first. Vectors are stored
// as the archive's likeness maps them, of unit norm, in 8 bits with a scale each; 8 bits more lie in
// blocks, which are fetched where something was found.

const NEVER = -4;

// How much two scores by 8 bits may differ from what they are: what is as near to the last hit is
// looked at finely. Seen on ESC-50: 0.001.
const COARSE = 0.004;

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
  // info: archive.json; vectors: Int8Array; scales: Float32Array; spans: Float64Array, start and end
  // of each; owners: Uint32Array, the segment of each; block: number → a promise of the Int8Array of
  // `info.block` vectors' further bits.
  constructor(info, vectors, scales, spans, owners, block) {
    Object.assign(this, {info, vectors, scales, spans, owners, block, dim: info.dim});
    this.runs = [];
    for (let first = 0, n = 1; n <= owners.length; n++) {
      if (n === owners.length || owners[n] !== owners[first]) {
        this.runs.push([first, n]);
        first = n;
      }
    }
  }

  // The vectors from one number up to another, by 16 bits: Float32Array; by 8 where the rest cannot
  // be fetched, as without a network.
  async fine(first, last) {
    const {dim, scales, vectors, info} = this;
    const found = Float32Array.from(vectors.subarray(first * dim, last * dim), (code, n) => code * scales[first + Math.floor(n / dim)]);
    for (let number = Math.floor(first / info.block); number * info.block < last; number++) {
      let rest;
      try {
        rest = await this.block(number);
      } catch {
        continue;
      }
      const begin = Math.max(first, number * info.block), end = Math.min(last, (number + 1) * info.block);
      for (let n = begin; n < end; n++) {
        const step = scales[n] / info.fine_steps, from = (n - number * info.block) * dim, to = (n - first) * dim;
        for (let k = 0; k < dim; k++) found[to + k] += rest[from + k] * step;
      }
    }
    return found;
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
  async ask(examples, {top = 10, without = new Set()} = {}) {
    const question = new Question(examples, this);
    const {segments} = this.info;
    const runs = [];
    for (const [first, last] of this.runs) {
      if (without.has(segments[this.owners[first]][1])) continue;
      let bound = NEVER;
      for (const score of question.windows(first, last).scores) bound = Math.max(bound, score);
      runs.push({first, last, bound});
    }
    runs.sort((a, b) => b.bound - a.bound || a.first - b.first);
    // By 8 bits: how far down the hits go. Then all that comes near that, by 16.
    const coarse = this.best(question, runs, top), least = coarse.at(-1)?.score ?? NEVER;
    const isFull = coarse.length === top;
    const near = runs.filter((run) => !isFull || run.bound >= least - COARSE);
    await Promise.all(near.map(async (run) => {
      run.fine = await this.fine(run.first, run.last);
      run.bound = NEVER;
      for (const score of question.windows(run.first, run.last, run.fine).scores) run.bound = Math.max(run.bound, score);
    }));
    near.sort((a, b) => b.bound - a.bound || a.first - b.first);
    return this.named(this.best(question, near, top));
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
  constructor(examples, archive) {
    this.archive = archive;
    this.rows = examples.flatMap((example) => example.vectors);
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
    const {vectors, scales, spans, dim, info} = this.archive, q = this.rows.length;
    let slots = [];
    for (let n = first; n < last; n++) slots.push(Math.round((spans[2 * n] - spans[2 * first]) / info.hop_seconds));
    if (slots.some((slot, n) => n && slot <= slots[n - 1])) slots = slots.map((_, n) => n);
    const length = slots[slots.length - 1] + 1, width = Math.min(this.width, length);
    const gridded = new Float32Array(q * length).fill(NEVER);
    for (let row = 0; row < q; row++) {
      const wanted = this.rows[row];
      for (let n = first; n < last; n++) {
        let sum = 0;
        if (fine) for (let k = 0, at = (n - first) * dim; k < dim; k++, at++) sum += wanted[k] * fine[at];
        else for (let k = 0, at = n * dim; k < dim; k++, at++) sum += wanted[k] * vectors[at];
        gridded[row * length + slots[n - first]] = fine ? sum : sum * scales[n];
      }
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
