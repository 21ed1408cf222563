// The first screen: is tonight good, and what changed, where, since when, with what.
const natureOf = (section) => (section.simulated ? 'simulated' : 'real');
const natureName = (section) => (section.simulated ? 'Simulated benches' : 'Real benches');

const MARKS = { good: '✓', 'NOT good': '✕', 'not known': '?' };
const CLASSES = { good: 'good', 'NOT good': 'bad' };
const verdict = (section) => el('div', { class: `verdict ${CLASSES[section.verdict] || 'unknown'}` },
  el('span', { class: 'mark', 'aria-hidden': 'true', text: MARKS[section.verdict] }),
  el('h1', { text: `The night of ${section.night} is ${section.verdict}` }),
  el('p', { text: section.headline.slice(section.verdict.length + 2) }));

const firstLine = (text) => {
  const line = text.split('\n')[0];
  const short = line.length > 320 ? line.slice(0, 320).replace(/\s+\S*$/, '') : line;
  return short.length < text.trimEnd().length ? `${short} …` : short;
};

const item = (one, go) => {
  const facts = el('div', { class: 'facts' });
  const fact = (name, value) => facts.append(el('span', {}, `${name} `, el('b', {}, said(value))));
  if (one.since && one.kind !== 'missing') fact('since', one.since);
  if (one.changed) fact('changed with it:', one.changed);
  else if (one.kind === 'regression') fact('changed with it:', 'nothing that hil knows of');
  const series = one.kind === 'regression' || one.kind === 'better';
  const acts = el('div', { class: 'acts' });
  if (one.tests.length) acts.append(el('button', { type: 'button', text: 'Show tests', onclick: () => go.tests(one) }));
  if (series) {
    acts.append(el('button', { type: 'button', text: 'Show its line', onclick: () => go.device(one) }));
  }
  return el('li', { class: `card ${one.kind.split(' ')[0]}` },
    el('div', { class: 'head' }, badge(one.kind), el('b', {}, said(one.bench)), one.device ? said(one.device, 'soft') : '',
      acts.childElementCount ? acts : ''),
    el('p', {}, said(one.sentence)),
    facts.childElementCount ? facts : '',
    one.detail && series ? el('p', { class: 'small soft' }, said(one.detail)) : '',
    one.detail && one.bad && !series ? el('pre', { class: 'text', text: firstLine(one.detail) }) : '');
};

const lastCounts = (bench, at) => {
  const visit = bench.visits.find((one) => one.at === at);
  if (!visit) return el('span', { text: 'did not run' });
  const counts = {};
  for (const suite of Object.values(visit.suites)) {
    for (const [name, count] of Object.entries(suite.counts)) counts[name] = (counts[name] || 0) + count;
  }
  const order = data.outcomes.filter((name) => counts[name]);
  const told = order.map((name) => el('span', {}, badge(name, `${counts[name]} ${name}`), ' '));
  return el('span', {}, told.length ? told : 'no test ran ', visit.complete ? '' : badge('cut', 'run not finished'));
};

// The first of many, the others folded away.
const items = (all, most, go) => {
  const list = (some) => el('ul', { class: 'items' }, some.map((one) => item(one, go)));
  const rest = all.slice(most);
  return [list(all.slice(0, most)), rest.length ? later(`${rest.length} more`, () => list(rest), { class: 'more' }) : ''];
};

const troubled = (bench, at) => {
  const visit = bench.visits.find((one) => one.at === at);
  return !visit || !visit.complete || !visit.restored || Object.values(visit.suites).some((suite) => data.trouble.some((name) => suite.counts[name]));
};

const benchTable = (section) => {
  const at = data.nights.indexOf(section.night);
  const heads = ['Bench', 'Host and system', 'Devices: link, driver, firmware', 'Tonight'];
  const sorted = [...section.benches].sort((a, b) => troubled(b, at) - troubled(a, at));
  const rows = sorted.map((bench) => el('tr', {},
    el('th', { scope: 'row' }, said(bench.name)),
    el('td', { 'data-label': heads[1] }, said([bench.context.host, bench.context.os].filter(Boolean).join(', ') || 'not told')),
    el('td', { 'data-label': heads[2] }, bench.devices.map((device) => el('div', {}, el('b', {}, said(device.alias)), ' ',
      said([device.negotiated || device.link, device.driver && `driver ${device.driver}`,
        device.firmware && `firmware ${device.firmware}`].filter(Boolean).join(', '), 'soft')))),
    el('td', { 'data-label': heads[3] }, lastCounts(bench, at))));
  return el('table', { class: 'plain stack' },
    el('thead', {}, el('tr', {}, heads.map((head) => el('th', { scope: 'col', text: head })))),
    el('tbody', {}, rows));
};

const tonight = (section, go) => {
  const bad = section.items.filter((one) => one.bad);
  const rest = section.items.filter((one) => !one.bad);
  const scenario = section.scenario ? el('p', { class: 'soft' }, 'Demonstration: ', said(section.scenario)) : '';
  return [
    el('span', { class: `nature ${natureOf(section)}`, text: section.simulated ? 'Simulated: no hardware was measured' : 'Real hardware' }),
    scenario, verdict(section),
    ...(bad.length ? items(bad, 12, go) : []),
    ...(rest.length ? [el('h2', { text: 'Also worth knowing' }), ...items(rest, 4, go)] : []),
    el('h2', { text: 'Benches' }), benchTable(section),
  ];
};
