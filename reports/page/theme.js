// Light or dark: the system's, or what the switch says; remembered where the browser lets a page of a file do so.
const switcher = document.getElementById('theme');
const remembered = () => { try { return localStorage.getItem('hil-theme') || ''; } catch { return ''; } };
const remember = (value) => { try { localStorage.setItem('hil-theme', value); } catch { /* a page opened from a file */ } };
const show = (value) => {
  if (value) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
};
switcher.value = remembered();
show(switcher.value);
switcher.addEventListener('change', () => { show(switcher.value); remember(switcher.value); });
