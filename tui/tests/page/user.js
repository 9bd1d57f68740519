// Put into an exported page before everything else: uses it as a person would, and leaves only what was seen in it.
// The words to look for are `WORDS`, which the test defines.
'use strict';
const seen = { errors: [], searches: {} };
for (const kind of ['error', 'unhandledrejection', 'securitypolicyviolation']) {
  addEventListener(kind, event => {
    seen.errors.push(`${kind}: ${event.message ?? event.reason ?? event.blockedURI}`);
  }, true);
}

const find = id => document.getElementById(id);
// Time is the browser's own and frames may be none: what would come with one is sent, and then has time to happen.
const pause = () => new Promise(done => setTimeout(done, 50));
const box = element => element.getBoundingClientRect();
const size = element => [box(element).width, box(element).height];
const shown = what => Array.from(document.querySelectorAll(what)).filter(each => box(each).height > 0);
const marks = () => Array.from(document.querySelectorAll('#axis span'), mark => [mark.textContent, box(mark).left]);

function scroll(element, place) {
  Object.assign(element, place);
  element.dispatchEvent(new Event('scroll'));
  return pause();
}

function type(text) {
  find('find').select();
  document.execCommand(text ? 'insertText' : 'delete', false, text);
}

async function use() {
  const diagram = document.querySelector('#sequence svg');
  const [lanes, line, sequence] = [find('lanes'), find('line'), find('sequence')];
  seen.diagram = size(diagram);
  seen.timeline = size(line.querySelector('svg'));
  seen.lanes = find('names').children.length;
  seen.spans = line.querySelectorAll('rect').length;
  seen.flat = Array.from(line.querySelectorAll('rect')).filter(span => !(box(span).height > 0)).length;

  // Who takes part goes along.
  await scroll(sequence, { scrollTop: 100 });
  seen.scrolled = sequence.scrollTop;
  seen.head = box(diagram.querySelector('.head')).top - box(sequence).top;
  await scroll(sequence, { scrollTop: 0 });

  // The time line, far, near, and at its end.
  seen.far = marks();
  find('zoom').value = '6';
  find('zoom').dispatchEvent(new Event('input'));
  await pause();
  seen.magnified = size(line.querySelector('svg'))[0] / seen.timeline[0];
  await scroll(lanes, { scrollLeft: lanes.scrollWidth });
  seen.near = marks();
  seen.edges = [box(find('names')).right, box(lanes).right];

  document.body.dispatchEvent(new KeyboardEvent('keydown', { key: '/', bubbles: true, cancelable: true }));
  seen.focused = document.activeElement.id;
  for (const words of WORDS) {
    type(words);
    await pause();
    const found = [shown('#events div').length, shown('g.arrow').length];
    seen.searches[words] = { found, told: find('found').textContent, tall: [size(find('events'))[1], size(diagram)[1]] };
  }
  seen.requests = performance.getEntriesByType('resource').map(each => each.name);
}

addEventListener('load', async () => {
  try {
    await use();
  } catch (error) {
    seen.errors.push(`user: ${error}`);
  }
  const outcome = document.createElement('pre');
  outcome.id = 'outcome';
  outcome.textContent = JSON.stringify(seen);
  document.documentElement.replaceChildren(outcome);
});
