// The tests of one bench and suite in one night, with what they said and what was kept of their evidence.
const encoded = (text) => btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));

// As an image: no script in it runs and it fetches nothing, whoever wrote it.
const picture = (one) => {
  const image = el('img', { class: 'picture', alt: one.says ? `${one.name}: ${one.says}` : one.name, loading: 'lazy' });
  image.src = `data:image/svg+xml;base64,${encoded(one.text)}`;
  return el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': one.name }, image);
};

const evidence = (one) => el('div', {}, el('h4', { class: 'small' }, said(one.name)),
  one.kind === 'svg' ? picture(one) : el('pre', { class: 'text', text: one.text }));

// The rungs of a recovery, in order.
const ladder = (rungs) => el('p', { class: 'ladder' }, rungs.flatMap(([name, ok, seconds], i) => [
  i ? ' → ' : '', el('span', { class: `rung ${ok ? 'passed' : 'failed'}` }, said(name), ` ${ok ? '✓' : '✕'} ${number(seconds)} s`)]));

const test = (one) => {
  const about = [texts[one.device], texts[one.hop] && one.outcome !== 'skipped' ? `hop ${texts[one.hop]}` : '',
    texts[one.error], `${one.seconds} s`, one.attempts > 1 ? `begun ${one.attempts} times` : ''].filter(Boolean).join(' · ');
  const kept = one.evidence || [];
  return el('li', {},
    el('div', { class: 'head' }, badge(one.outcome), ' ', said(texts[one.name], 'name')),
    el('div', { class: 'small soft' }, said(about)),
    texts[one.message] ? el('pre', { class: 'text', text: texts[one.message] }) : '',
    one.figures.length ? el('p', { class: 'small soft' }, said(one.figures.map((number) => texts[number]).join(' · '))) : '',
    one.ladder ? ladder(one.ladder) : '',
    kept.length ? later(`Evidence: ${kept.map((piece) => piece.name).join(', ')}`, () => el('div', {}, kept.map(evidence))) : '');
};

const testsOf = (bench, name, visit) => {
  const suite = visit.suites[name];
  const others = [...suite.others].sort((a, b) => data.outcomes.indexOf(a.outcome) - data.outcomes.indexOf(b.outcome));
  const passed = lists[suite.passed];
  return el('div', { class: 'opened card', tabindex: '-1' },
    el('h3', {}, said(bench.name), ` · ${name} · night of ${night(visit.at)}`),
    el('p', { class: 'small soft' }, `${counted(suite.counts).join(', ')}; ran on `, said(visit.ran.map((number) => texts[number]).join(', ') || 'what no record tells'),
      visit.faults.length ? said(`; injected: ${visit.faults.map((number) => texts[number]).join(', ')}`) : ''),
    others.length ? el('ul', { class: 'tests' }, others.map(test)) : '',
    passed.length ? later(plural(passed.length, 'test') + ' passed', () => el('ul', { class: 'names' },
      passed.map((number) => el('li', {}, said(texts[number]))))) : '');
};
