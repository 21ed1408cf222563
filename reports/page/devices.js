// Each device: its lines over nights, its sweep, what bounds it, what is better off resident on it.
const STATUS = { worse: 'worse', better: 'better', steady: 'steady', 'too few': 'too few nights' };
const rank = (one) => ['worse', 'better', 'steady', 'too few'].indexOf(one.status);
const MANY = 6;
const FEW = 5; // nights from which on a line says anything
const LARGE = 16 * 1024 * 1024;

const lineCard = (one) => {
  const last = one.values.length - 1;
  return el('figure', { class: 'chart' },
    el('figcaption', {}, el('b', {}, said(one.name)), ` ${number(one.values[last])} ${one.unit} `, badge(one.status, STATUS[one.status]),
      el('div', { class: 'small soft' }, said([one.link, one.engine && `engine ${one.engine}`].filter(Boolean).join(', ')))),
    seriesChart(one),
    one.changes.map((change) => el('p', { class: 'small' }, said(change.told))),
    later(`${plural(one.values.length, 'night')} as a table`, () => el('div', { class: 'scroll' }, el('table', { class: 'plain' },
      el('thead', {}, el('tr', {}, el('th', { scope: 'col', text: 'Night' }), el('th', { scope: 'col', text: one.unit }))),
      el('tbody', {}, one.values.map((value, i) => el('tr', {}, el('td', { text: night(lists[one.at][i]) }), el('td', { text: number(value) }))).reverse()))), { class: 'small' }));
};

const sweepCard = (one) => {
  const fit = (found) => (found ? `α ${number(found.alpha_us)} µs, β ${number(found.beta)} GB/s` : 'no fit');
  return el('figure', { class: 'chart sweep' },
    el('figcaption', {}, el('b', {}, `${one.direction} by size`), one.of && said(` ${one.of}`, 'soft'),
      el('div', { class: 'small soft', text: `tonight ${fit(one.fit)}; usually (dashed) ${fit(one.usual_fit)}` })),
    sweepChart(one));
};

// The last picture of each kind that was drawn of the device under load.
const loads = (device, section) => {
  const bench = section.benches.find((one) => one.name === device.bench);
  const found = new Map();
  for (const visit of bench ? [...bench.visits].reverse() : []) {
    for (const one of Object.values(visit.suites).flatMap((suite) => suite.others)) {
      for (const kept of texts[one.device] === device.alias ? one.evidence || [] : []) {
        if (kept.kind === 'svg' && kept.name.startsWith('under load') && !found.has(kept.name)) found.set(kept.name, { kept, one, visit });
      }
    }
  }
  return [...found.values()];
};

const loadCard = ({ kept, one, visit }) => el('figure', { class: 'chart' },
  el('figcaption', {}, el('b', {}, said(kept.name)), ` ${night(visit.at)} `, badge(one.outcome), el('div', { class: 'small soft' }, said(texts[one.name]))),
  picture(kept));

const headlines = (lines) => {
  // What speaks for a device: whatever changed, and its large copies.
  const sorted = [...lines].sort((a, b) => rank(a) - rank(b) || b.nbytes - a.nbytes);
  const known = sorted.filter((one) => one.values.length >= FEW);
  const first = known.filter((one) => one.status === 'worse' || one.status === 'better'
    || (one.metric === 'bandwidth' && one.nbytes >= LARGE) || one.metric === 'fixed cost');
  const chosen = (first.length ? first : sorted).slice(0, MANY);
  return [chosen, sorted.filter((one) => !chosen.includes(one))];
};

const insideDevice = (device, section) => {
  const inside = el('div', { class: 'inside' });
  const facts = ['name', 'enclosure', 'negotiated', 'driver', 'firmware', 'engine', 'id'].filter((name) => device.facts[name]);
  inside.append(el('p', { class: 'small soft' }, said(facts.map((name) => `${name === 'name' ? '' : `${name} `}${device.facts[name]}`).join(' · ') || device.id)));
  if (device.bottlenecks.length) inside.append(el('h3', { text: 'What bounds it' }), el('ul', {}, device.bottlenecks.map((one) => el('li', {}, el('b', { text: `${one.direction}: ` }), said(one.told), one.of && said(` (${one.of})`, 'soft')))));
  if (device.residency.length) inside.append(el('h3', { text: 'What is better off in its memory' }), ...device.residency.map((one) => el('p', {}, said(one.told), one.of && said(` (${one.of})`, 'soft'))));
  const [chosen, others] = headlines(device.lines);
  const cards = [...chosen.map(lineCard), ...device.sweeps.map(sweepCard)];
  const warm = loads(device, section);
  inside.append(cards.length ? el('div', { class: 'charts' }, cards) : el('p', { text: 'The history has no figures of it.' }));
  if (warm.length) inside.append(el('h3', { text: 'Under load' }), el('div', { class: 'charts wide' }, warm.map(loadCard)));
  if (others.length) inside.append(later(`${plural(others.length, 'more series', 'more series')}`, () => el('div', { class: 'charts' }, others.map(lineCard)), { class: 'more' }));
  return inside;
};

const devices = (section) => {
  const boxes = section.devices.map((device) => {
    const kinds = ['worse', 'better'].map((status) => [status, device.lines.filter((one) => one.status === status).length]).filter(([, count]) => count);
    const summary = [el('b', {}, said(device.alias)), said(device.bench, 'soft'),
      ...(kinds.length ? kinds.map(([status, count]) => badge(status, `${count} ${status}`)) : [device.lines.length ? badge('steady') : said('no figures', 'soft')])];
    const box = el('details', { class: 'device' }, el('summary', {}, summary));
    let drawn = false;
    const draw = () => { if (!drawn) { drawn = true; box.append(insideDevice(device, section)); } };
    box.addEventListener('toggle', () => { if (box.open) draw(); });
    box.about = device;
    box.draw = draw;
    return box;
  });
  // Open what changed; where nothing did, the first.
  const changed = boxes.filter((box) => box.about.lines.some((one) => one.status === 'worse'));
  for (const box of (changed.length ? changed : boxes).slice(0, 2)) { box.draw(); box.open = true; }
  const goTo = (bench, alias) => {
    const box = boxes.find((one) => one.about.bench === bench && one.about.alias === alias);
    if (!box) return;
    box.draw();
    box.open = true;
    box.scrollIntoView({ block: 'start' });
    box.querySelector('summary').focus();
  };
  const legend = el('p', { class: 'legend' }, [['band', 'as usual'], ['change', 'where it changed'], ['context', 'what changed on the bench']].map(([kind, text]) =>
    el('span', {}, el('span', { class: `key ${kind}`, 'aria-hidden': 'true' }), text)));
  return { view: boxes.length ? [legend, ...boxes] : [el('p', { text: 'Neither a record nor the history names a device.' })], goTo };
};
