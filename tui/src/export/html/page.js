'use strict';
const by = id => document.getElementById(id);

// Search: what has all the words stays. Arrows that stay move up, so that nobody scrolls over nothing.
const find = by('find');
const diagram = document.querySelector('#sequence svg');
const [full, step] = [Number(diagram.getAttribute('height')), Number(by('sequence').dataset.row)];
const texts = what => Array.from(document.querySelectorAll(what), each => [each, each.textContent.toLowerCase()]);
const [rows, arrows] = [texts('#events div'), texts('g.arrow')];

function search() {
  const words = find.value.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = text => words.every(word => text.includes(word));
  let events = 0;
  for (const [row, text] of rows) {
    row.hidden = !fits(text);
    events += !row.hidden;
  }
  let gone = 0;
  for (const [arrow, text] of arrows) {
    const fit = fits(text);
    arrow.style.display = fit ? '' : 'none';
    arrow.setAttribute('transform', `translate(0,${-gone * step})`);
    gone += !fit;
  }
  diagram.setAttribute('height', full - gone * step);
  const left = arrows.length - gone;
  by('found').textContent = `${events} of ${rows.length} events, ${left} of ${arrows.length} arrows`;
}

diagram.removeAttribute('viewBox');
find.addEventListener('input', search);
document.addEventListener('keydown', event => {
  if (event.key === '/' && event.target !== find) {
    event.preventDefault();
    find.focus();
  }
});
search();

// Who is who stays in sight.
const head = diagram.querySelector('.head');
by('sequence').addEventListener('scroll', () => {
  head.setAttribute('transform', `translate(0,${by('sequence').scrollTop})`);
});

// Time: as wide as the window, or 2 to the power of `zoom` times as wide.
const [lanes, line, axis, zoom] = [by('lanes'), by('line'), by('axis'), by('zoom')];
const until = Math.max(Number(line.dataset.until) / 1e9, 1e-9);
const room = () => Math.max(lanes.clientWidth - by('names').offsetWidth, 1);

// Marks at 1, 2 or 5 times a power of ten seconds, and only those in sight.
function ruler() {
  const wide = line.offsetWidth;
  const least = 90 * until / wide;
  const power = Math.floor(Math.log10(least));
  const mark = [1, 2, 5, 10].map(times => times * 10 ** power).find(mark => mark >= least);
  const digits = Math.max(-power, 0);
  const first = Math.floor(lanes.scrollLeft / wide * until / mark);
  const last = Math.min((lanes.scrollLeft + room()) / wide * until, until);
  axis.replaceChildren();
  for (let at = first; at * mark <= last; at++) {
    const span = document.createElement('span');
    span.textContent = `${(at * mark).toFixed(digits)} s`;
    span.style.left = `${at * mark / until * 100}%`;
    axis.append(span);
  }
}

function magnify() {
  const centre = (lanes.scrollLeft + room() / 2) / line.offsetWidth;
  line.style.flex = `0 0 ${room() * 2 ** zoom.value}px`;
  lanes.scrollLeft = centre * line.offsetWidth - room() / 2;
  ruler();
}

zoom.addEventListener('input', magnify);
lanes.addEventListener('scroll', ruler);
window.addEventListener('resize', magnify);
magnify();
