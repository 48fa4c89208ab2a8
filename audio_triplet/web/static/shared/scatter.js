// Points on a canvas, drawn pixel by pixel: 100,000 of them stay fluent without a graphics card.

export class Scatter {
  // x, y: −1 … 1, y upwards. colours: a pixel for each point, set by `paint`.
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d", {willReadFrequently: true});
    this.x = this.y = new Float32Array(0);
    this.colours = new Uint32Array(0);
    this.order = null;  // drawn last lies on top
    this.background = 0xffffffff;
    this.marked = -1;
    this.taken = [];
    this.takenColour = this.markColour = 0;
    this.path = [];
    this.see();
    this.waits = false;
  }

  get length() { return this.x.length; }

  setPoints(x, y) {
    this.x = x;
    this.y = y;
    this.colours = new Uint32Array(x.length).fill(0xff888888);
    this.order = null;
    this.draw();
  }

  see() {  // all of it
    this.zoom = 1;
    this.middleX = this.middleY = 0;
  }

  get scale() { return 0.47 * Math.min(this.canvas.width, this.canvas.height) * this.zoom; }
  toScreenX(x) { return (x - this.middleX) * this.scaleX + this.canvas.width / 2; }
  toScreenY(y) { return (this.middleY - y) * this.scale + this.canvas.height / 2; }
  get scaleX() { return this.scale * Math.min(1.7, Math.max(1, this.canvas.width / this.canvas.height)); }
  fromScreen(x, y) {
    return [(x - this.canvas.width / 2) / this.scaleX + this.middleX, this.middleY - (y - this.canvas.height / 2) / this.scale];
  }

  zoomAt(x, y, factor) {
    const before = this.fromScreen(x, y);
    this.zoom = Math.min(200, Math.max(0.5, this.zoom * factor));
    const now = this.fromScreen(x, y);
    this.middleX += before[0] - now[0];
    this.middleY += before[1] - now[1];
    this.draw();
  }

  move(dx, dy) {
    this.middleX -= dx / this.scaleX;
    this.middleY += dy / this.scale;
    this.draw();
  }

  // The point nearest to a place on the screen, −1 if none is near.
  nearest(screenX, screenY, most = 24) {
    const [x, y] = this.fromScreen(screenX, screenY), stretch = this.scaleX / this.scale;
    let best = (most / this.scale) ** 2, found = -1;
    for (let place = 0; place < this.length; place += 1) {
      const dx = (this.x[place] - x) * stretch, dy = this.y[place] - y, distance = dx * dx + dy * dy;
      if (distance < best) {
        best = distance;
        found = place;
      }
    }
    return found;
  }

  around(point, count) {
    const stretch = this.scaleX / this.scale, distance = new Float32Array(this.length);
    for (let place = 0; place < this.length; place += 1) {
      distance[place] = ((this.x[place] - this.x[point]) * stretch) ** 2 + (this.y[place] - this.y[point]) ** 2;
    }
    return Array.from(distance.keys()).sort((a, b) => distance[a] - distance[b]).slice(0, count);
  }

  // The next point in a direction: near, and not far off the line.
  next(point, dx, dy) {
    let best = Infinity, found = point;
    for (let place = 0; place < this.length; place += 1) {
      const ahead = (this.x[place] - this.x[point]) * dx + (this.y[place] - this.y[point]) * dy;
      if (ahead <= 1e-6) continue;
      const aside = Math.abs((this.x[place] - this.x[point]) * dy) + Math.abs((this.y[place] - this.y[point]) * dx);
      if (ahead + 2 * aside < best && aside <= 2 * ahead) {
        best = ahead + 2 * aside;
        found = place;
      }
    }
    return found;
  }

  // Points inside a polygon of places on the screen.
  inside(polygon) {
    const corners = polygon.map(([x, y]) => this.fromScreen(x, y)), found = [];
    const low = Math.min(...corners.map(([x]) => x)), high = Math.max(...corners.map(([x]) => x));
    for (let place = 0; place < this.length; place += 1) {
      const x = this.x[place], y = this.y[place];
      if (x < low || x > high) continue;
      let isIn = false;
      for (let here = 0, there = corners.length - 1; here < corners.length; there = here, here += 1) {
        const [ax, ay] = corners[here], [bx, by] = corners[there];
        if (ay > y !== by > y && x < (bx - ax) * (y - ay) / (by - ay) + ax) isIn = !isIn;
      }
      if (isIn) found.push(place);
    }
    return found;
  }

  // Many calls, one frame.
  draw() {
    if (this.waits) return;
    this.waits = true;
    requestAnimationFrame(() => {
      this.waits = false;
      this.drawNow();
    });
  }

  offsets(radius, width) {
    const found = [];
    for (let dy = -radius; dy <= radius; dy += 1) {
      for (let dx = -radius; dx <= radius; dx += 1) {
        if (dx * dx + dy * dy <= radius * radius + radius * 0.5) found.push(dy * width + dx);
      }
    }
    return Int32Array.from(found);
  }

  drawNow() {
    const begin = performance.now(), {width, height} = this.canvas;
    if (!width || !height) return;
    if (this.image?.width !== width || this.image?.height !== height) {
      this.image = this.context.createImageData(width, height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    }
    const {pixels, x, y, colours, scale, scaleX, middleX, middleY} = this;
    pixels.fill(this.background);
    const count = x.length, grown = Math.min(3, Math.log2(Math.max(1, this.zoom)) / 2);
    const ratio = window.devicePixelRatio || 1;
    const radius = Math.max(1, Math.round(ratio * ((count > 20_000 ? 1 : count > 2_000 ? 2 : 3.5) + grown)));
    const offsets = this.offsets(radius, width), most = offsets.length;
    const right = width - radius - 1, low = height - radius - 1;
    for (let turn = 0; turn < count; turn += 1) {
      const place = this.order ? this.order[turn] : turn;
      const px = (x[place] - middleX) * scaleX + width / 2 | 0, py = (middleY - y[place]) * scale + height / 2 | 0;
      if (px <= radius || py <= radius || px >= right || py >= low) continue;
      const at = py * width + px, colour = colours[place];
      for (let part = 0; part < most; part += 1) pixels[at + offsets[part]] = colour;
    }
    this.context.putImageData(this.image, 0, 0);
    this.drawMarks(radius, ratio);
    this.canvas.dataset.frameMs = (performance.now() - begin).toFixed(1);
  }

  drawMarks(radius, ratio) {
    const {context} = this;
    context.lineWidth = 1.5 * ratio;
    context.strokeStyle = this.takenColour;
    for (const place of this.taken.slice(0, 2_000)) {
      context.beginPath();
      context.arc(this.toScreenX(this.x[place]), this.toScreenY(this.y[place]), radius + 2 * ratio, 0, 7);
      context.stroke();
    }
    context.strokeStyle = this.markColour;
    if (this.marked >= 0 && this.marked < this.length) {
      context.lineWidth = 3 * ratio;
      context.beginPath();
      context.arc(this.toScreenX(this.x[this.marked]), this.toScreenY(this.y[this.marked]), radius + 6 * ratio, 0, 7);
      context.stroke();
    }
    if (this.path.length > 1) {
      context.lineWidth = 2 * ratio;
      context.beginPath();
      this.path.forEach(([px, py], place) => (place ? context.lineTo(px, py) : context.moveTo(px, py)));
      context.stroke();
    }
  }
}
