// A WAV file of channels that are added up: mono, 16 bit, what is louder than full scale cut off.
export function wav(channels, rate, gain = 1) {
  const length = channels[0].length, view = new DataView(new ArrayBuffer(44 + 2 * length));
  const word = (at, text) => [...text].forEach((char, place) => view.setUint8(at + place, char.charCodeAt(0)));
  word(0, "RIFF");
  view.setUint32(4, 36 + 2 * length, true);
  word(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  word(36, "data");
  view.setUint32(40, 2 * length, true);
  for (let place = 0; place < length; place += 1) {
    let sum = 0;
    for (const channel of channels) sum += channel[place];
    const value = Math.max(-1, Math.min(1, gain * sum / channels.length));
    view.setInt16(44 + 2 * place, Math.round(32767 * value), true);
  }
  return new Blob([view.buffer], {type: "audio/wav"});
}
