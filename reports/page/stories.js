// What went wrong and how it went on, the newest first: corruption with the picture of the buffer, hangs, recoveries.
// What happened to one device in one test night after night is one story.
const SHOWN = 10;
const HANGS = ['DeviceHung', 'DeviceCrashed'];
const isCorruption = (one) => texts[one.error] === 'DataCorrupt' || (one.evidence || []).some((kept) => kept.name === 'corruption');
const isHang = (one) => HANGS.includes(texts[one.error]) || one.outcome === 'cut off' || one.ladder
  || (one.evidence || []).some((kept) => kept.name === 'recovery');

const happened = (section, wanted) => {
  const found = section.benches.flatMap((bench) => bench.visits.flatMap((visit) =>
    Object.values(visit.suites).flatMap((suite) => suite.others.filter(wanted).map((one) => ({ bench, visit, one })))))
    .sort((a, b) => b.visit.at - a.visit.at);
  const alike = new Map();
  for (const each of found) {
    const key = JSON.stringify([each.bench.name, each.one.name, each.one.error, each.one.outcome]);
    alike.set(key, [...(alike.get(key) || []), each]);
  }
  return [...alike.values()];
};

const told = ({ one }, wide) => {
  const pictures = (one.evidence || []).filter((kept) => kept.kind === 'svg');
  const others = (one.evidence || []).filter((kept) => kept.kind !== 'svg');
  return [
    texts[one.message] ? el('pre', { class: 'text', text: texts[one.message] }) : '',
    one.ladder ? ladder(one.ladder) : '',
    wide ? pictures.map(evidence) : '',
    el('div', { class: 'folds' }, others.map((kept) => later(kept.name, () => evidence(kept)))),
  ];
};

const story = (nights, wide) => {
  const [last, ...earlier] = nights;
  const { bench, visit, one } = last;
  const since = earlier.length ? ` · ${nights.length} nights since ${night(nights[nights.length - 1].visit.at)}` : '';
  return el('li', { class: `card ${one.outcome.split(' ')[0]}` },
    el('div', { class: 'head' }, badge(one.outcome), el('b', {}, said(bench.name)), said(texts[one.device], 'soft'), el('span', { text: `${night(visit.at)}${since}` })),
    el('p', { class: 'mono' }, said(texts[one.name])),
    told(last, wide),
    earlier.length ? later(`Also on ${earlier.slice(0, 6).map((each) => night(each.visit.at)).join(', ')}${earlier.length > 6 ? ', …' : ''}`,
      () => el('div', {}, earlier.map((each) => el('div', { class: 'earlier' }, el('h4', { text: night(each.visit.at) }), told(each, wide))))) : '');
};

const stories = (found, none, wide) => {
  if (!found.length) return [el('p', { class: 'soft', text: none })];
  const list = el('ul', { class: 'rows' }, found.slice(0, SHOWN).map((nights) => story(nights, wide)));
  const rest = found.slice(SHOWN);
  return [list, rest.length ? later(`${rest.length} more`, () => el('ul', { class: 'rows' }, rest.map((nights) => story(nights, wide)))) : ''];
};

const corruptions = (section) => stories(happened(section, isCorruption), 'No byte was found wrong in these nights.', true);
const hangs = (section) => stories(happened(section, isHang), 'Nothing hung, crashed or had to be made well in these nights.', false);
