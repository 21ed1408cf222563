// Elements from data: every text goes through textContent or setAttribute, none is ever parsed as markup.
const made = (tag, space) => (space ? document.createElementNS(space, tag) : document.createElement(tag));
const filled = (element, props, children) => {
  for (const [name, value] of Object.entries(props)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === 'text') element.textContent = String(value);
    else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : String(value));
  }
  element.append(...children.flat(2).filter((one) => one !== null && one !== undefined && one !== ''));
  return element;
};
const el = (tag, props = {}, ...children) => filled(made(tag), props, children);
const svg = (tag, props = {}, ...children) => filled(made(tag, 'http://www.w3.org/2000/svg'), props, children);

const data = JSON.parse(document.getElementById('data').textContent);
const { texts, lists } = data;
// How tests ended, worst first, in words.
const counted = (counts) => data.outcomes.filter((name) => counts[name]).map((name) => `${counts[name]} ${name}`);
const night = (at) => data.nights[at];
// The device, log or file that a text came from may write from right to left: that stays within it.
const said = (text, more = '') => el('span', { class: `text ${more}`.trim(), text });
const badge = (kind, text = kind) => el('span', { class: `badge ${kind.split(' ')[0]}`, text });
const plural = (count, one, several = `${one}s`) => `${count} ${count === 1 ? one : several}`;
const later = (summary, fill, props = {}) => {
  // Filled when it is first opened: what nobody looks at costs nothing.
  const box = el('details', props, el('summary', {}, summary));
  let done = false;
  const fillOnce = () => { if (!done) { done = true; box.append(fill()); } };
  box.addEventListener('toggle', () => { if (box.open) fillOnce(); });
  box.fillOnce = fillOnce;
  return box;
};
const reveal = (element) => {
  for (let box = element; box; box = box.parentElement) if (box.tagName === 'DETAILS') box.open = true;
  element.scrollIntoView({ block: 'center' });
  element.focus();
};
