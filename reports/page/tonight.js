// The first screen: is tonight good, and what changed, where, since when, with what.
const natureOf = (section) => (section.simulated ? 'simulated' : 'real');
const natureName = (section) => (section.simulated ? 'Simulated benches' : 'Real benches');

const MARKS = { good: '✓', 'NOT good': '✕', 'not known': '?' };
const CLASSES = { good: 'good', 'NOT good': 'bad' };
const verdict = (section) => el('div', { class: `verdict ${CLASSES[section.verdict] || 'unknown'}` },
  el('span', { class: 'mark', 'aria-hidden': 'true', text: MARKS[section.verdict] }),
  el('h1', { text: `The night of ${section.night} is ${section.verdict}` }),
  el('p', { text: section.headline.slice(section.verdict.length + 2) }));

const firstLines = (text) => {
  const lines = text.split('\n');
  const short = lines.slice(0, 2).join('\n').slice(0, 360);
  return short.length < text.length ? `${short} …` : short;
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
    el('div', { class: 'head' }, badge(one.kind), el('b', {}, said(one.bench)), one.device ? said(one.device, 'soft') : ''),
    el('p', {}, said(one.sentence)),
    facts.childElementCount ? facts : '',
    one.detail && series ? el('p', { class: 'small soft' }, said(one.detail)) : '',
    one.detail && one.bad && !series ? el('pre', { class: 'text', text: firstLines(one.detail) }) : '',
    acts.childElementCount ? acts : '');
};

const lastCounts = (bench, at) => {
  const visit = bench.visits.find((one) => one.at === at);
  if (!visit) return el('span', { text: 'did not run' });
  const counts = {};
  for (const suite of Object.values(visit.suites)) {
    for (const [name, count] of Object.entries(suite.counts)) counts[name] = (counts[name] || 0) + count;
  }
  const order = ['failed', 'broken', 'cut off', 'passed', 'skipped'].filter((name) => counts[name]);
  const told = order.map((name) => el('span', {}, badge(name, `${counts[name]} ${name}`), ' '));
  return el('span', {}, told, visit.complete ? '' : badge('cut', 'run not finished'));
};

const benchTable = (section) => {
  const at = data.nights.indexOf(section.night);
  const heads = ['Bench', 'Host and system', 'Devices: link, driver, firmware', 'Tonight'];
  const rows = section.benches.map((bench) => el('tr', {},
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
    bad.length ? el('ul', { class: 'items' }, bad.map((one) => item(one, go))) : '',
    rest.length ? el('h2', { text: 'Also worth knowing' }) : '',
    rest.length ? el('ul', { class: 'items' }, rest.map((one) => item(one, go))) : '',
    el('h2', { text: 'Benches' }), benchTable(section),
  ];
};
