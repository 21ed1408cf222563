// Puts the views together: what is real and what is simulated each in a part of its own.
const main = document.getElementById('main');
const menu = document.getElementById('views');
document.getElementById('made').textContent = `report of ${data.made.slice(0, 16).replace('T', ' ')}`;
document.getElementById('foot').textContent = `hil ${data.hil}. This file holds all that it shows; it asks nothing of any network.`;

const titled = (id, title, content) => [el('h2', { id, tabindex: '-1', text: title }), ...content];

for (const section of data.sections) {
  const nature = natureOf(section);
  const parts = [['tonight', 'Tonight'], ['nights', 'Nights'], ['devices', 'Devices'], ['corruption', 'Wrong bytes'], ['stories', 'Hangs and recoveries']];
  const id = (part) => `${nature}-${part}`;
  const nights = grid(section);
  const lines = devices(section);
  const go = {
    tests: (one) => nights.goTo(one.bench, one.suite, data.nights.indexOf(section.night)),
    device: (one) => lines.goTo(one.bench, one.device),
  };
  main.append(el('section', { class: 'section', id: id('tonight'), 'aria-label': natureName(section) }, tonight(section, go),
    titled(id('nights'), 'Bench, suite, night', nights.view),
    titled(id('devices'), 'Devices: figures over nights', lines.view),
    titled(id('corruption'), 'Wrong bytes', corruptions(section)),
    titled(id('stories'), 'Hangs, crashes and recoveries', hangs(section))));
  const prefix = data.sections.length > 1 ? `${section.simulated ? 'Simulated' : 'Real'}: ` : '';
  menu.append(...parts.map(([part, title]) => el('li', {}, el('a', { href: `#${id(part)}`, text: prefix + title }))));
}
if (!data.sections.length) main.append(el('h1', { text: 'There is nothing to show yet' }), el('p', { text: 'No record of a run could be read, and the history is empty: run pytest with --hil-record FILE, then hil report.' }));
if (data.notes.length) {
  main.append(el('section', { id: 'notes', 'aria-label': 'Notes' }, titled('about', 'What could not be shown', [el('ul', { class: 'rows' }, data.notes.map((text) => el('li', { class: 'card broken' }, said(text))))])));
  menu.append(el('li', {}, el('a', { href: '#about', text: `Notes (${data.notes.length})` })));
}
addEventListener('beforeprint', () => {
  for (const box of document.querySelectorAll('details.device')) { box.draw(); box.open = true; }
});
if (data.sections.length) document.title = data.sections.map((one) => `${MARKS[one.verdict]} ${one.night} ${one.verdict}${one.simulated ? ' (simulated)' : ''}`).join(' · ') + ' · hil';
document.documentElement.dataset.ready = 'yes';
