'use strict';
(() => {
  const form = document.getElementById('filter');
  const text = document.getElementById('text');
  const kind = document.getElementById('kind');
  const evidence = document.getElementById('evidence');
  const domain = document.getElementById('domain');
  const shown = document.getElementById('shown');
  const sections = [...document.querySelectorAll('section[data-group]')]
    .filter((section) => section.dataset.group !== 'guard');
  const rows = [];
  const kinds = new Set(), evidences = new Set(), domains = new Set();
  for (const section of sections) {
    const group = section.dataset.group;
    kinds.add(group);
    const title = section.querySelector('h2').textContent;
    const reason = group === 'deactivate' ? title.replace(/^Deactivations: | \([\d,]+\)$/g, '') : '';
    if (reason) evidences.add(reason);
    for (const row of section.querySelectorAll('tbody tr')) {
      const who = row.cells[0].textContent;
      const at = who.lastIndexOf('@');
      const host = at < 0 ? '' : who.slice(at + 1).toLowerCase();
      if (host && domains.size < 500) domains.add(host);
      rows.push({ row, section, group, reason, host });
    }
    [...section.querySelectorAll('thead')].slice(0, 1).forEach((head) => {
      [...head.querySelectorAll('th')].forEach((cell, column) => {
        const button = document.createElement('button');
        button.type = 'button';
        button.textContent = cell.textContent;
        button.addEventListener('click', () => sort(section, cell, column));
        cell.replaceChildren(button);
      });
    });
  }
  const fill = (select, values) => {
    for (const value of [...values].sort()) select.add(new Option(value, value));
    select.parentElement.hidden = values.size < 2;
  };
  const sort = (section, cell, column) => {
    const up = cell.getAttribute('aria-sort') !== 'ascending';
    section.querySelectorAll('th').forEach((other) => other.removeAttribute('aria-sort'));
    cell.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    const bodies = [...section.querySelectorAll('tbody')];
    const all = bodies.flatMap((body) => [...body.rows]);
    const sizes = bodies.map((body) => body.rows.length);
    const order = new Intl.Collator('en', { numeric: true });
    const keys = new Map(all.map((row) => [row, row.cells[column].textContent]));
    all.sort((a, b) => (up ? 1 : -1) * order.compare(keys.get(a), keys.get(b)));
    let next = 0;
    bodies.forEach((body, n) => { body.replaceChildren(...all.slice(next, next + sizes[n])); next += sizes[n]; });
  };
  const apply = () => {
    const wanted = text.value.trim().toLowerCase();
    const left = new Map(sections.map((section) => [section, 0]));
    let count = 0;
    for (const entry of rows) {
      const { row, section, group, reason, host } = entry;
      // Read when somebody first looks for a text: 50,000 rows take their time.
      if (wanted) entry.words ??= row.textContent.toLowerCase();
      const fits = (!wanted || entry.words.includes(wanted)) && (!kind.value || kind.value === group)
        && (!evidence.value || evidence.value === reason) && (!domain.value || domain.value === host);
      if (row.hidden === fits) row.hidden = !fits;
      if (fits) { count += 1; left.set(section, left.get(section) + 1); }
    }
    for (const [section, rest] of left) section.hidden = rest === 0;
    shown.textContent = `${count.toLocaleString('en')} of ${rows.length.toLocaleString('en')} shown`;
    const link = text.value ? `#who=${encodeURIComponent(text.value)}` : '';
    if (location.hash !== link) history.replaceState(null, '', location.pathname + location.search + link);
  };
  fill(kind, kinds); fill(evidence, evidences); fill(domain, domains);
  form.addEventListener('submit', (event) => event.preventDefault());
  form.addEventListener('input', apply);
  form.hidden = false;
  const linked = () => {
    const who = /^#who=(.*)$/.exec(location.hash);
    if (!who) return;
    try { text.value = decodeURIComponent(who[1]); } catch { return; }
    apply();
  };
  addEventListener('hashchange', linked);
  linked();
})();
