// A search of the archive, as `audio_triplet.search` does it: events, best first. All vectors are
// scored coarsely; what comes near the last hit is looked at more closely, and fetched where it must be.
import {NEVER, Question} from "./question.js";

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

// What a generator gives, no more than is asked for.
function listed(given) {
  const known = [];
  return {
    at(number) {
      while (known.length <= number) {
        const {value, done} = given.next();
        if (done) return undefined;
        known.push(value);
      }
      return known[number];
    },
  };
}

export class Archive {
  // info: what the page reads first, and names; store: its vectors; spans: Float64Array, start and
  // end of each; owners: Uint32Array, the segment of each.
  constructor(info, store, spans, owners) {
    Object.assign(this, {info, store, spans, owners, dim: info.dim});
    let count = 0;
    for (let n = 0; n < owners.length; n++) if (!n || owners[n] !== owners[n - 1]) count++;
    this.runs = new Uint32Array(count + 1);  // where the vectors of each segment begin, and the end
    for (let n = 0, at = 0; n < owners.length; n++) if (!n || owners[n] !== owners[n - 1]) this.runs[at++] = n;
    this.runs[count] = owners.length;
    this.recordingOf = (n) => info.segments[owners[n]][1];
  }

  fine(first, last) {
    return this.store.fine(first, last);
  }

  // Numbers of the vectors of a file's moment.
  within(file, start, end) {
    const found = [];
    for (let run = 0; run + 1 < this.runs.length; run++) {
      if (this.info.segments[this.owners[this.runs[run]]][0] !== file) continue;
      for (let n = this.runs[run]; n < this.runs[run + 1]; n++) {
        if (this.spans[2 * n] >= start - 1e-6 && this.spans[2 * n + 1] <= end + 1e-6) found.push(n);
      }
    }
    return found;
  }

  // examples: as `Question` takes them.
  // without: numbers of recordings; keep: 1 for each vector that may be found, null: all.
  async ask(examples, {top = 10, without = new Set(), keep = null} = {}) {
    const question = new Question(examples, this, keep);
    let stretches = listed(question.ranked(without)), hits = [];
    for (const look of this.store.looks(question.rows)) ({stretches, hits} = await this.closer(question, stretches, look, top));
    return this.named(hits);
  }

  // The best of stretches that are sorted by their bounds, by a closer look: as many as it allows that
  // may be among the hits.
  async closer(question, stretches, {most, atOnce, margin, of}, top) {
    let off = margin, near = [], hits = this.store.isWhole ? this.best(question, stretches, top) : [];
    for (let at = 0; at < most; at += atOnce) {
      const least = hits.length === top ? hits.at(-1).score - off : NEVER, these = [];
      for (let n = at; n < Math.min(most, at + atOnce) && stretches.at(n)?.bound >= least; n++) these.push(stretches.at(n));
      const refined = await Promise.all(these.map(async (stretch) => {
        const made = question.refined(stretch, await of(stretch.first, stretch.last));
        off = Math.max(off, made.bound - stretch.bound);  // what is looked at is better than it seemed
        return made;
      }));
      near = [...near, ...refined].sort((a, b) => b.bound - a.bound || a.first - b.first);
      hits = this.best(question, near, top);
      if (these.length < atOnce) break;
    }
    return {stretches: near, hits};
  }

  // The best events of stretches that are sorted by their bounds.
  best(question, stretches, top) {
    const events = [];
    for (let n = 0; stretches.at(n); n++) {
      for (const event of question.events(stretches.at(n), top)) events.push(event);
      if (n % 16 === 15) {
        const settled = this.limited(events.filter((event) => event.score > stretches.at(n + 1)?.bound), top);
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
      const recording = this.recordingOf(event.first);
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
