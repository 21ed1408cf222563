// What went wrong and how it went on, the newest first: corruption with the picture of the buffer, hangs, recoveries.
const SHOWN = 10;
const HANGS = ['DeviceHung', 'DeviceCrashed'];
const isCorruption = (one) => texts[one.error] === 'DataCorrupt' || (one.evidence || []).some((kept) => kept.name === 'corruption');
const isHang = (one) => HANGS.includes(texts[one.error]) || one.outcome === 'cut off' || (one.evidence || []).some((kept) => kept.name === 'recovery');

const happened = (section, wanted) => section.benches.flatMap((bench) => bench.visits.flatMap((visit) =>
  Object.values(visit.suites).flatMap((suite) => suite.others.filter(wanted).map((one) => ({ bench, visit, one })))))
  .sort((a, b) => b.visit.at - a.visit.at);

const story = ({ bench, visit, one }, wide) => {
  const pictures = (one.evidence || []).filter((kept) => kept.kind === 'svg');
  const others = (one.evidence || []).filter((kept) => kept.kind !== 'svg');
  return el('li', { class: `card ${one.outcome.split(' ')[0]}` },
    el('div', { class: 'head' }, badge(one.outcome), el('b', {}, said(bench.name)), said(texts[one.device], 'soft'), el('span', { text: night(visit.at) })),
    el('p', { class: 'mono' }, said(texts[one.name])),
    texts[one.message] ? el('pre', { class: 'text', text: texts[one.message] }) : '',
    wide ? pictures.map(evidence) : '',
    others.map((kept) => later(kept.name, () => evidence(kept))));
};

const stories = (found, none, wide) => {
  if (!found.length) return [el('p', { class: 'soft', text: none })];
  const list = el('ul', { class: 'rows' }, found.slice(0, SHOWN).map((one) => story(one, wide)));
  const rest = found.slice(SHOWN);
  return [list, rest.length ? later(`${rest.length} more`, () => el('ul', { class: 'rows' }, rest.map((one) => story(one, wide)))) : ''];
};

const corruptions = (section) => stories(happened(section, isCorruption), 'No byte was found wrong in these nights.', true);
const hangs = (section) => stories(happened(section, isHang), 'Nothing hung, crashed or had to be made well in these nights.', false);
