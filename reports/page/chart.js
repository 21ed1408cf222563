// Pictures of series: a value a night with what is usual, what changed it and what changed on the bench; and of sweeps.
const TOLD = 2; // per cent of what is usual, from which on a size's difference stands beside it
const NARROW = matchMedia('(max-width: 40rem)').matches;
const BOX = { width: NARROW ? 360 : 560, height: 230, left: 58, right: 12, top: 34, bottom: 26 };
const number = (value) => (Math.abs(value) >= 1000 ? String(Math.round(value)) : value ? value.toPrecision(3) : '0');
const sizeText = (bytes) => {
  for (const [unit, name] of [[1073741824, 'GiB'], [1048576, 'MiB'], [1024, 'KiB']]) if (bytes >= unit) return `${Number((bytes / unit).toPrecision(3))} ${name}`;
  return `${bytes} B`;
};
const words = (x, y, text, props = {}) => svg('text', { x: x.toFixed(1), y: y.toFixed(1), text, ...props });
const upright = (x, kind) => svg('line', { x1: x.toFixed(1), x2: x.toFixed(1), y1: BOX.top - 4, y2: BOX.height - BOX.bottom, class: kind });

// As many digits as tell the ticks of an axis apart.
const tick = (value, span) => {
  const digits = Math.max(0, 1 - Math.floor(Math.log10(Math.abs(span) || 1)));
  return digits > 8 ? number(value) : value.toFixed(Math.min(digits, 6));
};

const frame = (label, low, high, y, unit) => {
  const picture = svg('svg', { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: 'img', 'aria-label': label });
  for (const value of [low, (low + high) / 2, high]) {
    picture.append(svg('line', { x1: BOX.left, x2: BOX.width - BOX.right, y1: y(value), y2: y(value), class: 'axis' }),
      words(BOX.left - 6, y(value) + 4, tick(value, high - low), { 'text-anchor': 'end' }));
  }
  if (!NARROW) picture.append(words(4, 12, unit)); // the caption says it, and texts of marks need the room
  return picture;
};

// Texts of marks that lie close together go below each other.
const placed = (marks, x) => {
  const ends = [];
  return marks.map((mark) => {
    const at = x(mark.at);
    const most = NARROW ? 30 : 44;
    const text = mark.text.length > most ? `${mark.text.slice(0, most - 1)}…` : mark.text;
    const width = text.length * 6 + 10;
    const right = at + width > BOX.width - BOX.right;
    const [from, to] = right ? [at - width, at] : [at, at + width];
    let row = 0;
    while (ends[row] !== undefined && ends[row] > from) row += 1;
    ends[row] = to;
    return { ...mark, shown: text, x: at, row, right };
  });
};

const seriesChart = (one) => {
  const { values } = one;
  const at = lists[one.at];
  const ends = one.band ? one.band.slice(2) : [];
  let low = Math.min(...values, ...ends);
  let high = Math.max(...values, ...ends);
  // Noise of a thousandth shall not look like a cliff.
  const room = Math.max(0.08 * (high - low), one.band ? 0 : 0.02 * Math.abs(high)) || 1;
  [low, high] = [low - room, high + room];
  const span = at[at.length - 1] - at[0];
  const x = (index) => BOX.left + (BOX.width - BOX.left - BOX.right) * (span ? (at[index] - at[0]) / span : 0.5);
  const y = (value) => BOX.top + (BOX.height - BOX.top - BOX.bottom) * (1 - (value - low) / (high - low));
  const last = values.length - 1;
  const label = `${one.name}: ${number(values[last])} ${one.unit} on ${night(at[last])}, ${values.length} nights`
    + one.changes.map((change) => `; ${change.told}`).join('');
  const picture = frame(label, low, high, y, one.unit);
  if (one.band) {
    const [from, to, least, most] = one.band;
    picture.append(svg('rect', { class: 'band', x: x(from), y: y(most), width: Math.max(x(to) - x(from), 2), height: y(least) - y(most) },
      svg('title', { text: `as usual: ${number(least)} to ${number(most)} ${one.unit}` })));
  }
  const index = new Map(at.map((where, i) => [where, i]));
  const nearest = (where) => index.get(where) ?? Math.max(0, at.findIndex((other) => other >= where));
  const marks = [
    ...one.marks.map(([where, text]) => ({ at: nearest(where), text, kind: 'context' })),
    ...one.changes.map((change) => ({ at: nearest(change.at), text: `${change.share > 0 ? '+' : ''}${change.share} %`, kind: change.better ? 'change better' : 'change' })),
  ].sort((a, b) => a.at - b.at);
  for (const mark of placed(marks, x)) {
    picture.append(upright(mark.x, mark.kind),
      words(mark.x + (mark.right ? -4 : 4), 12 + 12 * mark.row, mark.shown,
        { class: mark.kind === 'context' ? 'context-text' : mark.kind === 'change' ? 'change-text' : 'better-text', 'text-anchor': mark.right ? 'end' : 'start' }));
  }
  // Nights on which it was not measured are a gap.
  let path = '';
  values.forEach((value, i) => { path += `${i && at[i] - at[i - 1] <= 7 ? 'L' : 'M'}${x(i).toFixed(1)} ${y(value).toFixed(1)}`; });
  picture.append(svg('path', { class: 'trace', d: path }));
  if (values.length <= 120) {
    values.forEach((value, i) => picture.append(svg('circle', { class: 'dot', cx: x(i).toFixed(1), cy: y(value).toFixed(1), r: 2 },
      svg('title', { text: `${night(at[i])}: ${number(value)} ${one.unit}` }))));
  }
  picture.append(svg('circle', { class: `last ${one.status}`, cx: x(last), cy: y(values[last]), r: 4 }));
  picture.append(words(BOX.left, BOX.height - 8, night(at[0])), words(BOX.width - BOX.right, BOX.height - 8, night(at[last]), { 'text-anchor': 'end' }));
  return picture;
};

