// Bench × suite × night. Arrow keys move, Enter or a click shows the tests of a cell.
const worst = (visit, name) => {
  if (!visit) return 'none';
  const suite = visit.suites[name];
  if (!suite) return visit.complete ? 'none' : 'cut off';
  for (const outcome of data.trouble) if (suite.counts[outcome]) return outcome;
  if (!visit.complete) return 'cut off';
  return suite.counts.passed ? 'passed' : 'skipped';
};
const LETTERS = { failed: 'F', broken: 'B', 'cut off': 'C', skipped: 's', passed: '·', none: '' };

const grid = (section) => {
  const shown = [...new Set(section.benches.flatMap((bench) => bench.visits.map((visit) => visit.at)))].sort((a, b) => a - b);
  const place = el('div', { 'aria-live': 'polite' });
  const rows = [];
  let selected = null;
  const open = (cell) => {
    if (!cell.opens) return null;
    if (selected) selected.setAttribute('aria-selected', 'false');
    selected = cell;
    cell.setAttribute('aria-selected', 'true');
    const panel = cell.opens();
    place.replaceChildren(panel);
    return panel;
  };
  const body = el('tbody');
  for (const bench of section.benches) {
    const visits = new Map(bench.visits.map((visit) => [visit.at, visit]));
    const names = [...new Set(bench.visits.flatMap((visit) => Object.keys(visit.suites)))].sort();
    body.append(el('tr', { class: 'bench' }, el('th', { scope: 'row', title: bench.name }, said(bench.name)),
      el('td', { colspan: shown.length })));
    for (const name of names) {
      const row = el('tr', {}, el('th', { scope: 'row', class: 'suite' }, said(name)));
      const cells = shown.map((at) => {
        const visit = visits.get(at);
        const state = worst(visit, name);
        const counts = visit && visit.suites[name] ? counted(visit.suites[name].counts).join(', ') : '';
        const label = `${bench.name}, ${name}, ${night(at)}: ${counts || (state === 'none' ? 'did not run' : 'the run was cut off before it')}`;
        const cell = el('td', { class: `cell ${state.split(' ')[0]}`, role: 'gridcell', tabindex: '-1', 'aria-label': label, text: LETTERS[state] });
        if (counts) cell.opens = () => testsOf(bench, name, visit);
        cell.where = { bench: bench.name, suite: name, at };
        return cell;
      });
      row.append(...cells);
      rows.push(cells);
      body.append(row);
    }
  }
  const flat = rows.flat();
  let current = rows.length ? rows[0][shown.length - 1] : null;
  if (current) current.tabIndex = 0;
  const move = (cell) => {
    current.tabIndex = -1;
    current = cell;
    cell.tabIndex = 0;
    cell.focus();
  };
  const step = (cell, key) => {
    const y = rows.findIndex((cells) => cells.includes(cell));
    const x = rows[y].indexOf(cell);
    const to = { ArrowRight: [y, x + 1], ArrowLeft: [y, x - 1], ArrowDown: [y + 1, x], ArrowUp: [y - 1, x], Home: [y, 0], End: [y, shown.length - 1] }[key];
    return to && rows[to[0]] && rows[to[0]][to[1]];
  };
  body.addEventListener('keydown', (event) => {
    const cell = event.target.closest('.cell');
    if (!cell) return;
    if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      const panel = open(cell);
      if (panel) panel.focus();
      return;
    }
    const next = step(cell, event.key);
    if (next) { event.preventDefault(); move(next); }
  });
  body.addEventListener('click', (event) => {
    const cell = event.target.closest('.cell');
    if (cell) { move(cell); open(cell); }
  });
  // A title for each of thousands of cells would take as long as the rest of the page.
  body.addEventListener('pointerover', (event) => {
    const cell = event.target.closest('.cell');
    if (cell) cell.title = cell.getAttribute('aria-label');
  });
  // A date a week, counted from the newest night; it lies over the cells to its right, so not over the last few.
  const dates = shown.map((at, i) => el('th', { class: 'date', scope: 'col', 'aria-label': night(at),
    text: (shown.length - 1 - i) % 7 === 6 || (shown.length < 7 && !i) ? night(at).slice(5) : '' }));
  const table = el('table', { class: 'grid', role: 'grid', 'aria-label': 'Suites of each bench by night' },
    el('thead', {}, el('tr', {}, el('th', { scope: 'row', class: 'small soft', text: 'Bench and suite' }), dates)), body);
  table.style.setProperty('--nights', shown.length);
  const scroll = el('div', { class: 'scroll', tabindex: '0', role: 'region', 'aria-label': 'Nights, newest at the right' }, table);
  // The newest nights are at the right; to ask for the width any earlier would lay out all of them.
  new IntersectionObserver((seen, observer) => {
    if (!seen.some((one) => one.isIntersecting)) return;
    observer.disconnect();
    scroll.scrollLeft = scroll.scrollWidth;
  }).observe(scroll);
  const legend = el('p', { class: 'legend' }, data.outcomes.map((state) =>
    el('span', {}, el('span', { class: `cell ${state.split(' ')[0]}`, 'aria-hidden': 'true', text: LETTERS[state] }), state)),
  el('span', { text: 'Arrow keys move, Enter shows the tests.' }));
  const goTo = (bench, suite, at) => {
    const cell = flat.find(({ where }) => where.bench === bench && where.suite === suite && where.at === at);
    if (!cell) return;
    move(cell);
    const panel = open(cell);
    panel.scrollIntoView({ block: 'start' });
    panel.focus();
  };
  return { view: [scroll, legend, place], goTo };
};