const sweepChart = (one) => {
  const logs = one.sizes.map(Math.log2);
  const all = [...one.now, ...one.usual].filter((value) => value > 0).map(Math.log10);
  const [low, high] = [Math.min(...all) - 0.1, Math.max(...all) + 0.1];
  const x = (value) => BOX.left + (BOX.width - BOX.left - BOX.right) * (value - logs[0]) / (logs[logs.length - 1] - logs[0] || 1);
  const y = (value) => BOX.top + (BOX.height - BOX.top - BOX.bottom) * (1 - (value - low) / (high - low || 1));
  const picture = svg('svg', { viewBox: `0 0 ${BOX.width} ${BOX.height}`, role: 'img',
    'aria-label': `${one.direction}: rate by size, tonight and as usual; ${one.sizes.map((size, i) => `${sizeText(size)} ${number(one.now[i])} GB/s`).join(', ')}` });
  const steps = [];
  for (let power = Math.floor(low); power <= high; power += 1) for (const step of high - low > 2 ? [1] : [1, 2, 5]) steps.push(step * 10 ** power);
  for (const step of steps.filter((value) => Math.log10(value) >= low && Math.log10(value) <= high)) {
    picture.append(svg('line', { x1: BOX.left, x2: BOX.width - BOX.right, y1: y(Math.log10(step)), y2: y(Math.log10(step)), class: 'axis' }),
      words(BOX.left - 6, y(Math.log10(step)) + 4, String(Number(step.toPrecision(3))), { 'text-anchor': 'end' }));
  }
  if (!NARROW) picture.append(words(4, 12, 'GB/s'));
  const path = (values) => values.map((value, i) => `${i ? 'L' : 'M'}${x(logs[i]).toFixed(1)} ${y(Math.log10(value)).toFixed(1)}`).join('');
  picture.append(svg('path', { class: 'usual', d: path(one.usual) }), svg('path', { class: 'trace', d: path(one.now) }));
  one.now.forEach((value, i) => {
    picture.append(svg('circle', { class: 'dot', cx: x(logs[i]), cy: y(Math.log10(value)), r: 2.5 },
      svg('title', { text: `${sizeText(one.sizes[i])}: ${number(value)} GB/s, usually ${number(one.usual[i])}` })));
    // On a scale of three decades nobody sees four per cent.
    const share = 100 * (value / one.usual[i] - 1);
    if (Math.abs(share) >= TOLD) {
      // Below the line, which rises to the right.
      const low = Math.min(y(Math.log10(value)) + 16, BOX.height - BOX.bottom - 3);
      picture.append(words(x(logs[i]) + (i ? 0 : 8), low, `${share > 0 ? '+' : ''}${share.toFixed(1)} %`,
        { class: share < 0 ? 'change-text' : 'better-text', 'text-anchor': i === 0 ? 'start' : i === logs.length - 1 ? 'end' : 'middle' }));
    }
  });
  // As many sizes as there is room for, the largest first.
  let free = BOX.width;
  for (let i = one.sizes.length - 1; i >= 0; i -= 1) {
    const text = sizeText(one.sizes[i]);
    const width = 6.5 * text.length;
    const left = i === 0 ? x(logs[i]) : x(logs[i]) - width * (i === one.sizes.length - 1 ? 1 : 0.5);
    if (left + width <= free) {
      picture.append(words(left, BOX.height - 8, text));
      free = left - 8;
    }
  }
  return picture;
};
